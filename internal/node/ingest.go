package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/vclock"
)

// errNoSnapshot says that a snapshot came, which this version does not take.
var errNoSnapshot = errors.New("snapshots are not taken by this version")

// ingestLoop commits deliveries: as many as have come into one commit.
func (s *Sync) ingestLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-s.ingests:
			s.ingest(ctx, s.gather(first))
		}
	}
}

// gather takes what else is waiting, up to what fits into one commit.
func (s *Sync) gather(first protocol.Ingest) []protocol.Ingest {
	batch := []protocol.Ingest{first}
	ops := opsIn(first)
	for ops < maxIngestOps {
		select {
		case in := <-s.ingests:
			batch = append(batch, in)
			ops += opsIn(in)
		default:
			return batch
		}
	}
	return batch
}

func opsIn(in protocol.Ingest) int {
	n := 0
	for i := range in.Frames {
		n += len(in.Frames[i].Entries)
	}
	return n
}

// ingest commits deliveries in order, in transactions of at most maxIngestOps
// ops unless a single frame has more, and reports each one's outcome. What was
// added is told by the node's progress, ahead of that.
func (s *Sync) ingest(ctx context.Context, batch []protocol.Ingest) {
	outcomes := make([]error, len(batch))
	var chunk []*protocol.Frame
	var of []int // the delivery of each frame of the chunk
	ops := 0
	flush := func() {
		s.commitFrames(ctx, chunk, of, outcomes)
		chunk, of, ops = nil, nil, 0
	}
	for i := range batch {
		if batch[i].Snapshot != nil {
			outcomes[i] = errNoSnapshot
		}
		for j := range batch[i].Frames {
			f := &batch[i].Frames[j]
			if ops > 0 && ops+len(f.Entries) > maxIngestOps {
				flush()
			}
			chunk, of, ops = append(chunk, f), append(of, i), ops+len(f.Entries)
		}
	}
	flush()
	for i, in := range batch {
		s.Input(ctx, protocol.Ingested{Attachment: in.Attachment, N: in.N, Err: outcomes[i]})
	}
}

// commitFrames takes frames into one transaction and adds what went wrong to
// the outcomes of their deliveries.
func (s *Sync) commitFrames(ctx context.Context, frames []*protocol.Frame, of []int, outcomes []error) {
	if len(frames) == 0 {
		return
	}
	_, refused, err := s.node.Ingest(ctx, frames, nil)
	if err != nil && ctx.Err() == nil {
		s.node.cfg.Log.Warn("delivery not committed", slog.Int("frames", len(frames)), slog.Any("error", err))
	}
	for i, d := range of {
		if err != nil {
			outcomes[d] = err
			continue
		}
		outcomes[d] = errors.Join(outcomes[d], s.refusal(refused[i]))
	}
}

// refusal tells whether a refused frame spoils its delivery. A fork does not:
// it is for operators, and the other feeds must go on.
func (s *Sync) refusal(err error) error {
	if err == nil {
		return nil
	}
	s.node.cfg.Log.Warn("frame refused", slog.Any("error", err))
	if errors.Is(err, replica.ErrFork) {
		s.node.problems.set("feed_forked", err.Error(), s.node.cfg.Wall())
		return nil
	}
	return err
}

// act does what a fact asks of the node itself, then passes it on.
func (s *Sync) act(ctx context.Context, f protocol.Fact) {
	switch f := f.(type) {
	case protocol.AttachGranted:
		s.parts.Store(int64(f.Partitions))
	case protocol.Regressed:
		s.renew(ctx, f.Origin, fmt.Sprintf("the core holds op %d of %s, this node only %d: its storage was restored",
			f.Theirs, f.Origin, f.Ours))
	case protocol.Forked:
		if f.Own {
			s.forked(ctx, f)
		} else {
			s.node.problems.set("feed_forked", fmt.Sprintf("%s of %s differs from the core's at op %d", f.Origin, f.Space, f.At),
				s.node.cfg.Wall())
		}
	case protocol.Fenced:
		s.renew(ctx, f.Origin, fmt.Sprintf("the core refuses origin %s", f.Origin))
	}
	if s.cfg.OnFact != nil {
		s.cfg.OnFact(f)
	}
}

// renew takes a new origin when the present one is in doubt.
func (s *Sync) renew(ctx context.Context, doubted vclock.Origin, why string) {
	if doubted != s.node.Origin() {
		return
	}
	origin, err := s.node.RenewOrigin(ctx, why)
	if err != nil {
		s.node.cfg.Log.Error("no new origin", slog.Any("error", err))
		return
	}
	s.pending = append(s.pending, protocol.NewOrigin{Origin: origin})
}

// forked makes the ops of a feed of our own where the core holds others again
// under a new origin, so that nothing that was acknowledged here is lost. As
// long as the place is only bounded it waits: what is written meanwhile under
// the old origin depends on ops that move, and has to move with them. Without
// an attachment nobody finds the place.
func (s *Sync) forked(ctx context.Context, f protocol.Forked) {
	why := fmt.Sprintf("the core holds other content of %s from op %d on", f.Origin, f.At)
	if f.At > f.After+1 {
		if s.cfg.Machine.UploadOnly {
			s.renew(ctx, f.Origin, why)
		}
		return
	}
	before := s.node.Origin()
	head, err := s.node.Reissue(ctx, f.Feed, f.After, why)
	if err != nil {
		s.node.cfg.Log.Error("ops not made again under the new origin", slog.Any("error", err))
		s.renew(ctx, f.Origin, why)
		return
	}
	if now := s.node.Origin(); now != before {
		s.pending = append(s.pending, protocol.NewOrigin{Origin: now})
	}
	s.pending = append(s.pending, protocol.Replaced{Feed: f.Feed, Head: head})
}
