package source

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
)

// ChronyAddress is where chronyd answers questions of its own machine.
const ChronyAddress = "127.0.0.1:323"

// Chrony asks the local chronyd how far the system clock is off. chronyd
// compares several sources itself, so its word counts as an agreement.
type Chrony struct {
	// Address is the UDP command port of chronyd; empty: [ChronyAddress].
	Address string
	// Read reads the machine's clocks; nil: [System].
	Read func() clocksync.Reading
}

// The command protocol, version 6. Source: candm.h of chrony 4.
const (
	chronyVersion  = 6
	chronyRequest  = 1
	chronyReply    = 2
	chronyTracking = 33 // request: how well the clock is known
	chronyTracked  = 5  // reply to it
	chronyHead     = 28 // bytes before the data of a reply
	chronyBytes    = chronyHead + 76
	chronyUnsynced = 3 // leap status
)

var errChrony = errors.New("not an answer of chronyd")

// Ask asks once.
func (c Chrony) Ask(ctx context.Context) (clocksync.Sample, error) {
	read, address := c.Read, c.Address
	if read == nil {
		read = System
	}
	if address == "" {
		address = ChronyAddress
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return clocksync.Sample{}, fmt.Errorf("ask chronyd: %w", err)
	}
	defer conn.Close()
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(at); err != nil {
			return clocksync.Sample{}, fmt.Errorf("ask chronyd: %w", err)
		}
	}
	number := rand.Uint32()
	// A request is as long as the reply, so that nobody is flooded through chronyd.
	ask := make([]byte, chronyBytes)
	ask[0], ask[1] = chronyVersion, chronyRequest
	binary.BigEndian.PutUint16(ask[4:], chronyTracking)
	binary.BigEndian.PutUint32(ask[8:], number)
	begin := read()
	if _, err := conn.Write(ask); err != nil {
		return clocksync.Sample{}, fmt.Errorf("ask chronyd: %w", err)
	}
	answer := make([]byte, 512)
	n, err := conn.Read(answer)
	if err != nil {
		return clocksync.Sample{}, fmt.Errorf("ask chronyd: %w", err)
	}
	end := read()
	s, err := readTracking(answer[:n], number)
	if err != nil {
		return clocksync.Sample{}, err
	}
	// chronyd spoke of the system clock somewhere between the two readings.
	s.Elapsed, s.Delay = end.Elapsed, end.Elapsed-begin.Elapsed
	s.Time += end.Wall
	return s, s.Check()
}

// readTracking reads the answer to question number. Time is only the
// correction, to be added to the system clock.
func readTracking(b []byte, number uint32) (clocksync.Sample, error) {
	switch {
	case len(b) < chronyBytes || b[0] != chronyVersion || b[1] != chronyReply:
		return clocksync.Sample{}, errChrony
	case binary.BigEndian.Uint32(b[16:]) != number:
		return clocksync.Sample{}, fmt.Errorf("%w: it belongs to another question", errChrony)
	case binary.BigEndian.Uint16(b[8:]) != 0 || binary.BigEndian.Uint16(b[6:]) != chronyTracked:
		return clocksync.Sample{}, fmt.Errorf("%w: status %d", errChrony, binary.BigEndian.Uint16(b[8:]))
	}
	b = b[chronyHead:] // reference id, address (20), stratum, leap, time (12), then floats
	stratum, leap := binary.BigEndian.Uint16(b[24:]), binary.BigEndian.Uint16(b[26:])
	seconds := func(i int) time.Duration {
		return time.Duration(min(max(chronyFloat(binary.BigEndian.Uint32(b[40+4*i:])), -1e9), 1e9) * 1e9)
	}
	if leap >= chronyUnsynced || stratum == 0 || stratum > clocksync.MaxStratum {
		return clocksync.Sample{}, errors.New("chronyd is not synchronised")
	}
	return clocksync.Sample{
		// The correction is what the system clock is fast by.
		Time: clocksync.Nanos(-seconds(0)), RootDelay: max(seconds(6), 0), RootDispersion: max(seconds(7), 0),
		Stratum: uint8(stratum), Leap: clocksync.Leap(leap), Agreed: true,
	}, nil
}

// chronyFloat reads chrony's own number format: 7 bits of exponent, 25 bits of
// coefficient, both signed.
func chronyFloat(w uint32) float64 {
	exp, coef := int32(w)>>25, int32(w<<7)>>7
	return float64(coef) * math.Pow(2, float64(exp-25))
}
