package report

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// stories gives the sessions of a page.
func stories(t testing.TB, r *sim.Result) []story {
	t.Helper()
	list, _, err := storiesOf(r, problemsOf(r))
	if err != nil {
		t.Fatalf("storiesOf: %v", err)
	}
	var out []story
	for _, data := range list {
		var s story
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatalf("session: %v", err)
		}
		out = append(out, s)
	}
	return out
}

// slowHeld walks the trace for the first commit at a node that covers a value's
// dot: the obvious twin of holders.held.
func slowHeld(t testing.TB, r *sim.Result, c *check.Call, node string) int64 {
	t.Helper()
	for _, op := range r.History.Finals[0].Ops["default"] {
		if op.Values[0] != c.Values[0].Value {
			continue
		}
		for _, e := range r.Trace {
			if e.Kind != sim.EvCommit || e.Node != node {
				continue
			}
			v, err := vclock.Parse(e.Vector)
			if err != nil {
				t.Fatal(err)
			}
			if v.Covers(vclock.Dot{Origin: vclock.Origin(op.Origin), Seq: vclock.Seq(op.Seq)}) {
				return since(c, e.At)
			}
		}
	}
	return -1
}

func TestWhoHeldWhatWhen(t *testing.T) {
	t.Parallel()
	r := fakeRun(fakePlan(3, 5, time.Minute), 6, 120)
	cells, late := 0, 0
	for _, s := range stories(t, r) {
		if s.How != "commits" || len(s.Nodes) != 8 || s.Total != len(s.Calls) {
			t.Fatalf("session %s: known by %s, %d columns, %d of %d calls", s.Session, s.How, len(s.Nodes), len(s.Calls),
				s.Total)
		}
		for _, row := range s.Calls {
			c := &r.History.Calls[row.ID]
			if c.Do == check.Read || c.Outcome == check.Refused {
				if row.Held != nil {
					t.Errorf("call %d, a %v that was %v, has columns", row.ID, c.Do, c.Outcome)
				}
				continue
			}
			for i, node := range s.Nodes {
				want := slowHeld(t, r, c, node)
				if row.Held[i] != want {
					t.Errorf("call %d at %s: held after %d µs, want %d", row.ID, node, row.Held[i], want)
				}
				cells++
				if want > 1e6 {
					late++
				}
			}
		}
	}
	if cells < 300 || late < 20 {
		t.Errorf("compared %d cells, %d of them late: the run shows too little", cells, late)
	}
}

func TestVersionsTellWhatValuesDoNot(t *testing.T) {
	t.Parallel()
	dots := []vclock.Dot{{Origin: "a~1", Seq: 3}, {Origin: "b~1", Seq: 1}}
	version := vclock.Of(dots...)
	r := &sim.Result{Plan: &sim.Plan{Nodes: []sim.NodePlan{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d",
		Spaces: []string{"*"}}}}}
	commit := func(at time.Duration, node string, v vclock.Vector) {
		r.Trace = append(r.Trace, sim.Event{Serial: uint64(len(r.Trace) + 1), At: at, Kind: sim.EvCommit, Node: node,
			Space: "x", Vector: v.String()})
	}
	for i := range r.Plan.Nodes[:3] {
		r.Plan.Nodes[i].Spaces = []string{"x"}
	}
	commit(1*time.Second, "a", version)
	commit(2*time.Second, "b", vclock.Of(dots[1]))
	commit(3*time.Second, "b", version.With(vclock.Dot{Origin: "a~1", Seq: 4}))
	commit(4*time.Second, "c", vclock.Of(dots[0]))
	r.Plan.Nodes = append(r.Plan.Nodes, sim.NodePlan{Name: "e"})
	c := check.Call{Begin: 500 * time.Millisecond, End: time.Second, Space: "x", Session: "s", Do: check.Add,
		Target: "n", By: 1,
		Outcome: check.OK, Version: version.String()}
	h := newHolders(r)
	got := fmt.Sprint(h.held(&c, []string{"a", "b", "c", "d", "e"}, nil))
	if want := "[500000 2500000 -1 -1 -2]"; got != want {
		t.Errorf("held = %s, want %s", got, want)
	}
}

