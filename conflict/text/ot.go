package text

import (
	"fmt"
	"unicode/utf8"
)

// Tie says which of two concurrent inserts at one place stands first. Both
// sides must choose it by the same rule, for instance by comparing agents.
type Tie int

// The two directions of a tie.
const (
	AFirst Tie = iota
	BFirst
)

// Transform returns a as it has to be made after b, where both were written on
// the same text: with it, both orders give one text (TP1). The answer may be
// empty, or be two edits where b inserted within what a deletes.
//
//	a inserts at p, b inserts n at q:      p < q: p; p > q: p+n; p = q: tie
//	a inserts at p, b deletes [s, e):      p ≤ s: p; p ≥ e: p-(e-s); else s
//	a deletes [p, r), b inserts n at q:    q ≤ p: shifted by n; q ≥ r: same; else in two around b's text
//	a deletes [p, r), b deletes [s, e):    without the overlap; behind s shifted
//
// An edit that deletes and inserts is its delete, then its insert.
//
// HAZARD: this serves two parties. With three, orders exist in which pairs of
// positions alone give different texts (TP2 cannot hold); merge more than two
// through a [Doc].
func Transform(a, b Edit, tie Tie) []Edit {
	as, _ := TransformAll([]Edit{a}, []Edit{b}, tie)
	return as
}

// TransformAll transforms two lists written on the same text past each other:
// first as after bs, then bs after as. It takes len(as) times len(bs) steps;
// [Compose] each first where that is many.
func TransformAll(as, bs []Edit, tie Tie) (asAfter, bsAfter []Edit) {
	return cross(single(as), single(bs), tie == AFirst)
}

// single divides edits into inserts and deletes and drops the empty.
func single(edits []Edit) []Edit {
	out := make([]Edit, 0, len(edits))
	for _, e := range edits {
		if e.Del > 0 {
			out = append(out, Edit{Pos: e.Pos, Del: e.Del})
		}
		if e.Ins != "" {
			out = append(out, Edit{Pos: e.Pos, Ins: e.Ins})
		}
	}
	return out
}

func cross(as, bs []Edit, aFirst bool) ([]Edit, []Edit) {
	switch {
	case len(as) == 0 || len(bs) == 0:
		return as, bs
	case len(as) == 1 && len(bs) == 1:
		return past(as[0], bs[0], aFirst), past(bs[0], as[0], !aFirst)
	case len(as) > 1:
		half := len(as) / 2
		front, bs := cross(as[:half:half], bs, aFirst)
		back, bs := cross(as[half:], bs, aFirst)
		return append(front[:len(front):len(front)], back...), bs
	}
	half := len(bs) / 2
	as, front := cross(as, bs[:half:half], aFirst)
	as, back := cross(as, bs[half:], aFirst)
	return as, append(front[:len(front):len(front)], back...)
}

// past is the matrix.
func past(a, b Edit, aFirst bool) []Edit {
	switch {
	case a.Del == 0 && b.Del == 0:
		if b.Pos < a.Pos || b.Pos == a.Pos && !aFirst {
			a.Pos += utf8.RuneCountInString(b.Ins)
		}
		return []Edit{a}
	case a.Del == 0:
		if a.Pos > b.Pos {
			a.Pos = max(b.Pos, a.Pos-b.Del)
		}
		return []Edit{a}
	case b.Del == 0:
		n := utf8.RuneCountInString(b.Ins)
		switch {
		case b.Pos <= a.Pos:
			a.Pos += n
		case b.Pos < a.Pos+a.Del:
			front := b.Pos - a.Pos
			return []Edit{{Pos: a.Pos, Del: front}, {Pos: a.Pos + n, Del: a.Del - front}}
		}
		return []Edit{a}
	}
	from, to := a.Pos, a.Pos+a.Del
	back := func(p int) int { return p - min(max(p-b.Pos, 0), b.Del) }
	from, to = back(from), back(to)
	if from == to {
		return nil
	}
	return []Edit{{Pos: from, Del: to - from}}
}

