package node

import (
	"sync"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
)

// hub tells those who watch a topic that it has changed. It never waits for
// them: whoever commits calls notify, and what is called must return at once.
// A watcher registers, looks at the state, and looks again when it is told.
type hub struct {
	mu     sync.Mutex
	topics map[topic][]*watcher // no list is empty
}

// watcher is one who watches.
type watcher struct{ moved func() }

// topic is a session, or a whole space when session is empty.
type topic struct{ space, session string }

// watch calls moved after each change of t until stop is called, and perhaps
// once more at that time. moved must not block nor call the hub.
func (h *hub) watch(t topic, moved func()) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics == nil {
		h.topics = make(map[topic][]*watcher)
	}
	w := &watcher{moved}
	h.topics[t] = append(h.topics[t], w)
	return func() { h.leave(t, w) }
}

func (h *hub) leave(t topic, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.topics[t]
	for i := range list {
		if list[i] == w {
			last := len(list) - 1
			list[i], list[last] = list[last], nil
			list = list[:last]
			break
		}
	}
	if len(list) == 0 {
		delete(h.topics, t)
		return
	}
	h.topics[t] = list
}

// notify tells the watchers of the sessions and of their space.
func (h *hub) notify(space string, sessions ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.topics) == 0 {
		return
	}
	h.tell(topic{space: space})
	for _, s := range sessions {
		h.tell(topic{space, s})
	}
}

// notifyAll tells the watchers of the space and of each of its sessions, when
// it is not known which of them changed.
func (h *hub) notifyAll(space string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.topics { // in any order: each is told for itself
		if t.space == space {
			h.tell(t)
		}
	}
}

func (h *hub) tell(t topic) {
	for _, w := range h.topics[t] {
		w.moved()
	}
}

// bell is a moved function and the channel that it rings.
func bell() (rung <-chan struct{}, ring func()) {
	c := make(chan struct{}, 1) // closed by nobody
	return c, func() {
		select {
		case c <- struct{}{}:
		default:
		}
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
