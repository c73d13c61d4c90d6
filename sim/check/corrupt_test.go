package check

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// corruptor spoils a correct history in one way. It knows the store's ops, so
// that it only does what makes a difference: what no correct store could show.
type corruptor struct {
	g   *generator
	h   *History
	rng *rand.Rand
}

// copyHistory copies what a corruption may change.
func copyHistory(h *History) *History {
	c := *h
	c.Calls = slices.Clone(h.Calls)
	for i := range c.Calls {
		if seen := c.Calls[i].Seen; seen != nil {
			s := copySeen(seen)
			c.Calls[i].Seen = &s
		}
	}
	c.Finals = slices.Clone(h.Finals)
	for i := range c.Finals {
		f := &c.Finals[i]
		f.Sessions, f.Ops = maps.Clone(f.Sessions), maps.Clone(f.Ops)
		for name, seen := range f.Sessions {
			f.Sessions[name] = copySeen(&seen)
		}
		for space, ops := range f.Ops {
			f.Ops[space] = slices.Clone(ops)
		}
		f.Digests, f.Backlog, f.Waiting = maps.Clone(f.Digests), maps.Clone(f.Backlog), maps.Clone(f.Waiting)
	}
	c.Samples = slices.Clone(h.Samples)
	return &c
}

func copySeen(seen *Seen) Seen {
	s := *seen
	s.Messages, s.Leaves, s.Ops = slices.Clone(s.Messages), slices.Clone(s.Leaves), slices.Clone(s.Ops)
	s.Counters, s.Texts, s.Sets = maps.Clone(s.Counters), maps.Clone(s.Texts), maps.Clone(s.Sets)
	for name, list := range s.Sets {
		s.Sets[name] = slices.Clone(list)
	}
	return s
}

// pick gives one of list, or the zero value and false if it is empty.
func pick[T any](c *corruptor, list []T) (one T, ok bool) {
	if len(list) == 0 {
		return one, false
	}
	return list[c.rng.IntN(len(list))], true
}

// reads gives the reads that showed a session.
func (c *corruptor) reads() []*Call {
	var list []*Call
	for i := range c.h.Calls {
		if r := &c.h.Calls[i]; r.Do == Read && r.Outcome == OK && r.Seen.Gone == "" {
			list = append(list, r)
		}
	}
	return list
}

// sessions gives those that are shown in the end, with what is shown.
func (c *corruptor) sessions() []string {
	var list []string
	for _, name := range sortedKeys(c.h.Finals[0].Sessions) {
		if c.h.Finals[0].Sessions[name].Gone == "" {
			list = append(list, name)
		}
	}
	return list
}

// inTheEnd changes a session at every node.
func (c *corruptor) inTheEnd(name string, change func(*Seen)) {
	for i := range c.h.Finals {
		seen := c.h.Finals[i].Sessions[name]
		change(&seen)
		c.h.Finals[i].Sessions[name] = seen
	}
}

// opsOf gives the ops that are there in the end and carry a value.
func (c *corruptor) opsOf(value string) []*modelOp {
	var list []*modelOp
	for _, op := range c.g.replicas[0].ops {
		if op.do != Remove && slices.ContainsFunc(op.values, func(v Value) bool { return v.Value == value }) {
			list = append(list, op)
		}
	}
	return list
}

// callsOf gives the calls that wrote a value.
func (c *corruptor) callsOf(value string) []*Call {
	var list []*Call
	for i := range c.h.Calls {
		r := &c.h.Calls[i]
		if r.Do != Remove && slices.ContainsFunc(r.Values, func(v Value) bool { return v.Value == value }) {
			list = append(list, r)
		}
	}
	return list
}

// kept reports whether a value was acknowledged and not excused, so that it
// must not be lost.
func (c *corruptor) kept(value string) bool {
	calls := c.callsOf(value)
	return !c.h.Excused[value] &&
		slices.ContainsFunc(calls, func(r *Call) bool { return r.Outcome == OK }) &&
		!slices.ContainsFunc(calls, func(r *Call) bool { return c.h.ExcusedCalls[r.ID] })
}

