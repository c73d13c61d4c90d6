package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/ntp"

	"github.com/causeway-sync/causeway/clocksync"
)

// askTimeout is how long an answer may take. An answer that took longer would
// be too uncertain to be of use.
const askTimeout = 3 * time.Second

// NTP asks one NTP server by the client of RFC 5905, version 4.
type NTP struct {
	// Address is HOST or HOST:PORT; the port is 123 if it is left out.
	Address string
	// Read reads the machine's clocks; nil: [System].
	Read func() clocksync.Reading
}

// Ask asks once. It returns [ErrDenied] or [ErrSlower] for a kiss of death, and
// an error for an answer that is invalid: it does not belong to the question,
// the server is not synchronised, its stratum is 0 or 16, or it is too far from its reference.
func (n NTP) Ask(ctx context.Context) (clocksync.Sample, error) {
	read := n.Read
	if read == nil {
		read = System
	}
	// A clock that nobody sets: if the system clock jumps between the question
	// and the answer, the result does not.
	begin := read()
	base := time.Unix(0, int64(begin.Wall)).UTC()
	var d net.Dialer
	r, err := ntp.QueryWithOptions(n.Address, ntp.QueryOptions{
		Timeout:       askTimeout,
		GetSystemTime: func() time.Time { return base.Add(read().Elapsed - begin.Elapsed) },
		Dialer: func(_, remote string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			return d.DialContext(ctx, "udp", remote)
		},
	})
	if err != nil {
		return clocksync.Sample{}, fmt.Errorf("ask %s: %w", n.Address, err)
	}
	if r.IsKissOfDeath() {
		return clocksync.Sample{}, kiss(n.Address, r.KissCode)
	}
	if err := r.Validate(); err != nil {
		return clocksync.Sample{}, fmt.Errorf("answer of %s: %w", n.Address, err)
	}
	now := read().Elapsed
	s := clocksync.Sample{
		Elapsed: now,
		Time:    clocksync.NanosOf(base.Add(now - begin.Elapsed).Add(r.ClockOffset)),
		Delay:   r.RTT, RootDelay: r.RootDelay, RootDispersion: r.RootDispersion + r.Precision,
		Stratum: r.Stratum, Leap: clocksync.Leap(r.Leap),
	}
	return s, s.Check()
}

// kiss gives the error for a kiss code. Source: RFC 5905, 7.4.
func kiss(address, code string) error {
	switch code {
	case "DENY", "RSTR":
		return fmt.Errorf("%s says %s: %w", address, code, ErrDenied)
	case "RATE":
		return fmt.Errorf("%s says %s: %w", address, code, ErrSlower)
	}
	return fmt.Errorf("%s says %q: %w", address, code, ntp.ErrKissOfDeath)
}

// CheckAddress reports what is wrong with the address of a server.
func CheckAddress(address string) error {
	host, port := address, ""
	if strings.HasPrefix(address, "[") || strings.Count(address, ":") == 1 {
		var err error
		if host, port, err = net.SplitHostPort(address); err != nil {
			return errors.New("HOST or HOST:PORT, an IPv6 address with a port in brackets")
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("a port from 1 to 65535 behind the colon")
		}
	}
	switch {
	case host == "":
		return errors.New("the name or address of an NTP server")
	case net.ParseIP(host) != nil:
		return nil
	case len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" ||
		strings.ContainsAny(host, " /_") || strings.Contains(host, "..") || strings.HasPrefix(host, "-"):
		return errors.New("the name or address of an NTP server, like time.example.org or 192.0.2.1:123")
	}
	return nil
}
