package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// convergent: the whole history is causally convergent. It looks for the bad
// patterns that exclude an order of all writes by which every read could have
// been answered. Values are unique, so each read names the write it reads from.
//
// Registers are leaves of the context and the contents of messages, of which the
// append is the first write and the edits are the others. CO is the causal order
// of order.go. A register here shows several values: all that no other write has
// seen, one of them on top. The patterns fit it like this, for a view r:
//
//   - ThinAirRead: r shows a value that nobody wrote.
//   - WriteCOInitRead: r shows nothing where a write came before r, and nothing
//     can have removed it.
//   - WriteCORead: r shows x, on top or beside, and some y of the same register
//     with x CO y came before r. With y among what r shows, this says that the
//     values shown together are concurrent.
//   - CyclicCO: a write comes before itself.
//   - CyclicCF: the value on top is the one that wins. So every other value of
//     the register that came before r, shown beside or not, loses to it: x CF top.
//     CO and CF together must have no cycle, or no order of the writes explains
//     who won. Only leaves that lie neither above nor below others take part, as
//     there the side with the better write wins as a whole.
//
// Source: Bouajjani, Enea, Guerraoui, Hamza: On Verifying Causal Consistency,
// POPL 2017, figures 7 and 8. Differs: registers with several values; causal
// order within a session, which is all that is promised; reads of one process
// may overlap, so program order is one of intervals.
//
// A clock of higher trust beats a later stamp, and trust does not follow causes:
// a winner may lose to what came before the loser. So registers that clocks of
// different trust wrote have no part in CyclicCF.
func convergent(ix *index) Verdict {
	j := newJudge("the history is causally convergent", "I7")
	t := ix.stampTable()
	for _, s := range ix.sessions {
		g := newConflictGraph(s)
		for _, v := range s.views {
			if v.seen.Gone == "" {
				s.judgeThinAir(j, v)
				s.judgeRegisters(j, v, g, t)
			}
		}
		g.judge(j)
	}
	return j.done()
}

// judgeThinAir looks for values of registers that nobody wrote.
func (s *session) judgeThinAir(j *judge, v *view) {
	for _, g := range v.sights {
		if g.write < 0 && g.as.ofRegister() {
			value, place := v.name(g)
			j.violate("thin air "+value+s.name, s.at(v),
				"ThinAirRead: %s shows %q as %s, which nobody wrote", v.where(), value, place)
		}
	}
}

// ofRegister reports whether it is the value of a leaf or a message.
func (a aspect) ofRegister() bool {
	return a == asMessage || a == asOther || a == asLeaf || a == asLeafOther
}

// register is what a view shows of one leaf or message.
type register struct {
	name   string
	leaf   bool
	top    int32 // write, -1 if none is on top
	values []int32
	writes []int32 // all that were ever asked for
}

func (s *session) judgeRegisters(j *judge, v *view, g *conflictGraph, t *stampTable) {
	leaves := map[string]bool{}
	for _, reg := range s.registers(v) {
		if reg.leaf {
			leaves[reg.name] = true
		}
		for _, x := range reg.values {
			if j.Examined++; x >= 0 {
				s.judgeStale(j, v, &reg, x)
			}
		}
		if reg.top < 0 || !s.writes[reg.top].req.sole || reg.leaf && s.crossed(reg.name) ||
			!t.alike(s, reg.writes) {
			continue
		}
		for _, x := range reg.writes {
			if x != reg.top && v.known.has(x) && !s.removal(x) && s.writes[x].req.sole {
				g.loses(v, x, reg.top)
			}
		}
	}
	for _, path := range s.paths {
		if !leaves[path] {
			s.judgeInit(j, v, path)
		}
	}
}

