package replica

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// MaxReissue bounds how many ops are made again in one transaction.
const MaxReissue = 2000

// Reissue takes the ops behind number after out of a feed of our own that
// forked, and makes them again as the feed of the present origin, with their
// content, actors and keys; sessions that they touched are rebuilt. The feed then
// ends at after and takes what the core holds in their place. Messages that were
// named by their dot get the name of their new dot.
//
// What was written since under other origins of this node, is known to be nowhere
// else, and depends on what is taken out, is taken out and made again with it: its
// dependencies would come with other content, or never. Known gives how far other
// nodes, or the stream, may hold a feed. Reissue returns the
// heads of all feeds that were cut, f first; none if there was nothing to do.
// More than MaxReissue ops are refused, with nothing changed.
//
// The present origin must be one that has written nothing in the space yet: of
// one origin a session takes no earlier op after a later one.
//
// Nobody else can depend on the ops that are taken out: had they left this node,
// the core would hold them and the feed would not have forked there, and what
// depends on them goes up only when a core store has them.
func (r *Replica) Reissue(tx session.Tx, now Now, f protocol.Feed, after vclock.Seq, known func(protocol.Feed) vclock.Seq) (
	[]protocol.FeedHead, error,
) {
	if f.Origin == r.origin {
		return nil, fmt.Errorf("reissue %s: the replica still writes under it", f.Origin)
	}
	c := cutting{r: r, tx: tx, space: f.Space, known: known, ops: make(map[vclock.Origin][]session.Op)}
	if err := c.cut(f.Origin, after); err != nil || len(c.ops[f.Origin]) == 0 {
		return nil, err
	}
	if err := c.cutDependents(); err != nil {
		return nil, err
	}
	heads, err := c.takeOut()
	if err != nil {
		return nil, err
	}
	if err := r.again(tx, now, &c); err != nil {
		return nil, err
	}
	return heads, r.saveBound(tx)
}

// cutting is which ops of feeds of our own are taken out of a space.
//
// Invariant: ops[o] are the last ops of o's feed, without a gap.
type cutting struct {
	r       *Replica
	tx      session.Tx
	space   string
	known   func(protocol.Feed) vclock.Seq
	origins []vclock.Origin // in the order in which they were cut
	ops     map[vclock.Origin][]session.Op
	count   int
}

// cut has the ops of a feed behind a number taken out.
func (c *cutting) cut(o vclock.Origin, after vclock.Seq) error {
	f := protocol.Feed{Space: c.space, Origin: o}
	head, err := HeadOf(c.tx, f)
	if err != nil || head.Seq <= after {
		return err
	}
	c.count += int(head.Seq-after) - len(c.ops[o])
	if c.count > MaxReissue {
		return fmt.Errorf("reissue %d ops of %s and what depends on them: at most %d", c.count, o, MaxReissue)
	}
	list := make([]session.Op, 0, head.Seq-after)
	for seq := after + 1; seq <= head.Seq; seq++ {
		op, _, err := opAt(c.tx, f, seq)
		if err != nil {
			return err
		}
		list = append(list, op)
	}
	if len(c.ops[o]) == 0 {
		c.origins = append(c.origins, o)
	}
	c.ops[o] = list
	return nil
}

// takes reports whether an op is taken out.
func (c *cutting) takes(d vclock.Dot) bool {
	list := c.ops[d.Origin]
	return len(list) > 0 && d.Seq >= list[0].Dot.Seq
}

// cutDependents cuts the other feeds of our own in the space where they begin to
// depend on what is taken out, until nothing does.
func (c *cutting) cutDependents() error {
	heads, err := Heads(c.tx, c.space)
	if err != nil {
		return err
	}
	for found := true; found; {
		found = false
		for _, h := range heads {
			if protocol.NodeOf(h.Origin) != protocol.NodeOf(c.r.origin) || h.Origin == c.r.origin {
				continue
			}
			at, err := c.firstDependent(h)
			if err != nil {
				return err
			}
			if at == 0 {
				continue
			}
			if err := c.cut(h.Origin, at-1); err != nil {
				return err
			}
			found = true
		}
	}
	return nil
}

// firstDependent gives the number of the first op of a feed that is nowhere else
// and depends on what is taken out, of those that are not taken out; 0 for none.
func (c *cutting) firstDependent(h FeedHead) (vclock.Seq, error) {
	released, err := ReleasedOf(c.tx, h.Feed)
	if err != nil {
		return 0, err
	}
	for seq := max(released, c.known(h.Feed)) + 1; seq <= h.Seq; seq++ {
		if c.takes(vclock.Dot{Origin: h.Origin, Seq: seq}) {
			return 0, nil
		}
		op, _, err := opAt(c.tx, h.Feed, seq)
		if err != nil {
			return 0, err
		}
		for _, o := range c.origins {
			if c.takes(vclock.Dot{Origin: o, Seq: op.Deps.At(o)}) {
				return seq, nil
			}
		}
	}
	return 0, nil
}