// pair of reads at one node, the first over before the other began, with no
// reset between.
func (c *corruptor) pairs() [][2]*Call {
	var list [][2]*Call
	reads := c.reads()
	for i, a := range reads {
		for _, b := range reads[i+1:] {
			if a.Node == b.Node && a.Session == b.Session && a.End < b.Begin && !c.reset(a.Node, a.Begin, b.End) {
				list = append(list, [2]*Call{a, b})
			}
		}
	}
	return list
}

func (c *corruptor) reset(node string, from, to time.Duration) bool {
	return slices.ContainsFunc(c.h.Resets, func(r Reset) bool { return r.Node == node && r.At >= from && r.At <= to })
}

func without(list []Message, id string) []Message {
	return slices.DeleteFunc(slices.Clone(list), func(m Message) bool { return m.ID == id })
}

// first gives the first call of a call's request.
func (r Call) first(h *History) int {
	if r.Key == "" {
		return r.ID
	}
	return slices.IndexFunc(h.Calls, func(c Call) bool { return c.Key == r.Key && c.Session == r.Session })
}

// done reports whether a call was sent once, acknowledged, and not excused.
func (c *corruptor) done(r *Call) bool {
	return r.Outcome == OK && len(c.retriesOf(r)) == 1 && !c.h.ExcusedCalls[r.ID]
}

func (c *corruptor) retriesOf(r *Call) []int {
	if r.Key == "" {
		return []int{r.ID}
	}
	var list []int
	for i := range c.h.Calls {
		if o := &c.h.Calls[i]; o.Key == r.Key && o.Session == r.Session {
			list = append(list, i)
		}
	}
	return list
}

// singly reports whether a message can only have been put once.
func (c *corruptor) singly(id string) bool {
	n := 0
	for _, op := range c.g.ops {
		if op.do == Append && op.id == id {
			if len(c.callsOf(op.values[0].Value)) != 1 {
				return false
			}
			n++
		}
	}
	return n == 1
}

// swap puts a message before its parent.
func (c *corruptor) swap(seen *Seen) bool {
	for i := 1; i < len(seen.Messages); i++ {
		a, b := seen.Messages[i-1], seen.Messages[i]
		if b.Parent == a.ID && c.singly(a.ID) && c.singly(b.ID) {
			seen.Messages[i-1], seen.Messages[i] = b, a
			return true
		}
	}
	return false
}

func (c *corruptor) eachOp(do func(*Op)) {
	for i := range c.h.Calls {
		if seen := c.h.Calls[i].Seen; seen != nil {
			for k := range seen.Ops {
				do(&seen.Ops[k])
			}
		}
	}
	for i := range c.h.Finals {
		for k := range c.h.Finals[i].Ops["default"] {
			do(&c.h.Finals[i].Ops["default"][k])
		}
	}
}

// dropOps takes the last op of a feed away everywhere, if it is of that kind.
func (c *corruptor) dropOps(is func(*Op) bool) bool {
	ops := c.h.Finals[0].Ops["default"]
	last := map[string]*Op{}
	for i := range ops {
		last[ops[i].Origin] = &ops[i]
	}
	for _, origin := range sortedKeys(last) {
		if !is(last[origin]) {
			continue
		}
		at := last[origin].dot()
		for i := range c.h.Finals {
			ops := c.h.Finals[i].Ops
			ops["default"] = slices.DeleteFunc(ops["default"], func(op Op) bool { return op.dot() == at })
		}
		return true
	}
	return false
}

// seen reports whether the author of one value had seen the other.
func (c *corruptor) seen(later, earlier string) bool {
	for _, y := range c.g.ops {
		for _, x := range c.g.ops {
			if y.do == Patch && x.do == Patch && y.values[0].Value == later && x.values[0].Value == earlier {
				return y.sees(x)
			}
		}
	}
	return false
}

// firstValue is what was put under a message id.
func (c *corruptor) firstValue(id string) string {
	for _, op := range c.g.ops {
		if op.do == Append && op.id == id {
			return op.values[0].Value
		}
	}
	return ""
}

func (c *corruptor) find(op *Op) *modelOp {
	i := slices.IndexFunc(c.g.ops, func(m *modelOp) bool { return m.origin == op.Origin && m.seq == op.Seq })
	if i < 0 {
		return nil
	}
	return c.g.ops[i]
}

