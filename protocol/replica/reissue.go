package replica

import (
	"errors"
	"fmt"
	"slices"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// MaxReissue bounds how many ops are made again in one transaction.
const MaxReissue = 2000

// Reissue takes the ops behind number after out of a feed of our own that
// forked, and makes them again as the feed of the present origin, with
// their content, actors and keys; sessions that they touched are rebuilt. The
// feed then ends at after and takes what the core holds in their place. It
// returns the feed's head. Messages that were named by their dot get the name
// of their new dot. More than MaxReissue ops are refused, with nothing changed.
//
// The present origin must be one that has written nothing in the space yet: what
// is made again does not depend on what was written meanwhile, and of one origin
// a session takes no earlier op after a later one.
//
// Nobody else can depend on the ops that are taken out: had they left this
// node, the core would hold them and the feed would not have forked there.
func (r *Replica) Reissue(tx session.Tx, now Now, f protocol.Feed, after vclock.Seq) (protocol.Head, error) {
	if f.Origin == r.origin {
		return protocol.Head{}, fmt.Errorf("reissue %s: the replica still writes under it", f.Origin)
	}
	head, err := HeadOf(tx, f)
	if err != nil || head.Seq <= after {
		return head, err
	}
	if head.Seq-after > MaxReissue {
		return head, fmt.Errorf("reissue %d ops of %s: at most %d", head.Seq-after, f.Origin, MaxReissue)
	}
	ops, err := takeOut(tx, f, after, head.Seq)
	if err != nil {
		return head, err
	}
	cut := protocol.Head{Seq: after}
	if cut.Chain, _, err = ChainAt(tx, f, after); err != nil {
		return head, err
	}
	if err := saveHead(tx, f, cut); err != nil {
		return head, err
	}
	if err := r.again(tx, now, f, after, ops); err != nil {
		return head, err
	}
	return cut, r.saveBound(tx)
}

// takeOut deletes the op records in (after, to] and returns their ops. The op
// at after must stay readable: its record has the chain to go on from.
func takeOut(tx session.Tx, f protocol.Feed, after, to vclock.Seq) ([]session.Op, error) {
	var ops []session.Op
	for seq := after + 1; seq <= to; seq++ {
		op, _, err := opAt(tx, f, seq)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	for _, op := range ops {
		if err := tx.Delete(session.OpKey(f.Space, f.Origin, op.Dot.Seq)); err != nil {
			return nil, err
		}
	}
	return ops, nil
}

// opAt reads the op of a record that must exist.
func opAt(r session.Reader, f protocol.Feed, seq vclock.Seq) (session.Op, session.Record, error) {
	rec, err := record(r, f, seq)
	if err != nil {
		return session.Op{}, rec, err
	}
	op, err := session.DecodeOp(rec.Bytes)
	if err != nil {
		return op, rec, damaged(session.OpKey(f.Space, f.Origin, seq), err)
	}
	return op, rec, nil
}

// again stores the ops under new dots, unapplied, and rebuilds the sessions.
func (r *Replica) again(tx session.Tx, now Now, f protocol.Feed, after vclock.Seq, ops []session.Op) error {
	a, err := newAppender(tx, protocol.Feed{Space: f.Space, Origin: r.origin})
	if err != nil {
		return err
	}
	if a.head.Seq > 0 {
		return fmt.Errorf("reissue %s: %s has written in %s already", f.Origin, r.origin, f.Space)
	}
	m := mapping{from: f.Origin, after: after, to: r.origin, seqs: make(map[vclock.Seq]vclock.Seq)}
	touched := make(map[string]bool)
	for _, op := range ops {
		touched[op.Session] = true
		moved := m.move(op, a.head.Seq+1)
		b, err := moved.Append(nil)
		if err != nil {
			return fmt.Errorf("encode op %v again as %v: %w", op.Dot, moved.Dot, err)
		}
		_, hollow := op.Body.(session.Erased)
		if err := a.store(protocol.Entry{Bytes: b, Hash: protocol.HashOp(b), Hollow: hollow}, 0); err != nil {
			return err
		}
	}
	if err := a.save(); err != nil {
		return err
	}
	return rebuildAll(tx, f.Space, touched)
}

// mapping carries references from a forked feed over to its new place.
type mapping struct {
	from, to vclock.Origin
	after    vclock.Seq
	seqs     map[vclock.Seq]vclock.Seq // new number by old number
	base     map[string]vclock.Seq     // by session: the last op before the fork
}

func (m *mapping) move(op session.Op, seq vclock.Seq) session.Op {
	if m.base == nil {
		m.base = make(map[string]vclock.Seq)
	}
	seen := op.Deps.At(m.from)
	if _, ok := m.base[op.Session]; !ok {
		m.base[op.Session] = min(seen, m.after)
	}
	deps := op.Deps
	if seen > m.after {
		deps = deps.Without(m.from).With(vclock.Dot{Origin: m.from, Seq: m.base[op.Session]})
		deps = deps.With(vclock.Dot{Origin: m.to, Seq: m.seqs[seen]})
	}
	m.seqs[op.Dot.Seq] = seq
	op.Dot = vclock.Dot{Origin: m.to, Seq: seq}
	op.Deps = deps
	switch b := op.Body.(type) {
	case session.Put:
		b.Parent = m.id(b.Parent)
		op.Body = b
	case session.Edit:
		b.Message = m.id(b.Message)
		op.Body = b
	case session.Redact:
		b.Message = m.id(b.Message)
		op.Body = b
	}
	return op
}

// id maps a message id that is the dot of an op that moved.
func (m *mapping) id(id string) string {
	d, err := vclock.ParseDot(id)
	if err != nil || d.Origin != m.from || m.seqs[d.Seq] == 0 {
		return id
	}
	return vclock.Dot{Origin: m.to, Seq: m.seqs[d.Seq]}.String()
}

// rebuildAll rebuilds the named sessions from all op records of the space.
func rebuildAll(tx session.Tx, space string, touched map[string]bool) error {
	heads, err := Heads(tx, space)
	if err != nil {
		return err
	}
	dots := make(map[string][]vclock.Dot, len(touched))
	for _, h := range heads {
		for seq := vclock.Seq(1); seq <= h.Seq; seq++ {
			op, _, err := opAt(tx, h.Feed, seq)
			if err != nil {
				return err
			}
			if touched[op.Session] {
				dots[op.Session] = append(dots[op.Session], op.Dot)
			}
		}
	}
	ids := make([]string, 0, len(touched))
	for id := range touched {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		of := func(yield func(vclock.Dot, error) bool) {
			for _, d := range dots[id] {
				if !yield(d, nil) {
					return
				}
			}
		}
		if err := session.RebuildFrom(tx, space, id, of); err != nil {
			return fmt.Errorf("rebuild session %s: %w", id, err)
		}
		if err := rewait(tx, space, id, dots[id]); err != nil {
			return fmt.Errorf("rebuild session %s: %w", id, err)
		}
	}
	return nil
}

// Waits reports whether any op of a feed waits for its dependencies.
func Waits(r session.Reader, f protocol.Feed) (bool, error) {
	head, err := HeadOf(r, f)
	for seq := vclock.Seq(1); err == nil && seq <= head.Seq; seq++ {
		var rec session.Record
		if rec, err = record(r, f, seq); err == nil && rec.Slot == 0 {
			return true, nil
		}
	}
	return false, err
}

// rewait notes anew which ops of a session that was rebuilt wait.
func rewait(tx session.Tx, space, id string, dots []vclock.Dot) error {
	var before [][]byte
	for e, err := range tx.Scan(session.WaitPrefix(space, id), nil, false) {
		if err != nil {
			return err
		}
		before = append(before, e.Key)
	}
	for _, key := range before {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	s, err := loadSpace(tx, space)
	if err != nil {
		return err
	}
	s.waiting -= uint64(len(before))
	for _, dot := range dots {
		rec, err := record(tx, protocol.Feed{Space: space, Origin: dot.Origin}, dot.Seq)
		if err != nil {
			return err
		}
		if rec.Slot != 0 {
			continue
		}
		s.waiting++
		if err := tx.Put(session.WaitKey(space, id, dot), nil); err != nil {
			return err
		}
	}
	return s.save(tx, space)
}

// Rebuild makes a session's records anew from all op records of the space: for
// damage that [session.Rebuild] cannot get over, because the session's log does
// not tell its ops any more.
func Rebuild(tx session.Tx, space, id string) error {
	if err := rebuildAll(tx, space, map[string]bool{id: true}); err != nil {
		return err
	}
	if _, err := session.View(tx, space, id); errors.Is(err, session.ErrSessionErased) {
		return tx.Put(goneKey(space, id), nil)
	}
	return nil
}
