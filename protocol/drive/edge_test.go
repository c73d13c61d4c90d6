package drive

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// TestEdgeStart tells heads with cursors, one of which is beyond its feed's end,
// as after a fork that was taken out.
func TestEdgeStart(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "edge-2")
	p.talk("s", 2)
	other.talk("t", 0)
	p.ingest(other.frame(other.feed(), 1, 9))
	p.update(func(tx session.Tx) error {
		return KeepCursors(tx, []protocol.FeedSeq{{Feed: p.feed(), Seq: 2}, {Feed: other.feed(), Seq: 7}})
	})
	p.view(func(r session.Reader) error {
		got, err := EdgeStart(r)
		want := []protocol.Persisted{
			{Feed: p.feed(), Head: p.head(p.feed()), Released: 2},
			{Feed: other.feed(), Head: p.head(other.feed()), Released: 1},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("EdgeStart = %+v, %v, want %+v", got, err, want)
		}
		gone := protocol.Feed{Space: space, Origin: "edge-9~x"}
		heads, _, _, err := EdgeHeads(r, []protocol.Feed{gone, p.feed()})
		if want[0].Released = 0; err != nil || !reflect.DeepEqual(heads, want[:1]) {
			t.Errorf("EdgeHeads = %+v, %v, want %+v", heads, err, want[:1])
		}
		return nil
	})
}

func TestToldDropsOldHeads(t *testing.T) {
	t.Parallel()
	var told Told
	f := protocol.Feed{Space: space, Origin: "edge-1~a"}
	head := func(n vclock.Seq) protocol.Persisted { return protocol.Persisted{Feed: f, Head: protocol.Head{Seq: n}} }
	for i, c := range []struct {
		in    protocol.EdgeInput
		stale bool
	}{
		{head(3), false}, {head(3), true}, {head(2), true}, {head(4), false}, {protocol.Wake{}, false},
		{protocol.Replaced{Feed: f, Head: protocol.Head{Seq: 1}}, false}, {head(1), true}, {head(2), false},
	} {
		if got := told.Stale(c.in); got != c.stale {
			t.Errorf("input %d: Stale(%+v) = %v, want %v", i, c.in, got, c.stale)
		}
	}
}

func TestMoved(t *testing.T) {
	t.Parallel()
	var m Moved
	a, b := protocol.Feed{Space: "a", Origin: "x~1"}, protocol.Feed{Space: "b", Origin: "a~1"}
	at := func(n vclock.Seq) protocol.Head { return protocol.Head{Seq: n} }
	if !m.Note(b, at(5)) || !m.Note(a, at(2)) || !m.Note(a, at(3)) || m.Note(a, at(1)) || m.Note(a, at(3)) {
		t.Error("Note: want true for heads that go on, false for those that do not")
	}
	want := []protocol.FeedHead{{Feed: a, Head: at(3)}, {Feed: b, Head: at(5)}}
	if got := m.Take(); !reflect.DeepEqual(got, want) {
		t.Errorf("Take() = %v, want %v", got, want)
	}
	m.Note(b, at(6))
	m.Reset(b, at(2))
	if got := m.Take(); len(got) != 0 {
		t.Errorf("Take() after Reset = %v, want nothing", got)
	}
	if !m.Note(b, at(3)) {
		t.Error("Note behind a reset = false, want true")
	}
	m.Take()
	m.Touch(b, at(2))
	want = []protocol.FeedHead{{Feed: b, Head: at(3)}}
	if got := m.Take(); !reflect.DeepEqual(got, want) {
		t.Errorf("Take() after Touch = %v, want %v", got, want)
	}
}

// TestTakeCore: the core half hears that a feed was cut back before it hears how
// it goes on, once.
func TestTakeCore(t *testing.T) {
	t.Parallel()
	var m Moved
	a, b := protocol.Feed{Space: "a", Origin: "x~1"}, protocol.Feed{Space: "b", Origin: "a~1"}
	at := func(n vclock.Seq) protocol.Head { return protocol.Head{Seq: n} }
	m.Seed([]protocol.FeedHead{{Feed: a, Head: at(9)}})
	if got := m.TakeCore(); len(got) != 0 {
		t.Errorf("TakeCore() after Seed = %v, want nothing", got)
	}
	m.Note(b, at(1))
	m.Reset(a, at(4))
	m.Note(a, at(5))
	want := []protocol.CoreInput{protocol.Replaced{Feed: a, Head: at(4)},
		protocol.Advanced{Feeds: []protocol.FeedHead{{Feed: a, Head: at(5)}, {Feed: b, Head: at(1)}}}}
	if got := m.TakeCore(); !reflect.DeepEqual(got, want) {
		t.Errorf("TakeCore() = %+v, want %+v", got, want)
	}
	if got := m.TakeCore(); len(got) != 0 {
		t.Errorf("the second TakeCore() = %+v, want nothing", got)
	}
}

