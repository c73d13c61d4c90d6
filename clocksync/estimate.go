package clocksync

import "time"

// State is how well a node knows the time. Numbers are on the wire and never
// change meaning.
type State uint8

// The states, see [Keeper].
const (
	StateUnsynced State = 0 // nobody vouches for the time
	StateHoldover State = 1 // sources are gone or quarrel; the last agreement is carried on
	StateSynced   State = 2 // a majority of sources agrees
	StateStepped  State = 3 // a clock has jumped and no agreement came since
)

// String names the state in lower case.
func (s State) String() string {
	switch s {
	case StateHoldover:
		return "holdover"
	case StateSynced:
		return "synced"
	case StateStepped:
		return "stepped"
	default:
		return "unsynced"
	}
}

// slewRate is how fast the corrected time goes to where it should be: 0.5 ms a
// second. Source: the kernel's adjtime.
const slewRate PPB = 500_000

// Estimate says what time it is, for readings from when it was made until the
// next one is. It is immutable. The zero value follows the system clock.
//
// Invariant: between two readings in order, At does not go back, unless it
// follows a system clock that does.
type Estimate struct {
	State State
	known bool // false: nothing is known but the system clock

	from  time.Duration // elapsed when it was made
	time  time.Duration // corrected time minus elapsed, at from
	slew  time.Duration // what is still to be made up, at slewRate
	drift PPB

	truth  Interval // true time minus elapsed, at from
	growth PPB
}

// Moment is an estimate at one reading.
type Moment struct {
	Time  Nanos
	State State
	Trust Trust
	// Bound is how far Time may be off, and Known false if nobody can say.
	Bound time.Duration
	Known bool
	// Offset is Time minus the system clock.
	Offset time.Duration
}

// At is the corrected time at a reading.
func (e *Estimate) At(r Reading) Moment {
	if !e.known {
		return Moment{Time: min(max(r.Wall, 0), MaxNanos), State: e.State}
	}
	d := max(r.Elapsed-e.from, 0)
	moved := e.drift.over(d)
	ahead := e.time + moved + clampTo(e.slew, slewRate.over(d))
	grown := e.growth.over(d)
	lo, hi := e.truth.Lo+moved-grown, e.truth.Hi+moved+grown
	m := Moment{
		Time: min(max(Nanos(ahead+r.Elapsed), 0), MaxNanos), State: e.State, Known: true,
		Bound: max(hi-ahead, ahead-lo, 0),
	}
	m.Offset = time.Duration(m.Time - min(max(r.Wall, 0), MaxNanos))
	m.Trust = trustOf(m)
	return m
}

// trustOf is the class of a stamp made now. A time that may be further off
// than MaxAhead would be refused by the peers' clocks, so it is not vouched for.
func trustOf(m Moment) Trust {
	switch {
	case !m.Known || m.Bound > MaxAhead:
		return Unsynced
	case m.State == StateSynced:
		return Synced
	case m.State == StateHoldover:
		return Holdover
	}
	return Unsynced
}

// clampTo is v cut to [-most, most].
func clampTo(v, most time.Duration) time.Duration { return min(max(v, -most), most) }

// Millis is the time as stamps count it.
func (m Moment) Millis() uint64 { return uint64(m.Time) / uint64(time.Millisecond) }
