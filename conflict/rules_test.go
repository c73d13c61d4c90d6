package conflict_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
	"pgregory.net/rapid"
)

func dot(o vclock.Origin, n vclock.Seq) vclock.Dot { return vclock.Dot{Origin: o, Seq: n} }

func at(wall uint64, trust clocksync.Trust) clocksync.Stamp {
	return clocksync.Stamp{Wall: wall, Trust: trust}
}

func TestRegisterShowsTheBestAndKeepsTheOthers(t *testing.T) {
	t.Parallel()
	var none vclock.Vector
	var r conflict.Register
	if v, ok := r.Shown(); ok || r.Others() != nil {
		t.Errorf("Shown of a register never written = %v, %v", v, ok)
	}
	for _, v := range []conflict.Value{
		{Dot: dot("a", 1), Stamp: at(9, clocksync.Unsynced), Data: []byte("late but unsure")},
		{Dot: dot("b", 1), Stamp: at(5, clocksync.Synced), Data: []byte("shown")},
		{Dot: dot("c", 1), Stamp: at(4, clocksync.Synced), Data: []byte("shown")},
		{Dot: dot("d", 1), Stamp: at(4, clocksync.Synced), Data: []byte("same stamp, larger dot")},
		{Dot: dot("e", 1), Stamp: at(3, clocksync.Synced), Deleted: true},
		{Dot: dot("f", 1), Stamp: at(2, clocksync.Synced), Deleted: true},
		{Dot: dot("g", 1), Stamp: at(1, clocksync.Synced), Data: []byte("same stamp, larger dot")},
	} {
		r = r.Write(v, none)
	}
	shown, ok := r.Shown()
	if !ok || string(shown.Data) != "shown" || shown.Dot.Origin != "b" {
		t.Errorf("Shown = %v, %v, want the later of the synced ones", shown, ok)
	}
	var got []string
	for _, v := range r.Others() {
		got = append(got, fmt.Sprintf("%s %s: %s", v.Dot.Origin, v.Data, conflict.Reason(shown, v)))
	}
	want := []string{
		"d same stamp, larger dot: concurrent; earlier stamp",
		"e : concurrent; earlier stamp",
		"a late but unsure: concurrent; untrusted clock",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Others = %q, want %q: equal values are no conflict", got, want)
	}
	seen := vclock.Of(dot("a", 1), dot("b", 1), dot("c", 1), dot("d", 1), dot("e", 1), dot("f", 1), dot("g", 1))
	last := conflict.Value{Dot: dot("a", 2), Stamp: at(10, clocksync.Unsynced), Data: []byte("settled")}
	if r = r.Write(last, seen); len(r.Values) != 1 || r.Others() != nil {
		t.Errorf("after a write that has seen all: %v, want it alone", r)
	}
	if again := r.Write(last, seen); len(again.Values) != 1 {
		t.Errorf("the same write again: %v, want no change", again)
	}
}

func TestReasonOfATie(t *testing.T) {
	t.Parallel()
	a := conflict.Value{Dot: dot("a", 1), Stamp: at(1, clocksync.Synced)}
	b := conflict.Value{Dot: dot("b", 1), Stamp: at(1, clocksync.Synced)}
	if !conflict.Beats(b, a) || conflict.Beats(a, b) || conflict.Beats(a, a) {
		t.Error("of equal stamps the larger dot must win, and nothing beats itself")
	}
	if got, want := conflict.Reason(b, a), "concurrent; tie by origin"; got != want {
		t.Errorf("Reason = %q, want %q", got, want)
	}
}

