package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/sim/check"
)

// timed is a plan with so many honest time servers; the edges ask the core only.
func timed(servers int, change func(*Plan)) func(*Plan) {
	return func(p *Plan) {
		p.Time.Poll = 4 * time.Second
		for i := range servers {
			p.Time.Servers = append(p.Time.Servers, TimeServer{Name: string(rune('a' + i)), Delay: 10 * time.Millisecond,
				Jitter: 5 * time.Millisecond})
		}
		if change != nil {
			change(p)
		}
	}
}

func (w *world) trusts(t *testing.T, lane string, want clocksync.Trust) {
	t.Helper()
	if m := w.byLane[lane].time.moment(); m.Trust != want {
		t.Errorf("at %v the time of %s is %v (%v, bound %v), want %v", w.now, lane, m.Trust, m.State, m.Bound, want)
	}
}

// Core nodes learn the time from servers, edges from the core over the link, and
// stamps carry it, whatever their system clocks show.
func TestNodesKnowTheTime(t *testing.T) {
	t.Parallel()
	w := running(t, 3, 2, timed(3, func(p *Plan) {
		p.Nodes[0].Offset, p.Nodes[3].Offset, p.Nodes[4].Offset = time.Minute, time.Hour, -20*365*24*time.Hour
	}))
	w.pass(20 * time.Second)
	for _, n := range w.nodes {
		w.trusts(t, n.lane, clocksync.Synced)
		now := n.now()
		if off := int64(now.Wall) - int64(trueTime(w.now)/1e6); off < -200 || off > 200 || now.Trust != clocksync.Synced {
			t.Errorf("%s stamps with %v, %d ms off, want at most 200 ms and synced", n.lane, now.Trust, off)
		}
	}
	if w.facts["clock_alarm"] < 3 {
		t.Errorf("%d alarms, want one of each node whose clock is wrong", w.facts["clock_alarm"])
	}
	w.noProblems(t)
}

// Without anybody who knows the time nobody vouches for it.
func TestNobodyKnowsTheTime(t *testing.T) {
	t.Parallel()
	w := running(t, 3, 1, nil)
	w.pass(20 * time.Second)
	for _, n := range w.nodes {
		w.trusts(t, n.lane, clocksync.Unsynced)
	}
}

// Half of the servers lie: no node takes their word. When they are honest again
// all is normal.
func TestHalfOfTheTimeServersLie(t *testing.T) {
	t.Parallel()
	w := running(t, 3, 2, timed(4, func(p *Plan) {
		for i := range 2 {
			s := &p.Time.Servers[i]
			s.Conduct, s.Lie, s.For = Lying, time.Minute, 2*time.Minute
		}
		p.Nodes[4].NTP = true
	}))
	w.pass(time.Minute)
	for _, n := range w.nodes {
		w.trusts(t, n.lane, clocksync.Unsynced)
	}
	w.pass(2 * time.Minute)
	for _, n := range w.nodes {
		w.trusts(t, n.lane, clocksync.Synced)
	}
	if w.facts["time_contested"] == 0 || w.facts["time_false"] == 0 {
		t.Errorf("facts %v, want contested and false times", w.facts)
	}
	w.noProblems(t)
}

// An edge that is cut off carries the time on, and asks at once when it is back.
func TestTimeWhileCutOff(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, timed(3, nil))
	w.pass(20 * time.Second)
	w.trusts(t, "edge-1", clocksync.Synced)
	end := w.strike(Fault{Kind: Partition, Nodes: []string{"edge-1"}})
	w.pass(10 * time.Minute)
	w.trusts(t, "edge-1", clocksync.Holdover)
	end()
	w.pass(20 * time.Second) // 10 s to the next attempt to connect at the latest
	w.trusts(t, "edge-1", clocksync.Synced)
	w.noProblems(t)
}

// The judge speaks up when a keeper is wrong.
func TestClockJudge(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(w *world, n *node){
		"true time is within the bound (I10)": func(w *world, n *node) {
			n.time.judge.look(clocksync.Moment{Time: trueTime(w.now) + 2e9, Trust: clocksync.Holdover, Known: true, Bound: 1e9})
		},
		"a set clock is noticed (I10)": func(_ *world, n *node) {
			n.time.stepped(time.Hour)
			n.time.step(clocksync.Tick{})
		},
		"corrected time goes back only when it is set": func(w *world, n *node) {
			n.time.judge.look(clocksync.Moment{Time: trueTime(w.now) - 1e9, Known: true})
		},
		"who refuses is not asked": func(_ *world, n *node) {
			n.time.judge.denied(0)
			n.time.askServer(0)
		},
	} {
		w := running(t, 1, 1, timed(3, nil))
		w.noProblems(t)
		spoil(w, w.cores[0])
		if len(w.problems) != 1 || w.problems[0].Check != what {
			t.Errorf("problems %+v, want one: %s", w.problems, what)
		}
	}
}

// At the end clocks must be as they should: synced, with the alarm that is due.
func TestClockNotReady(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, timed(3, nil))
	w.pass(20 * time.Second)
	if got := w.clockNotReady(); got != "" {
		t.Errorf("clockNotReady() = %q, want nothing", got)
	}
	n := w.byLane["edge-1"]
	n.clock.offset += time.Hour // nobody has looked since
	if got := w.clockNotReady(); !strings.Contains(got, "edge-1 has a clock that is wrong") {
		t.Errorf("clockNotReady() = %q, want that the clock of edge-1 is wrong", got)
	}
	w.pass(10 * time.Second)
	if got := w.clockNotReady(); got != "" {
		t.Errorf("clockNotReady() = %q, want nothing", got)
	}
	n.clock.offset -= time.Hour
	if got := w.clockNotReady(); !strings.Contains(got, "for no reason") {
		t.Errorf("clockNotReady() = %q, want that the alarm has no reason", got)
	}
	w.pass(20 * time.Second)
	w.strike(Fault{Kind: Partition, Nodes: []string{"edge-1"}})
	w.pass(2 * time.Minute)
	if got := w.clockNotReady(); !strings.Contains(got, "holdover") {
		t.Errorf("clockNotReady() = %q, want that edge-1 is in holdover", got)
	}
}

// Stamps that a wrong clock gave are left behind under a new origin.
func TestStampsArePutBack(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, func(p *Plan) {
		timed(3, nil)(p)
		p.Nodes[1].Offset = time.Hour
		p.Calls = []Call{{At: time.Second, Client: "c", Node: "edge-1", Space: "default", Session: "s", Kind: CallOpen}}
	})
	n := w.byLane["edge-1"]
	w.pass(20 * time.Second)
	anchored := slices.ContainsFunc(w.history.Anchors, func(r check.Reset) bool { return r.Node == n.lane })
	if w.facts["stamps_put_back"] != 1 || !anchored {
		t.Errorf("stamps were put back %d times, anchors %v, want once", w.facts["stamps_put_back"], w.history.Anchors)
	}
	if ahead := n.rep.Ahead(n.now()); ahead > 0 {
		t.Errorf("the hybrid clock is %v ahead, want nothing", ahead)
	}
	w.noProblems(t)
}
