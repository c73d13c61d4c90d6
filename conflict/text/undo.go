package text

import (
	"fmt"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/vclock"
)

// Undo takes back what the events of a span did, as an ordinary edit of their
// agent: text that they inserted goes, unless it is gone; text that they
// deleted and did not insert comes back where it was. What others did stays.
// Undoing the span of an undo is a redo. It returns ErrUnknownVersion if not
// all the events are held, and ErrReplay if too much came since.
//
// The cost is that of a replay from before the span, and, if deleted text has
// to come back, of the whole history.
func (d *Doc) Undo(s Span) (Merged, error) {
	if err := d.load(); err != nil {
		return Merged{}, err
	}
	if s.From > 0 && s.From == s.To {
		return Merged{Span: s}, nil
	}
	a := d.g.agent(s.Agent)
	if s.From == 0 || s.From > s.To || d.g.count(a)+1 < s.To || a == none {
		return Merged{}, fmt.Errorf("undo %d to %d of %.80q: %w", s.From, s.To, s.Agent, ErrUnknownVersion)
	}
	u := undo{d: d, a: a, span: s, pieces: []undoPiece{{n: endless}}}
	first, _ := d.g.at(a, s.From)
	last, _ := d.g.at(a, s.To-1)
	u.before = slices.Clone(d.g.parentsOf(first, nil))
	events, _ := d.g.diff([]lv{last}, u.before, nil, nil)
	slices.Reverse(events)
	w, err := d.walkFrom(u.before, events, endless)
	if err != nil {
		return Merged{}, err
	}
	for _, part := range events {
		if err := u.run(w, part); err != nil {
			return Merged{}, err
		}
	}
	edits, err := u.edits()
	if err != nil {
		return Merged{}, err
	}
	return d.EditAt(s.Agent, Version{d.g.dot(last)}, edits...)
}

// undo follows every character that the span or what was merged in between
// touched.
type undo struct {
	d      *Doc
	a      int32
	span   Span
	before []lv // the version before the span
	pieces []undoPiece
}

// undoPiece is a stretch of characters, in document order.
type undoPiece struct {
	n      int32
	origin lv    // the first insert, if inserted; else
	from   int32 // the place in the text before the span
	insert bool
	own    bool // inserted by the span
	state  undoState
}

type undoState uint8

const (
	undoVisible undoState = iota
	undoOwn               // deleted by the span
	undoGone              // deleted by others, or was the span's own
)

// run follows the events of part in stretches of one owner.
func (u *undo) run(w *walker, part span) error {
	for part.from < part.to {
		e := &u.d.g.entries[u.d.g.entryOf(part.from)]
		to := min(part.to, e.to)
		own := false
		if e.agent == u.a {
			from := e.from + lv(int64(u.span.From)-int64(e.seq))
			end := e.from + lv(int64(u.span.To)-int64(e.seq))
			switch {
			case part.from < from:
				to = min(to, from)
			case part.from < end:
				to, own = min(to, end), true
			}
		}
		w.out = w.out[:0]
		if err := w.visitAll([]span{{part.from, to}}, true); err != nil {
			return err
		}
		for _, p := range w.out {
			u.follow(p, own)
		}
		part.from = to
	}
	return nil
}

func (u *undo) follow(p piece, own bool) {
	i := u.cut(p.pos)
	if p.del == 0 {
		fresh := undoPiece{n: int32(p.events.to - p.events.from), origin: p.events.from, insert: true, own: own}
		u.pieces = slices.Insert(u.pieces, i, fresh)
		return
	}
	end := u.cut(p.pos + p.del)
	for i = u.cut(p.pos); i < end; i++ {
		q := &u.pieces[i]
		switch {
		case q.state != undoVisible:
		case own && !q.own:
			q.state = undoOwn
		default:
			q.state = undoGone
		}
	}
}

// cut makes a border behind the pos-th visible character and returns the index
// of the piece behind it.
func (u *undo) cut(pos int32) int {
	for i := range u.pieces {
		q := &u.pieces[i]
		if pos == 0 {
			return i
		}
		if q.state != undoVisible {
			continue
		}
		if q.n > pos {
			right := *q
			q.n = pos
			right.n -= pos
			right.from += pos
			right.origin += lv(pos)
			u.pieces = slices.Insert(u.pieces, i+1, right)
			return i + 1
		}
		pos -= q.n
	}
	return len(u.pieces)
}

// edits takes back what the span did, on the text right after it.
func (u *undo) edits() ([]Edit, error) {
	var edits []Edit
	pos, text := int32(0), (*rope)(nil)
	for _, q := range u.pieces {
		switch {
		case q.state == undoVisible && q.own:
			edits = append(edits, Edit{Pos: int(pos), Del: int(q.n)})
		case q.state == undoVisible:
			pos += q.n
		case q.state == undoOwn && q.insert:
			var b strings.Builder
			u.d.o.inserted(&b, q.origin, q.origin+lv(q.n))
			edits = append(edits, Edit{Pos: int(pos), Ins: b.String()})
			pos += q.n
		case q.state == undoOwn:
			if text == nil {
				s, err := u.d.textAt(u.before)
				if err != nil {
					return nil, err
				}
				text = newRope(s)
			}
			edits = append(edits, Edit{Pos: int(pos), Ins: text.slice(q.from, q.from+q.n)})
			pos += q.n
		}
	}
	return edits, nil
}

// Own returns the span of all events of an agent that are held.
func (d *Doc) Own(agent vclock.Origin) Span {
	return Span{agent, 1, d.Vector().At(agent) + 1}
}
