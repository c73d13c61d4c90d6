package clocksync

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Trust is the class of the clock that made a stamp.
type Trust uint8

// Trust classes, from the least to the most trusted. Numbers are on the wire
// and never change meaning.
const (
	Unsynced Trust = 0 // nobody vouches for the clock
	Holdover Trust = 1 // was in agreement with its sources not long ago
	Synced   Trust = 2 // in agreement with its sources
)

// String names the class in lower case.
func (t Trust) String() string {
	switch t {
	case Synced:
		return "synced"
	case Holdover:
		return "holdover"
	default:
		return "unsynced"
	}
}

// MaxWall is the largest wall time of a stamp in milliseconds: 48 bits.
const MaxWall = 1<<48 - 1

// Stamp is hybrid logical time. Stamps order by Wall, then Logical; Trust does
// not take part in the order.
type Stamp struct {
	Wall    uint64 // milliseconds since 1970 UTC, at most MaxWall
	Logical uint16 // counter within the millisecond
	Trust   Trust
}

// Compare returns -1, 0 or +1 by wall time and counter.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.Wall, t.Wall), cmp.Compare(s.Logical, t.Logical))
}

// IsZero reports whether s was never set.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// Next returns the smallest stamp after s, of the same trust class. At the end
// of time it returns s unchanged and false.
func (s Stamp) Next() (Stamp, bool) {
	switch {
	case s.Logical < 1<<16-1:
		s.Logical++
	case s.Wall < MaxWall:
		s.Wall, s.Logical = s.Wall+1, 0
	default:
		return s, false
	}
	return s, true
}

// Time is the wall part as a time in UTC.
func (s Stamp) Time() time.Time { return time.UnixMilli(int64(s.Wall)).UTC() }

// String gives "2026-01-02T15:04:05.678Z+3 synced".
func (s Stamp) String() string {
	return fmt.Sprintf("%s+%d %s", s.Time().Format("2006-01-02T15:04:05.000Z"), s.Logical, s.Trust)
}

// Errors of this package.
var (
	// ErrFarFuture says that a remote stamp is further ahead than MaxAhead.
	ErrFarFuture = errors.New("clocksync: stamp too far in the future")
	// ErrExhausted says that the hybrid clock has reached the end of its range.
	ErrExhausted = errors.New("clocksync: clock exhausted")
)

// MaxAhead is how far a remote stamp may be ahead of the wall clock and still
// move our clock.
const MaxAhead = 500 * time.Millisecond

// BoundStep is how far ahead of the last stamp the persisted bound is set.
const BoundStep = 2 * time.Second

// Clock makes strictly rising stamps. The zero value is a clock that has never
// made one. It is not safe for concurrent use: one goroutine owns it.
//
// Invariant: every stamp returned by Now has Wall < Bound().
type Clock struct {
	last  Stamp
	bound uint64 // persisted: stamps stay below this wall time
}

// Restore returns a clock that continues behind a bound that was persisted by
// an earlier run: no stamp it makes repeats or precedes one of that run. Its
// first stamp is at least bound, so a node that restarts more often than every
// BoundStep runs ahead of its wall clock until the wall clock has caught up.
func Restore(bound uint64) Clock {
	if bound == 0 {
		return Clock{}
	}
	return Clock{last: Stamp{Wall: min(bound-1, MaxWall), Logical: 1<<16 - 1}, bound: bound}
}

// Bound is the wall time in milliseconds that must be durable before any stamp
// made so far is acknowledged to anybody. It rises in steps of BoundStep.
func (c *Clock) Bound() uint64 { return c.bound }

// Now returns a stamp later than every earlier one and not before wall, which
// is the node's present time in milliseconds. The stamp is of class trust,
// unless the clock runs more than MaxAhead ahead of wall (the node's clock was
// wrong earlier): then nobody vouches for it. It returns ErrExhausted at the
// end of the range.
func (c *Clock) Now(wall uint64, trust Trust) (Stamp, error) {
	s := Stamp{Wall: min(wall, MaxWall)}
	if s.Compare(c.last) <= 0 {
		next, ok := c.last.Next()
		if !ok {
			return Stamp{}, ErrExhausted
		}
		s = next
	}
	if s.Trust = trust; farFuture(s, wall) {
		s.Trust = Unsynced
	}
	c.advance(s)
	return s, nil
}

// Ahead is how far the clock runs ahead of wall; zero if it does not.
func (c *Clock) Ahead(wall uint64) time.Duration {
	return time.Duration(c.last.Wall-min(c.last.Wall, min(wall, MaxWall))) * time.Millisecond
}

// Observe folds a remote stamp into the clock, so that later local stamps
// follow it. It returns ErrFarFuture, and changes nothing, if s is more than
// MaxAhead ahead of wall.
func (c *Clock) Observe(s Stamp, wall uint64) error {
	if farFuture(s, wall) {
		return ErrFarFuture
	}
	if s.Compare(c.last) > 0 {
		c.advance(s)
	}
	return nil
}

// After returns a stamp later than every earlier one of the clock and later
// than after, the latest stamp of what the stamped thing follows. If after is
// too far ahead to be believed (see [Clock.Observe]), the clock does not move:
// the stamp is the smallest behind after, its trust class is Unsynced because
// the clock does not vouch for it, and it is unique only among what follows
// after. It returns ErrExhausted at the end of the range.
func (c *Clock) After(after Stamp, wall uint64, trust Trust) (Stamp, error) {
	if err := c.Observe(after, wall); err == nil || after.Compare(c.last) <= 0 {
		return c.Now(wall, trust)
	}
	s, ok := after.Next()
	if !ok {
		return Stamp{}, ErrExhausted
	}
	s.Trust = Unsynced
	return s, nil
}

func farFuture(s Stamp, wall uint64) bool {
	return s.Wall > MaxWall || s.Wall > min(wall, MaxWall)+uint64(MaxAhead/time.Millisecond)
}

func (c *Clock) advance(s Stamp) {
	c.last = s
	if s.Wall >= c.bound {
		c.bound = s.Wall + uint64(BoundStep/time.Millisecond)
	}
}
