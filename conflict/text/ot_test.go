package text_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

func patch(t testing.TB, s string, edits ...text.Edit) string {
	t.Helper()
	out, err := text.Patch(s, edits...)
	if err != nil {
		t.Fatalf("Patch(%q, %v): %v", s, edits, err)
	}
	return out
}

func ins(pos int, s string) text.Edit { return text.Edit{Pos: pos, Ins: s} }
func del(pos, n int) text.Edit        { return text.Edit{Pos: pos, Del: n} }

// everyEdit lists all inserts of s, deletes and replacements on n characters.
func everyEdit(n int, s string) []text.Edit {
	var all []text.Edit
	for p := range n + 1 {
		for d := range n - p + 1 {
			all = append(all, text.Edit{Pos: p, Del: d, Ins: s})
			if d > 0 {
				all = append(all, del(p, d))
			}
		}
	}
	return all
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b text.Edit
		tie  text.Tie
		want []text.Edit
	}{
		{ins(1, "x"), ins(2, "éé"), text.AFirst, []text.Edit{ins(1, "x")}},
		{ins(2, "x"), ins(1, "éé"), text.AFirst, []text.Edit{ins(4, "x")}},
		{ins(1, "x"), ins(1, "😀"), text.AFirst, []text.Edit{ins(1, "x")}},
		{ins(1, "x"), ins(1, "😀"), text.BFirst, []text.Edit{ins(2, "x")}},
		{ins(1, "x"), del(1, 2), text.AFirst, []text.Edit{ins(1, "x")}},
		{ins(2, "x"), del(1, 2), text.AFirst, []text.Edit{ins(1, "x")}},
		{ins(3, "x"), del(1, 2), text.AFirst, []text.Edit{ins(1, "x")}},
		{ins(5, "x"), del(0, 3), text.AFirst, []text.Edit{ins(2, "x")}},
		{del(1, 2), ins(1, "yy"), text.AFirst, []text.Edit{del(3, 2)}},
		{del(1, 2), ins(2, "yy"), text.AFirst, []text.Edit{del(1, 1), del(3, 1)}},
		{del(1, 2), ins(3, "yy"), text.AFirst, []text.Edit{del(1, 2)}},
		{del(1, 1), del(1, 1), text.AFirst, nil},
		{del(1, 3), del(2, 1), text.AFirst, []text.Edit{del(1, 2)}},
		{del(2, 3), del(1, 2), text.AFirst, []text.Edit{del(1, 2)}},
		{del(4, 1), del(1, 2), text.AFirst, []text.Edit{del(2, 1)}},
	} {
		if got := text.Transform(c.a, c.b, c.tie); !slices.Equal(got, c.want) {
			t.Errorf("Transform(%v, %v, %v) = %v, want %v", c.a, c.b, c.tie, got, c.want)
		}
	}
}

// TestTP1 holds both orders of every pair of edits of up to four characters on
// a text of four to one result, in both directions of the tie.
func TestTP1(t *testing.T) {
	t.Parallel()
	const doc = "añ😀d"
	pairs := 0
	for _, a := range everyEdit(4, "X") {
		for _, b := range everyEdit(4, "YZ") {
			for _, tie := range []text.Tie{text.AFirst, text.BFirst} {
				a2, b2 := text.TransformAll([]text.Edit{a}, []text.Edit{b}, tie)
				x, y := patch(t, patch(t, doc, a), b2...), patch(t, patch(t, doc, b), a2...)
				if x != y {
					t.Fatalf("%v, %v, tie %v: a first gives %q, b first %q", a, b, tie, x, y)
				}
				if !slices.Equal(text.Transform(a, b, tie), a2) {
					t.Fatalf("Transform(%v, %v, %v) differs from TransformAll", a, b, tie)
				}
				pairs++
			}
		}
	}
	if want := 25 * 25 * 2; pairs != want {
		t.Errorf("%d pairs tried, want %d", pairs, want)
	}
}

// TestTransformIsTheGraph holds the matrix against the walker for all pairs of
// single inserts and deletes.
func TestTransformIsTheGraph(t *testing.T) {
	t.Parallel()
	const doc = "abcd"
	for _, a := range everyEdit(4, "X") {
		for _, b := range everyEdit(4, "Y") {
			if a.Del > 0 && a.Ins != "" || b.Del > 0 && b.Ins != "" {
				continue
			}
			for tie, agents := range map[text.Tie][2]vclock.Origin{text.AFirst: {"1", "2"}, text.BFirst: {"2", "1"}} {
				docs := concurrent(t, doc, map[vclock.Origin][]text.Edit{agents[0]: {a}, agents[1]: {b}})
				want := docs[0].String()
				if got := patch(t, patch(t, doc, b), text.Transform(a, b, tie)...); got != want {
					t.Errorf("Transform(%v, %v, %v) gives %q, the walker %q", a, b, tie, got, want)
				}
			}
		}
	}
}

// concurrent lets each agent make edits on doc and merges all into each.
func concurrent(t testing.TB, doc string, edits map[vclock.Origin][]text.Edit) []*text.Doc {
	t.Helper()
	base := text.New()
	_, err := base.Insert("base", 0, doc)
	ok(t, err)
	start, err := base.Since(vclock.Vector{})
	ok(t, err)
	var docs []*text.Doc
	for agent, list := range edits {
		d := text.New()
		apply(t, d, start)
		_, err := d.Edit(agent, list...)
		ok(t, err)
		docs = append(docs, d)
	}
	for range 2 {
		for _, to := range docs {
			for _, from := range docs {
				runs, err := from.Since(to.Vector())
				ok(t, err)
				apply(t, to, runs)
			}
		}
	}
	return docs
}

