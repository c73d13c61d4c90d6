package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// remakeChecks is how many ops before the last one are checked against the
// chain when a feed's head is made anew.
const remakeChecks = 8

// RemakeHead makes a damaged head of a feed anew from the op records: number
// and chain of the last one. Where the records before it do not lead up to that
// chain, it is an error and nothing is written. If the last record is damaged
// too, the error names it: see [Restore].
func RemakeHead(tx session.Tx, f protocol.Feed) (protocol.Head, error) {
	var h protocol.Head
	last, err := lastOf(tx, f)
	if err != nil {
		return h, err
	}
	if last == 0 { // the records of a feed that was cut back to nothing
		return h, tx.Delete(feedKey(f))
	}
	rec, err := record(tx, f, last)
	if err != nil {
		return h, err
	}
	h = protocol.Head{Seq: last, Chain: rec.Chain}
	for seq := last; seq > 1 && seq+remakeChecks > last; seq-- {
		before, err := record(tx, f, seq-1)
		if errors.Is(err, session.ErrCorrupt) {
			break // it is repaired by itself, and compared then
		}
		if err != nil {
			return h, err
		}
		if protocol.Chain(before.Chain).Next(entryOf(rec).Hash) != rec.Chain {
			return h, damaged(session.OpKey(f.Space, f.Origin, seq), errors.New("the chain does not lead here"))
		}
		rec = before
	}
	return h, saveHead(tx, f, h)
}

// lastOf is the number of the last op record of a feed, though that be damaged;
// zero if there is none.
func lastOf(r session.Reader, f protocol.Feed) (vclock.Seq, error) {
	prefix := session.OpPrefix(f.Space, f.Origin)
	for e, err := range r.Scan(prefix, nil, true) {
		key, err := keyOf(e, err)
		if err != nil {
			return 0, fmt.Errorf("last op of %s of %s: %w", f.Origin, f.Space, err)
		}
		if len(key) != len(prefix)+8 {
			return 0, damaged(key, errors.New("key of an op is malformed"))
		}
		return vclock.Seq(binary.BigEndian.Uint64(key[len(prefix):])), nil
	}
	return 0, nil
}

// keyOf gives the key of what a scan yields, also that of a damaged record.
func keyOf(e session.Entry, err error) ([]byte, error) {
	if bad, ok := errors.AsType[*session.CorruptError](err); ok {
		return bad.Key, nil
	}
	return e.Key, err
}

// RemakeSpace makes a space's damaged record anew: its counters, from the ops,
// the waiting ops and the sessions that are there. Arrivals go on behind every
// arrival that can be read, with room for those that cannot.
func RemakeSpace(tx session.Tx, space string) error {
	var s spaceState
	var unreadable, ops uint64
	err := walk(tx, session.OpsPrefix(space), func(key, value []byte) {
		ops++
		rec, err := session.ParseRecord(key, value)
		if err != nil {
			unreadable++
			return
		}
		s.arrivals = max(s.arrivals, rec.Arrival)
	})
	if err != nil {
		return fmt.Errorf("count ops of %s: %w", space, err)
	}
	s.arrivals = max(s.arrivals+unreadable, ops)
	err = walk(tx, append([]byte("w/"+space), 0), func(_, _ []byte) { s.waiting++ })
	if err != nil {
		return fmt.Errorf("count waiting ops of %s: %w", space, err)
	}
	if s.sessions, err = countSessions(tx, space); err != nil {
		return fmt.Errorf("count sessions of %s: %w", space, err)
	}
	return s.save(tx, space)
}

// walk visits all records below a prefix; those that are damaged have no value.
func walk(r session.Reader, prefix []byte, visit func(key, value []byte)) error {
	var from []byte
	for again := true; again; {
		again = false
		for e, err := range r.Scan(prefix, from, false) {
			key, fatal := keyOf(e, err)
			switch {
			case fatal != nil:
				return fatal
			case err != nil && (!bytes.HasPrefix(key, prefix) || bytes.Compare(key, from) < 0):
				return err // not of this scan: it would not end
			}
			visit(key, e.Value)
			if err != nil {
				from, again = append(bytes.Clone(key), 0), true
			}
		}
	}
	return nil
}

// countSessions counts the sessions of a space of which anything is held.
func countSessions(r session.Reader, space string) (uint64, error) {
	prefix := append([]byte("s/"+space), 0)
	var count uint64
	for from := prefix; from != nil; {
		at := from
		from = nil
		for e, err := range r.Scan(prefix, at, false) {
			key, fatal := keyOf(e, err)
			rest, ok := bytes.CutPrefix(key, prefix)
			if fatal != nil || !ok {
				return 0, err
			}
			name, _, _ := bytes.Cut(rest, []byte{0})
			count++
			from = append(append(bytes.Clone(prefix), name...), 1) // behind all records of the session
			break
		}
	}
	return count, nil
}
