package session

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/purity"
	"github.com/causeway-sync/causeway/vclock"
)

func TestPure(t *testing.T) { purity.Check(t) }

func TestLinearSession(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "edge-1")
	r.do("s", OpenSession{TTL: time.Hour, Labels: map[string]string{"shop": "42"}, Context: []byte(`{"a":{"b":1},"e":{}}`)})
	r.do("s", Append{Messages: []Draft{say("1"), say("2")}})
	r.do("s", Move{To: "active"})
	r.do("s", Append{Messages: []Draft{say("3")}})
	doc := r.view("s")
	if got, want := string(doc.Context), `{"a":{"b":1},"e":{}}`; got != want {
		t.Errorf("context = %s, want %s", got, want)
	}
	if doc.State != "active" || doc.MessageCount != 3 || doc.Labels["shop"] != "42" || doc.ExpiresAt == nil || len(doc.Conflicts) > 0 {
		t.Errorf("View = %+v", doc)
	}
	page := r.messages("s", Query{})
	if got := contents(page); got != "1 2 3" {
		t.Errorf("messages = %s", got)
	}
	for i, m := range page[1:] {
		if m.Parent != page[i].ID {
			t.Errorf("parent of message %d = %q, want %q", i+1, m.Parent, page[i].ID)
		}
	}
	if w := r.do("s", Append{Messages: []Draft{say("4")}}); w.Version.String() != r.view("s").Version {
		t.Errorf("version of the write = %v, of the session %v", w.Version, r.view("s").Version)
	}
}

// One append to a linear session costs two reads of the head by author and
// apply, and three writes: log, head, op record.
func TestAppendIsCheap(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "edge-1")
	r.do("s", OpenSession{})
	r.do("s", Append{Messages: []Draft{say("1")}})
	gets, puts := r.tx.gets, r.tx.puts
	r.wall -= 10
	r.do("s", Append{Messages: []Draft{say("2")}})
	if g, p := r.tx.gets-gets, r.tx.puts-puts; g != 2 || p != 3 {
		t.Errorf("append took %d gets and %d puts, want 2 and 3", g, p)
	}
}

// A page of changes ends at its bound on bytes too, with at least one change.
func TestChangesWithin(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "edge-1")
	r.do("s", OpenSession{})
	for range 3 {
		r.do("s", Append{Messages: []Draft{say(strings.Repeat("x", 1000))}})
	}
	var since vclock.Vector
	for _, want := range []struct {
		count int
		more  bool
	}{{2, true}, {1, true}, {1, false}, {0, false}} {
		list, next, more, err := ChangesWithin(r.tx, space, "s", since, Bounds{Count: 9, Bytes: 900})
		if err != nil || len(list) != want.count || more != want.more {
			t.Errorf("ChangesWithin(%v) = %d changes, more %v, %v; want %+v", since, len(list), more, err, want)
		}
		since = next
	}
	if list, _, more, err := ChangesWithin(r.tx, space, "s", vclock.Vector{}, Bounds{Count: 2}); len(list) != 2 || !more {
		t.Errorf("ChangesWithin two = %d, more %v, %v", len(list), more, err)
	}
}

func TestTurnsAreNotInterleaved(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", Append{Messages: []Draft{say("0")}})
	syncAll(a, b)
	for _, n := range []string{"1", "2", "3"} {
		a.wall, b.wall = max(a.wall, b.wall), max(a.wall, b.wall)
		a.do("s", Append{Messages: []Draft{say("a" + n)}})
		b.do("s", Append{Messages: []Draft{say("b" + n)}})
	}
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	if got, want := contents(a.messages("s", Query{})), "0 a1 a2 a3 b1 b2 b3"; got != want {
		t.Errorf("messages = %s, want %s", got, want)
	}
	b.do("s", Append{Messages: []Draft{say("end")}})
	syncAll(a, b)
	if got := contents(a.messages("s", Query{})); !strings.HasSuffix(got, "b3 end") {
		t.Errorf("messages = %s", got)
	}
	tree := a.messages("s", Query{Tree: true})
	if len(tree[0].Children) != 2 || tree[1].Depth != 1 {
		t.Errorf("tree begins with %+v, %+v", tree[0], tree[1])
	}
}

