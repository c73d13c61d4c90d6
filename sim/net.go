package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/sim/netem"
)

// Times of a TCP connection between nodes.
const (
	inProcess   = 20 * time.Microsecond  // between a core node and its own server
	tcpRetry    = 200 * time.Millisecond // first retransmission of a lost segment; doubles
	breakAfter  = 4 * time.Second        // a connection through which nothing comes is given up (pings: 1 s, three missed)
	waitForTCP  = 5 * time.Second        // dial and handshake
	routeBuffer = 4096                   // messages that wait on a route that is cut, before it is given up
)

// network carries bytes between nodes. Every ordered pair has a path with its
// own faults. A message is whole or not there; with Plan.Messages each fault
// befalls whole messages, otherwise TCP mends it at the price of time.
type network struct {
	w       *world
	paths   map[[2]*node]*path
	order   []*path          // as they were first used
	changes uint64           // counts changes of the faults in force
	rates   map[rated][2]int // draws and hits
}

// path is one direction between two nodes.
type path struct {
	from, to *node
	as       uint64 // of network.changes, when what follows was worked out
	blocked  bool
	clogged  bool
	quality  Quality
	since    time.Duration // blocked or clogged since

	free                             time.Duration // when the line is free, with a limit of bandwidth
	last                             time.Duration // arrival of the message before: TCP keeps the order
	life                             uint64        // counts connections that were given up
	waiting                          []parcel      // held up by a clog, or by a cut that TCP may outlive
	expiring                         bool          // it is planned to look whether they wait for too long
	loss, duplicate, corrupt, spread netem.Source
	order                            netem.Order
	spell                            netem.Spell
}

// reset forgets everything that was said about paths: faults have changed.
// What waits on paths that are open now goes on.
func (t *network) reset() {
	t.changes++
	for _, p := range t.order {
		if len(p.waiting) > 0 {
			t.settle(p)
			t.release(p)
		}
	}
	for _, n := range t.w.nodes {
		n.link.watch()
	}
	t.w.bus.watch()
}

func (t *network) release(p *path) {
	if p.blocked || p.clogged {
		return
	}
	waiting := p.waiting
	p.waiting = nil
	for _, m := range waiting {
		t.send(p.from, p.to, m)
	}
}

// path gives the direction from a to b with the faults in force.
func (t *network) path(a, b *node) *path {
	key := [2]*node{a, b}
	p := t.paths[key]
	if p == nil {
		p = &path{from: a, to: b}
		t.paths[key] = p
		t.order = append(t.order, p)
	}
	t.settle(p)
	return p
}

// settle works out which faults befall a path.
func (t *network) settle(p *path) {
	if p.as == t.changes+1 {
		return
	}
	p.as = t.changes + 1
	was := p.blocked || p.clogged
	p.blocked, p.clogged, p.quality = false, false, t.quality(p)
	for _, f := range t.w.active {
		if !f.befalls(p.from.host, p.to.host) {
			continue
		}
		switch f.Kind {
		case Partition, Flap:
			p.blocked = true
		case Clog:
			p.clogged = true
		case Degrade:
			p.quality = p.quality.Worsened(f.Quality)
		}
	}
	if (p.blocked || p.clogged) && !was {
		p.since = t.w.now
	}
}

// quality gives what the plan says of a path without its faults. Healed links
// lose nothing.
func (t *network) quality(p *path) Quality {
	q := t.w.plan.Between(p.from.host, p.to.host)
	if t.w.phase != safety {
		q = q.Healed()
	}
	return q
}

// open reports whether bytes get from a to b and back.
func (t *network) open(a, b *node) bool {
	return a == b || !t.path(a, b).blocked && !t.path(b, a).blocked
}

// flows reports whether bytes get from a to b and back, now and not only when a
// clog is over.
func (t *network) flows(a, b *node) bool {
	return t.open(a, b) && !t.path(a, b).clogged && !t.path(b, a).clogged
}

// parcel is one message on its way over one connection.
type parcel struct {
	data   []byte
	alive  func() bool // the connection still is the one that took the message
	arrive func(data []byte)
	lost   func(why string)
}

// send carries a parcel from a to b. Data is not changed.
func (t *network) send(a, b *node, m parcel) {
	if a == b {
		t.w.after(inProcess, func() { m.land(m.data) })
		return
	}
	p := t.path(a, b)
	switch {
	case p.dead() && !t.w.plan.Messages:
		m.lost("connection given up")
	case p.clogged, p.blocked && !t.w.plan.Messages:
		if len(p.waiting) >= routeBuffer {
			m.lost("buffer full")
			return
		}
		t.hold(p, m)
	case p.blocked:
		m.lost("partition")
	case t.w.plan.Messages:
		t.sendMessage(p, m)
	default:
		t.sendStream(p, m)
	}
}

// dead reports whether a cut has lasted too long for any connection.
func (p *path) dead() bool { return p.blocked && p.from.w.now-p.since >= breakAfter }

