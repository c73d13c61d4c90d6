package replica_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

const space = "shop"

// peer is a replica on a store in memory.
type peer struct {
	t    fataler
	disk *memstore.Mem
	r    *replica.Replica
	wall uint64
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newPeer(t fataler, origin vclock.Origin) *peer {
	t.Helper()
	p := &peer{t: t, disk: memstore.New(), wall: 1_000_000}
	p.reopen(origin)
	return p
}

func (p *peer) reopen(origin vclock.Origin) {
	p.t.Helper()
	p.view(func(r session.Reader) (err error) {
		p.r, err = replica.Open(r, origin)
		return err
	})
}

func (p *peer) view(fn func(session.Reader) error) {
	p.t.Helper()
	if err := p.disk.View(fn); err != nil {
		p.t.Fatalf("view: %v", err)
	}
}

func (p *peer) update(fn func(session.Tx) error) error { return p.disk.Update(fn) }

func (p *peer) now() replica.Now { return replica.Now{Wall: p.wall} }

func (p *peer) do(id string, action session.Action, key string) (session.Written, error) {
	p.wall++
	var w session.Written
	err := p.update(func(tx session.Tx) (err error) {
		w, err = p.r.Write(tx, p.now(), session.Command{Space: space, Session: id, Key: key, Do: action})
		return err
	})
	return w, err
}

func (p *peer) must(id string, action session.Action, key string) session.Written {
	p.t.Helper()
	w, err := p.do(id, action, key)
	if err != nil {
		p.t.Fatalf("%T in %s: %v", action, id, err)
	}
	return w
}

func say(text string) session.Append {
	return session.Append{Messages: []session.Draft{{Role: "user", Content: fmt.Appendf(nil, "%q", text)}}}
}

func (p *peer) ingest(f *protocol.Frame) (done replica.Ingested, err error) {
	err = p.update(func(tx session.Tx) (err error) {
		done, err = p.r.Ingest(tx, p.now(), f)
		return err
	})
	return done, err
}

func (p *peer) frame(f protocol.Feed, from vclock.Seq, ops int) (frame *protocol.Frame) {
	p.t.Helper()
	p.view(func(r session.Reader) (err error) {
		frame, err = replica.FrameAt(r, f, from, replica.Budget{Ops: ops, Bytes: 1 << 20})
		return err
	})
	return frame
}

func (p *peer) head(f protocol.Feed) (h protocol.Head) {
	p.t.Helper()
	p.view(func(r session.Reader) (err error) {
		h, err = replica.HeadOf(r, f)
		return err
	})
	return h
}

func (p *peer) digest() (sum [32]byte, totals replica.Totals) {
	p.t.Helper()
	p.view(func(r session.Reader) (err error) {
		if sum, _, err = session.SpaceDigest(r, space); err != nil {
			return err
		}
		totals, err = replica.Count(r, space)
		return err
	})
	return sum, totals
}

// pull takes everything that from has and p lacks, in from's order of arrival.
func (p *peer) pull(from *peer, budget int) {
	p.t.Helper()
	for more := true; more; {
		var after vclock.Vector
		p.view(func(r session.Reader) (err error) {
			after, err = replica.Vector(r, space)
			return err
		})
		var frames []*protocol.Frame
		from.view(func(r session.Reader) (err error) {
			frames, _, more, err = replica.Missing(r, space, after, replica.Budget{Ops: budget, Bytes: 1 << 20})
			return err
		})
		for _, f := range frames {
			if err := f.Verify(); err != nil {
				p.t.Fatalf("frame of Missing: %v", err)
			}
			if _, err := p.ingest(f); err != nil {
				p.t.Fatalf("ingest %s %d-%d: %v", f.Origin, f.From, f.To(), err)
			}
		}
	}
}

func feed(o vclock.Origin) protocol.Feed { return protocol.Feed{Space: space, Origin: o} }

// Random writes at three replicas and random pieces of feeds between them, out
// of order among feeds, overlapping and repeated: in the end all hold the same
// state and nothing waits.
func TestReplicasConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		peers := []*peer{newPeer(t, "a~1"), newPeer(t, "b~1"), newPeer(t, "c~1")}
		sessions := []string{"s1", "s2"}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			p := rapid.SampledFrom(peers).Draw(t, "peer")
			if rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				id := rapid.SampledFrom(sessions).Draw(t, "session")
				if _, err := p.do(id, say(fmt.Sprint(p.wall)), ""); errors.Is(err, session.ErrNoSession) {
					p.must(id, session.OpenSession{}, "")
				}
				continue
			}
			from := rapid.SampledFrom(peers).Draw(t, "from")
			o := rapid.SampledFrom(peers).Draw(t, "feed").r.Origin()
			have := p.head(feed(o)).Seq
			start := vclock.Seq(rapid.IntRange(1, int(have)+1).Draw(t, "start"))
			f := from.frame(feed(o), start, rapid.IntRange(1, 5).Draw(t, "ops"))
			if f == nil {
				continue
			}
			if _, err := p.ingest(f); err != nil {
				t.Fatalf("ingest: %v", err)
			}
		}
		budget := rapid.IntRange(1, 40).Draw(t, "budget")
		for range 2 {
			for _, p := range peers {
				for _, q := range peers {
					p.pull(q, budget)
				}
			}
		}
		want, _ := peers[0].digest()
		for _, p := range peers {
			if got, totals := p.digest(); got != want || totals.Waiting != 0 {
				t.Fatalf("replica %s: digest %x, %d waiting; want %x and none", p.r.Origin(), got[:4], totals.Waiting, want[:4])
			}
		}
	})
}

