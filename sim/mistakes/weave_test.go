package mistakes

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sourceOf = `package p

type t struct{ n int }

// add adds.
func (x *t) add(a, b int, more ...int) (int, error) {
	x.n += a + b
	for _, m := range more {
		x.n += m
	}
	return x.n, nil
}

func (x *t) clear() { x.n = 0 }

func (*t) nameless(int) {
	println("nameless")
}

var table = []int{
	1,
}
`

// TestWeave looks at what becomes of a source: the copies stand behind it, and
// each function asks first.
func TestWeave(t *testing.T) {
	t.Parallel()
	list := []Mistake{
		{Name: "one", Edits: []Edit{{File: "p.go", Old: "\tx.n += a + b\n", New: "\tx.n += a - b\n"}}},
		{Name: "two", Edits: []Edit{
			{File: "p.go", Old: "\t\tx.n += m\n", New: "\t\tx.n -= m\n"},
			{File: "p.go", Old: "\treturn x.n, nil\n", New: "\treturn 0, nil\n"},
			{File: "p.go", Old: "func (x *t) clear() { x.n = 0 }\n", New: "func (x *t) clear() { x.n = 1 }\n"},
		}},
	}
	got, err := weave("p.go", sourceOf, places(list)["p.go"])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`package p; import seeded "` + chosenModule + `"`,
		"(int, error) { if seeded.Mistake == 1 { return x.addMistake1(a, b, more...) }; if seeded.Mistake == 2 { return x.addMistake2(a, b, more...) };\n\tx.n += a + b\n",
		"func (x *t) clear() { if seeded.Mistake == 2 { x.clearMistake2(); return }; x.n = 0 }",
		"\nfunc (x *t) addMistake1(a, b int, more ...int) (int, error) {\n\tx.n += a - b\n",
		"\t\tx.n -= m\n\t}\n\treturn 0, nil\n}\n",
		"\nfunc (x *t) clearMistake2() { x.n = 1 }\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("weave gave\n%s\nwant in it\n%s", got, want)
		}
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "p.go", got, 0); err != nil {
		t.Errorf("weave gave what is no Go: %v\n%s", err, got)
	}
}

// TestWeaveRefuses names what does not fit a source: it must fail and say which.
func TestWeaveRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, made, want string }{
		{"gone", "\tx.n += a * b\n", "\n", "there 0 times"},
		{"part of a line", "x.n += a + b\n", "\n", "there 0 times"},
		{"twice", "}\n", "\n", "there 3 times"},
		{"outside", "\t1,\n", "\t2,\n", "not within one function"},
		{"across functions", "}\n\nfunc (x *t) clear() { x.n = 0 }\n", "}\n", "not within one function"},
		{"without a name", "\tprintln(\"nameless\")\n", "\tprintln()\n", "without a name"},
		{"renamed", "func (x *t) clear() { x.n = 0 }\n", "func (x *t) clean() { x.n = 0 }\n", "name of clear is changed"},
	} {
		list := []Mistake{{Name: "m", Edits: []Edit{{File: "p.go", Old: c.old, New: c.made}}}}
		_, err := weave("p.go", sourceOf, places(list)["p.go"])
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "m: p.go") {
			t.Errorf("%s: weave gave %v, want an error about %q", c.name, err, c.want)
		}
	}
}

// TestListFitsTheSource weaves every mistake into the code as it is now. When
// code that a mistake changes has moved on, this is the test that says so.
func TestListFitsTheSource(t *testing.T) {
	t.Parallel()
	list, err := All()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, m := range list {
		if !m.Harmless && !m.Missed {
			count++
		}
	}
	if count < 60 {
		t.Errorf("%d mistakes are listed, want at least 60", count)
	}
	for file, of := range places(list) {
		source, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range of {
			if _, err := weave(file, string(source), []numbered{m}); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestParse reads a list and refuses what is no list.
func TestParse(t *testing.T) {
	t.Parallel()
	const text = "For readers.\n\n# a-name\nWhat is\nwrong.\n@ p/q.go\n \tstays\n-\tgoes\n+\tcomes\n\n@ r.go\n-x\n"
	list, err := Parse("area", text)
	if err != nil {
		t.Fatal(err)
	}
	m := list[0]
	want := []Edit{{"p/q.go", "\tstays\n\tgoes\n", "\tstays\n\tcomes\n"}, {"r.go", "x\n", ""}}
	if len(list) != 1 || m.Name != "a-name" || m.Says != "What is wrong." || m.Area != "area" || len(m.Edits) != 2 ||
		m.Edits[0] != want[0] || m.Edits[1] != want[1] {
		t.Errorf("Parse gave %+v, want a-name with %q", list, want)
	}
	for _, bad := range []string{
		"# A Name\nSays.\n@ p.go\n-x\n", "# a\n@ p.go\n-x\n", "# a\nSays.\n", "# a\nSays.\n@ p.go\n x\n",
		"# a\nSays.\n@ p.go\nx\n", "# a\nSays.\n@ ../p.go\n-x\n", "# a\nSays.\n@ p.go\n+x\n",
	} {
		if list, err := Parse("area", bad); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", bad, list)
		}
	}
}

// TestCaughtFile writes and reads back how mistakes were caught.
func TestCaughtFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := []Catch{{Mistake: "a-b", Needed: 3, Seeds: []uint64{3, 17}, Check: "stamps rise"}, {Mistake: "c", Needed: 1, Seeds: []uint64{1}, Check: "x, y"}}
	if err := WriteCaught(dir, "caught.txt", list); err != nil {
		t.Fatal(err)
	}
	got, err := ReadCaught(dir, "caught.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if w := list[i]; c.Mistake != w.Mistake || c.Needed != w.Needed || c.Check != w.Check || len(c.Seeds) != len(w.Seeds) || c.Seeds[0] != w.Seeds[0] {
			t.Errorf("read back %+v, want %+v", c, w)
		}
	}
	for _, bad := range []string{"a 1 2\n", "a x 2 c\n", "a 1 2,x c\n"} {
		if err := os.WriteFile(filepath.Join(dir, "bad.txt"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadCaught(dir, "bad.txt"); err == nil {
			t.Errorf("ReadCaught of %q = %+v, want an error", bad, got)
		}
	}
}
