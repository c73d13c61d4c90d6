package node

import (
	"context"
	"log/slog"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
)

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
	ops := drive.OpsIn(first)
	for ops < drive.MaxEdgeIngestOps {
		select {
		case in := <-s.ingests:
			batch = append(batch, in)
			ops += drive.OpsIn(in)
		default:
			return batch
		}
	}
	return batch
}

// ingest commits deliveries in order and reports each one's outcome. What was
// added is told by the node's progress, ahead of that.
func (s *Sync) ingest(ctx context.Context, batch []protocol.Ingest) {
	together := drive.TakeTogether(batch)
	for _, c := range together.Chunks() {
		_, refused, err := s.node.Ingest(ctx, c.Frames, nil)
		if err != nil && ctx.Err() == nil {
			s.node.cfg.Log.Warn("delivery not committed", slog.Int("frames", len(c.Frames)), slog.Any("error", err))
		}
		for _, why := range refused {
			s.noteRefusal(why)
		}
		together.Done(c, refused, err)
	}
	for _, in := range together.Ingested() {
		s.Input(ctx, in)
	}
}

// noteRefusal tells the operators of a refused frame.
func (s *Sync) noteRefusal(why error) {
	if why == nil {
		return
	}
	s.node.cfg.Log.Warn("frame refused", slog.Any("error", why))
	if p := drive.ForkProblem(why); p != nil {
		s.node.problems.set(p.Name, p.Detail, s.node.wall())
	}
}

// act does what a fact asks of the node itself, then passes it on.
func (s *Sync) act(ctx context.Context, f protocol.Fact) {
	if granted, ok := f.(protocol.AttachGranted); ok {
		s.parts.Store(int64(granted.Partitions))
	}
	what := drive.OnFact(f, s.node.Origin(), s.cfg.Machine.UploadOnly)
	if what.Problem != nil {
		s.node.problems.set(what.Problem.Name, what.Problem.Detail, s.node.wall())
	}
	if what.Reissue == nil || !s.reissue(ctx, what) {
		s.renew(ctx, what)
	}
	if s.cfg.OnFact != nil {
		s.cfg.OnFact(f)
	}
}

// renew takes a new origin when the present one is in doubt.
func (s *Sync) renew(ctx context.Context, what drive.Reaction) {
	if !what.Renew {
		return
	}
	origin, err := s.node.RenewOrigin(ctx, what.Why)
	if err != nil {
		s.node.cfg.Log.Error("no new origin", slog.Any("error", err))
		return
	}
	s.pending = append(s.pending, protocol.NewOrigin{Origin: origin})
}
