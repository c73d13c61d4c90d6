package purity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckFindsEachImpurity(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string][]string{
		"pure": nil,
		"imports": {
			"import of context", "import of crypto/rand", "import of log/slog", "import of math/rand",
			"import of net/http", "import of os", "import of strings into the file scope", "import of sync/atomic",
			"import of github.com/dgraph-io/badger/v4", "import of github.com/nats-io/nats.go",
		},
		"goroutine": {"func init", "channel", "goroutine", "send on a channel", "select", "receive"},
		"clock":     {"time.Now", "receive", "time.After", "fmt.Println", "time.Since"},
		"random":    {"rand.IntN"},
		"signature": {"Take has any", "Give has an empty interface"},
	} {
		got, err := violations(filepath.Join("testdata", dir))
		if err != nil {
			t.Errorf("violations(%s): %v", dir, err)
			continue
		}
		if len(got) != len(want) {
			t.Errorf("violations(%s) = %d findings, want %d:\n%s", dir, len(got), len(want), strings.Join(got, "\n"))
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("violations(%s)[%d] = %q, want %q in it", dir, i, got[i], want[i])
			}
		}
	}
}

func TestCheckIsNotSilentWithoutSource(t *testing.T) {
	t.Parallel()
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "broken.go"), []byte("package broken; func ("), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{t.TempDir(), broken} {
		if got, err := violations(dir); err == nil {
			t.Errorf("violations(%s) = %v, want an error: a check of nothing proves nothing", dir, got)
		}
	}
}
