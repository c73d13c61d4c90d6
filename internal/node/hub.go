package node

import (
	"sync"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
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
// reader, who waits for Changed and then calls Take; see [drive.Moved].
type Progress struct {
	mu      sync.Mutex // guards moved
	moved   drive.Moved
	changed chan struct{}
}

func newProgress() *Progress { return &Progress{changed: make(chan struct{}, 1)} }

// Changed has a value when a feed has moved. It is never closed.
func (p *Progress) Changed() <-chan struct{} { return p.changed }

// Take returns the latest head of each feed that moved since the last call.
func (p *Progress) Take() []protocol.FeedHead {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moved.Take()
}

// TakeCore is Take for a core half; see [drive.Moved.TakeCore].
func (p *Progress) TakeCore() []protocol.CoreInput {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moved.TakeCore()
}

// Seed says that the reader knows these heads; see [drive.Moved.Seed].
func (p *Progress) Seed(heads []protocol.FeedHead) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved.Seed(heads)
}

// touch has a feed read again; see [drive.Moved.Touch].
func (p *Progress) touch(h protocol.FeedHead) {
	p.mu.Lock()
	p.moved.Touch(h.Feed, h.Head)
	p.mu.Unlock()
	p.signal()
}

func (p *Progress) note(h protocol.FeedHead) {
	p.mu.Lock()
	ahead := p.moved.Note(h.Feed, h.Head)
	p.mu.Unlock()
	if ahead {
		p.signal()
	}
}

func (p *Progress) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// reset forgets a feed's furthest head: the feed was cut back.
func (p *Progress) reset(f protocol.Feed, h protocol.Head) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved.Reset(f, h)
}
