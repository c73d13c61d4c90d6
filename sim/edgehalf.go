package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// edgeHalf drives the edge half of the sync machine, as node.Sync does.
type edgeHalf struct {
	machine *protocol.Edge
	inputs  []protocol.EdgeInput
	told    drive.Told
	moved   drive.Moved
	stuck   bool // a new origin is being written: the loop waits
	looping bool
	wakeAt  protocol.Instant // what the machine asked for
	alarm   alarm
	ingests []protocol.Ingest
	taking  bool
	facts   []protocol.Fact
	visits  visits
	unread  []protocol.Feed // that moved and whose heads are damaged

	hopeless drive.Despair
	behind   *protocol.FeedSeq // since the core knows more of what the node writes: where that ended then
	heldUp   []drive.Reaction  // reissues that damaged records stopped
	triedAt  protocol.Instant  // when those were tried last
}

// startHalves makes the machines over what the disk holds.
func (n *node) startHalves() error {
	n.half = edgeHalf{alarm: alarm{
		wanted: func() protocol.Instant { return n.half.wakeAt },
		ring:   func() { n.stepEdge(protocol.Wake{}) },
	}}
	t := n.w.plan.Timing
	cfg := protocol.DefaultEdgeConfig()
	cfg.Node, cfg.Cluster, cfg.Origin = n.name, clusterName, n.origin
	cfg.Instance = fmt.Sprintf("i%016x", n.rng.Uint64())
	cfg.HeartbeatLost, cfg.KeepaliveEvery = t.scale(cfg.HeartbeatLost), t.scale(cfg.KeepaliveEvery)
	cfg.AskEvery, cfg.StallAfter = t.scale(cfg.AskEvery), t.scale(cfg.StallAfter)
	cfg.BackoffMax = t.scale(cfg.BackoffMax)
	if n.core != nil {
		cfg.Everything, cfg.UploadOnly, cfg.StoresRequired = true, len(n.w.cores) == 1, n.w.plan.required()
	} else {
		cfg.Everything = slices.Contains(n.plan.Spaces, "*")
		cfg.Spaces = append(slices.DeleteFunc(slices.Clone(n.plan.Spaces), func(s string) bool { return s == "*" }), "default")
	}
	var err error
	if n.half.machine, err = protocol.NewEdge(cfg, n.rng); err != nil {
		return err
	}
	if n.core != nil {
		if err := n.core.start(); err != nil {
			return err
		}
		n.startVisits()
	}
	var heads []protocol.Persisted
	err = n.view(func(r session.Reader) error {
		heads, err = drive.EdgeStart(r)
		return err
	})
	for _, h := range heads {
		if own(n.name, h.Origin) {
			n.w.checkRelease(n, protocol.FeedSeq{Feed: h.Feed, Seq: h.Released})
		}
		n.let[h.Feed] = h.Released
		n.acks.Note(h.Feed, h.Released)
		n.stepEdge(h)
	}
	return err
}

// stepEdge gives the machine an input: behind those that wait, and behind the
// heads of the feeds that have moved.
func (n *node) stepEdge(in protocol.EdgeInput) {
	n.half.inputs = append(n.half.inputs, in)
	n.grew(queueInputs, len(n.half.inputs))
	n.loopEdge()
}

func (n *node) loopEdge() {
	h := &n.half
	if h.looping || h.machine == nil {
		return
	}
	h.looping = true
	boot := n.boots
	for n.boots == boot && !h.stuck && (len(h.inputs) > 0 || n.turn()) {
		n.noteProgress()
		in := h.inputs[0]
		h.inputs = h.inputs[1:]
		if !h.told.Stale(in) {
			n.stepOnce(in)
		}
	}
	if n.boots == boot {
		h.looping = false
	}
}

// noteProgress puts the heads of feeds that moved before all other inputs.
func (n *node) noteProgress() {
	moved := n.half.moved.Take()
	if len(moved) == 0 {
		return
	}
	feeds := make([]protocol.Feed, len(moved))
	for i, m := range moved {
		feeds[i] = m.Feed
	}
	err := n.viewAround(func(r session.Reader) (damage, err error) {
		heads, left, damage, err := drive.EdgeHeads(r, feeds)
		n.half.unread = append(n.half.unread, left...)
		front := make([]protocol.EdgeInput, 0, len(heads)+len(n.half.inputs))
		for _, p := range heads {
			front = append(front, p)
		}
		n.half.inputs = append(front, n.half.inputs...)
		return damage, err
	})
	if err != nil {
		n.broken("read heads", err)
	}
}

