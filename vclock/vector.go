package vclock

import (
	"iter"
	"slices"
	"strings"
)

// MaxWidth bounds the origins that one vector may name.
const MaxWidth = 4096

// Vector is a causally closed set of dots: for each origin every op up to a
// counter. The zero value is the empty vector. An absent origin means zero.
//
// Invariant: entries are sorted by origin, without repetition, and none has
// counter zero or an empty origin. Vectors are immutable and may be shared
// freely.
//
// HAZARD: only decoders enforce MaxWidth and MaxOriginBytes. Whoever lets new
// origins in checks [Vector.Len] and the origin's length first, or makes
// vectors that no node can decode.
type Vector struct {
	entries []Dot
}

// Of gives the vector that holds exactly the highest of the given dots per
// origin (and all that precede them). Dots that name nothing, because their
// counter is zero or their origin empty, are ignored. It keeps no reference to
// dots.
func Of(dots ...Dot) Vector {
	sorted := slices.SortedFunc(slices.Values(dots), Dot.Compare)
	entries := sorted[:0]
	for i, d := range sorted {
		if last := i+1 == len(sorted) || sorted[i+1].Origin != d.Origin; last && !d.namesNothing() {
			entries = append(entries, d)
		}
	}
	if len(entries) == 0 {
		return Vector{}
	}
	return Vector{entries}
}

// At returns the highest counter held of o, zero if none.
func (v Vector) At(o Origin) Seq {
	if i, ok := v.find(o); ok {
		return v.entries[i].Seq
	}
	return 0
}

// Covers reports whether d is in the set. A dot with counter zero is in every set.
func (v Vector) Covers(d Dot) bool { return d.Seq <= v.At(d.Origin) }

// IsEmpty reports whether the set holds nothing.
func (v Vector) IsEmpty() bool { return len(v.entries) == 0 }

// Len is the number of origins named.
func (v Vector) Len() int { return len(v.entries) }

// All yields origins and counters in the order of the origins.
func (v Vector) All() iter.Seq2[Origin, Seq] {
	return func(yield func(Origin, Seq) bool) {
		for _, d := range v.entries {
			if !yield(d.Origin, d.Seq) {
				return
			}
		}
	}
}

// With returns the union of v with every op of d's origin up to d. It never
// lowers a counter, and ignores a dot that names nothing.
func (v Vector) With(d Dot) Vector {
	if d.namesNothing() {
		return v
	}
	i, ok := v.find(d.Origin)
	if ok {
		if d.Seq <= v.entries[i].Seq {
			return v
		}
		next := slices.Clone(v.entries)
		next[i].Seq = d.Seq
		return Vector{next}
	}
	next := make([]Dot, 0, len(v.entries)+1)
	next = append(next, v.entries[:i]...)
	next = append(next, d)
	return Vector{append(next, v.entries[i:]...)}
}

// Without returns v with nothing held of o.
func (v Vector) Without(o Origin) Vector {
	i, ok := v.find(o)
	if !ok {
		return v
	}
	if len(v.entries) == 1 {
		return Vector{}
	}
	return Vector{slices.Delete(slices.Clone(v.entries), i, i+1)}
}

// Merge returns the least upper bound: the union of both sets.
func (v Vector) Merge(w Vector) Vector {
	switch {
	case len(w.entries) == 0:
		return v
	case len(v.entries) == 0:
		return w
	}
	next := make([]Dot, 0, max(len(v.entries), len(w.entries)))
	i, j := 0, 0
	for i < len(v.entries) && j < len(w.entries) {
		a, b := v.entries[i], w.entries[j]
		switch c := strings.Compare(string(a.Origin), string(b.Origin)); {
		case c < 0:
			next = append(next, a)
			i++
		case c > 0:
			next = append(next, b)
			j++
		default:
			a.Seq = max(a.Seq, b.Seq)
			next = append(next, a)
			i++
			j++
		}
	}
	next = append(next, v.entries[i:]...)
	return Vector{append(next, w.entries[j:]...)}
}

func (v Vector) find(o Origin) (int, bool) {
	if n := len(v.entries); n <= 8 {
		for i := range v.entries {
			switch {
			case v.entries[i].Origin == o:
				return i, true
			case v.entries[i].Origin > o:
				return i, false
			}
		}
		return n, false
	}
	return slices.BinarySearchFunc(v.entries, o, func(d Dot, o Origin) int {
		return strings.Compare(string(d.Origin), string(o))
	})
}
