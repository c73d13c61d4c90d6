package text_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/conflict/text/trace"
)

// recorded returns the directory of recorded editing histories, if there is
// one: in $CAUSEWAY_DATA or beside the repository.
func recorded(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("CAUSEWAY_DATA"); dir != "" {
		return filepath.Join(dir, "editing-traces")
	}
	dir, err := filepath.Abs(".")
	ok(t, err)
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	return filepath.Join(dir, "..", "shared", "data", "editing-traces")
}

func readTrace(t testing.TB, path string) *trace.Trace {
	t.Helper()
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		t.Skipf("no recorded histories: %v; set CAUSEWAY_DATA", err)
	}
	ok(t, err)
	defer func() { _ = f.Close() }()
	tr, err := trace.Read(f)
	ok(t, err)
	return tr
}

func TestRecorded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"automerge-paper", "friendsforever", "rustcode", "sveltecomponent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkTrace(t, readTrace(t, filepath.Join(recorded(t), name+".json.gz")))
		})
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	ok(t, err)
	if len(files) < 2 {
		t.Fatalf("testdata has %d samples, want both kinds", len(files))
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			checkTrace(t, readTrace(t, name))
		})
	}
}

// checkTrace replays a recording, saves it, loads it and sends it on.
func checkTrace(t *testing.T, tr *trace.Trace) {
	t.Helper()
	d, err := tr.Replay()
	ok(t, err)
	if d.String() != tr.EndContent {
		t.Fatalf("replay gives %d bytes that differ from the recorded %d", len(d.String()), len(tr.EndContent))
	}
	if again := reopen(t, d); again.String() != tr.EndContent {
		t.Error("saved and loaded, the text differs")
	}
	runs, err := d.Since(text.New().Vector())
	ok(t, err)
	other := text.New()
	_, err = other.Apply(runs)
	ok(t, err)
	if other.String() != tr.EndContent {
		t.Error("sent to another replica, the text differs")
	}
}
