package text

import "fmt"

// piece is a transformed operation: delete del characters at pos, or insert
// the text of the events [from, to) there.
type piece struct {
	pos, del int32
	events   span
}

// endless is the length of a placeholder whose true length is found later.
const endless = 1 << 29

// walker computes transformed operations. It holds the document at two
// versions: prepare, in which the next event was written, and effect, with
// every event visited so far.
//
// Source: Gentle and Kleppmann, Collaborative Text Editing with Eg-walker,
// EuroSys 2025. Order of concurrent inserts: FugueMax (Weidner and Kleppmann,
// The Art of the Fugue), in the form that needs no tree.
type walker struct {
	g *graph
	o *oplog

	x       items
	base    lv   // the critical version at which x begins
	begun   bool // whether x stands for anything
	prepare []lv
	entry   int   // of the graph, visited last
	length  int32 // of the effect version while x is not begun

	emitting bool
	out      []piece
	steps    int // events retreated and advanced
	limit    int // of steps; 0: none

	down, up []span // scratch of move
	buf      [1]lv
}

// reset begins anew at a critical version with a document of n characters.
func (w *walker) reset(base lv, n int32) {
	w.base, w.begun, w.length = base, false, n
}

// begin builds the structure for the version base, for events up to end.
func (w *walker) begin(end lv) {
	w.x.reserve(int(end-w.base), w.o.runOf(end-1)-w.o.runOf(w.base+1)+1)
	w.x.reset(w.length)
	w.begun = true
	w.prepare = w.prepare[:0]
	if w.base != lv(none) {
		w.prepare = append(w.prepare, w.base)
	}
}

// effect returns the length of the effect version.
func (w *walker) effect() int32 {
	if w.begun {
		return w.x.tree.total()[sumEffect]
	}
	return w.length
}

// settle sets the length of the effect version, where the walker began with an
// endless placeholder.
func (w *walker) settle(n int32) {
	surplus := w.effect() - n
	if !w.begun {
		w.length = n
		return
	}
	// The last placeholder is what no event has reached.
	i := w.x.ends[0]
	it := &w.x.items[i]
	was := it.widths()
	it.n -= surplus
	w.x.rewiden(i, was)
}

// visit runs the events of s in order. linear says that s begins right behind
// everything visited so far and that the graph holds no event that is not
// visited by the end of the walk, so that critical versions may be used.
func (w *walker) visit(s span, linear bool) error {
	for v := s.from; v < s.to; {
		if linear {
			n, err := w.pass(v, s.to)
			if err != nil {
				return err
			}
			if v += n; v == s.to {
				return nil
			}
		}
		if !w.begun && linear {
			w.begin(w.g.nextCritical(v))
		} else if !w.begun {
			w.begin(w.g.size())
		}
		w.entry = w.g.entryFrom(w.entry, v)
		e := &w.g.entries[w.entry]
		to := min(e.to, s.to)
		if linear {
			to = w.beforeCritical(v, to)
		}
		parents := w.g.parentsAt(e)
		if v > e.from {
			w.buf[0] = v - 1
			parents = w.buf[:]
		}
		w.move(parents)
		if w.limit > 0 && w.steps > w.limit {
			return fmt.Errorf("%d events retreated and advanced, at most %d: %w", w.steps, w.limit, ErrReplay)
		}
		if err := w.applyAll(span{v, to}); err != nil {
			return err
		}
		w.prepare = append(w.prepare[:0], to-1)
		v = to
	}
	return nil
}

// beforeCritical returns the end of the part of [v, to) after which pass may
// take over: behind the first critical event.
func (w *walker) beforeCritical(v, to lv) lv {
	return min(w.g.nextCritical(v)+1, to)
}

// pass emits the events from v on that need no structure: v's parents are a
// critical version and v is critical too. It returns how many they are.
func (w *walker) pass(v, to lv) (lv, error) {
	if v > 0 && w.g.criticalFrom(v-1) == 0 {
		return 0, nil
	}
	n := min(w.g.criticalFrom(v), to-v)
	if w.begun || w.base != v-1 {
		// A critical version ends what the structure was for.
		w.reset(v-1, w.effect())
	}
	if n == 0 {
		return 0, nil
	}
	for i, at := w.o.runOf(v), v; at < v+n; i++ {
		r := w.o.part(i, at, min(v+n, w.o.runs[i].at+lv(w.o.runs[i].n)))
		if err := w.passRun(r); err != nil {
			return 0, err
		}
		at += lv(r.n)
	}
	w.base = v + n - 1
	return n, nil
}

func (w *walker) passRun(r opRun) error {
	if err := w.check(r, w.length); err != nil {
		return err
	}
	switch r.kind {
	case opInsert:
		w.length += r.n
		w.emit(piece{pos: r.pos, events: span{r.at, r.at + lv(r.n)}})
	case opDelete:
		w.length -= r.n
		w.emit(piece{pos: r.pos, del: r.n})
	case opBackspace:
		w.length -= r.n
		w.emit(piece{pos: r.pos - r.n + 1, del: r.n})
	}
	return nil
}