// An op that arrives before what it depends on is held, and applied when that
// has come (I6).
func TestOpWaitsForItsDependencies(t *testing.T) {
	t.Parallel()
	a, b, c := newPeer(t, "a~1"), newPeer(t, "b~1"), newPeer(t, "c~1")
	a.must("s", session.OpenSession{}, "")
	a.must("s", say("first"), "")
	b.pull(a, 100)
	b.must("s", say("second"), "")
	if _, err := c.ingest(b.frame(feed("b~1"), 1, 10)); err != nil {
		t.Fatal(err)
	}
	if _, totals := c.digest(); totals.Waiting != 1 {
		t.Fatalf("%d ops wait, want 1", totals.Waiting)
	}
	var at vclock.Vector // b's version of the session
	b.view(func(r session.Reader) (err error) {
		at, err = session.Vector(r, space, "s")
		return err
	})
	for _, q := range []struct {
		id    string
		since vclock.Vector
		want  bool
	}{
		{"s", at, false}, {"", at, false}, {"s", vclock.Vector{}, true},
		{"s", at.Without("a~1"), false}, // is held, but waits
		{"", at.Without("a~1"), true}, {"other", at.Without("a~1"), true},
	} {
		c.view(func(r session.Reader) error {
			got, err := replica.Shows(r, space, q.id, q.since)
			if got != q.want {
				t.Errorf("Shows(%q, %v) = %v, want %v", q.id, q.since, got, q.want)
			}
			return err
		})
	}
	c.pull(a, 100)
	want, _ := b.digest()
	if got, totals := c.digest(); got != want || totals.Waiting != 0 {
		t.Errorf("digest %x, %d waiting; want %x and none", got[:4], totals.Waiting, want[:4])
	}
	c.view(func(r session.Reader) error {
		got, err := replica.Shows(r, space, "s", at)
		if !got {
			t.Error("Shows is false although nothing waits any longer")
		}
		return err
	})
}

// What does not fit a feed is refused and changes nothing: a gap (F43), other
// content under a number that is held (F44), an op of another feed.
func TestRefusedFramesChangeNothing(t *testing.T) {
	t.Parallel()
	a, twin, c := newPeer(t, "a~1"), newPeer(t, "a~1"), newPeer(t, "c~1")
	for _, p := range []*peer{a, twin} {
		p.must("s", session.OpenSession{}, "")
	}
	a.must("s", say("one"), "")
	a.must("s", say("two"), "")
	twin.wall += 50
	twin.must("s", say("other"), "")
	twin.must("s", say("another"), "")
	if _, err := c.ingest(a.frame(feed("a~1"), 1, 2)); err != nil {
		t.Fatal(err)
	}
	moved := *a.frame(feed("a~1"), 3, 1)
	moved.Origin = "c~9"
	moved.From, moved.Prev = 1, protocol.Chain{}
	moved.Last = moved.Prev.Next(moved.Entries[0].Hash)
	cases := []struct {
		name string
		f    *protocol.Frame
		want error
	}{
		{"gap", func() *protocol.Frame { f := *a.frame(feed("a~1"), 3, 1); f.From = 4; return &f }(), replica.ErrGap},
		{"all held, other content", twin.frame(feed("a~1"), 2, 1), replica.ErrFork},
		{"overlap, other content", twin.frame(feed("a~1"), 2, 2), replica.ErrFork},
		{"next, other past", twin.frame(feed("a~1"), 3, 1), replica.ErrFork},
		{"op of another feed", &moved, replica.ErrForeign},
	}
	before, totals := c.digest()
	for _, tc := range cases {
		if _, err := c.ingest(tc.f); !errors.Is(err, tc.want) {
			t.Errorf("%s: ingest returned %v, want %v", tc.name, err, tc.want)
		}
		if after, now := c.digest(); after != before || now != totals {
			t.Errorf("%s: state changed", tc.name)
		}
	}
	if _, err := c.ingest(a.frame(feed("a~1"), 1, 3)); err != nil {
		t.Errorf("the true feed is refused afterwards: %v", err)
	}
}

