package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/session/sessiontest"
	"github.com/causeway-sync/causeway/vclock"
)

// strict judges a page as an unforgiving model's interface does.
func strict(page []Message) error {
	b, err := json.Marshal(page)
	if err != nil {
		return err
	}
	return sessiontest.Strict(b)
}

// wholeAndStrict checks all views of a session against each other: that the
// line is the order with results pulled up, that the repaired ones pass, and
// that no message is missing from them.
func wholeAndStrict(t testing.TB, r *replica, session string) {
	t.Helper()
	line, _, err := Messages(r.tx, space, session, Query{})
	if errors.Is(err, ErrSessionExpired) || errors.Is(err, ErrSessionErased) || errors.Is(err, ErrNoSession) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	tree := r.messages(session, Query{Tree: true})
	if a, b := idsOf(line), idsOf(tree); !slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))) {
		t.Fatalf("the line has %q, the tree %q", a, b)
	}
	together(t, r, line)
	for _, q := range []Query{{Model: true, Repair: true}, {Repair: true}, {Model: true}} {
		page := r.messages(session, q)
		if q.Model && q.Repair {
			if err := strict(page); err != nil {
				t.Fatalf("%+v at %s: %v\n%s", q, r.origin, err, marshal(t, page))
			}
		}
		var shown []string
		for _, m := range page {
			if m.Synthetic == "" {
				shown = append(append(shown, m.ID), m.Others...)
			}
		}
		slices.Sort(shown)
		if want := slices.Sorted(slices.Values(idsOf(line))); !slices.Equal(shown, want) {
			t.Fatalf("%+v shows %q, want %q", q, shown, want)
		}
	}
}

func idsOf(page []Message) []string {
	var ids []string
	for _, m := range page {
		ids = append(ids, m.ID)
	}
	return ids
}

// together checks that nothing stands between a call and its results: between
// a result and the message whose call it closes are only results of that.
func together(t testing.TB, r *replica, line []Message) {
	t.Helper()
	head := ""
	for _, m := range line {
		put, of := putOf(t, r, m)
		if of == "" {
			head = m.ID
			continue
		}
		if of != head {
			t.Fatalf("%s (%s) closes a call of %s and stands behind %s:\n%s", m.ID, put.Content, of, head, marshal(t, line))
		}
	}
}

// putOf gives the put of a message and the message that it stands with.
func putOf(t testing.TB, r *replica, m Message) (put Put, of string) {
	t.Helper()
	put, of = closes(t, r, m)
	if of == "" {
		return put, ""
	}
	caller, err := MessageByID(r.tx, space, "s", of)
	if err != nil {
		t.Fatal(err)
	}
	if _, above := closes(t, r, caller); above != "" {
		return put, "" // a result of a result keeps its own place
	}
	return put, of
}

// closes gives the put of a message and the message whose call it closes, if
// its author had seen that.
func closes(t testing.TB, r *replica, m Message) (put Put, of string) {
	t.Helper()
	op, _, err := opAt(r.tx, space, m.Dot)
	if err != nil {
		t.Fatal(err)
	}
	put, _ = op.Body.(Put)
	if put.Role != roleTool || put.CallOf == "" || put.CallOf == m.ID {
		return put, ""
	}
	meta, err := metaAt(r.tx, space, "s")
	if err != nil {
		t.Fatal(err)
	}
	at, ok, err := locate(r.tx, space, "s", meta, put.CallOf)
	if err != nil {
		t.Fatal(err)
	}
	if ok && slices.ContainsFunc(at.puts, op.Deps.Covers) {
		return put, put.CallOf
	}
	return put, ""
}

func call(members string) Draft {
	return Draft{Role: roleAssistant, Content: []byte(`""`), ToolCalls: []byte(members)}
}

func resultOf(id, name, text string) Draft {
	return Draft{Role: roleTool, ToolCallID: id, Name: name, Content: []byte(`"` + text + `"`)}
}

