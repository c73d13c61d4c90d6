package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
)

// publication is what became of a proposal.
type publication struct {
	published
	answers int
}

// propose has a server take a message now.
func (s *stream) proposed(at *node, subject, id string, expect uint64) *publication {
	p := &publication{}
	s.propose(at, &stored{subject: subject, id: id, data: []byte(id)}, expect, func(got published) {
		p.published = got
		p.answers++
	})
	return p
}

// stored publishes a message and waits for the answer.
func (s *stream) mustStore(t *testing.T, subject, id string, expect uint64) uint64 {
	t.Helper()
	p := s.proposed(s.leader, subject, id, expect)
	s.w.pass(100 * time.Millisecond)
	if !p.ok || p.answers != 1 {
		t.Fatalf("publication of %s with expected number %d: %+v, want it stored", id, expect, p)
	}
	return p.seq
}

// ids gives what a server's copy holds, with "-" for what it lost.
func (s *stream) idsAt(c *node) []string {
	var list []string
	for _, m := range s.copies[c].log {
		if m == nil {
			list = append(list, "-")
			continue
		}
		list = append(list, m.id)
	}
	return list
}

// others are the core nodes beside one.
func (w *world) others(c *node) []*node {
	return slices.DeleteFunc(slices.Clone(w.cores), func(o *node) bool { return o == c })
}

func stream3(t *testing.T) (*world, *stream) {
	t.Helper()
	w := running(t, 3, 0, nil)
	s := w.bus.streams[0]
	if s.leader == nil {
		t.Fatal("after 10 s the stream has no leader")
	}
	return w, s
}

// A message is acknowledged when a majority holds it, and only by the leader.
func TestQuorum(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.mustStore(t, "a", "1", 0)
	for _, c := range w.cores {
		if got := s.idsAt(c); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%s holds %v", c.lane, got)
		}
	}
	follower := w.others(s.leader)[0]
	if p := s.proposed(follower, "a", "2", 1); p.ok || p.kind != protocol.Unknown || p.answers != 1 {
		t.Errorf("a follower answered %+v", p)
	}
	end := w.strike(Fault{Kind: Partition, Nodes: []string{follower.lane}})
	s.mustStore(t, "a", "3", 1)
	if got := s.idsAt(follower); !slices.Equal(got, []string{"1"}) {
		t.Errorf("a follower that is cut off holds %v", got)
	}
	end()
	w.pass(time.Second)
	if got := s.idsAt(follower); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("a follower that is back holds %v", got)
	}
	if len(s.subjects["a"]) != 2 || s.committed != 2 {
		t.Errorf("messages %v are stored, %d committed", s.subjects["a"], s.committed)
	}
}

// What an isolated leader took is acknowledged if it leads on, and never appears
// if another leads first.
func TestIsolatedLeader(t *testing.T) {
	t.Parallel()
	for _, cut := range []time.Duration{time.Second, 30 * time.Second} {
		w, s := stream3(t)
		s.mustStore(t, "a", "1", 0)
		old := s.leader
		end := w.strike(Fault{Kind: Partition, Nodes: []string{old.lane}})
		p := s.proposed(old, "a", "2", 1)
		w.pass(cut)
		if p.answers != 0 || s.committed != 1 {
			t.Fatalf("cut %v: without a majority it answered %+v, %d are committed", cut, p, s.committed)
		}
		deposed := s.leader != old
		if deposed {
			s.mustStore(t, "a", "3", 1)
		}
		end()
		w.pass(30 * time.Second)
		want := []string{"1", "2"}
		if deposed {
			want = []string{"1", "3"}
		}
		for _, c := range w.cores {
			if got := s.idsAt(c); !slices.Equal(got, want) {
				t.Errorf("cut %v: %s holds %v, want %v", cut, c.lane, got, want)
			}
		}
		if deposed != (cut > electionMax) || p.ok == deposed {
			t.Errorf("cut %v: deposed %v, answered %+v", cut, deposed, p)
		}
	}
}

// Nobody leads without a majority; a new leader comes after 4 to 9 s.
func TestElection(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.mustStore(t, "a", "1", 0)
	old := s.leader
	old.crash()
	if s.leader != nil {
		t.Error("a dead server leads")
	}
	w.pass(electionMin - time.Millisecond)
	if s.leader != nil {
		t.Errorf("a new leader after less than %v", electionMin)
	}
	w.pass(electionMax - electionMin + time.Millisecond)
	if s.leader == nil || s.leader == old {
		t.Fatalf("after %v nobody leads", electionMax)
	}
	if got := s.idsAt(s.leader); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the new leader holds %v", got)
	}
	s.leader.crash()
	w.pass(time.Minute)
	if s.leader != nil {
		t.Error("one of three leads")
	}
	old.start()
	w.pass(electionMax + time.Millisecond)
	if s.leader == nil {
		t.Error("nobody leads though two of three are back")
	}
	s.mustStore(t, "a", "2", 1)
	w.noProblems(t)
}

