package session

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

func (r *replica) text(session, name string) string {
	r.tb.Helper()
	got, err := ReadText(r.tx, r.texts, space, session, name)
	if err != nil {
		r.tb.Fatalf("ReadText(%s, %s) at %s: %v", session, name, r.origin, err)
	}
	return got.Text
}

func insert(name string, pos int, s string) EditText {
	return EditText{Name: name, Edits: []text.Edit{{Pos: pos, Ins: s}}}
}

func sameText(tb testing.TB, name string, rs ...*replica) string {
	tb.Helper()
	want := rs[0].text("s", name)
	for _, r := range rs[1:] {
		if got := r.text("s", name); got != want {
			tb.Fatalf("text %s is %q at %s and %q at %s", name, want, rs[0].origin, got, r.origin)
		}
	}
	expect(tb, rs, "s")
	return want
}

func TestTextMergesWhatTwoWrote(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", insert("notes", 0, "one three"))
	syncAll(a, b)
	base := Vec(t, a)
	a.do("s", insert("notes", 4, "two "))
	b.do("s", EditText{Name: "notes", Edits: []text.Edit{{Pos: 0, Del: 1, Ins: "O"}, {Pos: 9, Ins: " four"}}})
	syncAll(a, b)
	if got, want := sameText(t, "notes", a, b), "One two three four"; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
	// A client that saw the text before both hears what it missed.
	w, err := a.try(Command{Session: "s", Do: EditText{Name: "notes", Base: &base, Edits: []text.Edit{{Pos: 9, Ins: "!"}}}})
	if err != nil {
		t.Fatal(err)
	}
	mine, err := text.Patch("one three!", w.Others...)
	if got := a.text("s", "notes"); err != nil || mine != got || !strings.Contains(got, "!") {
		t.Errorf("the client's text with others' edits = %q, %v; the text is %q", mine, err, got)
	}
	if doc := a.view("s"); !slices.Equal(doc.Texts, []string{"notes"}) {
		t.Errorf("texts = %v", doc.Texts)
	}
	changes, _, err := Changes(a.tx, space, "s", base, 0)
	if err != nil || len(changes) != 3 || changes[0].Type != "text" || changes[0].Text.Name != "notes" ||
		changes[0].Text.Edits[0] != (text.Edit{Pos: 4, Ins: "two "}) {
		t.Errorf("Changes = %s, %v", marshal(t, changes), err)
	}
}

