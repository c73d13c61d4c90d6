package node

import (
	"slices"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
)

// problems are the named degraded modes in force. The zero value has none.
type problems struct {
	mu   sync.Mutex
	list []httpapi.Degradation
}

// set puts a mode in force or updates its detail; it keeps the first time.
func (p *problems) set(name, detail string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.list {
		if p.list[i].Name == name {
			p.list[i].Detail = detail
			return
		}
	}
	p.list = append(p.list, httpapi.Degradation{Name: name, Since: at.UTC(), Detail: detail})
}

// clear takes a mode out of force.
func (p *problems) clear(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.DeleteFunc(p.list, func(d httpapi.Degradation) bool { return d.Name == name })
}

// all returns the modes in force, oldest first.
func (p *problems) all() []httpapi.Degradation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]httpapi.Degradation{}, p.list...)
}

// Degrade puts a degraded mode in force; name is stable, detail is for people.
func (n *Node) Degrade(name, detail string) { n.problems.set(name, detail, n.wall()) }

// Recover takes a degraded mode out of force.
func (n *Node) Recover(name string) { n.problems.clear(name) }
