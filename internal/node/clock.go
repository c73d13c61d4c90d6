package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/clocksync/source"
	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// ClockConfig says where a node gets the time from. The system clock is read
// and never set.
type ClockConfig struct {
	// Servers are NTP servers, HOST or HOST:PORT. One is believed, two only
	// while they agree; with three or more a minority may lie.
	Servers []string `yaml:"servers" help:"NTP servers, HOST or HOST:PORT with commas; best none, one, or three and more"`
	// Smeared are NTP servers that spread leap seconds over a day. Beside others
	// they widen the bound near a leap second.
	Smeared []string `yaml:"smeared" help:"NTP servers that smear leap seconds; best all servers or none"`
	// Chrony says whether chronyd of this machine is asked: "auto" if it
	// answers at 127.0.0.1:323, "off", or HOST:PORT of its command port.
	Chrony string `yaml:"chrony" help:"whether the local chronyd is asked: auto, off or HOST:PORT"`
	// PTP is a PTP hardware clock such as /dev/ptp0; empty: none. It does not
	// tell whether anybody keeps it; beside others it is voted out if it is wrong.
	PTP string `yaml:"ptp" help:"PTP hardware clock, such as /dev/ptp0; none if empty"`
	// PTPAhead is how far that clock is ahead of UTC: 0s if it keeps UTC, 37s
	// since 2017 if it keeps TAI, as ptp4l does.
	PTPAhead config.Duration `yaml:"ptp_ahead" help:"how far the PTP hardware clock is ahead of UTC: 0s, or 37s for TAI"`
	// Poll is the pause between two questions to a server. Shorter is more
	// exact and a burden for servers of others.
	Poll config.Duration `yaml:"poll" help:"pause between two questions to a time server"`
	// Limit is how far the system clock may be off, or the time uncertain,
	// before the alarm is raised.
	Limit config.Duration `yaml:"limit" help:"how far the clock may be off before the alarm is raised"`
}

// DefaultClockConfig asks nobody but chronyd, if it runs here, and over the
// link the core.
func DefaultClockConfig() ClockConfig {
	return ClockConfig{Servers: []string{}, Smeared: []string{}, Chrony: "auto",
		Poll: config.Duration(64 * time.Second), Limit: config.Duration(250 * time.Millisecond)}
}

const (
	corePoll    = 16 * time.Second   // between questions to the core: a change is there within 70 s
	pollMax     = 1024 * time.Second // between questions to a server that does not answer
	publicPoll  = 64 * time.Second   // least pause for servers of others
	privatePoll = time.Second
	maxServers  = clocksync.MaxSources - 3 // beside them: chronyd, a hardware clock, the core
)

// Validate reports everything that is wrong at once.
func (c ClockConfig) Validate() error {
	var errs []error
	bad := func(path, got, rule string) {
		errs = append(errs, &config.FieldError{Path: path, Got: got, Rule: rule})
	}
	seen := map[string]bool{}
	least := privatePoll
	for _, list := range []struct {
		path  string
		names []string
	}{{"clock.servers", c.Servers}, {"clock.smeared", c.Smeared}} {
		for i, s := range list.names {
			path := fmt.Sprintf("%s[%d]", list.path, i)
			if err := source.CheckAddress(s); err != nil {
				bad(path, fmt.Sprintf("%q", s), err.Error())
			}
			if seen[s] {
				bad(path, fmt.Sprintf("%q twice", s), "each server once, in clock.servers or in clock.smeared")
			}
			seen[s] = true
			if !ownServer(s) {
				least = publicPoll
			}
		}
	}
	if n := len(c.Servers) + len(c.Smeared); n > maxServers {
		bad("clock.servers", fmt.Sprintf("%d servers", n), fmt.Sprintf("at most %d", maxServers))
	}
	if c.PTP != "" && !filepath.IsAbs(c.PTP) {
		bad("clock.ptp", fmt.Sprintf("%q", c.PTP), "the path of a clock, such as /dev/ptp0, or nothing")
	}
	if ahead := time.Duration(c.PTPAhead); ahead < 0 || ahead > time.Minute || ahead > 0 && c.PTP == "" {
		bad("clock.ptp_ahead", ahead.String(), "0s for a clock that keeps UTC, 37s for TAI, 1m at most; with clock.ptp only")
	}
	if c.Chrony != "auto" && c.Chrony != "off" &&
		(source.CheckAddress(c.Chrony) != nil || !strings.Contains(c.Chrony, ":")) {
		bad("clock.chrony", fmt.Sprintf("%q", c.Chrony), "auto, off or HOST:PORT")
	}
	if poll := time.Duration(c.Poll); poll < least || poll > pollMax {
		bad("clock.poll", poll.String(), fmt.Sprintf("%v to %v (at least %v for servers that are not your own)",
			least, pollMax, publicPoll))
	} else if least := leastLimit(poll); time.Duration(c.Limit) < least || time.Duration(c.Limit) > time.Hour {
		bad("clock.limit", time.Duration(c.Limit).String(), fmt.Sprintf("%v to 1h for a poll of %v: "+
			"that is what a clock may drift while answers are lost; poll more often for a smaller limit", least, poll))
	}
	return errors.Join(errs...)
}

