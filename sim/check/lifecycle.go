package check

import (
	"fmt"
	"slices"
)

// lifecycle: sessions go through their states as the rules say. States shown
// are legal and asked for; a move that was answered OK was legal from what its
// node can have shown; one that was refused as illegal was not; every refusal
// has a code. A session that has ended takes nothing but moves, redactions and
// erasure. In the end the highest of the concurrent moves is shown: of the
// newest epoch (each reopening begins one), then of initialized < active <
// paused < ended.
//
// Which moves were concurrent is only known as far as causes, times and ops
// tell. Where a call was not answered, or two moves may have been made one
// after the other, either outcome is allowed.
func lifecycle(ix *index) Verdict {
	j := newJudge("sessions live by the rules", "I11")
	for i := range ix.h.Calls {
		c := &ix.h.Calls[i]
		if c.Outcome == Refused {
			j.Examined++
			if c.Code == "" {
				j.violate("", Violation{Node: c.Node, Session: c.Space + "/" + c.Session, At: c.End, Calls: []int{i}},
					"%s refused call %d (%s) without a code", c.Node, i, c.Do)
			}
		}
	}
	for _, s := range ix.sessions {
		for _, v := range s.views {
			if v.seen.Gone == "" {
				s.judgeState(j, v)
			}
		}
		for _, w := range s.moves {
			s.judgeMove(j, w)
		}
		s.judgeWrites(j)
	}
	return j.done()
}

// states in the order in which concurrent moves win.
var states = []string{"initialized", "active", "paused", "ended"}

// reopened is the move from ended to active.
const reopened = "reopened"

// legalFrom gives the moves that a session in a state may make.
func legalFrom(state string) []string {
	switch state {
	case "initialized":
		return []string{"active", "ended"}
	case "active":
		return []string{"paused", "ended"}
	case "paused":
		return []string{"active", "ended"}
	default:
		return []string{reopened}
	}
}

// stateAfter gives the state after a move.
func stateAfter(to string) string {
	if to == reopened {
		return "active"
	}
	return to
}

// judgeState looks at the state in one view.
func (s *session) judgeState(j *judge, v *view) {
	j.Examined++
	state := v.seen.State
	if !slices.Contains(states, state) {
		j.violate(fmt.Sprint("state ", state, s.name), s.at(v), "%s shows state %q, which there is not", v.where(), state)
		return
	}
	var surely []int32 // moves that must have had their effect here
	var asked bool     // for the state that is shown
	for _, w := range s.moves {
		r := s.writes[w].req
		if !r.possible || r.begin > v.end {
			continue
		}
		asked = asked || stateAfter(r.to) == state
		if v.known.has(w) && !s.excused(w) || v.isFinal() && r.acked && !s.excused(w) {
			surely = append(surely, w)
		}
	}
	switch {
	case state == "initialized" && len(surely) > 0:
		j.violate(fmt.Sprint("initialized ", v.node, s.name), s.at(v, s.callsOf(surely)...),
			"%s shows the session as initialized in spite of %s", v.where(), s.describe(surely[0]))
	case state != "initialized" && !asked:
		j.violate(fmt.Sprint("unasked ", state, s.name), s.at(v),
			"%s shows the session as %s, which nobody asked for", v.where(), state)
	default:
		if s.judgeLeft(j, v, surely) {
			s.judgeHighest(j, v, surely)
		}
	}
}

// judgeLeft looks whether every move to the state that is shown was followed by
// another one; it is false if so.
func (s *session) judgeLeft(j *judge, v *view, surely []int32) bool {
	left := int32(-1)
	for _, x := range slices.Backward(s.moves) {
		r := s.writes[x].req
		if !r.possible || r.begin > v.end || stateAfter(r.to) != v.seen.State {
			continue
		}
		i := slices.IndexFunc(surely, func(y int32) bool { return r.sole && s.precedes(x, y) })
		if i < 0 {
			return true
		}
		left = surely[i]
	}
	if left >= 0 {
		r := s.writes[left].req
		j.violate(fmt.Sprint("left ", left, v.node, s.name), s.at(v, r.calls[0]),
			"%s shows the session as %s, which %s to %s left", v.where(), v.seen.State, s.describe(left), r.to)
	}
	return left < 0
}

func (s *session) callsOf(writes []int32) []int32 {
	var calls []int32
	for _, w := range writes {
		calls = append(calls, s.writes[w].req.calls[0])
	}
	return calls
}

// judgeHighest looks for a move that had its effect, that no other move can
// have seen, and that is higher than what is shown.
func (s *session) judgeHighest(j *judge, v *view, surely []int32) {
	shownEpoch := s.epochAtMost(v)
	shown := slices.Index(states, v.seen.State)
	for _, w := range surely {
		r := s.writes[w].req
		epoch, state := s.epochAtLeast(w), slices.Index(states, stateAfter(r.to))
		if epoch < shownEpoch || epoch == shownEpoch && state <= shown || !s.standing(v, w) {
			continue
		}
		j.violate(fmt.Sprint("higher ", w, v.node, s.name), s.at(v, r.calls[0]),
			"%s shows the session as %s, but %s to %s stands and is higher", v.where(), v.seen.State, s.describe(w), r.to)
		return
	}
}

