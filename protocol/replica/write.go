package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Replica writes for one origin. One goroutine owns it.
type Replica struct {
	origin vclock.Origin
	clock  clocksync.Clock
	texts  session.Texts
}

// Now is the node's present wall time in milliseconds and how far it is to be
// trusted.
type Now struct {
	Wall  uint64
	Trust clocksync.Trust
}

var clockKey = []byte("n/clock")

// Open returns a replica that writes as origin, with a clock that continues
// behind every stamp of earlier runs on this store. If the record of the clock
// is damaged, the node's own ops tell how far it went.
func Open(r session.Reader, origin vclock.Origin) (*Replica, error) {
	bound, err := loadBound(r)
	if errors.Is(err, session.ErrCorrupt) {
		bound, err = boundOfOps(r, protocol.NodeOf(origin))
	}
	if err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	return &Replica{origin: origin, clock: clocksync.Restore(bound)}, nil
}

// Origin is the origin under which Write makes ops.
func (r *Replica) Origin() vclock.Origin { return r.origin }

// Renew makes the replica write under another origin from now on.
func (r *Replica) Renew(origin vclock.Origin) { r.origin = origin }

// Ahead is how far the stamps run ahead of now.
func (r *Replica) Ahead(now Now) time.Duration { return r.clock.Ahead(now.Wall) }

// Reanchor makes the stamps begin anew at the node's time, because that was
// wrong and is right again. The caller takes a new origin in the same
// transaction: stamps of one origin never go back.
func (r *Replica) Reanchor(tx session.Tx) error {
	r.clock = clocksync.Clock{}
	return r.KeepBound(tx)
}

// Write turns a command into ops of the replica's own feed and applies them.
// It returns what [session.Author] refused, with nothing written.
func (r *Replica) Write(tx session.Tx, now Now, cmd session.Command) (session.Written, error) {
	a, err := newAppender(tx, protocol.Feed{Space: cmd.Space, Origin: r.origin})
	if err != nil {
		return session.Written{}, err
	}
	written, err := session.Author(tx, session.Env{
		Next: func() vclock.Dot { return vclock.Dot{Origin: r.origin, Seq: a.head.Seq + 1} },
		Stamp: func(after clocksync.Stamp) (clocksync.Stamp, error) {
			return r.clock.After(after, now.Wall, now.Trust)
		},
		Emit:  a.append,
		Texts: &r.texts,
	}, cmd)
	if err != nil || written.Replayed {
		return written, err
	}
	if err := a.save(); err != nil {
		return written, err
	}
	return written, r.saveBound(tx)
}

func (r *Replica) saveBound(tx session.Tx) error {
	bound, err := loadBound(tx)
	if errors.Is(err, session.ErrCorrupt) {
		return r.KeepBound(tx)
	}
	if err != nil || bound >= r.clock.Bound() {
		return err
	}
	return r.KeepBound(tx)
}

// KeepBound writes how far the clock may have gone.
func (r *Replica) KeepBound(tx session.Tx) error {
	return tx.Put(clockKey, binary.BigEndian.AppendUint64(nil, r.clock.Bound()))
}

// boundOfOps is behind the stamps of all ops that a node wrote, as far as they
// can be read: they rise in each feed.
func boundOfOps(r session.Reader, node string) (uint64, error) {
	spaces, err := Spaces(r)
	if err != nil {
		return 0, err
	}
	var bound uint64
	for _, space := range spaces {
		heads, err := Heads(r, space)
		if err != nil {
			return 0, err
		}
		for _, h := range heads {
			if protocol.NodeOf(h.Origin) != node {
				continue
			}
			last, err := lastStamp(r, h)
			if err != nil {
				return 0, err
			}
			bound = max(bound, last.Wall+1)
		}
	}
	return bound, nil
}

// lastStamp is the stamp of the last op of a feed that can be read.
func lastStamp(r session.Reader, h FeedHead) (clocksync.Stamp, error) {
	for seq := h.Seq; seq > 0; seq-- {
		rec, err := record(r, h.Feed, seq)
		if err == nil {
			var op session.Op
			if op, err = session.DecodeOp(rec.Bytes); err == nil {
				return op.Stamp, nil
			}
			continue
		}
		if !errors.Is(err, session.ErrCorrupt) {
			return clocksync.Stamp{}, err
		}
	}
	return clocksync.Stamp{}, nil
}

func loadBound(r session.Reader) (uint64, error) {
	b, err := r.Get(clockKey)
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, damaged(clockKey, fmt.Errorf("clock bound of %d bytes", len(b)))
	}
	return binary.BigEndian.Uint64(b), nil
}

// appender adds ops to the end of one feed and applies them when they are
// ready. Its head and counters are written once, by save.
type appender struct {
	tx    session.Tx
	feed  protocol.Feed
	head  protocol.Head
	space spaceState
}

func newAppender(tx session.Tx, f protocol.Feed) (*appender, error) {
	a := &appender{tx: tx, feed: f}
	var err error
	if a.space, err = loadSpace(tx, f.Space); err != nil {
		return nil, err
	}
	a.head, err = HeadOf(tx, f)
	return a, err
}

func (a *appender) save() error {
	if err := a.space.save(a.tx, a.feed.Space); err != nil {
		return err
	}
	return saveHead(a.tx, a.feed, a.head)
}

// append encodes an op of our own and adds it; its dependencies are held.
func (a *appender) append(op session.Op) error {
	b, err := op.Append(nil)
	if err != nil {
		return fmt.Errorf("encode op %v: %w", op.Dot, err)
	}
	if len(b) > session.MaxOpBytes {
		return &session.LimitError{Err: session.ErrTooBig, What: "op", Got: len(b), Max: session.MaxOpBytes}
	}
	slot, err := a.apply(op)
	if err != nil {
		return err
	}
	return a.store(protocol.Entry{Bytes: b, Hash: protocol.HashOp(b)}, slot)
}

// store writes the next op record of the feed; slot 0 means not applied yet.
func (a *appender) store(e protocol.Entry, slot uint64) error {
	a.head.Seq++
	a.head.Chain = a.head.Chain.Next(e.Hash)
	a.space.arrivals++
	dot := vclock.Dot{Origin: a.feed.Origin, Seq: a.head.Seq}
	rec := session.Record{Arrival: a.space.arrivals, Slot: slot, Chain: a.head.Chain, Hollow: e.Hollow, Bytes: e.Bytes}
	if e.Hollow {
		rec.Hash = e.Hash
	}
	return session.PutRecord(a.tx, a.feed.Space, dot, rec)
}

func (a *appender) apply(op session.Op) (uint64, error) {
	applied, err := session.Apply(a.tx, op)
	if err != nil {
		return 0, fmt.Errorf("apply op %v: %w", op.Dot, err)
	}
	if applied.Opened {
		a.space.sessions++
	}
	if applied.Gone {
		if err := a.tx.Put(goneKey(a.feed.Space, op.Session), nil); err != nil {
			return 0, err
		}
	}
	return applied.Slot, nil
}
