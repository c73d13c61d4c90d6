package conflict

import (
	"slices"

	"github.com/causeway-sync/causeway/vclock"
)

// join merges two dot stores: an item that both hold stays; an item that only
// one holds stays if the other has not seen it. dot names an item. The result
// is sorted by dot; a and b need not be.
func join[T any](a []T, seenA vclock.Vector, b []T, seenB vclock.Vector, dot func(T) vclock.Dot) []T {
	byDot := func(x, y T) int { return dot(x).Compare(dot(y)) }
	a, b = slices.SortedFunc(slices.Values(a), byDot), slices.SortedFunc(slices.Values(b), byDot)
	var kept []T
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		var c int
		switch {
		case i == len(a):
			c = 1
		case j == len(b):
			c = -1
		default:
			c = byDot(a[i], b[j])
		}
		switch {
		case c < 0:
			if !seenB.Covers(dot(a[i])) {
				kept = append(kept, a[i])
			}
			i++
		case c > 0:
			if !seenA.Covers(dot(b[j])) {
				kept = append(kept, b[j])
			}
			j++
		default:
			kept = append(kept, a[i])
			i++
			j++
		}
	}
	return kept
}

// uncovered returns the items whose dots deps does not cover, in their order.
func uncovered[T any](items []T, deps vclock.Vector, dot func(T) vclock.Dot) []T {
	var kept []T
	for _, x := range items {
		if !deps.Covers(dot(x)) {
			kept = append(kept, x)
		}
	}
	return kept
}

func itself(d vclock.Dot) vclock.Dot { return d }
