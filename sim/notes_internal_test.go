package sim

import (
	"strings"
	"testing"
	"time"
)

// What a plan asks for in vain is told.
func TestNotes(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, func(p *Plan) { p.Net.Duplicate = Chance{P: 0.5} })
	end := w.strike(Fault{Kind: Crash, Nodes: []string{"edge-1"}})
	w.pass(5 * time.Second)
	w.strike(Fault{Kind: Upgrade, Nodes: []string{"edge-1", "core-1"}})
	end()
	w.strike(Fault{Kind: BitFlip, Nodes: []string{"core-1"}, Class: "op"})
	w.strike(Fault{Kind: MoveLink, Nodes: []string{"core-1"}, Peers: []string{"core-1"}})
	want := []string{"links: duplicate has no effect", "upgrade of edge-1", "bit_flip of core-1", "move_link of core-1"}
	got := w.result().Notes
	if len(got) != len(want) {
		t.Fatalf("notes are\n%s\nwant %d", strings.Join(got, "\n"), len(want))
	}
	for i, begin := range want {
		if !strings.HasPrefix(got[i], begin) {
			t.Errorf("note %d is %q, want %q and so on", i, got[i], begin)
		}
	}
	if w := running(t, 1, 1, func(p *Plan) { p.Net.Duplicate, p.Messages = Chance{P: 0.5}, true }); len(w.notes) > 0 {
		t.Errorf("with messages: true: %q", w.notes)
	}
}

// A heartbeat stretches times by its exact ratio.
func TestScale(t *testing.T) {
	t.Parallel()
	for every, want := range map[time.Duration]time.Duration{
		0: 8 * time.Second, time.Second: 8 * time.Second, 1900 * time.Millisecond: 15200 * time.Millisecond,
		30 * time.Second: 4 * time.Minute, 24 * time.Hour: 8 * 24 * time.Hour,
	} {
		if got := (Timing{Heartbeat: every}).scale(8 * time.Second); got != want {
			t.Errorf("with a heartbeat of %v, 8s are %v, want %v", every, got, want)
		}
	}
}

// An absent number is not a damaged one: a rotten core node that lacks an op does
// not count as one that holds it.
func TestAbsentIsNotDamaged(t *testing.T) {
	t.Parallel()
	w := busy(t)
	w.writes(t, "edge-1")
	w.pass(5 * time.Second)
	n, c := w.byLane["edge-1"], w.cores[0]
	c.rotten = true
	h := w.ownHeads(n)[0]
	if w.damaged(c, h.Feed, h.Seq) || w.damaged(c, h.Feed, h.Seq+1) {
		t.Error("what is held, or absent, is taken for damaged")
	}
	c.disk.mem.Rot([]byte("f/"+h.Space+"\x00"+string(h.Origin)), w.chance.disk)
	if !w.damaged(c, h.Feed, h.Seq) {
		t.Error("a damaged head is not noticed")
	}
}
