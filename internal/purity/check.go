package purity

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Check fails t for every impurity in the files of the current directory that
// are no tests. Each pure package has a TestPure that calls it.
func Check(t *testing.T) {
	t.Helper()
	found, err := violations(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// bannedImports may not be imported, nor what lies below them.
var bannedImports = []string{
	"net", "os", "log", "sync", "context", "testing", "unsafe", "runtime", "syscall", "plugin", "C",
	"crypto/rand", "math/rand", "io/ioutil", "embed",
}

// shellWords may not occur in an import path.
var shellWords = []string{"badger", "nats", "memberlist", "/ntp"}

// bannedCalls are names of package time that look at a clock or wait for one.
var bannedCalls = []string{
	"Now", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Since", "Until", "Timer", "Ticker",
}

// allowedRand are the names of math/rand/v2 that draw from no hidden source.
var allowedRand = []string{"Rand", "New", "NewPCG", "PCG", "NewChaCha8", "ChaCha8", "Source", "NewZipf", "Zipf"}

// violations returns the impurities of the package in dir, each with its position.
func violations(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	var found []string
	files := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		files++
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("check purity: %w", err)
		}
		in, err := inspect(name, source)
		if err != nil {
			return nil, err
		}
		found = append(found, in...)
	}
	if files == 0 {
		return nil, fmt.Errorf("check purity of %s: no Go files", dir)
	}
	return found, nil
}

// inspector collects the impurities of one file.
type inspector struct {
	fset    *token.FileSet
	imports map[string]string // name in the file to path
	found   []string
}

func inspect(name string, source []byte) ([]string, error) {
	in := inspector{fset: token.NewFileSet(), imports: make(map[string]string)}
	file, err := parser.ParseFile(in.fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("check purity: %w", err)
	}
	for _, spec := range file.Imports {
		in.visitImport(spec)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		in.visit(n)
		return true
	})
	return in.found, nil
}

func (in *inspector) report(at ast.Node, format string, args ...any) {
	in.found = append(in.found, in.fset.Position(at.Pos()).String()+": "+fmt.Sprintf(format, args...))
}

func (in *inspector) visitImport(spec *ast.ImportSpec) {
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		in.report(spec, "import %s cannot be read", spec.Path.Value)
		return
	}
	for _, banned := range bannedImports {
		if path != "math/rand/v2" && (path == banned || strings.HasPrefix(path, banned+"/")) {
			in.report(spec, "import of %s in a pure package", path)
		}
	}
	for _, word := range shellWords {
		if strings.Contains(path, word) {
			in.report(spec, "import of %s in a pure package", path)
		}
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if path == "math/rand/v2" {
		name = "rand"
	}
	if spec.Name != nil {
		name = spec.Name.Name
	}
	if name == "." {
		in.report(spec, "import of %s into the file scope hides where names come from", path)
	}
	in.imports[name] = path
}

func (in *inspector) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.GoStmt:
		in.report(n, "goroutine in a pure package")
	case *ast.ChanType:
		in.report(n, "channel in a pure package")
	case *ast.SendStmt:
		in.report(n, "send on a channel in a pure package")
	case *ast.SelectStmt:
		in.report(n, "select in a pure package")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			in.report(n, "receive from a channel in a pure package")
		}
	case *ast.SelectorExpr:
		in.visitSelector(n)
	case *ast.FuncDecl:
		in.visitFunc(n)
	}
}

func (in *inspector) visitSelector(n *ast.SelectorExpr) {
	of, ok := n.X.(*ast.Ident)
	if !ok {
		return
	}
	switch path := in.imports[of.Name]; {
	case path == "time" && slices.Contains(bannedCalls, n.Sel.Name):
		in.report(n, "time.%s in a pure package: time is an argument", n.Sel.Name)
	case path == "math/rand/v2" && !slices.Contains(allowedRand, n.Sel.Name):
		in.report(n, "rand.%s in a pure package: a *rand.Rand is an argument", n.Sel.Name)
	case path == "fmt" && (strings.HasPrefix(n.Sel.Name, "Print") || strings.HasPrefix(n.Sel.Name, "Scan")):
		in.report(n, "fmt.%s in a pure package does IO", n.Sel.Name)
	}
}

func (in *inspector) visitFunc(n *ast.FuncDecl) {
	if n.Recv == nil && n.Name.Name == "init" {
		in.report(n, "func init in a pure package")
	}
	if !n.Name.IsExported() {
		return
	}
	fields := n.Type.Params.List
	if n.Type.Results != nil {
		fields = slices.Concat(fields, n.Type.Results.List)
	}
	for _, field := range fields {
		ast.Inspect(field.Type, func(m ast.Node) bool {
			switch m := m.(type) {
			case *ast.InterfaceType:
				if len(m.Methods.List) == 0 {
					in.report(m, "%s has an empty interface in its signature", n.Name.Name)
				}
			case *ast.Ident:
				if m.Name == "any" {
					in.report(m, "%s has any in its signature", n.Name.Name)
				}
			}
			return true
		})
	}
}
