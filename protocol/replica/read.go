package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Budget bounds what one read gives back. The first op is given even if it is
// larger than Bytes.
type Budget struct {
	Ops   int
	Bytes int
}

// FrameAt returns the ops of a feed from a number on, as many as the budget
// and the limits of a frame allow; a nil frame if there is none yet.
func FrameAt(r session.Reader, f protocol.Feed, from vclock.Seq, b Budget) (*protocol.Frame, error) {
	c := cursor{feed: f, next: from}
	var err error
	if c.head, err = HeadOf(r, f); err != nil || from > c.head.Seq {
		return nil, err
	}
	if from == 0 {
		return nil, fmt.Errorf("frame of %s of %s from 0: %w", f.Origin, f.Space, ErrGap)
	}
	if err := c.peek(r); err != nil {
		return nil, err
	}
	return c.frame(r, math.MaxUint64, &b)
}

// Missing returns what a replica that holds after lacks of a space, in the
// order in which it arrived here, so that dependencies come before what
// depends on them. Each frame is a stretch of one feed. reached is after plus
// what was returned; more tells that the budget ended it.
func Missing(r session.Reader, space string, after vclock.Vector, b Budget) (
	frames []*protocol.Frame, reached vclock.Vector, more bool, err error,
) {
	cursors, err := behind(r, space, after)
	if err != nil {
		return nil, after, false, err
	}
	reached = after
	for len(cursors) > 0 && b.Ops > 0 && b.Bytes > 0 {
		first, until := earliest(cursors)
		c := cursors[first]
		frame, err := c.frame(r, until, &b)
		if err != nil {
			return frames, reached, true, err
		}
		frames = append(frames, frame)
		reached = reached.With(vclock.Dot{Origin: c.feed.Origin, Seq: frame.To()})
		if c.next > c.head.Seq {
			cursors = append(cursors[:first], cursors[first+1:]...)
			continue
		}
		if err := c.peek(r); err != nil {
			return frames, reached, true, err
		}
	}
	return frames, reached, len(cursors) > 0, nil
}

// cursor walks one feed. It has the record of its next op.
type cursor struct {
	feed protocol.Feed
	head protocol.Head
	next vclock.Seq
	rec  session.Record // of op next
}

// behind returns a cursor for each feed of which after lacks something.
func behind(r session.Reader, space string, after vclock.Vector) ([]*cursor, error) {
	var cursors []*cursor
	err := eachHead(r, space, func(origin []byte, h protocol.Head) {
		if next := after.At(vclock.Origin(origin)) + 1; next <= h.Seq {
			cursors = append(cursors, &cursor{feed: protocol.Feed{Space: space, Origin: vclock.Origin(origin)}, head: h, next: next})
		}
	})
	for _, c := range cursors {
		if err == nil {
			err = c.peek(r)
		}
	}
	if err != nil {
		return nil, err
	}
	return cursors, nil
}

// earliest finds the cursor whose next op arrived first and the arrival of the
// next op of any other cursor.
func earliest(cursors []*cursor) (first int, until uint64) {
	until = math.MaxUint64
	for i, c := range cursors[1:] {
		if c.rec.Arrival < cursors[first].rec.Arrival {
			until = cursors[first].rec.Arrival
			first = i + 1
		} else {
			until = min(until, c.rec.Arrival)
		}
	}
	return first, until
}

func (c *cursor) peek(r session.Reader) (err error) {
	c.rec, err = record(r, c.feed, c.next)
	return err
}

// frame reads a stretch of the feed: the op that the cursor has, and those
// behind it that arrived before until, within the budget, which it reduces. A
// damaged record ends the stretch before it: whoever reads on there is told.
func (c *cursor) frame(r session.Reader, until uint64, b *Budget) (*protocol.Frame, error) {
	f := &protocol.Frame{Feed: c.feed, From: c.next}
	if c.next > 1 {
		before, err := record(r, c.feed, c.next-1)
		if err != nil {
			return nil, err
		}
		f.Prev = before.Chain
	}
	left := Budget{Ops: min(b.Ops, protocol.MaxFrameOps), Bytes: min(b.Bytes, protocol.FrameBytesBudget)}
	c.take(f, c.rec, &left)
	if err := c.extend(r, f, until, &left); err != nil {
		return nil, err
	}
	b.Ops -= len(f.Entries)
	for i := range f.Entries {
		b.Bytes -= len(f.Entries[i].Bytes)
	}
	return f, nil
}

// extend adds to a frame what follows in the feed.
func (c *cursor) extend(r session.Reader, f *protocol.Frame, until uint64, left *Budget) error {
	if c.next > c.head.Seq || left.Ops <= 0 || left.Bytes <= 0 {
		return nil
	}
	from := session.OpKey(c.feed.Space, c.feed.Origin, c.next)
	for e, err := range r.Scan(from[:len(from)-8], from, false) {
		var rec session.Record
		if err == nil && vclock.Seq(binary.BigEndian.Uint64(e.Key[len(e.Key)-8:])) != c.next {
			return nil // a record is gone
		}
		if err == nil {
			rec, err = session.ParseRecord(e.Key, e.Value)
		}
		switch {
		case errors.Is(err, session.ErrCorrupt):
			return nil
		case err != nil:
			return fmt.Errorf("read ops of %s of %s: %w", c.feed.Origin, c.feed.Space, err)
		case left.Ops <= 0 || len(rec.Bytes) > left.Bytes || rec.Arrival >= until:
			return nil
		}
		if c.take(f, rec, left); c.next > c.head.Seq {
			return nil
		}
	}
	return nil
}

func (c *cursor) take(f *protocol.Frame, rec session.Record, left *Budget) {
	f.Entries = append(f.Entries, entryOf(rec))
	f.Last = rec.Chain
	left.Ops--
	left.Bytes -= len(rec.Bytes)
	c.next++
}

func entryOf(rec session.Record) protocol.Entry {
	if rec.Hollow {
		return protocol.Entry{Bytes: rec.Bytes, Hash: rec.Hash, Hollow: true}
	}
	return protocol.Entry{Bytes: rec.Bytes, Hash: protocol.HashOp(rec.Bytes)}
}

func releasedKey(f protocol.Feed) []byte {
	k := append([]byte("u/"), f.Space...)
	return append(append(k, 0), f.Origin...)
}

// ReleasedOf returns how far a feed is known to be held by enough core stores.
func ReleasedOf(r session.Reader, f protocol.Feed) (vclock.Seq, error) {
	key := releasedKey(f)
	b, err := r.Get(key)
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, damaged(key, fmt.Errorf("outbox cursor of %d bytes", len(b)))
	}
	return vclock.Seq(binary.BigEndian.Uint64(b)), nil
}

// KeepReleased keeps what [ReleasedOf] returns.
func KeepReleased(tx session.Tx, f protocol.Feed, seq vclock.Seq) error {
	return tx.Put(releasedKey(f), binary.BigEndian.AppendUint64(nil, uint64(seq)))
}
