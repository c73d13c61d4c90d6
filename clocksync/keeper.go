package clocksync

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// MaxSources bounds the sources of one keeper.
const MaxSources = 32

// Values of the keeper.
const (
	// StepAt is the jump of a clock that is a step and no correction. Source:
	// RFC 5905, STEPT.
	StepAt = 128 * time.Millisecond
	// suspendAt is the difference between the boot-time and the monotonic clock
	// that is a suspension.
	suspendAt = time.Second
	// suspendError is what the boot-time clock may be off after a suspension: it
	// is set on by a real-time clock that counts seconds.
	suspendError = time.Second
	// freshPolls is how many polls a source may miss before it is silent.
	freshPolls = 5
	// burstPolls and burstEvery: how a source is asked at first and in doubt.
	burstPolls = 4
	burstEvery = 2 * time.Second
	// agreements in a row that make a node synced.
	agreementsNeeded = 2
	// smearError is how far a smeared clock is off near a leap second.
	smearError = 500 * time.Millisecond
	// HistorySize is how many past uncertainties are kept, one a poll.
	HistorySize = 64
)

// Config is what a [Keeper] needs.
type Config struct {
	Sources []SourceConfig // at most MaxSources
	// Poll is the pause between two questions to a source, PollMax the longest
	// one when it does not answer.
	Poll, PollMax time.Duration
	// Limit is how far the system clock may be off, and how uncertain the time
	// may be, before the alarm is raised.
	Limit time.Duration
}

// SourceConfig describes one source.
type SourceConfig struct {
	Name    string
	Smeared bool // spreads leap seconds over a day
	// Optional: that it is silent is no reason for an alarm.
	Optional bool
	Poll     time.Duration // its own pause; zero: that of the keeper
}

// Input is the closed set of what a [Keeper] is told: [Tick], [Sample] (as
// [Sampled]), [Lost], [Denied], [Slower] and [Reconnected].
type Input interface{ isInput() }

// The inputs.
type (
	// Tick is the passage of time, at least once a second.
	Tick struct{}
	// Sampled is an answer of a source.
	Sampled struct {
		Source int
		Sample
	}
	// Lost says that a question got no usable answer.
	Lost struct {
		Source int
		Why    string
	}
	// Denied says that a source refuses to be asked again. Source: RFC 5905, 7.4,
	// kiss codes DENY and RSTR.
	Denied struct{ Source int }
	// Slower says that a source wants to be asked less often (kiss code RATE).
	Slower struct{ Source int }
	// Reconnected says that a network is back: silent sources may answer again.
	Reconnected struct{}
)

func (Tick) isInput()    {}
func (Sampled) isInput() {}
func (Lost) isInput()    {}
func (Denied) isInput()  {}
func (Slower) isInput()  {}

func (Reconnected) isInput() {}

// Output is what to do after a step.
type Output struct {
	Facts []Fact
	Ask   []int // sources to ask now, ascending
}

// Fact is something that the keeper noticed.
type Fact interface{ isFact() }

// The facts.
type (
	// Changed says that the state is another one.
	Changed struct{ From, To State }
	// Stepped says that somebody set the system clock.
	Stepped struct{ By time.Duration }
	// Suspended says that the machine slept.
	Suspended struct{ For time.Duration }
	// Jumped says that the corrected time was set, not slewed.
	Jumped struct{ By time.Duration }
	// Alarmed says that the alarm is raised or over, or another one (What).
	Alarmed struct {
		On   bool
		What Alarm
	}
	// Judged says that the verdict on a source is another one.
	Judged struct {
		Source int
		Verdict
	}
)

func (Changed) isFact()   {}
func (Stepped) isFact()   {}
func (Suspended) isFact() {}
func (Jumped) isFact()    {}
func (Alarmed) isFact()   {}
func (Judged) isFact()    {}

// Verdict is what a keeper thinks of a source.
type Verdict uint8

// The verdicts.
const (
	Silent      Verdict = iota // no usable answer lately
	Truechimer                 // agrees with the majority
	Falseticker                // does not
	Contested                  // there is no majority
	Refusing                   // does not want to be asked
	NotVouched                 // says itself that its clock is not to be trusted
)

// String names the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"silent", "truechimer", "falseticker", "contested", "refusing", "unvouched"}[v]
}

