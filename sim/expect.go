package sim

import (
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/sim/check"
)

// Missed holds a history against what a plan expects of it. facts are how often
// each was noticed; at is when the run was over.
func (e *Expect) Missed(h *check.History, facts map[string]int, at time.Duration) []check.Violation {
	var list []check.Violation
	miss := func(format string, args ...any) {
		list = append(list, check.Violation{Check: "expectation of the scenario", At: at, Text: fmt.Sprintf(format, args...)})
	}
	for _, name := range e.Facts {
		if facts[name] == 0 {
			miss("%s was never noticed", name)
		}
	}
	for _, name := range e.Without {
		if facts[name] > 0 {
			miss("%s was noticed %d times", name, facts[name])
		}
	}
	codes := map[string]bool{}
	acked, core := 0, 0
	for _, c := range h.Calls {
		codes[c.Code] = true
		if c.Outcome == check.OK && c.Do != check.Read && c.Do != check.ReadAll {
			acked++
			if c.Core {
				core++
			}
		}
	}
	for _, code := range e.Refused {
		if !codes[code] {
			miss("nobody was refused with %s", code)
		}
	}
	if acked < e.Acked {
		miss("%d writes were acknowledged, want %d", acked, e.Acked)
	}
	if core < e.AtCore {
		miss("%d writes were acknowledged at level core, want %d", core, e.AtCore)
	}
	if within := e.Within; within > 0 && h.Settled > h.Healed+within {
		miss("all nodes agreed %v after the healing, want %v", h.Settled-h.Healed, within)
	}
	return list
}
