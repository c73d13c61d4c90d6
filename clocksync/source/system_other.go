//go:build !linux

package source

import (
	"time"

	"github.com/causeway-sync/causeway/clocksync"
)

var started = time.Now()

// System reads the clocks of the machine. Suspensions are noticed on Linux only.
func System() clocksync.Reading {
	now := time.Now()
	return clocksync.Reading{Wall: clocksync.NanosOf(now), Elapsed: now.Sub(started)}
}
