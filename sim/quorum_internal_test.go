package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol"
)

// A full disk stores nothing and has no vote: one of three is done without, and
// copies what it lacks when there is room; with two nothing is stored.
func TestFullDiskHasNoVote(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.mustStore(t, "a", "1", 0)
	leader := s.leader
	room := w.strike(Fault{Kind: DiskFull, Nodes: []string{leader.lane}})
	if p := s.proposed(leader, "a", "x", 1); p.ok || p.kind != protocol.Rejected || p.answers != 1 {
		t.Errorf("a leader with a full disk answered %+v, want %v", p, protocol.Rejected)
	}
	w.pass(electionMax + time.Second)
	if s.leader == leader {
		t.Error("a server with a full disk leads on")
	}
	s.mustStore(t, "a", "2", 1)
	if got := s.idsAt(leader); !slices.Equal(got, []string{"1"}) {
		t.Errorf("a full disk holds %v", got)
	}
	other := w.others(s.leader)[0]
	if other == leader {
		other = w.others(s.leader)[1]
	}
	more := w.strike(Fault{Kind: DiskFull, Nodes: []string{other.lane}})
	p := s.proposed(s.leader, "a", "3", 2)
	w.pass(time.Minute)
	if p.ok || s.committed != 2 {
		t.Errorf("with two full disks: answered %+v, %d are stored", p, s.committed)
	}
	room()
	more()
	w.pass(time.Minute)
	if p.answers != 1 || !p.ok {
		t.Errorf("with room again: answered %+v", p)
	}
	for _, c := range w.cores {
		if got := s.idsAt(c); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("with room again %s holds %v", c.lane, got)
		}
	}
	w.noProblems(t)
}

// A majority waits for the faster of the others, and for the leader.
func TestSlowDisksHoldTheQuorumUp(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	took := func() time.Duration {
		from := w.now
		expect := s.lastProposed(s.copies[s.leader], "a")
		for p := s.proposed(s.leader, "a", w.value(), expect); p.answers == 0 && w.now-from < time.Minute; {
			w.pass(time.Millisecond)
		}
		return w.now - from
	}
	if d := took(); d > 20*time.Millisecond {
		t.Errorf("a message is stored after %v", d)
	}
	others := w.others(s.leader)
	w.strike(Fault{Kind: SlowDisk, Nodes: []string{others[0].lane}, Delay: time.Second})
	if d := took(); d > 20*time.Millisecond {
		t.Errorf("with one slow follower a message is stored after %v", d)
	}
	end := w.strike(Fault{Kind: SlowDisk, Nodes: []string{others[1].lane}, Delay: 2 * time.Second})
	if d := took(); d < time.Second || d > 1100*time.Millisecond {
		t.Errorf("with two slow followers a message is stored after %v, want the faster one's second", d)
	}
	end()
	w.strike(Fault{Kind: SlowDisk, Nodes: []string{s.leader.lane}, Delay: 2 * time.Second})
	if d := took(); d < 2*time.Second || d > 2100*time.Millisecond {
		t.Errorf("with a slow leader a message is stored after %v", d)
	}
}

// A clog between core nodes holds replication up.
func TestClogHoldsTheQuorumUp(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.mustStore(t, "a", "1", 0)
	end := w.strike(Fault{Kind: Clog, Nodes: []string{"core-1", "core-2"}})
	both := w.strike(Fault{Kind: Clog, Nodes: []string{"core-1"}, Peers: []string{"core-2"}})
	p := s.proposed(s.leader, "a", "2", 1)
	w.pass(2 * time.Second)
	if p.answers != 0 {
		t.Errorf("while all links are clogged: %+v", p)
	}
	end()
	both()
	w.pass(time.Second)
	if !p.ok {
		t.Errorf("after the clog: %+v", p)
	}
}

// Without a leader a publication fails at once, and a question is not answered;
// the stream of a single server has a leader as soon as it is up.
func TestNoResponders(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.leader.crash()
	n := w.others(w.cores[0])[0]
	if !n.up {
		n = w.others(w.cores[0])[1]
	}
	var failed []protocol.FailureKind
	ask := func(data []byte) {
		n.atStream("default", data, func(k protocol.FailureKind) { failed = append(failed, k) },
			func(*stream, *node, []byte, func(func())) { t.Error("somebody answers") })
	}
	for _, s := range w.bus.streams {
		s.leader = nil
	}
	ask([]byte("frame"))
	ask(nil)
	w.pass(time.Second)
	if !slices.Equal(failed, []protocol.FailureKind{protocol.Unknown}) {
		t.Errorf("within a second %v failed, want the publication alone", failed)
	}
	w = running(t, 1, 0, nil)
	w.cores[0].crash()
	w.pass(time.Minute)
	w.cores[0].start()
	w.pass(10 * time.Millisecond)
	if w.bus.streams[0].leader == nil {
		t.Error("a single server is up, and its stream has no leader")
	}
}
