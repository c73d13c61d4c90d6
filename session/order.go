package session

import (
	"fmt"
	"iter"
	"slices"

	"github.com/causeway-sync/causeway/conflict"
)

// reading walks the messages of a session in one of its orders.
type reading struct {
	r              Reader
	space, session string
	m              *meta
	tree           bool // depth first, whatever the session's order
}

// stop is a message on the way: its slot, and in a tree the forks above it.
type stop struct {
	slot  uint64
	depth int
	entry *entry // of the slot, if it was read
	call  uint32 // which call the message closes, if it stands with another
}

// from yields the messages behind the one at slot, or before it, nearest
// first, when back is set. Slot 0 is the beginning, or with back the end.
func (rd *reading) from(slot uint64, back bool) iter.Seq2[stop, error] {
	if rd.m.order() == Chat && !rd.tree {
		return rd.chat(slot, back)
	}
	return rd.turns(slot, back)
}

func (rd *reading) turns(slot uint64, back bool) iter.Seq2[stop, error] {
	return func(yield func(stop, error) bool) {
		segments := rd.m.line.Segments()
		if back {
			slices.Reverse(segments)
		}
		begun := slot == 0
		for _, seg := range segments {
			from, to := seg.From, seg.To
			if !begun {
				if slot < from || slot > to {
					continue
				}
				begun = true
				if from = slot + 1; back {
					from, to = seg.From, slot-1
				}
			}
			if !rd.segment(conflict.Segment{From: from, To: to, Depth: seg.Depth}, back, yield) {
				return
			}
		}
	}
}

// segment yields the messages of a stretch of slots, false to stop.
func (rd *reading) segment(seg conflict.Segment, back bool, yield func(stop, error) bool) bool {
	for i := seg.From; i <= seg.To; i++ {
		slot := i
		if back {
			slot = seg.To - (i - seg.From)
		}
		if !yield(stop{slot: slot, depth: seg.Depth}, nil) {
			return false
		}
	}
	return true
}

func (rd *reading) chat(slot uint64, back bool) iter.Seq2[stop, error] {
	return func(yield func(stop, error) bool) {
		var from []byte
		if slot != 0 {
			e, err := entryAt(rd.r, rd.space, rd.session, slot)
			if err != nil {
				yield(stop{}, err)
				return
			}
			op, _, err := opAt(rd.r, rd.space, e.shown)
			if err != nil {
				yield(stop{}, err)
				return
			}
			from = chatKey(rd.space, rd.session, op.Stamp, op.Dot)
		}
		for e, err := range rd.r.Scan(namedKey(rd.space, rd.session, recChat, ""), from, back) {
			if err != nil {
				yield(stop{}, fmt.Errorf("scan chat order of session %s: %w", rd.session, err))
				return
			}
			p := packed{rest: e.Value}
			at := stop{slot: p.uint()}
			if err := p.end(e.Key); err != nil {
				yield(stop{}, err)
				return
			}
			if at.slot != slot && !yield(at, nil) {
				return
			}
		}
	}
}

// lastMessage is the id of the last message of the session's order, empty if
// there is none. On a linear session it reads nothing.
func lastMessage(r Reader, space, session string, m *meta) (string, error) {
	slot := m.line.Last()
	if m.order() == Chat {
		rd := reading{r: r, space: space, session: session, m: m}
		slot = 0
		for at, err := range rd.from(0, true) {
			if err != nil {
				return "", err
			}
			slot = at.slot
			break
		}
	}
	switch slot {
	case 0:
		return "", nil
	case m.tail.slot:
		return m.tail.id, nil
	}
	return idAt(r, space, session, slot)
}

func idAt(r Reader, space, session string, slot uint64) (string, error) {
	e, err := entryAt(r, space, session, slot)
	if err != nil {
		return "", err
	}
	op, _, err := opAt(r, space, e.shown)
	if err != nil {
		return "", err
	}
	return MessageID(&op), nil
}
