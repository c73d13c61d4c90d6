package session

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"github.com/causeway-sync/causeway/vclock"
)

// Purge takes away what is left of an erased session, at most about limit
// records in one transaction, and reports whether there is more. Op records
// stay, but hollow: who wrote when and after what remains, because feeds have
// no gaps; key, actor and content go. The erasure itself is kept, so that it
// reaches every replica. Of a session that is not erased it takes nothing.
func Purge(tx Tx, space, session string, limit int) (more bool, err error) {
	m, err := metaAt(tx, space, session)
	if err != nil || m == nil || !m.erased {
		return false, err
	}
	left := max(limit, 1)
	for ; m.purged < m.slots && left > 0; left-- {
		if err := purgeSlot(tx, space, session, m.purged+1); err != nil {
			return false, fmt.Errorf("purge session %s: %w", session, err)
		}
		m.purged++
	}
	if m.purged == m.slots && left > 0 {
		n, err := purgeRest(tx, space, session, left)
		if err != nil {
			return false, fmt.Errorf("purge session %s: %w", session, err)
		}
		left -= n
	}
	return left <= 0, putMeta(tx, space, session, m)
}

func purgeSlot(tx Tx, space, session string, slot uint64) error {
	e, err := entryAt(tx, space, session, slot)
	if err != nil {
		return err
	}
	op, rec, err := opAt(tx, space, e.dot)
	if err != nil {
		return err
	}
	if _, erase := op.Body.(Erase); !erase && !rec.Hollow {
		if rec, err = hollow(&op, rec); err != nil {
			return err
		}
		if err := PutRecord(tx, space, e.dot, rec); err != nil {
			return err
		}
	}
	return tx.Delete(logKey(space, session, slot))
}

// purgeRest deletes the session's records but for its head and its log, which
// belongs to purgeSlot.
func purgeRest(tx Tx, space, session string, limit int) (int, error) {
	n := 0
	for _, kind := range []byte{
		recMessage, recPuts, recEdits, recKey, recChat, recRegister, recCounter, recSet, recUnknown,
		recTool, recCallID, recResults,
		recText, recTextOp, recTextTwins, recTextSaved, recTextShown,
	} {
		cleared, err := clearPrefix(tx, namedKey(space, session, kind, ""), limit-n)
		if err != nil {
			return n, err
		}
		if n += cleared; n >= limit {
			return n, nil
		}
	}
	return n, nil
}

// Rebuild makes the session's records anew from its op records, in one
// transaction: after damage, or when a later version knows ops that an earlier
// one did not. It finds the ops through the session's log, which must be
// whole; see [RebuildFrom] if it is not. An erased session that is purged has
// nothing to rebuild; one that is purged in part has lost a part of its log.
func Rebuild(tx Tx, space, session string) error {
	if m, err := metaAt(tx, space, session); err == nil && m != nil && m.erased && m.purged == m.slots {
		return nil
	}
	return RebuildFrom(tx, space, session, logged(tx, space, session))
}

// RebuildFrom is [Rebuild] with the dots of the ops to consider, in any order:
// all those of the space will do. Ops of other sessions and ops whose
// dependencies are missing are left alone. If the session turns out to be
// erased, Purge is due again.
func RebuildFrom(tx Tx, space, session string, feed iter.Seq2[vclock.Dot, error]) error {
	var ops []rebuilt
	for dot, err := range feed {
		if err != nil {
			return fmt.Errorf("rebuild session %s: %w", session, err)
		}
		op, rec, err := opAt(tx, space, dot)
		if err != nil {
			return fmt.Errorf("rebuild session %s: %w", session, err)
		}
		if op.Session == session {
			ops = append(ops, rebuilt{op, rec})
		}
	}
	if err := forget(tx, space, session); err != nil {
		return fmt.Errorf("rebuild session %s: %w", session, err)
	}
	for len(ops) > 0 {
		waiting, err := reapply(tx, space, ops)
		if err != nil {
			return fmt.Errorf("rebuild session %s: %w", session, err)
		}
		if len(waiting) == len(ops) {
			return shelve(tx, space, waiting)
		}
		ops = waiting
	}
	return nil
}

