package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/causeway-sync/causeway/internal/linkproxy"
)

// linkPatience bounds every wait of these tests for something that must happen.
const linkPatience = 15 * time.Second

func startNATS(t *testing.T) *server.Server {
	t.Helper()
	return startNATSAs(t, "core-1")
}

func startNATSAs(t *testing.T, name string) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: t.TempDir(), MaxPayload: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(linkPatience) {
		t.Fatal("nats server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.AddStream(&nats.StreamConfig{Name: "CW_OPS_0", Subjects: []string{"cw.op.0.>"},
		MaxMsgSize: 64 << 10, MaxBytes: 256 << 10, Discard: nats.DiscardNew})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testLink is a link at work and what it said.
type testLink struct {
	*Link
	up   chan string
	down chan error
}

func runLink(t *testing.T, change func(*LinkConfig)) testLink {
	t.Helper()
	tl := newTestLink(t, change)
	tl.run(t)
	return tl
}

func newTestLink(t *testing.T, change func(*LinkConfig)) testLink {
	t.Helper()
	tl := testLink{up: make(chan string, 64), down: make(chan error, 64)}
	cfg := DefaultLinkConfig()
	cfg.Node = "edge.1"
	cfg.RetryMin, cfg.RetryMax = 20*time.Millisecond, 50*time.Millisecond
	cfg.OnUp = func(s string) { tl.up <- s }
	cfg.OnDown = func(err error) { tl.down <- err }
	change(&cfg)
	l, err := NewLink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tl.Link = l
	return tl
}

func (l testLink) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(linkPatience):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), linkPatience)
	t.Cleanup(cancel)
	return ctx
}

func runProxy(t *testing.T, target string) *linkproxy.Proxy {
	t.Helper()
	p := linkproxy.New("127.0.0.1:0", target, 1)
	if err := p.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestLinkPublishesFrames(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	l := runLink(t, func(c *LinkConfig) { c.InProcess = s })
	if got := await(t, l.up, "link up"); got != "core-1" {
		t.Errorf("OnUp(%q), want core-1", got)
	}
	const subject = "cw.op.0.s.edge-1"
	seq, _, data, err := l.SubjectHead(soon(t), "CW_OPS_0", subject)
	if err != nil || seq != 0 || data != nil {
		t.Fatalf("SubjectHead of nothing = %d, %q, %v, want 0", seq, data, err)
	}
	seq, dup, err := l.PublishFrame(soon(t), subject, []byte("one"), "id-1", 0)
	if err != nil || seq != 1 || dup {
		t.Fatalf("PublishFrame = %d, %v, %v, want 1", seq, dup, err)
	}
	if _, _, err := l.PublishFrame(soon(t), subject, []byte("two"), "id-2", 0); !errors.Is(err, ErrWrongSequence) {
		t.Errorf("PublishFrame behind a wrong number = %v, want %v", err, ErrWrongSequence)
	}
	seq, dup, err = l.PublishFrame(soon(t), subject, []byte("one"), "id-1", 1)
	if err != nil || seq != 1 || !dup {
		t.Errorf("PublishFrame again = %d, %v, %v, want duplicate of 1", seq, dup, err)
	}
	seq, header, data, err := l.SubjectHead(soon(t), "CW_OPS_0", subject)
	if err != nil || seq != 1 || string(data) != "one" || header[nats.MsgIdHdr][0] != "id-1" {
		t.Errorf("SubjectHead = %d, %v, %q, %v, want 1 with id-1", seq, header, data, err)
	}
	if _, err := l.RTT(soon(t)); err != nil {
		t.Errorf("RTT = %v", err)
	}
}

func TestLinkClassifiesRefusals(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	l := runLink(t, func(c *LinkConfig) { c.InProcess = s })
	await(t, l.up, "link up")
	frame := func(subject string, size int) error {
		_, _, err := l.PublishFrame(soon(t), subject, make([]byte, size), fmt.Sprintf("%s-%d", subject, size), 0)
		return err
	}
	if err := frame("cw.op.0.s.big", 100<<10); !errors.Is(err, ErrRefused) {
		t.Errorf("frame over the stream's size: %v, want %v", err, ErrRefused)
	}
	if err := frame("cw.op.0.s.huge", 2<<20); !errors.Is(err, ErrRefused) {
		t.Errorf("frame over the payload limit: %v, want %v", err, ErrRefused)
	}
	if err := frame("cw.op.7.s.x", 1); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("frame to no stream: %v, want %v", err, ErrUnknownOutcome)
	}
	var err error
	for i := 0; err == nil && i < 10; i++ {
		err = frame(fmt.Sprintf("cw.op.0.s.fill%d", i), 60<<10)
	}
	if !errors.Is(err, ErrRefused) {
		t.Errorf("frame to a full stream: %v, want %v", err, ErrRefused)
	}
	if _, err := l.Request(soon(t), "cw.nobody", nil); !errors.Is(err, ErrNoResponder) {
		t.Errorf("Request to nobody = %v, want %v", err, ErrNoResponder)
	}
	if _, err := l.Request(context.Background(), "cw.nobody", nil); err == nil || errors.Is(err, ErrNoResponder) {
		t.Errorf("Request without a deadline = %v, want it refused", err)
	}
}

