package session

import (
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/vclock"
)

// Recalled is what the records of sessions still tell of an op whose own record
// is damaged.
type Recalled struct {
	Session string // that the op belongs to; empty if no record that can be read tells
	Op      *Op    // without Deps: what opened or erased the session, but for the context that it set; else nil
}

// Recall looks for an applied op in the records of the sessions of a space, and
// at last in their logs. It reads much: for repair, not for views.
func Recall(r Reader, space string, dot vclock.Dot) (Recalled, error) {
	names, err := SessionNames(r, space, "", 0)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return Recalled{}, fmt.Errorf("recall op %v: %w", dot, err)
	}
	for _, look := range []func(Reader, string, string, vclock.Dot) (Recalled, error){recallFromMeta, recallFromLog} {
		for _, name := range names {
			got, err := look(r, space, name, dot)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				return got, fmt.Errorf("recall op %v: %w", dot, err)
			}
			if err == nil && got.Session != "" {
				return got, nil
			}
		}
	}
	return Recalled{}, nil
}

// recallFromMeta knows the ops that opened a session, and the last op of each
// origin. When a session is erased, that one counts as its erasure: another one
// does no harm.
func recallFromMeta(r Reader, space, session string, dot vclock.Dot) (Recalled, error) {
	m, err := metaAt(r, space, session)
	if err != nil || m == nil {
		return Recalled{}, err
	}
	op := &Op{Dot: dot, Space: space, Session: session, Stamp: m.latest}
	for _, o := range m.opens {
		if o.rank.Dot == dot {
			op.Stamp, op.Actor = o.rank.Stamp, o.actor
			op.Body = Open{Order: o.order, TTL: o.ttl, Labels: o.labels}
			return Recalled{session, op}, recallKey(r, op)
		}
	}
	switch {
	case m.vector.At(dot.Origin) != dot.Seq:
		return Recalled{}, nil
	case m.erased:
		op.Body = Erase{}
		return Recalled{session, op}, nil
	default:
		return Recalled{Session: session}, nil
	}
}

func recallFromLog(r Reader, space, session string, dot vclock.Dot) (Recalled, error) {
	m, err := metaAt(r, space, session)
	if err != nil || m == nil || !m.vector.Covers(dot) {
		return Recalled{}, err
	}
	slot, err := SlotOf(r, space, session, dot)
	if err != nil || slot == 0 {
		return Recalled{}, err
	}
	return Recalled{Session: session}, nil
}

// recallKey finds the idempotency key under which an op was written, if any.
func recallKey(r Reader, op *Op) error {
	prefix := namedKey(op.Space, op.Session, recKey, "")
	for e, err := range r.Scan(prefix, nil, false) {
		if err != nil {
			return fmt.Errorf("read idempotency keys: %w", err)
		}
		known, err := decodeCommands(e.Key, e.Value)
		if err != nil {
			return err
		}
		for _, c := range known {
			if c.first.Origin == op.Dot.Origin && c.first.Seq <= op.Dot.Seq && op.Dot.Seq < c.first.Seq+vclock.Seq(c.count) {
				op.Key, op.KeyIndex, op.Request = string(e.Key[len(prefix):]), uint32(op.Dot.Seq-c.first.Seq), c.request
				return nil
			}
		}
	}
	return nil
}
