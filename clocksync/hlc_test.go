package clocksync_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"pgregory.net/rapid"
)

const (
	aheadMillis = uint64(clocksync.MaxAhead / time.Millisecond)
	stepMillis  = uint64(clocksync.BoundStep / time.Millisecond)
)

func anyTrust() *rapid.Generator[clocksync.Trust] {
	return rapid.SampledFrom([]clocksync.Trust{clocksync.Unsynced, clocksync.Holdover, clocksync.Synced})
}

// TestStampsRise runs a clock through wall clocks that stand, jump and go
// back, remote stamps honest and not, and restarts that know only the bound
// that was durable when a stamp was given away.
func TestStampsRise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var clock clocksync.Clock
		var last clocksync.Stamp
		durable := uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			wall := rapid.OneOf(rapid.Uint64Range(0, 20), rapid.Uint64Range(10_000, 10_010),
				rapid.Uint64Range(0, 100_000)).Draw(t, "wall")
			remote := clocksync.Stamp{
				Wall:    wall + rapid.Uint64Range(0, 2*aheadMillis).Draw(t, "ahead"),
				Logical: rapid.SampledFrom([]uint16{0, 1, math.MaxUint16 - 1, math.MaxUint16}).Draw(t, "logical"),
			}
			var s clocksync.Stamp
			var err error
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				clock = clocksync.Restore(durable)
				continue
			case 1:
				before := clock
				err := clock.Observe(remote, wall)
				far := remote.Wall > wall+aheadMillis
				if far != errors.Is(err, clocksync.ErrFarFuture) || (far && clock != before) {
					t.Fatalf("Observe(%v) at %d: %v, clock moved: %v", remote, wall, err, clock != before)
				}
				continue
			case 2:
				s, err = clock.After(remote, wall, clocksync.Synced)
				if err != nil || s.Compare(remote) <= 0 {
					t.Fatalf("After(%v) at %d = %v, %v, want a later one", remote, wall, s, err)
				}
				if remote.Wall > wall+aheadMillis && s.Trust == clocksync.Unsynced {
					continue // behind a stamp that is not believed: the clock does not move
				}
			case 3:
				if s, err = clock.Now(wall, clocksync.Synced); err != nil {
					t.Fatalf("Now(%d): %v", wall, err)
				}
			}
			trust := clocksync.Synced
			if s.Wall > wall+aheadMillis {
				trust = clocksync.Unsynced
			}
			if s.Compare(last) <= 0 || s.Wall < wall || s.Trust != trust {
				t.Fatalf("stamp at %d = %v after %v, want a later one, not before the wall clock, %v", wall, s, last, trust)
			}
			if s.Wall >= clock.Bound() || clock.Bound() < durable {
				t.Fatalf("stamp %v, bound %d after %d, want the stamp below a bound that rises", s, clock.Bound(), durable)
			}
			last, durable = s, clock.Bound()
		}
	})
}

func TestSameMillisecondCountsUp(t *testing.T) {
	t.Parallel()
	var clock clocksync.Clock
	for i := range 1<<16 + 1 {
		s, err := clock.Now(1000, clocksync.Synced)
		want := clocksync.Stamp{Wall: 1000 + uint64(i>>16), Logical: uint16(i), Trust: clocksync.Synced}
		if err != nil || s != want {
			t.Fatalf("stamp %d within one millisecond = %v, %v, want %v", i, s, err, want)
		}
	}
}

func TestBoundRisesInSteps(t *testing.T) {
	t.Parallel()
	var clock clocksync.Clock
	bounds := make(map[uint64]bool)
	for wall := uint64(5000); wall < 15_000; wall++ {
		if _, err := clock.Now(wall, clocksync.Synced); err != nil {
			t.Fatal(err)
		}
		bounds[clock.Bound()] = true
	}
	if want := int(10_000 / stepMillis); len(bounds) != want {
		t.Errorf("ten seconds of stamps moved the bound %d times, want %d", len(bounds), want)
	}
}

func TestRestartDoesNotRepeat(t *testing.T) {
	t.Parallel()
	for _, wall := range []uint64{0, 1, 1_800_000_000_000, clocksync.MaxWall - 1} {
		var clock clocksync.Clock
		before, err := clock.Now(wall, clocksync.Synced)
		if err != nil {
			t.Fatal(err)
		}
		clock = clocksync.Restore(clock.Bound())
		after, err := clock.Now(0, clocksync.Unsynced)
		if errors.Is(err, clocksync.ErrExhausted) && wall > clocksync.MaxWall-stepMillis {
			continue
		}
		if err != nil || after.Compare(before) <= 0 {
			t.Errorf("first stamp after a restart = %v, %v, want one behind %v", after, err, before)
		}
	}
	if clocksync.Restore(0) != (clocksync.Clock{}) {
		t.Error("Restore(0) is not a new clock")
	}
}

