package check

// survive: what was acknowledged is at every healthy node in the end, in what
// it shows and in its changes, whatever the level of the acknowledgement. It may
// be gone if somebody replaced, removed or redacted it, if the session was
// erased or has expired, or if it was excused.
func survive(ix *index) Verdict {
	j := newJudge("acknowledged writes survive", "I2")
	for _, s := range ix.sessions {
		for _, v := range s.views {
			if v.isFinal() {
				s.judgeSurvival(j, v)
			}
		}
		s.judgeListed(j)
	}
	return j.done()
}

func (s *session) judgeSurvival(j *judge, v *view) {
	switch v.seen.Gone {
	case "erased": // whether it may be is for another checker to say
		j.Examined++
		return
	case "expired":
		s.judgeExpiry(j, v)
		return
	}
	l := s.look(v)
	for w := range s.writes {
		r := s.writes[w].req
		if !r.acked || r.do == Erase || s.excused(int32(w)) {
			continue
		}
		j.Examined++
		level := "at level local"
		if r.core {
			level = "at level core"
		}
		if v.seen.Gone != "" {
			j.violate("gone "+v.node+s.name, s.at(v, r.calls[0]), "%s does not know the session, which has %s, acknowledged %s",
				v.where(), s.describe(int32(w)), level)
			return
		}
		if value, ok := l.covers(int32(w)); !ok {
			j.violate("", s.at(v, r.calls...), "%s %s, acknowledged %s", v.where(), s.lacks(int32(w), value), level)
		}
	}
}

// judgeListed looks for the ops of acknowledged writes in the changes. Ops of a
// message that may be redacted, or of a session that is erased, show nothing.
func (s *session) judgeListed(j *judge) {
	for i := range s.ix.h.Finals {
		f := &s.ix.h.Finals[i]
		ops, ok := f.Ops[s.space]
		if !ok || !f.carries(s.space) || s.goneInTheEnd(f.Node) {
			continue
		}
		l := s.lists[f.Node]
		for w := range s.writes {
			r := s.writes[w].req
			if r.do != Append && r.do != Edit && r.do != Patch || !r.acked || s.excused(int32(w)) || s.mayBeRedacted(int32(w)) {
				continue
			}
			if len(s.writes[w].values) == 0 || s.removal(int32(w)) {
				continue
			}
			j.Examined++
			if l == nil || len(l.ops[w]) == 0 {
				j.violate("", Violation{Node: f.Node, Session: s.name, At: s.ix.last, Calls: []int{int(r.calls[0])}},
					"%s does not list %s among its %d changes, though it was acknowledged", f.Node, s.describe(int32(w)), len(ops))
			}
		}
	}
}

// mayBeRedacted reports whether a write is about a message that somebody wanted
// to redact.
func (s *session) mayBeRedacted(w int32) bool {
	r := s.writes[w].req
	var ids []string
	switch r.do {
	case Append:
		ids = s.ids[w]
		if len(ids) == 0 {
			return len(s.redacts) > 0
		}
	case Edit:
		ids = append([]string{r.target}, s.aliases(r.target)...)
	default:
		return false
	}
	for _, id := range ids {
		if len(s.possible(s.redacts[id])) > 0 {
			return true
		}
	}
	return false
}
