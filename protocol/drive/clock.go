package drive

import (
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// reanchorFrom is how far the hybrid clock must be ahead to be put back: more
// than a restart or a believed peer carries it.
const reanchorFrom = clocksync.BoundStep + clocksync.MaxAhead

// ClockDoubtful reports whether what the keeper of the time noticed may have
// left the hybrid clock ahead of the time: stamps were given by a clock that was
// wrong. A node that starts does not know either.
func ClockDoubtful(f clocksync.Fact) bool {
	_, jumped := f.(clocksync.Jumped)
	return jumped
}

// RunsAhead reports whether the hybrid clock of rep is so far ahead that
// [Reanchor] would put it back.
func RunsAhead(rep *replica.Replica, now replica.Now) bool { return rep.Ahead(now) > reanchorFrom }

// Reanchored is what became of a hybrid clock that was in doubt.
type Reanchored struct {
	Origin vclock.Origin // under which the node writes from now on; empty: the clock was right
	Ahead  time.Duration // how far it was ahead
}

// Reanchor makes the node write under a new origin with a new hybrid clock, if
// the present one runs ahead of a time that sources vouch for: stamps of one
// origin never go back, those of the new one begin at the corrected time. After
// the commit the edge half is told with NewOrigin.
func Reanchor(tx session.Tx, rep *replica.Replica, now replica.Now, id Identity) (Reanchored, error) {
	done := Reanchored{Ahead: rep.Ahead(now)}
	if now.Trust != clocksync.Synced || !RunsAhead(rep, now) {
		return done, nil
	}
	var err error
	if done.Origin, err = Renew(tx, rep, id); err != nil {
		return done, err
	}
	return done, rep.Reanchor(tx)
}

// AskTime is the question of a node for the time, which tells how its own clock is.
func AskTime(node string, r *clocksync.Report) protocol.ClockAsk {
	return protocol.ClockAsk{Node: node, State: r.State, Alarm: r.Alarm, Known: r.Known, Off: r.Offset, Bound: r.Bound,
		Drift: r.Drift}
}

// TellTime is a core node's answer to a question that came at received and is
// answered at sent, when it takes the time to be now.
func TellTime(core string, received, sent clocksync.Reading, now clocksync.Moment) protocol.ClockTold {
	took := clocksync.Nanos(max(sent.Elapsed-received.Elapsed, 0))
	return protocol.ClockTold{Core: core, Received: max(now.Time-took, 0), Sent: now.Time, Trust: now.Trust, Bound: now.Bound}
}

// stratumOfCore is what a core node counts as: a server that asks others.
const stratumOfCore = 2

// TimeTold makes a sample of a core node's answer to a question that was asked
// at begin and answered at end. It returns [clocksync.ErrBadSample] for one that
// cannot be used.
func TimeTold(begin, end clocksync.Reading, told protocol.ClockTold) (clocksync.Sample, error) {
	s := clocksync.Sample{Elapsed: end.Elapsed, Stratum: stratumOfCore, Agreed: true,
		Delay: max(end.Elapsed-begin.Elapsed-time.Duration(told.Sent-told.Received), 0)}
	s.Time = told.Sent + clocksync.Nanos(s.Delay/2)
	if s.Unvouched = told.Trust == clocksync.Unsynced; !s.Unvouched {
		s.RootDispersion = told.Bound
	}
	return s, s.Check()
}
