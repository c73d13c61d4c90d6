package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// stamps: stamps rise from cause to effect within a session. Those that a node's
// clock stands for also rise along its feed, and with what the node wrote one
// after the other, whatever its wall clock does and however often it starts again.
//
// A clock does not stand for a stamp that it borrows: a write to a session whose
// latest stamp is too far ahead to be believed gets the next stamp behind that
// one, and the clock stays where it is. So a stamp that is the next one behind
// another of its session is left out of the order of feeds and nodes.
func stamps(ix *index) Verdict {
	j := newJudge("stamps rise", "I10")
	t := ix.stampTable()
	ix.eachList(func(l *list) {
		if l.call < 0 {
			t.judgeFeeds(j, l)
		}
	})
	t.judgeNodes(j)
	for _, s := range ix.sessions {
		t.judgeCauses(j, s)
	}
	return j.done()
}

func (t *stampTable) judgeFeeds(j *judge, l *list) {
	last := map[string]*Op{}
	for i := range l.ops {
		op := &l.ops[i]
		if t.borrowed(l.space, op.Session, op.stamp()) {
			continue
		}
		j.Examined++
		if before := last[op.Origin]; before != nil && !t.rises(before.stamp(), op.stamp()) {
			j.violate(fmt.Sprint("feed ", l.space, op.dot()), l.violation(op.Session),
				"%s lists op %s.%d of %s with stamp %d.%d, behind %d.%d of op %d",
				l.where(), op.Origin, op.Seq, l.space, op.Wall, op.Logical, before.Wall, before.Logical, before.Seq)
		}
		last[op.Origin] = op
	}
}

// borrowed reports whether a stamp may be one that its author's clock does not
// stand for.
func (t *stampTable) borrowed(space, session string, at stamp) bool {
	if t.ix.h.WholeMillis {
		return t.taken[sessionStamp{space, session, at}] > 1
	}
	before := stamp{at.wall, at.logical - 1}
	if at.logical == 0 {
		before = stamp{at.wall - 1, math.MaxUint16}
	}
	return t.taken[sessionStamp{space, session, before}] > 0
}

// rises reports whether b is later than a, as far as stamps are known.
func (t *stampTable) rises(a, b stamp) bool {
	return a.compare(b) < 0 || t.ix.h.WholeMillis && a.wall == b.wall
}

type sessionStamp struct {
	space, session string
	at             stamp
}

// stamp is the time that an op carries.
type stamp struct {
	wall    uint64
	logical uint16
}

func (op *Op) stamp() stamp { return stamp{op.Wall, op.Logical} }

func (a stamp) compare(b stamp) int {
	return cmp.Or(cmp.Compare(a.wall, b.wall), cmp.Compare(a.logical, b.logical))
}

// stamped is what is known of the ops of a write.
type stamped struct {
	least, most stamp
	trusts      uint8 // the classes of their clocks, as bits
	ops         int
}

// stampTable has the stamps of writes, by session and write.
type stampTable struct {
	ix     *index
	stamps map[*session][]stamped
	taken  map[sessionStamp]int // ops
}

// stampTable takes the stamps from the final lists: there each op has the place
// that it keeps.
func (ix *index) stampTable() *stampTable {
	t := &stampTable{ix: ix, stamps: map[*session][]stamped{}, taken: map[sessionStamp]int{}}
	seen := map[feedName]uint64{} // how far each feed was taken in
	ix.eachList(func(l *list) {
		if l.call >= 0 {
			return
		}
		for i := range l.ops {
			op := &l.ops[i]
			name := feedName{l.space, op.Origin}
			if op.Seq <= seen[name] {
				continue
			}
			seen[name] = op.Seq
			t.taken[sessionStamp{l.space, op.Session, op.stamp()}]++
			t.take(l.space, op)
		}
	})
	return t
}

func (t *stampTable) take(space string, op *Op) {
	s := t.ix.named[space+"/"+op.Session]
	if s == nil {
		return
	}
	last := int32(-1)
	for _, value := range op.Values {
		w, _ := s.find(value)
		if w < 0 || w == last || !s.wrote(w, op, value) {
			continue
		}
		last = w
		if t.stamps[s] == nil {
			t.stamps[s] = make([]stamped, len(s.writes))
		}
		at, x := op.stamp(), &t.stamps[s][w]
		if x.ops == 0 || at.compare(x.least) < 0 {
			x.least = at
		}
		if x.ops == 0 || at.compare(x.most) > 0 {
			x.most = at
		}
		x.trusts |= 1 << op.Trust
		x.ops++
	}
}

// alike reports whether clocks of one class made the stamps of some writes of a
// session, as far as that is known.
func (t *stampTable) alike(s *session, writes []int32) bool {
	stamps, classes := t.stamps[s], uint8(0)
	for _, w := range writes {
		if stamps == nil || stamps[w].ops == 0 {
			continue
		}
		if classes |= stamps[w].trusts; classes&(classes-1) != 0 {
			return false
		}
	}
	return true
}

