package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
)

// PTP reads a PTP hardware clock, such as /dev/ptp0: that of a network card
// which ptp4l keeps, or in a virtual machine that of the host.
//
// HAZARD: the device does not tell whether anybody keeps it. A clock that runs
// free is a source that is wrong; beside others it is voted out, alone it is
// believed.
type PTP struct {
	// Device is the path of the clock.
	Device string
	// Ahead is how far the device is ahead of UTC: zero if it keeps UTC, 37 s
	// since 2017 if it keeps TAI, as PTP does.
	Ahead time.Duration
	// Read reads the machine's clocks; nil: [System].
	Read func() clocksync.Reading
	// Clock reads the device, as nanoseconds since 1970; nil: the kernel does.
	Clock func(device string) (clocksync.Nanos, error)
}

// ErrNoPTP says that PTP hardware clocks cannot be read on this system.
var ErrNoPTP = errors.New("PTP hardware clocks are read on Linux only")

const (
	ptpTries = 5                // readings of which the shortest counts
	ptpError = time.Millisecond // that a clock is taken to have which does not tell
)

// Ask reads the clock once. It lies somewhere between the readings of the
// machine's clocks before and after; of several tries the shortest counts.
func (p PTP) Ask(ctx context.Context) (clocksync.Sample, error) {
	read, clock := p.Read, p.Clock
	if read == nil {
		read = System
	}
	if clock == nil {
		clock = readPTP
	}
	var best clocksync.Sample
	for i := range ptpTries {
		if err := ctx.Err(); err != nil {
			return clocksync.Sample{}, err
		}
		begin := read()
		shown, err := clock(p.Device)
		end := read()
		if err != nil {
			return clocksync.Sample{}, fmt.Errorf("read %s: %w", p.Device, err)
		}
		took := max(end.Elapsed-begin.Elapsed, 0)
		if i > 0 && took >= best.Delay {
			continue
		}
		best = clocksync.Sample{Elapsed: end.Elapsed, Time: shown - clocksync.Nanos(p.Ahead) + clocksync.Nanos(took/2),
			Delay: took, RootDispersion: ptpError, Stratum: 1}
	}
	return best, best.Check()
}
