package check

import (
	"os"
	"strconv"
	"testing"
)

func TestTmpMany(t *testing.T) {
	from, _ := strconv.Atoi(os.Getenv("FROM"))
	n, _ := strconv.Atoi(os.Getenv("N"))
	for seed := uint64(from); seed < uint64(from+n); seed++ {
		o := options{nodes: 2 + int(seed%4), sessions: 1 + int(seed%5), steps: 250 + int(seed%600), resets: seed%3 == 0}
		g := generate(seed, o)
		for _, v := range All(&g.h) {
			for i, p := range v.Violations {
				if i < 3 {
					t.Errorf("seed %d: %s at %v: %s %v", seed, p.Check, p.At, p.Text, p.Calls)
				}
			}
		}
	}
}
