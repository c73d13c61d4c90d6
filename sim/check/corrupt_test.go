package check

import (
	"fmt"
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

// corruptions by name. Each is false if there is nothing for it.
var corruptions = map[string]func(*corruptor) bool{
	"drop a message from one final": func(c *corruptor) bool {
		name, ok := pick(c, c.sessions())
		f := &c.h.Finals[c.rng.IntN(len(c.h.Finals))]
		seen := f.Sessions[name]
		if !ok || len(seen.Messages) == 0 {
			return false
		}
		seen.Messages = without(seen.Messages, seen.Messages[c.rng.IntN(len(seen.Messages))].ID)
		f.Sessions[name] = seen
		return true
	},
	"lose an acknowledged message everywhere": func(c *corruptor) bool {
		name, _ := pick(c, c.sessions())
		seen := c.h.Finals[0].Sessions[name]
		m, ok := pick(c, seen.Messages)
		if !ok || m.Redacted || len(c.opsOf(m.Value)) == 0 || !c.kept(m.Value) || c.opsOf(m.Value)[0].do != Append {
			return false
		}
		c.inTheEnd(name, func(s *Seen) { s.Messages = without(s.Messages, m.ID) })
		return true
	},
	"lose an acknowledged op everywhere": func(c *corruptor) bool {
		return c.dropOps(func(op *Op) bool {
			return len(op.Values) > 0 && (op.Kind == "append" || op.Kind == "patch") && c.kept(op.Values[0])
		})
	},
	"forget a message that the node had shown": func(c *corruptor) bool {
		p, ok := pick(c, c.pairs())
		if !ok || len(p[0].Seen.Messages) == 0 {
			return false
		}
		m := p[0].Seen.Messages[c.rng.IntN(len(p[0].Seen.Messages))]
		p[1].Seen.Messages = without(p[1].Seen.Messages, m.ID)
		return true
	},
	"show a reply without what it replies to": func(c *corruptor) bool {
		r, ok := pick(c, c.reads())
		if !ok || len(r.Seen.Messages) < 2 {
			return false
		}
		m := r.Seen.Messages[1+c.rng.IntN(len(r.Seen.Messages)-1)]
		if m.Parent == "" || !c.singly(m.ID) || len(without(r.Seen.Messages, m.Parent)) == len(r.Seen.Messages) {
			return false
		}
		r.Seen.Messages = without(r.Seen.Messages, m.Parent)
		return true
	},
	"show a reply before what it replies to": func(c *corruptor) bool {
		r, ok := pick(c, c.reads())
		if !ok {
			return false
		}
		return c.swap(r.Seen)
	},
	"show a reply before what it replies to everywhere in the end": func(c *corruptor) bool {
		name, _ := pick(c, c.sessions())
		seen := c.h.Finals[0].Sessions[name]
		if !c.swap(&seen) {
			return false
		}
		c.inTheEnd(name, func(s *Seen) { s.Messages = slices.Clone(seen.Messages) })
		return true
	},
	"double a message": func(c *corruptor) bool {
		r, ok := pick(c, c.reads())
		if !ok || len(r.Seen.Messages) == 0 {
			return false
		}
		m := r.Seen.Messages[c.rng.IntN(len(r.Seen.Messages))]
		if m.Redacted {
			return false
		}
		m.ID += "again"
		r.Seen.Messages = append(r.Seen.Messages, m)
		return true
	},
	"invent a message": func(c *corruptor) bool {
		r, ok := pick(c, c.reads())
		if ok {
			r.Seen.Messages = append(r.Seen.Messages, Message{ID: "x", Value: "nobody"})
		}
		return ok
	},
	"show a value before it was written": func(c *corruptor) bool {
		r, ok := pick(c, c.reads())
		later := slices.IndexFunc(c.h.Calls, func(w Call) bool {
			return w.Do == Patch && ok && w.Session == r.Session && w.Begin > r.End && w.Values[0].Value != "" && w.ID == w.first(c.h)
		})
		if later < 0 {
			return false
		}
		v := c.h.Calls[later].Values[0]
		r.Seen.Leaves = slices.DeleteFunc(r.Seen.Leaves, func(l Leaf) bool { return l.Path == v.ID })
		r.Seen.Leaves = append(r.Seen.Leaves, Leaf{Path: v.ID, Shown: v.Value})
		return true
	},
	"show a leaf in another session": func(c *corruptor) bool {
		from, ok := pick(c, c.reads())
		to, _ := pick(c, c.reads())
		if !ok || from.Session == to.Session || len(from.Seen.Leaves) == 0 || from.Seen.Leaves[0].Deleted {
			return false
		}
		to.Seen.Leaves = append(to.Seen.Leaves, from.Seen.Leaves[0])
		return true
	},
	"show a replaced leaf again": func(c *corruptor) bool {
		for range 50 {
			p, ok := pick(c, c.pairs())
			if !ok {
				return false
			}
			for _, l := range p[0].Seen.Leaves {
				i := slices.IndexFunc(p[1].Seen.Leaves, func(m Leaf) bool { return m.Path == l.Path && m.Shown == l.Shown })
				if i < 0 || l.Deleted || len(c.callsOf(l.Shown)) != 1 {
					continue
				}
				old := slices.IndexFunc(c.h.Calls, func(w Call) bool {
					return w.Do == Patch && w.Session == p[0].Session && w.Values[0].ID == l.Path && w.Values[0].Value != "" &&
						w.Values[0].Value != l.Shown && len(c.callsOf(w.Values[0].Value)) == 1 && w.Outcome == OK &&
						c.h.Calls[c.callsOf(l.Shown)[0].ID].Begin > w.End && c.seen(l.Shown, w.Values[0].Value)
				})
				if old >= 0 {
					p[1].Seen.Leaves[i].Shown, p[1].Seen.Leaves[i].Others = c.h.Calls[old].Values[0].Value, nil
					return true
				}
			}
		}
		return false
	},
	"lose one of two concurrent leaves": func(c *corruptor) bool {
		for _, name := range c.sessions() {
			seen := c.h.Finals[0].Sessions[name]
			for i, l := range seen.Leaves {
				if l.Deleted || len(l.Others) == 0 || !c.kept(l.Others[0]) {
					continue
				}
				c.inTheEnd(name, func(s *Seen) { s.Leaves[i].Others = s.Leaves[i].Others[1:] })
				return true
			}
		}
		return false
	},
	"lose the winner of two concurrent leaves": func(c *corruptor) bool {
		for _, name := range c.sessions() {
			seen := c.h.Finals[0].Sessions[name]
			for i, l := range seen.Leaves {
				if l.Deleted || len(l.Others) == 0 || !c.kept(l.Shown) {
					continue
				}
				c.inTheEnd(name, func(s *Seen) {
					s.Leaves[i].Shown, s.Leaves[i].Others = s.Leaves[i].Others[0], s.Leaves[i].Others[1:]
				})
				return true
			}
		}
		return false
	},
	"lose one of two concurrent edits": func(c *corruptor) bool {
		for _, name := range c.sessions() {
			seen := c.h.Finals[0].Sessions[name]
			for i, m := range seen.Messages {
				if len(m.Others) == 0 || !c.kept(m.Others[0]) || c.opsOf(m.Others[0])[0].do != Edit {
					continue
				}
				c.inTheEnd(name, func(s *Seen) { s.Messages[i].Others = s.Messages[i].Others[1:] })
				return true
			}
		}
		return false
	},
	"show what was redacted": func(c *corruptor) bool {
		p, ok := pick(c, c.pairs())
		if !ok {
			return false
		}
		for _, m := range p[0].Seen.Messages {
			i := slices.IndexFunc(p[1].Seen.Messages, func(n Message) bool { return n.ID == m.ID })
			if m.Redacted && i >= 0 {
				p[1].Seen.Messages[i].Redacted, p[1].Seen.Messages[i].Value = false, c.firstValue(m.ID)
				return true
			}
		}
		return false
	},
	"bring an erased session back": func(c *corruptor) bool {
		for i := range c.h.Calls {
			r := &c.h.Calls[i]
			if r.Do != Read || r.Outcome != OK || r.Seen.Gone != "erased" {
				continue
			}
			for k := range c.h.Calls[i:] {
				later := &c.h.Calls[i+k]
				if later.Do == Read && later.Outcome == OK && later.Node == r.Node && later.Session == r.Session &&
					later.Begin > r.End && !c.reset(r.Node, r.Begin, later.End) {
					*later.Seen = Seen{State: "active"}
					return true
				}
			}
		}
		return false
	},
	"bring an erased session back in the end": func(c *corruptor) bool {
		for _, name := range sortedKeys(c.h.Finals[0].Sessions) {
			if c.h.Finals[0].Sessions[name].Gone != "erased" {
				continue
			}
			if !slices.ContainsFunc(c.h.Calls, func(r Call) bool {
				return r.Do == Erase && "default/"+r.Session == name && r.Outcome == OK && !c.h.ExcusedCalls[r.ID]
			}) {
				continue
			}
			c.inTheEnd(name, func(s *Seen) { *s = Seen{State: "ended"} })
			return true
		}
		return false
	},
	"tell what an erased session held": func(c *corruptor) bool {
		f := &c.h.Finals[c.rng.IntN(len(c.h.Finals))]
		for i := range f.Ops["default"] {
			if op := &f.Ops["default"][i]; op.Kind == "erased" {
				original := c.find(op)
				if original == nil || original.do != Append {
					continue
				}
				op.Kind, op.Values = "append", []string{original.values[0].Value}
				return true
			}
		}
		return false
	},
	"lower a stamp": func(c *corruptor) bool {
		ops := c.h.Finals[0].Ops["default"]
		i := c.rng.IntN(len(ops))
		at := ops[i].dot()
		if ops[i].Seq < 2 || ops[i].Seq == uint64(len(ops)) {
			return false
		}
		c.eachOp(func(op *Op) {
			if op.dot() == at {
				op.Wall, op.Logical = 1, 5
			}
		})
		return true
	},
	"take a hole into a feed": func(c *corruptor) bool {
		f := &c.h.Finals[c.rng.IntN(len(c.h.Finals))]
		ops := f.Ops["default"]
		i := c.rng.IntN(len(ops))
		f.Ops["default"] = slices.Delete(ops, i, i+1)
		return true
	},
	"swap two ops of a feed": func(c *corruptor) bool {
		ops := c.h.Finals[c.rng.IntN(len(c.h.Finals))].Ops["default"]
		i := c.rng.IntN(len(ops) - 1)
		if ops[i].Origin != ops[i+1].Origin {
			return false
		}
		ops[i], ops[i+1] = ops[i+1], ops[i]
		return true
	},
	"change an op at one node": func(c *corruptor) bool {
		ops := c.h.Finals[c.rng.IntN(len(c.h.Finals))].Ops["default"]
		ops[c.rng.IntN(len(ops))].Wall += 3
		return true
	},
	"make an op of a request twice": func(c *corruptor) bool {
		ops := c.h.Finals[0].Ops["default"]
		i := c.rng.IntN(len(ops))
		if ops[i].Kind != "append" || len(c.callsOf(ops[i].Values[0])) != 1 {
			return false
		}
		last := uint64(0)
		for k := range ops {
			if ops[k].Origin == ops[i].Origin {
				last = ops[k].Seq
			}
		}
		again := ops[i]
		again.Seq, again.Wall = last+1, ops[len(ops)-1].Wall+100
		for k := range c.h.Finals {
			c.h.Finals[k].Ops["default"] = append(c.h.Finals[k].Ops["default"], again)
		}
		return true
	},
	"forget an addition": func(c *corruptor) bool {
		return c.total(func(add *Call, s *Seen) bool {
			if add.Outcome != OK || c.h.ExcusedCalls[add.ID] || s.Counters[add.Target]&add.By == 0 || len(c.retriesOf(add)) != 1 {
				return false
			}
			s.Counters[add.Target] -= add.By
			return true
		})
	},
	"add twice": func(c *corruptor) bool {
		return c.total(func(add *Call, s *Seen) bool {
			if add.Outcome != OK || c.h.ExcusedCalls[add.ID] || s.Counters[add.Target]&add.By == 0 || len(c.retriesOf(add)) != 1 {
				return false
			}
			s.Counters[add.Target] += add.By
			return true
		})
	},
	"count what was refused": func(c *corruptor) bool {
		return c.total(func(add *Call, s *Seen) bool {
			if add.Outcome != Refused || s.Counters[add.Target]&add.By != 0 || len(c.retriesOf(add)) != 1 {
				return false
			}
			s.Counters[add.Target] += add.By
			return true
		})
	},
	"lose an element": func(c *corruptor) bool {
		name, _ := pick(c, c.sessions())
		seen := c.h.Finals[0].Sessions[name]
		for _, set := range sortedKeys(seen.Sets) {
			value := seen.Sets[set][0]
			if !c.kept(value) || slices.ContainsFunc(c.h.Calls, func(r Call) bool { return r.Do == Remove && r.Values[0].Value == value }) {
				continue
			}
			c.inTheEnd(name, func(s *Seen) { s.Sets[set] = s.Sets[set][1:] })
			return true
		}
		return false
	},
	"bring a removed element back": func(c *corruptor) bool {
		for i := range c.h.Calls {
			r := &c.h.Calls[i]
			if r.Do != Remove || r.Outcome != OK || len(c.retriesOf(r)) != 1 || c.h.ExcusedCalls[r.ID] || len(c.callsOf(r.Values[0].Value)) != 1 || c.h.Excused[r.Values[0].Value] {
				continue
			}
			name, value := "default/"+r.Session, r.Values[0].Value
			if c.h.Finals[0].Sessions[name].Gone != "" || slices.Contains(c.h.Finals[0].Sessions[name].Sets[r.Target], value) ||
				!c.shownBefore(r, func(s *Seen) bool { return slices.Contains(s.Sets[r.Target], value) }) {
				continue
			}
			c.inTheEnd(name, func(s *Seen) {
				if s.Sets == nil {
					s.Sets = map[string][]string{}
				}
				s.Sets[r.Target] = sorted(append(s.Sets[r.Target], value))
			})
			return true
		}
		return false
	},
	"lose what was typed": func(c *corruptor) bool {
		name, _ := pick(c, c.sessions())
		seen := c.h.Finals[0].Sessions[name]
		for _, text := range sortedKeys(seen.Texts) {
			if len(seen.Texts[text]) < 4 {
				continue
			}
			value := seen.Texts[text][:4]
			if !c.kept(value) || slices.ContainsFunc(c.h.Calls, func(r Call) bool { return slices.Contains(r.Drops, value) }) {
				continue
			}
			c.inTheEnd(name, func(s *Seen) { s.Texts[text] = s.Texts[text][4:] })
			return true
		}
		return false
	},
	"tear what was typed apart": func(c *corruptor) bool {
		name, _ := pick(c, c.sessions())
		seen := c.h.Finals[0].Sessions[name]
		for _, text := range sortedKeys(seen.Texts) {
			if t := seen.Texts[text]; len(t) >= 8 {
				c.inTheEnd(name, func(s *Seen) { s.Texts[text] = t[:2] + t[4:8] + t[2:4] + t[8:] })
				return true
			}
		}
		return false
	},
	"show a refused message": func(c *corruptor) bool {
		for i := range c.h.Calls {
			r := &c.h.Calls[i]
			name := "default/" + r.Session
			if r.Do != Append || r.Outcome != Refused || len(c.retriesOf(r)) != 1 || c.h.Finals[0].Sessions[name].State == "" {
				continue
			}
			c.inTheEnd(name, func(s *Seen) {
				s.Messages = append(s.Messages, Message{ID: "refused", Value: r.Values[0].Value})
			})
			return true
		}
		return false
	},
	"show a state that was not asked for": func(c *corruptor) bool {
		name, ok := pick(c, c.sessions())
		if !ok || slices.ContainsFunc(c.h.Calls, func(r Call) bool { return "default/"+r.Session == name && r.To == "paused" }) {
			return false
		}
		c.inTheEnd(name, func(s *Seen) { s.State = "paused" })
		return true
	},
	"let a pause win over an ending": func(c *corruptor) bool {
		for _, name := range c.sessions() {
			moves := slices.DeleteFunc(slices.Clone(c.h.Calls), func(r Call) bool {
				return "default/"+r.Session != name || r.Do != Move || r.Outcome == Refused
			})
			if c.h.Finals[0].Sessions[name].State != "ended" || slices.ContainsFunc(moves, func(r Call) bool { return r.To == reopened }) ||
				!slices.ContainsFunc(moves, func(r Call) bool { return r.To == "paused" }) ||
				!slices.ContainsFunc(moves, func(r Call) bool { return r.To == "ended" && r.Outcome == OK && !c.h.ExcusedCalls[r.ID] }) {
				continue
			}
			c.inTheEnd(name, func(s *Seen) { s.State = "paused" })
			return true
		}
		return false
	},
	"make an illegal move": func(c *corruptor) bool {
		for i := range c.h.Calls {
			r := &c.h.Calls[i]
			if r.Do != Move || r.Code != "illegal_transition" || len(c.retriesOf(r)) != 1 || !c.only(r) {
				continue
			}
			r.Outcome, r.Code = OK, ""
			return true
		}
		return false
	},
	"differ in a digest": func(c *corruptor) bool {
		c.h.Finals[c.rng.IntN(len(c.h.Finals))].Digests["default"] = "other"
		return true
	},
	"keep a backlog": func(c *corruptor) bool {
		c.h.Finals[c.rng.IntN(len(c.h.Finals))].Backlog["default"] = 1
		return true
	},
	"keep an op waiting": func(c *corruptor) bool {
		c.h.Finals[c.rng.IntN(len(c.h.Finals))].Waiting["default"] = 1
		return true
	},
	"agree too late": func(c *corruptor) bool {
		c.h.Settled = c.h.Healed + c.h.Bound + 1
		return true
	},
	"forget a session": func(c *corruptor) bool {
		p, ok := pick(c, c.pairs())
		if ok {
			*p[1].Seen = Seen{Gone: "unknown"}
		}
		return ok
	},
	"take a write at a version that is over": func(c *corruptor) bool {
		for i := range c.h.Calls {
			r := &c.h.Calls[i]
			if r.Code != "version_moved" || len(c.retriesOf(r)) != 1 || !c.movedAt(r) {
				continue
			}
			r.Outcome, r.Code = OK, ""
			return true
		}
		return false
	},
}

// first gives the first call of a call's request.
func (r Call) first(h *History) int {
	if r.Key == "" {
		return r.ID
	}
	return slices.IndexFunc(h.Calls, func(c Call) bool { return c.Key == r.Key && c.Session == r.Session })
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
			c.h.Finals[i].Ops["default"] = slices.DeleteFunc(c.h.Finals[i].Ops["default"], func(op Op) bool { return op.dot() == at })
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
		return read.Node == r.Node && read.Session == r.Session && read.End < r.Begin && what(read.Seen) && !c.reset(r.Node, read.Begin, r.End)
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
		return w.Session == r.Session && w.Node == r.Node && w.Outcome == OK && w.Do == Append && w.Begin > named && w.End < r.Begin &&
			len(c.retriesOf(&w)) == 1 && !c.reset(r.Node, w.Begin, r.End)
	})
}

// TestCorruptionsAreCaught spoils correct histories in every way and counts what
// the checkers see of it.
func TestCorruptionsAreCaught(t *testing.T) {
	t.Parallel()
	type score struct{ made, caught int }
	scores := map[string]*score{}
	names := sortedKeys(corruptions)
	for seed := range uint64(120) {
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
		if s == nil || s.made < 5 {
			t.Errorf("%s: made %v times, want at least 5", name, s)
			continue
		}
		t.Log(fmt.Sprintf("%-62s %4d of %4d", name, s.caught, s.made))
		made, caught = made+s.made, caught+s.caught
		if s.caught*100 < s.made*95 {
			t.Errorf("%s: caught %d of %d", name, s.caught, s.made)
		}
	}
	if caught*1000 < made*993 {
		t.Errorf("caught %d of %d corruptions, want over 99 %%", caught, made)
	}
}
