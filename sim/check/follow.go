package check

import (
	"slices"
	"time"
)

// What may have replaced a write. A leaf and the content of a message keep all
// values that no later write has seen, so a value may only be absent if a write
// of the same leaf can have seen it.

// listed is where the ops of the writes of a session stand in the final list of
// changes of one node.
type listed struct {
	node      string
	unordered bool
	ops       [][]listedOp // by write
	none      bitset       // writes that surely had no effect
	keys      bool         // the list shows idempotency keys
}

// listedOp is an op in a list of changes. There is one for each origin at most
// that made an op of the same write.
type listedOp struct {
	origin string
	at     int32
}

// by gives the place of the op that an origin made of a write; not ok if there
// is none.
func (l *listed) by(origin string, w int32) (at int32, ok bool) {
	for _, op := range l.ops[w] {
		if op.origin == origin {
			return op.at, true
		}
	}
	return 0, false
}

// mayFollow reports whether the author of y can have seen x. It cannot if
//   - y had had its effect before x was asked for, or is among the causes of x,
//   - some read showed both beside each other as concurrent,
//   - the node that wrote y lists it before x: it did not hold x then.
//
// If several ops may have come of one of them, one may have seen the other and
// another not: a value can be replaced at first, and then come back beside.
func (s *session) mayFollow(y, x int32) bool {
	ry, rx := s.writes[y].req, s.writes[x].req
	switch {
	case y == x || !ry.possible || ry.end < rx.begin || s.precedes(y, x):
		return false
	case s.precedes(x, y):
		return true
	case !ry.sole:
		return true
	case rx.sole && s.together[pair(x, y)]:
		return false
	}
	l := s.lists[ry.maker]
	if l == nil || len(l.ops[y]) != 1 || len(l.ops[x]) == 0 {
		return true
	}
	return slices.ContainsFunc(l.ops[x], func(op listedOp) bool { return s.saw(y, l.ops[y][0].origin, x, op.origin) })
}

// saw reports whether the op that an origin made of y may have come after the op
// that another one made of x, as far as the list of its author tells.
func (s *session) saw(y int32, by string, x int32, of string) bool {
	l := s.lists[s.ix.authors[by]]
	if l == nil || l.unordered || s.ix.resetAfter(l.node, s.writes[y].req.begin) {
		return true
	}
	mine, ok := l.by(by, y)
	other, held := l.by(of, x)
	return !ok || !held || other < mine
}

// mayReplace reports whether y can have taken the place of the op of x that
// comes of an origin; an empty one stands for any.
func (s *session) mayReplace(v *view, y, x int32, of string) bool {
	if !s.mayFollow(y, x) {
		return false
	}
	l := s.lists[v.node]
	if of == "" || l == nil || len(l.ops[y]) == 0 {
		return true
	}
	return slices.ContainsFunc(l.ops[y], func(op listedOp) bool { return s.saw(y, op.origin, x, of) })
}

func pair(x, y int32) [2]int32 { return [2]int32{min(x, y), max(x, y)} }

// resetAfter reports whether a node was reset at a moment or later.
func (ix *index) resetAfter(node string, begin time.Duration) bool {
	list := ix.resets[node]
	return len(list) > 0 && list[len(list)-1] >= begin
}

// list notes where the writes stand in the final lists of changes.
func (ix *index) list() {
	for i := range ix.h.Finals {
		f := &ix.h.Finals[i]
		for _, space := range sortedKeys(f.Ops) {
			ops := f.Ops[space]
			for n := range ops {
				if s := ix.named[space+"/"+ops[n].Session]; s != nil {
					s.listOp(f, &ops[n], int32(n))
				}
			}
		}
	}
	for i := range ix.h.Finals {
		ix.matchNameless(&ix.h.Finals[i])
	}
}

func (s *session) listOp(f *Final, op *Op, at int32) {
	last := int32(-1)
	s.ofOp(op, func(w int32) {
		if w == last {
			return
		}
		last = w
		l := s.lists[f.Node]
		if l == nil {
			l = &listed{node: f.Node, unordered: f.Unordered, ops: make([][]listedOp, len(s.writes)),
				none: newBitset(len(s.writes))}
			s.lists[f.Node] = l
		}
		l.ops[w] = append(l.ops[w], listedOp{op.Origin, at})
		l.keys = l.keys || op.Key != ""
		s.ix.attribute(op.Origin, s.writes[w].req)
	})
}

// ofOp calls do for each write that an op surely came of: by its values, or if
// it has none, by its key.
func (s *session) ofOp(op *Op, do func(w int32)) {
	kind := kindOf(op.Kind)
	for _, value := range op.Values {
		w, _ := s.find(value)
		switch {
		case w < 0:
		case s.wrote(w, op, value):
			do(w)
		case kind == Remove && op.Key == "":
			if list := s.removes[element(s.writes[w].req.target, value)]; len(list) == 1 {
				do(list[0])
			}
		}
	}
	if op.Key == "" {
		return
	}
	for _, r := range s.keyed[op.Key] {
		if r.many == 1 && !r.clashing && fits(kind, r.do) && (len(op.Values) == 0 || r.do == Remove) {
			do(r.first)
		}
	}
}

// severalAuthors stands in for the node of an origin that clones share.
const severalAuthors = "\x00"

