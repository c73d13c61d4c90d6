package sim

import (
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// repairs are the damaged records that a process has met.
type repairs struct {
	open map[string]bool // keys, until they are mended or tried again
}

// repair mends the record at key, as node.Node does: an op is fetched from
// whoever has it, a session is built again from its ops.
func (n *node) repair(key []byte) {
	if n.repairs.open == nil {
		n.repairs.open = map[string]bool{}
	}
	if !n.up || n.repairs.open[string(key)] {
		return
	}
	n.w.facts["record_damaged"]++
	what, err := drive.RepairOf(key)
	if err != nil {
		n.w.facts["record_beyond_repair"]++
		return
	}
	n.repairs.open[string(key)] = true
	if what.Remake {
		n.remake(key)
		return
	}
	if what.Op == nil {
		n.update(forSync, func(tx session.Tx) error { return drive.RebuildSession(tx, what.Space, what.Session) },
			func(err error) { n.repaired(key, err) })
		return
	}
	n.repairOp(key, *what.Op)
}

// repairOp fetches an op unless it is not needed any more. If nobody has it, it
// may be given up.
func (n *node) repairOp(key []byte, ask protocol.OpAsk) {
	var outdated bool
	err := n.view(func(r session.Reader) (err error) {
		outdated, err = drive.Outdated(r, ask)
		return err
	})
	if err != nil || outdated {
		n.repaired(key, err)
		return
	}
	n.fetchOp(ask, func(err error) {
		if n.repaired(key, err); err != nil {
			n.unanswered(ask)
			return
		}
		n.touch(ask.Feed)
	})
}

// remake makes a record anew from others of the store.
func (n *node) remake(key []byte) {
	var space string
	n.update(forSync, func(tx session.Tx) (err error) {
		space, err = drive.Remake(tx, n.rep, n.identity(), key)
		return err
	}, func(err error) {
		n.repaired(key, err)
		if err != nil || space == "" {
			return
		}
		var heads []protocol.FeedHead
		err = n.view(func(r session.Reader) (err error) {
			heads, err = drive.FeedsOf(r, space)
			return err
		})
		if err != nil {
			return // all are touched when that one is mended
		}
		for _, h := range heads {
			n.touchHead(h)
		}
	})
}

func (n *node) fetchOp(ask protocol.OpAsk, then func(error)) {
	done := false
	n.w.bus.askOp(n, ask, func(answer []byte) {
		n.run(func() {
			if done {
				return
			}
			done = true
			n.update(forSync, func(tx session.Tx) error { return drive.RestoreOp(tx, ask, answer) }, then)
		})
	})
	n.later(drive.FetchTimeout, func() {
		if !done {
			done = true
			then(errDown)
		}
	})
}

// repaired forgets a record: if it still is damaged, the next read finds it again.
func (n *node) repaired(key []byte, err error) {
	if err == nil {
		n.w.facts["record_repaired"]++
		delete(n.repairs.open, string(key))
		return
	}
	n.later(drive.RepairEvery, func() {
		delete(n.repairs.open, string(key))
		n.repair(key)
	})
}

// touch has a feed of which an op was put back delivered again.
func (n *node) touch(f protocol.Feed) {
	var h protocol.Head
	err := n.view(func(r session.Reader) (err error) {
		h, err = replica.HeadOf(r, f)
		return err
	})
	if err == nil { // else it is touched when its head is mended
		n.touchHead(protocol.FeedHead{Feed: f, Head: h})
	}
}

func (n *node) touchHead(h protocol.FeedHead) {
	n.half.moved.Touch(h.Feed, h.Head)
	if n.core != nil {
		n.core.moved.Touch(h.Feed, h.Head)
		n.stepCore(protocol.Wake{})
	}
	n.stepEdge(protocol.Wake{})
}

// answerOp hands out an op to who asks; data is an encoded OpAsk.
func (n *node) answerOp(data []byte, reply func([]byte)) {
	m, err := protocol.DecodeMessage(data)
	ask, ok := m.(protocol.OpAsk)
	if err != nil || !ok {
		n.w.facts["message_dropped"]++
		return
	}
	var answer []byte
	err = n.view(func(r session.Reader) (err error) {
		answer, err = drive.AnswerOp(r, ask)
		return err
	})
	if err == nil && answer != nil {
		reply(n.w.forged(answer))
	}
}

// keepSweeping looks for idle and erased sessions, and keeps the outbox
// cursors, again and again.
func (n *node) keepSweeping() {
	n.later(n.w.plan.Timing.sweep(), func() {
		n.sweep()
		n.keepCursors()
		n.readAgain()
		n.reissueLater()
		n.keepSweeping()
	})
}

// readAgain has feeds read again whose heads were damaged.
func (n *node) readAgain() {
	unread := n.half.unread
	n.half.unread = nil
	for _, f := range unread {
		n.touchHead(protocol.FeedHead{Feed: f})
	}
}

func (n *node) sweep() {
	grace := time.Duration(0)
	if n.core != nil {
		grace = drive.CoreSweepGrace
	}
	var due []session.Due
	var gone []replica.Gone
	err := n.view(func(r session.Reader) (err error) {
		if due, err = session.ExpiredBefore(r, drive.SweepCutoff(n.now().Wall, grace), drive.SweepBatch); err != nil {
			return err
		}
		gone, err = replica.Unpurged(r, drive.SweepBatch)
		return err
	})
	if err != nil {
		return // put off; a damaged record is being repaired
	}
	for _, d := range due {
		n.expire(d)
	}
	for _, g := range gone {
		n.purge(g)
	}
}

func (n *node) expire(d session.Due) {
	postpone := func() {
		n.update(forSync, func(tx session.Tx) error { return session.Postpone(tx, d) }, func(error) {})
	}
	cmd, idle := drive.Expiry(d, n.name)
	if !idle {
		postpone()
		return
	}
	n.write(cmd, func(a drive.Answer, err error) {
		if drive.Settled(err) {
			postpone()
		}
		if err == nil && len(a.Ops) > 0 {
			n.checkExpiry(d.Space, d.Session, a.Ops[0].Dot)
		}
	})
}

func (n *node) purge(g replica.Gone) {
	var more bool
	n.update(forSync, func(tx session.Tx) (err error) {
		more, err = drive.Purge(tx, g)
		return err
	}, func(err error) {
		if err == nil && more {
			n.purge(g)
		}
	})
}

// write carries out a command and tells when it is durable.
func (n *node) write(cmd session.Command, done func(drive.Answer, error)) {
	var answer drive.Answer
	n.update(intake, func(tx session.Tx) (err error) {
		answer, err = drive.Write(tx, n.rep, n.now(), cmd)
		n.lookAtStamp(answer)
		if err == nil && !answer.Replayed {
			n.checkOwnOrder(tx, answer.Grown)
		}
		n.time.wrote()
		return err
	}, func(err error) {
		if err == nil && !answer.Replayed {
			n.checkFirstStamp(answer)
			n.committed("write", []protocol.FeedHead{answer.Grown})
			n.moved(answer.Grown)
		}
		done(answer, err)
	})
}
