package protocol

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// world is a small cluster in memory: nodes that hold a trivial store and the
// machines, a stream, and a network that loses, doubles and delays on command.
type world struct {
	t        testing.TB
	now      Instant
	events   eventQueue
	serial   uint64
	rng      *rand.Rand
	nodes    map[string]*node
	names    []string
	stream   []streamMessage
	ids      map[string]uint64 // message ids within the dedup window
	faults   []*fault
	lossy    float64 // chance of each fault, for random runs
	log      *strings.Builder
	beats    bool // log heartbeats
	stores   int
	required int
	problems []string
}

type streamMessage struct {
	feed  Feed
	frame []byte
}

// fault is a rule for the next few messages that match.
type fault struct {
	what  string // "lose", "dup", "delay"
	kind  string // e.g. "deliver"
	to    string
	count int
}

// node is an edge or a core node, or both machines in one.
type node struct {
	name     string
	store    *memStore
	edge     *Edge
	core     *Core
	link     bool
	attachTo string
	origin   vclock.Origin
	boot     int
	position int // of the stream, for core nodes
	inc      string
	released map[Feed]vclock.Seq
	wakes    [2]Instant
}

type event struct {
	at  Instant
	seq uint64
	do  func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

func newWorld(t testing.TB, seed uint64) *world {
	return &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), nodes: map[string]*node{}, ids: map[string]uint64{},
		log: &strings.Builder{}, stores: 1, required: 1}
}

func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.events, event{w.now.Later(d), w.serial, do})
}

func (w *world) run(d time.Duration) {
	end := w.now.Later(d)
	for len(w.events) > 0 && w.events[0].at <= end {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

func (w *world) say(format string, args ...any) {
	if w.log != nil {
		fmt.Fprintf(w.log, "%v ", time.Duration(w.now).Round(100*time.Microsecond))
		fmt.Fprintf(w.log, format+"\n", args...)
	}
}

func (w *world) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf("%v: ", time.Duration(w.now))+fmt.Sprintf(format, args...))
}

// start makes the machines of a node over what its store holds.
func (w *world) start(n *node) {
	n.boot++
	n.wakes = [2]Instant{}
	cfg := DefaultEdgeConfig()
	cfg.Node, cfg.Cluster, cfg.Origin = n.name, "test", n.origin
	cfg.Instance = fmt.Sprintf("%s-i%d", n.name, n.boot)
	cfg.Everything = true
	if n.inc != "" {
		cfg.StoresRequired = w.required // a core node need not be told
	}
	var err error
	if n.edge, err = NewEdge(cfg, rand.New(rand.NewPCG(w.rng.Uint64(), 2))); err != nil {
		w.t.Fatal(err)
	}
	if n.inc != "" {
		cc := DefaultCoreConfig()
		cc.Node, cc.Cluster, cc.Incarnation = n.name, "test", n.inc
		cc.Stores, cc.StoresRequired = w.stores, w.required
		if n.core, err = NewCore(cc, rand.New(rand.NewPCG(w.rng.Uint64(), 3))); err != nil {
			w.t.Fatal(err)
		}
		var heads []FeedHead
		for _, f := range n.store.feedsSorted() {
			heads = append(heads, FeedHead{f, n.store.head(f)})
		}
		w.stepCore(n, Advanced{Feeds: heads, Quiet: true})
	}
	for _, f := range n.store.feedsSorted() {
		w.stepEdge(n, Persisted{Feed: f, Head: n.store.head(f), Released: n.released[f]})
	}
}

func (w *world) add(name string, core bool) *node {
	n := &node{name: name, store: newMemStore(), released: map[Feed]vclock.Seq{}, origin: vclock.Origin(name + "~a")}
	if core {
		n.inc = name + "-s1"
		n.link = true
	}
	w.nodes[name] = n
	w.names = append(w.names, name)
	slices.Sort(w.names)
	w.start(n)
	return n
}

func (w *world) linkUp(n *node, core string) {
	n.link, n.attachTo = true, core
	w.stepEdge(n, LinkUp{Core: core})
}

