package session

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	r.do("s", OpenSession{Context: []byte(`{"text":"x","obj":{"n":1},"list":[1],"f":1.5,"big":9223372036854775807}`)})
	r.do("s", Append{Messages: []Draft{{ID: "m1", Role: "user"}, {ID: "gone", Role: "user"}}})
	r.do("s", RedactMessage{ID: "gone"})
	r.do("s", AdjustContext{Changes: []Adjustment{{Path: "/count", By: 1}, {Kind: SetInsert, Path: "/tags", Value: []byte(`"a"`)}}})
	r.do("ended", OpenSession{})
	r.do("ended", Move{To: "ended"})
	old := vclock.Vector{}
	long := strings.Repeat("x", 300)
	big := []byte(`"` + strings.Repeat("x", MaxMessageBytes) + `"`)
	add := func(path string, by int64) AdjustContext {
		return AdjustContext{Changes: []Adjustment{{Path: path, By: by}}}
	}
	insert := func(path, value string) AdjustContext {
		return AdjustContext{Changes: []Adjustment{{Kind: SetInsert, Path: path, Value: []byte(value)}}}
	}
	one := func(d Draft) Append { return Append{Messages: []Draft{d}} }
	cases := []struct {
		name string
		cmd  Command
		want error
	}{
		{"no action", Command{Session: "s"}, ErrInvalid},
		{"session name", Command{Session: "a b", Do: OpenSession{}}, ErrInvalid},
		{"long name", Command{Session: long, Do: OpenSession{}}, ErrInvalid},
		{"actor", Command{Session: "s", Actor: long, Do: Move{"active"}}, ErrTooBig},
		{"key", Command{Session: "s", Key: long, Do: Move{"active"}}, ErrTooBig},
		{"key UTF-8", Command{Session: "s", Key: "\xff", Do: Move{"active"}}, ErrInvalid},
		{"open twice", Command{Session: "s", Do: OpenSession{}}, ErrSessionExists},
		{"open with array", Command{Session: "n", Do: OpenSession{Context: []byte(`[]`)}}, ErrInvalid},
		{"open with ttl", Command{Session: "n", Do: OpenSession{TTL: -1}}, ErrInvalid},
		{"open with order", Command{Session: "n", Do: OpenSession{Order: 7}}, ErrInvalid},
		{"open with label", Command{Session: "n", Do: OpenSession{Labels: map[string]string{"a": strings.Repeat("x", 2000)}}}, ErrTooBig},
		{"no session", Command{Session: "n", Do: Move{"active"}}, ErrNoSession},
		{"erase nothing", Command{Session: "n", Do: EraseSession{}}, ErrNoSession},
		{"if match", Command{Session: "s", IfMatch: &old, Do: Move{"active"}}, ErrVersionMoved},
		{"illegal move", Command{Session: "s", Do: Move{"paused"}}, ErrIllegalMove},
		{"unknown move", Command{Session: "s", Do: Move{"flying"}}, ErrIllegalMove},
		{"append to ended", Command{Session: "ended", Do: one(say("x"))}, ErrSessionEnded},
		{"patch of ended", Command{Session: "ended", Do: PatchContext{[]byte(`{}`)}}, ErrSessionEnded},
		{"adjust ended", Command{Session: "ended", Do: add("/n", 1)}, ErrSessionEnded},
		{"edit in ended", Command{Session: "ended", Do: EditMessage{ID: "x", Content: []byte(`1`)}}, ErrSessionEnded},
		{"no messages", Command{Session: "s", Do: Append{}}, ErrInvalid},
		{"many messages", Command{Session: "s", Do: Append{Messages: make([]Draft, 10_000)}}, ErrTooBig},
		{"no role", Command{Session: "s", Do: one(Draft{})}, ErrInvalid},
		{"long role", Command{Session: "s", Do: one(Draft{Role: long})}, ErrTooBig},
		{"big message", Command{Session: "s", Do: one(Draft{Role: "user", Content: big})}, ErrTooBig},
		{"broken JSON", Command{Session: "s", Do: one(Draft{Role: "user", Content: []byte(`{"a":`)})}, ErrInvalid},
		{"not UTF-8", Command{Session: "s", Do: one(Draft{Role: "user", Content: []byte("\"\xff\"")})}, ErrInvalid},
		{"deep JSON", Command{Session: "s", Do: one(Draft{Role: "user", Metadata: []byte(strings.Repeat("[", 65) + strings.Repeat("]", 65))})}, ErrInvalid},
		{"id exists", Command{Session: "s", Do: one(Draft{ID: "m1", Role: "user"})}, ErrMessageExists},
		{"id twice", Command{Session: "s", Do: Append{Messages: []Draft{{ID: "n", Role: "user"}, {ID: "n", Role: "user"}}}}, ErrMessageExists},
		{"id of a node", Command{Session: "s", Do: one(Draft{ID: "a~aaaaaaaa.99", Role: "user"})}, ErrInvalid},
		{"bad id", Command{Session: "s", Do: one(Draft{ID: "a/b", Role: "user"})}, ErrInvalid},
		{"parent", Command{Session: "s", Do: one(Draft{Role: "user", Parent: new("nobody")})}, ErrUnknownParent},
		{"parent is no put", Command{Session: "s", Do: one(Draft{Role: "user", Parent: new("a~aaaaaaaa.1")})}, ErrUnknownParent},
		{"later parent", Command{Session: "s", Do: Append{Messages: []Draft{{Role: "user", Parent: new("n")}, {ID: "n", Role: "user"}}}}, ErrUnknownParent},
		{"bad second", Command{Session: "s", Do: Append{Messages: []Draft{say("x"), {ID: "m1", Role: "user"}}}}, ErrMessageExists},
		{"edit nobody", Command{Session: "s", Do: EditMessage{ID: "nobody", Content: []byte(`1`)}}, ErrNoMessage},
		{"edit bad id", Command{Session: "s", Do: EditMessage{ID: "a b", Content: []byte(`1`)}}, ErrNoMessage},
		{"edit to nothing", Command{Session: "s", Do: EditMessage{ID: "m1"}}, ErrInvalid},
		{"edit redacted", Command{Session: "s", Do: EditMessage{ID: "gone", Content: []byte(`1`)}}, ErrMessageRedacted},
		{"redact nobody", Command{Session: "s", Do: RedactMessage{ID: "nobody"}}, ErrNoMessage},
		{"patch array", Command{Session: "s", Do: PatchContext{[]byte(`[1]`)}}, ErrInvalid},
		{"patch nothing", Command{Session: "s", Do: PatchContext{}}, ErrInvalid},
		{"patch long path", Command{Session: "s", Do: PatchContext{[]byte(`{"` + strings.Repeat("x", 1025) + `":1}`)}}, ErrTooBig},
		{"patch big value", Command{Session: "s", Do: PatchContext{[]byte(`{"a":"` + strings.Repeat("x", MaxOpBytes-20) + `"}`)}}, ErrTooBig},
		{"adjust nothing", Command{Session: "s", Do: AdjustContext{}}, ErrInvalid},
		{"add to root", Command{Session: "s", Do: add("", 1)}, ErrInvalid},
		{"add to text", Command{Session: "s", Do: add("/text", 1)}, ErrWrongKind},
		{"add to fraction", Command{Session: "s", Do: add("/f", 1)}, ErrWrongKind},
		{"add to object", Command{Session: "s", Do: add("/obj", 1)}, ErrWrongKind},
		{"add to set", Command{Session: "s", Do: add("/tags", 1)}, ErrWrongKind},
		{"add below text", Command{Session: "s", Do: add("/text/n", 1)}, ErrWrongKind},
		{"add below counter", Command{Session: "s", Do: add("/count/n", 1)}, ErrWrongKind},
		{"overflow", Command{Session: "s", Do: add("/big", 1)}, ErrOverflow},
		{"overflow of counter", Command{Session: "s", Do: add("/count", math.MaxInt64)}, ErrOverflow},
		{"overflow in command", Command{Session: "s", Do: AdjustContext{Changes: []Adjustment{{Path: "/z", By: math.MinInt64}, {Path: "/z", By: -1}}}}, ErrOverflow},
		{"insert into list", Command{Session: "s", Do: insert("/list", `1`)}, ErrWrongKind},
		{"insert into counter", Command{Session: "s", Do: insert("/count", `1`)}, ErrWrongKind},
		{"insert no JSON", Command{Session: "s", Do: insert("/tags", `x`)}, ErrInvalid},
		{"two kinds", Command{Session: "s", Do: AdjustContext{Changes: []Adjustment{{Path: "/y", By: 1}, {Kind: SetInsert, Path: "/y", Value: []byte(`1`)}}}}, ErrWrongKind},
		{"nested", Command{Session: "s", Do: AdjustContext{Changes: []Adjustment{{Path: "/y", By: 1}, {Path: "/y/z", By: 1}}}}, ErrWrongKind},
	}
	for _, c := range cases {
		if w, err := r.try(c.cmd); !errors.Is(err, c.want) {
			t.Errorf("%s: Author = %+v, %v, want %v", c.name, w, err, c.want)
		}
	}
	_, err := r.try(Command{Session: "ended", Do: Move{"active"}})
	if me, ok := errors.AsType[*MoveError](err); !ok || !reflect.DeepEqual(me.Legal, []string{"reopened"}) {
		t.Errorf("move of an ended session: %v", err)
	}
	r.do("ended", Move{To: "reopened"})
	r.do("ended", Append{Messages: []Draft{say("x")}})
}

