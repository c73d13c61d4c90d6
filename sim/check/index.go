package check

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// forever is behind every moment of a history.
const forever = time.Duration(math.MaxInt64)

// index is a history sorted out once, for all checkers.
type index struct {
	h        *History
	sessions []*session // by name
	named    map[string]*session
	values   map[string]written
	twice    []clash
	resets   map[string][]time.Duration // by node, ascending
	anchors  map[string][]time.Duration // moments at which stamps were put back
	finals   map[string]*Final          // by node
	last     time.Duration              // the latest moment that the history names
	authors  map[string]string          // the node that writes as an origin, as far as ops tell
	places   map[string]map[dot]int     // by node and space: what authorsList found
}

// written says where a value was written: by which write of a session, and as
// which of its values.
type written struct {
	s           *session
	write, part int32
}

// clash is a value that two different requests write.
type clash struct {
	value         string
	first, second int // calls
}

// session is what happened to one session.
type session struct {
	ix        *index
	name      string // space + "/" + id
	space, id string
	requests  []*request
	writes    []write
	keyed     map[string][]*request
	reads     []int32 // calls
	views     []*view // by end; finals last
	processes []*process
	byPlace   map[placeName]int32 // processes

	puts      map[string][]int32 // appends by message id
	ids       map[int32][]string // message ids of an append
	numbers   map[string]int32   // of message ids
	edited    bitset             // numbers of messages that somebody wanted to edit
	parent    []int32            // by write: the message that it follows, as views tell; -1 if not known
	edits     map[string][]int32 // by message id
	redacts   map[string][]int32 // by message id
	leaves    map[string][]int32 // by path
	adds      map[string][]int32 // by counter
	inserts   map[string][]int32 // by set
	removes   map[string][]int32 // by set and element
	texts     map[string][]int32 // by text
	moves     []int32
	erases    []int32
	opens     []int32
	epochs    map[int32]int      // what epochAtLeast found
	bounds    map[int32]int      // what epochAtMost found
	together  map[[2]int32]bool  // concurrent values that some read showed beside each other
	over      map[int32]int32    // for a write that is not shown: one that may have replaced it
	mixture   map[string]bool    // what mixed found
	nearby    map[string][]int32 // what replacers found
	paths     []string           // of leaves, sorted
	crossings map[string]bool    // what crossed found
	lists     map[string]*listed // by node
}

// request is what one client wanted: a call and its retries.
type request struct {
	do          Action
	key         string
	target, to  string
	by          int64
	drops       []string
	first, many int32   // its writes
	calls       []int32 // in the history
	begin       time.Duration
	end         time.Duration // by then it has had its effect, if ever; forever if that is open
	acked       bool
	core        bool
	possible    bool   // not every call was refused
	sole        bool   // at most one op can have come of each of its writes
	maker       string // the node that made it, if it is sole
	clashing    bool   // another request has its key
	excused     bool
	places      []place
	acks        []position
}

// write is the part of a request that becomes one op.
type write struct {
	req    *request
	values []Value
}

// place is a node, in one stretch of its life, that may have written a request.
type place struct {
	process int32 // -1 if it is not known which, because the node was reset meanwhile
	begin   time.Duration
	upto    int32 // so many entries of the process came before
	view    int32 // the last of them that is a view, -1 for none
	from    int32 // entry behind that view
}

// position is an entry of a process.
type position struct{ process, entry int32 }

// newIndex sorts out a history.
func newIndex(h *History) *index {
	ix := &index{h: h, named: map[string]*session{}, values: map[string]written{},
		resets: map[string][]time.Duration{}, anchors: map[string][]time.Duration{}, finals: map[string]*Final{},
		authors: map[string]string{}, places: map[string]map[dot]int{}}
	for _, r := range h.Resets {
		ix.resets[r.Node] = append(ix.resets[r.Node], r.At)
	}
	for node := range ix.resets {
		slices.Sort(ix.resets[node])
	}
	for _, r := range h.Anchors {
		ix.anchors[r.Node] = append(ix.anchors[r.Node], r.At)
	}
	for i := range h.Finals {
		ix.finals[h.Finals[i].Node] = &h.Finals[i]
	}
	ix.last = max(h.Healed, h.Settled, h.Ended)
	for i := range h.Calls {
		ix.last = max(ix.last, h.Calls[i].Begin)
		if h.Calls[i].Outcome != NoAnswer {
			ix.last = max(ix.last, h.Calls[i].End)
		}
	}
	ix.gather()
	slices.SortFunc(ix.sessions, func(a, b *session) int { return cmp.Compare(a.name, b.name) })
	for _, s := range ix.sessions {
		s.settle()
	}
	ix.renamed()
	for _, s := range ix.sessions {
		s.paths = sortedKeys(s.leaves)
		s.watch()
		s.learn()
		s.concurrent()
	}
	ix.list()
	return ix
}

