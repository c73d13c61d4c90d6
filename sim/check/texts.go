package check

import "fmt"

// texts: what was typed and not deleted stands in the text in the end, in one
// piece, and what was deleted by somebody who had seen it does not.
func texts(ix *index) Verdict {
	j := newJudge("texts keep what was typed", "I9")
	for _, s := range ix.sessions {
		if len(s.texts) == 0 {
			continue
		}
		exists := s.existing()
		for _, v := range s.views {
			if v.isFinal() && v.seen.Gone == "" {
				s.judgePieces(j, v, exists)
			}
		}
	}
	return j.done()
}

func (s *session) judgePieces(j *judge, v *view, exists bitset) {
	l := s.look(v)
	shown := map[[2]int32]bool{}
	for _, g := range v.sights {
		if g.write >= 0 && g.as == asPiece {
			shown[[2]int32{g.write, g.part}] = true
		}
	}
	exists.each(func(w int32) {
		r := s.writes[w].req
		if r.do != Text || s.excused(w) {
			return
		}
		j.Examined++
		if value, ok := l.covers(w); !ok {
			j.violate(fmt.Sprint(w, v.node, s.name), s.at(v, r.calls...), "%s %s in one piece", v.where(), s.lacks(w, value))
		}
		for _, dropped := range r.drops {
			x, part := s.find(dropped)
			if x >= 0 && shown[[2]int32{x, part}] && s.writes[x].req.sole && s.precedes(x, w) {
				j.violate(fmt.Sprint("back ", dropped, v.node, s.name), s.at(v, r.calls...),
					"%s still has %s, which call %d deleted", v.where(), s.describe(x), r.calls[0])
			}
		}
	})
}
