package session

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestRecordedConversationsAreStrict writes recorded conversations, if they are
// there: in $CAUSEWAY_DATA or beside the repository, and reads each as a model
// would, whole and by its tail.
func TestRecordedConversationsAreStrict(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("CAUSEWAY_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	files, err := filepath.Glob(filepath.Join(dir, "conversations", "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recorded conversations in %s; set CAUSEWAY_DATA", dir)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			n, repaired := 0, 0
			eachConversation(t, name, func(drafts []Draft) {
				n++
				r := newReplica(t, "a")
				r.do("s", OpenSession{})
				if n%2 == 0 { // all in one call, or one by one
					r.do("s", Append{Messages: drafts})
				}
				for i := range drafts {
					if n%2 == 1 {
						r.do("s", Append{Messages: drafts[i : i+1]})
					}
				}
				wholeAndStrict(t, r, "s")
				for _, m := range r.messages("s", Query{Model: true, Repair: true}) {
					if m.Synthetic != "" {
						repaired++
					}
				}
				for last := 1; last < 9; last += 3 {
					page := r.messages("s", Query{Model: true, Repair: true, Last: last})
					if err := strict(page); err != nil || len(page) == 0 {
						t.Fatalf("last %d of conversation %d: %v", last, n, err)
					}
				}
			})
			t.Logf("%d conversations; %d synthetic messages", n, repaired)
		})
	}
}

func eachConversation(t *testing.T, name string, do func([]Draft)) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for left := mostConversations; lines.Scan() && left > 0; left-- {
		var c struct {
			Turns []struct {
				Role       string          `json:"role"`
				Content    json.RawMessage `json:"content"`
				Name       string          `json:"name"`
				ToolCallID string          `json:"tool_call_id"`
				ToolCalls  json.RawMessage `json:"tool_calls"`
			} `json:"turns"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		var drafts []Draft
		for _, u := range c.Turns {
			drafts = append(drafts, Draft{Role: u.Role, Content: u.Content, Name: u.Name, ToolCallID: u.ToolCallID, ToolCalls: u.ToolCalls})
		}
		do(drafts)
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		t.Fatal(err)
	}
}

// mostConversations of each file are read: all of those with recorded tool runs.
const mostConversations = 120
