package intake

import (
	"slices"
	"time"
)

// Class is how urgent a request is.
type Class uint8

// The classes, the most urgent first.
const (
	Live    Class = iota // somebody waits for it
	Import               // loads of past conversations
	Backlog              // what was written elsewhere and is sent again
	classes
)

// String names the class as the Causeway-Priority header does.
func (c Class) String() string { return [...]string{"live", "import", "backlog"}[c] }

// ParseClass reads what String gives; the empty text is live.
func ParseClass(text string) (Class, bool) {
	if text == "" {
		return Live, true
	}
	for c := range classes {
		if c.String() == text {
			return c, true
		}
	}
	return Live, false
}

// shares are the parts of the gate's room that a class may fill: the rest is
// kept for the more urgent ones. In eighths.
var shares = [classes]int{Live: 8, Import: 5, Backlog: 3}

// GateConfig shapes a gate.
type GateConfig struct {
	Room    int           // requests carried out at a time
	Waiting int           // requests that may wait beside them
	MaxWait time.Duration // who waits for longer is turned away
}

// Ticket numbers a request that waits.
type Ticket uint64

// Verdict is what a gate says to a request.
type Verdict uint8

// The verdicts.
const (
	Entered Verdict = iota // go in, and call Leave in the end
	Waits                  // wait for the ticket to be called or turned away
	Shed                   // too many are here
)

// Moved lists tickets whose wait is over.
type Moved struct {
	In  []Ticket // go in, in this order
	Out []Ticket // turned away
}

// Gate bounds how many requests are carried out and how many wait. Urgent ones
// go first and are turned away last; among equals the first goes first.
//
// Invariant: inside <= Room; waiting <= Waiting; nobody waits who may go in.
type Gate struct {
	cfg    GateConfig
	inside int
	queues [classes][]waiting
	last   Ticket
	Count  Counts
}

// Counts are what a gate has done, by class.
type Counts struct {
	Entered, Shed [classes]uint64
}

type waiting struct {
	ticket Ticket
	until  time.Time
}

// NewGate makes an empty gate. Room is at least one.
func NewGate(cfg GateConfig) *Gate {
	cfg.Room = max(cfg.Room, 1)
	return &Gate{cfg: cfg}
}

// Inside is how many requests are being carried out.
func (g *Gate) Inside() int { return g.inside }

// Queued is how many wait.
func (g *Gate) Queued() int {
	n := 0
	for _, q := range g.queues {
		n += len(q)
	}
	return n
}

// Enter asks for admission. When a more urgent request takes the place of a
// less urgent one that waits, that is turned away; moved lists it.
func (g *Gate) Enter(at time.Time, c Class) (v Verdict, t Ticket, moved Moved) {
	if g.fits(c) && !g.waitsBefore(c) {
		g.inside++
		g.Count.Entered[c]++
		return Entered, 0, Moved{}
	}
	if g.Queued() >= g.cfg.Waiting {
		lesser := g.least()
		if lesser <= c {
			g.Count.Shed[c]++
			return Shed, 0, Moved{}
		}
		q := g.queues[lesser]
		moved.Out = append(moved.Out, q[len(q)-1].ticket)
		g.queues[lesser] = q[:len(q)-1]
		g.Count.Shed[lesser]++
	}
	g.last++
	g.queues[c] = append(g.queues[c], waiting{g.last, at.Add(g.cfg.MaxWait)})
	return Waits, g.last, moved
}

// fits reports whether there is room for a request of the class.
func (g *Gate) fits(c Class) bool {
	return g.inside < max(g.cfg.Room*shares[c]/shares[Live], 1)
}

// waitsBefore reports whether somebody as urgent waits.
func (g *Gate) waitsBefore(c Class) bool {
	return slices.ContainsFunc(g.queues[:c+1], func(q []waiting) bool { return len(q) > 0 })
}

// least is the least urgent class that waits, Live if nobody does.
func (g *Gate) least() Class {
	for c := classes - 1; c > Live; c-- {
		if len(g.queues[c]) > 0 {
			return c
		}
	}
	return Live
}

// Leave says that a request has been carried out.
func (g *Gate) Leave(at time.Time) Moved {
	if g.inside == 0 {
		panic("intake: want somebody inside who leaves, have nobody")
	}
	g.inside--
	return g.Tick(at)
}

// Tick turns away who has waited for too long and lets in who fits.
func (g *Gate) Tick(at time.Time) (moved Moved) {
	for c := range classes {
		q := g.queues[c]
		for len(q) > 0 && !at.Before(q[0].until) {
			moved.Out = append(moved.Out, q[0].ticket)
			g.Count.Shed[c]++
			q = q[1:]
		}
		for len(q) > 0 && g.fits(c) {
			moved.In = append(moved.In, q[0].ticket)
			g.inside++
			g.Count.Entered[c]++
			q = q[1:]
		}
		g.queues[c] = q
	}
	return moved
}

// Abandon says that a ticket's holder has gone away. It reports whether the
// ticket was waiting still: else it has been called, and Leave is due.
func (g *Gate) Abandon(t Ticket) bool {
	for c := range classes {
		i := slices.IndexFunc(g.queues[c], func(w waiting) bool { return w.ticket == t })
		if i >= 0 {
			g.queues[c] = slices.Delete(g.queues[c], i, i+1)
			return true
		}
	}
	return false
}