// total changes a counter in the end.
func (c *corruptor) total(change func(add *Call, s *Seen) bool) bool {
	for _, i := range c.rng.Perm(len(c.h.Calls)) {
		add := &c.h.Calls[i]
		seen := c.h.Finals[0].Sessions["default/"+add.Session]
		if add.Do != Add || seen.State == "" || !change(add, &seen) {
			continue
		}
		value := seen.Counters[add.Target]
		c.inTheEnd("default/"+add.Session, func(s *Seen) {
			if s.Counters == nil {
				s.Counters = map[string]int64{}
			}
			s.Counters[add.Target] = value
		})
		return true
	}
	return false
}

// shownBefore reports whether a read at the call's node had shown something
// before the call, and no reset came between.
func (c *corruptor) shownBefore(r *Call, what func(*Seen) bool) bool {
	return slices.ContainsFunc(c.reads(), func(read *Call) bool {
		return read.Node == r.Node && read.Session == r.Session && read.End < r.Begin && what(read.Seen) &&
			!c.reset(r.Node, read.Begin, r.End)
	})
}

// only reports whether all other moves of the session were made at the call's
// node and over when it read the session before the call.
func (c *corruptor) only(r *Call) bool {
	var last *Call
	for _, read := range c.reads() {
		if read.Node == r.Node && read.Session == r.Session && read.End < r.Begin && (last == nil || read.End > last.End) {
			last = read
		}
	}
	if last == nil || len(c.h.Resets) > 0 || slices.Contains(legalFrom(last.Seen.State), r.To) {
		return false
	}
	return !slices.ContainsFunc(c.h.Calls, func(m Call) bool {
		return m.Do == Move && m.Session == r.Session && m.ID != r.ID && m.Begin < r.End && m.Outcome != Refused &&
			(m.Node != r.Node || m.Outcome == NoAnswer || m.End >= last.Begin || len(c.retriesOf(&m)) != 1)
	})
}

// movedAt reports whether the call's node had taken another write that began
// after the version was named.
func (c *corruptor) movedAt(r *Call) bool {
	named := r.Begin
	for i := range c.h.Calls {
		o := &c.h.Calls[i]
		if o.Session == r.Session && o.Outcome == OK && o.Version == r.IfMatch {
			named = min(named, o.End)
		}
	}
	return slices.ContainsFunc(c.h.Calls, func(w Call) bool {
		return w.Session == r.Session && w.Node == r.Node && w.Outcome == OK && w.Do == Append && w.Begin > named &&
			w.End < r.Begin && len(c.retriesOf(&w)) == 1 && !c.reset(r.Node, w.Begin, r.End)
	})
}

// TestCorruptionsAreCaught spoils correct histories in every way and counts what
// the checkers see of it.
func TestCorruptionsAreCaught(t *testing.T) {
	t.Parallel()
	type score struct{ made, caught int }
	scores := map[string]*score{}
	names := sortedKeys(corruptions)
	for seed := range uint64(60) {
		g := generate(seed, options{nodes: 2 + int(seed%4), sessions: 1 + int(seed%4), steps: 350, resets: seed%3 == 0})
		for i, name := range names {
			c := &corruptor{g: g, h: copyHistory(&g.h), rng: rand.New(rand.NewPCG(seed, uint64(i)))}
			if !corruptions[name](c) {
				continue
			}
			if scores[name] == nil {
				scores[name] = &score{}
			}
			scores[name].made++
			caught := slices.ContainsFunc(All(c.h), func(v Verdict) bool { return len(v.Violations) > 0 })
			if caught {
				scores[name].caught++
			} else if testing.Verbose() {
				t.Logf("seed %d: missed: %s", seed, name)
			}
		}
	}
	made, caught := 0, 0
	for _, name := range names {
		s := scores[name]
		if s == nil || s.made < 3 {
			t.Errorf("%s: made %v times, want at least 3", name, s)
			continue
		}
		t.Logf("%-62s %4d of %4d", name, s.caught, s.made)
		made, caught = made+s.made, caught+s.caught
		if s.caught*100 < s.made*95 {
			t.Errorf("%s: caught %d of %d", name, s.caught, s.made)
		}
	}
	t.Logf("caught %d of %d", caught, made)
	if caught*1000 < made*993 {
		t.Errorf("caught %d of %d corruptions, want over 99 %%", caught, made)
	}
}