// takeOut deletes the records of the ops and cuts the feeds. The op before the
// first that is taken out must stay readable: its record has the chain to go on
// from.
func (c *cutting) takeOut() ([]protocol.FeedHead, error) {
	var heads []protocol.FeedHead
	for _, o := range c.origins {
		f := protocol.Feed{Space: c.space, Origin: o}
		for _, op := range c.ops[o] {
			if err := c.tx.Delete(session.OpKey(c.space, o, op.Dot.Seq)); err != nil {
				return nil, err
			}
		}
		cut := protocol.Head{Seq: c.ops[o][0].Dot.Seq - 1}
		var err error
		if cut.Chain, _, err = ChainAt(c.tx, f, cut.Seq); err != nil {
			return nil, err
		}
		if err := saveHead(c.tx, f, cut); err != nil {
			return nil, err
		}
		heads = append(heads, protocol.FeedHead{Feed: f, Head: cut})
	}
	return heads, nil
}

// inOrder gives the ops that are taken out, each behind what it depends on.
func (c *cutting) inOrder() ([]session.Op, error) {
	var list []session.Op
	left := make(map[vclock.Origin][]session.Op, len(c.ops))
	maps.Copy(left, c.ops)
	for len(list) < c.count {
		before := len(list)
		for _, o := range c.origins {
			for len(left[o]) > 0 && !c.dependsOn(&left[o][0], left) {
				list, left[o] = append(list, left[o][0]), left[o][1:]
			}
		}
		if len(list) == before {
			return nil, fmt.Errorf("reissue %s: ops of %s depend on each other in a circle", c.origins[0], c.space)
		}
	}
	return list, nil
}

// dependsOn reports whether an op depends on any that are left, but for itself.
func (c *cutting) dependsOn(op *session.Op, left map[vclock.Origin][]session.Op) bool {
	return slices.ContainsFunc(c.origins, func(o vclock.Origin) bool {
		return o != op.Dot.Origin && len(left[o]) > 0 && op.Deps.At(o) >= left[o][0].Dot.Seq
	})
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
func (r *Replica) again(tx session.Tx, now Now, c *cutting) error {
	a, err := newAppender(tx, protocol.Feed{Space: c.space, Origin: r.origin})
	if err != nil {
		return err
	}
	if a.head.Seq > 0 {
		return fmt.Errorf("reissue %s: %s has written in %s already", c.origins[0], r.origin, c.space)
	}
	m := mapping{cutting: c, to: r.origin, seqs: make(map[vclock.Dot]vclock.Seq), base: make(map[origins]vclock.Seq)}
	ops, err := c.inOrder()
	if err != nil {
		return err
	}
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
	return rebuildAll(tx, c.space, touched)
}

// mapping carries references from feeds that were cut over to their new place.
type mapping struct {
	*cutting
	to   vclock.Origin
	seqs map[vclock.Dot]vclock.Seq // new number by old dot
	base map[origins]vclock.Seq    // the last op before the cut that a session depends on
}

// origins names what a session depends on in a feed.
type origins struct {
	session string
	feed    vclock.Origin
}

func (m *mapping) move(op session.Op, seq vclock.Seq) session.Op {
	deps := op.Deps
	for _, o := range m.origins {
		seen, after := op.Deps.At(o), m.ops[o][0].Dot.Seq-1
		at := origins{op.Session, o}
		if _, ok := m.base[at]; !ok {
			m.base[at] = min(seen, after)
		}
		if seen > after {
			deps = deps.Without(o).With(vclock.Dot{Origin: o, Seq: m.base[at]})
			deps = deps.With(vclock.Dot{Origin: m.to, Seq: m.seqs[vclock.Dot{Origin: o, Seq: seen}]})
		}
	}
	m.seqs[op.Dot] = seq
	op.Dot = vclock.Dot{Origin: m.to, Seq: seq}
	op.Deps = deps
	switch b := op.Body.(type) {
	case session.Put:
		b.Parent, b.CallOf = m.id(b.Parent), m.id(b.CallOf)
		op.Body = b
	case session.Claim:
		if message, index, ok := session.ParseCallName(b.Key); ok {
			b.Key = session.CallName(m.id(message), index)
		}
		b.Over = m.dot(b.Over)
		op.Body = b
	case session.Complete:
		b.Claim = m.dot(b.Claim)
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
	if err != nil || m.dot(d) == d {
		return id
	}
	return m.dot(d).String()
}

// dot maps the dot of an op that moved.
func (m *mapping) dot(d vclock.Dot) vclock.Dot {
	if m.seqs[d] == 0 {
		return d
	}
	return vclock.Dot{Origin: m.to, Seq: m.seqs[d]}
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
