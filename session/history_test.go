package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// history drives three replicas through commands and partial exchanges of
// feeds. Values that are written are all different, so that they can be found
// again in what is shown.
type history struct {
	t       *rapid.T
	rs      []*replica
	counter int
}

func (h *history) value() string { h.counter++; return fmt.Sprintf(`"v%d;"`, h.counter) }

var contextPaths = []string{`{"a":%s}`, `{"b":%s}`, `{"a":{"c":%s}}`, `{"a":{"d":%s}}`, `{"e":{"f":{"g":%s}}}`, `{"e":{"f":%s}}`}

func (h *history) action(r *replica, session string) Action {
	t := h.t
	pick := func(list []string) string { return rapid.SampledFrom(list).Draw(t, "pick") }
	switch rapid.IntRange(0, 13).Draw(t, "action") {
	case 0, 1, 2:
		return Append{Messages: []Draft{{Role: "user", Content: []byte(h.value())}}}
	case 3:
		return Append{Messages: []Draft{{Role: "user", Content: []byte(h.value())}, {Role: "tool", Content: []byte(h.value())}}}
	case 4:
		d := Draft{ID: pick([]string{"x", "y"}), Role: "user", Content: []byte(h.value())}
		if id := h.anyMessage(r, session); id != "" {
			d.Parent = &id
		}
		return Append{Messages: []Draft{d}}
	case 5:
		return EditMessage{ID: h.anyMessage(r, session), Content: []byte(h.value())}
	case 6:
		if rapid.IntRange(0, 3).Draw(t, "redact") == 0 {
			return RedactMessage{ID: h.anyMessage(r, session)}
		}
		return Move{To: pick([]string{"active", "paused", "ended", "reopened"})}
	case 7, 8:
		return PatchContext{Patch: fmt.Appendf(nil, pick(contextPaths), h.value())}
	case 9:
		return PatchContext{Patch: fmt.Appendf(nil, pick(contextPaths), "null")}
	case 10:
		return AdjustContext{Changes: []Adjustment{{Path: pick([]string{"/a", "/n", "/a/c"}), By: 3}}}
	case 11:
		kind := SetInsert
		if rapid.Bool().Draw(t, "remove") {
			kind = SetRemove
		}
		return AdjustContext{Changes: []Adjustment{{Kind: kind, Path: pick([]string{"/b", "/t"}), Value: []byte(pick([]string{`1`, `"s"`}))}}}
	case 12:
		return ExpireSession{}
	default:
		return OpenSession{Order: Order(rapid.IntRange(0, 1).Draw(t, "order")), TTL: time.Minute, Context: []byte(`{"o":` + h.value() + `}`)}
	}
}

func (h *history) anyMessage(r *replica, session string) string {
	page, _, err := Messages(r.tx, space, session, Query{})
	if err != nil || len(page) == 0 {
		return ""
	}
	return page[rapid.IntRange(0, len(page)-1).Draw(h.t, "message")].ID
}

func (h *history) step() {
	t := h.t
	r := rapid.SampledFrom(h.rs).Draw(t, "replica")
	r.wall += uint64(rapid.IntRange(0, 40).Draw(t, "wait"))
	r.trust = clocksync.Trust(rapid.IntRange(0, 2).Draw(t, "trust"))
	if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		from, of := rapid.SampledFrom(h.rs).Draw(t, "from"), rapid.SampledFrom(h.rs).Draw(t, "of")
		r.pull(from, of.origin, rapid.IntRange(1, 6).Draw(t, "limit"))
		return
	}
	session := rapid.SampledFrom([]string{"s", "s", "s", "z"}).Draw(t, "session")
	cmd := Command{Session: session, Do: h.action(r, session)}
	if rapid.IntRange(0, 3).Draw(t, "keyed") == 0 {
		cmd.Key, cmd.Request = fmt.Sprintf("key%d", rapid.IntRange(0, 3).Draw(t, "key")), Digest{1}
	}
	_, _ = r.try(cmd) // a refusal is fine; try checks that it wrote nothing
}

func TestReplicasConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{t: rt}
		for i := range 3 {
			r := newReplica(t, fmt.Sprintf("n%d", i))
			r.wall += uint64(rapid.IntRange(0, 300).Draw(rt, "skew"))
			h.rs = append(h.rs, r)
		}
		h.rs[0].do("s", OpenSession{Context: []byte(`{"a":{"c":"v0;"}}`)})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			h.step()
		}
		syncAll(h.rs...)
		for _, r := range h.rs {
			if len(r.waiting) > 0 {
				rt.Fatalf("%s still waits for the dependencies of %v", r.origin, r.waiting[0].Dot)
			}
		}
		h.equal()
		h.ordered()
		h.nothingLost()
		h.rebuilt()
	})
}

func (h *history) equal() {
	a := h.rs[0]
	for _, r := range h.rs[1:] {
		if x, y := a.dump("s"), r.dump("s"); x != y {
			h.t.Fatalf("at %s:\n%s\nat %s:\n%s", a.origin, x, r.origin, y)
		}
		if x, y := a.dump("z"), r.dump("z"); x != y {
			h.t.Fatalf("at %s:\n%s\nat %s:\n%s", a.origin, x, r.origin, y)
		}
		x, n, err := SpaceDigest(a.tx, space)
		y, k, err2 := SpaceDigest(r.tx, space)
		if x != y || n != k || n == 0 || err != nil || err2 != nil {
			h.t.Fatalf("digest %x of %d, %v at %s; %x of %d, %v at %s", x, n, err, a.origin, y, k, err2, r.origin)
		}
	}
}

// ordered checks that the tree reads depth first, without interleaving, and
// that what an author had seen stands before what it wrote.
func (h *history) ordered() {
	r := h.rs[0]
	tree, _, err := Messages(r.tx, space, "s", Query{Tree: true})
	if err != nil {
		return // expired
	}
	at := map[string]int{}
	for i, m := range tree {
		at[m.ID] = i
	}
	parents := make([]int, len(tree))
	for i, m := range tree {
		parents[i] = -1
		if m.Parent != "" {
			parents[i] = at[m.Parent]
		}
		above := func(x int) bool { // x is an ancestor of the message before i, or that itself
			for y := i - 1; y >= 0; y = parents[y] {
				if y == x {
					return true
				}
			}
			return x == -1
		}
		if parents[i] >= i || !above(parents[i]) {
			h.t.Fatalf("message %d (%s under %d) interrupts another branch:\n%s", i, m.ID, parents[i], marshal(r.tb, tree))
		}
		for _, child := range m.Children {
			if tree[at[child]].Parent != m.ID {
				h.t.Fatalf("%s is listed as child of %s", child, m.ID)
			}
		}
	}
	if page := r.messages("s", Query{}); len(page) != len(tree) || len(page) != r.view("s").MessageCount {
		h.t.Fatalf("%d messages, %d in the tree, %d counted", len(page), len(tree), r.view("s").MessageCount)
	}
	h.paged(r)
}

// paged checks that pages of any size make the whole, both ways.
func (h *history) paged(r *replica) {
	whole := r.messages("s", Query{})
	size := rapid.IntRange(1, 4).Draw(h.t, "page")
	var forth, back []Message
	for q := (Query{Limit: size}); ; {
		page, next, err := Messages(r.tx, space, "s", q)
		if err != nil {
			h.t.Fatal(err)
		}
		forth = append(forth, page...)
		if q.After = next; next == "" {
			break
		}
	}
	for q := (Query{Limit: size, Tail: true}); ; {
		page, next, err := Messages(r.tx, space, "s", q)
		if err != nil {
			h.t.Fatal(err)
		}
		back = append(page, back...)
		if q.Before = next; next == "" {
			break
		}
	}
	if marshal(r.tb, forth) != marshal(r.tb, whole) && len(whole) > 0 || marshal(r.tb, back) != marshal(r.tb, whole) && len(whole) > 0 {
		h.t.Fatalf("pages of %d:\n%s\nback:\n%s\nwhole:\n%s", size, contents(forth), contents(back), contents(whole))
	}
	h.changed(r, size)
}

