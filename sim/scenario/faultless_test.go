package scenario_test

import (
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/sim/scenario"
)

// calm gives a plan without what goes wrong in it: faults, links that are worse
// than others, clocks that are off, time servers that lie.
func calm(p *sim.Plan) *sim.Plan {
	q := *p
	q.Faults, q.Links, q.Nodes = nil, nil, slices.Clone(p.Nodes)
	for i := range q.Nodes {
		q.Nodes[i].Offset, q.Nodes[i].Drift = 0, 0
	}
	q.Time.Servers = slices.Clone(p.Time.Servers)
	for i := range q.Time.Servers {
		q.Time.Servers[i].Conduct = sim.Honest
	}
	return &q
}

// missed gives what a run of the plan does not show of what the plan expects.
func missed(t *testing.T, p *sim.Plan) []check.Violation {
	t.Helper()
	r, err := sim.Run(p, 1, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Expect.Missed(&r.History, r.Facts, r.Simulated)
}

// TestShippedScenariosNeedTheirFaults: whatever a shipped scenario expects, it
// does not come by itself. Without its faults its expectations are missed.
func TestShippedScenariosNeedTheirFaults(t *testing.T) {
	t.Parallel()
	for _, name := range scenario.Names() {
		if big[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := scenario.LoadShipped(name, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(missed(t, calm(p))) == 0 {
				t.Errorf("%s holds without its faults", name)
			}
		})
	}
}
