package live

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/internal/linkproxy"
	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/netem"
)

// stallFor is how late the loss of a packet makes what follows it: TCP's first
// retransmission.
const stallFor = 200 * time.Millisecond

// wire is a way from a node to one listener of a core node, through a proxy.
type wire struct {
	from, to string // nodes of the plan; a clone counts as the node that it copies
	owner    string // lane of the node that dials
	routes   bool   // between core nodes
	proxy    *linkproxy.Proxy
	done     chan struct{} // closed when the proxy has ended
	stop     context.CancelFunc

	// Guarded by network.mu.
	was    conduct
	chance [2]float64 // of loss, there and back; the largest so far, for the rates
	cut    bool       // by MoveLink
}

// conduct is how a wire behaves now.
type conduct struct {
	down        bool // each connection is reset
	blocked     [2]bool
	there, back linkproxy.Shape
	loss        [2]float64 // of packets, there and back
}

// network is every wire, and the faults that befall them.
type network struct {
	plan   *sim.Plan
	seed   uint64
	filter *netns      // makes partitions and loss instead of the proxies; may be nil
	fail   func(error) // told of a proxy that ends by itself

	mu     sync.Mutex // guards what follows
	wires  []*wire
	active []*sim.Fault // in force
	downs  []*sim.Fault // of active, those that reset connections
	healed bool
}

// lay begins a wire to target and returns the address to dial.
func (n *network) lay(ctx context.Context, w *wire, listen, target string) (addr string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.proxy = linkproxy.New(listen, target, n.seed+uint64(len(n.wires)))
	if err := w.proxy.Listen(ctx); err != nil {
		return "", err
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		if err := w.proxy.Run(ctx); err != nil {
			n.fail(err)
		}
	}()
	n.wires = append(n.wires, w)
	return w.proxy.Addr(), n.settle(ctx)
}

// close ends all proxies.
func (n *network) close() {
	n.mu.Lock()
	wires := n.wires
	n.mu.Unlock()
	for _, w := range wires {
		w.stop()
	}
	for _, w := range wires {
		<-w.done
	}
}

// begin puts a fault in force.
func (n *network) begin(ctx context.Context, f *sim.Fault) error {
	return n.change(ctx, f, true, false)
}

// reset puts a fault in force that resets connections.
func (n *network) reset(ctx context.Context, f *sim.Fault) error { return n.change(ctx, f, true, true) }

// end ends a fault.
func (n *network) end(ctx context.Context, f *sim.Fault) error { return n.change(ctx, f, false, false) }

func (n *network) change(ctx context.Context, f *sim.Fault, force, down bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	other := func(o *sim.Fault) bool { return o == f }
	n.active, n.downs = slices.DeleteFunc(n.active, other), slices.DeleteFunc(n.downs, other)
	if force {
		n.active = append(n.active, f)
	}
	if down {
		n.downs = append(n.downs, f)
	}
	return n.settle(ctx)
}

// heal has links lose nothing any more.
func (n *network) heal(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.healed = true
	return n.settle(ctx)
}

// detach cuts, or mends, the wires of an edge to all core nodes but one.
func (n *network) detach(ctx context.Context, lane, but string, cut bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.wires {
		if w.owner == lane && !w.routes {
			w.cut = cut && w.to != but
		}
	}
	return n.settle(ctx)
}

// settle has every wire behave as the faults in force say. Callers hold mu.
func (n *network) settle(ctx context.Context) error {
	moved := map[string]bool{} // lanes whose packet filters have to change
	for _, w := range n.wires {
		c := n.conduct(w)
		if c == w.was {
			continue
		}
		if c.blocked != w.was.blocked || c.loss != w.was.loss {
			moved[w.owner] = true
		}
		w.was = c
		for i := range c.loss {
			w.chance[i] = max(w.chance[i], c.loss[i])
		}
		w.proxy.Set(n.state(c))
	}
	if n.filter == nil {
		return nil
	}
	for _, lane := range sortedKeys(moved) {
		if err := n.filter.apply(ctx, lane, n.rulesOf(lane)); err != nil {
			return fmt.Errorf("packet filters of %s: %w", lane, err)
		}
	}
	return nil
}

