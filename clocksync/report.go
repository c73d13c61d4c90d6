package clocksync

import (
	"slices"
	"time"
)

// Alarm is why a human should look at a node's clock.
type Alarm uint8

// The alarms, the worst last.
const (
	NoAlarm        Alarm = iota
	AlarmUnsure          // the time may be further off than the limit
	AlarmContested       // the sources contradict each other
	AlarmPeer            // a source that nobody vouches for shows another time
	AlarmOffset          // the system clock is further off than the limit
)

// String names the alarm in lower case; empty for none.
func (a Alarm) String() string {
	return [...]string{"", "unsure", "contested", "differs", "offset"}[a]
}

// unsureAfter is how long a node may take to its first agreement.
const unsureAfter = time.Minute

// StepSeen is a jump of a clock.
type StepSeen struct {
	At    Nanos // by the clock that jumped, after it
	By    time.Duration
	Known bool // false: there was none
}

// Past is an earlier uncertainty.
type Past struct {
	At     Nanos
	State  State
	Offset time.Duration // of the corrected time from the system clock
	Bound  time.Duration
	Known  bool
}

// SourceReport is what is known of a source.
type SourceReport struct {
	Name    string
	Verdict Verdict
	// Lo and Hi are where the source says that true time is, relative to the
	// system clock; meaningful if Answers > 0.
	Lo, Hi  time.Duration
	Delay   time.Duration // of the last answer
	Stratum uint8
	Smeared bool
	Leap    Leap
	Answers uint64
	Lost    uint64
	Why     string        // it was lost last; empty: it answered last
	Age     time.Duration // of the last answer
}

// Report is all that a keeper knows, for people.
type Report struct {
	Moment
	Drift     PPB  // by which the boot-time clock is fast
	Measured  bool // Drift was measured; false: it is taken to be within InitialDrift
	Growth    PPB  // by which the bound grows without an agreement
	Mixed     bool // sources that smear leap seconds agree with others that do not
	Alarm     Alarm
	LastStep  StepSeen
	Suspended time.Duration // since the last suspension; zero: none seen
	Sources   []SourceReport
	History   []Past // oldest first, at most HistorySize
}

// Report describes the keeper at a reading.
func (k *Keeper) Report(at Reading) Report {
	r := Report{Moment: k.est.At(at), Drift: -k.drift, Measured: k.measured, Growth: k.growth, Mixed: k.mixed,
		Alarm: k.alarm, LastStep: k.lastStep, History: slices.Clone(k.history)}
	if k.suspended > 0 {
		r.Suspended = at.Elapsed - k.suspended
	}
	system := time.Duration(min(max(at.Wall, 0), MaxNanos)) - at.Elapsed
	for i, c := range k.cfg.Sources {
		s := &k.sources[i]
		sr := SourceReport{Name: c.Name, Verdict: s.verdict, Delay: s.last.Delay, Stratum: s.last.Stratum,
			Smeared: c.Smeared, Leap: s.leap, Answers: s.answers, Lost: s.lost, Why: s.why, Age: at.Elapsed - s.heard}
		if s.answers > 0 {
			v := s.view(at, k.drift, k.growth)
			sr.Lo, sr.Hi = v.Lo-system, v.Hi-system
		}
		r.Sources = append(r.Sources, sr)
	}
	return r
}

// view is the interval of the source, also if it takes no part.
func (s *source) view(at Reading, drift, growth PPB) Interval {
	if len(s.filter.last) > 0 {
		return s.best(at.Elapsed, drift, growth)
	}
	return s.last.point().at(at.Elapsed, drift, growth)
}

// judgeAlarm raises the alarm, or takes it back when there is reason no more: an
// offset or bound must have fallen below three quarters of the limit.
func (k *Keeper) judgeAlarm(at Reading, out *Output) {
	next := k.reason(at)
	if next == k.alarm {
		return
	}
	k.alarm = next
	out.Facts = append(out.Facts, Alarmed{On: next != NoAlarm, What: next})
}

func (k *Keeper) reason(at Reading) Alarm {
	now := k.est.At(at)
	limit := func(a Alarm) time.Duration {
		if k.alarm == a {
			return k.cfg.Limit / 4 * 3
		}
		return k.cfg.Limit
	}
	offset := now.Offset.Abs()
	if now.Trust == Unsynced {
		offset -= min(now.Bound, offset)
	}
	sure := now.Known && now.Bound <= limit(AlarmUnsure)
	switch {
	case now.Known && offset > limit(AlarmOffset):
		return AlarmOffset
	case k.quarrel != 0 && at.Elapsed-k.quarrel >= k.cfg.Poll:
		return AlarmContested
	case !now.Known && k.peerDiffers(at, limit(AlarmPeer)):
		return AlarmPeer
	case !sure && (now.Known || k.expected() && at.Elapsed-k.first > unsureAfter):
		return AlarmUnsure
	}
	return NoAlarm
}

// expected reports whether there are sources that ought to answer.
func (k *Keeper) expected() bool {
	return slices.ContainsFunc(k.cfg.Sources, func(c SourceConfig) bool { return !c.Optional })
}

// peerDiffers reports whether a source that nobody vouches for is further from
// the system clock than the limit.
func (k *Keeper) peerDiffers(at Reading, limit time.Duration) bool {
	system := time.Duration(min(max(at.Wall, 0), MaxNanos)) - at.Elapsed
	for i := range k.sources {
		s := &k.sources[i]
		if s.verdict != NotVouched {
			continue
		}
		if v := s.view(at, k.drift, k.growth); v.Lo-system > limit || system-v.Hi > limit {
			return true
		}
	}
	return false
}

// remember keeps the uncertainty of now, once a poll.
func (k *Keeper) remember(at Reading) {
	if len(k.history) > 0 && at.Elapsed-k.pastAt < k.cfg.Poll {
		return
	}
	if len(k.history) == HistorySize {
		k.history = slices.Delete(k.history, 0, 1)
	}
	m := k.est.At(at)
	k.pastAt = at.Elapsed
	k.history = append(k.history, Past{At: m.Time, State: m.State, Offset: m.Offset, Bound: m.Bound, Known: m.Known})
}

func median(v []PPB) PPB {
	slices.Sort(v)
	return v[len(v)/2]
}
