package clocksync_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/clocksync"
)

func TestHonestSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, honest(), honest(), honest())
	w.drift, w.wall = 20e-6, 70*time.Second
	w.want(clocksync.StateUnsynced, clocksync.Unsynced)
	w.run(10 * time.Second)
	w.want(clocksync.StateSynced, clocksync.Synced)
	w.wantWithin(6 * time.Millisecond)
	w.run(4 * time.Hour)
	w.want(clocksync.StateSynced, clocksync.Synced)
	w.wantWithin(3 * time.Millisecond)
	r := w.keeper.Report(w.reading())
	if got := r.Drift.PPM(); !r.Measured || math.Abs(got-20) > 0.5 {
		t.Errorf("drift %.2f ppm (measured %t), want 20 ± 0.5", got, r.Measured)
	}
	if r.Alarm != clocksync.AlarmOffset { // the system clock is 70 s fast
		t.Errorf("alarm %v, want offset", r.Alarm)
	}
	if m := w.moment(); (m.Offset + 70*time.Second).Abs() > time.Second {
		t.Errorf("offset %v, want about -70s", m.Offset)
	}
}

func TestLiars(t *testing.T) {
	t.Parallel()
	liar := honest()
	liar.lie = 300 * time.Millisecond
	other := honest()
	other.lie = -300 * time.Millisecond
	t.Run("one of four", func(t *testing.T) {
		w := newWorld(t, 1, honest(), liar, honest(), honest())
		w.run(10 * time.Minute)
		w.want(clocksync.StateSynced, clocksync.Synced)
		w.wantWithin(3 * time.Millisecond)
		for i, s := range w.keeper.Report(w.reading()).Sources {
			if want := i == 1; (s.Verdict == clocksync.Falseticker) != want {
				t.Errorf("source %s is a %v, falseticker: %t", s.Name, s.Verdict, want)
			}
		}
	})
	for name, liars := range map[string][]server{
		"two of four, one lie":  {honest(), liar, liar, honest()},
		"two of four, two lies": {liar, honest(), other, honest()},
		"one of two":            {liar, honest()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, liars...)
			w.each = func(w *world, m clocksync.Moment) {
				if m.State == clocksync.StateSynced || m.Trust != clocksync.Unsynced {
					t.Fatalf("at %v: %v, trust %v", w.now, m.State, m.Trust)
				}
			}
			w.run(10 * time.Minute)
			if r := w.keeper.Report(w.reading()); r.Alarm != clocksync.AlarmContested {
				t.Errorf("alarm %v, want contested", r.Alarm)
			}
		})
	}
	t.Run("the only ones that still answer", func(t *testing.T) {
		gone := honest()
		gone.down = func(now time.Duration) bool { return now > time.Hour }
		late := liar
		w := newWorld(t, 1, gone, gone, late)
		w.run(time.Hour)
		w.want(clocksync.StateSynced, clocksync.Synced)
		w.run(24 * time.Hour)
		if m := w.moment(); m.State == clocksync.StateSynced {
			t.Errorf("synced to a liar: %+v", m)
		}
		w.wantWithin(3 * time.Second)
	})
}

// A quarrel that begins later ends the trust within two polls.
// A liar that lies so little that it reaches into the answer of the one honest
// source that answers must not have its way because the other is silent.
func TestLiarBesideSilent(t *testing.T) {
	t.Parallel()
	silent := honest()
	silent.down = func(now time.Duration) bool { return now > time.Minute }
	for lie := -14 * time.Millisecond; lie <= 14*time.Millisecond; lie += time.Millisecond {
		liar := honest()
		liar.lie = lie
		w := newWorld(t, 1, honest(), liar, silent)
		w.each = func(w *world, m clocksync.Moment) {
			if off := w.off(); m.Trust != clocksync.Unsynced && off.Abs() > m.Bound {
				t.Fatalf("lie of %v: at %v %v, off by %v, bound %v", lie, w.now, m.Trust, off, m.Bound)
			}
		}
		w.run(2 * time.Hour)
	}
}

