package drive

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

func TestRepairOf(t *testing.T) {
	t.Parallel()
	f := protocol.Feed{Space: space, Origin: "edge-1~a"}
	got, err := RepairOf(session.OpKey(f.Space, f.Origin, 0x0100))
	if want := (Repair{Op: &protocol.OpAsk{Feed: f, Seq: 0x0100}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("RepairOf an op = %+v, %v, want %+v", got, err, want)
	}
	got, err = RepairOf(append(session.Prefix(space, "s"), "m"...))
	if want := (Repair{Space: space, Session: "s"}); err != nil || got != want {
		t.Errorf("RepairOf a session's record = %+v, %v, want %+v", got, err, want)
	}
	for _, key := range []string{"n/origin", "f/shop\x00edge-1~a", "x/12345678\x00shop\x00s"} {
		if got, err := RepairOf([]byte(key)); err != nil || got != (Repair{Remake: true}) {
			t.Errorf("RepairOf(%q) = %+v, %v, want Remake", key, got, err)
		}
	}
	for _, key := range []string{"", "n/commit", "f/shop", "o/shop\x00edge-1~a", "o/shop\x00edge-1~a\x00short",
		"s/shop", "s/shop\x00s", "z/frame/shop\x00edge-1~a\x0012345678", "q/a\x00b\x00c"} {
		if got, err := RepairOf([]byte(key)); !errors.Is(err, ErrNoRepair) {
			t.Errorf("RepairOf(%q) = %+v, %v, want ErrNoRepair", key, got, err)
		}
	}
}

// TestRestoreOp mends an op from another replica's answer, and from nothing else.
func TestRestoreOp(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	p.talk("s", 4)
	f := p.feed()
	other.ingest(p.frame(f, 1, 9))
	p.rot(f, 3)
	ask := protocol.OpAsk{Feed: f, Seq: 3}
	answerOf := func(who *peer, ask protocol.OpAsk) (answer []byte, err error) {
		who.view(func(r session.Reader) error {
			answer, err = AnswerOp(r, ask)
			return nil
		})
		return answer, err
	}
	if answer, err := answerOf(p, ask); answer != nil || !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("AnswerOp of a damaged op = %x, %v, want ErrCorrupt", answer, err)
	}
	if answer, err := answerOf(other, protocol.OpAsk{Feed: f, Seq: 6}); answer != nil || err != nil {
		t.Errorf("AnswerOp of an op that is not held = %x, %v, want silence", answer, err)
	}
	sound, err := answerOf(other, ask)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := answerOf(other, protocol.OpAsk{Feed: f, Seq: 4})
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte{}, sound...)
	damaged[20] ^= 1
	prev, _ := other.frame(f, 1, 9).ChainAt(2)
	forged := protocol.NewFrame(f, protocol.Head{Seq: 2, Chain: prev}, [][]byte{[]byte("forged")})
	for _, c := range []struct {
		name   string
		answer []byte
		want   error
	}{
		{"another op", wrong, protocol.ErrUnexpected},
		{"more than the op", encode(t, protocol.Upload{Frame: *other.frame(f, 2, 2)}), protocol.ErrUnexpected},
		{"a damaged answer", damaged, protocol.ErrChecksum},
		{"another message", encode(t, ask), protocol.ErrUnexpected},
		{"a forged op", encode(t, protocol.Upload{Frame: forged}), replica.ErrFork},
		{"the op", sound, nil},
	} {
		err := p.disk.Update(func(tx session.Tx) error { return RestoreOp(tx, ask, c.answer) })
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("RestoreOp from %s = %v, want %v", c.name, err, c.want)
		}
	}
	if got, want := p.frame(f, 1, 9), other.frame(f, 1, 9); !reflect.DeepEqual(got, want) {
		t.Error("the feed is not what it was")
	}
}

// TestRebuildSession mends a session, also when its log does not tell its ops.
func TestRebuildSession(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"m", "l"} {
		p := newPeer(t, "edge-1")
		p.talk("s", 4)
		p.talk("t", 1)
		before := p.digest()
		var key []byte
		p.view(func(r session.Reader) error {
			for e, err := range r.Scan(append(session.Prefix(space, "s"), kind...), nil, false) {
				if err != nil {
					return err
				}
				key = e.Key
			}
			return nil
		})
		if !p.disk.Rot(key, rand.New(rand.NewPCG(3, 4))) {
			t.Fatalf("no record %q", kind)
		}
		what, err := RepairOf(key)
		if err != nil {
			t.Fatal(err)
		}
		p.update(func(tx session.Tx) error { return RebuildSession(tx, what.Space, what.Session) })
		if got := p.digest(); got.Sum != before.Sum {
			t.Errorf("after damage to %q: digest %x, want %x", key, got.Sum, before.Sum)
		}
	}
}

// TestRepairOfAnOpAndItsSession: where an op and the log of its session are
// damaged both, the op comes back first and then the session.
func TestRepairOfAnOpAndItsSession(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	p.talk("s", 4)
	other.ingest(p.frame(p.feed(), 1, 9))
	before := p.digest()
	slot := append(append(session.Prefix(space, "s"), 'l'), 0, 0, 0, 0, 0, 0, 0, 4)
	if !p.disk.Rot(slot, rand.New(rand.NewPCG(3, 4))) {
		t.Fatal("no slot 4")
	}
	p.rot(p.feed(), 2)
	rebuild := func() error {
		return p.disk.Update(func(tx session.Tx) error { return RebuildSession(tx, space, "s") })
	}
	if err := rebuild(); !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("RebuildSession without the op = %v, want ErrCorrupt", err)
	}
	ask := protocol.OpAsk{Feed: p.feed(), Seq: 2}
	p.update(func(tx session.Tx) error {
		return RestoreOp(tx, ask, encode(t, protocol.Upload{Frame: *other.frame(p.feed(), 2, 1)}))
	})
	if err := rebuild(); err != nil {
		t.Errorf("RebuildSession = %v", err)
	}
	if got := p.digest(); got.Sum != before.Sum {
		t.Errorf("digest %x, want %x", got.Sum, before.Sum)
	}
}
