package live_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/sim/live"
)

// With each node in a namespace of its own, packets are dropped for real: at
// random, and all of one direction during a partition. Nothing is left behind.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	const s = time.Second
	plan := &sim.Plan{
		Name: "namespaces", Nodes: nodes(1, 2), Length: 7 * s, Settle: 40 * s,
		Net:      sim.Quality{Delay: 2 * time.Millisecond, Loss: sim.Chance{P: 0.05}},
		Workload: &sim.Workload{Clients: 4, Sessions: 2, Every: 200 * time.Millisecond, Same: 0.5, Keyed: 0.3, Core: 0.5},
		Faults:   []sim.Fault{{Kind: sim.Partition, At: s, For: 4 * s, Nodes: []string{"edge-1"}, Direction: sim.To}},
	}
	o := options(t)
	o.Netns = true
	r, err := live.Run(t.Context(), plan, 1, o)
	if unfit, ok := errors.AsType[*live.UnfitError](err); ok {
		t.Skipf("no namespaces here: %v", unfit)
	}
	if err != nil {
		t.Fatal(err)
	}
	report(t, r)
	wantLocalDuring(t, r, "edge-1", 1500*time.Millisecond, 5*s)
	if len(r.Rates) == 0 {
		t.Error("Rates is empty, want the loss of each wire")
	}
	for _, rate := range r.Rates {
		if rate.Drawn > 500 && (rate.Measured < 0.02 || rate.Measured > 0.1) {
			t.Errorf("%s: %.3f of %d packets were dropped, want about 0.05", rate.What, rate.Measured, rate.Drawn)
		}
	}
	if out, err := exec.Command("ip", "netns", "list").Output(); err != nil || strings.Contains(string(out), "cwl-") {
		t.Errorf("ip netns list = %q, %v, want none of ours left", out, err)
	}
}

// wantLocalDuring checks that nobody at a node was told of level core while it
// could not reach the core.
func wantLocalDuring(t *testing.T, r *sim.Result, node string, from, to time.Duration) {
	t.Helper()
	asked := 0
	for _, c := range r.History.Calls {
		if c.Node != node || !c.WantCore || c.Begin < from || c.Outcome != check.OK || c.End > to {
			continue
		}
		asked++
		if c.Core {
			t.Errorf("call %d (%s) at %s was answered at level core at %v, with its link cut", c.ID, c.Do, node, c.End)
		}
	}
	if asked == 0 {
		t.Errorf("nobody asked %s for level core between %v and %v", node, from, to)
	}
}
