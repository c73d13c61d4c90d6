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

// branch is an inner node. Its children are leaves if low.
type branch struct {
	parent int32
	n      int32
	low    bool
	sum    sums
	child  [fan]int32
}

// leaf is what the tree knows of a leaf; the owner keeps the content in a
// slice of its own under the same number.
type leaf struct {
	parent, prev, next int32
	sum                sums
}

// tree is a B-tree of numbered leaves in sequence. All leaves have one depth.
// Nodes lie in slices and are linked by number, so the garbage collector has
// nothing to follow.
//
// Invariant: the sum of a branch is the sum of its children's.
type tree struct {
	branches []branch
	leaves   []leaf
	root     int32
	first    int32
	freeLeaf []int32
	freeBr   []int32
}

// reset makes the tree consist of one empty leaf, number 0.
func (t *tree) reset() {
	t.branches = append(t.branches[:0], branch{parent: none, n: 1, low: true})
	t.leaves = append(t.leaves[:0], leaf{parent: 0, prev: none, next: none})
	t.freeLeaf, t.freeBr = t.freeLeaf[:0], t.freeBr[:0]
	t.root, t.first = 0, 0
}

// total returns the sums of everything.
func (t *tree) total() sums { return t.branches[t.root].sum }

// add changes the sums of a leaf.
func (t *tree) add(l int32, d sums) {
	lf := &t.leaves[l]
	lf.sum.add(d)
	for b := lf.parent; b != none; b = t.branches[b].parent {
		t.branches[b].sum.add(d)
	}
}

// find returns the first leaf with at least k of count which in it and all
// leaves before, and the sums of the leaves before. k is 1 to the total.
func (t *tree) find(which int, k int32) (int32, sums) {
	var before sums
	b := t.root
	for {
		br := &t.branches[b]
		next := br.child[br.n-1]
		for i := range br.n {
			c := br.child[i]
			var s *sums
			if br.low {
				s = &t.leaves[c].sum
			} else {
				s = &t.branches[c].sum
			}
			if before[which]+s[which] >= k {
				next = c
				break
			}
			if i < br.n-1 {
				before.add(*s)
			}
		}
		if br.low {
			return next, before
		}
		b = next
	}
}

// before reports whether leaf a stands before leaf b; they differ.
func (t *tree) before(a, b int32) bool {
	x, y := t.leaves[a].parent, t.leaves[b].parent
	for x != y {
		a, b = x, y
		x, y = t.branches[x].parent, t.branches[y].parent
	}
	for _, c := range t.branches[x].child[:t.branches[x].n] {
		if c == a {
			return true
		}
		if c == b {
			return false
		}
	}
	panic("text: leaf is not among its parent's children")
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
	parent := t.insertChild(t.leaves[l].parent, l, fresh)
	t.leaves[fresh].parent = parent
	return fresh
}

// insertChild puts fresh, whose sums are zero, behind child c of b and returns
// the branch in which it now is.
func (t *tree) insertChild(b, c, fresh int32) int32 {
	if t.branches[b].n == fan {
		right := t.splitBranch(b)
		if t.parentOf(t.branches[b].low, c) == right {
			b = right
		}
	}
	br := &t.branches[b]
	i := int32(0)
	for br.child[i] != c {
		i++
	}
	copy(br.child[i+2:br.n+1], br.child[i+1:br.n])
	br.child[i+1] = fresh
	br.n++
	return b
}

func (t *tree) parentOf(low bool, c int32) int32 {
	if low {
		return t.leaves[c].parent
	}
	return t.branches[c].parent
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
	t.branches[right] = branch{parent: none, n: fan - half, low: t.branches[b].low}
	var moved sums
	for i := range int32(fan - half) {
		c := t.branches[b].child[half+i]
		t.branches[right].child[i] = c
		if t.branches[b].low {
			t.leaves[c].parent = right
			moved.add(t.leaves[c].sum)
		} else {
			t.branches[c].parent = right
			moved.add(t.branches[c].sum)
		}
	}
	t.branches[b].n = half
	if t.branches[b].parent == none {
		root := int32(len(t.branches))
		t.branches = append(t.branches, branch{parent: none, n: 1, sum: t.branches[b].sum})
		t.branches[root].child[0] = b
		t.branches[b].parent, t.root = root, root
	}
	parent := t.insertChild(t.branches[b].parent, b, right)
	t.branches[right].parent = parent // b's parent too, so its sum stays
	t.branches[b].sum.add(sums{-moved[0], -moved[1], -moved[2]})
	t.branches[right].sum = moved
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
	for b, c := lf.parent, l; ; {
		br := &t.branches[b]
		i := int32(0)
		for br.child[i] != c {
			i++
		}
		copy(br.child[i:br.n-1], br.child[i+1:br.n])
		br.n--
		if br.n > 0 {
			return
		}
		t.freeBr = append(t.freeBr, b)
		b, c = br.parent, b
	}
}
