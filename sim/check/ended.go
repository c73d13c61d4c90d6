package check

import "slices"

// afterEnd are the actions that an ended session refuses.
var afterEnd = []Action{Append, Edit, Patch, Add, Insert, Remove, Text}

// judgeWrites looks for writes that a node took in a session which it knew to
// have ended, when nobody can have opened it again since.
func (s *session) judgeWrites(j *judge) {
	if !slices.ContainsFunc(s.moves, func(w int32) bool { return s.writes[w].req.to == "ended" }) {
		return
	}
	for _, r := range s.requests {
		if !slices.Contains(afterEnd, r.do) {
			continue
		}
		for _, id := range r.calls {
			c := &s.ix.h.Calls[id]
			if c.Outcome != OK || c.Replayed {
				continue
			}
			j.Examined++
			if w := s.endBefore(c); w >= 0 {
				j.violate("", Violation{Node: c.Node, Session: s.name, At: c.End, Calls: []int{int(id), int(s.writes[w].req.calls[0])}},
					"%s made call %d (%s), though it knew that %s had ended the session", c.Node, id, c.Do, s.describe(w))
			}
		}
	}
}

// endBefore gives a move to ended that a call's node knew when it was asked, and
// that came after all reopenings that it can have heard of; -1 if there is none.
func (s *session) endBefore(c *Call) int32 {
	epoch, ok := s.ix.epoch(c.Node, c.Begin, c.End)
	if !ok {
		return -1
	}
	process, ok := s.byPlace[placeName{c.Node, epoch}]
	if !ok {
		return -1
	}
	at := s.placeAt(process, c.Begin)
	for _, w := range s.moves {
		if s.writes[w].req.to == "ended" && !s.excused(w) && s.heldAt(w, at) && s.isLast(w, c) {
			return w
		}
	}
	return -1
}

// isLast reports whether every reopening that may have happened by a call was
// seen by who made a move.
func (s *session) isLast(w int32, c *Call) bool {
	return !slices.ContainsFunc(s.moves, func(y int32) bool {
		r := s.writes[y].req
		return r.to == reopened && r.possible && r.begin <= c.End && !s.precedes(y, w)
	})
}
