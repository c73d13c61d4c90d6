package drive

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/vclock"
)

// visitor drives a Refill as a core node's loop does, with peers whose answers
// the test gives.
type visitor struct {
	t      *testing.T
	r      *Refill
	at     protocol.Instant
	wake   protocol.Instant
	visits []string // every LinkUp since the last look
}

// newVisitor has core-2 and core-3 as peers; nothing was read yet.
func newVisitor(t *testing.T, seed uint64) *visitor {
	v := &visitor{t: t, r: NewRefill(rand.New(rand.NewPCG(seed, 1))), at: 1}
	v.r.Meet(v.at, []string{"core-2", "core-3"})
	v.told(protocol.LinkUp{})
	return v
}

// turn carries out what is due, and what comes of it.
func (v *visitor) turn() {
	for {
		move, wake := v.r.Turn(v.at)
		if v.wake = wake; move == nil {
			return
		}
		v.visits = append(v.visits, move.Core)
		v.r.Told(v.at, *move)
	}
}

func (v *visitor) told(in protocol.EdgeInput) { v.r.Told(v.at, in); v.turn() }
func (v *visitor) note(f protocol.Fact)       { v.r.Note(v.at, f); v.turn() }

// grant has the peer that is visited grant the attach, showing what is behind.
func (v *visitor) grant(behind ...protocol.FeedSeq) {
	v.t.Helper()
	v.note(protocol.AttachGranted{Core: v.where(), Behind: behind})
}

// where is the last place that the edge half was sent to.
func (v *visitor) where() string {
	v.t.Helper()
	if len(v.visits) == 0 {
		v.t.Fatal("nobody was visited yet")
	}
	return v.visits[len(v.visits)-1]
}

// pass lets time pass, waking at each moment that was asked for.
func (v *visitor) pass(d time.Duration) {
	end := v.at.Later(d)
	for v.wake != 0 && v.wake <= end {
		v.at = max(v.wake, v.at+1)
		v.turn()
	}
	v.at = end
}

// take gives the visits since the last look.
func (v *visitor) take() []string {
	list := v.visits
	v.visits = nil
	return list
}

// started is a visitor that has visited both peers and lacks nothing.
func started(t *testing.T, seed uint64) *visitor {
	t.Helper()
	v := newVisitor(t, seed)
	v.r.CaughtUp(v.at)
	v.turn()
	v.grant()
	v.grant()
	if got := v.take(); len(got) != 3 || got[2] != "" || !v.r.Admits("edge-1") {
		t.Fatalf("start: visits %q, admits edges %v, want both peers, then none, and edges admitted", got, v.r.Admits("edge-1"))
	}
	return v
}

func feedOf(o vclock.Origin) protocol.Feed { return protocol.Feed{Space: space, Origin: o} }

// At the start every peer is visited once, when the streams were read; edges
// wait for that, peers do not.
func TestRefillAtTheStart(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, 1)
	if v.turn(); len(v.visits) != 0 || v.r.Admits("core-2") || v.r.Admits("edge-1") {
		t.Errorf("before the streams were read: visits %q, want none and nobody admitted", v.visits)
	}
	v.r.CaughtUp(v.at)
	v.turn()
	first := v.where()
	if !v.r.Admits("core-2") || v.r.Admits("edge-1") {
		t.Error("during the first visit: want peers admitted and edges not")
	}
	v.grant(protocol.FeedSeq{Feed: feedOf("edge-1~a"), Seq: 3})
	v.told(protocol.Persisted{Feed: feedOf("edge-1~a"), Head: protocol.Head{Seq: 2}})
	if v.where() != first {
		t.Errorf("with an op lacking it went to %q, want it to stay at %s", v.where(), first)
	}
	v.told(protocol.Persisted{Feed: feedOf("edge-1~a"), Head: protocol.Head{Seq: 3}})
	if v.where() == first || v.where() == "" || v.r.Admits("edge-1") {
		t.Errorf("with everything there it is at %q, admits edges %v, want the other peer first", v.where(), v.r.Admits("edge-1"))
	}
	v.grant()
	if v.where() != "" || !v.r.Admits("edge-1") {
		t.Errorf("after both visits it is at %q, want nowhere and edges admitted", v.where())
	}
}

// Edges do not wait for ever when no peer answers: RefillWait. Peers are asked
// again until they do answer.
func TestRefillWithSilentPeers(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, 2)
	v.r.CaughtUp(v.at)
	v.turn()
	for v.at < protocol.Instant(0).Later(RefillWait-time.Second) {
		if v.r.Admits("edge-1") {
			t.Fatalf("edges admitted at %v although no peer has answered", time.Duration(v.at))
		}
		if v.pass(500 * time.Millisecond); v.where() != "" {
			v.note(protocol.AttachFailed{Core: v.where()})
		}
	}
	if v.pass(2 * time.Second); !v.r.Admits("edge-1") {
		t.Error("edges are not admitted after RefillWait")
	}
	v.take()
	for range 400 {
		if v.pass(time.Second); len(v.visits) > 0 && v.where() != "" {
			v.note(protocol.AttachFailed{Core: v.where()})
		}
	}
	asked := 0
	for _, name := range v.take() {
		if name != "" {
			asked++
		}
	}
	if least, most := 6, 40; asked < least || asked > most {
		t.Errorf("in 400s two silent peers were asked %d times, want %d to %d", asked, least, most)
	}
}