// TestEdgeHeadsOverDamage: the heads that can be read are told, the others later.
func TestEdgeHeadsOverDamage(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "edge-2")
	p.talk("s", 1)
	other.talk("t", 1)
	p.ingest(other.frame(other.feed(), 1, 9))
	f := p.feed()
	p.disk.Rot([]byte("f/"+f.Space+"\x00"+string(f.Origin)), rand.New(rand.NewPCG(1, 1)))
	p.view(func(r session.Reader) error {
		ins, left, damage, err := EdgeHeads(r, []protocol.Feed{f, other.feed()})
		if len(ins) != 1 || ins[0].Feed != other.feed() || !slices.Equal(left, []protocol.Feed{f}) ||
			!errors.Is(damage, session.ErrCorrupt) || err != nil {
			t.Errorf("EdgeHeads = %+v, left %v, %v, %v, want that of %v, %v left", ins, left, damage, err, other.feed(), f)
		}
		return nil
	})
}

// TestMovedSeed has commits noted on both sides of the start, in the wrong order.
func TestMovedSeed(t *testing.T) {
	t.Parallel()
	var m Moved
	a, b := protocol.Feed{Space: "a", Origin: "x~1"}, protocol.Feed{Space: "b", Origin: "a~1"}
	at := func(n vclock.Seq) protocol.Head { return protocol.Head{Seq: n} }
	m.Note(a, at(1))
	m.Note(b, at(9))
	c := protocol.Feed{Space: "c", Origin: "x~1"}
	m.Note(c, at(3))
	m.Seed([]protocol.FeedHead{{Feed: a, Head: at(2)}, {Feed: b, Head: at(8)}, {Feed: c, Head: at(3)}})
	if m.Note(a, at(2)) {
		t.Error("a commit that was read at the start is news")
	}
	if got, want := m.Take(), []protocol.FeedHead{{Feed: b, Head: at(9)}}; !reflect.DeepEqual(got, want) {
		t.Errorf("Take() = %v, want %v", got, want)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.talk("s", 3)
	chain, _ := p.frame(p.feed(), 1, 9).ChainAt(2)
	p.rot(p.feed(), 3)
	for _, c := range []struct {
		seq vclock.Seq
		ok  bool
	}{{0, true}, {2, true}, {3, false}, {4, true}, {5, false}} {
		p.view(func(r session.Reader) error {
			got, damage, err := Lookup(r, protocol.LookupChain{Feed: p.feed(), Seq: c.seq})
			if (damage != nil) != (c.seq == 3) {
				t.Errorf("Lookup of %d: damage %v, want some at 3 only", c.seq, damage)
			}
			if err != nil || got.OK != c.ok || got.Seq != c.seq || got.Feed != p.feed() {
				t.Errorf("Lookup of %d = %+v, %v, want OK = %v", c.seq, got, err, c.ok)
			}
			if c.seq == 2 && got.Chain != chain {
				t.Errorf("Lookup of 2 = chain %x, want %x", got.Chain, chain)
			}
			return nil
		})
	}
}

// TestSubjectHead: a last message that is no frame of the feed must not hold the
// feed up for ever (F29).
func TestSubjectHead(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.talk("s", 2)
	frame := p.frame(p.feed(), 1, 9)
	sound := encode(t, protocol.Upload{Frame: *frame})
	broken := append([]byte{}, sound...)
	broken[len(broken)/2] ^= 4
	ask := protocol.AskSubject{Feed: p.feed(), Attempt: 8}
	foreign := protocol.AskSubject{Feed: protocol.Feed{Space: space, Origin: "edge-2~a"}, Attempt: 8}
	for _, c := range []struct {
		name string
		ask  protocol.AskSubject
		seq  uint64
		data []byte
		head protocol.Head
		fail error
	}{
		{"nothing there", ask, 0, nil, protocol.Head{}, nil},
		{"a frame", ask, 4, sound, frame.Head(), nil},
		{"a damaged frame", ask, 4, broken, protocol.Head{}, protocol.ErrChecksum},
		{"another message", ask, 4, encode(t, protocol.Credit{Attachment: 1}), protocol.Head{}, protocol.ErrUnexpected},
		{"another feed", foreign, 4, sound, protocol.Head{}, protocol.ErrUnexpected},
	} {
		got, err := SubjectHead(c.ask, c.seq, c.data)
		want := protocol.SubjectHead{Feed: c.ask.Feed, Attempt: 8, Head: c.head, StreamSeq: c.seq}
		if got != want || !errors.Is(err, c.fail) {
			t.Errorf("%s: SubjectHead = %+v, %v, want %+v, %v", c.name, got, err, want, c.fail)
		}
	}
	pub := protocol.Publish{Feed: p.feed(), Attempt: 3, From: 1}
	want := protocol.Published{Feed: p.feed(), Attempt: 3, Head: frame.Head(), StreamSeq: 11}
	if got := PublishedOf(pub, frame, 11); got != want {
		t.Errorf("PublishedOf = %+v, want %+v", got, want)
	}
}

func TestPublishFrame(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.talk("s", 3)
	read := func(from vclock.Seq) (f *protocol.Frame, err error) {
		p.view(func(r session.Reader) error {
			f, err = PublishFrame(r, protocol.Publish{Feed: p.feed(), From: from, MaxOps: 2, MaxBytes: 1 << 20})
			return nil
		})
		return f, err
	}
	if f, err := read(2); err != nil || f.From != 2 || f.To() != 3 || f.Verify() != nil {
		t.Errorf("PublishFrame from 2 = %+v, %v, want ops 2 and 3", f, err)
	}
	if f, err := read(5); f != nil || err != nil {
		t.Errorf("PublishFrame behind the end = %+v, %v, want nothing", f, err)
	}
	p.rot(p.feed(), 3)
	if f, err := read(2); err != nil || f.To() != 2 {
		t.Errorf("PublishFrame up to a damaged op = %+v, %v, want op 2", f, err)
	}
	if _, err := read(3); !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("PublishFrame of a damaged op = %v, want ErrCorrupt", err)
	}
}

