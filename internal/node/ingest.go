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

func (s *Sync) ingest(ctx context.Context, batch []protocol.Ingest) {
	var frames []*protocol.Frame
	for i := range batch {
		for j := range batch[i].Frames {
			frames = append(frames, &batch[i].Frames[j])
		}
	}
	done, refused, err := s.node.Ingest(ctx, frames, nil)
	next := 0
	for _, in := range batch {
		outcome := err
		if in.Snapshot != nil {
			outcome = errNoSnapshot
		}
		for range in.Frames {
			if err == nil {
				outcome = errors.Join(outcome, s.refusal(refused[next]))
				if refused[next] == nil {
					s.Input(ctx, protocol.Persisted{Feed: frames[next].Feed, Head: done[next].Head})
				}
			}
			next++
		}
		s.Input(ctx, protocol.Ingested{Attachment: in.Attachment, N: in.N, Err: outcome})
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
		s.renew(ctx, f.Feed, 0, fmt.Sprintf("the core holds op %d of %s, this node only %d: its storage was restored",
			f.Theirs, f.Origin, f.Ours))
	case protocol.Forked:
		if f.Own {
			s.renew(ctx, f.Feed, f.After, fmt.Sprintf("the core holds other content of %s from op %d on", f.Origin, f.At))
		} else {
			s.node.problems.set("feed_forked", fmt.Sprintf("%s of %s differs from the core's at op %d", f.Origin, f.Space, f.At),
				s.node.cfg.Wall())
		}
	case protocol.Fenced:
		s.renew(ctx, protocol.Feed{Origin: f.Origin}, 0, fmt.Sprintf("the core refuses origin %s", f.Origin))
	}
	if s.cfg.OnFact != nil {
		s.cfg.OnFact(f)
	}
}

// renew takes a new origin when the present one is in doubt. When the feed
// forked behind op after, the ops behind it are made again under the new
// origin, so that nothing that was acknowledged here is lost.
func (s *Sync) renew(ctx context.Context, f protocol.Feed, after vclock.Seq, why string) {
	if f.Origin == s.node.Origin() {
		origin, err := s.node.RenewOrigin(ctx, why)
		if err != nil {
			s.node.cfg.Log.Error("no new origin", slog.Any("error", err))
			return
		}
		s.pending = append(s.pending, protocol.NewOrigin{Origin: origin})
	}
	if after == 0 || f.Space == "" {
		return
	}
	head, err := s.node.Reissue(ctx, f, after)
	if err != nil {
		s.node.cfg.Log.Error("ops not made again under the new origin", slog.Any("error", err))
		return
	}
	s.pending = append(s.pending, protocol.Replaced{Feed: f, Head: head})
}
