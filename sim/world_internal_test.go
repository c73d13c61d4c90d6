package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/session"
)

// testWorld makes a cluster without clients, whose links have a delay of 5 ms.
// Nobody has started yet.
func testWorld(t *testing.T, cores, edges int, change func(*Plan)) *world {
	t.Helper()
	p := &Plan{Length: time.Hour, Settle: time.Minute, Net: Quality{Delay: 5 * time.Millisecond}}
	for i := range cores {
		p.Nodes = append(p.Nodes, NodePlan{Name: fmt.Sprintf("core-%d", i+1), Core: true})
	}
	for i := range edges {
		p.Nodes = append(p.Nodes, NodePlan{Name: fmt.Sprintf("edge-%d", i+1), Spaces: []string{"*"}})
	}
	if change != nil {
		change(p)
	}
	w, err := newWorld(p, 1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// running is testWorld ten seconds after everybody has started.
func running(t *testing.T, cores, edges int, change func(*Plan)) *world {
	t.Helper()
	w := testWorld(t, cores, edges, change)
	w.beginAll()
	w.pass(10 * time.Second)
	for _, n := range w.nodes {
		if !n.up || !n.link.up {
			t.Fatalf("after 10 s %s is up %v, its link %v, want both", n.lane, n.up, n.link.up)
		}
	}
	return w
}

// pass lets time go by.
func (w *world) pass(d time.Duration) { w.runUntil(w.now+d, nil) }

// strike has a fault begin now; the function that it gives ends it.
func (w *world) strike(f Fault) (end func()) {
	f.At = w.now
	run := begun(&f)
	w.beginFault(run, nil)
	return func() { w.end(run) }
}

// noProblems fails the test if the world noticed a broken invariant.
func (w *world) noProblems(t *testing.T) {
	t.Helper()
	for _, p := range w.problems {
		t.Errorf("%v: %s: %s: %s", p.At, p.Check, p.Node, p.Text)
	}
}

// has reads what a node's store shows at a key.
func (n *node) has(t *testing.T, key string) string {
	t.Helper()
	var got []byte
	err := n.disk.mem.View(func(r session.Reader) (err error) {
		got, err = r.Get([]byte(key))
		return err
	})
	if err != nil {
		t.Fatalf("read %s at %s: %v", key, n.lane, err)
	}
	return string(got)
}

// put writes a key; done is told.
func (n *node) put(c class, key string, done func(error)) {
	n.disk.update(c, func(tx session.Tx) error { return tx.Put([]byte(key), []byte("here")) }, done)
}
