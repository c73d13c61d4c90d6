package conflict_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// decoders lists each decoder together with its encoder: decode what is at the
// front of b, encode it again, and give back the rest.
var decoders = map[string]func(b []byte) (again, rest []byte, err error){
	"register": func(b []byte) ([]byte, []byte, error) {
		v, rest, err := conflict.DecodeRegister(b)
		return v.AppendBinary(nil), rest, err
	},
	"counter": func(b []byte) ([]byte, []byte, error) {
		v, rest, err := conflict.DecodeCounter(b)
		return v.AppendBinary(nil), rest, err
	},
	"set": func(b []byte) ([]byte, []byte, error) {
		v, rest, err := conflict.DecodeSet(b)
		return v.AppendBinary(nil), rest, err
	},
	"lifecycle": func(b []byte) ([]byte, []byte, error) {
		v, rest, err := conflict.DecodeLifecycle(b)
		return v.AppendBinary(nil), rest, err
	},
	"timeline": func(b []byte) ([]byte, []byte, error) {
		v, rest, err := conflict.DecodeTimeline(b)
		return v.AppendBinary(nil), rest, err
	},
}

func sampleStamp() clocksync.Stamp {
	return clocksync.Stamp{Wall: 1 << 40, Logical: 3, Trust: clocksync.Synced}
}

// samples returns one value of each kind with more than one item in it.
func samples() map[string][]byte {
	var none vclock.Vector
	a, b := dot("edge-1~aa", 1), dot("edge-2~aa", 300)
	written := conflict.Value{Dot: a, Stamp: sampleStamp(), Actor: "ann", Data: []byte("1")}
	register := conflict.Register{}.Write(written, none).Write(conflict.Value{Dot: b, Deleted: true}, none)
	counter := conflict.Counter{Additions: []conflict.Addition{{Dot: a, Key: "k", By: -3}, {Dot: b, By: 1 << 40}}}
	set := conflict.Set{}.Insert([]byte("x"), a, none).Insert([]byte("x"), b, none).Insert([]byte("y"), a, none)
	life := conflict.Lifecycle{}.Apply(conflict.Move{Dot: a, Stamp: sampleStamp(), Actor: "ann", To: conflict.Ended}, none)
	life = life.Apply(conflict.Move{Dot: b, To: conflict.Active, Epoch: 1}, none)
	first, second := conflict.Rank{Stamp: sampleStamp(), Dot: a}, conflict.Rank{Stamp: sampleStamp(), Dot: b}
	line := conflict.Timeline{
		Runs: []conflict.Run{{From: 2, To: 9, Rank: first}, {From: 11, To: 11, Parent: 9, Rank: second}},
		Tip:  second,
	}
	return map[string][]byte{
		"register":  register.AppendBinary(nil),
		"counter":   counter.AppendBinary(nil),
		"set":       set.AppendBinary(nil),
		"lifecycle": life.AppendBinary(nil),
		"timeline":  line.AppendBinary(nil),
	}
}

// TestGoldenBytes fixes the binary forms: they are on disks.
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	const (
		edge1 = "0009" + "656467652d317e6161" + "01"   // "edge-1~aa", 1
		edge2 = "0504" + "327e6161" + "ac02"           // then "edge-2~aa", 300
		edge3 = "0504" + "317e6161" + "01"             // then "edge-1~aa", 1 again
		stamp = "808080808020" + "0e"                  // 2^40 ms, counter 3, synced
		front = "0009" + "656467652d327e6161" + "ac02" // "edge-2~aa", 300 at the front
		same  = "0900" + "ac02"                        // the same origin, 300
	)
	want := map[string]string{
		"register":  "02" + edge1 + stamp + "03616e6e" + "01" + "0131" + edge2 + "0000" + "00" + "00",
		"counter":   "02" + edge1 + "016b" + "05" + edge2 + "00" + "808080808040",
		"set":       "02" + "0178" + "02" + edge1 + edge2 + "0179" + "01" + edge3,
		"lifecycle": "02" + front + "0000" + "00" + "01" + "01" + edge3 + stamp + "03616e6e" + "03" + "00",
		"timeline":  "02" + "020700" + stamp + edge1 + "020009" + stamp + edge2 + stamp + same,
	}
	for kind, b := range samples() {
		if got := hex.EncodeToString(b); got != want[kind] {
			t.Errorf("%s:\n got %s\nwant %s", kind, got, want[kind])
		}
		if again, rest, err := decoders[kind](b); err != nil || len(rest) > 0 || string(again) != string(b) {
			t.Errorf("%s: decoded and encoded again: %x, %x, %v", kind, again, rest, err)
		}
	}
}