func TestCursors(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.talk("s", 3)
	var c Cursors
	a, b := protocol.Feed{Space: "a", Origin: "x~1"}, protocol.Feed{Space: "a", Origin: "a~1"}
	for _, r := range []protocol.FeedSeq{{Feed: a, Seq: 1}, {Feed: b, Seq: 4}, {Feed: a, Seq: 3}} {
		c.Note(r)
	}
	got := c.Take()
	if want := []protocol.FeedSeq{{Feed: b, Seq: 4}, {Feed: a, Seq: 3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("Take() = %v, want %v", got, want)
	}
	if again := c.Take(); len(again) != 0 {
		t.Errorf("Take() again = %v, want nothing", again)
	}
	p.update(func(tx session.Tx) error { return KeepCursors(tx, got) })
	p.view(func(r session.Reader) error {
		if seq, err := replica.ReleasedOf(r, a); seq != 3 || err != nil {
			t.Errorf("ReleasedOf = %d, %v, want 3", seq, err)
		}
		return nil
	})
}

func TestAcks(t *testing.T) {
	t.Parallel()
	var a Acks
	f := protocol.Feed{Space: space, Origin: "edge-1~a"}
	holds := func(origin vclock.Origin, seq vclock.Seq) bool {
		return a.Holds("edge-1", space, vclock.Dot{Origin: origin, Seq: seq})
	}
	if holds("edge-1~a", 1) || !holds("edge-2~a", 9) {
		t.Error("Holds at the start: want only what others wrote")
	}
	if !a.Note(f, 3) || a.Note(f, 3) || a.Note(f, 2) || a.Through(f) != 3 {
		t.Errorf("Note: want news only once; through %d, want 3", a.Through(f))
	}
	if !holds("edge-1~a", 3) || holds("edge-1~a", 4) || holds("edge-1~b", 1) {
		t.Error("Holds: want up to 3 of this origin alone")
	}
}

func TestMover(t *testing.T) {
	t.Parallel()
	var m Mover
	second := func(n int) protocol.Instant { return protocol.Instant(time.Duration(n) * time.Second) }
	for _, c := range []struct {
		at       protocol.Instant
		failures int
		want     bool
	}{
		{0, 2, false}, {0, 3, true}, {second(9), 4, false},
		{second(10), 2, false}, {second(10), 5, true}, {second(19), 9, false},
	} {
		if got := m.Move(c.at, protocol.AttachFailed{Failures: c.failures}); got != c.want {
			t.Errorf("Move at %v after %d failures = %v, want %v", time.Duration(c.at), c.failures, got, c.want)
		}
	}
}