// TestTP2 shows why more than two parties go through the walker: pairs of
// positions do not know of the character that was lost.
func TestTP2(t *testing.T) {
	t.Parallel()
	const doc = "abc"
	x, b, y := ins(2, "x"), del(1, 1), ins(1, "y") // of agents 1, 2 and 3
	for _, d := range concurrent(t, doc, map[vclock.Origin][]text.Edit{"1": {x}, "2": {b}, "3": {y}}) {
		if got := d.String(); got != "ayxc" {
			t.Errorf("the walker gives %q, want %q", got, "ayxc")
		}
	}
	// Pairs, b first: x and y stand at one place afterwards.
	xAfterB, yAfterB := text.Transform(x, b, text.AFirst), text.Transform(y, b, text.BFirst)
	yLast, _ := text.TransformAll(yAfterB, xAfterB, text.BFirst)
	if got := patch(t, patch(t, patch(t, doc, b), xAfterB...), yLast...); got != "axyc" {
		t.Errorf("pairs, b first, give %q; it was %q when this was written", got, "axyc")
	}
	// Pairs, b last: they do not.
	yAfterX := text.Transform(y, x, text.BFirst)
	bAfterX := text.Transform(b, x, text.BFirst)
	bLast, _ := text.TransformAll(bAfterX, yAfterX, text.AFirst)
	if got := patch(t, patch(t, patch(t, doc, x), yAfterX...), bLast...); got != "ayxc" {
		t.Errorf("pairs, b last, give %q, want %q", got, "ayxc")
	}
}

func randomEdits(rng *rand.Rand, n, count int) []text.Edit {
	var list []text.Edit
	for range count {
		e := text.Edit{Pos: rng.IntN(n + 1)}
		e.Del = rng.IntN(min(4, n-e.Pos+1))
		if rng.IntN(3) > 0 {
			e.Ins = pieces[rng.IntN(len(pieces))]
		}
		n += len([]rune(e.Ins)) - e.Del
		list = append(list, e)
	}
	return list
}

func TestListsComposeInvertCursor(t *testing.T) {
	t.Parallel()
	const doc = "0123456789é😀"
	n := len([]rune(doc))
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 2))
		as, bs := randomEdits(rng, n, rng.IntN(8)), randomEdits(rng, n, rng.IntN(8))
		a2, b2 := text.TransformAll(as, bs, text.Tie(seed%2))
		after := patch(t, doc, as...)
		if x, y := patch(t, after, b2...), patch(t, patch(t, doc, bs...), a2...); x != y {
			t.Fatalf("seed %d: %v past %v: %q and %q", seed, as, bs, x, y)
		}
		short := text.Compose(as...)
		if got := patch(t, doc, short...); got != after {
			t.Fatalf("seed %d: Compose(%v) = %v gives %q, want %q", seed, as, short, got, after)
		}
		for i := range short[:max(0, len(short)-1)] {
			if end := short[i].Pos + len([]rune(short[i].Ins)); end >= short[i+1].Pos {
				t.Fatalf("seed %d: Compose(%v) = %v, edits %d and %d touch", seed, as, short, i, i+1)
			}
		}
		back, err := text.Invert(doc, as...)
		ok(t, err)
		if got := patch(t, after, back...); got != doc {
			t.Fatalf("seed %d: Invert(%v) = %v gives %q", seed, as, back, got)
		}
		if undone := text.Compose(slices.Concat(as, back)...); len(as) == 0 && len(undone) > 0 {
			t.Fatalf("seed %d: Compose of nothing = %v", seed, undone)
		}
	}
	if got := text.Compose(ins(2, "abc"), del(2, 3)); len(got) != 0 {
		t.Errorf("Compose of an insert and its delete = %v, want nothing", got)
	}
}

func TestMapCursor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pos   int
		stick text.Stick
		edit  text.Edit
		want  int
	}{
		{3, text.Before, ins(2, "ab"), 5},
		{2, text.Before, ins(2, "ab"), 2},
		{2, text.Behind, ins(2, "😀b"), 4},
		{1, text.Behind, ins(2, "ab"), 1},
		{5, text.Before, del(1, 2), 3},
		{2, text.Before, del(1, 4), 1},
		{1, text.Behind, del(1, 4), 1},
		{4, text.Before, text.Edit{Pos: 1, Del: 2, Ins: "xyz"}, 5},
		{2, text.Before, text.Edit{Pos: 1, Del: 2, Ins: "xyz"}, 1},
		{2, text.Behind, text.Edit{Pos: 1, Del: 2, Ins: "xyz"}, 4},
	} {
		if got := text.MapCursor(c.pos, c.stick, c.edit); got != c.want {
			t.Errorf("MapCursor(%d, %d, %v) = %d, want %d", c.pos, c.stick, c.edit, got, c.want)
		}
	}
}

func ExampleTransform() {
	// Two people edit "order 17": one fixes the number, one adds a word.
	a, b := text.Edit{Pos: 6, Del: 2, Ins: "71"}, text.Edit{Pos: 0, Ins: "rush "}
	fmt.Println(text.Transform(a, b, text.AFirst))
	// Output: [{11 2 } {11 0 71}]
}
