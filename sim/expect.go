package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/sim/check"
)

// Expect is what must come out besides the checkers' verdicts.
type Expect struct {
	Converge bool          // default true in scenario files
	Within   time.Duration // all nodes agree, and so soon after the healing; zero: within Settle, if Converge
	Facts    []string      // names of facts that must have been noticed, e.g. "forked", "regressed", "equivocation"
	Without  []string      // names of facts that must not have been noticed
	Refused  []string      // codes that clients must have seen
	Acked    int           // at least so many acknowledged writes
	AtCore   int           // at least so many of them at level "core"
	Counts   []Count       // how often something may and must happen
}

// Count says how often something happens: at least Least times, and at most
// Most times.
type Count struct {
	Of       string        // one of [Countable], or a code, or a fact; record_damaged is the fact
	From, To time.Duration // only what is answered in [From, To); To zero: to the end of the run
	Nodes    []string      // only what these were asked; empty: all
	Over     time.Duration // only what took longer
	Least    int
	Most     int // NoLimit for none
}

// NoLimit as [Count.Most] lets anything happen as often as it will.
const NoLimit = -1

// Countable are the outcomes of writes that a [Count] may be of. An
// unanswered call counts at the time when it was made.
func Countable() []string {
	return []string{"acked", "at_core", "degraded", "local", "replayed", "unanswered"}
}

// Facts gives the names of all facts that a run may notice: those of the
// machines, and those that the world sees.
func Facts() []string {
	names := []string{
		"clock_alarm", "clock_alarm_over", "clock_behind", "clock_holdover", "clock_set", "clock_stepped", "clock_synced",
		"books_unreadable", "clock_unsynced", "commits_missing", "excuse_unreadable", "fork_refused", "frame_dropped",
		"frame_refused", "machine_suspended", "message_copied", "message_dropped", "message_lost", "message_refused",
		"messages_missing", "no_responders",
		"op_in_between", "op_lost", "op_not_given_up", "op_orphaned", "ops_not_reissued", "ops_reissued",
		"origin_not_renewed", "origin_renewed", "read_in_fork", "read_of_remains", "record_beyond_repair", "record_damaged", "record_repaired",
		"stamp_ahead", "stamp_behind", "stamps_put_back", "storage_moved", "storage_unusable", "stream_replaced",
		"subject_head_unreadable", "time_contested", "time_false", "time_falseticker", "time_refused", "time_set", "unknown_op_kept", "unreachable",
	}
	for _, f := range [...]protocol.Fact{
		protocol.AttachGranted{}, protocol.AttachFailed{}, protocol.AttachmentLost{}, protocol.Ignored{}, protocol.Resending{},
		protocol.PublishUnsettled{}, protocol.Forked{}, protocol.Regressed{}, protocol.Fenced{}, protocol.StoreReplaced{},
		protocol.SpacesLeftOut{}, protocol.DigestCompared{}, protocol.NodeAttached{}, protocol.NodeGone{}, protocol.AttachDenied{},
		protocol.CloneSuspected{}, protocol.GapFound{}, protocol.Equivocation{},
	} {
		names = append(names, factName(f))
	}
	slices.Sort(names)
	return names
}

// Codes gives the codes of all refusals that a client may see. "unknown" is the
// answer of a store that failed: the write may be there.
func Codes() []string {
	names := []string{unknownCode}
	for _, c := range codes {
		names = append(names, c.code)
	}
	slices.Sort(names)
	return names
}

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
	count := func(of string) int { return (&Count{Of: of}).calls(h) }
	for _, code := range e.Refused {
		if count(code) == 0 {
			miss("nobody was refused with %s", code)
		}
	}
	if acked := count("acked"); acked < e.Acked {
		miss("%d writes were acknowledged, want %d", acked, e.Acked)
	}
	if core := count("at_core"); core < e.AtCore {
		miss("%d writes were acknowledged at level core, want %d", core, e.AtCore)
	}
	for i := range e.Counts {
		c := &e.Counts[i]
		if n := c.in(h, facts); n < c.Least || c.Most != NoLimit && n > c.Most {
			miss("%s: %d, want %s", c, n, c.wanted())
		}
	}
	switch {
	case e.Within == 0:
	case h.Settled == 0:
		miss("all nodes never agreed, want it %v after the healing", e.Within)
	case h.Settled > h.Healed+e.Within:
		miss("all nodes agreed %v after the healing, want %v", h.Settled-h.Healed, e.Within)
	}
	return list
}

// in counts how often it happened.
func (c *Count) in(h *check.History, facts map[string]int) int {
	if slices.Contains(Facts(), c.Of) {
		return facts[c.Of]
	}
	return c.calls(h)
}

// calls counts the calls that came out so.
func (c *Count) calls(h *check.History) int {
	n := 0
	for i := range h.Calls {
		if call := &h.Calls[i]; c.matches(call) && c.covers(call) {
			n++
		}
	}
	return n
}

// matches reports whether a call came out as is counted.
func (c *Count) matches(call *check.Call) bool {
	write := call.Do != check.Read && call.Do != check.ReadAll
	acked := write && call.Outcome == check.OK
	switch c.Of {
	case "acked":
		return acked
	case "at_core":
		return acked && call.Core
	case "degraded":
		return acked && call.WantCore && !call.Core
	case "local":
		return acked && !call.WantCore
	case "replayed":
		return acked && call.Replayed
	case "unanswered":
		return write && call.Outcome == check.NoAnswer
	}
	return call.Code == c.Of && c.Of != ""
}

// covers reports whether a call was made and answered where and when it counts.
func (c *Count) covers(call *check.Call) bool {
	end := call.End
	if call.Outcome == check.NoAnswer && call.Code == "" {
		end = call.Begin
	}
	return end >= c.From && (c.To == 0 || end < c.To) && end-call.Begin >= c.Over &&
		(len(c.Nodes) == 0 || slices.Contains(c.Nodes, call.Node))
}

// String says what is counted, as people do.
func (c *Count) String() string {
	text := c.Of
	if len(c.Nodes) > 0 {
		text += fmt.Sprintf(" at %v", c.Nodes)
	}
	if c.From > 0 || c.To > 0 {
		text += fmt.Sprintf(" from %v to %v", c.From, c.To)
	}
	if c.Over > 0 {
		text += fmt.Sprintf(" after more than %v", c.Over)
	}
	return text
}

func (c *Count) wanted() string {
	switch {
	case c.Most == NoLimit:
		return fmt.Sprintf("at least %d", c.Least)
	case c.Least == 0:
		return fmt.Sprintf("at most %d", c.Most)
	}
	return fmt.Sprintf("%d to %d", c.Least, c.Most)
}
