package purity

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/causeway-sync/causeway"

// layers gives each family of packages its height. A package belongs to the
// longest entry that its path begins with. It may import its own family and
// what is strictly lower, so packages of one height do not know each other.
var layers = map[string]int{
	"vclock":             0,
	"clocksync":          0,
	"conflict":           10,
	"session":            20,
	"protocol":           30,
	"protocol/live":      35,
	"protocol/replica":   40,
	"protocol/drive":     45,
	"internal/inorder":   50,
	"internal/lifecycle": 50,
	"internal/purity":    50,
	"internal/intake":    50,
	"clocksync/source":   60,
	"internal":           60, // adapters: store, httpapi, gossip
	"internal/node":      70,
	"sim":                80,
	"edge":               80,
	"core":               85, // a core node writes too, and sends what it wrote up its own bus by an edge's link
	"sim/live":           90,
	"cmd":                100,
	"internal/bench":     100,
}

// pure names the packages that do no IO.
var pure = []string{
	"vclock", "clocksync", "conflict", "session", "protocol", "protocol/live", "protocol/replica", "protocol/drive", "sim/netem",
	"internal/intake",
}

// homes says where a third-party package may be imported. The benchmark holds
// the product against the bare parts.
var homes = map[string][]string{
	"github.com/dgraph-io/badger":     {"internal/store", "internal/bench"},
	"github.com/hashicorp/memberlist": {"internal/gossip"},
	"github.com/beevik/ntp":           {"clocksync/source"},
	"github.com/sony/gobreaker":       {"internal/node"},
	"golang.org/x/time":               {"internal/intake"},
	"github.com/nats-io":              {"edge", "core", "internal/bench"},
	"github.com/lxzan/gws":            {"internal/httpapi"},
}

// CheckDirection fails t for every import in the module that points up or
// sideways, for every third-party package outside its home, and for every
// impurity of a pure package, also one without a TestPure. Test files may
// import what they like.
func CheckDirection(t *testing.T) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	found, err := misdirected(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
	for _, dir := range pure {
		impure, err := violations(filepath.Join(root, dir))
		if err != nil {
			t.Error(err)
		}
		for _, v := range impure {
			t.Error(v)
		}
	}
}

// moduleRoot returns the nearest directory above that has a go.mod.
func moduleRoot() (string, error) {
	dir, err := filepath.Abs(".")
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the module: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the module: no go.mod above the current directory")
		}
		dir = filepath.Dir(dir)
	}
}

// misdirected returns the imports below root that should not be.
func misdirected(root string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		paths, err := importsOf(path)
		if err != nil {
			return err
		}
		for _, to := range paths {
			if wrong := judge(filepath.ToSlash(dir), to); wrong != "" {
				found = append(found, filepath.Join(dir, name)+": "+wrong)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("walk the module: %w", err)
	}
	return found, nil
}

func importsOf(file string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", file, spec.Path.Value, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// judge says what is wrong with an import of path in the package at dir, or
// nothing.
func judge(dir, path string) string {
	for third, allowed := range homes {
		if below(path, third) && !belowAny(dir, allowed) {
			return fmt.Sprintf("import of %s outside %s", path, strings.Join(allowed, ", "))
		}
	}
	to, ours := strings.CutPrefix(path, modulePath+"/")
	if !ours {
		return ""
	}
	home, known := family(dir)
	if !known {
		return fmt.Sprintf("package %s has no place in the layers of internal/purity", dir)
	}
	target, known := family(to)
	switch {
	case !known:
		return fmt.Sprintf("package %s has no place in the layers of internal/purity", to)
	case dir == to || (home == target && (home != "internal" || adapter(dir) == adapter(to))):
		return ""
	case layers[target] >= layers[home]:
		return fmt.Sprintf("import of %s points up or sideways: %s is not below %s", to, target, home)
	}
	return ""
}

// family returns the longest entry of layers that dir is or lies below.
func family(dir string) (string, bool) {
	for at := dir; ; at = at[:strings.LastIndexByte(at, '/')] {
		if _, ok := layers[at]; ok {
			return at, true
		}
		if !strings.Contains(at, "/") {
			return "", false
		}
	}
}

// adapter returns the first two elements of a path below internal.
func adapter(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func below(path, top string) bool {
	return path == top || strings.HasPrefix(path, top+"/")
}

func belowAny(path string, tops []string) bool {
	for _, top := range tops {
		if below(path, top) {
			return true
		}
	}
	return false
}