func TestKeyedOpenReplays(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	first, err := r.keyed("s", "k", OpenSession{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	r.do("s", Move{To: "ended"})
	again, err := r.keyed("s", "k", OpenSession{TTL: time.Hour})
	if err != nil || !again.Replayed || again.Version.Compare(first.Version) != vclock.Equal {
		t.Errorf("retry of the opening: %+v, %v", again, err)
	}
	if w, err := r.keyed("s", "k2", Move{To: "reopened"}); err != nil || w.Replayed {
		t.Errorf("reopen: %+v, %v", w, err)
	}
	if w, err := r.keyed("s", "k2", Move{To: "reopened"}); err != nil || !w.Replayed {
		t.Errorf("retry of reopen: %+v, %v", w, err)
	}
}

// The cases of RFC 7396, appendix A, whose original and patch are objects.
func TestMergePatchOfTheRFC(t *testing.T) {
	t.Parallel()
	cases := []struct{ original, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// Section 3.
		{
			`{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}`,
			`{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}`,
			`{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"}`,
		},
		// Ours: what flattening could get wrong.
		{`{"a":{"b":1}}`, `{"a":{"b":null}}`, `{"a":{}}`},
		{`{"a":{}}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		{`{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":1}}`},
		{`{"a":1}`, `{"a":{}}`, `{"a":{}}`},
		{`{"a":{"b":{"c":1}}}`, `{"a":5}`, `{"a":5}`},
		{`{"a/b":{"~":1}}`, `{"a/b":{"~":2,"":3}}`, `{"a/b":{"~":2,"":3}}`},
		{`{"n":1.0}`, `{"m":1e3}`, `{"n":1.0,"m":1e3}`},
	}
	for _, c := range cases {
		r := newReplica(t, "a")
		r.do("s", OpenSession{Context: []byte(c.original)})
		r.do("s", PatchContext{Patch: []byte(c.patch)})
		got := r.view("s")
		want, err := canonical([]byte(c.want))
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Context) != string(want) || len(got.Conflicts) > 0 {
			t.Errorf("%s patched with %s = %s, want %s; conflicts %+v", c.original, c.patch, got.Context, want, got.Conflicts)
		}
	}
}

func TestContextConflicts(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{Context: []byte(`{"x":{"y":1},"v":1}`)})
	syncAll(a, b)
	patch := func(r *replica, p string) {
		t.Helper()
		r.do("s", PatchContext{Patch: []byte(p)})
	}
	patch(a, `{"v":"from a","only a":1}`)
	b.wall += 1000
	patch(b, `{"v":"from b","only b":1}`)
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	doc := a.view("s")
	if got, want := string(doc.Context), `{"only a":1,"only b":1,"v":"from b","x":{"y":1}}`; got != want {
		t.Errorf("context = %s, want %s", got, want)
	}
	if len(doc.Conflicts) != 1 || string(doc.Conflicts[0].Others[0].Value) != `"from a"` || doc.Conflicts[0].Others[0].Reason == "" {
		t.Errorf("conflicts = %+v", doc.Conflicts)
	}
	patch(a, `{"v":"decided"}`)
	if doc := a.view("s"); len(doc.Conflicts) != 0 {
		t.Errorf("conflicts after a decision = %+v", doc.Conflicts)
	}
	syncAll(a, b)
	// A value against members, both ways.
	a.wall = b.wall
	patch(a, `{"x":"scalar"}`)
	b.wall += 1000
	patch(b, `{"x":{"z":2}}`)
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	doc = a.view("s")
	if !strings.Contains(string(doc.Context), `"x":{"z":2}`) || len(doc.Conflicts) != 1 || string(doc.Conflicts[0].Others[0].Value) != `"scalar"` {
		t.Errorf("View = %+v", doc)
	}
	patch(b, `{"x":{"z":3}}`)
	if doc := b.view("s"); len(doc.Conflicts) != 0 {
		t.Errorf("conflicts after a decision = %+v", doc.Conflicts)
	}
	syncAll(a, b)
	patch(b, `{"x":{"w":2}}`)
	a.wall = b.wall + 1000
	patch(a, `{"x":"scalar"}`)
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	doc = a.view("s")
	if !strings.Contains(string(doc.Context), `"x":"scalar"`) || len(doc.Conflicts) != 1 ||
		doc.Conflicts[0].Path != "/x/w" || string(doc.Conflicts[0].Others[0].Value) != `2` {
		t.Errorf("View = %+v", doc)
	}
}

func TestCountersAndSets(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{Context: []byte(`{"n":5}`)})
	tag := func(kind ChangeKind, v string) Adjustment {
		return Adjustment{Kind: kind, Path: "/tags", Value: []byte(v)}
	}
	a.do("s", AdjustContext{Changes: []Adjustment{{Path: "/n", By: 2}, tag(SetInsert, `"x"`), tag(SetInsert, `{"b":1, "a":2}`)}})
	syncAll(a, b)
	if got, want := string(a.view("s").Context), `{"n":7,"tags":["x",{"a":2,"b":1}]}`; got != want {
		t.Errorf("context = %s, want %s", got, want)
	}
	a.do("s", AdjustContext{Changes: []Adjustment{{Path: "/n", By: 1}, tag(SetRemove, `"x"`)}})
	b.do("s", AdjustContext{Changes: []Adjustment{{Path: "/n", By: 10}, tag(SetInsert, `"x"`), tag(SetRemove, `{"a":2,"b":1}`)}})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	if got, want := string(a.view("s").Context), `{"n":18,"tags":["x"]}`; got != want {
		t.Errorf("context = %s, want %s", got, want)
	}
	a.do("s", PatchContext{Patch: []byte(`{"n":0,"tags":null}`)})
	b.do("s", AdjustContext{Changes: []Adjustment{{Path: "/n", By: 3}, tag(SetInsert, `"y"`)}})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	if got, want := string(a.view("s").Context), `{"n":3,"tags":["y"]}`; got != want {
		t.Errorf("context = %s, want %s", got, want)
	}
	a.do("s", PatchContext{Patch: []byte(`{"tags":["a","list"]}`)})
	b.do("s", AdjustContext{Changes: []Adjustment{tag(SetInsert, `"z"`)}})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	doc := a.view("s")
	if got, want := string(doc.Context), `{"n":3,"tags":["a","list"]}`; got != want || len(doc.Conflicts) != 1 || string(doc.Conflicts[0].Others[0].Value) != `["z"]` {
		t.Errorf("View = %+v, want context %s", doc, want)
	}
}

func TestConcurrentMoves(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", Move{To: "active"})
	syncAll(a, b)
	a.do("s", Move{To: "ended"})
	b.do("s", Move{To: "paused"})
	b.do("s", Append{Messages: []Draft{say("late, and kept")}})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	doc := a.view("s")
	if doc.State != "ended" || len(doc.Conflicts) != 1 || doc.Conflicts[0].Kind != "state" || doc.MessageCount != 1 {
		t.Errorf("View = %+v", doc)
	}
	if !json.Valid([]byte(marshal(t, doc))) {
		t.Error("the document is no JSON")
	}
}
