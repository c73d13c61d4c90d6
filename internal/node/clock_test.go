package node_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/clocksync/source"
	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/internal/ntptest"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

// machine is a computer with clocks that the test sets. In a bubble of synctest
// its time passes as the bubble's, which is the true time, and costs nothing.
type machine struct {
	boot  time.Time
	off   atomic.Int64 // of the system clock
	slept atomic.Int64 // true time that it was suspended, which the bubble did not see
}

func newMachine(off time.Duration) *machine {
	m := &machine{boot: time.Now().Add(-time.Minute)}
	m.off.Store(int64(off))
	return m
}

func (m *machine) set(off time.Duration) { m.off.Store(int64(off)) }

// read is what its clocks show.
func (m *machine) read() clocksync.Reading {
	running, slept := time.Since(m.boot), time.Duration(m.slept.Load())
	wall := clocksync.NanosOf(time.Now()) + clocksync.Nanos(slept) + clocksync.Nanos(m.off.Load())
	return clocksync.Reading{Wall: min(max(wall, 0), clocksync.MaxNanos), Elapsed: running + slept, Running: running}
}

// truth is what the world outside takes the time to be.
func (m *machine) truth() clocksync.Nanos {
	return clocksync.NanosOf(time.Now()) + clocksync.Nanos(m.slept.Load())
}

// honest are so many time servers that tell the machine the truth.
func (m *machine) honest(count int) (list []source.Source) {
	for i := range count {
		named := clocksync.SourceConfig{Name: string(rune('a' + i))}
		list = append(list, source.Source{Asker: server{m}, SourceConfig: named})
	}
	return list
}

type server struct{ m *machine }

func (s server) Ask(context.Context) (clocksync.Sample, error) {
	return clocksync.Sample{Elapsed: s.m.read().Elapsed, Time: s.m.truth(), Delay: 2 * time.Millisecond,
		RootDispersion: time.Millisecond, Stratum: 2}, nil
}

// clocked is a node on a machine.
type clocked struct {
	*node.Node
	*machine
	dir  string
	log  lines
	stop func()
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

// openClocked runs a node on a machine, over what its directory holds.
func openClocked(t *testing.T, name, dir string, m *machine, sources ...source.Source) *clocked {
	t.Helper()
	return openWith(t, name, dir, m, func(cfg *node.Config) { cfg.Sources = sources })
}

func openWith(t *testing.T, name, dir string, m *machine, change func(*node.Config)) *clocked {
	t.Helper()
	role, _, _ := strings.Cut(name, "-")
	c := &clocked{machine: m, dir: dir, log: lines{make(chan string, 100_000)}}
	cfg := node.Config{
		Name: name, Role: role, Cluster: "test", Spaces: []string{node.AllSpaces}, Store: store.DefaultOptions(dir),
		CoreTimeout: time.Second, Sweep: time.Hour, ProbeCore: role == "edge", Clock: node.DefaultClockConfig(), Read: m.read,
		Log: slog.New(slog.NewTextHandler(io.Writer(c.log), nil)),
	}
	cfg.Clock.Chrony = "off"
	change(&cfg)
	n, err := node.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Node = n
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	c.stop = func() {
		if cancel == nil {
			return
		}
		cancel()
		cancel = nil
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { c.stop() })
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
	edge.Reconnected()
}

// within waits, in the bubble's time, until something is so, and gives how long
// that took.
func within(t *testing.T, most time.Duration, what string, so func() bool) time.Duration {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		switch took := time.Since(began); {
		case so():
			return took
		case took > most:
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

// alarmWithin is the promise: how soon the alarm for a wrong clock is raised.
const alarmWithin = 70 * time.Second

func (c *clocked) alarms(t *testing.T, want string) func() bool {
	return func() bool { return c.clock(t).Alarm == want }
}

// give has a node take all that another one has written under its present origin.
func give(t *testing.T, from, to *clocked) {
	t.Helper()
	_, refused, err := to.Ingest(t.Context(), frames(t, from.Node), nil)
	for _, r := range refused {
		err = errors.Join(err, r)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// texts gives the messages of a session in the order in which a node shows them.
func (c *clocked) texts(t *testing.T, id string) (list []string) {
	t.Helper()
	msgs, _, err := c.Messages(t.Context(), "default", id, httpapi.MessageQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		list = append(list, strings.Trim(string(m.Content), `"`))
	}
	return list
}

// near fails unless a stamp is within d of the true time.
func (c *clocked) near(t *testing.T, m session.Message, d time.Duration) {
	t.Helper()
	if off := m.At.Sub(c.truth().Time()); off.Abs() > d {
		t.Errorf("stamp at %v, %v off, want at most %v", m.At, off, d)
	}
}

// TestWrongClock: an edge without NTP whose clock stands in 1970, an hour behind,
// an hour ahead or in 2099 writes all the same. The core tells it the time: the
// alarm is raised there and at the core within 70 s, new stamps are right, and
// nobody else's clock moves. All is normal when the clock is put right, and no
// op is lost, also by a restart.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(now time.Time) time.Duration{
		"1970":           func(now time.Time) time.Duration { return -time.Duration(now.UnixNano()) },
		"an hour behind": func(time.Time) time.Duration { return -time.Hour },
		"an hour ahead":  func(time.Time) time.Duration { return time.Hour },
		"2099":           func(now time.Time) time.Duration { return time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).Sub(now) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { wrongClock(t, wrong(time.Now())) })
		})
	}
}