// leastLimit is below which the alarm would be raised by lost answers alone:
// the drift in five polls, and what a round trip hides.
func leastLimit(poll time.Duration) time.Duration {
	return (5 * poll * 50 / 1_000_000).Round(time.Millisecond) + 10*time.Millisecond
}

// ownServer reports whether the address is certainly not that of somebody else.
func ownServer(address string) bool {
	host := address
	if at, err := netip.ParseAddrPort(address); err == nil {
		return at.Addr().IsLoopback() || at.Addr().IsPrivate()
	}
	if u, err := url.Parse("//" + address); err == nil {
		host = u.Hostname()
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (a.IsLoopback() || a.IsPrivate())
}

// openClock prepares the node's clock.
func (n *Node) openClock() error {
	c := n.cfg.Clock
	sc := source.Config{Poll: time.Duration(c.Poll), PollMax: pollMax, Limit: time.Duration(c.Limit),
		Read: n.cfg.Read, OnFact: n.onClockFact, Sources: slices.Clone(n.cfg.Sources)}
	add := func(name string, smeared, optional bool, poll time.Duration, a source.Asker) {
		sc.Sources = append(sc.Sources, source.Source{Asker: a, SourceConfig: clocksync.SourceConfig{
			Name: name, Smeared: smeared, Optional: optional, Poll: poll}})
	}
	for i, s := range slices.Concat(c.Servers, c.Smeared) {
		add(s, i >= len(c.Servers), false, 0, source.NTP{Address: s, Read: n.cfg.Read})
	}
	switch c.Chrony {
	case "off":
	case "auto":
		add("chrony", false, true, 0, source.Chrony{Read: n.cfg.Read})
	default:
		add("chrony", false, false, 0, source.Chrony{Address: c.Chrony, Read: n.cfg.Read})
	}
	if c.PTP != "" {
		add("ptp", false, false, 0, n.ptp())
	}
	if n.cfg.ProbeCore {
		add("core", false, true, min(corePoll, time.Duration(c.Poll)), coreProbe{n})
	}
	for _, s := range sc.Sources {
		n.clockSources = append(n.clockSources, s.Name)
	}
	var err error
	n.clock, err = source.New(sc)
	return err
}

func (n *Node) ptp() source.PTP {
	return source.PTP{Device: n.cfg.Clock.PTP, Ahead: time.Duration(n.cfg.Clock.PTPAhead), Read: n.cfg.Read}
}

// adviseClock tells the operator what the sources of time are good for.
func (n *Node) adviseClock(ctx context.Context) {
	c := n.cfg.Clock
	if c.PTP != "" {
		if _, err := n.ptp().Ask(ctx); err != nil {
			n.cfg.Log.Warn("the PTP hardware clock cannot be read and counts as a source that is silent: "+
				"see that clock.ptp names it, that its driver is loaded, and that this user may read it", slog.Any("error", err))
		}
	}
	switch servers := len(c.Servers) + len(c.Smeared); {
	case len(n.clockSources) == 0:
		n.cfg.Log.Warn("no source of time: stamps count as unsynced and nobody notices a wrong clock; " +
			"set clock.servers, or clock.chrony: auto where chronyd runs")
	case servers == 2:
		n.cfg.Log.Warn("two time servers: when they differ neither is believed; name one, or at least three")
	case len(c.Smeared) > 0 && len(c.Servers) > 0:
		n.cfg.Log.Warn("some time servers smear leap seconds and some do not: " +
			"near a leap second the time is uncertain by 500 ms")
	}
}

// now is the corrected time and how far it is to be trusted.
func (n *Node) now() replica.Now {
	m := n.clock.Now()
	return replica.Now{Wall: m.Millis(), Trust: m.Trust}
}

// Reconnected says that there is a link again: sources of time that were silent
// are asked at once.
func (n *Node) Reconnected() { n.clock.Reconnected() }

// wall is the corrected time.
func (n *Node) wall() time.Time { return n.clock.Now().Time.Time() }

// runClock keeps the time, and puts the hybrid clock back when it was carried
// ahead by a clock that has been put right.
func (n *Node) runClock(ctx context.Context) error {
	n.adviseClock(ctx)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	done := make(chan error, 1) // takes the one result of Run
	go func() { done <- n.clock.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
		if n.clockAhead.Load() && n.now().Trust == clocksync.Synced {
			if err := n.reanchor(ctx); err != nil {
				n.cfg.Log.Warn("stamps stay ahead of the clock", slog.Any("error", err))
			}
		}
	}
}

// reanchor makes the node write under a new origin with a new hybrid clock.
// Stamps of one origin never go back; those of the new one begin at the
// corrected time.
func (n *Node) reanchor(ctx context.Context) error {
	var done drive.Reanchored
	err := n.store.Update(ctx, store.Sync, func(tx session.Tx) (err error) {
		done, err = drive.Reanchor(tx, n.replica, n.now(), n.identity())
		return err
	})
	if err != nil {
		return fmt.Errorf("put the hybrid clock back: %w", err)
	}
	n.clockAhead.Store(false)
	if done.Origin == "" {
		return nil
	}
	n.renewed(done.Origin, fmt.Sprintf("stamps were %v ahead of the time that the sources agree on",
		done.Ahead.Round(time.Second)))
	return nil
}

// onClockFact logs what happens to the clock and keeps the degraded modes.
func (n *Node) onClockFact(f clocksync.Fact) {
	log := n.cfg.Log
	if drive.ClockDoubtful(f) {
		n.clockAhead.Store(true)
	}
	switch f := f.(type) {
	case clocksync.Changed:
		log.Info("clock", slog.String("state", f.To.String()), slog.String("was", f.From.String()))
	case clocksync.Stepped:
		log.Warn("somebody set the system clock", slog.Duration("by", f.By))
	case clocksync.Suspended:
		log.Info("the machine was suspended", slog.Duration("for", f.For))
	case clocksync.Jumped:
		log.Info("corrected time set", slog.Duration("by", f.By))
	case clocksync.Judged:
		log.Debug("time source", slog.String("source", n.clockSources[f.Source]),
			slog.String("verdict", f.Verdict.String()))
	case clocksync.Alarmed:
		r := n.clock.Report()
		n.noteClock(&r)
		if !f.On {
			log.Info("clock alarm is over")
		} else {
			log.Warn("clock alarm", slog.String("why", f.What.String()),
				slog.Duration("limit", time.Duration(n.cfg.Clock.Limit)))
		}
	}
}

// noteClock puts the clock's degraded modes in force or out of it.
func (n *Node) noteClock(r *clocksync.Report) {
	detail := ""
	switch r.Alarm {
	case clocksync.AlarmOffset:
		detail = fmt.Sprintf("the system clock is %v off; stamps use the corrected time; set the system clock right",
			-r.Offset.Round(time.Millisecond))
	case clocksync.AlarmContested:
		detail = "the time sources contradict each other and no majority agrees; see /v1/clock for who says what"
	case clocksync.AlarmPeer:
		detail = "this clock and the core's differ by more than the limit and nobody vouches for either; " +
			"give both time sources"
	case clocksync.AlarmUnsure:
		detail = "no time source answers well enough, so the time may be off by more than the limit; see /v1/clock"
	}
	for a := clocksync.AlarmUnsure; a <= clocksync.AlarmOffset; a++ {
		name := "clock_" + a.String()
		if a == r.Alarm {
			n.problems.set(name, detail, n.wall())
		} else {
			n.problems.clear(name)
		}
	}
}

// coreProbe asks the core over the link what time it is.
type coreProbe struct{ n *Node }

func (p coreProbe) Ask(ctx context.Context) (clocksync.Sample, error) {
	p.n.mu.Lock()
	request := p.n.request
	p.n.mu.Unlock()
	if request == nil {
		return clocksync.Sample{}, errors.New("no core is configured")
	}
	r := p.n.clock.Report()
	ask, err := protocol.AppendMessage(nil, drive.AskTime(p.n.cfg.Name, &r))
	if err != nil {
		return clocksync.Sample{}, fmt.Errorf("ask the core for the time: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, clocksync.MaxDistance)
	defer cancel()
	begin := p.n.cfg.Read()
	answer, err := request(ctx, protocol.ClockSubject(p.n.cfg.Name), ask)
	end := p.n.cfg.Read()
	if err != nil {
		return clocksync.Sample{}, fmt.Errorf("ask the core for the time: %w", err)
	}
	m, err := protocol.DecodeMessage(answer)
	told, ok := m.(protocol.ClockTold)
	if err != nil || !ok {
		return clocksync.Sample{}, errors.Join(errors.New("the core's answer is not the time"), err)
	}
	return drive.TimeTold(begin, end, told)
}

// AnswerClock tells a node what time it is, and notes how its clock is; data is
// an encoded ClockAsk.
func (n *Node) AnswerClock(data []byte, reply string, publish func(subject string, data []byte) error) {
	received := n.cfg.Read()
	m, err := protocol.DecodeMessage(data)
	ask, ok := m.(protocol.ClockAsk)
	if err != nil || !ok || reply == "" {
		n.MessageDropped()
		n.cfg.Log.Warn("question for the time dropped", slog.Any("error", err))
		return
	}
	n.noteEdgeClock(ask, n.wall())
	answer, err := protocol.AppendMessage(nil, drive.TellTime(n.cfg.Name, received, n.cfg.Read(), n.clock.Now()))
	if err == nil {
		err = publish(reply, answer)
	}
	if err != nil {
		n.cfg.Log.Warn("time not told", slog.String("node", ask.Node), slog.Any("error", err))
	}
}
