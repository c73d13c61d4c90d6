//go:build soak

package mistakes_test

import (
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/sim/mistakes"
)

// fallbackSeeds are tried when the seeds written down do not catch a mistake any
// more, because the simulator or the code has changed since.
const fallbackSeeds = 60

// TestMistakesAreCaught makes each mistake and lets the simulator find it: at the
// seeds written down, which are to pass without the mistake.
func TestMistakesAreCaught(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the simulator with all mistakes: not with -short")
	}
	list, r := build(t)
	known := catches(t)
	good := passing(t, r, known)
	for _, m := range list {
		if m.Harmless || m.Missed {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			c, ok := known[m.Name]
			if !ok {
				t.Fatalf("it is not written down how %s is caught: run make mistakes", m.Name)
			}
			for _, seed := range c.Seeds {
				if good[seed] && run(t, r, m.Name, seed).Caught() {
					return
				}
			}
			h := mistakes.Hunt{First: 1, Last: fallbackSeeds}
			again, err := h.For(t.Context(), r, m.Name)
			if err != nil {
				t.Fatal(err)
			}
			if again.Needed == 0 {
				t.Fatalf("%s (%s) is not caught at seeds %v, nor at 1 to %d: run make mistakes", m.Name, m.Says, c.Seeds, fallbackSeeds)
			}
			t.Logf("%s is caught at seed %d, no more at %v: run make mistakes", m.Name, again.Seeds[0], c.Seeds)
		})
	}
}

// TestHarmlessChangesPass holds the other side: a change that nobody may object
// to is not caught, or the checkers would catch anything.
func TestHarmlessChangesPass(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the simulator with all mistakes: not with -short")
	}
	list, r := build(t)
	for _, m := range list {
		if !m.Harmless {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			h := mistakes.Hunt{First: 1, Last: fallbackSeeds / 4}
			c, err := h.For(t.Context(), r, m.Name)
			if err != nil {
				t.Fatal(err)
			}
			if c.Needed != 0 {
				t.Errorf("seed %d of %s (%s): %s: %s", c.Seeds[0], m.Name, m.Says, c.Check, c.Text)
			}
		})
	}
}

// passing tells which of the seeds written down pass without a mistake.
func passing(t *testing.T, r *mistakes.Runner, known map[string]mistakes.Catch) map[uint64]bool {
	t.Helper()
	var seeds []uint64
	for _, c := range known {
		seeds = append(seeds, c.Seeds...)
	}
	slices.Sort(seeds)
	good := map[uint64]bool{}
	for _, seed := range slices.Compact(seeds) {
		found := run(t, r, mistakes.None, seed)
		if good[seed] = !found.Caught(); found.Caught() {
			t.Logf("seed %d counts for nothing: without a mistake %s: %s", seed, found.Check, found.Text)
		}
	}
	return good
}