// registers gives what a view shows of each leaf and of each edited message.
func (s *session) registers(v *view) []register {
	var list []register
	at, leaf := int32(-1), false
	for _, g := range v.sights {
		if !g.as.ofRegister() || g.as <= asOther && !s.edited.has(v.messages[g.at]) {
			continue
		}
		onLeaf := g.as == asLeaf || g.as == asLeafOther
		if g.at != at || onLeaf != leaf || len(list) == 0 {
			at, leaf = g.at, onLeaf
			reg := register{leaf: onLeaf, top: -1}
			if onLeaf {
				reg.name = v.seen.Leaves[g.at].Path
				reg.writes = s.leaves[reg.name]
			} else {
				reg.name = v.seen.Messages[g.at].ID
				reg.writes = s.edits[reg.name]
			}
			list = append(list, reg)
		}
		reg := &list[len(list)-1]
		reg.values = append(reg.values, g.write)
		if g.as == asLeaf || g.as == asMessage {
			reg.top = g.write
		}
	}
	return list
}

// judgeStale looks for a write of the register that had seen x and came before
// the view. A write that several nodes may have made may still be shown, as one
// of its ops may be concurrent to what replaced another. A message must not be
// seen as it was before an edit, whoever put it.
func (s *session) judgeStale(j *judge, v *view, reg *register, x int32) {
	r := s.writes[x].req
	if !r.sole && r.do != Append {
		return
	}
	for _, y := range reg.writes {
		if y == x || !v.known.has(y) || r.do == Append && reg.top != x {
			continue
		}
		j.Examined++
		if r.do == Append || s.precedes(x, y) {
			j.violate(fmt.Sprint("stale ", x, y, v.node, s.name), s.at(v, r.calls[0], s.writes[y].req.calls[0]),
				"WriteCORead: %s shows %s, which %s has replaced", v.where(), s.describe(x), s.describe(y))
			return
		}
	}
}

// judgeInit looks for writes of a leaf of which the view shows nothing.
func (s *session) judgeInit(j *judge, v *view, path string) {
	for _, w := range s.leaves[path] {
		if !v.known.has(w) || s.excused(w) {
			continue
		}
		j.Examined++
		for part, value := range s.writes[w].values {
			if value.ID == path && value.Value != "" && !s.replaced(v, w, part) {
				j.violate(fmt.Sprint("init ", path, v.node, s.name), s.at(v, s.writes[w].req.calls[0]),
					"WriteCOInitRead: %s shows nothing at %s in spite of %s", v.where(), path, s.describe(w))
				return
			}
		}
	}
}

// crossed reports whether leaves above or below a path are written too.
func (s *session) crossed(path string) bool {
	if crossed, ok := s.crossings[path]; ok {
		return crossed
	}
	crossed := false
	for other := range s.leaves {
		crossed = crossed || other != path && related(path, other)
	}
	s.crossings[path] = crossed
	return crossed
}

// conflictGraph has the writes of a session and the moments of its processes as
// nodes, causes and lost conflicts as edges.
type conflictGraph struct {
	s      *session
	lost   map[int32]int32 // to which write another one lost last
	edges  []edge
	offset []int32 // node of the first entry, by process
	size   int32
}

// edge leads from what is before.
type edge struct {
	from, to int32
	view     int32 // that shows the conflict; -1 for a cause
}

func newConflictGraph(s *session) *conflictGraph {
	g := &conflictGraph{s: s, lost: map[int32]int32{}, size: int32(len(s.writes))}
	for _, p := range s.processes {
		g.offset = append(g.offset, g.size)
		g.size += int32(len(p.line))
	}
	return g
}

// loses notes that x lost against top in a view. What follows from an earlier
// note is left out.
func (g *conflictGraph) loses(v *view, x, top int32) {
	if to, ok := g.lost[x]; ok && (to == top || v.known.has(to)) {
		return
	}
	g.lost[x] = top
	g.edges = append(g.edges, edge{x, top, v.number})
}