// changed checks that pages of changes hold each op once, also behind a vector
// of the whole space.
func (h *history) changed(r *replica, size int) {
	var since, all vclock.Vector
	seen := map[string]bool{}
	for {
		changes, next, err := Changes(r.tx, space, "s", since, size)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, c := range changes {
			if seen[c.Dot] {
				h.t.Fatalf("change %s is listed twice", c.Dot)
			}
			seen[c.Dot] = true
		}
		if since = next; len(changes) == 0 {
			break
		}
	}
	dots := map[string]vclock.Dot{}
	for origin, feed := range r.feeds {
		for i := range feed {
			dot := vclock.Dot{Origin: origin, Seq: vclock.Seq(i + 1)}
			all = all.With(dot)
			if op := h.op(r, dot); op.Session == "s" {
				dots[dot.String()] = dot
			}
		}
	}
	if len(seen) != len(dots) {
		h.t.Fatalf("%d changes are listed, %d ops are held", len(seen), len(dots))
	}
	var some vclock.Vector
	for o, seq := range all.All() {
		some = some.With(vclock.Dot{Origin: o, Seq: vclock.Seq(rapid.Uint64Max(uint64(seq)).Draw(h.t, "seq"))})
	}
	changes, next, err := Changes(r.tx, space, "s", some, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	want := 0
	for _, dot := range dots {
		if !some.Covers(dot) {
			want++
		}
		if !next.Covers(dot) {
			h.t.Fatalf("%v is not covered after all changes since %v", dot, some)
		}
	}
	if len(changes) != want {
		h.t.Fatalf("%d changes since %v, want %d", len(changes), some, want)
	}
}

func (h *history) op(r *replica, dot vclock.Dot) Op {
	op, err := DecodeOp(r.feeds[dot.Origin][dot.Seq-1])
	if err != nil {
		h.t.Fatal(err)
	}
	return op
}

// nothingLost is the slow twin of the merge rules: of all writes to a leaf and
// all edits of a message, those that no other has seen must be shown or listed
// as conflicts.
func (h *history) nothingLost() {
	r := h.rs[0]
	doc, err := View(r.tx, space, "s")
	if err != nil {
		return
	}
	shown := marshal(r.tb, doc, r.messages("s", Query{}))
	type write struct {
		op    Op
		value string
	}
	writes := map[string][]write{}
	redacted := map[string]bool{}
	for _, feed := range r.feeds {
		for _, b := range feed {
			op, err := DecodeOp(b)
			if err != nil {
				h.t.Fatal(err)
			}
			if op.Session != "s" {
				continue
			}
			var list []Leaf
			switch x := op.Body.(type) {
			case Open:
				list = x.Context
			case Set:
				list = x.Leaves
			case Edit:
				writes[x.Message] = append(writes[x.Message], write{op, string(x.Content)})
			case Redact:
				redacted[x.Message] = true
			}
			for _, l := range list {
				writes[l.Path] = append(writes[l.Path], write{op, string(l.Value)})
			}
		}
	}
	for at, list := range writes {
		for _, w := range list {
			covered := slices.ContainsFunc(list, func(o write) bool { return o.op.Deps.Covers(w.op.Dot) })
			var text string
			if covered || redacted[at] || json.Unmarshal([]byte(w.value), &text) != nil {
				continue
			}
			if !strings.Contains(shown, text) {
				h.t.Fatalf("%s written at %s by %v is nowhere in\n%s", text, at, w.op.Dot, shown)
			}
		}
	}
}

// rebuilt checks that the records can be made anew from the ops, through the
// log or in any order.
func (h *history) rebuilt() {
	r := h.rs[1]
	dump, sum := r.dump("s"), r.digest("s")
	if err := Rebuild(r.tx, space, "s"); err != nil {
		h.t.Fatal(err)
	}
	if r.dump("s") != dump || r.digest("s") != sum {
		h.t.Fatal("Rebuild changed the session")
	}
	var dots []vclock.Dot
	for _, of := range h.rs {
		for i := range r.feeds[of.origin] {
			dots = append(dots, vclock.Dot{Origin: of.origin, Seq: vclock.Seq(i + 1)})
		}
	}
	dots = rapid.Permutation(dots).Draw(h.t, "order")
	r.tx.broken[string(metaKey(space, "s"))] = true
	r.tx.broken[string(logKey(space, "s", 1))] = true
	err := RebuildFrom(r.tx, space, "s", func(yield func(vclock.Dot, error) bool) {
		for _, dot := range dots {
			if !yield(dot, nil) {
				return
			}
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if r.dump("s") != dump || r.digest("s") != sum {
		h.t.Fatal("RebuildFrom changed the session")
	}
	for k := range r.tx.values {
		if strings.HasPrefix(k, "a/") && strings.HasSuffix(k, "\x00s") && !r.mustBeListed() {
			h.t.Fatalf("%q is left over", k)
		}
	}
}

func (r *replica) mustBeListed() bool {
	m, err := metaAt(r.tx, space, "s")
	return err == nil && m != nil && m.visible()
}

// Without messages that are put twice, everything that an author had seen
// stands before what it wrote, in both orders.
func TestCausalPastComesFirst(t *testing.T) {
	t.Parallel()
	for _, order := range []Order{Turns, Chat} {
		rapid.Check(t, func(rt *rapid.T) {
			var rs []*replica
			for i := range 3 {
				r := newReplica(t, fmt.Sprintf("n%d", i))
				r.wall += uint64(rapid.IntRange(0, 300).Draw(rt, "skew"))
				rs = append(rs, r)
			}
			rs[0].do("s", OpenSession{Order: order})
			syncAll(rs...)
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				r := rapid.SampledFrom(rs).Draw(rt, "replica")
				if rapid.Bool().Draw(rt, "pull") {
					from, of := rapid.SampledFrom(rs).Draw(rt, "from"), rapid.SampledFrom(rs).Draw(rt, "of")
					r.pull(from, of.origin, rapid.IntRange(1, 3).Draw(rt, "limit"))
					continue
				}
				if _, err := r.try(Command{Session: "s", Do: Append{Messages: []Draft{say("x")}}}); err != nil {
					rt.Fatal(err)
				}
			}
			syncAll(rs...)
			page := rs[2].messages("s", Query{})
			for i := range page {
				for j := range i {
					later, err := vclock.ParseDot(page[i].ID)
					if err != nil {
						rt.Fatal(err)
					}
					if v, err := vclock.Parse(page[j].Version); err != nil || v.Covers(later) {
						rt.Fatalf("%v: %s stands before %s, which its author had seen", order, page[j].ID, page[i].ID)
					}
				}
			}
		})
	}
}

// An op from an author that names what it cannot have seen has the same effect
// everywhere, whatever arrives first.
func TestDishonestOpsConverge(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, "a"), newReplica(t, "b")
	a.do("s", OpenSession{})
	v, err := Vector(a.tx, space, "s")
	if err != nil {
		t.Fatal(err)
	}
	id := MessageID(&a.do("s", Append{Messages: []Draft{{ID: "m", Role: "user", Content: []byte(`"m"`)}}}).Ops[0])
	a.do("s", Append{Messages: []Draft{say("tail")}})
	evil := newReplica(t, "evil")
	evil.pull(a, a.origin, 1)
	for i, body := range []Body{
		Put{Role: "user", Parent: id, Content: []byte(`"child"`)},
		Edit{Message: id, Content: []byte(`"edited"`)},
		Redact{Message: id},
		Put{Role: "user", ID: "m", Parent: "m"},
	} {
		op := Op{
			Dot: evil.env().Next(), Space: space, Session: "s", Body: body, Stamp: clocksync.Stamp{Wall: a.wall + 99},
			Deps: v.With(vclock.Dot{Origin: evil.origin, Seq: vclock.Seq(i)}),
		}
		if err := evil.env().Emit(op); err != nil {
			t.Fatal(err)
		}
	}
	b.pull(evil, a.origin, -1)
	b.pull(evil, evil.origin, -1)
	syncAll(a, b, evil)
	expect(t, []*replica{a, b, evil}, "s")
}
