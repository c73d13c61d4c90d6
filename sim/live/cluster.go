package live

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/causeway-sync/causeway/sim"
)

// routeHost is where core nodes listen for each other. They tell one another
// where a third one listens, as seen from the proxy that it was reached through,
// which is loopback: nothing listens there, so that every route leads through a
// proxy. It is the usual loopback address where the system has no other.
const routeHost = "127.0.0.2"

const loopback = "127.0.0.1"

// ports hands out addresses that nobody uses, below those that systems take for
// outgoing connections: a node must find its port free when it starts again.
type ports struct {
	mu   sync.Mutex // guards what follows
	rng  *rand.Rand
	used map[int]bool
}

const (
	firstPort = 10000
	lastPort  = 32000
	portTries = 200
)

func (p *ports) free(ctx context.Context, host string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last error
	for range portTries {
		port := firstPort + p.rng.IntN(lastPort-firstPort)
		if p.used[port] {
			continue
		}
		var lc net.ListenConfig
		addr := net.JoinHostPort(host, fmt.Sprint(port))
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			last = err
			continue
		}
		p.used[port] = true
		return addr, l.Close()
	}
	return "", fmt.Errorf("find a free port on %s: %w", host, last)
}

// addresses are where a node listens.
type addresses struct{ api, nats, cluster string }

// place decides where a node listens.
func (r *run) place(ctx context.Context, lane string, core bool) (a addresses, err error) {
	if r.ns != nil {
		host, err := r.ns.add(ctx, lane)
		if err != nil {
			return a, err
		}
		return addresses{api: host + ":7101", nats: host + ":7201", cluster: host + ":7301"}, nil
	}
	if a.api, err = r.ports.free(ctx, loopback); err != nil || !core {
		return a, err
	}
	if a.nats, err = r.ports.free(ctx, loopback); err != nil {
		return a, err
	}
	if a.cluster, err = r.ports.free(ctx, routeHost); err != nil {
		r.notes.note("core nodes may find ways around the proxies: there is no second loopback address")
		a.cluster, err = r.ports.free(ctx, loopback)
	}
	return a, err
}

// found makes all nodes of the plan and the wires between them. Nothing runs yet
// but proxies.
func (r *run) found(ctx context.Context) error {
	places := map[string]addresses{}
	for _, n := range r.plan.Nodes {
		a, err := r.place(ctx, n.Name, n.Core)
		if err != nil {
			return err
		}
		places[n.Name] = a
		if n.Core {
			r.cores = append(r.cores, n.Name)
		}
	}
	r.places = places
	for _, n := range r.plan.Nodes {
		m, err := r.newMember(ctx, n, n.Name, places[n.Name])
		if err != nil {
			return err
		}
		r.add(m)
	}
	return nil
}

// newMember makes a node that does not run yet.
func (r *run) newMember(ctx context.Context, n sim.NodePlan, lane string, a addresses) (*member, error) {
	m := &member{lane: lane, plan: n, dir: filepath.Join(r.dir, lane), api: a.api}
	ways, err := r.wire(ctx, n, lane)
	if err != nil {
		return nil, err
	}
	args := []string{"--node", n.Name, "--cluster-name", clusterName, "--data", m.dir, "--api", a.api, "--log", "debug"}
	if r.ns != nil {
		args = append(args, "--insecure")
	}
	if n.Core {
		args = append([]string{r.opt.Binary, "core"}, append(args, "--nats", a.nats, "--stream-bytes", "1GB")...)
		if len(r.cores) > 1 {
			args = append(args, "--cluster", a.cluster, "--peers", strings.Join(ways, ","))
		}
	} else {
		args = append([]string{r.opt.Binary, "edge"}, append(args, "--core", strings.Join(ways, ","))...)
		args = append(args, "--spaces", strings.Join(append([]string{"default"}, n.Spaces...), ","))
		if n.Compress {
			args = append(args, "--compress", "on")
		}
	}
	m.command = args
	if r.ns != nil {
		m.command = append(r.ns.exec(lane), args...)
	}
	return m, nil
}

// clusterName is that of all clusters here; each has ports of its own.
const clusterName = "live"

// wire lays the wires of a node and gives the addresses that it is to dial.
func (r *run) wire(ctx context.Context, n sim.NodePlan, lane string) ([]string, error) {
	listen := net.JoinHostPort(loopback, "0")
	if r.ns != nil {
		listen = net.JoinHostPort(r.ns.gateway, "0")
	}
	var ways []string
	for _, c := range r.cores {
		if c == n.Name {
			continue
		}
		w := &wire{from: n.Name, to: c, owner: lane, routes: n.Core}
		target := r.places[c].nats
		if n.Core {
			target = r.places[c].cluster
		}
		addr, err := r.net.lay(ctx, w, listen, target)
		if err != nil {
			return nil, err
		}
		if !n.Core {
			addr = "nats://" + addr
		}
		ways = append(ways, addr)
	}
	return ways, nil
}

func (r *run) add(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, m)
}

// everybody gives all nodes, clones too, that are not gone.
func (r *run) everybody() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.members), (*member).isGone)
}

// named gives the nodes of a fault that are not gone.
func (r *run) named(names []string) []*member {
	var list []*member
	for _, m := range r.everybody() {
		if slices.Contains(names, m.lane) {
			list = append(list, m)
		}
	}
	return list
}

// startAll starts the nodes that are there from the beginning, core nodes of a
// cluster at once: they need each other.
func (r *run) startAll(ctx context.Context) error {
	return r.each(r.everybody(), func(m *member) error {
		if m.plan.Join > 0 {
			return nil
		}
		m.life.Lock()
		defer m.life.Unlock()
		return r.bringUp(ctx, m)
	})
}

// each does something with nodes, all at once, and joins the errors.
func (r *run) each(members []*member, do func(*member) error) error {
	errs := make(chan error, len(members))
	for _, m := range members {
		go func() { errs <- do(m) }()
	}
	var all []error
	for range members {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// endAll ends every process.
func (r *run) endAll() error {
	r.mu.Lock()
	members := slices.Clone(r.members)
	r.mu.Unlock()
	return r.each(members, func(m *member) error {
		m.life.Lock()
		defer m.life.Unlock()
		return m.kill()
	})
}
