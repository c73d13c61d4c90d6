package text_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// graphs is how many random histories TestRandomGraphs tries; the tests of
// older versions and of undo try a fifth of it.
var graphs = flag.Int("graphs", 2000, "random histories to try")

var pieces = []string{
	"a", "b", "ab", "xyz", "é", "ß", "😀", "\U0010FFFF", "\uD7FF", "\uE000", "\uFFFD", "日本", "a😀b", "0123456789",
	"\x00",
}

// ok fails the test on an error.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// history makes a random history: 2 to 5 authors, each with a replica, who
// write at few places and hear of each other now and then. It returns the
// replicas and checks, on the way, that what Apply returns turns the old text
// into the new one.
func history(t testing.TB, rng *rand.Rand, steps int) []*text.Doc {
	t.Helper()
	docs := make([]*text.Doc, 2+rng.IntN(4))
	for i := range docs {
		docs[i] = text.New()
	}
	if rng.IntN(2) == 0 { // one root
		_, err := docs[0].Insert("root", 0, pieces[rng.IntN(len(pieces))]+"base")
		ok(t, err)
		for _, d := range docs[1:] {
			pull(t, rng, d, docs[0])
		}
	}
	hot := rng.IntN(2) == 0 // everybody at one place
	for range steps {
		i := rng.IntN(len(docs))
		if rng.IntN(3) == 0 {
			pull(t, rng, docs[i], docs[rng.IntN(len(docs))])
			continue
		}
		local(t, rng, docs[i], vclock.Origin(rune('a'+i)), hot)
		if rng.IntN(8) == 0 {
			docs[i] = reopen(t, docs[i])
		}
	}
	return docs
}

// local makes a random edit.
func local(t testing.TB, rng *rand.Rand, d *text.Doc, agent vclock.Origin, hot bool) {
	t.Helper()
	n := d.Len()
	pos := rng.IntN(n + 1)
	if hot {
		pos = min(n, 2+rng.IntN(2))
	}
	var err error
	switch rng.IntN(8) {
	case 0, 1, 2:
		_, err = d.Insert(agent, pos, pieces[rng.IntN(len(pieces))])
	case 3: // typing
		for k := range 1 + rng.IntN(4) {
			_, err = d.Insert(agent, pos+k, string(rune('A'+rng.IntN(26))))
		}
	case 4: // typing backwards
		for range 1 + rng.IntN(4) {
			_, err = d.Insert(agent, pos, string(rune('A'+rng.IntN(26))))
		}
	case 5:
		_, err = d.Delete(agent, pos, min(n-pos, rng.IntN(5)))
	case 6: // backspace
		for k := range min(pos, rng.IntN(4)) {
			_, err = d.Delete(agent, pos-1-k, 1)
		}
	case 7:
		_, err = d.Edit(agent, text.Edit{Pos: pos, Del: min(n-pos, rng.IntN(3)), Ins: pieces[rng.IntN(len(pieces))]},
			text.Edit{Pos: 0}) // an empty edit too
	}
	ok(t, err)
}

// pull takes in what from has, in random batches.
func pull(t testing.TB, rng *rand.Rand, to, from *text.Doc) {
	t.Helper()
	runs, err := from.Since(to.Vector())
	ok(t, err)
	for len(runs) > 0 {
		n := 1 + rng.IntN(len(runs))
		if rng.IntN(6) == 0 {
			refuse(t, to, runs[:n])
		}
		apply(t, to, runs[:n])
		runs = runs[n:]
	}
}

// refuse gives d good runs and then a bad one, and checks that nothing of them
// stays.
func refuse(t testing.TB, d *text.Doc, runs []text.Run) {
	t.Helper()
	before, err := d.AppendHistory(nil)
	ok(t, err)
	content := d.String()
	bad := text.Run{ID: vclock.Dot{Origin: "evil", Seq: 1}, Parents: d.Version(), Pos: 1 << 20, Ins: "x"}
	if _, err := d.Apply(append(slices.Clone(runs), bad)); !errors.Is(err, text.ErrPosition) {
		t.Fatalf("Apply with an insert at %d = %v, want ErrPosition", bad.Pos, err)
	}
	after, err := d.AppendHistory(nil)
	ok(t, err)
	if !bytes.Equal(before, after) || d.String() != content {
		t.Fatalf("a refused call changed %q, %x to %q, %x", content, before, d.String(), after)
	}
}

