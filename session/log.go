package session

import (
	"encoding/binary"
	"fmt"

	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// entry is what the session's log holds at a slot: which op arrived there, and
// for a message how it is shown.
type entry struct {
	message bool   // the slot is the place of a message
	again   bool   // a put of a message that has its place elsewhere
	edited  bool   // message: there is a record of edits
	root    bool   // message: stands at the root, whatever parent its put names
	called  bool   // message: results were tied to its calls
	caller  uint64 // message: slot of the message whose call it closes; 0 none
	dot     vclock.Dot
	shown   vclock.Dot // message: the put that is shown; dot unless it was put again
}

const (
	entryMessage = 1 << 0
	entryAgain   = 1 << 1
	entryEdited  = 1 << 2
	entryRoot    = 1 << 3
	entryOther   = 1 << 4 // shown differs from dot
	entryCalled  = 1 << 5
	entryResult  = 1 << 6 // there is a caller
)

func (e *entry) append(b []byte) []byte {
	var flags byte
	set := func(bit byte, on bool) {
		if on {
			flags |= bit
		}
	}
	set(entryMessage, e.message)
	set(entryAgain, e.again)
	set(entryEdited, e.edited)
	set(entryRoot, e.root)
	set(entryOther, e.shown != e.dot)
	set(entryCalled, e.called)
	set(entryResult, e.caller != 0)
	b = packDot(append(b, flags), e.dot)
	if e.shown != e.dot {
		b = packDot(b, e.shown)
	}
	if e.caller != 0 {
		b = binary.AppendUvarint(b, e.caller)
	}
	return b
}

func decodeEntry(key, b []byte) (entry, error) {
	p := packed{rest: b}
	flags := p.byte()
	e := entry{
		message: flags&entryMessage != 0, again: flags&entryAgain != 0,
		edited: flags&entryEdited != 0, root: flags&entryRoot != 0, called: flags&entryCalled != 0, dot: p.dot(),
	}
	if e.shown = e.dot; flags&entryOther != 0 {
		e.shown = p.dot()
	}
	if flags&entryResult != 0 {
		e.caller = p.uint()
	}
	return e, p.end(key)
}

func entryAt(r Reader, space, session string, slot uint64) (entry, error) {
	key := logKey(space, session, slot)
	b, err := r.Get(key)
	switch {
	case err != nil:
		return entry{}, fmt.Errorf("read slot %d of session %s: %w", slot, session, err)
	case b == nil:
		return entry{}, missing(key)
	}
	return decodeEntry(key, b)
}

func putEntry(tx Tx, space, session string, slot uint64, e entry) error {
	if err := tx.Put(logKey(space, session, slot), e.append(nil)); err != nil {
		return fmt.Errorf("store slot %d of session %s: %w", slot, session, err)
	}
	return nil
}

// located is where a message stands and which ops put it.
type located struct {
	slot uint64
	puts []vclock.Dot // the one that is shown comes first
}

// locate finds a message by its id; ok is false if no applied op put it.
func locate(r Reader, space, session string, m *meta, id string) (at located, ok bool, err error) {
	key := namedKey(space, session, recMessage, id)
	b, err := r.Get(key)
	if err != nil {
		return located{}, false, fmt.Errorf("look up message %s: %w", id, err)
	}
	if b != nil {
		at, err = locateNamed(r, space, session, id, key, b)
		return at, err == nil, err
	}
	dot, err := vclock.ParseDot(id)
	if err != nil || !m.vector.Covers(dot) {
		return located{}, false, nil
	}
	op, rec, err := opAt(r, space, dot)
	if err != nil {
		return located{}, false, err
	}
	put, isPut := op.Body.(Put)
	if !isPut || op.Session != session || put.ID != "" || op.Key != "" {
		return located{}, false, nil
	}
	return located{slot: rec.Slot, puts: []vclock.Dot{dot}}, true, nil
}

// The record of a named message holds its slot and the put that is shown, and
// a mark if it was put more than once; then the putsKey record has all puts.
func locateNamed(r Reader, space, session, id string, key, b []byte) (located, error) {
	p := packed{rest: b}
	at := located{slot: p.uint(), puts: []vclock.Dot{p.dot()}}
	contested := p.byte() == 1
	if err := p.end(key); err != nil || !contested {
		return at, err
	}
	key = namedKey(space, session, recPuts, id)
	b, err := r.Get(key)
	switch {
	case err != nil:
		return located{}, fmt.Errorf("look up puts of message %s: %w", id, err)
	case b == nil:
		return located{}, missing(key)
	}
	at.puts, err = decodeDots(key, b)
	return at, err
}

func putLocated(tx Tx, space, session, id string, at located) error {
	b := packDot(binary.AppendUvarint(nil, at.slot), at.puts[0])
	b = append(b, byte(boolNumber(len(at.puts) > 1)))
	if err := tx.Put(namedKey(space, session, recMessage, id), b); err != nil {
		return fmt.Errorf("store place of message %s: %w", id, err)
	}
	if len(at.puts) == 1 {
		return nil
	}
	b = binary.AppendUvarint(nil, uint64(len(at.puts)))
	for _, dot := range at.puts {
		b = packDot(b, dot)
	}
	if err := tx.Put(namedKey(space, session, recPuts, id), b); err != nil {
		return fmt.Errorf("store puts of message %s: %w", id, err)
	}
	return nil
}

func decodeDots(key, b []byte) ([]vclock.Dot, error) {
	p := packed{rest: b}
	var dots []vclock.Dot
	for range p.count() {
		dots = append(dots, p.dot())
	}
	if p.err == nil && len(dots) == 0 {
		p.fail()
	}
	return dots, p.end(key)
}

// successor finds the message slot after a slot, for conflict.Timeline.
func successor(r Reader, space, session string, m *meta) conflict.Successor {
	return func(after uint64) (uint64, conflict.Rank, error) {
		for slot := after + 1; slot <= m.slots; slot++ {
			if slot == m.tail.slot {
				return slot, m.line.Tip, nil
			}
			e, err := entryAt(r, space, session, slot)
			if err != nil {
				return 0, conflict.Rank{}, err
			}
			if !e.message {
				continue
			}
			op, _, err := opAt(r, space, e.shown)
			if err != nil {
				return 0, conflict.Rank{}, err
			}
			return slot, rankOf(&op), nil
		}
		return 0, conflict.Rank{}, fmt.Errorf("after slot %d of session %s: %w", after, session, conflict.ErrNotInTimeline)
	}
}

func rankOf(op *Op) conflict.Rank { return conflict.Rank{Stamp: op.Stamp, Dot: op.Dot} }
