package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// busy is a long trace: every millisecond a message that arrives, and now and
// then something else.
func busy(n int) *sim.Result {
	r := &sim.Result{Plan: fakePlan(1, 2, 100*time.Second)}
	r.Plan.Faults = nil
	step := 100 * time.Second / time.Duration(n)
	for len(r.Trace) < n {
		s := uint64(len(r.Trace) + 1)
		at := time.Duration(s) * step
		e := sim.Event{Serial: s, At: at, Kind: sim.EvSend, Node: "core-1", Peer: "edge-1", What: "deliver"}
		r.Trace = append(r.Trace, e, sim.Event{Serial: s + 1, At: at + step, Kind: sim.EvArrive, Node: "edge-1",
			Peer: "core-1",
			What: "deliver", Cause: s, Space: "default", Session: fmt.Sprintf("s-%d", s%7)})
	}
	r.Simulated = r.Trace[len(r.Trace)-1].At
	return r
}

// within counts the picked events of a stretch of time.
func within(r *sim.Result, picked []int, from, to time.Duration) (n int) {
	for _, i := range picked {
		if at := r.Trace[i].At; at >= from && at < to {
			n++
		}
	}
	return n
}

func TestPickTakesAllOfAShortTrace(t *testing.T) {
	t.Parallel()
	r := busy(500)
	if got := pick(r, nil, 500); len(got) != 500 || got[0] != 0 || got[499] != 499 {
		t.Errorf("pick of 500 events with room for 500 gives %d", len(got))
	}
}

func TestPickIsEvenWhenNothingStandsOut(t *testing.T) {
	t.Parallel()
	r := busy(20_000)
	got := pick(r, nil, 2_000)
	if len(got) > 2_000 || len(got) < 1_900 {
		t.Fatalf("picked %d, want nearly 2000 and not more", len(got))
	}
	if !slices.IsSorted(got) {
		t.Error("picked events are not in order")
	}
	for k := range 10 {
		from := time.Duration(k) * 10 * time.Second
		if n := within(r, got, from, from+10*time.Second); n < 150 || n > 250 {
			t.Errorf("%d of 2000 events lie in tenth %d of the run, want about 200", n, k)
		}
	}
}

func TestPickPrefersViolationsThenFaults(t *testing.T) {
	t.Parallel()
	r := busy(20_000)
	r.Plan.Faults = []sim.Fault{{Kind: sim.Partition, At: 30 * time.Second, For: 10 * time.Second,
		Nodes: []string{"edge-1"}}}
	problems := []problem{{At: micros(70 * time.Second), Session: "default/s-3"}}
	got := pick(r, problems, 2_000)
	near := within(r, got, 68*time.Second, 72*time.Second)
	edges := within(r, got, 29*time.Second, 31*time.Second) + within(r, got, 39*time.Second, 41*time.Second)
	if near < 350 || edges < 400 {
		t.Errorf("of 2000 events %d lie near the violation (want >= 350), %d near the fault's edges (want >= 400)",
			near, edges)
	}
	session := 0
	for _, i := range got {
		if e := r.Trace[i]; e.Session == "s-3" && e.At > 50*time.Second && e.At < 90*time.Second {
			session++
		}
	}
	if session < 200 {
		t.Errorf("%d events of the violated session are picked, want >= 200", session)
	}
	if n := within(r, got, 0, 20*time.Second); n < 50 {
		t.Errorf("%d events of the quiet beginning are picked, want some", n)
	}
}

func TestPickTakesMessagesWhole(t *testing.T) {
	t.Parallel()
	r := fakeRun(fakePlan(3, 5, time.Minute), 9, 200)
	got := pick(r, nil, 3_000)
	taken := map[uint64]bool{}
	for _, i := range got {
		taken[r.Trace[i].Serial] = true
	}
	for _, i := range got {
		e := r.Trace[i]
		ends := e.Kind == sim.EvArrive || e.Kind == sim.EvDrop || e.Kind == sim.EvStored || e.Kind == sim.EvConsume
		if ends && !taken[e.Cause] {
			t.Fatalf("event %d (%v) is picked without event %d, which it ends", e.Serial, e.Kind, e.Cause)
		}
	}
	for i, e := range r.Trace {
		if marks(e.Kind) && !taken[e.Serial] {
			t.Errorf("event %d (%v) is not picked", i, e.Kind)
		}
	}
}

