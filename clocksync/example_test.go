package clocksync_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
)

func ExampleClock_Now() {
	const wall = 1767366245678
	var clock clocksync.Clock
	for _, now := range []uint64{wall, wall, wall - 3000} { // the wall clock goes back by more than anybody believes
		s, err := clock.Now(now, clocksync.Synced)
		fmt.Println(s, err)
	}
	// Output:
	// 2026-01-02T15:04:05.678Z+0 synced <nil>
	// 2026-01-02T15:04:05.678Z+1 synced <nil>
	// 2026-01-02T15:04:05.678Z+2 unsynced <nil>
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

func ExampleAgree() {
	ms := func(lo, hi int) clocksync.Interval {
		return clocksync.Interval{Lo: time.Duration(lo) * time.Millisecond, Hi: time.Duration(hi) * time.Millisecond}
	}
	fmt.Println(clocksync.Agree([]clocksync.Interval{ms(-2, 3), ms(0, 5), ms(298, 302)}))
	_, _, ok := clocksync.Agree([]clocksync.Interval{ms(-2, 3), ms(0, 5), ms(298, 302), ms(299, 303)})
	fmt.Println(ok)
	// Output:
	// {0s 3ms} [true true false] true
	// false
}
