package check

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/purity"
)

func TestPure(t *testing.T) { purity.Check(t) }

// TestImports holds the checkers apart from what they check: nothing but the
// standard library.
func TestImports(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s, want the standard library only", name, path)
			}
		}
	}
	if seen == 0 {
		t.Error("no files")
	}
}

// TestNames holds the verdicts to different names, each with a promise.
func TestNames(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, v := range All(&History{}) {
		if v.Check == "" || v.Promise == "" || names[v.Check] {
			t.Errorf("verdict %q with promise %q: want names that differ, and promises", v.Check, v.Promise)
		}
		if len(v.Violations) > 0 {
			t.Errorf("an empty history has violations: %v", v.Violations)
		}
		names[v.Check] = true
	}
	if len(names) != len(checkers) {
		t.Errorf("All gives %d verdicts, stories know %d checkers", len(names), len(checkers))
	}
}

// TestManyViolations holds a verdict within its bound.
func TestManyViolations(t *testing.T) {
	t.Parallel()
	h := &History{}
	for i := range 3 * MaxViolations {
		h.Samples = append(h.Samples, Sample{Node: strconv.Itoa(i), What: "inputs", Value: 2, Max: 1})
	}
	got := bounds(newIndex(h)).Violations
	if len(got) != MaxViolations+1 || got[MaxViolations].Text != "and 200 more" {
		t.Errorf("bounds of %d violations gives %d, the last %q", len(h.Samples), len(got), got[len(got)-1].Text)
	}
}

// TestSameTwice holds verdicts to be a function of the history.
func TestSameTwice(t *testing.T) {
	t.Parallel()
	g := generate(5, options{nodes: 4, sessions: 3, steps: 300, resets: true})
	g.h.Finals[1].Sessions["default/s1"] = Seen{Gone: "unknown"}
	g.h.Finals[2].Ops["default"] = g.h.Finals[2].Ops["default"][1:]
	first := All(&g.h)
	violations := 0
	for range 10 {
		for i, v := range All(&g.h) {
			if got, want := textOf(v), textOf(first[i]); got != want {
				t.Fatalf("%s says %s, then %s", v.Check, want, got)
			}
			violations += len(v.Violations)
		}
	}
	if violations == 0 {
		t.Error("no violations to compare")
	}
}

func textOf(v Verdict) string {
	var b strings.Builder
	for _, p := range v.Violations {
		b.WriteString(p.Text + p.At.String() + p.Node + p.Session + "\n")
	}
	return b.String()
}

// BenchmarkAll judges 5,800 calls of six sessions at eight nodes.
func BenchmarkAll(b *testing.B) {
	g := generate(1, options{nodes: 8, sessions: 6, steps: 9500})
	judgeAgain(b, &g.h)
}

// BenchmarkHot judges 5,000 calls of one session at eight nodes, a third of
// which read all of it.
func BenchmarkHot(b *testing.B) { judgeAgain(b, busy(8, 1, 5000, 3)) }

// BenchmarkLarge judges 600,000 calls at 1,000 nodes, in 1,000 sessions and one
// that everybody writes to, with a read among a thousand.
func BenchmarkLarge(b *testing.B) { judgeAgain(b, busy(1000, 1000, 600_000, 1000)) }

func judgeAgain(b *testing.B, h *History) {
	for b.Loop() {
		for _, v := range All(h) {
			if len(v.Violations) > 0 {
				b.Fatalf("%s: %s", v.Check, v.Violations[0].Text)
			}
		}
	}
	b.ReportMetric(float64(len(h.Calls)), "calls")
}

// busy makes a history of a store that is always in agreement: calls are made
// one after the other, and each read shows everything that was written to its
// session.
func busy(nodes, sessions, calls, readEvery int) *History {
	h := &History{Settled: time.Hour, Healed: time.Hour}
	shown := make([]Seen, sessions)
	for i := range calls {
		n := (i * 7919) % nodes
		id := n % sessions
		if i%20 == 0 {
			id = 0
		}
		c := Call{ID: i, Client: "c", Node: fmt.Sprintf("edge-%d", n), Space: "default",
			Session: fmt.Sprintf("s%d", id), Outcome: OK, Begin: time.Duration(i) * 10 * time.Millisecond}
		c.End = c.Begin + time.Millisecond
		s := &shown[id]
		switch value := fmt.Sprintf("v%d", i); {
		case i%readEvery == 0:
			seen := *s
			seen.State = cmp.Or(seen.State, "initialized")
			seen.Messages, seen.Leaves = slices.Clone(s.Messages), slices.Clone(s.Leaves)
			c.Do, c.Seen = Read, &seen
		case i%10 == 7 && i > 10:
			c.Do, c.To = Move, legalFrom(cmp.Or(s.State, "initialized"))[0]
			s.State = stateAfter(c.To)
		case i%4 == 1:
			c.Do, c.Values = Patch, []Value{{fmt.Sprintf("/p%d", i%40), value}}
			at := slices.IndexFunc(s.Leaves, func(l Leaf) bool { return l.Path == c.Values[0].ID })
			if at < 0 {
				s.Leaves = append(s.Leaves, Leaf{Path: c.Values[0].ID})
				at = len(s.Leaves) - 1
			}
			s.Leaves[at].Shown = value
		default:
			c.Do, c.Values = Append, []Value{{Value: value}}
			m := Message{ID: "m" + value, Value: value}
			if len(s.Messages) > 0 {
				m.Parent = s.Messages[len(s.Messages)-1].ID
			}
			s.Messages = append(s.Messages, m)
		}
		h.Calls = append(h.Calls, c)
	}
	for n := range min(nodes, 8) {
		f := Final{Node: fmt.Sprintf("edge-%d", n), Spaces: []string{"default"},
			Digests: map[string]string{"default": "d"}, Sessions: map[string]Seen{}}
		for id := range shown {
			seen := shown[id]
			seen.State = cmp.Or(seen.State, "initialized")
			f.Sessions[fmt.Sprintf("default/s%d", id)] = seen
		}
		h.Finals = append(h.Finals, f)
	}
	return h
}
