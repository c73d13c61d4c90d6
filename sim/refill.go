package sim

import (
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
)

// visits joins a core node's drive.Refill to its loop, as node.Sync does. It is
// empty at edges and where there is one core node only.
type visits struct {
	decide *drive.Refill
	met    bool
	wakeAt protocol.Instant
	alarm  alarm
}

// startVisits begins without a peer that is known.
func (n *node) startVisits() {
	if n.core != nil && len(n.w.cores) > 1 {
		v := &n.half.visits
		v.decide = drive.NewRefill(split(n.w.seed, "refill", n.lane, fmt.Sprint(n.boots)))
		v.decide.Every = n.w.plan.Timing.scale(v.decide.Every)
		v.alarm = alarm{wanted: func() protocol.Instant { return v.wakeAt }, ring: n.loopEdge}
	}
}

// meetPeers says who the other core nodes are, once the streams were read.
func (n *node) meetPeers() {
	v := &n.half.visits
	if v.decide == nil || v.met || !n.core.caughtUp() {
		return
	}
	v.met = true
	var names []string
	for _, c := range n.w.cores {
		if c != n {
			names = append(names, c.name)
		}
	}
	v.decide.Meet(n.instant(), names)
	v.decide.CaughtUp(n.instant())
	n.loopEdge()
}

// doubts has the peers visited.
func (n *node) doubts() {
	if v := &n.half.visits; v.decide != nil {
		v.decide.Doubt(n.instant())
		n.loopEdge()
	}
}

// toldVisits says what the machine was told and what it noticed.
func (n *node) toldVisits(in protocol.EdgeInput, facts []protocol.Fact) {
	v := &n.half.visits
	if v.decide == nil {
		return
	}
	v.decide.Told(n.instant(), in)
	for _, f := range facts {
		v.decide.Note(n.instant(), f)
	}
}

// turn has the machine attach elsewhere if it is time to; false if it stays.
func (n *node) turn() bool {
	v := &n.half.visits
	if v.decide == nil {
		return false
	}
	move, wake := v.decide.Turn(n.instant())
	v.wakeAt = wake
	n.setAlarm(&v.alarm)
	if move == nil {
		return false
	}
	n.half.inputs = append(n.half.inputs, *move)
	return true
}

// admits reports whether a node's attach may be granted.
func (c *coreHalf) admits(node string) bool {
	decide := c.n.half.visits.decide
	return c.caughtUp() && (decide == nil || decide.Admits(node))
}
