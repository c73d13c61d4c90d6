package source_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/clocksync/source"
)

// askerFunc is a source in a test.
type askerFunc func(ctx context.Context) (clocksync.Sample, error)

func (f askerFunc) Ask(ctx context.Context) (clocksync.Sample, error) { return f(ctx) }

// TestReconnected: a source that was silent for hours is asked at once when the
// network is back, and not when its pause is over.
func TestReconnected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		read := func() clocksync.Reading {
			return clocksync.Reading{Wall: clocksync.NanosOf(time.Now()), Elapsed: time.Since(start) + 1, Running: time.Since(start) + 1}
		}
		var up atomic.Bool
		var asked atomic.Int64
		c, err := source.New(source.Config{Poll: time.Minute, PollMax: 12 * time.Hour, Limit: time.Second, Read: read,
			Sources: []source.Source{{SourceConfig: clocksync.SourceConfig{Name: "a"}, Asker: askerFunc(
				func(context.Context) (clocksync.Sample, error) {
					asked.Add(1)
					if !up.Load() {
						return clocksync.Sample{}, errors.New("no network")
					}
					r := read()
					return clocksync.Sample{Elapsed: r.Elapsed, Time: r.Wall, Stratum: 1}, nil
				})}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(24 * time.Hour) // of the bubble: it takes no time
		up.Store(true)
		before := asked.Load()
		time.Sleep(5 * time.Second)
		if n := asked.Load() - before; n != 0 {
			t.Errorf("asked %d times in 5 s while nobody knew that the network is back, want the pause to be long", n)
		}
		c.Reconnected()
		time.Sleep(5 * time.Second)
		if m := c.Now(); m.State != clocksync.StateSynced {
			t.Errorf("5 s after the network was back the clock is %v, asked %d times", m.State, asked.Load()-before)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
}
