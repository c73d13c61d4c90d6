//go:build soak

package live_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/live"
)

// Three core nodes and three edges go through drawn mixes of faults, one seed
// after the other, until the test is stopped or CAUSEWAY_SOAK_UNTIL, a time as in
// RFC 3339, has passed. CAUSEWAY_SOAK_SEED names the first seed.
func TestSoakLive(t *testing.T) {
	var until time.Time
	if text := os.Getenv("CAUSEWAY_SOAK_UNTIL"); text != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, text); err != nil {
			t.Fatalf("CAUSEWAY_SOAK_UNTIL: %v", err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CAUSEWAY_SOAK_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 0, 64); err != nil {
			t.Fatalf("CAUSEWAY_SOAK_SEED: %v", err)
		}
	}
	for ; until.IsZero() || time.Now().Before(until); seed++ {
		if !t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { soak(t, seed) }) {
			return
		}
	}
}

func soak(t *testing.T, seed uint64) {
	plan := sim.Draw(seed, sim.Shape{Cores: 3, Edges: 3, Length: 40 * time.Second})
	o := options(t)
	o.SkipUnsupported = true
	r, err := live.Run(t.Context(), plan, seed, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range plan.Faults {
		t.Logf("%v +%v %v %v %v", f.At, f.For, f.Kind, f.Nodes, f.Peers)
	}
	report(t, r)
}
