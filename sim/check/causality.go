package check

import (
	"fmt"
	"slices"
)

// causality: what a node shows contains its causes.
//
// A node is a process (see order.go). A view must contain what the node had
// shown or acknowledged before it, and the causes of all that it shows, unless
// something that can have seen them took their place: so nobody sees an effect
// without its cause, nothing that a node showed goes away again, and everybody
// reads his own writes at one node. Messages stand behind what their authors had
// seen. A reset of a node ends what is known there.
func causality(ix *index) Verdict {
	j := newJudge("effects come after their causes", "I6")
	for _, s := range ix.sessions {
		for _, v := range s.views {
			s.judgeCauses(j, v)
		}
		s.judgeOrders(j)
	}
	return j.done()
}

func (s *session) judgeCauses(j *judge, v *view) {
	switch v.seen.Gone {
	case "":
	case "unknown":
		s.judgeUnknown(j, v)
		return
	default:
		return
	}
	l := s.look(v)
	s.judgeOrphans(j, v)
	v.known.each(func(w int32) {
		j.Examined++
		value, ok := l.covers(w)
		if ok || s.excused(w) {
			return
		}
		because, calls := s.because(v, w)
		j.violate(fmt.Sprintf("%s %d %d %s", v.node, v.process, w, s.name), s.at(v, calls...),
			"%s %s, %s", v.where(), s.lacks(w, value), because)
	})
}

// judgeUnknown looks at a view that knows nothing of the session.
func (s *session) judgeUnknown(j *judge, v *view) {
	j.Examined++
	if v.process < 0 {
		return
	}
	p := s.placeAt(v.process, v.begin)
	for _, e := range s.processes[v.process].line[:p.upto] {
		out := s.at(v)
		switch {
		case e.view >= 0 && s.views[e.view].seen.Gone != "unknown":
			out.Calls = append(out.Calls, s.views[e.view].call)
		case e.request >= 0 && s.requests[e.request].many > 0 && !s.excused(s.requests[e.request].first):
			out.Calls = append(out.Calls, int(s.requests[e.request].calls[0]))
		default:
			continue
		}
		j.violate("unknown "+v.node+" "+s.name, out,
			"%s does not know the session, which it had shown or written to before", v.where())
		return
	}
}

// judgeOrphans looks for replies without what they reply to.
func (s *session) judgeOrphans(j *judge, v *view) {
	there := newBitset(len(s.numbers))
	for _, number := range v.messages {
		there.add(number)
	}
	for i, parent := range v.parents {
		if parent < 0 || there.has(parent) {
			continue
		}
		m := &v.seen.Messages[i]
		if list := s.puts[m.Parent]; len(list) == 0 || slices.ContainsFunc(list, s.excused) {
			continue // it may be gone, or have got another id after a fork
		}
		j.violate(fmt.Sprint("orphan ", m.ID, v.node, s.name), s.at(v), "%s shows message %s without %s, to which it replies",
			v.where(), m.ID, m.Parent)
	}
}

// because says why a view must contain w.
func (s *session) because(v *view, w int32) (text string, calls []int32) {
	first := s.writes[w].req.calls[0]
	if v.process >= 0 {
		if p := s.placeAt(v.process, v.begin); s.heldAt(w, p) {
			how, call := s.held(w, p, "it")
			return how, []int32{first, call}
		}
	}
	for _, g := range v.sights {
		if g.write < 0 || !s.precedes(w, g.write) {
			continue
		}
		r := s.writes[g.write].req
		switch {
		case r == s.writes[w].req:
			return "but has what the same call wrote behind it", []int32{first}
		case s.parent[r.first] == w:
			return "to which " + s.describe(g.write) + " replies", []int32{first, r.calls[0]}
		}
		how, call := s.held(w, r.places[0], s.processes[r.places[0].process].node)
		return how + " before it wrote " + s.describe(g.write), []int32{first, call, r.calls[0]}
	}
	return "a cause of what it shows", []int32{first}
}

// held says how a node came to know w by a place, and by which call.
func (s *session) held(w int32, p place, node string) (how string, call int32) {
	r := s.writes[w].req
	for _, e := range s.processes[p.process].line[:p.upto] {
		if e.request >= 0 {
			if s.requests[e.request] != r {
				continue
			}
			i := slices.IndexFunc(r.calls, func(a int32) bool {
				c := &s.ix.h.Calls[a]
				return c.Outcome == OK && c.Node == s.processes[p.process].node && c.End == e.end
			})
			return fmt.Sprintf("which %s had acknowledged", node), r.calls[max(i, 0)]
		}
		v := s.views[e.view]
		switch {
		case slices.ContainsFunc(v.sights, func(g sight) bool { return g.write == w }):
			return fmt.Sprintf("which %s had shown (call %d)", node, v.call), int32(v.call)
		case v.known.has(w):
			return fmt.Sprintf("of which %s had shown an effect (call %d)", node, v.call), int32(v.call)
		}
	}
	return fmt.Sprintf("which %s knew", node), r.calls[0]
}
