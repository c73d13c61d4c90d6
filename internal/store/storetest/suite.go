package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/session"
)

// Store is what the suite drives.
type Store interface {
	// Update runs fn in a transaction; nil means that its writes are durable.
	Update(fn func(tx session.Tx) error) error
	View(fn func(r session.Reader) error) error
	// Reopen ends the store cleanly and opens it again.
	Reopen(t testing.TB)
	// Damage flips bits in the stored record at key, behind the store's back,
	// and opens the store again. False means that it cannot.
	Damage(t testing.TB, key []byte) bool
}

// Run tests a store. open makes an empty one that the test's end closes.
func Run(t *testing.T, open func(t testing.TB) Store) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					t.Logf("violated: %s", c.violated)
				}
			}()
			c.run(t, open(t))
		})
	}
	t.Run("against a map", func(t *testing.T) {
		t.Parallel()
		againstMap(t, open(t))
	})
}

var cases = []struct {
	name, violated string
	run            func(t *testing.T, s Store)
}{
	{"absent", "an absent key is nil and no error", absent},
	{"read your writes", "a transaction sees its own writes, by Get and by Scan", readYourWrites},
	{"scan order", "a scan yields keys in byte order, in both directions, from where it is told", scanOrder},
	{"prefix boundaries", "a scan yields keys with the prefix and no others, whatever bytes they hold", prefixBoundaries},
	{"scan stops", "a scan ends when its reader has enough", scanStops},
	{"delete", "a deleted key is absent, and deleting an absent one is no error", deletes},
	{"failed function", "a function that fails leaves nothing behind", failedFunction},
	{"aliasing", "slices given to the store belong to the caller, and behind those taken from it is no room", aliasing},
	{"empty value", "an empty value is a value, not absence", emptyValue},
	{"large values", "a value of 256 KiB comes back as it was", largeValues},
	{"empty key", "a key without bytes is refused", emptyKey},
	{"snapshot", "a view does not change while others write", snapshot},
	{"reopen", "what Update confirmed is there after the store was opened again", reopen},
	{"damaged record", "a damaged record is an error, never absence and never other bytes", damagedRecord},
}

