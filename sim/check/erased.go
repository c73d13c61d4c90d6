package check

import (
	"fmt"
	"slices"
	"time"
)

// erased: a session that was erased stays erased. Once a node has acknowledged
// the erasure or shown it, it shows nothing of the session any more and takes no
// write to it. In the end it is gone everywhere, with every value of it.
func erased(ix *index) Verdict {
	j := newJudge("erased stays erased", "F59")
	known := map[*session]map[placeName]erasure{}
	for _, s := range ix.sessions {
		if at := s.erasedAt(); len(at) > 0 || len(s.possible(s.erases)) > 0 {
			known[s] = at
			s.judgeErased(j, at)
		}
	}
	if len(known) == 0 {
		return j.done()
	}
	ix.eachList(func(l *list) { ix.judgeErasedList(j, l, known) })
	return j.done()
}

func (s *session) judgeErased(j *judge, known map[placeName]erasure) {
	for _, v := range s.views {
		if !s.judgeErasedView(j, v, known) {
			return
		}
	}
	for _, r := range s.requests {
		for _, call := range r.calls {
			c := &s.ix.h.Calls[call]
			if c.Outcome != OK {
				continue
			}
			j.Examined++
			if by, ok := s.erasedBefore(known, c.Node, c.Begin, c.End); ok {
				out := Violation{Node: c.Node, Session: s.name, At: c.End, Calls: []int{by, int(call)}}
				j.violate(fmt.Sprint("took ", call), out,
					"%s took call %d (%s), though it knew from call %d that the session is erased", c.Node, call, c.Do, by)
			}
		}
	}
}

// erasure is when a node knew that the session is erased, and by which call.
type erasure struct {
	at   time.Duration
	call int
}

// erasedAt gives for each stretch of a node's life when it surely knew of an
// erasure first.
func (s *session) erasedAt() map[placeName]erasure {
	known := map[placeName]erasure{}
	learn := func(node string, begin, end time.Duration, call int) {
		epoch, ok := s.ix.epoch(node, begin, end)
		if !ok {
			return
		}
		name := placeName{node, epoch}
		if old, ok := known[name]; !ok || end < old.at {
			known[name] = erasure{end, call}
		}
	}
	for _, w := range s.erases {
		for _, call := range s.writes[w].req.calls {
			if c := &s.ix.h.Calls[call]; c.Outcome == OK {
				learn(c.Node, c.Begin, c.End, int(call))
			}
		}
	}
	for _, v := range s.views {
		if v.seen.Gone == "erased" {
			learn(v.node, v.begin, v.end, v.call)
		}
	}
	return known
}

// erasedBefore reports whether a node knew of an erasure before a call began.
func (s *session) erasedBefore(known map[placeName]erasure, node string, begin, end time.Duration) (call int, ok bool) {
	epoch, ok := s.ix.epoch(node, begin, end)
	if !ok {
		return 0, false
	}
	e, ok := known[placeName{node, epoch}]
	return e.call, ok && e.at < begin
}

// judgeErasedView looks at one view; it is false if the session is shown as
// erased without anybody having asked for it.
func (s *session) judgeErasedView(j *judge, v *view, known map[placeName]erasure) bool {
	if v.seen.Gone == "erased" {
		j.Examined++
		for _, w := range s.possible(s.erases) {
			if s.writes[w].req.begin <= v.end {
				return true
			}
		}
		j.violate("", s.at(v), "%s shows the session as erased, which nobody asked for", v.where())
		return false
	}
	if len(s.possible(s.erases)) == 0 {
		return true
	}
	j.Examined++
	if by, ok := s.erasedBefore(known, v.node, v.begin, v.end); ok {
		j.violate(fmt.Sprint("back ", v.node, s.name), s.at(v, int32(by)),
			"%s shows the session %s, though it knew from call %d that it is erased",
			v.where(), goneText(v.seen), by)
		return true
	}
	if !v.isFinal() {
		return true
	}
	for _, w := range s.erases {
		if r := s.writes[w].req; r.acked && !s.excused(w) {
			j.violate("", s.at(v, r.calls[0]),
				"%s shows the session %s, which call %d erased", v.where(), goneText(v.seen), r.calls[0])
			break
		}
	}
	return true
}

func goneText(seen *Seen) string {
	if seen.Gone == "" {
		return "as " + seen.State
	}
	return "as " + seen.Gone
}

// judgeErasedList looks for what changes still tell of erased sessions.
func (ix *index) judgeErasedList(j *judge, l *list, known map[*session]map[placeName]erasure) {
	gone := map[string]bool{} // by session id
	for i := range l.ops {
		op := &l.ops[i]
		hidden, ok := gone[op.Session]
		if !ok {
			if s := ix.named[l.space+"/"+op.Session]; s != nil && known[s] != nil {
				_, hidden = s.erasedBefore(known[s], l.node, l.begin, l.end)
				hidden = hidden || l.call < 0 && s.goneInTheEnd(l.node)
			}
			gone[op.Session] = hidden
		}
		if !hidden {
			continue
		}
		j.Examined++
		if len(op.Values) > 0 {
			j.violate(fmt.Sprint("told ", l.node, l.space, op.Session), l.violation(op.Session),
				"%s lists %q in op %s.%d of a session that is erased", l.where(), op.Values, op.Origin, op.Seq)
		}
	}
}

func (s *session) goneInTheEnd(node string) bool {
	return slices.ContainsFunc(s.views, func(v *view) bool {
		return v.isFinal() && v.node == node && v.seen.Gone == "erased"
	})
}
