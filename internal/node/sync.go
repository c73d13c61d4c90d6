package node

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Conn is what the edge half needs of a connection to the core.
type Conn interface {
	// PublishFrame stores data on the stream behind subject if the last message
	// on the subject has the number expect, and returns its number there.
	PublishFrame(ctx context.Context, subject string, data []byte, msgID string, expect uint64) (uint64, bool, error)
	// SubjectHead returns the last message on a subject, zero if there is none.
	SubjectHead(ctx context.Context, stream, subject string) (uint64, map[string][]string, []byte, error)
	// Publish sends data to whoever listens now.
	Publish(subject string, data []byte) error
}

// SyncConfig is what [Sync] needs besides the node.
type SyncConfig struct {
	Machine protocol.EdgeConfig
	// Partitions of the cluster; zero until a core node has said it.
	Partitions int
	// Classify tells how a publication failed.
	Classify func(error) protocol.FailureKind
	// Compression says how frames are packed now.
	Compression func() protocol.Compression
	// OnFact sees every fact after the node has acted on it; may be nil.
	OnFact func(protocol.Fact)
	// Refill has the node visit other core nodes, once they are known by [Sync.Meet];
	// the machine is told LinkUp without a core node then.
	Refill bool
}

// Sync drives the edge half of the sync machine: it is the only loop that
// steps it. An edge runs it over its link, a core node over the connection to
// its own bus.
type Sync struct {
	node     *Node
	conn     Conn
	cfg      SyncConfig
	machine  *protocol.Edge
	inputs   chan protocol.EdgeInput // closed by nobody
	ended    chan struct{}           // closed by Run when it takes no more inputs
	ingests  chan protocol.Ingest    // closed by nobody; as many as a credit window
	pending  []protocol.EdgeInput    // answers that the loop made itself
	origin   vclock.Origin           // that noteOrigin told the machine last
	started  time.Time
	kept     drive.Cursors // outbox cursors to persist
	tasks    sync.WaitGroup
	told     drive.Told // heads that the machine knows
	progress *Progress
	refill   *refill
	unread   []protocol.Feed // that moved and whose heads are damaged: read again each KeepEvery
	inVain   *inVain
	hopeless drive.Despair
	heldUp   []drive.Reaction // reissues that damaged records stopped
	triedAt  time.Time        // when those were tried last
	parts    atomic.Int64     // partitions of the cluster; zero: not known yet
}

const syncInputs = 1024 // inputs waiting for the loop

// NewSync makes the driver. Nothing runs before Run.
func NewSync(n *Node, conn Conn, cfg SyncConfig) (*Sync, error) {
	seed := rand.NewPCG(rand.Uint64(), rand.Uint64())
	m, err := protocol.NewEdge(cfg.Machine, rand.New(seed))
	if err != nil {
		return nil, err
	}
	s := &Sync{
		node: n, progress: n.Watch(), conn: conn, cfg: cfg, machine: m,
		inputs:  make(chan protocol.EdgeInput, syncInputs),
		ingests: make(chan protocol.Ingest, protocol.CreditWindow+1),
		started: time.Now(),
		ended:   make(chan struct{}),
		refill:  newRefill(),
		inVain:  newInVain(),
		origin:  cfg.Machine.Origin,
	}
	n.OnUnanswered(s.inVain.add)
	s.parts.Store(int64(cfg.Partitions))
	return s, nil
}

// Input hands an input to the loop; it waits while the loop is behind, and
// drops the input when Run has ended.
func (s *Sync) Input(ctx context.Context, in protocol.EdgeInput) {
	if _, up := in.(protocol.LinkUp); up {
		s.node.Reconnected()
	}
	select {
	case s.inputs <- in:
	case <-ctx.Done():
	case <-s.ended:
	}
}

// Receive decodes a message off the wire and hands it to the loop. What cannot
// be decoded is counted and dropped.
func (s *Sync) Receive(ctx context.Context, data []byte) {
	m, err := protocol.DecodeMessage(data)
	if err != nil {
		s.node.MessageDropped()
		s.node.cfg.Log.Warn("message dropped", slog.Int("bytes", len(data)), slog.Any("error", err))
		return
	}
	s.Input(ctx, protocol.Received{Message: m})
}

