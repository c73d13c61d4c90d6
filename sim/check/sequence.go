package check

import (
	"cmp"
	"fmt"
	"slices"
)

// sequence checks the order of messages: what an author had seen stands before
// what it wrote, in every view, and a reply behind what it replies to.
//
// HAZARD: a message that two nodes put (the same key or id) takes its place
// from one of the puts, and all that was written below it moves with it. So what
// was seen and what was written are only compared within the same subtree of
// such a message, or outside all of them.
type sequence struct {
	s        *session
	authored [][]int32 // by process: messages written there and nowhere else, by how much was known then
	pos      []int32   // by write: place in the view from 1; 0 if it is not there
	place    []int32   // by number of the id: the same
	anchor   []int32   // by write: number of the nearest message above, or itself, that moves; -1 for none
	verified [][]int32 // places in views that were found in order
}

// maxVerified bounds the views that others are compared with.
const maxVerified = 4

// judgeOrders looks at every view with messages, the longest first: most others
// are parts of them.
func (s *session) judgeOrders(j *judge) {
	var list []*view
	for _, v := range s.views {
		if len(v.messages) > 1 {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return
	}
	slices.SortStableFunc(list, func(a, b *view) int { return cmp.Compare(len(b.messages), len(a.messages)) })
	q := &sequence{s: s, authored: s.authored(), pos: make([]int32, len(s.writes)), anchor: make([]int32, len(s.writes)),
		place: make([]int32, len(s.numbers))}
	for _, v := range list {
		q.judge(j, v)
	}
}

// authored gives, by process, the appends that were made there and nowhere else,
// by how much the process knew then.
func (s *session) authored() [][]int32 {
	lists := make([][]int32, len(s.processes))
	for w := range s.writes {
		r := s.writes[w].req
		if r.do == Append && r.possible && len(r.places) == 1 && r.places[0].process >= 0 {
			p := r.places[0].process
			lists[p] = append(lists[p], int32(w))
		}
	}
	for _, list := range lists {
		slices.SortStableFunc(list, func(a, b int32) int {
			return cmp.Compare(s.writes[a].req.places[0].upto, s.writes[b].req.places[0].upto)
		})
	}
	return lists
}

func (q *sequence) judge(j *judge, v *view) {
	j.Examined += len(v.messages)
	for _, known := range q.verified {
		if within(v.messages, known) {
			return
		}
	}
	clear(q.pos)
	clear(q.place)
	for i, number := range v.messages {
		q.place[number] = int32(i + 1)
		if w := v.puts[i]; w >= 0 {
			q.pos[w] = int32(i + 1)
		}
	}
	q.anchors(v)
	before := len(j.Violations)
	q.judgeParents(j, v)
	for p := range q.authored {
		q.judgeProcess(j, v, int32(p))
	}
	for _, w := range v.puts {
		if w > 0 && w > q.s.writes[w].req.first && q.pos[w-1] > q.pos[w] && q.anchor[w-1] == q.anchor[w] {
			q.misplaced(j, v, w-1, w)
		}
	}
	if len(j.Violations) == before {
		if len(q.verified) == maxVerified {
			q.verified = q.verified[1:]
		}
		q.verified = append(q.verified, slices.Clone(q.place))
	}
}

// within reports whether messages stand in a known order, as far as they all
// stand in it.
func within(messages, known []int32) bool {
	last := int32(0)
	for _, number := range messages {
		if known[number] <= last {
			return false
		}
		last = known[number]
	}
	return true
}

// judgeParents looks for replies that stand before what they reply to. That
// holds for messages that move as well: they take the parent with the place.
func (q *sequence) judgeParents(j *judge, v *view) {
	for i, parent := range v.parents {
		if parent < 0 || int(q.place[parent]) <= i {
			continue
		}
		m := &v.seen.Messages[i]
		j.violate(fmt.Sprint("parent ", m.ID, q.s.name), q.s.at(v), "%s shows message %s before %s, to which it replies",
			v.where(), m.ID, m.Parent)
	}
}

// anchors finds for each message of the view what it would move with.
func (q *sequence) anchors(v *view) {
	const unknown = -2
	found := make([]int32, len(v.messages)) // by place
	for i := range found {
		found[i] = unknown
	}
	for i := range v.messages {
		var path []int
		at, anchor := i, int32(-1)
		for {
			if found[at] != unknown {
				anchor = found[at]
				break
			}
			path = append(path, at)
			if w := v.puts[at]; w < 0 || q.s.movable(w) {
				anchor = v.messages[at]
				break
			}
			if v.parents[at] < 0 || q.place[v.parents[at]] == 0 || len(path) > len(v.messages) {
				break
			}
			at = int(q.place[v.parents[at]] - 1)
		}
		for _, k := range path {
			found[k] = anchor
		}
	}
	for i, w := range v.puts {
		if w >= 0 {
			q.anchor[w] = found[i]
		}
	}
}

// furthest is the last message so far of those with one anchor.
type furthest struct{ pos, write int32 }

// judgeProcess goes through what a node came to know, and holds every message
// that was written there against the messages known by then.
func (q *sequence) judgeProcess(j *judge, v *view, p int32) {
	if len(q.authored[p]) == 0 {
		return
	}
	s := q.s
	last := map[int32]furthest{}
	learn := func(w int32) {
		if pos := q.pos[w]; pos > 0 && pos > last[q.anchor[w]].pos {
			last[q.anchor[w]] = furthest{pos, w}
		}
	}
	line := s.processes[p].line
	done := int32(0)
	for _, w := range q.authored[p] {
		for ; done < s.writes[w].req.places[0].upto; done++ {
			e := line[done]
			if e.view >= 0 {
				for _, x := range s.views[e.view].gained {
					learn(x)
				}
				continue
			}
			r := s.requests[e.request]
			for x := r.first; x < r.first+r.many; x++ {
				learn(x)
			}
		}
		if q.pos[w] == 0 {
			continue
		}
		if f := last[q.anchor[w]]; f.pos > q.pos[w] && s.precedes(f.write, w) {
			q.misplaced(j, v, f.write, w)
		}
	}
}

func (q *sequence) misplaced(j *judge, v *view, x, w int32) {
	s := q.s
	j.violate(fmt.Sprintf("order %d %d %s", x, w, s.name), s.at(v, s.writes[x].req.calls[0], s.writes[w].req.calls[0]),
		"%s shows %s before %s, which its author had seen", v.where(), s.describe(w), s.describe(x))
}