// timed is a write of a node: begun and over by these moments, with the stamp
// of its one op.
type timed struct {
	s          *session
	write      int32
	begin, end time.Duration
	at         stamp
}

// anchored is a place between two moments at which its clock was put back.
type anchored struct {
	placeName
	anchors int
}

// judgeNodes looks at what each node wrote between two resets.
func (t *stampTable) judgeNodes(j *judge) {
	byPlace := map[anchored][]timed{}
	for _, s := range t.ix.sessions {
		for w, x := range t.stamps[s] {
			r := s.writes[w].req
			if x.ops != 1 || !r.sole || t.borrowed(s.space, s.id, x.least) {
				continue
			}
			end := t.ix.firstAnswer(r)
			epoch, ok := t.ix.epoch(r.maker, r.begin, end)
			if anchors, settled := countBefore(t.ix.anchors[r.maker], r.begin, end); ok && settled {
				name := anchored{placeName{r.maker, epoch}, anchors}
				byPlace[name] = append(byPlace[name], timed{s, int32(w), r.begin, end, x.least})
			}
		}
	}
	names := make([]anchored, 0, len(byPlace))
	for name := range byPlace {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b anchored) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.anchors, b.anchors))
	})
	for _, name := range names {
		t.judgeRising(j, name.node, byPlace[name])
	}
}

// firstAnswer is when a request had had its effect at the latest.
func (ix *index) firstAnswer(r *request) time.Duration {
	end := forever
	for _, i := range r.calls {
		if c := &ix.h.Calls[i]; c.Outcome == OK {
			end = min(end, c.End)
		}
	}
	return end
}

// judgeRising holds each write against the latest stamp of those that were over
// when it began.
func (t *stampTable) judgeRising(j *judge, node string, list []timed) {
	over := slices.Clone(list)
	slices.SortStableFunc(list, func(a, b timed) int { return cmp.Compare(a.begin, b.begin) })
	slices.SortStableFunc(over, func(a, b timed) int { return cmp.Compare(a.end, b.end) })
	var latest *timed
	done := 0
	for i := range list {
		w := &list[i]
		for ; done < len(over) && over[done].end < w.begin; done++ {
			if latest == nil || over[done].at.compare(latest.at) > 0 {
				latest = &over[done]
			}
		}
		j.Examined++
		if latest == nil || t.rises(latest.at, w.at) {
			continue
		}
		calls := []int{int(latest.s.writes[latest.write].req.calls[0]), int(w.s.writes[w.write].req.calls[0])}
		j.violate("", Violation{Node: node, Session: w.s.name, At: w.begin, Calls: calls},
			"%s gave %s stamp %d.%d, after %s had %d.%d", node, w.s.describe(w.write), w.at.wall, w.at.logical,
			latest.s.describe(latest.write), latest.at.wall, latest.at.logical)
	}
}

// judgeCauses holds each write against what its node knew of the session before.
func (t *stampTable) judgeCauses(j *judge, s *session) {
	stamps := t.stamps[s]
	if stamps == nil {
		return
	}
	authored := make([][]int32, len(s.processes))
	for w := range s.writes {
		r := s.writes[w].req
		if stamps[w].ops == 1 && r.sole && r.places[0].process >= 0 {
			p := r.places[0].process
			authored[p] = append(authored[p], int32(w))
		}
	}
	for p, list := range authored {
		slices.SortStableFunc(list, func(a, b int32) int {
			return cmp.Compare(s.writes[a].req.places[0].upto, s.writes[b].req.places[0].upto)
		})
		t.judgeProcess(j, s, int32(p), list)
	}
}

func (t *stampTable) judgeProcess(j *judge, s *session, p int32, list []int32) {
	stamps := t.stamps[s]
	latest := int32(-1)
	learn := func(x int32) {
		if stamps[x].ops > 0 && (latest < 0 || stamps[x].least.compare(stamps[latest].least) > 0) {
			latest = x
		}
	}
	line, done := s.processes[p].line, int32(0)
	for _, w := range list {
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
		j.Examined++
		if latest < 0 || t.rises(stamps[latest].least, stamps[w].least) {
			continue
		}
		calls := []int{int(s.writes[latest].req.calls[0]), int(s.writes[w].req.calls[0])}
		out := Violation{Node: s.processes[p].node, Session: s.name, At: s.writes[w].req.begin, Calls: calls}
		mine, seen := stamps[w].least, stamps[latest].least
		j.violate(fmt.Sprint("cause ", latest, w, s.name), out,
			"%s has stamp %d.%d, but its author had seen %s with %d.%d",
			s.describe(w), mine.wall, mine.logical, s.describe(latest), seen.wall, seen.logical)
	}
}