// Invert returns the edits that take edits back; before is the text on which
// they were made. It returns ErrPosition and ErrUTF8 like [Patch].
func Invert(before string, edits ...Edit) ([]Edit, error) {
	if !utf8.ValidString(before) {
		return nil, fmt.Errorf("invert: the text: %w", ErrUTF8)
	}
	r := newRope(before)
	inverse := make([]Edit, len(edits))
	for i, e := range edits {
		if err := e.check(r.length(CodePoints)); err != nil {
			return nil, fmt.Errorf("invert: edit %d: %w", i, err)
		}
		pos, del := int32(e.Pos), int32(e.Del)
		inverse[len(edits)-1-i] = Edit{e.Pos, utf8.RuneCountInString(e.Ins), r.slice(pos, pos+del)}
		r.delete(pos, del)
		if e.Ins != "" {
			r.insert(pos, e.Ins)
		}
	}
	return inverse, nil
}

// Stick says where a cursor goes when text is inserted exactly at it.
type Stick int

// A cursor stays before such text or goes behind it.
const (
	Before Stick = iota
	Behind
)

// MapCursor returns where the position pos of a text is after edits. Within
// deleted text it goes to where the text was.
func MapCursor(pos int, stick Stick, edits ...Edit) int {
	for _, e := range edits {
		if pos > e.Pos {
			pos = max(e.Pos, pos-e.Del)
		} else if pos < e.Pos {
			continue
		}
		if pos > e.Pos || stick == Behind {
			pos += utf8.RuneCountInString(e.Ins)
		}
	}
	return pos
}

// stretchOf is a part of a composed change: kept, deleted or inserted text.
type stretchOf struct {
	kept, deleted int
	ins           string
}

// Compose returns one list that does what edits do, one after the other, in its
// shortest form: from front to back, no two edits touching. Text that is
// inserted and deleted again leaves no trace. It costs the number of edits
// times that of the places they touch.
func Compose(edits ...Edit) []Edit {
	parts := []stretchOf{{kept: int(^uint(0) >> 1)}}
	for _, e := range single(edits) {
		i := cutParts(&parts, e.Pos)
		if e.Ins != "" {
			parts = append(parts[:i], append([]stretchOf{{ins: e.Ins}}, parts[i:]...)...)
			continue
		}
		end := cutParts(&parts, e.Pos+e.Del)
		left := parts[:i:i]
		for _, p := range parts[i:end] {
			if p.ins == "" {
				left = append(left, stretchOf{deleted: p.kept + p.deleted})
			}
		}
		parts = append(left, parts[end:]...)
	}
	return normal(parts)
}

// cutParts makes a border before the code point at pos and returns the index
// of the part behind it.
func cutParts(parts *[]stretchOf, pos int) int {
	for i, p := range *parts {
		if pos == 0 {
			return i
		}
		n := p.kept + utf8.RuneCountInString(p.ins)
		if pos >= n {
			pos -= n
			continue
		}
		a, b := stretchOf{kept: pos}, stretchOf{kept: p.kept - pos}
		if p.ins != "" {
			at := skip(p.ins, pos)
			a, b = stretchOf{ins: p.ins[:at]}, stretchOf{ins: p.ins[at:]}
		}
		*parts = append((*parts)[:i:i], append([]stretchOf{a, b}, (*parts)[i+1:]...)...)
		return i + 1
	}
	return len(*parts)
}

func normal(parts []stretchOf) []Edit {
	var out []Edit
	pos, open := 0, false
	for _, p := range parts {
		if p.kept > 0 {
			pos, open = pos+p.kept, false
			continue
		}
		if !open {
			out, open = append(out, Edit{Pos: pos}), true
		}
		last := &out[len(out)-1]
		last.Del += p.deleted
		last.Ins += p.ins
		pos += utf8.RuneCountInString(p.ins)
	}
	return out
}
