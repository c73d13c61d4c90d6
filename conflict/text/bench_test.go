package text_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/conflict/text/trace"
	"github.com/causeway-sync/causeway/vclock"
)

// BenchmarkMerge merges recorded branches into an empty document. Goals:
// friendsforever 8 ms, 25 of it in one document 150 ms.
func BenchmarkMerge(b *testing.B) {
	tr := readTrace(b, filepath.Join(recorded(b), "friendsforever.json.gz"))
	runs, err := tr.Runs()
	ok(b, err)
	b.Run("friendsforever", func(b *testing.B) { mergeAll(b, runs, len([]rune(tr.EndContent))) })
	b.Run("friendsforever-x25", func(b *testing.B) {
		mergeAll(b, trace.Repeat(runs, 25), 25*len([]rune(tr.EndContent)))
	})
}

func mergeAll(b *testing.B, runs []text.Run, want int) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		d := text.New()
		if _, err := d.Apply(runs); err != nil || d.Len() != want {
			b.Fatalf("Apply = %v, length %d, want %d", err, d.Len(), want)
		}
	}
}

// BenchmarkReplay types recorded histories through the public API. Goal:
// automerge-paper 30 ms.
func BenchmarkReplay(b *testing.B) {
	for _, name := range []string{"automerge-paper", "rustcode", "sveltecomponent"} {
		b.Run(name, func(b *testing.B) {
			tr := readTrace(b, filepath.Join(recorded(b), name+".json.gz"))
			var d *text.Doc
			b.ReportAllocs()
			for b.Loop() {
				d = text.New()
				ok(b, tr.Type(d, "author"))
			}
			if d.String() != tr.EndContent {
				b.Fatal("the text differs")
			}
			history, err := d.AppendHistory(nil)
			ok(b, err)
			b.ReportMetric(float64(len(history)), "history-bytes")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tr.Patches()), "ns/edit")
		})
	}
}

// BenchmarkLocalEdit inserts and deletes one character at a time, at random
// places of a text of 100,000. Goal: 1 µs each.
func BenchmarkLocalEdit(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	d := text.New()
	_, err := d.Insert("author", 0, strings.Repeat("0123456789", 10_000))
	ok(b, err)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%1_000_000 == 999_999 {
			d = text.New()
			_, err := d.Insert("author", 0, strings.Repeat("0123456789", 10_000))
			ok(b, err)
		}
		var err error
		if pos := rng.IntN(d.Len()); i%2 == 0 {
			_, err = d.Insert("author", pos, "x")
		} else {
			_, err = d.Delete("author", pos, 1)
		}
		ok(b, err)
	}
}

// BenchmarkBranches merges two branches of 10,000 edits each that began at one
// text. Goal: 7 ms.
func BenchmarkBranches(b *testing.B) {
	for _, c := range []struct {
		edits  int
		spread bool
	}{{10_000, false}, {10_000, true}, {500_000, true}} { // the last: 2 million items
		b.Run(fmt.Sprintf("edits=%d/spread=%v", c.edits, c.spread), func(b *testing.B) {
			mine, theirs := branches(b, c.edits, c.spread)
			base, err := mine.AppendHistory(nil)
			ok(b, err)
			runs, err := theirs.Since(mine.Vector())
			ok(b, err)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				d, err := text.Decode(base)
				ok(b, err)
				b.StartTimer()
				if _, err := d.Apply(runs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*2*c.edits), "ns/edit")
		})
	}
}

// branches makes two replicas with n concurrent edits each: typing at a few
// places, or each edit at a place of its own.
func branches(t testing.TB, n int, spread bool) (mine, theirs *text.Doc) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	mine, theirs = text.New(), text.New()
	_, err := mine.Insert("base", 0, strings.Repeat("0123456789", 2_000))
	ok(t, err)
	runs, err := mine.Since(vclock.Vector{})
	ok(t, err)
	_, err = theirs.Apply(runs)
	ok(t, err)
	for i, name := range []vclock.Origin{"mine", "theirs"} {
		d, pos := []*text.Doc{mine, theirs}[i], 0
		for i := range n {
			if spread || i%50 == 0 {
				pos = rng.IntN(d.Len())
			}
			if i%5 == 4 {
				_, err = d.Delete(name, max(0, pos-1), 1)
				pos--
			} else {
				_, err = d.Insert(name, max(0, pos), "x")
				pos++
			}
			ok(t, err)
			pos = max(0, min(pos, d.Len()-1))
		}
	}
	return mine, theirs
}

// BenchmarkOpen opens a saved text of 100 KB. Goal: 1 ms.
func BenchmarkOpen(b *testing.B) {
	d := text.New()
	_, err := d.Insert("author", 0, strings.Repeat("0123456789", 10_000))
	ok(b, err)
	snapshot := d.AppendSnapshot(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := text.Open(snapshot, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode runs a whole saved history again.
func BenchmarkDecode(b *testing.B) {
	tr := readTrace(b, filepath.Join(recorded(b), "automerge-paper.json.gz"))
	d, err := tr.Replay()
	ok(b, err)
	history, err := d.AppendHistory(nil)
	ok(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := text.Decode(history); err != nil {
			b.Fatal(err)
		}
	}
}
