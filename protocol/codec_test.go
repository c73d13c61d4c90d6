package protocol

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/internal/purity"
	"github.com/causeway-sync/causeway/vclock"
)

func TestPure(t *testing.T) { purity.Check(t) }

var feedA = Feed{Space: "s1", Origin: "edge-1~a"}

func sampleFrame(ops ...string) Frame {
	var list [][]byte
	for _, op := range ops {
		list = append(list, []byte(op))
	}
	return NewFrame(feedA, Head{}, list)
}

// samples is one full message of each kind, in the order of wire.proto.
func samples() []Message {
	c := Chain{1, 2, 3}
	head := OriginHead{"edge-1~a", Head{7, c}}
	hollow := sampleFrame("one", "two", strings.Repeat("three ", 40))
	hollow.Entries[1].Bytes, hollow.Entries[1].Hollow = []byte("gone"), true
	v := vclock.Of(vclock.Dot{Origin: "edge-1~a", Seq: 7}, vclock.Dot{Origin: "edge-2~b", Seq: 1})
	return []Message{
		Upload{Frame: hollow, Compression: Zstd},
		Receipts{[]Receipt{{feedA, Head{7, c}, "core-1", "i1"}, {Feed{"s2", "edge-1~a"}, Head{}, "core-1", "i1"}}},
		Attach{9, "edge-1", "p1", "main", "edge-1~a", true, []SpaceHeads{{"s1", []OriginHead{head}}, {"s2", nil}}},
		Attached{9, math.MaxUint64, "core-1", "i1", 3, 2, 4, []SpaceState{
			{"s1", []FeedState{{head, Head{5, Chain{9}}, 2},
				{OriginHead{"edge-2~b", Head{1, c}}, Head{1, c}, 0}}}, {"s2", nil}}},
		Refused{9, CodeOverloaded, "come back", 1500 * time.Millisecond},
		Deliver{3, 1, []Frame{sampleFrame("x"), hollow}, Plain},
		Credit{3, 4},
		Heartbeat{3, 0},
		Want{feedA, 12},
		HeadsAsk{"edge-1", []Feed{feedA, {"s2", "edge-1~a"}}},
		ChainsAsk{"edge-1", feedA, []vclock.Seq{1, 300}},
		Chains{feedA, []Head{{1, c}, {300, c}}},
		Detach{3},
		DigestAsk{"edge-1", "s1", v, Sum{4}},
		Digest{"s1", v, Differ},
		SnapshotBegin{3, 2, "s1", []OriginHead{head}},
		SnapshotPiece{3, 3, "s1", "session-1", []Pair{{[]byte("k"), []byte("v")}, {[]byte("k2"), nil}}},
		SnapshotEnd{3, 4, "s1", Sum{5}},
		OpAsk{feedA, 12},
		ClockAsk{Node: "edge-1", State: clocksync.StateHoldover, Alarm: clocksync.AlarmOffset, Known: true,
			Off: -time.Hour, Bound: time.Millisecond, Drift: -20_000},
		ClockTold{Core: "core-1", Received: 1_767_366_245_678_000_000, Sent: 1_767_366_245_678_100_000,
			Trust: clocksync.Synced, Bound: 2 * time.Millisecond},
		ClaimAsk{Node: "edge-1", Space: "s1", Session: "session-1", Key: "m:0", By: "agent", Over: "edge-1~a.7", At: 1_767_366_245_678},
		ClaimTold{Core: "core-1", Outcome: ClaimDone, By: "agent", Node: "edge-2", Claim: "edge-2~b.1", At: 1_767_366_245_678,
			Result: []byte(`{"ok":true}`), Failed: true},
		Signal{Space: "s1", Session: "s-1", Kind: SignalStream, From: "bot", Actor: "bot", Stream: "m-1", Run: 2, At: 12,
			Text: "schöne ", Ended: true},
		SignalAsk{"s1", "s-1"},
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, m := range samples() {
		b, err := AppendMessage([]byte("before"), m)
		if err != nil || !bytes.HasPrefix(b, []byte("before")) {
			t.Fatalf("AppendMessage(%+v) = %x, %v", m, b, err)
		}
		got, err := DecodeMessage(b[6:])
		if err != nil {
			t.Fatalf("DecodeMessage(%T) = %v", m, err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("DecodeMessage(%T) = %+v, want %+v", m, got, m)
		}
	}
}

// TestGolden holds the bytes of each message against testdata/golden.hex:
// bytes that were once written must be read for ever.
func TestGolden(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	for _, m := range samples() {
		if u, ok := m.(Upload); ok {
			u.Compression = Plain // what the packer writes may change
			m = u
		}
		b, err := AppendMessage(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		lines.WriteString(kindOf(m) + " " + hex.EncodeToString(b) + "\n")
	}
	const name = "testdata/golden.hex"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(name, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if lines.String() != string(want) {
		t.Errorf("bytes of messages: got\n%s\nwant\n%s", lines.String(), want)
	}
}

// TestSpecification compiles wire.proto, reads each sample's bytes with a
// library that knows nothing but it, and finds no unknown field and, written
// again, the same bytes.
func TestSpecification(t *testing.T) {
	t.Parallel()
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := compiler.Compile(context.Background(), "wire.proto")
	if err != nil {
		t.Fatal(err)
	}
	messages := files[0].Messages()
	envelope, frame := messages.ByName("Envelope"), messages.ByName("Frame")
	if got, want := envelope.Oneofs().Get(0).Fields().Len(), len(samples()); got != want {
		t.Errorf("wire.proto has %d messages, the samples %d", got, want)
	}
	for _, m := range samples() {
		b, err := AppendMessage(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		respell(t, envelope, checkSum(t, envelope, b))
		if u, ok := m.(Upload); ok {
			fb, err := AppendFrame(nil, &u.Frame, Plain)
			if err != nil {
				t.Fatal(err)
			}
			d := respell(t, frame, fb)
			entries := d.Get(frame.Fields().ByName("entries")).Bytes()
			list := respell(t, messages.ByName("Entries"), entries)
			if n := list.Get(list.Descriptor().Fields().ByName("entry")).List().Len(); n != 3 {
				t.Errorf("entries by wire.proto: %d, want 3", n)
			}
			sum := d.Get(frame.Fields().ByName("crc32c")).Uint()
			if want := crc32.Checksum(fb[:len(fb)-5], crc32.MakeTable(crc32.Castagnoli)); uint32(sum) != want {
				t.Errorf("crc32c by wire.proto: %x, want %x", sum, want)
			}
		}
	}
}

// checkSum finds by wire.proto the checksum of an envelope and returns what
// stands before it.
func checkSum(t *testing.T, envelope protoreflect.MessageDescriptor, b []byte) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(envelope)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("envelope: %v", err)
	}
	body := b[:len(b)-6]
	sum := m.Get(envelope.Fields().ByName("crc32c")).Uint()
	if want := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)); uint32(sum) != want {
		t.Errorf("crc32c of an envelope by wire.proto: %x, want %x", sum, want)
	}
	return body
}

func respell(t *testing.T, d protoreflect.MessageDescriptor, b []byte) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(d)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("%s: %v", d.Name(), err)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("%s by wire.proto: %x, %v, want %x", d.Name(), again, err, b)
	}
	noUnknown(t, m)
	return m
}