func put(t testing.TB, s Store, pairs ...string) {
	t.Helper()
	err := s.Update(func(tx session.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func want(t testing.TB, s Store, key, value string) {
	t.Helper()
	view(t, s, func(r session.Reader) { wantIn(t, r, key, value) })
}

func wantIn(t testing.TB, r session.Reader, key, value string) {
	t.Helper()
	got, err := r.Get([]byte(key))
	if err != nil || got == nil || string(got) != value {
		t.Errorf("Get(%q) = %.40q, %v, want %.40q", key, got, err, value)
	}
}

func wantAbsent(t testing.TB, r session.Reader, key string) {
	t.Helper()
	if got, err := r.Get([]byte(key)); got != nil || err != nil {
		t.Errorf("Get(%q) = %q, %v, want nil, nil", key, got, err)
	}
}

func view(t testing.TB, s Store, fn func(r session.Reader)) {
	t.Helper()
	if err := s.View(func(r session.Reader) error { fn(r); return nil }); err != nil {
		t.Fatalf("View: %v", err)
	}
}

func keysOf(t testing.TB, seq iter.Seq2[session.Entry, error]) []string {
	t.Helper()
	keys := []string{}
	for e, err := range seq {
		if err != nil {
			t.Fatalf("Scan: %v", err)
		}
		keys = append(keys, string(e.Key))
	}
	return keys
}

func absent(t *testing.T, s Store) {
	view(t, s, func(r session.Reader) {
		wantAbsent(t, r, "nothing")
		if got := keysOf(t, r.Scan([]byte("nothing"), nil, false)); len(got) != 0 {
			t.Errorf("Scan(nothing) = %q, want none", got)
		}
	})
}

func readYourWrites(t *testing.T, s Store) {
	put(t, s, "k/1", "old", "k/2", "gone", "k/4", "kept")
	err := s.Update(func(tx session.Tx) error {
		err := errors.Join(tx.Put([]byte("k/1"), []byte("new")), tx.Delete([]byte("k/2")),
			tx.Put([]byte("k/3"), []byte("added")))
		wantIn(t, tx, "k/1", "new")
		wantAbsent(t, tx, "k/2")
		wantIn(t, tx, "k/3", "added")
		up, down := []string{"k/1", "k/3", "k/4"}, []string{"k/4", "k/3", "k/1"}
		if got := keysOf(t, tx.Scan([]byte("k/"), nil, false)); !slices.Equal(got, up) {
			t.Errorf("Scan up = %q, want %q", got, up)
		}
		if got := keysOf(t, tx.Scan([]byte("k/"), nil, true)); !slices.Equal(got, down) {
			t.Errorf("Scan down = %q, want %q", got, down)
		}
		return err
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	want(t, s, "k/1", "new")
	want(t, s, "k/3", "added")
	view(t, s, func(r session.Reader) { wantAbsent(t, r, "k/2") })
}

func scanOrder(t *testing.T, s Store) {
	put(t, s, "p/b", "2", "p/a", "1", "p/d", "4", "p/c", "3")
	tests := []struct {
		from    string
		reverse bool
		want    []string
	}{
		{"", false, []string{"p/a", "p/b", "p/c", "p/d"}},
		{"", true, []string{"p/d", "p/c", "p/b", "p/a"}},
		{"p/b", false, []string{"p/b", "p/c", "p/d"}},
		{"p/b", true, []string{"p/b", "p/a"}},
		{"p/bb", false, []string{"p/c", "p/d"}},
		{"p/bb", true, []string{"p/b", "p/a"}},
		{"a", false, []string{"p/a", "p/b", "p/c", "p/d"}},
		{"a", true, []string{}},
		{"z", false, []string{}},
		{"z", true, []string{"p/d", "p/c", "p/b", "p/a"}},
	}
	view(t, s, func(r session.Reader) {
		for _, tt := range tests {
			var from []byte
			if tt.from != "" {
				from = []byte(tt.from)
			}
			if got := keysOf(t, r.Scan([]byte("p/"), from, tt.reverse)); !slices.Equal(got, tt.want) {
				t.Errorf("Scan(p/, %q, reverse %v) = %q, want %q", tt.from, tt.reverse, got, tt.want)
			}
		}
	})
}

func prefixBoundaries(t *testing.T, s Store) {
	keys := []string{"p", "p\x00", "p\x00\xff", "p\xfe", "p\xff", "p\xff\x00", "p\xff\xff", "p\xff\xff\xff", "q", "q\x00", "\xff", "\xff\xff"}
	for _, key := range keys {
		put(t, s, key, "v"+key)
	}
	prefixes := []string{"p", "p\x00", "p\xff", "p\xff\xff", "q", "\xff", "\xff\xff", "o"}
	view(t, s, func(r session.Reader) {
		for _, prefix := range prefixes {
			var expect []string
			for _, key := range keys {
				if bytes.HasPrefix([]byte(key), []byte(prefix)) {
					expect = append(expect, key)
				}
			}
			slices.Sort(expect)
			if got := keysOf(t, r.Scan([]byte(prefix), nil, false)); !slices.Equal(got, expect) {
				t.Errorf("Scan(%q) = %q, want %q", prefix, got, expect)
			}
			slices.Reverse(expect)
			if got := keysOf(t, r.Scan([]byte(prefix), nil, true)); !slices.Equal(got, expect) {
				t.Errorf("Scan(%q, reverse) = %q, want %q", prefix, got, expect)
			}
		}
	})
}

func scanStops(t *testing.T, s Store) {
	put(t, s, "p/a", "1", "p/b", "2", "p/c", "3")
	for _, reverse := range []bool{false, true} {
		count := 0
		view(t, s, func(r session.Reader) {
			for range r.Scan([]byte("p/"), nil, reverse) {
				if count++; count == 2 {
					break
				}
			}
		})
		if count != 2 {
			t.Errorf("a scan with break after 2 yielded %d", count)
		}
	}
}

func deletes(t *testing.T, s Store) {
	put(t, s, "k", "v")
	for range 2 {
		if err := s.Update(func(tx session.Tx) error { return tx.Delete([]byte("k")) }); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		view(t, s, func(r session.Reader) {
			wantAbsent(t, r, "k")
			if got := keysOf(t, r.Scan([]byte("k"), nil, false)); len(got) != 0 {
				t.Errorf("Scan(k) = %q, want none", got)
			}
		})
	}
	put(t, s, "k", "again")
	want(t, s, "k", "again")
}

func failedFunction(t *testing.T, s Store) {
	put(t, s, "kept", "v")
	refused := errors.New("refused")
	err := s.Update(func(tx session.Tx) error {
		err := errors.Join(tx.Put([]byte("new"), []byte("v")), tx.Put([]byte("kept"), []byte("other")),
			tx.Delete([]byte("kept")))
		return errors.Join(err, refused)
	})
	if !errors.Is(err, refused) {
		t.Errorf("Update = %v, want the function's error", err)
	}
	want(t, s, "kept", "v")
	view(t, s, func(r session.Reader) { wantAbsent(t, r, "new") })
	s.Reopen(t)
	want(t, s, "kept", "v")
	view(t, s, func(r session.Reader) { wantAbsent(t, r, "new") })
}

func aliasing(t *testing.T, s Store) {
	key, value := []byte("key"), []byte("value")
	err := s.Update(func(tx session.Tx) error {
		if err := errors.Join(tx.Put(key, value), tx.Put([]byte("key2"), []byte("other"))); err != nil {
			return err
		}
		copy(key, "xxx")
		copy(value, "xxxxx")
		got, err := tx.Get([]byte("key"))
		_ = append(got, "yyyyy"...)
		return err
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	view(t, s, func(r session.Reader) {
		wantIn(t, r, "key", "value")
		got, err := r.Get([]byte("key"))
		if err != nil {
			t.Fatalf("Get: %v", err)
		}
		_ = append(got, "zzzzz"...)
		for e, err := range r.Scan([]byte("k"), nil, false) {
			if err != nil {
				t.Fatalf("Scan: %v", err)
			}
			_, _ = append(e.Key, "zzz"...), append(e.Value, "zzzzz"...)
		}
		wantIn(t, r, "key", "value")
		wantIn(t, r, "key2", "other")
	})
}

func emptyValue(t *testing.T, s Store) {
	put(t, s, "k", "")
	want(t, s, "k", "")
	if err := s.Update(func(tx session.Tx) error {
		if err := tx.Put([]byte("k2"), nil); err != nil {
			return err
		}
		wantIn(t, tx, "k2", "")
		return nil
	}); err != nil {
		t.Fatalf("Update: %v", err)
	}
	s.Reopen(t)
	want(t, s, "k", "")
	want(t, s, "k2", "")
}

func largeValues(t *testing.T, s Store) {
	value := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	for i := range 8 {
		put(t, s, fmt.Sprintf("big/%d", i), string(value))
	}
	s.Reopen(t)
	view(t, s, func(r session.Reader) {
		for i := range 8 {
			wantIn(t, r, fmt.Sprintf("big/%d", i), string(value))
		}
	})
}

func emptyKey(t *testing.T, s Store) {
	if err := s.Update(func(tx session.Tx) error { return tx.Put(nil, []byte("v")) }); err == nil {
		t.Error("Put of an empty key succeeded")
	}
	if err := s.Update(func(tx session.Tx) error { return tx.Delete(nil) }); err == nil {
		t.Error("Delete of an empty key succeeded")
	}
	view(t, s, func(r session.Reader) {
		if _, err := r.Get(nil); err == nil {
			t.Error("Get of an empty key succeeded")
		}
	})
}

// snapshot is about stores that allow a write during a view.
func snapshot(t *testing.T, s Store) {
	put(t, s, "k/1", "old")
	if c, ok := s.(interface{ SingleThreaded() bool }); ok && c.SingleThreaded() {
		return // a view excludes writes, so it cannot change
	}
	view(t, s, func(r session.Reader) {
		put(t, s, "k/1", "new", "k/2", "new")
		wantIn(t, r, "k/1", "old")
		wantAbsent(t, r, "k/2")
		if got := keysOf(t, r.Scan([]byte("k/"), nil, false)); !slices.Equal(got, []string{"k/1"}) {
			t.Errorf("Scan in an old view = %q, want k/1", got)
		}
	})
	want(t, s, "k/1", "new")
	want(t, s, "k/2", "new")
}

func reopen(t *testing.T, s Store) {
	for i := range 50 {
		put(t, s, fmt.Sprintf("k/%02d", i), fmt.Sprint(i))
		if i == 25 {
			s.Reopen(t)
		}
	}
	s.Reopen(t)
	view(t, s, func(r session.Reader) {
		if got := keysOf(t, r.Scan([]byte("k/"), nil, false)); len(got) != 50 {
			t.Errorf("%d keys after reopening, want 50", len(got))
		}
	})
}

func damagedRecord(t *testing.T, s Store) {
	big := string(bytes.Repeat([]byte("payload "), 128))
	put(t, s, "k/1", big, "k/2", big+"2", "k/3", big+"3")
	if !s.Damage(t, []byte("k/2")) {
		t.Fatal("the record could not be damaged")
	}
	want(t, s, "k/1", big)
	want(t, s, "k/3", big+"3")
	view(t, s, func(r session.Reader) {
		got, err := r.Get([]byte("k/2"))
		damage, ok := errors.AsType[*session.CorruptError](err)
		if !ok || !errors.Is(err, session.ErrCorrupt) || got != nil {
			t.Fatalf("Get of a damaged record = %.20q, %v, want nil and a CorruptError", got, err)
		}
		if string(damage.Key) != "k/2" || damage.Hint == "" {
			t.Errorf("the error names key %q and hint %q, want k/2 and some hint", damage.Key, damage.Hint)
		}
		var seen []string
		var last error
		for e, err := range r.Scan([]byte("k/"), nil, false) {
			if last != nil {
				t.Error("a scan went on after an error")
			}
			if last = err; err == nil {
				seen = append(seen, string(e.Key))
			}
		}
		if !errors.Is(last, session.ErrCorrupt) || !slices.Equal(seen, []string{"k/1"}) {
			t.Errorf("Scan over a damaged record = %q, %v, want k/1 and then ErrCorrupt", seen, last)
		}
	})
}

// againstMap does random things to the store and to a map and compares.
func againstMap(t *testing.T, s Store) {
	model := map[string]string{}
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.Custom(func(rt *rapid.T) string {
			return "m" + string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 3).Draw(rt, "bytes"))
		})
		next := map[string]string{}
		maps.Copy(next, model)
		refused := errors.New("refused")
		fails := rapid.Bool().Draw(rt, "fails")
		err := s.Update(func(tx session.Tx) error {
			for range rapid.IntRange(1, 6).Draw(rt, "writes") {
				k := key.Draw(rt, "key")
				if rapid.Bool().Draw(rt, "delete") {
					delete(next, k)
					if err := tx.Delete([]byte(k)); err != nil {
						return err
					}
				} else {
					next[k] = rapid.StringN(0, 400, 400).Draw(rt, "value")
					if err := tx.Put([]byte(k), []byte(next[k])); err != nil {
						return err
					}
				}
				compare(rt, tx, next, key.Draw(rt, "prefix"), key.Draw(rt, "from"), rapid.Bool().Draw(rt, "reverse"))
			}
			if fails {
				return refused
			}
			return nil
		})
		if fails != errors.Is(err, refused) || !fails && err != nil {
			rt.Fatalf("Update = %v, fails %v", err, fails)
		}
		if !fails {
			model = next
		}
		err = s.View(func(r session.Reader) error {
			compare(rt, r, model, key.Draw(rt, "prefix"), key.Draw(rt, "from"), rapid.Bool().Draw(rt, "reverse"))
			return nil
		})
		if err != nil {
			rt.Fatalf("View: %v", err)
		}
	})
}

func compare(rt *rapid.T, r session.Reader, model map[string]string, prefix, from string, reverse bool) {
	var expect []string
	for k := range model {
		if bytes.HasPrefix([]byte(k), []byte(prefix)) && (!reverse && k >= from || reverse && k <= from) {
			expect = append(expect, k)
		}
	}
	slices.Sort(expect)
	if reverse {
		slices.Reverse(expect)
	}
	var got []string
	for e, err := range r.Scan([]byte(prefix), []byte(from), reverse) {
		if err != nil {
			rt.Fatalf("Scan: %v", err)
		}
		if string(e.Value) != model[string(e.Key)] {
			rt.Fatalf("Scan gives %q at %q, want %q", e.Value, e.Key, model[string(e.Key)])
		}
		got = append(got, string(e.Key))
	}
	if !slices.Equal(got, expect) {
		rt.Fatalf("Scan(%q, %q, reverse %v) = %q, want %q", prefix, from, reverse, got, expect)
	}
}
