package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// generator makes a history of clients at replicas of the model store: calls
// that overlap, answers that get lost, effects that come late, retries at other
// nodes, partitions, storage that is wiped or put back, and in the end peace.
type generator struct {
	rng      *rand.Rand
	h        History
	now      time.Duration
	replicas []*replica
	offset   []int64 // of the wall clocks, in milliseconds
	side     []int   // of the partition
	copies   []*replica
	flights  []*flight
	known    map[string]string // version of a session that somebody saw last
	values   int
	epochs   int
	sessions []string
	bits     map[string]int
	keys     map[string][]string
	ops      []*modelOp // all that were ever made
	by       map[*modelOp]int
}

// flight is a call on its way.
type flight struct {
	call             int
	effect, answer   time.Duration
	happens, answers bool
	done             bool
	retries          int
}

// options of a generated history.
type options struct {
	nodes, sessions, steps int
	resets                 bool
}

func generate(seed uint64, o options) *generator {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 7)), known: map[string]string{}, bits: map[string]int{},
		keys: map[string][]string{}, by: map[*modelOp]int{}}
	g.h.Excused, g.h.ExcusedCalls = map[string]bool{}, map[int]bool{}
	for i := range o.nodes {
		name := fmt.Sprintf("edge-%d", i+1)
		g.replicas = append(g.replicas, &replica{node: name, origin: name + "~0"})
		g.offset, g.side = append(g.offset, g.rng.Int64N(2000)), append(g.side, 0)
		g.copies = append(g.copies, g.replicas[i].clone())
	}
	for i := range o.sessions {
		g.sessions = append(g.sessions, fmt.Sprintf("s%d", i+1))
	}
	for range o.steps {
		g.step(o)
	}
	g.finish()
	return g
}

func (g *generator) one(in int) bool { return g.rng.IntN(in) == 0 }

func (g *generator) step(o options) {
	g.now += time.Duration(1 + g.rng.IntN(15e6))
	g.land()
	switch {
	case g.one(60):
		for i := range g.side {
			g.side[i] = g.rng.IntN(2)
		}
	case g.one(40):
		clear(g.side)
	case g.one(80):
		i := g.rng.IntN(o.nodes)
		g.copies[i] = g.replicas[i].clone()
	case o.resets && g.one(250):
		g.reset(g.rng.IntN(o.nodes))
	case g.one(90):
		g.expire()
	case g.one(50):
		g.offset[g.rng.IntN(o.nodes)] = g.rng.Int64N(4000)
	case g.one(3):
		a, b := g.rng.IntN(o.nodes), g.rng.IntN(o.nodes)
		if a != b && g.side[a] == g.side[b] {
			g.replicas[a].take(g.replicas[b], 1+g.rng.IntN(12))
		}
	default:
		g.begin()
	}
}

// reset takes a node's storage away or puts an older copy back.
func (g *generator) reset(i int) {
	r := g.replicas[i]
	g.epochs++
	fresh := &replica{node: r.node}
	if g.one(2) {
		fresh = g.copies[i].clone()
	}
	fresh.origin, fresh.next = fmt.Sprintf("%s~%d", r.node, g.epochs), 0
	g.replicas[i] = fresh
	g.h.Resets = append(g.h.Resets, Reset{r.node, g.now})
	for _, op := range r.ops {
		if slices.ContainsFunc(g.replicas, func(other *replica) bool { return other.holds(op) }) {
			continue
		}
		for _, v := range op.values {
			if v.Value != "" {
				g.h.Excused[v.Value] = true
			}
		}
		if call, ok := g.by[op]; ok {
			g.h.ExcusedCalls[call] = true
		}
	}
	for k := range g.copies { // older copies may hold what is gone: they must not bring it back
		if k != i {
			g.copies[k] = g.replicas[k].clone()
		}
	}
}

// expire lets an idle session expire at some node.
func (g *generator) expire() {
	i := g.rng.IntN(len(g.replicas))
	id := g.sessions[g.rng.IntN(len(g.sessions))]
	if id == "s1" || show(g.replicas[i].of(id)).Gone != "" {
		return
	}
	op := g.replicas[i].emit(&Call{Session: id, Do: expires}, 0, g.wall(i))
	g.ops = append(g.ops, op)
}

