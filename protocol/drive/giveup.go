package drive

import (
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Despair decides when an op of our own whose record is damaged is given up: when
// it was asked for GiveUpAfter times, with GiveUpPause between, and nobody had
// it, while a core node could have said that it has it and no core node is known
// to. Until then the feed waits before the op: a core that does have it must not
// be told other content.
type Despair struct{ tries map[protocol.OpAsk]try }

type try struct {
	count int
	last  protocol.Instant
}

// Unanswered notes that nobody gave the op that ask is about, and reports
// whether it is given up now. Known is how far core nodes are known to hold the
// feed with our content; told whether they could have said so ([protocol.Edge.Known]).
func (d *Despair) Unanswered(at protocol.Instant, ask protocol.OpAsk, known vclock.Seq, told bool) bool {
	if d.tries == nil {
		d.tries = make(map[protocol.OpAsk]try)
	}
	t, again := d.tries[ask]
	switch {
	case known >= ask.Seq:
		delete(d.tries, ask)
		return false
	case !told || again && at < t.last.Later(GiveUpPause):
		return false
	}
	t.count, t.last = t.count+1, at
	d.tries[ask] = t
	if t.count < GiveUpAfter {
		return false
	}
	delete(d.tries, ask)
	return true
}

// GivingUp is an op that is given up, see [replica.StandIn].
type GivingUp struct {
	replica.StandIn
	Origin vclock.Origin // under which the node writes from the first step on
}

// GiveUp is the first step: nothing is written under the feed any more from its
// commit on. It does not look at the record: see [Despair].
func GiveUp(tx session.Tx, rep *replica.Replica, id Identity, ask protocol.OpAsk) (GivingUp, error) {
	g := GivingUp{Origin: rep.Origin()}
	var err error
	if g.StandIn, err = replica.NewStandIn(tx, ask.Feed, ask.Seq); err != nil || ask.Origin != g.Origin {
		return g, err
	}
	g.Origin, err = Renew(tx, rep, id)
	return g, err
}

// Go is the next step, until Done. After the last commit, with a Head: [Moved.Reset]
// the feed to Cut, then note Head, then give the machine what [GivingUp.Inputs] says.
func (g GivingUp) Go(tx session.Tx) (GivingUp, error) {
	var err error
	g.StandIn, err = g.StandIn.Go(tx)
	return g, err
}

// Inputs gives what the machine is told, also when a step failed, if the node
// wrote under the origin before until then.
func (g GivingUp) Inputs(before vclock.Origin) []protocol.EdgeInput {
	var ins []protocol.EdgeInput
	if g.Origin != "" && g.Origin != before {
		ins = append(ins, protocol.NewOrigin{Origin: g.Origin})
	}
	if g.Head.Seq > 0 {
		ins = append(ins, protocol.Replaced{Feed: g.Feed, Head: g.Cut})
	}
	return ins
}

// Problem is the degraded mode of an op that was given up.
func (g GivingUp) Problem() Problem {
	where := "an unknown session"
	if g.Session != "" {
		where = "session " + g.Session
	}
	what := "its content is lost"
	if g.Kept {
		what = "it is made again, without context that it set"
	}
	return Problem{"op_lost", fmt.Sprintf("op %d of %s, in %s of space %s, was damaged before a core node had it: %s",
		g.Seq, g.StandIn.Origin, where, g.Space, what)}
}

// Outdated reports whether a damaged op need not be asked for any more: its record
// is sound by now, or the feed ends before it.
func Outdated(r session.Reader, ask protocol.OpAsk) (bool, error) {
	head, err := replica.HeadOf(r, ask.Feed)
	damage, err := apart(err)
	if err != nil || damage == nil && head.Seq < ask.Seq {
		return err == nil, err
	}
	rec, ok, err := session.RecordAt(r, ask.Space, vclock.Dot{Origin: ask.Origin, Seq: ask.Seq})
	damage, err = apart(err)
	if err != nil || damage != nil || !ok {
		return false, err
	}
	_, malformed := session.DecodeOp(rec.Bytes)
	return malformed == nil, nil
}
