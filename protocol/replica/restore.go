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
//
// Where the neighbour behind is damaged too, or the head behind the last record,
// nothing of ours proves the content: it is taken if it follows on the record before.
func Restore(tx session.Tx, f *protocol.Frame) error {
	head, err := HeadOf(tx, f.Feed)
	if errors.Is(err, session.ErrCorrupt) {
		head.Seq, err = lastOf(tx, f.Feed)
	}
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

// fits checks the frame's chain against the feed's head when it ends there, else
// against the sound record after it. Where that is damaged too, or the head is
// not known, the record before the frame must be sound and lead to it.
func fits(tx session.Tx, f *protocol.Frame, head protocol.Head) error {
	fork := &ForkError{Feed: f.Feed, At: f.To()}
	before, lower := chainBefore(tx, f)
	if lower != nil && !errors.Is(lower, session.ErrCorrupt) {
		return lower
	}
	if lower == nil && before != f.Prev {
		return fork
	}
	if f.To() == head.Seq {
		switch {
		case head.Chain == protocol.Chain{}:
			return lower
		case f.Last != head.Chain:
			return fork
		}
		return nil
	}
	next, err := record(tx, f.Feed, f.To()+1)
	switch {
	case errors.Is(err, session.ErrCorrupt):
		return lower
	case err != nil:
		return err
	case f.Last.Next(entryOf(next).Hash) != next.Chain:
		return fork
	}
	return nil
}

func chainBefore(tx session.Tx, f *protocol.Frame) (protocol.Chain, error) {
	if f.From == 1 {
		return protocol.Chain{}, nil
	}
	rec, err := record(tx, f.Feed, f.From-1)
	return rec.Chain, err
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
