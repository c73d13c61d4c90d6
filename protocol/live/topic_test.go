package live_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/vclock"
)

// op is an op of the model: what it is, and what its author had seen.
type op struct {
	dot  vclock.Dot
	deps vclock.Vector
}

// replica is a node of the model: a log in the order of arrival, and the topic
// that its clients follow.
type replica struct {
	name  string
	log   []op
	held  vclock.Vector
	topic *live.Topic[op]
}

func (n *replica) add(o op) {
	n.log = append(n.log, o)
	n.held = n.held.With(o.dot)
}

// behind lists what since does not cover, as a store does.
func (n *replica) behind(since vclock.Vector, limit int) (items []live.Item[op], end bool) {
	for _, o := range n.log {
		if since.Covers(o.dot) {
			continue
		}
		if len(items) == limit {
			return items, false
		}
		since = since.With(o.dot)
		items = append(items, live.Item[op]{Dot: o.dot, Bytes: 1000, Event: o})
	}
	return items, true
}

// client follows at one node after the other, with nothing but its token.
type client struct {
	at     *replica
	reader *live.Reader
	token  vclock.Vector
	seen   map[vclock.Dot]bool
	told   []live.Standing
}

func (c *client) move(to *replica) {
	if c.reader != nil {
		c.at.topic.Leave(c.reader)
	}
	c.at = to
	if to.topic.Readers() == 0 { // nobody read for it meanwhile
		to.topic = live.NewTopic[op](to.held)
	}
	c.reader = to.topic.Enter(c.token)
}

// pump does what a connection does when it is woken; it reports whether there
// was something to do.
func (c *client) pump(limit int) (bool, error) {
	var got []live.Delivery[op]
	loaded := c.at.topic.MustLoad(c.reader)
	if loaded {
		items, end := c.at.behind(c.reader.Since(), limit)
		got = c.at.topic.Loaded(c.reader, items, end)
	} else {
		got = c.at.topic.Take(c.reader)
	}
	for _, d := range got {
		if c.seen[d.Event.dot] {
			return false, fmt.Errorf("%v came twice", d.Event.dot)
		}
		for o, seq := range d.Event.deps.All() {
			if !c.seen[vclock.Dot{Origin: o, Seq: seq}] {
				return false, fmt.Errorf("%v came before %s.%d, on which it depends", d.Event.dot, o, seq)
			}
		}
		c.seen[d.Event.dot] = true
		want := c.token.With(d.Event.dot)
		if c.token = d.Version; c.token.Compare(want) != vclock.Equal {
			return false, fmt.Errorf("token behind %v is %v, want %v", d.Event.dot, c.token, want)
		}
	}
	if len(got) == 0 && !loaded {
		if s, tell := c.reader.Stand(c.at.held.Includes(c.reader.Since())); tell {
			c.told = append(c.told, s)
		}
	}
	return loaded || len(got) > 0, nil
}

