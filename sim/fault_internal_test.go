package sim

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/sim/check"
)

// writes has a client append a message at a node, which acknowledges it at once,
// and gives the value.
func (w *world) writes(t *testing.T, lane string) string {
	t.Helper()
	w.intend(Call{Client: "c", Node: lane, Space: "default", Session: "s", Kind: CallAppend})
	w.pass(50 * time.Millisecond)
	if c := w.history.Calls[len(w.history.Calls)-1]; c.Outcome != check.OK || c.Node != lane {
		t.Fatalf("a write at %s ended %v %s at %s", lane, c.Outcome, c.Code, c.Node)
	}
	return fmt.Sprintf("v%d", w.values)
}

// busy is a cluster in which edge-1 has opened a session, and everybody holds it.
func busy(t *testing.T) *world {
	t.Helper()
	w := running(t, 3, 2, nil)
	w.intend(Call{Client: "c", Node: "edge-1", Space: "default", Session: "s", Kind: CallOpen})
	w.pass(5 * time.Second)
	return w
}

func cutOff(lane string) Fault { return Fault{Kind: Partition, Nodes: []string{lane}} }

// wantExcused fails the test unless exactly those values are excused, and the
// calls that wrote them.
func (w *world) wantExcused(t *testing.T, what string, values ...string) {
	t.Helper()
	got := slices.Sorted(maps.Keys(w.history.Excused))
	if !slices.Equal(got, values) {
		t.Errorf("%s: excused are %v, want %v", what, got, values)
	}
	for _, c := range w.history.Calls {
		want := len(c.Values) > 0 && slices.Contains(values, c.Values[0].Value)
		if w.history.ExcusedCalls[c.ID] != want {
			t.Errorf("%s: call %d, which wrote %v, is excused %v", what, c.ID, c.Values, !want)
		}
	}
}

// Of a store that is gone only what nobody else holds is excused.
func TestWipeExcusesWhatIsGone(t *testing.T) {
	t.Parallel()
	for _, kind := range []FaultKind{Wipe, Leave} {
		w := busy(t)
		w.writes(t, "edge-1") // goes to everybody
		w.pass(5 * time.Second)
		w.strike(cutOff("edge-1"))
		alone := w.writes(t, "edge-1")
		end := w.strike(Fault{Kind: kind, Nodes: []string{"edge-1"}})
		w.wantExcused(t, kind.String(), alone)
		if kind == Wipe {
			before := w.byLane["edge-1"].origin
			end()
			if n := w.byLane["edge-1"]; !n.up || n.origin == before || protocol.NodeOf(n.origin) != n.name {
				t.Errorf("the wiped node is up %v and writes as %s, before as %s", n.up, n.origin, before)
			}
		}
		w.noProblems(t)
	}
}

// Of a store that falls back only what the copy lacks is excused.
func TestPutBackExcusesWhatTheCopyLacks(t *testing.T) {
	t.Parallel()
	for _, f := range []Fault{{Kind: Restore}, {Kind: Restore, Silent: true}, {Kind: LoseSynced}} {
		what := fmt.Sprint(f.Kind, " silent ", f.Silent)
		w := busy(t)
		n := w.byLane["edge-1"]
		w.strike(cutOff("edge-1"))
		f.Nodes, f.At, f.Ago, f.For = []string{"edge-1"}, 2*time.Second, time.Second, time.Second
		w.await(&f)
		copied := w.writes(t, "edge-1")
		identity, origin := n.disk.identity, n.origin
		w.pass(time.Second) // the copy is made meanwhile
		late := w.writes(t, "edge-1")
		w.pass(time.Second)
		w.wantExcused(t, what, late)
		if n.up || len(w.history.Resets) != 1 {
			t.Errorf("%s: it is up %v, resets %v", what, n.up, w.history.Resets)
		}
		w.pass(time.Second)
		if !n.up || f.Silent != (n.origin == origin) || f.Silent != (n.disk.identity == identity) {
			t.Errorf("%s: it is up %v, writes as %s, before as %s", what, n.up, n.origin, origin)
		}
		seen, err := n.show("default", "s")
		if err != nil || len(seen.Messages) != 1 || seen.Messages[0].Value != copied {
			t.Errorf("%s: it shows %+v, %v, want what was copied", what, seen, err)
		}
		w.noProblems(t)
	}
}

// What a stream holds is not gone; what was there under the same number with
// other content is no copy of it.
func TestHeldElsewhere(t *testing.T) {
	t.Parallel()
	w := busy(t)
	n := w.byLane["edge-1"]
	w.writes(t, "edge-1")
	w.pass(5 * time.Second)
	for _, o := range w.nodes {
		if o != n {
			o.disk.mem = memstore.New()
			clear(o.consumed)
		}
	}
	w.excuse(n, nil)
	w.wantExcused(t, "held by a stream")
	s := w.bus.streams[protocol.Partition("default", partitions)]
	for _, c := range w.cores[1:] {
		s.copies[c] = &replicaLog{}
	}
	w.excuse(n, nil)
	w.wantExcused(t, "held by one copy of a stream")
	for _, m := range s.copies[w.cores[0]].log { // damaged on the way into the stream: nobody can read it
		m.data = slices.Clone(m.data)
		m.data[len(m.data)/2] ^= 1
	}
	w.excuse(n, nil)
	if got := slices.Collect(maps.Keys(w.history.Excused)); !slices.Equal(got, []string{fmt.Sprintf("v%d", w.values)}) {
		t.Errorf("held where nobody can read it: excused are %v, want v%d", got, w.values)
	}
	if len(w.history.ExcusedCalls) != 2 { // the opening is gone too
		t.Errorf("held where nobody can read it: excused are the calls %v, want two", w.history.ExcusedCalls)
	}
}