func (n *node) stepOnce(in protocol.EdgeInput) {
	n.hearStores(in)
	out, err := n.half.machine.Step(n.instant(), in)
	if err != nil {
		n.refusedMessage(in, err)
		if !drive.EdgeExcuses(in) {
			n.w.problem("no step fails", n.lane, "edge half, %T: %v", in, err)
		}
		return
	}
	n.half.wakeAt = out.WakeAt
	n.setAlarm(&n.half.alarm)
	n.toldVisits(in, out.Facts)
	n.carryOut(out)
}

// alarm wakes a machine when it asked for it. One ringing is planned at a time;
// one that comes too early is planned again.
type alarm struct {
	wanted func() protocol.Instant // what the machine asked for; zero: nothing
	ring   func()
	due    time.Duration // true time of the ringing that is planned; zero: none
}

func (n *node) setAlarm(a *alarm) {
	at := a.wanted()
	if at == 0 {
		return
	}
	due := n.w.now + n.clock.until(n.w.now, n.booted+time.Duration(at)-1)
	if a.due != 0 && a.due <= due {
		return
	}
	a.due = due
	n.later(due-n.w.now, func() {
		if a.due != due {
			return
		}
		a.due = 0
		switch at := a.wanted(); {
		case at == 0:
		case at <= n.instant():
			a.ring()
		default:
			n.setAlarm(a)
		}
	})
}

func (n *node) carryOut(out protocol.EdgeOutput) {
	for _, r := range out.Released {
		n.w.checkRelease(n, r)
		n.cursors.Note(r)
		n.let[r.Feed] = r.Seq
		n.w.say(Event{Kind: EvReleased, Node: n.lane, Space: r.Space, Detail: fmt.Sprint(r.Seq)})
	}
	for _, a := range out.Acked {
		n.acked(a)
	}
	n.half.ingests = append(n.half.ingests, out.Ingest...)
	n.grew(queueDeliveries, len(n.half.ingests))
	n.takeDeliveries()
	for _, l := range out.Lookup {
		n.lookup(l)
	}
	for _, a := range out.Ask {
		n.askSubject(a)
	}
	for _, p := range out.Publish {
		n.publish(p)
	}
	for _, m := range out.Send {
		n.w.bus.emit(n, m)
	}
	n.half.facts = append(n.half.facts, out.Facts...)
	n.react()
}

func (n *node) lookup(l protocol.LookupChain) {
	err := n.viewAround(func(r session.Reader) (damage, err error) {
		at, damage, err := drive.Lookup(r, l)
		if err == nil {
			n.half.inputs = append([]protocol.EdgeInput{at}, n.half.inputs...)
		}
		return damage, err
	})
	if err != nil {
		n.broken("look up chain", err)
	}
}

// react acts on facts, one after the other; a new origin is durable before the
// next input is taken.
func (n *node) react() {
	h := &n.half
	for len(h.facts) > 0 && !h.stuck {
		f := h.facts[0]
		h.facts = h.facts[1:]
		n.w.fact(n, f)
		if r, ok := f.(protocol.Regressed); ok && r.Origin == n.origin {
			h.behind = &protocol.FeedSeq{Feed: r.Feed, Seq: r.Ours}
		}
		what := drive.OnFact(f, n.origin, n.core != nil && len(n.w.cores) == 1)
		switch {
		case what.Reissue != nil:
			n.reissue(what)
		case what.Renew:
			n.renew(what)
		}
		if failed, ok := f.(protocol.AttachFailed); ok && n.mover.Move(n.instant(), failed) {
			n.later(0, func() { n.link.moveOn(nil) })
		}
	}
}

// unstick goes on with the loop after a new origin, with what the machine is
// told of it first.
func (n *node) unstick(told []protocol.EdgeInput) {
	h := &n.half
	h.stuck = false
	h.inputs = append(told, h.inputs...)
	n.react()
	n.loopEdge()
}