func TestTurnsStayWhole(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", Append{Messages: []Draft{say("hi")}})
	a.do("s", Append{Messages: []Draft{call(`[{"id":"c1","name":"f","arguments":{"x":1}},{"id":"c2","function":{"name":"g","arguments":"{}"}}]`)}})
	syncAll(a, b)
	b.wall = a.wall + 1
	b.do("s", Append{Messages: []Draft{say("still there?")}}) // interrupts, and stands before the results by its stamp
	a.wall += 50
	a.do("s", Append{Messages: []Draft{resultOf("c2", "", "two"), resultOf("c1", "f", "one")}})
	syncAll(a, b)
	a.do("s", Append{Messages: []Draft{{Role: roleAssistant, Content: []byte(`"done"`)}}})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	if got, want := contents(a.messages("s", Query{})), "hi  one two still there? done"; got != want {
		t.Errorf("line = %s, want %s", got, want)
	}
	wholeAndStrict(t, a, "s")
	page := a.messages("s", Query{Model: true, Repair: true})
	if got, want := string(page[1].ToolCalls), `[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},`+
		`{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]`; got != want {
		t.Errorf("tool_calls = %s, want %s", got, want)
	}
	for limit := 1; limit < 7; limit++ {
		pagesAgree(t, a, Query{Limit: limit})
		pagesAgree(t, a, Query{Limit: limit, Repair: true})
	}
	explained := a.messages("s", Query{Explain: true})
	for i, want := range []string{"first", "causality", "result", "result"} {
		if got := explained[i].Placing.Why; got != want {
			t.Errorf("message %d stands where it does by %q, want %q", i, got, want)
		}
	}
}

// pagesAgree checks that pages make the whole, both ways.
func pagesAgree(t testing.TB, r *replica, q Query) {
	t.Helper()
	all := q
	all.Limit = 0
	want := marshal(t, r.messages("s", all))
	var forth, back []Message
	for p := q; ; {
		page, next, err := Messages(r.tx, space, "s", p)
		if err != nil || len(page) == 0 && next != "" || len(forth)+len(back) > 10_000 {
			t.Fatalf("page by %+v: %d messages, next %q, %v", p, len(page), next, err)
		}
		forth = append(forth, page...)
		if p.After = next; next == "" {
			break
		}
	}
	q.Tail = true
	for p := q; ; {
		page, next, err := Messages(r.tx, space, "s", p)
		if err != nil || len(page) == 0 && next != "" || len(forth)+len(back) > 10_000 {
			t.Fatalf("page by %+v: %d messages, next %q, %v", p, len(page), next, err)
		}
		back = append(page, back...)
		if p.Before = next; next == "" {
			break
		}
	}
	if got := marshal(t, forth); got != want && len(forth) > 0 {
		t.Fatalf("pages by %+v:\n%s\nwant\n%s", q, got, want)
	}
	if got := marshal(t, back); got != want && len(back) > 0 {
		t.Fatalf("pages back by %+v:\n%s\nwant\n%s", q, got, want)
	}
}

