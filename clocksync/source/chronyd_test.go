package source_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/clocksync/source"
	"github.com/causeway-sync/causeway/internal/ntptest"
)

// chronyd runs a real chronyd with its own NTP and command ports; more are lines
// of its configuration. The test is skipped where there is none in PATH, or it
// may not be started.
func chronyd(t *testing.T, more string) (ntp, command string) {
	t.Helper()
	path, err := exec.LookPath("chronyd")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("no chronyd here, or not allowed to start it")
	}
	ntpPort, cmdPort := freePort(t), freePort(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "chrony.conf")
	text := fmt.Sprintf("%s\nport %d\ncmdport %d\nbindaddress 127.0.0.1\nbindcmdaddress 127.0.0.1\n"+
		"allow 127.0.0.1\npidfile %s/pid\nbindcmdaddress %s/sock\n", more, ntpPort, cmdPort, dir, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-x", "-d", "-u", "root", "-f", conf) // -x: it does not touch the system clock
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err == nil {
			t.Error("chronyd ended by itself")
		}
	})
	return fmt.Sprintf("127.0.0.1:%d", ntpPort), fmt.Sprintf("127.0.0.1:%d", cmdPort)
}

// firstAnswer asks until there is one: a chronyd needs a moment to start.
func firstAnswer(t *testing.T, a source.Asker, ntp string) clocksync.Sample {
	t.Helper()
	var s clocksync.Sample
	var err error
	for range 20 {
		if s, err = a.Ask(t.Context()); err == nil {
			return s
		}
		waitFor(t, ntp)
	}
	t.Fatalf("%T: %v", a, err)
	return s
}

// TestChronyd asks a real chronyd, by NTP and by its command port.
func TestChronyd(t *testing.T) {
	t.Parallel()
	ntp, command := chronyd(t, "local stratum 3")
	s := firstAnswer(t, source.NTP{Address: ntp}, ntp)
	if off := time.Since(s.Time.Time()).Abs(); off > 20*time.Millisecond || s.Stratum != 3 {
		t.Errorf("by NTP: off by %v, %+v", off, s)
	}
	s = firstAnswer(t, source.Chrony{Address: command}, ntp)
	if off := time.Since(s.Time.Time()).Abs(); off > 20*time.Millisecond || s.Stratum != 3 || !s.Agreed {
		t.Errorf("by the command port: off by %v, %+v", off, s)
	}
}

// TestChronyds asks three real chronyds beside a server that lies by 300 ms. (A
// chronyd that may not set the system clock serves it as it is, whomever it
// believes, so none can be made to lie.)
func TestChronyds(t *testing.T) {
	t.Parallel()
	var addresses []string
	for range 3 {
		ntp, _ := chronyd(t, "local stratum 3")
		firstAnswer(t, source.NTP{Address: ntp}, ntp)
		addresses = append(addresses, ntp)
	}
	liar := &ntptest.Server{Lie: 300 * time.Millisecond}
	l := openAt(t, append(addresses, liar.Start(t))...)
	l.awaitState(t, clocksync.StateSynced)
	m, truth := l.Now(), time.Now()
	if off := truth.Sub(m.Time.Time()).Abs(); off > 2*time.Millisecond || off > m.Bound {
		t.Errorf("off by %v, bound %v, want within 2 ms and the bound", off, m.Bound)
	}
	for i, s := range l.Report().Sources {
		if want := i == 3; (s.Verdict == clocksync.Falseticker) != want {
			t.Errorf("source %d is a %v at %v to %v, falseticker: %t", i, s.Verdict, s.Lo, s.Hi, want)
		}
	}
}

// waitFor returns after a question to the address was refused or unanswered.
func waitFor(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 1)) // nothing was asked: the deadline ends it
}

func freePort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}
