package clocksync_test

import (
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/clocksync"
)

func ExampleClock_Now() {
	const wall = 1767366245678
	var clock clocksync.Clock
	for _, now := range []uint64{wall, wall, wall - 3000} { // the wall clock goes back
		s, err := clock.Now(now, clocksync.Synced)
		fmt.Println(s, err)
	}
	// Output:
	// 2026-01-02T15:04:05.678Z+0 synced <nil>
	// 2026-01-02T15:04:05.678Z+1 synced <nil>
	// 2026-01-02T15:04:05.678Z+2 synced <nil>
}

func ExampleClock_Observe() {
	const wall = 1767366245678
	var clock clocksync.Clock
	fmt.Println(clock.Observe(clocksync.Stamp{Wall: wall + 100}, wall))
	fmt.Println(errors.Is(clock.Observe(clocksync.Stamp{Wall: wall + 3600_000}, wall), clocksync.ErrFarFuture))
	s, err := clock.Now(wall, clocksync.Holdover)
	fmt.Println(s, err)
	// Output:
	// <nil>
	// true
	// 2026-01-02T15:04:05.778Z+1 holdover <nil>
}

func ExampleRestore() {
	var clock clocksync.Clock
	before, _ := clock.Now(1767366245678, clocksync.Synced)
	// Clock.Bound was made durable before the stamp was given to anybody; after a
	// crash the wall clock stands at zero.
	clock = clocksync.Restore(clock.Bound())
	after, _ := clock.Now(0, clocksync.Unsynced)
	fmt.Println(after.Compare(before), after.Time().Sub(before.Time()))
	// Output: 1 2s
}
