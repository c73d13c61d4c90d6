package live

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/protocol"
)

// Refusals of [Board.Say].
var (
	// ErrStreamEnded says that the message of a stream is there, or that the
	// stream was ended.
	ErrStreamEnded = errors.New("live: the stream has ended")
	// ErrStreamPlace says that the words do not follow what was said: begin
	// again at 0, with everything.
	ErrStreamPlace = errors.New("live: the words do not fit the stream")
	// ErrTooMany says that too much is being said at this node.
	ErrTooMany = errors.New("live: too many signals")
	// ErrTooLong says that a stream is longer than a message may be.
	ErrTooLong = errors.New("live: the stream is too long")
)

// AtEnd as the place of words says: behind what was said so far.
const AtEnd = -1

// Board is what is being said at this moment in the sessions that this node
// has to do with: what holds for a while, and streams in the making. It gives
// the signals that are new to those who follow here, gathers what is to be told
// to other nodes, and tells whoever joins what holds and what was said so far.
//
// Signals are not kept anywhere else and may be lost between nodes. A stream
// heals itself: each piece says where it stands; whoever finds a gap asks, and
// whoever has the stream tells it from the beginning.
//
// Invariant: a room is there only while somebody listens in it, something holds
// in it or is still to be told; bytes is the size of all streams.
type Board struct {
	node     string
	rooms    map[Room]*room
	dirty    []Room // with something to tell, in the order in which it came
	interest []Interest
	bytes    int
	streams  int
	states   int
	lost     uint64
}

// Room is a session in a space.
type Room struct{ Space, Session string }

// Interest is a change of what is to be heard from other nodes.
type Interest struct {
	Room
	Hear bool
}

// Signal is what is said; the same as between nodes.
type Signal = protocol.Signal

type room struct {
	rate      bucket // of what clients here say
	listeners int
	heard     bool // interest was told
	dirty     bool // stands in Board.dirty
	ask       bool // others are to be asked, AskEvery after they were asked at the earliest
	asked     protocol.Instant
	owed      bool // who asked is to be answered, AskEvery after the last answer at the earliest
	answered  protocol.Instant
	streams   []*stream
	states    []*state
	ended     []tomb
	out       []Signal // said once, to be told once
}

// stream is a message in the making.
type stream struct {
	id, from, actor string
	source          string // the node where it is said
	run             uint64 // grows each time that it begins anew
	text            []byte // append-only within a run
	points          int
	touched         protocol.Instant
	toldBytes       int // what other nodes were told, if it is said here
	toldPoints      int
}

// state is a signal that holds until a time.
type state struct {
	signal Signal
	source string
	until  protocol.Instant
	unsent bool
}

// tomb remembers that a stream has ended.
type tomb struct {
	id    string
	until protocol.Instant
}

// NewBoard returns an empty board of a node.
func NewBoard(node string) *Board { return &Board{node: node, rooms: map[Room]*room{}} }

func (b *Board) room(at Room) *room {
	r := b.rooms[at]
	if r == nil {
		r = &room{}
		b.rooms[at] = r
	}
	return r
}

// settle tells a change of interest in a room, and lets go of an empty one.
func (b *Board) settle(at Room, r *room) {
	here := func(s *stream) bool { return s.source == b.node }
	hear := r.listeners > 0 || slices.ContainsFunc(r.streams, here) ||
		slices.ContainsFunc(r.states, func(s *state) bool { return s.source == b.node })
	if hear != r.heard {
		r.heard = hear
		b.interest = append(b.interest, Interest{at, hear})
	}
	if !hear && !r.dirty && len(r.streams)+len(r.states)+len(r.ended) == 0 {
		delete(b.rooms, at)
	}
}

// TakeInterest gives the changes of interest since the last call.
func (b *Board) TakeInterest() []Interest {
	list := b.interest
	b.interest = nil
	slices.SortStableFunc(list, func(x, y Interest) int { return compareRooms(x.Room, y.Room) })
	return list
}

// mark notes that there is something to tell to other nodes.
func (b *Board) mark(at Room, r *room) {
	if !r.dirty {
		r.dirty = true
		b.dirty = append(b.dirty, at)
	}
}

// Join adds one who listens, and gives what he is to be told at first.
func (b *Board) Join(at protocol.Instant, where Room) []Signal {
	r := b.room(where)
	if r.listeners++; r.listeners == 1 {
		b.ask(where, r)
	}
	b.settle(where, r)
	return b.now(where, r)
}

// ask has others asked what holds.
func (b *Board) ask(where Room, r *room) {
	r.ask = true
	b.mark(where, r)
}

// due reports whether something that is done at most once in AskEvery may be
// done again; an instant of zero: it never was.
func due(at, last protocol.Instant) bool { return last == 0 || at >= last.Later(AskEvery) }

