package drive

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

func TestAdopt(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	adopt := func(node, cluster string, renew bool) (o vclock.Origin, err error) {
		id := p.id
		id.Node, id.Cluster = node, cluster
		err = p.disk.Update(func(tx session.Tx) (err error) {
			o, err = Adopt(tx, id, renew)
			return err
		})
		return o, err
	}
	if o, err := adopt("edge-1", "main", false); o != "edge-1~epoch001" || err != nil {
		t.Errorf("Adopt again = %s, %v, want the first origin", o, err)
	}
	if o, err := adopt("edge-1", "main", true); o != "edge-1~epoch002" || err != nil {
		t.Errorf("Adopt with renew = %s, %v, want a new one", o, err)
	}
	if o, err := adopt("edge-2", "main", true); !errors.Is(err, ErrWrongNode) {
		t.Errorf("Adopt as another node = %s, %v, want ErrWrongNode", o, err)
	}
	if o, err := adopt("edge-1", "other", true); !errors.Is(err, ErrWrongNode) {
		t.Errorf("Adopt in another cluster = %s, %v, want ErrWrongNode", o, err)
	}
	if o, err := adopt("edge-1", "main", false); o != "edge-1~epoch002" || err != nil {
		t.Errorf("Adopt in the end = %s, %v, want what was kept", o, err)
	}
	dry := errors.New("no entropy")
	p.id.Epoch = func() (string, error) { return "", dry }
	if _, err := adopt("edge-1", "main", true); !errors.Is(err, dry) {
		t.Errorf("Adopt without entropy: %v, want it told", err)
	}
}

// nowhere is what is known of ops that never left their node.
func nowhere(protocol.Feed) vclock.Seq { return 0 }

// TestReissue makes ops behind a fork again; a replica that never saw the fork
// reads the same.
func TestReissue(t *testing.T) {
	t.Parallel()
	p, other := newPeer(t, "edge-1"), newPeer(t, "core-1")
	p.talk("s", 0)
	other.ingest(p.frame(p.feed(), 1, 9))
	p.must("s", say("a"))
	p.must("s", say("b"))
	old := p.feed()
	reissue := func() (done Reissued) {
		p.update(func(tx session.Tx) (err error) {
			done, err = Reissue(tx, p.rep, p.now(), p.id, old, 1, nowhere)
			return err
		})
		return done
	}
	// A transaction that is not kept leaves no trace but the replica's origin.
	full := errors.New("disk full")
	err := p.disk.Update(func(tx session.Tx) error {
		_, err := Reissue(tx, p.rep, p.now(), p.id, old, 1, nowhere)
		return errors.Join(err, full)
	})
	if !errors.Is(err, full) || p.head(old).Seq != 3 {
		t.Fatalf("first try: %v, head %d, want 3", err, p.head(old).Seq)
	}
	done := reissue()
	grown := protocol.FeedHead{Feed: p.feed(), Head: p.head(p.feed())}
	cut := protocol.FeedHead{Feed: old, Head: p.head(old)}
	if !slices.Equal(done.Cut, []protocol.FeedHead{cut}) || cut.Seq != 1 || done.Grown != grown || grown.Seq != 2 || grown.Feed == old {
		t.Errorf("Reissue = %+v, want the old feed cut to 1 and 2 ops in %+v", done, grown)
	}
	other.ingest(p.frame(grown.Feed, 1, 9))
	if got, want := other.digest().Sum, p.digest().Sum; got != want {
		t.Errorf("digests %x and %x", got, want)
	}
	replaced := protocol.Replaced{Feed: old, Head: cut.Head}
	renewed := protocol.NewOrigin{Origin: grown.Origin}
	if got, want := done.Inputs(old.Origin), []protocol.EdgeInput{renewed, replaced}; !reflect.DeepEqual(got, want) {
		t.Errorf("Inputs = %+v, want %+v", got, want)
	}
	if got, want := done.Inputs(grown.Origin), []protocol.EdgeInput{replaced}; !reflect.DeepEqual(got, want) {
		t.Errorf("Inputs under the same origin = %+v, want %+v", got, want)
	}
}

