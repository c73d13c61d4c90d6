package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/intake"
	"github.com/causeway-sync/causeway/internal/store"
)

func openForIntake(t *testing.T, limits LimitsConfig) *Node {
	t.Helper()
	o := store.DefaultOptions(t.TempDir())
	o.ReserveBytes = 1 << 20
	n, err := Open(Config{Name: "edge-1", Role: "edge", Store: o, CoreTimeout: time.Second, Sweep: time.Second,
		Log: slog.New(slog.DiscardHandler), Limits: limits, Clock: DefaultClockConfig()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestAdmissionLetsInWhoFits(t *testing.T) {
	t.Parallel()
	n := openForIntake(t, LimitsConfig{Writes: 2, Waiting: 2, MaxWait: config.Duration(10 * time.Second)})
	ctx := t.Context()
	leaves := make([]func(), 2)
	for i := range leaves {
		var err error
		if leaves[i], _, err = n.Admit(ctx, "s", "c", intake.Live); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan error, 2)
	var waits sync.WaitGroup
	for range 2 {
		waits.Go(func() {
			leave, _, err := n.Admit(ctx, "s", "c", intake.Live)
			if err == nil {
				defer leave()
			}
			got <- err
		})
	}
	for n.admission.status().Waiting < 2 {
		<-time.After(time.Millisecond) // until both wait
	}
	if _, _, err := n.Admit(ctx, "s", "c", intake.Live); !errors.Is(err, httpapi.ErrOverloaded) {
		t.Errorf("one too many: %v", err)
	}
	n.noteIntake(0, time.Now())
	if d := n.problems.all(); len(d) != 1 || d[0].Name != "overloaded" {
		t.Errorf("degraded: %+v", d)
	}
	n.noteIntake(0, time.Now().Add(shedFor))
	if d := n.problems.all(); len(d) != 0 {
		t.Errorf("degraded: %+v", d)
	}
	leaves[0]()
	leaves[0]() // does nothing
	leaves[1]()
	waits.Wait()
	for range 2 {
		if err := <-got; err != nil {
			t.Errorf("who waited: %v", err)
		}
	}
	if s := n.admission.status(); s.Inside != 0 || s.Waiting != 0 || s.Entered["live"] != 4 || s.Shed["live"] != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestAdmissionEndsTheWait(t *testing.T) {
	t.Parallel()
	n := openForIntake(t, LimitsConfig{Writes: 1, Waiting: 5, MaxWait: config.Duration(time.Millisecond)})
	leave, _, err := n.Admit(t.Context(), "s", "c", intake.Live)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.Admit(t.Context(), "s", "c", intake.Live); !errors.Is(err, httpapi.ErrOverloaded) {
		t.Errorf("after the longest wait: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := n.Admit(gone, "s", "c", intake.Live); !errors.Is(err, httpapi.ErrOverloaded) {
		t.Errorf("when the client has gone: %v", err)
	}
	leave()
	if s := n.admission.status(); s.Inside != 0 || s.Waiting != 0 || len(n.admission.waiting) != 0 {
		t.Errorf("status %+v, %d tickets", s, len(n.admission.waiting))
	}
}

func TestAdmissionByReserves(t *testing.T) {
	t.Parallel()
	n := openForIntake(t, LimitsConfig{Writes: 10, MaxWait: config.Duration(time.Second), Memory: 64 << 20})
	admit := func(c intake.Class) error {
		leave, _, err := n.Admit(t.Context(), "s", "c", c)
		if err == nil {
			leave()
		}
		return err
	}
	for _, s := range []struct {
		used                  uint64
		mode                  string
		live, imports, stream error
	}{
		{1 << 20, "", nil, nil, nil},
		{50 << 20, "memory_low", nil, httpapi.ErrMemoryReserve, httpapi.ErrMemoryReserve},
		{60 << 20, "memory_reserve", httpapi.ErrMemoryReserve, httpapi.ErrMemoryReserve, httpapi.ErrMemoryReserve},
		{90 << 20, "memory_reserve", httpapi.ErrMemoryReserve, httpapi.ErrMemoryReserve, httpapi.ErrMemoryReserve},
		{20 << 20, "", nil, nil, nil},
	} {
		n.noteIntake(s.used, time.Now())
		d := n.problems.all()
		if (len(d) != 0) != (s.mode != "") || len(d) > 0 && d[0].Name != s.mode {
			t.Errorf("%d bytes used: degraded %+v, want %q", s.used, d, s.mode)
		}
		for c, want := range map[intake.Class]error{intake.Live: s.live, intake.Import: s.imports, intake.Backlog: s.stream} {
			if err := admit(c); !errors.Is(err, want) {
				t.Errorf("%d bytes used: %v request: %v, want %v", s.used, c, err, want)
			}
		}
	}
}

func TestLimitsAreChecked(t *testing.T) {
	t.Parallel()
	good := DefaultLimitsConfig()
	good.ClientRate, good.ClientBurst = 0.5, 1
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(*LimitsConfig){
		func(c *LimitsConfig) { c.NodeRate = -1 }, func(c *LimitsConfig) { c.SpaceRate = 5 },
		func(c *LimitsConfig) { c.ClientBurst = -1 }, func(c *LimitsConfig) { c.Writes = 0 },
		func(c *LimitsConfig) { c.Waiting = -1 }, func(c *LimitsConfig) { c.MaxWait = config.Duration(time.Hour) },
		func(c *LimitsConfig) { c.Memory = 1 << 20 },
	} {
		c := DefaultLimitsConfig()
		spoil(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%+v passes", c)
		}
	}
	if _, err := ParsePolicy([]string{"*/tool=core", "nonsense"}); err == nil {
		t.Error("a rule that is none passes")
	}
}
