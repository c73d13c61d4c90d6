package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/conflict/text"
)

// editor is a client that edits one text and knows of the others' edits only
// what the answers say.
type editor struct {
	url, path string
	rng       *rand.Rand
	mark      rune // words of this editor begin with it
	base      string
	text      []rune
	words     []string // that it inserted and nobody deletes
	made      int
}

func newEditor(t testing.TB, url, path string, seed uint64) *editor {
	t.Helper()
	e := &editor{url: url, path: path, rng: rand.New(rand.NewPCG(seed, 0)), mark: rune('A' + seed)}
	var got struct{ Text, Version string }
	call(t, "GET", url+path, nil, 200, &got)
	e.text, e.base = []rune(got.Text), got.Version
	return e
}

// edit makes n edits in one call: words at random places, and sometimes a word
// that is deleted again, whoever may be writing inside it.
func (e *editor) edit(t testing.TB, n int) {
	t.Helper()
	var edits []text.Edit
	for range n {
		e.made++
		word := fmt.Sprintf("%c%dé😀", e.mark, e.made)
		next := text.Edit{Pos: e.place(), Ins: word}
		if e.made%5 == 0 {
			next = e.someDelete()
		} else {
			e.words = append(e.words, word)
		}
		edits = append(edits, next)
		e.patch(t, next)
	}
	var done struct {
		Version string
		Edits   []text.Edit
	}
	call(t, "POST", e.url+e.path+"/edits", map[string]any{"base": e.base, "edits": edits}, 200, &done)
	e.patch(t, done.Edits...)
	e.base = done.Version
}

// place is somewhere between two words, so that no word is torn.
func (e *editor) place() int {
	at := e.rng.IntN(len(e.text) + 1)
	for at < len(e.text) && (at == 0 || e.text[at-1] != '😀' && e.text[at-1] != '·') {
		at++
	}
	return at
}

// someDelete deletes one of the dots with which the text began.
func (e *editor) someDelete() text.Edit {
	if at := slices.Index(e.text, '·'); at >= 0 {
		return text.Edit{Pos: at, Del: 1}
	}
	return text.Edit{Pos: 0, Ins: "·"}
}

func (e *editor) patch(t testing.TB, edits ...text.Edit) {
	t.Helper()
	got, err := text.Patch(string(e.text), edits...)
	if err != nil {
		t.Fatalf("edits %+v do not fit the client's text: %v", edits, err)
	}
	e.text = []rune(got)
}

// TestTextOfThreeEdgesWithCutLinks edits one text at three edges whose links are
// cut, 2,000 edits each, one of them killed and started again in between. Healed,
// every node has one text, with every word in it once.
func TestTextOfThreeEdgesWithCutLinks(t *testing.T) {
	t.Parallel()
	const calls, editsPerCall = 400, 5
	c := newCluster(t, 3)
	call(t, "POST", c.coreURL+sessions, map[string]any{"id": "s"}, 201, nil)
	path := sessions + "/s/texts/notes"
	begin := strings.Repeat("·", 600)
	call(t, "POST", c.coreURL+path+"/edits", map[string]any{"edits": []text.Edit{{Ins: begin}}}, 200, nil)
	c.converge("default", c.urls()...)
	var editors []*editor
	for i, s := range c.sites {
		s.cut(false)
		editors = append(editors, newEditor(t, s.url, path, uint64(i)))
	}
	var writers sync.WaitGroup
	for i, e := range editors {
		writers.Go(func() {
			for n := range calls {
				e.edit(t, editsPerCall)
				if i == 0 && n == calls/2 {
					c.sites[0].run.end(t)
					c.startSite(c.sites[0])
				}
			}
		})
	}
	writers.Wait()
	for i, e := range editors {
		if e.made != calls*editsPerCall {
			t.Errorf("editor %d made %d edits", i, e.made)
		}
		if got := readText(t, e.url+path); got != string(e.text) {
			t.Errorf("editor %d has %d code points, its edge other %d", i, len(e.text), utf8.RuneCountInString(got))
		}
		c.sites[i].cut(true)
	}
	c.converge("default", c.urls()...)
	want := readText(t, c.coreURL+path)
	for _, u := range c.urls() {
		if got := readText(t, u+path); got != want {
			t.Errorf("text at %s differs: %d and %d bytes", u, len(got), len(want))
		}
	}
	for _, e := range editors {
		for _, word := range e.words {
			if n := strings.Count(want, word); n != 1 {
				t.Errorf("%q stands %d times in the text", word, n)
			}
		}
		c.converge("default", c.urls()...)
		e.edit(t, 1) // on a base from before the others' 4,000 edits
		if got := readText(t, e.url+path); got != string(e.text) {
			t.Errorf("what the answer says does not bring editor %c to its node's text", e.mark)
		}
	}
}

func readText(t testing.TB, url string) string {
	t.Helper()
	var got struct{ Text string }
	call(t, "GET", url, nil, 200, &got)
	return got.Text
}

// TestTextRetriedAtAnotherEdge sends one edit to two edges that are apart.
func TestTextRetriedAtAnotherEdge(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	call(t, "POST", c.coreURL+sessions, map[string]any{"id": "s"}, 201, nil)
	path := sessions + "/s/texts/notes"
	c.converge("default", c.urls()...)
	for _, s := range c.sites {
		s.cut(false)
	}
	body := map[string]any{"edits": []text.Edit{{Ins: "once "}}}
	for i, s := range c.sites {
		call(t, "POST", s.url+path+"/edits", body, 200, nil, "Idempotency-Key", "k")
		more := map[string]any{"edits": []text.Edit{{Pos: 5, Ins: fmt.Sprint("at ", i, " ")}}}
		call(t, "POST", s.url+path+"/edits", more, 200, nil)
	}
	for _, s := range c.sites {
		s.cut(true)
	}
	c.converge("default", c.urls()...)
	for _, u := range c.urls() {
		got := readText(t, u+path)
		if strings.Count(got, "once") != 1 || !strings.Contains(got, "at 0") || !strings.Contains(got, "at 1") {
			t.Errorf("text at %s = %q", u, got)
		}
	}
	call(t, "DELETE", c.sites[0].url+sessions+"/s", nil, 200, nil)
	c.converge("default", c.urls()...)
	for _, u := range c.urls() {
		call(t, "GET", u+path, nil, 410, nil)
	}
}