// F41: the link is lost between a publication and its answer.
func TestLinkLossHasUnknownOutcomeAtOnce(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	p := runProxy(t, s.Addr().String())
	l := runLink(t, func(c *LinkConfig) { c.Servers = []string{"nats://" + p.Addr()} })
	await(t, l.up, "link up")
	p.Set(linkproxy.State{Up: true, Blackhole: linkproxy.FromTarget})
	result := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		_, _, err := l.PublishFrame(ctx, "cw.op.0.s.edge-1", []byte("x"), "id-1", 0)
		result <- err
	}()
	// The core has stored the frame; its answer is swallowed.
	waitStored(t, s)
	p.Set(linkproxy.State{Up: false})
	if err := await(t, result, "the end of the publication"); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("PublishFrame over a lost link = %v, want %v", err, ErrUnknownOutcome)
	}
	await(t, l.down, "link down")
	if _, _, err := l.PublishFrame(soon(t), "cw.op.0.s.edge-1", nil, "id-2", 1); !errors.Is(err, ErrDown) {
		t.Errorf("PublishFrame while down = %v, want %v", err, ErrDown)
	}
	if err := l.Publish("cw.x", nil); !errors.Is(err, ErrDown) {
		t.Errorf("Publish while down = %v, want %v", err, ErrDown)
	}
	p.Set(linkproxy.State{Up: true})
	await(t, l.up, "link up again")
	seq, _, data, err := l.SubjectHead(soon(t), "CW_OPS_0", "cw.op.0.s.edge-1")
	if err != nil || seq != 1 || string(data) != "x" {
		t.Errorf("SubjectHead = %d, %q, %v, want what was stored before the loss", seq, data, err)
	}
	if st := l.Stats(); st.Reconnects != 1 {
		t.Errorf("Stats = %+v, want one reconnect", st)
	}
}

func waitStored(t *testing.T, s *server.Server) {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := js.SubscribeSync("cw.op.0.>", nats.OrderedConsumer())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(linkPatience); err != nil {
		t.Fatalf("frame was not stored: %v", err)
	}
}

// F24: bytes go out and nothing comes back; only the pings tell.
func TestLinkNoticesSilence(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	p := runProxy(t, s.Addr().String())
	l := runLink(t, func(c *LinkConfig) {
		c.Servers = []string{"nats://" + p.Addr()}
		c.PingInterval, c.MaxPingsOut = 20*time.Millisecond, 2
		c.DialTimeout = 100 * time.Millisecond
	})
	await(t, l.up, "link up")
	p.Set(linkproxy.State{Up: true, Hold: linkproxy.FromTarget})
	if err := await(t, l.down, "link down"); !errors.Is(err, nats.ErrStaleConnection) {
		t.Errorf("OnDown(%v), want %v", err, nats.ErrStaleConnection)
	}
	p.Set(linkproxy.State{Up: true})
	await(t, l.up, "link up again")
}

