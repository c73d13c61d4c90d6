// Package trace reads recorded editing histories: JSON, gzipped or not, of one
// of two kinds.
//
// A sequential recording has startContent, endContent and txns with patches
// [pos, deleted, inserted], positions in code points. A concurrent one has
// kind "concurrent", endContent, numAgents, and txns that also name the agent
// and, as parents, the indexes of earlier txns: the state before a txn is the
// merge of exactly these.
//
// The package is pure: it reads from an io.Reader.
package trace

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// Limits of what is read.
const (
	MaxBytes  = 512 << 20 // unpacked
	MaxAgents = text.MaxAgents
)

// ErrMalformed is returned for files that are no recording.
var ErrMalformed = errors.New("trace: malformed")

// Trace is a recorded history.
type Trace struct {
	Kind         string `json:"kind"`
	StartContent string `json:"startContent"`
	EndContent   string `json:"endContent"`
	Txns         []Txn  `json:"txns"`
}

// Txn is one step of a recording.
type Txn struct {
	Parents []int   `json:"parents"`
	Agent   int     `json:"agent"`
	Patches []Patch `json:"patches"`
}

// Patch is an edit, written as [pos, deleted, inserted].
type Patch text.Edit

// UnmarshalJSON reads [pos, deleted, inserted].
func (p *Patch) UnmarshalJSON(b []byte) error {
	if pos, del, ins, ok := plainPatch(b); ok {
		*p = Patch{Pos: pos, Del: del, Ins: ins}
		return nil
	}
	parts := [3]json.RawMessage{}
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil || copy(parts[:], list) != 3 || len(list) != 3 {
		return fmt.Errorf("patch %.80s: want [pos, deleted, inserted]: %w", b, ErrMalformed)
	}
	return errors.Join(
		json.Unmarshal(parts[0], &p.Pos), json.Unmarshal(parts[1], &p.Del), json.Unmarshal(parts[2], &p.Ins))
}

// plainPatch reads the usual form: no spaces, printable ASCII, no escapes.
func plainPatch(b []byte) (pos, del int, ins string, ok bool) {
	number := func(b []byte) (n int, rest []byte) {
		for len(b) > 0 && b[0] >= '0' && b[0] <= '9' && n < text.MaxPos {
			n, b = n*10+int(b[0]-'0'), b[1:]
		}
		return n, b
	}
	if len(b) < 8 || b[0] != '[' {
		return 0, 0, "", false
	}
	pos, rest := number(b[1:])
	if len(rest) < 2 || rest[0] != ',' {
		return 0, 0, "", false
	}
	del, rest = number(rest[1:])
	if len(rest) < 4 || rest[0] != ',' || rest[1] != '"' || rest[len(rest)-1] != ']' || rest[len(rest)-2] != '"' {
		return 0, 0, "", false
	}
	rest = rest[2 : len(rest)-2]
	for _, c := range rest {
		if c < 0x20 || c > 0x7E || c == '\\' || c == '"' {
			return 0, 0, "", false
		}
	}
	return pos, del, string(rest), true
}

// Read reads a recording.
func Read(r io.Reader) (*Trace, error) {
	in := bufio.NewReader(r)
	if magic, err := in.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("read trace: %w", err)
		}
		in = bufio.NewReader(z)
	}
	b, err := io.ReadAll(io.LimitReader(in, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("read trace: over %d bytes: %w", MaxBytes, ErrMalformed)
	}
	t := &Trace{Kind: "sequential"}
	if err := json.Unmarshal(b, t); err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	switch {
	case t.Kind != "sequential" && t.Kind != "concurrent":
		return nil, fmt.Errorf("read trace: kind %q: %w", t.Kind, ErrMalformed)
	case t.Txns == nil:
		return nil, fmt.Errorf("read trace: no txns: %w", ErrMalformed)
	}
	return t, nil
}

// Concurrent reports whether the recording branches.
func (t *Trace) Concurrent() bool { return t.Kind == "concurrent" }

// Patches is the number of patches.
func (t *Trace) Patches() int {
	n := 0
	for i := range t.Txns {
		n += len(t.Txns[i].Patches)
	}
	return n
}

// Replay makes a document of the recording: of a sequential one by local
// edits, of a concurrent one by applying its runs.
func (t *Trace) Replay() (*text.Doc, error) {
	d := text.New()
	if t.Concurrent() {
		runs, err := t.Runs()
		if err != nil {
			return nil, err
		}
		_, err = d.Apply(runs)
		return d, err
	}
	return d, t.Type(d, "author")
}

// Type makes the patches of a sequential recording as local edits.
func (t *Trace) Type(d *text.Doc, agent vclock.Origin) error {
	if t.StartContent != "" {
		if _, err := d.Insert(agent, 0, t.StartContent); err != nil {
			return err
		}
	}
	for i := range t.Txns {
		for _, p := range t.Txns[i].Patches {
			if _, err := d.Edit(agent, text.Edit(p)); err != nil {
				return fmt.Errorf("txns[%d]: %w", i, err)
			}
		}
	}
	return nil
}

// Runs gives the events of a concurrent recording. It returns ErrMalformed if
// a txn names agents or parents that cannot be.
func (t *Trace) Runs() ([]text.Run, error) {
	var agents []vclock.Origin
	var made []vclock.Seq
	runs := make([]text.Run, 0, len(t.Txns))
	after := make([]text.Version, len(t.Txns))
	for i := range t.Txns {
		txn := &t.Txns[i]
		if txn.Agent < 0 || txn.Agent >= MaxAgents {
			return nil, fmt.Errorf("txns[%d]: agent %d: %w", i, txn.Agent, ErrMalformed)
		}
		for len(agents) <= txn.Agent {
			agents = append(agents, vclock.Origin("agent-"+strconv.Itoa(len(agents))))
			made = append(made, 0)
		}
		version, err := t.before(i, after)
		if err != nil {
			return nil, err
		}
		id := vclock.Dot{Origin: agents[txn.Agent], Seq: made[txn.Agent] + 1}
		for _, p := range txn.Patches {
			add := func(r text.Run, n int) {
				runs = append(runs, r)
				id.Seq += vclock.Seq(n)
				version = text.Version{{Origin: id.Origin, Seq: id.Seq - 1}}
			}
			if p.Del != 0 {
				add(text.Run{ID: id, Parents: version, Pos: p.Pos, Del: p.Del}, p.Del)
			}
			if p.Ins != "" {
				add(text.Run{ID: id, Parents: version, Pos: p.Pos, Ins: p.Ins}, utf8.RuneCountInString(p.Ins))
			}
		}
		made[txn.Agent] = id.Seq - 1
		after[i] = version
	}
	return runs, nil
}

// before returns the version in which txn i was made.
func (t *Trace) before(i int, after []text.Version) (text.Version, error) {
	parents := t.Txns[i].Parents
	var version text.Version
	for _, p := range parents {
		if p < 0 || p >= i {
			return nil, fmt.Errorf("txns[%d]: parent %d: %w", i, p, ErrMalformed)
		}
		if len(parents) == 1 {
			return after[p], nil
		}
		version = append(version, after[p]...)
	}
	slices.SortFunc(version, vclock.Dot.Compare)
	return slices.Compact(version), nil
}
