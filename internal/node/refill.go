package node

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
)

// refill joins a [drive.Refill] to the loop of a core node's [Sync]: the loop
// tells it what happens and goes where it says, others raise doubts.
type refill struct {
	nudge chan struct{} // has a value when something was said to it; never closed

	mu     sync.Mutex // guards decide
	decide *drive.Refill
}

func newRefill() *refill {
	return &refill{nudge: make(chan struct{}, 1), decide: drive.NewRefill(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))}
}

// withRefill has the decider used, and the loop look at the outcome.
func (s *Sync) withRefill(use func(*drive.Refill, protocol.Instant)) {
	s.refill.mu.Lock()
	use(s.refill.decide, protocol.Instant(time.Since(s.started)))
	s.refill.mu.Unlock()
	select {
	case s.refill.nudge <- struct{}{}:
	default:
	}
}

// Meet says who the other core nodes are.
func (s *Sync) Meet(peers []string) {
	s.withRefill(func(r *drive.Refill, at protocol.Instant) { r.Meet(at, peers) })
}

// CaughtUp says that the streams were read to where they ended at the start.
func (s *Sync) CaughtUp() { s.withRefill((*drive.Refill).CaughtUp) }

// Doubt says that this node may lack what its peers hold.
func (s *Sync) Doubt() { s.withRefill((*drive.Refill).Doubt) }

// Admits reports whether a node's attach may be granted; see [drive.Refill.Admits].
func (s *Sync) Admits(node string) bool {
	s.refill.mu.Lock()
	defer s.refill.mu.Unlock()
	return s.refill.decide.Admits(node)
}

// settled reports whether the other core nodes were asked since the start.
func (s *Sync) settled() bool {
	s.refill.mu.Lock()
	defer s.refill.mu.Unlock()
	return s.refill.decide.Settled()
}

// tellRefill says what the machine was told and what it noticed.
func (s *Sync) tellRefill(in protocol.EdgeInput, facts []protocol.Fact) {
	if !s.cfg.Refill {
		return
	}
	at := protocol.Instant(time.Since(s.started))
	s.refill.mu.Lock()
	defer s.refill.mu.Unlock()
	s.refill.decide.Told(at, in)
	for _, f := range facts {
		s.refill.decide.Note(at, f)
	}
}

// turn has the machine attach elsewhere if it is time to, and gives the next
// wake-up of both.
func (s *Sync) turn(wake protocol.Instant) (moved bool, next protocol.Instant) {
	if !s.cfg.Refill {
		return false, wake
	}
	s.refill.mu.Lock()
	defer s.refill.mu.Unlock()
	move, again := s.refill.decide.Turn(protocol.Instant(time.Since(s.started)))
	if move != nil {
		s.pending = append(s.pending, *move)
	}
	if again != 0 && (wake == 0 || again < wake) {
		wake = again
	}
	return move != nil, wake
}