func (n *node) reissue(what drive.Reaction) {
	n.half.stuck = true
	before := n.origin
	var done drive.Reissued
	n.update(forSync, func(tx session.Tx) error {
		var err error
		old := n.ownOps(tx, what.Reissue.Space)
		done, err = drive.Reissue(tx, n.rep, n.now(), n.identity(), what.Reissue.Feed, what.Reissue.Seq,
			n.known)
		if err == nil {
			n.checkLeft(tx)
			n.w.checkAgain(n, tx, old, done)
		}
		return err
	}, func(err error) {
		n.half.behind = nil
		if err != nil {
			n.w.facts["ops_not_reissued"]++
			full := errors.Is(err, memstore.ErrFull) // the store of a real node fails then, and its restart does this
			if full || errors.Is(n.noticed(err), session.ErrCorrupt) {
				n.half.heldUp = append(n.half.heldUp, what)
			} else {
				n.half.inputs = append([]protocol.EdgeInput{protocol.NotRemade{Feed: what.Reissue.Feed}}, n.half.inputs...)
			}
			n.half.stuck = false
			if what.Renew && !full {
				n.renew(what)
				return
			}
			n.unstick(nil)
			return
		}
		n.origin = done.Origin
		n.adoptIdentity()
		if done.Grown.Seq == 0 {
			n.w.facts["origin_renewed"]++
			n.unstick(done.Inputs(before))
			return
		}
		n.w.facts["ops_reissued"]++
		n.remade = n.w.now
		// What forked is shown no more, but again under other names.
		n.w.history.Resets = append(n.w.history.Resets, check.Reset{Node: n.lane, At: n.w.now})
		for _, cut := range done.Cut {
			n.half.moved.Reset(cut.Feed, cut.Head)
			if n.core != nil {
				n.core.moved.Reset(cut.Feed, cut.Head)
			}
			n.w.excuseBetween(n, cut.Feed, cut.Seq, done.Grown.Origin)
		}
		told := done.Inputs(before)
		n.half.moved.Note(done.Grown.Feed, done.Grown.Head)
		if n.core != nil {
			n.core.moved.Note(done.Grown.Feed, done.Grown.Head)
		}
		n.unstick(told)
	})
}

// known is how far other nodes, or the stream, may hold a feed of the node's own.
func (n *node) known(f protocol.Feed) vclock.Seq {
	through, _ := n.half.machine.Known(f)
	return through
}

// reissueLater tries those reissues again that damaged records held up.
func (n *node) reissueLater() {
	h := &n.half
	if len(h.heldUp) == 0 || h.stuck || n.instant() < h.triedAt.Later(drive.RepairEvery) {
		return
	}
	h.triedAt = n.instant()
	list := h.heldUp
	h.heldUp = nil
	h.heldUp = append(h.heldUp, list[1:]...) // one at a time
	n.reissue(list[0])
}

func (n *node) renew(what drive.Reaction) {
	n.half.stuck = true
	n.update(forSync, func(tx session.Tx) error {
		origin, err := drive.Renew(tx, n.rep, n.identity())
		if err == nil {
			n.origin = origin
			n.checkLeft(tx)
		}
		return err
	}, func(err error) {
		n.half.behind = nil
		if err != nil {
			n.w.facts["origin_not_renewed"]++
			n.unstick(nil)
			return
		}
		n.w.facts["origin_renewed"]++
		n.adoptIdentity()
		n.unstick([]protocol.EdgeInput{protocol.NewOrigin{Origin: n.origin}})
	})
}

// takeDeliveries commits what was delivered, as many as have come together.
func (n *node) takeDeliveries() {
	h := &n.half
	if h.taking || len(h.ingests) == 0 {
		return
	}
	h.taking = true
	count, ops := 1, drive.OpsIn(h.ingests[0])
	for count < len(h.ingests) && ops < drive.MaxEdgeIngestOps {
		ops += drive.OpsIn(h.ingests[count])
		count++
	}
	together := drive.TakeTogether(slices.Clone(h.ingests[:count]))
	h.ingests = h.ingests[count:]
	n.takeChunks(together, together.Chunks())
}

func (n *node) takeChunks(together *drive.Deliveries, chunks []drive.Chunk) {
	if len(chunks) == 0 {
		for _, in := range together.Ingested() {
			n.stepEdge(in)
		}
		n.half.taking = false
		n.takeDeliveries()
		return
	}
	n.ingest(chunks[0].Frames, nil, func(refused []error, err error) {
		for _, r := range refused {
			if r != nil {
				n.w.facts["frame_refused"]++
			}
		}
		together.Done(chunks[0], refused, err)
		n.takeChunks(together, chunks[1:])
	})
}

// kept persists the outbox cursors that were noted since the last time.
func (n *node) keepCursors() {
	if list := n.cursors.Take(); len(list) > 0 {
		n.update(forSync, func(tx session.Tx) error { return drive.KeepCursors(tx, list) }, func(error) {})
	}
}
