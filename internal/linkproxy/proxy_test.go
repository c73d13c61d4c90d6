package linkproxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests for something that must happen.
const patience = 10 * time.Second

// start runs a proxy to an echo server.
func start(t *testing.T) *Proxy {
	t.Helper()
	return startTo(t, echoServer(t))
}

func startTo(t *testing.T, target string) *Proxy {
	t.Helper()
	p := New("127.0.0.1:0", target, 1)
	if err := p.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if n := p.Conns(); n != 0 {
			t.Errorf("Conns after Run = %d, want 0", n)
		}
	})
	return p
}

func echoServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // ends in an error when a link is cut
				_ = c.(*net.TCPConn).CloseWrite()
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func echo(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("write %q: %v", text, err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("read back = %q, %v, want %q", got, err, text)
	}
}

// wantEnd reads until the connection ends, which it must do by itself.
func wantEnd(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("connection is still open, want it reset")
	}
}

// wantNoUse dials; either that fails, or the connection ends at once.
func wantNoUse(t *testing.T, p *Proxy) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, c)
}

func TestForwardsAndPassesHalfClose(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t))
	echo(t, c, "hello")
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB, many pieces
	go func() {
		_, _ = c.Write(big) // the reader reports what is missing
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, big) {
		t.Fatalf("got %d bytes, %v, want the %d sent, in order, and then the end", len(got), err, len(big))
	}
}

func TestCutResetsOldAndNewConnections(t *testing.T) {
	t.Parallel()
	p := start(t)
	old := dial(t, p)
	echo(t, old, "before")
	p.Set(State{Up: false})
	wantEnd(t, old)
	wantNoUse(t, p)
	p.Set(State{Up: true})
	echo(t, dial(t, p), "after")
}

func TestLatencyInBothDirections(t *testing.T) {
	t.Parallel()
	p := start(t)
	c := dial(t, p)
	echo(t, c, "warm")
	p.Set(State{Up: true, Latency: 30 * time.Millisecond, Jitter: 10 * time.Millisecond})
	began := time.Now()
	echo(t, c, "slow")
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("round trip took %v, want at least 2 × (30 ms - 10 ms)", took)
	}
}

func TestBandwidth(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.Set(State{Up: true, BytesPerSecond: 200 << 10})
	c := dial(t, p)
	began := time.Now()
	go func() {
		_, _ = c.Write(make([]byte, 20<<10)) // the reader reports what is missing
	}()
	if _, err := io.ReadFull(c, make([]byte, 20<<10)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 95*time.Millisecond {
		t.Errorf("20 KiB at 200 KiB/s took %v, want about 100 ms or more", took)
	}
}

// sink accepts one connection, hands over what arrives, and answers each piece.
func sink(t *testing.T) (addr string, got <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pieces := make(chan string, 16)
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			pieces <- string(buf[:n])
			if _, err := io.WriteString(c, "ok"); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String(), pieces
}

func TestOneWayBlackholeSwallowsAndResetsAtItsEnd(t *testing.T) {
	t.Parallel()
	addr, got := sink(t)
	p := startTo(t, addr)
	p.Set(State{Up: true, Blackhole: FromTarget})
	c := dial(t, p)
	if _, err := io.WriteString(c, "one"); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "one" {
		t.Fatalf("target got %q, want %q: the other direction must work", s, "one")
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(make([]byte, 8))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Read in a blackhole = %d, %v, want nothing and an open connection", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p.Set(State{Up: true})
	wantEnd(t, c)
}

func TestHoldDeliversLater(t *testing.T) {
	t.Parallel()
	addr, got := sink(t)
	p := startTo(t, addr)
	c := dial(t, p)
	p.Set(State{Up: true, Hold: ToTarget})
	if _, err := io.WriteString(c, "late"); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-got:
		t.Fatalf("target got %q while held", s)
	case <-time.After(30 * time.Millisecond):
	}
	p.Set(State{Up: true})
	if s := <-got; s != "late" {
		t.Fatalf("target got %q, want %q", s, "late")
	}
}

func TestDeadTargetResets(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	wantNoUse(t, startTo(t, l.Addr().String()))
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	p := start(t)
	err := New(p.Addr(), "127.0.0.1:1", 1).Listen(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Listen on a used address = %v, want %v", err, syscall.EADDRINUSE)
	}
}

func TestDelayIsDeterministicAndNeverReorders(t *testing.T) {
	t.Parallel()
	s := Shape{Latency: 5 * time.Millisecond, Jitter: 20 * time.Millisecond, BytesPerSecond: 1 << 20}
	run := func(seed uint64) []time.Duration {
		d := newDelay(seed, 3, ToTarget)
		origin := time.Unix(0, 0)
		var out []time.Duration
		last := origin
		for i := range 200 {
			due, _ := d.next(origin.Add(time.Duration(i)*time.Millisecond), 100, s)
			if due.Before(last) {
				t.Fatalf("piece %d is due at %v, before the last at %v", i, due, last)
			}
			last = due
			out = append(out, due.Sub(origin))
		}
		return out
	}
	a, b, c := run(1), run(1), run(2)
	same := 0
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("piece %d: %v and %v with one seed, want equal", i, a[i], b[i])
		}
		if a[i] == c[i] {
			same++
		}
	}
	if same == len(a) {
		t.Error("two seeds gave the same delays")
	}
}

// A piece that stalls holds up what is behind it; the share of stalls is the
// chance, and nothing stalls at chance zero.
func TestStalls(t *testing.T) {
	t.Parallel()
	const pieces = 20000
	for _, chance := range []float64{0, 0.1} {
		d := newDelay(5, 1, ToTarget)
		at := time.Unix(0, 0)
		stalled := 0
		for range pieces {
			at = at.Add(time.Hour) // the piece before is long gone
			due, stalls := d.next(at, 100, Shape{Stall: chance, StallFor: time.Second})
			if want := time.Second * (1<<stalls - 1); due.Sub(at) != want {
				t.Fatalf("a piece stalled %d times is %v late, want %v", stalls, due.Sub(at), want)
			}
			if stalls > 0 {
				stalled++
			}
		}
		if share := float64(stalled) / pieces; share < 0.8*chance || share > 1.2*chance {
			t.Errorf("%.3f of all pieces stalled, want about %.1f", share, chance)
		}
	}
}

// Each direction has its own shape.
func TestBackHasItsOwnShape(t *testing.T) {
	t.Parallel()
	there := Shape{Latency: time.Second, Stall: 0.5, StallFor: time.Minute}
	back := Shape{BytesPerSecond: 7}
	s := State{Latency: there.Latency, Stall: there.Stall, StallFor: there.StallFor}
	if got := s.shape(FromTarget); got != there {
		t.Errorf("without Back: shape(FromTarget) = %+v, want %+v", got, there)
	}
	s.Back = &back
	if got := s.shape(FromTarget); got != back {
		t.Errorf("shape(FromTarget) = %+v, want %+v", got, back)
	}
	if got := s.shape(ToTarget); got != there {
		t.Errorf("shape(ToTarget) = %+v, want %+v", got, there)
	}
}