func TestLinkSubscribesBeforeAndAfterRunAndAcrossReconnects(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	p := runProxy(t, s.Addr().String())
	p.Set(linkproxy.State{Up: false}) // the core is not reachable at first
	l := newTestLink(t, func(c *LinkConfig) { c.Servers = []string{"nats://" + p.Addr()} })
	got := make(chan string, 16)
	handle := func(subject, _ string, data []byte) { got <- subject + " " + string(data) }
	if _, err := l.Subscribe("cw.early", handle); err != nil {
		t.Fatal(err)
	}
	l.run(t)
	p.Set(linkproxy.State{Up: true})
	await(t, l.up, "link up")
	cancelLate, err := l.Subscribe("cw.late", handle)
	if err != nil {
		t.Fatal(err)
	}
	other := runLink(t, func(c *LinkConfig) { c.Node, c.InProcess = "core-1", s })
	await(t, other.up, "other link up")
	say := func(subject string) {
		t.Helper()
		if _, err := l.RTT(soon(t)); err != nil { // the server knows our subscriptions now
			t.Fatal(err)
		}
		if err := other.Publish(subject, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if m := await(t, got, "message on "+subject); m != subject+" hi" {
			t.Errorf("got %q on %s", m, subject)
		}
	}
	say("cw.early")
	say("cw.late")
	p.Set(linkproxy.State{Up: false})
	await(t, l.down, "link down")
	p.Set(linkproxy.State{Up: true})
	await(t, l.up, "link up again")
	say("cw.early")
	cancelLate()
	if _, err := l.RTT(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := other.Publish("cw.late", []byte("unheard")); err != nil {
		t.Fatal(err)
	}
	say("cw.early") // nothing came in between
}

// TestLinkMovesOn has a link leave a server that answers for the other one, and
// stay with the only one that it knows.
func TestLinkMovesOn(t *testing.T) {
	t.Parallel()
	one, two := startNATSAs(t, "core-1"), startNATSAs(t, "core-2")
	l := runLink(t, func(c *LinkConfig) { c.Servers = []string{one.ClientURL(), two.ClientURL()} })
	at := await(t, l.up, "link up")
	for range 2 {
		l.MoveOn()
		await(t, l.down, "leaving "+at)
		now := await(t, l.up, "link up again")
		if now == at {
			t.Errorf("link is at %s again, want the other one", now)
		}
		at = now
	}
	alone := runLink(t, func(c *LinkConfig) { c.Servers = []string{one.ClientURL()} })
	await(t, alone.up, "link up")
	alone.MoveOn()
	if _, err := alone.RTT(soon(t)); err != nil {
		t.Errorf("the only link was left: %v", err)
	}
}

func TestLinkRunEndsWhileConnecting(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	l := newTestLink(t, func(c *LinkConfig) {
		c.Servers = []string{"nats://" + silent.Addr().String()}
		c.DialTimeout = time.Hour
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	c, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if err := await(t, done, "end of Run"); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestLinkRetryDelay(t *testing.T) {
	t.Parallel()
	cfg := DefaultLinkConfig()
	cfg.Node, cfg.Servers = "edge-1", []string{"nats://127.0.0.1:1"}
	l, err := NewLink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for attempt, limit := range map[int]time.Duration{1: 251 * time.Millisecond, 2: 501 * time.Millisecond,
		3: 1001 * time.Millisecond, 9: 10001 * time.Millisecond, 1 << 30: 10001 * time.Millisecond} {
		var sum time.Duration
		for range 2000 {
			d := l.retryDelay(attempt)
			if d <= 0 || d > limit {
				t.Fatalf("retryDelay(%d) = %v, want up to %v", attempt, d, limit)
			}
			sum += d
		}
		if mean := sum / 2000; mean < limit/3 || mean > 2*limit/3 {
			t.Errorf("retryDelay(%d) is %v on average, want about half of %v", attempt, mean, limit)
		}
	}
}

func TestLinkConfigReportsAll(t *testing.T) {
	t.Parallel()
	err := LinkConfig{}.Validate()
	for _, want := range []string{"node", "servers", "dial timeout", "ping interval", "write timeout", "retry",
		"pings out"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want it to mention %q", err, want)
		}
	}
}
