package text

import (
	"slices"

	"github.com/causeway-sync/causeway/vclock"
)

// lv numbers the events of one document in the order in which they arrived,
// which is a causal one. It is private to a replica.
type lv int32

// span is a range of events [from, to).
type span struct{ from, to lv }

// entry is a stretch of events of one agent, each but the first with the one
// before it as its only parent. It has no pointers, so that the garbage
// collector has nothing to follow.
type entry struct {
	span
	agent   int32
	seq     int32 // of the first
	parents pile  // of the first: where they are in graph.parents
}

// pile is a part of a slice.
type pile struct{ from, to int32 }

// first is the seq of the first event.
func (e *entry) first() vclock.Seq { return vclock.Seq(e.seq) }

// stretch is a part of an agent's chain that lies together.
type stretch struct {
	seq int32 // of the first
	at  lv
	n   int32
}

// graph is the causal graph of a document.
//
// Invariant: critical ascends; an event is in it iff every event before it is
// in its past and every event after it has it in its past.
type graph struct {
	entries  []entry
	heads    []lv // ascending; the events without a child
	critical []span
	agents   []vclock.Origin
	index    map[vclock.Origin]int32
	chains   [][]stretch // per agent, ascending
	last     [2]int32    // the agents asked for last
	near     int         // the entry asked for last
	nearby   int         // the same for critical
	parents  []lv        // of all entries, ascending for each
	heap     []headed    // scratch of diff

	kept *graphMark // while a change may have to be taken back
}

// graphMark is what it takes to go back.
type graphMark struct {
	entries, agents int
	parents         int
	lastTo          lv
	heads           []lv
	critical        int    // that many are unchanged
	popped          []span // and these followed, last first
}

func newGraph() *graph { return &graph{index: make(map[vclock.Origin]int32)} }

// size is the number of events.
func (g *graph) size() lv {
	if len(g.entries) == 0 {
		return 0
	}
	return g.entries[len(g.entries)-1].to
}

// agent returns the number of an agent, none if it is not known.
func (g *graph) agent(name vclock.Origin) int32 {
	for _, a := range g.last {
		if int(a) < len(g.agents) && g.agents[a] == name {
			return a
		}
	}
	a, ok := g.index[name]
	if !ok {
		return none
	}
	g.last = [2]int32{a, g.last[0]}
	return a
}

// addAgent returns the number of an agent, which is new if need be.
func (g *graph) addAgent(name vclock.Origin) int32 {
	if a := g.agent(name); a != none {
		return a
	}
	a := int32(len(g.agents))
	g.agents = append(g.agents, name)
	g.chains = append(g.chains, nil)
	g.index[name] = a
	return a
}

// count is the number of events held of an agent.
func (g *graph) count(a int32) vclock.Seq {
	if a == none || len(g.chains[a]) == 0 {
		return 0
	}
	last := g.chains[a][len(g.chains[a])-1]
	return vclock.Seq(last.seq + last.n - 1)
}

// at returns the number of an event that is held, and how many events of its
// agent follow it, itself included, with consecutive numbers.
func (g *graph) at(a int32, seq vclock.Seq) (lv, int32) {
	chain, want := g.chains[a], int32(seq)
	i := len(chain) - 1
	if chain[i].seq > want {
		lo, hi := 0, i
		for hi-lo > 1 {
			if m := int(uint(lo+hi) >> 1); chain[m].seq <= want {
				lo = m
			} else {
				hi = m
			}
		}
		i = lo
	}
	off := want - chain[i].seq
	return chain[i].at + lv(off), chain[i].n - off
}

// lookup returns the number of an event, if it is held.
func (g *graph) lookup(d vclock.Dot) (lv, bool) {
	a := g.agent(d.Origin)
	if d.Seq == 0 || d.Seq > g.count(a) {
		return 0, false
	}
	v, _ := g.at(a, d.Seq)
	return v, true
}

