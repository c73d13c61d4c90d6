package check

import "time"

// grace is the least time after the last fault in which level "core" may still
// not be had: a core elects a leader and edges wait before they dial again.
const grace = 30 * time.Second

// liveness: after the faults every op comes to the core, and who asks for level
// "core" gets it, at the latest when all nodes agree, or after an eighth of the
// bound, or after the grace.
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
		if !c.WantCore || c.Begin < ready || ix.finals[c.Node] == nil || c.refused() {
			continue
		}
		j.Examined++
		out := Violation{Node: c.Node, Session: c.Space + "/" + c.Session, At: c.Begin, Calls: []int{i}}
		switch {
		case c.Outcome == OK && !c.Core:
			j.violate("", out, "%s answered call %d (%s) at level local, %v after the faults", c.Node, i, c.Do, c.Begin-h.Healed)
		case c.Outcome != OK && ix.last-c.Begin > h.Bound:
			j.violate("", out, "%s never answered call %d (%s), begun %v after the faults", c.Node, i, c.Do, c.Begin-h.Healed)
		}
	}
	return j.done()
}
