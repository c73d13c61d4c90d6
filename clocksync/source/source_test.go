package source_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/clocksync/source"
	"github.com/causeway-sync/causeway/internal/ntptest"
)

// lab is a clock that asks servers on loopback.
type lab struct {
	*source.Clock
	step  atomic.Int64 // by which the system clock was set
	facts chan clocksync.Fact
}

// open starts a clock over the servers, with a system clock that can be set.
func open(t *testing.T, servers ...*ntptest.Server) *lab {
	t.Helper()
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.Start(t))
	}
	return openAt(t, addresses...)
}

func openAt(t *testing.T, addresses ...string) *lab {
	t.Helper()
	l := &lab{facts: make(chan clocksync.Fact, 1024)}
	read := func() clocksync.Reading {
		r := source.System()
		r.Wall = min(max(r.Wall+clocksync.Nanos(l.step.Load()), 0), clocksync.MaxNanos)
		return r
	}
	cfg := source.Config{Poll: 50 * time.Millisecond, PollMax: time.Second, Limit: 100 * time.Millisecond,
		Tick: 10 * time.Millisecond, Read: read, OnFact: func(f clocksync.Fact) { l.facts <- f }}
	for i, address := range addresses {
		cfg.Sources = append(cfg.Sources, source.Source{
			SourceConfig: clocksync.SourceConfig{Name: string(rune('a' + i))},
			Asker:        source.NTP{Address: address, Read: read},
		})
	}
	c, err := source.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Clock = c
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
	return l
}

// await takes facts until one is as wanted.
func (l *lab) await(t *testing.T, what string, want func(clocksync.Fact) bool) {
	t.Helper()
	for {
		select {
		case f := <-l.facts:
			if want(f) {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no %s in 20 s; %+v", what, l.Report())
		}
	}
}

func (l *lab) awaitState(t *testing.T, want clocksync.State) {
	t.Helper()
	l.await(t, want.String(), func(f clocksync.Fact) bool {
		c, ok := f.(clocksync.Changed)
		return ok && c.To == want
	})
}

// TestRealServers: three honest servers, one that lies by 300 ms, one that is
// silent, one that answers with a kiss of death.
func TestRealServers(t *testing.T) {
	t.Parallel()
	servers := []*ntptest.Server{{}, {}, {}, {Lie: 300 * time.Millisecond}, {Silent: true}, {Kiss: "DENY"}}
	l := open(t, servers...)
	l.awaitState(t, clocksync.StateSynced)
	m, truth := l.Now(), time.Now()
	if off := truth.Sub(m.Time.Time()).Abs(); off > 2*time.Millisecond || off > m.Bound {
		t.Errorf("off by %v, bound %v, want within 2 ms and the bound", off, m.Bound)
	}
	if m.Trust != clocksync.Synced {
		t.Errorf("trust %v", m.Trust)
	}
	want := []clocksync.Verdict{clocksync.Truechimer, clocksync.Truechimer, clocksync.Truechimer,
		clocksync.Falseticker, clocksync.Silent, clocksync.Refusing}
	for i, s := range l.Report().Sources {
		if s.Verdict != want[i] {
			t.Errorf("source %s: %v, want %v", s.Name, s.Verdict, want[i])
		}
	}
	if n := servers[5].Asked.Load(); n != 1 {
		t.Errorf("asked %d times after DENY, want once in all", n)
	}
}

func TestTwoOfFourLie(t *testing.T) {
	t.Parallel()
	for name, lies := range map[string][2]time.Duration{
		"alike":      {300 * time.Millisecond, 300 * time.Millisecond},
		"each other": {300 * time.Millisecond, -300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t, &ntptest.Server{Lie: lies[0]}, &ntptest.Server{}, &ntptest.Server{Lie: lies[1]}, &ntptest.Server{})
			l.await(t, "alarm", func(f clocksync.Fact) bool {
				if c, ok := f.(clocksync.Changed); ok && c.To == clocksync.StateSynced {
					t.Fatal("synced although two of four lie")
				}
				a, ok := f.(clocksync.Alarmed)
				return ok && a.What == clocksync.AlarmContested
			})
			if m := l.Now(); m.State != clocksync.StateUnsynced || m.Trust != clocksync.Unsynced {
				t.Errorf("state %v, trust %v", m.State, m.Trust)
			}
		})
	}
}

// Somebody sets the system clock: noticed at once, and the corrected time
// stays. 1970 and 2099 included.
func TestSystemClockIsSet(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, by := range map[string]time.Duration{
		"an hour ahead": time.Hour, "an hour behind": -time.Hour,
		"1970": time.Unix(0, 0).Sub(now), "2099": time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).Sub(now),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t, &ntptest.Server{}, &ntptest.Server{}, &ntptest.Server{})
			l.awaitState(t, clocksync.StateSynced)
			l.step.Store(int64(by))
			l.await(t, "step", func(f clocksync.Fact) bool {
				s, ok := f.(clocksync.Stepped)
				return ok && (s.By-by).Abs() < time.Second
			})
			l.awaitState(t, clocksync.StateSynced)
			if off := time.Since(l.Now().Time.Time()).Abs(); off > 20*time.Millisecond {
				t.Errorf("corrected time off by %v", off)
			}
			if a := l.Report().Alarm; a != clocksync.AlarmOffset {
				t.Errorf("alarm %v, want offset", a)
			}
			l.step.Store(0)
			l.await(t, "end of the alarm", func(f clocksync.Fact) bool {
				a, ok := f.(clocksync.Alarmed)
				return ok && !a.On
			})
		})
	}
}

