package check

import "fmt"

// sets: what was put into a set or added to a counter is there in the end. An
// element may be absent if somebody may have removed it after it was put in; it
// is absent if somebody surely did, for an insert that the remover had not seen
// wins. What is shown of a counter has every addition in it.
func sets(ix *index) Verdict {
	j := newJudge("sets and counters keep what was put into them", "I9")
	for _, s := range ix.sessions {
		if len(s.inserts)+len(s.removes)+len(s.adds) == 0 {
			continue
		}
		exists := s.existing()
		for _, v := range s.views {
			if v.isFinal() && v.seen.Gone == "" {
				s.judgeMembers(j, v, exists)
			}
		}
	}
	return j.done()
}

func (s *session) judgeMembers(j *judge, v *view, exists bitset) {
	l := s.look(v)
	exists.each(func(w int32) {
		r := s.writes[w].req
		if r.do != Insert && r.do != Remove && r.do != Add || s.excused(w) {
			return
		}
		j.Examined++
		if value, ok := l.covers(w); !ok {
			j.violate(fmt.Sprint(w, v.node, s.name), s.at(v, r.calls...), "%s %s", v.where(), s.lacks(w, value))
		}
	})
}
