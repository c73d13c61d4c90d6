package clocksync_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
)

// world drives a keeper against sources in simulated time. True time is the
// only clock; what the node reads is made from it.
type world struct {
	tb      testing.TB
	rng     *rand.Rand
	keeper  *clocksync.Keeper
	sources []server
	now     time.Duration // true time since the start
	drift   float64       // of the node's clocks, as a ratio: 20e-6 is fast by 20 ppm
	wall    time.Duration // error of the system clock beside the drift
	paused  time.Duration // that no clock of the node noticed
	slept   time.Duration // that the monotonic clock did not notice
	tick    time.Duration
	facts   []clocksync.Fact
	asked   []int    // questions, by source
	pending []answer // on their way, in no order
	each    func(world *world, m clocksync.Moment)
}

// server is a time source with a path to it.
type server struct {
	lie       time.Duration // how wrong it is
	base      time.Duration // one way
	jitter    time.Duration // each way, up to, either side of base
	loss      float64
	down      func(now time.Duration) bool
	unvouched bool
	agreed    bool
	leap      clocksync.Leap
}

type answer struct {
	at     time.Duration
	source int
	sample clocksync.Sample
	lost   bool
}

const epoch = clocksync.Nanos(1_767_366_245_678_000_000)

func newWorld(tb testing.TB, seed uint64, servers ...server) *world {
	tb.Helper()
	cfg := clocksync.Config{Poll: 64 * time.Second, PollMax: 1024 * time.Second, Limit: 250 * time.Millisecond}
	for i := range servers {
		cfg.Sources = append(cfg.Sources, clocksync.SourceConfig{Name: string(rune('a' + i))})
	}
	return newWorldOf(tb, seed, cfg, servers...)
}

func newWorldOf(tb testing.TB, seed uint64, cfg clocksync.Config, servers ...server) *world {
	tb.Helper()
	rng := rand.New(rand.NewPCG(seed, 5))
	k, err := clocksync.NewKeeper(cfg, rng)
	if err != nil {
		tb.Fatal(err)
	}
	return &world{tb: tb, rng: rng, keeper: k, sources: servers, tick: time.Second, asked: make([]int, len(servers))}
}

func (w *world) truth() clocksync.Nanos { return epoch + clocksync.Nanos(w.now) }

func (w *world) reading() clocksync.Reading {
	elapsed := time.Hour + time.Duration(float64(w.now-w.paused)*(1+w.drift))
	return clocksync.Reading{Wall: epoch + clocksync.Nanos(elapsed-time.Hour+w.paused+w.wall), Elapsed: elapsed,
		Running: elapsed - w.slept}
}

func (w *world) moment() clocksync.Moment {
	e := w.keeper.Estimate()
	return e.At(w.reading())
}

func (w *world) step(in clocksync.Input) {
	w.tb.Helper()
	out, err := w.keeper.Step(w.reading(), in)
	if err != nil {
		w.tb.Fatalf("Step(%T) = %v", in, err)
	}
	w.facts = append(w.facts, out.Facts...)
	for _, i := range out.Ask {
		w.ask(i)
	}
}

// ask sends a question; what comes back is made by true time and the path.
func (w *world) ask(i int) {
	w.asked[i]++
	s := w.sources[i]
	way := func() time.Duration {
		if s.jitter == 0 {
			return s.base
		}
		return s.base - s.jitter + time.Duration(w.rng.Int64N(int64(2*s.jitter)))
	}
	there, back := way(), way()
	if s.down != nil && s.down(w.now) || w.rng.Float64() < s.loss {
		w.pending = append(w.pending, answer{at: w.now + 2*time.Second, source: i, lost: true})
		return
	}
	start := w.reading()
	server := epoch + clocksync.Nanos(w.now+there+s.lie)
	local := time.Duration(float64(there+back) * (1 + w.drift))
	w.pending = append(w.pending, answer{at: w.now + there + back, source: i, sample: clocksync.Sample{
		Elapsed: start.Elapsed + local, Time: server + clocksync.Nanos((there+back)/2), Delay: local, Stratum: 2,
		RootDelay: time.Millisecond, RootDispersion: time.Millisecond,
		Unvouched: s.unvouched, Agreed: s.agreed, Leap: s.leap,
	}})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	w.tb.Helper()
	for end := w.now + d; w.now < end; {
		next := min(w.now+w.tick, end)
		for {
			first := -1
			for i, a := range w.pending {
				if a.at <= next && (first < 0 || a.at < w.pending[first].at) {
					first = i
				}
			}
			if first < 0 {
				break
			}
			a := w.pending[first]
			w.pending = append(w.pending[:first], w.pending[first+1:]...)
			w.now = max(w.now, a.at)
			if a.lost {
				w.step(clocksync.Lost{Source: a.source, Why: "no answer"})
			} else {
				w.step(clocksync.Sampled{Source: a.source, Sample: a.sample})
			}
		}
		w.now = next
		w.step(clocksync.Tick{})
		if w.each != nil {
			w.each(w, w.moment())
		}
	}
}

// want fails unless the node is in the state.
func (w *world) want(state clocksync.State, trust clocksync.Trust) {
	w.tb.Helper()
	if m := w.moment(); m.State != state || m.Trust != trust {
		w.tb.Errorf("at %v: state %v, trust %v, want %v, %v; %+v", w.now, m.State, m.Trust, state, trust,
			w.keeper.Report(w.reading()))
	}
}

// off is how far the corrected time is from true time.
func (w *world) off() time.Duration { return time.Duration(w.moment().Time - w.truth()) }

// wantWithin fails unless the corrected time is within d of true time, and its
// bound says so.
func (w *world) wantWithin(d time.Duration) {
	w.tb.Helper()
	if off, m := w.off(), w.moment(); off.Abs() > d || off.Abs() > m.Bound {
		w.tb.Errorf("at %v: off by %v, bound %v, want at most %v and within the bound", w.now, off, m.Bound, d)
	}
}

func saw[F clocksync.Fact](w *world) (found []F) {
	for _, f := range w.facts {
		if f, ok := f.(F); ok {
			found = append(found, f)
		}
	}
	return found
}

func honest() server { return server{base: 5 * time.Millisecond, jitter: time.Millisecond} }