// Of a majority the server with the longest copy leads: nothing that was
// acknowledged is lost with a minority.
func TestLongestCopyLeads(t *testing.T) {
	t.Parallel()
	for round := range 6 {
		w, s := stream3(t)
		for range round {
			w.chance.stream.Uint64() // other dice
		}
		old := s.leader
		behind := w.others(old)[round%2]
		behind.crash()
		s.mustStore(t, "a", "1", 0)
		behind.start()
		old.crash() // before the follower has caught up
		w.pass(electionMax + time.Second)
		if got := s.idsAt(behind); !slices.Equal(got, []string{"1"}) {
			t.Errorf("round %d: behind the new leader a follower holds %v", round, got)
		}
	}
}

// The expected last number of the subject must be right, counting what the
// leader has taken and not stored yet.
func TestExpectedSequence(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.mustStore(t, "a", "1", 0)
	s.mustStore(t, "b", "2", 0)
	s.mustStore(t, "a", "3", 1)
	for _, expect := range []uint64{0, 1, 2, 4} {
		if p := s.proposed(s.leader, "a", "x", expect); p.ok || p.kind != protocol.WrongSequence || p.answers != 1 {
			t.Errorf("expected number %d instead of 3: %+v", expect, p)
		}
	}
	first := s.proposed(s.leader, "a", "4", 3)
	second := s.proposed(s.leader, "a", "5", 3)
	third := s.proposed(s.leader, "a", "6", 4)
	w.pass(time.Second)
	if !first.ok || second.ok || !third.ok || first.seq != 4 || third.seq != 5 {
		t.Errorf("one after the other: %+v, %+v, %+v, want 4, refused, 5", first, second, third)
	}
	if got := s.idsAt(s.leader); !slices.Equal(got, []string{"1", "2", "3", "4", "6"}) {
		t.Errorf("stored are %v", got)
	}
}

// A repeated id is answered with the first number for two minutes. A cluster
// looks for it before it looks at the expected number, one server after.
func TestDeduplication(t *testing.T) {
	t.Parallel()
	for _, cores := range []int{1, 3} {
		w := running(t, cores, 0, nil)
		s := w.bus.streams[0]
		s.mustStore(t, "a", "1", 0) // and its acknowledgement is lost, say
		again := s.proposed(s.leader, "a", "1", 0)
		if wrong := again.kind == protocol.WrongSequence; wrong != (cores == 1) || again.ok != (cores > 1) {
			t.Errorf("%d servers: the same again: %+v", cores, again)
		}
		known := s.proposed(s.leader, "a", "1", 1)
		w.pass(time.Second)
		if !known.ok || known.seq != 1 || s.committed != 1 {
			t.Errorf("%d servers: a known id: %+v, %d are stored, want number 1 and one", cores, known, s.committed)
		}
		w.pass(dedupWindow - 2*time.Second)
		if p := s.proposed(s.leader, "a", "1", 1); !p.ok || p.seq != 1 {
			t.Errorf("%d servers: within the window: %+v", cores, p)
		}
		w.pass(2 * time.Second)
		if p := s.proposed(s.leader, "a", "1", 0); p.ok || p.kind != protocol.WrongSequence {
			t.Errorf("%d servers: the same after the window: %+v, want a wrong number", cores, p)
		}
		if got := s.mustStore(t, "a", "1", 1); got != 2 {
			t.Errorf("%d servers: a known id after the window is number %d, want 2", cores, got)
		}
	}
}

// The leader that dies after a commit has told nobody: the retry finds the
// message at the next one.
func TestAcknowledgementLost(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.proposed(s.leader, "a", "1", 0)
	for s.committed == 0 {
		w.pass(100 * time.Microsecond)
	}
	s.leader.crash()
	w.pass(electionMax + time.Second)
	if p := s.proposed(s.leader, "a", "1", 0); !p.ok || p.seq != 1 || s.committed != 1 {
		t.Errorf("the retry: %+v, %d are stored, want number 1 and one", p, s.committed)
	}
	// What was not committed is gone with the leader that took it.
	p := s.proposed(s.leader, "a", "2", 1)
	s.leader.crash()
	w.cores[0].start()
	w.cores[1].start()
	w.cores[2].start()
	w.pass(electionMax + time.Second)
	if p.answers != 0 || s.committed != 1 {
		t.Errorf("answered %+v, %d are stored, want nothing and one", p, s.committed)
	}
}

// readBy gives what a consumer at n reads behind a number, off the copy of source.
func (s *stream) readBy(n, source *node, after uint64) (ids []string, missing uint64) {
	r := &reader{s: s, n: n, boot: n.boots, pos: drive.Position{Stream: s.id, Seq: after}, source: source}
	return r.ids(r.collect(false))
}

func (r *reader) ids(msgs []message, missing uint64) (ids []string, _ uint64) {
	for _, m := range msgs {
		if m.stored == nil {
			ids = append(ids, fmt.Sprintf("%d:-", m.seq))
			continue
		}
		ids = append(ids, fmt.Sprintf("%d:%s", m.seq, m.id))
	}
	return ids, missing
}

