package live

import (
	"bytes"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/protocol"
)

// Hear takes a signal of another node and gives what those who follow here are
// to be told.
func (b *Board) Hear(at protocol.Instant, node string, s Signal) []Signal {
	where := Room{s.Space, s.Session}
	r := b.rooms[where]
	if r == nil || node == b.node {
		return nil
	}
	defer b.settle(where, r)
	if s.Kind != protocol.SignalStream {
		return b.hearState(at, r, node, s)
	}
	st := r.stream(s.Stream)
	switch {
	case r.hasEnded(s.Stream), st == nil && (s.Ended || r.listeners == 0):
		return nil
	case st != nil && st.newer(s.Run, node):
		return nil // it began anew since
	case s.Ended:
		b.bury(at, r, s.Stream)
		return []Signal{s}
	case st == nil && !b.hasRoom(r):
		b.lost++
		return nil
	case st == nil:
		st = b.begin(r, s.Stream)
		st.touched = at
	}
	told := b.hearWords(at, where, r, st, node, s)
	if len(st.text) > MaxStreamBytes {
		b.lost++
		b.bury(at, r, s.Stream)
	}
	return told
}

// newer reports whether the stream is of a later run than one of a node. Nodes
// that could not hear each other may both begin anew: then the names decide.
func (s *stream) newer(run uint64, node string) bool {
	return s.run > run || s.run == run && s.source > node
}

// hearWords puts words of another node where they belong. If something is
// missing before them, it is asked for.
func (b *Board) hearWords(at protocol.Instant, where Room, r *room, st *stream, node string, s Signal) []Signal {
	same := st.run == s.Run && st.source == node
	switch {
	case !same && s.At > 0, same && s.At > st.points:
		b.ask(where, r)
		return nil
	case !same:
		st.source, st.run = node, s.Run
		st.from, st.actor, st.touched = s.From, s.Actor, at
		return b.replace(where, st, s.Text)
	}
	st.touched = at
	said := st.points - s.At // of these words
	if said >= utf8.RuneCountInString(s.Text) {
		return nil
	}
	return b.grow(where, st, s.Text[byteAt(s.Text, said):])
}

// byteAt is where the code point of a number begins.
func byteAt(text string, points int) int {
	for at := range text {
		if points == 0 {
			return at
		}
		points--
	}
	return len(text)
}

func (b *Board) hearState(at protocol.Instant, r *room, node string, s Signal) []Signal {
	if r.listeners == 0 {
		return nil
	}
	old := r.state(&s)
	switch {
	case s.Ended || s.TTL == 0:
		if old != nil {
			b.removeState(r, old)
		}
		if s.Ended && old == nil {
			return nil
		}
		return []Signal{s}
	case old == nil:
		if b.states >= MaxStates || len(r.states) >= MaxStatesPerRoom {
			b.lost++
			return nil
		}
		old = &state{}
		r.states = append(r.states, old)
		b.states++
	}
	news := !bytes.Equal(old.signal.Data, s.Data) || old.until == 0
	*old = state{signal: s, source: node, until: at.Later(s.TTL)}
	if !news {
		return nil
	}
	return []Signal{s}
}

// Asked has everything that holds here, and every stream that is said here,
// told to other nodes from the beginning, soon.
func (b *Board) Asked(where Room) {
	if r := b.rooms[where]; r != nil {
		r.owed = true
		b.mark(where, r)
	}
}

// repeat has everything that is said here told from the beginning.
func (b *Board) repeat(r *room) {
	for _, s := range r.streams {
		if s.source == b.node {
			s.toldBytes, s.toldPoints = 0, 0
		}
	}
	for _, s := range r.states {
		s.unsent = s.unsent || s.source == b.node
	}
}

// Relinked says that other nodes can be heard again: what was said meanwhile
// is asked for, and what is said here told again.
func (b *Board) Relinked() {
	for where, r := range b.rooms {
		b.repeat(r)
		if r.unsaid(b.node) {
			b.mark(where, r)
		}
		if r.listeners > 0 {
			r.asked = 0
			b.ask(where, r)
		}
	}
	sortRooms(b.dirty)
}

