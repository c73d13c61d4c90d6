package core

import (
	"context"
	"sync"
)

// maxQueueBytes bounds what waits for the handler, one message over at most.
const maxQueueBytes = 8 << 20

// queue stands between a reader and its handler: one puts, one takes all that
// has arrived. All messages in it are of one stream.
//
// Invariant: bytes is the sum of the data of msgs; len(msgs) <= MaxBatch.
type queue struct {
	filled  chan struct{} // has a value after a put; never closed
	emptied chan struct{} // has a value after a take; never closed
	ended   chan struct{} // closed by close

	mu     sync.Mutex // guards what follows
	stream StreamID
	msgs   []Msg
	bytes  int
}

func newQueue() *queue {
	return &queue{
		filled:  make(chan struct{}, 1),
		emptied: make(chan struct{}, 1),
		ended:   make(chan struct{}),
	}
}

// close says that nothing more will be put. What is queued can still be taken.
func (q *queue) close() { close(q.ended) }

// put waits until there is room, or ctx ends.
func (q *queue) put(ctx context.Context, stream StreamID, m Msg) error {
	for !q.tryPut(stream, m) {
		select {
		case <-q.emptied:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	signal(q.filled)
	return nil
}

func (q *queue) tryPut(stream StreamID, m Msg) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.msgs) >= MaxBatch || q.bytes >= maxQueueBytes {
		return false
	}
	q.stream = stream
	q.msgs = append(q.msgs, m)
	q.bytes += len(m.Data)
	return true
}

// take waits for messages and returns all there are. It returns false when ctx
// ends, or when the queue is closed and empty.
func (q *queue) take(ctx context.Context) (Batch, bool) {
	for {
		if ctx.Err() != nil {
			return Batch{}, false
		}
		if b := q.tryTake(); len(b.Msgs) > 0 {
			signal(q.emptied)
			return b, true
		}
		select {
		case <-q.filled:
		case <-ctx.Done():
		case <-q.ended:
			b := q.tryTake()
			return b, len(b.Msgs) > 0
		}
	}
}

func (q *queue) tryTake() Batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := Batch{Stream: q.stream, Msgs: q.msgs}
	q.msgs, q.bytes = nil, 0
	return b
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