func TestResultsFindTheirCalls(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	r.do("s", OpenSession{})
	add := func(ds ...Draft) error {
		_, err := r.try(Command{Session: "s", Do: Append{Messages: ds}})
		return err
	}
	steps := []struct {
		name   string
		drafts []Draft
		want   error
	}{
		{"no call at all", []Draft{resultOf("c1", "f", "x")}, ErrNoCall},
		{"a result that names nothing, and no call", []Draft{resultOf("", "f", "stray")}, nil},
		{"two of a name", []Draft{say("hi"), call(`[{"name":"f"},{"name":"f"},{"name":"g"}]`)}, nil},
		{"first", []Draft{resultOf("", "f", "f0")}, nil},
		{"second", []Draft{resultOf("", "f", "f1")}, nil},
		{"third of two", []Draft{resultOf("", "f", "f2")}, ErrCallAnswered},
		{"any", []Draft{resultOf("", "", "g0")}, nil},
		{"nothing is open", []Draft{resultOf("", "", "g1")}, ErrCallAnswered},
		{"other name", []Draft{resultOf("", "h", "stray")}, nil},
		{"by id", []Draft{call(`[{"id":"c1","name":"f"}]`), resultOf("c1", "f", "c1")}, nil},
		{"by id twice", []Draft{resultOf("c1", "f", "again")}, ErrCallAnswered},
		{"twice in one call", []Draft{call(`[{"id":"c2","name":"f"}]`), resultOf("c2", "", "1"), resultOf("c2", "", "2")}, ErrCallAnswered},
		{"the id again", []Draft{say("more"), call(`[{"id":"c1","name":"f"}]`)}, nil},
		{"its result", []Draft{resultOf("c1", "f", "c1 again")}, nil},
		{"a model without ids", []Draft{{ID: "m", Role: roleAssistant, ToolCalls: []byte(`[{"name":"f"},{"name":"f"}]`)}}, nil},
		{"second by the name of the call", []Draft{resultOf("m:1", "", "m1")}, nil},
		{"again", []Draft{resultOf("m:1", "", "m1")}, ErrCallAnswered},
		{"one too many", []Draft{resultOf("m:2", "", "m2")}, ErrNoCall},
		{"left", []Draft{resultOf("", "f", "m0")}, nil},
		{"interrupted", []Draft{say("next"), call(`[{"name":"f","id":"late"}]`), say("never mind")}, nil},
		{"in the next turn", []Draft{call(`[{"name":"f"}]`), resultOf("", "f", "of the next")}, nil},
		{"late", []Draft{resultOf("late", "f", "late")}, nil},
		{"a user calls nothing", []Draft{{Role: "user", Content: []byte(`""`), ToolCalls: []byte(`[{"id":"u","name":"f"}]`)}, resultOf("u", "", "x")}, ErrNoCall},
	}
	for _, s := range steps {
		if err := add(s.drafts...); !errors.Is(err, s.want) {
			t.Errorf("%s: %v, want %v", s.name, err, s.want)
		}
	}
	wholeAndStrict(t, r, "s")
	var got []string
	for _, m := range r.messages("s", Query{}) {
		put, of := putOf(t, r, m)
		if m.Role == roleTool {
			got = append(got, fmt.Sprintf("%s %s:%d", put.Content, strings.TrimPrefix(of, "a~aaaaaaaa."), put.CallIndex))
		}
	}
	want := []string{`"stray" :0`, `"f0" 4:0`, `"f1" 4:1`, `"g0" 4:2`, `"stray" :0`, `"c1" 9:0`, `"c1 again" 12:0`,
		`"m0" m:0`, `"m1" m:1`, `"late" 18:0`, `"of the next" 20:0`}
	if !slices.Equal(got, want) {
		t.Errorf("results close %q, want %q", got, want)
	}
}

func TestInterruptedTurnIsRepaired(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	r.do("s", OpenSession{})
	r.do("s", Append{Messages: []Draft{
		say("hi"), call(`[{"name":"f","id":"c1"},{"name":"g","id":"c1"}]`), resultOf("c1", "", "one"), say("well?"),
		resultOf("", "h", "stray"),
		{Role: roleAssistant, ToolCalls: []byte(`"not a call"`)},
		{Role: "user", Content: []byte(`{"text":"an object"}`)},
		{Role: "user", Content: []byte(`[{"type":"text","text":"a part"}]`)},
		{Role: "user", Content: []byte(`["no part"]`)},
		{Role: roleAssistant, Content: []byte(`null`), ToolCalls: []byte(`{"name":"f","arguments":"{\"a\": 1}"}`)},
	}})
	wholeAndStrict(t, r, "s")
	page := r.messages("s", Query{Repair: true})
	var marks []string
	for _, m := range page {
		marks = append(marks, m.Role+" "+m.Synthetic)
	}
	want := []string{"user ", "assistant ", "tool ", "tool interrupted", "user ", "assistant orphan", "tool ", "assistant ", "user ",
		"user ", "user ", "assistant ", "tool interrupted"}
	if !slices.Equal(marks, want) {
		t.Errorf("Repair shows %q, want %q", marks, want)
	}
	r.do("s", RedactMessage{ID: page[1].ID})
	r.do("s", RedactMessage{ID: page[2].ID})
	wholeAndStrict(t, r, "s")
	if text := marshal(t, r.messages("s", Query{Model: true, Repair: true})[:3]); strings.Contains(text, `"c1"`) || strings.Contains(text, "one") {
		t.Errorf("a redacted turn shows\n%s", text)
	}
}

