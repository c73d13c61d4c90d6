package check

import "testing"

// TestCorrectHistoriesPass runs all checkers over histories of a store that is
// right: there must be no false alarm.
func TestCorrectHistoriesPass(t *testing.T) {
	t.Parallel()
	examined := map[string]int{}
	for seed := range uint64(300) {
		o := options{nodes: 2 + int(seed%4), sessions: 1 + int(seed%5), steps: 250 + int(seed), resets: seed%3 == 0}
		g := generate(seed, o)
		for _, v := range All(&g.h) {
			examined[v.Check] += v.Examined
			for i, p := range v.Violations {
				if i < 3 {
					t.Errorf("seed %d: %s at %v: %s %v", seed, p.Check, p.At, p.Text, p.Calls)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d, %d calls", seed, len(g.h.Calls))
		}
	}
	for name, n := range examined {
		t.Logf("%s: %d examined", name, n)
		if n == 0 {
			t.Errorf("%s examined nothing", name)
		}
	}
}
