package vclock_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/vclock"
	"pgregory.net/rapid"
)

// history is the slow, obviously right twin of a vector: the set of its dots.
type history map[vclock.Dot]bool

func historyOf(v vclock.Vector) history {
	h := make(history)
	for o, n := range v.All() {
		for seq := vclock.Seq(1); seq <= n; seq++ {
			h[vclock.Dot{Origin: o, Seq: seq}] = true
		}
	}
	return h
}

func (h history) includes(other history) bool {
	for d := range other {
		if !h[d] {
			return false
		}
	}
	return true
}

func (h history) compare(other history) vclock.Order {
	switch above, under := h.includes(other), other.includes(h); {
	case above && under:
		return vclock.Equal
	case under:
		return vclock.Before
	case above:
		return vclock.After
	default:
		return vclock.Concurrent
	}
}

var mirror = map[vclock.Order]vclock.Order{
	vclock.Equal: vclock.Equal, vclock.Before: vclock.After,
	vclock.After: vclock.Before, vclock.Concurrent: vclock.Concurrent,
}

func vec(counters ...vclock.Seq) vclock.Vector {
	var v vclock.Vector
	for i, n := range counters {
		v = v.With(vclock.Dot{Origin: vclock.Origin('A' + rune(i)), Seq: n})
	}
	return v
}

// grid returns all vectors over three agents with counters 0 to 2.
func grid() []vclock.Vector {
	var all []vclock.Vector
	for i := range vclock.Seq(27) {
		all = append(all, vec(i%3, i/3%3, i/9))
	}
	return all
}

func TestAllPairsOverThreeAgents(t *testing.T) {
	t.Parallel()
	pairs := 0
	for _, v := range grid() {
		for _, w := range grid() {
			pairs++
			hv, hw := historyOf(v), historyOf(w)
			got, want := v.Compare(w), hv.compare(hw)
			if got != want {
				t.Errorf("Compare(%v, %v) = %v, want %v", dump(v), dump(w), got, want)
			}
			if back := w.Compare(v); back != mirror[got] {
				t.Errorf("Compare(%v, %v) = %v, and the other way round %v", dump(v), dump(w), got, back)
			}
			if got, want := v.Includes(w), hv.includes(hw); got != want {
				t.Errorf("%v.Includes(%v) = %v, want %v", dump(v), dump(w), got, want)
			}
			checkLeastUpperBound(t, v, w)
		}
	}
	if pairs != 729 {
		t.Errorf("compared %d pairs, want 729", pairs)
	}
}

// checkLeastUpperBound checks that the merge is above both and below
// everything else of the grid that is above both.
func checkLeastUpperBound(t *testing.T, v, w vclock.Vector) {
	t.Helper()
	m := v.Merge(w)
	if !m.Includes(v) || !m.Includes(w) {
		t.Errorf("%v.Merge(%v) = %v, want an upper bound", dump(v), dump(w), dump(m))
	}
	for _, u := range grid() {
		if u.Includes(v) && u.Includes(w) && !u.Includes(m) {
			t.Errorf("%v.Merge(%v) = %v, and %v is a lower upper bound", dump(v), dump(w), dump(m), dump(u))
		}
	}
}

// TestCounterexamples holds pairs that a comparison gets wrong if it walks the
// entries of one side only, or takes "all of mine are at least yours" for
// "mine comes first".
func TestCounterexamples(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v, w vclock.Vector
		want vclock.Order
	}{
		{vec(1), vec(0, 1), vclock.Concurrent},
		{vec(1), vec(1, 1), vclock.Before},
		{vec(1, 1), vec(1), vclock.After},
		{vec(2), vec(1, 1), vclock.Concurrent},
		{vec(), vec(1), vclock.Before},
		{vec(1), vec(), vclock.After},
		{vec(), vec(), vclock.Equal},
	} {
		if got := c.v.Compare(c.w); got != c.want {
			t.Errorf("Compare(%v, %v) = %v, want %v", dump(c.v), dump(c.w), got, c.want)
		}
	}
}

