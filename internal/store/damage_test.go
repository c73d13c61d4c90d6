package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

// populated makes a store with tables, sealed and open value log files, and a
// write-ahead file, takes its image without closing it, and gives what was
// acknowledged.
func populated(t *testing.T) (image, map[string]string) {
	t.Helper()
	r := start(t, options(t))
	data := map[string]string{}
	random := rand.New(rand.NewPCG(5, 5))
	write := func(round, keys int) {
		for batch := range keys / 100 {
			err := r.Update(func(tx session.Tx) error {
				for i := range 100 {
					key := fmt.Sprintf("k/%03d/%02d/%d", batch, i, round)
					value := make([]byte, 20+random.IntN(200))
					if i%25 == 0 {
						value = make([]byte, 300+random.IntN(2000))
					}
					for j := range value {
						value[j] = byte(random.Uint32())
					}
					data[key] = string(value)
					if err := tx.Put([]byte(key), value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0, 3000)
	r.Reopen(t)
	write(1, 1500)
	r.Reopen(t)
	write(2, 400)
	return readImage(t, r.opt.Dir), data
}

// outcome is what a damaged store did.
type outcome string

const (
	refusedOpen outcome = "open refused"
	lossTold    outcome = "loss reported"
	readErrors  outcome = "some reads are errors"
	allRight    outcome = "everything right"
)

// judge opens a damaged store and checks that nothing is wrong in silence.
func judge(t *testing.T, what string, im image, data map[string]string) outcome {
	t.Helper()
	o := options(t)
	im.write(t, o.Dir)
	s, err := store.Open(o)
	if err != nil {
		damage, ok := errors.AsType[*store.DamageError](err)
		if !ok || !strings.HasPrefix(damage.File, o.Dir) || damage.Hint == "" {
			t.Errorf("%s: Open = %v, want a DamageError that names a file", what, err)
		}
		return refusedOpen
	}
	r := &running{Store: s, opt: o}
	r.run()
	defer r.end(t)
	result := compareAll(t, what, r, data)
	if err := r.Update(putOne("after", "damage")); err != nil {
		t.Errorf("%s: Update = %v", what, err)
	}
	if _, err := r.Scrub(context.Background(), nil, func(*session.CorruptError) {}); err != nil {
		t.Errorf("%s: Scrub = %v", what, err)
	}
	r.Reopen(t)
	compareAll(t, what+", opened again", r, data)
	return result
}

func compareAll(t *testing.T, what string, r *running, data map[string]string) outcome {
	t.Helper()
	result := allRight
	lost := r.Lost() != nil
	if lost {
		result = lossTold
	}
	err := r.View(func(v session.Reader) error {
		scanned, failed := 0, false
		for e, err := range v.Scan([]byte("k/"), nil, false) {
			if err != nil {
				failed = true
				break
			}
			scanned++
			if data[string(e.Key)] != string(e.Value) {
				t.Errorf("%s: a scan gives wrong bytes at %q", what, e.Key)
			}
		}
		if scanned != len(data) && !failed && !lost {
			t.Errorf("%s: a scan gives %d of %d keys in silence", what, scanned, len(data))
		}
		for key, want := range data {
			got, err := v.Get([]byte(key))
			switch {
			case err != nil && !errors.Is(err, session.ErrCorrupt):
				t.Errorf("%s: Get(%q) = %v, want ErrCorrupt", what, key, err)
			case err != nil && !lost:
				result = readErrors
			case err == nil && got == nil && !lost:
				t.Errorf("%s: %q is absent in silence", what, key)
			case err == nil && got != nil && string(got) != want:
				t.Errorf("%s: Get(%q) gives wrong bytes", what, key)
			}
			if t.Failed() {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: View: %v", what, err)
	}
	return result
}

// rounds is n, or what the environment asks for.
func rounds(t testing.TB, n int) int {
	text := os.Getenv("CAUSEWAY_STORE_ROUNDS")
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tried counts outcomes by kind of file.
type tried struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tried) add(name string, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ext := filepath.Ext(name)
	if ext == "" {
		ext = filepath.Base(name)
	}
	c.counts[fmt.Sprintf("%s: %s", ext, o)]++
}

// each runs fn for 0 … n-1 on two goroutines, until one fails.
func each(t *testing.T, n int, fn func(i int)) {
	var next atomic.Int32
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	all.Wait()
}

// One flipped bit anywhere in the directory gives an error, a reported loss, or
// no harm: never wrong bytes, never silent absence, never a dead process.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	im, data := populated(t)
	names := im.names()
	seen := tried{counts: map[string]int{}}
	each(t, rounds(t, 36), func(i int) {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		name := names[i%len(names)]
		f := im[name]
		if len(f.content) == 0 {
			return
		}
		content := bytes.Clone(f.content)
		at := random.IntN(len(content))
		switch random.IntN(6) { // headers and footers are small, and matter
		case 0:
			at = random.IntN(min(64, len(content)))
		case 1:
			at = len(content) - 1 - random.IntN(min(64, len(content)))
		}
		bit := byte(1) << random.IntN(8)
		content[at] ^= bit
		what := fmt.Sprintf("flip %d: bit %#x of byte %d of %d in %s", i, bit, at, len(content), name)
		seen.add(name, judge(t, what, im.with(name, imageFile{content, f.size}), data))
	})
	t.Logf("outcomes: %v", seen.counts)
}

// A file that is cut off, or gone, is found out too.
func TestTruncation(t *testing.T) {
	t.Parallel()
	im, data := populated(t)
	names := im.names()
	seen := tried{counts: map[string]int{}}
	each(t, rounds(t, 15), func(i int) {
		random := rand.New(rand.NewPCG(uint64(i), 9))
		name := names[i%len(names)]
		f := im[name]
		if len(f.content) == 0 {
			return
		}
		cut := random.IntN(len(f.content))
		damaged := im.with(name, imageFile{f.content[:cut], int64(cut)})
		what := fmt.Sprintf("cut %d: %s to %d of %d", i, name, cut, len(f.content))
		if i%3 == 0 {
			delete(damaged, name)
			what = fmt.Sprintf("cut %d: %s is gone", i, name)
		}
		seen.add(name, judge(t, what, damaged, data))
	})
	t.Logf("outcomes: %v", seen.counts)
}
