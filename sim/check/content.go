package check

import "fmt"

// content: no concurrent write is dropped. Every value that is known to have
// been written to a leaf or a message is, in the end, shown or listed beside,
// at every node, unless a write that can have seen it took its place.
func content(ix *index) Verdict {
	j := newJudge("concurrent values are kept", "I9")
	for _, s := range ix.sessions {
		exists := s.existing()
		for _, v := range s.views {
			if v.isFinal() && v.seen.Gone == "" {
				s.judgeContent(j, v, exists)
			}
		}
	}
	return j.done()
}

// existing gives the writes of registers that surely had their effect.
func (s *session) existing() bitset {
	exists := newBitset(len(s.writes))
	for _, v := range s.views {
		if v.isFinal() {
			exists.union(v.known)
		}
	}
	for _, l := range s.lists {
		for w, ops := range l.ops {
			if len(ops) > 0 {
				exists.add(int32(w))
			}
		}
	}
	for w := range s.writes {
		if s.writes[w].req.acked {
			exists.add(int32(w))
		}
	}
	return exists
}

func (s *session) judgeContent(j *judge, v *view, exists bitset) {
	l := s.look(v)
	exists.each(func(w int32) {
		r := s.writes[w].req
		if r.do != Edit && r.do != Patch && r.do != Open || len(s.writes[w].values) == 0 || s.excused(w) {
			return
		}
		j.Examined++
		if value, ok := l.covers(w); !ok {
			j.violate(fmt.Sprint(w, v.node, s.name), s.at(v, r.calls...),
				"%s %s, though nothing that can have seen it took its place", v.where(), s.lacks(w, value))
		}
	})
}