func TestZeroEqualsAbsent(t *testing.T) {
	t.Parallel()
	with, without := vclock.Of(dot("a", 1), dot("b", 0)), vclock.Of(dot("a", 1))
	if got := with.Compare(without); got != vclock.Equal {
		t.Errorf("Compare({a:1,b:0}, {a:1}) = %v, want equal", got)
	}
	if with.String() != without.String() || with.Len() != 1 {
		t.Errorf("{a:1,b:0} is %q with %d origins, want %q with 1", with, with.Len(), without)
	}
	if v := vec().With(dot("", 3)); !v.IsEmpty() {
		t.Errorf("With(dot of nobody) = %v, want nothing", dump(v))
	}
	if v := with.With(dot("a", 0)); v.Compare(with) != vclock.Equal {
		t.Errorf("With(a.0) = %v, want %v", dump(v), dump(with))
	}
}

func TestLargeCounters(t *testing.T) {
	t.Parallel()
	top, under := vclock.Of(dot("a", math.MaxUint64)), vclock.Of(dot("a", math.MaxUint64-1))
	if got := top.Compare(under); got != vclock.After {
		t.Errorf("Compare(2^64-1, 2^64-2) = %v, want after", got)
	}
	if got := top.Merge(under).At("a"); got != math.MaxUint64 {
		t.Errorf("merged counter = %d, want 2^64-1", got)
	}
	if !top.Covers(dot("a", math.MaxUint64)) || under.Covers(dot("a", math.MaxUint64)) {
		t.Error("Covers is wrong at 2^64-1")
	}
	back, err := vclock.Parse(top.String())
	if err != nil || back.At("a") != math.MaxUint64 {
		t.Errorf("Parse(%q) = %v, %v, want counter 2^64-1", top, dump(back), err)
	}
}

func TestAgainstSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v, w, d := anyVector().Draw(t, "v"), anyVector().Draw(t, "w"), anyDot().Draw(t, "d")
		hv, hw := historyOf(v), historyOf(w)
		if got, want := v.Compare(w), hv.compare(hw); got != want {
			t.Errorf("Compare(%v, %v) = %v, want %v", dump(v), dump(w), got, want)
		}
		if got, want := v.Includes(w), hv.includes(hw); got != want {
			t.Errorf("%v.Includes(%v) = %v, want %v", dump(v), dump(w), got, want)
		}
		if got, want := v.Covers(d), hv[d] || d.Seq == 0; got != want {
			t.Errorf("%v.Covers(%v) = %v, want %v", dump(v), d, got, want)
		}
		merged := v.Merge(w)
		both := historyOf(merged)
		if !both.includes(hv) || !both.includes(hw) || len(both) != union(hv, hw) {
			t.Errorf("%v.Merge(%v) = %v, want the union", dump(v), dump(w), dump(merged))
		}
		if with := v.With(d); with.Compare(v.Merge(vclock.Of(d))) != vclock.Equal {
			t.Errorf("%v.With(%v) = %v, want the merge with that dot", dump(v), d, dump(with))
		}
		less := v.Without(d.Origin)
		if less.At(d.Origin) != 0 || less.Merge(vclock.Of(dot(d.Origin, v.At(d.Origin)))).Compare(v) != vclock.Equal {
			t.Errorf("%v.Without(%v) = %v", dump(v), d.Origin, dump(less))
		}
		if got := historyOf(v); !got.includes(hv) || len(got) != len(hv) {
			t.Errorf("v changed from %v to %v", hv, got)
		}
	})
}

func TestMergeLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyVector().Draw(t, "a"), anyVector().Draw(t, "b"), anyVector().Draw(t, "c")
		if x, y := a.Merge(b), b.Merge(a); x.String() != y.String() {
			t.Errorf("not commutative: %v and %v", dump(x), dump(y))
		}
		if x, y := a.Merge(b).Merge(c), a.Merge(b.Merge(c)); x.String() != y.String() {
			t.Errorf("not associative: %v and %v", dump(x), dump(y))
		}
		if x := a.Merge(a); x.String() != a.String() {
			t.Errorf("not idempotent: %v and %v", dump(x), dump(a))
		}
		if got, back := a.Compare(b), b.Compare(a); back != mirror[got] {
			t.Errorf("Compare is %v one way and %v the other", got, back)
		}
	})
}

func TestOfTakesTheHighestInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dots := rapid.SliceOf(anyDot()).Draw(t, "dots")
		before := slices.Clone(dots)
		var want vclock.Vector
		for _, d := range dots {
			want = want.With(d)
		}
		if got := vclock.Of(dots...); got.String() != want.String() {
			t.Errorf("Of(%v) = %v, want %v", dots, dump(got), dump(want))
		}
		if !slices.Equal(dots, before) {
			t.Errorf("Of changed its argument from %v to %v", before, dots)
		}
	})
}

func TestCompareAllocatesNothing(t *testing.T) { // not parallel: it counts allocations
	v, w := wide(64, 1), wide(64, 2)
	order := vclock.Equal
	if n := testing.AllocsPerRun(100, func() { order = v.Compare(w) }); n != 0 {
		t.Errorf("Compare allocates %v times, want none", n)
	}
	if order != vclock.Before {
		t.Errorf("Compare = %v, want before", order)
	}
	covered := false
	if n := testing.AllocsPerRun(100, func() { covered = v.Covers(dot("node-07~aaaaaaaa", 1)) && w.Includes(v) }); n != 0 {
		t.Errorf("Covers and Includes allocate %v times, want none", n)
	}
	if !covered {
		t.Error("Covers = false, want true")
	}
}

func TestOrderString(t *testing.T) {
	t.Parallel()
	for o, want := range map[vclock.Order]string{
		vclock.Equal: "equal", vclock.Before: "before", vclock.After: "after", vclock.Concurrent: "concurrent",
	} {
		if got := o.String(); got != want {
			t.Errorf("String(%d) = %q, want %q", o, got, want)
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	for _, width := range []int{3, 16, 256} {
		b.Run(fmt.Sprintf("origins=%d", width), func(b *testing.B) {
			v, w := wide(width, 7), wide(width, 7)
			b.ReportAllocs()
			for b.Loop() {
				if v.Compare(w) != vclock.Equal {
					b.Fatal("equal vectors are not equal")
				}
			}
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	v, w := wide(16, 7), wide(16, 8)
	b.ReportAllocs()
	for b.Loop() {
		if v.Merge(w).Len() != 16 {
			b.Fatal("merge lost an origin")
		}
	}
}

func dot(o vclock.Origin, n vclock.Seq) vclock.Dot { return vclock.Dot{Origin: o, Seq: n} }

// wide returns a vector of n origins, all with counter seq.
func wide(n int, seq vclock.Seq) vclock.Vector {
	var v vclock.Vector
	for i := range n {
		v = v.With(dot(vclock.Origin(fmt.Sprintf("node-%02d~aaaaaaaa", i)), seq))
	}
	return v
}

func anyDot() *rapid.Generator[vclock.Dot] {
	return rapid.Custom(func(t *rapid.T) vclock.Dot {
		names := []vclock.Origin{"", "a", "ab", "b", "edge-1~k3x9a0qz", "edge-1~k3x9a0qy", "edge-2~aaaaaaaa", "\x00", "é"}
		for i := range 8 {
			names = append(names, vclock.Origin(fmt.Sprintf("n%d", i)))
		}
		return dot(rapid.SampledFrom(names).Draw(t, "origin"), vclock.Seq(rapid.Uint64Range(0, 4).Draw(t, "seq")))
	})
}

func anyVector() *rapid.Generator[vclock.Vector] {
	return rapid.Custom(func(t *rapid.T) vclock.Vector {
		return vclock.Of(rapid.SliceOfN(anyDot(), 0, 20).Draw(t, "dots")...)
	})
}

func union(a, b history) int {
	n := len(a)
	for d := range b {
		if !a[d] {
			n++
		}
	}
	return n
}

func dump(v vclock.Vector) string {
	var parts []string
	for o, n := range v.All() {
		parts = append(parts, fmt.Sprintf("%s:%d", o, n))
	}
	return "{" + strings.Join(parts, ",") + "}"
}
