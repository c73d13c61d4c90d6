package live

import (
	"time"

	"github.com/causeway-sync/causeway/protocol"
)

// Times are the patience of a connection.
type Times struct {
	Heartbeat time.Duration // a client that has said nothing for so long is pinged
	Silence   time.Duration // a client that has said nothing for so long is gone
	Stall     time.Duration // a client that does not take one buffer in this time is too slow
	Linger    time.Duration // and is cut off so much later, if it does not even take the reason
}

// Pace watches the time of one connection.
//
// Invariant: pinged, heard and began are instants at or before the last call's.
type Pace struct {
	times   Times
	heard   protocol.Instant
	pinged  protocol.Instant
	began   protocol.Instant // of the write under way
	writing bool
	slow    bool
}

// NewPace begins when the connection does.
func NewPace(at protocol.Instant, t Times) Pace { return Pace{times: t, heard: at, pinged: at} }

// Verdict is what to do with a connection.
type Verdict uint8

// The verdicts.
const (
	Fine    Verdict = iota
	Ping            // ask for a sign of life
	TooSlow         // end it when the write under way has come to its end; said once
	Cut             // end it at once
)

// Heard notes a sign of life of the client.
func (p *Pace) Heard(at protocol.Instant) { p.heard = max(p.heard, at) }

// Began notes that a write has begun.
func (p *Pace) Began(at protocol.Instant) { p.began, p.writing = at, true }

// Ended notes that it has come to its end.
func (p *Pace) Ended() { p.writing = false }

// Slow reports whether the client was found too slow.
func (p *Pace) Slow() bool { return p.slow }

// Check judges. It is called now and then; its answers are late by as much.
func (p *Pace) Check(at protocol.Instant) Verdict {
	switch {
	case p.writing && at >= p.began.Later(p.times.Stall+p.times.Linger):
		return Cut
	case p.writing && at >= p.began.Later(p.times.Stall) && !p.slow:
		p.slow = true
		return TooSlow
	case p.writing:
		return Fine
	case at >= p.heard.Later(p.times.Silence):
		return Cut
	case at >= max(p.heard, p.pinged).Later(p.times.Heartbeat):
		p.pinged = at
		return Ping
	}
	return Fine
}