func (g *generator) wall(i int) uint64 { return uint64(1000000 + g.now.Milliseconds() + g.offset[i]) }

func (g *generator) value() string {
	g.values++
	return fmt.Sprintf("v%d", g.values)
}

// letters gives a value for texts.
func (g *generator) letters() string {
	g.values++
	n, b := g.values, []byte("aaaa")
	for i := range b {
		b[i], n = byte('a'+n%26), n/26
	}
	return string(b)
}

// begin begins a call.
func (g *generator) begin() {
	i := g.rng.IntN(len(g.replicas))
	id := g.sessions[g.rng.IntN(len(g.sessions))]
	c := Call{Client: fmt.Sprintf("c%d", g.rng.IntN(5)), Node: g.replicas[i].node, Space: "default", Session: id}
	now := show(g.replicas[i].of(id))
	if now.Gone == "unknown" || g.one(40) {
		c.Do, c.TTL = Open, time.Minute
		if id == "s1" {
			c.TTL = 0
		}
	} else if !g.choose(&c, &now) {
		return
	}
	if c.Do != Read && c.Do != ReadAll {
		if g.one(2) {
			c.Key = fmt.Sprintf("k%d", len(g.h.Calls))
			if old := g.keys[id]; len(old) > 0 && g.one(25) { // by mistake
				c.Key = old[g.rng.IntN(len(old))]
			}
			g.keys[id] = append(g.keys[id], c.Key)
		}
		if g.one(12) && c.Do != Open {
			c.IfMatch = g.known[id]
		}
		c.WantCore = g.one(4)
	}
	g.send(c, 0)
}

// choose makes up what a client wants; it is false if there is nothing.
func (g *generator) choose(c *Call, now *Seen) bool {
	switch n := g.rng.IntN(100); {
	case n < 30:
		c.Do = Read
	case n < 34:
		c.Do, c.Session = ReadAll, ""
	case n < 54:
		c.Do = Append
		for range 1 + g.rng.IntN(3) {
			c.Values = append(c.Values, Value{Value: g.value()})
		}
		if g.one(15) {
			c.Values[0].ID = fmt.Sprintf("own%d", g.rng.IntN(4))
		}
	case n < 70:
		c.Do = Patch
		path := [...]string{"/a", "/b", "/c", "/o", "/o/x", "/o/y"}[g.rng.IntN(6)]
		c.Values = []Value{{path, g.value()}}
		if g.one(5) {
			c.Values = append(c.Values, Value{"/d", g.value()})
		} else if g.one(8) {
			c.Values[0].Value = ""
		}
	case n < 78:
		return g.chooseMessage(c, now)
	case n < 93:
		return g.chooseMember(c, now)
	case n < 99 || !g.one(4):
		c.Do = Move
		legal := legalFrom(now.State)
		c.To = legal[g.rng.IntN(len(legal))]
		if c.To == "ended" && !g.one(3) || g.one(10) {
			c.To = "active"
		}
	default:
		c.Do = Erase
	}
	return true
}

func (g *generator) chooseMessage(c *Call, now *Seen) bool {
	if len(now.Messages) == 0 {
		return false
	}
	c.Do, c.Target = Edit, now.Messages[g.rng.IntN(len(now.Messages))].ID
	if g.one(6) {
		c.Do = Redact
		return true
	}
	c.Values = []Value{{c.Target, g.value()}}
	return true
}

// chooseMember makes up a change of a counter, a set or a text.
func (g *generator) chooseMember(c *Call, now *Seen) bool {
	c.Target = []string{"#n", "#m"}[g.rng.IntN(2)]
	name := c.Session + c.Target
	switch g.rng.IntN(4) {
	case 0:
		if g.bits[name] > 40 {
			return false
		}
		c.Do, c.By = Add, 1<<g.bits[name]
		g.bits[name]++
	case 1:
		c.Do, c.Values = Insert, []Value{{c.Target, g.value()}}
	case 2:
		list := now.Sets[c.Target]
		if len(list) == 0 {
			return false
		}
		c.Do, c.Values = Remove, []Value{{c.Target, list[g.rng.IntN(len(list))]}}
	default:
		c.Do, c.Values = Text, []Value{{Value: g.letters()}}
		if text := now.Texts[c.Target]; g.one(3) && len(text) >= 4 {
			at := 4 * g.rng.IntN(len(text)/4)
			c.Drops = []string{text[at : at+4]}
		}
	}
	return true
}