func (w *world) linkDown(n *node) {
	n.link = false
	w.stepEdge(n, LinkDown{})
}

// append writes ops under the node's origin.
func (w *world) append(n *node, space string, ops ...string) {
	f := Feed{space, n.origin}
	for _, op := range ops {
		n.store.append(f, Entry{Bytes: []byte(op), Hash: HashOp([]byte(op))})
	}
	w.committed(n, []Feed{f})
}

// committed tells a node's machines what its store holds now.
func (w *world) committed(n *node, feeds []Feed) {
	var heads []FeedHead
	for _, f := range feeds {
		heads = append(heads, FeedHead{f, n.store.head(f)})
		w.stepEdge(n, Persisted{Feed: f, Head: n.store.head(f)})
	}
	if n.core != nil && len(heads) > 0 {
		w.stepCore(n, Advanced{Feeds: heads})
	}
}

// later runs do after a while unless the node was restarted meanwhile.
func (w *world) later(n *node, d time.Duration, do func()) {
	boot := n.boot
	w.after(d, func() {
		if n.boot == boot {
			do()
		}
	})
}

func (w *world) stepEdge(n *node, in EdgeInput) {
	out, err := n.edge.Step(w.now, in)
	if err != nil {
		w.say("%s: error: %v", n.name, err)
		if _, wire := in.(Received); !wire {
			w.problem("%s: %T: %v", n.name, in, err)
		}
		return
	}
	for _, r := range out.Released {
		w.say("%s: released %s %d", n.name, r.Origin, r.Seq)
		n.released[r.Feed] = r.Seq
		w.checkRelease(n, r)
	}
	for _, a := range out.Acked {
		w.say("%s: acked %s %d", n.name, a.Origin, a.Seq)
	}
	for _, in := range out.Ingest {
		w.later(n, time.Millisecond, func() { w.ingest(n, in) })
	}
	for _, l := range out.Lookup {
		w.later(n, time.Millisecond, func() {
			c, ok := n.store.chain(l.Feed, l.Seq)
			w.stepEdge(n, ChainAt{Feed: l.Feed, Head: Head{l.Seq, c}, OK: ok})
		})
	}
	for _, a := range out.Ask {
		w.askSubject(n, a)
	}
	for _, p := range out.Publish {
		w.publish(n, p)
	}
	for _, s := range out.Send {
		w.send(n, s)
	}
	for _, f := range out.Facts {
		w.say("%s: %s", n.name, factText(f))
	}
	w.wake(n, 0, out.WakeAt, func() { w.stepEdge(n, Wake{}) })
}

func (w *world) wake(n *node, i int, at Instant, do func()) {
	if at != 0 && at <= w.now {
		w.problem("%s: wake at %v, now %v", n.name, at, w.now)
	}
	n.wakes[i] = at
	if at == 0 {
		return
	}
	w.later(n, time.Duration(at-w.now), func() {
		if n.wakes[i] == at {
			n.wakes[i] = 0
			do()
		}
	})
}

// checkRelease is the oracle of delete safety: enough stores hold the feed up
// to there with the same chain.
func (w *world) checkRelease(n *node, r FeedSeq) {
	want, _ := n.store.chain(r.Feed, r.Seq)
	count := 0
	for _, name := range w.names {
		if c := w.nodes[name]; c.inc != "" || c.core != nil {
			if got, ok := c.store.chain(r.Feed, r.Seq); ok && got == want {
				count++
			}
		}
	}
	if count < w.required {
		w.problem("%s released %s up to %d, which %d of %d stores hold", n.name, r.Origin, r.Seq, count, w.required)
	}
}

func (w *world) ingest(n *node, in Ingest) {
	grew, err := n.store.ingest(in.Frames)
	w.committed(n, grew)
	w.stepEdge(n, Ingested{Attachment: in.Attachment, N: in.N, Err: err})
}

