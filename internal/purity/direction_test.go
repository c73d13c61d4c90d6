package purity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDirection(t *testing.T) {
	t.Parallel()
	CheckDirection(t)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const nats, badger = "github.com/nats-io/nats.go", "github.com/dgraph-io/badger/v4"
	for _, c := range []struct {
		dir, path string
		wrong     bool
	}{
		{"conflict", modulePath + "/vclock", false},
		{"conflict/text", modulePath + "/conflict", false},
		{"vclock", modulePath + "/conflict", true},
		{"vclock", modulePath + "/clocksync", true},
		{"clocksync", modulePath + "/vclock", true},
		{"clocksync/source", modulePath + "/clocksync", false},
		{"clocksync", modulePath + "/clocksync/source", true},
		{"session", modulePath + "/conflict", false},
		{"session", modulePath + "/protocol", true},
		{"protocol", modulePath + "/protocol/replica", true},
		{"protocol/replica", modulePath + "/protocol", false},
		{"protocol/replica", modulePath + "/internal/store", true},
		{"protocol/replica", modulePath + "/protocol/drive", true},
		{"protocol/drive", modulePath + "/protocol/replica", false},
		{"protocol/drive", modulePath + "/internal/node", true},
		{"internal/store", modulePath + "/internal/httpapi", true},
		{"internal/store/storetest", modulePath + "/internal/store", false},
		{"internal/node", modulePath + "/internal/store", false},
		{"internal/node", modulePath + "/edge", true},
		{"edge", modulePath + "/core", true},
		{"core", modulePath + "/core/console", false},
		{"sim", modulePath + "/edge", true},
		{"sim", modulePath + "/internal/node", false},
		{"sim/live", modulePath + "/edge", false},
		{"cmd/causeway", modulePath + "/core", false},
		{"helpers", modulePath + "/vclock", true},
		{"vclock", "strings", false},
		{"internal/store", badger, false},
		{"internal/node", badger, true},
		{"edge", nats, false},
		{"core", nats, false},
		{"cmd/causeway", nats, true},
	} {
		if got := judge(c.dir, c.path); (got != "") != c.wrong {
			t.Errorf("judge(%s, %s) = %q, want wrong = %v", c.dir, c.path, got, c.wrong)
		}
	}
}

func TestMisdirectedReadsSource(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, source := range map[string]string{
		"vclock/a.go":          "package vclock\nimport _ \"" + modulePath + "/session\"\n",
		"vclock/a_test.go":     "package vclock\nimport _ \"" + modulePath + "/edge\"\n",
		"vclock/testdata/b.go": "package x\nimport _ \"" + modulePath + "/edge\"\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := misdirected(root)
	if err != nil || len(got) != 1 || !strings.Contains(got[0], "session points up") {
		t.Errorf("misdirected = %q, %v, want the one import of session", got, err)
	}
}