// Leave takes one who listened away.
func (b *Board) Leave(where Room) {
	r := b.rooms[where]
	r.listeners--
	if r.listeners == 0 {
		b.forgetOthers(r) // nobody here is told of them any more, and they go on elsewhere
	}
	b.settle(where, r)
}

func (b *Board) forgetOthers(r *room) {
	r.streams = slices.DeleteFunc(r.streams, func(s *stream) bool {
		gone := s.source != b.node
		if gone {
			b.bytes -= len(s.text)
			b.streams--
		}
		return gone
	})
	r.states = slices.DeleteFunc(r.states, func(s *state) bool {
		gone := s.source != b.node
		if gone {
			b.states--
		}
		return gone
	})
}

// Now gives what holds in a room, and every stream from its beginning.
func (b *Board) Now(where Room) []Signal {
	if r := b.rooms[where]; r != nil {
		return b.now(where, r)
	}
	return nil
}

func (b *Board) now(where Room, r *room) []Signal {
	var list []Signal
	for _, s := range r.states {
		list = append(list, s.signal)
	}
	for _, s := range r.streams {
		if len(s.text) > 0 {
			list = append(list, s.words(where, 0, string(s.text)))
		}
	}
	return list
}

func (s *stream) words(where Room, at int, text string) Signal {
	return Signal{Space: where.Space, Session: where.Session, Kind: protocol.SignalStream, From: s.from, Actor: s.actor,
		Stream: s.id, Run: s.run, At: at, Text: text}
}

// Streams reports whether anything is being streamed at all.
func (b *Board) Streams() bool { return b.streams > 0 }

// Knows reports whether a stream is known: as one that goes on, or that ended.
func (b *Board) Knows(where Room, id string) bool {
	r := b.rooms[where]
	return r != nil && (r.stream(id) != nil || r.hasEnded(id))
}

