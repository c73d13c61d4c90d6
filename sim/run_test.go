package sim_test

import (
	"errors"
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

// TestShrink: of a plan that breaks a promise what has to do with that is left.
func TestShrink(t *testing.T) {
	t.Parallel()
	p := cluster(3, 4, time.Minute)
	p.Expect.Without = []string{"origin_renewed"}
	p.Faults = []sim.Fault{
		{Kind: sim.Crash, At: 10 * time.Second, For: time.Second, Nodes: []string{"edge-1"}},
		{Kind: sim.Restore, At: 30 * time.Second, For: time.Second, Ago: 15 * time.Second, Silent: true,
			Nodes: []string{"edge-2"}},
		{Kind: sim.Crash, At: 40 * time.Second, For: time.Second, Nodes: []string{"core-3"}},
	}
	failed := runPlan(t, p, 5)
	small := sim.Shrink(failed, 200, nil)
	if !small.Failed() || small.Problems[0].Check != failed.Problems[0].Check {
		t.Fatalf("shrunk run has problems %v, want %q", small.Problems, failed.Problems[0].Check)
	}
	if f := small.Plan.Faults; len(f) != 1 || f[0].Kind != sim.Restore {
		t.Errorf("shrunk plan has the faults %v, want the restore alone", f)
	}
	if nodes, calls := len(small.Plan.Nodes), len(small.Plan.Calls); nodes > 3 || calls > 4 {
		t.Errorf("shrunk plan has %d nodes and %d calls, want at most 3 and 4", nodes, calls)
	}
	if again := runPlan(t, small.Plan, small.Seed); again.Hash != small.Hash {
		t.Error("the shrunk plan gives another run the second time")
	}
	if stopped := sim.Shrink(failed, 200, func() bool { return true }); stopped != failed {
		t.Error("shrinking that is stopped at once gives another result")
	}
}

// TestStop: a run ends when it is told to.
func TestStop(t *testing.T) {
	t.Parallel()
	asked := 0
	r, err := sim.Run(cluster(3, 20, time.Hour), 1, sim.Options{Stop: func() bool { asked++; return asked == 3 }})
	if r != nil || !errors.Is(err, sim.ErrStopped) || asked != 3 {
		t.Errorf("Run = %v, %v after it was asked %d times; want ErrStopped after 3", r, err, asked)
	}
}

// TestPanicIsAProblem: what panics in a run breaks a promise of this run, and a
// moment without end is one too.
func TestPanicIsAProblem(t *testing.T) {
	t.Parallel()
	p := cluster(3, 20, time.Hour)
	calls := 0
	r, err := sim.Run(p, 1, sim.Options{Stop: func() bool {
		calls++
		panic("out of cheese")
	}})
	if err != nil || calls != 1 {
		t.Fatalf("Run: %v, %d calls", err, calls)
	}
	if len(r.Problems) != 1 || r.Problems[0].Check != "no step panics" || r.Problems[0].Text != "out of cheese" || r.Panic == "" {
		t.Errorf("problems %v, stack %.40q; want the panic", r.Problems, r.Panic)
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