// When the network is back, who was silent is asked at once and not when its
// pause, long by now, is over.
func TestReconnected(t *testing.T) {
	t.Parallel()
	s := honest()
	s.down = func(now time.Duration) bool { return time.Hour < now && now < 3*time.Hour }
	w := newWorld(t, 1, s)
	w.run(3*time.Hour + time.Second)
	w.want(clocksync.StateHoldover, clocksync.Holdover)
	asked := w.asked[0]
	w.step(clocksync.Reconnected{})
	w.run(5 * time.Second)
	if w.asked[0] == asked {
		t.Error("the silent source was not asked when the network was back")
	}
	w.want(clocksync.StateSynced, clocksync.Synced)
	asked = w.asked[0]
	if w.step(clocksync.Reconnected{}); w.asked[0] != asked {
		t.Error("a source that answers was asked out of turn")
	}
}

func TestQuarrel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, honest(), honest(), honest(), honest())
	w.run(time.Hour)
	w.want(clocksync.StateSynced, clocksync.Synced)
	w.sources[0].lie, w.sources[1].lie = time.Second, time.Second
	w.run(4 * time.Minute)
	w.want(clocksync.StateUnsynced, clocksync.Unsynced)
	w.wantWithin(50 * time.Millisecond)
	w.sources[0].lie, w.sources[1].lie = 0, 0
	w.run(4 * time.Minute)
	w.want(clocksync.StateSynced, clocksync.Synced)
}

func TestHoldover(t *testing.T) {
	t.Parallel()
	s := honest()
	s.down = func(now time.Duration) bool { return now > 6*time.Hour && now < 30*time.Hour }
	w := newWorld(t, 3, s, s, s)
	w.drift, w.tick = 20e-6, 16*time.Second
	w.run(6 * time.Hour)
	w.want(clocksync.StateSynced, clocksync.Synced)
	w.run(time.Hour)
	w.want(clocksync.StateHoldover, clocksync.Holdover)
	w.wantWithin(50 * time.Millisecond)
	w.run(22 * time.Hour)
	w.want(clocksync.StateUnsynced, clocksync.Unsynced)
	w.wantWithin(300 * time.Millisecond) // without the measured drift: 1.6 s
	w.run(2 * time.Hour)
	w.want(clocksync.StateSynced, clocksync.Synced)
	w.wantWithin(5 * time.Millisecond)
}

// A step of the system clock is noticed at the next tick, does not move the
// corrected time, and is over with the next agreement.
func TestSystemClockSteps(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{time.Hour, -time.Hour, 200 * time.Millisecond, -50 * 365 * 24 * time.Hour,
		70 * 365 * 24 * time.Hour} {
		w := newWorld(t, 1, honest(), honest(), honest())
		w.run(time.Hour)
		w.wall += by
		w.run(time.Second)
		steps := saw[clocksync.Stepped](w)
		if len(steps) != 1 || (steps[0].By-by).Abs() > time.Millisecond {
			t.Errorf("stepped by %v: noticed %v", by, steps)
		}
		w.want(clocksync.StateStepped, clocksync.Unsynced)
		w.wantWithin(3 * time.Millisecond)
		w.run(10 * time.Second)
		w.want(clocksync.StateSynced, clocksync.Synced)
		if a := w.keeper.Report(w.reading()).Alarm; (a == clocksync.AlarmOffset) != (by.Abs() > 250*time.Millisecond) {
			t.Errorf("stepped by %v: alarm %v", by, a)
		}
		w.wall -= by
		w.run(10 * time.Second)
		w.want(clocksync.StateSynced, clocksync.Synced)
		if a := w.keeper.Report(w.reading()).Alarm; a != clocksync.NoAlarm {
			t.Errorf("stepped back by %v: alarm %v", by, a)
		}
	}
}

func TestSuspend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, honest(), honest(), honest())
	w.run(time.Hour)
	w.now += 8 * time.Hour
	w.slept += 8 * time.Hour
	w.step(clocksync.Tick{})
	if s := saw[clocksync.Suspended](w); len(s) != 1 || s[0].For.Round(time.Minute) != 8*time.Hour {
		t.Errorf("suspensions %v, want one of 8 h", s)
	}
	if m := w.moment(); m.Trust != clocksync.Unsynced {
		t.Errorf("trust %v after a suspension", m.Trust)
	}
	w.run(5 * time.Second)
	w.want(clocksync.StateSynced, clocksync.Synced)
	w.wantWithin(5 * time.Millisecond)
}

