package conflict_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
	"pgregory.net/rapid"
)

// change is one op of a test history; it touches one of the four structures.
type change struct {
	dot   vclock.Dot
	deps  vclock.Vector
	stamp clocksync.Stamp
	kind  string // write, delete, add, reset counter, insert, remove, reset set, move
	text  string // value of a register or an element, key of an addition
	by    int64
	to    conflict.State
	epoch uint64
}

func (c change) String() string {
	return fmt.Sprintf("%v %s %q %d %v/%d at %v", c.dot, c.kind, c.text, c.by, c.to, c.epoch, c.stamp)
}

// doc holds one of each structure and the vector of what is applied.
type doc struct {
	seen      vclock.Vector
	register  conflict.Register
	counter   conflict.Counter
	set       conflict.Set
	lifecycle conflict.Lifecycle
}

func (d doc) apply(c change) doc {
	switch c.kind {
	case "write", "delete":
		v := conflict.Value{Dot: c.dot, Stamp: c.stamp, Actor: "a", Deleted: c.kind == "delete"}
		if !v.Deleted {
			v.Data = []byte(c.text)
		}
		d.register = d.register.Write(v, c.deps)
	case "add":
		d.counter, _ = d.counter.Add(conflict.Addition{Dot: c.dot, Key: c.text, By: c.by})
	case "reset counter":
		d.counter = d.counter.Reset(c.deps)
	case "insert":
		d.set = d.set.Insert([]byte(c.text), c.dot, c.deps)
	case "remove":
		d.set = d.set.Remove([]byte(c.text), c.deps)
	case "reset set":
		d.set = d.set.Reset(c.deps)
	case "move":
		m := conflict.Move{Dot: c.dot, Stamp: c.stamp, To: c.to, Epoch: c.epoch}
		d.lifecycle = d.lifecycle.Apply(m, c.deps)
	default:
		panic("unknown kind " + c.kind)
	}
	d.seen = d.seen.With(c.dot)
	return d
}

func (d doc) join(e doc) doc {
	return doc{
		seen:      d.seen.Merge(e.seen),
		register:  d.register.Join(d.seen, e.register, e.seen),
		counter:   d.counter.Join(d.seen, e.counter, e.seen),
		set:       d.set.Join(d.seen, e.set, e.seen),
		lifecycle: d.lifecycle.Join(d.seen, e.lifecycle, e.seen),
	}
}

func (d doc) bytes() []byte {
	b := d.seen.AppendBinary(nil)
	b = d.register.AppendBinary(b)
	b = d.counter.AppendBinary(b)
	b = d.set.AppendBinary(b)
	return d.lifecycle.AppendBinary(b)
}

func (d doc) String() string {
	return fmt.Sprintf("%v %v %v %v", d.register, d.counter, d.set, d.lifecycle)
}

// anyHistory draws what up to three replicas write while they hear of each
// other now and then. Each op stands behind all that its deps cover.
func anyHistory(most int) *rapid.Generator[[]change] {
	return rapid.Custom(func(t *rapid.T) []change {
		var history []change
		var seen [3]vclock.Vector
		kinds := []string{"write", "delete", "add", "reset counter", "insert", "remove", "reset set", "move"}
		for range rapid.IntRange(0, most).Draw(t, "ops") {
			at := rapid.IntRange(0, 2).Draw(t, "replica")
			if from := rapid.IntRange(0, 5).Draw(t, "hears of"); from < 3 {
				seen[at] = seen[at].Merge(seen[from])
			}
			o := vclock.Origin([]string{"edge-1~aaaaaaaa", "edge-2~aaaaaaaa", "core"}[at])
			c := change{
				dot:  vclock.Dot{Origin: o, Seq: seen[at].At(o) + vclock.Seq(rapid.IntRange(1, 2).Draw(t, "gap"))},
				deps: seen[at],
				kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
				text: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "text"),
				by:   rapid.SampledFrom([]int64{1, -2, 1 << 62, -1 << 63, 1<<63 - 1}).Draw(t, "by"),
				stamp: clocksync.Stamp{
					Wall:  rapid.Uint64Range(1, 3).Draw(t, "wall"),
					Trust: rapid.SampledFrom([]clocksync.Trust{0, 1, 2}).Draw(t, "trust"),
				},
				to:    rapid.SampledFrom([]conflict.State{0, 1, 2, 3}).Draw(t, "to"),
				epoch: rapid.Uint64Range(0, 1).Draw(t, "epoch"),
			}
			seen[at] = seen[at].With(c.dot)
			history = append(history, c)
		}
		return history
	})
}