func TestTailIsOfWholeTurns(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	r.do("s", OpenSession{})
	for i := range 4 {
		n := fmt.Sprint(i)
		r.do("s", Append{Messages: []Draft{say("q" + n), call(`[{"name":"f"},{"name":"f"}]`), resultOf("", "f", "r"+n), {Role: roleAssistant, Content: []byte(`"a` + n + `"`)}}})
	}
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{Last: 1}, "q3"}, {Query{Last: 5}, "q3"}, {Query{Last: 9}, "q3"}, {Query{Last: 10}, "q2 q3"}, {Query{Last: 100}, "q0 q1 q2 q3"},
		{Query{}, "q0 q1 q2 q3"}, {Query{Limit: 10}, "q2 q3"}, {Query{Tokens: 1}, "q3"}, {Query{Tokens: 1 << 20}, "q0 q1 q2 q3"},
		{Query{Tokens: 1 << 20, Last: 11}, "q2 q3"},
	} {
		c.q.Model, c.q.Repair = true, true
		page, next, err := Messages(r.tx, space, "s", c.q)
		if err != nil || strict(page) != nil {
			t.Fatalf("%+v: %v, %v", c.q, err, strict(page))
		}
		var asked []string
		for _, m := range page {
			if m.Role == "user" {
				asked = append(asked, strings.Trim(string(m.Content), `"`))
			}
		}
		if got := strings.Join(asked, " "); got != c.want || page[0].Role != "user" || (next == "") != (asked[0] == "q0") {
			t.Errorf("%+v gives the turns %s, next %q, want %s", c.q, got, next, c.want)
		}
	}
	var all []Message
	for q := (Query{Model: true, Repair: true, Last: 1}); ; {
		page, next, err := Messages(r.tx, space, "s", q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(page, all...)
		if q.Before = next; next == "" {
			break
		}
	}
	if marshal(t, all) != marshal(t, r.messages("s", Query{Model: true, Repair: true})) {
		t.Errorf("turns one by one make\n%s", marshal(t, all))
	}
	one := r.messages("s", Query{Model: true, Repair: true, Last: 1})
	tokens := 0
	for i := range one {
		tokens += one[i].EstimateTokens()
	}
	if page := r.messages("s", Query{Model: true, Repair: true, Tokens: 2*tokens - 1}); len(page) != len(one) {
		t.Errorf("%d messages in %d tokens, want %d", len(page), 2*tokens-1, len(one))
	}
}

// Two executors at two sites answer one call during a cut: one result is shown
// to the model, and names the other.
func TestCallAnsweredAtTwoReplicas(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", Append{Messages: []Draft{say("hi"), call(`[{"id":"c","name":"f"}]`)}})
	syncAll(a, b)
	b.wall = a.wall
	a.do("s", Append{Messages: []Draft{resultOf("c", "", "at a")}})
	b.do("s", Append{Messages: []Draft{resultOf("c", "", "at b")}})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	wholeAndStrict(t, a, "s")
	page := a.messages("s", Query{Model: true, Repair: true})
	if last := page[len(page)-1]; string(last.Content) != `"at a"` || len(last.Others) != 1 {
		t.Errorf("the result is %+v, want that of a with the other", last)
	}
	if _, err := a.try(Command{Session: "s", Do: Append{Messages: []Draft{resultOf("c", "", "thrice")}}}); !errors.Is(err, ErrCallAnswered) {
		t.Errorf("a third result: %v", err)
	}
}

