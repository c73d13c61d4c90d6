package report

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// fake is a toy cluster that makes results with the look of real ones: edges
// commit, publish to a stream, core nodes consume and deliver. It is no model of
// the product and proves nothing about it.
type fake struct {
	r      *sim.Result
	rng    *rand.Rand
	now    time.Duration
	queue  agenda
	serial uint64
	nodes  map[string]*fakeNode
	names  []string // core nodes first
	cores  []string
	known  map[vclock.Dot]fakeOp
	values int
}

type fakeNode struct {
	name   string
	core   bool
	down   bool
	origin vclock.Origin
	next   vclock.Seq
	sent   vclock.Seq // up to which the core has it
	vector vclock.Vector
	attach string
}

type fakeOp struct {
	dot     vclock.Dot
	session string
	value   string
	wall    uint64
}

type agenda []job

type job struct {
	at     time.Duration
	serial uint64
	do     func()
}

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(a[i].at, a[j].at), cmp.Compare(a[i].serial, a[j].serial)) < 0
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(job)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// fakePlan is a shop that is offline, a core node that dies, and some bad luck.
func fakePlan(cores, edges int, length time.Duration) *sim.Plan {
	p := &sim.Plan{
		Name:   "shop-offline",
		Shows:  "A shop loses its line while a core node dies; both sides go on writing, and all of it is there in the end.",
		Length: length, Settle: 30 * time.Second,
		Net:    sim.Quality{Delay: 20 * time.Millisecond, Jitter: 8 * time.Millisecond},
		Expect: sim.Expect{Converge: true},
	}
	for i := range cores {
		p.Nodes = append(p.Nodes, sim.NodePlan{Name: fmt.Sprintf("core-%d", i+1), Core: true})
	}
	for i := range edges {
		p.Nodes = append(p.Nodes, sim.NodePlan{Name: fmt.Sprintf("edge-%d", i+1), Spaces: []string{"default"}})
	}
	at := func(permille int) time.Duration { return length * time.Duration(permille) / 1000 }
	p.Faults = []sim.Fault{
		{Kind: sim.Degrade, At: at(60), For: at(230), Nodes: []string{"edge-3"}, Quality: sim.Quality{
			Delay: 2 * time.Second, Jitter: 300 * time.Millisecond, Loss: sim.Chance{P: 0.3,
				Correlation: 0.25}, Bandwidth: 8000}},
		{Kind: sim.Partition, At: at(200), For: at(450), Nodes: []string{"edge-1", "edge-2"}},
		{Kind: sim.Crash, At: at(330), For: at(140), Nodes: []string{"core-2"}},
		{Kind: sim.ClockStep, At: at(400), Nodes: []string{"edge-2"}, Delay: time.Hour},
		{Kind: sim.Pause, At: at(480), For: at(90), Nodes: []string{"edge-4"}, Suspend: true},
		{Kind: sim.SlowDisk, At: at(540), For: at(160), Nodes: []string{"core-1"}, Delay: 250 * time.Millisecond},
		{Kind: sim.Flap, At: at(600), For: at(200), Nodes: []string{"edge-5"}, Up: length / 80, Down: length / 60},
		{Kind: sim.BitFlip, At: at(720), Nodes: []string{"core-3"}, Class: "op"},
	}
	p.Faults = slices.DeleteFunc(p.Faults, func(f sim.Fault) bool { // of nodes that a small cluster does not have
		return slices.ContainsFunc(f.Nodes, func(name string) bool {
			return !slices.ContainsFunc(p.Nodes, func(n sim.NodePlan) bool { return n.Name == name })
		})
	})
	return p
}

// fakeRun plays a plan with about so many writes.
func fakeRun(plan *sim.Plan, seed uint64, writes int) *sim.Result {
	f := &fake{
		r:     &sim.Result{Plan: plan, Seed: seed, Facts: map[string]int{}},
		rng:   rand.New(rand.NewPCG(seed, 1)),
		nodes: map[string]*fakeNode{}, known: map[vclock.Dot]fakeOp{},
	}
	for i, n := range plan.Nodes {
		f.names = append(f.names, n.Name)
		if n.Core {
			f.cores = append(f.cores, n.Name)
		}
		f.nodes[n.Name] = &fakeNode{name: n.Name, core: n.Core,
			origin: vclock.Origin(n.Name + "~" + fmt.Sprintf("%06x", seed+uint64(i)*7919)), attach: f.cores[i%len(f.cores)]}
	}
	f.schedule(writes)
	end := plan.Length + 4*time.Second
	for f.queue.Len() > 0 && f.queue[0].at <= end {
		j := heap.Pop(&f.queue).(job)
		f.now = j.at
		j.do()
	}
	f.now = end
	f.finish()
	return f.r
}