// ready returns the indexes of the changes that seen lacks and whose deps it covers.
func ready(history []change, seen vclock.Vector) []int {
	var next []int
	for i, c := range history {
		if !seen.Covers(c.dot) && seen.Includes(c.deps) {
			next = append(next, i)
		}
	}
	return next
}

// replay applies some of history, all if whole, in a drawn causal order.
func replay(t *rapid.T, history []change, whole bool) doc {
	var d doc
	left := len(history)
	if !whole {
		left = rapid.IntRange(0, len(history)).Draw(t, "known")
	}
	for ; left > 0; left-- {
		next := ready(history, d.seen)
		d = d.apply(history[rapid.SampledFrom(next).Draw(t, "next")])
	}
	return d
}

// expected builds the document from the definition: an item is there if it is
// in seen and no change in seen that drops its like covers it.
func expected(history []change, seen vclock.Vector) doc {
	d := doc{seen: seen}
	known := slices.DeleteFunc(slices.Clone(history), func(c change) bool { return !seen.Covers(c.dot) })
	dropped := func(c change, kinds string, text *string) bool {
		return slices.ContainsFunc(known, func(by change) bool {
			like := text == nil || by.kind == "reset set" || by.text == *text
			return bytes.Contains([]byte(kinds), []byte("|"+by.kind+"|")) && like && by.deps.Covers(c.dot)
		})
	}
	elements := make(map[string][]vclock.Dot)
	for _, c := range known {
		switch c.kind {
		case "write", "delete":
			if !dropped(c, "|write||delete|", nil) {
				v := conflict.Value{Dot: c.dot, Stamp: c.stamp, Actor: "a", Deleted: c.kind == "delete"}
				if !v.Deleted {
					v.Data = []byte(c.text)
				}
				d.register.Values = append(d.register.Values, v)
			}
		case "add":
			if !dropped(c, "|reset counter|", nil) {
				d.counter.Additions = append(d.counter.Additions, conflict.Addition{Dot: c.dot, Key: c.text, By: c.by})
			}
		case "insert":
			if !dropped(c, "|insert||remove||reset set|", &c.text) {
				elements[c.text] = append(elements[c.text], c.dot)
			}
		case "move":
			if !dropped(c, "|move|", nil) {
				m := conflict.Move{Dot: c.dot, Stamp: c.stamp, To: c.to, Epoch: c.epoch}
				d.lifecycle.Moves = append(d.lifecycle.Moves, m)
			}
		}
	}
	slices.SortFunc(d.register.Values, func(a, b conflict.Value) int {
		if conflict.Beats(a, b) {
			return -1
		}
		return 1
	})
	slices.SortFunc(d.counter.Additions, func(a, b conflict.Addition) int { return a.Dot.Compare(b.Dot) })
	slices.SortFunc(d.lifecycle.Moves, func(a, b conflict.Move) int {
		for _, c := range []int{int(b.Epoch) - int(a.Epoch), int(b.To) - int(a.To), b.Stamp.Compare(a.Stamp)} {
			if c != 0 {
				return c
			}
		}
		return b.Dot.Compare(a.Dot)
	})
	for _, text := range []string{"", "x", "y"} {
		if dots := elements[text]; len(dots) > 0 {
			slices.SortFunc(dots, vclock.Dot.Compare)
			d.set.Elements = append(d.set.Elements, conflict.Element{Value: []byte(text), Dots: dots})
		}
	}
	return d
}

func TestOpsCommuteInEveryCausalOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := anyHistory(20).Draw(t, "history")
		d := replay(t, history, true)
		if want := expected(history, d.seen); !bytes.Equal(d.bytes(), want.bytes()) {
			t.Fatalf("replay of %v\n got %v\nwant %v", history, d, want)
		}
	})
}

// TestAllCausalOrders tries each causal order of short histories.
func TestAllCausalOrders(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := anyHistory(5).Draw(t, "history")
		var want []byte
		orders := 0
		var walk func(doc)
		walk = func(d doc) {
			next := ready(history, d.seen)
			if len(next) > 0 {
				for _, i := range next {
					walk(d.apply(history[i]))
				}
				return
			}
			orders++
			if got := d.bytes(); want == nil {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Fatalf("order %d of %v gives %v", orders, history, d)
			}
		}
		walk(doc{})
	})
}

func TestJoinIsTheUnion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := anyHistory(20).Draw(t, "history")
		a, b, c := replay(t, history, false), replay(t, history, false), replay(t, history, false)
		ab := a.join(b)
		if want := expected(history, ab.seen); !bytes.Equal(ab.bytes(), want.bytes()) {
			t.Fatalf("join of\n %v and\n %v is\n %v, want\n %v", a, b, ab, want)
		}
		if ba := b.join(a); !bytes.Equal(ab.bytes(), ba.bytes()) {
			t.Fatalf("join is not commutative: %v and %v", ab, ba)
		}
		if x, y := ab.join(c), a.join(b.join(c)); !bytes.Equal(x.bytes(), y.bytes()) {
			t.Fatalf("join is not associative: %v and %v", x, y)
		}
		for _, x := range []doc{a.join(a), a.join(doc{}), (doc{}).join(a)} {
			if !bytes.Equal(x.bytes(), a.bytes()) {
				t.Fatalf("join with itself or with nothing changes %v to %v", a, x)
			}
		}
		if x := ab.join(b); !bytes.Equal(x.bytes(), ab.bytes()) {
			t.Fatalf("join is not idempotent: %v and %v", ab, x)
		}
	})
}

// TestOpsDoNotChangeWhatTheyWereAppliedTo holds the promise of immutability.
func TestOpsDoNotChangeWhatTheyWereAppliedTo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := anyHistory(12).Draw(t, "history")
		d := replay(t, history, false)
		before := d.bytes()
		for _, i := range ready(history, d.seen) {
			d.apply(history[i])
		}
		d.join(replay(t, history, false))
		if !bytes.Equal(d.bytes(), before) {
			t.Fatalf("a document changed under the hand of its owner: %v", d)
		}
	})
}

func TestCodecsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := anyHistory(20).Draw(t, "history")
		d := replay(t, history, false)
		b := append(d.bytes(), "rest"...)
		_, rest, err := vclock.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		var e doc
		e.seen = d.seen
		if e.register, rest, err = conflict.DecodeRegister(rest); err != nil {
			t.Fatalf("DecodeRegister(%v): %v", d.register, err)
		}
		if e.counter, rest, err = conflict.DecodeCounter(rest); err != nil {
			t.Fatalf("DecodeCounter(%v): %v", d.counter, err)
		}
		if e.set, rest, err = conflict.DecodeSet(rest); err != nil {
			t.Fatalf("DecodeSet(%v): %v", d.set, err)
		}
		if e.lifecycle, rest, err = conflict.DecodeLifecycle(rest); err != nil {
			t.Fatalf("DecodeLifecycle(%v): %v", d.lifecycle, err)
		}
		if string(rest) != "rest" || e.String() != d.String() {
			t.Fatalf("decoded %v and %q, want %v", e, rest, d)
		}
	})
}