// Keeper decides what time it is from what several sources say. It is a step
// machine: one goroutine owns it, [Keeper.Estimate] may be handed to others.
//
// States: unsynced until [agreementsNeeded] agreements in a row; synced; in
// holdover when the sources fall silent or no majority agrees any more, until
// the bound passes [MaxAhead] or the quarrel lasts for a poll; stepped when a
// clock jumps, until the next agreement.
//
// It never sets the system clock. A step of it is noticed and does not move
// the corrected time, which runs on the boot-time clock once it is known.
//
// Invariant: if always less than half of the sources that do not refuse to be
// asked lie, whoever else is silent, and the boot-time clock drifts less than stated, true time is within
// [Moment.Bound] of [Moment.Time].
type Keeper struct {
	cfg     Config
	rng     *rand.Rand
	sources []source
	last    Reading
	began   bool
	first   time.Duration // elapsed at the first step
	slowest time.Duration // the longest pause of a source

	est       Estimate
	agreed    int           // agreements in a row
	agreedAt  time.Duration // the last one
	quarrel   time.Duration // since when there is no majority; zero: there is
	drift     PPB
	growth    PPB
	measured  bool // drift is
	mixed     bool // smeared and unsmeared sources agree
	lastStep  StepSeen
	stepped   time.Duration // when
	suspended time.Duration
	alarm     Alarm
	history   []Past
	pastAt    time.Duration
}

// source is what is known of one source.
type source struct {
	filter
	next     time.Duration // when to ask
	asked    bool          // no answer yet
	pause    time.Duration
	burst    int
	heard    time.Duration
	answers  uint64
	lost     uint64
	missed   int    // since the last answer
	why      string // it was lost last
	last     Sample
	verdict  Verdict
	interval Interval // in the last comparison
	refusing bool
	leap     Leap
}

// NewKeeper returns a keeper that has heard of nobody. It keeps rng and draws
// the jitter of questions from it.
func NewKeeper(cfg Config, rng *rand.Rand) (*Keeper, error) {
	if len(cfg.Sources) > MaxSources {
		return nil, fmt.Errorf("clocksync: %d sources, at most %d", len(cfg.Sources), MaxSources)
	}
	if cfg.Poll <= 0 || cfg.PollMax < cfg.Poll || cfg.Limit <= 0 {
		return nil, errors.New("clocksync: poll, poll_max or limit out of range")
	}
	k := &Keeper{cfg: cfg, rng: rng, slowest: cfg.Poll, growth: InitialDrift, sources: make([]source, len(cfg.Sources))}
	for i := range k.sources {
		k.sources[i].burst = burstPolls
		k.sources[i].pause = k.pollOf(i)
		k.slowest = max(k.slowest, k.pollOf(i))
	}
	return k, nil
}

func (k *Keeper) pollOf(i int) time.Duration {
	if p := k.cfg.Sources[i].Poll; p > 0 {
		return p
	}
	return k.cfg.Poll
}

// Estimate is what time it is from now on.
func (k *Keeper) Estimate() Estimate { return k.est }

// Step takes one input. It returns [ErrBadSample], with the loss noted, for a
// sample that is refused.
func (k *Keeper) Step(at Reading, in Input) (Output, error) {
	var out Output
	var err error
	k.watch(at, &out)
	switch in := in.(type) {
	case Tick:
	case Sampled:
		if err = in.Check(); err != nil {
			k.lose(in.Source, err.Error(), at)
		} else {
			k.take(at, in)
			k.compare(at, &out)
		}
	case Lost:
		k.lose(in.Source, in.Why, at)
	case Denied:
		s := &k.sources[in.Source]
		s.refusing, s.asked, s.why = true, false, "refuses to be asked"
		s.filter = filter{}
	case Slower:
		s := &k.sources[in.Source]
		s.burst, s.asked, s.why = 0, false, "asked to be asked less often"
		s.pause = min(2*s.pause, max(k.cfg.PollMax, k.pollOf(in.Source)))
		k.schedule(in.Source, at)
	case Reconnected:
		k.hurry(at)
	default:
		panic(fmt.Sprintf("clocksync: unknown input %T", in))
	}
	k.age(at, &out)
	k.judgeAlarm(at, &out)
	k.remember(at)
	k.ask(at, &out)
	return out, err
}