// Run steps the machine until ctx ends.
func (s *Sync) Run(ctx context.Context) error {
	defer s.tasks.Wait()
	defer close(s.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.loadHeads(ctx); err != nil {
		return err
	}
	s.tasks.Go(func() { s.ingestLoop(ctx) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	keep := time.NewTicker(drive.KeepEvery)
	defer keep.Stop()
	for {
		var in protocol.EdgeInput
		select {
		case <-ctx.Done():
			return ctx.Err()
		case in = <-s.inputs:
		case <-timer.C:
			in = protocol.Wake{}
		case <-s.progress.Changed():
			in = protocol.Wake{}
		case <-s.refill.nudge:
			in = protocol.Wake{}
		case <-s.inVain.nudge:
			s.despair(ctx)
			in = protocol.Wake{}
		case <-keep.C:
			s.keepCursors(ctx)
			s.readAgain()
			s.noteOrigin()
			if s.reissueLater(ctx); len(s.pending) == 0 {
				continue
			}
			in = protocol.Wake{}
		}
		if err := s.noteProgress(); err != nil {
			return err
		}
		wake, err := s.step(ctx, in)
		if err != nil {
			return err
		}
		timer.Stop()
		if wake != 0 {
			timer.Reset(max(time.Duration(wake)-time.Since(s.started), 0))
		}
	}
}

// noteOrigin tells the machine of an origin that the node took without it, when
// its hybrid clock was put back.
func (s *Sync) noteOrigin() {
	if o := s.node.Origin(); o != s.origin {
		s.origin = o
		s.pending = append(s.pending, protocol.NewOrigin{Origin: o})
	}
}

// step gives the machine an input and everything that answers itself at once.
func (s *Sync) step(ctx context.Context, in protocol.EdgeInput) (protocol.Instant, error) {
	var wake protocol.Instant
	s.pending = append(s.pending, in)
	for {
		if len(s.pending) == 0 {
			moved, next := s.turn(wake)
			if !moved {
				return next, nil
			}
		}
		in, s.pending = s.pending[0], s.pending[1:]
		if s.told.Stale(in) {
			continue
		}
		out, err := s.machine.Step(protocol.Instant(time.Since(s.started)), in)
		if err != nil {
			if !drive.EdgeExcuses(in) {
				return 0, fmt.Errorf("sync: input %T: %w", in, err)
			}
			s.node.MessageDropped()
			s.node.cfg.Log.Warn("message refused", slog.Any("error", err))
			continue
		}
		wake = out.WakeAt
		s.tellRefill(in, out.Facts)
		if err := s.carryOut(ctx, out); err != nil {
			return 0, err
		}
	}
}

func (s *Sync) carryOut(ctx context.Context, out protocol.EdgeOutput) error {
	for _, r := range out.Released {
		s.kept.Note(r)
		s.node.released(r)
	}
	for _, a := range out.Acked {
		s.node.Acked(a.Feed, a.Seq)
	}
	for _, in := range out.Ingest {
		s.handOver(ctx, in)
	}
	for _, l := range out.Lookup {
		if err := s.lookup(l); err != nil {
			return err
		}
	}
	for _, a := range out.Ask {
		s.tasks.Go(func() { s.Input(ctx, s.ask(ctx, a)) })
	}
	for _, p := range out.Publish {
		s.tasks.Go(func() { s.Input(ctx, s.publish(ctx, p)) })
	}
	for _, m := range out.Send {
		s.send(m)
	}
	for _, f := range out.Facts {
		s.act(ctx, f)
	}
	return nil
}

// handOver gives a delivery to the ingest loop. It takes inputs meanwhile, or
// both loops could wait for each other.
func (s *Sync) handOver(ctx context.Context, in protocol.Ingest) {
	for {
		select {
		case s.ingests <- in:
			return
		case other := <-s.inputs:
			s.pending = append(s.pending, other)
		case <-ctx.Done():
			return
		}
	}
}

// loadHeads tells the machine what the store holds.
func (s *Sync) loadHeads(ctx context.Context) error {
	var ins []protocol.Persisted
	err := s.node.View(func(r session.Reader) error {
		var err error
		ins, err = drive.EdgeStart(r)
		return err
	})
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	for _, p := range ins {
		s.node.released(protocol.FeedSeq{Feed: p.Feed, Seq: p.Released})
		s.node.Acked(p.Feed, p.Released)
		if _, err := s.step(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// noteProgress tells the machine the heads of the feeds that have moved, before
// anything that was made of them comes back. A head that is damaged is told when
// it is repaired.
func (s *Sync) noteProgress() error {
	moved := s.progress.Take()
	if len(moved) == 0 {
		return nil
	}
	feeds := make([]protocol.Feed, len(moved))
	for i, h := range moved {
		feeds[i] = h.Feed
	}
	err := s.node.ViewAround(func(r session.Reader) (damage, err error) {
		ins, left, damage, err := drive.EdgeHeads(r, feeds)
		s.unread = append(s.unread, left...)
		for _, in := range ins {
			s.pending = append(s.pending, in)
		}
		return damage, err
	})
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// readAgain has feeds read again whose heads were damaged.
func (s *Sync) readAgain() {
	for _, f := range s.unread {
		s.progress.touch(protocol.FeedHead{Feed: f})
	}
	s.unread = nil
}

func (s *Sync) lookup(l protocol.LookupChain) error {
	return s.node.ViewAround(func(r session.Reader) (damage, err error) {
		in, damage, err := drive.Lookup(r, l)
		if err == nil {
			s.pending = append(s.pending, in)
		}
		return damage, err
	})
}

func (s *Sync) ask(ctx context.Context, a protocol.AskSubject) protocol.EdgeInput {
	ctx, cancel := context.WithTimeout(ctx, drive.SendTimeout)
	defer cancel()
	parts := int(s.parts.Load())
	if parts == 0 {
		return drive.Failed(a.Feed, a.Attempt, protocol.Unknown)
	}
	stream := protocol.StreamName(protocol.Partition(a.Space, parts))
	seq, _, data, err := s.conn.SubjectHead(ctx, stream, protocol.OpSubject(a.Feed, parts))
	if err != nil {
		return drive.Failed(a.Feed, a.Attempt, protocol.Unknown)
	}
	got, err := drive.SubjectHead(a, seq, data)
	if err != nil {
		s.node.MessageDropped()
		s.node.cfg.Log.Warn("last message of a feed is not a frame", slog.String("space", a.Space), slog.Any("error", err))
	}
	return got
}

func (s *Sync) publish(ctx context.Context, p protocol.Publish) protocol.EdgeInput {
	parts := int(s.parts.Load())
	if parts == 0 {
		return drive.Failed(p.Feed, p.Attempt, protocol.Unknown)
	}
	var frame *protocol.Frame
	err := s.node.View(func(r session.Reader) error {
		var err error
		frame, err = drive.PublishFrame(r, p)
		return err
	})
	if err != nil || frame == nil {
		s.node.cfg.Log.Error("frame cannot be read", slog.String("space", p.Space),
			slog.Uint64("from", uint64(p.From)), slog.Any("error", err))
		return drive.Failed(p.Feed, p.Attempt, protocol.Unreadable)
	}
	data, err := protocol.AppendMessage(nil, protocol.Upload{Frame: *frame, Compression: s.cfg.Compression()})
	if err != nil {
		s.node.cfg.Log.Error("frame cannot be encoded", slog.String("space", p.Space), slog.Any("error", err))
		return drive.Failed(p.Feed, p.Attempt, protocol.Unreadable)
	}
	ctx, cancel := context.WithTimeout(ctx, drive.SendTimeout)
	defer cancel()
	seq, _, err := s.conn.PublishFrame(ctx, protocol.OpSubject(p.Feed, parts), data, protocol.MsgID(frame, p.Nonce), p.Expect)
	if err != nil {
		return drive.Failed(p.Feed, p.Attempt, s.cfg.Classify(err))
	}
	return drive.PublishedOf(p, frame, seq)
}

// send gives a message away without a promise; the machine asks again if no
// answer comes.
func (s *Sync) send(m protocol.Send) {
	data, err := protocol.AppendMessage(nil, m.Message)
	if err != nil {
		s.node.cfg.Log.Error("message cannot be encoded", slog.String("kind", fmt.Sprintf("%T", m.Message)), slog.Any("error", err))
		return
	}
	if err := s.conn.Publish(m.Subject(s.node.cfg.Name), data); err != nil {
		s.node.cfg.Log.Debug("message not sent", slog.Any("error", err))
	}
}

// keepCursors persists how far the outbox is released, so that a restart knows
// it without asking. Losing the last second only costs a question.
func (s *Sync) keepCursors(ctx context.Context) {
	kept := s.kept.Take()
	if len(kept) == 0 {
		return
	}
	s.tasks.Go(func() {
		err := s.node.Update(ctx, func(tx session.Tx) error { return drive.KeepCursors(tx, kept) })
		if err != nil && ctx.Err() == nil {
			s.node.cfg.Log.Warn("outbox cursors not kept", slog.Any("error", err))
		}
	})
}