// What a stream holds behind something that nobody holds is of no use.
func TestWhatFollowsAGapIsNotHeld(t *testing.T) {
	t.Parallel()
	w := busy(t)
	n := w.byLane["edge-1"]
	first := w.writes(t, "edge-1")
	w.pass(5 * time.Second)
	second := w.writes(t, "edge-1")
	w.pass(5 * time.Second)
	for _, o := range w.nodes {
		if o != n {
			o.disk.mem = memstore.New()
			clear(o.consumed)
		}
	}
	w.excuse(n, nil)
	w.wantExcused(t, "held by a stream")
	s := w.bus.streams[protocol.Partition("default", partitions)]
	frames := s.subjects[protocol.OpSubject(protocol.Feed{Space: "default", Origin: n.origin}, partitions)]
	for _, c := range w.cores {
		s.copies[c].log[frames[len(frames)-2]-1] = nil
	}
	w.excuse(n, nil)
	w.wantExcused(t, "behind a gap", first, second)
}

// A clone is a second machine of the same name with a store of its own. What
// only it holds is excused when it goes, what only the other holds is not.
func TestClone(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		w := busy(t)
		n := w.byLane["edge-1"]
		w.strike(cutOff("edge-1"))
		w.await(&Fault{Kind: Clone, Nodes: []string{"edge-1"}, At: time.Second, Ago: time.Millisecond,
			Silent: silent, For: 10 * time.Second})
		w.pass(2 * time.Second)
		c := n.twin
		if c == nil || !c.up || c.name != n.name || c.lane == n.lane || c.host != n.host || silent != (c.origin == n.origin) {
			t.Fatalf("silent %v: the clone is %+v", silent, c)
		}
		n.twin = nil // nobody is sent to the clone by chance
		ours, theirs := w.writes(t, n.lane), w.writes(t, c.lane)
		for _, o := range []*node{n, c} {
			seen, err := o.show("default", "s")
			want := map[*node]string{n: ours, c: theirs}[o]
			if err != nil || len(seen.Messages) != 1 || seen.Messages[0].Value != want {
				t.Errorf("silent %v: %s shows %+v, %v, want %s", silent, o.lane, seen, err, want)
			}
		}
		w.pass(20 * time.Second)
		w.wantExcused(t, fmt.Sprint("silent ", silent), theirs)
		if c.up || !c.gone || !n.up {
			t.Errorf("silent %v: after the fault the clone is up %v, gone %v", silent, c.up, c.gone)
		}
		w.noProblems(t)
	}
}

// Without a fault that destroys a disk nothing is excused, whatever else happens.
func TestNothingIsExcusedWithoutNeed(t *testing.T) {
	t.Parallel()
	destroys := []FaultKind{Wipe, Restore, LoseSynced, Clone, Leave, BitFlip}
	for seed := range uint64(6) {
		p := Draw(seed, Shape{Cores: 3, Edges: 3, Length: 30 * time.Second})
		p.Faults = slices.DeleteFunc(p.Faults, func(f Fault) bool { return slices.Contains(destroys, f.Kind) })
		r, err := Run(p, seed, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.History.Excused)+len(r.History.ExcusedCalls) > 0 || r.Failed() {
			t.Errorf("seed %d: excused are %v and the calls %v; problems %v", seed, r.History.Excused,
				r.History.ExcusedCalls, r.Problems)
		}
	}
}

// A flipped bit is noticed by who reads the record, and the record is mended.
// Damage where no bit was flipped is a problem.
func TestBitFlip(t *testing.T) {
	t.Parallel()
	w := busy(t)
	n := w.byLane["edge-1"]
	w.writes(t, "edge-1")
	w.pass(5 * time.Second)
	w.strike(Fault{Kind: BitFlip, Nodes: []string{"edge-1"}, Class: "op"})
	if !n.rotten {
		t.Fatal("no bit was flipped")
	}
	for range 20 {
		_, err := n.ops("default")
		n.noticed(err)
		w.pass(time.Second)
	}
	if w.facts["record_damaged"] == 0 || w.facts["record_repaired"] == 0 {
		t.Errorf("the damage was noticed %d times and mended %d times", w.facts["record_damaged"], w.facts["record_repaired"])
	}
	w.noProblems(t)

	other := w.byLane["edge-2"]
	other.disk.mem.Rot(other.disk.pick("op", w.chance.disk), w.chance.disk)
	_, err := other.ops("default")
	if other.noticed(err); len(w.problems) != 1 {
		t.Errorf("damage that nobody did gives the problems %v, want one", w.problems)
	}
}

// A fault that ends before a node joins has ended for it, and has not started it.
func TestFaultBeforeJoining(t *testing.T) {
	t.Parallel()
	w := testWorld(t, 1, 1, func(p *Plan) { p.Nodes[1].Join = time.Minute })
	n := w.byLane["edge-1"]
	w.beginAll()
	for _, kind := range []FaultKind{DiskReserve, DiskFull, SlowDisk, Crash, FsyncError, Pause} {
		end := w.strike(Fault{Kind: kind, Nodes: []string{"edge-1"}, Delay: time.Hour})
		w.pass(time.Second)
		end()
	}
	if n.up || n.disk.reserve || n.disk.full || n.disk.slow != 0 || n.disk.doomed {
		t.Errorf("before it joins it is up %v, its disk %+v", n.up, n.disk)
	}
	w.pass(2 * time.Minute)
	if !n.up || !n.link.up || n.paused {
		t.Errorf("it has not joined: up %v, link %v", n.up, n.link.up)
	}
}
