package drive

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// everyKind is a node whose store has a record of every kind, with a waiting op,
// an erased session, a session that will expire and a fenced origin.
func everyKind(t *testing.T) *peer {
	p, author, other := newPeer(t, "core-1"), newPeer(t, "edge-1"), newPeer(t, "edge-2")
	author.talk("seen", 2)
	other.ingest(author.frame(author.feed(), 1, 9))
	other.must("seen", say("waits"))
	p.ingest(other.frame(other.feed(), 1, 9))
	p.must("idle", session.OpenSession{TTL: time.Hour})
	p.talk("gone", 3)
	p.must("gone", session.EraseSession{})
	if _, err := p.write(session.Command{Session: "keyed", Key: "k", Do: session.OpenSession{}}); err != nil {
		t.Fatal(err)
	}
	p.update(func(tx session.Tx) error {
		if err := KeepPosition(tx, 1, Position{Stream: "s", Seq: 7}); err != nil {
			return err
		}
		if err := KeepCursors(tx, []protocol.FeedSeq{{Feed: p.feed(), Seq: 2}}); err != nil {
			return err
		}
		return KeepEvidence(tx, author.frame(author.feed(), 1, 1))
	})
	return p
}

// records reads the whole store; damaged records have no value.
func (p *peer) records() map[string][]byte {
	p.t.Helper()
	all := map[string][]byte{}
	p.view(func(r session.Reader) error {
		for _, first := range []byte("afgnopsuwxyz") {
			prefix := []byte{first, '/'}
			for e, err := range r.Scan(prefix, nil, false) {
				if err != nil {
					return err
				}
				all[string(e.Key)] = e.Value
			}
		}
		return nil
	})
	return all
}

// remake carries out what RepairOf says about a record.
func (p *peer) remake(key []byte) (space string, err error) {
	err = p.disk.Update(func(tx session.Tx) (err error) {
		space, err = Remake(tx, p.rep, p.id, key)
		return err
	})
	return space, err
}

// TestRemake damages each record that is made anew from others, one after the
// other, and has it mended: it is what it was, or what it may become.
func TestRemake(t *testing.T) {
	t.Parallel()
	p := everyKind(t)
	before := p.records()
	for _, key := range slices.Sorted(maps.Keys(before)) {
		was := before[key]
		how, _ := remakingOf([]byte(key))
		what, err := RepairOf([]byte(key))
		if (how != noRemake) != (err == nil && what.Remake) {
			t.Errorf("RepairOf(%q) = %+v, %v", key, what, err)
		}
		if how == noRemake {
			continue
		}
		p.disk.Rot([]byte(key), rand.New(rand.NewPCG(uint64(len(key)), 1)))
		space, err := p.remake([]byte(key))
		if err != nil {
			t.Errorf("Remake(%q) = %v", key, err)
			continue
		}
		if (space != "") != (how == headAgain || how == spaceAgain) {
			t.Errorf("Remake(%q) names space %q", key, space)
		}
		want := was
		switch how {
		case dropIt:
			want = nil
		case cursorAgain:
			want = make([]byte, 8)
		}
		if got := p.records()[key]; !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%q was %x, is %x after the repair, want %x", key, was, got, want)
		}
	}
	for _, k := range remakes {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(before)), func(key string) bool { return strings.HasPrefix(key, k.prefix) }) {
			t.Errorf("no record of kind %s was tried", k.prefix)
		}
	}
}

// TestRemakeTakesWhatIsSound: a record that was written since is not touched,
// nor is one that is gone by now made again.
func TestRemakeTakesWhatIsSound(t *testing.T) {
	t.Parallel()
	p := everyKind(t)
	position, waiting := positionKey(1), []byte("w/shop\x00seen\x00nobody\x0012345678")
	for _, key := range [][]byte{position, waiting} {
		if _, err := p.remake(key); err != nil {
			t.Errorf("Remake(%q) = %v", key, err)
		}
	}
	after := p.records()
	if after[string(position)] == nil {
		t.Error("a sound position was dropped")
	}
	if _, ok := after[string(waiting)]; ok {
		t.Error("a waiting op was made up")
	}
}