// session gives the session of that name, making it if need be.
func (ix *index) session(space, id string) *session {
	name := space + "/" + id
	s := ix.named[name]
	if s == nil {
		s = &session{ix: ix, name: name, space: space, id: id, byPlace: map[placeName]int32{}, keyed: map[string][]*request{},
			puts: map[string][]int32{},
			ids:  map[int32][]string{}, numbers: map[string]int32{}, edits: map[string][]int32{}, redacts: map[string][]int32{},
			leaves: map[string][]int32{}, adds: map[string][]int32{}, inserts: map[string][]int32{},
			removes: map[string][]int32{}, texts: map[string][]int32{}, together: map[[2]int32]bool{},
			over: map[int32]int32{}, mixture: map[string]bool{}, epochs: map[int32]int{}, bounds: map[int32]int{},
			nearby: map[string][]int32{}, crossings: map[string]bool{}, lists: map[string]*listed{}}
		ix.named[name] = s
		ix.sessions = append(ix.sessions, s)
	}
	return s
}

// gather puts calls together into requests.
func (ix *index) gather() {
	for i := range ix.h.Calls {
		c := &ix.h.Calls[i]
		if c.Do == ReadAll {
			continue
		}
		s := ix.session(c.Space, c.Session)
		if c.Do == Read {
			if c.Outcome == OK && c.Seen != nil {
				s.reads = append(s.reads, int32(i))
			}
			continue
		}
		if c.Key == "" {
			s.add(i)
			continue
		}
		known := s.keyed[c.Key]
		at := slices.IndexFunc(known, func(r *request) bool { return ix.same(r, c) })
		if at >= 0 {
			known[at].calls = append(known[at].calls, int32(i))
			continue
		}
		r := s.add(i)
		for _, other := range known {
			other.clashing, r.clashing = true, true
		}
		s.keyed[c.Key] = append(known, r)
	}
}

// same reports whether a call asks for what the request is.
func (ix *index) same(r *request, c *Call) bool {
	first := &ix.h.Calls[r.calls[0]]
	return r.do == c.Do && r.target == c.Target && r.by == c.By && r.to == c.To && slices.Equal(first.Values, c.Values)
}

// add makes a request of a call.
func (s *session) add(call int) *request {
	c := &s.ix.h.Calls[call]
	r := &request{do: c.Do, key: c.Key, target: c.Target, to: c.To, by: c.By, drops: c.Drops,
		first: int32(len(s.writes)), many: 1, calls: []int32{int32(call)}}
	s.requests = append(s.requests, r)
	if c.Do != Append {
		s.writes = append(s.writes, write{r, c.Values})
	} else {
		r.many = int32(len(c.Values))
		for i := range c.Values {
			s.writes = append(s.writes, write{r, c.Values[i : i+1]})
		}
	}
	for w := r.first; w < r.first+r.many; w++ {
		s.file(w, r, call)
	}
	return r
}

// file notes what a write is about.
func (s *session) file(w int32, r *request, call int) {
	values := s.writes[w].values
	switch r.do {
	case Append:
		if id := values[0].ID; id != "" {
			s.identify(w, id)
		}
	case Edit:
		s.edits[r.target] = append(s.edits[r.target], w)
	case Redact:
		s.redacts[r.target] = append(s.redacts[r.target], w)
	case Patch, Open:
		for _, v := range values {
			s.leaves[v.ID] = append(s.leaves[v.ID], w)
		}
		if r.do == Open {
			s.opens = append(s.opens, w)
		}
	case Add:
		s.adds[r.target] = append(s.adds[r.target], w)
	case Insert:
		s.inserts[r.target] = append(s.inserts[r.target], w)
	case Remove:
		for _, v := range values {
			at := element(r.target, v.Value)
			s.removes[at] = append(s.removes[at], w)
		}
		return // its value is that of the insert
	case Text:
		s.texts[r.target] = append(s.texts[r.target], w)
	case Move:
		s.moves = append(s.moves, w)
	case Erase:
		s.erases = append(s.erases, w)
	}
	for part, v := range values {
		if v.Value == "" {
			continue
		}
		if old, ok := s.ix.values[v.Value]; ok {
			s.ix.twice = append(s.ix.twice, clash{v.Value, int(old.s.writes[old.write].req.calls[0]), call})
			continue
		}
		s.ix.values[v.Value] = written{s, w, int32(part)}
	}
}

