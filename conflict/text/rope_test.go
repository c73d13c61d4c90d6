package text_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/causeway-sync/causeway/conflict/text"
)

// TestLongText holds a text of many chunks against a slice of code points.
func TestLongText(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 8))
	d := text.New()
	var want []rune
	check := func() {
		t.Helper()
		if d.String() != string(want) || d.Len() != len(want) || d.LenIn(text.UTF16) != len(utf16.Encode(want)) ||
			d.LenIn(text.Bytes) != len(string(want)) {
			t.Fatalf("%d code points, %d UTF-16 units, want %d, %d", d.Len(), d.LenIn(text.UTF16),
				len(want), len(utf16.Encode(want)))
		}
	}
	for i := range 6000 {
		pos := rng.IntN(len(want) + 1)
		if i%3 == 2 {
			n := rng.IntN(min(len(want)-pos, 1+rng.IntN(1+3000*(i%2))) + 1)
			_, err := d.Delete("a", pos, n)
			ok(t, err)
			want = slices.Delete(want, pos, pos+n)
		} else {
			s := strings.Repeat(pieces[rng.IntN(len(pieces))], 1+rng.IntN(1+1500*(i%50/49)))
			_, err := d.Insert("a", pos, s)
			ok(t, err)
			want = slices.Insert(want, pos, []rune(s)...)
		}
		if i%100 == 0 {
			check()
		}
		from := rng.IntN(len(want) + 1)
		to := from + rng.IntN(len(want)-from+1)
		if got, err := d.Slice(from, to); err != nil || got != string(want[from:to]) {
			t.Fatalf("Slice(%d, %d) = %q, %v, want %q", from, to, got, err, string(want[from:to]))
		}
	}
	check()
	checkConvert(t, d, want)
	_, err := d.Delete("a", 0, d.Len())
	ok(t, err)
	want = nil
	check()
}

// checkConvert tries every offset in every unit.
func checkConvert(t *testing.T, d *text.Doc, want []rune) {
	t.Helper()
	s := d.String()
	at := [3]int{}
	for i := 0; ; i++ {
		for from := text.CodePoints; from <= text.Bytes; from++ {
			for to := text.CodePoints; to <= text.Bytes; to++ {
				if got, err := d.Convert(at[from], from, to); err != nil || got != at[to] {
					t.Fatalf("Convert(%d %s to %s) = %d, %v, want %d", at[from], from, to, got, err, at[to])
				}
			}
		}
		if i == len(want) {
			break
		}
		next := [3]int{at[0] + 1, at[1] + len(utf16.Encode(want[i:i+1])), at[2] + len(string(want[i]))}
		for from := text.UTF16; from <= text.Bytes; from++ {
			for inside := at[from] + 1; inside < next[from]; inside++ {
				if _, err := d.Convert(inside, from, text.CodePoints); !errors.Is(err, text.ErrUTF8) {
					t.Fatalf("Convert(%d %s) inside a character = %v, want ErrUTF8", inside, from, err)
				}
			}
		}
		at = next
	}
	if _, err := d.Convert(len(s)+1, text.Bytes, text.UTF16); !errors.Is(err, text.ErrPosition) {
		t.Errorf("Convert behind the end = %v, want ErrPosition", err)
	}
}

func TestConvert(t *testing.T) {
	t.Parallel()
	const s = "é😀z"
	for _, c := range []struct {
		offset   int
		from, to text.Unit
		want     int
		err      error
	}{
		{2, text.CodePoints, text.UTF16, 3, nil},
		{3, text.UTF16, text.Bytes, 6, nil},
		{6, text.Bytes, text.CodePoints, 2, nil},
		{7, text.Bytes, text.UTF16, 4, nil},
		{2, text.UTF16, text.CodePoints, 0, text.ErrUTF8},
		{1, text.Bytes, text.CodePoints, 0, text.ErrUTF8},
		{4, text.CodePoints, text.Bytes, 0, text.ErrPosition},
		{-1, text.CodePoints, text.Bytes, 0, text.ErrPosition},
	} {
		if got, err := text.Convert(s, c.offset, c.from, c.to); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("Convert(%q, %d %s to %s) = %d, %v, want %d, %v",
				s, c.offset, c.from, c.to, got, err, c.want, c.err)
		}
	}
	d := text.New()
	_, err := d.Insert("a", 0, s)
	ok(t, err)
	want := text.Edit{Pos: 1, Del: 1, Ins: "x"}
	if e, err := d.EditFrom(text.UTF16, text.Edit{Pos: 1, Del: 2, Ins: "x"}); err != nil || e != want {
		t.Errorf("EditFrom = %v, %v", e, err)
	}
}
