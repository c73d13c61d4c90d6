package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// checkBooks is an oracle: in the end the records of a store fit together. A feed
// has the ops up to its head and none behind it; an op is either in its session,
// at a place of its own, or noted as one that waits, and as many wait as are
// counted (I20). What cannot be read is not judged. An op that was put back has no
// place in an erased session, and none where the session's log is damaged.
func (n *node) checkBooks(space string) {
	const promise = "the records of a store fit together (I20)"
	b, err := n.readBooks(space)
	if err != nil {
		n.w.facts["books_unreadable"]++
		return
	}
	for _, wrong := range b.audit() {
		n.w.problem(promise, n.lane, "%s: %s", space, wrong)
	}
}

// books are the records of a space that say something of each other.
type books struct {
	heads   map[vclock.Origin]vclock.Seq
	ops     []filed
	waiting map[vclock.Dot]bool // noted
	counted uint64
}

// filed is where an op is.
type filed struct {
	dot     vclock.Dot
	session string
	slot    uint64
	put     bool // back, where nothing tells its place
}

func (n *node) readBooks(space string) (*books, error) {
	b := &books{heads: map[vclock.Origin]vclock.Seq{}, waiting: map[vclock.Dot]bool{}}
	err := n.disk.mem.View(func(r session.Reader) error {
		heads, err := replica.Heads(r, space)
		if err != nil {
			return err
		}
		for _, h := range heads {
			b.heads[h.Origin] = h.Seq
		}
		totals, err := replica.Count(r, space)
		if err != nil {
			return err
		}
		b.counted = totals.Waiting
		if err := b.readOps(r, space); err != nil {
			return err
		}
		return b.readNotes(r, space)
	})
	return b, err
}

func (b *books) readOps(r session.Reader, space string) error {
	for e, err := range r.Scan(session.OpsPrefix(space), nil, false) {
		if err != nil {
			return err
		}
		dot, err := session.ParseOpKey(space, e.Key)
		if err != nil {
			return err
		}
		rec, err := session.ParseRecord(e.Key, e.Value)
		if err != nil {
			return err
		}
		op, err := session.DecodeOp(rec.Bytes)
		if err != nil {
			return err
		}
		put := false
		if rec.Slot == 0 {
			_, gone := session.View(r, space, op.Session)
			_, err := session.SlotOf(r, space, op.Session, dot)
			put = errors.Is(gone, session.ErrSessionErased) || errors.Is(err, session.ErrCorrupt)
		}
		b.ops = append(b.ops, filed{dot, op.Session, rec.Slot, put})
	}
	return nil
}

func (b *books) readNotes(r session.Reader, space string) error {
	prefix := append([]byte("w/"+space), 0)
	for e, err := range r.Scan(prefix, nil, false) {
		if err != nil {
			return err
		}
		_, rest, ok := bytes.Cut(e.Key[len(prefix):], []byte{0}) // behind the session
		i := bytes.IndexByte(rest, 0)
		if !ok || i < 0 || len(rest) != i+9 {
			return fmt.Errorf("note at %q: %w", e.Key, session.ErrCorrupt)
		}
		b.waiting[vclock.Dot{Origin: vclock.Origin(rest[:i]), Seq: vclock.Seq(binary.BigEndian.Uint64(rest[i+1:]))}] = true
	}
	return nil
}

// audit tells what does not fit.
func (b *books) audit() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	type place struct {
		session string
		slot    uint64
	}
	there := map[place]vclock.Dot{}
	last := map[vclock.Origin]vclock.Seq{}
	for _, op := range b.ops {
		if op.dot.Seq != last[op.dot.Origin]+1 {
			say("%v follows %d", op.dot, last[op.dot.Origin])
		}
		last[op.dot.Origin] = op.dot.Seq
		if op.dot.Seq > b.heads[op.dot.Origin] {
			say("%v stands behind the end of its feed, %d", op.dot, b.heads[op.dot.Origin])
		}
		other, taken := there[place{op.session, op.slot}]
		switch noted := b.waiting[op.dot]; {
		case op.slot == 0 && !noted && op.put:
			continue
		case op.slot == 0 && !noted:
			say("%v is neither in session %s nor noted as one that waits", op.dot, op.session)
		case op.slot > 0 && noted:
			say("%v is in session %s and noted as one that waits", op.dot, op.session)
		case op.slot > 0 && taken:
			say("%v and %v have one place, %d, in session %s", other, op.dot, op.slot, op.session)
		}
		if op.slot > 0 {
			there[place{op.session, op.slot}] = op.dot
		}
		delete(b.waiting, op.dot)
		if op.slot == 0 {
			b.counted--
		}
	}
	if len(b.waiting) > 0 || b.counted != 0 {
		say("%d notes are of no op, and %d more ops are counted as waiting than wait", len(b.waiting), int64(b.counted))
	}
	return wrong
}
