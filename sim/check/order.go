package check

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// What is known of causes. A node is a process: what it shows or acknowledges
// at a moment comes before whatever is written there later in that session,
// until the node is reset. Calls overlap, so a process is no sequence: one thing
// comes before another there if it had ended when the other began. Besides, a
// message comes after the parent that its author gave it. Nothing else is
// assumed.
//
// A write that several nodes may have carried out (a retry) has as its causes
// only what all of them knew.

// placeName names a stretch in the life of a node.
type placeName struct {
	node  string
	epoch int
}

// process is a node between two resets, as far as one session goes.
type process struct {
	node string
	line []entry // by end
	last []int32 // for each place in line: the entry of the last view before, -1 if none
}

// entry is the end of a call that was answered: a view, or a request that was
// acknowledged.
type entry struct {
	end     time.Duration
	view    int32 // -1 if none
	request int32 // -1 if none
}

// process gives the number of a process, making it if need be.
func (s *session) process(node string, epoch int) int32 {
	name := placeName{node, epoch}
	p, ok := s.byPlace[name]
	if !ok {
		p = int32(len(s.processes))
		s.byPlace[name] = p
		s.processes = append(s.processes, &process{node: node})
	}
	return p
}

// learn works out what each view tells that must have been there.
func (s *session) learn() {
	s.lineUp()
	temp := newBitset(len(s.writes))
	shown := newBitset(len(s.writes))
	for i, v := range s.views {
		clear(shown)
		for _, g := range v.sights {
			if g.write >= 0 {
				shown.add(g.write)
			}
		}
		v.known = newBitset(len(s.writes))
		var here, before place
		if v.process >= 0 {
			here = s.placeAt(v.process, v.begin)
			s.addHeld(v.known, here)
		}
		for k := len(shown)*64 - 1; k >= 0; k-- {
			if w := int32(k); shown[k>>6] == 0 {
				k &^= 63
			} else if shown.has(w) && !v.known.has(w) {
				s.addWithPast(v.known, temp, w)
			}
		}
		s.addParents(v.known, temp)
		if v.process < 0 || v.isFinal() {
			continue
		}
		before = s.placeBefore(v.process, int32(i))
		v.all = slices.Clone(v.known)
		s.addHeld(v.all, before)
		var last bitset
		if before.view >= 0 {
			last = s.views[before.view].all
		}
		v.gained = v.all.without(last)
	}
}

// lineUp puts what was answered at each process in the order of the answers.
func (s *session) lineUp() {
	for i, v := range s.views {
		epoch, ok := s.ix.epoch(v.node, v.begin, v.end)
		if !ok {
			continue
		}
		v.process = s.process(v.node, epoch)
		if !v.isFinal() {
			p := s.processes[v.process]
			p.line = append(p.line, entry{v.end, int32(i), -1})
		}
	}
	for i, r := range s.requests {
		for _, call := range r.calls {
			c := &s.ix.h.Calls[call]
			if c.Outcome != OK {
				continue
			}
			if epoch, ok := s.ix.epoch(c.Node, c.Begin, c.End); ok {
				p := s.processes[s.process(c.Node, epoch)]
				p.line = append(p.line, entry{c.End, -1, int32(i)})
			}
		}
	}
	for n, p := range s.processes {
		slices.SortStableFunc(p.line, func(a, b entry) int { return cmp.Compare(a.end, b.end) })
		p.last = append(make([]int32, 0, len(p.line)+1), -1)
		for i, e := range p.line {
			last := p.last[i]
			if e.view >= 0 {
				last = int32(i)
			} else {
				r := s.requests[e.request]
				r.acks = append(r.acks, position{int32(n), int32(i)})
			}
			p.last = append(p.last, last)
		}
	}
	for _, r := range s.requests {
		for i := range r.places {
			if p := &r.places[i]; p.process >= 0 {
				*p = s.placeAt(p.process, p.begin)
			}
		}
	}
}

// placeAt is a process as it was when something began.
func (s *session) placeAt(process int32, begin time.Duration) place {
	line := s.processes[process].line
	upto := sort.Search(len(line), func(i int) bool { return line[i].end >= begin })
	return s.placeUpto(process, begin, int32(upto))
}

// placeBefore is a process up to the entry of a view.
func (s *session) placeBefore(process, view int32) place {
	line := s.processes[process].line
	end := s.views[view].end
	at := sort.Search(len(line), func(i int) bool { return line[i].end >= end })
	for line[at].view != view {
		at++
	}
	return s.placeUpto(process, end, int32(at))
}

func (s *session) placeUpto(process int32, begin time.Duration, upto int32) place {
	p := place{process: process, begin: begin, upto: upto, view: -1}
	at := s.processes[process]
	if last := at.last[upto]; last >= 0 {
		p.view, p.from = at.line[last].view, last+1
	}
	return p
}

// addWithPast adds a write, its causes, and those of the messages above it.
func (s *session) addWithPast(to, temp bitset, w int32) {
	for w >= 0 && !to.has(w) {
		to.add(w)
		s.addPast(to, temp, w)
		w = s.parent[w]
	}
}

// addParents adds the messages above those that are there, with their causes.
func (s *session) addParents(to, temp bitset) {
	for grown := true; grown; {
		grown = false
		to.each(func(w int32) {
			if q := s.parent[w]; q >= 0 && !to.has(q) {
				s.addWithPast(to, temp, q)
				grown = true
			}
		})
	}
}

// addHeld adds what a node knew at a place.
func (s *session) addHeld(to bitset, p place) {
	if p.process < 0 {
		return
	}
	if p.view >= 0 {
		to.union(s.views[p.view].all)
	}
	for _, e := range s.processes[p.process].line[p.from:p.upto] {
		if e.request < 0 {
			continue
		}
		r := s.requests[e.request]
		to.addRange(r.first, r.first+r.many)
	}
}

// addPast adds the causes of a write. It overwrites temp.
func (s *session) addPast(to, temp bitset, w int32) {
	r := s.writes[w].req
	to.addRange(r.first, w)
	switch len(r.places) {
	case 0:
		return
	case 1:
		s.addHeld(to, r.places[0])
		return
	}
	clear(temp)
	s.addHeld(temp, r.places[0])
	other := newBitset(len(s.writes))
	for _, p := range r.places[1:] {
		clear(other)
		s.addHeld(other, p)
		temp.intersect(other)
	}
	to.union(temp)
}

// precedes reports whether x is among the causes of w.
func (s *session) precedes(x, w int32) bool {
	r := s.writes[w].req
	if r == s.writes[x].req {
		return x < w
	}
	if r.many > 0 && s.parent[r.first] == x {
		return true
	}
	for _, p := range r.places {
		if !s.heldAt(x, p) {
			return false
		}
	}
	return len(r.places) > 0
}

// heldAt reports whether a node knew x at a place.
func (s *session) heldAt(x int32, p place) bool {
	if p.process < 0 {
		return false
	}
	if p.view >= 0 && s.views[p.view].all.has(x) {
		return true
	}
	for _, a := range s.writes[x].req.acks {
		if a.process == p.process && a.entry < p.upto {
			return true
		}
	}
	return false
}