func (f *fake) after(d time.Duration, do func()) {
	f.serial++
	heap.Push(&f.queue, job{f.now + d, f.serial, do})
}

func (f *fake) say(e sim.Event) uint64 {
	e.Serial, e.At = uint64(len(f.r.Trace)+1), f.now
	f.r.Trace = append(f.r.Trace, e)
	return e.Serial
}

func (f *fake) schedule(writes int) {
	plan := f.r.Plan
	for _, x := range plan.Faults {
		f.after(x.At, func() {
			f.say(sim.Event{Kind: sim.EvFault, What: faultName(x.Kind), Detail: faultWords(x)})
			if x.Kind == sim.Crash {
				f.nodes[x.Nodes[0]].down = true
				f.say(sim.Event{Kind: sim.EvCrash, Node: x.Nodes[0], What: "killed"})
			}
		})
		if x.For > 0 {
			f.after(x.At+x.For, func() {
				f.say(sim.Event{Kind: sim.EvHeal, What: faultName(x.Kind)})
				if x.Kind == sim.Crash {
					f.nodes[x.Nodes[0]].down = false
					f.say(sim.Event{Kind: sim.EvStart, Node: x.Nodes[0], What: "starts"})
				}
			})
		}
	}
	for i := range writes {
		f.after(time.Duration(f.rng.Int64N(int64(plan.Length*9/10))), func() { f.call(i) })
	}
	for _, name := range f.names[len(f.cores):] {
		f.after(time.Duration(f.rng.Int64N(int64(time.Second))), func() { f.beat(f.nodes[name]) })
	}
	f.after(plan.Length, func() {
		f.say(sim.Event{Kind: sim.EvHeal, What: "healed", Detail: "all faults are over"})
		for _, name := range f.names[len(f.cores):] {
			f.resync(f.nodes[name])
		}
	})
}

// cut reports whether messages between two nodes are lost now.
func (f *fake) cut(a, b string) bool {
	for _, x := range f.r.Plan.Faults {
		if f.now < x.At || f.now >= x.At+x.For {
			continue
		}
		one, other := slices.Contains(x.Nodes, a), slices.Contains(x.Nodes, b)
		switch x.Kind {
		case sim.Partition:
			if one != other {
				return true
			}
		case sim.Flap:
			if one != other && (f.now-x.At)%(x.Up+x.Down) >= x.Up {
				return true
			}
		case sim.Degrade:
			if one != other && f.rng.Float64() < x.Quality.Loss.P {
				return true
			}
		case sim.Pause:
			if one || other {
				return true
			}
		}
	}
	return f.nodes[a].down || f.nodes[b].down
}

func (f *fake) delay() time.Duration {
	return 12*time.Millisecond + time.Duration(f.rng.Int64N(int64(16*time.Millisecond)))
}

// send carries a message and does then when it arrives.
func (f *fake) send(from, to, what, detail string, cause uint64, then func(cause uint64)) {
	sent := f.say(sim.Event{Kind: sim.EvSend, Node: from, Peer: to, What: what, Detail: detail, Cause: cause,
		Space: "default"})
	if f.cut(from, to) {
		f.after(f.delay()/2, func() {
			f.say(sim.Event{Kind: sim.EvDrop, Node: from, Peer: to, What: what, Detail: "cut off", Cause: sent})
		})
		return
	}
	f.after(f.delay(), func() {
		if f.cut(from, to) {
			f.say(sim.Event{Kind: sim.EvDrop, Node: from, Peer: to, What: what, Detail: "connection lost", Cause: sent})
			return
		}
		then(f.say(sim.Event{Kind: sim.EvArrive, Node: to, Peer: from, What: what, Detail: detail, Cause: sent,
			Space: "default"}))
	})
}

