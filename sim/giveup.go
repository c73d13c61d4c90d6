package sim

import (
	"errors"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// unanswered looks at an op of our own that nobody had, as node.Sync does.
func (n *node) unanswered(ask protocol.OpAsk) {
	if !n.up || !own(n.name, ask.Origin) {
		return
	}
	known, told := n.half.machine.Known(ask.Feed)
	told = told || n.half.visits.decide != nil && n.half.visits.decide.Settled()
	if n.half.hopeless.Unanswered(n.instant(), ask, known, told) {
		n.giveUp(ask)
	}
}

// giveUp puts a stand-in for an op, as node.Node does.
func (n *node) giveUp(ask protocol.OpAsk) {
	if n.half.stuck {
		n.later(drive.KeepEvery, func() { n.giveUp(ask) })
		return
	}
	n.half.stuck = true
	before := n.origin
	var g drive.GivingUp
	n.update(forSync, func(tx session.Tx) (err error) {
		g, err = drive.GiveUp(tx, n.rep, n.identity(), ask)
		return err
	}, func(err error) {
		if err != nil {
			n.w.facts["op_not_given_up"]++
			n.unstick(nil)
			return
		}
		n.origin = g.Origin
		if g.Origin != before {
			n.adoptIdentity()
		}
		n.goOn(g, before)
	})
}

// goOn makes the further steps of giving an op up.
func (n *node) goOn(g drive.GivingUp, before vclock.Origin) {
	var next drive.GivingUp
	n.update(forSync, func(tx session.Tx) (err error) {
		next, err = g.Go(tx)
		return err
	}, func(err error) {
		switch {
		case err != nil:
			n.w.facts["op_not_given_up"]++
			n.unstick(g.Inputs(before))
			return
		case !next.Done:
			n.goOn(next, before)
			return
		}
		if next.Head.Seq == 0 { // it came back meanwhile
			n.unstick(next.Inputs(before))
			return
		}
		n.gaveUp(next)
		n.unstick(next.Inputs(before))
		n.moved(protocol.FeedHead{Feed: next.Feed, Head: next.Head})
	})
}

// gaveUp has those who sync forget what they knew, and excuses what is lost.
func (n *node) gaveUp(g drive.GivingUp) {
	n.w.facts["op_lost"]++
	n.w.say(Event{Kind: EvFact, Node: n.lane, What: "op_lost", Detail: g.Problem().Detail})
	key := session.OpKey(g.Space, g.Feed.Origin, g.Seq)
	delete(n.repairs.open, string(key))
	n.w.excuseLost(n, string(key))
	n.half.moved.Reset(g.Feed, g.Cut)
	if n.core != nil {
		n.core.moved.Reset(g.Feed, g.Cut)
	}
	n.committed("stand-in", []protocol.FeedHead{{Feed: g.Feed, Head: g.Head}})
}

// doom remembers an op before its record is damaged: nobody else may have it.
func (w *world) doom(n *node, key []byte) {
	what, err := drive.RepairOf(key)
	if err != nil || what.Op == nil {
		return
	}
	err = n.disk.mem.View(func(r session.Reader) error {
		rec, ok, err := session.RecordAt(r, what.Op.Space, vclock.Dot{Origin: what.Op.Origin, Seq: what.Op.Seq})
		if err != nil || !ok {
			return err
		}
		op, err := session.DecodeOp(rec.Bytes)
		if err == nil {
			w.doomed[string(key)] = &op
		}
		return err
	})
	if err != nil && !errors.Is(err, session.ErrCorrupt) {
		w.facts["excuse_unreadable"]++
	}
}

// excuseLost excuses an op that was given up, what changed its message, and the
// messages below it: they stand at the root now, where others that saw them may
// stand before them.
func (w *world) excuseLost(n *node, key string) {
	op := w.doomed[key]
	if op == nil {
		return
	}
	w.excuseOp(op)
	below := map[string]bool{session.MessageID(op): true}
	delete(below, "")
	for before := 0; before < len(below); {
		before = len(below)
		err := n.disk.mem.View(func(r session.Reader) error {
			return w.eachOp(r, op.Space, func(o *session.Op) {
				if o.Session == op.Session && below[aboutMessage(o)] {
					w.excuseOp(o)
					if id := session.MessageID(o); id != "" {
						below[id] = true
					}
				}
			})
		})
		if err != nil {
			w.facts["excuse_unreadable"]++
		}
	}
}

// eachOp visits the ops of a space that can be read.
func (w *world) eachOp(r session.Reader, space string, visit func(*session.Op)) error {
	heads, err := replica.Heads(r, space)
	if err != nil {
		return err
	}
	for _, h := range heads {
		for seq := vclock.Seq(1); seq <= h.Seq; seq++ {
			rec, ok, err := session.RecordAt(r, space, vclock.Dot{Origin: h.Origin, Seq: seq})
			if err != nil || !ok {
				continue
			}
			if o, err := session.DecodeOp(rec.Bytes); err == nil {
				visit(&o)
			}
		}
	}
	return nil
}

// aboutMessage is the message that an op answers, edits or redacts.
func aboutMessage(op *session.Op) string {
	switch b := op.Body.(type) {
	case session.Put:
		return b.Parent
	case session.Edit:
		return b.Message
	case session.Redact:
		return b.Message
	default:
		return ""
	}
}