func TestChatIsByStampEvenAfterTheOrderFlips(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	b.wall -= 1000 // b's opening decides
	a.do("s", OpenSession{Order: Turns})
	a.do("s", Append{Messages: []Draft{say("a1")}})
	b.do("s", OpenSession{Order: Chat})
	b.wall = a.wall - 5
	b.do("s", Append{Messages: []Draft{say("b1")}})
	a.do("s", Append{Messages: []Draft{say("a2")}})
	b.wall = a.wall
	b.do("s", Append{Messages: []Draft{say("b2")}})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	if got, want := contents(a.messages("s", Query{})), "a1 b1 a2 b2"; got != want {
		t.Errorf("messages = %s, want %s", got, want)
	}
	if doc := a.view("s"); doc.Order != "chat" || len(doc.Conflicts) != 1 || doc.Conflicts[0].Kind != "open" {
		t.Errorf("View = %+v", doc)
	}
	a.do("s", Append{Messages: []Draft{say("end")}})
	if page := a.messages("s", Query{}); page[4].Parent != page[3].ID {
		t.Errorf("the parent of the last is %q, want %q", page[4].Parent, page[3].ID)
	}
}

func TestSameKeyAtTwoReplicas(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	syncAll(a, b)
	batch := Append{Messages: []Draft{say("x"), say("y")}}
	add := AdjustContext{Changes: []Adjustment{{Path: "/visits", By: 2}, {Path: "/visits", By: 1}}}
	for _, r := range []*replica{b, a} {
		if w, err := r.keyed("s", "k1", batch); err != nil || w.Replayed || len(w.Ops) != 2 {
			t.Fatalf("first write under the key: %+v, %v", w, err)
		}
		if _, err := r.keyed("s", "k2", add); err != nil {
			t.Fatal(err)
		}
	}
	before, err := a.keyed("s", "k1", batch)
	if err != nil || !before.Replayed || len(before.Ops) != 2 || before.Ops[0].Dot.Origin != a.origin {
		t.Errorf("retry: %+v, %v", before, err)
	}
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	if got := contents(a.messages("s", Query{})); got != "x y" {
		t.Errorf("messages = %s, want each once", got)
	}
	if doc := a.view("s"); string(doc.Context) != `{"visits":3}` || doc.MessageCount != 2 || len(doc.Conflicts) > 0 {
		t.Errorf("View = %+v", doc)
	}
	for _, r := range []*replica{a, b} {
		if w, err := r.keyed("s", "k1", batch); err != nil || !w.Replayed || len(w.Ops) != 2 {
			t.Errorf("retry at %s after sync: %+v, %v", r.origin, w, err)
		}
	}
	if _, err := a.try(Command{Session: "s", Key: "k1", Request: Digest{2}, Do: batch}); !errors.Is(err, ErrKeyReused) {
		t.Errorf("other request under the key: %v", err)
	}
}

// TestRetryOfPartOfABatch retries a batch at a replica that only its first
// messages have reached: the rest must not hang on the node that took it.
func TestRetryOfPartOfABatch(t *testing.T) {
	t.Parallel()
	for arrived := 1; arrived <= 2; arrived++ {
		a, b := newReplica(t, "a"), newReplica(t, "b")
		a.do("s", OpenSession{})
		syncAll(a, b)
		named := say("y")
		named.ID = "named"
		batch := Append{Messages: []Draft{say("x"), named, say("z")}}
		if _, err := a.keyed("s", "k", batch); err != nil {
			t.Fatal(err)
		}
		b.pull(a, a.origin, arrived)
		if w, err := b.keyed("s", "k", batch); err != nil || w.Replayed || len(w.Ops) != 3 {
			t.Fatalf("retry after %d messages: %+v, %v", arrived, w, err)
		}
		if got := contents(b.messages("s", Query{})); got != "x y z" {
			t.Errorf("messages after the retry = %s", got)
		}
		syncAll(a, b)
		expect(t, []*replica{a, b}, "s")
		if got := contents(a.messages("s", Query{})); got != "x y z" {
			t.Errorf("messages = %s, want each once", got)
		}
		for _, r := range []*replica{a, b} {
			if w, err := r.keyed("s", "k", batch); err != nil || !w.Replayed || len(w.Ops) != 3 {
				t.Errorf("retry at %s after sync: %+v, %v", r.origin, w, err)
			}
		}
		if doc := a.view("s"); len(doc.Conflicts) > 0 || doc.MessageCount != 3 {
			t.Errorf("View = %+v", doc)
		}
	}
}

func TestSameIDAtTwoReplicas(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", Append{Messages: []Draft{say("0")}})
	syncAll(a, b)
	named := func(text string) Append {
		return Append{Messages: []Draft{{ID: "m.1", Role: "user", Content: []byte(`"` + text + `"`)}}}
	}
	b.wall += 500
	a.do("s", named("at a"))
	a.do("s", Append{Messages: []Draft{say("after a")}})
	b.do("s", Append{Messages: []Draft{say("before b")}})
	b.do("s", named("at b"))
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	doc := b.view("s")
	if doc.MessageCount != 4 || len(doc.Conflicts) != 1 || doc.Conflicts[0].Path != "m.1" ||
		!strings.Contains(string(doc.Conflicts[0].Others[0].Value), "at b") {
		t.Errorf("View = %+v", doc)
	}
	if got, want := contents(b.messages("s", Query{})), "0 at a after a before b"; got != want {
		t.Errorf("messages = %s, want %s", got, want)
	}
	b.do("s", RedactMessage{ID: "m.1"})
	if doc := b.view("s"); len(doc.Conflicts) != 0 {
		t.Errorf("conflicts of a redacted message: %+v", doc.Conflicts)
	}
}

