package live_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/sim/live"
)

// options run nodes of this test binary, with their directories below the test's.
func options(t *testing.T) live.Options {
	t.Helper()
	o := live.Options{Env: []string{nodeVariable + "=1"}, Dir: t.TempDir()}
	if os.Getenv("CAUSEWAY_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return o
}

func nodes(cores, edges int) []sim.NodePlan {
	var list []sim.NodePlan
	for i := range cores {
		list = append(list, sim.NodePlan{Name: fmt.Sprintf("core-%d", i+1), Core: true})
	}
	for i := range edges {
		list = append(list, sim.NodePlan{Name: fmt.Sprintf("edge-%d", i+1), Spaces: []string{"*"}})
	}
	return list
}

// report fails the test for every problem and says what happened.
func report(t *testing.T, r *sim.Result) {
	t.Helper()
	for _, p := range r.Problems {
		t.Errorf("%v: %s: %s %s: %s", p.At, p.Check, p.Node, p.Session, p.Text)
	}
	h := &r.History
	outcomes := map[string]int{}
	for _, c := range h.Calls {
		outcomes[c.Do.String()+" "+c.Outcome.String()+" "+c.Code]++
	}
	t.Logf("%d calls %v; healed %v, settled %v, real %v, excused %d; facts %v; notes %q; rates %v",
		len(h.Calls), outcomes, h.Healed, h.Settled, r.Real, len(h.Excused), r.Facts, r.Notes, r.Rates)
}

const s = time.Second

// A link is cut, nodes are killed, and a client asks again at another edge: the
// message is there once. What was written is judged, and a value that is taken out
// of what a node shows in the end is missed.
func TestCutLinkCrashAndRetryElsewhere(t *testing.T) {
	t.Parallel()
	plan := &sim.Plan{
		Name: "cut, crash, retry", Nodes: nodes(1, 2), Length: 6 * s, Settle: 40 * s,
		Net: sim.Quality{Delay: 2 * time.Millisecond, Jitter: time.Millisecond},
		Calls: []sim.Call{{At: 1500 * time.Millisecond, Client: "ann", Node: "edge-1", Space: "default", Session: "s0",
			Kind: sim.CallAppend, Keyed: true,
			Retries: []sim.Retry{{After: s, Node: "edge-2", Always: true}, {After: 4 * s, Node: "edge-1", Always: true}}}},
		Workload: &sim.Workload{Clients: 4, Sessions: 2, Every: 150 * time.Millisecond, Roam: 0.2, Same: 0.4, Keyed: 0.4,
			Core: 0.5, Batch: 3, Mix: map[sim.CallKind]int{sim.CallAppend: 5, sim.CallPatch: 2, sim.CallRead: 2, sim.CallEdit: 1,
				sim.CallAdd: 1, sim.CallInsert: 1, sim.CallChanges: 1}},
		Faults: []sim.Fault{
			{Kind: sim.Partition, At: s, For: 2500 * time.Millisecond, Nodes: []string{"edge-1"}},
			{Kind: sim.Crash, At: 2 * s, For: 300 * time.Millisecond, Nodes: []string{"edge-2"}},
			{Kind: sim.Crash, At: 4 * s, For: 500 * time.Millisecond, Nodes: []string{"core-1"}},
		},
		Expect: sim.Expect{Acked: 20, AtCore: 5},
	}
	r, err := live.Run(t.Context(), plan, 1, options(t))
	if err != nil {
		t.Fatal(err)
	}
	report(t, r)
	wantLocalDuring(t, r, "edge-1", 1100*time.Millisecond, 3500*time.Millisecond)
	wantJudged(t, r)
	checkRetried(t, &r.History)
	wantMissed(t, &r.History)
}

// wantJudged checks that the checkers had something to look at.
func wantJudged(t *testing.T, r *sim.Result) {
	t.Helper()
	examined := map[string]int{}
	for _, v := range r.Verdicts {
		for promise := range strings.SplitSeq(v.Promise, ", ") {
			examined[promise] += v.Examined
		}
	}
	for _, promise := range []string{"I2", "I3", "I4", "I6", "I7", "I8", "I9", "I10", "I12", "I13"} {
		if examined[promise] == 0 {
			t.Errorf("nothing was examined for %s; examined %v", promise, examined)
		}
	}
}

// checkRetried checks that the three requests of ann made one message.
func checkRetried(t *testing.T, h *check.History) {
	t.Helper()
	value, tries := "", 0
	for _, c := range h.Calls {
		if c.Client == "ann" && c.Do == check.Append {
			value = c.Values[0].Value
			tries++
		}
	}
	if tries < 2 {
		t.Fatalf("ann's message was asked for %d times, want a retry", tries)
	}
	for _, f := range h.Finals {
		times := 0
		for _, m := range f.Sessions["default/s0"].Messages {
			if m.Value == value {
				times++
			}
		}
		if times != 1 {
			t.Errorf("%s shows ann's message %d times, want once", f.Node, times)
		}
	}
}

// wantMissed takes a message out of what one node shows in the end, and checks
// that it is missed.
func wantMissed(t *testing.T, h *check.History) {
	t.Helper()
	planted := *h
	planted.Finals = slices.Clone(h.Finals)
	f := &planted.Finals[len(planted.Finals)-1]
	f.Sessions = maps.Clone(f.Sessions)
	seen := f.Sessions["default/s0"]
	if len(seen.Messages) == 0 {
		t.Fatal("session s0 has no message that could be lost")
	}
	lost := seen.Messages[len(seen.Messages)/2]
	seen.Messages = slices.DeleteFunc(slices.Clone(seen.Messages), func(m check.Message) bool { return m.ID == lost.ID })
	f.Sessions["default/s0"] = seen
	for _, v := range check.All(&planted) {
		for _, violation := range v.Violations {
			if strings.Contains(violation.Text, lost.Value) && strings.Contains(violation.Text, f.Node) {
				return
			}
		}
	}
	t.Errorf("nothing was said of message %s with %s that %s lost", lost.ID, lost.Value, f.Node)
}

// An edge that is cut off loses its disk: what it alone had is excused, nothing
// else is. Another one is set back to an older copy; it notices, and nothing that
// it had sent is lost.
func TestWipedAndRestoredEdges(t *testing.T) {
	t.Parallel()
	appended := func(at time.Duration, node, session string) sim.Call {
		return sim.Call{At: at, Client: "c-" + node, Node: node, Space: "default", Session: session, Kind: sim.CallAppend}
	}
	plan := &sim.Plan{Name: "wipe and restore", Nodes: nodes(1, 2), Length: 4500 * time.Millisecond, Settle: 40 * s,
		Messages: true, // else what is on its way would arrive after the partition, though its sender is dead
		Calls: []sim.Call{
			{Client: "c-edge-1", Node: "edge-1", Space: "default", Session: "one", Kind: sim.CallOpen},
			{Client: "c-edge-2", Node: "edge-2", Space: "default", Session: "two", Kind: sim.CallOpen},
			appended(200*time.Millisecond, "edge-1", "one"), appended(200*time.Millisecond, "edge-2", "two"),
			appended(1800*time.Millisecond, "edge-1", "one"), appended(1800*time.Millisecond, "edge-2", "two"),
			appended(4*s, "edge-1", "one"), appended(4*s, "edge-2", "two"),
		},
		Faults: []sim.Fault{
			{Kind: sim.Partition, At: 1500 * time.Millisecond, For: s, Nodes: []string{"edge-1"}},
			{Kind: sim.Wipe, At: 2 * s, For: s, Nodes: []string{"edge-1"}},
			{Kind: sim.Restore, At: 2500 * time.Millisecond, Ago: 1500 * time.Millisecond, For: 200 * time.Millisecond,
				Nodes: []string{"edge-2"}},
		},
	}
	r, err := live.Run(t.Context(), plan, 1, options(t))
	if err != nil {
		t.Fatal(err)
	}
	report(t, r)
	if r.Facts["store_moved"] == 0 {
		t.Error("nobody noticed that the store of edge-2 is a copy")
	}
	var lost []string
	for _, c := range r.History.Calls {
		if c.Node == "edge-1" && c.Do == check.Append && c.Begin > 1500*time.Millisecond && c.Begin < 2*s {
			lost = append(lost, c.Values[0].Value)
		}
	}
	if got := slices.Sorted(maps.Keys(r.History.Excused)); len(lost) != 1 || !slices.Equal(got, lost) {
		t.Errorf("excused %q, want %q: what edge-1 wrote while it was cut off", got, lost)
	}
}

// A run that is ended in the middle, with a process frozen, leaves no process and
// no file behind.
func TestEndedInTheMiddle(t *testing.T) {
	t.Parallel()
	o := options(t)
	plan := &sim.Plan{Nodes: nodes(1, 1), Length: 30 * s,
		Calls:  []sim.Call{{At: 0, Client: "c", Node: "edge-1", Space: "default", Session: "s0", Kind: sim.CallOpen}},
		Faults: []sim.Fault{{Kind: sim.Pause, At: 0, Nodes: []string{"edge-1"}}}}
	why := errors.New("somebody pressed Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	go func() {
		for ctx.Err() == nil && !slices.ContainsFunc(processesBelow(t, o.Dir), frozen) {
			<-time.After(20 * time.Millisecond)
		}
		cancel(why)
	}()
	if _, err := live.Run(ctx, plan, 1, o); !errors.Is(err, why) {
		t.Errorf("Run = %v, want %v", err, why)
	}
	if left := processesBelow(t, o.Dir); len(left) > 0 {
		t.Errorf("processes %v still run", left)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%s holds %v, %v, want nothing", o.Dir, entries, err)
	}
}

// processesBelow finds the processes whose command names a directory.
func processesBelow(t *testing.T, dir string) []string {
	t.Helper()
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("processes cannot be listed here: there is no /proc")
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range commands {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), dir) {
			found = append(found, filepath.Dir(path))
		}
	}
	return found
}

// frozen reports whether a process, by its directory below /proc, is stopped.
func frozen(process string) bool {
	text, err := os.ReadFile(filepath.Join(process, "status"))
	return err == nil && strings.Contains(string(text), "State:\tT")
}