// A virtual machine that was paused: none of its clocks knows.
func TestPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, honest(), honest(), honest())
	w.run(time.Hour)
	w.now += 10 * time.Minute
	w.paused += 10 * time.Minute
	w.wall -= 10 * time.Minute
	w.run(90 * time.Second)
	w.want(clocksync.StateSynced, clocksync.Synced)
	w.wantWithin(5 * time.Millisecond)
	if r := w.keeper.Report(w.reading()); (r.LastStep.By - 10*time.Minute).Abs() > time.Second {
		t.Errorf("last step %+v, want 10 min", r.LastStep)
	}
}

// A route that gets longer one way moves one source's answers and nobody's drift.
func TestRouteChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, honest(), honest(), honest())
	w.drift, w.tick = -15e-6, 4*time.Second
	w.run(3 * time.Hour)
	w.sources[1].base, w.sources[1].jitter = 90*time.Millisecond, 60*time.Millisecond
	for range 12 {
		w.run(10 * time.Minute)
		w.want(clocksync.StateSynced, clocksync.Synced)
		w.wantWithin(4 * time.Millisecond)
		if got := w.keeper.Report(w.reading()).Drift.PPM(); math.Abs(got+15) > 1 {
			t.Errorf("at %v: drift %.2f ppm, want -15 ± 1", w.now, got)
		}
	}
}

func TestKiss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, honest(), honest(), honest(), honest())
	w.run(time.Minute)
	w.step(clocksync.Denied{Source: 3})
	before := slices.Clone(w.asked)
	w.step(clocksync.Slower{Source: 2})
	w.run(100 * time.Second)
	if got := w.asked[2] - before[2]; got > 1 { // every 128 s instead of 64 s
		t.Errorf("asked %d times in 100 s after RATE", got)
	}
	w.run(time.Hour)
	if w.asked[3] != before[3] {
		t.Errorf("asked %d times after DENY", w.asked[3]-before[3])
	}
	if v := w.keeper.Report(w.reading()).Sources[3].Verdict; v != clocksync.Refusing {
		t.Errorf("verdict %v, want refusing", v)
	}
	w.want(clocksync.StateSynced, clocksync.Synced)
}

func TestUnvouchedPeer(t *testing.T) {
	t.Parallel()
	peer := honest()
	peer.unvouched = true
	w := newWorldOf(t, 1, clocksync.Config{Poll: 16 * time.Second, PollMax: time.Minute, Limit: 250 * time.Millisecond,
		Sources: []clocksync.SourceConfig{{Name: "core", Optional: true}}}, peer)
	w.run(5 * time.Minute)
	w.want(clocksync.StateUnsynced, clocksync.Unsynced)
	if r := w.keeper.Report(w.reading()); r.Alarm != clocksync.NoAlarm || r.Sources[0].Verdict != clocksync.NotVouched {
		t.Errorf("alarm %v, source %+v", r.Alarm, r.Sources[0])
	}
	w.wall = time.Hour
	w.run(64 * time.Second)
	if r := w.keeper.Report(w.reading()); r.Alarm != clocksync.AlarmPeer {
		t.Errorf("alarm %v, want differs", r.Alarm)
	}
	w.sources[0].unvouched, w.sources[0].agreed = false, true
	w.run(40 * time.Second)
	w.want(clocksync.StateSynced, clocksync.Synced)
	w.wantWithin(7 * time.Millisecond)
}

// Sources that smear leap seconds and others never agree silently.
func TestLeapMix(t *testing.T) {
	t.Parallel()
	leap := honest()
	leap.leap = clocksync.LeapInsert
	cfg := clocksync.Config{Poll: 64 * time.Second, PollMax: time.Hour, Limit: 250 * time.Millisecond,
		Sources: []clocksync.SourceConfig{{Name: "a"}, {Name: "b"}, {Name: "c", Smeared: true}}}
	w := newWorldOf(t, 1, cfg, leap, leap, honest())
	w.run(time.Minute)
	r := w.keeper.Report(w.reading())
	if !r.Mixed || r.Bound < 500*time.Millisecond || r.Trust != clocksync.Unsynced || r.Alarm != clocksync.AlarmUnsure {
		t.Errorf("mixed %t, bound %v, trust %v, alarm %v", r.Mixed, r.Bound, r.Trust, r.Alarm)
	}
}

