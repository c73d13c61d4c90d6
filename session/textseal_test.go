package session

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// readSealed gives a text and the version that its reader would edit it at.
func (r *replica) readSealed(name string) (string, vclock.Vector, Seal) {
	r.tb.Helper()
	got, err := ReadText(r.tx, r.texts, space, "s", name)
	if err != nil {
		r.tb.Fatalf("ReadText(%s) at %s: %v", name, r.origin, err)
	}
	at, seal, err := ParseSealed(got.Version)
	if err != nil || seal == "" || SealedVersion(at, seal) != got.Version {
		r.tb.Fatalf("ParseSealed(%q) = %v, %q, %v", got.Version, at, seal, err)
	}
	return got.Text, at, seal
}

// TestBaseOfAForkIsRefused has two machines with one origin write other ops
// under the same numbers. A client of the one is refused by the other, and by
// whoever heard of the other, instead of being led astray; a version from before
// the fork is good everywhere.
func TestBaseOfAForkIsRefused(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", insert("doc", 0, "hello"))
	_, common, commonSeal := a.readSealed("doc")
	twin := newReplica(t, "a")
	twin.tx.values, twin.feeds = maps.Clone(a.tx.values), maps.Clone(a.feeds)
	a.do("s", insert("doc", 0, "one "))
	twin.do("s", insert("doc", 0, "two and three "))
	b.pull(a, a.origin, -1)
	_, ours, seal := a.readSealed("doc")
	_, theirs, other := twin.readSealed("doc")
	if ours.String() != theirs.String() || seal == other {
		t.Fatalf("versions %v and %v with seals %q and %q, want one version and two seals", ours, theirs, seal, other)
	}
	if _, at, same := b.readSealed("doc"); at.String() != ours.String() || same != seal {
		t.Errorf("at another replica version %v has seal %q, want %v and %q", at, same, ours, seal)
	}
	edit := func(r *replica, base vclock.Vector, seal Seal) error {
		_, err := r.try(Command{Session: "s", Do: EditText{Name: "doc", Base: &base, Seal: seal,
			Edits: []text.Edit{{Pos: 4, Ins: "!"}}}})
		return err
	}
	for _, r := range []*replica{a, b} {
		if err := edit(r, theirs, other); !errors.Is(err, ErrBaseUnknown) {
			t.Errorf("base of the twin at %s: %v, want ErrBaseUnknown", r.origin, err)
		}
		if err := edit(r, ours, seal); err != nil {
			t.Errorf("base of its own at %s: %v", r.origin, err)
		}
	}
	for _, r := range []*replica{a, twin, b} {
		if err := edit(r, common, commonSeal); err != nil {
			t.Errorf("base from before the fork at %s: %v", r.origin, err)
		}
	}
	if err := edit(a, theirs, ""); err != nil {
		t.Errorf("base without a seal: %v", err)
	}
}

// TestRetryOverAForkIsRefused asks again for an edit where its base means
// something else by now.
func TestRetryOverAForkIsRefused(t *testing.T) {
	t.Parallel()
	a := newReplica(t, "a")
	a.do("s", OpenSession{})
	a.do("s", insert("doc", 0, "hello"))
	_, base, seal := a.readSealed("doc")
	do := EditText{Name: "doc", Base: &base, Seal: seal, Edits: []text.Edit{{Pos: 5, Ins: "!"}}}
	first, err := a.keyed("s", "k", do)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.keyed("s", "k", do); err != nil || !again.Replayed || again.Seal != first.Seal {
		t.Errorf("asked again: %+v, %v, want %+v", again, err, first)
	}
	do.Seal = "AAAAAAAA"
	if _, err := a.keyed("s", "k", do); !errors.Is(err, ErrBaseUnknown) {
		t.Errorf("asked again over a fork: %v, want ErrBaseUnknown", err)
	}
}

func TestParseSealed(t *testing.T) {
	t.Parallel()
	v := vclock.Of(vclock.Dot{Origin: "a~aaaaaaaa", Seq: 3}).String()
	for _, token := range []string{v + ".", v + ".AAAA", v + ".AAAAAAA!", v + ".AAAAAAAA.", "!.AAAAAAAA", v + "." + v} {
		if at, seal, err := ParseSealed(token); !errors.Is(err, vclock.ErrMalformed) {
			t.Errorf("ParseSealed(%q) = %v, %q, %v, want ErrMalformed", token, at, seal, err)
		}
	}
	for _, token := range []string{"", v, v + ".AAAAAAAA"} {
		at, seal, err := ParseSealed(token)
		if err != nil || token != "" && SealedVersion(at, seal) != token {
			t.Errorf("ParseSealed(%q) = %v, %q, %v", token, at, seal, err)
		}
	}
}

// TestRetryOfAnEditMadeAgain asks again for an edit whose op was made again under
// another origin after a fork. Ties are decided by origin, so what is computed
// from the request alone would not be what the op says.
func TestRetryOfAnEditMadeAgain(t *testing.T) {
	t.Parallel()
	z, m, r := newReplica(t, "z"), newReplica(t, "m"), newReplica(t, "r")
	m.do("s", OpenSession{})
	m.do("s", insert("doc", 0, "hello"))
	_, base, seal := m.readSealed("doc")
	m.do("s", insert("doc", 0, "M"))
	z.pull(m, m.origin, -1)
	do := EditText{Name: "doc", Base: &base, Seal: seal, Edits: []text.Edit{{Pos: 0, Ins: "Z"}}}
	if _, err := z.keyed("s", "k", do); err != nil {
		t.Fatal(err)
	}
	op, err := DecodeOp(z.feeds[z.origin][0])
	if err != nil {
		t.Fatal(err)
	}
	op.Dot.Origin = "a~aaaaaaaa"
	b, err := op.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.pull(m, m.origin, -1)
	r.pull(&replica{feeds: map[vclock.Origin][][]byte{op.Dot.Origin: {b}}}, op.Dot.Origin, -1)
	again, err := r.keyed("s", "k", do)
	if err != nil || !again.Replayed {
		t.Fatalf("retry: %+v, %v", again, err)
	}
	got, err := text.Patch("hello", slices.Concat(do.Edits, again.Others)...)
	if want := r.text("s", "doc"); err != nil || got != want || want != "MZhello" {
		t.Errorf("the answer to the retry brings its client to %q, %v, want %q", got, err, want)
	}
}
