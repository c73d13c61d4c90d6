package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

// until is never early, and late by no more than the clock can tell.
func TestUntil(t *testing.T) {
	t.Parallel()
	const fine = 3 * time.Nanosecond
	rng := rand.New(rand.NewPCG(2, 2))
	for range 20000 {
		c := clock{ppb: rng.Int64N(2_000_001) - 1_000_000, from: time.Duration(rng.Int64N(1e9)),
			asleep: time.Duration(rng.Int64N(1e9))}
		c.base = c.from + time.Duration(rng.Int64N(2e9)-1e9)
		now := c.from + time.Duration(rng.Int64N(int64(30*24*time.Hour)))
		at := c.mono(now) + time.Duration(rng.Int64N(int64(1)<<uint(1+rng.IntN(50))))
		d := c.until(now, at)
		if got := c.mono(now + d); got < at {
			t.Fatalf("%+v: until(%d, %d) = %d is %d early", c, now, at, d, at-got)
		}
		if d > fine && c.mono(now+d-fine) >= at {
			t.Fatalf("%+v: until(%d, %d) = %d is late by more than %v", c, now, at, d, fine)
		}
	}
	if c := (clock{}); c.until(time.Hour, time.Minute) != 0 {
		t.Error("until a moment that is past is not zero")
	}
}

// Drift changes how fast a clock runs, never what it shows.
func TestDrift(t *testing.T) {
	t.Parallel()
	c := clock{}
	before := c.mono(time.Hour)
	c.drift(time.Hour, 100)
	if got := c.mono(time.Hour); got != before {
		t.Errorf("the clock jumped by %v when its rate changed", got-before)
	}
	if got, want := c.mono(2*time.Hour)-before, time.Hour+360*time.Millisecond; got != want {
		t.Errorf("an hour with 100 ppm took %v, want %v", got, want)
	}
	c.drift(2*time.Hour, -100)
	if got, want := c.mono(3*time.Hour)-before, 2*time.Hour; got != want {
		t.Errorf("with an hour of -100 ppm behind it %v, want %v", got, want)
	}
}

// A step moves the wall clock alone, and a clock before 1970 shows 1970.
func TestStep(t *testing.T) {
	t.Parallel()
	w := testWorld(t, 1, 0, nil)
	n := w.nodes[0]
	mono, wall := n.clock.mono(w.now), n.clock.wall(w.now)
	w.strike(Fault{Kind: ClockStep, Nodes: []string{n.lane}, Delay: -3 * time.Hour})
	if got := n.clock.wall(w.now); got != wall-3*3600*1000 {
		t.Errorf("the wall clock went from %d to %d, want 3 h back", wall, got)
	}
	if got := n.clock.mono(w.now); got != mono {
		t.Errorf("the monotonic clock went from %v to %v with a step", mono, got)
	}
	w.strike(Fault{Kind: ClockStep, Nodes: []string{n.lane}, Delay: -100 * 365 * 24 * time.Hour})
	if got := n.clock.wall(w.now); got != 0 {
		t.Errorf("100 years back the wall clock shows %d, want 0", got)
	}
}

// The monotonic clock stands still while the machine sleeps, and goes on from
// there, however fast it runs; it runs on while only the process is frozen.
func TestSuspend(t *testing.T) {
	t.Parallel()
	for _, ppm := range []float64{-900, 0, 900} {
		for _, suspend := range []bool{false, true} {
			w := running(t, 1, 1, func(p *Plan) { p.Nodes[1].Drift = ppm })
			n := w.byLane["edge-1"]
			began, wall := n.clock.mono(w.now), n.clock.wall(w.now)
			end := w.strike(Fault{Kind: Pause, Nodes: []string{n.lane}, Suspend: suspend})
			w.pass(time.Minute)
			ran := scaled(time.Minute, n.clock.ppb)
			end()
			want := ran
			if suspend {
				want = 0
			}
			if got := n.clock.mono(w.now) - began; got != want {
				t.Errorf("%v ppm, suspend %v: a minute took %v of the monotonic clock, want %v", ppm, suspend, got, want)
			}
			if got := n.clock.wall(w.now) - wall; got < uint64(ran.Milliseconds()) || got > uint64(ran.Milliseconds())+1 {
				t.Errorf("%v ppm, suspend %v: the wall clock went on by %d ms, want %v", ppm, suspend, got, ran)
			}
			w.pass(10 * time.Second)
			w.noProblems(t)
		}
	}
}
