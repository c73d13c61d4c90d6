package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// ingest reads one partition's stream into the store.
type ingest struct {
	node      *node.Node
	bus       *Bus
	delivery  *delivery
	partition int
	log       *slog.Logger
	applied   atomic.Uint64 // position in the stream
	goal      atomic.Uint64 // where the stream ended when reading began
	begun     atomic.Bool   // goal is known
}

// endRetry is the pause between questions for the end of a stream.
const endRetry = 100 * time.Millisecond

// caughtUp reports whether what was in the stream when reading began is
// applied. The present end would not do: under load it is never reached.
func (g *ingest) caughtUp() bool { return g.begun.Load() && g.applied.Load() >= g.goal.Load() }

// begin learns where the stream ends now.
func (g *ingest) begin(ctx context.Context) error {
	for {
		end, err := g.bus.End(ctx, g.partition)
		if err == nil {
			g.goal.Store(end)
			g.begun.Store(true)
			return nil
		}
		g.log.Debug("end of stream not known yet", slog.Int("partition", g.partition), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(endRetry):
		}
	}
}

// Run reads until ctx ends. A stream that was made again is read from its
// beginning: what is held already is recognised by feed numbers.
func (g *ingest) Run(ctx context.Context) error {
	from, err := g.position()
	if err != nil {
		return err
	}
	for {
		g.applied.Store(from.Seq)
		if err := g.begin(ctx); err != nil {
			return err
		}
		err := g.bus.Consume(ctx, g.partition, from, func(b Batch) error { return g.take(ctx, b) })
		if !errors.Is(err, ErrStreamRecreated) {
			return err
		}
		g.log.Warn("stream was made again; reading it from the beginning", slog.Int("partition", g.partition))
		g.delivery.onDoubt()
		from = Position{}
	}
}

func (g *ingest) position() (p Position, err error) {
	err = g.node.View(func(r session.Reader) error {
		p, err = drive.PositionAt(r, g.partition)
		return err
	})
	if errors.Is(err, session.ErrCorrupt) {
		g.log.Error("position in the stream is damaged; reading it from the beginning", slog.Any("error", err))
		return Position{}, nil
	}
	return p, err
}

func (g *ingest) save(p Position) func(session.Tx) error {
	return func(tx session.Tx) error { return drive.KeepPosition(tx, g.partition, p) }
}

// take commits a batch in as few transactions as its size allows; the position
// is committed with the frames that it stands for.
func (g *ingest) take(ctx context.Context, b Batch) error {
	for len(b.Msgs) > 0 {
		frames, n := g.decode(b)
		part := Batch{Stream: b.Stream, Msgs: b.Msgs[:n]}
		b.Msgs = b.Msgs[n:]
		end := part.End()
		var refused []error
		err := g.insist(ctx, func() (err error) {
			_, refused, err = g.node.Ingest(ctx, frames, g.save(end))
			return err
		})
		if err != nil {
			return fmt.Errorf("ingest partition %d up to %d: %w", g.partition, end.Seq, err)
		}
		g.applied.Store(end.Seq)
		g.lookForMissing(part)
		for i, err := range refused {
			if err != nil {
				if err := g.refuse(ctx, frames[i], err); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lookForMissing has those who are attached asked what they hold when messages
// are gone from the stream: expired while this node was away, or damaged.
func (g *ingest) lookForMissing(b Batch) {
	var missing uint64
	for _, m := range b.Msgs {
		missing += m.Missing
	}
	if missing > 0 {
		g.log.Error("messages are gone from the stream; what they held is asked of who is attached",
			slog.Int("partition", g.partition), slog.Uint64("missing", missing), slog.Uint64("before", b.End().Seq))
		g.delivery.streamHidFrames()
	}
}

// insist repeats do while it fails over what may pass: a record that is damaged
// until it is repaired, a disk that is nearly full. The stream keeps what comes
// meanwhile, and reads go on.
func (g *ingest) insist(ctx context.Context, do func() error) error {
	mode := fmt.Sprintf("ingest_paused_%d", g.partition)
	defer g.node.Recover(mode)
	for wait := minRetryWait; ; wait = min(2*wait, maxInsistWait) {
		err := do()
		if !errors.Is(err, session.ErrCorrupt) && !errors.Is(err, store.ErrReserve) {
			return err
		}
		g.node.Degrade(mode, fmt.Sprintf("the stream is not applied: %v", err))
		g.log.Error("stream not applied; trying again", slog.Int("partition", g.partition), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// maxInsistWait is the longest pause between tries.
const maxInsistWait = 5 * time.Second

// decode takes messages from the front of a batch until their ops fill a
// commit. A message that is no frame, or not that of its subject, is dropped.
func (g *ingest) decode(b Batch) (frames []*protocol.Frame, n int) {
	var fill drive.Fill
	for _, m := range b.Msgs {
		if m.Subject == "" { // what was there is missing
			n++
			continue
		}
		frame, err := drive.DecodeFrame(m.Subject, m.Data, g.bus.Partitions())
		if err != nil {
			g.node.MessageDropped()
			g.log.Warn("frame dropped", slog.String("subject", m.Subject), slog.Uint64("seq", m.Seq), slog.Any("error", err))
			n++
			continue
		}
		if !fill.Add(frame) {
			break
		}
		n++
	}
	return fill.Frames, n
}

// refuse tells the core half of a frame that the replica did not take, and
// keeps the evidence of a fork.
func (g *ingest) refuse(ctx context.Context, f *protocol.Frame, cause error) error {
	var seen protocol.FrameSeen
	err := g.node.View(func(r session.Reader) error {
		var err error
		seen, err = drive.RefusedFrame(r, f)
		return err
	})
	if errors.Is(err, session.ErrCorrupt) {
		g.log.Error("refused frame not compared", slog.Any("error", err))
		return nil // the record is being repaired; the frame comes again if it is needed
	}
	if err != nil {
		return fmt.Errorf("look into refused frame: %w", err)
	}
	g.log.Warn("frame refused", slog.String("space", f.Space), slog.String("origin", string(f.Origin)),
		slog.Uint64("from", uint64(f.From)), slog.Any("error", cause))
	if errors.Is(cause, replica.ErrFork) {
		err := g.insist(ctx, func() error {
			return g.node.Update(ctx, func(tx session.Tx) error { return drive.KeepEvidence(tx, f) })
		})
		if err != nil {
			return err
		}
	}
	g.delivery.input(ctx, seen)
	return nil
}
