package text_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

func dot(o vclock.Origin, seq vclock.Seq) vclock.Dot { return vclock.Dot{Origin: o, Seq: seq} }

// forked is a document with two branches: "base" wrote 4 characters, then
// "ann" 2 at the end, and "bob" deleted 1 at the front.
func forked(t testing.TB) *text.Doc {
	t.Helper()
	d := text.New()
	apply(t, d, []text.Run{
		{ID: dot("base", 1), Ins: "abcd"},
		{ID: dot("ann", 1), Parents: text.Version{dot("base", 4)}, Pos: 4, Ins: "ef"},
		{ID: dot("bob", 1), Parents: text.Version{dot("base", 4)}, Pos: 0, Del: 1},
	})
	return d
}

// Versions of the document that forked makes.
var (
	base = text.Version{dot("base", 4)}
	both = text.Version{dot("ann", 2), dot("bob", 1)}
)

// crowd is a version with one head too many.
func crowd() text.Version {
	many := make(text.Version, 0, text.MaxParents+1)
	for i := range text.MaxParents + 1 {
		many = append(many, dot(vclock.Origin(fmt.Sprintf("m%06d", i)), 1))
	}
	return many
}

// refusals are runs that the document of forked refuses, each by a name for
// what is wrong.
var refusals = map[string]struct {
	run  text.Run
	want error
}{
	"insert behind the end at its parents": {
		text.Run{ID: dot("eve", 1), Parents: base, Pos: 5, Ins: "x"}, text.ErrPosition,
	},
	"insert behind the end though now inside": {
		text.Run{ID: dot("eve", 1), Parents: text.Version{dot("bob", 1)}, Pos: 4, Ins: "x"}, text.ErrPosition,
	},
	"insert in the empty document": {
		text.Run{ID: dot("eve", 1), Pos: 1, Ins: "x"}, text.ErrPosition,
	},
	"delete in the empty document": {
		text.Run{ID: dot("eve", 1), Del: 1}, text.ErrPosition,
	},
	"delete over the end": {
		text.Run{ID: dot("eve", 1), Parents: base, Pos: 3, Del: 2}, text.ErrPosition,
	},
	"delete over the end of the merge": {
		text.Run{ID: dot("eve", 1), Parents: both, Pos: 0, Del: 6}, text.ErrPosition,
	},
	"backspace over the front": {
		text.Run{ID: dot("eve", 1), Parents: base, Pos: 1, Del: 3, Back: true}, text.ErrPosition,
	},
	"backspace from behind the end": {
		text.Run{ID: dot("eve", 1), Parents: base, Pos: 4, Del: 2, Back: true}, text.ErrPosition,
	},
	"enormous delete": {
		text.Run{ID: dot("eve", 1), Parents: base, Del: text.MaxRunEvents + 1}, text.ErrRun,
	},
	"enormous delete of what is not there": {
		text.Run{ID: dot("eve", 1), Parents: base, Del: text.MaxRunEvents}, text.ErrPosition,
	},
	"enormous insert": {
		text.Run{ID: dot("eve", 1), Ins: strings.Repeat("x", text.MaxRunBytes+1)}, text.ErrRun,
	},
	"enormous position": {
		text.Run{ID: dot("eve", 1), Pos: 1 << 62, Ins: "x"}, text.ErrPosition,
	},
	"negative position": {
		text.Run{ID: dot("eve", 1), Pos: -1, Ins: "x"}, text.ErrPosition,
	},
	"negative delete": {
		text.Run{ID: dot("eve", 1), Del: -1}, text.ErrRun,
	},
	"nothing": {
		text.Run{ID: dot("eve", 1)}, text.ErrRun,
	},
	"both kinds": {
		text.Run{ID: dot("eve", 1), Parents: base, Del: 1, Ins: "x"}, text.ErrRun,
	},
	"insert backwards": {
		text.Run{ID: dot("eve", 1), Back: true, Ins: "x"}, text.ErrRun,
	},
	"no agent": {
		text.Run{ID: dot("", 1), Ins: "x"}, text.ErrRun,
	},
	"no count": {
		text.Run{ID: dot("eve", 0), Ins: "x"}, text.ErrRun,
	},
	"long agent": {
		text.Run{ID: dot(vclock.Origin(strings.Repeat("e", 97)), 1), Ins: "x"}, text.ErrRun,
	},
	"count beyond all": {
		text.Run{ID: dot("eve", 1<<63), Ins: "x"}, text.ErrRun,
	},
	"invalid UTF-8": {
		text.Run{ID: dot("eve", 1), Ins: "x\xff"}, text.ErrUTF8,
	},
	"lone surrogate": {
		text.Run{ID: dot("eve", 1), Ins: "\xed\xa0\x80"}, text.ErrUTF8,
	},
	"a million parents": {
		text.Run{ID: dot("eve", 1), Parents: crowd(), Ins: "x"}, text.ErrParents,
	},
	"parents out of order": {
		text.Run{ID: dot("eve", 1), Parents: text.Version{dot("bob", 1), dot("ann", 2)}, Ins: "x"}, text.ErrParents,
	},
	"one parent twice": {
		text.Run{ID: dot("eve", 1), Parents: text.Version{dot("bob", 1), dot("bob", 1)}, Ins: "x"}, text.ErrParents,
	},
	"parent that is no event": {
		text.Run{ID: dot("eve", 1), Parents: text.Version{dot("bob", 0)}, Ins: "x"}, text.ErrParents,
	},
	"a parent in the other's past": {
		text.Run{ID: dot("eve", 1), Parents: text.Version{dot("ann", 2), dot("base", 2)}, Ins: "x"}, text.ErrParents,
	},
	"agent that forgot its last event": {
		text.Run{ID: dot("bob", 2), Parents: base, Pos: 0, Ins: "x"}, text.ErrForked,
	},
	"known event, other text": {
		text.Run{ID: dot("ann", 1), Parents: base, Pos: 4, Ins: "eF"}, text.ErrForked,
	},
	"known event, other place": {
		text.Run{ID: dot("ann", 1), Parents: base, Pos: 3, Ins: "ef"}, text.ErrForked,
	},
	"known event, other kind": {
		text.Run{ID: dot("ann", 1), Parents: base, Pos: 3, Del: 1}, text.ErrForked,
	},
	"known event, other parents": {
		text.Run{ID: dot("ann", 1), Pos: 0, Ins: "ef"}, text.ErrForked,
	},
	"known event, unknown parents": {
		text.Run{ID: dot("ann", 1), Parents: text.Version{dot("x", 1)}, Pos: 4, Ins: "ef"}, text.ErrForked,
	},
	"known event with a tail, other text": {
		text.Run{ID: dot("ann", 2), Parents: text.Version{dot("ann", 1)}, Pos: 5, Ins: "Fg"}, text.ErrForked,
	},
	"parents that are not held (yet)": {
		text.Run{ID: dot("eve", 1), Parents: text.Version{dot("ann", 3)}, Ins: "x"}, text.ErrMissing,
	},
	"own events before it are not held (yet)": {
		text.Run{ID: dot("eve", 2), Parents: text.Version{dot("eve", 1)}, Ins: "x"}, text.ErrMissing,
	},
	"gap behind own events, known other parents ": {
		text.Run{ID: dot("ann", 4), Parents: base, Ins: "x"}, text.ErrMissing,
	},
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range refusals {
		d := forked(t)
		before, version := d.String(), d.Version()
		good := text.Run{ID: dot("good", 1), Parents: both, Pos: 1, Ins: "good"}
		if edits, err := d.Apply([]text.Run{good, c.run}); !errors.Is(err, c.want) || edits != nil {
			t.Errorf("%s: Apply = %v, %v, want %v", name, edits, err, c.want)
		}
		if d.String() != before || !slices.Equal(d.Version(), version) {
			t.Errorf("%s: the document changed to %q at %v", name, d.String(), d.Version())
		}
		apply(t, d, []text.Run{good}) // it still works
		if _, err := d.Apply([]text.Run{c.run}); !errors.Is(err, c.want) {
			t.Errorf("%s: on a document that holds more, Apply = %v, want %v", name, err, c.want)
		}
	}
}

