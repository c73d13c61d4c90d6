package text

import "slices"

// ref names a character in the item index, or an end of the document: an
// event (counted from the base of the replay), a handle of a placeholder, or
// one of the two ends.
type ref int32

const (
	refStart ref = -1
	refEnd   ref = -2
	// Handles of placeholders are refHandle, refHandle-1 and so on.
	refHandle ref = -3
)

// Sums of the item index.
const (
	sumPrepare = 0
	sumEffect  = 1
)

const leafItems = 32

// nyi is the prepare state of an insert that is not in the prepare version.
const nyi int32 = -1

// item is a run of consecutive characters in one state.
//
// A placeholder stands for text from before the base. It is never nyi, so its
// origins are never asked for; left and right are its handles instead: the
// index in ends under which its last character is known, and that in starts
// for its first. Splitting keeps both, so references stay valid without
// renumbering the text.
type item struct {
	id          int32 // event of the first character; for a cut placeholder its number in private
	n           int32
	prepare     int32 // nyi, 0 visible, k deleted by k deletes of the prepare version
	left, right ref   // origins of the first character; the others have their predecessor as left
	leaf        int32
	kind        itemKind
	gone        bool // deleted in the effect version
}

type itemKind uint8

const (
	inserted itemKind = iota
	placeholder
	cutOut // placeholder text that a delete has hit: has a number in private
)

func (it *item) widths() sums {
	var s sums
	if it.prepare == 0 {
		s[sumPrepare] = it.n
	}
	if !it.gone {
		s[sumEffect] = it.n
	}
	return s
}

// leafContent lists the items of a leaf, and how wide they are, so that who
// looks for a place need not look at the items.
//
// Invariant: prepare and effect are what widths says of the items.
type leafContent struct {
	n       int32
	items   [leafItems]int32
	prepare [leafItems]int32
	effect  [leafItems]int32
}

// is notes what index k holds.
func (c *leafContent) is(k, i int32, s sums) {
	c.items[k], c.prepare[k], c.effect[k] = i, s[sumPrepare], s[sumEffect]
}

// items is the document at two versions at once: every character since the
// base, tombstones included, in document order.
type items struct {
	tree    tree
	content []leafContent
	items   []item
	// at says for each event since the base where it is: for an insert its
	// item, for a delete the character that it hit (an event, or -1-k for
	// number k of private).
	at      []int32
	private []int32 // items of cut-out placeholder characters
	starts  []int32 // items by handle
	ends    []int32
}

// reset makes the document one placeholder of length n.
func (x *items) reset(n int32) {
	x.tree.reset(2)
	x.content = append(x.content[:0], leafContent{n: 1})
	x.items = append(x.items[:0], item{n: n, kind: placeholder})
	x.at, x.private = x.at[:0], x.private[:0]
	x.starts, x.ends = append(x.starts[:0], 0), append(x.ends[:0], 0)
	x.content[0].is(0, 0, x.items[0].widths())
	x.tree.add(0, x.items[0].widths())
}

// reserve makes room for events that were packed into runs. An insert makes an
// item and cuts one in two, a delete cuts off two ends; most do less.
func (x *items) reserve(events, runs int) {
	x.at = slices.Grow(x.at[:0], events)
	if need := 2*min(events, runs) + 1; cap(x.items) < need {
		x.items = make([]item, 0, need)
		x.content = make([]leafContent, 0, need*3/(leafItems*2)+1)
		x.tree.leaves = make([]leaf, 0, cap(x.content))
	}
}

// startRef and endRef name the first and the last character of item i.
func (x *items) startRef(i int32) ref {
	if it := &x.items[i]; it.kind != inserted {
		return refHandle - it.right
	}
	return ref(x.items[i].id)
}

func (x *items) endRef(i int32) ref {
	if it := &x.items[i]; it.kind != inserted {
		return refHandle - it.left
	}
	return ref(x.items[i].id + x.items[i].n - 1)
}

// place returns the item that holds a character and the index in it. left says
// whether r is a left origin.
func (x *items) place(r ref, left bool) (i, off int32) {
	switch {
	case r >= 0:
		i = x.at[r]
		return i, int32(r) - x.items[i].id
	case left:
		i = x.ends[refHandle-r]
		return i, x.items[i].n - 1
	}
	return x.starts[refHandle-r], 0
}

// less reports whether a stands before b; both are left origins or both right.
func (x *items) less(a, b ref, left bool) bool {
	switch {
	case a == b || a == refEnd || b == refStart:
		return false
	case a == refStart || b == refEnd:
		return true
	}
	i, offA := x.place(a, left)
	j, offB := x.place(b, left)
	if i == j {
		return offA < offB
	}
	la, lb := x.items[i].leaf, x.items[j].leaf
	if la == lb {
		return x.index(i) < x.index(j)
	}
	return x.tree.before(la, lb)
}