// Unlinked says that nobody can be told anything: what is said once is lost.
func (b *Board) Unlinked() {
	for _, where := range b.dirty {
		r := b.rooms[where]
		b.lost += uint64(len(r.out))
		r.dirty, r.ask, r.owed, r.out = false, false, false, nil
		b.settle(where, r)
	}
	b.dirty = nil
}

// Pending reports whether there is something to tell to other nodes.
func (b *Board) Pending() bool { return len(b.dirty) > 0 }

// Flush gives what is to be told to other nodes, about budget bytes of it, in
// the order in which the rooms came; what was said meanwhile of one stream, or
// in place of an earlier signal, is one message.
func (b *Board) Flush(at protocol.Instant, budget int) []protocol.Message {
	var list []protocol.Message
	for n := len(b.dirty); n > 0 && budget > 0; n-- {
		where := b.dirty[0]
		b.dirty = b.dirty[1:]
		r := b.rooms[where]
		r.dirty = false
		list, budget = b.tell(at, where, r, list, budget)
		b.settle(where, r)
	}
	if len(b.dirty) == 0 {
		b.dirty = nil
	}
	return list
}

// tell takes what one room has to tell; what the budget does not cover waits
// behind the other rooms.
func (b *Board) tell(at protocol.Instant, where Room, r *room, list []protocol.Message, budget int) (
	[]protocol.Message, int,
) {
	add := func(m protocol.Message, size int) {
		list = append(list, m)
		budget -= size + signalOverhead
	}
	if r.ask && due(at, r.asked) {
		r.ask, r.asked = false, max(at, 1)
		add(protocol.SignalAsk{Space: where.Space, Session: where.Session}, 0)
	}
	if r.owed && due(at, r.answered) {
		r.owed, r.answered = false, max(at, 1)
		b.repeat(r)
	}
	for len(r.out) > 0 && budget > 0 {
		add(r.out[0], len(r.out[0].Data))
		r.out = r.out[1:]
	}
	for _, s := range r.states {
		if !s.unsent || budget <= 0 {
			continue
		}
		s.unsent = false
		left := s.signal
		if left.TTL = leftOf(s.until, at); left.TTL > 0 {
			add(left, len(left.Data))
		}
	}
	for _, s := range r.streams {
		for s.source == b.node && s.toldBytes < len(s.text) && budget > 0 {
			piece := cut(s.text[s.toldBytes:], protocol.MaxSignalTextBytes)
			add(s.words(where, s.toldPoints, piece), len(piece))
			s.toldBytes += len(piece)
			s.toldPoints += utf8.RuneCountInString(piece)
		}
	}
	if r.unsaid(b.node) {
		b.mark(where, r)
	}
	return list, budget
}

// signalOverhead is about what a message costs beside its content.
const signalOverhead = 160

// unsaid reports whether there is more to tell.
func (r *room) unsaid(node string) bool {
	if r.ask || r.owed || len(r.out) > 0 {
		return true
	}
	for _, s := range r.states {
		if s.unsent {
			return true
		}
	}
	for _, s := range r.streams {
		if s.source == node && s.toldBytes < len(s.text) {
			return true
		}
	}
	return false
}

// cut gives the front of a text, at most so many bytes of it, in whole code points.
func cut(text []byte, most int) string {
	if len(text) <= most {
		return string(text)
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return string(text[:most])
}

// Expire ends what has held for its time and streams in which nothing is said
// any more, and gives what those who follow here are to be told.
func (b *Board) Expire(at protocol.Instant) []Signal {
	var told []Signal
	for where, r := range b.rooms {
		for _, s := range append([]*state{}, r.states...) {
			if at < s.until {
				continue
			}
			b.removeState(r, s)
			end := s.signal
			end.Data, end.TTL, end.Ended = nil, 0, true
			told = append(told, end)
		}
		for _, s := range append([]*stream{}, r.streams...) {
			if at < s.touched.Later(StreamSilence) {
				continue
			}
			b.bury(at, r, s.id)
			end := s.words(where, 0, "")
			end.Ended = true
			told = append(told, end)
		}
		for len(r.ended) > 0 && at >= r.ended[0].until {
			r.ended = r.ended[1:]
		}
		b.settle(where, r)
	}
	sortSignals(told)
	return told
}