func wrongClock(t *testing.T, wrong time.Duration) {
	right, machineOfEdge := newMachine(0), newMachine(wrong)
	core := openClocked(t, "core-1", t.TempDir(), right, right.honest(3)...)
	other := openClocked(t, "edge-2", t.TempDir(), right)
	edge := openClocked(t, "edge-1", t.TempDir(), machineOfEdge)
	attach(other, core)
	time.Sleep(time.Minute)

	write(t, edge.Node, "early", session.OpenSession{})
	first := edge.say(t, "early", "before anybody told the time")
	if off := (first.At.Sub(edge.truth().Time()) - wrong).Abs(); off > 5*time.Second || first.Placing.Trust != "unsynced" {
		t.Errorf("the first stamp is %v, %s, want that of the system clock, and unsynced", first.At, first.Placing.Trust)
	}
	give(t, edge, other)
	write(t, other.Node, "elsewhere", session.OpenSession{})
	other.near(t, other.say(t, "elsewhere", "not led astray"), clocksync.MaxAhead+clocksync.BoundStep)

	attach(edge, core)
	took := within(t, alarmWithin, "alarm", edge.alarms(t, "offset"))
	t.Logf("alarm after %v", took)
	within(t, alarmWithin-took, "alarm at the core", func() bool {
		return slices.ContainsFunc(core.clock(t).Edges, func(e httpapi.EdgeClock) bool {
			return e.Node == "edge-1" && e.Alarm == "offset"
		})
	})
	if d := core.degraded(t); !slices.Contains(d, "edge_clocks") {
		t.Errorf("the core is degraded by %v, want edge_clocks among it", d)
	}
	within(t, time.Minute, "synced", func() bool { return edge.clock(t).State == "synced" })
	time.Sleep(5 * time.Second) // stamps are put back at the next look
	write(t, edge.Node, "late", session.OpenSession{})
	m := edge.say(t, "late", "now")
	if edge.near(t, m, time.Second); m.Placing.Trust != "synced" {
		t.Errorf("trust %s, want synced", m.Placing.Trust)
	}
	give(t, edge, other)
	if m := edge.say(t, "early", "an answer"); m.At.Before(first.At) {
		t.Errorf("the answer is at %v, before what it follows at %v", m.At, first.At)
	}
	give(t, edge, other)
	for _, n := range []*clocked{edge, other} {
		if got := n.texts(t, "early"); !slices.Equal(got, []string{"before anybody told the time", "an answer"}) {
			t.Errorf("order %q, want what was answered first", got)
		}
	}
	write(t, other.Node, "after", session.OpenSession{})
	other.near(t, other.say(t, "after", "still not led astray"), clocksync.MaxAhead+clocksync.BoundStep)

	edge.set(0)
	within(t, alarmWithin, "the alarm is over", edge.alarms(t, ""))
	within(t, time.Minute, "synced again", func() bool { return edge.clock(t).State == "synced" })
	if d := edge.degraded(t); slices.ContainsFunc(d, func(s string) bool { return strings.HasPrefix(s, "clock") }) {
		t.Errorf("degraded by %v, want nothing about the clock", d)
	}
	within(t, alarmWithin, "the core sees it", func() bool { return !slices.Contains(core.degraded(t), "edge_clocks") })
	edge.set(wrong) // and once more, with a link
	took = within(t, alarmWithin, "alarm once more", edge.alarms(t, "offset"))
	within(t, alarmWithin-took, "alarm at the core once more", func() bool {
		return slices.Contains(core.degraded(t), "edge_clocks")
	})
	edge.set(0)
	within(t, alarmWithin, "the alarm is over once more", edge.alarms(t, ""))
	edge.stop()
	again := openClocked(t, "edge-1", edge.dir, machineOfEdge)
	if got := len(again.texts(t, "early")) + len(again.texts(t, "late")); got != 3 {
		t.Errorf("%d messages after a restart, want 3", got)
	}
}