func TestPickKeepsItsRoomWhenAllStandsOut(t *testing.T) {
	t.Parallel()
	r := busy(10_000)
	for i := range r.Trace {
		r.Trace[i].Kind = sim.EvCrash
	}
	got := pick(r, []problem{{At: 1}}, 1_000)
	if len(got) > 1_000 {
		t.Errorf("picked %d, want at most 1000", len(got))
	}
	if n := within(r, got, 50*time.Second, 101*time.Second); n < 100 {
		t.Errorf("%d of 1000 picked events lie in the second half, want some", n)
	}
}

// decode is the page's script in Go: columns back to events.
func decode(d *diagram) []sim.Event {
	var out []sim.Event
	var at, serial int64
	c := d.Events
	for i := range c.At {
		at += c.At[i]
		serial += c.Serial[i]
		e := sim.Event{Serial: uint64(serial), At: time.Duration(at) * time.Microsecond, Kind: sim.EventKind(c.Kind[i]),
			Node: d.Strings[c.Node[i]], Peer: d.Strings[c.Peer[i]], What: d.Strings[c.What[i]], Detail: d.Strings[c.Detail[i]],
			Space: d.Strings[c.Space[i]], Session: d.Strings[c.Session[i]]}
		if c.Cause[i] > 0 {
			e.Cause = out[i-c.Cause[i]].Serial
		}
		e.Vector = decodeVector(d, c.Vector[i])
		out = append(out, e)
	}
	return out
}

func decodeVector(d *diagram, k int) string {
	if k == 0 {
		return ""
	}
	if d.Vectors[k-1][0] == -1 {
		return d.Strings[d.Vectors[k-1][1]]
	}
	entries := map[string]int64{}
	for k > 0 {
		v := d.Vectors[k-1]
		for i := 1; i < len(v); i += 2 {
			if origin := d.Strings[v[i]]; !has(entries, origin) {
				entries[origin] = v[i+1]
			}
		}
		k = int(v[0])
	}
	var v vclock.Vector
	for origin, seq := range entries {
		if seq > 0 {
			v = v.With(vclock.Dot{Origin: vclock.Origin(origin), Seq: vclock.Seq(seq)})
		}
	}
	return v.String()
}

func has(m map[string]int64, key string) bool { _, ok := m[key]; return ok }

func TestDiagramHoldsTheTrace(t *testing.T) {
	t.Parallel()
	r := fakeRun(fakePlan(3, 5, time.Minute), 2, 120)
	last := len(r.Trace) - 1
	r.Trace = append(r.Trace, sim.Event{Serial: uint64(last + 2), At: r.Trace[last].At, Kind: sim.EvCommit,
		Node: "edge-1", Space: "default",
		Vector: vclock.Of(vclock.Dot{Origin: "edge-9~z", Seq: 1}).String()}) // all entries but one are gone
	d := diagramOf(r, nil)
	got := decode(d)
	if len(got) != len(r.Trace) {
		t.Fatalf("%d events in the diagram, want %d", len(got), len(r.Trace))
	}
	for i, e := range r.Trace {
		e.At = e.At.Truncate(time.Microsecond)
		if got[i] != e {
			t.Fatalf("event %d:\n got %+v\nwant %+v", i, got[i], e)
		}
	}
}

func TestPageIsBounded(t *testing.T) {
	t.Parallel()
	r := fakeRun(fakePlan(3, 17, 5*time.Minute), 4, 1200)
	for i := 0; len(r.Trace) < 120_000; i++ { // more of the same
		e := r.Trace[i]
		e.Serial, e.At = uint64(len(r.Trace)+1), r.Trace[len(r.Trace)-1].At+time.Millisecond
		e.Cause = max(e.Cause, 1)
		r.Trace = append(r.Trace, e)
	}
	page := written(t, r)
	d := dataOf(t, page)
	if d.Picked > MaxEvents || d.Picked < MaxEvents*8/10 || d.Total != len(r.Trace) {
		t.Errorf("%d of %d events are drawn, want nearly %d", d.Picked, d.Total, MaxEvents)
	}
	if len(page) > 10e6 {
		t.Errorf("the page has %d bytes, want less than 10 MB", len(page))
	}
	text := visible(t, page)
	want := number(d.Picked) + " of " + number(len(r.Trace)) +
		" events are drawn: those nearest to the beginnings and ends of faults"
	if !strings.Contains(text, strings.Join(strings.Fields(want), " ")) {
		t.Errorf("the page does not say %q", want)
	}
	t.Logf("%d events, %d bytes", d.Picked, len(page))
}