// attribute notes which node writes as origin, as one of its ops tells.
func (ix *index) attribute(origin string, r *request) {
	if !r.sole {
		return
	}
	if old, ok := ix.authors[origin]; ok && old != r.maker {
		ix.authors[origin] = severalAuthors
		return
	}
	ix.authors[origin] = r.maker
}

// wrote reports whether an op with that value must be the write's own. A value
// that was removed from a set stands in two ops.
func (s *session) wrote(w int32, op *Op, value string) bool {
	r := s.writes[w].req
	if op.Key != "" {
		return op.Key == r.key
	}
	return r.do != Insert || kindOf(op.Kind) == Insert || len(s.removes[element(r.target, value)]) == 0
}

// concurrent notes the values of one leaf or message that a view shows beside
// each other.
func (s *session) concurrent() {
	for _, v := range s.views {
		var beside []int32
		var at int32 = -1
		var leaf bool
		for _, g := range v.sights {
			if g.write < 0 || !g.as.ofRegister() {
				continue
			}
			onLeaf := g.as == asLeaf || g.as == asLeafOther
			if g.at != at || onLeaf != leaf {
				beside, at, leaf = beside[:0], g.at, onLeaf
			}
			for _, other := range beside {
				s.together[pair(other, g.write)] = true
			}
			beside = append(beside, g.write)
		}
	}
}

// replacers gives the writes that wrote where part of w wrote: at the same leaf,
// one above or below it, or the same message.
func (s *session) replacers(w int32, part int) []int32 {
	r := s.writes[w].req
	if r.do == Edit {
		list := s.edits[r.target]
		for _, id := range s.aliases(r.target) {
			list = append(slices.Clip(list), s.edits[id]...)
		}
		return list
	}
	path := s.writes[w].values[part].ID
	if list, ok := s.nearby[path]; ok {
		return list
	}
	var list []int32
	for other, writes := range s.leaves {
		if related(path, other) {
			list = append(list, writes...)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	s.nearby[path] = list
	return list
}

// aliases gives other ids of the message with that id: it gets another one if
// its op is made again after a fork.
func (s *session) aliases(id string) []string {
	var list []string
	for _, w := range s.puts[id] {
		for _, other := range s.ids[w] {
			if other != id && !slices.Contains(list, other) {
				list = append(list, other)
			}
		}
	}
	return list
}

// replaced reports whether part of w may be absent from v because of a later
// write that is there, or that v cannot show, as a removal.
func (s *session) replaced(v *view, w int32, part int) bool {
	if y, ok := s.over[w]; ok && v.known.has(y) && !v.isFinal() && len(s.writes[w].values) == 1 {
		return true
	}
	if l := s.lists[v.node]; v.isFinal() && l != nil && len(l.ops[w]) > 0 {
		for _, op := range l.ops[w] { // all of them are here: each must have been replaced
			if !s.replacedOp(v, w, part, op.origin) {
				return false
			}
		}
		return true
	}
	return s.replacedOp(v, w, part, "")
}

// replacedOp is replaced for the op of w that comes of an origin.
func (s *session) replacedOp(v *view, w int32, part int, origin string) bool {
	list := s.replacers(w, part)
	for i := len(list) - 1; i >= 0; i-- {
		if y := list[i]; v.known.has(y) && s.mayReplace(v, y, w, origin) {
			s.over[w] = y
			return true
		}
	}
	if s.writes[w].req.do == Edit {
		return false
	}
	path := s.writes[w].values[part].ID
	for _, y := range list {
		if s.writes[y].req.begin > v.end || s.absent(v, y) || !s.mayReplace(v, y, w, origin) {
			continue
		}
		if s.removesAt(y, path) || s.replacedAway(v, y, w, path, origin) {
			return true
		}
	}
	return false
}

// absent reports whether the final list of changes shows that a write had no
// effect, or none that is left.
func (s *session) absent(v *view, w int32) bool {
	l := s.lists[v.node]
	if !v.isFinal() || l == nil || len(l.ops[w]) > 0 {
		return false
	}
	r := s.writes[w].req
	told := slices.ContainsFunc(s.writes[w].values, func(v Value) bool { return v.Value != "" })
	return told || l.none.has(w) || l.keys && r.key != "" && !r.clashing
}

// removal reports whether a write takes a leaf away.
func (s *session) removal(w int32) bool {
	return slices.ContainsFunc(s.writes[w].values, func(v Value) bool { return v.Value == "" })
}

// removesAt reports whether a write takes away a leaf at a path, above or
// below, which no read shows.
func (s *session) removesAt(w int32, path string) bool {
	return slices.ContainsFunc(s.writes[w].values, func(v Value) bool { return v.Value == "" && related(v.ID, path) })
}

// replacedAway reports whether y, which may have replaced w, may itself have
// been replaced at a path that has nothing to do with w's, by something that v
// shows.
func (s *session) replacedAway(v *view, y, w int32, path, origin string) bool {
	for part, value := range s.writes[y].values {
		if value.ID == path {
			continue
		}
		for _, z := range s.replacers(y, part) {
			if v.known.has(z) && s.mayFollow(z, y) && s.mayReplace(v, z, w, origin) {
				return true
			}
		}
	}
	return false
}