// What a follower lost in silence is read from the leader; what the leader lost
// is missing to whoever reads its copy, and stays with the followers. What is
// missing at the end is noticed after a silence.
func TestSilentLoss(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	for i := range 4 {
		s.mustStore(t, "a", fmt.Sprint(i+1), uint64(i))
	}
	leader := s.leader
	follower := w.others(leader)[0]
	w.strike(Fault{Kind: StreamLoss, Nodes: []string{follower.lane}, Count: 2})
	s.mustStore(t, "a", "5", 4)
	if got := s.idsAt(follower); !slices.Equal(got, []string{"1", "2", "-", "-", "5"}) {
		t.Errorf("the follower holds %v", got)
	}
	got, missing := s.readBy(follower, follower, 1)
	if !slices.Equal(got, []string{"2:2", "3:3", "4:4", "5:5"}) || missing != 0 {
		t.Errorf("read off a follower with holes: %v, %d missing", got, missing)
	}
	w.strike(Fault{Kind: StreamLoss, Count: 1}) // of the leader
	if got := s.idsAt(leader); !slices.Equal(got, []string{"1", "2", "3", "4", "-"}) {
		t.Errorf("the leader holds %v", got)
	}
	if got, missing := s.readBy(follower, leader, 3); !slices.Equal(got, []string{"4:4"}) || missing != 0 {
		t.Errorf("with a loss at the end: %v, %d missing, want nothing noticed", got, missing)
	}
	r := &reader{s: s, n: follower, boot: follower.boots, pos: drive.Position{Stream: s.id, Seq: 3}, source: leader}
	if got, missing := r.ids(r.collect(true)); !slices.Equal(got, []string{"4:4", "5:-"}) || missing != 1 {
		t.Errorf("with a loss at the end, after a silence: %v, %d missing, want one", got, missing)
	}
	if last := s.lastOf(s.copies[leader], "a"); last != 4 {
		t.Errorf("the leader takes %d for the last number, want 4", last)
	}
	s.mustStore(t, "a", "6", 4)
	if got, missing := s.readBy(follower, leader, 3); !slices.Equal(got, []string{"4:4", "6:6"}) || missing != 1 {
		t.Errorf("read off a leader with holes: %v, %d missing, want one", got, missing)
	}
	got, missing = s.readBy(follower, w.others(leader)[1], 3)
	if !slices.Equal(got, []string{"4:4", "5:5", "6:6"}) || missing != 0 {
		t.Errorf("read off a whole copy: %v, %d missing", got, missing)
	}
}

// A follower that was cut off short copies again; a leader that was takes the
// lost numbers for new messages, and does not know the ids.
func TestCutCopy(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	for i := range 3 {
		s.mustStore(t, "a", fmt.Sprint(i+1), uint64(i))
	}
	follower := w.others(s.leader)[0]
	w.strike(Fault{Kind: StreamLoss, Nodes: []string{follower.lane}, Count: 2, Cut: true})
	if got := s.idsAt(follower); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the follower holds %v", got)
	}
	s.mustStore(t, "a", "4", 3)
	if got := s.idsAt(follower); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("after the next message the follower holds %v", got)
	}
	w.strike(Fault{Kind: StreamLoss, Count: 2, Cut: true})
	if s.committed != 2 {
		t.Errorf("%d are committed, want 2", s.committed)
	}
	if got := s.mustStore(t, "a", "4", 2); got != 3 {
		t.Errorf("a message that was cut off comes as number %d, want 3", got)
	}
	for _, c := range w.cores {
		if got := s.idsAt(c); !slices.Equal(got, []string{"1", "2", "4"}) {
			t.Errorf("%s holds %v", c.lane, got)
		}
	}
	if seq, m := s.shown(s.leader, "a"); seq != 3 || m.id != "4" {
		t.Errorf("the last message of the subject is number %d", seq)
	}
}

// A stream that is made again is another one: empty, with no memory of ids.
func TestRecreatedStream(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.mustStore(t, "a", "1", 0)
	before := s.id
	w.strike(Fault{Kind: StreamAway})
	if s.id == before || s.committed != 0 || len(s.idsAt(w.cores[0])) != 0 {
		t.Errorf("it is %s as before, or has %d messages", s.id, s.committed)
	}
	w.pass(time.Second)
	if got := s.mustStore(t, "a", "1", 0); got != 1 {
		t.Errorf("the first message is number %d", got)
	}
	for _, c := range w.cores {
		r := c.core.readers[0]
		w.pass(time.Second)
		if r.pos.Stream != s.id {
			t.Errorf("%s still reads %s", c.lane, r.pos.Stream)
		}
	}
}

// A server whose copies are wiped comes back empty and copies from the leader.
func TestWipedCopies(t *testing.T) {
	t.Parallel()
	w, s := stream3(t)
	s.mustStore(t, "a", "1", 0)
	old := s.leader
	end := w.strike(Fault{Kind: WipeStreams, Nodes: []string{old.lane}})
	w.pass(electionMax + time.Second)
	end()
	w.pass(time.Second)
	for _, c := range w.cores {
		if got := s.idsAt(c); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%s holds %v", c.lane, got)
		}
	}
}
