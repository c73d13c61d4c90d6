package check

import "fmt"

// Verdict is what one checker says of a history.
type Verdict struct {
	Check      string // its name, e.g. "acknowledged writes survive"
	Promise    string // invariants that it stands for, e.g. "I2"
	Examined   int    // things it looked at; none means that it has said nothing
	Violations []Violation
}

// MaxViolations bounds the violations in one verdict. If there were more, one
// more entry says how many.
const MaxViolations = 100

// All runs every checker. It takes time and memory in proportion to the size of
// the history, and of sessions to the product of their writes and reads, in
// bits.
func All(h *History) []Verdict {
	ix := newIndex(h)
	var verdicts []Verdict
	for _, run := range [...]func(*index) Verdict{
		judgeable, survive, invented, once, feeds, causality, convergent, convergence, content, lifecycle,
		erased, stamps, sets, texts, conditional, refusals, bounds, liveness,
	} {
		verdicts = append(verdicts, run(ix))
	}
	return verdicts
}

// judge collects a verdict.
type judge struct {
	Verdict
	said map[string]bool // what was said already
	more int
}

func newJudge(name, promise string) *judge {
	return &judge{Verdict: Verdict{Check: name, Promise: promise}, said: map[string]bool{}}
}

// violate adds a violation, once for each subject. An empty subject is not
// remembered.
func (j *judge) violate(subject string, v Violation, format string, args ...any) {
	if subject != "" {
		if j.said[subject] {
			return
		}
		j.said[subject] = true
	}
	if len(j.Violations) == MaxViolations {
		j.more++
		return
	}
	v.Check, v.Text = j.Check, fmt.Sprintf(format, args...)
	j.Violations = append(j.Violations, v)
}

// done gives the verdict.
func (j *judge) done() Verdict {
	if j.more > 0 {
		j.Violations = append(j.Violations, Violation{Check: j.Check, Text: fmt.Sprintf("and %d more", j.more)})
	}
	return j.Verdict
}