// check holds the places of a run against the length of the document in which
// it was written.
func (w *walker) check(r opRun, n int32) error {
	ok := false
	switch r.kind {
	case opInsert:
		ok = r.pos >= 0 && r.pos <= n
	case opDelete:
		ok = r.pos >= 0 && r.pos <= n-r.n
	case opBackspace:
		ok = r.pos < n && r.pos >= r.n-1
	}
	if !ok {
		return fmt.Errorf("event %v at %d in a document of %d: %w", w.g.dot(r.at), r.pos, n, ErrPosition)
	}
	return nil
}

// emit adds a piece to what comes out, joined with the piece before it where
// both are one run.
func (w *walker) emit(p piece) {
	if !w.emitting {
		return
	}
	if i := len(w.out) - 1; i >= 0 {
		switch last := &w.out[i]; {
		case p.del > 0 && last.del > 0 && last.pos == p.pos:
			last.del += p.del
			return
		case p.del > 0 && last.del > 0 && last.pos == p.pos+p.del:
			last.pos, last.del = p.pos, last.del+p.del
			return
		case p.del == 0 && last.del == 0 && last.events.to == p.events.from &&
			last.pos+int32(last.events.to-last.events.from) == p.pos:
			last.events.to = p.events.to
			return
		}
	}
	w.out = append(w.out, p)
}

// move brings the prepare version to parents.
func (w *walker) move(parents []lv) {
	if len(parents) == 1 && len(w.prepare) == 1 && parents[0] == w.prepare[0] {
		return
	}
	w.down, w.up = w.g.diff(w.prepare, parents, w.down[:0], w.up[:0])
	for _, s := range w.down {
		w.shift(s, -1)
	}
	for i := len(w.up) - 1; i >= 0; i-- {
		w.shift(w.up[i], 1)
	}
}

// shift retreats (by -1, last event first) or advances (by 1) the events of s.
func (w *walker) shift(s span, by int32) {
	if s.from <= w.base {
		panic("text: replay reaches behind its base")
	}
	w.steps += int(s.to - s.from)
	if by > 0 {
		for i := w.o.runOf(s.from); s.from < s.to; i++ {
			r := &w.o.runs[i]
			to := min(s.to, r.at+lv(r.n))
			w.shiftRun(r.kind, span{s.from, to}, by)
			s.from = to
		}
		return
	}
	for i := w.o.runOf(s.to - 1); s.to > s.from; i-- {
		r := &w.o.runs[i]
		from := max(s.from, r.at)
		w.shiftRun(r.kind, span{from, s.to}, by)
		s.to = from
	}
}

// shiftRun retreats or advances events of one kind. Each changes another
// character, so their order among themselves does not count.
func (w *walker) shiftRun(kind opKind, s span, by int32) {
	x := &w.x
	from, to := int32(s.from-w.base-1), int32(s.to-w.base-1)
	if kind == opInsert {
		for from < to {
			i := x.at[from]
			off := from - x.items[i].id
			i = x.carve(i, off, min(to-from, x.items[i].n-off))
			w.step(i, by, nyi)
			from += x.items[i].n
		}
		return
	}
	for from < to {
		i, off, n, ascending := w.hit(from, to)
		if !ascending {
			off -= n - 1
		}
		w.step(x.carve(i, off, n), by, 0)
		from += n
	}
}

// hit returns the characters that delete event k and those after it, up to to,
// have hit, as far as they lie side by side in one item: the item, the place of
// k's, how many, and in which direction they go.
func (w *walker) hit(k, to int32) (i, off, n int32, ascending bool) {
	x := &w.x
	target := x.at[k]
	var first int32
	if target >= 0 {
		i = x.at[target]
		first = target
	} else {
		i = x.private[-1-target]
		first = -1 - target
	}
	it := &x.items[i]
	off = first - it.id
	number := func(t int32) int32 { // in the same count, or far away
		if (t >= 0) != (target >= 0) {
			return -1 << 30
		}
		if t < 0 {
			return -1 - t
		}
		return t
	}
	n, ascending = 1, true
	if k+1 < to && off > 0 && number(x.at[k+1]) == first-1 {
		ascending = false
		for k+n < to && off-n >= 0 && number(x.at[k+n]) == first-n {
			n++
		}
		return i, off, n, ascending
	}
	for k+n < to && off+n < it.n && number(x.at[k+n]) == first+n {
		n++
	}
	return i, off, n, ascending
}

// step moves an item's prepare state by one; it never falls below least.
func (w *walker) step(i, by, least int32) {
	it := &w.x.items[i]
	now := it.prepare + by
	if now < least || least == nyi && now > 0 {
		panic(fmt.Sprintf("text: item goes from state %d to %d", it.prepare, now))
	}
	w.x.set(i, now, it.gone)
}
