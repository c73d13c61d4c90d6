package check

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// view is a session as a read or the end of the run showed it.
type view struct {
	number int32 // in the session
	call   int   // in the history; -1 in the end
	node   string
	begin  time.Duration
	end    time.Duration
	seen   *Seen
	sights []sight
	stray  []string // pieces of texts that nobody wrote

	messages              []int32  // numbers of the ids, in order
	parents               []int32  // numbers of the parents' ids; -1 for none
	contents              []int32  // writes of the contents; -1 where nobody wrote it
	puts                  []int32  // appends; -1 where it is not known which
	counters, sets, texts []string // names, in order

	process int32   // -1 if the node was reset meanwhile
	known   bitset  // what must have had its effect here, as far as what is shown tells
	all     bitset  // known, and what the node had shown or acknowledged before the view ended
	gained  []int32 // all, without that of the view before at this node
}

// aspect is how a write shows.
type aspect uint8

const (
	asMessage   aspect = iota // content of message at
	asOther                   // another value of message at
	asPut                     // message at is there, with other content or none
	asRedacted                // message at is redacted
	asLeaf                    // shown at leaf at
	asLeafOther               // another value of leaf at
	asBit                     // bit sub of counter at, in the order of names
	asElement                 // element sub of set at, in the order of names
	asPiece                   // in text at, in the order of names
)

// sight is one write that a view shows, or something that nobody wrote: then
// write is -1.
type sight struct {
	write, part int32
	at, sub     int32
	as          aspect
}

// isFinal reports whether the view is of the end of the run.
func (v *view) isFinal() bool { return v.call < 0 }

// watch collects the views of a session and finds out what they show.
func (s *session) watch() {
	for _, i := range s.reads {
		c := &s.ix.h.Calls[i]
		s.views = append(s.views, &view{call: int(i), node: c.Node, begin: c.Begin, end: c.End, seen: c.Seen, process: -1})
	}
	slices.SortStableFunc(s.views, func(a, b *view) int { return cmp.Compare(a.end, b.end) })
	for i := range s.ix.h.Finals {
		f := &s.ix.h.Finals[i]
		if !f.carries(s.space) {
			continue
		}
		seen, ok := f.Sessions[s.name]
		if !ok {
			seen.Gone = "unknown"
		}
		s.views = append(s.views, &view{call: -1, node: f.Node, begin: forever, end: forever, seen: &seen, process: -1})
	}
	var before *view
	for i, v := range s.views {
		v.number = int32(i)
		s.meet(v, before)
		if len(v.messages) > 0 {
			before = v
		}
	}
	for _, v := range s.views {
		s.resolve(v)
		s.descend(v)
	}
	s.edited = newBitset(len(s.numbers))
	for id := range s.edits {
		if number, ok := s.numbers[id]; ok {
			s.edited.add(number)
		}
	}
}

// meet learns which message has which id. Most views begin as the one before.
func (s *session) meet(v, before *view) {
	n := len(v.seen.Messages)
	rows := make([]int32, 4*n)
	v.messages, v.parents, v.contents, v.puts = rows[:n:n], rows[n:2*n:2*n], rows[2*n:3*n:3*n], rows[3*n:]
	for i := range v.seen.Messages {
		m := &v.seen.Messages[i]
		v.puts[i] = -1
		if before != nil && i < len(before.messages) {
			if o := &before.seen.Messages[i]; o.ID == m.ID && o.Value == m.Value && o.Parent == m.Parent {
				v.messages[i], v.parents[i], v.contents[i] = before.messages[i], before.parents[i], before.contents[i]
				continue
			}
		}
		v.messages[i], v.parents[i] = s.numberOf(m.ID), -1
		switch {
		case m.Parent == "":
		case i > 0 && m.Parent == v.seen.Messages[i-1].ID:
			v.parents[i] = v.messages[i-1]
		default:
			v.parents[i] = s.numberOf(m.Parent)
		}
		w, _ := s.find(m.Value)
		if v.contents[i] = w; w >= 0 && s.writes[w].req.do == Append {
			s.identify(w, m.ID)
		}
	}
}

// numberOf gives the number of a message id, from 0.
func (s *session) numberOf(id string) int32 {
	n, ok := s.numbers[id]
	if !ok {
		n = int32(len(s.numbers))
		s.numbers[id] = n
	}
	return n
}

// descend learns what messages follow: an author had seen the parent that it
// gave. Of a message that may have been put twice only one put shows its parent.
func (s *session) descend(v *view) {
	for _, g := range v.sights {
		if g.write < 0 || g.as != asMessage && g.as != asPut || s.writes[g.write].req.do != Append {
			continue
		}
		v.puts[g.at] = g.write
		if s.parent[g.write] >= 0 || v.parents[g.at] < 0 || s.movable(g.write) {
			continue
		}
		if list := s.possible(s.puts[v.seen.Messages[g.at].Parent]); len(list) == 1 && list[0] != g.write {
			s.parent[g.write] = list[0]
		}
	}
}

// movable reports whether a message may stand at one of several places, because it
// may have been put more than once.
func (s *session) movable(w int32) bool {
	r := s.writes[w].req
	if !r.sole || r.clashing {
		return true
	}
	for _, id := range s.ids[w] {
		if len(s.puts[id]) > 1 {
			return true
		}
	}
	return false
}

// find gives the write of this session, and the part of it, that wrote a value;
// -1 if there is none.
func (s *session) find(value string) (w, part int32) {
	if at, ok := s.ix.values[value]; ok && at.s == s {
		return at.write, at.part
	}
	return -1, 0
}