func (f *fake) beat(e *fakeNode) {
	f.send(e.attach, e.name, "heartbeat", "", 0, func(cause uint64) {
		f.send(e.name, e.attach, "credit", "", cause, func(uint64) {})
		f.resync(e)
	})
	if f.nodes[e.attach].down {
		e.attach = f.cores[f.rng.IntN(len(f.cores))]
		f.r.Facts["attachment_lost"]++
		f.say(sim.Event{Kind: sim.EvFact, Node: e.name, What: "attachment_lost", Detail: "silence"})
	}
	f.after(f.r.Plan.Length/time.Duration(300), func() { f.beat(e) })
}

// call is one client's request at an edge.
func (f *fake) call(i int) {
	e := f.nodes[f.names[len(f.cores)+f.rng.IntN(len(f.names)-len(f.cores))]]
	session := fmt.Sprintf("s-%d", 1+f.rng.IntN(8))
	client := fmt.Sprintf("client-%d", 1+i%6)
	c := check.Call{ID: len(f.r.History.Calls), Client: client, Node: e.name, Begin: f.now, Space: "default",
		Session: session}
	what := "append"
	if i%4 == 3 {
		c.Do, what = check.Read, "read"
	} else {
		f.values++
		c.Do = check.Append
		c.Values = []check.Value{{ID: fmt.Sprintf("m%d", f.values), Value: fmt.Sprintf("v%d from %s", f.values, client)}}
	}
	if i%37 == 0 && c.Do == check.Append {
		c.Key = fmt.Sprintf("k%d", i)
	}
	id := len(f.r.History.Calls)
	f.r.History.Calls = append(f.r.History.Calls, c)
	asked := f.say(sim.Event{Kind: sim.EvCall, Node: e.name, Peer: client, What: what, Space: "default",
		Session: session})
	if i%53 == 7 { // a client that asks for too much
		f.answer(id, asked, check.Refused, "rate_limited")
		return
	}
	f.after(time.Duration(2+f.rng.IntN(5))*time.Millisecond, func() {
		if c.Do == check.Read {
			seen := f.seen(e, session)
			f.r.History.Calls[id].Seen = &seen
			f.answer(id, asked, check.OK, "")
			return
		}
		e.next++
		op := fakeOp{vclock.Dot{Origin: e.origin, Seq: e.next}, session, c.Values[0].Value, uint64(f.now / time.Millisecond)}
		f.known[op.dot] = op
		cause := f.commit(e, []fakeOp{op}, asked)
		f.answer(id, asked, check.OK, "")
		f.publish(e, cause)
	})
}

func (f *fake) answer(id int, asked uint64, o check.Outcome, code string) {
	c := &f.r.History.Calls[id]
	c.Outcome, c.Code, c.End = o, code, f.now
	detail := "ok, local"
	if o == check.Refused {
		detail = "refused: " + code
	}
	f.say(sim.Event{Kind: sim.EvAnswer, Node: c.Node, Peer: c.Client, What: cmp.Or(code, "ok"), Detail: detail,
		Cause: asked,
		Space: "default", Session: c.Session})
}

func (f *fake) commit(n *fakeNode, ops []fakeOp, cause uint64) uint64 {
	var session string
	for _, op := range ops {
		n.vector = n.vector.With(op.dot)
		session = op.session
	}
	if len(ops) > 1 {
		session = ""
	}
	return f.say(sim.Event{Kind: sim.EvCommit, Node: n.name, What: many(len(ops), "op", "ops"), Space: "default",
		Session: session,
		Detail:  "default " + ops[len(ops)-1].dot.String(), Vector: n.vector.String(), Cause: cause})
}

// publish sends what the core lacks of an edge's own feed.
func (f *fake) publish(e *fakeNode, cause uint64) {
	if f.cut(e.name, e.attach) || e.sent >= e.next {
		return
	}
	from, to := e.sent+1, e.next
	e.sent = to
	detail := fmt.Sprintf("default %s %d-%d", e.origin, from, to)
	published := f.say(sim.Event{Kind: sim.EvPublish, Node: e.name, What: "frame", Detail: detail, Cause: cause,
		Space: "default"})
	sent := f.say(sim.Event{Kind: sim.EvSend, Node: e.name, Peer: f.cores[0], What: "publish", Cause: published,
		Space: "default"})
	f.after(f.delay(), func() {
		stored := f.say(sim.Event{Kind: sim.EvStored, Node: f.cores[0], What: "frame", Detail: detail, Cause: sent,
			Space: "default"})
		for _, name := range f.cores {
			f.after(time.Duration(1+f.rng.IntN(6))*time.Millisecond, func() { f.consume(f.nodes[name], e, to, stored, detail) })
		}
	})
}

