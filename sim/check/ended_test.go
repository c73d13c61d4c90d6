package check

import (
	"testing"
	"time"
)

// A session that has ended takes no message, but who knows that must be sure that
// nobody opened it again.
func TestWritesToAnEndedSession(t *testing.T) {
	t.Parallel()
	call := func(node string, do Action, to, value string) Call {
		c := Call{Client: "c", Node: node, Space: "default", Session: "s", Do: do, To: to, Outcome: OK}
		if value != "" {
			c.Values = []Value{{Value: value}}
		}
		return c
	}
	open, end := call("a", Open, "", ""), call("a", Move, "ended", "")
	refused := call("a", Append, "", "v1")
	refused.Outcome, refused.Code = Refused, "session_ended"
	replayed := call("a", Append, "", "v1")
	replayed.Replayed = true
	for name, test := range map[string]struct {
		calls []Call
		wrong bool
	}{
		"taken":                    {[]Call{open, end, call("a", Append, "", "v1")}, true},
		"refused":                  {[]Call{open, end, refused}, false},
		"taken by another node":    {[]Call{open, end, call("b", Append, "", "v1")}, false},
		"taken once, answered now": {[]Call{open, end, replayed}, false},
		"opened again":             {[]Call{open, end, call("a", Move, reopened, ""), call("a", Append, "", "v1")}, false},
		"opened again elsewhere":   {[]Call{open, end, call("b", Move, reopened, ""), call("a", Append, "", "v1")}, false},
		"opened and ended again": {[]Call{open, end, call("a", Move, reopened, ""), call("a", Move, "ended", ""),
			call("a", Append, "", "v1")}, true},
		"redacted": {[]Call{open, end, call("a", Redact, "", "")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := History{Calls: test.calls}
			for i := range h.Calls {
				c := &h.Calls[i]
				c.ID, c.Begin = i, time.Duration(2*i+1)*time.Second
				c.End = c.Begin + time.Second/2
			}
			if v := lifecycle(newIndex(&h)); (len(v.Violations) > 0) != test.wrong {
				t.Errorf("lifecycle() = %v, want a violation: %t", v.Violations, test.wrong)
			}
		})
	}
}