// apply takes in runs and checks the edits that come back.
func apply(t testing.TB, d *text.Doc, runs []text.Run) {
	t.Helper()
	before := d.String()
	edits, err := d.Apply(runs)
	ok(t, err)
	got, err := text.Patch(before, edits...)
	ok(t, err)
	if got != d.String() {
		t.Fatalf("Apply(%v) on %q = %v, which gives %q, want %q", runs, before, edits, got, d.String())
	}
}

// reopen saves a document and loads it again.
func reopen(t testing.TB, d *text.Doc) *text.Doc {
	t.Helper()
	history, err := d.AppendHistory(nil)
	ok(t, err)
	whole, err := text.Decode(history)
	ok(t, err)
	if got, want := whole.String(), d.String(); got != want {
		t.Fatalf("Decode gives %q, want %q", got, want)
	}
	opened, err := text.Open(d.AppendSnapshot(nil), func() ([]byte, error) { return history, nil })
	ok(t, err)
	if got, want := opened.String(), d.String(); got != want || !slices.Equal(opened.Version(), d.Version()) {
		t.Fatalf("Open gives %q at %v, want %q at %v", got, opened.Version(), want, d.Version())
	}
	return opened
}

// shuffled returns a random causal order of runs, cut into smaller runs at
// random.
func shuffled(rng *rand.Rand, runs []text.Run) []text.Run {
	held := vclock.Vector{}
	left := slices.Clone(runs)
	var out []text.Run
	for len(left) > 0 {
		i := rng.IntN(len(left))
		for ; ; i = (i + 1) % len(left) {
			r := left[i]
			ready := r.ID.Seq == held.At(r.ID.Origin)+1
			for _, p := range r.Parents {
				ready = ready && held.Covers(p)
			}
			if ready {
				break
			}
		}
		out = append(out, left[i])
		held = held.With(vclock.Dot{Origin: left[i].ID.Origin, Seq: left[i].ID.Seq + vclock.Seq(left[i].Len()) - 1})
		left = slices.Delete(left, i, i+1)
	}
	return out
}

// singles cuts runs into runs of one event.
func singles(runs []text.Run) []text.Run {
	var out []text.Run
	for _, r := range runs {
		chars := []rune(r.Ins)
		for k := range r.Len() {
			one := text.Run{ID: r.ID, Parents: r.Parents, Pos: r.Pos}
			one.ID.Seq += vclock.Seq(k)
			if k > 0 {
				one.Parents = text.Version{{Origin: r.ID.Origin, Seq: one.ID.Seq - 1}}
			}
			switch {
			case r.Ins != "":
				one.Ins, one.Pos = string(chars[k]), r.Pos+k
			case r.Back:
				one.Del, one.Pos = 1, r.Pos-k
			default:
				one.Del = 1
			}
			out = append(out, one)
		}
	}
	return out
}

func TestRandomGraphs(t *testing.T) {
	t.Parallel()
	for seed := range *graphs {
		randomGraph(t, uint64(seed))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomGraph(t *testing.T, seed uint64) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("seed %d: %v\n%s", seed, r, debug.Stack())
		}
	}()
	rng := rand.New(rand.NewPCG(seed, 1))
	docs := history(t, rng, 4+rng.IntN(14))
	for range 2 {
		for _, d := range docs {
			for _, from := range docs {
				pull(t, rng, d, from)
			}
		}
	}
	runs, err := docs[0].Since(vclock.Vector{})
	ok(t, err)
	o := newOracle()
	for _, r := range runs {
		ok(t, o.add(r))
	}
	want := o.String()
	for i, d := range docs {
		if got := d.String(); got != want {
			t.Fatalf("seed %d: replica %d has %q, want %q\n%s", seed, i, got, want, dump(runs))
		}
	}
	for order := range 4 {
		given := shuffled(rng, singles(runs))
		if order%2 == 0 {
			given = shuffled(rng, runs)
		}
		d := text.New()
		for rest := given; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			apply(t, d, rest[:n])
			if rng.IntN(4) == 0 {
				d = reopen(t, d)
			}
			rest = rest[n:]
		}
		if got := d.String(); got != want {
			t.Fatalf("seed %d: order %d gives %q, want %q\n%s", seed, order, got, want, dump(given))
		}
	}
}

func dump(runs []text.Run) string {
	var s strings.Builder
	for _, r := range runs {
		s.WriteString(fmt.Sprintf("%v %v pos %d del %d back %v ins %q\n", r.ID, r.Parents, r.Pos, r.Del, r.Back, r.Ins))
	}
	return s.String()
}