func (f *fake) consume(c, e *fakeNode, to vclock.Seq, stored uint64, detail string) {
	if c.down {
		return
	}
	read := f.say(sim.Event{Kind: sim.EvConsume, Node: c.name, What: "frame", Detail: detail, Cause: stored,
		Space: "default"})
	var ops []fakeOp
	for seq := c.vector.At(e.origin) + 1; seq <= to; seq++ {
		ops = append(ops, f.known[vclock.Dot{Origin: e.origin, Seq: seq}])
	}
	if len(ops) == 0 {
		return
	}
	f.after(3*time.Millisecond, func() {
		done := f.commit(c, ops, read)
		f.send(c.name, e.name, "receipts", detail, done, func(cause uint64) {
			f.say(sim.Event{Kind: sim.EvReleased, Node: e.name, What: "outbox", Detail: detail, Cause: cause, Space: "default"})
		})
		for _, name := range f.names[len(f.cores):] {
			if o := f.nodes[name]; o != e && o.attach == c.name {
				f.deliver(c, o, done)
			}
		}
	})
}

// deliver sends to an edge what its core node holds and it does not.
func (f *fake) deliver(c, e *fakeNode, cause uint64) {
	var ops []fakeOp
	for origin, seq := range c.vector.All() {
		for s := e.vector.At(origin) + 1; s <= seq; s++ {
			ops = append(ops, f.known[vclock.Dot{Origin: origin, Seq: s}])
		}
	}
	if len(ops) == 0 {
		return
	}
	detail := "default " + many(len(ops), "op", "ops")
	f.send(c.name, e.name, "deliver", detail, cause, func(cause uint64) {
		ops := slices.DeleteFunc(ops, func(op fakeOp) bool { return e.vector.Covers(op.dot) })
		if len(ops) == 0 {
			return
		}
		f.after(2*time.Millisecond, func() { f.commit(e, ops, cause) })
	})
}

// resync lets an edge and its core node exchange what the other lacks.
func (f *fake) resync(e *fakeNode) {
	f.publish(e, 0)
	c := f.nodes[e.attach]
	for _, name := range f.cores { // the stream is read again by whoever was down
		for origin, seq := range f.nodes[name].vector.All() {
			for s := c.vector.At(origin) + 1; s <= seq && !c.down; s++ {
				c.vector = c.vector.With(vclock.Dot{Origin: origin, Seq: s})
			}
		}
	}
	if !f.cut(e.name, c.name) {
		f.deliver(c, e, 0)
	}
}

func (f *fake) seen(n *fakeNode, session string) check.Seen {
	var ops []fakeOp
	for origin, seq := range n.vector.All() {
		for s := vclock.Seq(1); s <= seq; s++ {
			if op := f.known[vclock.Dot{Origin: origin, Seq: s}]; op.session == session {
				ops = append(ops, op)
			}
		}
	}
	slices.SortFunc(ops, func(a, b fakeOp) int {
		return cmp.Or(cmp.Compare(a.wall, b.wall), strings.Compare(string(a.dot.Origin), string(b.dot.Origin)))
	})
	s := check.Seen{State: "active"}
	for _, op := range ops {
		id, _, _ := strings.Cut(op.value, " ")
		s.Messages = append(s.Messages, check.Message{ID: "m" + id[1:], Value: op.value, Origin: string(op.dot.Origin)})
	}
	if n := len(ops); n > 1 {
		s.Leaves = []check.Leaf{{Path: "/cart/total", Shown: ops[0].value, Others: []string{ops[1].value}},
			{Path: "/lang", Shown: "de"}}
		s.Conflicts = []string{"/cart/total"}
		s.Counters = map[string]int64{"visits": int64(n)}
	}
	return s
}