func Vec(tb testing.TB, r *replica) vclock.Vector {
	tb.Helper()
	v, err := Vector(r.tx, space, "s")
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// writer is a client with a text of its own, who edits it on a version that may
// be old.
type writer struct {
	at   *replica
	base vclock.Vector
	text string
}

// edit makes random edits and takes in what the answer says.
func (w *writer) edit(rng *rand.Rand, word func() string, key string) (Command, error) {
	before := w.text
	var edits []text.Edit
	for range 1 + rng.IntN(3) {
		n := utf8.RuneCountInString(w.text)
		e := text.Edit{Pos: rng.IntN(n + 1)}
		if rng.IntN(3) == 0 {
			e.Del = rng.IntN(min(4, n-e.Pos) + 1)
		}
		if e.Del == 0 || rng.IntN(2) == 0 {
			e.Ins = word()
		}
		edits = append(edits, e)
		w.text, _ = text.Patch(w.text, e)
	}
	base := w.base
	cmd := Command{Session: "s", Key: key, Do: EditText{Name: "doc", Base: &base, Edits: edits}}
	if key != "" {
		cmd.Request = Digest{byte(len(key)), 1}
	}
	w.at.wall += uint64(rng.IntN(20))
	return cmd, w.send(cmd, before)
}

func (w *writer) send(cmd Command, before string) error {
	done, err := w.at.try(cmd)
	if err != nil {
		return err
	}
	do := cmd.Do.(EditText)
	mine, err := text.Patch(before, do.Edits...)
	if err != nil {
		return err
	}
	if w.text, err = text.Patch(mine, done.Others...); err != nil {
		return err
	}
	if done.Replayed {
		// The answer is of then; now may be later.
		o, err := openTextAt(w.at.tx, textKey{space, "s", do.Name}, done.Version)
		if err != nil {
			return err
		}
		if got := o.doc.String(); got != w.text {
			return fmt.Errorf("a retry brings the client to %q, the text was %q", w.text, got)
		}
	} else if got := w.at.text("s", do.Name); got != w.text {
		return fmt.Errorf("the answer brings the client to %q, the text is %q", w.text, got)
	}
	w.base = done.Version
	return nil
}

// TestTextsConverge drives three replicas through edits on old versions, partial
// exchanges, retries at other replicas, saves, rebuilds and ops that fit nowhere.
func TestTextsConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		var rs []*replica
		var writers []*writer
		for i := range 3 {
			r := newReplica(t, fmt.Sprintf("n%d", i))
			if i == 2 {
				r.texts = nil
			}
			rs = append(rs, r)
		}
		rs[0].do("s", OpenSession{})
		rs[0].do("s", insert("doc", 0, "start"))
		syncAll(rs...)
		for i := range 5 {
			writers = append(writers, &writer{at: rs[i%3], base: Vec(t, rs[0]), text: "start"})
		}
		words := 0
		word := func() string { words++; return string(rune(0x4e00+words)) + "é😀" + string(rune(0xac00+words)) }
		for step := range rapid.IntRange(1, 80).Draw(rt, "steps") {
			w := writers[rng.IntN(len(writers))]
			key := ""
			if rng.IntN(3) == 0 {
				key = fmt.Sprintf("key%d", step)
			}
			before := *w
			cmd, err := w.edit(rng, word, key)
			if err != nil {
				rt.Fatal(err)
			}
			if key != "" && rng.IntN(2) == 0 { // the answer was lost
				other := rs[rng.IntN(3)]
				if Vec(t, other).Includes(before.base) {
					retry := &writer{at: other, base: before.base, text: before.text}
					if err := retry.send(cmd, before.text); err != nil {
						rt.Fatal(err)
					}
				}
			}
			disturb(rt, rng, rs)
		}
		syncAll(rs...)
		whole := sameText(t, "doc", rs...)
		for n := range words {
			for _, first := range []rune{0x4e01, 0xac01} {
				if c := strings.Count(whole, string(first+rune(n))); c > 1 {
					rt.Fatalf("word %d stands %d times in %q", n+1, c, whole)
				}
			}
		}
		if strings.Contains(whole, "nowhere") {
			rt.Fatalf("an op that fits nowhere changed the text: %q", whole)
		}
		r := rs[rng.IntN(3)]
		had := r.text("s", "doc")
		if err := Rebuild(r.tx, space, "s"); err != nil {
			rt.Fatal(err)
		}
		if got := r.text("s", "doc"); got != had {
			rt.Fatalf("rebuilt text = %q, was %q", got, had)
		}
		expect(t, rs, "s")
	})
}

func disturb(rt *rapid.T, rng *rand.Rand, rs []*replica) {
	r := rs[rng.IntN(3)]
	switch rng.IntN(8) {
	case 0, 1, 2:
		r.pull(rs[rng.IntN(3)], rs[rng.IntN(3)].origin, 1+rng.IntN(4))
	case 3:
		save(rt, r, "doc")
	case 4:
		if err := Rebuild(r.tx, space, "s"); err != nil {
			rt.Fatal(err)
		}
	case 5:
		r.hostile(Vec(r.tb, r), text.Edit{Pos: 1000 + rng.IntN(9), Del: 1, Ins: "nowhere"})
	case 7: // an author that has not seen what came before what it has seen, or says so
		seen := Vec(r.tb, rs[rng.IntN(3)])
		if !Vec(r.tb, r).Includes(seen) {
			return
		}
		if rng.IntN(2) == 0 {
			seen = seen.Without(rs[rng.IntN(3)].origin)
		}
		if own := Vec(r.tb, r).At(r.origin); own > 0 {
			seen = seen.With(vclock.Dot{Origin: r.origin, Seq: own})
		}
		r.hostile(seen, text.Edit{Pos: rng.IntN(30), Del: rng.IntN(3), Ins: "x"}, text.Edit{Pos: rng.IntN(9), Ins: "y"})
	case 6:
		r.do("s", Append{Messages: []Draft{say("between")}})
	}
}

