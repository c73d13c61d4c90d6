package clocksync

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Nanos is a time in nanoseconds since 1970 UTC. Values from a peer are
// checked to lie between 1970 and MaxNanos before they are reckoned with.
type Nanos int64

// MaxNanos is the latest time that is believed of anybody: in the year 2243.
// It leaves room for bounds to be added without overflow.
const MaxNanos Nanos = math.MaxInt64 / 16 * 15

// Time is n as a time in UTC.
func (n Nanos) Time() time.Time { return time.Unix(0, int64(n)).UTC() }

// NanosOf is t as Nanos, cut to what Nanos can hold.
func NanosOf(t time.Time) Nanos {
	switch sec := t.Unix(); {
	case sec < 0:
		return 0
	case sec >= int64(MaxNanos)/int64(time.Second):
		return MaxNanos
	}
	return Nanos(t.UnixNano())
}

// Reading is what the machine's clocks show at one moment.
type Reading struct {
	// Wall is the system clock. It may be wrong, and anybody may set it.
	Wall Nanos
	// Elapsed is the boot-time clock: it goes on while the machine is suspended
	// and is never set.
	Elapsed time.Duration
	// Running is the monotonic clock, which stops while the machine is
	// suspended. Zero always: suspensions are not noticed.
	Running time.Duration
}

// Leap is what a source announces about the end of the month. Numbers are
// those of NTP.
type Leap uint8

// Announcements.
const (
	LeapNone   Leap = 0
	LeapInsert Leap = 1
	LeapDelete Leap = 2
)

// Sample is one answer of a time source.
type Sample struct {
	// Elapsed is the reading of the boot-time clock, and Time the source's
	// estimate of true time at that moment.
	Elapsed time.Duration
	Time    Nanos
	// Delay is the round trip to the source. Half of it is the most that an
	// asymmetric path can be off.
	Delay time.Duration
	// RootDelay and RootDispersion are the source's own distance from its
	// reference, as it states them.
	RootDelay      time.Duration
	RootDispersion time.Duration
	Stratum        uint8
	Leap           Leap
	// Agreed: the source compared several clocks itself (a core node, chronyd),
	// so that alone it counts as an agreement.
	Agreed bool
	// Unvouched: the source says itself that nobody vouches for its clock. Its
	// answers are shown and compared, and take no part in the agreement.
	Unvouched bool
}

// Bounds of what a sample may say.
const (
	// MaxDistance is the largest error that a usable answer may have. Source:
	// RFC 5905, MAXDIST.
	MaxDistance = 1500 * time.Millisecond
	// MaxStratum is the largest stratum of a source that is synchronised.
	MaxStratum = 15
	// minError is added to every answer: reading clocks takes time.
	minError = 100 * time.Microsecond
)

// ErrBadSample is what a sample that no sound source can have given is refused
// with.
var ErrBadSample = errors.New("clocksync: sample refused")

// Check reports what is wrong with s, as an error that is [ErrBadSample].
func (s Sample) Check() error {
	refuse := func(what string, got any) error { return fmt.Errorf("%w: %s %v", ErrBadSample, what, got) }
	switch {
	case s.Elapsed < 0:
		return refuse("elapsed", s.Elapsed)
	case s.Time < 0 || s.Time > MaxNanos:
		return refuse("time out of range", int64(s.Time))
	case s.Delay < 0 || s.RootDelay < 0 || s.RootDispersion < 0:
		return refuse("negative delay or dispersion", min(s.Delay, s.RootDelay, s.RootDispersion))
	case s.Delay > 2*MaxDistance || s.RootDelay > 2*MaxDistance || s.RootDispersion > MaxDistance ||
		s.Distance() > MaxDistance:
		return refuse("distance", s.Delay/2+s.RootDelay/2+s.RootDispersion)
	case s.Stratum == 0 || s.Stratum > MaxStratum:
		return refuse("stratum", s.Stratum)
	case s.Leap > LeapDelete:
		return refuse("leap indicator", s.Leap)
	}
	return nil
}

// Distance is the most that s can be off when its source is honest.
func (s Sample) Distance() time.Duration {
	return s.Delay/2 + s.RootDelay/2 + s.RootDispersion + minError
}

// PPB is a rate in parts per billion: 1000 are one ppm.
type PPB int64

// over is what a clock that is off by p gains in d.
func (p PPB) over(d time.Duration) time.Duration {
	return d/1e9*time.Duration(p) + d%1e9*time.Duration(p)/1e9
}

// PPM is p in parts per million, for people.
func (p PPB) PPM() float64 { return float64(p) / 1000 }