// finish brings all nodes to one state and adds what checkers would say.
func (f *fake) finish() {
	h := &f.r.History
	h.Healed, h.Settled, h.Bound = f.r.Plan.Length, f.r.Plan.Length+3200*time.Millisecond, 30*time.Second
	var all vclock.Vector
	for _, name := range f.names {
		all = all.Merge(f.nodes[name].vector)
	}
	for _, name := range f.names {
		n := f.nodes[name]
		n.vector = all
		final := check.Final{Node: name, Spaces: []string{"default"}, Sessions: map[string]check.Seen{},
			Ops: map[string][]check.Op{}}
		for origin, seq := range all.All() {
			for s := vclock.Seq(1); s <= seq; s++ {
				op := f.known[vclock.Dot{Origin: origin, Seq: s}]
				final.Ops["default"] = append(final.Ops["default"], check.Op{Origin: string(origin), Seq: uint64(s),
					Session: op.session, Values: []string{op.value}, Kind: "append"})
			}
		}
		for i := range 8 {
			session := fmt.Sprintf("s-%d", i+1)
			final.Sessions["default/"+session] = f.seen(n, session)
		}
		h.Finals = append(h.Finals, final)
	}
	f.say(sim.Event{Kind: sim.EvCheck, What: "all nodes agree"})
	f.r.Simulated, f.r.Real = f.now, 812*time.Millisecond
	f.r.Events = uint64(len(f.r.Trace)) * 3
	f.r.Facts["attach_granted"], f.r.Facts["publish_unsettled"], f.r.Facts["digest_compared"] = 31, 14, 220
	for i := range f.r.Hash {
		f.r.Hash[i] = byte(i*37 + int(f.r.Seed))
	}
	f.r.Rates = []sim.Rate{
		{What: "loss edge-3 ↔ core-1", Nominal: 0.3, Theory: 0.2964, Measured: 0.291, Drawn: 8211},
		{What: "loss edge-3 ↔ core-2 (1 %, correlation 25 %)", Nominal: 0.01, Theory: 0.000012, Measured: 0, Drawn: 7012},
	}
	h.Samples = []check.Sample{
		{At: 2 * time.Second, Node: "edge-1", What: "in flight", Value: 1, Max: 1},
		{At: 9 * time.Second, Node: "core-1", What: "inputs", Value: 181, Max: 1024},
		{At: 11 * time.Second, Node: "core-2", What: "vector width", Value: 8, Max: 4096},
	}
	n := len(h.Calls)
	f.r.Verdicts = []check.Verdict{
		{Check: "acknowledged writes survive", Promise: "I2", Examined: n}, {Check: "nothing is invented",
			Promise: "I3", Examined: 4 * n},
		{Check: "effects once", Promise: "I4, F41, F42", Examined: n}, {Check: "feeds without gap", Promise: "I4",
			Examined: 8 * len(f.names)},
		{Check: "causes show before effects", Promise: "I6", Examined: 3 * n}, {Check: "causal convergence",
			Promise: "I7", Examined: n},
		{Check: "equal states after healing", Promise: "I8",
			Examined: len(f.names)}, {Check: "concurrent values are kept", Promise: "I9", Examined: n / 2},
		{Check: "lifecycle", Promise: "I11", Examined: 8}, {Check: "erased stays erased", Promise: "F59"},
		{Check: "stamps rise", Promise: "I10", Examined: n}, {Check: "bounds", Promise: "I12", Examined: 3},
		{Check: "writes reach the core", Promise: "I13", Examined: n},
	}
}

// fakeBroken is a run in which a node lost a value and two nodes disagree.
func fakeBroken(plan *sim.Plan, seed uint64, writes int) *sim.Result {
	r := fakeRun(plan, seed, writes)
	last := &r.History.Finals[len(r.History.Finals)-1]
	s := last.Sessions["default/s-1"]
	s.Messages = slices.Delete(slices.Clone(s.Messages), 1, 2)
	last.Sessions["default/s-1"] = s
	var lost int
	for i, c := range r.History.Calls {
		if c.Session == "s-1" && c.Do == check.Append && c.Begin > r.Plan.Length/3 {
			lost = i
			break
		}
	}
	v := check.Violation{Check: "acknowledged writes survive", Node: last.Node, Session: "default/s-1",
		Calls: []int{lost},
		Text:  "edge-8 does not show “" + r.History.Calls[lost].Values[0].Value + "”, which edge-1 acknowledged"}
	w := check.Violation{Check: "equal states after healing", Node: last.Node, At: r.History.Healed + 30*time.Second,
		Text: "the digest of default differs from that of core-1"}
	r.Verdicts[0].Violations = []check.Violation{v}
	r.Verdicts[6].Violations = []check.Violation{w}
	r.Problems = []check.Violation{v, w}
	r.History.Settled = 0
	return r
}
