package node_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/clocksync/source"
	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/internal/ntptest"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

// clocked is a node with a system clock that the test can set.
type clocked struct {
	*node.Node
	off atomic.Int64 // of the system clock
	log lines
}

// lines passes on what is logged.
type lines struct{ c chan string }

func (l lines) Write(b []byte) (int, error) {
	select {
	case l.c <- string(b):
	default: // nobody waits for so many
	}
	return len(b), nil
}

// openClocked runs a node; servers are NTP servers.
func openClocked(t *testing.T, name, role string, off time.Duration, probe bool, servers ...string) *clocked {
	t.Helper()
	c := &clocked{log: lines{make(chan string, 10_000)}}
	c.off.Store(int64(off))
	cfg := node.Config{
		Name: name, Role: role, Cluster: "test", Spaces: []string{node.AllSpaces}, Store: store.DefaultOptions(t.TempDir()),
		CoreTimeout: time.Second, Sweep: time.Hour, ProbeCore: probe, Clock: node.DefaultClockConfig(),
		Log: slog.New(slog.NewTextHandler(io.Writer(c.log), nil)),
		Read: func() clocksync.Reading {
			r := source.System()
			r.Wall = min(max(r.Wall+clocksync.Nanos(c.off.Load()), 0), clocksync.MaxNanos)
			return r
		},
	}
	cfg.Clock.Servers, cfg.Clock.Chrony = servers, "off"
	n, err := node.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Node = n
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// await waits for a line of the log with all words in it.
func (c *clocked) await(t *testing.T, words ...string) {
	t.Helper()
	late := time.After(30 * time.Second)
next:
	for {
		select {
		case line := <-c.log.c:
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue next
				}
			}
			return
		case <-late:
			t.Fatalf("no line with %q in the log; clock %+v", words, c.clock(t))
		}
	}
}

func (c *clocked) clock(t *testing.T) httpapi.ClockStatus {
	t.Helper()
	st, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Clock
}

func (c *clocked) degraded(t *testing.T) (names []string) {
	t.Helper()
	st, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range st.Degraded {
		names = append(names, d.Name)
	}
	return names
}

// say appends a message and gives why it stands where it does, with its stamp.
func (c *clocked) say(t *testing.T, id, text string) session.Message {
	t.Helper()
	write(t, c.Node, id, session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(`"` + text + `"`)}}})
	msgs, _, err := c.Messages(t.Context(), "default", id, httpapi.MessageQuery{Tail: true, Limit: 1, Explain: true})
	if err != nil || len(msgs) != 1 {
		t.Fatalf("messages: %v, %v", msgs, err)
	}
	return msgs[0]
}

// attach gives the edge a link to the core, without a network.
func attach(edge, core *clocked) {
	edge.AskThrough(func(_ context.Context, _ string, data []byte) (answer []byte, err error) {
		err = errors.New("no answer")
		core.AnswerClock(data, "reply", func(_ string, data []byte) error {
			answer, err = data, nil
			return nil
		})
		return answer, err
	})
}

// TestWrongClock: an edge without NTP whose clock stands in 2099 learns the time
// from its core, writes at the right time, raises the alarm, which the core
// lists, and all is normal when the clock is put right.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	core := openClocked(t, "core-1", "core", 0, false, new(ntptest.Server).Start(t), new(ntptest.Server).Start(t), new(ntptest.Server).Start(t))
	core.await(t, "msg=clock", "state=synced")

	wrong := time.Until(time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
	edge := openClocked(t, "edge-1", "edge", wrong, true)
	write(t, edge.Node, "early", session.OpenSession{})
	first := edge.say(t, "early", "before anybody told the time")
	if first.At.Year() != 2099 || first.Placing.Trust != "unsynced" {
		t.Errorf("first message at %v, %s", first.At, first.Placing.Trust)
	}
	origin := edge.Origin()
	attach(edge, core)
	edge.await(t, "state=synced")
	edge.await(t, "new origin") // the hybrid clock is put back
	if edge.Origin() == origin {
		t.Error("the origin is the same although stamps go back")
	}
	write(t, edge.Node, "late", session.OpenSession{})
	m := edge.say(t, "late", "now")
	if off := time.Since(m.At).Abs(); off > 5*time.Second || m.Placing.Trust != "synced" {
		t.Errorf("message at %v, %s, want now and synced", m.At, m.Placing.Trust)
	}
	if m := edge.say(t, "early", "an answer"); m.At.Before(first.At) || m.Placing.Trust != "unsynced" {
		t.Errorf("answer at %v, %s, want not before %v and unsynced", m.At, m.Placing.Trust, first.At)
	}
	if c := edge.clock(t); c.Alarm != "offset" || c.OffsetMS == nil || *c.OffsetMS > -1e9 {
		t.Errorf("clock %+v", c)
	}
	if d := edge.degraded(t); !strings.Contains(strings.Join(d, " "), "clock_offset") {
		t.Errorf("degraded: %v", d)
	}

	edge.off.Store(0)
	edge.await(t, "clock alarm is over")
	edge.await(t, "state=synced")
	if d := edge.degraded(t); strings.Contains(strings.Join(d, " "), "clock") {
		t.Errorf("degraded: %v", d)
	}
}

// The core lists who asked it, with the alarm.
func TestCoreListsClocks(t *testing.T) {
	t.Parallel()
	core := openClocked(t, "core-1", "core", 0, false, new(ntptest.Server).Start(t))
	core.await(t, "msg=clock", "state=synced")
	edge := openClocked(t, "edge-1", "edge", time.Hour, true)
	attach(edge, core)
	edge.await(t, "state=synced")
	edge.await(t, "clock alarm")
	edge.off.Store(int64(2 * time.Hour)) // asks anew at once
	edge.await(t, "set the system clock")
	edge.await(t, "state=synced")
	c := core.clock(t)
	if len(c.Edges) != 1 || c.Edges[0].Node != "edge-1" || c.Edges[0].Alarm != "offset" || c.Edges[0].OffsetMS == nil {
		t.Fatalf("edges %+v", c.Edges)
	}
	if d := core.degraded(t); !strings.Contains(strings.Join(d, " "), "edge_clocks") {
		t.Errorf("degraded: %v", d)
	}
}

func TestClockConfig(t *testing.T) {
	t.Parallel()
	if err := node.DefaultClockConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	own := node.DefaultClockConfig()
	own.Servers, own.Poll = []string{"192.168.1.1", "localhost:123", "[fd00::1]:123"}, 2e9
	if err := own.Validate(); err != nil {
		t.Errorf("own servers every 2 s: %v", err)
	}
	for want, spoil := range map[string]func(*node.ClockConfig){
		"clock.servers[0]": func(c *node.ClockConfig) { c.Servers = []string{"ntp://x"} },
		"clock.smeared[0]": func(c *node.ClockConfig) { c.Servers, c.Smeared = []string{"a.example"}, []string{"a.example"} },
		"clock.chrony":     func(c *node.ClockConfig) { c.Chrony = "yes" },
		"clock.ptp":        func(c *node.ClockConfig) { c.PTP = "ptp0" },
		"clock.ptp_ahead":  func(c *node.ClockConfig) { c.PTPAhead = 37e9 },
		"clock.poll":       func(c *node.ClockConfig) { c.Servers, c.Poll = []string{"time.example.org"}, 2e9 },
		"clock.limit":      func(c *node.ClockConfig) { c.Limit = 5e6 },
	} {
		c := node.DefaultClockConfig()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want+":") {
			t.Errorf("Validate() = %v, want an error of %s", err, want)
		}
	}
}