// TestReissueOfWhatHasToWait: what was made again depends on an op of somebody
// else that has seen the other content, which is not here yet. What is written
// meanwhile must not stand before it under the same origin.
func TestReissueOfWhatHasToWait(t *testing.T) {
	t.Parallel()
	p, core, other := newPeer(t, "edge-1"), newPeer(t, "core-1"), newPeer(t, "edge-2")
	p.talk("s", 1)
	old := p.feed()
	before := p.disk.Clone()
	p.must("s", say("lost with the disk"))
	core.ingest(p.frame(old, 1, 9))
	other.ingest(core.frame(old, 1, 9))
	other.must("s", say("an answer to it"))
	core.ingest(other.frame(other.feed(), 1, 9))
	theirs := core.frame(old, 3, 9)

	p.disk = before
	p.must("s", say("other content"))
	p.ingest(core.frame(other.feed(), 1, 9))
	p.must("s", say("after the answer"))
	var done Reissued
	p.update(func(tx session.Tx) (err error) {
		done, err = Reissue(tx, p.rep, p.now(), p.id, old, 2, nowhere)
		return err
	})
	if done.Origin == done.Grown.Origin || done.Origin != p.rep.Origin() {
		t.Fatalf("Reissue = %+v under %s, want a third origin to write under", done, p.rep.Origin())
	}
	want := []protocol.EdgeInput{protocol.NewOrigin{Origin: done.Grown.Origin}, protocol.NewOrigin{Origin: done.Origin},
		protocol.Replaced{Feed: old, Head: p.head(old)}}
	if got := done.Inputs(old.Origin); !reflect.DeepEqual(got, want) {
		t.Errorf("Inputs = %+v, want %+v", got, want)
	}
	p.must("s", say("while it waits"))
	p.ingest(theirs)
	core.ingest(p.frame(done.Grown.Feed, 1, 9))
	core.ingest(p.frame(p.feed(), 1, 9))
	if got, want := p.digest().Sum, core.digest().Sum; got != want {
		t.Errorf("digests %x and %x", got, want)
	}
}

// TestReissueKeepsAFreshOrigin: an origin that wrote nothing in the space will do.
func TestReissueKeepsAFreshOrigin(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.talk("s", 1)
	old := p.feed()
	p.update(func(tx session.Tx) error {
		_, err := Renew(tx, p.rep, p.id)
		return err
	})
	fresh := p.rep.Origin()
	if fresh == old.Origin {
		t.Fatal("Renew kept the origin")
	}
	p.update(func(tx session.Tx) error {
		done, err := Reissue(tx, p.rep, p.now(), p.id, old, 1, nowhere)
		if done.Grown.Origin != fresh {
			t.Errorf("Reissue under %s, want %s", done.Grown.Origin, fresh)
		}
		return err
	})
}

// TestReissueAfterARestore: the core holds more of our feed than we do. What was
// written before that was noticed moves with the origin, and if nothing was only
// the origin changes, also in a space of which nothing is left.
func TestReissueAfterARestore(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.talk("s", 1)
	old := p.feed()
	reissue := func(f protocol.Feed, after vclock.Seq) (done Reissued) {
		p.update(func(tx session.Tx) (err error) {
			done, err = Reissue(tx, p.rep, p.now(), p.id, f, after, nowhere)
			return err
		})
		return done
	}
	p.must("s", say("before the core is heard"))
	done := reissue(old, 2)
	if len(done.Cut) != 1 || done.Cut[0].Seq != 2 || done.Grown.Seq != 1 || p.rep.Origin() == old.Origin {
		t.Errorf("Reissue = %+v, want one op made again", done)
	}
	p.must("s", say("afterwards"))
	now := p.feed()
	done = reissue(now, p.head(now).Seq)
	if done.Grown.Seq != 0 || done.Origin == now.Origin || done.Origin != p.rep.Origin() {
		t.Errorf("Reissue of nothing = %+v, want a new origin and no ops", done)
	}
	want := []protocol.EdgeInput{protocol.NewOrigin{Origin: done.Origin}}
	if got := done.Inputs(now.Origin); !reflect.DeepEqual(got, want) {
		t.Errorf("Inputs = %+v, want %+v", got, want)
	}
	lost := p.rep.Origin()
	if done = reissue(protocol.Feed{Space: "other", Origin: lost}, 0); done.Origin == lost || done.Grown.Seq != 0 {
		t.Errorf("Reissue of a feed that is gone = %+v, want another origin than %s", done, lost)
	}
}

func TestDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at         Opening
		name, says string
	}{
		{Opening{}, "", ""},
		{Opening{Lost: true, Unconfirmed: true, Moved: true}, "high_water_unusable", "not known"},
		{Opening{Lost: true, Committed: 41, Found: 40, Moved: true}, "store_lost_commits", "40 commits at start, 41 had"},
		{Opening{Moved: true}, "store_moved", "copy"},
	} {
		p, why := c.at.Doubt()
		if p.Name != c.name || !strings.Contains(p.Detail, c.says) || (why == "") != (c.name == "") {
			t.Errorf("Doubt of %+v = %+v, %q, want %s", c.at, p, why, c.name)
		}
	}
}

func TestOnFact(t *testing.T) {
	t.Parallel()
	const ours = "edge-1~b"
	feed := func(o vclock.Origin) protocol.Feed { return protocol.Feed{Space: space, Origin: o} }
	at := func(n vclock.Seq) *protocol.FeedSeq { return &protocol.FeedSeq{Feed: feed(ours), Seq: n} }
	for _, c := range []struct {
		name       string
		fact       protocol.Fact
		uploadOnly bool
		renew      bool
		reissue    *protocol.FeedSeq
		problem    string
	}{
		{"another fact", protocol.AttachGranted{}, false, false, nil, ""},
		{"regressed", protocol.Regressed{Feed: feed(ours), Ours: 1, Theirs: 2}, false, true, at(1), ""},
		{"a former feed regressed", protocol.Regressed{Feed: feed("edge-1~a")}, false, false, nil, ""},
		{"fenced", protocol.Fenced{Origin: ours}, false, true, nil, ""},
		{"a former origin fenced", protocol.Fenced{Origin: "edge-1~a"}, false, false, nil, ""},
		{"a feed of others forked", protocol.Forked{Feed: feed("edge-2~a"), After: 3, At: 4}, false, false, nil,
			"feed_forked"},
		{"a fork still bounded", protocol.Forked{Feed: feed(ours), Own: true, After: 3, At: 9}, false, false, nil, ""},
		{"a fork nearly found", protocol.Forked{Feed: feed(ours), Own: true, After: 3, At: 5}, false, false, nil, ""},
		{"the same, nobody to ask", protocol.Forked{Feed: feed(ours), Own: true, After: 3, At: 9}, true, true, nil, ""},
		{"a fork found", protocol.Forked{Feed: feed(ours), Own: true, After: 3, At: 4}, false, true, at(3), ""},
	} {
		got := OnFact(c.fact, ours, c.uploadOnly)
		if got.Renew != c.renew || !reflect.DeepEqual(got.Reissue, c.reissue) ||
			(got.Problem != nil) != (c.problem != "") ||
			c.problem != "" && got.Problem.Name != c.problem || c.renew && got.Why == "" {
			t.Errorf("%s: OnFact = %+v", c.name, got)
		}
	}
	former := OnFact(protocol.Forked{Feed: feed("edge-1~a"), Own: true, After: 3, At: 4}, ours, false)
	if former.Reissue == nil || former.Renew {
		t.Errorf("a former feed of ours forked: %+v, want a reissue and no new origin without it", former)
	}
}
