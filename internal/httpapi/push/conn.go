package push

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/vclock"
)

// Codes with which the node ends a WebSocket, beside those of RFC 6455.
const (
	CloseGoingAway = 1001 // the node is stopping
	CloseTooSlow   = 4008 // the client did not take what it was sent
)

// Conn is one client's WebSocket, as far as it is written to. What it is sent
// is collected by one goroutine at a time, which runs while there is something.
//
// Invariant: running says that this goroutine runs; ready are the
// subscriptions that may have something, each once.
type Conn struct {
	hub     *Hub
	net     net.Conn
	deflate bool
	room    chan struct{} // has a value when answers were sent; closed by nobody
	hungUp  chan struct{} // closed when nothing is written any more
	gone    sync.Once     // guards the closing of hungUp
	box     Mailbox

	mu      sync.Mutex // guards what follows
	running bool
	ended   bool   // nothing is sent any more
	control []byte // frames that go first
	last    []byte // the frame that ends the connection; nil while it goes on
	answers live.Answers
	pace    live.Pace
	subs    map[name]*Follower
	waiting int // of subs: those that wait
	ready   []*Follower
}

// Follower is a subscription of a connection.
type Follower struct {
	conn  *Conn
	name  name
	sub   *Sub
	fail  func(error) []byte // makes the message that ends the subscription
	ready bool               // stands in Conn.ready; guarded by Conn.mu, like what follows
	since vclock.Vector      // the token behind what was sent
	waits bool               // was not told that it has caught up
	until protocol.Instant   // how long a session is waited for that is not here; zero: not at all
}

// Attach begins to serve a client. The caller reads from the connection, and
// calls Detach when that has ended.
func (h *Hub) Attach(nc net.Conn, deflate bool) (*Conn, error) {
	c := &Conn{
		hub: h, net: nc, deflate: deflate, room: make(chan struct{}, 1),
		pace: live.NewPace(h.now(), h.times), subs: map[name]*Follower{}, hungUp: make(chan struct{}),
	}
	if h.ended() {
		return nil, ErrClosed
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.conns) >= h.most {
		return nil, fmt.Errorf("%d clients are connected: %w", h.most, ErrFull)
	}
	h.conns[c] = struct{}{}
	return c, nil
}

// Detach ends everything that belongs to the connection and closes it, when
// nothing more can be read of it. A client that is being told why is given time
// to read it.
func (c *Conn) Detach() {
	c.mu.Lock()
	told := c.last != nil
	if !told {
		c.ended = true
	}
	c.mu.Unlock()
	c.ring()
	if told {
		c.linger()
	}
	c.cut()
	c.mu.Lock()
	c.ended = true
	subs := c.subs
	c.subs, c.ready = nil, nil
	c.mu.Unlock()
	for _, f := range subs {
		if f.sub != nil {
			f.sub.Close()
		}
	}
	c.hub.mu.Lock()
	delete(c.hub.conns, c)
	c.hub.mu.Unlock()
}

// linger waits until the last frame was written, and for a moment takes what
// the client still sends: closing a socket with unread data would take the
// frame away from it.
func (c *Conn) linger() {
	patience := time.AfterFunc(closePatience, c.cut)
	defer patience.Stop()
	<-c.hungUp
	_, _ = io.Copy(io.Discard, io.LimitReader(c.net, MaxMessageBytes)) // whatever it is, it comes too late
}

// cut closes the socket at once. Whoever reads or writes notices.
func (c *Conn) cut() {
	_ = c.net.Close() // closed already: all the better
}

// End ends the connection with a code and a reason, behind what is being
// written now; nothing else is sent any more.
func (c *Conn) End(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(appendClose(nil, code, reason))
}

// EndWith is End with a frame that somebody else has made; it keeps it.
func (c *Conn) EndWith(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(frame)
}

// end notes the last frame; c.mu is held.
func (c *Conn) end(frame []byte) {
	if c.last != nil || c.ended {
		return
	}
	c.last = frame
	if c.start(); !c.running { // the node has stopped
		c.ended = true
		c.gone.Do(func() { close(c.hungUp) })
		c.cut()
	}
}

// Heard notes a sign of life.
func (c *Conn) Heard() {
	at := c.hub.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pace.Heard(at)
}

// Pong answers a ping. A client that pings without reading gets one answer.
func (c *Conn) Pong(payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.control) == 0 && len(payload) < 126 {
		c.control = append(appendHeader(c.control, framePong, len(payload)), payload...)
		c.start()
	}
}

