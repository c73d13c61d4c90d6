package inorder_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/causeway-sync/causeway/internal/inorder"
)

// TestOrder begins much work at once: it passes in the order in which it
// joined, whatever the order in which it runs, and over those that never come.
func TestOrder(t *testing.T) {
	t.Parallel()
	var line inorder.Line
	var all sync.WaitGroup
	var mu sync.Mutex
	var got []int
	for i := range 200 {
		ctx, place := line.Join(t.Context())
		all.Go(func() {
			defer place.Leave()
			if i%7 == 3 {
				return // refused before it came to the place
			}
			pass, err := inorder.Enter(ctx)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			got = append(got, i)
			mu.Unlock()
			pass()
		})
	}
	all.Wait()
	last := -1
	for _, i := range got {
		if i <= last {
			t.Fatalf("%d passed after %d", i, last)
		}
		last = i
	}
	if want := 200 - 29; len(got) != want { // 3, 10 … 199
		t.Errorf("%d passed, want %d", len(got), want)
	}
}

// TestEnterWithout: no place, no waiting; a context that ends, no waiting either.
func TestEnterWithout(t *testing.T) {
	t.Parallel()
	if _, err := inorder.Enter(t.Context()); err != nil {
		t.Error(err)
	}
	var line inorder.Line
	_, first := line.Join(t.Context())
	defer first.Leave()
	gone := errors.New("gone")
	ctx, end := context.WithCancelCause(t.Context())
	end(gone)
	second, _ := line.Join(ctx)
	if _, err := inorder.Enter(second); !errors.Is(err, gone) {
		t.Errorf("Enter = %v, want %v", err, gone)
	}
}