func TestBadSamples(t *testing.T) {
	t.Parallel()
	good := clocksync.Sample{Elapsed: time.Hour, Time: epoch, Delay: time.Millisecond, Stratum: 1}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*clocksync.Sample){
		"stratum 0":        func(s *clocksync.Sample) { s.Stratum = 0 },
		"stratum 16":       func(s *clocksync.Sample) { s.Stratum = 16 },
		"negative delay":   func(s *clocksync.Sample) { s.Delay = -1 },
		"root distance":    func(s *clocksync.Sample) { s.RootDispersion = 2 * time.Second },
		"largest delay":    func(s *clocksync.Sample) { s.RootDelay, s.Delay = math.MaxInt64, math.MaxInt64 },
		"before 1970":      func(s *clocksync.Sample) { s.Time = -1 },
		"end of the range": func(s *clocksync.Sample) { s.Time = math.MaxInt64 },
		"leap":             func(s *clocksync.Sample) { s.Leap = 3 },
	} {
		s := good
		spoil(&s)
		if err := s.Check(); !errors.Is(err, clocksync.ErrBadSample) {
			t.Errorf("%s: %v, want ErrBadSample", name, err)
		}
	}
	w := newWorld(t, 1, honest())
	before := w.moment()
	_, err := w.keeper.Step(w.reading(), clocksync.Sampled{Sample: clocksync.Sample{}})
	if !errors.Is(err, clocksync.ErrBadSample) {
		t.Errorf("Step with a bad sample = %v", err)
	}
	if after := w.moment(); after != before {
		t.Errorf("a bad sample moved %+v to %+v", before, after)
	}
}

// Agree against a slow twin: the hull of all points that more than half of the
// intervals contain. If a majority contains the truth, so does the result.
func TestAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "n")
		all := make([]clocksync.Interval, n)
		for i := range all {
			lo := rapid.Int64Range(-20, 20).Draw(t, "lo")
			all[i] = clocksync.Interval{Lo: time.Duration(lo), Hi: time.Duration(lo + rapid.Int64Range(0, 15).Draw(t, "width"))}
		}
		var want clocksync.Interval
		ok := false
		for at := time.Duration(-40); at <= 40; at++ {
			count := 0
			for _, i := range all {
				if i.Lo <= at && at <= i.Hi {
					count++
				}
			}
			if 2*count > n {
				if !ok {
					want.Lo, ok = at, true
				}
				want.Hi = at
			}
		}
		got, members, agreed := clocksync.Agree(all)
		if agreed != ok || got != want {
			t.Fatalf("Agree(%v) = %v, %t, want %v, %t", all, got, agreed, want, ok)
		}
		for i, m := range members {
			if m != all[i].Overlaps(want) {
				t.Fatalf("Agree(%v): member %d is %t", all, i, m)
			}
		}
	})
}

// The corrected time never goes back while no jump is announced, whatever the
// sources, the losses and the system clock do.
func TestCorrectedTimeDoesNotGoBack(tb *testing.T) {
	tb.Parallel()
	rapid.Check(tb, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "sources")
		servers := make([]server, n)
		for i := range servers {
			servers[i] = server{base: 60 * time.Millisecond, jitter: 50 * time.Millisecond, loss: 0.3}
		}
		w := newWorld(tb, rapid.Uint64().Draw(t, "seed"), servers...)
		w.drift = float64(rapid.IntRange(-200, 200).Draw(t, "ppm")) / 1e6
		var last clocksync.Moment
		jumps := 0
		w.each = func(w *world, m clocksync.Moment) {
			if j := len(saw[clocksync.Jumped](w)); last.Known && j == jumps && m.Time < last.Time {
				t.Fatalf("at %v: %v after %v", w.now, m.Time.Time(), last.Time.Time())
			} else {
				jumps = j
			}
			last = m
		}
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			w.run(time.Duration(rapid.IntRange(1, 300).Draw(t, "seconds")) * time.Second)
			switch rapid.IntRange(0, 2).Draw(t, "event") {
			case 0:
				w.wall += time.Duration(rapid.IntRange(-3600, 3600).Draw(t, "step")) * time.Second
			case 1:
				servers[0].lie = time.Duration(rapid.IntRange(-400, 400).Draw(t, "lie")) * time.Millisecond
			}
		}
	})
}
