package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/vclock"
)

func TestListIsNewestFirst(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	var want []string
	for i := range 30 {
		name := fmt.Sprintf("s%02d", (i*7)%30)
		r.wall += 3000 // several in a bucket, several buckets
		label := map[string]string{"even": fmt.Sprint(i%2 == 0)}
		r.do(name, OpenSession{Labels: label})
		want = append(want, name)
	}
	for _, name := range []string{"s07", "s00"} {
		r.wall += 100_000
		r.do(name, Move{To: "active"})
		want = append(slices.DeleteFunc(want, func(s string) bool { return s == name }), name)
	}
	slices.Reverse(want)
	for size := range 12 {
		var got []string
		for q := (ListQuery{Limit: size}); ; {
			docs, next, err := List(r.tx, space, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs {
				got = append(got, d.ID)
			}
			if q.After = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d = %v, want %v", size, got, want)
		}
	}
	count := func(q ListQuery) int {
		docs, _, err := List(r.tx, space, q)
		if err != nil {
			t.Fatal(err)
		}
		return len(docs)
	}
	if n := count(ListQuery{State: "active"}); n != 2 {
		t.Errorf("%d active sessions, want 2", n)
	}
	if n := count(ListQuery{Label: "even=true"}); n != 15 {
		t.Errorf("%d even sessions, want 15", n)
	}
	if n := count(ListQuery{Label: "odd"}) + count(ListQuery{State: "ended"}); n != 0 {
		t.Errorf("%d sessions that do not match", n)
	}
	if _, _, err := List(r.tx, space, ListQuery{After: "!"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("List after nonsense: %v", err)
	}
	names, err := SessionNames(r.tx, space, "s09", 5)
	if err != nil || !slices.Equal(names, []string{"s10", "s11", "s12", "s13", "s14"}) {
		t.Errorf("SessionNames = %v, %v", names, err)
	}
	if _, n, err := SpaceDigest(r.tx, space); n != 30 || err != nil {
		t.Errorf("SpaceDigest counts %d, %v", n, err)
	}
}

// A session that is written to within its bucket of time moves no index entry.
func TestActivityIndexIsLazy(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	r.do("s", OpenSession{})
	m, err := metaAt(r.tx, space, "s")
	if err != nil {
		t.Fatal(err)
	}
	r.wall = m.bucket*bucketMillis - bucketMillis
	r.do("s", Append{Messages: []Draft{say("x")}})
	if after, _ := metaAt(r.tx, space, "s"); after.bucket != m.bucket {
		t.Errorf("bucket = %d, was %d", after.bucket, m.bucket)
	}
	r.wall += bucketMillis
	r.do("s", Append{Messages: []Draft{say("x")}})
	entries := 0
	for k := range r.tx.values {
		if strings.HasPrefix(k, "a/") {
			entries++
		}
	}
	if entries != 1 {
		t.Errorf("%d entries, want 1", entries)
	}
}

// Every record of a session that is damaged or missing gives an error that
// says so, or is not needed; nothing is shown otherwise than before.
func TestDamageIsNoticed(t *testing.T) {
	t.Parallel()
	build := func() *replica {
		a, b := newReplica(t, "a"), newReplica(t, "b")
		a.do("s", OpenSession{Context: []byte(`{"a":1}`)})
		a.do("s", Append{Messages: []Draft{say("1"), {ID: "m", Role: "user"}}})
		syncAll(a, b)
		a.do("s", Append{Messages: []Draft{say("a")}})
		b.do("s", Append{Messages: []Draft{{ID: "n", Role: "user", Content: []byte(`1`)}}})
		a.do("s", Append{Messages: []Draft{{ID: "n", Role: "user", Content: []byte(`2`)}}})
		a.do("s", EditMessage{ID: "m", Content: []byte(`1`)})
		syncAll(a, b)
		return a
	}
	look := func(r *replica) (string, error) {
		doc, err := View(r.tx, space, "s")
		if err != nil {
			return "", err
		}
		page, _, err := Messages(r.tx, space, "s", Query{})
		if err != nil {
			return "", err
		}
		changes, _, err := Changes(r.tx, space, "s", vclock.Vector{}, 0)
		return marshal(r.tb, doc, page, changes), err
	}
	whole := build()
	want, err := look(whole)
	if err != nil {
		t.Fatal(err)
	}
	for k := range whole.tx.values {
		r := build()
		r.tx.broken[k] = true
		got, err := look(r)
		if err == nil && got != want {
			t.Errorf("record %q is damaged: shown %s", k, got)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("record %q is damaged: %v", k, err)
		}
		if strings.HasPrefix(k, "o/") && err == nil {
			t.Errorf("op record %q is damaged and nobody noticed", k)
		}
		if !strings.HasPrefix(k, "o/") && !strings.Contains(k, "\x00l") {
			if err := Rebuild(r.tx, space, "s"); err != nil {
				t.Errorf("Rebuild with record %q damaged: %v", k, err)
			}
			if got, err := look(r); err != nil || got != want {
				t.Errorf("after Rebuild with record %q damaged: %v", k, err)
			}
		}
		if strings.HasPrefix(k, "o/") || strings.Contains(k, "\x00l") {
			r := build()
			if err := r.tx.Delete([]byte(k)); err != nil {
				t.Fatal(err)
			}
			if _, err := look(r); !errors.Is(err, ErrCorrupt) {
				t.Errorf("record %q is missing: %v", k, err)
			}
		}
	}
}

// A damaged record may be met in the middle of a purge. Then the session is
// built again as far as it is not purged, and the purge comes to its end.
func TestPurgeOfDamagedRecords(t *testing.T) {
	t.Parallel()
	build := func() *replica {
		a := newReplica(t, "a")
		a.do("s", OpenSession{Context: []byte(`{"secret":1}`)})
		a.do("s", Append{Messages: []Draft{say("secret"), say("secret too"), say("and this")}})
		a.do("s", EraseSession{})
		if more, err := Purge(a.tx, space, "s", 2); err != nil || !more {
			t.Fatalf("Purge of 2 records: %t, %v", more, err)
		}
		return a
	}
	half := build()
	for k := range half.tx.values {
		if !strings.HasPrefix(k, "s/") {
			continue
		}
		r := build()
		r.tx.broken[k] = true
		for range 20 {
			more, err := Purge(r.tx, space, "s", 2)
			if err == nil && !more {
				break
			}
			if err == nil {
				continue
			}
			if err = Rebuild(r.tx, space, "s"); errors.Is(err, ErrCorrupt) { // the log is not whole
				err = RebuildFrom(r.tx, space, "s", func(yield func(vclock.Dot, error) bool) {
					for i := range r.feeds[r.origin] {
						if !yield(vclock.Dot{Origin: r.origin, Seq: vclock.Seq(i + 1)}, nil) {
							return
						}
					}
				})
			}
			if err != nil {
				t.Fatalf("record %q is damaged: rebuild: %v", k, err)
			}
		}
		if more, err := Purge(r.tx, space, "s", 2); more || err != nil {
			t.Errorf("record %q is damaged: Purge does not end: %t, %v", k, more, err)
		}
	}
}

func TestRebuildLeavesWaitingOpsAlone(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	a.do("s", Append{Messages: []Draft{say("1")}})
	syncAll(a, b)
	b.do("s", Append{Messages: []Draft{say("2")}})
	c := newReplica(t, "c")
	c.pull(a, a.origin, 1)
	c.pull(b, b.origin, -1)
	before := c.digest("s")
	all := func(yield func(vclock.Dot, error) bool) {
		_ = yield(vclock.Dot{Origin: b.origin, Seq: 1}, nil) && yield(vclock.Dot{Origin: a.origin, Seq: 1}, nil)
	}
	if err := RebuildFrom(c.tx, space, "s", all); err != nil {
		t.Fatal(err)
	}
	if c.digest("s") != before {
		t.Error("RebuildFrom applied an op that has to wait")
	}
	c.pull(a, a.origin, -1)
	expect(t, []*replica{b, c}, "s")
}

func TestChangeInHidesWhatIsGone(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "a")
	r.do("s", OpenSession{Context: []byte(`{"secret":{"a":1},"b":{}}`)})
	ops := r.do("s", Append{Messages: []Draft{say("secret")}}).Ops
	w, err := r.keyed("s", "k", Append{Messages: []Draft{say("secret too")}})
	if err != nil {
		t.Fatal(err)
	}
	show := func(op Op) string {
		c, err := ChangeIn(r.tx, &op)
		if err != nil {
			t.Fatal(err)
		}
		return marshal(t, c)
	}
	if !strings.Contains(show(ops[0]), "secret") {
		t.Error("the content of a message is not shown")
	}
	r.do("s", RedactMessage{ID: MessageID(&ops[0])})
	if strings.Contains(show(ops[0]), "secret") || !strings.Contains(show(w.Ops[0]), "secret") {
		t.Error("ChangeIn hides the wrong message")
	}
	if msg, err := MessageByID(r.tx, space, "s", MessageID(&ops[0])); err != nil || !msg.Redacted {
		t.Errorf("MessageByID = %+v, %v", msg, err)
	}
	r.do("s", EraseSession{})
	if got := show(w.Ops[0]); strings.Contains(got, "secret") || strings.Contains(got, "key") {
		t.Errorf("change of an erased session: %s", got)
	}
}

func TestOpKeys(t *testing.T) {
	t.Parallel()
	dot := vclock.Dot{Origin: "a~b", Seq: 1 << 50}
	key := OpKey(space, dot.Origin, dot.Seq)
	if got, err := ParseOpKey(space, key); got != dot || err != nil {
		t.Errorf("ParseOpKey = %v, %v", got, err)
	}
	for _, prefix := range [][]byte{OpPrefix(space, dot.Origin), OpsPrefix(space)} {
		if !strings.HasPrefix(string(key), string(prefix)) {
			t.Errorf("%q does not begin with %q", key, prefix)
		}
	}
	if _, err := ParseOpKey("other", key); !errors.Is(err, ErrCorrupt) {
		t.Errorf("ParseOpKey of another space: %v", err)
	}
	if !strings.HasPrefix(string(WaitKey(space, "s", dot)), string(WaitPrefix(space, "s"))) {
		t.Error("WaitKey does not begin with WaitPrefix")
	}
}