// A damaged op record is put back from another replica; other content is not
// accepted in its place (F4, I17, I20).
func TestRestoreDamagedRecord(t *testing.T) {
	t.Parallel()
	a, b := newPeer(t, "a~1"), newPeer(t, "b~1")
	a.must("s", session.OpenSession{}, "")
	for i := range 5 {
		a.must("s", say(fmt.Sprint(i)), "")
	}
	b.pull(a, 100)
	want, _ := b.digest()
	for seq := vclock.Seq(1); seq <= 6; seq++ {
		key := session.OpKey(space, "a~1", seq)
		if err := b.update(func(tx session.Tx) error { return tx.Delete(key) }); err != nil {
			t.Fatal(err)
		}
		var corrupt *session.CorruptError
		err := b.disk.View(func(r session.Reader) error {
			_, _, err := replica.ChainAt(r, feed("a~1"), seq)
			if err == nil {
				_, err = replica.FrameAt(r, feed("a~1"), seq, replica.Budget{Ops: 1, Bytes: 1 << 20})
			}
			return err
		})
		if !errors.As(err, &corrupt) || !bytes.Equal(corrupt.Key, key) {
			t.Errorf("op %d is gone: got %v, want a CorruptError of its key", seq, err)
		}
		forged := *a.frame(feed("a~1"), seq, 1)
		forged.Entries = []protocol.Entry{{Bytes: []byte("x"), Hash: protocol.HashOp([]byte("x"))}}
		forged.Last = forged.Prev.Next(forged.Entries[0].Hash)
		if err := b.update(func(tx session.Tx) error { return replica.Restore(tx, &forged) }); !errors.Is(err, replica.ErrFork) {
			t.Errorf("forged op %d: Restore returned %v, want ErrFork", seq, err)
		}
		sound := a.frame(feed("a~1"), seq, 1)
		if err := b.update(func(tx session.Tx) error { return replica.Restore(tx, sound) }); err != nil {
			t.Errorf("Restore of op %d: %v", seq, err)
		}
		if got, _ := b.digest(); got != want {
			t.Errorf("digest after restoring op %d differs", seq)
		}
	}
}

// nowhere is what is known of ops that never left their node.
func nowhere(protocol.Feed) vclock.Seq { return 0 }