func TestReadsTellWithoutATrace(t *testing.T) {
	t.Parallel()
	r := fakeRun(fakePlan(2, 3, time.Minute), 6, 200)
	r.Trace = nil
	known := 0
	for _, s := range stories(t, r) {
		if s.How != "reads" {
			t.Fatalf("session %s is known by %s, want reads", s.Session, s.How)
		}
		for _, row := range s.Calls {
			for i, held := range row.Held {
				if held < 0 {
					continue
				}
				known++
				read := false
				for _, c := range r.History.Calls {
					read = read || c.Node == s.Nodes[i] && c.Seen != nil && since(&r.History.Calls[row.ID], c.End) == held
				}
				if !read {
					t.Errorf("call %d is said to be seen at %s after %d µs, when no read ended there", row.ID, s.Nodes[i], held)
				}
			}
		}
	}
	if known == 0 {
		t.Error("no read shows anything: the test proves nothing")
	}
}

func TestEndingsAreGrouped(t *testing.T) {
	t.Parallel()
	r := fakeBroken(fakePlan(3, 5, time.Minute), 7, 240)
	all := stories(t, r)
	if all[0].Session != "s-1" || all[0].Problems != 1 {
		t.Fatalf("the first session is %s with %d violations, want the broken one", all[0].Session, all[0].Problems)
	}
	ends := all[0].Ends
	if len(ends) != 2 || len(ends[0].Nodes) != 7 || fmt.Sprint(ends[1].Nodes) != "[edge-5]" {
		t.Errorf("endings of the broken session: %+v", ends)
	}
	if a, b := len(ends[0].Messages), len(ends[1].Messages); a != b+1 {
		t.Errorf("%d and %d messages, want one less at edge-5", a, b)
	}
	bad := 0
	for _, row := range all[0].Calls {
		if row.Bad {
			bad++
		}
	}
	if bad != 1 {
		t.Errorf("%d calls are marked, want the one that the violation names", bad)
	}
	if len(all[1].Ends) != 1 || len(all[1].Ends[0].Nodes) != 8 {
		t.Errorf("endings of a sound session: %+v", all[1].Ends)
	}
}

func TestFingerprintSeesEverything(t *testing.T) {
	t.Parallel()
	base := func() check.Seen {
		return check.Seen{State: "active", Version: "x", Messages: []check.Message{{ID: "a", Value: "1"}, {ID: "b",
			Value: "2"}},
			Leaves: []check.Leaf{{Path: "/p", Shown: "v", Others: []string{"w"}}}, Counters: map[string]int64{"n": 1},
			Sets: map[string][]string{"s": {"e"}}, Texts: map[string]string{"t": "words"}, Conflicts: []string{"/p"}}
	}
	one := base()
	other := base()
	other.Version = "y"
	if fingerprint(&one) != fingerprint(&other) {
		t.Error("versions make a difference")
	}
	for name, change := range map[string]func(*check.Seen){
		"state": func(s *check.Seen) { s.State = "ended" }, "gone": func(s *check.Seen) { s.Gone = "erased" },
		"order":    func(s *check.Seen) { s.Messages[0], s.Messages[1] = s.Messages[1], s.Messages[0] },
		"redacted": func(s *check.Seen) { s.Messages[0].Redacted = true },
		"parent":   func(s *check.Seen) { s.Messages[1].Parent = "a" },
		"others":   func(s *check.Seen) { s.Leaves[0].Others = nil }, "counter": func(s *check.Seen) { s.Counters["n"] = 2 },
		"set": func(s *check.Seen) { s.Sets["s"] = nil }, "text": func(s *check.Seen) { s.Texts["t"] += "." },
		"conflicts": func(s *check.Seen) { s.Conflicts = nil },
		"deleted":   func(s *check.Seen) { s.Leaves[0].Deleted = true },
	} {
		changed := base()
		change(&changed)
		if fingerprint(&one) == fingerprint(&changed) {
			t.Errorf("%s makes no difference", name)
		}
	}
}

func TestLongSessionsKeepBothEndsAndTheBroken(t *testing.T) {
	t.Parallel()
	ids := make([]int, 5000)
	for i := range ids {
		ids[i] = i
	}
	got := shown(ids, map[int]bool{2000: true, 2001: true})
	if len(got) > MaxCalls || got[0] != 0 || got[len(got)-1] != 4999 {
		t.Errorf("%d calls are shown, from %d to %d", len(got), got[0], got[len(got)-1])
	}
	found := 0
	for _, id := range got {
		if id == 2000 || id == 2001 {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 broken calls are shown", found)
	}
}
