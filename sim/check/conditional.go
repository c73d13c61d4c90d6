package check

import "time"

// conditional: a write with If-Match finds the session as it was at that
// version. If its node had acknowledged another write that began after the
// version was first named, the write must be refused.
func conditional(ix *index) Verdict {
	j := newJudge("conditional writes find what they expect", "If-Match")
	for _, s := range ix.sessions {
		s.judgeConditions(j)
	}
	return j.done()
}

func (s *session) judgeConditions(j *judge) {
	var named map[string]time.Duration
	for _, r := range s.requests {
		c := &s.ix.h.Calls[r.calls[0]]
		if c.IfMatch == "" || c.Outcome != OK || c.Replayed || len(r.calls) > 1 {
			continue
		}
		if named == nil {
			named = s.versions()
		}
		j.Examined++
		since, ok := named[c.IfMatch]
		epoch, whole := s.ix.epoch(c.Node, c.Begin, c.End)
		if !ok || !whole || s.ix.anyResetWithin(since, c.End) { // a version may stand for two states then
			continue
		}
		process, ok := s.byPlace[placeName{c.Node, epoch}]
		if !ok {
			continue
		}
		at := s.placeAt(process, c.Begin)
		for _, e := range s.processes[process].line[:at.upto] {
			if e.request < 0 {
				continue
			}
			other := s.requests[e.request]
			if other.begin <= since || other.many == 0 || !other.sole || s.removal(other.first) {
				continue
			}
			calls := []int{int(other.calls[0]), int(r.calls[0])}
			j.violate("", Violation{Node: c.Node, Session: s.name, At: c.End, Calls: calls},
				"%s took call %d (%s) at version %s, which was known before call %d (%s) moved the session on",
				c.Node, r.calls[0], c.Do, c.IfMatch, other.calls[0], other.do)
			break
		}
	}
}

// versions gives when each version was named first.
func (s *session) versions() map[string]time.Duration {
	named := map[string]time.Duration{}
	name := func(version string, at time.Duration) {
		if old, ok := named[version]; version != "" && (!ok || at < old) {
			named[version] = at
		}
	}
	for _, v := range s.views {
		if !v.isFinal() {
			name(v.seen.Version, v.end)
		}
	}
	for _, r := range s.requests {
		for _, i := range r.calls {
			if c := &s.ix.h.Calls[i]; c.Outcome == OK {
				name(c.Version, c.End)
			}
		}
	}
	return named
}