// A retry of a batch at a replica that only a part of it has reached ties
// results to the same calls.
func TestRetriedResultsKeepTheirCalls(t *testing.T) {
	t.Parallel()
	for arrived := 1; arrived <= 6; arrived++ {
		a, b := newReplica(t, "a"), newReplica(t, "b")
		a.do("s", OpenSession{})
		a.do("s", Append{Messages: []Draft{call(`[{"id":"b","name":"g"},{"name":"h"}]`)}})
		syncAll(a, b)
		batch := Append{Messages: []Draft{
			resultOf("b", "", "b"), resultOf("", "h", "h"),
			call(`[{"id":"c","name":"f"},{"name":"f"}]`), resultOf("c", "", "1"), resultOf("", "f", "2"), say("x"),
		}}
		if _, err := a.keyed("s", "k", batch); err != nil {
			t.Fatal(err)
		}
		b.pull(a, a.origin, arrived)
		if _, err := b.keyed("s", "k", batch); err != nil {
			t.Fatalf("retry after %d messages: %v", arrived, err)
		}
		syncAll(a, b)
		expect(t, []*replica{a, b}, "s")
		wholeAndStrict(t, b, "s")
		for _, m := range b.messages("s", Query{Model: true, Repair: true}) {
			if m.Synthetic != "" || len(m.Others) > 0 {
				t.Errorf("after %d messages: %+v", arrived, m)
			}
		}
	}
}

// toolHistory drives replicas through conversations with tools.
type toolHistory struct{ history }

var (
	callForms = []string{
		`[{"id":"c1","name":"f","arguments":{"a":[1]}}]`, `[{"id":"c2","function":{"name":"g","arguments":"{}"}},{"id":"c1","name":"f"}]`,
		`[{"name":"f"},{"name":"g"},{"name":"f"}]`, `{"name":"g"}`, `[{"id":"c1","name":"f"},{"id":"c1","name":"f"}]`,
		`[]`, `null`, `"f"`, `[1,{"id":"c3"},{"name":7}]`, `[{"id":"","name":"f","input":null}]`,
	}
	contentForms = []string{`""`, `null`, `{"a":1}`, `[{"type":"text","text":"x"}]`, `[1]`, `[]`, `7`, `"x"`}
)

func (h *toolHistory) pick(what string, list []string) string {
	return rapid.SampledFrom(list).Draw(h.t, what)
}

func (h *toolHistory) draft(r *replica) Draft {
	d := Draft{Role: "user", Content: []byte(h.pick("content", contentForms))}
	switch rapid.IntRange(0, 5).Draw(h.t, "draft") {
	case 0:
	case 1, 2:
		d.Role, d.ToolCalls = roleAssistant, []byte(h.pick("calls", callForms))
		if rapid.IntRange(0, 7).Draw(h.t, "odd") == 0 {
			d.Role = "user"
		}
	default:
		d.Role, d.Name = roleTool, h.pick("name", []string{"f", "g", ""})
		d.ToolCallID = h.pick("id", []string{"", "", "c1", "c2", "x:0", "y:1"})
		if rapid.IntRange(0, 7).Draw(h.t, "odd") == 0 {
			d.ToolCalls = []byte(h.pick("calls", callForms))
		}
	}
	if rapid.IntRange(0, 4).Draw(h.t, "named") == 0 {
		d.ID = h.pick("message", []string{"x", "y", "z"})
	}
	if rapid.IntRange(0, 4).Draw(h.t, "branch") == 0 {
		d.Parent = new(h.anyMessage(r, "s"))
	}
	return d
}

