package check

import (
	"fmt"
	"slices"
)

// once: a request has its effect once, however often it is sent, and one that
// was refused has none.
func once(ix *index) Verdict {
	j := newJudge("every request has its effect once", "I4, F41, F42")
	for _, s := range ix.sessions {
		for _, v := range s.views {
			s.judgeTwice(j, v)
		}
	}
	ix.judgeOps(j)
	return j.done()
}

func (s *session) judgeTwice(j *judge, v *view) {
	ids := newBitset(len(s.numbers))
	for i, number := range v.messages {
		if id := v.seen.Messages[i].ID; ids.has(number) {
			j.violate(fmt.Sprint("id ", id, v.node, s.name), s.at(v), "%s shows message %s twice", v.where(), id)
		}
		ids.add(number)
	}
	seen, parts := newBitset(len(s.writes)), map[[2]int32]bool{}
	for _, g := range v.sights {
		if g.write < 0 {
			continue
		}
		j.Examined++
		r := s.writes[g.write].req
		if !r.possible {
			j.violate(fmt.Sprint("refused ", g.write, s.name), s.at(v, r.calls...), "%s shows %s, which was refused (%s)",
				v.where(), s.describe(g.write), s.ix.h.Calls[r.calls[0]].Code)
		}
		if g.as != asMessage && g.as != asOther && g.as != asElement && g.as != asPiece {
			continue
		}
		twice, at := seen.has(g.write), [2]int32{g.write, g.part}
		if len(s.writes[g.write].values) > 1 {
			twice, parts[at] = parts[at], true
		}
		if seen.add(g.write); twice {
			j.violate(fmt.Sprint("twice ", at, v.node, s.name), s.at(v, r.calls...), "%s shows %s twice",
				v.where(), s.describe(g.write))
		}
	}
}

// judgeOps counts the ops that carry a value. A key may have been used at several
// nodes before they knew of each other: then each made an op.
func (ix *index) judgeOps(j *judge) {
	type carried struct {
		s     *session
		write int32
	}
	ops := map[carried][]dot{}
	ix.eachList(func(l *list) {
		if l.call >= 0 {
			return // a node that was reset may list what is gone for good
		}
		for i := range l.ops {
			op := &l.ops[i]
			for _, value := range op.Values {
				at, ok := ix.values[value]
				if !ok || at.s.name != l.space+"/"+op.Session || !at.s.wrote(at.write, op, value) {
					continue
				}
				name := carried{at.s, at.write}
				if slices.Contains(ops[name], op.dot()) {
					continue
				}
				ops[name] = append(ops[name], op.dot())
				j.Examined++
				ix.judgeCount(j, l, at, ops[name])
			}
		}
	})
}

func (ix *index) judgeCount(j *judge, l *list, at written, dots []dot) {
	r := at.s.writes[at.write].req
	out := l.violation(at.s.id)
	for _, c := range r.calls {
		out.Calls = append(out.Calls, int(c))
	}
	switch most := ix.opsAtMost(r); {
	case !r.possible:
		j.violate(fmt.Sprint("listed ", at.write, at.s.name), out, "%s lists %s as op %s.%d, which was refused",
			l.where(), at.s.describe(at.write), dots[0].origin, dots[0].seq)
	case len(dots) > most:
		j.violate(fmt.Sprint("ops ", at.write, at.s.name), out, "%s lists %s as %d ops %v, want at most %d",
			l.where(), at.s.describe(at.write), len(dots), dots, most)
	}
}

// opsAtMost is how many ops may have come of each write of a request: one for
// each node that was asked, and one more for each time that node was reset.
func (ix *index) opsAtMost(r *request) int {
	if r.key == "" {
		return len(r.calls)
	}
	calls := map[string]int{}
	for _, i := range r.calls {
		if c := &ix.h.Calls[i]; !c.refused() && !c.Replayed {
			calls[c.Node]++
		}
	}
	most := 0
	for node, n := range calls {
		resets := 0
		for _, at := range ix.resets[node] {
			if at >= r.begin {
				resets++
			}
		}
		most += min(n, 1+resets)
	}
	return max(most, 1)
}
