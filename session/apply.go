package session

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// Applied tells what [Apply] did.
type Applied struct {
	Slot      uint64 // position in the session's log; goes into the op record
	Duplicate bool   // the op had been applied before: nothing changed, Slot is 0
	Created   bool   // nothing was known of the session before
	Opened    bool   // the op is what opened the session here
	Unknown   bool   // the body is of a later version: kept, not applied
	Gone      bool   // the session is erased; the op record must be stored, then Purge called
}

// Ready reports whether all ops that op depends on are applied.
func Ready(r Reader, op Op) (bool, error) {
	if op.Deps.IsEmpty() {
		return true, nil
	}
	m, err := metaAt(r, op.Space, op.Session)
	if err != nil || m == nil {
		return false, err
	}
	return m.vector.Includes(op.Deps), nil
}

// Apply takes op into the session's records. It is the same for ops written
// here and elsewhere and refuses nothing: what op says counts as far as the
// merge rules let it. The resulting state, as views and digests show it, is a
// function of the set of applied ops alone.
//
// The caller applies an op once its deps are applied (see [Ready]; otherwise
// ErrNotReady and nothing is changed), and afterwards, in the same
// transaction, stores the op record with the returned Slot by [PutRecord]. An
// op that was applied before changes nothing.
func Apply(tx Tx, op Op) (Applied, error) {
	m, err := metaAt(tx, op.Space, op.Session)
	if err != nil {
		return Applied{}, err
	}
	var done Applied
	if m == nil {
		m, done.Created = &meta{}, true
	}
	if m.vector.Covers(op.Dot) {
		return Applied{Duplicate: true, Gone: m.erased}, nil
	}
	if !m.vector.Includes(op.Deps) {
		return Applied{}, fmt.Errorf("apply %v to session %s: %w", op.Dot, op.Session, ErrNotReady)
	}
	wasOpened := m.opened()
	a := applier{tx: tx, m: m, op: &op, before: m.vector}
	a.slot = m.advance(&op)
	a.at = entry{dot: op.Dot, shown: op.Dot}
	if err := a.apply(); err != nil {
		return Applied{}, fmt.Errorf("apply %v to session %s: %w", op.Dot, op.Session, err)
	}
	_, unknown := op.Body.(Unknown)
	done.Slot, done.Unknown = a.slot, unknown
	done.Opened, done.Gone = !wasOpened && m.opened(), m.erased
	return done, nil
}

// applier carries one op into a session.
type applier struct {
	tx   Tx
	m    *meta
	op   *Op
	slot uint64
	at   entry // what goes into the log

	before vclock.Vector // the session's vector before op
}

func (a *applier) apply() error {
	if !a.m.erased {
		a.age()
		if err := a.body(); err != nil {
			return err
		}
		if err := a.remember(); err != nil {
			return err
		}
	}
	if err := putEntry(a.tx, a.op.Space, a.op.Session, a.slot, a.at); err != nil {
		return err
	}
	if err := reindex(a.tx, a.op.Space, a.op.Session, a.m); err != nil {
		return err
	}
	return putMeta(a.tx, a.op.Space, a.op.Session, a.m)
}

func putMeta(tx Tx, space, session string, m *meta) error {
	b := m.append(make([]byte, 0, 256))
	if err := tx.Put(metaKey(space, session), b); err != nil {
		return fmt.Errorf("store head of session %s: %w", session, err)
	}
	return nil
}

// age keeps account of activity and of what expiries have seen.
func (a *applier) age() {
	m, op := a.m, a.op
	if _, expires := op.Body.(Expire); expires {
		if m.expiry == nil {
			m.expiry = &expiry{live: a.before}
		}
		m.expiry.seen = m.expiry.seen.Merge(op.Deps)
		return
	}
	m.updated = later(m.updated, op.Stamp)
	if m.expiry != nil {
		m.expiry.live = m.expiry.live.With(op.Dot)
	}
}