func (r *room) stream(id string) *stream {
	for _, s := range r.streams {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (r *room) hasEnded(id string) bool {
	return slices.ContainsFunc(r.ended, func(t tomb) bool { return t.id == id })
}

// Final notes that the message of a stream is there: nothing more is told of
// the stream, here or to other nodes, which see the message themselves.
func (b *Board) Final(at protocol.Instant, where Room, id string) {
	if r := b.rooms[where]; r != nil && r.stream(id) != nil {
		b.bury(at, r, id)
		b.settle(where, r)
	}
}

// Bury notes that a stream is over of which nothing was known.
func (b *Board) Bury(at protocol.Instant, where Room, id string) {
	r := b.room(where)
	b.bury(at, r, id)
	b.settle(where, r)
}

func (b *Board) bury(at protocol.Instant, r *room, id string) {
	r.streams = slices.DeleteFunc(r.streams, func(s *stream) bool {
		if s.id == id {
			b.bytes -= len(s.text)
			b.streams--
		}
		return s.id == id
	})
	if len(r.ended) == maxTombs {
		r.ended = r.ended[1:]
	}
	r.ended = append(r.ended, tomb{id, at.Later(StreamSilence)})
}

// Say takes a signal of a client of this node and gives what those who follow
// here are to be told. At may be [AtEnd]. Its errors are the refusals above.
func (b *Board) Say(at protocol.Instant, s Signal) ([]Signal, error) {
	where := Room{s.Space, s.Session}
	r := b.room(where)
	defer b.settle(where, r)
	if !r.rate.take(at, len(s.Text)+len(s.Data)+signalOverhead) {
		return nil, fmt.Errorf("more than %d bytes a second: %w", SayRate, ErrTooMany)
	}
	if s.Kind != protocol.SignalStream {
		return b.sayState(at, where, r, s)
	}
	st := r.stream(s.Stream)
	switch {
	case r.hasEnded(s.Stream):
		return nil, fmt.Errorf("stream %s: %w", s.Stream, ErrStreamEnded)
	case s.Ended && st == nil:
		return nil, nil
	case s.Ended:
		b.bury(at, r, s.Stream)
		end := st.words(where, 0, "")
		end.Ended = true
		b.once(where, r, end)
		return []Signal{end}, nil
	case st == nil && s.At > 0, st != nil && s.At != 0 && (st.source != b.node || s.At != AtEnd && s.At != st.points):
		return nil, fmt.Errorf("stream %s at %d: %w", s.Stream, s.At, ErrStreamPlace)
	case st == nil && !b.hasRoom(r):
		return nil, fmt.Errorf("%d streams of %d bytes: %w", b.streams, b.bytes, ErrTooMany)
	}
	return b.sayWords(at, where, r, st, s)
}

// sayWords takes words of a stream: at its end, or at 0, where it begins anew.
func (b *Board) sayWords(at protocol.Instant, where Room, r *room, st *stream, s Signal) (told []Signal, err error) {
	if st == nil {
		st = b.begin(r, s.Stream)
		st.run = 1
	} else if s.At == 0 {
		st.run++
		st.toldBytes, st.toldPoints = 0, 0
	}
	st.source, st.from, st.actor, st.touched = b.node, s.From, s.Actor, at
	if s.At == 0 {
		told = b.replace(where, st, s.Text)
	} else {
		told = b.grow(where, st, s.Text)
	}
	if len(st.text) > MaxStreamBytes {
		b.bury(at, r, s.Stream)
		end := st.words(where, 0, "")
		end.Ended = true
		b.once(where, r, end)
		return []Signal{end}, fmt.Errorf("stream %s: %w", s.Stream, ErrTooLong)
	}
	b.mark(where, r)
	return told, nil
}

func (b *Board) begin(r *room, id string) *stream {
	st := &stream{id: id}
	r.streams = append(r.streams, st)
	b.streams++
	return st
}

func (b *Board) hasRoom(r *room) bool {
	return b.streams < MaxStreams && b.bytes < MaxStreamsBytes && len(r.streams) < MaxStreamsPerRoom
}

// once has a signal told to other nodes once; the oldest gives way.
func (b *Board) once(where Room, r *room, s Signal) {
	if len(r.out) == maxOnce {
		r.out = slices.Delete(r.out, 0, 1)
		b.lost++
	}
	r.out = append(r.out, s)
	b.mark(where, r)
}

// grow adds words at the end and gives what those who have heard everything so
// far are to be told.
func (b *Board) grow(where Room, st *stream, text string) []Signal {
	if text == "" {
		return nil
	}
	told := st.words(where, st.points, text)
	st.text = append(st.text, text...)
	st.points += utf8.RuneCountInString(text)
	b.bytes += len(text)
	return []Signal{told}
}

// replace puts words in the place of all that was said.
func (b *Board) replace(where Room, st *stream, text string) []Signal {
	if rest, ok := strings.CutPrefix(text, string(st.text)); ok {
		return b.grow(where, st, rest)
	}
	b.bytes += len(text) - len(st.text)
	st.text, st.points = []byte(text), utf8.RuneCountInString(text)
	return []Signal{st.words(where, 0, text)}
}

// sayState takes a signal that is no stream.
func (b *Board) sayState(at protocol.Instant, where Room, r *room, s Signal) ([]Signal, error) {
	old := r.state(&s)
	switch {
	case s.Ended || s.TTL == 0:
		if old != nil {
			b.removeState(r, old)
		}
		if s.Ended && old == nil {
			return nil, nil
		}
		b.once(where, r, s)
		return []Signal{s}, nil
	case old == nil:
		if b.states >= MaxStates || len(r.states) >= MaxStatesPerRoom {
			return nil, fmt.Errorf("%d signals hold: %w", b.states, ErrTooMany)
		}
		old = &state{}
		r.states = append(r.states, old)
		b.states++
	}
	news := !bytes.Equal(old.signal.Data, s.Data) || old.until == 0
	*old = state{signal: s, source: b.node, until: at.Later(s.TTL), unsent: true}
	b.mark(where, r)
	if !news {
		return nil, nil
	}
	return []Signal{s}, nil
}

func (r *room) state(s *Signal) *state {
	for _, st := range r.states {
		if st.signal.Kind == s.Kind && st.signal.From == s.From {
			return st
		}
	}
	return nil
}

func (b *Board) removeState(r *room, old *state) {
	r.states = slices.DeleteFunc(r.states, func(s *state) bool { return s == old })
	b.states--
}

// Lost counts signals that were not told to other nodes, or by them.
func (b *Board) Lost() uint64 { return b.lost }

// Bounds and times of signals.
const (
	MaxStreams        = 1024      // at a node
	MaxStreamsPerRoom = 16        // in a session
	MaxStreamBytes    = 252 << 10 // of one stream: as long as a message may be
	MaxStreamsBytes   = 16 << 20  // of all streams of a node
	MaxStates         = 16384     // signals that hold, at a node
	MaxStatesPerRoom  = 256       // in a session
	maxOnce           = 64        // signals that are told once, waiting in a session
	maxTombs          = 32        // streams remembered as ended, in a session

	// SayRate and SayBurst bound what the clients of a node say in a session, in
	// bytes a second and at once; each signal counts signalOverhead and its content.
	SayRate  = 64 << 10
	SayBurst = 512 << 10

	StreamSilence = time.Minute            // after it a stream in which nothing is said is over
	AskEvery      = 250 * time.Millisecond // least time between two questions, or answers, in a session
)