func noUnknown(t *testing.T, m protoreflect.Message) {
	t.Helper()
	if u := m.GetUnknown(); len(u) > 0 {
		t.Errorf("%s: unknown fields %x", m.Descriptor().Name(), []byte(u))
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				noUnknown(t, v.List().Get(i).Message())
			}
		case f.Message() != nil:
			noUnknown(t, v.Message())
		}
		return true
	})
}

// TestLaterVersions: what a later version adds to known messages is skipped;
// what needs a later version is refused by name.
func TestLaterVersions(t *testing.T) {
	t.Parallel()
	b, err := AppendMessage(nil, Credit{3, 4})
	if err != nil {
		t.Fatal(err)
	}
	extra := appendSum(putUint(bytes.Clone(b[:len(b)-sumBytes]), 99, 5), 0)
	if m, err := DecodeMessage(extra); err != nil || m != (Credit{3, 4}) {
		t.Errorf("with a field of a later version: %v, %v", m, err)
	}
	if _, err := DecodeMessage(appendSum(putBytes(putUint(nil, 1, 2), 8, b[4:]), 0)); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v, want ErrVersion", err)
	}
	if _, err := DecodeMessage(appendSum(putBytes(putUint(nil, 1, 1), 77, []byte{1}), 0)); !errors.Is(err, ErrUnknownMessage) {
		t.Errorf("message 77: %v, want ErrUnknownMessage", err)
	}
	f := sampleFrame("x")
	fb, err := AppendFrame(nil, &f, Plain)
	if err != nil {
		t.Fatal(err)
	}
	fb = putUint(fb[:len(fb)-5], 14, 9)
	fb = seal(fb)
	if got, err := DecodeFrame(fb); err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("frame with a field of a later version: %v, %v", got, err)
	}
}