func TestLocalRefusals(t *testing.T) {
	t.Parallel()
	d := text.New()
	_, err := d.Insert("ann", 0, "aé😀")
	ok(t, err)
	for _, c := range []struct {
		edit text.Edit
		want error
	}{
		{ins(4, "x"), text.ErrPosition}, {ins(-1, "x"), text.ErrPosition}, {del(2, 2), text.ErrPosition},
		{del(0, -1), text.ErrPosition}, {del(1, 1<<62), text.ErrPosition}, {ins(1<<62, ""), text.ErrPosition},
		{ins(0, "\xff"), text.ErrUTF8}, {ins(0, strings.Repeat("x", text.MaxTextBytes)), text.ErrTooLarge},
	} {
		if _, err := d.Edit("ann", c.edit); !errors.Is(err, c.want) {
			t.Errorf("Edit(%.20v) = %v, want %v", c.edit, err, c.want)
		}
		if _, err := d.Edit("ann", del(0, 1), c.edit); !errors.Is(err, c.want) {
			t.Errorf("Edit(…, %.20v) = %v, want %v", c.edit, err, c.want)
		}
		if got := d.String(); got != "aé😀" {
			t.Fatalf("after a refused edit the text is %q", got)
		}
	}
	if _, err := d.Insert("", 0, "x"); !errors.Is(err, text.ErrRun) {
		t.Errorf("Insert by nobody = %v, want ErrRun", err)
	}
	if _, err := d.Slice(2, 1); !errors.Is(err, text.ErrPosition) {
		t.Errorf("Slice(2, 1) = %v, want ErrPosition", err)
	}
	if _, err := d.Changes(text.Version{dot("eve", 1)}); !errors.Is(err, text.ErrUnknownVersion) {
		t.Errorf("Changes = %v, want ErrUnknownVersion", err)
	}
}

