package kv_test

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/internal/store/kv"
	"github.com/causeway-sync/causeway/session"
)

func TestSealOpen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		key, value := rapid.SliceOf(rapid.Byte()).Draw(rt, "key"), rapid.SliceOf(rapid.Byte()).Draw(rt, "value")
		raw := kv.Seal(key, value)
		if got, err := kv.Open(key, raw); err != nil || !bytes.Equal(got, value) {
			rt.Fatalf("Open(Seal(%q)) = %q, %v", value, got, err)
		}
		at := rapid.IntRange(0, len(raw)-1).Draw(rt, "at")
		raw[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		if got, err := kv.Open(key, raw); !errors.Is(err, session.ErrCorrupt) {
			rt.Fatalf("Open with a flipped bit in byte %d = %q, %v", at, got, err)
		}
		raw = kv.Seal(key, value)
		if _, err := kv.Open(append(key, 'x'), raw); !errors.Is(err, session.ErrCorrupt) {
			rt.Fatalf("Open under another key = %v", err)
		}
	})
}

func TestRecordGolden(t *testing.T) {
	t.Parallel()
	want := []byte{1, 0xe8, 0x00, 0x89, 0x44, 'v', 'a', 'l', 'u', 'e'}
	if got := kv.Seal([]byte("key"), []byte("value")); !bytes.Equal(got, want) {
		t.Errorf("Seal = % x, want % x", got, want)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("key"), kv.Seal([]byte("key"), []byte("value")))
	f.Fuzz(func(t *testing.T, key, raw []byte) {
		value, err := kv.Open(key, raw)
		if err == nil && !bytes.Equal(kv.Seal(key, value), raw) {
			t.Errorf("Open(%q, %q) = %q, which is sealed otherwise", key, raw, value)
		}
	})
}

// Keys does what a sorted slice does, over many chunks.
func TestKeysAgainstASlice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var keys kv.Keys
		model := map[string]bool{}
		name := rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00\u00ff")), 1, 5, -1)
		for range rapid.IntRange(1, 900).Draw(rt, "steps") {
			k := name.Draw(rt, "key")
			if rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
				keys.Remove(k)
				delete(model, k)
			} else {
				keys.Insert(k)
				model[k] = true
			}
		}
		if keys.Len() != len(model) {
			rt.Fatalf("Len() = %d, want %d", keys.Len(), len(model))
		}
		prefix := rapid.OneOf(rapid.Just(""), name).Draw(rt, "prefix")
		from, hasFrom := name.Draw(rt, "from"), rapid.Bool().Draw(rt, "has from")
		reverse := rapid.Bool().Draw(rt, "reverse")
		var want []string
		for _, k := range slices.Sorted(maps.Keys(model)) {
			in := !hasFrom || !reverse && k >= from || reverse && k <= from
			if in && strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		if reverse {
			slices.Reverse(want)
		}
		copied := keys.Clone()
		keys.Insert("later")
		if got := slices.Collect(copied.Scan(prefix, from, hasFrom, reverse)); !slices.Equal(got, want) {
			rt.Fatalf("Scan(%q, %q, %v, reverse %v) = %q, want %q", prefix, from, hasFrom, reverse, got, want)
		}
	})
}

func TestKeysSplit(t *testing.T) {
	t.Parallel()
	var keys kv.Keys
	var want []string
	for i := range 3000 {
		k := string([]byte{byte(i * 7 % 251), byte(i % 256), byte(i >> 8)})
		keys.Insert(k)
		keys.Insert(k)
		want = append(want, k)
	}
	slices.Sort(want)
	if got := slices.Collect(keys.Scan("", "", false, false)); !slices.Equal(got, want) {
		t.Error("3000 keys are not in order")
	}
	for _, k := range want {
		keys.Remove(k)
	}
	if got := slices.Collect(keys.Scan("", "", false, true)); keys.Len() != 0 || len(got) != 0 {
		t.Errorf("after removing all: Len() = %d, Scan gives %d", keys.Len(), len(got))
	}
}

// nothing is an empty base.
type nothing struct{}

func (nothing) Get([]byte) ([]byte, error) { return nil, nil }

func (nothing) Scan(_, _ []byte, _ bool) iter.Seq2[session.Entry, error] {
	return func(func(session.Entry, error) bool) {}
}

// A rollback brings back the very batch that there was at the mark.
func TestRollback(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := kv.NewBatch(nothing{}, 64)
		steps := func(label string) {
			for range rapid.IntRange(0, 12).Draw(rt, label) {
				key := []byte{byte(rapid.IntRange('a', 'f').Draw(rt, "key"))}
				var err error
				if rapid.Bool().Draw(rt, "delete") {
					err = b.Delete(key)
				} else {
					err = b.Put(key, rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(rt, "value"))
				}
				if err != nil {
					rt.Fatal(err)
				}
			}
		}
		steps("before")
		size, writes := b.Size(), slices.Collect(b.All())
		mark := b.Mark()
		steps("after")
		b.Rollback(mark)
		same := func(x, y kv.Write) bool {
			return x.Key == y.Key && bytes.Equal(x.Value, y.Value) && x.Deleted == y.Deleted
		}
		if got := slices.Collect(b.All()); b.Size() != size || !slices.EqualFunc(got, writes, same) {
			rt.Fatalf("after Rollback: %+v %v, want %+v %v", b.Size(), got, size, writes)
		}
		sum := 0
		for _, w := range writes {
			sum += len(w.Key)
			if !w.Deleted {
				sum += len(w.Value) + kv.Overhead
			}
		}
		if size.Entries != len(writes) || size.Payload != sum {
			rt.Fatalf("Size() = %+v, want %d entries, %d bytes", size, len(writes), sum)
		}
	})
}

func TestAScanTellsOfWrites(t *testing.T) {
	t.Parallel()
	b := kv.NewBatch(nothing{}, 64)
	for _, k := range []string{"a", "b", "c"} {
		if err := b.Put([]byte(k), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	var last error
	for _, err := range b.Scan(nil, nil, false) {
		if last = err; err == nil {
			if err := b.Put([]byte("d"), []byte("v")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !errors.Is(last, kv.ErrScanDisturbed) {
		t.Errorf("a scan with a write in its middle ends with %v, want ErrScanDisturbed", last)
	}
}

func TestKeyLimits(t *testing.T) {
	t.Parallel()
	b := kv.NewBatch(nothing{}, 64)
	if err := b.Put(make([]byte, kv.MaxKeyBytes+1), nil); !errors.Is(err, kv.ErrKeyTooLong) {
		t.Errorf("Put of a long key = %v, want ErrKeyTooLong", err)
	}
	if err := b.Put(make([]byte, kv.MaxKeyBytes), nil); err != nil {
		t.Errorf("Put of the longest key = %v", err)
	}
}
