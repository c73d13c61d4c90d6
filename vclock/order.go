package vclock

import "strings"

// Order is how two versions stand to each other.
type Order uint8

// The four outcomes of [Vector.Compare].
const (
	Equal      Order = iota // the same set
	Before                  // a proper subset: the left precedes the right
	After                   // a proper superset: the left follows the right
	Concurrent              // each holds something that the other lacks
)

// String names the order in lower case.
func (o Order) String() string {
	switch o {
	case Equal:
		return "equal"
	case Before:
		return "before"
	case After:
		return "after"
	default:
		return "concurrent"
	}
}

// Compare tells how v stands to w. It allocates nothing and walks the union of
// both sets of origins once; an absent origin counts as zero.
func (v Vector) Compare(w Vector) Order {
	less, greater := false, false
	i, j := 0, 0
	for i < len(v.entries) && j < len(w.entries) {
		a, b := &v.entries[i], &w.entries[j]
		switch c := strings.Compare(string(a.Origin), string(b.Origin)); {
		case c < 0:
			greater = true
			i++
		case c > 0:
			less = true
			j++
		default:
			less = less || a.Seq < b.Seq
			greater = greater || a.Seq > b.Seq
			i++
			j++
		}
		if less && greater {
			return Concurrent
		}
	}
	greater = greater || i < len(v.entries)
	less = less || j < len(w.entries)
	switch {
	case less && greater:
		return Concurrent
	case less:
		return Before
	case greater:
		return After
	default:
		return Equal
	}
}

// Includes reports whether every dot of w is in v: Equal or After.
func (v Vector) Includes(w Vector) bool {
	i := 0
	for j := range w.entries {
		b := &w.entries[j]
		for i < len(v.entries) && v.entries[i].Origin < b.Origin {
			i++
		}
		if i == len(v.entries) || v.entries[i].Origin != b.Origin || v.entries[i].Seq < b.Seq {
			return false
		}
	}
	return true
}