// resolve finds the writes that a view shows.
func (s *session) resolve(v *view) {
	v.sights = make([]sight, 0, len(v.seen.Messages)+len(v.seen.Leaves)+8)
	for i := range v.seen.Messages {
		s.resolveMessage(v, int32(i))
	}
	for i := range v.seen.Leaves {
		l := &v.seen.Leaves[i]
		if !l.Deleted && l.Shown != "" {
			s.sight(v, l.Shown, int32(i), 0, asLeaf)
		}
		for k, other := range l.Others {
			s.sight(v, other, int32(i), int32(k), asLeafOther)
		}
	}
	v.counters, v.sets, v.texts = sortedKeys(v.seen.Counters), sortedKeys(v.seen.Sets), sortedKeys(v.seen.Texts)
	for i, name := range v.counters {
		s.resolveCounter(v, name, v.seen.Counters[name], int32(i))
	}
	for i, name := range v.sets {
		for k, e := range v.seen.Sets[name] {
			s.sight(v, e, int32(i), int32(k), asElement)
		}
	}
	for i, name := range v.texts {
		s.resolveText(v, name, int32(i))
	}
}

func (s *session) sight(v *view, value string, at, sub int32, as aspect) {
	w, part := s.find(value)
	v.sights = append(v.sights, sight{w, part, at, sub, as})
}

func (s *session) resolveMessage(v *view, at int32) {
	m := &v.seen.Messages[at]
	if m.Redacted {
		if list := s.possible(s.redacts[m.ID]); len(list) == 1 {
			v.sights = append(v.sights, sight{write: list[0], at: at, as: asRedacted})
		}
	} else {
		v.sights = append(v.sights, sight{write: v.contents[at], at: at, as: asMessage})
		for k, other := range m.Others {
			s.sight(v, other, at, int32(k), asOther)
		}
	}
	if w := v.contents[at]; w >= 0 && s.writes[w].req.do == Append && !m.Redacted {
		return
	}
	if list := s.possible(s.puts[m.ID]); len(list) == 1 {
		v.sights = append(v.sights, sight{write: list[0], at: at, as: asPut})
	}
}

// possible gives the writes among list that may have had an effect.
func (s *session) possible(list []int32) []int32 {
	for i, w := range list {
		if s.writes[w].req.possible {
			continue
		}
		kept := slices.Clone(list[:i])
		for _, w := range list[i:] {
			if s.writes[w].req.possible {
				kept = append(kept, w)
			}
		}
		return kept
	}
	return list
}

// resolveCounter takes a total apart into the additions in it: each is another
// power of two. What is no sum of additions gives sights without a write.
func (s *session) resolveCounter(v *view, name string, total int64, at int32) {
	if s.mixed(name) {
		return
	}
	if total < 0 {
		v.sights = append(v.sights, sight{write: -1, at: at, sub: -1, as: asBit})
		return
	}
	for bit := int32(0); total != 0; bit, total = bit+1, total>>1 {
		if total&1 == 0 {
			continue
		}
		found := int32(-1)
		for _, w := range s.adds[name] {
			if s.writes[w].req.by == 1<<bit && (found < 0 || s.writes[w].req.possible) {
				found = w
			}
		}
		v.sights = append(v.sights, sight{write: found, at: at, sub: bit, as: asBit})
	}
}

// mixed reports whether leaves are written where a counter or a set is: then
// what is shown there follows other rules, and is not looked at.
func (s *session) mixed(name string) bool {
	mixed, ok := s.mixture[name]
	if ok {
		return mixed
	}
	for path := range s.leaves {
		mixed = mixed || related(path, name)
	}
	s.mixture[name] = mixed
	return mixed
}

// related reports whether one JSON pointer is the other or leads to it.
func related(p, q string) bool {
	if len(p) > len(q) {
		p, q = q, p
	}
	return strings.HasPrefix(q, p) && (len(p) == len(q) || p == "" || q[len(p)] == '/')
}

// resolveText takes a text apart into the pieces that were put into it. What
// fits nowhere is stray.
func (s *session) resolveText(v *view, name string, at int32) {
	text := v.seen.Texts[name]
	byLength := map[int]bool{}
	for _, w := range s.texts[name] {
		for _, value := range s.writes[w].values {
			byLength[len(value.Value)] = true
		}
	}
	delete(byLength, 0)
	lengths := sortedKeys(byLength)
	for _, piece := range s.cut(text, lengths) {
		w, part := s.find(piece)
		if w < 0 || s.writes[w].req.do != Text {
			v.stray = append(v.stray, piece)
			continue
		}
		v.sights = append(v.sights, sight{write: w, part: part, at: at, as: asPiece})
	}
}

// cut splits a text into values of this session, from behind; a byte that
// begins none stands alone.
func (s *session) cut(text string, lengths []int) []string {
	const none = -1
	cost := make([]int, len(text)+1) // bytes that stand alone, from here on
	step := make([]int, len(text)+1)
	for i := len(text) - 1; i >= 0; i-- {
		cost[i], step[i] = cost[i+1]+1, none
		for _, n := range lengths {
			if i+n > len(text) || cost[i+n] > cost[i] {
				continue
			}
			if w, _ := s.find(text[i : i+n]); w >= 0 {
				cost[i], step[i] = cost[i+n], n
			}
		}
	}
	var pieces []string
	for i := 0; i < len(text); {
		n := step[i]
		if n == none {
			for n = 1; i+n < len(text) && step[i+n] == none; n++ {
			}
		}
		pieces = append(pieces, text[i:i+n])
		i += n
	}
	return pieces
}
