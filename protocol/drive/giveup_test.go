package drive

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

func TestDespair(t *testing.T) {
	t.Parallel()
	ask := protocol.OpAsk{Feed: feedOf("edge-1~a"), Seq: 5}
	var d Despair
	var at protocol.Instant
	try := func(known vclock.Seq, told bool) bool {
		at = at.Later(GiveUpPause)
		return d.Unanswered(at, ask, known, told)
	}
	for i := range 10 * GiveUpAfter {
		if try(4, false) {
			t.Fatalf("given up at try %d although nobody could tell", i)
		}
		if d.Unanswered(at, ask, 5, true) {
			t.Fatalf("given up at try %d although a core node has it", i)
		}
	}
	for i := range GiveUpAfter {
		if got, want := try(4, true), i == GiveUpAfter-1; got != want {
			t.Errorf("try %d: given up %v, want %v", i+1, got, want)
		}
		if d.Unanswered(at.Later(GiveUpPause-time.Millisecond), ask, 4, true) {
			t.Errorf("try %d: one soon after it counted", i+1)
		}
	}
	if other := ask; d.Unanswered(at.Later(time.Hour), other, 4, true) {
		t.Error("what was given up is given up again at once")
	}
}

// giveUp carries out the steps; it returns how many commits they took.
func (p *peer) giveUp(f protocol.Feed, seq vclock.Seq) (g GivingUp, commits int, err error) {
	p.t.Helper()
	err = p.disk.Update(func(tx session.Tx) (err error) {
		g, err = GiveUp(tx, p.rep, p.id, protocol.OpAsk{Feed: f, Seq: seq})
		return err
	})
	for commits = 1; err == nil && !g.Done; commits++ {
		err = p.disk.Update(func(tx session.Tx) (err error) {
			next, err := g.Go(tx)
			if err == nil {
				g = next
			}
			return err
		})
	}
	return g, commits, err
}

// all reads a whole feed.
func (p *peer) all(f protocol.Feed) []*protocol.Frame {
	p.t.Helper()
	var list []*protocol.Frame
	for next := vclock.Seq(1); next <= p.head(f).Seq; {
		frame := p.frame(f, next, protocol.MaxFrameOps)
		list, next = append(list, frame), frame.To()+1
	}
	return list
}

// messages lists what a session shows.
func (p *peer) messages(id string) (list []string) {
	p.t.Helper()
	p.view(func(r session.Reader) error {
		page, _, err := session.Messages(r, space, id, session.Query{})
		for _, m := range page {
			list = append(list, string(m.Content))
		}
		return err
	})
	return list
}

// TestGiveUp: the feed goes on without the op, under its numbers and names, and
// another replica takes it and shows the same.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	p.talk("s", 3)
	p.talk("t", 2)
	p.must("s", say("last"))
	f := p.feed()
	p.rot(f, 3)
	g, _, err := p.giveUp(f, 3)
	if err != nil || g.Session != "s" || g.Kept || g.Origin == f.Origin || p.rep.Origin() != g.Origin {
		t.Fatalf("GiveUp = %+v, %v; want session s and a new origin", g, err)
	}
	if head := p.head(f); head != g.Head || head.Seq != 8 || g.Cut.Seq != 2 {
		t.Errorf("head %v, want %v at 8, cut %v at 2", head, g.Head, g.Cut)
	}
	want := []protocol.EdgeInput{protocol.NewOrigin{Origin: g.Origin}, protocol.Replaced{Feed: f, Head: g.Cut}}
	if got := g.Inputs(f.Origin); !reflect.DeepEqual(got, want) {
		t.Errorf("Inputs = %+v, want %+v", got, want)
	}
	for _, part := range []string{"op 3 of " + string(f.Origin), "session s", "space " + space} {
		if problem := g.Problem(); problem.Name != "op_lost" || !strings.Contains(problem.Detail, part) {
			t.Errorf("Problem = %+v, want op_lost with %q", problem, part)
		}
	}
	p.must("s", say("after"))
	if _, refused := other.ingest(append(p.all(f), p.all(p.feed())...)...); errors.Join(refused...) != nil {
		t.Fatalf("the other replica refuses: %v", refused)
	}
	for _, who := range []*peer{p, other} {
		if got, want := fmt.Sprint(who.messages("s"), who.messages("t")), `["0" "2" "last" "after"] ["0" "1"]`; got != want {
			t.Errorf("%s shows %s, want %s", who.id.Node, got, want)
		}
	}
	if a, b := p.digest(), other.digest(); a.Sum != b.Sum {
		t.Errorf("digests %x and %x", a.Sum, b.Sum)
	}
}

// TestGiveUpOfAnOpening: what opened a session is made again, so that what was
// written in it is shown; a retry under its key finds it.
func TestGiveUpOfAnOpening(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	open := session.Command{Session: "s", Key: "k", Do: session.OpenSession{Order: session.Chat, TTL: time.Hour,
		Labels: map[string]string{"a": "b"}}}
	if _, err := p.write(open); err != nil {
		t.Fatal(err)
	}
	p.must("s", say("one"))
	before := p.digest()
	f := p.feed()
	p.rot(f, 1)
	g, _, err := p.giveUp(f, 1)
	if err != nil || !g.Kept {
		t.Fatalf("GiveUp = %+v, %v, want the opening kept", g, err)
	}
	if after := p.digest(); after.Sum != before.Sum {
		t.Errorf("digest %x, was %x", after.Sum, before.Sum)
	}
	if again, err := p.write(open); err != nil || !again.Replayed {
		t.Errorf("the retry = %+v, %v, want it replayed", again, err)
	}
	other.ingest(p.all(f)...)
	if after := other.digest(); after.Sum != before.Sum {
		t.Errorf("digest elsewhere %x, was %x", after.Sum, before.Sum)
	}
}

