package replica

import (
	"errors"
	"fmt"
	"math"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Ingested tells what a frame did.
type Ingested struct {
	Head     protocol.Head // of the feed, now
	Added    int           // ops that were not held before
	Sessions []string      // sessions to which something was applied, in order of application, without repetition
}

// Ingest takes a frame whose inner chain has been verified. It returns a
// *[GapError] if the frame begins too far ahead, a *[ForkError] if its content
// differs from what is held, [ErrForeign] or [session.ErrMalformed] for ops
// that cannot be of this feed; in all these cases nothing was written. Ops
// that are held already are skipped. Stamps of the ops move our clock unless
// they are too far ahead.
func (r *Replica) Ingest(tx session.Tx, now Now, f *protocol.Frame) (Ingested, error) {
	a, err := newAppender(tx, f.Feed)
	if err != nil {
		return Ingested{}, err
	}
	skip, err := a.overlap(f)
	if err != nil || skip == len(f.Entries) {
		return Ingested{Head: a.head}, err
	}
	ops, err := decodeOps(f, skip)
	if err != nil {
		return Ingested{}, err
	}
	done := Ingested{Added: len(ops)}
	for i, op := range ops {
		if err := a.take(f.Entries[skip+i], op, &done); err != nil {
			return Ingested{}, err
		}
		// A stamp too far ahead is applied causally and does not move our clock.
		_ = r.clock.Observe(op.Stamp, now.Wall)
	}
	if err := a.save(); err != nil {
		return Ingested{}, err
	}
	done.Head = a.head
	return done, r.saveBound(tx)
}

// overlap returns how many of the frame's ops are held already, after making
// sure that they are the same ones.
func (a *appender) overlap(f *protocol.Frame) (int, error) {
	switch {
	case f.From > a.head.Seq+1:
		return 0, &GapError{Feed: f.Feed, Want: a.head.Seq + 1, Got: f.From}
	case f.From == a.head.Seq+1:
		if f.Prev != a.head.Chain {
			return 0, &ForkError{Feed: f.Feed, At: a.head.Seq}
		}
		return 0, nil
	case f.To() <= a.head.Seq:
		held, ok, err := ChainAt(a.tx, f.Feed, f.To())
		if errors.Is(err, session.ErrCorrupt) {
			return len(f.Entries), nil // cannot be compared; what is held stays
		}
		if err != nil {
			return 0, err
		}
		if !ok || held != f.Last {
			return 0, &ForkError{Feed: f.Feed, At: f.To()}
		}
		return len(f.Entries), nil
	}
	skip := int(a.head.Seq - f.From + 1)
	chain := f.Prev
	for _, e := range f.Entries[:skip] {
		chain = chain.Next(e.Hash)
	}
	if chain != a.head.Chain {
		return 0, &ForkError{Feed: f.Feed, At: a.head.Seq}
	}
	return skip, nil
}

func decodeOps(f *protocol.Frame, skip int) ([]session.Op, error) {
	ops := make([]session.Op, 0, len(f.Entries)-skip)
	for i, e := range f.Entries[skip:] {
		want := vclock.Dot{Origin: f.Origin, Seq: f.From + vclock.Seq(skip+i)}
		op, err := session.DecodeOp(e.Bytes)
		if err != nil {
			return nil, fmt.Errorf("op %v of %s: %w", want, f.Space, err)
		}
		if op.Dot != want || op.Space != f.Space {
			return nil, fmt.Errorf("op %v of %s found as %v of %s: %w", op.Dot, op.Space, want, f.Space, ErrForeign)
		}
		if _, erased := op.Body.(session.Erased); erased != e.Hollow {
			return nil, fmt.Errorf("op %v of %s: hollow without a hollow body or the reverse: %w", want, f.Space, ErrForeign)
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// take stores one op and applies it, and whatever waited for it, if it can.
func (a *appender) take(e protocol.Entry, op session.Op, done *Ingested) error {
	slot, err := a.apply(op)
	if errors.Is(err, session.ErrNotReady) {
		a.space.waiting++
		if err := a.tx.Put(session.WaitKey(a.feed.Space, op.Session, op.Dot), nil); err != nil {
			return err
		}
		return a.store(e, 0)
	}
	if err != nil {
		return err
	}
	done.note(op.Session)
	if err := a.store(e, slot); err != nil {
		return err
	}
	return a.wake(op.Session)
}

func (d *Ingested) note(id string) {
	for i := len(d.Sessions) - 1; i >= 0; i-- {
		if d.Sessions[i] == id {
			return
		}
	}
	d.Sessions = append(d.Sessions, id)
}

// wake applies waiting ops of a session until none is ready any more. Of each
// origin only the first one that waits is looked at: an op depends on what its
// origin wrote in the session before. So many ops may wait for long at little
// cost.
func (a *appender) wake(id string) error {
	prefix := session.WaitPrefix(a.feed.Space, id)
	for progress := true; progress && a.space.waiting > 0; {
		progress = false
		for from := prefix; ; {
			dot, ok, err := a.nextWaiting(prefix, from)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			applied, err := a.tryWaiting(id, dot)
			if err != nil {
				return err
			}
			if progress = progress || applied; applied {
				from = session.WaitKey(a.feed.Space, id, dot)
				continue
			}
			last := vclock.Dot{Origin: dot.Origin, Seq: math.MaxUint64}
			from = append(session.WaitKey(a.feed.Space, id, last), 0)
		}
	}
	return nil
}

// nextWaiting finds the first waiting op of a session at or behind a key.
func (a *appender) nextWaiting(prefix, from []byte) (dot vclock.Dot, ok bool, err error) {
	for e, err := range a.tx.Scan(prefix, from, false) {
		if err != nil {
			return dot, false, err
		}
		dot, err = waitingDot(prefix, e.Key)
		return dot, err == nil, err
	}
	return dot, false, nil
}

func (a *appender) tryWaiting(id string, dot vclock.Dot) (bool, error) {
	feed := protocol.Feed{Space: a.feed.Space, Origin: dot.Origin}
	rec, err := record(a.tx, feed, dot.Seq)
	if err != nil {
		return false, err
	}
	op, err := session.DecodeOp(rec.Bytes)
	if err != nil {
		return false, damaged(session.OpKey(feed.Space, dot.Origin, dot.Seq), err)
	}
	rec.Slot, err = a.apply(op)
	if errors.Is(err, session.ErrNotReady) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a.space.waiting--
	if err := a.tx.Delete(session.WaitKey(feed.Space, id, dot)); err != nil {
		return false, err
	}
	return true, session.PutRecord(a.tx, feed.Space, dot, rec)
}