// Expect waits until there is room for one more request, of so many bytes, and
// gives the number under which it is to be answered; false when the connection
// has ended.
func (c *Conn) Expect(size int) (uint64, bool) {
	for {
		c.mu.Lock()
		ended := c.ended || c.last != nil
		if !ended && !c.answers.Full() {
			n := c.answers.Expect(size)
			c.mu.Unlock()
			return n, true
		}
		c.mu.Unlock()
		if ended {
			return 0, false
		}
		<-c.room
	}
}

// Answer gives the answer to a request. Answers are sent in the order of the
// requests.
func (c *Conn) Answer(n uint64, text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.answers.Answer(n, text)
		c.start()
	}
}

// Nothing answers a request for which nobody waits.
func (c *Conn) Nothing(n uint64) { c.Answer(n, nil) }

func (c *Conn) ring() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// start has a goroutine write what there is; c.mu is held.
func (c *Conn) start() {
	if !c.running && !c.ended {
		c.running = c.hub.Work(c.write)
	}
}

// Following says what a client wants to follow.
type Following struct {
	Space, Session string // the whole space if Session is empty
	Since          vclock.Vector
	Wait           time.Duration      // how long a session is waited for that is not here
	Mute           bool               // no signals
	Fail           func(error) []byte // makes the message that tells why it ended
}

// Follow begins a subscription; one to the same topic is replaced.
func (c *Conn) Follow(w Following) error {
	f := &Follower{conn: c, name: name{w.Space, w.Session}, since: w.Since, fail: w.Fail, waits: true}
	if w.Wait > 0 {
		f.until = c.hub.now().Later(w.Wait)
	}
	c.Unfollow(w.Space, w.Session)
	c.mu.Lock()
	many := len(c.subs)
	c.mu.Unlock()
	if many >= MaxSubscriptions {
		return fmt.Errorf("%d subscriptions: %w", many, ErrFull)
	}
	begun := &Sub{wake: f.wake, patient: w.Wait > 0, conn: c}
	if !w.Mute {
		begun.note = c.note
	}
	sub, err := c.hub.subscribe(begun, f.name, w.Since)
	if err != nil {
		return err
	}
	c.mu.Lock()
	f.sub = sub
	ended := c.ended
	if !ended {
		c.subs[f.name] = f
		c.waiting++
		c.enqueue(f)
	}
	c.mu.Unlock()
	if ended {
		sub.Close()
	}
	return nil
}

// Unfollow ends a subscription, if there is one.
func (c *Conn) Unfollow(space, id string) {
	c.mu.Lock()
	f := c.subs[name{space, id}]
	c.remove(f)
	c.mu.Unlock()
	if f != nil {
		f.sub.Close()
	}
}

// remove takes a subscription out; f may be nil or be out already. It reports
// whether it was there; c.mu is held.
func (c *Conn) remove(f *Follower) bool {
	if f == nil || c.subs[f.name] != f {
		return false
	}
	delete(c.subs, f.name)
	if f.waits {
		c.waiting--
	}
	return true
}

func (f *Follower) wake() {
	f.conn.mu.Lock()
	defer f.conn.mu.Unlock()
	if f.sub != nil {
		f.conn.enqueue(f)
	}
}

// note takes a signal.
func (c *Conn) note(n *Note) {
	c.box.Put(n)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start()
}

// enqueue puts a subscription in the list of those to look at; c.mu is held.
func (c *Conn) enqueue(f *Follower) {
	if !f.ready && !c.ended {
		f.ready = true
		c.ready = append(c.ready, f)
		c.start()
	}
}

// check does what time brings about.
func (c *Conn) check(at protocol.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.pace.Check(at) {
	case live.Ping:
		if len(c.control) == 0 {
			c.control = append(c.control, framePing, 0)
			c.start()
		}
	case live.TooSlow:
		if c.last == nil {
			c.last = c.tooSlow()
			c.hub.tooSlow.Add(1)
		}
	case live.Cut:
		c.cut()
	}
	if c.waiting == 0 {
		return
	}
	for _, f := range c.subs {
		c.watch(f, at)
	}
}

// watch looks again at a subscription that waits for what this node does not
// hold, since it may come with changes of other sessions; c.mu is held.
func (c *Conn) watch(f *Follower, at protocol.Instant) {
	if !f.waits || f.sub == nil {
		return
	}
	if f.until != 0 && at >= f.until {
		f.until = 0
		f.sub.Impatient()
	}
	c.enqueue(f)
}

// tooSlow makes the frame that ends the connection of a client that is too
// slow. Its reason holds the token to resume with, if there is one and it fits;
// the client has it anyway, in the last change that it got.
func (c *Conn) tooSlow() []byte {
	reason := "too_slow"
	if len(c.subs) == 1 {
		for _, f := range c.subs {
			if r := reason + "; since=" + f.since.String(); len(r) <= maxReason {
				reason = r
			}
		}
	}
	return appendClose(nil, CloseTooSlow, reason)
}
