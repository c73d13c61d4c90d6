package text

import "slices"

// applyAll applies events that form a chain and whose parents are the prepare
// version.
func (w *walker) applyAll(s span) error {
	for i, v := w.o.runOf(s.from), s.from; v < s.to; i++ {
		r := w.o.part(i, v, min(s.to, w.o.runs[i].at+lv(w.o.runs[i].n)))
		if err := w.check(r, w.x.tree.total()[sumPrepare]); err != nil {
			return err
		}
		w.room(r)
		switch r.kind {
		case opInsert:
			w.insert(r)
		case opDelete:
			w.delete(r.at, r.n, r.pos, false)
		case opBackspace:
			w.delete(r.at, r.n, r.pos-r.n+1, true)
		}
		v += lv(r.n)
	}
	return nil
}

// room makes the table of events long enough for r.
func (w *walker) room(r opRun) {
	need := int(r.at-w.base-1) + int(r.n)
	if have := len(w.x.at); have < need {
		w.x.at = slices.Grow(w.x.at, need-have)[:need]
	}
}

// insert applies a run of inserts. All but the first stand right behind the one
// before them, so the run goes in as one item.
func (w *walker) insert(r opRun) {
	x := &w.x
	l, k, eff, prev := w.cursor(r.pos)
	fresh := item{id: int32(r.at - w.base - 1), n: r.n, left: refStart, right: refEnd}
	if prev != none {
		fresh.left = x.endRef(prev)
	}
	rl, rk := l, k
	for rl != none && (rk == x.content[rl].n || x.items[x.content[rl].items[rk]].prepare == nyi) {
		rl, rk = x.next(rl, rk)
	}
	if rl != none {
		fresh.right = x.startRef(x.content[rl].items[rk])
	}
	moved := false
	if rl != l || rk != k {
		l, k, eff, moved = w.among(&fresh, r, l, k, eff)
	}
	w.emit(piece{pos: eff, events: span{r.at, r.at + lv(r.n)}})
	if prev != none && !moved && w.extend(prev, &fresh) {
		return
	}
	i := int32(len(x.items))
	x.items = append(x.items, fresh)
	x.insertAt(l, k, i)
	x.renumber(i)
}

// extend lets item i grow by fresh, if fresh goes on where it ends.
func (w *walker) extend(i int32, fresh *item) bool {
	it := &w.x.items[i]
	if it.kind != inserted || it.prepare != 0 || it.gone || it.id+it.n != fresh.id || it.right != fresh.right {
		return false
	}
	was := it.widths()
	it.n += fresh.n
	w.x.rewiden(i, was)
	for k := fresh.id; k < fresh.id+fresh.n; k++ {
		w.x.at[k] = i
	}
	return true
}

// cursor returns the place right behind the pos-th character of the prepare
// version, before whatever is invisible there: leaf, index, the effect index,
// and the item before it. It splits the item that the place is in.
func (w *walker) cursor(pos int32) (l, k, eff, prev int32) {
	x := &w.x
	if pos == 0 {
		return x.tree.first, 0, 0, none
	}
	l, before := x.tree.find(sumPrepare, pos)
	rest, eff := pos-before[sumPrepare], before[sumEffect]
	c := &x.content[l]
	for c.prepare[k] < rest {
		rest -= c.prepare[k]
		eff += c.effect[k]
		k++
	}
	prev = c.items[k]
	it := &x.items[prev]
	if !it.gone {
		eff += rest
	}
	if rest < it.n {
		prev, _ = x.split(prev, rest)
		l = x.items[prev].leaf
		k = x.index(prev)
	}
	return l, k + 1, eff, prev
}

// among chooses the place of fresh among the inserts that are not in the
// prepare version and stand at the cursor. It gives the place, its effect
// index, and whether it is another than the cursor's.
func (w *walker) among(fresh *item, r opRun, l, k, eff int32) (int32, int32, int32, bool) {
	x := &w.x
	bestL, bestK, bestEff, moved := l, k, eff, false
	tentative := false
	if k == x.content[l].n {
		l, k = x.next(l, k)
	}
	for l != none {
		o := &x.items[x.content[l].items[k]]
		if o.prepare != nyi || x.less(o.left, fresh.left, true) {
			break
		}
		if o.left == fresh.left {
			switch {
			case o.right == fresh.right:
				if w.first(r.at, w.base+1+lv(o.id)) {
					return bestL, bestK, bestEff, moved
				}
				tentative = false
			case x.less(o.right, fresh.right, false):
				tentative = true
			default:
				tentative = false
			}
		}
		if !o.gone {
			eff += o.n
		}
		if !tentative {
			bestL, bestK, bestEff, moved = l, k+1, eff, true
		}
		l, k = x.next(l, k)
	}
	return bestL, bestK, bestEff, moved
}

// first is the tie rule, version [TieRule].
func (w *walker) first(a, b lv) bool {
	x, y := w.g.dot(a), w.g.dot(b)
	return x.Compare(y) < 0
}

// delete applies a run of n deletes of the characters from pos on; back says
// that the last character goes first.
func (w *walker) delete(at lv, n, pos int32, back bool) {
	x := &w.x
	id := int32(at - w.base - 1)
	for done := int32(0); done < n; {
		l, before := x.tree.find(sumPrepare, pos+1)
		rest, eff := pos-before[sumPrepare], before[sumEffect]
		c, k := &x.content[l], int32(0)
		for c.prepare[k] <= rest {
			rest -= c.prepare[k]
			eff += c.effect[k]
			k++
		}
		i := c.items[k]
		i = x.carve(i, rest, min(n-done, x.items[i].n-rest))
		it := &x.items[i]
		if !it.gone {
			w.emit(piece{pos: eff + rest, del: it.n})
		}
		if it.kind == placeholder {
			it.kind, it.id = cutOut, int32(len(x.private))
			for range it.n {
				x.private = append(x.private, i)
			}
		}
		w.record(id, done, n, i, back)
		done += it.n
		x.set(i, it.prepare+1, true)
	}
}

// record notes which characters the deletes hit: those of item i are the ones
// from the done-th on, counted from the front, of n.
func (w *walker) record(id, done, n, i int32, back bool) {
	it := &w.x.items[i]
	for k := range it.n {
		target := it.id + k
		if it.kind == cutOut {
			target = -1 - target
		}
		event := id + done + k
		if back {
			event = id + n - 1 - done - k
		}
		w.x.at[event] = target
	}
}
