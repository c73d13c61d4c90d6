package text

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/vclock"
)

// Edit replaces Del code points at Pos by Ins. In a list each edit is made on
// the text that the one before it left.
type Edit struct {
	Pos int    `json:"pos"`
	Del int    `json:"del"`
	Ins string `json:"ins"`
}

// Version names a set of events by its heads: those that precede no other of
// the set. Invariant: ascending by agent, one per agent, none with a zero Seq.
// The empty version is the empty document.
type Version []vclock.Dot

// Span names the events From to To-1 of one agent. It is empty if From is To.
type Span struct {
	Agent    vclock.Origin
	From, To vclock.Seq
}

// Len is the number of events.
func (s Span) Len() int { return int(s.To - s.From) }

// Run is what travels: consecutive events of one agent, each with the one
// before it as its only parent, as their author made them. Either Ins is not
// empty: its characters are inserted at Pos, Pos+1 and so on. Or Del is at
// least 1: that many characters are deleted, all at Pos; with Back the first
// at Pos, the next at Pos-1 and so on. Every event is one character.
type Run struct {
	ID      vclock.Dot // of the first event
	Parents Version    // of the first event: what its author saw
	Pos     int
	Del     int
	Back    bool
	Ins     string
}

// Len is the number of events.
func (r Run) Len() int {
	if r.Ins != "" {
		return utf8.RuneCountInString(r.Ins)
	}
	return r.Del
}

// check refuses what no author makes. It looks at the run alone.
func (r *Run) check() error {
	if r.ID.Origin == "" || r.ID.Seq == 0 || len(r.ID.Origin) > vclock.MaxOriginBytes {
		return fmt.Errorf("run %.80v: no name: %w", r.ID, ErrRun)
	}
	if err := r.checkDeed(); err != nil {
		return err
	}
	if len(r.Parents) > MaxParents {
		return fmt.Errorf("run %v has %d: %w", r.ID, len(r.Parents), ErrParents)
	}
	if !slices.IsSortedFunc(r.Parents, strictly) {
		return fmt.Errorf("run %v: not in order: %w", r.ID, ErrParents)
	}
	for _, p := range r.Parents {
		if p.Seq == 0 || p.Origin == "" || len(p.Origin) > vclock.MaxOriginBytes {
			return fmt.Errorf("run %v: %.80v is no event: %w", r.ID, p, ErrParents)
		}
	}
	return nil
}

// checkDeed refuses what no author does, whoever he is and whatever he saw.
func (r *Run) checkDeed() error {
	bad := func(what string) error { return fmt.Errorf("run %.80v: %s: %w", r.ID, what, ErrRun) }
	switch {
	case (r.Ins != "") == (r.Del != 0) || r.Ins != "" && r.Back || r.Del < 0:
		return bad("want either an insert or a delete")
	case r.Del > MaxRunEvents || len(r.Ins) > MaxRunBytes:
		return bad("too long")
	case r.Pos < 0 || r.Pos > MaxPos:
		return fmt.Errorf("run %v at %d: %w", r.ID, r.Pos, ErrPosition)
	case r.Back && r.Pos < r.Del-1:
		return fmt.Errorf("run %v deletes %d back from %d: %w", r.ID, r.Del, r.Pos, ErrPosition)
	case r.ID.Seq > math.MaxInt32:
		return bad("no agent has that many events")
	case !utf8.ValidString(r.Ins):
		return fmt.Errorf("run %v: %w", r.ID, ErrUTF8)
	}
	return nil
}

// strictly orders dots by agent; equal agents are out of order.
func strictly(a, b vclock.Dot) int {
	if a.Origin == b.Origin {
		return 1
	}
	return strings.Compare(string(a.Origin), string(b.Origin))
}

// kind and first give the run's form in the log.
func (r *Run) kind() opKind {
	switch {
	case r.Ins != "":
		return opInsert
	case r.Back && r.Del > 1:
		return opBackspace
	}
	return opDelete
}

// Patch makes edits on a text, one after the other. It returns ErrPosition for
// an edit outside the text and ErrUTF8 for text that is not UTF-8. It costs
// the length of the text once, and little for each edit.
func Patch(s string, edits ...Edit) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("patch: the text: %w", ErrUTF8)
	}
	r := newRope(s)
	for i, e := range edits {
		if err := e.check(r.length(CodePoints)); err != nil {
			return "", fmt.Errorf("patch: edit %d: %w", i, err)
		}
		r.delete(int32(e.Pos), int32(e.Del))
		if e.Ins != "" {
			r.insert(int32(e.Pos), e.Ins)
		}
	}
	return r.String(), nil
}

// check holds an edit against a text of n code points.
func (e *Edit) check(n int) error {
	if e.Pos < 0 || e.Del < 0 || e.Pos > n || e.Del > n-e.Pos {
		return fmt.Errorf("%d deleted at %d in a text of %d: %w", e.Del, e.Pos, n, ErrPosition)
	}
	if !utf8.ValidString(e.Ins) {
		return ErrUTF8
	}
	return nil
}
