package report

import (
	"slices"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// holders knows from the commits of the trace which node held what when.
type holders struct {
	r      *sim.Result
	traced bool                 // there are commits with vectors
	grown  map[holding][]growth // ascending by time
	dots   map[place]vclock.Dot // by space and value
	lanes  map[string]sim.NodePlan
}

// holding names the feed of an origin as one node holds it.
type holding struct {
	node, space string
	origin      vclock.Origin
}

// growth says that a feed is held up to a number from a moment on.
type growth struct {
	at  time.Duration
	seq vclock.Seq
}

func newHolders(r *sim.Result) *holders {
	h := &holders{r: r, grown: map[holding][]growth{}, dots: map[place]vclock.Dot{}, lanes: map[string]sim.NodePlan{}}
	for _, n := range r.Plan.Nodes {
		h.lanes[n.Name] = n
	}
	last := map[[2]string]string{}
	for i := range r.Trace {
		e := &r.Trace[i]
		if e.Vector == "" || last[[2]string{e.Node, e.Space}] == e.Vector {
			continue
		}
		last[[2]string{e.Node, e.Space}] = e.Vector
		v, err := vclock.Parse(e.Vector)
		if err != nil {
			continue // the diagram shows it as it is
		}
		h.traced = true
		for origin, seq := range v.All() {
			key := holding{e.Node, e.Space, origin}
			if g := h.grown[key]; len(g) == 0 || g[len(g)-1].seq < seq {
				h.grown[key] = append(g, growth{e.At, seq})
			}
		}
	}
	for _, f := range r.History.Finals {
		for space, ops := range f.Ops {
			for _, op := range ops {
				for _, value := range op.Values {
					h.dots[place{space, value}] = vclock.Dot{Origin: vclock.Origin(op.Origin), Seq: vclock.Seq(op.Seq)}
				}
			}
		}
	}
	return h
}

// from gives when a node first held a dot; ok is false if it never did.
func (h *holders) from(node, space string, d vclock.Dot) (at time.Duration, ok bool) {
	g := h.grown[holding{node, space, d.Origin}]
	i, _ := slices.BinarySearchFunc(g, d.Seq, func(g growth, want vclock.Seq) int {
		if g.seq < want {
			return -1
		}
		return 1
	})
	if i == len(g) {
		return 0, false
	}
	return g[i].at, true
}

// held says for each node when it had what a call wrote, as row.Held. Without
// a trace it says when a read showed it for the first time.
func (h *holders) held(c *check.Call, nodes []string, seen map[[2]string]time.Duration) []int64 {
	need, known := h.needs(c)
	out := make([]int64, len(nodes))
	for i, node := range nodes {
		out[i] = never
		if plan, planned := h.lanes[node]; planned && !carries(plan, c.Space) {
			out[i] = foreign
			continue
		}
		if !h.traced {
			if len(c.Values) > 0 {
				if when, ok := seen[[2]string{node, c.Values[0].Value}]; ok {
					out[i] = since(c, when)
				}
			}
			continue
		}
		if !known {
			continue
		}
		var last time.Duration
		all := true
		for _, d := range need {
			when, ok := h.from(node, c.Space, d)
			all = all && ok
			last = max(last, when)
		}
		if all {
			out[i] = since(c, last)
		}
	}
	return out
}

// needs gives the dots that a node holds if it holds what a call wrote: those
// of its values, else all of the version that the answer named.
func (h *holders) needs(c *check.Call) (need []vclock.Dot, known bool) {
	for _, v := range c.Values {
		if d, ok := h.dots[place{c.Space, v.Value}]; ok {
			need = append(need, d)
		}
	}
	if len(need) > 0 {
		return need, true
	}
	if c.Outcome != check.OK || c.Version == "" {
		return nil, false
	}
	v, err := vclock.Parse(c.Version)
	if err != nil || v.IsEmpty() {
		return nil, false
	}
	for origin, seq := range v.All() {
		need = append(need, vclock.Dot{Origin: origin, Seq: seq})
	}
	return need, true
}

// firstReads gives when a read at a node first showed a value, by both.
func (h *holders) firstReads(ids []int) map[[2]string]time.Duration {
	seen := map[[2]string]time.Duration{}
	if h.traced {
		return seen
	}
	for _, id := range ids {
		c := &h.r.History.Calls[id]
		if c.Seen == nil || c.Outcome == check.NoAnswer {
			continue
		}
		note := func(value string) {
			key := [2]string{c.Node, value}
			if old, ok := seen[key]; !ok || c.End < old {
				seen[key] = c.End
			}
		}
		for _, m := range c.Seen.Messages {
			note(m.Value)
			for _, other := range m.Others {
				note(other)
			}
		}
		for _, l := range c.Seen.Leaves {
			note(l.Shown)
			for _, other := range l.Others {
				note(other)
			}
		}
		for _, elements := range c.Seen.Sets {
			for _, e := range elements {
				note(e)
			}
		}
	}
	return seen
}
