package edge

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// SignalWire carries signals over a link: many subscriptions, one goroutine.
// What comes faster than it is taken is dropped. It must be made before the
// link runs.
type SignalWire struct {
	link *Link
	in   chan *nats.Msg // closed by nobody
	hear atomic.Pointer[func(subject string, data []byte)]
}

const signalQueue = 4096 // signals that wait to be taken

// NewSignalWire returns a wire over l that needs [SignalWire.Run].
func NewSignalWire(l *Link) *SignalWire {
	return &SignalWire{link: l, in: make(chan *nats.Msg, signalQueue)}
}

// Run hands over what is heard until ctx ends.
func (w *SignalWire) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-w.in:
			if hear := w.hear.Load(); hear != nil {
				(*hear)(m.Subject, m.Data)
			}
		}
	}
}

// Hear sets what is called for each signal; it owns data.
func (w *SignalWire) Hear(hear func(subject string, data []byte)) { w.hear.Store(&hear) }

// Subscribe has signals on subject heard until cancel is called.
func (w *SignalWire) Subscribe(subject string) (cancel func(), err error) {
	return w.link.subscribe(&subscription{subject: subject, into: w.in})
}

// Publish sends a signal to whoever listens now. It does not wait.
func (w *SignalWire) Publish(subject string, data []byte) error { return w.link.Publish(subject, data) }

// Up says whether the link was up a moment ago, and how often it came up: what
// was said in between is lost.
func (w *SignalWire) Up() (times uint64, up bool) {
	w.link.mu.Lock()
	defer w.link.mu.Unlock()
	return w.link.ups, w.link.up
}

// Backlog is how many bytes were given to the link and have not left the process.
func (w *SignalWire) Backlog() int { return w.link.backlog() }

// backlog is how much waits for the socket; nothing while the link is down.
func (l *Link) backlog() int {
	l.mu.Lock()
	nc := l.nc
	l.mu.Unlock()
	if nc == nil {
		return 0
	}
	n, err := nc.Buffered()
	if err != nil { // the connection has ended
		return 0
	}
	return n
}

func (s *subscription) startInto(nc *nats.Conn) error {
	sub, err := nc.ChanSubscribe(s.subject, s.into)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", s.subject, err)
	}
	s.sub = sub
	return nil
}