func (n *network) conduct(w *wire) conduct {
	c := conduct{down: w.cut}
	there, back := n.plan.Between(w.from, w.to), n.plan.Between(w.to, w.from)
	if n.healed {
		there, back = there.Healed(), back.Healed()
	}
	for _, f := range n.active {
		to, from := f.Befalls(w.from, w.to), f.Befalls(w.to, w.from)
		if f.Kind == sim.Degrade {
			if to {
				there = there.Worsened(f.Quality)
			}
			if from {
				back = back.Worsened(f.Quality)
			}
			continue
		}
		if slices.Contains(n.downs, f) && to && from {
			c.down = true
			continue
		}
		c.blocked[0], c.blocked[1] = c.blocked[0] || to, c.blocked[1] || from
	}
	c.loss = [2]float64{lossOf(&there), lossOf(&back)}
	c.there, c.back = n.shape(&there, c.loss[0]), n.shape(&back, c.loss[1])
	return c
}

func (n *network) shape(q *sim.Quality, loss float64) linkproxy.Shape {
	s := linkproxy.Shape{Latency: q.Delay, Jitter: q.Jitter, BytesPerSecond: int64(q.Bandwidth)}
	if n.filter == nil && loss > 0 {
		s.Stall, s.StallFor = loss, stallFor
	}
	return s
}

// state is what a proxy does for a conduct. What a dead path holds back arrives
// late, as TCP would send it again; with Plan.Messages it is lost.
func (n *network) state(c conduct) linkproxy.State {
	s := linkproxy.State{Up: !c.down, Latency: c.there.Latency, Jitter: c.there.Jitter,
		BytesPerSecond: c.there.BytesPerSecond, Stall: c.there.Stall, StallFor: c.there.StallFor, Back: &c.back}
	if n.filter != nil {
		return s
	}
	dead := linkproxy.Neither
	for i, dir := range []linkproxy.Direction{linkproxy.ToTarget, linkproxy.FromTarget} {
		if c.blocked[i] {
			dead |= dir
		}
	}
	if n.plan.Messages {
		s.Blackhole = dead
	} else {
		s.Hold = dead
	}
	return s
}

// lossOf is the share of packets that a link loses in the long run.
func lossOf(q *sim.Quality) float64 {
	return 1 - (1-netem.Rate(q.Loss))*(1-q.Burst.Rate())*(1-netem.Rate(q.Corrupt))
}

func lossy(q *sim.Quality) bool { return lossOf(q) > 0 }

// rates compares loss with what came of it.
func (n *network) rates() []sim.Rate {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []sim.Rate
	for _, w := range n.wires {
		for i, dir := range []linkproxy.Direction{linkproxy.ToTarget, linkproxy.FromTarget} {
			if w.chance[i] == 0 {
				continue
			}
			ends := [2]string{w.owner, w.to}
			what, pieces, hits := "stalls", w.proxy.Stats(dir).Pieces, w.proxy.Stats(dir).Stalls
			if n.filter != nil {
				what = "loss"
				pieces, hits = n.filter.counted(w.owner, w.proxy.Addr(), i)
				pieces -= hits // which met the rule that counts all
			}
			list = append(list, sim.Rate{What: fmt.Sprintf("%s %s -> %s", what, ends[i], ends[1-i]), Nominal: w.chance[i],
				Theory: w.chance[i], Measured: share(hits, pieces), Drawn: int(pieces)})
		}
	}
	return list
}

// share is the part of tries that hits are; pieces went through in the end.
func share(hits, pieces uint64) float64 { return float64(hits) / float64(max(hits+pieces, 1)) }