// A node that was set back and wrote on collides with what the core holds of
// its feed. Its own ops are made again under a new origin; together with the
// core's everything is there (F36).
func TestReissueAfterFork(t *testing.T) {
	t.Parallel()
	core, e := newPeer(t, "core~1"), newPeer(t, "e~1")
	e.must("s", session.OpenSession{}, "")
	first := e.must("s", say("before"), "").Ops[0]
	core.pull(e, 100)
	old := e.disk.Clone()
	e.must("s", say("lost here, held by the core"), "")
	core.pull(e, 100)

	set := &peer{t: t, disk: old, wall: e.wall + 100}
	set.reopen("e~1")
	w := set.must("s", say("after the restore"), "")
	set.must("s", say("a reply to it"), "")
	set.must("s", session.EditMessage{ID: session.MessageID(&w.Ops[0]), Content: []byte(`"edited"`)}, "")
	if err := set.update(func(tx session.Tx) error {
		set.r.Renew("e~2")
		_, err := set.r.Reissue(tx, set.now(), feed("e~1"), first.Dot.Seq, nowhere)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	set.pull(core, 100)
	core.pull(set, 100)
	want, _ := core.digest()
	if got, totals := set.digest(); got != want || totals.Waiting != 0 {
		t.Fatalf("digests differ after the reissue (%d waiting)", totals.Waiting)
	}
	core.view(func(r session.Reader) error {
		msgs, _, err := session.Messages(r, space, "s", session.Query{Limit: 10})
		var texts []string
		for _, m := range msgs {
			texts = append(texts, string(m.Content))
		}
		if len(texts) != 4 || texts[2] == texts[1] || fmt.Sprint(texts) != `["before" "lost here, held by the core" "edited" "a reply to it"]` {
			t.Errorf("messages are %v, want all four", texts)
		}
		return err
	})
}

// A peer whose clock is an hour ahead does not move our clock, and order still
// respects causality: what answers its message comes after it (F31).
func TestClockAnHourAhead(t *testing.T) {
	t.Parallel()
	a, b := newPeer(t, "a~1"), newPeer(t, "b~1")
	b.wall += 3_600_000
	for _, order := range []session.Order{session.Turns, session.Chat} {
		id := fmt.Sprintf("s%d", order)
		a.must(id, session.OpenSession{Order: order}, "")
		b.pull(a, 100)
		b.must(id, say("from the future"), "")
		a.pull(b, 100)
		answer := a.must(id, say("an answer"), "").Ops[0]
		if answer.Stamp.Trust != clocksync.Unsynced {
			t.Errorf("stamp %v behind one that is not believed, want it unsynced", answer.Stamp)
		}
		b.pull(a, 100)
		for _, p := range []*peer{a, b} {
			p.view(func(r session.Reader) error {
				msgs, _, err := session.Messages(r, space, id, session.Query{Limit: 10})
				if len(msgs) != 2 || string(msgs[1].Content) != `"an answer"` {
					t.Errorf("order %d at %s: %d messages, the answer not last", order, p.r.Origin(), len(msgs))
				}
				return err
			})
		}
		other := a.must("other-"+id, session.OpenSession{}, "").Ops[0]
		if ahead := int64(other.Stamp.Wall) - int64(a.wall); ahead > clocksync.MaxAhead.Milliseconds() {
			t.Errorf("a's clock is %d ms ahead after hearing from b, want at most %v", ahead, clocksync.MaxAhead)
		}
	}
}

var errUndo = errors.New("undo")

// TestWriteBetweenRenewalAndReissue writes under a new origin before a fork of
// the former is found: what depends on what is taken out moves with it, message
// ids too, and what another node holds already stays.
func TestWriteBetweenRenewalAndReissue(t *testing.T) {
	t.Parallel()
	core, e := newPeer(t, "core~1"), newPeer(t, "e~1")
	e.must("s", session.OpenSession{}, "")
	e.must("other", session.OpenSession{}, "")
	core.pull(e, 100)
	old := e.disk.Clone()
	e.must("s", say("held by the core"), "")
	core.pull(e, 100)

	set := &peer{t: t, disk: old, wall: e.wall + 100}
	set.reopen("e~1")
	set.must("s", say("after the restore"), "")
	set.r.Renew("e~2")
	set.must("other", say("depends on nothing that moves"), "")
	between := set.must("s", say("in between"), "").Ops[0]
	set.r.Renew("e~3")
	set.must("s", session.EditMessage{ID: session.MessageID(&between), Content: []byte(`"edited"`)}, "")
	if err := set.update(func(tx session.Tx) error {
		if _, err := set.r.Reissue(tx, set.now(), feed("e~1"), 2, nowhere); err == nil {
			t.Error("reissue under an origin that has written: no error")
		}
		return errUndo
	}); !errors.Is(err, errUndo) {
		t.Fatal(err)
	}
	set.r.Renew("e~4")
	var cut []string
	if err := set.update(func(tx session.Tx) error {
		heads, err := set.r.Reissue(tx, set.now(), feed("e~1"), 2, nowhere)
		for _, h := range heads {
			cut = append(cut, fmt.Sprint(h.Origin, " ", h.Seq))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"e~1 2", "e~2 1", "e~3 0"}; !slices.Equal(cut, want) {
		t.Errorf("cut are %v, want %v", cut, want)
	}
	if _, totals := set.digest(); totals.Waiting != 0 {
		t.Errorf("%d ops wait for what the core holds, want none", totals.Waiting)
	}
	set.pull(core, 100)
	core.pull(set, 100)
	want, there := core.digest()
	if got, here := set.digest(); got != want || here.Waiting+there.Waiting != 0 {
		t.Errorf("digests differ, or %d and %d ops wait", here.Waiting, there.Waiting)
	}
	core.view(func(r session.Reader) error {
		msgs, _, err := session.Messages(r, space, "s", session.Query{Limit: 10})
		var texts []string
		for _, m := range msgs {
			texts = append(texts, string(m.Content))
		}
		if got := fmt.Sprint(texts); got != `["held by the core" "after the restore" "edited"]` {
			t.Errorf("messages are %v, want all three, the last one edited", got)
		}
		return err
	})
}

// TestReissueLeavesWhatOthersHold: what core stores hold stays under its number,
// also where it depends on what is taken out. The outbox cursor tells, or who
// spoke with a core.
func TestReissueLeavesWhatOthersHold(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "e~1")
	p.must("s", session.OpenSession{}, "")
	p.must("s", say("forked"), "")
	p.r.Renew("e~2")
	p.must("s", say("released"), "")
	p.must("s", say("at a core"), "")
	p.must("s", say("nowhere else"), "")
	p.r.Renew("e~3")
	if err := p.update(func(tx session.Tx) error {
		if err := replica.KeepReleased(tx, feed("e~2"), 1); err != nil {
			return err
		}
		_, err := p.r.Reissue(tx, p.now(), feed("e~1"), 1, nowhere)
		if h, _ := replica.HeadOf(tx, feed("e~2")); err != nil || h.Seq != 1 {
			t.Errorf("e~2, of which one op is released, is cut to %d (%v), want 1", h.Seq, err)
		}
		return errUndo
	}); !errors.Is(err, errUndo) {
		t.Fatal(err)
	}
	if err := p.update(func(tx session.Tx) error {
		heads, err := p.r.Reissue(tx, p.now(), feed("e~1"), 1, func(f protocol.Feed) vclock.Seq {
			if f == feed("e~2") {
				return 2
			}
			return 0
		})
		if len(heads) != 2 || heads[0].Seq != 1 || heads[1].Seq != 2 {
			t.Errorf("cut are %+v, want e~1 to 1 and e~2 to 2", heads)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestRebuildOfAnErasedSession damages the head of a session of which nothing
// else is left: it must be erased afterwards and not unknown.
func TestRebuildOfAnErasedSession(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "e~1")
	p.must("s", session.OpenSession{}, "")
	p.must("s", say("secret"), "")
	p.must("s", session.EraseSession{}, "")
	if err := p.update(func(tx session.Tx) error {
		_, err := replica.Purge(tx, replica.Gone{Space: space, Session: "s"}, 1000)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want, _ := p.digest()
	if err := p.update(func(tx session.Tx) error {
		if err := tx.Put(append(session.Prefix(space, "s"), 'm'), []byte("damaged")); err != nil {
			return err
		}
		if err := session.Rebuild(tx, space, "s"); !errors.Is(err, session.ErrCorrupt) {
			t.Errorf("rebuild from an empty log: %v, want %v", err, session.ErrCorrupt)
		}
		return replica.Rebuild(tx, space, "s")
	}); err != nil {
		t.Fatal(err)
	}
	if got, _ := p.digest(); got != want {
		t.Error("digests differ after the rebuild")
	}
	p.view(func(r session.Reader) error {
		if gone, err := replica.Unpurged(r, 10); err != nil || len(gone) != 1 {
			t.Errorf("to purge: %v, %v, want the session", gone, err)
		}
		return nil
	})
}

// TestRetryMovesAMessageInsideARun: a message in the middle of a turn was put
// under the same key at another node whose clock is behind. The earlier put
// decides, which takes the message out of its run when it arrives. Found by
// the simulator: the ingest failed for ever with "record is missing".
func TestRetryMovesAMessageInsideARun(t *testing.T) {
	t.Parallel()
	a, b := newPeer(t, "a~1"), newPeer(t, "b~1")
	b.wall -= 500
	a.must("s", session.OpenSession{}, "")
	a.must("s", say("one"), "")
	b.pull(a, 100)
	a.must("s", say("two"), "key")
	a.must("s", say("three"), "")
	b.must("s", say("two"), "key")
	a.pull(b, 100)
	b.pull(a, 100)
	sumA, _ := a.digest()
	sumB, totals := b.digest()
	if sumA != sumB || totals.Waiting != 0 {
		t.Errorf("after both pulled: digests %x and %x, %d waiting, want equal and none", sumA[:4], sumB[:4], totals.Waiting)
	}
}
