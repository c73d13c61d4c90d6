package push

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/live"
)

// signals is the shell around the board of what is said at this moment.
//
// Order of locks: signals.mu, Hub.mu, topic.mu, Conn.mu. The wire is asked
// whether it is up under the first, and otherwise called under none of them.
type signals struct {
	hub  *Hub
	node string
	wire Wire // nil: there are no other nodes

	flushing  atomic.Bool
	streaming atomic.Bool // something is being streamed

	tuning sync.Mutex // held while subscriptions follow the board's interest
	heard  map[live.Room]func()

	mu     sync.Mutex // guards what follows, and the order in which notes are handed out
	board  *live.Board
	up     bool
	times  uint64 // that the wire came up, as of the last look
	spent  int    // of the wire's budget
	filled protocol.Instant
}

// Note is a signal as clients get it, encoded once.
type Note struct {
	text []byte // as a message to a WebSocket
	data []byte // by itself
}

func (n *Note) size() int { return len(n.text) }

func newSignals(h *Hub) *signals {
	s := &signals{hub: h, heard: map[live.Room]func(){}}
	s.node, s.wire = h.source.Wire()
	s.board = live.NewBoard(s.node)
	if s.wire != nil {
		s.wire.Hear(s.hear)
	}
	return s
}

// shownSignal is a signal in JSON.
type shownSignal struct {
	Kind   string          `json:"kind"`
	From   string          `json:"from,omitempty"`
	Actor  string          `json:"actor,omitempty"`
	Stream string          `json:"stream,omitempty"`
	At     *int            `json:"at,omitempty"`
	Delta  string          `json:"delta,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	TTL    string          `json:"ttl,omitempty"`
	Ended  bool            `json:"ended,omitempty"`
}

func newNote(s *live.Signal) *Note {
	shown := shownSignal{
		Kind: s.Kind, From: s.From, Actor: s.Actor, Stream: s.Stream, Delta: s.Text, Data: s.Data, Ended: s.Ended,
	}
	if s.Kind == protocol.SignalStream && !s.Ended {
		shown.At = &s.At
	}
	if s.TTL > 0 {
		shown.TTL = s.TTL.String()
	}
	n := &Note{data: compact(shown)}
	n.text = append(n.text, `{"type":"signal","space":`...)
	n.text = append(append(n.text, quote(s.Space)...), `,"session":`...)
	n.text = append(append(n.text, quote(s.Session)...), `,"signal":`...)
	n.text = append(append(n.text, n.data...), '}')
	return n
}

// spread hands notes to all who follow the sessions here, but not to the
// client who said it; s.mu is held.
func (s *signals) spread(list []live.Signal, except *Conn) {
	for i := range list {
		t := s.hub.topicOf(name{list[i].Space, list[i].Session})
		if t != nil {
			t.tell(newNote(&list[i]), except)
		}
	}
	s.streaming.Store(s.board.Streams())
}

// tell hands a note to the topic's subscribers.
func (t *topic) tell(n *Note, except *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for sub := range t.subs { // in any order: each is told for itself
		if sub.hears.Load() && (except == nil || sub.conn != except) {
			sub.note(n)
		}
	}
}

// join tells a new subscriber what holds.
func (s *signals) join(sub *Sub) {
	room := live.Room{Space: sub.topic.name.space, Session: sub.topic.name.session}
	s.mu.Lock()
	s.retell(sub, s.board.Join(s.hub.now(), room))
	sub.hears.Store(true)
	s.mu.Unlock()
	s.tune()
	s.kick()
}

// retell hands signals to one subscriber; s.mu is held.
func (s *signals) retell(sub *Sub, list []live.Signal) {
	for i := range list {
		sub.note(newNote(&list[i]))
	}
}

// again tells a subscriber everything that holds, who has missed something.
func (s *signals) again(sub *Sub) {
	room := live.Room{Space: sub.topic.name.space, Session: sub.topic.name.session}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retell(sub, s.board.Now(room))
}

func (s *signals) leave(n name) {
	s.mu.Lock()
	s.board.Leave(live.Room{Space: n.space, Session: n.session})
	s.streaming.Store(s.board.Streams())
	s.mu.Unlock()
	s.tune()
}

// Say takes a signal of a client, who may be connected by from. Its errors are
// those of [live.Board.Say] and of the source.
func (h *Hub) Say(sig live.Signal, from *Conn) error {
	s := h.signals
	room := live.Room{Space: sig.Space, Session: sig.Session}
	if err := s.check(room, &sig); err != nil {
		return err
	}
	s.mu.Lock()
	told, err := s.board.Say(h.now(), sig)
	s.spread(told, from)
	s.mu.Unlock()
	s.tune()
	s.kick()
	return err
}

// check refuses words of a new stream whose message is there already.
func (s *signals) check(room live.Room, sig *live.Signal) error {
	if sig.Kind != protocol.SignalStream {
		_, err := s.hub.source.Held(room.Space, room.Session)
		return err
	}
	s.mu.Lock()
	known := s.board.Knows(room, sig.Stream)
	s.mu.Unlock()
	if known {
		return nil
	}
	has, err := s.hub.source.HasMessage(room.Space, room.Session, sig.Stream)
	if err != nil {
		return err
	}
	if has {
		return fmt.Errorf("message %s is there: %w", sig.Stream, live.ErrStreamEnded)
	}
	return nil
}

// Final says that a message is in the session: if it was streamed, the stream
// has come to its end.
func (h *Hub) Final(space, id, message string) {
	s := h.signals
	if message == "" || !s.streaming.Load() {
		return
	}
	s.mu.Lock()
	s.board.Final(h.now(), live.Room{Space: space, Session: id}, message)
	s.streaming.Store(s.board.Streams())
	s.mu.Unlock()
	s.tune()
}

// hear takes what another node says.
func (s *signals) hear(subject string, data []byte) {
	node, space, id, err := protocol.ParseSignalSubject(subject)
	if err != nil {
		s.dropped(subject, err)
		return
	}
	m, err := protocol.DecodeMessage(data)
	if err != nil {
		s.dropped(subject, err)
		return
	}
	room := live.Room{Space: space, Session: id}
	switch m := m.(type) {
	case protocol.Signal:
		if (live.Room{Space: m.Space, Session: m.Session}) != room {
			s.dropped(subject, protocol.ErrMalformed)
			return
		}
		s.heardSignal(node, room, m)
	case protocol.SignalAsk:
		s.mu.Lock()
		s.board.Asked(room)
		s.mu.Unlock()
		s.kick()
	default:
		s.dropped(subject, protocol.ErrUnknownMessage)
	}
}

func (s *signals) heardSignal(node string, room live.Room, m live.Signal) {
	over := s.check(room, &m) != nil // or the session is gone
	s.mu.Lock()
	if over && m.Kind == protocol.SignalStream {
		s.board.Bury(s.hub.now(), room, m.Stream)
	}
	s.spread(s.board.Hear(s.hub.now(), node, m), nil)
	s.mu.Unlock()
	s.tune()
	s.kick()
}

func (s *signals) dropped(subject string, err error) {
	s.hub.log.Debug("signal dropped", slog.String("subject", subject), slog.Any("error", err))
}

// tune has the subscriptions follow the board's interest.
func (s *signals) tune() {
	if s.wire == nil {
		return
	}
	s.tuning.Lock()
	defer s.tuning.Unlock()
	s.mu.Lock()
	changes := s.board.TakeInterest()
	s.mu.Unlock()
	for _, c := range changes {
		if stop := s.heard[c.Room]; stop != nil {
			delete(s.heard, c.Room)
			stop()
		}
		if !c.Hear {
			continue
		}
		stop, err := s.wire.Subscribe(protocol.SignalSubjects(c.Space, c.Session))
		if err != nil {
			s.hub.log.Warn("signals of other nodes are not heard", slog.String("session", c.Session), slog.Any("error", err))
			continue
		}
		s.heard[c.Room] = stop
	}
}

// kick has what is to be told to other nodes told soon. It returns at once.
func (s *signals) kick() {
	if s.flushing.CompareAndSwap(false, true) && !s.hub.Go(s.flush) {
		s.flushing.Store(false)
	}
}

// flush tells other nodes, at most once in flushEvery, until there is nothing
// to tell.
func (s *signals) flush() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.publish(s.portion())
		timer.Reset(flushEvery)
		select {
		case <-timer.C:
		case <-s.hub.ending:
			return
		}
		if s.rest() {
			return
		}
	}
}

// rest ends flushing if there is nothing to tell.
func (s *signals) rest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.board.Pending() {
		return false
	}
	s.flushing.Store(false)
	return true
}

// link tells whether other nodes can be told anything, and how often that began.
func (s *signals) link() (times uint64, up bool) {
	if s.wire == nil {
		return 0, false
	}
	return s.wire.Up()
}

// portion takes what may be told now: nothing while ops wait for the link.
func (s *signals) portion() []protocol.Message {
	times, up := s.link()
	busy := up && s.wire.Backlog() > maxBacklog
	s.mu.Lock()
	defer s.mu.Unlock()
	if !up {
		s.board.Unlinked()
		s.up, s.times = false, times
		return nil
	}
	if !s.up || times != s.times {
		s.up, s.times = true, times
		s.board.Relinked()
	}
	now := s.hub.now()
	s.spent = max(s.spent-int(time.Duration(now-s.filled).Seconds()*wireRate), 0)
	s.filled = now
	if busy || s.spent >= wireBurst {
		return nil
	}
	return s.board.Flush(now, wireBurst-s.spent)
}

func (s *signals) publish(list []protocol.Message) {
	spent := 0
	for _, m := range list {
		var subject string
		switch m := m.(type) {
		case protocol.Signal:
			subject = protocol.SignalSubject(s.node, m.Space, m.Session)
		case protocol.SignalAsk:
			subject = protocol.SignalSubject(s.node, m.Space, m.Session)
		}
		data, err := protocol.AppendMessage(nil, m)
		if err != nil {
			s.hub.log.Error("signal cannot be encoded", slog.Any("error", err))
			continue
		}
		spent += len(subject) + len(data)
		if err := s.wire.Publish(subject, data); err != nil {
			s.dropped(subject, err)
		}
	}
	s.mu.Lock()
	s.spent += spent
	s.mu.Unlock()
}

// check does what time brings about.
func (s *signals) tick() {
	s.mu.Lock()
	s.spread(s.board.Expire(s.hub.now()), nil)
	times, up := s.link()
	changed := up != s.up || times != s.times
	s.mu.Unlock()
	s.tune()
	if changed {
		s.kick() // what was missed is asked for
	}
}