// send puts a call on its way.
func (g *generator) send(c Call, retries int) {
	c.ID, c.Begin = len(g.h.Calls), g.now
	g.h.Calls = append(g.h.Calls, c)
	f := &flight{call: c.ID, happens: !g.one(14), answers: !g.one(9), retries: retries}
	f.effect = g.now + time.Duration(g.rng.IntN(20e6))
	if !f.answers && g.one(3) {
		f.effect += time.Duration(g.rng.IntN(2e9))
	}
	f.answer = f.effect + time.Duration(g.rng.IntN(20e6))
	if c.WantCore && g.one(2) {
		f.answer += time.Duration(g.rng.IntN(1e9))
	}
	g.flights = append(g.flights, f)
}

// land lets happen what is due.
func (g *generator) land() {
	for _, f := range g.flights {
		c := &g.h.Calls[f.call]
		if !f.done && f.effect <= g.now {
			f.done = true
			if f.happens {
				g.take(f, c)
			}
		}
	}
	g.flights = slices.DeleteFunc(g.flights, func(f *flight) bool {
		if f.answer > g.now {
			return false
		}
		c := &g.h.Calls[f.call]
		if !f.answers || !f.happens {
			c.Outcome, c.Code, c.Seen, c.Version, c.IDs, c.Replayed = NoAnswer, "", nil, "", nil, false
		} else {
			c.End, c.Core = f.answer, c.WantCore && c.Outcome == OK && g.one(2)
			g.known[c.Session] = cmpOr(c.Version, g.known[c.Session])
		}
		if c.Key != "" && f.retries < 2 && (c.Outcome == NoAnswer && !g.one(4) || g.one(8)) {
			again := *c
			again.Outcome, again.End, again.Code, again.Version, again.Core = NoAnswer, 0, "", "", false
			again.Seen, again.IDs, again.Replayed = nil, nil, false
			if g.one(2) {
				again.Node = g.replicas[g.rng.IntN(len(g.replicas))].node
			}
			g.send(again, f.retries+1)
		}
		return true
	})
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// take has a call take effect at its node.
func (g *generator) take(f *flight, c *Call) {
	i := slices.IndexFunc(g.replicas, func(r *replica) bool { return r.node == c.Node })
	r := g.replicas[i]
	switch c.Do {
	case Read:
		seen := show(r.of(c.Session))
		c.Outcome, c.Seen, c.Version = OK, &seen, seen.Version
		return
	case ReadAll:
		c.Outcome, c.Seen = OK, &Seen{Ops: r.changes()}
		return
	}
	code, replayed, ops := r.write(c, g.wall(i))
	if code != "" {
		c.Outcome, c.Code = Refused, code
		return
	}
	c.Outcome, c.Replayed = OK, replayed && g.one(2)
	seen := show(r.of(c.Session))
	c.Version = seen.Version
	for _, op := range ops {
		if g.by[op] = f.call; op.id != "" {
			c.IDs = append(c.IDs, op.id)
		}
		if !replayed {
			g.ops = append(g.ops, op)
		}
	}
	if g.one(2) {
		c.IDs = nil
	}
}

// finish makes peace: everybody gets everything and shows it.
func (g *generator) finish() {
	g.h.Healed = g.now
	for range 60 {
		g.now += 50 * time.Millisecond
		g.land()
	}
	for range 2 {
		for _, a := range g.replicas {
			for _, b := range g.replicas {
				a.take(b, len(g.ops))
			}
		}
	}
	g.now += time.Second
	g.h.Settled, g.h.Bound = g.now, 10*time.Second
	for _, r := range g.replicas {
		f := Final{Node: r.node, Sessions: map[string]Seen{}, Spaces: []string{"default"},
			Digests: map[string]string{"default": "d"}, Ops: map[string][]Op{"default": r.changes()},
			Backlog: map[string]int{"default": 0}, Waiting: map[string]int{"default": 0}}
		for _, id := range g.sessions {
			if seen := show(r.of(id)); seen.Gone != "unknown" {
				f.Sessions["default/"+id] = seen
			}
		}
		g.h.Finals = append(g.h.Finals, f)
	}
	g.h.Samples = []Sample{{g.now, "edge-1", "inputs", 3, 10}}
}