func TestFarFutureIsRefused(t *testing.T) {
	t.Parallel()
	const wall = 1_000_000
	var clock clocksync.Clock
	if err := clock.Observe(clocksync.Stamp{Wall: wall + aheadMillis, Logical: 9}, wall); err != nil {
		t.Errorf("Observe of a stamp %v ahead: %v, want it believed", clocksync.MaxAhead, err)
	}
	if s, err := clock.Now(wall, clocksync.Synced); err != nil || s.Wall != wall+aheadMillis || s.Logical != 10 {
		t.Errorf("Now after it = %v, %v, want the stamp behind it", s, err)
	}
	before := clock
	for _, s := range []clocksync.Stamp{
		{Wall: wall + aheadMillis + 1}, {Wall: clocksync.MaxWall}, {Wall: clocksync.MaxWall + 1}, {Wall: math.MaxUint64},
	} {
		if err := clock.Observe(s, wall); !errors.Is(err, clocksync.ErrFarFuture) || clock != before {
			t.Errorf("Observe(%v): %v, clock moved: %v, want ErrFarFuture and no change", s, err, clock != before)
		}
	}
	err := clock.Observe(clocksync.Stamp{Wall: math.MaxUint64}, math.MaxUint64)
	if !errors.Is(err, clocksync.ErrFarFuture) {
		t.Errorf("Observe at a wall clock out of range: %v, want ErrFarFuture", err)
	}
}

func TestAfterAStampThatIsNotBelieved(t *testing.T) {
	t.Parallel()
	var clock clocksync.Clock
	liar := clocksync.Stamp{Wall: 9_000_000, Logical: math.MaxUint16, Trust: clocksync.Synced}
	s, err := clock.After(liar, 1000, clocksync.Synced)
	if want := (clocksync.Stamp{Wall: 9_000_001}); err != nil || s != want {
		t.Errorf("After(%v) = %v, %v, want %v", liar, s, err, want)
	}
	if s, err := clock.Now(1000, clocksync.Synced); err != nil || s.Wall != 1000 {
		t.Errorf("Now = %v, %v, want the clock unmoved", s, err)
	}
	end := clocksync.Stamp{Wall: clocksync.MaxWall, Logical: math.MaxUint16}
	if s, err := clock.After(end, 1000, clocksync.Synced); !errors.Is(err, clocksync.ErrExhausted) {
		t.Errorf("After the end of time = %v, %v, want ErrExhausted", s, err)
	}
}

func TestExhaustion(t *testing.T) {
	t.Parallel()
	for name, clock := range map[string]clocksync.Clock{
		"restored at the end":     clocksync.Restore(clocksync.MaxWall),
		"restored behind the end": clocksync.Restore(clocksync.MaxWall + stepMillis),
	} {
		stamps := 0
		var err error
		for ; err == nil; stamps++ {
			_, err = clock.Now(math.MaxUint64, clocksync.Synced)
		}
		if !errors.Is(err, clocksync.ErrExhausted) || stamps > 1<<16+1 {
			t.Errorf("%s: %v after %d stamps, want ErrExhausted", name, err, stamps)
		}
		before := clock
		if _, err := clock.Now(0, clocksync.Synced); !errors.Is(err, clocksync.ErrExhausted) || clock != before {
			t.Errorf("%s: Now again: %v, want ErrExhausted and no change", name, err)
		}
	}
	last := clocksync.Restore(clocksync.MaxWall + 1)
	if s, err := last.Now(0, clocksync.Synced); !errors.Is(err, clocksync.ErrExhausted) {
		t.Errorf("Now behind a bound that covers all stamps = %v, %v, want ErrExhausted", s, err)
	}
}

func TestStampOrder(t *testing.T) {
	t.Parallel()
	anyStamp := rapid.Custom(func(t *rapid.T) clocksync.Stamp {
		return clocksync.Stamp{
			Wall: rapid.Uint64Range(0, 3).Draw(t, "wall"), Logical: rapid.Uint16Range(0, 3).Draw(t, "logical"),
			Trust: anyTrust().Draw(t, "trust"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyStamp.Draw(t, "a"), anyStamp.Draw(t, "b")
		want := 0
		switch x, y := a.Wall<<16|uint64(a.Logical), b.Wall<<16|uint64(b.Logical); {
		case x < y:
			want = -1
		case x > y:
			want = 1
		}
		if got := a.Compare(b); got != want || b.Compare(a) != -want {
			t.Errorf("Compare(%v, %v) = %d, want %d", a, b, got, want)
		}
		if next, ok := a.Next(); !ok || next.Compare(a) <= 0 || next.Trust != a.Trust {
			t.Errorf("Next(%v) = %v, %v", a, next, ok)
		}
	})
}

func TestStampText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 15, 4, 5, 678_000_000, time.UTC)
	s := clocksync.Stamp{Wall: uint64(at.UnixMilli()), Logical: 3, Trust: clocksync.Synced}
	if got, want := s.String(), "2026-01-02T15:04:05.678Z+3 synced"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
	if !s.Time().Equal(at) || s.IsZero() || !(clocksync.Stamp{}).IsZero() {
		t.Errorf("Time = %v, want %v", s.Time(), at)
	}
	for trust, want := range map[clocksync.Trust]string{0: "unsynced", 1: "holdover", 2: "synced", 9: "unsynced"} {
		if got := trust.String(); got != want {
			t.Errorf("Trust(%d) = %q, want %q", trust, got, want)
		}
	}
}

func BenchmarkNow(b *testing.B) {
	var clock clocksync.Clock
	wall := uint64(1_800_000_000_000)
	b.ReportAllocs()
	for b.Loop() {
		wall++
		if _, err := clock.Now(wall/64, clocksync.Synced); err != nil {
			b.Fatal(err)
		}
	}
}
