package inorder_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

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
		place := line.Join(t.Context())
		all.Go(func() {
			defer place.Leave()
			if i%7 == 3 {
				return // refused before it came to the place
			}
			pass, err := inorder.Enter(context.WithValue(place, t, 1))
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

// TestLeavingDoesNotOvertake: one who is refused early does not let those
// behind pass before those in front.
func TestLeavingDoesNotOvertake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var line inorder.Line
		first, refused, third := line.Join(t.Context()), line.Join(t.Context()), line.Join(t.Context())
		refused.Leave()
		refused.Leave()
		passed := make(chan func(), 1)
		go func() {
			pass, err := inorder.Enter(third)
			if err != nil {
				t.Error(err)
			}
			passed <- pass
		}()
		synctest.Wait()
		if len(passed) > 0 {
			t.Error("the third passed before the first")
		}
		pass, err := inorder.Enter(first)
		if err != nil {
			t.Error(err)
		}
		pass()
		(<-passed)()
		if _, err := inorder.Enter(line.Join(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// TestEnterWithout: no place, no waiting; a context that ends, no waiting either.
func TestEnterWithout(t *testing.T) {
	t.Parallel()
	if _, err := inorder.Enter(t.Context()); err != nil {
		t.Error(err)
	}
	var line inorder.Line
	first := line.Join(t.Context())
	gone := errors.New("gone")
	ctx, end := context.WithCancelCause(t.Context())
	end(gone)
	second, third := line.Join(ctx), line.Join(t.Context())
	if _, err := inorder.Enter(second); !errors.Is(err, gone) {
		t.Errorf("Enter = %v, want %v", err, gone)
	}
	second.Leave()
	first.Leave()
	if _, err := inorder.Enter(third); err != nil { // would wait for ever if the second was waited for
		t.Error(err)
	}
}
