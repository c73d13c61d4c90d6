package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

const (
	deliveryInputs = 4096     // inputs waiting for the loop
	compressAbove  = 16 << 10 // bytes of ops in one delivery from which on it is compressed
)

// delivery drives the core half of the sync machine: it is the only loop that
// steps it.
type delivery struct {
	node     *node.Node
	bus      *Bus
	log      *slog.Logger
	machine  *protocol.Core
	progress *node.Progress
	inputs   chan protocol.CoreInput // closed by nobody
	ready    func() bool             // the streams have been read to their ends once
	onFact   func(protocol.Fact)
	onWant   func(context.Context, protocol.Want) // another core node lacks something
	doubt    chan struct{}                        // has a value when the stream hid frames; closed by nobody
	attached map[string]uint64                    // attachments by node
	started  time.Time
	pending  []protocol.CoreInput
}

func newDelivery(n *node.Node, bus *Bus, cfg protocol.CoreConfig, log *slog.Logger, ready func() bool) (*delivery, error) {
	m, err := protocol.NewCore(cfg, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if err != nil {
		return nil, err
	}
	return &delivery{
		node: n, bus: bus, log: log, machine: m, progress: n.Watch(), ready: ready,
		inputs: make(chan protocol.CoreInput, deliveryInputs), onFact: func(protocol.Fact) {}, started: time.Now(),
		onWant: func(context.Context, protocol.Want) {}, doubt: make(chan struct{}, 1), attached: make(map[string]uint64),
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
			d.pending = append(d.pending, advanced(d.progress.Take()), in)
		case <-timer.C:
			d.pending = append(d.pending, protocol.Wake{})
		case <-d.doubt:
			d.greetAgain()
		case <-d.progress.Changed():
			d.pending = append(d.pending, advanced(d.progress.Take()))
		}
	}
}

// streamHidFrames says that frames are gone from the stream before they were read.
func (d *delivery) streamHidFrames() {
	select {
	case d.doubt <- struct{}{}:
	default:
	}
}

// greetAgain ends all attachments. The nodes make them again and say what they
// hold, which shows what this store lacks; frames that follow in the stream
// would show it only for the feeds that go on.
func (d *delivery) greetAgain() {
	for _, name := range slices.Sorted(maps.Keys(d.attached)) {
		d.send(protocol.Send{Place: protocol.ToNode, Name: name, Message: protocol.Detach{Attachment: d.attached[name]}})
	}
}

// note keeps who is attached.
func (d *delivery) note(f protocol.Fact) {
	switch f := f.(type) {
	case protocol.NodeAttached:
		d.attached[f.Node] = f.Attachment
	case protocol.NodeGone:
		if d.attached[f.Node] == f.Attachment {
			delete(d.attached, f.Node)
		}
	}
}

func advanced(heads map[protocol.Feed]protocol.Head) protocol.Advanced {
	feeds := slices.SortedFunc(maps.Keys(heads), func(a, b protocol.Feed) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Origin, b.Origin))
	})
	in := protocol.Advanced{Feeds: make([]protocol.FeedHead, len(feeds))}
	for i, f := range feeds {
		in.Feeds[i] = protocol.FeedHead{Feed: f, Head: heads[f]}
	}
	return in
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
		if _, seen := in.(protocol.FrameSeen); seen && errors.Is(err, protocol.ErrDisorder) {
			continue // the feed has grown since the frame was looked at; the next frame shows what is missing still
		}
		if err != nil {
			if _, wire := in.(protocol.Received); !wire {
				return 0, fmt.Errorf("delivery: input %T: %w", in, err)
			}
			d.log.Warn("message refused", slog.Any("error", err))
			continue
		}
		wake = out.WakeAt
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
		d.note(f)
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
	in := protocol.Read{Attachment: m.Attachment, Space: m.Space, Reached: m.After}
	var frames []*protocol.Frame
	err := d.node.View(func(r session.Reader) error {
		var err error
		budget := replica.Budget{Ops: m.MaxOps, Bytes: m.MaxBytes}
		frames, in.Reached, in.More, err = replica.Missing(r, m.Space, m.After, budget)
		return err
	})
	if err != nil && !errors.Is(err, session.ErrCorrupt) {
		return fmt.Errorf("read what a node lacks of %s: %w", m.Space, err)
	}
	if err != nil {
		// What was read before the damage is delivered; the damaged record is
		// being repaired, and the node asks again.
		in.More = false
		d.log.Error("delivery ends at a damaged record", slog.String("space", m.Space), slog.Any("error", err))
	}
	if len(frames) > protocol.MaxDeliverFrames {
		frames, in.More = frames[:protocol.MaxDeliverFrames], true
		in.Reached = reached(m.After, frames)
	}
	in.Frames = len(frames)
	out, err := d.machine.Step(protocol.Instant(time.Since(d.started)), in)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	for _, to := range out.Deliver {
		d.deliver(to, frames)
	}
	out.Deliver = nil
	return d.carryOut(out)
}

