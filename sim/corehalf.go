package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// coreHalf drives the core half of the sync machine and the ingest of the
// streams, as core.delivery and core.ingest do.
type coreHalf struct {
	n        *node
	machine  *protocol.Core
	inputs   []protocol.CoreInput
	moved    drive.Moved
	attached drive.Attached
	reads    drive.Reads
	looping  bool
	wakeAt   protocol.Instant
	alarm    alarm
	readers  []*reader
	credit   map[uint64]uint64 // by attachment: the last delivery that its node took
}

func (c *coreHalf) start() error {
	n, plan := c.n, c.n.w.plan
	*c = coreHalf{n: n, credit: map[uint64]uint64{}, alarm: alarm{
		wanted: func() protocol.Instant { return c.wakeAt },
		ring:   func() { n.stepCore(protocol.Wake{}) },
	}}
	cfg := protocol.DefaultCoreConfig()
	cfg.Node, cfg.Cluster, cfg.Incarnation = n.name, clusterName, n.disk.identity
	cfg.Stores, cfg.StoresRequired, cfg.Partitions = len(n.w.cores), plan.required(), partitions
	cfg.HeartbeatEvery, cfg.IdleDrop = plan.Timing.scale(cfg.HeartbeatEvery), plan.Timing.scale(cfg.IdleDrop)
	cfg.WantMax = plan.Timing.scale(cfg.WantMax)
	if plan.Window > 0 {
		cfg.Window = plan.Window
	}
	var err error
	if c.machine, err = protocol.NewCore(cfg, n.rng); err != nil {
		return err
	}
	return n.view(func(r session.Reader) error {
		ins, err := drive.CoreStart(r)
		c.inputs = append(c.inputs, ins...)
		return err
	})
}

// startReaders begins to read the streams.
func (c *coreHalf) startReaders() {
	c.readers = nil
	for p, s := range c.n.w.bus.streams {
		r := &reader{s: s, n: c.n, boot: c.n.boots}
		err := c.n.view(func(v session.Reader) error {
			var err error
			r.pos, err = drive.PositionAt(v, p)
			return err
		})
		if err != nil && !errors.Is(err, session.ErrCorrupt) {
			c.n.broken("read position", err)
			return
		}
		if err != nil {
			r.pos = drive.Position{}
		}
		c.n.checkPosition(r.pos)
		c.readers = append(c.readers, r)
		s.readers = append(slices.DeleteFunc(s.readers, func(o *reader) bool { return o.n == c.n }), r)
		r.kick()
	}
	c.n.stepCore(protocol.Wake{})
}

// caughtUp reports whether the streams were read to where they ended at the start.
func (c *coreHalf) caughtUp() bool {
	return len(c.readers) > 0 && !slices.ContainsFunc(c.readers, func(r *reader) bool { return !r.caughtUp() })
}

func (n *node) stepCore(in protocol.CoreInput) {
	c := n.core
	if c == nil || c.machine == nil {
		return
	}
	c.inputs = append(c.inputs, in)
	n.grew(queueInputs, len(c.inputs))
	if c.looping {
		return
	}
	c.looping = true
	boot := n.boots
	for n.boots == boot && len(c.inputs) > 0 {
		if moved := c.moved.TakeCore(); len(moved) > 0 {
			for _, in := range moved {
				c.once(in)
			}
			continue
		}
		in := c.inputs[0]
		c.inputs = c.inputs[1:]
		c.once(in)
	}
	if n.boots == boot {
		c.looping = false
	}
}

func (c *coreHalf) once(in protocol.CoreInput) {
	n := c.n
	if got, ok := in.(protocol.Received); ok {
		c.hearCredit(got.Message)
		if ask, ok := got.Message.(protocol.Attach); ok {
			var asked protocol.AttachAsked
			err := n.viewAround(func(r session.Reader) (damage, err error) {
				asked, damage, err = drive.AttachAsked(r, ask, c.admits(ask.Node))
				return damage, err
			})
			if err != nil {
				n.unlessDamaged("attach", err)
				return
			}
			in = asked
		}
	}
	out, err := c.machine.Step(n.instant(), in)
	if err != nil {
		n.refusedMessage(in, err)
		if !drive.CoreExcuses(in, err) {
			n.w.problem("no step fails", n.lane, "core half, %T: %v", in, err)
		}
		return
	}
	n.checkFence(in, out)
	c.reads.Forget()
	c.carryOut(out)
}

// unlessDamaged reports an error that is not about a damaged record.
func (n *node) unlessDamaged(doing string, err error) {
	if !errors.Is(err, session.ErrCorrupt) {
		n.broken(doing, err)
	}
}

func (c *coreHalf) carryOut(out protocol.CoreOutput) {
	n := c.n
	c.wakeAt = out.WakeAt
	n.setAlarm(&c.alarm)
	for _, s := range out.Send {
		n.w.bus.emit(n, s)
	}
	for _, m := range out.Missing {
		c.read(m)
	}
	for _, l := range out.Chains {
		err := n.viewAround(func(r session.Reader) (damage, err error) {
			found, damage, err := drive.Chains(r, l)
			c.inputs = append(c.inputs, found)
			return damage, err
		})
		if err != nil {
			n.broken("look up chains", err)
		}
	}
	for _, ask := range out.Digests {
		err := n.view(func(r session.Reader) error {
			found, err := drive.Digest(r, ask)
			if err == nil {
				c.inputs = append(c.inputs, found)
			}
			return err
		})
		if err != nil {
			n.unlessDamaged("digest", err)
		}
	}
	for _, f := range out.Facts {
		c.attached.Note(f)
		n.w.fact(n, f)
	}
	if len(out.Snapshot) > 0 {
		n.w.problem("no step fails", n.lane, "a snapshot was asked for although every op is kept")
	}
}

