package text_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// versions returns random versions of a document, closed by construction: each
// is the past of the first events of a causal order.
func versions(t testing.TB, rng *rand.Rand, d *text.Doc, count int) []text.Version {
	t.Helper()
	runs, err := d.Since(vclock.Vector{})
	ok(t, err)
	var out []text.Version
	for range count {
		part := text.New()
		order := shuffled(rng, singles(runs))
		_, err := part.Apply(order[:rng.IntN(len(order)+1)])
		ok(t, err)
		out = append(out, part.Version())
	}
	return out
}

func TestOlderVersions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*graphs / 5) {
		rng := rand.New(rand.NewPCG(seed, 3))
		docs := history(t, rng, 4+rng.IntN(12))
		for _, from := range docs[1:] {
			pull(t, rng, docs[0], from)
		}
		d := docs[0]
		for _, version := range versions(t, rng, d, 3) {
			checkVersion(t, seed, rng, d, version)
		}
	}
}

func checkVersion(t *testing.T, seed uint64, rng *rand.Rand, d *text.Doc, version text.Version) {
	t.Helper()
	runs, err := d.Since(vclock.Vector{})
	ok(t, err)
	// A replica that holds just the version.
	then := text.New()
	for _, r := range singles(runs) {
		if inPast(t, d, version, r.ID) {
			_, err := then.Apply([]text.Run{r})
			ok(t, err)
		}
	}
	old, err := d.TextAt(version)
	ok(t, err)
	if old != then.String() {
		t.Fatalf("seed %d: TextAt(%v) = %q, want %q", seed, version, old, then.String())
	}
	if heads, err := d.Heads(then.Vector()); err != nil || !slices.Equal(heads, version) {
		t.Fatalf("seed %d: Heads(%v) = %v, %v, want %v", seed, then.Vector(), heads, err, version)
	}
	changes, err := d.Changes(version)
	ok(t, err)
	if got := patch(t, old, changes...); got != d.String() {
		t.Fatalf("seed %d: Changes(%v) give %q, want %q", seed, version, got, d.String())
	}
	// The same edit, once on the replica of old, once by EditAt.
	edits := randomEdits(rng, then.Len(), 1+rng.IntN(3))
	_, err = then.Edit("zed", edits...)
	ok(t, err)
	mine := then.String()
	merged := text.New()
	apply(t, merged, runs)
	news, err := then.Since(d.Vector())
	ok(t, err)
	apply(t, merged, news)
	again := text.New()
	apply(t, again, runs)
	before := again.String()
	m, err := again.EditAt("zed", version, edits...)
	ok(t, err)
	got := again.String()
	if got != merged.String() || patch(t, before, m.Edits...) != got || patch(t, mine, m.Others...) != got {
		t.Fatalf("seed %d: EditAt(%v, %v) = %+v gives %q, want %q", seed, version, edits, m, got, merged.String())
	}
	if m.Span.Len() > 0 {
		sent, err := again.Runs(m.Span)
		ok(t, err)
		far := text.New()
		apply(t, far, append(runs, sent...))
		if far.String() != again.String() {
			t.Fatalf("seed %d: sent on, %q, want %q", seed, far.String(), again.String())
		}
	}
}

// inPast reports whether an event is in a version.
func inPast(t testing.TB, d *text.Doc, version text.Version, id vclock.Dot) bool {
	t.Helper()
	runs, err := d.Since(vclock.Vector{})
	ok(t, err)
	past := map[vclock.Dot]bool{}
	for _, v := range version {
		past[v] = true
	}
	all := singles(runs)
	for i := len(all) - 1; i >= 0; i-- {
		if past[all[i].ID] {
			for _, p := range all[i].Parents {
				past[p] = true
			}
		}
	}
	return past[id]
}

func TestUndo(t *testing.T) {
	t.Parallel()
	d := text.New()
	_, err := d.Insert("ann", 0, "The order is late.")
	ok(t, err)
	typed, err := d.Edit("bob", ins(18, " Sorry!"), del(4, 6), ins(4, "parcel "), del(4, 1))
	ok(t, err)
	_, err = d.Insert("ann", 0, ">> ")
	ok(t, err)
	_, err = d.Delete("ann", d.Len()-1, 1) // a part of what bob wrote
	ok(t, err)
	before := d.String()
	m, err := d.Undo(typed)
	ok(t, err)
	if got, want := d.String(), ">> The order is late."; got != want || patch(t, before, m.Edits...) != want {
		t.Errorf("undone: %q by %v, want %q", got, m.Edits, want)
	}
	_, err = d.Undo(m.Span) // redo
	ok(t, err)
	if got := d.String(); got != before {
		t.Errorf("redone: %q, want %q", got, before)
	}
	if m, err := d.Undo(text.Span{Agent: "bob", From: 3, To: 3}); err != nil || m.Span.Len() != 0 {
		t.Errorf("undo of nothing = %v, %v", m, err)
	}
	for _, s := range []text.Span{
		{Agent: "bob", From: 0, To: 1}, {Agent: "bob", From: 1, To: 999}, {Agent: "eve", From: 1, To: 2},
	} {
		if _, err := d.Undo(s); !errors.Is(err, text.ErrUnknownVersion) {
			t.Errorf("Undo(%v) = %v, want ErrUnknownVersion", s, err)
		}
	}
}

// TestUndoRandom undoes all that one author did in histories where authors
// touch different parts of the text, so that the result is what the others
// alone would have written; and undoes single spans where they do not.
func TestUndoRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*graphs / 5) {
		rng := rand.New(rand.NewPCG(seed, 4))
		d, other := text.New(), text.New()
		_, err := d.Insert("base", 0, "0123456789")
		ok(t, err)
		pull(t, rng, other, d)
		var spans []text.Span
		for range rng.IntN(6) {
			s, err := d.Edit("me", randomEdits(rng, d.Len(), 1)...)
			ok(t, err)
			spans = append(spans, s)
			if rng.IntN(3) == 0 {
				pull(t, rng, d, other)
			}
			if rng.IntN(3) == 0 {
				pull(t, rng, other, d)
			}
			if seed%2 == 0 {
				_, err = other.Edit("other", randomEdits(rng, other.Len(), 1)...)
				ok(t, err)
			}
		}
		pull(t, rng, d, other)
		before := d.String()
		if seed%2 == 1 {
			m, err := d.Undo(d.Own("me"))
			ok(t, err)
			if got := d.String(); got != "0123456789" || patch(t, before, m.Edits...) != got {
				t.Fatalf("seed %d: undone: %q", seed, got)
			}
			continue
		}
		for _, s := range spans {
			before := d.String()
			m, err := d.Undo(s)
			ok(t, err)
			if patch(t, before, m.Edits...) != d.String() {
				t.Fatalf("seed %d: %v on %q is not %q", seed, m.Edits, before, d.String())
			}
			pull(t, rng, other, d)
			if other.String() == d.String() {
				continue
			}
			pull(t, rng, d, other)
			if other.String() != d.String() {
				t.Fatalf("seed %d: after an undo: %q and %q", seed, d.String(), other.String())
			}
		}
	}
}