type rebuilt struct {
	op  Op
	rec Record
}

// reapply applies the ops that are ready and returns the others.
func reapply(tx Tx, space string, ops []rebuilt) ([]rebuilt, error) {
	var waiting []rebuilt
	for _, o := range ops {
		done, err := Apply(tx, o.op)
		switch {
		case errors.Is(err, ErrNotReady):
			waiting = append(waiting, o)
			continue
		case err != nil:
			return nil, err
		case done.Duplicate:
			continue
		}
		o.rec.Slot = done.Slot
		if err := PutRecord(tx, space, o.op.Dot, o.rec); err != nil {
			return nil, err
		}
	}
	return waiting, nil
}

// shelve takes the slots from ops that still wait.
func shelve(tx Tx, space string, waiting []rebuilt) error {
	for _, o := range waiting {
		if o.rec.Slot == 0 {
			continue
		}
		o.rec.Slot = 0
		if err := PutRecord(tx, space, o.op.Dot, o.rec); err != nil {
			return err
		}
	}
	return nil
}

// logged yields the dots of the session's log. That the log is whole is
// checked against the head record if that can be read.
func logged(r Reader, space, session string) iter.Seq2[vclock.Dot, error] {
	return func(yield func(vclock.Dot, error) bool) {
		var dots []vclock.Dot
		for e, err := range r.Scan(namedKey(space, session, recLog, ""), nil, false) {
			if err != nil {
				yield(vclock.Dot{}, err)
				return
			}
			at, err := decodeEntry(e.Key, e.Value)
			if err != nil {
				yield(vclock.Dot{}, err)
				return
			}
			if want := logKey(space, session, uint64(len(dots)+1)); !bytes.Equal(e.Key, want) {
				yield(vclock.Dot{}, missing(want))
				return
			}
			dots = append(dots, at.dot)
		}
		m, err := metaAt(r, space, session)
		unknown := err != nil && len(dots) == 0 // was purged, perhaps
		if unknown || err == nil && m != nil && m.slots > uint64(len(dots)) {
			yield(vclock.Dot{}, missing(logKey(space, session, uint64(len(dots)+1))))
			return
		}
		for _, dot := range dots {
			if !yield(dot, nil) {
				return
			}
		}
	}
}

// forget deletes all derived records of a session, the index entries too.
func forget(tx Tx, space, session string) error {
	m, err := metaAt(tx, space, session)
	switch {
	case errors.Is(err, ErrCorrupt):
		if err := forgetIndexed(tx, space, session); err != nil {
			return err
		}
	case err != nil:
		return err
	case m != nil:
		if err := moveKey(tx, m.bucket, 0, func(n uint64) []byte { return activityKey(space, n, session) }); err != nil {
			return err
		}
		if err := moveKey(tx, m.look, 0, func(n uint64) []byte { return expiryKey(n, space, session) }); err != nil {
			return err
		}
	}
	_, err = clearPrefix(tx, Prefix(space, session), -1)
	return err
}

// forgetIndexed looks for the index entries of a session whose head record is
// damaged.
func forgetIndexed(tx Tx, space, session string) error {
	var keys [][]byte
	for e, err := range tx.Scan(activityPrefix(space), nil, false) {
		if err != nil {
			return fmt.Errorf("scan activity: %w", err)
		}
		if _, name, err := parseActivityKey(space, e.Key); err == nil && name == session {
			keys = append(keys, e.Key)
		}
	}
	for e, err := range tx.Scan([]byte(expiryPrefix), nil, false) {
		if err != nil {
			return fmt.Errorf("scan expiries: %w", err)
		}
		if d, err := parseExpiryKey(e.Key); err == nil && d.Space == space && d.Session == session {
			keys = append(keys, e.Key)
		}
	}
	for _, key := range keys {
		if err := tx.Delete(key); err != nil {
			return fmt.Errorf("delete %q: %w", key, err)
		}
	}
	return nil
}