func TestBeatsIsATotalOrder(t *testing.T) {
	t.Parallel()
	anyValue := rapid.Custom(func(t *rapid.T) conflict.Value {
		return conflict.Value{
			Dot: dot(rapid.SampledFrom([]vclock.Origin{"a", "b"}).Draw(t, "o"), vclock.Seq(rapid.IntRange(1, 2).Draw(t, "n"))),
			Stamp: at(rapid.Uint64Range(0, 2).Draw(t, "wall"),
				rapid.SampledFrom([]clocksync.Trust{0, 1, 2}).Draw(t, "trust")),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyValue.Draw(t, "a"), anyValue.Draw(t, "b"), anyValue.Draw(t, "c")
		if a.Dot != b.Dot && conflict.Beats(a, b) == conflict.Beats(b, a) {
			t.Errorf("neither or both of %v, %v beat the other", a, b)
		}
		if conflict.Beats(a, b) && conflict.Beats(b, c) && !conflict.Beats(a, c) {
			t.Errorf("%v, %v, %v beat each other in a ring", a, b, c)
		}
	})
}

func TestCounterCountsAKeyOnce(t *testing.T) {
	t.Parallel()
	var c conflict.Counter
	for _, a := range []conflict.Addition{
		{Dot: dot("b", 1), Key: "visit-7", By: 10},
		{Dot: dot("a", 5), Key: "visit-7", By: 1},
		{Dot: dot("c", 1), By: 100},
		{Dot: dot("c", 2), By: 100},
		{Dot: dot("c", 2), By: 100},
	} {
		var err error
		if c, err = c.Add(a); err != nil {
			t.Fatalf("Add(%v): %v", a, err)
		}
	}
	if got, err := c.Total(); got != 201 || err != nil {
		t.Errorf("Total = %d, %v, want 201: the smallest dot of a key, each dot once", got, err)
	}
	if got, err := c.Reset(vclock.Of(dot("a", 5), dot("c", 1))).Total(); got != 110 || err != nil {
		t.Errorf("Total after a reset = %d, %v, want 110: what the reset had not seen", got, err)
	}
}

func TestCounterOverflow(t *testing.T) {
	t.Parallel()
	c, err := conflict.Counter{}.Add(conflict.Addition{Dot: dot("a", 1), By: math.MaxInt64})
	if err != nil {
		t.Fatalf("Add(MaxInt64): %v", err)
	}
	over, err := c.Add(conflict.Addition{Dot: dot("b", 1), By: 1})
	if !errors.Is(err, conflict.ErrOverflow) || len(over.Additions) != 2 {
		t.Errorf("Add beyond MaxInt64 = %v, %v, want it kept and ErrOverflow", over, err)
	}
	if got, err := over.Total(); got != math.MaxInt64 || !errors.Is(err, conflict.ErrOverflow) {
		t.Errorf("Total = %d, %v, want MaxInt64 and ErrOverflow", got, err)
	}
	back, err := over.Add(conflict.Addition{Dot: dot("c", 1), By: -1})
	if got, terr := back.Total(); err != nil || terr != nil || got != math.MaxInt64 {
		t.Errorf("Total after the way back = %d, %v, %v, want MaxInt64", got, err, terr)
	}
}

func TestTotalAgainstBigNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c conflict.Counter
		want := new(big.Int)
		for i, by := range rapid.SliceOfN(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2),
			rapid.SampledFrom([]int64{math.MaxInt64, math.MinInt64})), 0, 12).Draw(t, "by") {
			c.Additions = append(c.Additions, conflict.Addition{Dot: dot("a", vclock.Seq(i+1)), By: by})
			want.Add(want, big.NewInt(by))
		}
		got, err := c.Total()
		if want.IsInt64() != (err == nil) || (err == nil && got != want.Int64()) {
			t.Errorf("Total = %d, %v, want %v", got, err, want)
		}
		if err != nil && (got != math.MaxInt64 || want.Sign() < 0) && (got != math.MinInt64 || want.Sign() > 0) {
			t.Errorf("Total = %d for %v, want the nearest number", got, want)
		}
	})
}

