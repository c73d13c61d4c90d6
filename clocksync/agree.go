package clocksync

import "time"

// compare lets the sources that answer vote on the time.
func (k *Keeper) compare(at Reading, out *Output) {
	var voters []int
	var votes []Interval
	for i := range k.sources {
		if !k.fresh(i, at) {
			continue
		}
		s := &k.sources[i]
		s.interval = s.best(at.Elapsed, k.drift, k.growth)
		voters, votes = append(voters, i), append(votes, s.interval)
	}
	if len(voters) == 0 {
		return
	}
	// Offsets, not times since 1970: the arithmetic of the combination needs room.
	base := votes[0].Mid()
	for i := range votes {
		votes[i] = Interval{votes[i].Lo - base, votes[i].Hi - base}
	}
	truth, in, ok := Agree(votes)
	var members []int
	var narrow []Interval
	for j, i := range voters {
		switch {
		case !ok:
			k.setVerdict(i, Contested, out)
		case in[j]:
			k.setVerdict(i, Truechimer, out)
			members, narrow = append(members, i), append(narrow, votes[j])
		default:
			k.setVerdict(i, Falseticker, out)
		}
	}
	able := k.able(at)
	if !ok || !k.enough(members, able) {
		k.disagree(at, out)
		return
	}
	k.quarrel = 0
	truth = allowFor((able-1)/2, truth, votes, narrow, 2*len(members) > able)
	best := combine(truth, narrow) + base
	truth = Interval{truth.Lo + base, truth.Hi + base}
	if k.mixed = k.mixes(members); k.mixed && k.leapNear(at, members) {
		truth.Lo -= smearError
		truth.Hi += smearError
	}
	k.accept(at, truth, best, out)
	k.measure(members)
}

// allowFor widens what the answers agree on if so many of those may lie that
// honest ones who are silent cannot make up for it: truth lies in all answers but
// theirs, or in all answers of the members, where those are no majority.
func allowFor(liars int, truth Interval, votes, members []Interval, majority bool) Interval {
	if !majority {
		votes = members
	}
	need := max(len(votes)-liars, 1)
	if need > len(votes)/2 {
		return truth
	}
	truth, _ = meet(votes, need)
	return truth
}

// disagree is what happens when no majority agrees.
func (k *Keeper) disagree(at Reading, out *Output) {
	k.agreed = 0
	if k.quarrel == 0 {
		k.quarrel = max(at.Elapsed, 1)
	}
	if k.est.State == StateSynced {
		k.enter(StateHoldover, out)
	}
}

// accept carries the estimate on to a new agreement. One that contradicts what
// the last one has become is a step: of the boot-time clock (a virtual machine
// that was paused) or of the sources.
func (k *Keeper) accept(at Reading, truth Interval, best time.Duration, out *Output) {
	now := k.est.At(at)
	ahead := time.Duration(now.Time) - at.Elapsed
	if k.est.known && !k.truthAt(at).Overlaps(truth) && k.est.State != StateStepped {
		k.agreed = 0
		k.lastStep, k.stepped = StepSeen{At: now.Time, By: best - ahead, Known: true}, at.Elapsed
		k.enter(StateStepped, out)
		for i := range k.sources { // their ways of counting time are cut here
			k.sources[i].bucket, k.sources[i].line = nil, nil
			k.sources[i].burst = max(k.sources[i].burst, 1)
			k.sources[i].next = min(k.sources[i].next, at.Elapsed+burstEvery)
		}
		return
	}
	k.agreed++
	k.agreedAt = at.Elapsed
	if k.agreed < agreementsNeeded && k.est.State != StateHoldover {
		return
	}
	next := Estimate{State: k.est.State, known: true, from: at.Elapsed, time: ahead, slew: best - ahead,
		drift: k.drift, truth: truth, growth: k.growth}
	if next.slew > StepAt || next.slew < -StepAt {
		out.Facts = append(out.Facts, Jumped{By: next.slew})
		next.time, next.slew = best, 0
	}
	k.est = next
	if next.At(at).Bound <= MaxAhead {
		k.enter(StateSynced, out)
	}
}

// truthAt is where true time minus elapsed is now, from the last agreement.
func (k *Keeper) truthAt(at Reading) Interval {
	d := max(at.Elapsed-k.est.from, 0)
	moved, grown := k.est.drift.over(d), k.est.growth.over(d)
	return Interval{k.est.truth.Lo + moved - grown, k.est.truth.Hi + moved + grown}
}

// measure takes the drift from those who agree: the middle one of their
// estimates, if more than half of them have one. As long as the ways to them
// vary by more than a clock may drift in the time of the measurement, nothing is
// learnt from it.
func (k *Keeper) measure(members []int) {
	slopes, spreads := make([]PPB, 0, MaxSources), make([]PPB, 0, MaxSources)
	for _, i := range members {
		if s := &k.sources[i]; s.sloped {
			slopes, spreads = append(slopes, s.slope), append(spreads, s.spread)
		}
	}
	if 2*len(slopes) <= len(members) {
		return
	}
	if growth := leastDrift + 2*median(spreads); growth < InitialDrift {
		k.drift, k.growth, k.measured = median(slopes), growth, true
	}
}

// age moves the state on when time passes without an agreement.
func (k *Keeper) age(at Reading, out *Output) {
	voters := false
	for i := range k.sources {
		s := &k.sources[i]
		voters = voters || k.fresh(i, at)
		switch {
		case s.refusing:
			k.setVerdict(i, Refusing, out)
		case s.last.Unvouched && s.answers > 0 && at.Elapsed-s.heard <= freshPolls*k.pollOf(i)+burstEvery:
			k.setVerdict(i, NotVouched, out)
		case !k.fresh(i, at):
			k.setVerdict(i, Silent, out)
		}
	}
	if !voters {
		k.quarrel = 0
	}
	now := k.est.At(at)
	quarrels := k.quarrel != 0 && at.Elapsed-k.quarrel >= k.cfg.Poll
	switch k.est.State {
	case StateSynced:
		if at.Elapsed-k.agreedAt > freshPolls*k.slowest || now.Bound > MaxAhead {
			k.agreed = 0
			k.enter(StateHoldover, out)
		}
	case StateHoldover:
		if quarrels || now.Bound > MaxAhead {
			k.agreed = 0
			k.enter(StateUnsynced, out)
		}
	case StateStepped:
		if at.Elapsed-k.stepped > freshPolls*k.slowest {
			k.enter(StateUnsynced, out)
		}
	}
}

// mixes reports whether sources that smear leap seconds agree with others.
func (k *Keeper) mixes(members []int) bool {
	smeared := 0
	for _, i := range members {
		if k.cfg.Sources[i].Smeared {
			smeared++
		}
	}
	return smeared > 0 && smeared < len(members)
}

// leapNear reports whether a leap second is announced, or the end of a month in
// which there may be one is less than a day away.
func (k *Keeper) leapNear(at Reading, members []int) bool {
	for _, i := range members {
		if k.sources[i].leap != LeapNone {
			return true
		}
	}
	now := k.est.At(at).Time.Time()
	before, after := now.Add(-24*time.Hour), now.Add(24*time.Hour)
	return before.Month() != after.Month() && (after.Month() == time.July || after.Month() == time.January)
}