// element names a member of a set.
func element(set, value string) string { return set + "\x00" + value }

// identify notes a message id of an append.
func (s *session) identify(w int32, id string) {
	if !slices.Contains(s.ids[w], id) {
		s.ids[w] = append(s.ids[w], id)
		s.puts[id] = append(s.puts[id], w)
	}
}

// openCodes are refusals that do not tell whether there was an effect.
var openCodes = []string{"internal", "unavailable", "read_only", "record_damaged", "unknown"}

// refused reports whether a call surely had no effect.
func (c *Call) refused() bool { return c.Outcome == Refused && !slices.Contains(openCodes, c.Code) }

// settle works out what became of each request.
func (s *session) settle() {
	s.parent = make([]int32, len(s.writes))
	for i := range s.parent {
		s.parent[i] = -1
	}
	for _, r := range s.requests {
		s.judge(r)
		for _, call := range r.calls {
			r.excused = r.excused || s.ix.h.ExcusedCalls[int(call)]
			if r.do != Append {
				continue
			}
			for k, id := range s.ix.h.Calls[call].IDs {
				if id != "" && k < int(r.many) {
					s.identify(r.first+int32(k), id)
				}
			}
		}
	}
}

// judge tells when and where a request may have had its effect.
func (s *session) judge(r *request) {
	calls := s.ix.h.Calls
	r.begin = calls[r.calls[0]].Begin
	begun := false
	makers := map[string]*made{}
	var nodes []string
	for _, i := range r.calls {
		c := &calls[i]
		if c.refused() {
			continue
		}
		r.possible = true
		if !begun {
			r.begin, begun = c.Begin, true
		}
		end := forever
		if c.Outcome == OK {
			end, r.acked, r.core = c.End, true, r.core || c.Core
		}
		r.end = max(r.end, end)
		if c.Outcome == OK && c.Replayed {
			continue
		}
		m := makers[c.Node]
		if m == nil {
			m = &made{begin: c.Begin}
			makers[c.Node] = m
			nodes = append(nodes, c.Node)
		}
		m.end = max(m.end, end)
		m.calls++
	}
	for _, node := range nodes {
		m := makers[node]
		p := place{process: -1, begin: m.begin, view: -1}
		if epoch, ok := s.ix.epoch(node, m.begin, m.end); ok {
			p.process = s.process(node, epoch)
		} else if m.calls > 1 {
			m.again = true // after the reset the key may have been unknown
		}
		r.places = append(r.places, p)
	}
	if len(nodes) == 1 && !makers[nodes[0]].again {
		r.sole, r.maker = true, nodes[0]
	}
}

// made is what a node may have done for a request.
type made struct {
	begin, end time.Duration
	calls      int
	again      bool
}

// epoch counts the resets of a node before a stretch of time; it is not ok if
// there was one within, borders included.
func (ix *index) epoch(node string, begin, end time.Duration) (n int, ok bool) {
	return countBefore(ix.resets[node], begin, end)
}

// countBefore counts the moments, which ascend, before a stretch of time; it is
// not ok if there was one within, borders included.
func countBefore(moments []time.Duration, begin, end time.Duration) (n int, ok bool) {
	for _, at := range moments {
		if at >= begin {
			return n, at > end
		}
		n++
	}
	return n, true
}

// excused reports whether a write may be gone.
func (s *session) excused(w int32) bool {
	if s.writes[w].req.excused {
		return true
	}
	for _, v := range s.writes[w].values {
		if s.ix.h.Excused[v.Value] {
			return true
		}
	}
	return false
}

// carries reports whether a node carries a space in the end.
func (f *Final) carries(space string) bool {
	return slices.Contains(f.Spaces, space) || slices.Contains(f.Spaces, "*")
}

// resetWithin reports whether a node was reset in a stretch of time, borders
// included.
func (ix *index) resetWithin(node string, begin, end time.Duration) bool {
	_, ok := ix.epoch(node, begin, end)
	return !ok
}

// anyResetWithin reports whether any node was reset in a stretch of time.
func (ix *index) anyResetWithin(begin, end time.Duration) bool {
	for node := range ix.resets {
		if ix.resetWithin(node, begin, end) {
			return true
		}
	}
	return false
}
