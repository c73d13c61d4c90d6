package conflict_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
	"pgregory.net/rapid"
)

// message is a node of the test's tree. Ids count from 1; parent 0 is the root.
type message struct {
	id, parent int
	rank       conflict.Rank
}

func rank(wall uint64, o vclock.Origin, n vclock.Seq) conflict.Rank {
	return conflict.Rank{Stamp: clocksync.Stamp{Wall: wall}, Dot: dot(o, n)}
}

// tree is the slow, obviously right twin of a timeline: parents in a map.
type tree map[int]message

// cut returns the tree with every cycle cut at its message of least rank.
func (tr tree) cut() tree {
	cut := make(tree)
	for id, m := range tr {
		ring := []message{m}
		for at := m.parent; at != 0 && at != id && len(ring) <= len(tr); at = tr[at].parent {
			ring = append(ring, tr[at])
		}
		inRing := ring[len(ring)-1].parent == id
		if inRing && !slices.ContainsFunc(ring, func(n message) bool { return n.rank.Compare(m.rank) < 0 }) {
			m.parent = 0
		}
		cut[id] = m
	}
	return cut
}

func (tr tree) children(of int) []message {
	var found []message
	for _, m := range tr {
		if m.parent == of {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b message) int { return a.rank.Compare(b.rank) })
	return found
}

// walk returns ids and depths of what lies below a message, depth first.
func (tr tree) walk(below, depth int) (order, depths []int) {
	children := tr.children(below)
	if len(children) > 1 {
		depth++
	}
	for _, m := range children {
		order, depths = append(order, m.id), append(depths, depth)
		o, d := tr.walk(m.id, depth)
		order, depths = append(order, o...), append(depths, d...)
	}
	return order, depths
}

// replica is one arrival order of messages.
type replica struct {
	line  conflict.Timeline
	slots map[int]uint64     // id to slot
	at    map[uint64]message // slot to message as it stands now
	last  uint64             // slot given out last, to a message or to something else
	asked int
}

func newReplica() *replica {
	return &replica{slots: map[int]uint64{0: 0}, at: make(map[uint64]message)}
}

func (r *replica) next(after uint64) (uint64, conflict.Rank, error) {
	r.asked++
	for slot := after + 1; slot <= r.last; slot++ {
		if m, ok := r.at[slot]; ok {
			return slot, m.rank, nil
		}
	}
	return 0, conflict.Rank{}, fmt.Errorf("no message after slot %d", after)
}

// put adds m behind gap other slots, or moves it if it is there.
func (r *replica) put(t rapid.TB, m message, gap int) {
	t.Helper()
	slot, known := r.slots[m.id]
	if known {
		if err := r.line.Move(slot, r.slots[m.parent], m.rank, r.next); err != nil {
			t.Fatalf("Move(%d, %v): %v", slot, m, err)
		}
		r.at[slot] = m
		return
	}
	slot = r.last + 1 + uint64(gap)
	if err := r.line.Add(slot, r.slots[m.parent], m.rank, r.next); err != nil {
		t.Fatalf("Add(%d, %v): %v", slot, m, err)
	}
	r.slots[m.id], r.at[slot], r.last = slot, m, slot
}

// order spells out the segments as message ids, with their depths.
func (r *replica) order() (order, depths []int) {
	for _, s := range r.line.Segments() {
		for slot := s.From; slot <= s.To; slot++ {
			if m, ok := r.at[slot]; ok {
				order, depths = append(order, m.id), append(depths, s.Depth)
			}
		}
	}
	return order, depths
}

// check compares the timeline with its twin and tests the invariants.
func (r *replica) check(t rapid.TB, tr tree) {
	t.Helper()
	cut := tr.cut()
	wantOrder, wantDepths := cut.walk(0, 0)
	order, depths := r.order()
	if !slices.Equal(order, wantOrder) || !slices.Equal(depths, wantDepths) {
		t.Fatalf("order %v at depths %v, want %v at %v; runs %v", order, depths, wantOrder, wantDepths, r.line.Runs)
	}
	if len(order) != len(tr) {
		t.Fatalf("%d messages in the order, want %d", len(order), len(tr))
	}
	last := 0
	if len(wantOrder) > 0 {
		last = wantOrder[len(wantOrder)-1]
	}
	if got := r.line.Last(); got != r.slots[last] {
		t.Fatalf("Last = %d, want slot %d; runs %v", got, r.slots[last], r.line.Runs)
	}
	for id, slot := range r.slots {
		heads, inside := r.line.Replies(slot)
		if inside {
			next, _, err := r.next(slot)
			if err != nil {
				t.Fatal(err)
			}
			heads = []uint64{next}
		}
		var want []uint64
		for _, m := range cut.children(id) {
			want = append(want, r.slots[m.id])
		}
		if !slices.Equal(heads, want) {
			t.Fatalf("Replies(%d) = %v, want %v; runs %v", slot, heads, want, r.line.Runs)
		}
	}
	b := r.line.AppendBinary(nil)
	back, rest, err := conflict.DecodeTimeline(append(b, "rest"...))
	if err != nil || string(rest) != "rest" || !slices.Equal(back.Runs, r.line.Runs) || back.Tip != r.line.Tip {
		t.Fatalf("DecodeTimeline(%v) = %v, %q, %v", r.line, back, rest, err)
	}
}

// puts is one message as put once or twice; the put of lower rank counts.
type puts []message

// anyTree draws messages of which each replies to an earlier one; some are put
// a second time, with lower rank, under any message. Ranks are unrelated to
// the tree if wild; otherwise they rise from parent to reply.
func anyTree(wild, twice bool) *rapid.Generator[[]puts] {
	return rapid.Custom(func(t *rapid.T) []puts {
		count := rapid.IntRange(0, 24).Draw(t, "messages")
		wall := make([]uint64, count+1)
		var all []puts
		for id := 1; id <= count; id++ {
			parent := id - 1
			if rapid.IntRange(0, 2).Draw(t, "branches") == 0 {
				parent = rapid.IntRange(0, id-1).Draw(t, "parent")
			}
			wall[id] = rapid.Uint64Range(1, 20).Draw(t, "wall")
			if !wild {
				wall[id] = wall[parent] + rapid.Uint64Range(1, 3).Draw(t, "later")
			}
			m := message{id, parent, rank(wall[id], "b", vclock.Seq(id))}
			all = append(all, puts{m})
		}
		for i := range all {
			if !twice || rapid.IntRange(0, 3).Draw(t, "put twice") > 0 {
				continue
			}
			m := all[i][0]
			m.parent = rapid.IntRange(0, count).Draw(t, "other parent")
			m.rank = rank(rapid.Uint64Range(0, m.rank.Stamp.Wall).Draw(t, "other wall"), "a", vclock.Seq(m.id))
			all[i] = append(all[i], m)
		}
		return all
	})
}

// arrive feeds the puts to a replica in a drawn order in which each put comes
// after a put of its parent. A put of higher rank than what is there is passed
// over, as a session does.
func arrive(t *rapid.T, all []puts) (*replica, tree) {
	r, tr := newReplica(), make(tree)
	var open []message
	for _, p := range all {
		open = append(open, p...)
	}
	for len(open) > 0 {
		var ready []int
		for i, m := range open {
			if _, ok := r.slots[m.parent]; ok {
				ready = append(ready, i)
			}
		}
		if len(ready) == 0 {
			t.Fatalf("nothing of %v is ready", open)
		}
		i := rapid.SampledFrom(ready).Draw(t, "next")
		m := open[i]
		open = slices.Delete(open, i, i+1)
		if now, known := tr[m.id]; known && now.rank.Compare(m.rank) < 0 {
			continue
		}
		r.put(t, m, rapid.IntRange(0, 2).Draw(t, "gap"))
		tr[m.id] = m
		r.check(t, tr)
	}
	return r, tr
}

func TestTimelineAgainstTree(t *testing.T) {
	t.Parallel()
	for _, wild := range []bool{false, true} {
		for _, twice := range []bool{false, true} {
			t.Run(fmt.Sprintf("wild=%v,twice=%v", wild, twice), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					all := anyTree(wild, twice).Draw(t, "tree")
					one, tr := arrive(t, all)
					two, _ := arrive(t, all)
					order, _ := one.order()
					if other, _ := two.order(); !slices.Equal(order, other) {
						t.Fatalf("two arrival orders of %v give %v and %v", tr, order, other)
					}
				})
			})
		}
	}
}

// author is one of several sites that write to one session and hear of each
// other now and then.
type author struct {
	*replica
	tree  tree
	clock uint64
}

func (a *author) hear(t *rapid.T, history []message, past map[int]map[int]bool, from *author) {
	for _, m := range history {
		_, have := a.tree[m.id]
		_, there := from.tree[m.id]
		causal := true
		for id := range past[m.id] {
			_, known := a.tree[id]
			causal = causal && known
		}
		if !have && there && causal {
			a.put(t, m, rapid.IntRange(0, 1).Draw(t, "gap"))
			a.tree[m.id] = m
			a.clock = max(a.clock, m.rank.Stamp.Wall)
		}
	}
}

// TestOrderRespectsCausality: if each author replies to the last message that
// it sees with a stamp later than all that it sees, no replica ever shows a
// message before one that its author had seen.
func TestOrderRespectsCausality(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		authors := make([]*author, 3)
		for i := range authors {
			authors[i] = &author{newReplica(), make(tree), 0}
		}
		var history []message
		past := make(map[int]map[int]bool) // ids that the author of an id had seen
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			a := rapid.SampledFrom(authors).Draw(t, "author")
			if rapid.IntRange(0, 2).Draw(t, "writes") == 0 {
				b := rapid.SampledFrom(authors).Draw(t, "from")
				a.hear(t, history, past, b)
				continue
			}
			id := len(history) + 1
			past[id] = make(map[int]bool)
			for seen := range a.tree {
				past[id][seen] = true
			}
			a.clock += rapid.Uint64Range(1, 5).Draw(t, "later")
			m := message{id, a.at[a.line.Last()].id, rank(a.clock, "a", vclock.Seq(id))}
			history = append(history, m)
			a.put(t, m, 0)
			a.tree[id] = m
			if last := a.line.Last(); a.at[last].id != id {
				t.Fatalf("message %v is not the last of its author's order", m)
			}
			for _, r := range authors {
				mustBeCausal(t, r, past)
			}
		}
		for _, a := range authors {
			for _, b := range authors {
				a.hear(t, history, past, b)
			}
			mustBeCausal(t, a, past)
			a.check(t, a.tree)
			if len(a.tree) != len(history) {
				t.Fatalf("heard of %d messages, want %d", len(a.tree), len(history))
			}
		}
	})
}

func mustBeCausal(t *rapid.T, a *author, past map[int]map[int]bool) {
	t.Helper()
	order, _ := a.order()
	for i, id := range order {
		for _, later := range order[i+1:] {
			if past[id][later] {
				t.Fatalf("order %v shows %d before %d, which its author had seen", order, id, later)
			}
		}
	}
}

func TestALineIsOneRun(t *testing.T) {
	t.Parallel()
	r := newReplica()
	for id := 1; id <= 1000; id++ {
		r.put(t, message{id, id - 1, rank(uint64(id), "a", vclock.Seq(id))}, id%3)
	}
	if n, size := len(r.line.Runs), len(r.line.AppendBinary(nil)); n != 1 || size > 32 || r.asked != 0 {
		t.Errorf("a line of 1000 messages is %d runs in %d bytes with %d questions, want 1 run", n, size, r.asked)
	}
	r.put(t, message{1001, 500, rank(2000, "b", 1)}, 0)
	if n := len(r.line.Runs); n != 3 || r.asked != 1 {
		t.Errorf("a branch gives %d runs after %d questions, want 3 and 1", n, r.asked)
	}
	r.asked = 0
	r.put(t, message{700, 600, rank(699, "b", 2)}, 0)
	if r.asked > 12 {
		t.Errorf("a move asks %d times, want about the logarithm of the run's length", r.asked)
	}
}

func TestTimelineRefuses(t *testing.T) {
	t.Parallel()
	r := newReplica()
	for id := 1; id <= 3; id++ {
		r.put(t, message{id, id - 1, rank(uint64(id), "a", vclock.Seq(id))}, 1) // slots 2, 4, 6
	}
	before := fmt.Sprint(r.line)
	errRead := errors.New("read failed")
	failing := func(uint64) (uint64, conflict.Rank, error) { return 0, conflict.Rank{}, errRead }
	wrong := func(uint64) (uint64, conflict.Rank, error) { return 99, conflict.Rank{}, nil }
	stuck := func(after uint64) (uint64, conflict.Rank, error) { return after, conflict.Rank{}, nil }
	some := rank(9, "b", 1)
	for name, c := range map[string]struct {
		err, want error
	}{
		"a slot again":         {r.line.Add(6, 4, some, r.next), conflict.ErrNotInTimeline},
		"slot zero":            {r.line.Add(0, 0, some, r.next), conflict.ErrNotInTimeline},
		"a parent to come":     {r.line.Add(7, 8, some, r.next), conflict.ErrNotInTimeline},
		"a parent before all":  {r.line.Add(7, 1, some, r.next), conflict.ErrNotInTimeline},
		"itself as parent":     {r.line.Add(7, 7, some, r.next), conflict.ErrNotInTimeline},
		"next fails":           {r.line.Add(7, 2, some, failing), errRead},
		"next beyond the run":  {r.line.Add(7, 2, some, wrong), conflict.ErrNotInTimeline},
		"move of nothing":      {r.line.Move(0, 0, some, r.next), conflict.ErrNotInTimeline},
		"move of a later slot": {r.line.Move(7, 0, some, r.next), conflict.ErrNotInTimeline},
		"move to nowhere":      {r.line.Move(4, 9, some, r.next), conflict.ErrNotInTimeline},
		"move, next fails":     {r.line.Move(6, 0, some, failing), errRead},
		"move, next is stuck":  {r.line.Move(6, 0, some, stuck), conflict.ErrNotInTimeline},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	if got := fmt.Sprint(r.line); got != before {
		t.Errorf("refused calls changed the timeline from %s to %s", before, got)
	}
	if heads, inside := r.line.Replies(9); heads != nil || inside {
		t.Errorf("Replies(9) = %v, %v, want nothing", heads, inside)
	}
	if err := r.line.Move(5, 0, some, r.next); !errors.Is(err, conflict.ErrNotInTimeline) {
		t.Errorf("move of a slot between messages: %v, want ErrNotInTimeline", err)
	}
	if order, _ := r.order(); !slices.Equal(order, []int{1, 2, 3}) {
		t.Errorf("order after refused calls = %v, want 1, 2, 3", order)
	}
}

// TestACycleIsCutAtItsLeastRank: two messages that each claim to reply to the
// other, which takes a dishonest author, still occur on every replica.
func TestACycleIsCutAtItsLeastRank(t *testing.T) {
	t.Parallel()
	r := newReplica()
	tr := tree{1: {1, 0, rank(5, "a", 1)}, 2: {2, 1, rank(6, "a", 2)}, 3: {3, 2, rank(7, "a", 3)}}
	for id := 1; id <= 3; id++ {
		r.put(t, tr[id], 0)
	}
	tr[1] = message{1, 3, rank(4, "b", 1)}
	r.put(t, tr[1], 0)
	r.check(t, tr)
	if order, _ := r.order(); !slices.Equal(order, []int{1, 2, 3}) {
		t.Errorf("order = %v, want 1, 2, 3", order)
	}
}

func BenchmarkTimelineAdd(b *testing.B) {
	next := func(uint64) (uint64, conflict.Rank, error) { return 0, conflict.Rank{}, errors.New("not asked") }
	for _, branches := range []int{0, 1000} {
		b.Run(fmt.Sprintf("branches=%d", branches), func(b *testing.B) {
			var line conflict.Timeline
			slot := uint64(0)
			for range branches {
				slot++
				if err := line.Add(slot, 0, rank(slot, "a", 1), next); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				slot++
				if err := line.Add(slot, line.Last(), rank(slot, "a", 1), next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
