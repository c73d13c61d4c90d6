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
)

// TestChronyd asks a real chronyd, by NTP and by its command port. It is
// skipped where there is none in PATH, or it may not be started.
func TestChronyd(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("chronyd")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("no chronyd here, or not allowed to start it")
	}
	ntpPort, cmdPort := freePort(t), freePort(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "chrony.conf")
	text := fmt.Sprintf("local stratum 3\nport %d\ncmdport %d\nbindaddress 127.0.0.1\nbindcmdaddress 127.0.0.1\n"+
		"allow 127.0.0.1\npidfile %s/pid\nbindcmdaddress %s/sock\n", ntpPort, cmdPort, dir, dir)
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
	ask := func(a source.Asker) clocksync.Sample {
		t.Helper()
		var err error
		for range 20 { // it needs a moment to start; a lost question takes a second
			var s clocksync.Sample
			if s, err = a.Ask(t.Context()); err == nil {
				return s
			}
			if s, ok := a.(source.NTP); ok { // refused at once while nobody listens
				waitFor(t, s.Address)
			}
		}
		t.Fatalf("%T: %v", a, err)
		return clocksync.Sample{}
	}
	s := ask(source.NTP{Address: fmt.Sprintf("127.0.0.1:%d", ntpPort)})
	if off := time.Since(s.Time.Time()).Abs(); off > 20*time.Millisecond || s.Stratum != 3 {
		t.Errorf("by NTP: off by %v, %+v", off, s)
	}
	s = ask(source.Chrony{Address: fmt.Sprintf("127.0.0.1:%d", cmdPort)})
	if off := time.Since(s.Time.Time()).Abs(); off > 20*time.Millisecond || s.Stratum != 3 || !s.Agreed {
		t.Errorf("by the command port: off by %v, %+v", off, s)
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
