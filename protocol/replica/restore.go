package replica

import (
	"errors"
	"fmt"
	"math"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Restore puts back damaged op records from a frame of another replica. The
// frame's chain must fit the records around it, so that nothing but the
// original content is accepted; otherwise it returns a *[ForkError]. The
// arrival number of a restored record is that of its nearest sound
// predecessor: order within the feed is kept, order among feeds nearly so. Where
// the session's log is damaged too, the record has no slot until the session is
// rebuilt ([Rebuild]).
func Restore(tx session.Tx, f *protocol.Frame) error {
	head, err := HeadOf(tx, f.Feed)
	if err != nil {
		return err
	}
	if f.To() > head.Seq {
		return &GapError{Feed: f.Feed, Want: head.Seq, Got: f.To()}
	}
	if err := fits(tx, f, head); err != nil {
		return err
	}
	chain := f.Prev
	for i, e := range f.Entries {
		chain = chain.Next(e.Hash)
		dot := vclock.Dot{Origin: f.Origin, Seq: f.From + vclock.Seq(i)}
		if err := restore(tx, f.Feed, dot, chain, e); err != nil {
			return fmt.Errorf("restore op %v of %s: %w", dot, f.Space, err)
		}
	}
	return nil
}

// fits checks the frame's chain against the sound records on both sides: the
// one before it and, when it does not end at the head, the one after it.
func fits(tx session.Tx, f *protocol.Frame, head protocol.Head) error {
	fork := &ForkError{Feed: f.Feed, At: f.To()}
	if f.To() == head.Seq {
		if f.Last != head.Chain {
			return fork
		}
		return nil
	}
	next, err := record(tx, f.Feed, f.To()+1)
	if err != nil {
		return err
	}
	if f.Last.Next(entryOf(next).Hash) != next.Chain {
		return fork
	}
	return nil
}

func restore(tx session.Tx, f protocol.Feed, dot vclock.Dot, chain protocol.Chain, e protocol.Entry) error {
	op, err := session.DecodeOp(e.Bytes)
	if err != nil {
		return err
	}
	rec := session.Record{Chain: chain, Hollow: e.Hollow, Bytes: e.Bytes}
	if e.Hollow {
		rec.Hash = e.Hash
	}
	rec.Slot, err = session.SlotOf(tx, f.Space, op.Session, dot)
	if err != nil && !errors.Is(err, session.ErrCorrupt) {
		return err
	}
	if rec.Arrival, err = nearestArrival(tx, f, dot.Seq); err != nil {
		return err
	}
	return session.PutRecord(tx, f.Space, dot, rec)
}

func nearestArrival(tx session.Tx, f protocol.Feed, seq vclock.Seq) (uint64, error) {
	for s := seq - 1; s > 0 && s+math.MaxUint8 > seq; s-- {
		rec, err := record(tx, f, s)
		if err == nil {
			return rec.Arrival, nil
		}
		if !errors.Is(err, session.ErrCorrupt) {
			return 0, err
		}
	}
	return 0, nil
}
