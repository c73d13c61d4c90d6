package check

import "slices"

// look is what has to be looked up in one view, made when first needed.
type look struct {
	s        *session
	v        *view
	messages []int32           // place from 1 by number of the id; 0 if it is not there
	parts    map[[2]int32]bool // values that are shown of writes that have several
	whole    bitset            // writes of which every value is shown
	sets     map[string]bool   // elements
}

func (s *session) look(v *view) *look {
	l := &look{s: s, v: v, whole: newBitset(len(s.writes)), parts: map[[2]int32]bool{}}
	count := map[int32]int{}
	for _, g := range v.sights {
		if g.write < 0 {
			continue
		}
		values := s.writes[g.write].values
		if len(values) <= 1 {
			l.whole.add(g.write)
			continue
		}
		if at := [2]int32{g.write, g.part}; !l.parts[at] {
			l.parts[at] = true
			if count[g.write]++; count[g.write] == len(values) {
				l.whole.add(g.write)
			}
		}
	}
	return l
}

// message gives the place of the message with that id.
func (l *look) message(id string) (int32, bool) {
	if l.messages == nil {
		l.messages = make([]int32, len(l.s.numbers))
		for i, number := range l.v.messages {
			l.messages[number] = int32(i + 1)
		}
	}
	number, ok := l.s.numbers[id]
	if !ok {
		return 0, false
	}
	return l.messages[number] - 1, l.messages[number] > 0
}

// has reports whether a set has an element.
func (l *look) has(set, value string) bool {
	if l.sets == nil {
		l.sets = map[string]bool{}
		for name, list := range l.v.seen.Sets {
			for _, e := range list {
				l.sets[element(name, e)] = true
			}
		}
	}
	return l.sets[element(set, value)]
}

// covers reports whether the view has w in it: it shows it, or something that
// can have taken its place. If not it names the value that is missing.
func (l *look) covers(w int32) (missing string, ok bool) {
	if l.whole.has(w) {
		return "", true
	}
	s, r := l.s, l.s.writes[w].req
	switch r.do {
	case Append:
		return s.writes[w].values[0].Value, l.hasMessage(w)
	case Edit:
		return s.writes[w].values[0].Value, s.replaced(l.v, w, 0) || l.isRedacted(r.target)
	case Patch, Open:
		return l.coversLeaves(w)
	case Add:
		return "", s.mixed(r.target) || r.clashing
	case Insert:
		return s.writes[w].values[0].Value, s.mixed(r.target) || s.mayBeRemoved(l.v, w)
	case Remove:
		return "", s.mixed(r.target) || l.removed(w)
	case Redact:
		_, there := l.find(r.target)
		return "", !there || l.isRedacted(r.target)
	case Text:
		return l.coversPieces(w)
	default:
		return "", true
	}
}

// find gives the place of a message, under whatever id it has now.
func (l *look) find(id string) (int32, bool) {
	if at, ok := l.message(id); ok {
		return at, true
	}
	for _, other := range l.s.aliases(id) {
		if at, ok := l.message(other); ok {
			return at, true
		}
	}
	return 0, false
}

// hasMessage reports whether an appended message is there, edited or redacted
// perhaps. One whose id nobody ever learned may be any of which it is not known
// who put it, or the one of another request with its key.
func (l *look) hasMessage(w int32) bool {
	for _, id := range l.s.ids[w] {
		if _, ok := l.message(id); ok {
			return true
		}
	}
	r := l.s.writes[w].req
	if len(l.s.ids[w]) > 0 || r.clashing {
		return r.clashing && len(l.s.ids[w]) == 0
	}
	return slices.ContainsFunc(l.v.seen.Messages, func(m Message) bool {
		author := l.s.ix.authors[m.Origin]
		return len(l.s.puts[m.ID]) == 0 && (author == "" || author == severalAuthors || !r.sole || author == r.maker)
	})
}

// isRedacted reports whether a message is redacted. Two machines of one name may
// have given its id to two messages: then it may be either of them.
func (l *look) isRedacted(id string) bool {
	at, ok := l.find(id)
	if ok && !l.v.seen.Messages[at].Redacted && len(l.s.puts[id]) > 1 {
		return slices.ContainsFunc(l.s.aliases(id), func(other string) bool {
			at, ok := l.message(other)
			return ok && l.v.seen.Messages[at].Redacted
		})
	}
	return ok && l.v.seen.Messages[at].Redacted
}

func (l *look) coversLeaves(w int32) (missing string, ok bool) {
	values := l.s.writes[w].values
	for part, v := range values {
		if v.Value == "" || len(values) > 1 && l.parts[[2]int32{w, int32(part)}] {
			continue
		}
		if !l.s.replaced(l.v, w, part) {
			return v.Value, false
		}
	}
	return "", true
}

func (l *look) coversPieces(w int32) (missing string, ok bool) {
	values := l.s.writes[w].values
	for part, v := range values {
		if v.Value == "" || len(values) > 1 && l.parts[[2]int32{w, int32(part)}] {
			continue
		}
		if !l.s.mayBeDropped(w, v.Value) {
			return v.Value, false
		}
	}
	return "", true
}

// mayBeRemoved reports whether somebody may have removed what w put into a set:
// in the end, every op of it.
func (s *session) mayBeRemoved(v *view, w int32) bool {
	removes := s.removes[element(s.writes[w].req.target, s.writes[w].values[0].Value)]
	removed := func(origin string) bool {
		return slices.ContainsFunc(removes, func(y int32) bool { return s.mayReplace(v, y, w, origin) })
	}
	l := s.lists[v.node]
	if !v.isFinal() || l == nil || len(l.ops[w]) == 0 {
		return removed("")
	}
	return !slices.ContainsFunc(l.ops[w], func(op listedOp) bool { return !removed(op.origin) })
}

// mayBeDropped reports whether some edit of the text may have taken a value away.
func (s *session) mayBeDropped(w int32, value string) bool {
	for _, y := range s.texts[s.writes[w].req.target] {
		for _, dropped := range s.writes[y].req.drops {
			if dropped == value && s.mayFollow(y, w) {
				return true
			}
		}
	}
	return false
}

// removed reports whether the element that w removes is gone, as far as all
// that put it there came before.
func (l *look) removed(w int32) bool {
	r := l.s.writes[w].req
	for _, v := range l.s.writes[w].values {
		if !l.has(r.target, v.Value) {
			continue
		}
		x, _ := l.s.find(v.Value)
		if x >= 0 && l.s.writes[x].req.sole && l.s.precedes(x, w) {
			return false
		}
	}
	return true
}
