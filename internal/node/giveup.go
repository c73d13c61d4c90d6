package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// inVain collects the ops of our own that nobody had, for the loop that decides
// whether they are given up.
type inVain struct {
	nudge chan struct{} // has a value when there is one; never closed

	mu   sync.Mutex // guards list
	list []protocol.OpAsk
}

func newInVain() *inVain { return &inVain{nudge: make(chan struct{}, 1)} }

func (v *inVain) add(ask protocol.OpAsk) {
	v.mu.Lock()
	if len(v.list) < maxDamaged { // another try tells of it again
		v.list = append(v.list, ask)
	}
	v.mu.Unlock()
	select {
	case v.nudge <- struct{}{}:
	default:
	}
}

func (v *inVain) take() []protocol.OpAsk {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := v.list
	v.list = nil
	return list
}

// OnUnanswered sets who is told of an op of our own whose record is damaged and
// which nobody had.
func (n *Node) OnUnanswered(tell func(protocol.OpAsk)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unanswered = tell
}

func (n *Node) tellUnanswered(ask protocol.OpAsk) {
	n.mu.Lock()
	tell := n.unanswered
	n.mu.Unlock()
	if tell != nil && protocol.NodeOf(ask.Origin) == n.cfg.Name {
		tell(ask)
	}
}

// GiveUp puts a stand-in for an op of our own, see [drive.GiveUp], and tells the
// operator.
func (n *Node) GiveUp(ctx context.Context, ask protocol.OpAsk) (drive.GivingUp, error) {
	var g drive.GivingUp
	step := func(do func(session.Tx, drive.GivingUp) (drive.GivingUp, error)) error {
		var next drive.GivingUp
		err := n.store.Update(ctx, store.Sync, func(tx session.Tx) (err error) {
			next, err = do(tx, g)
			return err
		})
		if err == nil {
			g = next
		}
		return n.seen(err)
	}
	err := step(func(tx session.Tx, _ drive.GivingUp) (drive.GivingUp, error) {
		return drive.GiveUp(tx, n.replica, n.identity(), ask)
	})
	if err != nil {
		return g, err
	}
	problem := g.Problem()
	if g.Origin != n.Origin() {
		n.renewed(g.Origin, problem.Detail)
	}
	for !g.Done {
		if err := step(func(tx session.Tx, g drive.GivingUp) (drive.GivingUp, error) { return g.Go(tx) }); err != nil {
			return g, err
		}
	}
	if g.Head.Seq == 0 {
		return g, nil // it came back meanwhile
	}
	n.problems.set(problem.Name, problem.Detail, n.wall())
	n.cfg.Log.Error("op given up", slog.String("space", g.Space), slog.String("session", g.Session),
		slog.String("origin", string(g.StandIn.Origin)), slog.Uint64("seq", uint64(g.Seq)))
	n.mended(session.OpKey(g.Space, g.StandIn.Origin, g.Seq))
	n.mu.Lock()
	for _, p := range n.watch {
		p.reset(g.Feed, g.Cut)
	}
	n.mu.Unlock()
	n.moved(protocol.FeedHead{Feed: g.Feed, Head: g.Head})
	n.hub.notify(g.Space, g.Session)
	return g, nil
}

// despair looks at the ops that nobody had.
func (s *Sync) despair(ctx context.Context) {
	for _, ask := range s.inVain.take() {
		known, told := s.machine.Known(ask.Feed)
		told = told || s.cfg.Refill && s.settled()
		if !s.hopeless.Unanswered(protocol.Instant(time.Since(s.started)), ask, known, told) {
			continue
		}
		before := s.node.Origin()
		done, err := s.node.GiveUp(ctx, ask)
		s.pending = append(s.pending, done.Inputs(before)...)
		if err != nil {
			s.node.cfg.Log.Error("op not given up", slog.Any("error", err))
		}
	}
}

// known is how far other nodes, or the stream, may hold a feed of our own.
func (s *Sync) known(f protocol.Feed) vclock.Seq {
	through, _ := s.machine.Known(f)
	return through
}

// reissueLater tries those reissues again that damaged records held up.
func (s *Sync) reissueLater(ctx context.Context) {
	if len(s.heldUp) == 0 || time.Since(s.triedAt) < drive.RepairEvery {
		return
	}
	s.triedAt = time.Now()
	list := s.heldUp
	s.heldUp = nil
	for _, what := range list {
		s.reissue(ctx, what)
	}
}

// reissue makes ops of our own again under a new origin; false if that failed.
// If a damaged record is in the way, it is tried again.
func (s *Sync) reissue(ctx context.Context, what drive.Reaction) bool {
	before := s.node.Origin()
	done, err := s.node.Reissue(ctx, what.Reissue.Feed, what.Reissue.Seq, s.known, what.Why)
	switch {
	case errors.Is(err, session.ErrCorrupt):
		s.heldUp = append(s.heldUp, what)
	case err != nil:
		s.pending = append(s.pending, protocol.NotRemade{Feed: what.Reissue.Feed})
	}
	if err != nil {
		s.node.problems.set("ops_not_reissued", err.Error(), s.node.wall())
		s.node.cfg.Log.Error("ops not made again under the new origin", slog.Any("error", err))
		return false
	}
	s.node.problems.clear("ops_not_reissued")
	s.pending = append(s.pending, done.Inputs(before)...)
	return true
}