// entryOf returns the index of the entry that holds v.
func (g *graph) entryOf(v lv) int {
	g.near = g.entryFrom(g.near, v)
	return g.near
}

// entryFrom is entryOf for who knows an entry that is not far away.
func (g *graph) entryFrom(near int, v lv) int {
	e := g.entries
	lo, hi := 0, len(e)
	if near < hi {
		if e[near].from <= v {
			lo = near
			for step := 1; lo+step < hi; step *= 2 {
				if e[lo+step].from > v {
					hi = lo + step
					break
				}
				lo += step
			}
		} else {
			hi = near
			for step := 1; hi-step > 0; step *= 2 {
				if e[hi-step].from <= v {
					lo = hi - step
					break
				}
				hi -= step
			}
		}
	}
	for hi-lo > 1 {
		if m := int(uint(lo+hi) >> 1); e[m].from <= v {
			lo = m
		} else {
			hi = m
		}
	}
	return lo
}

// dot names an event.
func (g *graph) dot(v lv) vclock.Dot {
	e := &g.entries[g.entryOf(v)]
	return vclock.Dot{Origin: g.agents[e.agent], Seq: vclock.Seq(e.seq) + vclock.Seq(v-e.from)}
}

// add appends n events of an agent with the next seqs; parents are of the
// first, ascending, and are kept unless the events continue the last entry.
func (g *graph) add(agent int32, n int32, parents []lv) span {
	from := g.size()
	s := span{from, from + lv(n)}
	seq := int32(g.count(agent) + 1)
	if i := len(g.entries) - 1; i >= 0 && g.entries[i].agent == agent && len(parents) == 1 && parents[0] == from-1 {
		g.entries[i].to = s.to
	} else {
		at := int32(len(g.parents))
		g.parents = append(g.parents, parents...)
		parents = g.parents[at:] // they may have been the heads
		g.entries = append(g.entries, entry{s, agent, seq, pile{at, int32(len(g.parents))}})
	}
	chain := g.chains[agent]
	if i := len(chain) - 1; i >= 0 && chain[i].at+lv(chain[i].n) == from {
		chain[i].n += n
	} else {
		g.chains[agent] = append(chain, stretch{seq, from, n})
	}
	oldest := lv(none)
	if len(parents) > 0 {
		oldest = parents[0]
	}
	g.cutCritical(oldest)
	g.advance(parents, s.to-1)
	if len(g.heads) == 1 {
		g.pushCritical(s)
	} // With several heads no event so far has all others in its past.
	return s
}

// grow adds n events to the last entry, whose last event is the last of all.
func (g *graph) grow(n int32) span {
	e := &g.entries[len(g.entries)-1]
	s := span{e.to, e.to + lv(n)}
	e.to = s.to
	chain := g.chains[e.agent]
	chain[len(chain)-1].n += n
	g.heads[len(g.heads)-1] = s.to - 1
	if len(g.heads) == 1 {
		g.pushCritical(s)
	}
	return s
}

// parentsAt returns the parents of an entry's first event. They are good until
// an entry is added.
func (g *graph) parentsAt(e *entry) []lv { return g.parents[e.parents.from:e.parents.to] }

// advance replaces parents by v among the heads. Heads have no children, so
// only those that are parents themselves are covered.
func (g *graph) advance(parents []lv, v lv) {
	if len(g.heads) == 1 && len(parents) == 1 && g.heads[0] == parents[0] {
		g.heads[0] = v
		return
	}
	g.heads = slices.DeleteFunc(g.heads, func(h lv) bool {
		_, covered := slices.BinarySearch(parents, h)
		return covered
	})
	g.heads = append(g.heads, v)
}

// cutCritical drops critical events after v.
func (g *graph) cutCritical(v lv) {
	for i := len(g.critical) - 1; i >= 0 && g.critical[i].to > v+1; i-- {
		if k := g.kept; k != nil && i < k.critical {
			k.critical = i
			k.popped = append(k.popped, g.critical[i])
		}
		if g.critical[i].from <= v {
			g.critical[i].to = v + 1
			return
		}
		g.critical = g.critical[:i]
	}
}

