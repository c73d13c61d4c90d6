//go:build soak

package e2e

import (
	"os"
	"testing"
	"time"
)

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