// standing reports whether no move that v may have in it can have seen w.
func (s *session) standing(v *view, w int32) bool {
	for _, y := range slices.Backward(s.moves) { // the last ones are the likeliest
		if s.writes[y].req.begin <= v.end && s.movesOn(y, w) {
			return false
		}
	}
	return true
}

// movesOn reports whether y may be a move that was made after w was seen: as
// far as [session.mayFollow] tells, and because nothing but a reopening is made
// by who sees an ending.
func (s *session) movesOn(y, w int32) bool {
	if !s.mayFollow(y, w) {
		return false
	}
	ended := s.writes[w].req.to == "ended"
	return !ended || s.writes[y].req.to == reopened || s.mayHaveReopened(y)
}

// mayHaveReopened reports whether some reopening may have come before a move.
func (s *session) mayHaveReopened(y int32) bool {
	return slices.ContainsFunc(s.moves, func(x int32) bool {
		r := s.writes[x].req
		return x != y && r.to == reopened && r.possible && r.begin <= s.writes[y].req.end
	})
}

// epochAtLeast counts the reopenings along the causes of a move, itself
// included, as far as they surely follow each other.
func (s *session) epochAtLeast(w int32) int {
	if epoch, ok := s.epochs[w]; ok {
		return epoch
	}
	s.epochs[w] = 0 // for histories in which moves precede each other
	best := 0
	for _, x := range s.moves {
		if s.writes[x].req.to == reopened && x != w && s.precedes(x, w) {
			best = max(best, s.epochAtLeast(x))
		}
	}
	if s.writes[w].req.to == reopened {
		best++
	}
	s.epochs[w] = best
	return best
}

// epochAtMost bounds the epoch of the state that a view shows: by the reopenings
// that the moves to that state may have seen.
func (s *session) epochAtMost(v *view) int {
	most := 0
	for _, x := range s.moves {
		r := s.writes[x].req
		if !r.possible || r.begin > v.end || stateAfter(r.to) != v.seen.State {
			continue
		}
		bound, ok := s.bounds[x]
		if !ok {
			for _, y := range s.moves {
				if to := s.writes[y].req; to.to == reopened && to.possible && (y == x || s.mayFollow(x, y)) {
					bound++
				}
			}
			s.bounds[x] = bound
		}
		most = max(most, bound)
	}
	return most
}

// judgeMove holds the answer to a move against what its node can have shown
// before. It judges calls that were sent once.
func (s *session) judgeMove(j *judge, w int32) {
	r := s.writes[w].req
	id := int(r.calls[0])
	c := &s.ix.h.Calls[id]
	if len(r.calls) > 1 || c.Outcome == NoAnswer || c.Replayed {
		return
	}
	refusedAs := c.Code == "illegal_transition" || c.Code == "illegal_move"
	if c.Outcome == Refused && !refusedAs {
		return
	}
	j.Examined++
	may := s.mayShow(w, c)
	legal := func(state string) bool { return slices.Contains(legalFrom(state), r.to) }
	out := Violation{Node: c.Node, Session: s.name, At: c.End, Calls: []int{id}}
	switch {
	case c.Outcome == OK && !slices.ContainsFunc(may, legal):
		j.violate("", out, "%s made call %d, a move to %s, though it can only have shown %v", c.Node, id, r.to, may)
	case c.Outcome == Refused && !slices.ContainsFunc(may, func(state string) bool { return !legal(state) }):
		j.violate("", out, "%s refused call %d, a move to %s, as illegal (%s), though it can only have shown %v",
			c.Node, id, r.to, c.Code, may)
	}
}

// mayShow gives the states that a node may have shown when it took a move.
func (s *session) mayShow(w int32, c *Call) []string {
	all := states
	epoch, ok := s.ix.epoch(c.Node, c.Begin, c.End)
	if !ok {
		return all
	}
	process, ok := s.byPlace[placeName{c.Node, epoch}]
	if !ok {
		return all
	}
	at := s.placeAt(process, c.Begin)
	if at.view < 0 || s.views[at.view].seen.Gone != "" {
		return all
	}
	last := s.views[at.view]
	for _, x := range s.moves {
		r := s.writes[x].req
		if x == w || !r.possible || r.begin > c.End || last.includes(s, x) {
			continue
		}
		return all
	}
	return []string{last.seen.State}
}

// includes reports whether a move had its effect at the view's node before the
// view began, and nowhere else.
func (v *view) includes(s *session, x int32) bool {
	r := s.writes[x].req
	return r.sole && r.maker == v.node && r.end < v.begin && !s.ix.resetWithin(v.node, r.begin, v.end)
}
