package check

import (
	"fmt"
	"slices"
	"time"
)

// refusals: who refuses a request has a reason, as far as the history can show
// one. Nobody asks for what is too big, malformed or too much; disks refuse only
// while they are in trouble; a node knows the sessions and messages that it has
// shown; and what is said of a session was asked for by somebody.
func refusals(ix *index) Verdict {
	j := newJudge("refusals have a reason", "I17, F9")
	for i := range ix.h.Calls {
		c := &ix.h.Calls[i]
		if c.Outcome != Refused {
			continue
		}
		known, reason := ix.reason(i, c)
		if !known {
			continue
		}
		j.Examined++
		if reason != "" {
			j.violate("", Violation{Node: c.Node, Session: c.Space + "/" + c.Session, At: c.End, Calls: []int{i}},
				"%s refused call %d (%s) with %s: %s", c.Node, i, c.Do, c.Code, reason)
		}
	}
	return j.done()
}

// reason tells what speaks against a refusal; nothing if it may be right. It is
// not known for codes that are judged elsewhere, or by nobody.
func (ix *index) reason(call int, c *Call) (known bool, against string) {
	switch c.Code {
	case "too_big", "invalid", "overflow", "wrong_kind", "unknown_parent":
		return true, "nobody asks for such a thing"
	case "disk_full", "disk_reserve", "record_damaged":
		return true, unless(ix.troubled(c), "nothing was wrong with its disk")
	}
	s := ix.named[c.Space+"/"+c.Session]
	if s == nil || c.Do == ReadAll {
		return false, ""
	}
	switch c.Code {
	case "no_session":
		by, shown := s.shownBefore(c, func(*Seen) bool { return true }, func(*Call) bool { return true })
		return true, unless(!shown, fmt.Sprintf("it knew the session by call %d", by))
	case "no_message":
		by, shown := s.shownBefore(c, func(seen *Seen) bool {
			return slices.ContainsFunc(seen.Messages, func(m Message) bool { return m.ID == c.Target })
		}, func(w *Call) bool { return slices.Contains(w.IDs, c.Target) })
		return true, unless(!shown, fmt.Sprintf("it knew message %s by call %d", c.Target, by))
	case "session_exists":
		return true, unless(s.asked(call, c.End, func(o *Call) bool { return o.Do == Open }), "nobody else opened it")
	case "session_erased":
		return true, unless(s.asked(call, c.End, func(o *Call) bool { return o.Do == Erase }), "nobody erased it")
	case "session_expired":
		return true, unless(s.asked(-1, c.End, func(o *Call) bool { return o.TTL > 0 }), "it has no idle time")
	case "session_ended":
		return true, unless(s.asked(call, c.End, func(o *Call) bool { return o.To == "ended" }), "nobody ended it")
	case "message_redacted":
		redacts := func(o *Call) bool { return o.Do == Redact && o.Target == c.Target }
		return true, unless(s.asked(call, c.End, redacts), "nobody redacted it")
	case "key_reused":
		return true, unless(s.reuses(call, c), "no other request has its key")
	case "version_moved":
		return true, unless(c.IfMatch != "" || ix.resetWithin(c.Node, c.Begin, c.End), "it has no condition")
	case "text_not_found", "edit_outside_text", "text_full", "base_unknown", "base_too_old":
		return true, unless(c.Do == Text, "it is not about a text")
	}
	return false, ""
}

// unless gives a text, or nothing if it is so.
func unless(so bool, text string) string {
	if so {
		return ""
	}
	return text
}

// troubled reports whether a disk was in trouble while it refused a call.
func (ix *index) troubled(c *Call) bool {
	return slices.ContainsFunc(ix.h.Troubles, func(t Trouble) bool {
		return t.Node == c.Node && t.Code == c.Code && t.From <= c.End && (t.To == 0 || t.To >= c.Begin)
	})
}

// shownBefore looks for an answer of a call's node, without a reset since, that
// came before the call and showed something: a read, or the answer to a write.
func (s *session) shownBefore(c *Call, read func(*Seen) bool, write func(*Call) bool) (by int, ok bool) {
	for _, v := range s.views {
		if v.node == c.Node && !v.isFinal() && v.end < c.Begin && v.seen.Gone == "" && read(v.seen) &&
			!s.ix.resetWithin(c.Node, v.begin, c.End) {
			return v.call, true
		}
	}
	for _, r := range s.requests {
		for _, i := range r.calls {
			w := &s.ix.h.Calls[i]
			if w.Node == c.Node && w.Outcome == OK && w.End < c.Begin && write(w) && !s.ix.resetWithin(c.Node, w.Begin, c.End) {
				return int(i), true
			}
		}
	}
	return 0, false
}

// asked reports whether a call but this one began by a moment that may have had
// its effect.
func (s *session) asked(but int, by time.Duration, what func(*Call) bool) bool {
	for _, r := range s.requests {
		for _, i := range r.calls {
			if o := &s.ix.h.Calls[i]; int(i) != but && o.Begin <= by && !o.refused() && what(o) {
				return true
			}
		}
	}
	return false
}

// reuses reports whether another request of the session has the key of a call.
func (s *session) reuses(call int, c *Call) bool {
	return c.Key != "" && slices.ContainsFunc(s.keyed[c.Key], func(r *request) bool {
		return !slices.Contains(r.calls, int32(call))
	})
}
