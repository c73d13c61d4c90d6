package scenario_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/sim/scenario"
)

// A case of testdata/*.txt: "=== what is wrong", a file, "----", its faults.
type badCase struct{ title, text, want string }

func readCases(t *testing.T, path string) []badCase {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []badCase
	for block := range strings.SplitSeq(string(text), "\n=== ") {
		title, rest, _ := strings.Cut(block, "\n")
		if strings.HasPrefix(title, "#") {
			continue // the head of the file
		}
		file, want, ok := strings.Cut(rest+"\n", "\n----\n")
		if !ok {
			t.Fatalf("%s: case %q has no ----", path, title)
		}
		cases = append(cases, badCase{title, file + "\n", strings.Trim(want, "\n")})
	}
	return cases
}

// The files that cases may name under chaos:.
var besideFiles = fstest.MapFS{
	"loss.yaml": {Data: []byte("apiVersion: chaos-mesh.org/v1alpha1\nkind: NetworkChaos\nmetadata: {name: beside}\n" +
		"spec:\n  action: loss\n  mode: all\n  selector: {}\n  loss: {loss: \"101\"}\n")},
	"broken.yaml": {Data: []byte("a: [\n")},
	"plain.yaml":  {Data: []byte("length: 10m\n")},
}

// TestBadFiles holds every fault of every bad file to its exact text. UPDATE=1
// writes the texts anew.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"testdata/bad.txt", "testdata/badchaos.txt"} {
		var out strings.Builder
		head, _, _ := strings.Cut(mustRead(t, path), "\n=== ")
		out.WriteString(head)
		for _, c := range readCases(t, path) {
			_, err := scenario.Load("bad.yaml", []byte(c.text), 1, besideFiles)
			got := fmt.Sprint(err)
			if got != c.want && os.Getenv("UPDATE") == "" {
				t.Errorf("%s: %s:\n%s\ngives\n%s\nwant\n%s", path, c.title, c.text, got, c.want)
			}
			if _, ok := errors.AsType[*config.FieldError](err); !ok {
				t.Errorf("%s: %s: error is %T, want a *config.FieldError in it", path, c.title, err)
			}
			fmt.Fprintf(&out, "\n=== %s\n%s----\n%s\n", c.title, c.text, got)
		}
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
