package check

import (
	"fmt"
	"slices"
)

// feeds: every list of changes holds the ops of each origin as 1, 2, 3 … in this
// order; a number has one content everywhere; and what a node lists only grows,
// but for resets.
func feeds(ix *index) Verdict {
	j := newJudge("feeds have no gaps and one content", "I4, I5")
	f := &feedCheck{ix: ix, j: j, feeds: map[feedName]*feed{}, stretches: map[stretchName]*stretch{}}
	ix.eachList(func(l *list) {
		if l.call < 0 {
			f.remember(l)
		}
	})
	ix.eachList(f.judge)
	f.judgeEnds()
	return j.done()
}

type feedCheck struct {
	ix        *index
	j         *judge
	feeds     map[feedName]*feed
	stretches map[stretchName]*stretch
	ends      []heads // of the final lists
}

type feedName struct{ space, origin string }

// feed is what the ops of an origin in a space are, by number, as they were
// listed in the end, or if nobody lists them then, at first.
type feed struct{ ops []listing }

// listing is an op as somebody listed it.
type listing struct {
	op *Op
	by *list
}

// heads is how far a node listed each origin of a space.
type heads struct {
	list *list
	upto map[string]uint64
}

type stretchName struct {
	place placeName
	space string
}

// stretch is what a node listed of a space between two resets.
type stretch struct {
	floor   map[string]heads // by origin: the longest list that had ended
	pending []heads          // lists that may have ended since
}

func (f *feedCheck) feed(space, origin string) *feed {
	name := feedName{space, origin}
	if f.feeds[name] == nil {
		f.feeds[name] = &feed{}
	}
	return f.feeds[name]
}

// at gives the listing of a number, nil if it is beyond all sense.
func (f *feed) at(seq uint64, most int) *listing {
	if seq == 0 || seq > uint64(most) {
		return nil
	}
	for uint64(len(f.ops)) < seq {
		f.ops = append(f.ops, listing{})
	}
	return &f.ops[seq-1]
}

// remember takes the ops of a final list as what they are.
func (f *feedCheck) remember(l *list) {
	local := map[string]*feed{}
	for i := range l.ops {
		op := &l.ops[i]
		if local[op.Origin] == nil {
			local[op.Origin] = f.feed(l.space, op.Origin)
		}
		if at := local[op.Origin].at(op.Seq, len(l.ops)); at != nil && (at.op == nil || hides(at.op) && !hides(op)) {
			*at = listing{op, l}
		}
	}
}

// hides reports whether an op does not show what it said.
func hides(op *Op) bool { return kindOf(op.Kind) == hollow || len(op.Values) == 0 }

func (f *feedCheck) judge(l *list) {
	upto := map[string]uint64{}
	local := map[string]*feed{}
	for i := range l.ops {
		op := &l.ops[i]
		f.j.Examined++
		if want := upto[op.Origin] + 1; op.Seq != want {
			f.j.violate(fmt.Sprint("gap ", l.node, l.space, op.Origin, op.Seq), l.violation(""),
				"%s lists op %d of %s in %s, want %d", l.where(), op.Seq, op.Origin, l.space, want)
		}
		upto[op.Origin] = op.Seq
		if local[op.Origin] == nil {
			local[op.Origin] = f.feed(l.space, op.Origin)
		}
		if at := local[op.Origin].at(op.Seq, len(l.ops)); at != nil {
			f.compare(l, op, at)
		}
	}
	h := heads{l, upto}
	if l.call < 0 {
		f.ends = append(f.ends, h)
	}
	f.judgeGrowth(h)
}

// compare holds an op against the same one as it is known.
func (f *feedCheck) compare(l *list, op *Op, known *listing) {
	if known.op == nil {
		*known = listing{op, l}
		return
	}
	if known.op == op || f.sameOp(l.space, known.op, op) || f.fellBack(l) || f.fellBack(known.by) {
		return
	}
	f.j.violate(fmt.Sprint("content ", l.space, op.dot()), l.violation(op.Session),
		"%s lists op %s.%d of %s as %s, %s lists it as %s",
		l.where(), op.Origin, op.Seq, l.space, op.text(), known.by.where(), known.op.text())
}