// TestDamagedMessage flips every bit of a message of each kind, and cuts it at
// every byte (F29): what arrives is refused as a whole, never understood.
func TestDamagedMessage(t *testing.T) {
	t.Parallel()
	for _, m := range samples() {
		sound, err := AppendMessage(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(what string, at int, bad []byte) {
			t.Helper()
			got, err := DecodeMessage(bad)
			if got != nil || !errors.Is(err, ErrChecksum) && !errors.Is(err, ErrMalformed) {
				t.Errorf("%T with %s %d: %+v, %v, want ErrChecksum or ErrMalformed", m, what, at, got, err)
			}
		}
		bad := bytes.Clone(sound)
		for bit := range 8 * len(bad) {
			bad[bit/8] ^= 1 << (bit % 8)
			refused("flipped bit", bit, bad)
			bad[bit/8] ^= 1 << (bit % 8)
		}
		for n := range sound {
			refused("bytes, cut at", n, sound[:n])
		}
	}
}

// seal appends the checksum to a frame made by hand.
func seal(b []byte) []byte {
	sum := crc32.Checksum(b, castagnoli)
	return append(b, crcTag, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
}

func TestFrameRefused(t *testing.T) {
	t.Parallel()
	good := sampleFrame("one", "two")
	encoded, err := AppendFrame(nil, &good, Zstd)
	if err != nil {
		t.Fatal(err)
	}
	for i := range encoded {
		bad := bytes.Clone(encoded)
		bad[i] ^= 0x10
		var fe *FrameError
		if _, err := DecodeFrame(bad); !errors.As(err, &fe) {
			t.Fatalf("byte %d flipped: %v, want a *FrameError", i, err)
		}
		if _, err := DecodeFrame(encoded[:i]); !errors.As(err, &fe) {
			t.Fatalf("cut at %d: %v, want a *FrameError", i, err)
		}
	}
	wrong := good
	wrong.Last[0] ^= 1
	forged := sampleFrame("one", "two")
	forged.Entries[1].Bytes = []byte("TWO")
	gap := sampleFrame("x")
	gap.From = 0
	many := NewFrame(feedA, Head{}, make([][]byte, MaxFrameOps+1))
	big := NewFrame(feedA, Head{}, [][]byte{make([]byte, MaxOpBytes+1)})
	noise := make([][]byte, 3)
	for i := range noise {
		noise[i] = make([]byte, 200<<10)
	}
	wide := NewFrame(feedA, Head{}, noise)
	prefixed := NewFrame(feedA, Head{0, Chain{1}}, [][]byte{{1}})
	for _, c := range []struct {
		name string
		f    Frame
		want error
	}{
		{"last chain", wrong, ErrChain}, {"forged op", forged, ErrChain}, {"from 0", gap, ErrMalformed},
		{"ops", many, ErrTooBig}, {"op", big, ErrTooBig}, {"bytes", wide, ErrTooBig},
		{"prev of the first", prefixed, ErrChain},
		{"empty", Frame{Feed: feedA, From: 1}, ErrMalformed},
		{"space", NewFrame(Feed{"a b", "x~1"}, Head{}, [][]byte{{1}}), ErrMalformed},
	} {
		got, err := AppendFrame([]byte("kept"), &c.f, Plain)
		if !errors.Is(err, c.want) || string(got) != "kept" {
			t.Errorf("AppendFrame with bad %s = %q, %v, want %v", c.name, got, err, c.want)
		}
	}
}

// TestBomb: a frame that unpacks to more than it says, or says too much, is
// refused without unpacking it all (F55).
func TestBomb(t *testing.T) {
	t.Parallel()
	zeros := packer.EncodeAll(make([]byte, 64<<20), nil)
	for _, size := range []uint64{64 << 20, 1 << 20, 100} {
		b := putString(nil, 1, "s1")
		b = putString(b, 2, "x~1")
		b = putUint(b, 3, 1)
		b = putUint(b, 6, 1)
		b = putUint(b, 7, uint64(Zstd))
		b = putUint(b, 8, size)
		b = seal(putBytes(b, 9, zeros))
		if _, err := DecodeFrame(b); !errors.Is(err, ErrTooBig) {
			t.Errorf("bomb that claims %d bytes: %v, want ErrTooBig", size, err)
		}
	}
}

func TestChainAt(t *testing.T) {
	t.Parallel()
	first := sampleFrame("a", "b")
	f := NewFrame(feedA, first.Head(), [][]byte{[]byte("c"), []byte("d")})
	whole := sampleFrame("a", "b", "c", "d")
	for n := range vclock.Seq(6) {
		got, ok := f.ChainAt(n)
		want, _ := whole.ChainAt(n)
		if ok != (n >= 2 && n <= 4) || ok && got != want {
			t.Errorf("ChainAt(%d) = %x, %v, want %x", n, got, ok, want)
		}
	}
}

func TestMessagesRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxNameBytes+1)
	for _, m := range []Message{
		Credit{}, Detach{}, Want{feedA, 0}, Want{Feed{"s1", ""}, 1}, Want{feedA, MaxSeq + 1}, HeadsAsk{"n", nil},
		HeadsAsk{long, []Feed{feedA}}, ChainsAsk{"n", feedA, make([]vclock.Seq, MaxSeqsPerAsk+1)}, Refused{Request: 1},
		Deliver{1, 1, nil, Plain}, Attach{Request: 1, Node: "n", Instance: "i", Cluster: "bad name"},
		Attach{1, "n", "i", "c", "", false, []SpaceHeads{{"b", nil}, {"a", nil}}},
		Attached{1, 1, "s", "i", 1, 2, 4, nil}, Receipts{make([]Receipt, MaxReceipts+1)},
		Chains{feedA, []Head{{0, Chain{1}}}}, SnapshotPiece{1, 1, "s", "", []Pair{{nil, nil}}}, Upload{},
	} {
		if b, err := AppendMessage(nil, m); err == nil || b != nil {
			t.Errorf("AppendMessage(%+v) = %x, want an error", m, b)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range samples() {
		b, err := AppendMessage(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-sumBytes])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(appendSum(bytes.Clone(b), 0)) // the fuzzer cannot find checksums
		if err != nil {
			return
		}
		again, err := AppendMessage(nil, m)
		if err != nil {
			t.Fatalf("decoded %+v, but cannot encode it: %v", m, err)
		}
		n, err := DecodeMessage(again)
		if u, ok := n.(Upload); ok { // packing that does not pay is left out
			u.Compression = m.(Upload).Compression
			n = u
		}
		if d, ok := n.(Deliver); ok {
			d.Compression = m.(Deliver).Compression
			n = d
		}
		if err != nil || !equalMessages(m, n) {
			t.Fatalf("decoded %+v, then %+v, %v", m, n, err)
		}
	})
}

// equalMessages compares by bytes, to which nil and empty are the same.
func equalMessages(m, n Message) bool {
	a, err := AppendMessage(nil, m)
	b, err2 := AppendMessage(nil, n)
	return err == nil && err2 == nil && bytes.Equal(a, b)
}

func FuzzDecodeFrame(f *testing.F) {
	for _, how := range []Compression{Plain, Zstd} {
		fr := sampleFrame("one", strings.Repeat("two ", 99))
		b, err := AppendFrame(nil, &fr, how)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-5])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := DecodeFrame(seal(bytes.Clone(b))) // the fuzzer cannot find checksums
		var fe *FrameError
		if err != nil && !errors.As(err, &fe) {
			t.Fatalf("error %v is no *FrameError", err)
		}
		if err == nil {
			if err := fr.Verify(); err != nil {
				t.Fatalf("decoded frame: %v", err)
			}
		}
		if _, err := DecodeFrame(b); err == nil {
			return // the fuzzer found a checksum after all
		}
	})
}
