//go:build soak

package mistakes_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/sim"
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
		if m.Harmless {
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

// TestNoMistakeIsNoChange compares the build that all mistakes are woven into,
// with none of them chosen, with the one that ships: the same events.
func TestNoMistakeIsNoChange(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the simulator with all mistakes: not with -short")
	}
	_, r := build(t)
	for seed := uint64(1); seed <= 3; seed++ {
		want, err := sim.Run(mistakes.PlanOf(seed), seed, sim.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, r, mistakes.None, seed); got.Hash != hex.EncodeToString(want.Hash[:]) {
			t.Errorf("seed %d: trace hash %s with mistakes woven in and none chosen, want %x", seed, got.Hash, want.Hash)
		}
	}
}

// TestTableIsUpToDate compares the table in the docs with what is written down.
func TestTableIsUpToDate(t *testing.T) {
	t.Parallel()
	root := rootOf(t)
	list, err := mistakes.All()
	if err != nil {
		t.Fatal(err)
	}
	caught, err := mistakes.ReadCaught(root, mistakes.CaughtFile)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(root, mistakes.DocsFile))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docs.md"), before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mistakes.WriteTable(dir, "docs.md", list, caught); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "docs.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Errorf("the table in %s is not that of %s: run make mistakes", mistakes.DocsFile, mistakes.CaughtFile)
	}
}

// build gives the build with all mistakes. Builds after the first come from the
// build cache.
func build(t *testing.T) ([]mistakes.Mistake, *mistakes.Runner) {
	t.Helper()
	list, err := mistakes.All()
	if err != nil {
		t.Fatal(err)
	}
	r, err := mistakes.Build(t.Context(), rootOf(t), t.TempDir(), list)
	if err != nil {
		t.Fatal(err)
	}
	return list, r
}

func run(t *testing.T, r *mistakes.Runner, mistake string, seed uint64) mistakes.Found {
	t.Helper()
	list, err := r.Run(t.Context(), mistake, seed, seed)
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

// catches gives what is written down, by name.
func catches(t *testing.T) map[string]mistakes.Catch {
	t.Helper()
	list, err := mistakes.ReadCaught(rootOf(t), mistakes.CaughtFile)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]mistakes.Catch{}
	for _, c := range list {
		by[c.Mistake] = c
	}
	return by
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

// rootOf finds the directory of the module.
func rootOf(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the package")
		}
		dir = parent
	}
}
