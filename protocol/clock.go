package protocol

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/causeway-sync/causeway/clocksync"
)

// ClockAsk asks the core nodes what time it is, and tells them how the asker's
// own clock is. Each core node that hears it answers the request with a
// [ClockTold]. It passes by both machines.
type ClockAsk struct {
	Node  string
	State clocksync.State
	Alarm clocksync.Alarm
	Known bool          // Offset and Bound are meaningful
	Off   time.Duration // of true time from the asker's system clock
	Bound time.Duration // on the error of the asker's corrected time
	Drift clocksync.PPB // by which its clock is fast
}

// ClockTold answers a ClockAsk. The asker's own readings when it asked and when
// the answer came are the other two of the four timestamps of an exchange.
type ClockTold struct {
	Core     string
	Received clocksync.Nanos // when the question came
	Sent     clocksync.Nanos // when the answer left
	Trust    clocksync.Trust // of the core node's time
	Bound    time.Duration   // on its error; nothing is known if Trust is Unsynced
}

// maxTold bounds offsets, bounds and drifts in clock messages: over 100 years.
const maxTold = 1 << 62

func encodeClockAsk(m ClockAsk) []byte {
	b := putString(nil, 1, m.Node)
	b = putUint(b, 2, uint64(m.State))
	b = putUint(b, 3, uint64(m.Alarm))
	b = putBool(b, 4, m.Known)
	b = putUint(b, 5, protowire.EncodeZigZag(int64(m.Off)))
	b = putUint(b, 6, uint64(m.Bound))
	return putUint(b, 7, protowire.EncodeZigZag(int64(m.Drift)))
}

func decodeClockAsk(b []byte) (m ClockAsk, err error) {
	err = eachField(b, func(f field) (err error) {
		switch f.num {
		case 1:
			m.Node, err = f.name()
		case 2:
			err = upTo(f, &m.State, clocksync.StateStepped)
		case 3:
			err = upTo(f, &m.Alarm, clocksync.AlarmOffset)
		case 4:
			m.Known, err = f.bool()
		case 5:
			err = signed(f, &m.Off)
		case 6:
			err = upTo(f, &m.Bound, maxTold)
		case 7:
			err = signed(f, &m.Drift)
		}
		return err
	})
	return m, err
}

func encodeClockTold(m ClockTold) []byte {
	b := putString(nil, 1, m.Core)
	b = putUint(b, 2, uint64(m.Received))
	b = putUint(b, 3, uint64(m.Sent))
	b = putUint(b, 4, uint64(m.Trust))
	return putUint(b, 5, uint64(m.Bound))
}

func decodeClockTold(b []byte) (m ClockTold, err error) {
	err = eachField(b, func(f field) (err error) {
		switch f.num {
		case 1:
			m.Core, err = f.name()
		case 2:
			err = upTo(f, &m.Received, clocksync.MaxNanos)
		case 3:
			err = upTo(f, &m.Sent, clocksync.MaxNanos)
		case 4:
			err = upTo(f, &m.Trust, clocksync.Synced)
		case 5:
			err = upTo(f, &m.Bound, maxTold)
		}
		return err
	})
	return m, err
}

func checkClockAsk(m ClockAsk) error {
	return first(name(m.Node, "node"), need(m.State <= clocksync.StateStepped, "state"),
		need(m.Alarm <= clocksync.AlarmOffset, "alarm"), need(within(int64(m.Off)), "offset"),
		need(m.Bound >= 0 && within(int64(m.Bound)), "bound"), need(within(int64(m.Drift)), "drift"))
}

func checkClockTold(m ClockTold) error {
	return first(name(m.Core, "core"),
		need(0 <= m.Received && m.Received <= m.Sent && m.Sent <= clocksync.MaxNanos, "times"),
		need(m.Trust <= clocksync.Synced, "trust"), need(m.Bound >= 0 && within(int64(m.Bound)), "bound"))
}

func within(n int64) bool { return -maxTold <= n && n <= maxTold }

// upTo reads a number from zero to most.
func upTo[T ~uint8 | ~int64](f field, into *T, most T) error {
	n, err := f.uint()
	if err == nil && n > uint64(most) {
		return fmt.Errorf("field %d is %d: %w", f.num, n, ErrTooBig)
	}
	*into = T(n)
	return err
}

// signed reads a number of either sign.
func signed[T ~int64](f field, into *T) error {
	w, err := f.uint()
	n := protowire.DecodeZigZag(w)
	if err == nil && !within(n) {
		return fmt.Errorf("field %d is %d: %w", f.num, n, ErrTooBig)
	}
	*into = T(n)
	return err
}