func (w *world) askSubject(n *node, a AskSubject) {
	w.say("%s > stream: ask %s", n.name, a.Origin)
	if w.hit("ask", "stream") == "lose" || !n.link {
		return
	}
	w.later(n, 2*time.Millisecond, func() {
		if !n.link {
			return
		}
		in := SubjectHead{Feed: a.Feed, Attempt: a.Attempt}
		for i := len(w.stream) - 1; i >= 0 && in.StreamSeq == 0; i-- {
			if w.stream[i].feed == a.Feed {
				f := w.frame(w.stream[i].frame)
				in.Head, in.StreamSeq = f.Head(), uint64(i+1)
			}
		}
		w.say("stream > %s: %s at %d, message %d", n.name, a.Origin, in.Head.Seq, in.StreamSeq)
		w.stepEdge(n, in)
	})
}

func (w *world) frame(b []byte) Frame {
	f, err := DecodeFrame(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) publish(n *node, p Publish) {
	f, ok := n.store.frame(p.Feed, p.From, min(p.MaxOps, 4))
	if !ok {
		w.stepEdge(n, PublishFailed{p.Feed, p.Attempt, Unreadable})
		return
	}
	b, err := AppendFrame(nil, &f, Zstd)
	if err != nil {
		w.t.Fatal(err)
	}
	w.say("%s > stream: publish %s %d-%d expect %d", n.name, p.Origin, f.From, f.To(), p.Expect)
	if !n.link || w.hit("publish", "stream") == "lose" {
		return
	}
	id, loseAck := MsgID(&f, p.Nonce), w.hit("ack", n.name) == "lose"
	w.after(time.Millisecond, func() {
		last := uint64(0)
		for i, m := range w.stream {
			if m.feed == p.Feed {
				last = uint64(i + 1)
			}
		}
		var in EdgeInput
		seq, dup := w.ids[id]
		switch {
		case dup:
			in = Published{p.Feed, p.Attempt, f.Head(), seq}
		case last != p.Expect:
			in = PublishFailed{p.Feed, p.Attempt, WrongSequence}
		default:
			w.stream = append(w.stream, streamMessage{p.Feed, b})
			w.ids[id] = uint64(len(w.stream))
			in = Published{p.Feed, p.Attempt, f.Head(), uint64(len(w.stream))}
			w.streamGrew()
		}
		if loseAck {
			return
		}
		w.later(n, time.Millisecond, func() {
			if n.link {
				w.stepEdge(n, in)
			}
		})
	})
}

func (w *world) streamGrew() {
	for _, name := range w.names {
		if n := w.nodes[name]; n.core != nil {
			w.later(n, time.Millisecond, func() { w.consume(n) })
		}
	}
}

// consume reads the stream up to its end.
func (w *world) consume(n *node) {
	for n.position < len(w.stream) {
		f := w.frame(w.stream[n.position].frame)
		n.position++
		if len(f.Entries) == 0 || w.hit("consume", n.name) == "lose" {
			w.say("%s: lost %s %d-%d", n.name, f.Origin, f.From, f.To())
			continue
		}
		in := FrameSeen{Feed: f.Feed, From: f.From, To: f.To()}
		in.Meet = min(n.store.head(f.Feed).Seq, f.To())
		in.Theirs, _ = f.ChainAt(in.Meet)
		in.Ours, _ = n.store.chain(f.Feed, in.Meet)
		if w.stepCore(n, in) == Accept {
			grew, err := n.store.ingest([]Frame{f})
			if err != nil {
				w.problem("%s: accepted a frame that does not fit: %v", n.name, err)
			}
			w.committed(n, grew)
		}
	}
}

func (w *world) stepCore(n *node, in CoreInput) Verdict {
	out, err := n.core.Step(w.now, in)
	if err != nil {
		w.say("%s: error: %v", n.name, err)
		if _, wire := in.(Received); !wire {
			w.problem("%s: %T: %v", n.name, in, err)
		}
		return NoVerdict
	}
	if s, ok := in.(FrameSeen); ok {
		w.say("%s: %v %s %d-%d", n.name, out.Verdict, s.Origin, s.From, s.To)
	}
	for _, s := range out.Send {
		w.send(n, s)
	}
	for _, r := range out.Missing {
		w.later(n, time.Millisecond, func() { w.read(n, r) })
	}
	for _, l := range out.Chains {
		found := ChainsFound{Node: l.Node, Feed: l.Feed}
		for _, s := range l.Seqs {
			if c, ok := n.store.chain(l.Feed, s); ok {
				found.Heads = append(found.Heads, Head{s, c})
			}
		}
		w.stepCore(n, found)
	}
	for _, f := range out.Facts {
		w.say("%s: %s", n.name, factText(f))
	}
	w.wake(n, 1, out.WakeAt, func() { w.stepCore(n, Wake{}) })
	return out.Verdict
}

func (w *world) read(n *node, r ReadMissing) {
	frames, reached, more := n.store.missing(r.Space, r.After, 8)
	out, err := n.core.Step(w.now, Read{r.Attachment, r.Space, len(frames), reached, more})
	if err != nil {
		w.problem("%s: read: %v", n.name, err)
		return
	}
	for _, d := range out.Deliver {
		w.send(n, Send{ToNode, d.Node, Deliver{Attachment: d.Attachment, N: d.N, Frames: frames}})
	}
	for _, s := range out.Send {
		w.send(n, s)
	}
	for _, r := range out.Missing {
		w.later(n, time.Millisecond, func() { w.read(n, r) })
	}
	w.wake(n, 1, out.WakeAt, func() { w.stepCore(n, Wake{}) })
}

// hit gives the fault that befalls a message, "" for none.
func (w *world) hit(kind, to string) string {
	for i, f := range w.faults {
		if f.kind == kind && (f.to == "" || f.to == to) {
			if f.count--; f.count == 0 {
				w.faults = slices.Delete(w.faults, i, i+1)
			}
			return f.what
		}
	}
	if w.lossy > 0 && kind != "consume" && w.rng.Float64() < w.lossy {
		return "lose"
	}
	return ""
}

// send carries a message, encoded and decoded, to whom it is for.
func (w *world) send(from *node, s Send) {
	b, err := AppendMessage(nil, s.Message)
	if err != nil {
		w.t.Fatalf("encode %+v: %v", s.Message, err)
	}
	to := []string{s.Name}
	if s.Place == ToAllCores {
		to = nil
		for _, name := range w.names {
			if w.nodes[name].core != nil {
				to = append(to, name)
			}
		}
	}
	for _, name := range to {
		m, err := DecodeMessage(b)
		if err != nil {
			w.t.Fatalf("decode %+v: %v", s.Message, err)
		}
		delay, copies := time.Millisecond, 1
		switch w.hit(kindOf(m), name) {
		case "lose":
			w.say("%s > %s: %s: lost", from.name, name, describe(m))
			continue
		case "dup":
			copies = 2
		case "delay":
			delay = 20 * time.Millisecond
		}
		if w.lossy > 0 {
			delay += time.Duration(w.rng.Int64N(int64(2 * time.Millisecond)))
			if w.rng.Float64() < w.lossy {
				delay += 30 * time.Millisecond
			}
			if w.rng.Float64() < w.lossy {
				copies++
			}
		}
		for range copies {
			w.after(delay, func() { w.arrive(from.name, name, s.Place, m) })
		}
	}
}

func (w *world) arrive(from, to string, place Place, m Message) {
	n := w.nodes[to]
	if n == nil || !n.link && from != to || !w.nodes[from].link && from != to {
		return
	}
	if _, beat := m.(Heartbeat); !beat || w.beats {
		w.say("%s > %s: %s", from, to, describe(m))
	}
	in := Received{From: from, Message: m}
	if place == ToNode || place == ToReceiving {
		w.stepEdge(n, in)
		return
	}
	if n.core == nil {
		return
	}
	if a, ok := m.(Attach); ok {
		w.stepCore(n, AttachAsked{Attach: a, Held: n.store.states(a), Ready: true})
		return
	}
	w.stepCore(n, in)
}
