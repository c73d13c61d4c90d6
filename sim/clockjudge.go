package sim

import (
	"time"

	"github.com/causeway-sync/causeway/clocksync"
)

// clockJudge is an oracle over one keeper. It knows the true time, and whether
// what the keeper may rely on is so: at most a minority of its sources was wrong,
// and its machine's clock keeps the rate that a clock is taken to have.
type clockJudge struct {
	n       *node
	sound   []int // by source: samples since the last one that was false
	denies  []bool
	core    bool          // the core answered last that it knows the time
	coreAt  time.Duration // elapsed when it answered
	rate    int64         // of the machine's clock when the process began
	spoiled bool          // the keeper could not know better at some time
	halved  bool          // half of its sources were false at some time
	widest  time.Duration // error that a true sample had
	steps   time.Duration // by which the system clock was set since the last step
	last    time.Duration // elapsed at the last step
	shown   clocksync.Moment
	set     bool // the corrected time was set since
}

// remembered is how many samples of a source a keeper takes into account.
const remembered = 8

// freshPolls is how many polls a keeper waits for a source before it is silent.
const freshPolls = 5

func newClockJudge(n *node, sources int) clockJudge {
	j := clockJudge{n: n, sound: make([]int, sources), denies: make([]bool, sources), rate: n.clock.ppb}
	for i := range j.sound {
		j.sound[i] = remembered
	}
	return j
}

// sampled holds a sample against the truth before the keeper gets it.
func (j *clockJudge) sampled(i int, s clocksync.Sample) {
	if s.Check() != nil {
		return
	}
	if i == j.n.time.core {
		j.core, j.coreAt = !s.Unvouched, s.Elapsed
	}
	if j.core && s.Elapsed-j.coreAt > freshPolls*j.n.time.corePoll { // the keeper counts it as silent
		j.core = false
	}
	off := time.Duration(s.Time - trueTime(j.n.w.now)).Abs()
	switch j.sound[i]++; {
	case s.Unvouched:
		j.sound[i] = remembered // the keeper forgets what it heard
	case off > s.Distance():
		j.sound[i] = 0
		j.n.w.facts["time_false"]++
	default:
		j.widest = max(j.widest, s.Distance())
	}
	j.tally()
}

// tally counts how many of the sources that take part are false.
func (j *clockJudge) tally() {
	wrong, able := 0, 0
	for k, n := range j.sound {
		if j.denies[k] || k == j.n.time.core && !j.core {
			continue
		}
		if able++; n < remembered {
			wrong++
		}
	}
	j.spoiled = j.spoiled || 2*wrong > able
	j.halved = j.halved || wrong > 0 && 2*wrong == able
}

// denied notes that a source will not be asked again.
func (j *clockJudge) denied(i int) {
	j.denies[i] = true
	j.tally()
}

// reliable reports whether the machine's clock keeps the rate that the keeper
// takes it to have.
func (j *clockJudge) reliable() bool {
	ppb := j.n.clock.ppb
	return ppb == j.rate && -int64(clocksync.InitialDrift) <= ppb && ppb <= int64(clocksync.InitialDrift)
}

// look is an oracle: true time is within the bound while the keeper vouches for it.
func (j *clockJudge) look(m clocksync.Moment) {
	if m.Known && j.shown.Known && !j.set && m.Time < j.shown.Time {
		j.n.w.problem("corrected time goes back only when it is set", j.n.lane, "by %v", time.Duration(j.shown.Time-m.Time))
	}
	j.shown, j.set = m, false
	j.spoiled = j.spoiled || !j.reliable()
	if j.spoiled || m.Trust == clocksync.Unsynced {
		return
	}
	off, most := time.Duration(m.Time-trueTime(j.n.w.now)).Abs(), m.Bound
	if j.halved { // half of the sources can shift the time within what the true ones leave open
		most += 2 * j.widest
	}
	if off > most {
		j.n.w.problem("true time is within the bound (I10)", j.n.lane,
			"%s, %v off, with a bound of %v", m.Trust, off, m.Bound)
	}
}

// stepped is an oracle: that somebody set the system clock is noticed at the next look.
func (j *clockJudge) stepped(at clocksync.Reading, facts []clocksync.Fact) {
	noticed := false
	for _, f := range facts {
		switch f.(type) {
		case clocksync.Stepped:
			noticed = true
		case clocksync.Jumped:
			j.set = true
		}
	}
	passed := at.Elapsed - j.last
	j.last = at.Elapsed
	by := j.steps
	if j.steps = 0; noticed || by.Abs() < 2*clocksync.StepAt+passed/100 {
		return
	}
	j.n.w.problem("a set clock is noticed (I10)", j.n.lane, "it was set by %v, and nobody noticed", by)
}

// asked is an oracle: who does not want to be asked again is not.
func (j *clockJudge) asked(i int) {
	if j.denies[i] {
		j.n.w.problem("who refuses is not asked", j.n.lane, "%s was asked again", j.n.time.servers[i].Name)
	}
}

// ought reports whether the clock can be expected to become synced when nothing
// is wrong any more: it has somebody to ask who can know the time.
func (j *clockJudge) ought() bool {
	if j.spoiled || !j.reliable() || len(j.n.w.plan.Time.Servers) == 0 {
		return false
	}
	for i := range j.n.time.servers {
		if !j.denies[i] {
			return true
		}
	}
	if j.n.core != nil {
		return false
	}
	for _, c := range j.n.w.cores {
		if c.up && !c.time.judge.ought() {
			return false
		}
	}
	return true
}

// roughlyTold reports whether a clock agrees with sources which are so far away
// that nobody can vouch for what they tell.
func roughlyTold(r clocksync.Report) bool {
	agrees, best := false, time.Duration(0)
	for _, s := range r.Sources {
		if bound := (s.Hi - s.Lo) / 2; s.Verdict == clocksync.Truechimer && (!agrees || bound < best) {
			agrees, best = true, bound
		}
	}
	return agrees && best > clocksync.MaxAhead
}

// clockNotReady tells whose clock is not as it should be although nothing is
// wrong any more.
func (w *world) clockNotReady() string {
	for _, n := range w.healthy() {
		if !n.time.judge.ought() {
			continue
		}
		at := n.time.reading()
		r := n.time.keeper.Report(at)
		if r.Trust != clocksync.Synced && roughlyTold(r) {
			continue
		}
		if r.Trust != clocksync.Synced {
			return n.lane + " has a clock that is " + r.State.String()
		}
		off := time.Duration(at.Wall - trueTime(w.now)).Abs()
		limit := n.time.limit
		switch alarmed := r.Alarm == clocksync.AlarmOffset; {
		case !alarmed && off > limit+r.Bound:
			return n.lane + " has a clock that is wrong, and no alarm"
		case alarmed && off+r.Bound < limit/4*3, !alarmed && r.Alarm != clocksync.NoAlarm && r.Bound < limit/4*3:
			return n.lane + " has the alarm " + r.Alarm.String() + " for no reason"
		}
	}
	return ""
}
