package drive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// TestIngestGoesOnAfterARefusal takes what can be taken of a mixed commit.
func TestIngestGoesOnAfterARefusal(t *testing.T) {
	t.Parallel()
	from, to := newPeer(t, "edge-1"), newPeer(t, "core-1")
	from.talk("s", 5)
	f := from.feed()
	forked := protocol.NewFrame(f, protocol.Head{}, [][]byte{[]byte("other")})
	noOp := protocol.NewFrame(protocol.Feed{Space: space, Origin: "edge-3~a"}, protocol.Head{}, [][]byte{[]byte("no op")})
	done, refused := to.ingest(from.frame(f, 1, 2), from.frame(f, 4, 2), &forked, &noOp, from.frame(f, 3, 9))
	for i, want := range []error{nil, replica.ErrGap, replica.ErrFork, session.ErrMalformed, nil} {
		if !errors.Is(refused[i], want) || refused[i] != nil && done[i].Added > 0 {
			t.Errorf("frame %d: %+v, %v, want %v", i, done[i], refused[i], want)
		}
	}
	if got := to.head(f); got != from.head(f) {
		t.Errorf("head %v, want %v", got, from.head(f))
	}
	if to.digest().Sum != from.digest().Sum {
		t.Error("the digests differ")
	}
}

// TestIngestEndsAtDamage: damage is not the frame's fault, and what was written
// until then must not stay.
func TestIngestEndsAtDamage(t *testing.T) {
	t.Parallel()
	from, to := newPeer(t, "edge-1"), newPeer(t, "core-1")
	from.talk("s", 4)
	f := from.feed()
	to.ingest(from.frame(f, 1, 3))
	// The record of the session, which the next op is applied to.
	var key []byte
	to.view(func(r session.Reader) error {
		for e, err := range r.Scan([]byte("s/"+space+"\x00s\x00m"), nil, false) {
			if err != nil {
				return err
			}
			key = e.Key
		}
		return nil
	})
	to.disk.Rot(key, rand.New(rand.NewPCG(1, 2)))
	err := to.disk.Update(func(tx session.Tx) error {
		_, _, err := Ingest(tx, to.rep, to.now(), []*protocol.Frame{from.frame(f, 4, 1)})
		return err
	})
	if !errors.Is(err, session.ErrCorrupt) || to.head(f).Seq != 3 {
		t.Errorf("Ingest over damage: %v, head %d, want ErrCorrupt, 3", err, to.head(f).Seq)
	}
}

func TestIsRefusal(t *testing.T) {
	t.Parallel()
	inOurs := &session.CorruptError{Key: []byte("o/x"), Err: session.ErrMalformed}
	if isRefusal(fmt.Errorf("take: %w", inOurs)) {
		t.Error("damage of our own counts as a refused frame")
	}
	if !isRefusal(fmt.Errorf("op: %w", session.ErrMalformed)) || isRefusal(errors.New("disk full")) {
		t.Error("want malformed ops refused, and other errors not")
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	fork := fmt.Errorf("frame: %w", &replica.ForkError{At: 3})
	gap := &replica.GapError{Want: 1, Got: 3}
	if got := Outcome(fork); got != nil {
		t.Errorf("Outcome of a fork = %v, want nil", got)
	}
	if got := Outcome(gap); !errors.Is(got, replica.ErrGap) {
		t.Errorf("Outcome of a gap = %v, want ErrGap", got)
	}
	if p := ForkProblem(fork); p == nil || p.Name != "feed_forked" || p.Detail == "" {
		t.Errorf("ForkProblem of a fork = %v", p)
	}
	if p := ForkProblem(gap); p != nil {
		t.Errorf("ForkProblem of a gap = %v, want nil", p)
	}
}

// TestDeliveries takes five deliveries in commits, of which one fails.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	frame := func(ops int) protocol.Frame {
		return protocol.NewFrame(protocol.Feed{Space: space, Origin: "edge-1~a"}, protocol.Head{}, make([][]byte, ops))
	}
	batch := []protocol.Ingest{
		{Attachment: 7, N: 1, Frames: []protocol.Frame{frame(200), frame(56)}},
		{Attachment: 7, N: 2, Frames: []protocol.Frame{frame(1)}},
		{Attachment: 7, N: 3, Frames: []protocol.Frame{frame(200), frame(200)}},
		{Attachment: 7, N: 4, Snapshot: protocol.SnapshotEnd{}},
		{Attachment: 7, N: 5, Frames: []protocol.Frame{frame(300)}},
	}
	if got := OpsIn(batch[2]); got != 400 {
		t.Errorf("OpsIn = %d, want 400", got)
	}
	d := TakeTogether(batch)
	chunks := d.Chunks()
	var sizes [][]int
	for _, c := range chunks {
		var of []int
		for _, f := range c.Frames {
			of = append(of, len(f.Entries))
		}
		sizes = append(sizes, of)
	}
	if got, want := fmt.Sprint(sizes), "[[200 56] [1 200] [200] [300]]"; got != want {
		t.Fatalf("commits of %s, want %s", got, want)
	}
	gap, full := &replica.GapError{}, errors.New("disk full")
	d.Done(chunks[0], []error{gap, nil}, nil)
	d.Done(chunks[1], []error{&replica.ForkError{}, nil}, nil)
	d.Done(chunks[2], nil, full)
	d.Done(chunks[3], []error{nil}, nil)
	for i, in := range d.Ingested() {
		want := []error{replica.ErrGap, nil, full, ErrNoSnapshot, nil}[i]
		if in.Attachment != 7 || in.N != uint64(i+1) || !errors.Is(in.Err, want) {
			t.Errorf("delivery %d: %+v, want %v", i+1, in, want)
		}
	}
}
