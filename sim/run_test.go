package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// cluster is a plan without faults: core nodes and edges with a workload.
func cluster(cores, edges int, length time.Duration) *sim.Plan {
	p := &sim.Plan{Length: length, Settle: 2 * time.Minute, Expect: sim.Expect{Converge: true},
		Net: sim.Quality{Delay: 10 * time.Millisecond, Jitter: 2 * time.Millisecond},
		Workload: &sim.Workload{Clients: 2 * edges, Sessions: 4, Every: time.Second, Roam: 0.1, Same: 0.3, Keyed: 0.3,
			Core: 0.2, Batch: 3}}
	for i := range cores {
		p.Nodes = append(p.Nodes, sim.NodePlan{Name: fmt.Sprintf("core-%d", i+1), Core: true})
	}
	for i := range edges {
		p.Nodes = append(p.Nodes, sim.NodePlan{Name: fmt.Sprintf("edge-%d", i+1), Spaces: []string{"*"}})
	}
	return p
}

func runPlan(t *testing.T, p *sim.Plan, seed uint64) *sim.Result {
	t.Helper()
	r, err := sim.Run(p, seed, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCalmClusterAgrees: without faults nothing is refused for a fault's sake,
// level core is always had, and all nodes agree within moments.
func TestCalmClusterAgrees(t *testing.T) {
	t.Parallel()
	for _, cores := range []int{1, 3} {
		r := runPlan(t, cluster(cores, 3, time.Minute), 1)
		for _, p := range r.Problems {
			t.Errorf("%v: %s: %s: %s", p.At, p.Check, p.Node, p.Text)
		}
		writes, core := 0, 0
		for _, c := range r.History.Calls {
			if c.Outcome == check.NoAnswer {
				t.Errorf("call %d at %v got no answer", c.ID, c.Begin)
			}
			if c.Outcome == check.OK && c.Seen == nil {
				writes++
			}
			if c.Core {
				core++
			}
		}
		if writes < 100 || core < 20 {
			t.Errorf("%d cores: %d writes, %d at level core, want at least 100 and 20", cores, writes, core)
		}
		for _, v := range r.Verdicts {
			if v.Check == "acknowledged writes survive" && v.Examined == 0 {
				t.Errorf("%d cores: %s examined nothing", cores, v.Check)
			}
		}
	}
}

// TestPlansThatMakeNoSense are refused, not run.
func TestPlansThatMakeNoSense(t *testing.T) {
	t.Parallel()
	twice := cluster(1, 1, time.Second)
	twice.Nodes = append(twice.Nodes, twice.Nodes[1])
	alone := cluster(0, 1, time.Second)
	for name, p := range map[string]*sim.Plan{"two nodes of one name": twice, "no core node": alone} {
		if _, err := sim.Run(p, 1, sim.Options{}); err == nil {
			t.Errorf("%s: Run gave no error", name)
		}
	}
}

// TestShrink: what breaks a promise is made small and still breaks it.
func TestShrink(t *testing.T) {
	t.Parallel()
	p := cluster(3, 4, time.Minute)
	p.Expect.Facts = []string{"a fact that there is not"}
	p.Faults = []sim.Fault{{Kind: sim.Crash, At: 10 * time.Second, For: time.Second, Nodes: []string{"edge-1"}}}
	failed := runPlan(t, p, 5)
	small := sim.Shrink(failed, 60)
	if !small.Failed() || small.Problems[0].Check != failed.Problems[0].Check {
		t.Fatalf("shrunk run has problems %v, want %q", small.Problems, failed.Problems[0].Check)
	}
	if got := small.Plan.Size(); got > 50 {
		t.Errorf("shrunk plan has %d nodes, calls and faults, want at most 50", got)
	}
	if again := runPlan(t, small.Plan, small.Seed); again.Hash != small.Hash {
		t.Error("the shrunk plan gives another run the second time")
	}
}

// TestUntil: a run that is ended early is the beginning of the whole one.
func TestUntil(t *testing.T) {
	t.Parallel()
	p := cluster(1, 2, time.Minute)
	r, err := sim.Run(p, 2, sim.Options{Until: 20 * time.Second, Trace: true})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := sim.Run(p, 2, sim.Options{Trace: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Simulated != 20*time.Second || len(r.Trace) == 0 || len(r.Trace) >= len(whole.Trace) {
		t.Fatalf("ended at %v with %d events of %d", r.Simulated, len(r.Trace), len(whole.Trace))
	}
	for i, e := range r.Trace {
		if e != whole.Trace[i] {
			t.Fatalf("event %d is %v, in the whole run %v", i, e, whole.Trace[i])
		}
	}
}
