package scenario_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/scenario"
)

// big are the shipped scenarios that take more than a few seconds; make soak
// runs them.
var big = map[string]bool{"thousand-edges-reconnect": true, "thousand-edges-thirty-days": true}

// TestShippedScenariosHold runs every shipped scenario, twice: every promise
// holds, its own expectations are met, and both runs are the same.
func TestShippedScenariosHold(t *testing.T) {
	t.Parallel()
	for _, name := range scenario.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if big[name] {
				t.Skip("takes minutes; run by make soak")
			}
			var first [32]byte
			for i := range 2 {
				p, err := scenario.LoadShipped(name, 1)
				if err != nil {
					t.Fatal(err)
				}
				r, err := sim.Run(p, 1, sim.Options{})
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range r.Problems {
					t.Errorf("%v: %s: %s %s: %s", v.At, v.Check, v.Node, v.Session, v.Text)
				}
				if i == 0 {
					first = r.Hash
				} else if r.Hash != first {
					t.Errorf("second run has trace %x, want %x", r.Hash[:4], first[:4])
				}
			}
		})
	}
}

// TestGuaranteesNameScenarios: what GUARANTEES.md calls S:name is shipped, and
// each shipped scenario defends something there.
func TestGuaranteesNameScenarios(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "GUARANTEES.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`S:([a-z0-9-]+)`").FindAllStringSubmatch(string(text), -1) {
		if m[1] == "name" {
			continue // the explanation
		}
		named[m[1]] = true
		if !slices.Contains(scenario.Names(), m[1]) {
			t.Errorf("GUARANTEES.md names scenario %s, which is not shipped", m[1])
		}
	}
	for _, name := range scenario.Names() {
		if !named[name] {
			t.Errorf("scenario %s is not named in GUARANTEES.md", name)
		}
	}
}

// TestFoundPlansHold runs the plans in which a promise was once broken, shrunk
// and written by the simulator. Unlike seeds they stay as they are when the
// swarm draws in another way. The number in the name is the seed.
func TestFoundPlansHold(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob(filepath.Join("..", "testdata", "found", "seed-*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no plans (%v)", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			var seed uint64
			if _, err := fmt.Sscanf(filepath.Base(name), "seed-%d", &seed); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			p, err := scenario.Load(name, data, seed, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := sim.Run(p, seed, sim.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range r.Problems {
				t.Errorf("%v: %s: %s %s: %s", v.At, v.Check, v.Node, v.Session, v.Text)
			}
		})
	}
}
