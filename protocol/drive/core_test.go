package drive

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

func TestCoreStart(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "core-1")
	p.talk("s", 2)
	forked := protocol.NewFrame(protocol.Feed{Space: space, Origin: "edge-1~a"}, protocol.Head{}, [][]byte{[]byte("x")})
	p.update(func(tx session.Tx) error { return KeepEvidence(tx, &forked) })
	p.view(func(r session.Reader) error {
		got, err := CoreStart(r)
		want := []protocol.CoreInput{
			protocol.Fence{Origin: "edge-1~a"},
			protocol.Advanced{Quiet: true, Feeds: []protocol.FeedHead{{Feed: p.feed(), Head: p.head(p.feed())}}},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("CoreStart = %+v, %v, want %+v", got, err, want)
		}
		return nil
	})
}

func TestExcuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   protocol.CoreInput
		err  error
		want bool
	}{
		{protocol.Received{}, protocol.ErrUnexpected, true},
		{protocol.FrameSeen{}, fmt.Errorf("head: %w", protocol.ErrDisorder), true},
		{protocol.FrameSeen{}, protocol.ErrMalformed, false},
		{protocol.Advanced{}, protocol.ErrDisorder, false},
	} {
		if got := CoreExcuses(c.in, c.err); got != c.want {
			t.Errorf("CoreExcuses(%T, %v) = %v, want %v", c.in, c.err, got, c.want)
		}
	}
	if !EdgeExcuses(protocol.Received{}) || EdgeExcuses(protocol.Persisted{}) {
		t.Error("EdgeExcuses: want messages alone excused")
	}
}

func TestAttachAsked(t *testing.T) {
	t.Parallel()
	p, e1, e2 := newPeer(t, "core-1"), newPeer(t, "edge-1"), newPeer(t, "edge-2")
	e1.talk("s", 3)
	e2.talk("t", 1)
	first, second := e1.frame(e1.feed(), 1, 9), e2.frame(e2.feed(), 1, 9)
	p.ingest(first, second)
	var damage error
	asked := func(everything bool, spaces ...protocol.SpaceHeads) (in protocol.AttachAsked) {
		p.view(func(r session.Reader) (err error) {
			in, damage, err = AttachAsked(r, protocol.Attach{Everything: everything, Spaces: spaces}, true)
			return err
		})
		return in
	}
	heads := protocol.SpaceHeads{Space: space, Feeds: []protocol.OriginHead{
		{Origin: e1.rep.Origin(), Head: protocol.Head{Seq: 2}}, {Origin: "edge-9~a", Head: protocol.Head{Seq: 5}},
	}}
	chain, _ := first.ChainAt(2)
	state := func(f *protocol.Frame, common protocol.Head) protocol.FeedState {
		return protocol.FeedState{OriginHead: protocol.OriginHead{Origin: f.Origin, Head: f.Head()}, Common: common}
	}
	want := []protocol.SpaceState{{Space: space, Feeds: []protocol.FeedState{
		state(first, protocol.Head{Seq: 2, Chain: chain}), state(second, protocol.Head{}),
	}}}
	if got := asked(false, heads); !got.Ready || !reflect.DeepEqual(got.Held, want) {
		t.Errorf("AttachAsked = %+v, want %+v", got.Held, want)
	}
	got := asked(true, protocol.SpaceHeads{Space: "zoo"}).Held
	if len(got) != 2 || got[0].Space != space || got[1].Space != "zoo" {
		t.Errorf("AttachAsked for everything = %+v, want the spaces held and asked for", got)
	}
	p.rot(e1.feed(), 2) // the chain there cannot be told: as if nothing were common
	want[0].Feeds[0].Common = protocol.Head{}
	if got := asked(false, heads).Held; !reflect.DeepEqual(got, want) || !errors.Is(damage, session.ErrCorrupt) {
		t.Errorf("AttachAsked over damage = %+v, %v, want %+v and the damage", got, damage, want)
	}
}

func TestReadMissing(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "core-1")
	p.talk("s", 9)
	f := p.feed()
	read := func(after vclock.Seq, ops int) (got Missed) {
		p.view(func(r session.Reader) (err error) {
			got, err = ReadMissing(r, protocol.ReadMissing{Attachment: 3, Space: space, MaxOps: ops, MaxBytes: 1 << 20,
				After: vclock.Of(vclock.Dot{Origin: f.Origin, Seq: after})})
			return err
		})
		return got
	}
	check := func(name string, got Missed, to vclock.Seq, more, damaged bool) {
		t.Helper()
		if got.Read.Attachment != 3 || got.Read.Space != space || got.Read.Frames != len(got.Frames) ||
			got.Read.Reached.At(f.Origin) != to || got.Read.More != more ||
			errors.Is(got.Damage, session.ErrCorrupt) != damaged {
			t.Errorf("%s: ReadMissing = %+v, %v, want up to %d, more %v, damage %v",
				name, got.Read, got.Damage, to, more, damaged)
		}
	}
	check("all", read(2, 99), 10, false, false)
	check("a part", read(2, 3), 5, true, false)
	check("nothing", read(10, 99), 10, false, false)
	p.rot(f, 7)
	check("up to damage", read(2, 99), 6, false, true)
	if got := read(6, 9); len(got.Frames) != 0 || got.Damage == nil || got.Read.More {
		t.Errorf("at damage: %+v, want nothing and the damage", got)
	}
}