// read answers a ReadMissing.
func (c *coreHalf) read(m protocol.ReadMissing) {
	n := c.n
	if most := n.w.plan.Budget; most > 0 {
		m.MaxOps = min(m.MaxOps, most)
	}
	var missed drive.Missed
	err := n.viewAround(func(r session.Reader) (damage, err error) {
		missed, err = c.reads.Missing(r, m)
		return missed.Damage, err
	})
	if err != nil {
		n.broken("read what a node lacks", err)
		return
	}
	out, err := c.machine.Step(n.instant(), missed.Read)
	if err != nil {
		n.w.problem("no step fails", n.lane, "core half, read: %v", err)
		return
	}
	for _, to := range out.Deliver {
		c.checkCredit(to)
		n.w.bus.emit(n, protocol.Send{Place: protocol.ToNode, Name: to.Node, Message: drive.DeliverOf(to, missed.Frames)})
	}
	out.Deliver = nil
	c.carryOut(out)
}

// ingest takes frames in one commit with extra beside them.
func (n *node) ingest(frames []*protocol.Frame, extra func(session.Tx) error, then func(refused []error, err error)) {
	var done []replica.Ingested
	var refused []error
	n.update(forSync, func(tx session.Tx) error {
		var err error
		done, refused, err = drive.Ingest(tx, n.rep, n.now(), frames)
		for i := range frames {
			if err == nil && refused[i] == nil {
				n.checkTaken(tx, frames[i])
			}
		}
		if err != nil || extra == nil {
			return err
		}
		return extra(tx)
	}, func(err error) {
		if err != nil {
			then(nil, err)
			return
		}
		var grown []protocol.FeedHead
		for i, d := range done {
			if refused[i] == nil && d.Added > 0 {
				grown = append(grown, protocol.FeedHead{Feed: frames[i].Feed, Head: d.Head})
				if isLater(frames[i].Origin) {
					n.w.facts["unknown_op_kept"]++
				}
			}
		}
		if len(grown) > 0 {
			n.committed("ingest", grown)
			n.moved(grown...)
		}
		then(refused, nil)
	})
}

// committed writes a commit into the trace.
func (n *node) committed(what string, grown []protocol.FeedHead) {
	e := Event{Kind: EvCommit, Node: n.lane, What: what, Space: grown[0].Space}
	if n.w.log.detailed {
		err := n.disk.mem.View(func(r session.Reader) error {
			v, err := replica.Vector(r, e.Space)
			e.Vector = v.String()
			return err
		})
		if err != nil {
			e.Vector = err.Error()
		}
		for _, g := range grown {
			e.Detail += fmt.Sprintf("%s %d ", g.Origin, g.Seq)
		}
	}
	n.w.say(e)
	for _, g := range grown {
		n.w.log.note(g.Chain[:8])
	}
}

// ingestStream applies messages off a stream, in as few commits as they need.
func (n *node) ingestStream(r *reader, msgs []message, missing uint64) {
	if len(msgs) == 0 {
		r.idle()
		return
	}
	if missing > 0 {
		n.w.facts["messages_missing"]++
		for _, s := range n.core.attached.Again() {
			n.w.bus.emit(n, s)
		}
		n.doubts()
	}
	var fill drive.Fill
	count := 0
	for _, m := range msgs {
		if m.stored == nil {
			count++
			continue
		}
		f, err := drive.DecodeFrame(m.subject, m.data, partitions)
		if err != nil {
			n.w.facts["frame_dropped"]++
			count++
			continue
		}
		if !fill.Add(f) {
			break
		}
		count++
	}
	end := drive.Position{Stream: r.pos.Stream, Seq: msgs[count-1].seq}
	n.w.say(Event{Kind: EvConsume, Node: n.lane, What: "frames", Detail: fmt.Sprint(end.Seq)})
	n.consumed[end.Stream] = max(n.consumed[end.Stream], end.Seq)
	n.insist(50*time.Millisecond, fill.Frames, func(tx session.Tx) error {
		n.checkPassed(tx, fill.Frames)
		return drive.KeepPosition(tx, r.s.partition, end)
	},
		func(refused []error) {
			r.taken(end.Seq)
			n.refuse(fill.Frames, refused, func() { n.ingestStream(r, msgs[count:], 0) })
		})
}

// insist repeats a commit while what holds it up may pass.
func (n *node) insist(wait time.Duration, frames []*protocol.Frame, extra func(session.Tx) error, then func([]error)) {
	n.ingest(frames, extra, func(refused []error, err error) {
		if err != nil {
			n.later(wait, func() { n.insist(min(2*wait, 5*time.Second), frames, extra, then) })
			return
		}
		then(refused)
	})
}

// refuse tells the core half of frames that the replica did not take, keeping
// the evidence of a fork first.
func (n *node) refuse(frames []*protocol.Frame, refused []error, then func()) {
	for i, cause := range refused {
		if cause == nil {
			continue
		}
		var seen protocol.FrameSeen
		err := n.view(func(r session.Reader) (err error) {
			seen, err = drive.RefusedFrame(r, frames[i])
			return err
		})
		if err != nil {
			n.unlessDamaged("look into a refused frame", err)
			continue
		}
		if errors.Is(cause, replica.ErrFork) {
			n.w.facts["fork_refused"]++
			n.update(forSync, func(tx session.Tx) error { return drive.KeepEvidence(tx, frames[i]) }, func(err error) {
				n.stepCore(seen)
				n.refuse(frames[i+1:], refused[i+1:], then)
			})
			return
		}
		n.stepCore(seen)
	}
	then()
}
