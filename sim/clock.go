package sim

import (
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/protocol"
)

// epoch is the true wall time at the beginning of a run, in milliseconds since
// 1970: 2026-01-01.
const epoch = 1767225600000

// clock is the hardware clock of a machine. It runs on while the process is
// down, and through a wipe. All times that it is asked about rise.
type clock struct {
	from   time.Duration // true time at which the present rate began
	base   time.Duration // what elapsed showed then
	ppb    int64         // how much faster than true time it runs, in 1e-9
	offset time.Duration // of the wall clock against elapsed
	asleep time.Duration // elapsed time in which the monotonic clock stood still
	most   uint64        // the latest time that a process stamped ops with, since its stamps were put back last
}

// scaled is d as a clock that runs ppb too fast shows it.
func scaled(d time.Duration, ppb int64) time.Duration {
	const unit = int64(time.Second)
	return d + time.Duration(int64(d)/unit*ppb+int64(d)%unit*ppb/unit)
}

func (c *clock) elapsed(now time.Duration) time.Duration { return c.base + scaled(now-c.from, c.ppb) }

// drift changes the rate from now on.
func (c *clock) drift(now time.Duration, ppm float64) {
	c.base, c.from = c.elapsed(now), now
	c.ppb = int64(ppm * 1000)
}

// wall is what the wall clock shows, in milliseconds since 1970.
func (c *clock) wall(now time.Duration) uint64 { return uint64(c.reading(now).Wall) / 1e6 }

// reading is what all clocks of the machine show.
func (c *clock) reading(now time.Duration) clocksync.Reading {
	elapsed := c.elapsed(now)
	return clocksync.Reading{Wall: max(trueTime(elapsed+c.offset), 0), Elapsed: elapsed, Running: elapsed - c.asleep}
}

// trueTime is the time that a clock which is right shows.
func trueTime(now time.Duration) clocksync.Nanos { return epoch*1e6 + clocksync.Nanos(now) }

// mono is what the monotonic clock shows.
func (c *clock) mono(now time.Duration) time.Duration { return c.elapsed(now) - c.asleep }

// until gives how long it takes, in true time, until mono shows at.
func (c *clock) until(now, at time.Duration) time.Duration {
	missing := at - c.mono(now)
	if missing <= 0 {
		return 0
	}
	d := scaled(missing, -c.ppb)
	for range 8 { // the inverse is not exact; it must not wake too early
		late := missing - (c.elapsed(now+d) - c.elapsed(now))
		if late <= 0 {
			break
		}
		d += max(scaled(late, -c.ppb), 1) // from below, so that it is not late either
	}
	return d
}

// instant is the monotonic time since boot, as the machines take it. It is
// never zero: zero means no timer.
func (n *node) instant() protocol.Instant {
	return protocol.Instant(n.clock.mono(n.w.now) - n.booted + 1)
}