// wild writes an op that no author of ours makes: results that close whatever
// they like, under ids that are taken.
func (h *toolHistory) wild(r *replica) {
	at, err := Vector(r.tx, space, "s")
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := metaAt(r.tx, space, "s")
	if err != nil {
		h.t.Fatal(err)
	}
	put := Put{Role: h.pick("role", []string{roleTool, roleTool, roleAssistant}), Content: []byte(`"wild"`), Parent: h.anyMessage(r, "s")}
	put.ID = h.pick("id", []string{"", "x", "y", "z"})
	if put.CallOf = h.anyMessage(r, "s"); rapid.Bool().Draw(h.t, "named") {
		put.CallOf = h.pick("of", []string{"x", "y", "z"})
	}
	if put.CallOf != "" {
		put.CallIndex = uint32(rapid.IntRange(0, 2).Draw(h.t, "index"))
	}
	if put.Role == roleAssistant {
		put.ToolCalls = []byte(h.pick("calls", callForms))
	}
	stamp, err := r.env().Stamp(m.latest)
	if err != nil {
		h.t.Fatal(err)
	}
	if rapid.Bool().Draw(h.t, "early") {
		stamp.Wall -= 1000 // it then decides over what it was put after
	}
	if err := r.env().Emit(Op{Dot: r.env().Next(), Space: space, Session: "s", Deps: at, Stamp: stamp, Body: put}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *toolHistory) step(wild bool) {
	t := h.t
	r := rapid.SampledFrom(h.rs).Draw(t, "replica")
	r.wall += uint64(rapid.IntRange(0, 40).Draw(t, "wait"))
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0, 1, 2:
		from, of := rapid.SampledFrom(h.rs).Draw(t, "from"), rapid.SampledFrom(h.rs).Draw(t, "of")
		r.pull(from, of.origin, rapid.IntRange(1, 6).Draw(t, "limit"))
	case 3:
		_, _ = r.try(Command{Session: "s", Do: RedactMessage{ID: h.anyMessage(r, "s")}})
	case 4:
		if at, err := Vector(r.tx, space, "s"); wild && err == nil && !at.IsEmpty() {
			h.wild(r)
		}
	default:
		cmd := Command{Session: "s"}
		do := Append{}
		for range rapid.IntRange(1, 3).Draw(t, "batch") {
			do.Messages = append(do.Messages, h.draft(r))
		}
		cmd.Do = do
		if rapid.IntRange(0, 3).Draw(t, "keyed") == 0 {
			cmd.Key = fmt.Sprintf("key%d", rapid.IntRange(0, 3).Draw(t, "key"))
			cmd.Request = Digest{byte(rapid.IntRange(1, 2).Draw(t, "request"))}
		}
		_, _ = r.try(cmd) // a refusal is fine; try checks that it wrote nothing
	}
	wholeAndStrict(r.tb, r, "s")
}

func TestEveryModelViewIsStrict(t *testing.T) {
	t.Parallel()
	for _, wild := range []bool{false, true} {
		rapid.Check(t, func(rt *rapid.T) {
			h := &toolHistory{history{t: rt}}
			for i := range 3 {
				r := newReplica(t, fmt.Sprintf("n%d", i))
				r.wall += uint64(rapid.IntRange(0, 300).Draw(rt, "skew"))
				h.rs = append(h.rs, r)
			}
			h.rs[0].do("s", OpenSession{Order: Order(rapid.IntRange(0, 1).Draw(rt, "order"))})
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				h.step(wild)
			}
			syncAll(h.rs...)
			h.equal()
			for _, r := range h.rs {
				wholeAndStrict(t, r, "s")
				if a, b := marshal(t, h.rs[0].messages("s", Query{Model: true, Repair: true})), marshal(t, r.messages("s", Query{Model: true, Repair: true})); a != b {
					rt.Fatalf("model views differ:\n%s\nand at %s:\n%s", a, r.origin, b)
				}
			}
			h.tails()
			h.rebuilt()
		})
	}
}

// tails checks pages of the line and of the model's view against the whole.
func (h *toolHistory) tails() {
	r := h.rs[0]
	limit := rapid.IntRange(1, 5).Draw(h.t, "limit")
	pagesAgree(r.tb, r, Query{Limit: limit})
	pagesAgree(r.tb, r, Query{Limit: limit, Repair: true})
	whole := r.messages("s", Query{Model: true, Repair: true})
	var all []Message
	for q := (Query{Model: true, Repair: true, Last: limit}); ; {
		page, next, err := Messages(r.tx, space, "s", q)
		if err != nil || strict(page) != nil {
			h.t.Fatalf("tail: %v, %v", err, strict(page))
		}
		all = append(page, all...)
		if q.Before = next; next == "" {
			break
		}
	}
	if len(whole) > 0 && marshal(r.tb, all) != marshal(r.tb, whole) {
		h.t.Fatalf("tails make\n%s\nwant\n%s", marshal(r.tb, all), marshal(r.tb, whole))
	}
}

func TestCallNames(t *testing.T) {
	t.Parallel()
	if _, _, ok := ParseCallName("x"); ok {
		t.Error("x names a call")
	}
	dot := vclock.Dot{Origin: "a~b", Seq: 7}.String()
	if m, i, ok := ParseCallName(CallName(dot, 3)); m != dot || i != 3 || !ok {
		t.Errorf("ParseCallName = %q, %d, %v", m, i, ok)
	}
}
