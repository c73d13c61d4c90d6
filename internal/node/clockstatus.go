package node

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/protocol"
)

const (
	maxEdgeClocks = 16384            // nodes whose clocks are remembered
	edgeClockAge  = 10 * time.Minute // after which a report is forgotten
)

// edgeClock is what a node told of its clock.
type edgeClock struct {
	protocol.ClockAsk
	at time.Time
}

// noteEdgeClock remembers how a node's clock is, and raises an alarm for it.
func (n *Node) noteEdgeClock(ask protocol.ClockAsk, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.edgeClocks[ask.Node]; !ok && len(n.edgeClocks) >= maxEdgeClocks {
		return
	}
	n.edgeClocks[ask.Node] = edgeClock{ask, at}
}

// edgeClockStatus lists the clocks of the nodes that asked lately, and puts the
// alarm for them in force or out of it.
func (n *Node) edgeClockStatus() []httpapi.EdgeClock {
	now := n.wall()
	n.mu.Lock()
	maps.DeleteFunc(n.edgeClocks, func(_ string, e edgeClock) bool { return now.Sub(e.at).Abs() > edgeClockAge })
	var list []httpapi.EdgeClock
	for name, e := range n.edgeClocks {
		c := httpapi.EdgeClock{Node: name, State: e.State.String(), Alarm: e.Alarm.String(),
			DriftPPM: e.Drift.PPM(), At: e.at.UTC()}
		if e.Known {
			c.OffsetMS, c.BoundMS = new(millis(e.Off)), new(millis(e.Bound))
		}
		list = append(list, c)
	}
	n.mu.Unlock()
	slices.SortFunc(list, func(a, b httpapi.EdgeClock) int { return cmp.Compare(a.Node, b.Node) })
	var wrong []string
	for _, c := range list {
		if c.Alarm != "" {
			wrong = append(wrong, fmt.Sprintf("%s (%s)", c.Node, c.Alarm))
		}
	}
	if len(wrong) == 0 {
		n.problems.clear("edge_clocks")
	} else {
		n.problems.set("edge_clocks", fmt.Sprintf("%d nodes have a clock alarm: %s; their writes are taken all the same",
			len(wrong), strings.Join(wrong[:min(len(wrong), 5)], ", ")), now)
	}
	return list
}

// clockStatus is the clock for people, and the clock's degraded modes.
func (n *Node) clockStatus() httpapi.ClockStatus {
	r := n.clock.Report()
	n.noteClock(&r)
	c := httpapi.ClockStatus{
		Trust: r.Trust.String(), Now: r.Time.Time(), State: r.State.String(), Alarm: r.Alarm.String(),
		LimitMS: millis(time.Duration(n.cfg.Clock.Limit)), DriftMeasured: r.Measured, LeapMixed: r.Mixed,
		HoldoverPPM: r.Growth.PPM(), Sources: []httpapi.ClockSource{}, History: []httpapi.ClockPast{},
		Edges: n.edgeClockStatus(),
	}
	if r.Measured {
		c.DriftPPM = r.Drift.PPM()
	}
	if r.Known {
		c.OffsetMS, c.BoundMS = new(millis(r.Offset)), new(millis(r.Bound))
	}
	if r.LastStep.Known {
		c.LastStep = &httpapi.ClockStep{At: r.LastStep.At.Time(), ByMS: millis(r.LastStep.By)}
	}
	for _, s := range r.Sources {
		c.Sources = append(c.Sources, sourceStatus(s))
	}
	for _, p := range r.History {
		past := httpapi.ClockPast{At: p.At.Time(), State: p.State.String()}
		if p.Known {
			past.OffsetMS, past.BoundMS = new(millis(p.Offset)), new(millis(p.Bound))
		}
		c.History = append(c.History, past)
	}
	return c
}

func sourceStatus(s clocksync.SourceReport) httpapi.ClockSource {
	out := httpapi.ClockSource{Name: s.Name, Verdict: s.Verdict.String(), Smeared: s.Smeared, Answers: s.Answers,
		Lost: s.Lost, LastError: s.Why, Stratum: int(s.Stratum)}
	if s.Answers > 0 {
		out.LowMS, out.HighMS, out.DelayMS = new(millis(s.Lo)), new(millis(s.Hi)), new(millis(s.Delay))
		out.AgeSeconds = new(s.Age.Round(100 * time.Millisecond).Seconds())
	}
	switch s.Leap {
	case clocksync.LeapInsert:
		out.Leap = "insert"
	case clocksync.LeapDelete:
		out.Leap = "delete"
	}
	return out
}

// millis is d in milliseconds, to the microsecond.
func millis(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }
