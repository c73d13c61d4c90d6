package mistakes

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// The package that tells which mistake is chosen. It is there in the overlay only.
const (
	chosenDir    = "sim/mistakes/chosen"
	chosenModule = "github.com/causeway-sync/causeway/" + chosenDir
	chosenEnv    = "CAUSEWAY_MISTAKE"
	chosenSource = `// Package chosen is generated: it says which mistake is made.
package chosen

import (
	"os"
	"strconv"
)

// Mistake is the number of the mistake to make; none if it is 0.
var Mistake = number()

func number() int {
	n, err := strconv.Atoi(os.Getenv("` + chosenEnv + `"))
	if err != nil {
		return 0
	}
	return n
}
`
)

// errWeave says that a mistake does not fit the source.
var errWeave = errors.New("mistakes: weave")

// numbered is a mistake with the number by which it is chosen.
type numbered struct {
	*Mistake
	number int
}

// places gives for each file which mistakes have to do with it, in the order of
// their numbers. Numbers begin at 1.
func places(list []Mistake) map[string][]numbered {
	byFile := map[string][]numbered{}
	for i := range list {
		m := numbered{&list[i], i + 1}
		for _, e := range list[i].Edits {
			if of := byFile[e.File]; len(of) == 0 || of[len(of)-1].number != m.number {
				byFile[e.File] = append(of, m)
			}
		}
	}
	return byFile
}

// insertion is text to be put at an offset of a source.
type insertion struct {
	at   int
	text string
}

// weave gives the source of a file with mistakes woven in. It returns errWeave
// for old lines that are not in it exactly once, or not within one function.
func weave(file, source string, list []numbered) (string, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, source, parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errWeave, err)
	}
	w := weaver{source: source, offset: func(p token.Pos) int { return fset.Position(p).Offset }, tree: tree}
	w.insert(w.offset(tree.Name.End()), "; import seeded \""+chosenModule+"\"")
	for _, m := range list {
		if err := w.mistake(file, m); err != nil {
			return "", fmt.Errorf("%w: %s: %s: %w", errWeave, m.Name, file, err)
		}
	}
	return w.result(), nil
}

type weaver struct {
	source     string
	offset     func(token.Pos) int
	tree       *ast.File
	insertions []insertion
	copies     strings.Builder
}

func (w *weaver) insert(at int, text string) {
	w.insertions = append(w.insertions, insertion{at, text})
}

// result is the source with all insertions, and the changed copies behind it.
func (w *weaver) result() string {
	slices.SortStableFunc(w.insertions, func(a, b insertion) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	done := 0
	for _, i := range w.insertions {
		b.WriteString(w.source[done:i.at])
		b.WriteString(i.text)
		done = i.at
	}
	b.WriteString(w.source[done:])
	b.WriteString(w.copies.String())
	return b.String()
}

// mistake weaves one mistake in: a changed copy of each function that it is about.
func (w *weaver) mistake(file string, m numbered) error {
	var funcs []*ast.FuncDecl
	edits := map[*ast.FuncDecl][]Edit{}
	for _, e := range m.Edits {
		if e.File != file {
			continue
		}
		fn, err := w.around(e.Old)
		if err != nil {
			return err
		}
		if edits[fn] == nil {
			funcs = append(funcs, fn)
		}
		edits[fn] = append(edits[fn], e)
	}
	for _, fn := range funcs {
		if err := w.change(fn, edits[fn], m.number); err != nil {
			return err
		}
	}
	return nil
}

// around finds the function in whose body the old lines stand.
func (w *weaver) around(old string) (*ast.FuncDecl, error) {
	// Lines are looked for with the newline before them, so that they are whole.
	if n := strings.Count(w.source, "\n"+old); n != 1 {
		return nil, fmt.Errorf("the old lines are there %d times, want once:\n%s", n, old)
	}
	at := strings.Index(w.source, "\n"+old) + 1
	for _, d := range w.tree.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Body != nil && w.offset(fn.Pos()) <= at && at+len(old) <= w.offset(fn.End())+1 {
			return fn, nil
		}
	}
	return nil, fmt.Errorf("the old lines are not within one function:\n%s", old)
}

// change makes the changed copy of a function and lets the function go on in it
// when the mistake is chosen.
func (w *weaver) change(fn *ast.FuncDecl, edits []Edit, number int) error {
	name := fn.Name.Name + "Mistake" + strconv.Itoa(number)
	start, nameEnd := w.offset(fn.Pos()), w.offset(fn.Name.End())
	text := "\n" + w.source[start:w.offset(fn.End())] + "\n"
	head := "\n" + w.source[start:nameEnd]
	for _, e := range edits {
		if strings.Count(text, "\n"+e.Old) != 1 {
			return fmt.Errorf("two changes are in each other's way in %s", fn.Name.Name)
		}
		text = strings.Replace(text, "\n"+e.Old, "\n"+e.New, 1)
	}
	rest, ok := strings.CutPrefix(text, head)
	if !ok {
		return fmt.Errorf("the name of %s is changed", fn.Name.Name)
	}
	w.copies.WriteString(strings.TrimSuffix(head, fn.Name.Name) + name + rest)
	call, err := callOf(fn, name)
	if err != nil {
		return err
	}
	w.insert(w.offset(fn.Body.Lbrace)+1, " if seeded.Mistake == "+strconv.Itoa(number)+" { "+call+" };")
	return nil
}

// callOf calls name with what fn was called with, and returns what it returns.
func callOf(fn *ast.FuncDecl, name string) (string, error) {
	unnamed := fmt.Errorf("%s has a receiver or parameter without a name", fn.Name.Name)
	call := name
	if fn.Recv != nil {
		if len(fn.Recv.List[0].Names) == 0 || fn.Recv.List[0].Names[0].Name == "_" {
			return "", unnamed
		}
		call = fn.Recv.List[0].Names[0].Name + "." + name
	}
	var args []string
	for _, p := range fn.Type.Params.List {
		if len(p.Names) == 0 {
			return "", unnamed
		}
		_, variadic := p.Type.(*ast.Ellipsis)
		for _, n := range p.Names {
			switch {
			case n.Name == "_":
				return "", unnamed
			case variadic:
				args = append(args, n.Name+"...")
			default:
				args = append(args, n.Name)
			}
		}
	}
	call += "(" + strings.Join(args, ", ") + ")"
	if fn.Type.Results == nil || len(fn.Type.Results.List) == 0 {
		return call + "; return", nil
	}
	return "return " + call, nil
}