// judge looks for a cycle.
func (g *conflictGraph) judge(j *judge) {
	j.Examined += len(g.edges)
	g.addCauses()
	slices.SortFunc(g.edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	cycle := g.cycle()
	if len(cycle) == 0 {
		return
	}
	name := "CyclicCO"
	out := Violation{Session: g.s.name, At: g.s.ix.last}
	var steps []string
	for _, e := range cycle {
		if e.from < int32(len(g.s.writes)) {
			out.Calls = append(out.Calls, int(g.s.writes[e.from].req.calls[0]))
		}
		if e.view >= 0 {
			name = "CyclicCF"
		}
		if step := g.step(e); step != "" && len(steps) < maxSteps {
			steps = append(steps, step)
		}
	}
	j.violate("", out, "%s: no order of the writes explains what was shown: %s", name, strings.Join(steps, "; "))
}

// maxSteps bounds how much of a cycle is told.
const maxSteps = 12

// step tells of one edge of a cycle; nothing of the mere passing of time.
func (g *conflictGraph) step(e edge) string {
	writes := int32(len(g.s.writes))
	switch {
	case e.view >= 0:
		return fmt.Sprintf("%s lost against %s at %s", g.s.describe(e.from), g.s.describe(e.to), g.s.views[e.view].where())
	case e.from < writes && e.to < writes:
		return fmt.Sprintf("%s came before %s", g.s.describe(e.from), g.s.describe(e.to))
	case e.from < writes:
		return g.s.describe(e.from) + " was known"
	case e.to < writes:
		return "then " + g.s.describe(e.to) + " was written"
	}
	return ""
}

// addCauses adds the edges of CO: along each process, from what an entry tells
// to the entry, and from the last entry before it to a write.
func (g *conflictGraph) addCauses() {
	s := g.s
	for n, p := range s.processes {
		for i, e := range p.line {
			at := g.offset[n] + int32(i)
			if i > 0 {
				g.edges = append(g.edges, edge{at - 1, at, -1})
			}
			if e.request >= 0 {
				r := s.requests[e.request]
				for w := r.first; w < r.first+r.many; w++ {
					g.edges = append(g.edges, edge{w, at, -1})
				}
				continue
			}
			shown := newBitset(len(s.writes))
			for _, sight := range s.views[e.view].sights {
				if sight.write >= 0 {
					shown.add(sight.write)
				}
			}
			for _, w := range s.views[e.view].gained {
				if shown.has(w) {
					g.edges = append(g.edges, edge{w, at, -1})
				}
			}
		}
	}
	for i := range s.writes {
		w, r := int32(i), s.writes[i].req
		if w > r.first {
			g.edges = append(g.edges, edge{w - 1, w, -1})
		}
		if len(r.places) == 1 && r.places[0].process >= 0 && r.places[0].upto > 0 {
			g.edges = append(g.edges, edge{g.offset[r.places[0].process] + r.places[0].upto - 1, w, -1})
		}
	}
}

// cycle gives the edges of some cycle; nil if there is none. Edges are sorted.
func (g *conflictGraph) cycle() []edge {
	first := make([]int32, g.size+1) // of the edges from a node
	for _, e := range g.edges {
		first[e.from+1]++
	}
	for i := int32(0); i < g.size; i++ {
		first[i+1] += first[i]
	}
	const (
		fresh = iota
		open
		closed
	)
	state := make([]byte, g.size)
	next := slices.Clone(first[:g.size])
	var path []edge
	for root := range g.size {
		if state[root] != fresh {
			continue
		}
		at := root
		state[at] = open
		for {
			if next[at] < first[at+1] {
				e := g.edges[next[at]]
				next[at]++
				switch state[e.to] {
				case open:
					return closeCycle(append(path, e))
				case fresh:
					path = append(path, e)
					at = e.to
					state[at] = open
				}
				continue
			}
			state[at] = closed
			if len(path) == 0 {
				break
			}
			at = path[len(path)-1].from
			path = path[:len(path)-1]
		}
	}
	return nil
}

// closeCycle cuts off what leads to the cycle that the last edge closes.
func closeCycle(path []edge) []edge {
	end := path[len(path)-1].to
	path = slices.Clone(path[slices.IndexFunc(path, func(e edge) bool { return e.from == end }):])
	if lost := slices.IndexFunc(path, func(e edge) bool { return e.view >= 0 }); lost > 0 { // told first
		path = append(slices.Clone(path[lost:]), path[:lost]...)
	}
	return path
}