func TestInsertWinsOverAConcurrentRemove(t *testing.T) {
	t.Parallel()
	var none vclock.Vector
	base := conflict.Set{}.Insert([]byte(`"vip"`), dot("a", 1), none)
	seen := vclock.Of(dot("a", 1))
	removed := base.Remove([]byte(`"vip"`), seen)
	if len(removed.Elements) != 0 {
		t.Errorf("Remove = %v, want an empty set", removed)
	}
	again := base.Insert([]byte(`"vip"`), dot("c", 1), seen)
	joined := removed.Join(seen.With(dot("b", 1)), again, seen.With(dot("c", 1)))
	if len(joined.Elements) != 1 || !slices.Equal(joined.Elements[0].Dots, []vclock.Dot{dot("c", 1)}) {
		t.Errorf("Join = %v, want the element, held by the insert that the remove had not seen", joined)
	}
	if s := removed.Remove([]byte(`"none"`), seen); len(s.Elements) != 0 {
		t.Errorf("Remove of what is not there = %v", s)
	}
}

func TestLegalMoves(t *testing.T) {
	t.Parallel()
	for s, want := range map[conflict.State][]string{
		conflict.Initialized: {"active", "ended"},
		conflict.Active:      {"paused", "ended"},
		conflict.Paused:      {"active", "ended"},
		conflict.Ended:       {"reopened"},
		conflict.State(9):    nil,
	} {
		if got := conflict.Legal(s); !slices.Equal(got, want) {
			t.Errorf("Legal(%v) = %v, want %v", s, got, want)
		}
		for _, to := range []string{"initialized", "active", "paused", "ended", "reopened", "", "unknown"} {
			next, epoch, ok := conflict.Next(s, 4, to)
			wantState, wantEpoch := to, uint64(4)
			switch {
			case !slices.Contains(want, to):
				wantState = s.String()
			case to == "reopened":
				wantState, wantEpoch = "active", 5
			}
			if ok != slices.Contains(want, to) || next.String() != wantState || epoch != wantEpoch {
				t.Errorf("Next(%v, 4, %q) = %v, %d, %v, want %s, %d", s, to, next, epoch, ok, wantState, wantEpoch)
			}
		}
	}
	if _, _, ok := conflict.Next(conflict.Ended, math.MaxUint64, "reopened"); ok {
		t.Error("Next at the last epoch = true, want no further one")
	}
}

func TestConcurrentMoves(t *testing.T) {
	t.Parallel()
	var none vclock.Vector
	move := func(o vclock.Origin, to conflict.State, epoch uint64) conflict.Move {
		return conflict.Move{Dot: dot(o, 1), Stamp: at(1, clocksync.Synced), To: to, Epoch: epoch}
	}
	var l conflict.Lifecycle
	if s, epoch := l.Shown(); s != conflict.Initialized || epoch != 0 || l.Others() != nil {
		t.Errorf("Shown = %v, %d, want initialized, 0", s, epoch)
	}
	l = l.Apply(move("a", conflict.Paused, 0), none).Apply(move("b", conflict.Ended, 0), none)
	l = l.Apply(move("c", conflict.Ended, 0), none).Apply(move("d", conflict.Paused, 0), none)
	if s, _ := l.Shown(); s != conflict.Ended {
		t.Errorf("Shown = %v, want ended over paused", s)
	}
	if others := l.Others(); len(others) != 1 || others[0].Dot.Origin != "d" {
		t.Errorf("Others = %v, want one of the pauses", others)
	}
	l = l.Apply(move("e", conflict.Active, 1), vclock.Of(dot("b", 1)))
	if s, epoch := l.Shown(); s != conflict.Active || epoch != 1 {
		t.Errorf("Shown = %v, %d, want the reopening", s, epoch)
	}
	if others := l.Others(); len(others) != 2 || others[0].To != conflict.Ended || others[1].To != conflict.Paused {
		t.Errorf("Others = %v, want the ending it had not seen and a pause", others)
	}
	if again := l.Apply(move("e", conflict.Active, 1), none); len(again.Moves) != len(l.Moves) {
		t.Errorf("Apply again = %v, want no change", again)
	}
}
