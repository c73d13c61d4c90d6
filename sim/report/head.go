package report

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// head is what stands on top of the page.
type head struct {
	Name, Shows string
	State       string // "kept", "broken" or "empty"; for the style
	Verdict     string // in one sentence
	More        string // what to add to it; may be empty
	Command     string
	Seed, Hash  string
	Numbers     []fact
}

// fact is a small figure with its name.
type fact struct{ Name, Value, Note string }

// headOf says what the run was and how it ended.
func headOf(r *sim.Result, problems []problem) head {
	h := head{
		Name: r.Plan.Name, Shows: r.Plan.Shows,
		Command: r.Command, Seed: strconv.FormatUint(r.Seed, 10), Hash: hex.EncodeToString(r.Hash[:]),
	}
	if h.Name == "" {
		h.Name = "Drawn from the seed"
	}
	if h.Command == "" {
		h.Command = commandOf(r)
	}
	switch {
	case len(problems) > 0:
		h.State = "broken"
		h.Verdict, h.More = brokenLine(problems)
	case examined(r) == 0:
		h.State = "empty"
		h.Verdict = "No checker examined anything, so this run shows nothing."
	default:
		h.State = "kept"
		h.Verdict, h.More = keptLine(r)
	}
	h.Numbers = figures(r)
	return h
}

// commandOf gives the command that repeats a run that does not name its own.
func commandOf(r *sim.Result) string {
	if r.Plan.Name == "" {
		return fmt.Sprintf("causeway sim explore --seeds 1 --first-seed %d", r.Seed)
	}
	return fmt.Sprintf("causeway sim run %s --seed %d", shellWord(r.Plan.Name), r.Seed)
}

// shellWord quotes a word for a shell if it needs it.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/", r)
	}
	if strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func examined(r *sim.Result) int {
	n := 0
	for _, v := range r.Verdicts {
		n += v.Examined
	}
	return n
}

// brokenLine names the promises that were broken, and the first violation.
func brokenLine(problems []problem) (line, more string) {
	var names []string
	for _, p := range problems {
		if !slices.Contains(names, p.Check) {
			names = append(names, p.Check)
		}
	}
	line = many(len(names), "promise was broken", "promises were broken") + ": " + list(names, 4) + "."
	more = "First: " + problems[0].Text
	if problems[0].When != "" {
		more += " (at " + problems[0].When + ")"
	}
	return line, more
}

// keptLine claims what was examined, and no more.
func keptLine(r *sim.Result) (line, more string) {
	line = "No promise was broken"
	for _, v := range r.Verdicts {
		if v.Examined > 0 && slices.Contains(codes(v.Promise), "I2") {
			line = "Nothing acknowledged was lost"
		}
	}
	h := &r.History
	switch {
	case h.Settled != 0 && h.Healed != 0:
		line += "; " + whoAgreed(r) + " agreed " + span(h.Settled-h.Healed) + " after healing."
	case h.Settled != 0:
		line += "; " + whoAgreed(r) + " agreed at " + moment(h.Settled) + "."
	case !r.Plan.Expect.Converge:
		line += "; that all nodes agree was not asked for."
	default:
		line += "; it is not known when the nodes agreed."
	}
	if n := len(h.Excused); n > 0 {
		more = many(n, "value is excused: no disk and no stream that was left held it.",
			"values are excused: no disk and no stream that was left held them.")
	}
	return line, more
}

func whoAgreed(r *sim.Result) string {
	healthy, all := len(r.History.Finals), len(r.Plan.Nodes)
	switch {
	case healthy == 1:
		return "the one healthy node"
	case healthy >= all:
		return "all " + number(healthy) + " nodes"
	default:
		return "all " + number(healthy) + " healthy nodes (of " + number(all) + ")"
	}
}

// figures are the numbers below the verdict.
func figures(r *sim.Result) []fact {
	cores, edges := 0, 0
	for _, n := range r.Plan.Nodes {
		if n.Core {
			cores++
		} else {
			edges++
		}
	}
	simulated := fact{Name: "simulated", Value: span(r.Simulated)}
	if r.Real > 0 {
		simulated.Note = "in " + span(r.Real.Round(10*time.Microsecond)) + " of real time"
		if factor := r.Simulated.Seconds() / r.Real.Seconds(); factor >= 2 {
			simulated.Note += ", × " + number(int64(factor))
		}
	}
	written, acked, core, refused, silent := 0, 0, 0, 0, 0
	for i := range r.History.Calls {
		c := &r.History.Calls[i]
		if reads(c.Do) {
			continue
		}
		written++
		switch {
		case c.Outcome == check.Refused:
			refused++
		case c.Outcome == check.NoAnswer:
			silent++
		default:
			acked++
			if c.Core {
				core++
			}
		}
	}
	return []fact{
		{Name: "cluster", Value: number(len(r.Plan.Nodes)) + " nodes",
			Note: many(cores, "core node", "core nodes") + ", " + many(edges, "edge", "edges")},
		simulated,
		{Name: "acknowledged writes", Value: number(acked), Note: "of " + number(written) + "; " +
			number(core) + " by the core, " + number(refused) + " refused, " + number(silent) + " without an answer"},
		{Name: "faults", Value: number(len(r.Plan.Faults)), Note: healNote(r)},
		{Name: "events", Value: number(r.Events), Note: "of the simulator's queue"},
	}
}

func healNote(r *sim.Result) string {
	if len(r.Plan.Faults) == 0 {
		return "nothing went wrong"
	}
	if r.History.Healed == 0 {
		return "not healed"
	}
	return "healed at " + moment(r.History.Healed)
}

// reads reports whether a call changes nothing.
func reads(do check.Action) bool { return do == check.Read || do == check.ReadAll }
