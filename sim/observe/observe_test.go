package observe

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
)

// A session is seen whole: messages in order, leaves with their conflicts,
// counters and sets. A leaf that is only a removal beside others is there too.
func TestSession(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1700000000123)
	doc := session.Document{ID: "s", State: "active", Version: "v", Context: json.RawMessage(
		`{"l0":"v1","o":{"x3":"v2"},"n1":3,"s2":["b","a"]}`),
		Conflicts: []session.Conflict{
			{Kind: "context", Path: "/l0", Shown: session.Variant{Value: json.RawMessage(`"v1"`)},
				Others: []session.Variant{{Value: json.RawMessage(`"v9"`)}, {Deleted: true}, {Value: json.RawMessage(`"v8"`)}}},
			{Kind: "context", Path: "/gone", Shown: session.Variant{Deleted: true},
				Others: []session.Variant{{Value: json.RawMessage(`"v7"`)}}},
			{Kind: "message", Path: "m2", Others: []session.Variant{{Value: json.RawMessage(`"v6"`)},
				{Value: json.RawMessage(`{"role":"user","content":"v5"}`)}}},
			{Kind: "state"},
		}}
	messages := []session.Message{
		{ID: "m1", Content: json.RawMessage(`"hi"`), At: at, Origin: "edge-1~a"},
		{ID: "m2", Content: json.RawMessage(`{"a":1}`), Parent: "m1", Redacted: true},
	}
	got, err := Session(&doc, messages)
	if err != nil {
		t.Fatal(err)
	}
	want := &check.Seen{State: "active", Version: "v",
		Messages: []check.Message{{ID: "m1", Value: "hi", At: at.UnixMilli(), Origin: "edge-1~a"},
			{ID: "m2", Value: `{"a":1}`, Parent: "m1", Redacted: true, Others: []string{"v5", "v6"}, At: time.Time{}.UnixMilli()}},
		Leaves: []check.Leaf{{Path: "/gone", Deleted: true, Others: []string{"v7"}},
			{Path: "/l0", Shown: "v1", Others: []string{"v8", "v9"}}, {Path: "/o/x3", Shown: "v2"}},
		Counters: map[string]int64{"/n1": 3}, Sets: map[string][]string{"/s2": {"a", "b"}},
		Conflicts: []string{"context /gone", "context /l0", "message m2", "state "}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Session gives\n%+v, want\n%+v", got, want)
	}
	doc.Context = json.RawMessage(`[`)
	if _, err := Session(&doc, nil); err == nil {
		t.Error("Session of a broken context gives no error")
	}
}

// Each kind of change gives its op with the values that it wrote.
func TestChange(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1700000000123)
	for _, c := range []struct {
		change session.Change
		want   []string
	}{
		{session.Change{Type: "open"}, nil},
		{session.Change{Type: "message", Message: &session.Message{Content: json.RawMessage(`"v1"`)}}, []string{"v1"}},
		{session.Change{Type: "edit", Message: &session.Message{Content: json.RawMessage(`"v2"`)}}, []string{"v2"}},
		{session.Change{Type: "edit", Message: &session.Message{Redacted: true}}, nil},
		{session.Change{Type: "redact", Message: &session.Message{Redacted: true}}, nil},
		{session.Change{Type: "context", Context: json.RawMessage(`{"b":"v4","a":{"x":"v3","y":null}}`)},
			[]string{"v3", "v4"}},
		{session.Change{Type: "adjust", Context: json.RawMessage(
			`[{"op":"add","path":"/n","by":1},{"op":"insert","path":"/s","value":"v5"},` +
				`{"op":"remove","path":"/s","value":"v6"}]`)},
			[]string{"v5", "v6"}},
		{session.Change{Type: "text", Text: &session.TextChange{Name: "t",
			Edits: []text.Edit{{Pos: 1, Del: 2}, {Ins: "v7"}, {Pos: 9, Del: 1, Ins: "v8"}}}}, []string{"v7", "v8"}},
		{session.Change{Type: "erased"}, nil},
	} {
		c.change.Dot, c.change.Session, c.change.Key, c.change.At = "edge-1~abc.7", "s", "k", at
		want := check.Op{Origin: "edge-1~abc", Seq: 7, Session: "s", Key: "k", Wall: 1700000000123, Kind: c.change.Type,
			Values: c.want}
		if got, err := Change(&c.change); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Change(%+v) = %+v, %v, want %+v", c.change, got, err, want)
		}
	}
	for _, bad := range []session.Change{{Dot: "x", Type: "open"},
		{Dot: "a~b.1", Type: "context", Context: json.RawMessage(`1`)},
		{Dot: "a~b.1", Type: "adjust", Context: json.RawMessage(`{}`)}} {
		if got, err := Change(&bad); err == nil {
			t.Errorf("Change(%+v) = %+v, want an error", bad, got)
		}
	}
}

// Gone names the refusals of a read that are an answer.
func TestGone(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{session.ErrNoSession: "unknown", session.ErrSessionErased: "erased",
		session.ErrSessionExpired: "expired", session.ErrCorrupt: "", nil: ""} {
		if got := Gone(err); got != want {
			t.Errorf("Gone(%v) = %q, want %q", err, got, want)
		}
	}
}