// pushCritical adds s, which lies after all critical events.
func (g *graph) pushCritical(s span) {
	i := len(g.critical) - 1
	if i < 0 || g.critical[i].to < s.from {
		g.critical = append(g.critical, s)
		return
	}
	if k := g.kept; k != nil && i < k.critical {
		k.critical = i
		k.popped = append(k.popped, g.critical[i])
	}
	g.critical[i].to = s.to
}

// criticalAfter returns the index of the first stretch of critical events that
// begins after v.
func (g *graph) criticalAfter(v lv) int {
	c := g.critical
	i := min(g.nearby, len(c))
	if i > 0 && c[i-1].from > v || i+1 < len(c) && c[i+1].from <= v {
		i, _ = slices.BinarySearchFunc(c, v, func(s span, v lv) int {
			if s.from <= v {
				return -1
			}
			return 1
		})
	}
	for i < len(c) && c[i].from <= v {
		i++
	}
	g.nearby = i
	return i
}

// criticalBefore returns the last critical event before v, none if there is
// only the empty version.
func (g *graph) criticalBefore(v lv) lv {
	i := g.criticalAfter(v - 1)
	if i == 0 {
		return lv(none)
	}
	return min(g.critical[i-1].to, v) - 1
}

// criticalFrom returns how many events from v on are critical one after the
// other.
func (g *graph) criticalFrom(v lv) lv {
	i := g.criticalAfter(v) - 1
	if i < 0 {
		return 0
	}
	return max(0, g.critical[i].to-v)
}

// isCritical reports whether v is critical; the empty version always is.
func (g *graph) isCritical(v lv) bool { return v == lv(none) || g.criticalFrom(v) > 0 }

// parentsOf returns the parents of v; buf saves an allocation.
func (g *graph) parentsOf(v lv, buf []lv) []lv {
	e := &g.entries[g.entryOf(v)]
	if v == e.from {
		return g.parentsAt(e)
	}
	return append(buf[:0], v-1)
}

// mark makes everything that follows until forget or rollback revocable.
func (g *graph) mark() {
	m := &graphMark{
		entries: len(g.entries), agents: len(g.agents), lastTo: g.size(),
		parents: len(g.parents), heads: slices.Clone(g.heads), critical: len(g.critical),
	}
	g.kept = m
}

// forget makes what was done since mark final.
func (g *graph) forget() { g.kept = nil }

// rollback takes back what was done since mark.
func (g *graph) rollback() {
	m := g.kept
	g.kept = nil
	for i := len(g.entries) - 1; i >= 0 && g.entries[i].to > m.lastTo; i-- {
		e := &g.entries[i]
		chain := g.chains[e.agent]
		for j := len(chain) - 1; j >= 0 && chain[j].at+lv(chain[j].n) > m.lastTo; j-- {
			chain[j].n = int32(m.lastTo - chain[j].at)
			if chain[j].n <= 0 {
				chain = chain[:j]
			}
		}
		g.chains[e.agent] = chain
		if e.from < m.lastTo {
			e.to = m.lastTo
		}
	}
	g.entries, g.parents = g.entries[:m.entries], g.parents[:m.parents]
	for _, name := range g.agents[m.agents:] {
		delete(g.index, name)
	}
	g.agents, g.chains = g.agents[:m.agents], g.chains[:m.agents]
	g.heads = m.heads
	g.critical = g.critical[:m.critical]
	for i := len(m.popped) - 1; i >= 0; i-- {
		g.critical = append(g.critical, m.popped[i])
	}
}

// nextCritical returns the first critical event from v on, or the size of the
// graph.
func (g *graph) nextCritical(v lv) lv {
	i := g.criticalAfter(v)
	if i > 0 && g.critical[i-1].to > v {
		return v
	}
	if i < len(g.critical) {
		return g.critical[i].from
	}
	return g.size()
}
