package live

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim/scenario"
)

// notLive are the shipped scenarios about what real processes cannot be made to
// suffer, or that need more of them than one machine carries.
var notLive = []string{
	"clock-an-hour-ahead", "clock-back-at-restart", "disk-full-at-an-edge", "disk-full-at-two-core-nodes", "fsync-error",
	"rolling-upgrade", "slow-disk", "stream-made-again", "stream-with-holes", "thousand-edges-reconnect",
	"thousand-edges-thirty-days",
}

// All other shipped scenarios can be made live as they are, at a speed at which
// they take a quarter of an hour at most.
func TestShippedScenarios(t *testing.T) {
	t.Parallel()
	for _, name := range scenario.Names() {
		plan, err := scenario.LoadShipped(name, 1)
		if err != nil {
			t.Fatal(err)
		}
		speed := max(1, float64(plan.Length)/float64(defaultMaxLength)+1)
		_, err = fit(scaled(plan, 1, speed), Options{MaxLength: defaultMaxLength, Speed: speed})
		_, unfit := errors.AsType[*UnfitError](err)
		if unfit != slices.Contains(notLive, name) {
			t.Errorf("%s at speed %.0f (%v): fit = %v, want an UnfitError: %v", name, speed,
				plan.Length.Round(time.Second), err, slices.Contains(notLive, name))
		}
	}
}