func save(tb rapid.TB, r *replica, name string) {
	k := textKey{space, "s", name}
	o, err := openText(r.tx, nil, k)
	if err != nil {
		tb.Fatal(err)
	}
	h, err := textHeadAt(r.tx, k)
	if err != nil {
		tb.Fatal(err)
	}
	if h, err = o.store(r.tx, h); err == nil {
		err = putTextHead(r.tx, k, h)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// hostile writes an op that no author of ours makes.
func (r *replica) hostile(deps vclock.Vector, edits ...text.Edit) {
	r.tb.Helper()
	env := r.env()
	m, err := metaAt(r.tx, space, "s")
	if err != nil {
		r.tb.Fatal(err)
	}
	stamp, err := env.Stamp(m.latest)
	if err != nil {
		r.tb.Fatal(err)
	}
	op := Op{Dot: env.Next(), Space: space, Session: "s", Deps: deps, Stamp: stamp, Body: TextEdit{Name: "doc", Edits: edits}}
	if err := env.Emit(op); err != nil {
		r.tb.Fatal(err)
	}
}

// TestTextIsSavedAsItGrows edits by one replica and takes in by another, long
// enough for both to save, and counts what is written.
func TestTextIsSavedAsItGrows(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	const edits = 1500
	for i := range edits {
		a.do("s", insert("doc", i, "x"))
	}
	b.pull(a, a.origin, -1)
	for _, r := range []*replica{a, b} {
		h, err := textHeadAt(r.tx, textKey{space, "s", "doc"})
		if err != nil || h.ops != edits || h.saved < edits-2*textSaveOps-1 || h.saved == 0 {
			t.Errorf("head at %s = %+v, %v", r.origin, h, err)
		}
		fresh, err := ReadText(r.tx, nil, space, "s", "doc")
		if err != nil || fresh.Text != strings.Repeat("x", edits) {
			t.Errorf("text at %s has %d bytes, %v", r.origin, len(fresh.Text), err)
		}
	}
	expect(t, []*replica{a, b}, "s")
	gets := a.tx.gets
	a.do("s", insert("doc", 0, "y"))
	if got := a.tx.gets - gets; got > 8 {
		t.Errorf("an edit of a text that is open took %d gets", got)
	}
	save(t, a, "doc")
	gets = a.tx.gets
	if _, err := ReadText(a.tx, nil, space, "s", "doc"); err != nil {
		t.Fatal(err)
	}
	if got := a.tx.gets - gets; got != 4 {
		t.Errorf("reading a saved text took %d gets, want 4: session, head, text, and for the seal the last op of an origin", got)
	}
}

// TestTextCacheOutlivesNothing rolls back an edit, as a store does whose
// transaction does not fit, and goes on with another one under the same dot.
func TestTextCacheOutlivesNothing(t *testing.T) {
	t.Parallel()
	a := newReplica(t, "a")
	a.do("s", OpenSession{})
	a.do("s", insert("doc", 0, "kept "))
	values, feed := maps.Clone(a.tx.values), slices.Clone(a.feeds[a.origin])
	a.do("s", insert("doc", 5, "lost"))
	a.tx.values, a.tx.keys, a.feeds[a.origin] = values, nil, feed
	if got := a.text("s", "doc"); got != "kept " {
		t.Errorf("text = %q after the edit was rolled back", got)
	}
	a.do("s", insert("doc", 5, "found"))
	if got := a.text("s", "doc"); got != "kept found" {
		t.Errorf("text = %q", got)
	}
}

func TestDamagedTextIsToldAndRebuilt(t *testing.T) {
	t.Parallel()
	a := newReplica(t, "a")
	a.do("s", OpenSession{})
	a.do("s", insert("other", 0, "begins"))
	for i := range 40 {
		a.do("s", insert("doc", 0, fmt.Sprint(i, " ")))
		if i == 20 {
			save(t, a, "doc")
		}
	}
	k := textKey{space, "s", "doc"}
	for _, key := range [][]byte{k.saved(), k.head(), k.entry(30)} {
		want := a.text("s", "doc")
		a.texts = &Texts{}
		a.tx.broken[string(key)] = true
		_, err := ReadText(a.tx, nil, space, "s", "doc")
		bad, ok := errors.AsType[*CorruptError](err)
		if !ok || string(bad.Key) != string(key) {
			t.Errorf("with %q damaged: %v", key, err)
		}
		if _, err := a.try(Command{Session: "s", Do: insert("doc", 0, "!")}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("edit with %q damaged: %v", key, err)
		}
		a.do("s", insert("other", 0, "goes on"))
		if err := Rebuild(a.tx, space, "s"); err != nil {
			t.Fatalf("rebuild with %q damaged: %v", key, err)
		}
		if got := a.text("s", "doc"); got != want {
			t.Errorf("text after the rebuild = %q, want %q", got, want)
		}
	}
	save(t, a, "doc")
	a.tx.broken[string(k.shown())] = true
	if _, err := ReadText(a.tx, nil, space, "s", "doc"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("with the saved text damaged: %v", err)
	}
	for _, bytes := range [][]byte{nil, {1}, {9, 1}, []byte("nonsense")} {
		a.tx.values[string(k.saved())], a.tx.values[string(k.shown())] = bytes, bytes
		if _, err := ReadText(a.tx, nil, space, "s", "doc"); !errors.Is(err, ErrCorrupt) {
			t.Errorf("with %q for the saved text: %v", bytes, err)
		}
	}
}

func TestErasedTextLeavesNothing(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", insert("doc", 0, "secret"))
	syncAll(a, b)
	edit := insert("doc", 0, "secret twice ")
	for _, r := range []*replica{a, b} {
		if _, err := r.keyed("s", "k", edit); err != nil {
			t.Fatal(err)
		}
	}
	save(t, a, "doc")
	syncAll(a, b)
	a.do("s", EraseSession{})
	b.do("s", insert("doc", 0, "secret too late "))
	syncAll(a, b)
	for _, r := range []*replica{a, b} {
		for more := true; more; {
			var err error
			if more, err = Purge(r.tx, space, "s", 3); err != nil {
				t.Fatal(err)
			}
		}
		for key, value := range r.tx.values {
			if strings.Contains(string(value), "secret") || strings.HasPrefix(key, string(Prefix(space, "s"))) && key != string(metaKey(space, "s")) {
				t.Errorf("record %q is left at %s: %q", key, r.origin, value)
			}
		}
		if _, err := ReadText(r.tx, r.texts, space, "s", "doc"); !errors.Is(err, ErrSessionErased) {
			t.Errorf("text of the erased session: %v", err)
		}
	}
	if a.digest("s") != b.digest("s") {
		t.Error("digests of the erased session differ")
	}
}

func TestTextRefusals(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	r.do("s", OpenSession{})
	r.do("s", insert("doc", 0, "héllo"))
	r.do("ended", OpenSession{})
	r.do("ended", Move{To: "ended"})
	now := Vec(t, r)
	ahead := now.With(vclock.Dot{Origin: "elsewhere~aaaaaaaa", Seq: 1})
	edits := func(list ...text.Edit) EditText { return EditText{Name: "doc", Edits: list} }
	cases := []struct {
		name    string
		session string
		do      EditText
		want    error
	}{
		{"no edits", "s", edits(), ErrInvalid},
		{"name", "s", insert("a b", 0, "x"), ErrInvalid},
		{"many edits", "s", edits(slices.Repeat([]text.Edit{{Ins: "x"}}, MaxTextCallEdits+1)...), ErrTooBig},
		{"big insert", "s", edits(text.Edit{Ins: strings.Repeat("x", MaxTextInsert+1)}), ErrTooBig},
		{"big delete", "s", edits(text.Edit{Del: MaxTextDelete + 1}), ErrTooBig},
		{"not UTF-8", "s", insert("doc", 0, "\xff"), ErrInvalid},
		{"lone surrogate", "s", insert("doc", 0, "\xed\xa0\x80"), ErrInvalid},
		{"negative", "s", insert("doc", -1, "x"), ErrTextOutside},
		{"behind the end", "s", insert("doc", 6, "x"), ErrTextOutside},
		{"too much deleted", "s", edits(text.Edit{Pos: 1, Del: 5}), ErrTextOutside},
		{"second outside", "s", edits(text.Edit{Pos: 0, Del: 5}, text.Edit{Pos: 1, Ins: "x"}), ErrTextOutside},
		{"base ahead", "s", EditText{Name: "doc", Base: &ahead, Edits: []text.Edit{{Ins: "x"}}}, ErrBaseUnknown},
		{"ended", "ended", insert("doc", 0, "x"), ErrSessionEnded},
		{"no session", "none", insert("doc", 0, "x"), ErrNoSession},
	}
	for _, c := range cases {
		if _, err := r.try(Command{Session: c.session, Do: c.do}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if got := r.text("s", "doc"); got != "héllo" {
			t.Fatalf("%s: text = %q after the refusal", c.name, got)
		}
	}
	if _, err := ReadText(r.tx, nil, space, "s", "none"); !errors.Is(err, ErrNoText) {
		t.Errorf("text that nobody wrote: %v", err)
	}
	for i := range MaxTexts - 1 {
		r.do("s", insert(fmt.Sprint("n", i), 0, "x"))
	}
	if _, err := r.try(Command{Session: "s", Do: insert("more", 0, "x")}); !errors.Is(err, ErrTooBig) {
		t.Errorf("one text too many: %v", err)
	}
	r.do("s", insert("n0", 1, "y"))
}

// TestRetriedEditCountsOnce sends one edit to two replicas that do not know of
// each other, and a third that comes to know both.
func TestRetriedEditCountsOnce(t *testing.T) {
	t.Parallel()
	a, b, c := newReplica(t, "a"), newReplica(t, "b"), newReplica(t, "c")
	a.do("s", OpenSession{})
	a.do("s", insert("doc", 0, "[]"))
	syncAll(a, b, c)
	base := Vec(t, a)
	edit := EditText{Name: "doc", Base: &base, Edits: []text.Edit{{Pos: 1, Ins: "once"}}}
	b.wall -= 1000 // b's counts
	for _, r := range []*replica{a, b} {
		if _, err := r.keyed("s", "k", edit); err != nil {
			t.Fatal(err)
		}
		r.do("s", insert("doc", 3, "<"+string(r.origin[:1])+">"))
	}
	syncAll(a, b, c)
	got := sameText(t, "doc", a, b, c)
	if want := "[<a>on<b>ce]"; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
	c.do("s", insert("doc", 0, "!"))
	c.pull(a, a.origin, -1)
	syncAll(a, b, c)
	if got := sameText(t, "doc", a, b, c); !strings.HasPrefix(got, "!") || strings.Count(got, "ce]") != 1 {
		t.Errorf("text = %q", got)
	}
	w, err := c.keyed("s", "k", edit)
	if err != nil || !w.Replayed || len(w.Others) != 0 {
		t.Errorf("retry at the third: %+v, %v", w, err)
	}
}

func TestDecodeRefusesEdits(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]TextEdit{
		"no name":       {},
		"empty edit":    {Name: "n", Edits: []text.Edit{{Pos: 1}}},
		"far off":       {Name: "n", Edits: []text.Edit{{Pos: text.MaxPos + 1, Del: 1}}},
		"long delete":   {Name: "n", Edits: []text.Edit{{Del: MaxTextDelete + 1}}},
		"ins not UTF-8": {Name: "n", Edits: []text.Edit{{Ins: "\xed\xa0\x80"}}},
		"long insert":   {Name: "n", Edits: []text.Edit{{Ins: strings.Repeat("x", MaxTextInsert)}, {Ins: "y"}}},
		"many edits":    {Name: "n", Edits: slices.Repeat([]text.Edit{{Ins: "x"}}, MaxTextEdits+1)},
	} {
		op := Op{Dot: vclock.Dot{Origin: "a~b", Seq: 1}, Space: space, Session: "s", Body: TextEdit{Name: "n"}}
		head, err := op.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		body := appendTextEdit(nil, &TextEdit{Name: "n"})
		b := appendTextEdit(head[:len(head)-len(body)], &x) // without looking
		if got, err := DecodeOp(b); !errors.Is(err, ErrMalformed) || got.Body != nil {
			t.Errorf("%s: DecodeOp = %+v, %v, want ErrMalformed", name, got.Body, err)
		}
		op.Body = x
		if _, err := op.Append(nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: Append = %v, want ErrInvalid", name, err)
		}
	}
}

// A keystroke costs little beside what every op has.
func TestBytesOfAKeystroke(t *testing.T) {
	t.Parallel()
	op := Op{
		Dot: vclock.Dot{Origin: "edge-1~k3x9a0qz", Seq: 1 << 20}, Space: "default", Session: "s-81",
		Body: TextEdit{Name: "notes", Edits: []text.Edit{{Pos: 100_000, Ins: "x"}}},
	}
	with, err := op.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	op.Body = Expire{}
	without, err := op.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(with) - len(without); got > 25 {
		t.Errorf("a keystroke adds %d bytes to an op", got)
	}
}

// FuzzSavedText reads saved texts that may be damaged: an error or a text, and
// what can be read can be edited.
func FuzzSavedText(f *testing.F) {
	r := newReplica(f, "a")
	r.do("s", OpenSession{})
	for i := range 20 {
		r.do("s", EditText{Name: "doc", Edits: []text.Edit{{Pos: i, Ins: "é😀"}, {Pos: i, Del: 1}}})
	}
	save(f, r, "doc")
	k := textKey{space, "s", "doc"}
	for _, key := range [][]byte{k.saved(), k.shown(), k.head(), k.entry(3), k.twins()} {
		f.Add(r.tx.values[string(key)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newReplica(t, "a")
		r.do("s", OpenSession{})
		r.do("s", insert("doc", 0, "x"))
		save(t, r, "doc")
		for _, key := range [][]byte{k.saved(), k.shown(), k.head(), k.entry(1), k.twins()} {
			was, there := r.tx.values[string(key)]
			r.tx.values[string(key)], r.tx.keys = b, nil
			r.texts = nil
			_, err := ReadText(r.tx, nil, space, "s", "doc")
			if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTextFull) {
				t.Fatalf("ReadText with %q at %q: %v", b, key, err)
			}
			if o, err := loadText(r.tx, k, textHead{ops: 1, saved: 1}); err == nil {
				_, _ = o.doc.Insert("b", 0, "y")
			}
			delete(r.tx.values, string(key))
			if there {
				r.tx.values[string(key)] = was
			}
			r.tx.keys = nil
		}
	})
}
