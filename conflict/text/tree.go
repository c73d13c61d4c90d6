package text

// fan is the number of children of a branch.
const fan = 16

// none is no leaf, no branch, no item.
const none int32 = -1

// sums are three counts of what a leaf holds. What they count is up to the
// owner of the tree; find can look for a place by each of them.
type sums [3]int32

func (s *sums) add(d sums) {
	s[0] += d[0]
	s[1] += d[1]
	s[2] += d[2]
}

// branch is an inner node. Its children are leaves if low. It has the sums of
// its children, so that a search reads nothing else of them.
type branch struct {
	parent, slot int32 // slot: which child of its parent it is
	n            int32
	low          bool
	child        [fan]int32
	sum          [len(sums{})][fan]int32
}

// leaf is what the tree knows of a leaf; the owner keeps the content in a
// slice of its own under the same number.
type leaf struct {
	parent, slot, prev, next int32
	sum                      sums
}

// tree is a B-tree of numbered leaves in sequence. All leaves have one depth.
// Nodes lie in slices and are linked by number, so the garbage collector has
// nothing to follow.
//
// Invariant: a branch has for each child the sum of the leaves below it.
type tree struct {
	rows     int // how many of the sums are in use
	branches []branch
	leaves   []leaf
	all      sums
	root     int32
	first    int32
	freeLeaf []int32
	freeBr   []int32
}

// reset makes the tree consist of one empty leaf, number 0, of which the first
// rows sums are kept.
func (t *tree) reset(rows int) {
	t.rows = rows
	t.branches = append(t.branches[:0], branch{parent: none, n: 1, low: true})
	t.leaves = append(t.leaves[:0], leaf{parent: 0, prev: none, next: none})
	t.freeLeaf, t.freeBr = t.freeLeaf[:0], t.freeBr[:0]
	t.root, t.first, t.all = 0, 0, sums{}
}

// total returns the sums of everything.
func (t *tree) total() sums { return t.all }

// add changes the sums of a leaf.
func (t *tree) add(l int32, d sums) {
	lf := &t.leaves[l]
	lf.sum.add(d)
	t.all.add(d)
	for b, s := lf.parent, lf.slot; b != none; {
		br := &t.branches[b]
		for i := range t.rows {
			br.sum[i][s&(fan-1)] += d[i]
		}
		b, s = br.parent, br.slot
	}
}

// find returns the first leaf with at least k of count which in it and all
// leaves before, and the sums of the leaves before. k is 1 to the total.
func (t *tree) find(which int, k int32) (int32, sums) {
	var before sums
	b := t.root
	for {
		br := &t.branches[b]
		row, last, s := &br.sum[which], int(br.n-1), 0
		for s < last && row[s&(fan-1)] < k {
			k -= row[s&(fan-1)]
			s++
		}
		for i := range t.rows {
			row, sum := &br.sum[i], int32(0)
			for _, n := range row[:s&(fan-1)] {
				sum += n
			}
			before[i] += sum
		}
		if b = br.child[s&(fan-1)]; br.low {
			return b, before
		}
	}
}

// before reports whether leaf a stands before leaf b; they differ.
func (t *tree) before(a, b int32) bool {
	x, y := &t.leaves[a], &t.leaves[b]
	p, q, i, j := x.parent, y.parent, x.slot, y.slot
	for p != q {
		i, j = t.branches[p].slot, t.branches[q].slot
		p, q = t.branches[p].parent, t.branches[q].parent
	}
	return i < j
}

// insertAfter makes a new empty leaf behind l.
func (t *tree) insertAfter(l int32) int32 {
	var fresh int32
	if n := len(t.freeLeaf); n > 0 {
		fresh, t.freeLeaf = t.freeLeaf[n-1], t.freeLeaf[:n-1]
	} else {
		fresh = int32(len(t.leaves))
		t.leaves = append(t.leaves, leaf{})
	}
	next := t.leaves[l].next
	t.leaves[fresh] = leaf{prev: l, next: next}
	t.leaves[l].next = fresh
	if next != none {
		t.leaves[next].prev = fresh
	}
	t.insertChild(t.leaves[l].parent, t.leaves[l].slot, fresh)
	return fresh
}

// insertChild puts fresh, whose sums are zero, behind child number s of b.
func (t *tree) insertChild(b, s, fresh int32) {
	if t.branches[b].n == fan {
		right := t.splitBranch(b)
		if s >= fan/2 {
			b, s = right, s-fan/2
		}
	}
	br := &t.branches[b]
	copy(br.child[s+2:br.n+1], br.child[s+1:br.n])
	br.child[s+1] = fresh
	for i := range br.sum {
		copy(br.sum[i][s+2:br.n+1], br.sum[i][s+1:br.n])
		br.sum[i][s+1] = 0
	}
	br.n++
	t.place(b, s+1)
}

// place tells the children of b from number s on where they are.
func (t *tree) place(b, s int32) {
	br := &t.branches[b]
	for ; s < br.n; s++ {
		if c := br.child[s]; br.low {
			t.leaves[c].parent, t.leaves[c].slot = b, s
		} else {
			t.branches[c].parent, t.branches[c].slot = b, s
		}
	}
}

// splitBranch moves the upper half of b into a new branch behind it.
func (t *tree) splitBranch(b int32) int32 {
	var right int32
	if n := len(t.freeBr); n > 0 {
		right, t.freeBr = t.freeBr[n-1], t.freeBr[:n-1]
	} else {
		right = int32(len(t.branches))
		t.branches = append(t.branches, branch{})
	}
	const half = fan / 2
	from, to := &t.branches[b], &t.branches[right]
	*to = branch{parent: none, n: fan - half, low: from.low}
	copy(to.child[:], from.child[half:])
	var moved sums
	for i := range moved {
		copy(to.sum[i][:], from.sum[i][half:])
		for _, n := range to.sum[i] {
			moved[i] += n
		}
	}
	from.n = half
	t.place(right, 0)
	if from.parent == none {
		root := int32(len(t.branches))
		t.branches = append(t.branches, branch{parent: none, n: 1})
		br := &t.branches[root]
		br.child[0] = b
		for i := range t.all {
			br.sum[i][0] = t.all[i]
		}
		t.branches[b].parent, t.branches[b].slot, t.root = root, 0, root
	}
	t.insertChild(t.branches[b].parent, t.branches[b].slot, right)
	for _, half := range []struct{ b, sign int32 }{{b, -1}, {right, 1}} {
		br := &t.branches[half.b]
		for i := range moved {
			t.branches[br.parent].sum[i][br.slot] += half.sign * moved[i]
		}
	}
	return right
}

// remove takes out an empty leaf. The last leaf stays.
func (t *tree) remove(l int32) {
	lf := t.leaves[l]
	if lf.prev == none && lf.next == none {
		return
	}
	if lf.prev != none {
		t.leaves[lf.prev].next = lf.next
	} else {
		t.first = lf.next
	}
	if lf.next != none {
		t.leaves[lf.next].prev = lf.prev
	}
	t.freeLeaf = append(t.freeLeaf, l)
	for b, s := lf.parent, lf.slot; ; {
		br := &t.branches[b]
		copy(br.child[s:br.n-1], br.child[s+1:br.n])
		for i := range br.sum {
			copy(br.sum[i][s:br.n-1], br.sum[i][s+1:br.n])
		}
		br.n--
		t.place(b, s)
		if br.n > 0 {
			return
		}
		t.freeBr = append(t.freeBr, b)
		b, s = br.parent, br.slot
	}
}
