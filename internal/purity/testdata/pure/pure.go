// Package pure does what a pure package may do.
package pure

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// ErrLate is a sentinel.
var ErrLate = errors.New("late")

// Clock holds a time that was handed in.
type Clock struct{ Now, After time.Time }

// Pick draws from the generator that was handed in.
func Pick[T any](r *rand.Rand, from []T, at, by time.Time) (T, error) {
	if c := (Clock{at, by}); c.Now.After(c.After) {
		var none T
		return none, fmt.Errorf("pick at %v: %w", at, ErrLate)
	}
	return from[r.IntN(len(from))], nil
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
