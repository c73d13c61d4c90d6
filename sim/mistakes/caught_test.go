package mistakes_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/mistakes"
)

// leastMistakes is how many mistakes are promised to be caught.
const leastMistakes = 40

// TestCaughtFitsTheList compares the list with what is written down of the hunt:
// what was caught was so within the promised number of seeds.
func TestCaughtFitsTheList(t *testing.T) {
	t.Parallel()
	list, err := mistakes.All()
	if err != nil {
		t.Fatal(err)
	}
	known := catches(t)
	count := 0
	for _, m := range list {
		c, ok := known[m.Name]
		delete(known, m.Name)
		switch {
		case (m.Harmless || m.Missed) && ok:
			t.Errorf("%s is listed as harmless or missed, yet %s has it as caught", m.Name, mistakes.CaughtFile)
		case m.Harmless || m.Missed:
		case !ok: // the tests with the tag soak demand each
			t.Logf("it is not written down how %s is caught: run make mistakes", m.Name)
		case c.Needed == 0 || c.Needed > mistakes.MaxSeeds || len(c.Seeds) == 0 || c.Check == "":
			t.Errorf("%s: got %+v, want 1 to %d seeds and the check that caught it", m.Name, c, mistakes.MaxSeeds)
		default:
			count++
		}
	}
	for name := range known {
		t.Errorf("%s has %s, which is not on the list", mistakes.CaughtFile, name)
	}
	if count < leastMistakes {
		t.Errorf("%d mistakes are caught, want %d at least", count, leastMistakes)
	}
}

// sampled is of how many mistakes a test without the tag soak makes one.
const sampled = 16

// TestSomeMistakesAreCaught weaves all mistakes into one build, which compiles,
// and makes a few of them, at the seeds that are written down to catch them.
// With none made the build runs as the shipped one does, to the last event.
func TestSomeMistakesAreCaught(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the simulator with all mistakes: not with -short")
	}
	list, r := build(t)
	known := catches(t)
	for i, m := range list {
		if c := known[m.Name]; i%sampled == 0 && len(c.Seeds) > 0 && !caught(t, r, &c) {
			t.Errorf("%s (%s) is not caught at %v any more: run make mistakes", m.Name, m.Says, c.Seeds)
		}
	}
	const seed = 1
	want, err := sim.Run(mistakes.PlanOf(seed), seed, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, r, mistakes.None, seed); got.Hash != hex.EncodeToString(want.Hash[:]) {
		t.Errorf("seed %d: trace hash %s with mistakes woven in and none chosen, want %x", seed, got.Hash, want.Hash)
	}
}

// caught reports whether any of the seeds written down catches a mistake.
func caught(t *testing.T, r *mistakes.Runner, c *mistakes.Catch) bool {
	t.Helper()
	for _, seed := range c.Seeds {
		if run(t, r, c.Mistake, seed).Caught() {
			return true
		}
	}
	return false
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
