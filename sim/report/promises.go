package report

import (
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// invariants are the numbered promises in plain words.
var invariants = map[string]string{
	"I1":       "What is called durable is on disk: at the edge for “local”, in enough core stores for “core”.",
	"I2":       "Every acknowledged write is on every healthy node in the end, unless a later one covers it.",
	"I3":       "Nothing is ever shown that no client wrote.",
	"I4":       "Every write has its effect once, however often it is sent; no writer's numbers have a gap.",
	"I5":       "Where two nodes hold the same op, it is the same op, byte for byte.",
	"I6":       "Nobody sees an answer before the question: an effect never shows without its cause.",
	"I7":       "One order explains all that was ever read, and every node follows it.",
	"I8":       "After healing, all nodes hold the same state within the bound.",
	"I9":       "What two sites write at once is kept: shown, or listed as a conflict.",
	"I10":      "The stamps of a node only rise, also across restarts and wrong clocks.",
	"I11":      "Where writes collide, the outcome does not depend on who heard of them first.",
	"I12":      "Queues, buffers and vectors stay below their bounds.",
	"I13":      "With healthy nodes and links, every write reaches the core.",
	"I14":      "Gossip is a hint: it changes nothing that was acknowledged.",
	"I15":      "Of two nodes that write under one name, the core accepts one.",
	"I16":      "An edge lets go of a write only when enough core stores hold it.",
	"I17":      "A damaged record gives an error, never a wrong or an empty answer.",
	"I18":      "The same plan and seed give the same run, byte for byte.",
	"I19":      "Nobody reads or writes what belongs to somebody else.",
	"I20":      "Repair never leaves fewer good copies than there were.",
	"I21":      "The checkers notice mistakes that are put in on purpose.",
	"If-Match": "A conditional write has its effect only if nothing has moved since the version that it names.",
	"contract": "The history keeps the rules that the checkers rely on, so that they can judge it.",
	"F41":      "An answer that got lost does not make the retry count twice.",
	"F42":      "A retry counts once, even after a month.",
	"F59":      "What was erased stays erased, whatever arrives late.",
}

// promise is the row of one checker.
type promise struct {
	Check    string
	Words    []string // what it promises
	Codes    string   // e.g. "I2"
	Examined string
	State    string // "kept", "broken" or "empty"
	Problems []problem
	Left     int
}

// problem is one violation.
type problem struct {
	Check, Text   string
	When          string // empty if it has no time
	At            int64  // µs; where to look in the diagram
	Node, Session string
	Calls         []int
}

// codes gives the invariant numbers that a checker's promise names.
func codes(text string) []string {
	var found []string
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(" ,;()/", r) }) {
		if _, known := invariants[word]; known {
			found = append(found, word)
		}
	}
	return found
}

// promisesOf says of each checker what it promises and what it found. What the
// world itself reports under a name that no checker has, comes behind.
func promisesOf(r *sim.Result) []promise {
	var out []promise
	known := map[string]bool{}
	for _, v := range r.Verdicts {
		known[v.Check] = true
		out = append(out, promiseOf(r, v))
	}
	var strays []check.Verdict
	for _, p := range r.Problems {
		if known[p.Check] {
			continue
		}
		i := slices.IndexFunc(strays, func(v check.Verdict) bool { return v.Check == p.Check })
		if i < 0 {
			i = len(strays)
			strays = append(strays, check.Verdict{Check: p.Check, Promise: "watched by the simulator itself"})
		}
		strays[i].Violations = append(strays[i].Violations, p)
	}
	for _, v := range strays {
		out = append(out, promiseOf(r, v))
	}
	return out
}

func promiseOf(r *sim.Result, v check.Verdict) promise {
	p := promise{Check: v.Check, State: "kept", Examined: number(v.Examined)}
	numbers := codes(v.Promise)
	p.Codes = strings.Join(slices.DeleteFunc(slices.Clone(numbers), func(code string) bool {
		return code[1] < '0' || code[1] > '9' // a word, no number
	}), ", ")
	for _, n := range numbers {
		p.Words = append(p.Words, invariants[n])
	}
	if len(strings.Fields(v.Promise)) > 2*len(numbers)+2 || len(numbers) == 0 && v.Promise != "" {
		p.Words = []string{v.Promise} // it says so itself
	}
	switch {
	case len(v.Violations) > 0:
		p.State = "broken"
	case v.Examined == 0:
		p.State = "empty"
	}
	for i, violation := range v.Violations {
		if i == 5 {
			p.Left = len(v.Violations) - i
			break
		}
		p.Problems = append(p.Problems, asProblem(r, violation))
	}
	return p
}

// problemsOf lists all violations in order of time, those without one last.
func problemsOf(r *sim.Result) []problem {
	all := r.Problems
	if len(all) == 0 {
		for _, v := range r.Verdicts {
			all = append(all, v.Violations...)
		}
	}
	out := make([]problem, len(all))
	for i, v := range all {
		out[i] = asProblem(r, v)
	}
	slices.SortStableFunc(out, func(a, b problem) int {
		switch {
		case (a.When == "") != (b.When == ""):
			if a.When == "" {
				return 1
			}
			return -1
		case a.When == "":
			return 0
		default:
			return int(min(max(a.At-b.At, -1), 1))
		}
	})
	return out
}

// asProblem finds the moment of a violation: its own, else that of the first
// call that shows it, else the end of the run.
func asProblem(r *sim.Result, v check.Violation) problem {
	p := problem{Check: v.Check, Text: clip(v.Text, 4*MaxText), Node: v.Node, Session: v.Session, Calls: v.Calls}
	if len(p.Calls) > 8 {
		p.Calls = p.Calls[:8]
	}
	at := v.At
	if at == 0 {
		first := time.Duration(-1)
		for _, id := range v.Calls {
			if id < 0 || id >= len(r.History.Calls) {
				continue
			}
			if c := &r.History.Calls[id]; first < 0 || c.Begin < first {
				first = c.Begin
			}
		}
		at = max(first, 0)
	}
	if at == 0 {
		p.At = micros(r.Simulated)
		return p
	}
	p.At, p.When = micros(at), moment(at)
	return p
}
