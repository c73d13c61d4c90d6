package check

import (
	"slices"
	"time"
)

// grace is the least time after the last fault in which level "core" may still
// not be had: a core elects a leader and edges wait before they dial again.
const grace = 30 * time.Second

// failures are refusals that say nothing of the request: the node could not do
// what was asked.
var failures = []string{"disk_full", "disk_reserve", "record_damaged", "too_big", "invalid", "overflow"}

// liveness: after the faults every op comes to the core, and who asks for level
// "core" gets it, at the latest when all nodes agree, or after an eighth of the
// bound, or after the grace. Who asks is answered within the grace. A session
// that is not there, and other reasons of the kind, may be told instead.
func liveness(ix *index) Verdict {
	j := newJudge("everything reaches the core after the faults", "I13")
	h := ix.h
	for i := range h.Finals {
		f := &h.Finals[i]
		for _, space := range sortedKeys(f.Backlog) {
			j.Examined++
			if n := f.Backlog[space]; n != 0 {
				j.violate("", Violation{Node: f.Node, At: ix.last}, "%d ops of %s at %s never reached the core", n, space, f.Node)
			}
		}
	}
	ready := h.Healed + max(h.Bound/8, grace)
	if h.Settled > 0 {
		ready = min(ready, h.Settled)
	}
	for i := range h.Calls {
		c := &h.Calls[i]
		if !c.WantCore || c.Do == Read || c.Do == ReadAll || c.Begin < ready || ix.finals[c.Node] == nil {
			continue
		}
		j.Examined++
		out := Violation{Node: c.Node, Session: c.Space + "/" + c.Session, At: c.Begin, Calls: []int{i}}
		since := c.Begin - h.Healed
		switch {
		case c.Outcome == OK && !c.Core:
			j.violate("", out, "%s answered call %d (%s) at level local, %v after the faults", c.Node, i, c.Do, since)
		case c.Outcome == Refused && slices.Contains(failures, c.Code):
			j.violate("", out, "%s refused call %d (%s) with %s, %v after the faults", c.Node, i, c.Do, c.Code, since)
		case c.Outcome == NoAnswer && ix.last-c.Begin > grace && !ix.resetWithin(c.Node, c.Begin, ix.last):
			j.violate("", out, "%s never answered call %d (%s), begun %v after the faults", c.Node, i, c.Do, since)
		}
	}
	return j.done()
}
