package session

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// keyedPrefix begins the ids of messages that were appended under an
// idempotency key.
const keyedPrefix = "k~"

// MessageID is the id of the message that op puts: the explicit one; with an
// idempotency key a hash of session, key and index, so that the same retry at
// two nodes is one message; else the op's dot. Without a Put it is empty.
func MessageID(op *Op) string {
	put, ok := op.Body.(Put)
	switch {
	case !ok:
		return ""
	case put.ID != "":
		return put.ID
	case op.Key != "":
		return keyedID(op.Session, op.Key, op.KeyIndex)
	}
	return op.Dot.String()
}

func keyedID(session, key string, index uint32) string {
	h := sha256.New()
	h.Write(packText(packText(nil, session), key))
	h.Write(binary.AppendUvarint(nil, uint64(index)))
	sum := h.Sum(nil)
	return keyedPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

func (a *applier) put(x *Put) error {
	m, space, session := a.m, a.op.Space, a.op.Session
	id, rank := MessageID(a.op), rankOf(a.op)
	parent, known, err := a.place(x.Parent, rank)
	if err != nil {
		return err
	}
	if err := a.noteCalls(id, x); err != nil {
		return err
	}
	if x.ID != "" || a.op.Key != "" {
		at, again, err := locate(a.tx, space, session, m, id)
		if err != nil {
			return err
		}
		if again {
			return a.putAgain(id, at, parent, !known)
		}
		at = located{slot: a.slot, puts: append(at.puts, a.op.Dot)}
		if err := putLocated(a.tx, space, session, id, at); err != nil {
			return err
		}
	}
	if err := m.line.Add(a.slot, parent, rank, successor(a.tx, space, session, m)); err != nil {
		return fmt.Errorf("place message %s: %w", id, err)
	}
	m.messages++
	m.tail = tail{slot: a.slot, id: id}
	a.at.message, a.at.root = true, !known && x.Parent != ""
	if err := a.attach(x, a.slot, &a.at); err != nil {
		return err
	}
	if m.order() == Chat {
		return putChat(a.tx, space, session, rank, a.slot)
	}
	return nil
}

// putAgain takes in another put of a message that is there: the one of the
// smaller rank decides.
func (a *applier) putAgain(id string, at located, parent uint64, root bool) error {
	m, space, session := a.m, a.op.Space, a.op.Session
	a.at.again, m.putAgain = true, true
	first, _, err := opAt(a.tx, space, at.puts[0])
	if err != nil {
		return err
	}
	rank := rankOf(a.op)
	if rank.Compare(rankOf(&first)) > 0 {
		at.puts = append(at.puts, a.op.Dot)
		slices.SortFunc(at.puts[1:], vclock.Dot.Compare)
		return putLocated(a.tx, space, session, id, at)
	}
	at.puts = slices.Insert(at.puts, 0, a.op.Dot)
	slices.SortFunc(at.puts[1:], vclock.Dot.Compare)
	if err := putLocated(a.tx, space, session, id, at); err != nil {
		return err
	}
	// The move looks at the ranks of messages as they were, this one's included:
	// the record of the present op is not stored yet.
	if err := m.line.Move(at.slot, parent, rank, successor(a.tx, space, session, m)); err != nil {
		return fmt.Errorf("move message %s: %w", id, err)
	}
	e, err := entryAt(a.tx, space, session, at.slot)
	if err != nil {
		return err
	}
	put := a.op.Body.(Put)
	e.shown, e.root = a.op.Dot, root && put.Parent != ""
	if err := a.detach(at.slot, &e); err != nil {
		return err
	}
	if err := a.attach(&put, at.slot, &e); err != nil {
		return err
	}
	if err := putEntry(a.tx, space, session, at.slot, e); err != nil {
		return err
	}
	if m.order() != Chat {
		return nil
	}
	if err := a.tx.Delete(chatKey(space, session, first.Stamp, first.Dot)); err != nil {
		return fmt.Errorf("move message %s: %w", id, err)
	}
	return putChat(a.tx, space, session, rank, at.slot)
}

// place finds the slot of the parent that a put names. A parent counts if the
// author had seen a put of it that is of smaller rank; all other messages
// stand at the root, on every replica.
func (a *applier) place(parent string, rank conflict.Rank) (slot uint64, known bool, err error) {
	m := a.m
	if parent == "" {
		return 0, true, nil
	}
	if parent == m.tail.id && a.op.Deps.Covers(m.line.Tip.Dot) && m.line.Tip.Compare(rank) < 0 {
		return m.tail.slot, true, nil
	}
	at, ok, err := locate(a.tx, a.op.Space, a.op.Session, m, parent)
	if err != nil || !ok {
		return 0, false, err
	}
	for _, dot := range at.puts {
		if !a.op.Deps.Covers(dot) {
			continue
		}
		op, _, err := opAt(a.tx, a.op.Space, dot)
		if err != nil {
			return 0, false, err
		}
		if rankOf(&op).Compare(rank) < 0 {
			return at.slot, true, nil
		}
	}
	return 0, false, nil
}

// seen finds the slot of a message that the author of the op had seen.
func (a *applier) seen(id string) (slot uint64, ok bool, err error) {
	at, ok, err := locate(a.tx, a.op.Space, a.op.Session, a.m, id)
	if err != nil || !ok {
		return 0, false, err
	}
	if slices.ContainsFunc(at.puts, a.op.Deps.Covers) {
		return at.slot, true, nil
	}
	return 0, false, nil
}

func putChat(tx Tx, space, session string, rank conflict.Rank, slot uint64) error {
	if err := tx.Put(chatKey(space, session, rank.Stamp, rank.Dot), binary.AppendUvarint(nil, slot)); err != nil {
		return fmt.Errorf("store chat order: %w", err)
	}
	return nil
}

// edits is what was done to a message after it was put.
type edits struct {
	redacted bool
	by       conflict.Rank // the first redaction
	actor    string
	content  conflict.Register
	metadata conflict.Register
}

func (e *edits) append(b []byte) []byte {
	if e.redacted {
		b = packDot(packStamp(append(b, 1), e.by.Stamp), e.by.Dot)
		return packText(b, e.actor)
	}
	return e.metadata.AppendBinary(e.content.AppendBinary(append(b, 0)))
}

func editsAt(r Reader, space, session, id string) (edits, error) {
	key := namedKey(space, session, recEdits, id)
	b, err := r.Get(key)
	if err != nil || b == nil {
		return edits{}, err
	}
	return decodeEdits(key, b)
}

func decodeEdits(key, b []byte) (edits, error) {
	p := packed{rest: b}
	var e edits
	if p.byte() == 1 {
		e.redacted = true
		e.by = conflict.Rank{Stamp: p.stamp(), Dot: p.dot()}
		e.actor = p.text()
		return e, p.end(key)
	}
	e.content = unpack(&p, conflict.DecodeRegister)
	e.metadata = unpack(&p, conflict.DecodeRegister)
	return e, p.end(key)
}

func (a *applier) edit(x *Edit) error {
	return a.change(x.Message, func(e *edits) {
		if e.redacted {
			return
		}
		v := conflict.Value{Dot: a.op.Dot, Stamp: a.op.Stamp, Actor: a.op.Actor, Data: x.Content}
		e.content = e.content.Write(v, a.op.Deps)
		if len(x.Metadata) > 0 {
			v.Data = x.Metadata
			e.metadata = e.metadata.Write(v, a.op.Deps)
		}
	})
}

// redact takes the content away, edits included, before and after.
func (a *applier) redact(id string) error {
	return a.change(id, func(e *edits) {
		rank := rankOf(a.op)
		if !e.redacted || rank.Compare(e.by) < 0 {
			*e = edits{redacted: true, by: rank, actor: a.op.Actor}
		}
	})
}

// change alters the edits of a message. An author that had not seen the
// message cannot change it.
func (a *applier) change(id string, alter func(*edits)) error {
	space, session := a.op.Space, a.op.Session
	slot, ok, err := a.seen(id)
	if err != nil || !ok {
		return err
	}
	a.m.edits = true
	e, err := editsAt(a.tx, space, session, id)
	if err != nil {
		return fmt.Errorf("read edits of message %s: %w", id, err)
	}
	alter(&e)
	if err := a.tx.Put(namedKey(space, session, recEdits, id), e.append(nil)); err != nil {
		return fmt.Errorf("store edits of message %s: %w", id, err)
	}
	at, err := entryAt(a.tx, space, session, slot)
	if err != nil || at.edited {
		return err
	}
	at.edited = true
	return putEntry(a.tx, space, session, slot, at)
}