// TestAlarmOfASetClock: somebody sets the clock of a node whose time is right.
func TestAlarmOfASetClock(t *testing.T) {
	t.Parallel()
	const years = 20 * 365 * 24 * time.Hour
	for _, by := range []time.Duration{300 * time.Millisecond, -300 * time.Millisecond, time.Hour, -years} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(0)
				edge := openClocked(t, "edge-1", t.TempDir(), m, m.honest(3)...)
				time.Sleep(10 * time.Minute)
				before := edge.clock(t)
				m.set(by)
				t.Logf("alarm after %v", within(t, alarmWithin, "alarm", edge.alarms(t, "offset")))
				c := edge.clock(t)
				if before.LastStep != nil || c.LastStep == nil || (time.Duration(c.LastStep.ByMS*1e6)-by).Abs() > time.Millisecond {
					t.Errorf("the last step is %+v, want %v", c.LastStep, by)
				}
				write(t, edge.Node, "s", session.OpenSession{})
				edge.near(t, edge.say(t, "s", "hello"), clocksync.MaxAhead)
				m.set(0)
				within(t, alarmWithin, "the alarm is over", edge.alarms(t, ""))
			})
		})
	}
}

// TestAlarmWithoutSources: neither the edge nor the core has a source of time, and
// their clocks differ.
func TestAlarmWithoutSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core := openClocked(t, "core-1", t.TempDir(), newMachine(0))
		edge := openClocked(t, "edge-1", t.TempDir(), newMachine(time.Hour))
		time.Sleep(5 * time.Minute)
		attach(edge, core)
		t.Logf("alarm after %v", within(t, alarmWithin, "alarm", edge.alarms(t, "differs")))
	})
}

// TestClockBackAtRestart: a node comes back with its clock an hour or years behind.
// No stamp goes back, whether somebody tells it the time or not.
func TestClockBackAtRestart(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string]int{"alone": 0, "with servers": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, dir := newMachine(0), t.TempDir()
				var last session.Message
				for i, back := range []time.Duration{0, time.Hour, 3 * 365 * 24 * time.Hour} {
					m.set(-back)
					n := openClocked(t, "edge-1", dir, m, m.honest(servers)...)
					if i == 0 {
						write(t, n.Node, "s", session.OpenSession{})
					}
					for range 3 {
						msg := n.say(t, "s", "again")
						if !msg.At.After(last.At) && msg.Placing.Count <= count(last) {
							t.Errorf("%v back: stamp %v after %v", back, msg.At, last.At)
						}
						last = msg
						time.Sleep(20 * time.Second)
					}
					if got := len(n.texts(t, "s")); got != 3*(i+1) {
						t.Errorf("%d messages, want %d", got, 3*(i+1))
					}
					n.stop()
				}
			})
		})
	}
}

// count is the counter of a message's stamp.
func count(m session.Message) uint16 {
	if m.Placing == nil {
		return 0
	}
	return m.Placing.Count
}

// TestSuspendedMachine: after eight hours of sleep the time is in doubt until it
// was compared, and right again then.
func TestSuspendedMachine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(0)
		edge := openClocked(t, "edge-1", t.TempDir(), m, m.honest(3)...)
		time.Sleep(10 * time.Minute)
		write(t, edge.Node, "s", session.OpenSession{})
		before := edge.say(t, "s", "before")
		m.slept.Store(int64(8 * time.Hour))
		edge.await(t, "the machine was suspended", "for=8h")
		within(t, alarmWithin, "synced", func() bool { c := edge.clock(t); return c.State == "synced" && *c.BoundMS < 50 })
		after := edge.say(t, "s", "after")
		edge.near(t, after, 100*time.Millisecond)
		if slept := after.At.Sub(before.At); slept < 8*time.Hour {
			t.Errorf("%v between the stamps, want 8 h at least", slept)
		}
		if got := edge.texts(t, "s"); !slices.Equal(got, []string{"before", "after"}) {
			t.Errorf("messages %q", got)
		}
		if c := edge.clock(t); c.Alarm != "" || c.LastStep != nil {
			t.Errorf("clock %+v, want neither an alarm nor a step", c)
		}
	})
}

// The servers of the configuration are asked, over a real network.
func TestConfiguredServers(t *testing.T) {
	t.Parallel()
	c := openWith(t, "core-1", t.TempDir(), newMachine(0), func(cfg *node.Config) {
		cfg.Clock.Servers = []string{new(ntptest.Server).Start(t), new(ntptest.Server).Start(t)}
	})
	c.await(t, "msg=clock", "state=synced")
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