// fellBack reports whether what a list showed may have been taken back since:
// the node was reset, or nobody knows what became of it.
func (f *feedCheck) fellBack(l *list) bool {
	return l.call >= 0 && (f.ix.finals[l.node] == nil || f.ix.resetAfter(l.node, l.begin))
}

// sameOp reports whether two listings are of one op, one of which may hide what
// was erased or redacted.
func (f *feedCheck) sameOp(space string, a, b *Op) bool {
	if a.Session != b.Session || a.Wall != b.Wall || a.Logical != b.Logical ||
		a.Key != b.Key && a.Key != "" && b.Key != "" {
		return false
	}
	switch {
	case a.Kind == b.Kind && slices.Equal(a.Values, b.Values):
		return true
	case kindOf(a.Kind) == hollow || kindOf(b.Kind) == hollow:
		return true
	case a.Kind != b.Kind || len(a.Values) > 0 && len(b.Values) > 0:
		return false
	}
	return f.mayHide(append(slices.Clip(a.Values), b.Values...))
}

// mayHide reports whether one of the values may have been redacted or erased.
func (f *feedCheck) mayHide(values []string) bool {
	for _, value := range values {
		at, ok := f.ix.values[value]
		if ok && (len(at.s.possible(at.s.erases)) > 0 || at.s.mayBeRedacted(at.write)) {
			return true
		}
	}
	return false
}

func (op *Op) text() string {
	return fmt.Sprintf("%s %q in session %s at %d.%d", op.Kind, op.Values, op.Session, op.Wall, op.Logical)
}

// judgeGrowth holds a list against the earlier ones of the same node.
func (f *feedCheck) judgeGrowth(h heads) {
	l := h.list
	epoch, ok := f.ix.epoch(l.node, l.begin, l.end)
	if !ok {
		return
	}
	name := stretchName{placeName{l.node, epoch}, l.space}
	s := f.stretches[name]
	if s == nil {
		s = &stretch{floor: map[string]heads{}}
		f.stretches[name] = s
	}
	s.pending = slices.DeleteFunc(s.pending, func(p heads) bool {
		if p.list.end >= l.begin {
			return false
		}
		for origin, seq := range p.upto {
			if old, ok := s.floor[origin]; !ok || seq > old.upto[origin] {
				s.floor[origin] = p
			}
		}
		return true
	})
	for _, origin := range sortedKeys(s.floor) {
		f.j.Examined++
		before := s.floor[origin]
		if had, has := before.upto[origin], h.upto[origin]; has < had {
			f.j.violate(fmt.Sprint("shrunk ", l.node, l.space, origin), l.violation(""),
				"%s lists ops of %s in %s up to %d, but had listed them up to %d (call %d)",
				l.where(), origin, l.space, has, had, before.list.call)
		}
	}
	s.pending = append(s.pending, h)
}

// judgeEnds compares how far the final lists go.
func (f *feedCheck) judgeEnds() {
	first := map[string]heads{}
	for _, h := range f.ends {
		if !f.ix.finals[h.list.node].carries(h.list.space) {
			continue
		}
		if first[h.list.space].list == nil {
			first[h.list.space] = h
			continue
		}
		f.compareEnds(first[h.list.space], h)
		f.compareEnds(h, first[h.list.space])
	}
}

func (f *feedCheck) compareEnds(a, b heads) {
	for _, origin := range sortedKeys(a.upto) {
		f.j.Examined++
		if x, y := a.upto[origin], b.upto[origin]; x > y {
			f.j.violate("", b.list.violation(""), "%s lists %s of %s up to %d, %s up to %d",
				b.list.where(), origin, b.list.space, y, a.list.where(), x)
		}
	}
}
