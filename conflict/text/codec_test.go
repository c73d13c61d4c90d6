package text_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

func TestRunCodec(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 5))
		for _, d := range history(t, rng, 12) {
			runs, err := d.Since(vclock.Vector{})
			ok(t, err)
			for _, envelope := range []vclock.Origin{"", "a"} {
				var b []byte
				for _, r := range runs {
					b = text.AppendRun(b, r, envelope)
				}
				for _, r := range runs {
					if len(r.Parents) == 0 {
						r.Parents = nil
					}
					got, rest, err := text.DecodeRun(b, envelope)
					if err != nil || !reflect.DeepEqual(got, r) {
						t.Fatalf("DecodeRun = %+v, %v, want %+v", got, err, r)
					}
					b = rest
				}
			}
		}
	}
}

// TestKeystrokeBytes holds what one keystroke costs on the wire.
func TestKeystrokeBytes(t *testing.T) {
	t.Parallel()
	const agent = "edge-1~k3x9a0qz"
	r := text.Run{ID: dot(agent, 259_778), Parents: text.Version{dot(agent, 259_777)}, Pos: 104_000, Ins: "é"}
	alone, carried := len(text.AppendRun(nil, r, "")), len(text.AppendRun(nil, r, r.ID.Origin))
	if alone > 25 || carried > 9 {
		t.Errorf("a keystroke takes %d bytes, %d in an op of its agent, want at most 25 and 9", alone, carried)
	}
}

// TestGoldenBytes pins the formats: changing them needs a new version.
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	d := forked(t)
	history, err := d.AppendHistory(nil)
	ok(t, err)
	run := text.Run{ID: dot("ann", 7), Parents: text.Version{dot("bob", 1)}, Pos: 300, Ins: "é"}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"run":      {text.AppendRun(nil, run, ""), "1803616e6e070103626f6201ac02c3a9"},
		"history":  {history, goldenHistory},
		"snapshot": {d.AppendSnapshot(nil), goldenSnapshot},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s is %s, want %s", name, got, c.want)
		}
	}
}

const (
	goldenHistory  = "63777448010103046261736503616e6e03626f620909000400030204010103020218050202000b060661626364656638f74ace"
	goldenSnapshot = "637774530101070203616e6e0203626f6201030003616e6e020004626173650401026f6201056263646566d4644321"
)

func TestDamage(t *testing.T) {
	t.Parallel()
	d := forked(t)
	history, err := d.AppendHistory(nil)
	ok(t, err)
	snapshot := d.AppendSnapshot(nil)
	for i := range history {
		bad := bytes.Clone(history)
		bad[i] ^= 0x20
		if _, err := text.Decode(bad); !errors.Is(err, text.ErrCorrupt) {
			t.Errorf("Decode with byte %d flipped = %v, want ErrCorrupt", i, err)
		}
		if _, err := text.Decode(history[:i]); !errors.Is(err, text.ErrCorrupt) {
			t.Errorf("Decode of %d bytes = %v, want ErrCorrupt", i, err)
		}
	}
	for i := range snapshot {
		bad := bytes.Clone(snapshot)
		bad[i] ^= 0x20
		if _, err := text.Open(bad, nil); !errors.Is(err, text.ErrCorrupt) {
			t.Errorf("Open with byte %d flipped = %v, want ErrCorrupt", i, err)
		}
	}
	newer := bytes.Clone(history[:len(history)-4])
	newer[5]++ // the tie rule
	if _, err := text.Decode(seal(newer)); !errors.Is(err, text.ErrVersion) {
		t.Errorf("Decode under another tie rule = %v, want ErrVersion", err)
	}
}

