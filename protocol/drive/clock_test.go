package drive

import (
	"errors"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// TestProbe has two nodes exchange the four times: whatever their system clocks
// show and however long the answer took to make, true time is within the error
// of the sample.
func TestProbe(t *testing.T) {
	t.Parallel()
	const truth = clocksync.Nanos(1_800_000_000e9) // when the question is asked
	for _, way := range [][3]time.Duration{        // there, to make the answer, back
		{0, 0, 0}, {10e6, 0, 10e6}, {200e6, 0, 1e6}, {1e6, 0, 200e6}, {20e6, 700e6, 30e6},
	} {
		there, made, back := way[0], way[1], way[2]
		begin := clocksync.Reading{Wall: 5, Elapsed: time.Hour}
		end := clocksync.Reading{Wall: 1e18, Elapsed: time.Hour + there + made + back}
		const off = 3 * time.Millisecond // of the core's time
		now := clocksync.Moment{Time: truth + clocksync.Nanos(there+made+off), Known: true,
			Trust: clocksync.Synced, Bound: off}
		received, sent := clocksync.Reading{Elapsed: time.Minute}, clocksync.Reading{Elapsed: time.Minute + made}
		told := TellTime("core-1", received, sent, now)
		s, err := TimeTold(begin, end, told)
		if err != nil {
			t.Errorf("%v: %v", way, err)
			continue
		}
		wrong := time.Duration(s.Time - truth - clocksync.Nanos(there+made+back)).Abs()
		if s.Delay != there+back || wrong > s.Distance() || s.Unvouched || !s.Agreed {
			t.Errorf("%v: %+v is %v wrong, want at most %v, and a delay of %v", way, s, wrong, s.Distance(), there+back)
		}
	}
}

// What a core node tells that does not know the time itself takes no part, and an
// answer that took too long is refused.
func TestProbeInVain(t *testing.T) {
	t.Parallel()
	at := clocksync.Reading{Elapsed: time.Hour}
	unsure := clocksync.Moment{Time: 1e18, Bound: time.Hour, Known: true}
	s, err := TimeTold(at, at, TellTime("core-1", at, at, unsure))
	if err != nil || !s.Unvouched || s.RootDispersion != 0 {
		t.Errorf("told by one who does not know: %+v, %v, want a sample that nobody vouches for", s, err)
	}
	late := clocksync.Reading{Elapsed: 2 * time.Hour}
	if s, err := TimeTold(at, late, TellTime("core-1", at, at, unsure)); !errors.Is(err, clocksync.ErrBadSample) {
		t.Errorf("an hour on the way: %+v, %v, want ErrBadSample", s, err)
	}
}

// TestAskTime tells the core how the asker's clock is.
func TestAskTime(t *testing.T) {
	t.Parallel()
	r := clocksync.Report{Moment: clocksync.Moment{State: clocksync.StateHoldover, Known: true, Offset: -5, Bound: 7},
		Alarm: clocksync.AlarmOffset, Drift: 11}
	ask := AskTime("edge-1", &r)
	want := protocol.ClockAsk{Node: "edge-1", State: clocksync.StateHoldover, Alarm: clocksync.AlarmOffset, Known: true,
		Off: -5, Bound: 7, Drift: 11}
	if ask != want {
		t.Errorf("AskTime = %+v, want %+v", ask, want)
	}
}

// TestReanchor puts a hybrid clock back that runs ahead, when and only when
// sources vouch for the time.
func TestReanchor(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.wall = 1_000_000_000
	p.talk("s", 1)
	origin, wall := p.rep.Origin(), p.wall
	reanchor := func(wall uint64, trust clocksync.Trust) (done Reanchored) {
		p.update(func(tx session.Tx) (err error) {
			done, err = Reanchor(tx, p.rep, replica.Now{Wall: wall, Trust: trust}, p.id)
			return err
		})
		return done
	}
	back := wall - uint64(time.Hour.Milliseconds())
	for name, done := range map[string]Reanchored{
		"a clock that is right":                reanchor(wall, clocksync.Synced),
		"a clock that is ahead, in holdover":   reanchor(back, clocksync.Holdover),
		"a clock that is ahead, and no source": reanchor(back, clocksync.Unsynced),
	} {
		if done.Origin != "" || p.rep.Origin() != origin {
			t.Errorf("%s is put back under %s", name, done.Origin)
		}
	}
	if !RunsAhead(p.rep, replica.Now{Wall: back}) || RunsAhead(p.rep, replica.Now{Wall: wall}) {
		t.Error("RunsAhead is wrong about which time the clock is ahead of")
	}
	done := reanchor(back, clocksync.Synced)
	if done.Origin == "" || done.Origin == origin || p.rep.Origin() != done.Origin || done.Ahead < time.Hour {
		t.Errorf("Reanchor = %+v, writing under %s, want a new origin", done, p.rep.Origin())
	}
	if ahead := p.rep.Ahead(replica.Now{Wall: back}); ahead != 0 {
		t.Errorf("%v ahead after it was put back", ahead)
	}
	p.wall = back
	p.talk("other", 1)
	if RunsAhead(p.rep, p.now()) {
		t.Error("a write after that runs ahead again")
	}
}