// TestRemakeHeadOverDamage: with its last record damaged too, a head comes back
// when that record does; a record that does not lead to its successor is not built on.
func TestRemakeHeadOverDamage(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	p.talk("s", 4)
	f, head := p.feed(), p.head(p.feed())
	other.ingest(p.frame(f, 1, 9))
	key := []byte("f/" + f.Space + "\x00" + string(f.Origin))
	p.disk.Rot(key, rand.New(rand.NewPCG(1, 2)))
	p.rot(f, 5)
	_, err := p.remake(key)
	var bad *session.CorruptError
	if !errors.As(err, &bad) || !bytes.Equal(bad.Key, session.OpKey(f.Space, f.Origin, 5)) {
		t.Fatalf("Remake over a damaged last record = %v, want that record named", err)
	}
	ask := protocol.OpAsk{Feed: f, Seq: 5}
	p.update(func(tx session.Tx) error {
		return RestoreOp(tx, ask, encode(t, protocol.Upload{Frame: *other.frame(f, 5, 1)}))
	})
	if _, err := p.remake(key); err != nil || p.head(f) != head {
		t.Errorf("Remake = %v, head %v, want %v", err, p.head(f), head)
	}
	p.disk.Rot(key, rand.New(rand.NewPCG(1, 2)))
	p.update(func(tx session.Tx) error { // an op that never was there
		rec, _, err := session.RecordAt(tx, f.Space, p.dot(4))
		rec.Chain[0] ^= 1
		return errors.Join(err, session.PutRecord(tx, f.Space, p.dot(4), rec))
	})
	if _, err := p.remake(key); !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("Remake over a broken chain = %v, want ErrCorrupt", err)
	}
}

// TestMendStart mends all that stands in the way of a start, and names what cannot be.
func TestMendStart(t *testing.T) {
	t.Parallel()
	p := everyKind(t)
	want := p.records()
	want["u/shop\x00"+string(p.rep.Origin())] = make([]byte, 8)
	rng := rand.New(rand.NewPCG(3, 3))
	for _, key := range []string{"f/shop\x00" + string(p.rep.Origin()), "p/shop", "u/shop\x00" + string(p.rep.Origin()),
		"z/fence/edge-1~epoch001"} {
		if !p.disk.Rot([]byte(key), rng) {
			t.Fatalf("no record %q", key)
		}
	}
	mended := 0
	for key := []byte("first"); key != nil; mended++ {
		p.update(func(tx session.Tx) (err error) {
			key, err = MendStart(tx)
			return err
		})
	}
	if mended != 5 {
		t.Errorf("MendStart was called %d times, want 4 for what is damaged and one more", mended)
	}
	for key, value := range p.records() {
		if !bytes.Equal(value, want[key]) {
			t.Errorf("%q is %x, want %x", key, value, want[key])
		}
	}
	last := p.head(p.feed()).Seq
	p.disk.Rot([]byte("f/shop\x00"+string(p.rep.Origin())), rng)
	p.rot(p.feed(), last)
	err := p.disk.Update(func(tx session.Tx) error {
		_, err := MendStart(tx)
		return err
	})
	if !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("MendStart over a head and its op = %v, want ErrCorrupt", err)
	}
}

// TestAdoptOverDamage: whose record of its origin is damaged writes under a new
// one, with a clock that goes on behind its ops.
func TestAdoptOverDamage(t *testing.T) {
	t.Parallel()
	for _, key := range [][]byte{originKey, clusterKey, []byte("n/clock")} {
		p := newPeer(t, "edge-1")
		p.talk("s", 3)
		var last session.Op
		p.view(func(r session.Reader) error {
			rec, _, err := session.RecordAt(r, space, p.dot(4))
			if err == nil {
				last, err = session.DecodeOp(rec.Bytes)
			}
			return err
		})
		before := p.rep.Origin()
		p.disk.Rot(key, rand.New(rand.NewPCG(5, 5)))
		p.update(func(tx session.Tx) error {
			origin, err := Adopt(tx, p.id, false)
			if err != nil {
				return err
			}
			p.rep, err = replica.Open(tx, origin)
			return err
		})
		if fresh := p.rep.Origin() != before; fresh != !bytes.HasPrefix(key, []byte("n/clock")) {
			t.Errorf("damaged %s: origin %s, was %s", key, p.rep.Origin(), before)
		}
		p.wall = 1 // the wall clock is wrong
		p.must("t", session.OpenSession{})
		p.view(func(r session.Reader) error {
			rec, _, err := session.RecordAt(r, space, p.dot(p.head(p.feed()).Seq))
			if err != nil {
				return err
			}
			op, err := session.DecodeOp(rec.Bytes)
			if op.Stamp.Compare(last.Stamp) <= 0 {
				t.Errorf("damaged %s: stamp %v after %v", key, op.Stamp, last.Stamp)
			}
			return err
		})
		if got := p.records(); got[string(key)] == nil {
			t.Errorf("%s was not written again", key)
		}
	}
}
