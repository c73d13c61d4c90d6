//go:build soak

package e2e

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// Clients change node and rung each second, while links flap and three nodes
// write, for ten minutes or CAUSEWAY_SOAK_FOR.
func TestSoakFollow(t *testing.T) {
	span := 10 * time.Minute
	if text := os.Getenv("CAUSEWAY_SOAK_FOR"); text != "" {
		var err error
		if span, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CAUSEWAY_SOAK_FOR: %v", err)
		}
	}
	end, seed := time.Now().Add(span), uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	followAnywhere(t, seed, func(int, *rand.Rand) (stay, bool) {
		now := time.Now()
		return stay{changes: 1 << 30, patience: time.Second, until: now.Add(time.Second / 2)}, now.Before(end)
	})
}

// Fifty edges and thirty core nodes are killed in each round, with another
// seed, until the test is stopped or CAUSEWAY_SOAK_UNTIL, a time as in RFC 3339,
// has passed.
func TestSoakKilledNodes(t *testing.T) {
	var until time.Time
	if text := os.Getenv("CAUSEWAY_SOAK_UNTIL"); text != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, text); err != nil {
			t.Fatalf("CAUSEWAY_SOAK_UNTIL: %v", err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	for round := uint64(0); until.IsZero() || time.Now().Before(until); round++ {
		t.Logf("round %d, seed %d", round, seed+round)
		if !t.Run("round", func(t *testing.T) { killNodes(t, 50, seed+round) }) {
			return
		}
	}
}
