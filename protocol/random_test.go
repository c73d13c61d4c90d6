package protocol

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/vclock"
)

// TestConvergence lets both halves talk over a network that loses, doubles and
// delays, with links cut, processes restarted and core stores wiped. While that
// lasts nothing may be released that too few stores hold; when it is over every
// store must come to hold the same, and every outbox must be released.
func TestConvergence(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		cores := rapid.SampledFrom([]int{1, 3}).Draw(rt, "cores")
		steps := rapid.SliceOfN(rapid.IntRange(0, 99), 5, 60).Draw(rt, "steps")
		w := newWorld(t, seed)
		converge(rt, w, cores, steps)
	})
}

func converge(t interface {
	Fatalf(string, ...any)
}, w *world, cores int, steps []int) {
	w.stores, w.required = cores, cores/2+1
	for i := range cores {
		w.add(fmt.Sprintf("core-%d", i+1), true)
	}
	for i := range 3 {
		w.add(fmt.Sprintf("edge-%d", i+1), false)
	}
	core := func(k int) string { return fmt.Sprintf("core-%d", k%cores+1) }
	for i, name := range w.names {
		if n := w.nodes[name]; n.core == nil {
			w.linkUp(n, core(i))
		} else {
			peer := core(i + 1)
			if cores == 1 {
				peer = ""
			}
			w.linkUp(n, peer)
		}
	}
	w.lossy = 0.1
	for i, s := range steps {
		w.random(s, i, core)
		w.run(time.Duration(s*7) * time.Millisecond)
	}
	w.lossy, w.faults = 0, nil
	for i, name := range w.names {
		if n := w.nodes[name]; !n.link {
			w.linkUp(n, core(i))
		}
	}
	w.run(4 * time.Minute)
	want := w.nodes["core-1"].store.dump()
	for _, name := range w.names {
		n := w.nodes[name]
		if got := n.store.dump(); got != want {
			w.problem("%s holds\n%swant\n%s", name, got, want)
		}
		for _, f := range n.store.feedsSorted() {
			if NodeOf(f.Origin) == name && n.released[f] != n.store.head(f).Seq {
				w.problem("%s released %s up to %d of %d", name, f.Origin, n.released[f], n.store.head(f).Seq)
			}
		}
	}
	if len(w.problems) > 0 {
		lines := w.log.String()
		t.Fatalf("%d problems, first: %s\nlog ends:\n%s", len(w.problems), w.problems[0], lines[max(0, len(lines)-6000):])
	}
}

// random does one thing to the cluster, chosen by s.
func (w *world) random(s, i int, core func(int) string) {
	n := w.nodes[w.names[(s+i)%len(w.names)]]
	switch {
	case s < 50:
		for k := range s%5 + 1 {
			w.append(n, fmt.Sprintf("space-%d", s%2), fmt.Sprintf("op %d.%d of %s", i, k, n.name))
		}
	case s < 65:
		if n.link && n.core == nil {
			w.linkDown(n)
		}
	case s < 80:
		if !n.link {
			w.linkUp(n, core(s))
		}
	case s < 85: // the process restarts over the same store
		w.start(n)
		if n.link {
			w.linkUp(n, n.attachTo)
		}
	case s < 88: // a core store is lost; the stream is not
		if n.core != nil && w.stores > 1 && i%4 == 0 {
			w.wipe(n)
		}
	case s < 95:
		w.faults = append(w.faults, &fault{what: "lose", kind: "consume", count: 1 + s%3})
	default:
		w.faults = append(w.faults, &fault{what: "lose", kind: "ack", count: 1 + s%3})
	}
}

// wipe gives a core node an empty store; its own feeds go on under a new origin.
func (w *world) wipe(n *node) {
	n.store = newMemStore()
	n.released = map[Feed]vclock.Seq{}
	n.position = 0
	n.inc = fmt.Sprintf("%s-s%d", n.name, n.boot+1)
	n.origin = vclock.Origin(fmt.Sprintf("%s~%d", n.name, n.boot+1))
	w.start(n)
	if n.attachTo != "" {
		w.linkUp(n, n.attachTo)
	}
	w.later(n, time.Millisecond, func() { w.consume(n) })
}
