package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errDisk = errors.New("disk is gone")

// leavers lists the names of parts in the order in which they left.
type leavers struct {
	mu    sync.Mutex // guards names
	names []string
}

func (l *leavers) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, name)
}

// until returns a part that works until it is told to stop, then needs cleanup
// to leave, and then returns what end makes of its context.
func until(name string, cleanup time.Duration, left *leavers, end func(context.Context) error) Part {
	return Part{name, func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(cleanup)
		left.add(name)
		return end(ctx)
	}}
}

func after(name string, work time.Duration, err error) Part {
	return Part{name, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(work):
			return err
		}
	}}
}

func TestOneErrorStopsAllAndIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left leavers
		begin := time.Now()
		err := Run(t.Context(),
			until("slow", 3*time.Second, &left, context.Context.Err),
			until("quick", time.Second, &left, context.Cause),
			after("store", time.Minute, errDisk))
		if !errors.Is(err, errDisk) || err.Error() != "store: disk is gone" {
			t.Errorf("Run = %v, want only the error of the store", err)
		}
		if got := fmt.Sprint(left.names); got != "[quick slow]" {
			t.Errorf("left = %v, want both parts to have left before Run returns", got)
		}
		if took := time.Since(begin); took != time.Minute+3*time.Second {
			t.Errorf("Run took %v, want it to wait for the slowest part", took)
		}
	})
}

func TestAPartThatEndsWithoutErrorStopsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		watch := Part{"watch", func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return fmt.Errorf("read: %w", ctx.Err())
		}}
		if err := Run(t.Context(), watch, after("link", time.Second, nil)); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if cause == nil || cause.Error() != "link ended" {
			t.Errorf("cause = %v, want the name of the part that ended", cause)
		}
	})
}

func TestTheCallerEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, derive := range map[string]func(context.Context) (context.Context, context.CancelFunc){
			"cancel": func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			},
			"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			},
			"ended before": func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx, cancel
			},
		} {
			ctx, cancel := derive(t.Context())
			var left leavers
			err := Run(ctx, until("a", 0, &left, context.Context.Err), until("b", time.Second, &left, context.Cause))
			cancel()
			if err != nil || len(left.names) != 2 {
				t.Errorf("%s: Run = %v with %v gone, want nil and both", name, err, left.names)
			}
		}
	})
}

func TestWhatIsJoinedToTheEndIsNotSwallowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left leavers
		err := Run(t.Context(),
			until("store", 0, &left, func(ctx context.Context) error { return errors.Join(ctx.Err(), errDisk) }),
			until("link", 0, &left, func(ctx context.Context) error { return errors.Join(ctx.Err(), context.Cause(ctx)) }),
			after("api", time.Second, nil))
		if !errors.Is(err, errDisk) || strings.Contains(err.Error(), "link") {
			t.Errorf("Run = %v, want the store's error and nothing of the link", err)
		}
	})
}

func TestACancellationOfItsOwnIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := Run(t.Context(), after("link", time.Second, context.Canceled), after("api", time.Hour, nil))
		if !errors.Is(err, context.Canceled) || err.Error() != "link: context canceled" {
			t.Errorf("Run = %v, want the link's own cancellation", err)
		}
	})
}

func TestAllErrorsAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left leavers
		errNet := errors.New("net is gone")
		err := Run(t.Context(), after("store", time.Second, errDisk),
			until("link", time.Second, &left, func(context.Context) error { return errNet }))
		if !errors.Is(err, errDisk) || !errors.Is(err, errNet) {
			t.Errorf("Run = %v, want both errors", err)
		}
	})
}

func TestNoParts(t *testing.T) {
	t.Parallel()
	if err := Run(t.Context()); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}
