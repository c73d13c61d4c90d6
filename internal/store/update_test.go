package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

func putOne(key, value string) func(session.Tx) error {
	return func(tx session.Tx) error { return tx.Put([]byte(key), []byte(value)) }
}

func getOne(t testing.TB, r *running, key string) string {
	t.Helper()
	var value []byte
	err := r.View(func(v session.Reader) (err error) {
		value, err = v.Get([]byte(key))
		return err
	})
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return string(value)
}

// together makes Updates wait until n of them are queued, so that they share a
// group: nothing runs before Run, and a full queue is seen by its stats.
func together(t testing.TB, s *store.Store, fns ...func(session.Tx) error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	done := make(chan struct{}, len(fns))
	for i, fn := range fns {
		queued := s.Queued()
		go func() {
			errs[i] = s.Update(context.Background(), store.Intake, fn)
			done <- struct{}{}
		}()
		for s.Queued() == queued { // the queue keeps their order
			runtime.Gosched()
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	for range fns {
		<-done
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	return errs
}

func TestAFailureLeavesTheGroupAlone(t *testing.T) {
	t.Parallel()
	s, err := store.Open(options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refused := errors.New("refused")
	errs := together(t, s,
		putOne("a", "1"),
		func(tx session.Tx) error {
			return errors.Join(tx.Put([]byte("a"), []byte("2")), tx.Put([]byte("b"), []byte("2")), refused)
		},
		func(tx session.Tx) error {
			a, err := tx.Get([]byte("a"))
			if string(a) != "1" {
				t.Errorf("the third function sees a = %q, want 1 of the first", a)
			}
			return errors.Join(err, tx.Put([]byte("c"), []byte("3")))
		})
	if errs[0] != nil || !errors.Is(errs[1], refused) || errs[2] != nil {
		t.Errorf("Updates = %v, want nil, refused, nil", errs)
	}
	if st := s.Stats(); st.Groups != 1 {
		t.Errorf("%d groups, want one for all three", st.Groups)
	}
	r := &running{Store: s}
	if a, b, c := getOne(t, r, "a"), getOne(t, r, "b"), getOne(t, r, "c"); a != "1" || b != "" || c != "3" {
		t.Errorf("a, b, c = %q, %q, %q, want 1, nothing, 3", a, b, c)
	}
}

func TestABigWriteTakesAGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.MaxGroupBytes = 64 << 20 // only the transaction limits
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var runs atomic.Int32
	many := func(name string, n int) func(session.Tx) error {
		return func(tx session.Tx) error {
			runs.Add(1)
			for i := range n {
				if err := tx.Put(fmt.Appendf(nil, "%s/%06d", name, i), []byte("v")); err != nil {
					return err
				}
			}
			return nil
		}
	}
	errs := together(t, s, many("a", 4000), many("b", 4000), many("c", 20000), many("d", 10))
	if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], store.ErrTooBig) || errs[3] != nil {
		t.Errorf("Updates = %v, want nil, nil, ErrTooBig, nil", errs)
	}
	if got := runs.Load(); got < 5 {
		t.Errorf("functions ran %d times, want some to run again", got)
	}
	counts := map[string]int{}
	err = s.View(func(v session.Reader) error {
		for _, name := range []string{"a", "b", "c", "d"} {
			for _, err := range v.Scan([]byte(name+"/"), nil, false) {
				if err != nil {
					return err
				}
				counts[name]++
			}
		}
		return nil
	})
	if err != nil || counts["a"] != 4000 || counts["b"] != 4000 || counts["c"] != 0 || counts["d"] != 10 {
		t.Errorf("keys = %v, %v, want a 4000, b 4000, d 10", counts, err)
	}
}

func TestACancelledWriteNeverRuns(t *testing.T) {
	t.Parallel()
	s, err := store.Open(options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	gone := errors.New("client gone")
	ctx, cancel := context.WithCancelCause(context.Background())
	result := make(chan error, 1)
	go func() {
		result <- s.Update(ctx, store.Intake, func(session.Tx) error { t.Error("it ran"); return nil })
	}()
	for s.Queued() == 0 {
		runtime.Gosched()
	}
	cancel(gone)
	if err := <-result; !errors.Is(err, gone) {
		t.Errorf("Update = %v, want the cause", err)
	}
	if errs := together(t, s, putOne("a", "1")); errs[0] != nil {
		t.Errorf("Update afterwards = %v", errs[0])
	}
	if err := s.Update(context.Background(), store.Intake, putOne("a", "2")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update after Run = %v, want ErrClosed", err)
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	const reserve = 100 << 20
	for _, tt := range []struct {
		free         uint64
		intake, sync bool
		state        store.Reserve
	}{
		{reserve, true, true, store.ReserveFree},
		{reserve - 1, false, true, store.ReserveSync},
		{reserve / 2, false, true, store.ReserveSync},
		{reserve/2 - 1, false, false, store.ReserveFull},
	} {
		t.Run(string(tt.state), func(t *testing.T) {
			t.Parallel()
			o := options(t)
			o.ReserveBytes = reserve
			o.Free = func() (uint64, error) { return tt.free, nil }
			r := start(t, o)
			for class, allowed := range map[store.Class]bool{store.Intake: tt.intake, store.Sync: tt.sync} {
				err := r.Store.Update(context.Background(), class, putOne("k", "v"))
				if allowed != (err == nil) || !allowed && !errors.Is(err, store.ErrReserve) {
					t.Errorf("%d free: Update of class %d = %v, allowed %v", tt.free, class, err, allowed)
				}
			}
			if got := r.Stats().Reserve; got != tt.state {
				t.Errorf("Stats().Reserve = %q, want %q", got, tt.state)
			}
		})
	}
}

func TestInUse(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	_, err := store.Open(r.opt)
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), r.opt.Dir) {
		t.Errorf("second Open = %v, want ErrInUse with the directory", err)
	}
	r.end(t)
	r.Reopen(t)
}

func TestOptionsAreValidated(t *testing.T) {
	t.Parallel()
	_, err := store.Open(store.Options{Profile: 9, CollectEvery: -1})
	for _, want := range []string{"dir", "profile", "max_group_ops", "max_group_bytes", "collect_every"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want it to name %s", err, want)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	first := r.Identity()
	if !first.Fresh || first.Moved || first.ID == "" {
		t.Errorf("Identity of a new store = %+v", first)
	}
	r.Reopen(t)
	if got := r.Identity(); got.Fresh || got.Moved || got.ID != first.ID {
		t.Errorf("Identity after reopening = %+v, want the same ID", got)
	}
	r.end(t)
	copied := options(t)
	copyDir(t, r.opt.Dir, copied.Dir)
	c := start(t, copied)
	if got := c.Identity(); !got.Moved {
		t.Errorf("Identity of a copy = %+v, want Moved", got)
	}
	c.Reopen(t)
	if got := c.Identity(); !got.Moved {
		t.Errorf("Identity of a copy, opened twice = %+v, want Moved still", got)
	}
	if err := c.AdoptIdentity(); err != nil {
		t.Fatal(err)
	}
	c.Reopen(t)
	if got := c.Identity(); got.Moved || got.Fresh || got.ID == first.ID {
		t.Errorf("Identity after adopting = %+v, want a new ID", got)
	}
}

// A disguised copy opens as the original would; without an identity there is
// nothing to disguise.
func TestDisguise(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	first := r.Identity()
	r.end(t)
	copied := options(t)
	copyDir(t, r.opt.Dir, copied.Dir)
	if err := store.Disguise(copied.Dir); err != nil {
		t.Fatal(err)
	}
	c := start(t, copied)
	if got := c.Identity(); got.Moved || got.Fresh || got.ID != first.ID {
		t.Errorf("Identity of a disguised copy = %+v, want that of the original, %+v", got, first)
	}
	if err := store.Disguise(t.TempDir()); err == nil {
		t.Error("Disguise of an empty directory = nil, want an error")
	}
}

// copyDir copies a store as cp -r would, but for the holes in its files.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	readImage(t, from).write(t, to)
}

func TestAMissingIdentityCountsAsMoved(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	r.end(t)
	if err := os.Remove(filepath.Join(r.opt.Dir, "identity")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.Reopen(t)
		if got := r.Identity(); !got.Moved || got.Fresh {
			t.Errorf("Identity = %+v, want Moved", got)
		}
	}
}

// A store whose Badger files are those of an earlier time has lost commits.
func TestLossIsReportedUntilAdopted(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	put := func(key string) {
		t.Helper()
		if err := r.Update(putOne(key, "v")); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	old := readImage(t, r.opt.Dir)
	put("b")
	put("c")
	r.end(t)
	maps.DeleteFunc(old, func(name string, _ imageFile) bool { return !strings.HasPrefix(name, "db/") })
	if err := os.RemoveAll(filepath.Join(r.opt.Dir, "db")); err != nil {
		t.Fatal(err)
	}
	old.write(t, r.opt.Dir)
	for range 3 { // also after further commits
		r.Reopen(t)
		if got := r.Lost(); got == nil || *got != (store.Loss{Committed: 3, Found: 1}) {
			t.Fatalf("Lost() = %v, want 3 committed, 1 found", got)
		}
		put("d")
	}
	if err := r.AdoptIdentity(); err != nil {
		t.Fatal(err)
	}
	if got := r.Lost(); got != nil {
		t.Errorf("Lost() after adopting = %v", got)
	}
	r.Reopen(t)
	if got := r.Lost(); got != nil {
		t.Errorf("Lost() after adopting and reopening = %v", got)
	}
}

func TestScrub(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	big := bytes.Repeat([]byte("payload "), 100)
	for i := range 5 {
		if err := r.Update(putOne(fmt.Sprintf("k/%d", i), string(big)+fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	r.Damage(t, []byte("k/2"))
	var found []string
	done, err := r.Scrub(context.Background(), []byte("k/"), func(e *session.CorruptError) {
		found = append(found, string(e.Key))
	})
	if err != nil || done.Records != 5 || done.Damaged != 1 || len(found) != 1 || found[0] != "k/2" {
		t.Errorf("Scrub = %+v, %v, damaged %q, want 5 records and k/2", done, err, found)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Scrub(ctx, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Scrub with an ended context = %v", err)
	}
}

func TestFailedCommit(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"value log", "high-water file"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			r := start(t, options(t))
			if err := r.Update(putOne("a", "1")); err != nil {
				t.Fatal(err)
			}
			if where == "value log" {
				r.BreakNextCommit()
			} else {
				r.BreakHighwater()
			}
			for range 2 {
				if err := r.Update(putOne("b", "2")); !errors.Is(err, store.ErrFailed) {
					t.Errorf("Update = %v, want ErrFailed", err)
				}
			}
			if got := getOne(t, r, "a"); got != "1" {
				t.Errorf("a = %q after the failure, want 1", got)
			}
			if r.Stats().Failed == nil {
				t.Error("Stats().Failed is nil")
			}
			r.stop()
			r.stop = nil
			if err := <-r.ended; err != nil {
				t.Errorf("Run = %v", err)
			}
			if err := r.Close(); err != nil && where == "value log" {
				t.Errorf("Close = %v", err)
			}
		})
	}
}

func TestClosedStore(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	r.end(t)
	if err := r.View(func(session.Reader) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("View = %v, want ErrClosed", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if err := r.Run(context.Background()); !errors.Is(err, store.ErrRunning) {
		t.Errorf("second Run = %v, want ErrRunning", err)
	}
}