// index returns where in its leaf item i is.
func (x *items) index(i int32) int32 {
	c := &x.content[x.items[i].leaf]
	for k := range c.n {
		if c.items[k] == i {
			return k
		}
	}
	panic("text: item is not in its leaf")
}

// insertAt puts item i before index k of leaf l and returns its place.
func (x *items) insertAt(l, k, i int32) (int32, int32) {
	l, k = x.gap(l, k)
	s := x.items[i].widths()
	x.content[l].is(k, i, s)
	x.items[i].leaf = l
	x.tree.add(l, s)
	return l, k
}

// gap makes index k of leaf l free and returns where that is.
func (x *items) gap(l, k int32) (int32, int32) {
	if x.content[l].n == leafItems {
		right := x.splitLeaf(l)
		if half := x.content[l].n; k > half {
			l, k = right, k-half
		}
	}
	c := &x.content[l]
	copy(c.items[k+1:c.n+1], c.items[k:c.n])
	copy(c.prepare[k+1:c.n+1], c.prepare[k:c.n])
	copy(c.effect[k+1:c.n+1], c.effect[k:c.n])
	c.n++
	return l, k
}

// splitLeaf moves the upper half of a leaf into a new one.
func (x *items) splitLeaf(l int32) int32 {
	right := x.tree.insertAfter(l)
	if int(right) == len(x.content) {
		x.content = append(x.content, leafContent{})
	}
	const half = leafItems / 2
	from, to := &x.content[l], &x.content[right]
	to.n = int32(copy(to.items[:], from.items[half:from.n]))
	copy(to.prepare[:], from.prepare[half:from.n])
	copy(to.effect[:], from.effect[half:from.n])
	from.n = half
	var moved sums
	for k, i := range to.items[:to.n] {
		x.items[i].leaf = right
		moved.add(sums{to.prepare[k], to.effect[k], 0})
	}
	x.tree.add(l, sums{-moved[0], -moved[1], -moved[2]})
	x.tree.add(right, moved)
	return right
}

// split cuts item i after k characters, 0 < k < its length, and returns both
// halves. The shorter one gets the new number, so that a character is
// renumbered only as often as its item halves. No sum changes.
func (x *items) split(i, k int32) (int32, int32) {
	it := x.items[i]
	fresh := int32(len(x.items))
	left, right := it, it
	left.n, right.n = k, it.n-k
	right.id += k
	if it.kind == inserted {
		right.left = ref(right.id - 1)
	} else {
		left.left = ref(len(x.ends))
		right.right = ref(len(x.starts))
		x.ends = append(x.ends, none)
		x.starts = append(x.starts, none)
	}
	l, r := i, fresh
	if left.n < right.n {
		l, r = fresh, i
	}
	x.items = append(x.items, left)
	x.items[l], x.items[r] = left, right
	x.renumber(fresh)
	if it.kind != inserted {
		for _, j := range [2]int32{l, r} {
			x.ends[x.items[j].left], x.starts[x.items[j].right] = j, j
		}
	}
	// The gap stands behind the whole item, so that both halves come to stand in
	// one leaf, whose sums know of the whole.
	leaf, at := x.gap(it.leaf, x.index(i)+1)
	c := &x.content[leaf]
	if at == 0 {
		panic("text: a gap behind an item is not in its leaf")
	}
	c.is(at-1, l, x.items[l].widths())
	c.is(at, r, x.items[r].widths())
	x.items[l].leaf, x.items[r].leaf = leaf, leaf
	return l, r
}

// renumber points the characters of an item to it.
func (x *items) renumber(i int32) {
	it := &x.items[i]
	var table []int32
	switch it.kind {
	case inserted:
		table = x.at[it.id : it.id+it.n]
	case cutOut:
		table = x.private[it.id : it.id+it.n]
	}
	for k := range table {
		table[k] = i
	}
}

// set changes the states of a whole item.
func (x *items) set(i, prepare int32, gone bool) {
	it := &x.items[i]
	was := it.widths()
	it.prepare, it.gone = prepare, gone
	x.rewiden(i, was)
}

// rewiden tells the index that item i is not as wide as it was.
func (x *items) rewiden(i int32, was sums) {
	it := &x.items[i]
	is := it.widths()
	if d := (sums{is[0] - was[0], is[1] - was[1], 0}); d != (sums{}) {
		x.content[it.leaf].is(x.index(i), i, is)
		x.tree.add(it.leaf, d)
	}
}

// carve returns an item that consists of exactly the characters [off, off+n)
// of item i.
func (x *items) carve(i, off, n int32) int32 {
	if off > 0 {
		_, i = x.split(i, off)
	}
	if n < x.items[i].n {
		i, _ = x.split(i, n)
	}
	return i
}

// next returns the place behind index k of leaf l, with leaf none at the end.
func (x *items) next(l, k int32) (int32, int32) {
	if k+1 < x.content[l].n {
		return l, k + 1
	}
	return x.tree.leaves[l].next, 0
}
