package clocksync

import (
	"slices"
	"time"
)

const (
	registerSize = 8  // samples of a source among which the best one counts
	bucketPolls  = 4  // samples of which the one with the shortest way enters the drift estimate
	driftPoints  = 32 // points of a source's drift estimate
	driftFrom    = 8  // points from which on a drift is estimated
)

// InitialDrift is how wrong the rate of a clock is taken to be before it was
// measured: 50 ppm. Quartz on cheap boards is within it at room temperature.
const InitialDrift PPB = 50_000

// leastDrift is added to what a measured drift may change by: crystals follow
// the temperature.
const leastDrift PPB = 12_000

// MaxDrift is the largest rate that is believed: 500 ppm, as of the kernel's
// clock discipline.
const MaxDrift PPB = 500_000

// point is a sample as the filter keeps it: true time minus the boot-time
// clock. That difference moves only with the drift of the boot-time clock,
// whoever sets the system clock.
type point struct {
	elapsed time.Duration
	ahead   time.Duration // true time minus elapsed
	err     time.Duration // at most, at elapsed
}

// at is the interval of p at a later moment, for a clock of the given drift,
// which is known to within growth.
func (p point) at(elapsed time.Duration, drift, growth PPB) Interval {
	age := max(elapsed-p.elapsed, 0)
	mid, err := p.ahead+drift.over(age), p.err+growth.over(age)
	return Interval{mid - err, mid + err}
}

func (s Sample) point() point {
	return point{s.Elapsed, time.Duration(s.Time) - s.Elapsed, s.Distance()}
}

// filter keeps the samples of one source.
//
// Source: RFC 5905, 10, clock filter: of the last eight samples the one with
// the least error, its age included, counts. Differs: one sample that
// contradicts all others is held back until a second one confirms it.
type filter struct {
	last    []point // newest at the end; at most registerSize
	suspect *point  // contradicts last; nil: none
	bucket  []point // at most bucketPolls
	line    []point // for the drift, oldest first; at most driftPoints
	slope   PPB
	spread  PPB // half the distance between the quartiles of slopes
	sloped  bool
}

// add takes a sample. It reports whether the sample contradicts what the
// source said before: then it is set aside until the next one.
func (f *filter) add(p point, drift, growth PPB) (suspect bool) {
	if len(f.last) > 0 && !f.best(p.elapsed, drift, growth).Overlaps(p.at(p.elapsed, drift, growth)) {
		if f.suspect == nil || !f.suspect.at(p.elapsed, drift, growth).Overlaps(p.at(p.elapsed, drift, growth)) {
			f.suspect = &p
			return true
		}
		*f = filter{last: []point{*f.suspect}, slope: f.slope, spread: f.spread, sloped: f.sloped}
	}
	f.suspect = nil
	if len(f.last) == registerSize {
		f.last = slices.Delete(f.last, 0, 1)
	}
	f.last = append(f.last, p)
	f.collect(p)
	return false
}

// best is the narrowest interval that the kept samples give.
func (f *filter) best(elapsed time.Duration, drift, growth PPB) Interval {
	best := f.last[0].at(elapsed, drift, growth)
	for _, p := range f.last[1:] {
		if i := p.at(elapsed, drift, growth); i.Hi-i.Lo < best.Hi-best.Lo {
			best = i
		}
	}
	return best
}

// collect puts the sample with the shortest way of each bucketPolls into the
// line and estimates its slope.
func (f *filter) collect(p point) {
	if f.bucket = append(f.bucket, p); len(f.bucket) < bucketPolls {
		return
	}
	shortest := slices.MinFunc(f.bucket, func(a, b point) int { return int(a.err - b.err) })
	f.bucket = f.bucket[:0]
	if len(f.line) == driftPoints {
		f.line = slices.Delete(f.line, 0, 1)
	}
	f.line = append(f.line, shortest)
	if len(f.line) >= driftFrom {
		f.slope, f.spread, f.sloped = slopeOf(f.line)
	}
}

// slopeOf is the median of the slopes of all pairs, and half the distance of
// its quartiles: up to 29 % of the points may be anything, so that jitter and
// a change of the route do not show as drift.
//
// Source: Theil 1950, Sen 1968.
func slopeOf(line []point) (slope, spread PPB, ok bool) {
	slopes := make([]PPB, 0, len(line)*(len(line)-1)/2)
	for i, a := range line {
		for _, b := range line[i+1:] {
			if d := b.elapsed - a.elapsed; d > 0 {
				slopes = append(slopes, rate(b.ahead-a.ahead, d))
			}
		}
	}
	if len(slopes) == 0 {
		return 0, 0, false
	}
	slices.Sort(slopes)
	n := len(slopes)
	slope = min(max(slopes[n/2], -MaxDrift), MaxDrift)
	return slope, min((slopes[3*n/4]-slopes[n/4])/2, MaxDrift), true
}

// rate is gained in d as parts per billion, cut to twice what is believed.
func rate(gained, d time.Duration) PPB {
	const most = time.Duration(2 * MaxDrift)
	if gained > d/1000 || gained < -(d/1000) {
		if gained > 0 {
			return PPB(most)
		}
		return -PPB(most)
	}
	return PPB(int64(gained) * 1000 / max(int64(d/1e6), 1))
}