// watch compares the clocks of the machine with each other.
func (k *Keeper) watch(at Reading, out *Output) {
	last := k.last
	k.last = at
	if !k.began {
		k.began, k.first = true, at.Elapsed
		return
	}
	passed := max(at.Elapsed-last.Elapsed, 0)
	slept := passed - max(at.Running-last.Running, 0)
	if at.Running > 0 && slept >= suspendAt {
		k.suspended = at.Elapsed
		out.Facts = append(out.Facts, Suspended{For: slept})
		k.doubt(at, suspendError)
	}
	by := time.Duration(at.Wall-last.Wall) - passed
	if allowed := StepAt + (2 * MaxDrift).over(passed); by > allowed || by < -allowed {
		k.lastStep, k.stepped = StepSeen{At: at.Wall, By: by, Known: true}, at.Elapsed
		out.Facts = append(out.Facts, Stepped{By: by})
		k.doubt(at, 0)
		k.enter(StateStepped, out)
	}
}

// doubt asks all sources again soon, and makes the present bound wider.
func (k *Keeper) doubt(at Reading, by time.Duration) {
	k.agreed = 0
	for i := range k.sources {
		s := &k.sources[i]
		for j := range s.filter.last {
			s.filter.last[j].err += by
		}
		if by > 0 {
			s.bucket, s.line = nil, nil
		}
		s.burst = burstPolls
		s.next = at.Elapsed
	}
	k.est.truth.Lo -= by
	k.est.truth.Hi += by
}

func (k *Keeper) enter(to State, out *Output) {
	if k.est.State != to {
		out.Facts = append(out.Facts, Changed{From: k.est.State, To: to})
		k.est.State = to
	}
}

// take notes a sample.
func (k *Keeper) take(at Reading, in Sampled) {
	s := &k.sources[in.Source]
	s.asked, s.why, s.heard, s.last, s.leap = false, "", at.Elapsed, in.Sample, in.Leap
	s.answers++
	s.missed = 0
	s.pause = k.pollOf(in.Source)
	if in.Unvouched {
		s.filter = filter{}
	} else if s.add(in.point(), k.drift, k.growth) {
		s.burst = max(s.burst, 1)
	}
	k.schedule(in.Source, at)
}

func (k *Keeper) lose(i int, why string, at Reading) {
	s := &k.sources[i]
	s.asked, s.why = false, why
	s.lost++
	if s.missed++; s.missed >= freshPolls { // it is silent; till then a loss is only a loss
		s.pause = min(2*s.pause, max(k.cfg.PollMax, k.pollOf(i)))
	}
	k.schedule(i, at)
}

// hurry has the sources asked at once whose last question was in vain.
func (k *Keeper) hurry(at Reading) {
	for i := range k.sources {
		if s := &k.sources[i]; s.missed > 0 {
			s.missed, s.pause, s.next = 0, k.pollOf(i), at.Elapsed
			s.burst = max(s.burst, 1)
		}
	}
}

// schedule sets when a source is asked next: after its pause, give or take an
// eighth, so that nodes do not ask in step.
func (k *Keeper) schedule(i int, at Reading) {
	s := &k.sources[i]
	pause := s.pause
	if s.burst > 0 {
		s.burst--
		pause = min(pause, burstEvery)
	}
	s.next = at.Elapsed + pause - pause/8 + time.Duration(k.rng.Int64N(int64(pause/4)+1))
}

func (k *Keeper) ask(at Reading, out *Output) {
	for i := range k.sources {
		if s := &k.sources[i]; !s.asked && !s.refusing && at.Elapsed >= s.next {
			s.asked = true
			out.Ask = append(out.Ask, i)
		}
	}
}

// fresh reports whether the source has answered lately.
func (k *Keeper) fresh(i int, at Reading) bool {
	s := &k.sources[i]
	return len(s.filter.last) > 0 && !s.refusing && at.Elapsed-s.heard <= freshPolls*k.pollOf(i)+burstEvery
}

func (k *Keeper) setVerdict(i int, v Verdict, out *Output) {
	if s := &k.sources[i]; s.verdict != v {
		s.verdict = v
		out.Facts = append(out.Facts, Judged{Source: i, Verdict: v})
	}
}

// able counts the sources that could take part, whoever of them answers;
// optional ones could if they do.
func (k *Keeper) able(at Reading) (able int) {
	for i := range k.sources {
		s := &k.sources[i]
		if !s.refusing && s.verdict != NotVouched && (k.fresh(i, at) || !k.cfg.Sources[i].Optional) {
			able++
		}
	}
	return able
}

// enough reports whether those who agree are more than half of all sources that
// could take part. One is enough if it has compared clocks itself.
func (k *Keeper) enough(members []int, able int) bool {
	return 2*len(members) > able ||
		slices.ContainsFunc(members, func(i int) bool { return k.sources[i].last.Agreed })
}