// TestDecodersRefuse tries each sample cut off at every length, and bytes that
// no encoder makes.
func TestDecodersRefuse(t *testing.T) {
	t.Parallel()
	for kind, b := range samples() {
		for n := range b {
			if _, rest, err := decoders[kind](b[:n]); !errors.Is(err, conflict.ErrMalformed) || rest != nil {
				t.Errorf("%s cut off after %d of %d bytes: %v, want ErrMalformed", kind, n, len(b), err)
			}
		}
		if again, rest, err := decoders[kind]([]byte{0}); err != nil || len(rest) > 0 || string(again) != "\x00" {
			t.Errorf("%s of nothing: %x, %x, %v", kind, again, rest, err)
		}
	}
	const d, e = "000161" + "01", "000162" + "01" // a.1, b.1, where nothing is shared
	for name, c := range map[string]struct{ kind, bytes string }{
		"count beyond the bytes":  {"counter", "7f" + d + "0000"},
		"count beyond all":        {"set", "ffffffffffffffffff01"},
		"long varint":             {"counter", "8100" + d + "0000"},
		"counter of a dot zero":   {"counter", "01" + "00016100" + "0000"},
		"origin empty":            {"counter", "01" + "000001" + "0000" + "00"},
		"origin too long":         {"counter", "01" + "0061" + strings.Repeat("61", 97) + "01" + "0000"},
		"prefix not taken":        {"counter", "02" + d + "0000" + "0002616201" + "0000"},
		"prefix too long":         {"counter", "02" + d + "0000" + "02016201" + "0000"},
		"key too long":            {"counter", "01" + d + "8102" + strings.Repeat("6b", 257) + "00"},
		"additions descending":    {"counter", "02" + e + "0000" + d + "0000"},
		"addition twice":          {"counter", "02" + d + "0000" + "010001" + "0000"},
		"kind unknown":            {"register", "01" + d + "0000" + "00" + "02"},
		"trust unknown":           {"register", "01" + d + "0003" + "00" + "00"},
		"wall too large":          {"register", "01" + d + "ffffffffffffff0f" + "00" + "00" + "00"},
		"logical too large":       {"register", "01" + d + "00" + "808010" + "00" + "00"},
		"worse value first":       {"register", "02" + d + "0000" + "00" + "00" + e + "0000" + "00" + "00"},
		"elements descending":     {"set", "02" + "0179" + "01" + d + "0178" + "01" + e},
		"element without inserts": {"set", "01" + "0178" + "00" + "000000"},
		"dots descending":         {"set", "01" + "0178" + "02" + e + d},
		"state unknown":           {"lifecycle", "01" + d + "0000" + "00" + "04" + "00"},
		"worse move first":        {"lifecycle", "02" + d + "0000000100" + e + "0000000200"},
		"slot zero":               {"timeline", "01" + "000000" + "0000" + d + "0000" + "010001"},
		"slots beyond 2^64":       {"timeline", "01" + "01ffffffffffffffffff0100" + "0000" + d + "0000" + "010001"},
		"parent inside a run":     {"timeline", "020104000000" + d + "0100030000" + "010002" + "0000010002"},
		"parent to come":          {"timeline", "01" + "010007" + "0000" + d + "0000" + "010001"},
	} {
		b, err := hex.DecodeString(c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := decoders[c.kind](b); !errors.Is(err, conflict.ErrMalformed) {
			t.Errorf("%s: %s %s decodes as %x, %v, want ErrMalformed", name, c.kind, c.bytes, again, err)
		}
	}
}

func fuzzDecoder(f *testing.F, kind string) {
	f.Add([]byte{0})
	f.Add(samples()[kind])
	f.Fuzz(func(t *testing.T, b []byte) {
		again, rest, err := decoders[kind](b)
		if err != nil {
			if !errors.Is(err, conflict.ErrMalformed) {
				t.Fatalf("%x: %v is no error of this package", b, err)
			}
			return
		}
		if string(append(again, rest...)) != string(b) {
			t.Fatalf("%x encodes as %x: two encodings of one value", b, again)
		}
	})
}

func FuzzDecodeRegister(f *testing.F)  { fuzzDecoder(f, "register") }
func FuzzDecodeCounter(f *testing.F)   { fuzzDecoder(f, "counter") }
func FuzzDecodeSet(f *testing.F)       { fuzzDecoder(f, "set") }
func FuzzDecodeLifecycle(f *testing.F) { fuzzDecoder(f, "lifecycle") }

// FuzzDecodeTimeline also reads what was decoded: whatever the table of runs
// says, every run occurs once, and the last segment ends at the last message.
func FuzzDecodeTimeline(f *testing.F) {
	f.Add([]byte{0})
	f.Add(samples()["timeline"])
	f.Fuzz(func(t *testing.T, b []byte) {
		line, rest, err := conflict.DecodeTimeline(b)
		if err != nil {
			if !errors.Is(err, conflict.ErrMalformed) {
				t.Fatalf("%x: %v is no error of this package", b, err)
			}
			return
		}
		if again := append(line.AppendBinary(nil), rest...); string(again) != string(b) {
			t.Fatalf("%x encodes as %x: two encodings of one value", b, again)
		}
		segments := line.Segments()
		seen := make(map[uint64]bool)
		for _, s := range segments {
			seen[s.From] = true
		}
		if len(segments) != len(line.Runs) || len(seen) != len(line.Runs) {
			t.Fatalf("%d runs give %d segments", len(line.Runs), len(segments))
		}
		if n := len(segments); n > 0 && segments[n-1].To != line.Last() {
			t.Fatalf("Last = %d, want the end of %v", line.Last(), segments[n-1])
		}
	})
}
