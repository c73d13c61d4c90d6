package memstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/internal/store/storetest"
	"github.com/causeway-sync/causeway/session"
)

type driver struct{ *memstore.Mem }

func (driver) SingleThreaded() bool { return true }

func (d driver) Reopen(testing.TB) { d.Crash(rand.New(rand.NewPCG(1, 1))) }

func (d driver) Damage(_ testing.TB, key []byte) bool { return d.Rot(key, rand.New(rand.NewPCG(1, 1))) }

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(testing.TB) storetest.Store { return driver{memstore.New()} })
}

func put(t testing.TB, m *memstore.Mem, key, value string) {
	t.Helper()
	if err := m.Update(func(tx session.Tx) error { return tx.Put([]byte(key), []byte(value)) }); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func get(t testing.TB, m *memstore.Mem, key string) string {
	t.Helper()
	var value []byte
	err := m.View(func(r session.Reader) (err error) {
		value, err = r.Get([]byte(key))
		return err
	})
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return string(value)
}

// A crash keeps everything that was synced and a prefix of the rest.
func TestCrash(t *testing.T) {
	t.Parallel()
	kept := map[int]bool{}
	for seed := range uint64(200) {
		m := memstore.New()
		m.ManualSync()
		put(t, m, "synced", "yes")
		put(t, m, "rewritten", "0")
		if err := m.Sync(); err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 5; i++ {
			put(t, m, fmt.Sprintf("k%d", i), "v")
			put(t, m, "rewritten", fmt.Sprint(i))
		}
		dropped := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		if got := get(t, m, "synced"); got != "yes" {
			t.Fatalf("seed %d: a synced record is %q", seed, got)
		}
		survived := 10 - dropped
		kept[survived] = true
		for i := 1; i <= 5; i++ {
			if got, want := get(t, m, fmt.Sprintf("k%d", i)) != "", survived >= 2*i-1; got != want {
				t.Errorf("seed %d, %d commits kept: k%d there %v, want %v", seed, survived, i, got, want)
			}
		}
		if got, want := get(t, m, "rewritten"), fmt.Sprint(survived/2); got != want {
			t.Errorf("seed %d, %d commits kept: rewritten = %s, want %s", seed, survived, got, want)
		}
		if m.Lost() != nil {
			t.Errorf("seed %d: Lost() = %v although nothing was acknowledged", seed, m.Lost())
		}
	}
	if len(kept) != 11 {
		t.Errorf("200 seeds kept %v, want every number from 0 to 10", kept)
	}
}

func TestLosingSyncedCommitsIsReported(t *testing.T) {
	t.Parallel()
	m := memstore.New()
	put(t, m, "a", "1")
	old := m.Clone()
	put(t, m, "b", "2")
	m.LoseSynced(old)
	if got := m.Lost(); got == nil || *got != (memstore.Loss{Committed: 2, Found: 1}) {
		t.Errorf("Lost() = %v, want commits 2, found 1", got)
	}
	if got := get(t, m, "b"); got != "" {
		t.Errorf("b = %q, want it gone", got)
	}
	m.Forgive()
	if m.Lost() != nil {
		t.Errorf("Lost() = %v after Forgive", m.Lost())
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	m := memstore.New()
	write := func() error {
		return m.Update(func(tx session.Tx) error { return tx.Put([]byte("k"), []byte("v")) })
	}
	m.SetFull(true)
	if err := write(); !errors.Is(err, memstore.ErrFull) || get(t, m, "k") != "" {
		t.Errorf("Update on a full disk = %v, k = %q", err, get(t, m, "k"))
	}
	m.SetFull(false)
	broken := errors.New("input/output error")
	m.FailSync(broken)
	if err := write(); !errors.Is(err, memstore.ErrFailed) || !errors.Is(err, broken) {
		t.Errorf("Update with a failing fsync = %v", err)
	}
	if err := write(); !errors.Is(err, memstore.ErrFailed) {
		t.Errorf("Update after a failed fsync = %v, want ErrFailed", err)
	}
	m.Crash(rand.New(rand.NewPCG(1, 0)))
	if err := write(); err != nil {
		t.Errorf("Update after a restart = %v", err)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	m := memstore.New()
	put(t, m, "k", "old")
	c := m.Clone()
	put(t, m, "k", "new")
	c.Rot([]byte("k"), rand.New(rand.NewPCG(3, 0)))
	if got := get(t, m, "k"); got != "new" {
		t.Errorf("k = %q in the original, want new", got)
	}
	err := c.View(func(r session.Reader) error {
		_, err := r.Get([]byte("k"))
		return err
	})
	if !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("Get of a rotten record = %v, want ErrCorrupt", err)
	}
	if key := m.RotAny(rand.New(rand.NewPCG(4, 0))); string(key) != "k" {
		t.Errorf("RotAny = %q, want k", key)
	}
}
