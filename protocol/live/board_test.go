package live_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/live"
)

var hall = live.Room{Space: "default", Session: "s"}

func words(id, text string, at int) live.Signal {
	return live.Signal{Space: "default", Session: "s", Kind: protocol.SignalStream, From: "bot", Stream: id, At: at,
		Text: text}
}

func holds(from, data string, ttl time.Duration) live.Signal {
	return live.Signal{Space: "default", Session: "s", Kind: "typing", From: from, Data: []byte(data), TTL: ttl}
}

// listener puts together what it is told, as a client does.
type listener struct {
	texts map[string]string
	state map[string]string
	gaps  int
}

func newListener() *listener {
	return &listener{texts: map[string]string{}, state: map[string]string{}}
}

func (l *listener) hear(list []live.Signal) {
	for _, s := range list {
		switch {
		case s.Kind == protocol.SignalStream && s.Ended:
			delete(l.texts, s.Stream)
		case s.Kind == protocol.SignalStream && s.At == 0:
			l.texts[s.Stream] = s.Text
		case s.Kind == protocol.SignalStream:
			if utf8.RuneCountInString(l.texts[s.Stream]) != s.At {
				l.gaps++
			}
			l.texts[s.Stream] += s.Text
		case s.Ended:
			delete(l.state, s.Kind+" "+s.From)
		default:
			l.state[s.Kind+" "+s.From] = string(s.Data)
		}
	}
}

// site is a node of the model with its listeners.
type site struct {
	name      string
	board     *live.Board
	listeners []*listener
	cut       bool
}

func (n *site) tell(list []live.Signal) {
	for _, l := range n.listeners {
		l.hear(list)
	}
}

// town is some nodes and the net between them, which may lose anything.
type town struct {
	t     testing.TB
	at    protocol.Instant
	sites []*site
	heard map[string]bool // interest, by node and room
	rng   *rand.Rand
	loss  float64
	sent  int
	bytes int
}

func newTown(t testing.TB, n int, seed uint64) *town {
	w := &town{t: t, heard: map[string]bool{}, rng: rand.New(rand.NewPCG(seed, 8)), at: at(1)}
	for i := range n {
		name := fmt.Sprintf("n%d", i)
		w.sites = append(w.sites, &site{name: name, board: live.NewBoard(name)})
	}
	return w
}

func (w *town) join(n *site) *listener {
	l := newListener()
	l.hear(n.board.Join(w.at, hall))
	n.listeners = append(n.listeners, l)
	return l
}

func (w *town) say(n *site, s live.Signal) error {
	told, err := n.board.Say(w.at, s)
	n.tell(told)
	return err
}

// pump carries everything that is to be told, through the encoding.
func (w *town) pump(budget int) {
	w.t.Helper()
	for _, n := range w.sites {
		for _, i := range n.board.TakeInterest() {
			w.heard[n.name+"/"+i.Session] = i.Hear
		}
	}
	for _, n := range w.sites {
		if n.cut {
			n.board.Unlinked()
			continue
		}
		for _, m := range n.board.Flush(w.at, budget) {
			b, err := protocol.AppendMessage(nil, m)
			if err != nil {
				w.t.Fatalf("%+v: %v", m, err)
			}
			w.sent++
			w.bytes += len(b)
			w.carry(n, b)
		}
	}
}

func (w *town) carry(from *site, b []byte) {
	for _, to := range w.sites {
		if to == from || to.cut || !w.heard[to.name+"/s"] || w.rng.Float64() < w.loss {
			continue
		}
		m, err := protocol.DecodeMessage(b)
		if err != nil {
			w.t.Fatal(err)
		}
		switch m := m.(type) {
		case protocol.Signal:
			to.tell(to.board.Hear(w.at, from.name, m))
		case protocol.SignalAsk:
			to.board.Asked(live.Room{Space: m.Space, Session: m.Session})
		}
	}
}

func (w *town) wait(d time.Duration) { w.at = w.at.Later(d) }