func reached(after vclock.Vector, frames []*protocol.Frame) vclock.Vector {
	for _, f := range frames {
		after = after.With(vclock.Dot{Origin: f.Origin, Seq: f.To()})
	}
	return after
}

func (d *delivery) deliver(to protocol.Delivery, frames []*protocol.Frame) {
	msg := protocol.Deliver{Attachment: to.Attachment, N: to.N, Frames: make([]protocol.Frame, len(frames))}
	bytes := 0
	for i, f := range frames {
		msg.Frames[i] = *f
		for _, e := range f.Entries {
			bytes += len(e.Bytes)
		}
	}
	if bytes > compressAbove {
		msg.Compression = protocol.Zstd
	}
	d.send(protocol.Send{Place: protocol.ToNode, Name: to.Node, Message: msg})
}

func (d *delivery) chains(l protocol.LookupChains) error {
	in := protocol.ChainsFound{Node: l.Node, Feed: l.Feed}
	err := d.node.View(func(r session.Reader) error {
		for _, seq := range l.Seqs {
			chain, ok, err := replica.ChainAt(r, l.Feed, seq)
			if err != nil && !errors.Is(err, session.ErrCorrupt) {
				return err
			}
			if ok && err == nil {
				in.Heads = append(in.Heads, protocol.Head{Seq: seq, Chain: chain})
			}
		}
		return nil
	})
	d.pending = append(d.pending, in)
	return err
}

func (d *delivery) digest(ask protocol.DigestAsk) error {
	in := protocol.DigestFound{Ask: ask}
	err := d.node.View(func(r session.Reader) error {
		sum, _, err := session.SpaceDigest(r, ask.Space)
		if err != nil {
			return err
		}
		in.Sum = sum
		in.Vector, err = replica.Vector(r, ask.Space)
		return err
	})
	if errors.Is(err, session.ErrCorrupt) {
		d.log.Error("digest not computed", slog.Any("error", err))
		return nil
	}
	d.pending = append(d.pending, in)
	return err
}

// loadHeads tells the machine what the store holds and who is fenced.
func (d *delivery) loadHeads() error {
	in := protocol.Advanced{Quiet: true}
	err := d.node.View(func(r session.Reader) error {
		spaces, err := replica.Spaces(r)
		if err != nil {
			return err
		}
		for _, space := range spaces {
			heads, err := replica.Heads(r, space)
			if err != nil {
				return err
			}
			for _, h := range heads {
				in.Feeds = append(in.Feeds, protocol.FeedHead{Feed: h.Feed, Head: h.Head})
			}
		}
		fenced, err := replica.Fenced(r)
		for _, o := range fenced {
			d.pending = append(d.pending, protocol.Fence{Origin: o})
		}
		return err
	})
	d.pending = append(d.pending, in)
	return err
}

// attachAsked adds to an attach what this store holds.
func (d *delivery) attachAsked(ask protocol.Attach) (protocol.CoreInput, error) {
	in := protocol.AttachAsked{Attach: ask, Ready: d.ready()}
	asked := make(map[string][]protocol.OriginHead, len(ask.Spaces))
	for _, s := range ask.Spaces {
		asked[s.Space] = s.Feeds
	}
	err := d.node.View(func(r session.Reader) error {
		spaces := slices.Sorted(maps.Keys(asked))
		if ask.Everything {
			held, err := replica.Spaces(r)
			if err != nil {
				return err
			}
			spaces = append(spaces, held...)
			slices.Sort(spaces)
			spaces = slices.Compact(spaces)
		}
		for _, space := range spaces {
			state, err := stateOf(r, space, asked[space])
			if err != nil {
				return err
			}
			in.Held = append(in.Held, state)
		}
		return nil
	})
	return in, err
}

// stateOf tells what this store holds of a space in view of what the other
// side holds.
func stateOf(r session.Reader, space string, theirs []protocol.OriginHead) (protocol.SpaceState, error) {
	state := protocol.SpaceState{Space: space}
	heads, err := replica.Heads(r, space)
	if err != nil {
		return state, err
	}
	their := make(map[vclock.Origin]vclock.Seq, len(theirs))
	for _, t := range theirs {
		their[t.Origin] = t.Seq
	}
	for _, h := range heads {
		f := protocol.FeedState{OriginHead: protocol.OriginHead{Origin: h.Origin, Head: h.Head}}
		f.Common.Seq = min(h.Seq, their[h.Origin])
		var ok bool
		if f.Common.Chain, ok, err = replica.ChainAt(r, h.Feed, f.Common.Seq); err != nil && !errors.Is(err, session.ErrCorrupt) {
			return state, err
		}
		if err != nil || !ok {
			f.Common = protocol.Head{}
		}
		state.Feeds = append(state.Feeds, f)
	}
	return state, nil
}
