package sim

import (
	"cmp"
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
)

const (
	tickEvery  = time.Second      // between looks at the clocks of the machine, as source.Clock does it
	corePoll   = 16 * time.Second // between questions to the core, at most, and the default of those to servers
	pollsApart = 4                // between questions to who does not answer, at most: so many polls
	askTimeout = 3 * time.Second  // of a question to a time server
	alarmLimit = 250 * time.Millisecond
)

// timekeeper drives the machine that knows what time it is, as source.Clock and
// node.runClock do, against the time servers of the world and the core.
type timekeeper struct {
	n        *node
	keeper   *clocksync.Keeper
	estimate clocksync.Estimate
	servers  []*TimeServer // the first sources
	core     int           // number of the source that is the core; -1: none
	corePoll time.Duration
	doubtful bool // the hybrid clock may run ahead
	putting  bool // it is being put back
	limit    time.Duration
	judge    clockJudge
}

// start makes the keeper of a new process.
func (k *timekeeper) start(n *node) error {
	plan := n.w.plan
	*k = timekeeper{n: n, core: -1, doubtful: true}
	poll := max(plan.Timing.scale(tickEvery), cmp.Or(plan.Time.Poll, corePoll))
	cfg := clocksync.Config{Poll: poll, PollMax: pollsApart * poll, Limit: cmp.Or(plan.Time.Limit, alarmLimit)}
	if n.core != nil || n.plan.NTP {
		for i := range plan.Time.Servers {
			k.servers = append(k.servers, &plan.Time.Servers[i])
			cfg.Sources = append(cfg.Sources, clocksync.SourceConfig{Name: plan.Time.Servers[i].Name})
		}
	}
	if n.core == nil {
		k.core = len(cfg.Sources)
		k.corePoll = max(plan.Timing.scale(tickEvery), min(corePoll, poll))
		cfg.Sources = append(cfg.Sources, clocksync.SourceConfig{Name: "core", Optional: true, Poll: k.corePoll})
	}
	k.limit = cfg.Limit
	k.judge = newClockJudge(n, len(cfg.Sources))
	var err error
	k.keeper, err = clocksync.NewKeeper(cfg, split(n.w.seed, "clock", n.lane, fmt.Sprint(n.boots)))
	return err
}

// keep begins to keep the time.
func (k *timekeeper) keep() {
	k.step(clocksync.Tick{})
	k.n.later(k.n.w.plan.Timing.scale(tickEvery), k.tick)
}

func (k *timekeeper) tick() {
	k.step(clocksync.Tick{})
	if k.doubtful && !k.putting && k.moment().Trust == clocksync.Synced {
		k.reanchor()
	}
	k.n.later(k.n.w.plan.Timing.scale(tickEvery), k.tick)
}

func (k *timekeeper) reading() clocksync.Reading { return k.n.clock.reading(k.n.w.now) }

// moment is the corrected time.
func (k *timekeeper) moment() clocksync.Moment {
	m := k.estimate.At(k.reading())
	k.judge.look(m)
	return m
}

// stepped notes that somebody set the system clock.
func (k *timekeeper) stepped(by time.Duration) { k.judge.steps += by }

// step gives the keeper an input.
func (k *timekeeper) step(in clocksync.Input) {
	at := k.reading()
	out, err := k.keeper.Step(at, in)
	k.estimate = k.keeper.Estimate()
	if err != nil {
		k.n.w.facts["time_refused"]++
	}
	for _, f := range out.Facts {
		k.doubtful = k.doubtful || drive.ClockDoubtful(f)
		k.note(f)
	}
	k.judge.stepped(at, out.Facts)
	k.judge.look(k.estimate.At(at))
	for _, i := range out.Ask {
		if i == k.core {
			k.askCore()
		} else {
			k.askServer(i)
		}
	}
}

// note counts what the keeper noticed.
func (k *timekeeper) note(f clocksync.Fact) {
	name := ""
	switch f := f.(type) {
	case clocksync.Changed:
		name = "clock_" + f.To.String()
	case clocksync.Stepped:
		name = "clock_set"
	case clocksync.Suspended:
		name = "machine_suspended"
	case clocksync.Jumped:
		name = "time_set"
	case clocksync.Alarmed:
		if name = "clock_alarm_over"; f.On {
			name = "clock_alarm"
		}
	case clocksync.Judged:
		if f.Verdict != clocksync.Falseticker && f.Verdict != clocksync.Contested {
			return
		}
		name = "time_" + f.Verdict.String()
	}
	k.n.w.facts[name]++
	k.n.w.say(Event{Kind: EvFact, Node: k.n.lane, What: name})
}