// TestReadMissingBoundsFrames reads feeds that took turns, one frame an op.
func TestReadMissingBoundsFrames(t *testing.T) {
	t.Parallel()
	p, a, b := newPeer(t, "core-1"), newPeer(t, "edge-1"), newPeer(t, "edge-2")
	a.talk("s", 49)
	b.talk("t", 49)
	for n := range vclock.Seq(50) {
		p.ingest(a.frame(a.feed(), n+1, 1), b.frame(b.feed(), n+1, 1))
	}
	p.view(func(r session.Reader) error {
		got, err := ReadMissing(r, protocol.ReadMissing{Space: space, MaxOps: 500, MaxBytes: 1 << 20})
		n := vclock.Seq(protocol.MaxDeliverFrames / 2)
		want := vclock.Of(vclock.Dot{Origin: a.rep.Origin(), Seq: n}, vclock.Dot{Origin: b.rep.Origin(), Seq: n})
		if err != nil || got.Read.Frames != protocol.MaxDeliverFrames || !got.Read.More ||
			got.Read.Reached.String() != want.String() {
			t.Errorf("ReadMissing = %d frames, reached %v, more %v, %v, want %d, %v, true",
				got.Read.Frames, got.Read.Reached, got.Read.More, err, protocol.MaxDeliverFrames, want)
		}
		return nil
	})
}

func TestDeliverOf(t *testing.T) {
	t.Parallel()
	f := protocol.Feed{Space: space, Origin: "edge-1~a"}
	to := protocol.Delivery{Node: "edge-2", Attachment: 4, N: 9}
	for bytes, want := range map[int]protocol.Compression{
		CompressAbove: protocol.Plain, CompressAbove + 1: protocol.Zstd,
	} {
		frame := protocol.NewFrame(f, protocol.Head{}, [][]byte{make([]byte, bytes)})
		got := DeliverOf(to, []*protocol.Frame{&frame})
		if got.Attachment != 4 || got.N != 9 || got.Compression != want ||
			!reflect.DeepEqual(got.Frames, []protocol.Frame{frame}) {
			t.Errorf("DeliverOf %d bytes = %d, %d, compression %d, want %d",
				bytes, got.Attachment, got.N, got.Compression, want)
		}
	}
}

func TestChainsAndDigest(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "core-1")
	p.talk("s", 4)
	frame, before := p.frame(p.feed(), 1, 9), p.digest()
	if before.Vector.At(p.rep.Origin()) != 5 || before.Sum == (protocol.Sum{}) {
		t.Errorf("Digest = %+v, want that of 5 ops", before)
	}
	p.must("s", say("more"))
	if p.digest().Sum == before.Sum {
		t.Error("the digest does not tell states apart")
	}
	p.rot(p.feed(), 2)
	p.view(func(r session.Reader) error {
		got, damage, err := Chains(r, protocol.LookupChains{Node: "edge-1", Feed: p.feed(), Seqs: []vclock.Seq{1, 2, 5, 7}})
		one, _ := frame.ChainAt(1)
		want := protocol.ChainsFound{Node: "edge-1", Feed: p.feed(),
			Heads: []protocol.Head{{Seq: 1, Chain: one}, frame.Head()}}
		if err != nil || !errors.Is(damage, session.ErrCorrupt) || !reflect.DeepEqual(got, want) {
			t.Errorf("Chains = %+v, %v, %v, want %+v and the damage", got, damage, err, want)
		}
		if _, err := Digest(r, protocol.DigestAsk{Space: space}); !errors.Is(err, session.ErrCorrupt) {
			t.Errorf("Digest over damage: %v, want ErrCorrupt", err)
		}
		return nil
	})
}

func TestAttachedAgain(t *testing.T) {
	t.Parallel()
	var a Attached
	if got := a.Again(); got != nil {
		t.Errorf("Again() with nobody = %v", got)
	}
	for _, f := range []protocol.Fact{
		protocol.NodeAttached{Node: "edge-2", Attachment: 1}, protocol.NodeAttached{Node: "edge-1", Attachment: 2},
		protocol.NodeAttached{Node: "edge-3", Attachment: 3}, protocol.NodeAttached{Node: "edge-2", Attachment: 4},
		protocol.NodeGone{Node: "edge-2", Attachment: 1}, protocol.NodeGone{Node: "edge-3", Attachment: 3},
	} {
		a.Note(f)
	}
	detach := func(node string, n uint64) protocol.Send {
		return protocol.Send{Place: protocol.ToNode, Name: node, Message: protocol.Detach{Attachment: n}}
	}
	if got, want := a.Again(), []protocol.Send{detach("edge-1", 2), detach("edge-2", 4)}; !reflect.DeepEqual(got, want) {
		t.Errorf("Again() = %v, want %v", got, want)
	}
}