func (a *applier) body() error {
	switch x := a.op.Body.(type) {
	case Open:
		return a.open(&x)
	case Transition:
		a.m.life = a.m.life.Apply(conflict.Move{
			Dot: a.op.Dot, Stamp: a.op.Stamp, Actor: a.op.Actor, To: x.To, Epoch: x.Epoch,
		}, a.op.Deps)
		return nil
	case Put:
		return a.put(&x)
	case Edit:
		return a.edit(&x)
	case Redact:
		return a.redact(x.Message)
	case Set:
		return a.set(x.Leaves)
	case Adjust:
		return a.adjust(x.Changes)
	case Expire, Erased:
		return nil
	case TextEdit:
		return a.editText(&x)
	case Claim:
		return a.claim(&x)
	case Complete:
		return a.complete(&x)
	case Erase:
		return a.erase()
	case Unknown:
		return a.unknown(x.Kind)
	default:
		panic("session: body of no known type")
	}
}

func (a *applier) open(x *Open) error {
	m := a.m
	before := m.order()
	o := opening{rank: rankOf(a.op), actor: a.op.Actor, order: x.Order, ttl: x.TTL, labels: x.Labels}
	at, _ := slices.BinarySearchFunc(m.opens, o.rank, func(o opening, r conflict.Rank) int { return o.rank.Compare(r) })
	m.opens = slices.Insert(m.opens, at, o)
	if after := m.order(); after != before {
		if err := reorder(a.tx, a.op.Space, a.op.Session, m); err != nil {
			return err
		}
	}
	return a.set(x.Context)
}

// erase forgets everything but who has seen what. The records themselves are
// taken away by Purge.
func (a *applier) erase() error {
	m := a.m
	bare := meta{vector: m.vector, firsts: m.firsts, slots: m.slots, latest: m.latest, erased: true}
	bare.bucket, bare.look = m.bucket, m.look // reindex takes them away
	*m = bare
	return nil
}

// unknown marks the session for a rebuild by a later version.
func (a *applier) unknown(kind uint32) error {
	b := binary.AppendUvarint(nil, uint64(kind))
	if err := a.tx.Put(namedKey(a.op.Space, a.op.Session, recUnknown, ""), b); err != nil {
		return fmt.Errorf("mark session: %w", err)
	}
	return nil
}

// HasUnknown reports whether ops of kinds that were unknown when they came lie
// in the session. A version that knows them applies them by [Rebuild].
func HasUnknown(r Reader, space, session string) (bool, error) {
	b, err := r.Get(namedKey(space, session, recUnknown, ""))
	if err != nil {
		return false, fmt.Errorf("read mark of session %s: %w", session, err)
	}
	return b != nil, nil
}

// command is what was written under an idempotency key by one origin in one
// go: count ops from first on.
type command struct {
	request Digest
	first   vclock.Dot
	count   uint64
}

// remember notes the op under its idempotency key.
func (a *applier) remember() error {
	op := a.op
	if op.Key == "" || a.m.erased {
		return nil
	}
	known, err := commandsAt(a.tx, op.Space, op.Session, op.Key)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(known, func(c command) bool { return c.continuedBy(op) }); i >= 0 {
		known[i].count++
	} else {
		known = append(known, command{request: op.Request, first: op.Dot, count: 1})
	}
	var b []byte
	for _, c := range known {
		b = packDot(append(b, c.request[:]...), c.first)
		b = binary.AppendUvarint(b, c.count)
	}
	if err := a.tx.Put(namedKey(op.Space, op.Session, recKey, op.Key), b); err != nil {
		return fmt.Errorf("store idempotency key: %w", err)
	}
	return nil
}

func (c *command) continuedBy(op *Op) bool {
	return c.request == op.Request && c.first.Origin == op.Dot.Origin &&
		op.Dot.Seq == c.first.Seq+vclock.Seq(c.count) && uint64(op.KeyIndex) == c.count
}

// commandsAt lists what was written under a key, in the order of arrival here.
func commandsAt(r Reader, space, session, key string) ([]command, error) {
	at := namedKey(space, session, recKey, key)
	b, err := r.Get(at)
	if err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", err)
	}
	return decodeCommands(at, b)
}

func decodeCommands(key, b []byte) ([]command, error) {
	p := packed{rest: b}
	var known []command
	for len(p.rest) > 0 {
		var c command
		copy(c.request[:], p.take(uint64(len(c.request))))
		c.first, c.count = p.dot(), p.uint()
		known = append(known, c)
	}
	return known, p.end(key)
}
