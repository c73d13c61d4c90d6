package node

import (
	"sync"

	"github.com/causeway-sync/causeway/protocol"
)

// hub wakes those who wait for something to change. A waiter takes the channel
// for its topic, looks at the state, and waits for the channel to be closed.
type hub struct {
	mu     sync.Mutex
	topics map[topic]*waiters
}

// waiters wait for one topic. Invariant: count > 0 while it is in the hub.
type waiters struct {
	changed chan struct{} // closed at the next notify
	count   int
}

// topic is a session, or a whole space when session is empty.
type topic struct{ space, session string }

// wait returns a channel that is closed at the next notify of t. Whoever waits
// calls leave in the end: what nobody waits for takes no memory.
func (h *hub) wait(t topic) (changed <-chan struct{}, leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w, ok := h.topics[t]
	if !ok {
		w = &waiters{changed: make(chan struct{})}
		if h.topics == nil {
			h.topics = make(map[topic]*waiters)
		}
		h.topics[t] = w
	}
	w.count++
	return w.changed, func() { h.leave(t, w) }
}

func (h *hub) leave(t topic, w *waiters) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.count--; w.count == 0 && h.topics[t] == w {
		delete(h.topics, t)
	}
}

// notify wakes the waiters of the sessions and of their space.
func (h *hub) notify(space string, sessions ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.topics) == 0 {
		return
	}
	h.wake(topic{space: space})
	for _, s := range sessions {
		h.wake(topic{space, s})
	}
}

func (h *hub) wake(t topic) {
	if w, ok := h.topics[t]; ok {
		close(w.changed)
		delete(h.topics, t)
	}
}

// Progress collects the feeds that moved since it was last read, for one
// reader, who waits for Changed and then calls Take. Writers report their
// commits in any order; a head that is behind one reported before is ignored.
type Progress struct {
	mu      sync.Mutex
	heads   map[protocol.Feed]protocol.Head // the furthest of each feed
	moved   map[protocol.Feed]struct{}      // since the last Take
	changed chan struct{}
}

func newProgress() *Progress {
	return &Progress{
		heads:   make(map[protocol.Feed]protocol.Head),
		moved:   make(map[protocol.Feed]struct{}),
		changed: make(chan struct{}, 1),
	}
}

// Changed has a value when a feed has moved. It is never closed.
func (p *Progress) Changed() <-chan struct{} { return p.changed }

// Take returns the latest head of each feed that moved since the last call.
func (p *Progress) Take() map[protocol.Feed]protocol.Head {
	p.mu.Lock()
	defer p.mu.Unlock()
	heads := make(map[protocol.Feed]protocol.Head, len(p.moved))
	for f := range p.moved {
		heads[f] = p.heads[f]
	}
	clear(p.moved)
	return heads
}

func (p *Progress) note(f protocol.Feed, h protocol.Head) {
	p.mu.Lock()
	ahead := p.heads[f].Seq < h.Seq
	if ahead {
		p.heads[f] = h
		p.moved[f] = struct{}{}
	}
	p.mu.Unlock()
	if !ahead {
		return
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// reset forgets a feed's furthest head: the feed was cut back.
func (p *Progress) reset(f protocol.Feed, h protocol.Head) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heads[f] = h
	delete(p.moved, f)
}
