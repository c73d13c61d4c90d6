package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
)

// Errors that tell how to treat a source.
var (
	// ErrDenied: the source does not want to be asked again.
	ErrDenied = errors.New("the source refuses to be asked")
	// ErrSlower: it wants to be asked less often.
	ErrSlower = errors.New("the source wants to be asked less often")
)

// Asker is a time source. Ask asks once and gives a checked sample; it
// returns when ctx ends.
type Asker interface {
	Ask(ctx context.Context) (clocksync.Sample, error)
}

// Source is an asker with its place in the agreement.
type Source struct {
	clocksync.SourceConfig
	Asker
}

// Config is what a [Clock] needs.
type Config struct {
	Sources       []Source
	Poll, PollMax time.Duration
	Limit         time.Duration
	Tick          time.Duration            // how often the machine's clocks are compared; zero: a second
	Read          func() clocksync.Reading // nil: [System]
	OnFact        func(clocksync.Fact)     // called in order by one goroutine; may be nil
}

// Clock is a node's corrected time. Make it, run it; Now works before, during
// and after.
type Clock struct {
	cfg      Config
	estimate atomic.Pointer[clocksync.Estimate]
	answers  chan clocksync.Input // closed by nobody
	back     chan struct{}        // of one; closed by nobody

	mu     sync.Mutex // guards keeper
	keeper *clocksync.Keeper
}

// New returns a clock that follows the system clock until it is run.
func New(cfg Config) (*Clock, error) {
	if cfg.Read == nil {
		cfg.Read = System
	}
	if cfg.OnFact == nil {
		cfg.OnFact = func(clocksync.Fact) {}
	}
	if cfg.Tick == 0 {
		cfg.Tick = time.Second
	}
	kc := clocksync.Config{Poll: cfg.Poll, PollMax: cfg.PollMax, Limit: cfg.Limit}
	for _, s := range cfg.Sources {
		kc.Sources = append(kc.Sources, s.SourceConfig)
	}
	k, err := clocksync.NewKeeper(kc, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if err != nil {
		return nil, fmt.Errorf("clock: %w", err)
	}
	c := &Clock{cfg: cfg, keeper: k, answers: make(chan clocksync.Input, len(cfg.Sources)), back: make(chan struct{}, 1)}
	c.estimate.Store(new(clocksync.Estimate))
	return c, nil
}

// Now is the corrected time. It never waits.
func (c *Clock) Now() clocksync.Moment { return c.estimate.Load().At(c.cfg.Read()) }

// Report is what is known of the time, for people.
func (c *Clock) Report() clocksync.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keeper.Report(c.cfg.Read())
}

// Run asks the sources until ctx ends.
func (c *Clock) Run(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	tick := time.NewTicker(c.cfg.Tick)
	defer tick.Stop()
	var in clocksync.Input = clocksync.Tick{}
	for {
		for _, i := range c.step(in) {
			asking.Go(func() { c.ask(ctx, i) })
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			in = clocksync.Tick{}
		case in = <-c.answers:
		case <-c.back:
			in = clocksync.Reconnected{}
		}
	}
}

// Reconnected has sources that were silent asked at once: a network is back. It
// never waits.
func (c *Clock) Reconnected() {
	select {
	case c.back <- struct{}{}:
	default: // they will be
	}
}

// step gives the sources to ask.
func (c *Clock) step(in clocksync.Input) []int {
	c.mu.Lock()
	out, err := c.keeper.Step(c.cfg.Read(), in)
	e := c.keeper.Estimate()
	c.mu.Unlock()
	c.estimate.Store(&e)
	if err != nil && !errors.Is(err, clocksync.ErrBadSample) { // a bad sample is noted with its source
		panic("clocksync/source: " + err.Error())
	}
	for _, f := range out.Facts {
		c.cfg.OnFact(f)
	}
	return out.Ask
}

// ask asks one source; at most one question to each is open, so the channel
// has room for the outcome.
func (c *Clock) ask(ctx context.Context, i int) {
	s, err := c.cfg.Sources[i].Ask(ctx)
	var in clocksync.Input
	switch {
	case err == nil:
		in = clocksync.Sampled{Source: i, Sample: s}
	case errors.Is(err, ErrDenied):
		in = clocksync.Denied{Source: i}
	case errors.Is(err, ErrSlower):
		in = clocksync.Slower{Source: i}
	default:
		in = clocksync.Lost{Source: i, Why: err.Error()}
	}
	select {
	case c.answers <- in:
	case <-ctx.Done():
	}
}
