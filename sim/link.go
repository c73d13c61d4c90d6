package sim

import (
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/protocol"
)

// Times of an edge's connection, as edge.DefaultLinkConfig has them.
const (
	retryMin = 250 * time.Millisecond
	retryMax = 10 * time.Second
)

// link is a node's connection to a server of the core, as the NATS client
// behind edge.Link behaves: it dials for ever with full jitter, notices silence
// by pings, and keeps nothing that could not be sent. A core node has one to
// its own server, which never breaks while it runs.
type link struct {
	n       *node
	server  *node // connected to, or tried last; nil before the first try
	up      bool
	life    uint64 // counts connections: what an earlier one carried is gone
	tries   int    // failed ones in a row
	dialing bool
	watched bool // a check for silence is under way
	calls   map[uint64]*pending
	next    uint64
}

// pending is a publication or question without an answer yet.
type pending struct{ fail func() }

// dial tries to connect after a pause.
func (l *link) dial(pause time.Duration) {
	if l.dialing || l.up || !l.n.up {
		return
	}
	l.dialing = true
	l.n.later(pause, l.try)
}

func (l *link) try() {
	w := l.n.w
	s := l.pick()
	l.server = s
	there, back := w.net.path(l.n, s), w.net.path(s, l.n)
	rtt := there.quality.Delay + back.quality.Delay
	switch {
	case there.blocked || back.blocked || there.clogged || back.clogged:
		l.n.later(waitForTCP, l.failed)
	case !s.listens():
		l.n.later(rtt, l.failed)
	case 3*rtt > waitForTCP:
		l.n.later(waitForTCP, l.failed)
	default:
		l.n.later(3*rtt+inProcess, l.connected)
	}
}

// pick chooses the server to try: the configured one first, then any.
func (l *link) pick() *node {
	cores := l.n.w.cores
	if l.server == nil && l.n.plan.Attach != "" {
		if c := l.n.w.byLane[l.n.plan.Attach]; c != nil && c.core != nil {
			return c
		}
	}
	return cores[l.n.rng.IntN(len(cores))]
}

func (l *link) failed() {
	l.dialing = false
	l.tries++
	ceiling := retryMax
	if l.tries < 10 {
		ceiling = min(retryMax, retryMin<<l.tries)
	}
	l.dial(l.n.w.plan.Timing.scale(time.Duration(l.n.rng.Int64N(int64(ceiling)))))
}

func (l *link) connected() {
	if l.server == nil || !l.server.listens() || !l.n.w.net.open(l.n, l.server) {
		l.failed()
		return
	}
	l.dialing, l.up, l.tries = false, true, 0
	l.life++
	l.n.stepEdge(protocol.LinkUp{Core: l.server.name})
	l.n.time.step(clocksync.Reconnected{})
	l.watch()
}

// moveOn leaves the present server for another one.
func (l *link) moveOn(to *node) {
	l.cut("moved")
	if to != nil {
		l.n.plan.Attach, l.server = to.lane, nil
	}
	l.dial(0)
}

// cut ends the connection; what was under way has an unknown outcome.
func (l *link) cut(why string) {
	if !l.up {
		return
	}
	l.up = false
	l.life++
	l.n.w.say(Event{Kind: EvDrop, Node: l.n.lane, Peer: l.server.lane, What: "link", Detail: why})
	l.failCalls()
	l.n.stepEdge(protocol.LinkDown{})
	l.dial(time.Duration(l.n.rng.Int64N(int64(retryMin))))
}

// failCalls gives all that waits for an answer up, in the order in which it was asked.
func (l *link) failCalls() {
	last := l.next
	for id := uint64(1); len(l.calls) > 0 && id <= last; id++ {
		if c := l.calls[id]; c != nil {
			delete(l.calls, id)
			c.fail()
		}
	}
	l.next = 0
	clear(l.calls)
}

// call notes something that waits for an answer. It returns a function that
// takes the answer, once, while the connection lives.
func (l *link) call(fail func()) (settle func() bool) {
	l.next++
	id, life := l.next, l.life
	c := &pending{fail}
	l.calls[id] = c
	l.n.grew(queueCalls, len(l.calls))
	settle = func() bool {
		if l.life != life || l.calls[id] != c {
			return false
		}
		delete(l.calls, id)
		return true
	}
	return settle
}

// watch looks whether the connection is silent, and gives it up when it stays so.
func (l *link) watch() {
	if !l.up || l.watched || l.server == l.n || l.n.w.net.flows(l.n, l.server) {
		return
	}
	l.watched = true
	life := l.life
	l.n.w.after(breakAfter, func() {
		l.watched = false
		if l.life != life || !l.up {
			return
		}
		if l.silent() {
			l.cut("silence")
		} else {
			l.watch()
		}
	})
}

// silent reports whether nothing has come through for long enough.
func (l *link) silent() bool {
	for _, p := range []*path{l.n.w.net.path(l.n, l.server), l.n.w.net.path(l.server, l.n)} {
		if (p.blocked || p.clogged) && l.n.w.now-p.since >= breakAfter {
			return true
		}
	}
	return false
}

// alive gives a check that the present connection has not ended.
func (l *link) alive() func() bool {
	life := l.life
	return func() bool { return l.up && l.life == life }
}
