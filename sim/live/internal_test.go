package live

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/linkproxy"
	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// Each fault of the network befalls the ways that the simulator says, and what a
// proxy does is what the fault is.
func TestFaultsBecomeStatesOfProxies(t *testing.T) {
	t.Parallel()
	slow := sim.Quality{Delay: time.Second, Bandwidth: 1000, Loss: sim.Chance{P: 0.25}}
	for _, c := range []struct {
		name     string
		fault    sim.Fault
		messages bool
		want     linkproxy.State
	}{
		{"nothing", sim.Fault{Kind: sim.Partition, Nodes: []string{"edge-2"}}, false, linkproxy.State{Up: true}},
		{"partition", sim.Fault{Kind: sim.Partition, Nodes: []string{"edge-1"}}, false,
			linkproxy.State{Up: true, Hold: linkproxy.Both}},
		{"partition, other side", sim.Fault{Kind: sim.Partition, Nodes: []string{"core-1"}, Peers: []string{"edge-1"}}, false,
			linkproxy.State{Up: true, Hold: linkproxy.Both}},
		{"what the edge sends", sim.Fault{Kind: sim.Partition, Nodes: []string{"edge-1"}, Direction: sim.To}, false,
			linkproxy.State{Up: true, Hold: linkproxy.ToTarget}},
		{"what the core node sends", sim.Fault{Kind: sim.Clog, Nodes: []string{"core-1"}, Direction: sim.To}, false,
			linkproxy.State{Up: true, Hold: linkproxy.FromTarget}},
		{"bytes are lost", sim.Fault{Kind: sim.Partition, Nodes: []string{"edge-1"}, Direction: sim.From}, true,
			linkproxy.State{Up: true, Blackhole: linkproxy.FromTarget}},
		{"another pair", sim.Fault{Kind: sim.Partition, Nodes: []string{"edge-1"}, Peers: []string{"core-2"}}, false,
			linkproxy.State{Up: true}},
		{"slow one way", sim.Fault{Kind: sim.Degrade, Nodes: []string{"edge-1"}, Direction: sim.To, Quality: slow}, false,
			linkproxy.State{Up: true, Latency: time.Second, BytesPerSecond: 1000, Stall: 0.25, StallFor: stallFor}},
	} {
		n := &network{plan: &sim.Plan{Messages: c.messages}, active: []*sim.Fault{&c.fault}}
		got := n.state(n.conduct(&wire{from: "edge-1", to: "core-1", owner: "edge-1"}))
		if *got.Back != (linkproxy.Shape{}) {
			t.Errorf("%s: the way back is %+v, want it free", c.name, *got.Back)
		}
		got.Back = nil
		if got != c.want {
			t.Errorf("%s: state is %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A flap resets connections; a healed network loses nothing.
func TestFlapAndHeal(t *testing.T) {
	t.Parallel()
	w := &wire{from: "edge-1", to: "core-1"}
	f := &sim.Fault{Kind: sim.Flap, Nodes: []string{"edge-1"}}
	n := &network{plan: &sim.Plan{Net: sim.Quality{Delay: time.Millisecond, Loss: sim.Chance{P: 0.5}}}}
	n.active, n.downs = []*sim.Fault{f}, []*sim.Fault{f}
	if s := n.state(n.conduct(w)); s.Up || s.Stall != 0.5 {
		t.Errorf("state during a flap is %+v, want it down with stalls of 0.5", s)
	}
	n.active, n.downs, n.healed = nil, nil, true
	if s := n.state(n.conduct(w)); !s.Up || s.Stall != 0 || s.Latency != time.Millisecond {
		t.Errorf("state after healing is %+v, want it up, with its delay and no stalls", s)
	}
}

// Every fault that needs the simulator is refused by name, all at once, and so is
// a plan that is too long; asked to skip, the rest goes on and notes say what is
// missing.
func TestUnsupportedIsRefusedByName(t *testing.T) {
	t.Parallel()
	plan := func() *sim.Plan {
		p := &sim.Plan{Length: time.Minute,
			Nodes:  []sim.NodePlan{{Name: "core-1", Core: true}, {Name: "edge-1", Offset: time.Hour}},
			Calls:  []sim.Call{{Kind: sim.CallText}, {Kind: sim.CallRead}},
			Faults: []sim.Fault{{Kind: sim.Crash, Nodes: []string{"edge-1"}}, {Kind: sim.Clone, Silent: true}}}
		for kind := range unmakeable {
			p.Faults = append(p.Faults, sim.Fault{Kind: kind, Nodes: []string{"edge-1"}, Line: 7})
		}
		return p
	}
	_, err := fit(plan(), Options{MaxLength: time.Hour})
	unfit, ok := errors.AsType[*UnfitError](err)
	if !ok {
		t.Fatalf("fit = %v, want an UnfitError", err)
	}
	want := []string{"wall clock of edge-1",
		"--skip-unsupported"}
	for kind := range unmakeable {
		want = append(want, kind.String()+" ("+unmakeable[kind]+") of line 7")
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("fit = %v, want it to name %q", err, text)
		}
	}
	if n := len(unmakeable) + 1; len(unfit.Reasons) != n {
		t.Errorf("fit names %d reasons %q, want %d", len(unfit.Reasons), unfit.Reasons, n)
	}
	p := plan()
	f, err := fit(p, Options{MaxLength: time.Hour, SkipUnsupported: true})
	if err != nil || len(p.Faults) != 2 || len(p.Calls) != 2 || len(f.notes) != len(unmakeable)+1 {
		t.Errorf("fit with skip = %v with %d faults, %d calls, notes %q; want two faults, both calls, a note for each omission",
			err, len(p.Faults), len(p.Calls), f.notes)
	}
	long := &sim.Plan{Length: 30 * 24 * time.Hour, Nodes: []sim.NodePlan{{Name: "core-1", Core: true}}}
	if _, err := fit(long, Options{MaxLength: time.Hour, Speed: 1, SkipUnsupported: true}); err == nil ||
		!strings.Contains(err.Error(), "--speed 721") {
		t.Errorf("fit of 30 days = %v, want an error that tells the speed for one hour", err)
	}
	p = scaled(long, 1, 721)
	if _, err := fit(p, Options{MaxLength: time.Hour, Speed: 721}); err != nil {
		t.Errorf("fit of 30 days at speed 721 = %v, want nil", err)
	}
}

// Speed makes the plan's times pass faster, and leaves delays and the original
// plan alone. The calls are those of the plan, whatever the speed.
func TestScaled(t *testing.T) {
	t.Parallel()
	p := &sim.Plan{Length: 100 * time.Second, Net: sim.Quality{Delay: time.Second}, Settle: time.Minute,
		Nodes:    []sim.NodePlan{{Name: "core-1", Core: true}, {Name: "edge-1", Join: 10 * time.Second}},
		Workload: &sim.Workload{Clients: 2, Sessions: 1, Every: time.Second, Keyed: 1, TTL: time.Hour},
		Faults: []sim.Fault{
			{Kind: sim.Flap, At: 20 * time.Second, For: 30 * time.Second, Up: time.Second, Down: 2 * time.Second}}}
	calls := p.AllCalls(3)
	q := scaled(p, 3, 10)
	if q.Length != 10*time.Second || q.Net.Delay != time.Second || q.Settle != time.Minute ||
		q.Nodes[1].Join != time.Second {
		t.Errorf("scaled plan is %+v, want length 10s, delay 1s, settle 1m, join 1s", q)
	}
	if f := q.Faults[0]; f.At != 2*time.Second || f.For != 3*time.Second || f.Up != 100*time.Millisecond {
		t.Errorf("scaled fault is %+v, want it at 2s for 3s, up for 100ms", f)
	}
	if len(q.Calls) != len(calls) || q.Workload != nil {
		t.Fatalf("scaled plan has %d calls, want %d", len(q.Calls), len(calls))
	}
	for i := range calls {
		if want := calls[i].At / 10; q.Calls[i].At != want {
			t.Errorf("call %d is at %v, want %v", i, q.Calls[i].At, want)
		}
	}
	if p.Faults[0].At != 20*time.Second || p.Nodes[1].Join != 10*time.Second {
		t.Error("scaled changed the plan that it was given")
	}
}

// Whoever cannot tell when a node fell back puts a reset between any two requests
// of that time.
func TestResetsStandBetweenRequests(t *testing.T) {
	t.Parallel()
	c := newRecorder()
	c.history.Calls = []check.Call{
		{Node: "edge-1", Begin: 1, End: 5}, {Node: "edge-1", Begin: 12, End: 14}, {Node: "edge-2", Begin: 13, End: 15},
		{Node: "edge-1", Begin: 15, End: 30},
	}
	c.windows = []window{{"edge-1", 10, 20}}
	c.settleResets()
	var got []time.Duration
	for _, r := range c.history.Resets {
		if r.Node != "edge-1" {
			t.Errorf("reset of %s, want edge-1 alone", r.Node)
		}
		got = append(got, r.At)
	}
	if want := []time.Duration{10, 12, 14, 15, 20}; !slices.Equal(got, want) {
		t.Errorf("resets at %v, want %v", got, want)
	}
}

// A copy has the bytes of the original and its holes, without what is left out; a
// flip changes one bit.
func TestCopyAndFlip(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	content := make([]byte, 3*copyBlock+17)
	copy(content[copyBlock:], "hello")
	content[len(content)-1] = 1
	write := func(name string, b []byte) {
		t.Helper()
		path := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("db/1.vlog", content)
	write("lock", []byte("x"))
	write("streams/a", []byte("x"))
	if err := copyDir(from, to, streamsDir, lockFile); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(to, "db/1.vlog"))
	if err != nil || !slices.Equal(got, content) {
		t.Errorf("the copy has %d bytes, %v, want the %d of the original", len(got), err, len(content))
	}
	if exists(filepath.Join(to, "lock")) || exists(filepath.Join(to, "streams")) {
		t.Error("the copy has what was to be left out")
	}
	m := &member{dir: to}
	where, err := m.flip("any", rand.New(rand.NewPCG(1, 1)))
	if err != nil || !strings.HasSuffix(where, "db/1.vlog") {
		t.Fatalf("flip = %q, %v, want a place in db/1.vlog", where, err)
	}
	flipped, err := os.ReadFile(filepath.Join(to, "db/1.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	bits := 0
	for i := range flipped {
		for x := flipped[i] ^ content[i]; x > 0; x &= x - 1 {
			bits++
		}
	}
	if bits != 1 {
		t.Errorf("flip changed %d bits, want 1", bits)
	}
}

// Each packet filter that there is takes the rules and gives back their counts.
func TestFiltersTakeRules(t *testing.T) {
	t.Parallel()
	ns, err := newNetns(t.Context())
	if err != nil {
		t.Skipf("no namespaces here: %v", err)
	}
	name := ns.prefix + "rules"
	if err := ip(t.Context(), "netns", "add", name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ip(context.Background(), "netns", "del", name); err != nil {
			t.Error(err)
		}
	})
	for _, f := range findFilters() {
		for _, rules := range [][]rule{
			{{port: "1001", loss: 0.25}, {port: "1001", back: true, blocked: true}},
			{{port: "1002", back: true, loss: 1e-9}}, nil,
		} {
			if err := f.set(t.Context(), name, "198.18.0.1", rules); err != nil {
				t.Errorf("%T: %v", f, err)
			}
			got, err := f.counts(t.Context(), name)
			var want []string
			for _, r := range rules {
				if r.blocked {
					want = append(want, r.mark("blocked"))
				} else {
					want = append(want, r.mark("all"), r.mark("lost"))
				}
			}
			slices.Sort(want)
			if marks := sortedKeys(got); err != nil || !slices.Equal(marks, want) {
				t.Errorf("%T with %+v counts %v, %v, want %v", f, rules, marks, err, want)
			}
		}
	}
}