func TestRedactionWins(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	id := MessageID(&a.do("s", Append{Messages: []Draft{say("secret")}}).Ops[0])
	a.do("s", EditMessage{ID: id, Content: []byte(`"secret 2"`), Metadata: []byte(`{"secret":1}`)})
	syncAll(a, b)
	a.do("s", RedactMessage{ID: id})
	b.do("s", EditMessage{ID: id, Content: []byte(`"secret 3"`)})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	changes, _, err := Changes(b.tx, space, "s", vclock.Vector{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{a.dump("s"), b.dump("s"), marshal(t, changes)} {
		if strings.Contains(shown, "secret") {
			t.Errorf("redacted content is shown: %s", shown)
		}
	}
	_, err = b.try(Command{Session: "s", Do: EditMessage{ID: id, Content: []byte(`1`)}})
	if !errors.Is(err, ErrMessageRedacted) {
		t.Errorf("edit of a redacted message: %v", err)
	}
}

func TestEditsConflict(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	id := MessageID(&a.do("s", Append{Messages: []Draft{say("one")}}).Ops[0])
	syncAll(a, b)
	a.do("s", EditMessage{ID: id, Content: []byte(`"two"`), Metadata: []byte(`{"m":1}`)})
	b.wall += 100
	b.do("s", EditMessage{ID: id, Content: []byte(`"three"`)})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	msg := a.messages("s", Query{})[0]
	if string(msg.Content) != `"three"` || string(msg.Metadata) != `{"m":1}` || msg.EditedAt == nil {
		t.Errorf("message = %+v", msg)
	}
	if c := a.view("s").Conflicts; len(c) != 1 || string(c[0].Others[0].Value) != `"two"` {
		t.Errorf("conflicts = %+v", c)
	}
	a.do("s", EditMessage{ID: id, Content: []byte(`"four"`)})
	if c := a.view("s").Conflicts; len(c) != 0 {
		t.Errorf("conflicts after another edit = %+v", c)
	}
}

func TestExpiryAndConcurrentWrite(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{TTL: time.Minute})
	syncAll(a, b)
	if due, err := ExpiredBefore(a.tx, a.wall+59_999, 10); err != nil || len(due) != 0 {
		t.Errorf("before the idle time: %+v, %v", due, err)
	}
	due, err := ExpiredBefore(a.tx, a.wall+60_000, 10)
	if err != nil || len(due) != 1 || !due[0].Idle || due[0].Session != "s" {
		t.Fatalf("after the idle time: %+v, %v", due, err)
	}
	a.do("s", ExpireSession{})
	if _, err := View(a.tx, space, "s"); !errors.Is(err, ErrSessionExpired) {
		t.Errorf("View of an expired session: %v", err)
	}
	if docs, _, err := List(a.tx, space, ListQuery{}); err != nil || len(docs) != 0 {
		t.Errorf("List with an expired session: %v, %v", docs, err)
	}
	if due, err := ExpiredBefore(a.tx, a.wall+1e9, 10); err != nil || len(due) != 0 {
		t.Errorf("expiries after expiry: %+v, %v", due, err)
	}
	b.wall += 30_000
	b.do("s", Append{Messages: []Draft{say("still here")}})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	if got := contents(a.messages("s", Query{})); got != "still here" {
		t.Errorf("messages = %s", got)
	}
	if docs, _, err := List(a.tx, space, ListQuery{}); err != nil || len(docs) != 1 {
		t.Errorf("List after revival: %v, %v", docs, err)
	}
	due, err = ExpiredBefore(b.tx, b.wall+59_000, 10)
	if err != nil || len(due) != 1 || due[0].Idle {
		t.Fatalf("look at a session that was used: %+v, %v", due, err)
	}
	if err := Postpone(b.tx, due[0]); err != nil {
		t.Fatal(err)
	}
	if due, err = ExpiredBefore(b.tx, b.wall+59_000, 10); err != nil || len(due) != 0 {
		t.Errorf("after Postpone: %+v, %v", due, err)
	}
	if due, err = ExpiredBefore(b.tx, b.wall+60_000, 10); err != nil || len(due) != 1 || !due[0].Idle {
		t.Errorf("after Postpone and the idle time: %+v, %v", due, err)
	}
}

func TestEraseAndLateWrite(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{TTL: time.Minute, Context: []byte(`{"secret":1}`)})
	a.do("s", Append{Messages: []Draft{say("secret"), {ID: "m", Role: "user"}}})
	syncAll(a, b)
	a.do("s", EraseSession{})
	b.do("s", Append{Messages: []Draft{say("late secret")}})
	syncAll(a, b)
	purgeAll(t, a)
	c := newReplica(t, "c")
	for _, origin := range []vclock.Origin{a.origin, b.origin} {
		c.feeds[origin] = a.feeds[origin] // c learns from what a keeps: hollow ops
		for i, b := range hollowFeed(t, a, origin) {
			op, err := DecodeOp(b)
			if err != nil {
				t.Fatal(err)
			}
			c.feeds[origin][i] = b
			c.waiting = append(c.waiting, op)
		}
		c.settle()
	}
	if a.digest("s") != b.digest("s") || a.digest("s") != c.digest("s") {
		t.Errorf("digests = %s, %s, %s", a.digest("s"), b.digest("s"), c.digest("s"))
	}
	for _, r := range []*replica{a, b, c} {
		if _, err := View(r.tx, space, "s"); !errors.Is(err, ErrSessionErased) {
			t.Errorf("View at %s: %v", r.origin, err)
		}
		for _, action := range []Action{OpenSession{}, Append{Messages: []Draft{say("x")}}, EraseSession{}} {
			if _, err := r.try(Command{Session: "s", Do: action}); !errors.Is(err, ErrSessionErased) {
				t.Errorf("%T at %s: %v", action, r.origin, err)
			}
		}
	}
	if err := Rebuild(a.tx, space, "s"); err != nil {
		t.Errorf("Rebuild of an erased session: %v", err)
	}
	var dots []vclock.Dot
	for _, r := range []*replica{a, b} {
		for i := range a.feeds[r.origin] {
			dots = append(dots, vclock.Dot{Origin: r.origin, Seq: vclock.Seq(i + 1)})
		}
	}
	if err := RebuildFrom(a.tx, space, "s", func(yield func(vclock.Dot, error) bool) {
		for _, dot := range dots {
			if !yield(dot, nil) {
				return
			}
		}
	}); err != nil || a.digest("s") != b.digest("s") {
		t.Errorf("RebuildFrom of an erased session: %v, digests %s and %s", err, a.digest("s"), b.digest("s"))
	}
	purgeAll(t, a)
	for k, v := range a.tx.values {
		if strings.Contains(k+string(v), "secret") || strings.Contains(k+string(v), "tester") && strings.HasPrefix(k, "s/") {
			t.Errorf("record %q is left: %q", k, v)
		}
	}
}