// TestGiveUpOfAnErasure: an erased session stays erased everywhere.
func TestGiveUpOfAnErasure(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	p.talk("s", 2)
	f := p.feed()
	other.ingest(p.all(f)...)
	p.must("s", session.EraseSession{})
	p.rot(f, 4)
	if g, _, err := p.giveUp(f, 4); err != nil || !g.Kept || g.Session != "s" {
		t.Fatalf("GiveUp = %+v, %v, want the erasure kept", g, err)
	}
	other.ingest(p.frame(f, 4, 1))
	other.view(func(r session.Reader) error {
		if _, err := session.View(r, space, "s"); !errors.Is(err, session.ErrSessionErased) {
			t.Errorf("elsewhere the session shows %v, want it erased", err)
		}
		return nil
	})
}

// TestGiveUpLongFeed: what stands behind the op is chained anew in parts; until
// the last one nothing is shown, and a crash in between does no harm.
func TestGiveUpLongFeed(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	p.talk("s", 700)
	f := p.feed()
	p.rot(f, 2)
	p.update(func(tx session.Tx) error { // as far as a crash lets it come
		g, err := GiveUp(tx, p.rep, p.id, protocol.OpAsk{Feed: f, Seq: 2})
		if err == nil {
			_, err = g.Go(tx)
		}
		return err
	})
	if err := p.disk.View(func(r session.Reader) error {
		_, err := PublishFrame(r, protocol.Publish{Feed: f, From: 2, MaxOps: 9, MaxBytes: 1 << 20})
		return err
	}); !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("in between the frame reads as %v, want ErrCorrupt", err)
	}
	_, commits, err := p.giveUp(f, 2)
	if err != nil || commits < 4 {
		t.Errorf("GiveUp in %d commits: %v, want at least 4", commits, err)
	}
	if _, refused := other.ingest(p.all(f)...); errors.Join(refused...) != nil {
		t.Errorf("the other replica refuses: %v", errors.Join(refused...))
	}
	if a, b := p.digest(), other.digest(); a.Sum != b.Sum || len(other.messages("s")) != 699 {
		t.Errorf("digests %x and %x, %d messages, want 699", a.Sum, b.Sum, len(other.messages("s")))
	}
}

// TestGiveUpComesTooLate: an op that came back is left alone; damage around it
// is seen to first.
func TestGiveUpComesTooLate(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	p.talk("s", 4)
	f, before := p.feed(), p.digest()
	other.ingest(p.all(f)...)
	p.rot(f, 2)
	p.rot(f, 3)
	if _, _, err := p.giveUp(f, 3); !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("GiveUp behind a damaged op: %v, want ErrCorrupt", err)
	}
	for _, seq := range []vclock.Seq{2, 3} {
		p.update(func(tx session.Tx) error {
			return RestoreOp(tx, protocol.OpAsk{Feed: f, Seq: seq}, encode(t, protocol.Upload{Frame: *other.frame(f, seq, 1)}))
		})
		ask := protocol.OpAsk{Feed: f, Seq: seq}
		p.view(func(r session.Reader) error {
			if outdated, err := Outdated(r, ask); !outdated || err != nil {
				t.Errorf("Outdated = %v, %v for an op that is back", outdated, err)
			}
			return nil
		})
	}
	if g, _, err := p.giveUp(f, 3); err != nil || g.Head.Seq != 0 {
		t.Errorf("GiveUp of a sound op = %+v, %v, want nothing done", g, err)
	}
	if after := p.digest(); after.Sum != before.Sum {
		t.Errorf("digest %x, was %x", after.Sum, before.Sum)
	}
}

// TestReissueOverAStandIn: a fork whose colliding ops hold a lost one is made good
// without it.
func TestReissueOverAStandIn(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.talk("s", 3)
	f := p.feed()
	p.rot(f, 4)
	reissue := func() (done Reissued, err error) {
		err = p.disk.Update(func(tx session.Tx) (err error) {
			done, err = Reissue(tx, p.rep, p.now(), p.id, f, 2, nowhere)
			return err
		})
		return done, err
	}
	if _, err := reissue(); !errors.Is(err, session.ErrCorrupt) {
		t.Fatalf("Reissue over damage = %v, want ErrCorrupt", err)
	}
	if _, _, err := p.giveUp(f, 4); err != nil {
		t.Fatal(err)
	}
	done, err := reissue()
	if err != nil || done.Grown.Seq != 2 {
		t.Fatalf("Reissue = %+v, %v, want two ops made again", done, err)
	}
	if got, want := fmt.Sprint(p.messages("s")), `["0" "1"]`; got != want {
		t.Errorf("after the reissue %s, want %s", got, want)
	}
	other := newPeer(t, "core-1")
	frames := append(p.all(f), p.all(done.Grown.Feed)...)
	if _, refused := other.ingest(frames...); errors.Join(refused...) != nil {
		t.Errorf("the other replica refuses what was made again: %v", refused)
	}
}
