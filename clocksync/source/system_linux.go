package source

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/causeway-sync/causeway/clocksync"
)

// System reads the clocks of the machine: CLOCK_REALTIME, CLOCK_BOOTTIME and
// CLOCK_MONOTONIC. The last one stops while the machine is suspended.
func System() clocksync.Reading {
	boot, mono := read(unix.CLOCK_BOOTTIME), read(unix.CLOCK_MONOTONIC)
	return clocksync.Reading{Wall: clocksync.NanosOf(time.Now()), Elapsed: boot, Running: mono}
}

// read cannot fail for the clocks that every kernel has.
func read(clock int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic("clocksync/source: clock_gettime: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