func purgeAll(tb testing.TB, r *replica) {
	tb.Helper()
	for range 1000 {
		more, err := Purge(r.tx, space, "s", 2)
		if err != nil {
			tb.Fatal(err)
		}
		if !more {
			return
		}
	}
	tb.Fatal("Purge does not end")
}

func hollowFeed(tb testing.TB, r *replica, origin vclock.Origin) [][]byte {
	tb.Helper()
	var feed [][]byte
	for i := range r.feeds[origin] {
		rec, ok, err := RecordAt(r.tx, space, vclock.Dot{Origin: origin, Seq: vclock.Seq(i + 1)})
		if err != nil || !ok {
			tb.Fatalf("record %d of %s: %v, %v", i+1, origin, ok, err)
		}
		feed = append(feed, rec.Bytes)
	}
	return feed
}

func TestUnknownBodyIsKept(t *testing.T) {
	t.Parallel()
	a := newReplica(t, "a")
	a.do("s", OpenSession{})
	v, err := Vector(a.tx, space, "s")
	if err != nil {
		t.Fatal(err)
	}
	op := Op{Dot: a.env().Next(), Space: space, Session: "s", Deps: v, Body: Unknown{Kind: 99, Raw: []byte{8, 1}}}
	if err := a.env().Emit(op); err != nil {
		t.Fatal(err)
	}
	if has, err := HasUnknown(a.tx, space, "s"); err != nil || !has {
		t.Errorf("HasUnknown = %v, %v", has, err)
	}
	if now, _ := Vector(a.tx, space, "s"); !now.Covers(op.Dot) {
		t.Errorf("vector %v does not cover %v", now, op.Dot)
	}
	if changes, _, err := Changes(a.tx, space, "s", v, 0); err != nil || len(changes) != 1 || changes[0].Type != "unknown" {
		t.Errorf("Changes = %+v, %v", changes, err)
	}
}
