package drive

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
)

func TestPosition(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "core-1")
	at := func(partition int) (got Position, err error) {
		p.view(func(r session.Reader) error {
			got, err = PositionAt(r, partition)
			return nil
		})
		return got, err
	}
	want := Position{Stream: "2026-01-02T03:04:05Z", Seq: 77}
	p.update(func(tx session.Tx) error { return KeepPosition(tx, 1, want) })
	if got, err := at(1); got != want || err != nil {
		t.Errorf("PositionAt(1) = %v, %v, want %v", got, err, want)
	}
	if got, err := at(0); got != (Position{}) || err != nil {
		t.Errorf("PositionAt(0) = %v, %v, want none", got, err)
	}
	p.update(func(tx session.Tx) error { return tx.Put(positionKey(0), []byte("short")) })
	p.disk.Rot(positionKey(1), rand.New(rand.NewPCG(1, 2)))
	for partition := range 2 {
		if got, err := at(partition); got != (Position{}) || !errors.Is(err, session.ErrCorrupt) {
			t.Errorf("PositionAt(%d) of damage = %v, %v, want ErrCorrupt", partition, got, err)
		}
	}
}

func TestPositionAgainst(t *testing.T) {
	t.Parallel()
	pos := Position{Stream: "a", Seq: 5}
	for _, c := range []struct {
		pos    Position
		stream StreamID
		last   uint64
		short  time.Duration
		want   error
	}{
		{pos, "a", 5, 0, nil}, {pos, "a", 9, time.Hour, nil}, {Position{}, "a", 0, 0, nil},
		{pos, "b", 9, 0, ErrStreamRecreated},
		{pos, "a", 4, RewindPatience - 1, ErrStreamShort}, {pos, "a", 4, RewindPatience, ErrStreamRecreated},
	} {
		err := c.pos.Against(c.stream, c.last, c.short, RewindPatience)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%v.Against(%s, %d, %v) = %v, want %v", c.pos, c.stream, c.last, c.short, err, c.want)
		}
	}
}

func TestMissingBefore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ next, first, seq, gone, ask uint64 }{
		{5, 1, 5, 0, 5}, {5, 1, 8, 0, 5}, {5, 7, 9, 2, 7}, {5, 9, 9, 4, 9}, {5, 12, 9, 4, 9}, {1, 1, 1, 0, 1},
	} {
		if gone, ask := MissingBefore(c.next, c.first, c.seq); gone != c.gone || ask != c.ask {
			t.Errorf("MissingBefore(%d, %d, %d) = %d, %d, want %d, %d", c.next, c.first, c.seq, gone, ask, c.gone, c.ask)
		}
	}
}

func TestDecodeFrame(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.talk("s", 2)
	frame := p.frame(p.feed(), 1, 9)
	sound := encode(t, protocol.Upload{Frame: *frame})
	subject := protocol.OpSubject(p.feed(), 4)
	got, err := DecodeFrame(subject, sound, 4)
	if err != nil || got.Feed != p.feed() || got.Head() != frame.Head() {
		t.Errorf("DecodeFrame = %+v, %v", got, err)
	}
	broken := append([]byte{}, sound...)
	broken[9] ^= 1
	foreign := protocol.OpSubject(protocol.Feed{Space: space, Origin: "edge-2~a"}, 4)
	for _, c := range []struct {
		name, subject string
		data          []byte
		want          error
	}{
		{"damaged", subject, broken, protocol.ErrChecksum},
		{"no frame", subject, encode(t, protocol.Credit{Attachment: 1}), protocol.ErrUnexpected},
		{"foreign subject", foreign, sound, protocol.ErrUnexpected},
		{"wrong partition", "cw.op.9." + subject[len("cw.op.0."):], sound, protocol.ErrMalformed},
	} {
		if got, err := DecodeFrame(c.subject, c.data, 4); got != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: DecodeFrame = %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	frame := func(ops int) *protocol.Frame {
		return &protocol.Frame{From: 1, Entries: make([]protocol.Entry, ops)}
	}
	var fill Fill
	for i, c := range []struct {
		ops  int
		want bool
	}{{1000, true}, {24, true}, {1, false}} {
		if got := fill.Add(frame(c.ops)); got != c.want {
			t.Errorf("frame %d of %d ops: Add = %v, want %v", i, c.ops, got, c.want)
		}
	}
	if len(fill.Frames) != 2 {
		t.Errorf("%d frames, want 2", len(fill.Frames))
	}
	var big Fill
	if !big.Add(frame(MaxCoreIngestOps+1)) || big.Add(frame(1)) {
		t.Error("a frame over the bound: want it alone")
	}
}

// TestRefusedFrame tells the core half where the chains meet.
func TestRefusedFrame(t *testing.T) {
	t.Parallel()
	p, from := newPeer(t, "core-1"), newPeer(t, "edge-1")
	from.talk("s", 3)
	f := from.feed()
	whole := from.frame(f, 1, 9)
	p.ingest(from.frame(f, 1, 2))
	ours, _ := whole.ChainAt(2)
	seen := func(frame *protocol.Frame) (got protocol.FrameSeen, err error) {
		p.view(func(r session.Reader) error {
			got, err = RefusedFrame(r, frame)
			return nil
		})
		return got, err
	}
	fork := protocol.NewFrame(f, protocol.Head{}, [][]byte{[]byte("x"), []byte("y"), []byte("z")})
	theirs, _ := fork.ChainAt(2)
	got, err := seen(&fork)
	want := protocol.FrameSeen{Feed: f, From: 1, To: 3, Meet: 2, Ours: ours, Theirs: theirs}
	if got != want || err != nil {
		t.Errorf("RefusedFrame of a fork = %+v, %v, want %+v", got, err, want)
	}
	got, err = seen(from.frame(f, 4, 1))
	if want := (protocol.FrameSeen{Feed: f, From: 4, To: 4, Meet: 2}); got != want || err != nil {
		t.Errorf("RefusedFrame behind a gap = %+v, %v, want %+v", got, err, want)
	}
	next := protocol.NewFrame(f, protocol.Head{Seq: 2, Chain: theirs}, [][]byte{[]byte("z")})
	got, err = seen(&next)
	if want.From = 3; got != want || err != nil {
		t.Errorf("RefusedFrame on top of another chain = %+v, %v, want %+v", got, err, want)
	}
	short := protocol.NewFrame(f, protocol.Head{}, [][]byte{[]byte("x")})
	p.rot(f, 1)
	if _, err = seen(&short); !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("RefusedFrame at a damaged record = %v, want ErrCorrupt", err)
	}
}
