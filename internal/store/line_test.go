package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/causeway-sync/causeway/internal/inorder"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

// TestUpdatesInALine: writes that stand in a line are made in its order,
// although all of them come at once and some are refused, and share commits.
func TestUpdatesInALine(t *testing.T) {
	t.Parallel()
	s := start(t, options(t))
	refused := errors.New("refused")
	var line inorder.Line
	var all sync.WaitGroup
	const writes = 400
	for i := range writes {
		place := line.Join(context.Background())
		all.Go(func() {
			defer place.Leave()
			err := s.Store.Update(place, store.Intake, func(tx session.Tx) error {
				if i%9 == 4 {
					return refused
				}
				last, err := tx.Get([]byte("last"))
				if err != nil {
					return err
				}
				if string(last) >= fmt.Sprintf("%04d", i) {
					return fmt.Errorf("write %d comes after %s", i, last)
				}
				return tx.Put([]byte("last"), fmt.Appendf(nil, "%04d", i))
			})
			if err != nil && !errors.Is(err, refused) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, want := getOne(t, s, "last"), fmt.Sprintf("%04d", writes-1); got != want {
		t.Errorf("last write is %s, want %s", got, want)
	}
	if commits := s.Stats().Commits; commits > writes/2 {
		t.Errorf("%d writes took %d commits; they should share them", writes, commits)
	}
}
