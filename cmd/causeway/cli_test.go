package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/httpapi/httpapitest"
	"github.com/causeway-sync/causeway/session"
)

// cli runs one command line.
func cli(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// ok runs a command line that must succeed and gives its output.
func ok(t testing.TB, args ...string) string {
	t.Helper()
	code, out, errs := cli(t, "", args...)
	if code != 0 {
		t.Fatalf("causeway %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func fakeNode(t testing.TB) (svc *httpapitest.Service, url string) {
	t.Helper()
	svc = &httpapitest.Service{}
	s := httptest.NewServer(httpapi.Handler(svc, nil))
	t.Cleanup(s.Close)
	return svc, s.URL
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	_, url := fakeNode(t)
	dir := t.TempDir()
	badConfig := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(badConfig, []byte("nod: x\napi: 0.0.0.0:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"", 2, "Usage: causeway COMMAND"},
		{"--help", 0, "import"},
		{"help", 0, "export"},
		{"nothing", 2, `no command "nothing"`},
		{"version", 0, "causeway "},
		{"version --json", 0, `"go":"go1`},
		{"version extra", 2, `unexpected "extra"`},
		{"session", 2, "transition"},
		{"session --help", 0, "transition"},
		{"session create --help", 0, "-label"},
		{"session dance", 2, `no command "dance"`},
		{"session create --order", 2, "flag needs an argument"},
		{"session create --nope", 2, "not defined"},
		{"session create --context { --node " + url, 2, "want JSON"},
		{"session create --label a --node " + url, 2, "key=value"},
		{"session create --id a b --node " + url, 2, "twice"},
		{"session append a --node " + url, 2, "role is missing"},
		{"session append a user --node " + url, 2, "text is missing"},
		{"session append a user hello more --node " + url, 2, `unexpected "more"`},
		{"session get nobody --node " + url, 1, "session_not_found"},
		{"session get --node " + url, 2, "argument is missing"},
		{"session get a --node 127.0.0.1:7101", 2, "http://HOST:PORT"},
		{"session tail a -n 0 --node " + url, 2, "1 to 1000"},
		{"session transition a b --node " + url, 1, "invalid_body"},
		{"status --node " + url, 0, "attached to core-1"},
		{"status --json --node " + url, 0, `"role":"edge"`},
		{"import --node " + url, 2, "argument is missing"},
		{"import --workers 0 x --node " + url, 2, "1 to 1024"},
		{"import --node " + url + " " + dir + "/none", 1, "no such file"},
		{"export --out " + dir + "/none/x --node " + url, 1, "no such file"},
		{"edge --config " + badConfig, 2, "bad.yaml:1: nod: got an unknown key"},
		{"edge --config " + dir + "/none.yaml", 2, "no such file"},
		{"edge --api 0.0.0.0:7101", 2, "insecure: true"},
		{"edge --core-timeout soon", 2, "core_timeout"},
		{"core --partitions 0 --log loud", 2, "log: got"},
		{"dev --cores 2", 2, "1, 3 or 5"},
	} {
		code, out, errs := cli(t, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("causeway %s: exit %d, want %d with %q in\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

// TestAllConfigFaultsAtOnce: one run tells everything that is wrong.
func TestAllConfigFaultsAtOnce(t *testing.T) {
	t.Parallel()
	code, _, errs := cli(t, "", "core", "--node", "A B", "--api", "0.0.0.0:1", "--partitions", "0", "--log", "loud")
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	if code != 2 || len(lines) != 4 {
		t.Errorf("exit %d, %d lines, want 2 and 4:\n%s", code, len(lines), errs)
	}
}

func TestSessionCommands(t *testing.T) {
	t.Parallel()
	svc, url := fakeNode(t)
	node := []string{"--node", url}
	do := func(args ...string) string {
		t.Helper()
		return ok(t, append(append([]string{"session"}, args...), node...)...)
	}
	if out := do("create", "hello", "--label", "lang=en", "--context", `{"a":1}`, "--ttl", "1h"); out != "opened hello (local)\n" {
		t.Errorf("create = %q", out)
	}
	if out := do("transition", "hello", "active"); out != "hello is active (local)\n" {
		t.Errorf("transition = %q", out)
	}
	do("append", "hello", "user", "Is my parcel here?", "--actor", "ann")
	do("append", "hello", "--role", "assistant", "--content", `{"parts":["I look."]}`)
	one := do("append", "hello", "user", "once", "--key", "k", "--json")
	if two := do("append", "hello", "user", "once", "--key", "k", "--json"); one != two {
		t.Errorf("append with the same key = %s, want %s", two, one)
	}
	code, _, errs := cli(t, "from a pipe\n", "session", "append", "--node", url, "hello", "user", "-")
	if code != 0 {
		t.Errorf("append from standard input: exit %d %s", code, errs)
	}
	ok(t, "session", "append", "--node", url, "hello", "--", "user", "-dashes-")
	do("patch", "hello", `{"b":2}`)
	shown := do("get", "hello")
	for _, want := range []string{
		"active, order turns, 5 messages", "label    lang=en", `context  {"a":1,"b":2}`,
		"user:  Is my parcel here?", `assistant:  {"parts":["I look."]}`, "user:  from a pipe\n", "-dashes-",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("get lacks %q:\n%s", want, shown)
		}
	}
	var got shownSession
	if err := json.Unmarshal([]byte(do("get", "hello", "--json")), &got); err != nil || len(got.Messages) != 5 {
		t.Errorf("get --json: %d messages, %v", len(got.Messages), err)
	}
	if got.Messages[0].Actor != "ann" {
		t.Errorf("actor = %q, want ann", got.Messages[0].Actor)
	}
	if out := do("list", "--label", "lang=en"); !strings.Contains(out, "hello    active  5") {
		t.Errorf("list =\n%s", out)
	}
	if out := do("list", "--state", "ended", "--json"); out != "" {
		t.Errorf("list of ended sessions = %s", out)
	}
	if out := do("tail", "hello", "-n", "1"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "-dashes-") {
		t.Errorf("tail =\n%s", out)
	}
	svc.NoCore = true
	if out := do("append", "hello", "user", "x", "--durability", "core"); !strings.Contains(out, "(local; the core could not") {
		t.Errorf("append without a core = %s", out)
	}
	code, _, errs = cli(t, "", "session", "patch", "hello", "{}", "--if-match", "AA", "--node", url)
	if code != 1 || !strings.Contains(errs, "version_moved") {
		t.Errorf("patch with a stale version: exit %d %s", code, errs)
	}
}

// lineWriter hands on each line that is written.
type lineWriter struct{ lines chan string }

func (l lineWriter) Write(b []byte) (int, error) {
	l.lines <- string(b)
	return len(b), nil
}

func TestTailFollows(t *testing.T) {
	t.Parallel()
	_, url := fakeNode(t)
	ok(t, "session", "create", "s", "--node", url)
	ok(t, "session", "append", "s", "user", "first", "--node", url)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := lineWriter{make(chan string)}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"session", "tail", "-f", "s", "--node", url}, strings.NewReader(""), w, io.Discard)
	}()
	for _, want := range []string{"first", "second", "third"} {
		if want != "first" {
			ok(t, "session", "append", "s", "user", want, "--node", url)
		}
		if line := <-w.lines; !strings.Contains(line, want) {
			t.Errorf("line = %q, want %s", line, want)
		}
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("interrupted tail: exit %d, want 0", code)
	}
}

// readLines decodes a file of conversations, by id.
func readLines(t testing.TB, name string) (ids []string, byID map[string]any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if text, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	byID = map[string]any{}
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber() // the text of numbers counts
		var v map[string]any
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		id, _ := v["id"].(string)
		ids, byID[id] = append(ids, id), v
	}
	return ids, byID
}

func compare(t testing.TB, in, out string) {
	t.Helper()
	_, want := readLines(t, in)
	ids, got := readLines(t, out)
	if !slices.IsSorted(ids) {
		t.Errorf("export is not sorted by id: %v", ids)
	}
	if len(got) != len(want) {
		t.Errorf("%d conversations, want %d", len(got), len(want))
	}
	for id, w := range want {
		if !reflect.DeepEqual(got[id], w) {
			t.Errorf("%s: got\n%v\nwant\n%v", id, got[id], w)
		}
	}
}

func TestImportExport(t *testing.T) {
	t.Parallel()
	_, url := fakeNode(t)
	const sample = "testdata/sample.jsonl"
	var s importSummary
	if err := json.Unmarshal([]byte(ok(t, "import", "--json", "--node", url, sample)), &s); err != nil {
		t.Fatal(err)
	}
	if s.Conversations != 3 || s.Turns != 9 {
		t.Errorf("summary = %+v, want 3 conversations and 9 turns", s)
	}
	for _, name := range []string{"out.jsonl", "out.jsonl.gz"} {
		out := filepath.Join(t.TempDir(), name)
		ok(t, "export", "--node", url, "--out", out)
		compare(t, sample, out)
	}
	var doc shownSession
	if err := json.Unmarshal([]byte(ok(t, "session", "get", "sample-1", "--json", "--node", url)), &doc); err != nil {
		t.Fatal(err)
	}
	if got, want := string(doc.Session.Context), `{"Order.cancelled":true,"Order.count":2.50}`; got != want {
		t.Errorf("context = %s, want %s", got, want)
	}
	if doc.Session.State != "active" || doc.Session.Labels["import.licence"] != "Apache-2.0" {
		t.Errorf("session = %+v", doc.Session)
	}
	var shared shownSession
	if err := json.Unmarshal([]byte(ok(t, "session", "get", "sample-2", "--json", "--node", url)), &shared); err != nil ||
		!slices.Equal(shared.Session.Texts, []string{"notes", "plan"}) {
		t.Errorf("session with texts = %+v, %v", shared.Session, err)
	}
	// Again: nothing changes.
	ok(t, "import", "--node", url, sample)
	var again shownSession
	if err := json.Unmarshal([]byte(ok(t, "session", "get", "sample-1", "--json", "--node", url)), &again); err != nil {
		t.Fatal(err)
	}
	if again.Session.Version != doc.Session.Version {
		t.Errorf("version after a second import = %s, want %s", again.Session.Version, doc.Session.Version)
	}
	if out := ok(t, "export", "--node", url); strings.Count(out, "\n") != 3 {
		t.Errorf("export to standard output = %s", out)
	}
	ok(t, "import", "--node", url, "--ended", sample)
	if out := ok(t, "session", "list", "--state", "ended", "--json", "--node", url); strings.Count(out, "\n") != 3 {
		t.Errorf("ended sessions = %s", out)
	}
}

// TestImportResumes: an import that breaks off in the middle goes on from
// there and gives the same as one that did not.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	svc, url := fakeNode(t)
	name := filepath.Join(t.TempDir(), "long.jsonl")
	var b strings.Builder
	b.WriteString(`{"id":"long","turns":[{"role":"user","content":"0"}`)
	for i := 1; i < 700; i++ {
		fmt.Fprintf(&b, `,{"role":"user","content":"%d"`, i)
		if i%50 == 0 {
			fmt.Fprintf(&b, `,"context_set":{"at":%d}`, i)
		}
		b.WriteString("}")
	}
	b.WriteString("]}\n")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for round := 1; ; round++ {
		if round > 20 {
			t.Fatal("the import does not get on")
		}
		left := 5 * round // calls until the disk is full
		svc.Fail = func(session.Command) error {
			if left--; left < 0 {
				return httpapi.ErrDiskReserve
			}
			return nil
		}
		code, _, errs := cli(t, "", "import", "--node", url, name)
		if code == 0 {
			break
		}
		if code != 1 || !strings.Contains(errs, "long.jsonl:1: conversation long") {
			t.Fatalf("exit %d %s", code, errs)
		}
	}
	svc.Fail = nil
	out := filepath.Join(t.TempDir(), "out.jsonl")
	ok(t, "export", "--node", url, "--out", out)
	compare(t, name, out)
}

func TestImportRefusals(t *testing.T) {
	t.Parallel()
	_, url := fakeNode(t)
	good := `{"id":"a","turns":[{"role":"user","content":"x"}]}` + "\n"
	for line, want := range map[string]string{
		`{"id":"b","turns":[{"role":"user","content":"x","mood":"sad"}]}`:  `unknown member "mood"`,
		`{"id":"b","turns":[{"role":"user","content":"x","Role":"sad"}]}`:  `unknown member "Role"`,
		`{"id":"b","turns":[{"role":"a","role":"b","content":"x"}]}`:       "stands twice",
		`{"id":"b","turns":[],"topic":"x"}`:                                `unknown member "topic"`,
		`{"id":"b","turns":[{"content":"x"}]}`:                             "role is missing",
		`{"id":"b","turns":[{"role":"user","content":"x","name":null}]}`:   "is null",
		`{"id":"b","turns":[{"role":"u","content":1,"context_set":[]}]}`:   "context_set is no object",
		`{"id":"b b","turns":[]}`:                                          "id is",
		`{"turns":[]}`:                                                     "id is",
		`[]`:                                                               "not a JSON object",
		`{"id":"b"`:                                                        "unexpected",
		`{"id":"b","turns":[]} {}`:                                         "after top-level value",
		"{\"id\":\"b\",\"turns\":[{\"role\":\"u\",\"content\":\"\xff\"}]}": "not UTF-8",
		`{"id":"b","turns":[],"texts":{"a b":"x"}}`:                        "is no name",
		`{"id":"b","turns":[],"texts":{"a":""}}`:                           "is empty",
		`{"id":"b","turns":[{"role":"u"}]}`:                                "invalid_body",
	} {
		name := filepath.Join(t.TempDir(), "in.jsonl")
		if err := os.WriteFile(name, []byte(good+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, errs := cli(t, "", "import", "--node", url, name)
		if code != 1 || !strings.Contains(errs, "in.jsonl:2: ") || !strings.Contains(errs, want) {
			t.Errorf("import of %s: exit %d %s, want %q at in.jsonl:2", line, code, errs, want)
		}
	}
	// Another conversation under an id that was imported before.
	name := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(name, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := cli(t, "", "import", "--node", url, name); code != 0 {
		t.Fatalf("import: exit %d %s", code, errs)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(good, `"x"`, `"y"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := cli(t, "", "import", "--node", url, name); code != 1 || !strings.Contains(errs, "other content") {
		t.Errorf("import of other content: exit %d %s", code, errs)
	}
}

// TestRealConversations imports and exports recorded data, if it is there.
func TestRealConversations(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("CAUSEWAY_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	files, err := filepath.Glob(filepath.Join(dir, "conversations", "tau-*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recorded conversations in %s; set CAUSEWAY_DATA", dir)
	}
	for _, name := range files {
		_, url := fakeNode(t)
		ok(t, "import", "--node", url, name)
		out := filepath.Join(t.TempDir(), "out.jsonl.gz")
		ok(t, "export", "--node", url, "--out", out)
		compare(t, name, out)
	}
}

// TestExportIsWholeOrAbsent: a failing export leaves no file.
func TestExportIsWholeOrAbsent(t *testing.T) {
	t.Parallel()
	api := httpapi.Handler(&httpapitest.Service{}, nil)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/messages") && r.Method == http.MethodGet {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	ok(t, "import", "--node", s.URL, "testdata/sample.jsonl")
	dir := t.TempDir()
	code, _, errs := cli(t, "", "export", "--node", s.URL, "--out", filepath.Join(dir, "x.jsonl"))
	left, err := os.ReadDir(dir)
	if code != 1 || err != nil || len(left) != 0 {
		t.Errorf("exit %d %s; files left: %v, %v", code, errs, left, err)
	}
}

// TestLongTextsTravel: a text that takes several calls comes back as it was, also
// when the import runs twice.
func TestLongTextsTravel(t *testing.T) {
	t.Parallel()
	_, url := fakeNode(t)
	name := filepath.Join(t.TempDir(), "in.jsonl")
	long := strings.Repeat("zwölf 😀\n", 30_000)
	line, err := json.Marshal(conversation{ID: "long", Turns: []turn{}, Texts: map[string]string{"t": long}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(line, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ok(t, "import", "--node", url, name)
		var back conversation
		if err := json.Unmarshal([]byte(ok(t, "export", "--node", url)), &back); err != nil || back.Texts["t"] != long {
			t.Fatalf("text of %d bytes came back with %d, %v", len(long), len(back.Texts["t"]), err)
		}
	}
}