// TestUnreadHistory shows what works before a history is read, and what a wrong
// one does.
func TestUnreadHistory(t *testing.T) {
	t.Parallel()
	d := forked(t)
	history, err := d.AppendHistory(nil)
	ok(t, err)
	reads := 0
	var failure error
	opened, err := text.Open(d.AppendSnapshot(nil), func() ([]byte, error) {
		reads++
		return history, failure
	})
	ok(t, err)
	if opened.String() != d.String() || !slices.Equal(opened.Version(), d.Version()) || opened.Len() != d.Len() ||
		!slices.Equal(opened.AppendSnapshot(nil), d.AppendSnapshot(nil)) || reads != 0 {
		t.Errorf("opened: %q at %v after %d reads", opened.String(), opened.Version(), reads)
	}
	failure = errors.New("disk")
	if _, err := opened.Insert("ann", 0, "x"); !errors.Is(err, failure) || opened.String() != d.String() {
		t.Errorf("Insert = %v, want the failure of the disk and no change", err)
	}
	failure = nil
	_, err = opened.Insert("ann", 0, "x")
	ok(t, err)
	if opened.String() != "x"+d.String() || reads != 2 {
		t.Errorf("then %q after %d reads", opened.String(), reads)
	}
	wrong, err := text.Open(opened.AppendSnapshot(nil), func() ([]byte, error) { return history, nil })
	ok(t, err)
	if _, err := wrong.Since(vclock.Vector{}); !errors.Is(err, text.ErrCorrupt) {
		t.Errorf("Since with another history = %v, want ErrCorrupt", err)
	}
}

// seal gives a body the checksum that belongs to it.
func seal(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func FuzzDecode(f *testing.F) {
	for seed := range uint64(20) {
		docs := history(f, rand.New(rand.NewPCG(seed, 6)), 10)
		history, err := docs[0].AppendHistory(nil)
		ok(f, err)
		f.Add(history[:len(history)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := text.Decode(seal(body))
		if err != nil {
			return
		}
		history, err := d.AppendHistory(nil)
		ok(t, err)
		again, err := text.Decode(history)
		ok(t, err)
		if again.String() != d.String() || !slices.Equal(again.Version(), d.Version()) {
			t.Fatalf("%x decodes to %q, saved again to %q", body, d.String(), again.String())
		}
	})
}

func FuzzOpen(f *testing.F) {
	d := forked(f)
	snapshot := d.AppendSnapshot(nil)
	f.Add(snapshot[:len(snapshot)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := text.Open(seal(body), func() ([]byte, error) { return nil, nil })
		if err != nil {
			return
		}
		if _, err := d.Since(vclock.Vector{}); !errors.Is(err, text.ErrCorrupt) {
			t.Fatalf("Since without a history = %v", err)
		}
	})
}

func FuzzDecodeRun(f *testing.F) {
	for seed := range uint64(5) {
		runs, err := history(f, rand.New(rand.NewPCG(seed, 7)), 10)[0].Since(vclock.Vector{})
		ok(f, err)
		for _, r := range runs {
			f.Add(text.AppendRun(nil, r, "a"))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest, err := text.DecodeRun(b, "a")
		if err != nil {
			return
		}
		if again := text.AppendRun(nil, r, "a"); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("%x decodes to %+v, which is %x", b, r, again)
		}
		d := forked(t)
		before := d.String()
		edits, err := d.Apply([]text.Run{r})
		if got := patch(t, before, edits...); got != d.String() || err != nil && got != before {
			t.Fatalf("Apply(%+v) = %v, %v on %q gives %q", r, edits, err, before, d.String())
		}
	})
}

func FuzzDecodeVersion(f *testing.F) {
	f.Add(forked(f).Version().AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := text.DecodeVersion(b)
		if err == nil && !bytes.Equal(v.AppendBinary(nil), b[:len(b)-len(rest)]) {
			t.Fatalf("%x decodes to %v", b, v)
		}
	})
}

// FuzzGraph tries random histories in random orders against the oracle.
func FuzzGraph(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { randomGraph(t, seed) })
}

// FuzzTransform holds both orders of two edits to one text.
func FuzzTransform(f *testing.F) {
	f.Add("añ😀d", 1, 2, "x", 2, 1, "", true)
	f.Fuzz(func(t *testing.T, doc string, p, n int, s string, q, m int, u string, tie bool) {
		a, b := text.Edit{Pos: p, Del: n, Ins: s}, text.Edit{Pos: q, Del: m, Ins: u}
		afterA, err := text.Patch(doc, a)
		if err != nil {
			return
		}
		afterB, err := text.Patch(doc, b)
		if err != nil {
			return
		}
		first := text.AFirst
		if tie {
			first = text.BFirst
		}
		as, bs := text.TransformAll([]text.Edit{a}, []text.Edit{b}, first)
		if x, y := patch(t, afterA, bs...), patch(t, afterB, as...); x != y {
			t.Fatalf("%v and %v on %q: %q and %q", a, b, doc, x, y)
		}
	})
}