func TestReplayLimit(t *testing.T) {
	t.Parallel()
	d := text.New()
	_, err := d.Insert("base", 0, "abc")
	ok(t, err)
	for range 1000 {
		_, err := d.Insert("ann", 1, "x")
		ok(t, err)
	}
	late := []text.Run{{ID: dot("eve", 1), Parents: text.Version{dot("base", 3)}, Pos: 3, Ins: "!"}}
	d.ReplayLimit = 999
	before := d.String()
	if _, err := d.Apply(late); !errors.Is(err, text.ErrReplay) || d.String() != before {
		t.Errorf("Apply = %v, want ErrReplay and no change", err)
	}
	if _, err := d.EditAt("eve", late[0].Parents, ins(3, "!")); !errors.Is(err, text.ErrReplay) {
		t.Errorf("EditAt = %v, want ErrReplay", err)
	}
	d.ReplayLimit = 0
	apply(t, d, late)
	if got := d.String(); got != before+"!" {
		t.Errorf("Apply gives %q, want %q", got, before+"!")
	}
}

func TestUninterleaved(t *testing.T) {
	t.Parallel()
	for _, backwards := range []bool{false, true} {
		write := func(word string) []text.Edit {
			var edits []text.Edit
			for i := range word {
				if backwards {
					edits = append(edits, ins(1, word[len(word)-1-i:len(word)-i]))
				} else {
					edits = append(edits, ins(1+i, word[i:i+1]))
				}
			}
			return edits
		}
		words := map[vclock.Origin][]text.Edit{}
		for i, w := range []string{"alpha", "bravo", "charlie", "delta", "echo"} {
			words[vclock.Origin(rune('1'+i))] = write(w)
		}
		for _, d := range concurrent(t, "[]", words) {
			if got := d.String(); got != "[alphabravocharliedeltaecho]" {
				t.Errorf("backwards %v: %q", backwards, got)
			}
		}
	}
}

func TestLateDuplicateAndUnordered(t *testing.T) {
	t.Parallel()
	d := forked(t)
	runs, err := d.Since(vclock.Vector{})
	ok(t, err)
	slices.Reverse(runs)
	other := text.New()
	apply(t, other, runs)
	for range 2 {
		if edits, err := other.Apply(singles(runs)); err != nil || len(edits) > 0 {
			t.Errorf("again: %v, %v, want nothing", edits, err)
		}
	}
	if other.String() != "bcdef" {
		t.Errorf("got %q, want %q", other.String(), "bcdef")
	}
	// Half known: the tail is new.
	apply(t, other, []text.Run{{ID: dot("ann", 2), Parents: text.Version{dot("ann", 1)}, Pos: 5, Ins: "fgh"}})
	if other.String() != "bcdefgh" {
		t.Errorf("got %q, want %q", other.String(), "bcdefgh")
	}
}