// A node that starts with a clock that is far off.
func TestStartsWrong(t *testing.T) {
	t.Parallel()
	l := &lab{}
	l.step.Store(int64(time.Until(time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))))
	read := func() clocksync.Reading {
		r := source.System()
		r.Wall += clocksync.Nanos(l.step.Load())
		return r
	}
	s, err := source.NTP{Address: (&ntptest.Server{}).Start(t), Read: read}.Ask(t.Context())
	if off := time.Since(s.Time.Time()).Abs(); err != nil || off > 20*time.Millisecond {
		t.Errorf("asked in 2099: off by %v, %v", off, err)
	}
	l.step.Store(int64(time.Until(time.Unix(0, 0))))
	s, err = source.NTP{Address: (&ntptest.Server{}).Start(t), Read: read}.Ask(t.Context())
	if off := time.Since(s.Time.Time()).Abs(); err != nil || off > 20*time.Millisecond {
		t.Errorf("asked in 1970: off by %v, %v", off, err)
	}
}

// Answers from which no offset may ever be taken.
func TestInvalidAnswers(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*ntptest.Server{
		"unsynchronised": {Leap: 3}, "stratum 16": {Stratum: 16}, "forged": {Forge: true},
		"kiss": {Kiss: "ACST"}, "deny": {Kiss: "DENY"}, "rstr": {Kiss: "RSTR"}, "rate": {Kiss: "RATE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := source.NTP{Address: s.Start(t)}.Ask(t.Context())
			if err == nil {
				t.Fatal("accepted")
			}
			if denied := name == "deny" || name == "rstr"; errors.Is(err, source.ErrDenied) != denied {
				t.Errorf("%v, denied: %t", err, denied)
			}
			if slower := name == "rate"; errors.Is(err, source.ErrSlower) != slower {
				t.Errorf("%v, slower: %t", err, slower)
			}
		})
	}
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"time.example.org", "192.0.2.1", "192.0.2.1:1123", "localhost:123",
		"[2001:db8::1]:123", "2001:db8::1"} {
		if err := source.CheckAddress(good); err != nil {
			t.Errorf("CheckAddress(%q) = %v", good, err)
		}
	}
	for _, bad := range []string{"", "ntp://time.example.org", "time example", "host:0", "host:x", ":123", "a_b", "-x",
		"[::1", "pool..org"} {
		if err := source.CheckAddress(bad); err == nil {
			t.Errorf("CheckAddress(%q) = nil", bad)
		}
	}
}

// chronyd's answer, made by hand from candm.h.
func TestChrony(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	leap := uint16(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return
			}
			if n != 104 || buf[0] != 6 || buf[1] != 1 || binary.BigEndian.Uint16(buf[4:]) != 33 {
				continue
			}
			out := make([]byte, 104)
			out[0], out[1] = 6, 2
			binary.BigEndian.PutUint16(out[4:], 33)
			binary.BigEndian.PutUint16(out[6:], 5)
			copy(out[16:20], buf[8:12])
			binary.BigEndian.PutUint16(out[28+24:], 3)
			binary.BigEndian.PutUint16(out[28+26:], leap)
			for i, v := range []float64{0.25, 0, 0, 0, 0, 0, 0.004, 0.001, 64} {
				binary.BigEndian.PutUint32(out[28+40+4*i:], toChrony(v))
			}
			if _, err := conn.WriteToUDP(out, from); err != nil {
				return
			}
			leap = 3
		}
	}()
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	c := source.Chrony{Address: conn.LocalAddr().String()}
	s, err := c.Ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	off := time.Duration(s.Time-clocksync.NanosOf(time.Now())) + 250*time.Millisecond
	if off.Abs() > 20*time.Millisecond || s.RootDelay.Round(time.Microsecond) != 4*time.Millisecond ||
		s.RootDispersion.Round(time.Microsecond) != time.Millisecond || s.Stratum != 3 || !s.Agreed {
		t.Errorf("%+v, off by %v", s, off)
	}
	if _, err := c.Ask(t.Context()); err == nil || !strings.Contains(err.Error(), "not synchronised") {
		t.Errorf("unsynchronised chronyd: %v", err)
	}
}

// toChrony writes chrony's number format.
func toChrony(v float64) uint32 {
	if v == 0 {
		return 0
	}
	_, exp := math.Frexp(v)
	coef := int32(v * math.Pow(2, float64(24-exp)))
	return uint32(exp+1)<<25 | uint32(coef)&(1<<25-1)
}
