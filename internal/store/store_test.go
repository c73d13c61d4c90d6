package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/internal/store/storetest"
	"github.com/causeway-sync/causeway/session"
)

// running is an open store with its Run.
type running struct {
	*store.Store
	opt   store.Options
	stop  context.CancelFunc
	ended chan error
}

// start opens the store at o and runs it until the test's end.
func start(t testing.TB, o store.Options) *running {
	t.Helper()
	s, err := store.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	r := &running{Store: s, opt: o}
	r.run()
	t.Cleanup(func() { r.end(t) })
	return r
}

func (r *running) run() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.ended = stop, make(chan error, 1)
	go func(s *store.Store, ended chan error) { ended <- s.Run(ctx) }(r.Store, r.ended)
}

// end stops and closes the store; a second call does nothing.
func (r *running) end(t testing.TB) {
	t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	if err := errors.Join(<-r.ended, r.Close()); err != nil {
		t.Errorf("end of the store: %v", err)
	}
}

func (r *running) Update(fn func(tx session.Tx) error) error {
	return r.Store.Update(context.Background(), store.Intake, fn)
}

func (r *running) Reopen(t testing.TB) {
	t.Helper()
	r.end(t)
	s, err := store.Open(r.opt)
	if err != nil {
		t.Fatalf("Open again: %v", err)
	}
	r.Store = s
	r.run()
}

// Damage flips a byte of the value in the value log. The value is found by its
// bytes, so it must be big enough to lie there, and unlike others.
func (r *running) Damage(t testing.TB, key []byte) bool {
	t.Helper()
	var value []byte
	err := r.View(func(v session.Reader) (err error) {
		value, err = v.Get(key)
		return err
	})
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	r.end(t)
	logs, err := filepath.Glob(filepath.Join(r.opt.Dir, "db", "*.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	done := false
	for _, path := range logs {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(content, append(bytes.Clone(key), 0xff)); at >= 0 {
			content[at+len(key)+8+5+len(value)/2] ^= 0x10
			done = true
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.Reopen(t)
	return done
}

func options(t testing.TB) store.Options {
	o := store.DefaultOptions(t.TempDir())
	o.ReserveBytes = 0
	return o
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Store { return start(t, options(t)) })
}

func TestManyWriters(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 20 {
				err := r.Update(func(tx session.Tx) error {
					return tx.Put(fmt.Appendf(nil, "w/%02d/%02d", w, i), []byte("v"))
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	all.Wait()
	if st := r.Stats(); st.Groups == 0 || st.Groups > 320 || st.Commits != st.Groups {
		t.Errorf("Stats() = %+v for 320 writes", st)
	}
	count := 0
	err := r.View(func(v session.Reader) error {
		for _, err := range v.Scan([]byte("w/"), nil, false) {
			if err != nil {
				return err
			}
			count++
		}
		return nil
	})
	if err != nil || count != 320 {
		t.Errorf("%d keys, %v, want 320", count, err)
	}
}