// A visit in which nothing comes any more ends, and is made again later.
func TestRefillEndsWithoutProgress(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, 3)
	v.r.CaughtUp(v.at)
	v.turn()
	first := v.where()
	v.grant(protocol.FeedSeq{Feed: feedOf("edge-1~a"), Seq: 30})
	for seq := range vclock.Seq(5) { // slowly, but steadily
		v.pass(RefillPatience - time.Second)
		v.told(protocol.Persisted{Feed: feedOf("edge-1~a"), Head: protocol.Head{Seq: seq + 1}})
	}
	if v.where() != first {
		t.Fatalf("with progress it left for %q", v.where())
	}
	v.told(protocol.Persisted{Feed: feedOf("edge-2~a"), Head: protocol.Head{Seq: 9}}) // of no matter here
	v.pass(RefillPatience - time.Millisecond)
	if v.where() != first {
		t.Fatalf("it left for %q too early", v.where())
	}
	if v.pass(2 * time.Millisecond); v.where() == first {
		t.Error("without progress it stayed")
	}
	v.grant() // the other peer
	v.take()
	if v.pass(2 * RefillRetry); len(v.visits) == 0 || v.where() != first {
		t.Errorf("visits %q, want %s again", v.visits, first)
	}
}

// Doubts of several streams are one round of visits, and doubts without end do
// not make visits without end.
func TestRefillInDoubt(t *testing.T) {
	t.Parallel()
	v := started(t, 4)
	v.pass(RefillGap)
	for range 4 {
		v.r.Doubt(v.at)
		v.turn()
	}
	v.pass(2 * RefillSpread)
	v.grant()
	v.grant()
	got := slices.DeleteFunc(v.take(), func(n string) bool { return n == "" })
	slices.Sort(got)
	if !slices.Equal(got, []string{"core-2", "core-3"}) {
		t.Errorf("after four doubts: visits %q, want each peer once", got)
	}
	visits := 0
	for range 100 {
		v.r.Doubt(v.at)
		v.turn()
		v.pass(time.Second)
		for v.visits != nil && v.where() != "" {
			visits++
			v.grant()
		}
		v.take()
	}
	if most := 2 * int(101*time.Second/RefillGap); visits > most {
		t.Errorf("a doubt a second for 100s: %d visits, want at most %d", visits, most)
	}
}

// Without doubt a peer is visited now and then.
func TestRefillNowAndThen(t *testing.T) {
	t.Parallel()
	v := started(t, 5)
	visits := 0
	for range 3600 {
		v.pass(time.Second)
		for v.visits != nil && v.where() != "" {
			visits++
			v.grant()
		}
		v.take()
	}
	if least, most := int(time.Hour/(2*RefillEvery)), int(2*time.Hour/RefillEvery); visits < least || visits > most {
		t.Errorf("%d visits in an hour, want %d to %d", visits, least, most)
	}
}

// The place where a feed of our own forked is found only in a visit: it begins
// for that, and lasts until what collides was taken out and made again.
func TestRefillFindsForks(t *testing.T) {
	t.Parallel()
	v := started(t, 6)
	f := feedOf("core-1~a")
	v.pass(RefillGap)
	v.note(protocol.Forked{Feed: f, Own: true, After: 1, At: 9})
	v.pass(2 * RefillSpread)
	if len(v.visits) == 0 {
		t.Fatal("nobody was visited for a fork")
	}
	first := v.where()
	v.grant()
	v.note(protocol.Forked{Feed: f, Own: true, After: 3, At: 4})
	if v.where() != first {
		t.Error("it left before the ops were made again")
	}
	v.told(protocol.Replaced{Feed: f, Head: protocol.Head{Seq: 3}})
	v.grant(protocol.FeedSeq{Feed: f, Seq: 9}) // attached anew
	v.told(protocol.Persisted{Feed: f, Head: protocol.Head{Seq: 9}})
	if v.where() == first {
		t.Error("it stayed with everything there")
	}
}

// A link that is lost ends the visit; peers that are gone are not visited.
func TestRefillLinkAndPeers(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, 7)
	v.r.CaughtUp(v.at)
	v.turn()
	v.take()
	v.told(protocol.LinkDown{})
	if v.pass(time.Minute); len(v.visits) != 0 {
		t.Errorf("without a link: visits %q", v.visits)
	}
	v.told(protocol.LinkUp{})
	if len(v.visits) == 0 {
		t.Fatal("nobody is visited with the link back")
	}
	v.r.Meet(v.at, []string{"core-9"})
	v.note(protocol.AttachFailed{Core: v.where()})
	if v.where() != "core-9" {
		t.Errorf("visits %q, want core-9 alone", v.where())
	}
}
