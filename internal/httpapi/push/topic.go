package push

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// name is a session, or a whole space when session is empty.
type name struct{ space, session string }

// topic is a session or a space that somebody here follows.
type topic struct {
	hub  *Hub
	name name
	env  envelope
	stop func() // ends the source's calls
	refs int    // subscriptions; guarded by the hub

	reading atomic.Int32 // see kick

	mu   sync.Mutex // guards what follows
	tail *live.Topic[*Event]
	subs map[*Sub]struct{}
	// stale says that changes may have come that were not read, because nobody
	// was there to read them for.
	stale bool
	err   error // why the last reading failed; nil if it did not
}

// States of topic.reading.
const (
	idle    int32 = iota
	busy          // somebody reads
	pending       // and is to read once more
)

// kick has the topic read soon. It returns at once.
func (t *topic) kick() {
	for {
		switch {
		case t.reading.CompareAndSwap(idle, busy):
			if !t.hub.Work(t.read) {
				t.reading.Store(idle)
			}
			return
		case t.reading.CompareAndSwap(busy, pending), t.reading.Load() == pending:
			return
		}
	}
}

// read takes what has come into the tail until there is nothing more.
func (t *topic) read() {
	for {
		for t.readPage() {
		}
		if t.reading.CompareAndSwap(busy, idle) {
			return
		}
		t.reading.Store(busy)
	}
}

// readPage reads once and wakes everybody; true if there is more.
func (t *topic) readPage() (more bool) {
	t.mu.Lock()
	since := t.tail.Cursor()
	t.stale = t.tail.Readers() == 0
	stale := t.stale
	t.mu.Unlock()
	if stale {
		return false
	}
	items, more, err := t.page(since)
	for i := range items {
		t.hub.Final(t.name.space, t.name.session, items[i].Event.message)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tail.Grow(items)
	if len(items) > 0 || err != nil || t.err != nil {
		for s := range t.subs { // in any order: each is woken for itself
			s.wake()
		}
	}
	t.err = err
	return more && err == nil
}

// page reads from the source. A session that is not here is no error: it has
// no changes yet.
func (t *topic) page(since vclock.Vector) ([]live.Item[*Event], bool, error) {
	changes, more, err := t.hub.source.Page(t.name.space, t.name.session, since)
	if errors.Is(err, session.ErrNoSession) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	items := make([]live.Item[*Event], len(changes))
	for i := range changes {
		if items[i], err = newItem(changes[i], t.env); err != nil {
			return nil, false, err
		}
	}
	return items, more, nil
}

// Sub is one client's part in a topic. One goroutine at a time calls Next.
type Sub struct {
	topic *topic
	wake  func()      // there may be something for Next; returns at once
	note  func(*Note) // takes a signal, returns at once; nil: none are wanted
	conn  *Conn       // whose it is; nil if it is no connection's

	reader  *live.Reader // guarded by topic.mu, like patient
	patient bool         // a session that is not here yet is waited for

	listening sync.Mutex // guards what follows
	listens   bool       // takes part in signals
	closed    bool
	hears     atomic.Bool // was told what holds, and is told what comes; set under signals.mu
}

// errEnded is what a subscription gives that was closed.
var errEnded = errors.New("push: the subscription was ended")

// Batch is what a client is to be sent.
type Batch struct {
	Changes  []live.Delivery[*Event]
	Standing live.Standing
	Tell     bool // Standing is to be told, behind the changes
	Version  vclock.Vector
}

// Empty reports whether there is nothing to send, until wake is called.
func (b *Batch) Empty() bool { return len(b.Changes) == 0 && !b.Tell }

// Next gives what comes next. An error is final for the subscription.
func (s *Sub) Next() (Batch, error) {
	for {
		b, load, err := s.take()
		if err != nil || !b.Empty() {
			return b, err
		}
		if !load {
			if b, err = s.stand(); b.Tell {
				s.listen()
			}
			return b, err
		}
		if b, err = s.load(); err != nil || !b.Empty() {
			return b, err
		}
	}
}

// take gives what is in memory; load says that the store must be read.
func (s *Sub) take() (b Batch, load bool, err error) {
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.has(s) {
		return b, false, errEnded
	}
	b.Changes = t.tail.Take(s.reader)
	b.Version = s.reader.Since()
	if len(b.Changes) == 0 {
		load, err = t.tail.MustLoad(s.reader), t.err
	}
	return b, load, err
}

// has reports whether s was not closed; t.mu is held.
func (t *topic) has(s *Sub) bool {
	_, ok := t.subs[s]
	return ok
}

// load reads one page from the store.
func (s *Sub) load() (b Batch, err error) {
	t := s.topic
	t.hub.loads <- struct{}{}
	items, more, err := t.page(s.since())
	<-t.hub.loads
	if err != nil {
		return b, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.has(s) {
		return b, errEnded
	}
	b.Changes = t.tail.Loaded(s.reader, items, !more)
	b.Version = s.reader.Since()
	return b, nil
}

func (s *Sub) since() vclock.Vector {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	return s.reader.Since()
}

// stand tells how far the client has come, if that is news.
func (s *Sub) stand() (b Batch, err error) {
	t := s.topic
	t.mu.Lock()
	told := s.reader.Stands()
	b.Version = s.reader.Since()
	patient := s.patient
	t.mu.Unlock()
	switch {
	case told == live.CaughtUp:
		return b, nil
	case t.name.session != "" && b.Version.IsEmpty() && patient:
		return b, nil // the session is not here yet
	case t.name.session != "" && b.Version.IsEmpty():
		return b, fmt.Errorf("session %s: %w", t.name.session, session.ErrNoSession)
	}
	whole, err := t.hub.source.Covers(t.name.space, t.name.session, b.Version)
	if err != nil {
		return b, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.has(s) {
		return b, errEnded
	}
	b.Standing, b.Tell = s.reader.Stand(whole)
	return b, nil
}

// listen begins to take signals, once there is nothing that forbids it: what
// was said in a session that was erased is told to nobody.
func (s *Sub) listen() {
	s.listening.Lock()
	defer s.listening.Unlock()
	if s.note != nil && !s.listens && !s.closed {
		s.listens = true
		s.topic.hub.signals.join(s)
	}
}

// Impatient ends waiting for a session that is not here: Next then says so.
func (s *Sub) Impatient() {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	s.patient = false
}

// Close ends the subscription.
func (s *Sub) Close() {
	t := s.topic
	t.mu.Lock()
	_, there := t.subs[s]
	if there {
		delete(t.subs, s)
		t.tail.Leave(s.reader)
	}
	t.mu.Unlock()
	if !there {
		return
	}
	s.listening.Lock()
	listened := s.listens
	s.listens, s.closed = false, true
	s.listening.Unlock()
	if listened {
		t.hub.signals.leave(t.name)
	}
	t.hub.release(t)
}

// Again has everything that holds told to the note function.
func (s *Sub) Again() {
	s.listening.Lock()
	defer s.listening.Unlock()
	if s.listens {
		s.topic.hub.signals.again(s)
	}
}
