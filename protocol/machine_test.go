package protocol

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

func testCore(t testing.TB) *Core {
	t.Helper()
	cfg := DefaultCoreConfig()
	cfg.Node, cfg.Incarnation, cfg.Cluster = "core-1", "core-1-s1", "test"
	c, err := NewCore(cfg, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testEdge(t testing.TB) *Edge {
	t.Helper()
	cfg := DefaultEdgeConfig()
	cfg.Node, cfg.Cluster, cfg.Instance, cfg.Origin = "edge-1", "test", "p1", "edge-1~a"
	cfg.Everything = true
	e, err := NewEdge(cfg, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func stepE(t testing.TB, e *Edge, at Instant, in EdgeInput) EdgeOutput {
	t.Helper()
	out, err := e.Step(at, in)
	if err != nil {
		t.Fatalf("Step(%v, %+v) = %v", at, in, err)
	}
	return out
}

func stepC(t testing.TB, c *Core, at Instant, in CoreInput) CoreOutput {
	t.Helper()
	out, err := c.Step(at, in)
	if err != nil {
		t.Fatalf("Step(%v, %+v) = %v", at, in, err)
	}
	return out
}

func attachOf(node string, everything bool, spaces ...SpaceHeads) Attach {
	return Attach{Request: 1, Node: node, Instance: node + "-p1", Cluster: "test", Origin: vclock.Origin(node + "~a"),
		Everything: everything, Spaces: spaces}
}

// sent gives the only message of type M in a list.
func sent[M Message](t testing.TB, list []Send) M {
	t.Helper()
	for _, s := range list {
		if m, ok := s.Message.(M); ok {
			return m
		}
	}
	var none M
	t.Fatalf("no %T among %+v", none, list)
	return none
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	held := sampleFrame("a", "b")
	next := NewFrame(feedA, held.Head(), [][]byte{[]byte("c")})
	overlap := NewFrame(feedA, Head{1, mustChain(&held, 1)}, [][]byte{[]byte("b"), []byte("c")})
	beyond := NewFrame(feedA, next.Head(), [][]byte{[]byte("d")})
	other := sampleFrame("a", "X")
	otherNext := NewFrame(feedA, other.Head(), [][]byte{[]byte("c")})
	prefix := sampleFrame("X")
	for _, c := range []struct {
		name string
		f    Frame
		want Verdict
	}{
		{"next", next, Accept}, {"overlapping", overlap, Accept}, {"held", held, Duplicate}, {"beyond", beyond, Gap},
		{"other content", other, Fork}, {"after other content", otherNext, Fork}, {"other beginning", prefix, Fork},
	} {
		core := testCore(t)
		stepC(t, core, 1, Advanced{Feeds: []FeedHead{{feedA, held.Head()}}})
		meet := min(2, c.f.To())
		theirs, _ := c.f.ChainAt(meet)
		in := FrameSeen{Feed: feedA, From: c.f.From, To: c.f.To(), Meet: meet, Theirs: theirs, Ours: mustChain(&held, meet)}
		out := stepC(t, core, 2, in)
		if out.Verdict != c.want {
			t.Errorf("frame that is %s: %v, want %v", c.name, out.Verdict, c.want)
		}
		switch c.want {
		case Gap:
			if w := sent[Want](t, out.Send); w.From != 3 {
				t.Errorf("want from %d, want 3", w.From)
			}
		case Fork:
			if r := sent[Receipts](t, out.Send); r.Receipts[0].Head != held.Head() {
				t.Errorf("receipt on a fork: %+v", r)
			}
			refusal := stepC(t, core, 3, AttachAsked{Attach: attachOf("edge-1", true), Ready: true})
			if r := sent[Refused](t, refusal.Send); r.Code != CodeFencedOrigin {
				t.Errorf("attach after the fork: %v", r.Code)
			}
		}
	}
}

// TestFeedCutBack: a core whose own feed forked takes its head back and has those
// attach anew whom it sent what was taken out.
func TestFeedCutBack(t *testing.T) {
	t.Parallel()
	c := testCore(t)
	own := sampleFrame("a", "b", "c")
	stepC(t, c, 1, Advanced{Feeds: []FeedHead{{feedA, own.Head()}}})
	for _, held := range []vclock.Seq{1, 3} {
		chain, _ := own.ChainAt(held)
		heads := SpaceHeads{Space: feedA.Space, Feeds: []OriginHead{{feedA.Origin, Head{held, chain}}}}
		common := SpaceState{Space: feedA.Space, Feeds: []FeedState{{OriginHead: OriginHead{feedA.Origin, own.Head()},
			Common: Head{held, chain}}}}
		stepC(t, c, 2, AttachAsked{Attach: attachOf(fmt.Sprintf("edge-%d", held+1), false, heads), Held: []SpaceState{common}, Ready: true})
	}
	chain, _ := own.ChainAt(2)
	out := stepC(t, c, 3, Replaced{Feed: feedA, Head: Head{2, chain}})
	if len(out.Send) != 1 || out.Send[0].Name != "edge-4" || out.Send[0].Place != ToNode {
		t.Errorf("Replaced sends %+v, want a Detach to edge-4 alone", out.Send)
	}
	if _, ok := out.Send[0].Message.(Detach); !ok {
		t.Errorf("Replaced sends %T, want a Detach", out.Send[0].Message)
	}
	other := NewFrame(feedA, Head{2, chain}, [][]byte{[]byte("X"), []byte("Y")})
	stepC(t, c, 4, Advanced{Feeds: []FeedHead{{feedA, other.Head()}}})
	if _, err := c.Step(5, Advanced{Feeds: []FeedHead{{feedA, Head{3, chain}}}}); !errors.Is(err, ErrDisorder) {
		t.Errorf("Advanced backwards = %v, want ErrDisorder", err)
	}
}

func mustChain(f *Frame, n vclock.Seq) Chain {
	c, ok := f.ChainAt(n)
	if !ok {
		panic(fmt.Sprintf("no chain at %d", n))
	}
	return c
}

// TestSnapshot: a node that is behind a floor gets the space as a snapshot, and
// ops only after it.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	c := testCore(t)
	head := Head{10, Chain{1}}
	stepC(t, c, 1, Advanced{Feeds: []FeedHead{{Feed{"s1", "edge-2~a"}, head}}, Quiet: true})
	state := SpaceState{"s1", []FeedState{{OriginHead{"edge-2~a", head}, Head{}, 8}}}
	far := attachOf("edge-1", false, SpaceHeads{"s1", nil})
	out := stepC(t, c, 2, AttachAsked{Attach: far, Held: []SpaceState{state}, Ready: true})
	id := sent[Attached](t, out.Send).Attachment
	if len(out.Missing) != 0 || len(out.Snapshot) != 1 || !out.Snapshot[0].Begin {
		t.Fatalf("behind the floor: %+v", out)
	}
	out = stepC(t, c, 3, SnapshotRead{Attachment: id, Space: "s1", Next: []byte("k")})
	if out.Deliver[0].N != 1 || out.Snapshot[0].Begin || string(out.Snapshot[0].Cursor) != "k" {
		t.Fatalf("after the beginning: %+v", out)
	}
	stepC(t, c, 4, Advanced{Feeds: []FeedHead{{Feed{"s1", "edge-2~a"}, Head{11, Chain{2}}}}})
	reached := vclock.Of(vclock.Dot{Origin: "edge-2~a", Seq: 10})
	out = stepC(t, c, 5, SnapshotRead{Attachment: id, Space: "s1", Done: true, Reached: reached})
	if out.Deliver[0].N != 2 || len(out.Missing) != 1 || out.Missing[0].After.At("edge-2~a") != 10 {
		t.Fatalf("after the end: %+v", out)
	}
	near := attachOf("edge-3", false, SpaceHeads{"s1", []OriginHead{{"edge-2~a", Head{8, Chain{8}}}}})
	state.Feeds[0].Common = Head{8, Chain{8}}
	out = stepC(t, c, 6, AttachAsked{Attach: near, Held: []SpaceState{state}, Ready: true})
	if len(out.Snapshot) != 0 || len(out.Missing) != 1 {
		t.Fatalf("at the floor: %+v", out)
	}
}

// TestFairness: somebody with an endless backlog does not hold up the others,
// nor one space another.
func TestFairness(t *testing.T) {
	t.Parallel()
	c := testCore(t)
	for i := range MaxReadsInFlight + 4 {
		held := []SpaceState{{"s1", []FeedState{{OriginHead{"x~a", Head{99, Chain{1}}}, Head{}, 0}}},
			{"s2", []FeedState{{OriginHead{"x~a", Head{99, Chain{1}}}, Head{}, 0}}}}
		stepC(t, c, 1, AttachAsked{Attach: attachOf(fmt.Sprintf("e%02d", i), true), Held: held, Ready: true})
	}
	if c.reading != MaxReadsInFlight {
		t.Fatalf("reads under way: %d, want %d", c.reading, MaxReadsInFlight)
	}
	served := map[string]int{}
	var open []ReadMissing
	for _, a := range c.ring {
		if a.reading != nil {
			open = append(open, ReadMissing{Attachment: a.id, Space: a.reading.space})
		}
	}
	for range 400 {
		r := open[0]
		a := c.attachments[r.Attachment]
		out := stepC(t, c, 2, Read{Attachment: r.Attachment, Space: r.Space, Frames: 1, More: true})
		served[a.node+r.Space]++
		stepC(t, c, 2, Received{From: a.node, Message: Credit{a.id, a.sent}})
		open = append(open[1:], out.Missing...)
	}
	if len(served) != 2*(MaxReadsInFlight+4) {
		t.Errorf("%d of %d spaces were served", len(served), 2*(MaxReadsInFlight+4))
	}
	for k, n := range served {
		if n < 9 || n > 11 {
			t.Errorf("%s was served %d times, want 10", k, n)
		}
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	c := testCore(t)
	held := []SpaceState{{"s1", []FeedState{{OriginHead{"x~a", Head{99, Chain{1}}}, Head{}, 0}}}}
	out := stepC(t, c, 1, AttachAsked{Attach: attachOf("edge-1", true), Held: held, Ready: true})
	id := sent[Attached](t, out.Send).Attachment
	n := 0
	for len(out.Missing) > 0 {
		out = stepC(t, c, 2, Read{Attachment: id, Space: "s1", Frames: 1, More: true})
		n++
	}
	if n != CreditWindow {
		t.Errorf("deliveries without credit: %d, want %d", n, CreditWindow)
	}
	before := dumpCore(c)
	tooMuch := Received{From: "edge-1", Message: Credit{id, CreditWindow + 1}}
	if _, err := c.Step(3, tooMuch); !errors.Is(err, ErrMalformed) {
		t.Errorf("credit for what was not sent: %v", err)
	}
	if after := dumpCore(c); after != before {
		t.Errorf("the refused credit changed\n%s\nto\n%s", before, after)
	}
	if out = stepC(t, c, 3, Received{From: "edge-1", Message: Credit{id, 1}}); len(out.Missing) != 1 {
		t.Errorf("after credit: %+v", out)
	}
}

// TestIdle: a silent node is dropped after ten seconds, not before.
func TestIdle(t *testing.T) {
	t.Parallel()
	c := testCore(t)
	out := stepC(t, c, 1, AttachAsked{Attach: attachOf("edge-1", true), Ready: true})
	beats := 0
	for out.WakeAt != 0 {
		if out.WakeAt > Instant(11*time.Second) {
			t.Fatalf("still attached at %v", time.Duration(out.WakeAt))
		}
		out = stepC(t, c, out.WakeAt, Wake{})
		beats += len(out.Send)
	}
	if beats != 9 {
		t.Errorf("heartbeats before the drop: %d, want 9", beats)
	}
}

// TestNothingOfOurOwn: a node is not sent what it writes at present.
func TestNothingOfOurOwn(t *testing.T) {
	t.Parallel()
	c := testCore(t)
	stepC(t, c, 1, AttachAsked{Attach: attachOf("edge-1", true), Ready: true})
	out := stepC(t, c, 2, Advanced{Feeds: []FeedHead{{Feed{"s1", "edge-1~a"}, Head{1, Chain{1}}}}})
	if len(out.Missing) != 0 {
		t.Errorf("its own op: %+v", out.Missing)
	}
	out = stepC(t, c, 2, Advanced{Feeds: []FeedHead{{Feed{"s1", "edge-1~old"}, Head{1, Chain{1}}}}})
	if len(out.Missing) != 1 || out.Missing[0].After.At("edge-1~a") != 1 {
		t.Errorf("an op of its former origin: %+v", out.Missing)
	}
}

// TestRefusedInputs: messages for the other half and inputs that contradict
// earlier ones leave both machines as they were.
func TestRefusedInputs(t *testing.T) {
	t.Parallel()
	e := testEdge(t)
	stepE(t, e, 1, Persisted{Feed: feedA, Head: Head{5, Chain{5}}})
	stepE(t, e, 2, LinkUp{Core: "core-1"})
	for _, c := range []struct {
		in   EdgeInput
		want error
	}{
		{Received{Message: Credit{1, 1}}, ErrUnexpected}, {Received{Message: Attach{}}, ErrUnexpected},
		{Received{Message: Upload{}}, ErrUnexpected}, {Received{Message: Want{feedA, 0}}, ErrMalformed},
		{Persisted{Feed: feedA, Head: Head{4, Chain{}}}, ErrDisorder}, {Persisted{Feed: feedA}, ErrDisorder},
		{Replaced{Feed: feedA, Head: Head{MaxSeq + 1, Chain{}}}, ErrDisorder}, {Carry{Spaces: []string{"a b"}}, ErrMalformed},
	} {
		before := dumpEdge(e)
		out, err := e.Step(3, c.in)
		if !errors.Is(err, c.want) || !reflect.DeepEqual(out, EdgeOutput{}) || dumpEdge(e) != before {
			t.Errorf("Step(%+v) = %+v, %v, want %v and no change", c.in, out, err, c.want)
		}
	}
	k := testCore(t)
	stepC(t, k, 1, Advanced{Feeds: []FeedHead{{feedA, Head{5, Chain{5}}}}})
	for _, c := range []struct {
		in   CoreInput
		want error
	}{
		{Received{Message: Attached{}}, ErrUnexpected}, {Received{Message: Attach{}}, ErrUnexpected},
		{Advanced{Feeds: []FeedHead{{Feed{"s9", "x~a"}, Head{1, Chain{}}}, {feedA, Head{4, Chain{}}}}}, ErrDisorder},
		{FrameSeen{Feed: feedA, From: 3, To: 2}, ErrMalformed}, {AttachAsked{Ready: true}, ErrMalformed},
	} {
		before := dumpCore(k)
		out, err := k.Step(3, c.in)
		if !errors.Is(err, c.want) || !reflect.DeepEqual(out, CoreOutput{}) || dumpCore(k) != before {
			t.Errorf("Step(%+v) = %+v, %v, want %v and no change", c.in, out, err, c.want)
		}
	}
}

func dumpEdge(e *Edge) string {
	var b strings.Builder
	for _, f := range e.order {
		fmt.Fprintf(&b, "%+v\n", *f)
	}
	fmt.Fprintf(&b, "%+v %v %v %v %v %v", e.down, e.required, e.link, e.nextAsk, len(e.busy), len(e.stores))
	return b.String()
}

func dumpCore(c *Core) string {
	var b strings.Builder
	for _, a := range c.ring {
		fmt.Fprintf(&b, "%+v\n", *a)
	}
	fmt.Fprintf(&b, "%v %v %v %v %v", c.reading, len(c.feeds), len(c.wants), len(c.queue), c.feeds[feedA])
	return b.String()
}

// TestQuestionsPassThrough: chains and digests are looked up for who asks.
func TestQuestionsPassThrough(t *testing.T) {
	t.Parallel()
	c, v := testCore(t), vclock.Of(vclock.Dot{Origin: "x~a", Seq: 1})
	out := stepC(t, c, 1, Received{Message: ChainsAsk{"edge-1", feedA, []vclock.Seq{3}}})
	if len(out.Chains) != 1 || out.Chains[0].Node != "edge-1" {
		t.Errorf("chains asked: %+v", out)
	}
	ask := DigestAsk{"edge-1", "s1", v, Sum{1}}
	if out = stepC(t, c, 1, Received{Message: ask}); len(out.Digests) != 1 {
		t.Errorf("digest asked: %+v", out)
	}
	for _, q := range []struct {
		v    vclock.Vector
		sum  Sum
		want Agreement
	}{{v, Sum{1}, Agree}, {v, Sum{2}, Differ}, {vclock.Vector{}, Sum{1}, Incomparable}} {
		out = stepC(t, c, 2, DigestFound{Ask: ask, Vector: q.v, Sum: q.sum})
		if got := sent[Digest](t, out.Send).Agreement; got != q.want {
			t.Errorf("digest %v at %v: %v, want %v", q.sum[0], q.v, got, q.want)
		}
	}
}

// TestForeignUpload: an edge sends somebody else's feed only when the core
// lacks it, after a pause, and not when another edge was quicker.
func TestForeignUpload(t *testing.T) {
	t.Parallel()
	foreign := Feed{"s1", "edge-2~a"}
	f := NewFrame(foreign, Head{}, [][]byte{[]byte("a"), []byte("b")})
	e := testEdge(t)
	stepE(t, e, 1, Persisted{Feed: foreign, Head: f.Head()})
	out := stepE(t, e, 2, LinkUp{Core: "core-1"})
	if len(out.Ask)+len(out.Publish) != 0 {
		t.Fatalf("before the core said what it lacks: %+v", out)
	}
	req := sent[Attach](t, out.Send).Request
	out = stepE(t, e, 3, Received{Message: Attached{req, 9, "core-1", "i", 1, 1, 4, []SpaceState{{"s1", nil}}}})
	if len(out.Ask)+len(out.Publish) != 0 {
		t.Fatalf("without a pause: %+v", out)
	}
	out = stepE(t, e, Instant(2500*time.Millisecond), Wake{})
	if len(out.Ask) != 1 {
		t.Fatalf("after the pause: %+v", out)
	}
	one, _ := f.ChainAt(1)
	out = stepE(t, e, Instant(2600*time.Millisecond), SubjectHead{foreign, out.Ask[0].Attempt, Head{1, one}, 7})
	if len(out.Publish) != 0 || len(out.Lookup) != 1 {
		t.Fatalf("before the chain was compared: %+v", out)
	}
	out = stepE(t, e, Instant(2700*time.Millisecond), ChainAt{foreign, Head{1, one}, true})
	if len(out.Publish) != 1 || out.Publish[0].From != 2 || out.Publish[0].Expect != 7 || out.Publish[0].Nonce == 0 {
		t.Fatalf("the rest: %+v", out)
	}
	stepE(t, e, Instant(2800*time.Millisecond), PublishFailed{foreign, out.Publish[0].Attempt, WrongSequence})
	ask := stepE(t, e, Instant(5*time.Second), Wake{}) // asked again at once or after a pause
	_ = ask
	if got := e.feeds[foreign]; got.phase != asking {
		t.Fatalf("after a wrong sequence: %+v", got)
	}
	out = stepE(t, e, Instant(5100*time.Millisecond), SubjectHead{foreign, e.feeds[foreign].attempt, f.Head(), 8})
	if len(out.Publish) != 0 || len(e.busy) != 0 {
		t.Fatalf("somebody was quicker: %+v", out)
	}
}

// FuzzMachines feeds decoded bytes to both machines: no panic, and no change
// when they are refused.
func FuzzMachines(f *testing.F) {
	for _, m := range samples() {
		b, err := AppendMessage(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			return
		}
		e, c := testEdge(t), testCore(t)
		stepE(t, e, 1, Persisted{Feed: feedA, Head: Head{5, Chain{5}}})
		req := sent[Attach](t, stepE(t, e, 2, LinkUp{Core: "core-1"}).Send).Request
		if a, ok := m.(Attached); ok {
			a.Request = req
			m = a
		}
		stepE(t, e, 3, Received{Message: Attached{req, 3, "core-1", "i", 1, 1, 4, nil}})
		stepC(t, c, 1, Advanced{Feeds: []FeedHead{{feedA, Head{5, Chain{5}}}}})
		stepC(t, c, 2, AttachAsked{Attach: attachOf("edge-1", true), Ready: true})
		for i := range Instant(3) {
			eb, cb := dumpEdge(e), dumpCore(c)
			if _, err := e.Step(4+i, Received{From: "core-1", Message: m}); err != nil && dumpEdge(e) != eb {
				t.Fatalf("%+v was refused (%v) and changed the edge half", m, err)
			}
			if _, err := c.Step(4+i, Received{From: "edge-1", Message: m}); err != nil && dumpCore(c) != cb {
				t.Fatalf("%+v was refused (%v) and changed the core half", m, err)
			}
			if a, ok := m.(Attach); ok {
				stepC(t, c, 4+i, AttachAsked{Attach: a, Ready: true})
			}
		}
		stepE(t, e, Instant(time.Minute), Wake{})
		stepC(t, c, Instant(time.Minute), Wake{})
	})
}

// TestReceiptForWhatIsGone: a store has ops under the origin that we write under,
// and we have none: another machine wrote them, or our storage was put back.
func TestReceiptForWhatIsGone(t *testing.T) {
	t.Parallel()
	e := testEdge(t)
	stepE(t, e, 1, LinkUp{Core: "core-1"})
	for _, c := range []struct {
		origin vclock.Origin
		want   bool
	}{{e.cfg.Origin, true}, {vclock.Origin(e.cfg.Node + "~former"), false}, {"other~a", false}} {
		feed := Feed{Space: "gone", Origin: c.origin}
		r := Receipt{Feed: feed, Head: Head{3, Chain{1}}, Store: "core-1", Incarnation: "s1"}
		out := stepE(t, e, 2, Received{Message: Receipts{Receipts: []Receipt{r}}})
		want := Fact(Regressed{Feed: feed, Theirs: 3})
		if got := slices.Contains(out.Facts, want); got != c.want {
			t.Errorf("receipt for %s: facts %+v, want %+v: %t", c.origin, out.Facts, want, c.want)
		}
	}
}

// TestBehindUnderANewOrigin: a core holds more of our feed than we do, and other
// content at the numbers that we wrote since our storage was put back. Under the
// new origin the old feed does not go up before what differs is made again, so
// nobody is told that a core has it.
func TestBehindUnderANewOrigin(t *testing.T) {
	t.Parallel()
	e := testEdge(t)
	own := sampleFrame("a", "b", "c")
	stepE(t, e, 1, Persisted{Feed: feedA, Head: own.Head(), Released: 1})
	out := stepE(t, e, 1, LinkUp{Core: "core-1"})
	one, _ := own.ChainAt(1)
	state := SpaceState{Space: feedA.Space, Feeds: []FeedState{{OriginHead: OriginHead{feedA.Origin, Head{5, Chain{9}}}, Common: Head{1, one}}}}
	out = stepE(t, e, 2, Received{Message: Attached{Request: sent[Attach](t, out.Send).Request, Attachment: 7, Store: "core-1",
		Incarnation: "s1", Stores: 3, StoresRequired: 2, Partitions: 4, Spaces: []SpaceState{state}}})
	if want := Fact(Regressed{Feed: feedA, Ours: 3, Theirs: 5}); !slices.Contains(out.Facts, want) {
		t.Fatalf("facts %+v, want %+v", out.Facts, want)
	}
	out = stepE(t, e, 3, NewOrigin{Origin: "edge-1~b"})
	for at := Instant(4); at < Instant(time.Minute); at = at.Later(time.Second) {
		if len(out.Ask)+len(out.Publish)+len(out.Acked) > 0 {
			t.Fatalf("at %v asks %+v, publishes %+v, reports %+v, want nothing of a feed that is behind",
				at, out.Ask, out.Publish, out.Acked)
		}
		out = stepE(t, e, at, Wake{})
	}
}

// TestNewOriginWaitsForTheFormer: what a node writes under a new origin goes up
// when a core store has what it wrote before in that space, or when that is known
// to stay as it is.
func TestNewOriginWaitsForTheFormer(t *testing.T) {
	t.Parallel()
	own := sampleFrame("a", "b", "c")
	former, newer := feedA, Feed{Space: feedA.Space, Origin: "edge-1~b"}
	elsewhere := Feed{Space: "elsewhere", Origin: newer.Origin}
	for name, end := range map[string]EdgeInput{
		"a receipt": Received{Message: Receipts{Receipts: []Receipt{{Feed: former, Head: own.Head(), Store: "core-1", Incarnation: "s1"}}}},
		"given up":  NotRemade{Feed: former},
		"cut":       Replaced{Feed: former},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := testEdge(t)
			stepE(t, e, 1, Persisted{Feed: former, Head: own.Head()})
			out := stepE(t, e, 1, LinkUp{Core: "core-1"})
			state := []SpaceState{{Space: feedA.Space}}
			stepE(t, e, 1, Received{Message: Attached{Request: sent[Attach](t, out.Send).Request, Attachment: 7, Store: "core-1",
				Incarnation: "s1", Stores: 1, StoresRequired: 1, Partitions: 4, Spaces: state}})
			// What was made again may be told of before the origin is.
			out = stepE(t, e, 2, Persisted{Feed: newer, Head: Head{1, Chain{1}}})
			stepE(t, e, 2, NewOrigin{Origin: newer.Origin})
			for _, a := range out.Ask {
				out = stepE(t, e, 3, SubjectHead{Feed: a.Feed, Attempt: a.Attempt})
			}
			at := Instant(4)
			for ; at < Instant(10*time.Second); at = at.Later(time.Second) {
				if i := slices.IndexFunc(out.Publish, func(p Publish) bool { return p.Feed == newer }); i >= 0 {
					t.Fatalf("published %+v before the former feed", out.Publish[i])
				}
				out = stepE(t, e, at, Wake{})
			}
			out = stepE(t, e, at, Persisted{Feed: elsewhere, Head: Head{1, Chain{1}}})
			if len(out.Ask) != 1 || out.Ask[0].Feed != elsewhere {
				t.Errorf("another space asks %+v, want it not held up", out.Ask)
			}
			out = stepE(t, e, at, end)
			if !slices.ContainsFunc(out.Publish, func(p Publish) bool { return p.Feed == newer }) {
				t.Errorf("after %s publishes %+v, want %s", name, out.Publish, newer.Origin)
			}
		})
	}
}

// TestReplacedBeforePersisted: a feed may be cut before it was told how far it
// had come, or that it is there.
func TestReplacedBeforePersisted(t *testing.T) {
	t.Parallel()
	e := testEdge(t)
	unheard := Feed{Space: feedA.Space, Origin: "edge-1~0"}
	stepE(t, e, 1, Replaced{Feed: unheard})
	if e.feeds[unheard] != nil {
		t.Error("a feed of which nothing is left is kept")
	}
	own := sampleFrame("a", "b", "c")
	one, _ := own.ChainAt(1)
	two, _ := own.ChainAt(2)
	stepE(t, e, 2, Replaced{Feed: unheard, Head: Head{2, two}})
	stepE(t, e, 3, Persisted{Feed: feedA, Head: Head{1, one}})
	stepE(t, e, 4, Replaced{Feed: feedA, Head: Head{2, two}})
	for _, f := range []Feed{unheard, feedA} {
		if got := e.feeds[f].head; got != (Head{2, two}) {
			t.Errorf("%s is held up to %d, want 2", f.Origin, got.Seq)
		}
	}
}

// TestStoresThatDiffer: of a feed of a former origin one core store has what we
// have, and another one has other content. That is told, once, and nothing is
// made again.
func TestStoresThatDiffer(t *testing.T) {
	t.Parallel()
	e := testEdge(t)
	own := sampleFrame("a", "b", "c")
	former := Feed{Space: feedA.Space, Origin: "edge-1~0"}
	stepE(t, e, 1, Persisted{Feed: former, Head: own.Head()})
	out := stepE(t, e, 1, LinkUp{Core: "core-1"})
	stepE(t, e, 1, Received{Message: Attached{Request: sent[Attach](t, out.Send).Request, Attachment: 7, Store: "core-1",
		Incarnation: "s1", Stores: 2, StoresRequired: 2, Partitions: 4, Spaces: []SpaceState{{Space: feedA.Space}}}})
	receipt := func(store string, h Head) (forks []Forked) {
		out := stepE(t, e, 2, Received{Message: Receipts{Receipts: []Receipt{{Feed: former, Head: h, Store: store, Incarnation: "s1"}}}})
		for _, f := range out.Facts {
			if fork, ok := f.(Forked); ok {
				forks = append(forks, fork)
			}
		}
		return forks
	}
	if got := receipt("core-1", own.Head()); len(got) > 0 {
		t.Fatalf("a store that agrees: %+v", got)
	}
	if got := receipt("core-2", Head{3, Chain{9}}); len(got) != 1 || got[0].Own || got[0].At != 3 {
		t.Errorf("a store that does not: %+v, want a fork at 3 that is not ours to mend", got)
	}
	if got := receipt("core-2", Head{3, Chain{9}}); len(got) > 0 {
		t.Errorf("told again: %+v", got)
	}
}

// TestReceiptEndsThePause: after many failures receipts show that what goes up
// arrives, and the next op waits no longer.
func TestReceiptEndsThePause(t *testing.T) {
	t.Parallel()
	e := testEdge(t)
	own := sampleFrame("a", "b")
	one, _ := own.ChainAt(1)
	stepE(t, e, 1, Persisted{Feed: feedA, Head: Head{1, one}})
	out := stepE(t, e, 1, LinkUp{Core: "core-1"})
	state := SpaceState{Space: feedA.Space}
	stepE(t, e, 1, Received{Message: Attached{Request: sent[Attach](t, out.Send).Request, Attachment: 7, Store: "core-1",
		Incarnation: "s1", Stores: 3, StoresRequired: 1, Partitions: 4, Spaces: []SpaceState{state}}})
	at := Instant(1)
	for range 12 {
		f := e.feeds[feedA]
		for at = at.Later(time.Minute); f.phase == idle; at = at.Later(time.Minute) {
			stepE(t, e, at, Wake{})
		}
		stepE(t, e, at, PublishFailed{feedA, f.attempt, Unreadable})
	}
	if f := e.feeds[feedA]; f.hold <= at.Later(5*time.Second) {
		t.Fatalf("after 12 failures at %v nothing begins before %v, want a longer pause", at, f.hold)
	}
	stepE(t, e, at, Received{Message: Receipts{Receipts: []Receipt{{Feed: feedA, Head: Head{1, one}, Store: "core-1", Incarnation: "s1"}}}})
	out = stepE(t, e, at, Persisted{Feed: feedA, Head: own.Head()})
	if len(out.Ask)+len(out.Publish) != 1 {
		t.Errorf("after a receipt: asked %v, published %v, want one of them at once", out.Ask, out.Publish)
	}
}

// TestKnown: how far core nodes are known to hold a feed of our own counts every
// word of theirs, but not that of our own store, which may be damaged.
func TestKnown(t *testing.T) {
	t.Parallel()
	e := testEdge(t)
	own := sampleFrame("a", "b", "c", "d")
	at := Instant(1)
	known := func(what string, through vclock.Seq, told bool) {
		t.Helper()
		if got, ok := e.Known(feedA); got != through || ok != told {
			t.Errorf("%s: Known = %d, %v, want %d, %v", what, got, ok, through, told)
		}
		at++
	}
	known("nothing held", 0, false)
	stepE(t, e, at, Persisted{Feed: feedA, Head: own.Head()})
	out := stepE(t, e, at, LinkUp{Core: "core-1"})
	known("not attached", 0, false)
	one, _ := own.ChainAt(1)
	state := SpaceState{Space: feedA.Space, Feeds: []FeedState{{OriginHead: OriginHead{feedA.Origin, Head{1, one}}, Common: Head{1, one}}}}
	stepE(t, e, at, Received{Message: Attached{Request: sent[Attach](t, out.Send).Request, Attachment: 7, Store: "core-1",
		Incarnation: "s1", Stores: 3, StoresRequired: 2, Partitions: 4, Spaces: []SpaceState{state}}})
	known("attached", 1, true)
	receipt := func(store string, seq vclock.Seq, chain Chain) {
		stepE(t, e, at, Received{Message: Receipts{Receipts: []Receipt{{Feed: feedA, Head: Head{seq, chain}, Store: store, Incarnation: "s1"}}}})
	}
	receipt("edge-1", 4, own.Last)
	known("after a word of our own store", 1, true)
	receipt("core-2", 2, Chain{}) // our chain there is not looked up yet
	known("after a receipt", 2, true)
	receipt("core-3", 4, Chain{9})
	known("after a fork somewhere", 3, true)
	stepE(t, e, at, Replaced{Feed: feedA, Head: Head{1, one}})
	known("after what forked was taken out, attaching anew", 0, false)
}