// hold has a parcel wait for the end of what is in its way, or of the connection.
func (t *network) hold(p *path, m parcel) {
	p.waiting = append(p.waiting, m)
	if !p.blocked || p.expiring {
		return
	}
	p.expiring = true
	t.w.after(p.since+breakAfter-t.w.now, func() {
		p.expiring = false
		if t.settle(p); !p.dead() {
			return
		}
		waiting := p.waiting
		p.waiting = nil
		for _, m := range waiting {
			m.lost("connection given up")
		}
	})
}

func (m parcel) land(data []byte) {
	if !m.alive() {
		m.lost("connection gone")
		return
	}
	m.arrive(data)
}

// sendStream is TCP: loss and damage cost time, order is kept.
func (t *network) sendStream(p *path, m parcel) {
	rng, q := t.w.chance.net, &p.quality
	delay := p.delay()
	for wait := tcpRetry; p.loses(rng) || p.hit("corrupt", &p.corrupt, q.Corrupt, rng); wait *= 2 {
		if delay += wait; delay > breakAfter {
			t.giveUp(p)
			m.lost("connection given up")
			return
		}
	}
	if p.order.Ahead(q.Reorder, q.ReorderGap, rng) {
		delay += q.Delay
	}
	line, ok := p.line(t.w.now, len(m.data))
	if !ok {
		line = t.w.now + breakAfter // back pressure: the connection will be given up
	}
	p.last = max(p.last, line+delay)
	life := p.life
	t.w.after(p.last-t.w.now, func() {
		if p.life != life {
			m.lost("connection given up")
			return
		}
		m.land(m.data)
	})
}

// giveUp ends the connection that a path belongs to, because nothing gets
// through. A route between servers is made anew at once.
func (t *network) giveUp(p *path) {
	p.last, p.life = t.w.now, p.life+1
	for _, n := range [...]*node{p.from, p.to} {
		if l := &n.link; n.core == nil && l.up && (l.server == p.from || l.server == p.to) {
			life := l.life
			t.w.after(0, func() {
				if l.up && l.life == life {
					l.cut("retransmissions")
				}
			})
		}
	}
}

// sendMessage lets every fault befall the message as a whole.
func (t *network) sendMessage(p *path, m parcel) {
	rng, q := t.w.chance.net, &p.quality
	copies := 1
	if p.hit("duplicate", &p.duplicate, q.Duplicate, rng) {
		copies = max(q.Copies, 2)
		t.w.facts["message_copied"] += copies - 1
	}
	if p.loses(rng) {
		t.w.facts["message_lost"]++
		m.lost("loss")
		return
	}
	line, ok := p.line(t.w.now, len(m.data))
	if !ok {
		m.lost("bandwidth")
		return
	}
	for range copies {
		at := max(p.last, line+p.delay())
		if p.order.Ahead(q.Reorder, q.ReorderGap, rng) {
			at = line
		} else {
			p.last = at
		}
		data := m.data
		if p.hit("corrupt", &p.corrupt, q.Corrupt, rng) && len(data) > 0 {
			data = slices.Clone(data)
			data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
		}
		t.w.after(at-t.w.now, func() { m.land(data) })
	}
}

// hit decides by a chance and counts what came of it.
func (p *path) hit(what string, s *netem.Source, c Chance, rng *rand.Rand) bool {
	hit := s.Hit(c, rng)
	if c.P == 0 {
		return hit
	}
	t := &p.from.w.net
	key := rated{what, c}
	n := t.rates[key]
	n[0]++
	if hit {
		n[1]++
	}
	t.rates[key] = n
	return hit
}

// rated is a chance that was drawn for a purpose.
type rated struct {
	what string
	Chance
}

// measured compares the chances that were drawn with what came of them.
func (t *network) measured() []Rate {
	var list []Rate
	for key, n := range t.rates {
		r := Rate{What: key.what, Nominal: key.P, Theory: netem.Rate(key.Chance), Drawn: n[0],
			Measured: float64(n[1]) / float64(n[0])}
		if key.Correlation > 0 {
			r.What = fmt.Sprintf("%s, correlation %.4g %%", key.what, 100*key.Correlation)
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Rate) int {
		return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Nominal, b.Nominal), cmp.Compare(a.Drawn, b.Drawn))
	})
	return list
}

// loses decides whether the next message, or its segment, is lost.
func (p *path) loses(rng *rand.Rand) bool {
	return p.hit("loss", &p.loss, p.quality.Loss, rng) || p.spell.Lost(p.quality.Burst, rng)
}

// delay draws how long a message is on its way.
func (p *path) delay() time.Duration {
	q, rng := &p.quality, p.from.w.chance.net
	if q.Jitter == 0 {
		return q.Delay
	}
	return max(p.spread.Delay(q.Delay, q.Jitter, q.DelayCorr, rng), 0)
}

// line gives when a message of so many bytes has left, and false if there is no
// room for it to wait.
func (p *path) line(now time.Duration, size int) (time.Duration, bool) {
	if p.quality.Bandwidth <= 0 {
		return now, true
	}
	size += 60 // headers
	perByte := time.Second / time.Duration(p.quality.Bandwidth)
	if p.quality.Buffer > 0 && p.free > now && int((p.free-now)/max(perByte, 1)) > p.quality.Buffer {
		return 0, false
	}
	p.free = max(p.free, now) + time.Duration(size)*time.Second/time.Duration(p.quality.Bandwidth)
	return p.free, true
}