// reanchor puts the hybrid clock back if it runs ahead of the time.
func (k *timekeeper) reanchor() {
	n := k.n
	k.putting = true
	var done drive.Reanchored
	n.update(forSync, func(tx session.Tx) (err error) {
		done, err = drive.Reanchor(tx, n.rep, n.now(), n.identity())
		return err
	}, func(err error) {
		k.putting = false
		if err != nil {
			n.w.facts["origin_not_renewed"]++
			return
		}
		k.doubtful = false
		if done.Origin == "" {
			return
		}
		n.origin, n.clock.most = done.Origin, 0
		n.adoptIdentity()
		n.w.facts["stamps_put_back"]++
		n.w.history.Anchors = append(n.w.history.Anchors, check.Reset{Node: n.lane, At: n.w.now})
		n.stepEdge(protocol.NewOrigin{Origin: n.origin})
	})
}

// wrote has the hybrid clock looked at if a write found it ahead.
func (k *timekeeper) wrote() {
	k.doubtful = k.doubtful || drive.RunsAhead(k.n.rep, k.n.now())
}

// askServer asks a time server. Nothing is queued for the way there: what
// becomes of the exchange is known when it begins, apart from what the asker's
// clocks do meanwhile.
func (k *timekeeper) askServer(i int) {
	n, s := k.n, k.servers[i]
	k.judge.asked(i)
	rng := n.w.chance.time
	there, back := s.way(rng), s.way(rng)
	lost := rng.Float64() < s.Loss
	conduct := s.conduct(n.w)
	if lost || conduct == Mute || n.w.net.cutOff(n.host, s.Name) {
		n.later(askTimeout, func() { k.step(clocksync.Lost{Source: i, Why: "no answer"}) })
		return
	}
	begin := k.reading()
	shown := trueTime(n.w.now + there)
	if conduct == Lying {
		shown = max(shown+clocksync.Nanos(s.Lie), 0)
	}
	n.later(there+back, func() {
		switch conduct {
		case Denying:
			k.judge.denied(i)
			k.step(clocksync.Denied{Source: i})
		case Slowing:
			k.step(clocksync.Slower{Source: i})
		default:
			end := k.reading()
			k.sampled(i, clocksync.Sample{Elapsed: end.Elapsed, Time: shown + clocksync.Nanos((end.Elapsed-begin.Elapsed)/2),
				Delay: end.Elapsed - begin.Elapsed, RootDelay: time.Millisecond, RootDispersion: time.Millisecond, Stratum: 2})
		}
	})
}

// askCore asks the core nodes over the link; the first answer counts.
func (k *timekeeper) askCore() {
	n, done := k.n, false
	lost := func(why string) {
		if !done {
			done = true
			k.step(clocksync.Lost{Source: k.core, Why: why})
		}
	}
	if !n.link.up {
		n.later(0, func() { lost("no link") })
		return
	}
	begin := k.reading()
	report := k.keeper.Report(begin)
	n.later(clocksync.MaxDistance, func() { lost("no answer") })
	boot := n.boots
	n.w.bus.askTime(n, drive.AskTime(n.name, &report), func(answer []byte) {
		if n.boots != boot {
			return
		}
		n.run(func() {
			if done {
				return
			}
			m, err := protocol.DecodeMessage(answer)
			told, ok := m.(protocol.ClockTold)
			if err != nil || !ok {
				n.w.facts["message_dropped"]++
				lost("the answer is not the time")
				return
			}
			s, err := drive.TimeTold(begin, k.reading(), told)
			if err != nil {
				lost(err.Error())
				return
			}
			done = true
			k.sampled(k.core, s)
		})
	})
}

func (k *timekeeper) sampled(i int, s clocksync.Sample) {
	k.judge.sampled(i, s)
	k.step(clocksync.Sampled{Source: i, Sample: s})
}

// answerTime tells a node what time it is; data is an encoded ClockAsk.
func (n *node) answerTime(data []byte, reply func([]byte)) {
	received := n.time.reading()
	m, err := protocol.DecodeMessage(data)
	if _, ok := m.(protocol.ClockAsk); err != nil || !ok {
		n.w.facts["message_dropped"]++
		return
	}
	answer, err := protocol.AppendMessage(nil, drive.TellTime(n.name, received, n.time.reading(), n.time.moment()))
	if err != nil {
		n.w.problem("encoding", n.lane, "time told: %v", err)
		return
	}
	reply(answer)
}
