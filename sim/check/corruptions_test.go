package check

import "slices"

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
			return w.Do == Patch && ok && w.Session == r.Session && w.Begin > r.End && w.Values[0].Value != "" &&
				w.ID == w.first(c.h)
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
			if !c.done(add) || s.Counters[add.Target]&add.By == 0 {
				return false
			}
			s.Counters[add.Target] -= add.By
			return true
		})
	},
	"add twice": func(c *corruptor) bool {
		return c.total(func(add *Call, s *Seen) bool {
			if !c.done(add) || s.Counters[add.Target]&add.By == 0 {
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
			removed := func(r Call) bool { return r.Do == Remove && r.Values[0].Value == value }
			if !c.kept(value) || slices.ContainsFunc(c.h.Calls, removed) {
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
			if r.Do != Remove || !c.done(r) || len(c.callsOf(r.Values[0].Value)) != 1 || c.h.Excused[r.Values[0].Value] {
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
		paused := func(r Call) bool { return "default/"+r.Session == name && r.To == "paused" }
		if !ok || slices.ContainsFunc(c.h.Calls, paused) {
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
			to := func(state string) bool {
				return slices.ContainsFunc(moves, func(r Call) bool { return r.To == state && (state != "ended" || c.done(&r)) })
			}
			if c.h.Finals[0].Sessions[name].State != "ended" || to(reopened) || !to("paused") || !to("ended") {
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
