package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
)

const deliveryInputs = 4096 // inputs waiting for the loop

// delivery drives the core half of the sync machine: it is the only loop that
// steps it.
type delivery struct {
	node     *node.Node
	bus      *Bus
	log      *slog.Logger
	machine  *protocol.Core
	progress *node.Progress
	inputs   chan protocol.CoreInput // closed by nobody
	ready    func(node string) bool  // a node's attach may be granted
	onFact   func(protocol.Fact)
	onWant   func(context.Context, protocol.Want) // another core node lacks something
	onDoubt  func()                               // the streams hid frames, or were made again
	doubt    chan struct{}                        // has a value when the stream hid frames; closed by nobody
	attached drive.Attached
	reads    drive.Reads
	started  time.Time
	pending  []protocol.CoreInput
}

func newDelivery(n *node.Node, bus *Bus, cfg protocol.CoreConfig, log *slog.Logger, ready func(node string) bool) (
	*delivery, error,
) {
	m, err := protocol.NewCore(cfg, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if err != nil {
		return nil, err
	}
	return &delivery{
		node: n, bus: bus, log: log, machine: m, progress: n.Watch(), ready: ready,
		inputs: make(chan protocol.CoreInput, deliveryInputs), onFact: func(protocol.Fact) {}, started: time.Now(),
		onWant: func(context.Context, protocol.Want) {}, onDoubt: func() {}, doubt: make(chan struct{}, 1),
	}, nil
}

func (d *delivery) input(ctx context.Context, in protocol.CoreInput) {
	select {
	case d.inputs <- in:
	case <-ctx.Done():
	}
}

// listen takes requests and credits off the bus until ctx ends.
func (d *delivery) listen(ctx context.Context) (stop func(), err error) {
	var cancels []func()
	stop = func() {
		for _, c := range cancels {
			c()
		}
	}
	take := func(subject, _ string, data []byte) {
		m, err := protocol.DecodeMessage(data)
		if err != nil {
			d.node.MessageDropped()
			d.log.Warn("message dropped", slog.String("subject", subject), slog.Any("error", err))
			return
		}
		switch m := m.(type) {
		case protocol.Want: // of another core node
			d.onWant(ctx, m)
			return
		}
		_, from, err := protocol.ParseCreditSubject(subject)
		if err != nil {
			from = ""
		}
		d.input(ctx, protocol.Received{From: from, Message: m})
	}
	answer := func(_, reply string, data []byte) { d.node.AnswerOp(data, reply, d.bus.Publish) }
	c, err := d.bus.Subscribe(protocol.OpAskSubject, answer)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", protocol.OpAskSubject, err)
	}
	cancels = append(cancels, c)
	tell := func(_, reply string, data []byte) { d.node.AnswerClock(data, reply, d.bus.Publish) }
	if c, err = d.bus.Subscribe(protocol.ClockSubjects, tell); err != nil {
		stop()
		return nil, fmt.Errorf("listen on %s: %w", protocol.ClockSubjects, err)
	}
	cancels = append(cancels, c)
	name := d.node.Name()
	for _, subject := range []string{
		protocol.AskSubjectOf(name), protocol.AskSubjectOf(protocol.AllCores), protocol.CreditSubjects(name),
	} {
		c, err := d.bus.Subscribe(subject, take)
		if err != nil {
			stop()
			return nil, fmt.Errorf("listen on %s: %w", subject, err)
		}
		cancels = append(cancels, c)
	}
	return stop, nil
}

// Run steps the machine until ctx ends.
func (d *delivery) Run(ctx context.Context) error {
	if err := d.loadHeads(); err != nil {
		return err
	}
	stop, err := d.listen(ctx)
	if err != nil {
		return err
	}
	defer stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wake, err := d.drain()
		if err != nil {
			return err
		}
		timer.Stop()
		if wake != 0 {
			timer.Reset(max(time.Duration(wake)-time.Since(d.started), 0))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case in := <-d.inputs:
			// What it was made of has moved the heads before.
			d.pending = append(append(d.pending, d.progress.TakeCore()...), in)
		case <-timer.C:
			d.pending = append(d.pending, protocol.Wake{})
		case <-d.doubt:
			d.greetAgain()
		case <-d.progress.Changed():
			d.pending = append(d.pending, d.progress.TakeCore()...)
		}
	}
}

// streamHidFrames says that frames are gone from the stream before they were read.
func (d *delivery) streamHidFrames() {
	d.onDoubt()
	select {
	case d.doubt <- struct{}{}:
	default:
	}
}

// greetAgain has those who are attached say anew what they hold.
func (d *delivery) greetAgain() {
	for _, s := range d.attached.Again() {
		d.send(s)
	}
}