// TestStreamOfWords: who follows at another node gets a stream as it is said,
// who comes in the middle gets what was said so far, and the message ends it.
func TestStreamOfWords(t *testing.T) {
	t.Parallel()
	w := newTown(t, 3, 1)
	here, there, late := w.sites[0], w.sites[1], w.sites[2]
	early := w.join(there)
	w.pump(1 << 20)
	var said strings.Builder
	var own, middle *listener
	for i := range 200 {
		word := fmt.Sprintf("wörd%d ", i)
		said.WriteString(word)
		if err := w.say(here, words("m1", word, live.AtEnd)); err != nil {
			t.Fatal(err)
		}
		switch i {
		case 50:
			own = w.join(here)
		case 100:
			middle = w.join(late)
		}
		w.wait(10 * time.Millisecond)
		w.pump(1 << 20)
	}
	for name, l := range map[string]*listener{"early": early, "own": own, "middle": middle} {
		if l.texts["m1"] != said.String() || l.gaps > 0 {
			t.Errorf("%s has %.40q …, %d gaps; want all %d bytes", name, l.texts["m1"], l.gaps, len(said.String()))
		}
	}
	for _, n := range w.sites {
		n.board.Final(w.at, hall, "m1")
		if got := n.board.Now(hall); len(got) > 0 {
			t.Errorf("after the message %s still tells %+v", n.name, got)
		}
	}
	if err := w.say(here, words("m1", "more", live.AtEnd)); !errors.Is(err, live.ErrStreamEnded) {
		t.Errorf("words after the message: %v, want that the stream has ended", err)
	}
	if got := there.board.Hear(w.at, "n0", words("m1", "late", 0)); len(got) > 0 {
		t.Errorf("late words of another node: %+v", got)
	}
}

// TestPauseInAStream: who comes while nothing is said is told what was said so
// far all the same.
func TestPauseInAStream(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2, 1)
	if err := w.say(w.sites[0], words("m1", "so far", live.AtEnd)); err != nil {
		t.Fatal(err)
	}
	w.pump(1 << 20)
	l := w.join(w.sites[1])
	for range 3 {
		w.pump(1 << 20)
	}
	if l.texts["m1"] != "so far" {
		t.Errorf("has %q, want what was said so far", l.texts["m1"])
	}
}

// TestTwoJoinAtOnce: who joins at a third node right after another one, while
// nothing is said, is not forgotten because somebody was just answered; nor is
// a gap because somebody just asked.
func TestTwoJoinAtOnce(t *testing.T) {
	t.Parallel()
	w := newTown(t, 3, 1)
	if err := w.say(w.sites[0], words("m1", "so far", live.AtEnd)); err != nil {
		t.Fatal(err)
	}
	first := w.join(w.sites[1])
	for range 3 {
		w.pump(1 << 20)
	}
	second := w.join(w.sites[2])
	settle := func() {
		for range 10 {
			w.pump(1 << 20)
			w.wait(live.AskEvery / 5)
		}
	}
	settle()
	if second.texts["m1"] != "so far" {
		t.Errorf("who joined right after another one has %q", second.texts["m1"])
	}
	settle()
	var want strings.Builder
	want.WriteString("so far")
	for round := range 2 { // the second gap comes right after the first one was asked for
		for i, loss := range []float64{1, 0} {
			w.loss = loss
			word := fmt.Sprintf(" %d.%d", round, i)
			want.WriteString(word)
			if err := w.say(w.sites[0], words("m1", word, live.AtEnd)); err != nil {
				t.Fatal(err)
			}
			w.pump(1 << 20)
		}
		w.pump(1 << 20)
	}
	settle()
	for name, l := range map[string]*listener{"first": first, "second": second} {
		if l.texts["m1"] != want.String() {
			t.Errorf("%s has %q, want %q", name, l.texts["m1"], want.String())
		}
	}
	for _, n := range w.sites {
		if n.board.Pending() {
			t.Errorf("%s still has something to tell", n.name)
		}
	}
}

// TestStreamBegunTwice: two nodes that cannot hear each other begin the same
// stream; when they can, all agree on one, and its agent is told to begin
// again at the other.
func TestStreamBegunTwice(t *testing.T) {
	t.Parallel()
	w := newTown(t, 3, 1)
	for _, n := range w.sites {
		w.join(n)
		n.cut = true
	}
	for i, n := range w.sites[:2] {
		if err := w.say(n, words("m1", fmt.Sprintf("by %d", i), live.AtEnd)); err != nil {
			t.Fatal(err)
		}
	}
	w.pump(1 << 20)
	for _, n := range w.sites {
		n.cut = false
		n.board.Relinked()
	}
	for range 5 {
		w.wait(live.AskEvery)
		w.pump(1 << 20)
	}
	for _, n := range w.sites {
		if got := n.listeners[0].texts["m1"]; got != "by 1" {
			t.Errorf("at %s: %q, want what the node with the greater name said", n.name, got)
		}
	}
	if err := w.say(w.sites[0], words("m1", "more", live.AtEnd)); !errors.Is(err, live.ErrStreamPlace) {
		t.Errorf("the other agent goes on: %v, want that it must begin again", err)
	}
}

