package push

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/vclock"
)

// ErrClosed says that the node is stopping.
var ErrClosed = errors.New("push: the node is stopping")

// ErrFull says that too many clients are connected, or that one follows too much.
var ErrFull = errors.New("push: too many")

// Hub brings changes to all who follow at this node.
type Hub struct {
	source  Source
	times   live.Times
	most    int
	log     *slog.Logger
	started time.Time
	loads   chan struct{} // holds a token for each page being read for one client
	ending  chan struct{} // closed when the hub ends
	workers workers
	signals *signals
	tooSlow atomic.Uint64

	life    sync.RWMutex // guards closed; held for a moment only, since who commits takes it too
	closed  bool
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows; the source is never called under it
	topics map[name]*topic
	conns  map[*Conn]struct{}
}

// NewHub returns a hub without clients. It needs [Hub.Run] for heartbeats and
// to end.
func NewHub(source Source, o Options) *Hub {
	h := &Hub{
		source: source, times: o.Times, most: o.MaxConns, log: o.Log, started: time.Now(),
		loads: make(chan struct{}, maxLoads), ending: make(chan struct{}),
		topics: map[name]*topic{}, conns: map[*Conn]struct{}{}, workers: workers{jobs: make(chan func())},
	}
	if h.times == (live.Times{}) {
		h.times = live.DefaultTimes()
	}
	if h.most == 0 {
		h.most = MaxConns
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.signals = newSignals(h)
	return h
}

func (h *Hub) now() protocol.Instant { return protocol.Instant(time.Since(h.started)) }

// Times are how patient the hub is with its clients.
func (h *Hub) Times() live.Times { return h.times }

// Go runs fn in a goroutine that [Hub.Run] waits for; false after the end.
func (h *Hub) Go(fn func()) bool {
	h.life.RLock()
	defer h.life.RUnlock()
	if !h.closed {
		h.running.Go(fn)
	}
	return !h.closed
}

func (h *Hub) ended() bool {
	h.life.RLock()
	defer h.life.RUnlock()
	return h.closed
}

// Run looks after the connections until ctx ends. Then it ends them with the
// code for a node that goes away, and waits until all is quiet.
func (h *Hub) Run(ctx context.Context) error {
	tick := time.NewTicker(min(time.Second, h.times.Heartbeat/4, h.times.Stall/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			h.close()
			return ctx.Err()
		case <-tick.C:
			for _, c := range h.all() {
				c.check(h.now())
			}
			h.signals.tick()
		}
	}
}

func (h *Hub) all() []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*Conn, 0, len(h.conns))
	for c := range h.conns { // in any order: each is looked at for itself
		list = append(list, c)
	}
	return list
}

// close ends every connection. Those that do not take it in time are cut.
func (h *Hub) close() {
	for _, c := range h.all() {
		c.End(CloseGoingAway, "the node is stopping")
	}
	patience := time.AfterFunc(closePatience, func() {
		for _, c := range h.all() {
			c.cut()
		}
	})
	defer patience.Stop()
	close(h.ending)
	h.life.Lock()
	h.closed = true
	h.life.Unlock()
	h.running.Wait()
}

// closePatience is how long clients are given to take the end of a connection.
const closePatience = 2 * time.Second

// Subscribe lets a client that has what since covers follow a session or, for
// id "", a space. wake is called when there may be something for [Sub.Next].
// With patience, a session that is not here yet is waited for; with a token it
// always is. note is called for each signal in the session, and returns at once;
// it may be nil.
func (h *Hub) Subscribe(space, id string, since vclock.Vector, patient bool, wake func(), note func(*Note)) (
	*Sub, error,
) {
	return h.subscribe(&Sub{wake: wake, patient: patient, note: note}, name{space, id}, since)
}

func (h *Hub) subscribe(s *Sub, n name, since vclock.Vector) (*Sub, error) {
	t, err := h.hold(n)
	if err != nil {
		return nil, err
	}
	s.topic = t
	if n.session == "" {
		s.note = nil // signals of all sessions of a space would be too many
	}
	t.mu.Lock()
	s.reader = t.tail.Enter(since)
	t.subs[s] = struct{}{}
	stale := t.stale
	t.stale = false
	t.mu.Unlock()
	if stale {
		t.kick()
	}
	return s, nil
}

// topicOf gives a topic that somebody follows, nil if nobody does.
func (h *Hub) topicOf(n name) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics[n]
}

// hold gives the topic of a name, begun if nobody follows it yet.
func (h *Hub) hold(n name) (*topic, error) {
	if h.ended() {
		return nil, ErrClosed
	}
	if t := h.known(n, nil); t != nil {
		return t, nil
	}
	t := &topic{hub: h, name: n, env: newEnvelope(n.space, n.session), subs: map[*Sub]struct{}{}, stale: true}
	t.tail = live.NewTopic[*Event](vclock.Vector{})
	t.stop = h.source.Follow(n.space, n.session, t.kick)
	held, err := h.source.Held(n.space, n.session)
	if err != nil {
		t.stop()
		return nil, err
	}
	t.mu.Lock()
	t.tail = live.NewTopic[*Event](held) // nobody reads it yet
	t.mu.Unlock()
	kept := h.known(n, t)
	if kept != t {
		t.stop() // somebody was quicker
	}
	return kept, nil
}

// known gives the topic of a name with one more reference; if there is none,
// it begins with fresh, which may be nil.
func (h *Hub) known(n name, fresh *topic) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[n]
	if t == nil && fresh != nil {
		t = fresh
		h.topics[n] = t
	}
	if t != nil {
		t.refs++
	}
	return t
}

func (h *Hub) release(t *topic) {
	h.mu.Lock()
	t.refs--
	last := t.refs == 0
	if last {
		delete(h.topics, t.name)
	}
	h.mu.Unlock()
	if last {
		t.stop()
	}
}

// Stats counts what a hub has to do with.
type Stats struct {
	Conns, Topics int
	TooSlow       uint64 // connections ended since the start because the client did not read
	SignalsLost   uint64 // that other nodes were not told, or that came and did not fit
}

// Stats returns the present counts.
func (h *Hub) Stats() Stats {
	h.signals.mu.Lock()
	lost := h.signals.board.Lost()
	h.signals.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{Conns: len(h.conns), Topics: len(h.topics), TooSlow: h.tooSlow.Load(), SignalsLost: lost}
}