func TestPageIsBoundedAgainstLongTexts(t *testing.T) {
	t.Parallel()
	r := fakeRun(fakePlan(2, 3, time.Minute), 4, 900)
	angles := strings.Repeat("<", 300) // six bytes each in JSON
	for i := range r.Trace {
		r.Trace[i].Detail = fmt.Sprint(i) + angles
	}
	control := strings.Repeat("é\x01", 10_000)
	for i := range r.History.Calls {
		c := &r.History.Calls[i]
		c.Session = fmt.Sprintf("session-%d", i/3)
		c.Code = angles
		c.Values = append(c.Values, check.Value{Value: control})
	}
	for i := range 3_000 {
		r.Problems = append(r.Problems, check.Violation{Check: "c", At: time.Duration(i), Text: control})
	}
	page := written(t, r)
	if len(page) > 10e6 {
		t.Errorf("the page has %d bytes, want less than 10 MB", len(page))
	}
	d := dataOf(t, page)
	if d.Picked < 1_000 {
		t.Errorf("only %d of %d events are drawn", d.Picked, d.Total)
	}
	if d.SessionsLeftOut+len(d.Sessions) != 300 {
		t.Errorf("%d sessions are shown and %d left out, want 300 in all", len(d.Sessions), d.SessionsLeftOut)
	}
	if !strings.Contains(page, fmt.Sprintf("And %d more.", 3_000-MaxProblems)) {
		t.Error("the page does not say how many violations it leaves out")
	}
}

func TestManyNodesShareALane(t *testing.T) {
	t.Parallel()
	plan := fakePlan(3, 1000, time.Minute)
	plan.Faults = []sim.Fault{{Kind: sim.Crash, At: time.Second, For: time.Second, Nodes: []string{"edge-700"}}}
	r := &sim.Result{Plan: plan, Simulated: time.Minute}
	d := diagramOf(r, []problem{{Node: "edge-900"}})
	if len(d.Lanes) != MaxLanes {
		t.Fatalf("%d lanes, want %d", len(d.Lanes), MaxLanes)
	}
	var names []string
	for _, l := range d.Lanes {
		names = append(names, l.Name)
	}
	for _, want := range []string{"core-1", "core-2", "core-3", "edge-700", "edge-900"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s has no lane of its own: %v", want, names)
		}
	}
	rest := d.Lanes[MaxLanes-1]
	if rest.Role != "rest" || len(rest.Nodes) != 1003-MaxLanes+1 || rest.Name != "964 others" {
		t.Errorf("the last lane is %q, %q with %d nodes", rest.Name, rest.Role, len(rest.Nodes))
	}
}

func TestGaps(t *testing.T) {
	t.Parallel()
	s := time.Second
	r := &sim.Result{Simulated: 60 * s, Plan: &sim.Plan{
		Nodes:  []sim.NodePlan{{Name: "a"}, {Name: "b", Join: 5 * s}},
		Faults: []sim.Fault{{Kind: sim.Pause, At: 30 * s, For: 4 * s, Nodes: []string{"a"}}}},
		Trace: []sim.Event{{Serial: 1, Kind: sim.EvStart, Node: "a"}, {Serial: 2, At: 5 * s, Kind: sim.EvStart, Node: "b"},
			{Serial: 3, At: 10 * s, Kind: sim.EvCrash, Node: "a"}, {Serial: 4, At: 12 * s, Kind: sim.EvStart, Node: "a"},
			{Serial: 5, At: 50 * s, Kind: sim.EvCrash, Node: "b"}}}
	got := fmt.Sprint(gapsOf(r))
	want := fmt.Sprint(map[string][]gap{
		"a": {{From: 10e6, To: 12e6, Why: "down"}, {From: 30e6, To: 34e6, Why: "frozen"}},
		"b": {{From: 0, To: 5e6, Why: "not there yet"}, {From: 50e6, To: 60e6, Why: "down", Open: true}}})
	if got != want {
		t.Errorf("gaps:\n got %s\nwant %s", got, want)
	}
}

// The page of a long run costs seconds, not minutes.
func BenchmarkDiagramOfAMillionEvents(b *testing.B) {
	r := busy(1_000_000)
	r.Plan.Faults = []sim.Fault{{Kind: sim.Partition, At: 30 * time.Second, For: time.Second, Nodes: []string{"edge-1"}}}
	for b.Loop() {
		diagramOf(r, []problem{{At: micros(70 * time.Second)}})
	}
}