// TestLossyNet loses and cuts at random while agents speak, restart and move,
// and listeners come and go: no listener ever has a gap, and when the net is
// good again all have what was said.
func TestLossyNet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		w := newTown(t, 3, seed)
		w.loss = 0.3
		said := map[string]string{}
		at := map[string]*site{} // where each agent is
		for range 300 {
			w.muddle(said, at)
		}
		w.loss = 0
		for _, n := range w.sites {
			if n.cut = false; len(n.listeners) == 0 {
				w.join(n)
			}
			n.board.Relinked()
		}
		for round := range 4 {
			for _, id := range []string{"m0", "m1"} {
				if round < 3 && at[id] != nil {
					w.goOn(said, at[id], id, "!")
				}
			}
			for range 20 {
				w.wait(live.AskEvery)
				w.pump(4 << 10)
			}
		}
		for _, n := range w.sites {
			for i, l := range n.listeners {
				for id, text := range said {
					if l.texts[id] != text || l.gaps > 0 {
						t.Fatalf("seed %d: listener %d at %s has %d bytes of %s and %d gaps, want %d: %.60q, %.60q",
							seed, i, n.name, len(l.texts[id]), id, l.gaps, len(text), l.texts[id], text)
					}
				}
			}
		}
	}
}

// goOn says the next word of a stream, as a client does: if another node has
// taken the stream, it says everything again.
func (w *town) goOn(said map[string]string, n *site, id, word string) {
	said[id] += word
	if err := w.say(n, words(id, word, live.AtEnd)); err != nil {
		if err = w.say(n, words(id, said[id], 0)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// muddle does something.
func (w *town) muddle(said map[string]string, at map[string]*site) {
	n := w.sites[w.rng.IntN(len(w.sites))]
	id := fmt.Sprintf("m%d", w.rng.IntN(2))
	switch k := w.rng.IntN(20); {
	case k < 8:
		word := strings.Repeat(string(rune('a'+w.rng.IntN(26)))+"é", 1+w.rng.IntN(1500))
		if at[id] == nil {
			at[id] = n
		}
		if len(said[id]) > 100_000 {
			return
		}
		w.goOn(said, at[id], id, word)
	case k == 8 && at[id] != nil: // the agent comes to another node, and says everything again
		at[id] = n
		if err := w.say(n, words(id, said[id], 0)); err != nil {
			w.t.Fatal(err)
		}
	case k == 9 && at[id] != nil: // it begins anew
		said[id] = "new"
		if err := w.say(at[id], words(id, "new", 0)); err != nil {
			w.t.Fatal(err)
		}
	case k == 10:
		if n.cut = !n.cut; !n.cut {
			n.board.Relinked()
		}
	case k == 11 && len(n.listeners) < 3:
		w.join(n)
	case k == 12 && len(n.listeners) > 0:
		n.listeners = n.listeners[1:]
		n.board.Leave(hall)
	case k == 13:
		n.board.Asked(hall)
	default:
		w.wait(time.Duration(w.rng.IntN(200)) * time.Millisecond)
		w.pump(1 + w.rng.IntN(40<<10))
	}
}

// TestSignalsThatHold: typing and presence hold for their time, are told to
// who joins, here or elsewhere, and are told to be over.
func TestSignalsThatHold(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2, 1)
	here, there := w.sites[0], w.sites[1]
	mine, theirs := w.join(here), w.join(there)
	w.pump(1 << 20)
	for _, s := range []live.Signal{holds("Ann", `1`, 10*time.Second), holds("Bob", `1`, time.Minute), holds("Cid", `"once"`, 0)} {
		if err := w.say(here, s); err != nil {
			t.Fatal(err)
		}
	}
	w.pump(1 << 20)
	for i := range 5 { // refreshed: no news
		w.wait(5 * time.Second)
		mine.state["typing Ann"], theirs.state["typing Ann"] = "kept", "kept"
		if err := w.say(here, holds("Ann", `1`, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		w.pump(1 << 20)
		mine.hear(here.board.Expire(w.at))
		theirs.hear(there.board.Expire(w.at))
		if mine.state["typing Ann"] != "kept" || theirs.state["typing Ann"] != "kept" {
			t.Fatalf("refresh %d is told as news: %v, %v", i, mine.state, theirs.state)
		}
	}
	late := w.join(there)
	if got := fmt.Sprint(late.state); got != "map[typing Ann:1 typing Bob:1]" {
		t.Errorf("who joins is told %s", got)
	}
	w.wait(11 * time.Second)
	for _, n := range w.sites {
		n.tell(n.board.Expire(w.at))
	}
	for name, l := range map[string]*listener{"mine": mine, "theirs": theirs, "late": late} {
		if _, on := l.state["typing Ann"]; on || l.state["typing Bob"] == "" {
			t.Errorf("%s, after Ann's time: %v", name, l.state)
		}
	}
	if mine.state["typing Cid"] != `"once"` || theirs.state["typing Cid"] != `"once"` || late.state["typing Cid"] != "" {
		t.Errorf("what is said once: %v, %v, %v", mine.state, theirs.state, late.state)
	}
	end := holds("Bob", ``, 0)
	end.Ended = true
	if err := w.say(here, end); err != nil {
		t.Fatal(err)
	}
	w.pump(1 << 20)
	if theirs.state["typing Bob"] != "" {
		t.Errorf("Bob has stopped: %v", theirs.state)
	}
}

// TestBudget: however much is said, what leaves at a time is bounded; what was
// said of one stream meanwhile goes together.
func TestBudget(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2, 1)
	here := w.sites[0]
	for range 1000 {
		if err := w.say(here, words("m1", "five tokens are said at once. ", live.AtEnd)); err != nil {
			t.Fatal(err)
		}
	}
	sizes := []int{}
	for here.board.Pending() {
		bytes := 0
		for _, m := range here.board.Flush(w.at, 8<<10) {
			bytes += len(m.(protocol.Signal).Text)
		}
		sizes = append(sizes, bytes)
	}
	if len(sizes) != 2 || sizes[0]+sizes[1] != 30000 || slices.Max(sizes) > protocol.MaxSignalTextBytes {
		t.Errorf("30,000 bytes left in portions of %v", sizes)
	}
}

// TestBounds refuses what would grow without bound.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newTown(t, 1, 1)
	here := w.sites[0]
	for i := range live.MaxStreamsPerRoom + 1 {
		err := w.say(here, words(fmt.Sprintf("m%d", i), "x", live.AtEnd))
		if (err != nil) != (i == live.MaxStreamsPerRoom) || err != nil && !errors.Is(err, live.ErrTooMany) {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
	for i := range live.MaxStatesPerRoom + 1 {
		err := w.say(here, holds(fmt.Sprint(i), "1", time.Minute))
		if (err != nil) != (i == live.MaxStatesPerRoom) {
			t.Fatalf("signal %d: %v", i, err)
		}
	}
	long := strings.Repeat("x", protocol.MaxSignalTextBytes)
	var err error
	for range live.MaxStreamBytes/len(long) + 1 {
		w.wait(time.Second)
		err = errors.Join(err, w.say(here, words("m0", long, live.AtEnd)))
	}
	if !errors.Is(err, live.ErrTooLong) {
		t.Errorf("a stream longer than a message: %v", err)
	}
	if err := w.say(here, words("m1", "x", 7)); !errors.Is(err, live.ErrStreamPlace) {
		t.Errorf("words behind a gap: %v", err)
	}
	w.wait(10 * time.Second)
	said := 0
	for err = nil; err == nil; said += len(long) {
		err = w.say(here, words("m1", long, 0))
	}
	if !errors.Is(err, live.ErrTooMany) || said > live.SayBurst+2*len(long) {
		t.Errorf("%d bytes at once: %v", said, err)
	}
	w.wait(live.StreamSilence)
	ended := here.board.Expire(w.at)
	if here.board.Streams() || len(ended) != live.MaxStreamsPerRoom-1+live.MaxStatesPerRoom {
		t.Errorf("after a minute of silence %d were ended, streams: %v", len(ended), here.board.Streams())
	}
	for here.board.Pending() {
		here.board.Flush(w.at, 1<<20)
	}
	w.wait(live.StreamSilence)
	here.board.Expire(w.at)
	if got := here.board.TakeInterest(); len(got) != 2 || got[1].Hear {
		t.Errorf("interest %+v, want it to have begun and ended", got)
	}
}
