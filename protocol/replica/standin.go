package replica

import (
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// nowhere is the session of a stand-in whose own session nothing tells. Nobody
// waits for it there.
const nowhere = "lost"

// StandIn takes the place of an op of our own whose record is damaged and which
// nobody else holds, so that the feed goes on: same number, no content. Where the
// session's records tell that the op opened or erased the session, it does that.
//
// The chain from there on becomes another one. Each [StandIn.Go] is a step for
// one transaction: first the records behind are chained anew, a part at a time,
// and last the stand-in itself is put, so that until then the op counts as
// damaged and none of this is shown to anybody. After a crash it begins again.
//
// HAZARD: if somebody does hold the op, the feed has two contents. Its node must
// write under another origin before the first step, and then heals the fork as
// any other ([Replica.Reissue]).
type StandIn struct {
	protocol.Feed
	Seq     vclock.Seq
	Session string // that the op belonged to; empty if nothing tells
	Kept    bool   // what the op did is known: it opened or erased the session
	Done    bool
	Cut     protocol.Head // before the op
	Head    protocol.Head // of the feed, with Done; zero if the op came back meanwhile

	entry protocol.Entry
	at    protocol.Head // records up to here fit the stand-in
}

// rechainOps bounds how many records one step writes, beside the bytes that one
// frame may have.
const rechainOps = 256

// NewStandIn prepares a stand-in. The op before it must be readable: it returns
// an error that wraps [session.ErrCorrupt] if that is damaged too.
func NewStandIn(r session.Reader, f protocol.Feed, seq vclock.Seq) (StandIn, error) {
	s := StandIn{Feed: f, Seq: seq, Cut: protocol.Head{Seq: seq - 1}}
	dot := vclock.Dot{Origin: f.Origin, Seq: seq}
	known, err := session.Recall(r, f.Space, dot)
	if err != nil {
		return s, err
	}
	if s.Session = known.Session; s.Session == "" {
		if s.Session, err = followed(r, f, seq); err != nil {
			return s, err
		}
	}
	op := session.Op{Dot: dot, Space: f.Space, Session: s.Session, Body: session.Erased{}}
	if op.Session == "" {
		op.Session = nowhere
	}
	if known.Op != nil {
		op, s.Kept = *known.Op, true
	}
	if err := s.follow(r, &op); err != nil {
		return s, err
	}
	b, err := op.Append(nil)
	if err != nil {
		return s, fmt.Errorf("encode stand-in for op %v: %w", dot, err)
	}
	s.entry = protocol.Entry{Bytes: b, Hash: protocol.HashOp(b), Hollow: !s.Kept}
	s.at = protocol.Head{Seq: seq, Chain: s.Cut.Chain.Next(s.entry.Hash)}
	return s, nil
}

// followed finds the session of an op by the next op of the feed in it, which
// has seen it.
func followed(r session.Reader, f protocol.Feed, seq vclock.Seq) (string, error) {
	head, err := HeadOf(r, f)
	if err != nil {
		return "", err
	}
	for next := seq + 1; next <= head.Seq; next++ {
		op, _, err := opAt(r, f, next)
		if errors.Is(err, session.ErrCorrupt) {
			continue
		}
		if err != nil {
			return "", err
		}
		if op.Deps.At(f.Origin) == seq {
			return op.Session, nil
		}
	}
	return "", nil
}

// follow puts the stand-in behind the op before it, and behind the last one of
// its session.
func (s *StandIn) follow(r session.Reader, op *session.Op) error {
	for seq := s.Cut.Seq; seq > 0; seq-- {
		before, rec, err := opAt(r, s.Feed, seq)
		if err != nil {
			return err
		}
		if seq == s.Cut.Seq {
			s.Cut.Chain = rec.Chain
			if next, ok := before.Stamp.Next(); ok && !s.Kept {
				op.Stamp = next
			}
		}
		if before.Session == op.Session {
			op.Deps = vclock.Of(before.Dot)
			return nil
		}
	}
	return nil
}

// Go makes the next step within a transaction and gives what is to be stepped
// next. An error that wraps [session.ErrCorrupt] names another record that is
// damaged; nothing is lost by beginning anew when that was seen to.
func (s StandIn) Go(tx session.Tx) (StandIn, error) {
	head, err := HeadOf(tx, s.Feed)
	if err != nil {
		return s, err
	}
	if _, err := record(tx, s.Feed, s.Seq); !errors.Is(err, session.ErrCorrupt) {
		s.Done = true // it came back
		return s, err
	}
	if s.at.Seq < head.Seq {
		return s.rechain(tx, head.Seq)
	}
	return s.put(tx)
}

// rechain gives records behind the op the chain that fits the stand-in.
func (s StandIn) rechain(tx session.Tx, last vclock.Seq) (StandIn, error) {
	bytes := 0
	for n := 0; n < rechainOps && bytes < protocol.FrameBytesBudget && s.at.Seq < last; n++ {
		dot := vclock.Dot{Origin: s.Origin, Seq: s.at.Seq + 1}
		rec, err := record(tx, s.Feed, dot.Seq)
		if err != nil {
			return s, err
		}
		bytes += len(rec.Bytes)
		s.at = protocol.Head{Seq: dot.Seq, Chain: s.at.Chain.Next(entryOf(rec).Hash)}
		if rec.Chain == s.at.Chain {
			continue
		}
		rec.Chain = s.at.Chain
		if err := session.PutRecord(tx, s.Space, dot, rec); err != nil {
			return s, err
		}
	}
	return s, nil
}

// put writes the stand-in and the feed's head, and builds the session again.
func (s StandIn) put(tx session.Tx) (StandIn, error) {
	dot := vclock.Dot{Origin: s.Origin, Seq: s.Seq}
	if err := restore(tx, s.Feed, dot, s.Cut.Chain.Next(s.entry.Hash), s.entry); err != nil {
		return s, fmt.Errorf("put stand-in for op %v of %s: %w", dot, s.Space, err)
	}
	if err := saveHead(tx, s.Feed, s.at); err != nil {
		return s, err
	}
	s.Done, s.Head = true, s.at
	if s.Session == "" {
		return s, Rebuild(tx, s.Space, nowhere)
	}
	err := session.Rebuild(tx, s.Space, s.Session)
	if errors.Is(err, session.ErrCorrupt) {
		err = Rebuild(tx, s.Space, s.Session)
	}
	if err != nil {
		return s, fmt.Errorf("rebuild session %s of %s: %w", s.Session, s.Space, err)
	}
	return s, nil
}
