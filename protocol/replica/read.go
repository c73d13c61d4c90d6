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

// cursor walks one feed.
type cursor struct {
	feed    protocol.Feed
	head    protocol.Head
	next    vclock.Seq
	arrival uint64 // of op next
}

// behind returns a cursor for each feed of which after lacks something.
func behind(r session.Reader, space string, after vclock.Vector) ([]*cursor, error) {
	heads, err := Heads(r, space)
	if err != nil {
		return nil, err
	}
	var cursors []*cursor
	for _, h := range heads {
		c := &cursor{feed: h.Feed, head: h.Head, next: after.At(h.Origin) + 1}
		if c.next > h.Seq {
			continue
		}
		if err := c.peek(r); err != nil {
			return nil, err
		}
		cursors = append(cursors, c)
	}
	return cursors, nil
}

// earliest finds the cursor whose next op arrived first and the arrival of the
// next op of any other cursor.
func earliest(cursors []*cursor) (first int, until uint64) {
	until = math.MaxUint64
	for i, c := range cursors[1:] {
		if c.arrival < cursors[first].arrival {
			until = cursors[first].arrival
			first = i + 1
		} else {
			until = min(until, c.arrival)
		}
	}
	return first, until
}

func (c *cursor) peek(r session.Reader) error {
	rec, err := record(r, c.feed, c.next)
	c.arrival = rec.Arrival
	return err
}

// frame reads a stretch of the feed: ops that arrived before until, within the
// budget, which it reduces. At least one op is read; a damaged record ends the
// stretch before it, and is an error if it is the first.
func (c *cursor) frame(r session.Reader, until uint64, b *Budget) (*protocol.Frame, error) {
	prev, ok, err := ChainAt(r, c.feed, c.next-1)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("frame of %s of %s from %d: %w", c.feed.Origin, c.feed.Space, c.next, ErrGap)
	}
	f := &protocol.Frame{Feed: c.feed, From: c.next, Prev: prev, Last: prev}
	rawBytes := 0
	first := session.OpKey(c.feed.Space, c.feed.Origin, c.next)
	for e, err := range r.Scan(first[:len(first)-8], first, false) {
		if len(f.Entries) > 0 && errors.Is(err, session.ErrCorrupt) {
			break // whoever reads on from there is told
		}
		if err != nil {
			return nil, fmt.Errorf("read ops of %s of %s: %w", c.feed.Origin, c.feed.Space, err)
		}
		if got := vclock.Seq(binary.BigEndian.Uint64(e.Key[len(e.Key)-8:])); got != c.next {
			break // a record is gone; the check below says which
		}
		rec, err := session.ParseRecord(e.Key, e.Value)
		if len(f.Entries) > 0 && errors.Is(err, session.ErrCorrupt) {
			break
		}
		if err != nil {
			return nil, err
		}
		full := len(f.Entries) >= min(b.Ops, protocol.MaxFrameOps) || rawBytes+len(rec.Bytes) > min(b.Bytes, protocol.FrameBytesBudget)
		if len(f.Entries) > 0 && (full || rec.Arrival >= until) {
			break
		}
		f.Entries = append(f.Entries, entryOf(rec))
		f.Last = rec.Chain
		rawBytes += len(rec.Bytes)
		if c.next++; c.next > c.head.Seq {
			break
		}
	}
	if len(f.Entries) == 0 {
		_, err := record(r, c.feed, c.next)
		if err == nil {
			err = damaged(first, fmt.Errorf("op %d is found alone and not in order", c.next))
		}
		return nil, err
	}
	b.Ops -= len(f.Entries)
	b.Bytes -= rawBytes
	return f, nil
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