// drain steps the machine through everything that is pending, including the
// answers that the store gives at once.
func (d *delivery) drain() (wake protocol.Instant, err error) {
	for len(d.pending) > 0 {
		in := d.pending[0]
		d.pending = d.pending[1:]
		if got, ok := in.(protocol.Received); ok {
			if ask, ok := got.Message.(protocol.Attach); ok {
				in, err = d.attachAsked(ask)
				if errors.Is(err, session.ErrCorrupt) {
					d.log.Error("attach not answered", slog.String("node", ask.Node), slog.Any("error", err))
					continue // the node asks again
				}
				if err != nil {
					return 0, err
				}
			}
		}
		out, err := d.machine.Step(protocol.Instant(time.Since(d.started)), in)
		if err != nil {
			if !drive.CoreExcuses(in, err) {
				return 0, fmt.Errorf("delivery: input %T: %w", in, err)
			}
			if _, wire := in.(protocol.Received); wire {
				d.node.MessageDropped()
				d.log.Warn("message refused", slog.Any("error", err))
			}
			continue
		}
		wake = out.WakeAt
		d.reads.Forget()
		if err := d.carryOut(out); err != nil {
			return 0, err
		}
	}
	return wake, nil
}

func (d *delivery) carryOut(out protocol.CoreOutput) error {
	for _, s := range out.Send {
		d.send(s)
	}
	for _, m := range out.Missing {
		if err := d.read(m); err != nil {
			return err
		}
	}
	for _, l := range out.Chains {
		if err := d.chains(l); err != nil {
			return err
		}
	}
	for _, ask := range out.Digests {
		if err := d.digest(ask); err != nil {
			return err
		}
	}
	for _, f := range out.Facts {
		d.log.Debug("delivery", slog.String("fact", fmt.Sprintf("%T %+v", f, f)))
		d.attached.Note(f)
		d.onFact(f)
	}
	if len(out.Snapshot) > 0 {
		return errors.New("delivery: a snapshot was asked for although every op is kept")
	}
	return nil
}

func (d *delivery) send(s protocol.Send) {
	data, err := protocol.AppendMessage(nil, s.Message)
	if err != nil {
		d.log.Error("message cannot be encoded", slog.String("kind", fmt.Sprintf("%T", s.Message)), slog.Any("error", err))
		return
	}
	if err := d.bus.Publish(s.Subject(d.node.Name()), data); err != nil {
		d.log.Warn("message not sent", slog.Any("error", err))
	}
}

// read answers a ReadMissing and sends what was read under the number that
// the machine gives it.
func (d *delivery) read(m protocol.ReadMissing) error {
	var got drive.Missed
	err := d.node.ViewAround(func(r session.Reader) (damage, err error) {
		got, err = d.reads.Missing(r, m)
		return got.Damage, err
	})
	if err != nil {
		return err
	}
	if got.Damage != nil {
		d.log.Error("delivery ends at a damaged record", slog.String("space", m.Space), slog.Any("error", got.Damage))
	}
	out, err := d.machine.Step(protocol.Instant(time.Since(d.started)), got.Read)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	for _, to := range out.Deliver {
		d.send(protocol.Send{Place: protocol.ToNode, Name: to.Node, Message: drive.DeliverOf(to, got.Frames)})
	}
	out.Deliver = nil
	return d.carryOut(out)
}

func (d *delivery) chains(l protocol.LookupChains) error {
	return d.node.ViewAround(func(r session.Reader) (damage, err error) {
		in, damage, err := drive.Chains(r, l)
		d.pending = append(d.pending, in)
		return damage, err
	})
}

func (d *delivery) digest(ask protocol.DigestAsk) error {
	err := d.node.View(func(r session.Reader) error {
		in, err := drive.Digest(r, ask)
		if err == nil {
			d.pending = append(d.pending, in)
		}
		return err
	})
	if errors.Is(err, session.ErrCorrupt) {
		d.log.Error("digest not computed", slog.Any("error", err))
		return nil
	}
	return err
}

// loadHeads tells the machine what the store holds and who is fenced.
func (d *delivery) loadHeads() error {
	return d.node.View(func(r session.Reader) error {
		ins, err := drive.CoreStart(r)
		for _, in := range ins {
			if all, ok := in.(protocol.Advanced); ok {
				d.progress.Seed(all.Feeds)
			}
		}
		d.pending = append(d.pending, ins...)
		return err
	})
}

// attachAsked adds to an attach what this store holds.
func (d *delivery) attachAsked(ask protocol.Attach) (in protocol.AttachAsked, err error) {
	err = d.node.ViewAround(func(r session.Reader) (damage, err error) {
		in, damage, err = drive.AttachAsked(r, ask, d.ready(ask.Node))
		return damage, err
	})
	return in, err
}