// TestEachOpOnceAcrossNodes has clients move between three nodes that hold
// different parts of a history in different orders, at any moment: each gets
// every op once, after what it depends on.
func TestEachOpOnceAcrossNodes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(600) {
		if err := wander(rand.New(rand.NewPCG(seed, 6))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func wander(rng *rand.Rand) error {
	nodes := make([]*replica, 3)
	for i := range nodes {
		nodes[i] = &replica{name: fmt.Sprintf("n%d", i), topic: live.NewTopic[op](vclock.Vector{})}
	}
	clients := make([]*client, 4)
	for i := range clients {
		clients[i] = &client{seen: map[vclock.Dot]bool{}}
		clients[i].move(nodes[i%3])
	}
	var all []op
	busy := 1 + rng.IntN(8)
	for range 400 {
		n, c := nodes[rng.IntN(3)], clients[rng.IntN(4)]
		switch k := rng.IntN(12); {
		case k < busy:
			o := op{dot: vclock.Dot{Origin: vclock.Origin(n.name), Seq: n.held.At(vclock.Origin(n.name)) + 1}, deps: n.held}
			n.add(o)
			all = append(all, o)
		case k < 8:
			receive(n, all, rng)
		case k < 9:
			items, _ := n.behind(n.topic.Cursor(), 1+rng.IntN(200))
			n.topic.Grow(items)
		case k < 10 && rng.IntN(4) == 0:
			c.move(nodes[rng.IntN(3)])
		default:
			if _, err := c.pump(1 + rng.IntN(10)); err != nil {
				return err
			}
		}
		if items, bytes := n.topic.Held(); items > live.MaxTailItems || bytes > live.MaxTailBytes {
			return fmt.Errorf("%d changes of %d bytes are kept", items, bytes)
		}
	}
	return settle(nodes, clients, all)
}

// receive takes an op of another node that has all its dependencies here.
func receive(n *replica, all []op, rng *rand.Rand) {
	var fit []op
	for _, o := range all {
		if !n.held.Covers(o.dot) && n.held.Includes(o.deps) && n.held.At(o.dot.Origin)+1 == o.dot.Seq {
			fit = append(fit, o)
		}
	}
	if len(fit) > 0 {
		n.add(fit[rng.IntN(len(fit))])
	}
}

// settle spreads every op and lets every client read to the end.
func settle(nodes []*replica, clients []*client, all []op) error {
	for _, n := range nodes {
		for _, o := range all { // causes stand before effects
			if !n.held.Covers(o.dot) {
				n.add(o)
			}
		}
		items, _ := n.behind(n.topic.Cursor(), len(n.log))
		n.topic.Grow(items)
	}
	for i, c := range clients {
		for rounds := 0; ; rounds++ {
			more, err := c.pump(5)
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if rounds > len(all)+100 {
				return fmt.Errorf("client %d does not come to an end", i)
			}
		}
		if len(c.seen) != len(all) {
			return fmt.Errorf("client %d saw %d of %d ops", i, len(c.seen), len(all))
		}
		if c.reader.Stands() != live.CaughtUp {
			return fmt.Errorf("client %d was told %v at the end", i, c.told)
		}
	}
	for _, n := range nodes {
		if items, bytes := n.topic.Held(); items != 0 || bytes != 0 {
			return fmt.Errorf("%s still keeps %d changes of %d bytes that everybody has", n.name, items, bytes)
		}
	}
	return nil
}

func grown(n *replica, count int) []live.Item[op] {
	for range count {
		n.add(op{dot: vclock.Dot{Origin: "a", Seq: n.held.At("a") + 1}})
	}
	items, _ := n.behind(n.topic.Cursor(), count)
	return items
}

// TestStoppedReader has one reader stop: what is kept for it stays within its
// bound, the other goes on from memory, and the stopped one finds everything
// in the store.
func TestStoppedReader(t *testing.T) {
	t.Parallel()
	n := &replica{topic: live.NewTopic[op](vclock.Vector{})}
	stopped := &client{seen: map[vclock.Dot]bool{}}
	quick := &client{seen: map[vclock.Dot]bool{}}
	stopped.move(n)
	quick.move(n)
	for range 1000 {
		n.topic.Grow(grown(n, 1))
		if n.topic.MustLoad(quick.reader) {
			t.Fatal("the quick reader must read the store")
		}
		if _, err := quick.pump(10); err != nil {
			t.Fatal(err)
		}
		if items, bytes := n.topic.Held(); items > live.MaxTailItems || bytes > live.MaxTailBytes {
			t.Fatalf("%d changes of %d bytes are kept", items, bytes)
		}
	}
	if !n.topic.MustLoad(stopped.reader) {
		t.Error("the stopped reader is served from memory")
	}
	for more := true; more; {
		var err error
		if more, err = stopped.pump(64); err != nil {
			t.Fatal(err)
		}
	}
	if len(stopped.seen) != 1000 {
		t.Errorf("the stopped reader saw %d of 1000 ops", len(stopped.seen))
	}
}

// TestSharedVersions has two readers at the same place get the very same
// token, and one that knows more from another node its own.
func TestSharedVersions(t *testing.T) {
	t.Parallel()
	n := &replica{topic: live.NewTopic[op](vclock.Vector{})}
	n.topic.Grow(grown(n, 3))
	same, more := n.topic.Enter(n.held), n.topic.Enter(n.held.With(vclock.Dot{Origin: "b", Seq: 7}))
	n.topic.Grow(grown(n, 1))
	got := n.topic.Take(same)
	if len(got) != 1 || !got[0].Shared || got[0].Version.Compare(n.held) != vclock.Equal {
		t.Errorf("reader at the topic's cursor got %+v, want the topic's own version", got)
	}
	got = n.topic.Take(more)
	if len(got) != 1 || got[0].Shared || got[0].Version.At("b") != 7 {
		t.Errorf("reader that knows more got %+v, want its own version", got)
	}
	n.add(op{dot: vclock.Dot{Origin: "b", Seq: 7}})
	items, _ := n.behind(n.topic.Cursor(), 9)
	n.topic.Grow(items)
	if got = n.topic.Take(more); len(got) != 0 {
		t.Errorf("an op that the token covers came again: %+v", got)
	}
	n.topic.Grow(grown(n, 1))
	if got = n.topic.Take(more); len(got) != 1 || !got[0].Shared {
		t.Errorf("when the node has caught up with the reader it got %+v, want a shared version", got)
	}
}

// TestStanding follows what a client is told about how far it has come.
func TestStanding(t *testing.T) {
	t.Parallel()
	n := &replica{topic: live.NewTopic[op](vclock.Vector{})}
	c := &client{seen: map[vclock.Dot]bool{}, token: vclock.Of(vclock.Dot{Origin: "a", Seq: 2})}
	for s := range vclock.Seq(2) {
		c.seen[vclock.Dot{Origin: "a", Seq: s + 1}] = true
	}
	c.move(n)
	for range 3 {
		if _, err := c.pump(10); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		n.topic.Grow(grown(n, 2))
		for range 3 {
			if _, err := c.pump(10); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := fmt.Sprint(c.told), fmt.Sprint([]live.Standing{live.Behind, live.CaughtUp}); got != want {
		t.Errorf("told %v, want %v: behind at first, then once that it has caught up", got, want)
	}
	if len(c.seen) != 4 {
		t.Errorf("saw %d ops, want 4", len(c.seen))
	}
}

// TestBigChanges hands over one change at a time when one fills the batch.
func TestBigChanges(t *testing.T) {
	t.Parallel()
	n := &replica{topic: live.NewTopic[op](vclock.Vector{})}
	r := n.topic.Enter(vclock.Vector{})
	n.topic.Grow([]live.Item[op]{{Dot: vclock.Dot{Origin: "a", Seq: 1}, Bytes: 10 * live.MaxTailBytes}})
	if items, _ := n.topic.Held(); items != 1 {
		t.Errorf("%d changes are kept, want the big one", items)
	}
	if got := n.topic.Take(r); len(got) != 1 {
		t.Errorf("%d changes handed over, want the big one", len(got))
	}
}
