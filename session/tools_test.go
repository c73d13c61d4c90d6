package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/vclock"
)

// claimed makes a session with one open call, c1 of f.
func withCall(t testing.TB, name string) *replica {
	t.Helper()
	r := newReplica(t, name)
	r.do("s", OpenSession{})
	r.do("s", Append{Messages: []Draft{say("hi"), call(`[{"id":"c1","name":"f","arguments":{"b":1,"a":[2]}}]`)}})
	return r
}

func (r *replica) tool(do ClaimTool) Tool {
	r.tb.Helper()
	t, err := ToolOf(r.tx, space, "s", do)
	if err != nil {
		r.tb.Fatalf("ToolOf(%+v) at %s: %v", do, r.origin, err)
	}
	return t
}

func (r *replica) claim(do ClaimTool) (Written, error) {
	r.tb.Helper()
	r.wall += 10
	return r.try(Command{Session: "s", Do: do})
}

func TestToolIsClaimedOnce(t *testing.T) {
	t.Parallel()
	r := withCall(t, "a")
	ask := ClaimTool{Call: "c1", By: "x"}
	if got := r.tool(ask); got.Status != ToolOpen || got.Claim != nil {
		t.Fatalf("before: %+v", got)
	}
	w, err := r.claim(ask)
	if err != nil || len(w.Ops) != 1 || w.Replayed {
		t.Fatalf("claim: %+v, %v", w, err)
	}
	_, err = r.claim(ClaimTool{Call: "c1", By: "y"})
	if te, ok := errors.AsType[*ToolError](err); !ok || !errors.Is(err, ErrToolClaimed) || te.Tool.Claim.By != "x" {
		t.Errorf("second executor: %v", err)
	}
	if again, err := r.claim(ask); err != nil || !again.Replayed || again.Ops[0].Dot != w.Ops[0].Dot {
		t.Errorf("the same executor again: %+v, %v", again, err)
	}
	if _, err := r.claim(ClaimTool{Call: "c9", By: "y"}); !errors.Is(err, ErrNoCall) {
		t.Errorf("claim of an unknown call: %v", err)
	}
	r.do("s", Move{To: "ended"})
	if _, err := r.claim(ClaimTool{Tool: "f", By: "y"}); !errors.Is(err, ErrSessionEnded) {
		t.Errorf("claim in an ended session: %v", err)
	}
	done := CompleteTool{Claim: w.Ops[0].Dot, Result: []byte(`{"ok":1}`)}
	r.do("s", done)
	if again := r.do("s", done); !again.Replayed {
		t.Error("the same outcome again was written")
	}
	for _, bad := range []struct {
		do   CompleteTool
		want error
	}{
		{CompleteTool{Claim: done.Claim, Result: []byte(`2`)}, ErrToolDone},
		{CompleteTool{Claim: done.Claim, Result: []byte(`{"ok":1}`), Failed: true}, ErrToolDone},
		{CompleteTool{Claim: vclock.Dot{Origin: r.origin, Seq: 1}, Result: []byte(`1`)}, ErrNoClaim},
		{CompleteTool{Claim: vclock.Dot{Origin: r.origin, Seq: 99}, Result: []byte(`1`)}, ErrNoClaim},
		{CompleteTool{Result: []byte(`1`)}, ErrNoClaim},
		{CompleteTool{Claim: done.Claim, Result: []byte(`{`)}, ErrInvalid},
		{CompleteTool{Claim: done.Claim}, ErrInvalid},
	} {
		if _, err := r.try(Command{Session: "s", Do: bad.do}); !errors.Is(err, bad.want) {
			t.Errorf("%+v: %v, want %v", bad.do, err, bad.want)
		}
	}
	r.do("s", Move{To: "reopened"})
	_, err = r.claim(ClaimTool{Call: "c1", By: "y"})
	if te, ok := errors.AsType[*ToolError](err); !ok || !errors.Is(err, ErrToolDone) || string(te.Tool.Result) != `{"ok":1}` {
		t.Errorf("claim of what is done: %v", err)
	}
	if doc := r.view("s"); len(doc.Conflicts) > 0 {
		t.Errorf("conflicts %s", marshal(t, doc.Conflicts))
	}
}

func TestToolByArguments(t *testing.T) {
	t.Parallel()
	r := withCall(t, "a")
	w, err := r.claim(ClaimTool{Tool: "f", Arguments: []byte(`{"a": [2], "b": 1}`), By: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.claim(ClaimTool{Tool: "f", Arguments: []byte(`{"b":1,"a":[2]}`), By: "y"}); !errors.Is(err, ErrToolClaimed) {
		t.Errorf("the same arguments in other order: %v", err)
	}
	if _, err := r.claim(ClaimTool{Tool: "f", Arguments: []byte(`{"b":2}`), By: "y"}); err != nil {
		t.Errorf("other arguments: %v", err)
	}
	model := Query{Model: true, Repair: true}
	if last := r.messages("s", model)[2]; last.Synthetic != SyntheticInProgress || !strings.Contains(string(last.Content), "by x") {
		t.Errorf("the model sees %+v", last)
	}
	r.do("s", CompleteTool{Claim: w.Ops[0].Dot, Result: []byte(`[7]`)})
	if last := r.messages("s", model)[2]; last.Synthetic != SyntheticRecorded || string(last.Content) != `"[7]"` {
		t.Errorf("the model sees %+v", last)
	}
	wholeAndStrict(t, r, "s")
	key := w.Ops[0].Body.(Claim).Key
	if got := r.tool(ClaimTool{Call: key}); got.Status != ToolDone || got.Key != key {
		t.Errorf("by its key: %+v", got)
	}
}

func TestAnsweredCallIsDone(t *testing.T) {
	t.Parallel()
	r := withCall(t, "a")
	r.do("s", Append{Messages: []Draft{resultOf("c1", "", "one")}})
	got := r.tool(ClaimTool{Call: "c1"})
	if got.Status != ToolDone || string(got.Result) != `"one"` || got.Message == "" {
		t.Errorf("an answered call: %+v", got)
	}
	if _, err := r.claim(ClaimTool{Call: "c1", By: "y"}); !errors.Is(err, ErrToolDone) {
		t.Errorf("claim of an answered call: %v", err)
	}
	r.do("s", Append{Messages: []Draft{call(`[{"id":"c1","name":"f"}]`)}}) // the id again
	if _, err := r.claim(ClaimTool{Call: "c1", By: "y"}); err != nil {
		t.Errorf("claim of a new call of that id: %v", err)
	}
}

func TestClaimsOfBothSidesAreShown(t *testing.T) {
	t.Parallel()
	a, b := withCall(t, "a"), newReplica(t, "b")
	syncAll(a, b)
	b.wall = a.wall - 100
	wa, err := a.claim(ClaimTool{Call: "c1", By: "x", Arbitrated: true})
	if err != nil {
		t.Fatal(err)
	}
	wb, err := b.claim(ClaimTool{Call: "c1", By: "y"})
	if err != nil {
		t.Fatal(err)
	}
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	got := b.tool(ClaimTool{Call: "c1"})
	if got.Claim.By != "x" || got.Claim.Decided != DecidedCore || len(got.Others) != 1 || got.Others[0].By != "y" {
		t.Errorf("the ledger says %s", marshal(t, got))
	}
	conflicts := a.view("s").Conflicts
	if len(conflicts) != 1 || conflicts[0].Kind != "tool" || len(conflicts[0].Others) != 1 {
		t.Errorf("conflicts %s", marshal(t, conflicts))
	}
	b.do("s", CompleteTool{Claim: wb.Ops[0].Dot, Result: []byte(`"by y"`)})
	a.do("s", CompleteTool{Claim: wa.Ops[0].Dot, Result: []byte(`"no"`), Failed: true})
	syncAll(a, b)
	expect(t, []*replica{a, b}, "s")
	if got := a.tool(ClaimTool{Call: "c1"}); got.Status != ToolDone || string(got.Result) != `"by y"` || got.Failed {
		t.Errorf("a success does not stand before a failure: %s", marshal(t, got))
	}
	if n := len(a.view("s").Conflicts); n != 1 {
		t.Errorf("%d conflicts after both are done, want 1", n)
	}
}

func TestClaimIsTakenOver(t *testing.T) {
	t.Parallel()
	r := withCall(t, "a")
	w, err := r.claim(ClaimTool{Call: "c1", By: "x"})
	if err != nil {
		t.Fatal(err)
	}
	first := w.Ops[0].Dot
	if w, err = r.claim(ClaimTool{Call: "c1", By: "y", Over: &first}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.claim(ClaimTool{Call: "c1", By: "z", Over: &first}); !errors.Is(err, ErrToolClaimed) {
		t.Errorf("taken over twice: %v", err)
	}
	got := r.tool(ClaimTool{Call: "c1"})
	if got.Claim.By != "y" || got.Claim.Over != first.String() || len(got.Others) != 1 || len(r.view("s").Conflicts) > 0 {
		t.Errorf("the ledger says %s", marshal(t, got))
	}
	r.do("s", CompleteTool{Claim: w.Ops[0].Dot, Result: []byte(`"failed"`), Failed: true})
	if got := r.tool(ClaimTool{Call: "c1"}); got.Status != ToolDone || !got.Failed {
		t.Errorf("the ledger says %s", marshal(t, got))
	}
	if _, err = r.claim(ClaimTool{Call: "c1", By: "z", Over: &w.Ops[0].Dot}); err != nil {
		t.Errorf("another try after a failure: %v", err)
	}
}

// ledgerHistory has claims and outcomes among the rest, honest and not.
type ledgerHistory struct{ toolHistory }

func (h *ledgerHistory) step() {
	t := h.t
	r := rapid.SampledFrom(h.rs).Draw(t, "replica")
	r.wall += uint64(rapid.IntRange(0, 40).Draw(t, "wait"))
	ask := ClaimTool{Call: h.pick("call", []string{"c1", "c2", "x:0"}), By: h.pick("by", []string{"p", "q", "r"})}
	if rapid.IntRange(0, 2).Draw(t, "args") == 0 {
		ask = ClaimTool{Tool: h.pick("tool", []string{"f", "g"}), By: ask.By}
	}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0, 1, 2:
		from, of := rapid.SampledFrom(h.rs).Draw(t, "from"), rapid.SampledFrom(h.rs).Draw(t, "of")
		r.pull(from, of.origin, rapid.IntRange(1, 6).Draw(t, "limit"))
	case 3, 4:
		if dots := h.claims(r); len(dots) > 0 {
			do := CompleteTool{Claim: rapid.SampledFrom(dots).Draw(t, "claim"), Result: []byte(h.value()), Failed: rapid.Bool().Draw(t, "failed")}
			_, _ = r.try(Command{Session: "s", Do: do})
		}
	case 5:
		h.wild(r)
	case 6:
		if dots := h.claims(r); len(dots) > 0 {
			ask.Over = new(rapid.SampledFrom(dots).Draw(t, "over"))
		}
		_, _ = r.try(Command{Session: "s", Do: ask})
	case 7:
		h.toolHistory.step(false)
	default:
		_, _ = r.try(Command{Session: "s", Do: ask})
	}
	h.everyClaim(r)
}

// claims lists the dots of claims that a replica holds.
func (h *ledgerHistory) claims(r *replica) []vclock.Dot {
	at, err := Vector(r.tx, space, "s")
	if err != nil {
		h.t.Fatal(err)
	}
	var dots []vclock.Dot
	for _, of := range h.rs {
		for i := range r.feeds[of.origin] {
			dot := vclock.Dot{Origin: of.origin, Seq: vclock.Seq(i + 1)}
			if _, ok := h.op(r, dot).Body.(Claim); ok && at.Covers(dot) {
				dots = append(dots, dot)
			}
		}
	}
	return dots
}

// wild writes claims and outcomes that no author of ours makes.
func (h *ledgerHistory) wild(r *replica) {
	m, err := metaAt(r.tx, space, "s")
	if err != nil || m == nil {
		return
	}
	stamp, err := r.env().Stamp(m.latest)
	if err != nil {
		h.t.Fatal(err)
	}
	of := rapid.SampledFrom(h.rs).Draw(h.t, "of").origin
	dot := vclock.Dot{Origin: of, Seq: vclock.Seq(rapid.IntRange(1, 12).Draw(h.t, "seq"))}
	body := Body(Claim{Key: h.pick("key", []string{"x:0", "nonsense"}), By: "evil", Over: dot, Arbitrated: true})
	if rapid.Bool().Draw(h.t, "complete") {
		body = Complete{Claim: dot, Result: []byte(h.value())}
	}
	if err := r.env().Emit(Op{Dot: r.env().Next(), Space: space, Session: "s", Deps: m.vector, Stamp: stamp, Body: body}); err != nil {
		h.t.Fatal(err)
	}
}

// everyClaim is the slow twin: each claim that is held is shown under its key,
// and each outcome whose author had seen its claim with that. Of claims made
// at one replica without a takeover there is one.
func (h *ledgerHistory) everyClaim(r *replica) {
	if _, err := View(r.tx, space, "s"); err != nil {
		return
	}
	for _, dot := range h.claims(r) {
		op := h.op(r, dot)
		x := op.Body.(Claim)
		t, err := toolAt(r.tx, space, "s", x.Key)
		if err != nil {
			h.t.Fatal(err)
		}
		all := append([]ToolClaim{*t.Claim}, t.Others...)
		i := slices.IndexFunc(all, func(c ToolClaim) bool { return c.ID == dot.String() })
		if i < 0 {
			h.t.Fatalf("claim %v is not in the ledger of %s: %s", dot, x.Key, marshal(r.tb, t))
		}
		var results []string
		for _, of := range h.rs {
			for n := range r.feeds[of.origin] {
				at := vclock.Dot{Origin: of.origin, Seq: vclock.Seq(n + 1)}
				done := h.op(r, at)
				c, ok := done.Body.(Complete)
				if v, err := Vector(r.tx, space, "s"); ok && err == nil && v.Covers(at) && c.Claim == dot && done.Deps.Covers(dot) {
					results = append(results, string(c.Result))
				}
			}
		}
		if got := string(all[i].Result); (got == "") != (len(results) == 0) || got != "" && !slices.Contains(results, got) {
			h.t.Fatalf("claim %v has the result %s, of %q", dot, got, results)
		}
		if x.By == "evil" {
			continue
		}
		for _, c := range all {
			o := h.op(r, c.dot)
			if c.ID != dot.String() && c.By != "evil" && op.Deps.Covers(c.dot) && op.Deps.At(c.dot.Origin) >= c.dot.Seq && x.Over.Seq == 0 {
				h.t.Fatalf("%v by %s was claimed although its author had seen %v by %s: %+v", dot, x.By, c.dot, c.By, o.Body)
			}
		}
	}
}

func TestLedgersConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := &ledgerHistory{toolHistory{history{t: rt}}}
		for i := range 3 {
			r := newReplica(t, fmt.Sprintf("n%d", i))
			r.wall += uint64(rapid.IntRange(0, 300).Draw(rt, "skew"))
			h.rs = append(h.rs, r)
		}
		h.rs[0].do("s", OpenSession{})
		h.rs[0].do("s", Append{Messages: []Draft{call(`[{"id":"c1","name":"f"},{"id":"c2","name":"g"}]`)}})
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			h.step()
		}
		syncAll(h.rs...)
		h.equal()
		for _, r := range h.rs {
			h.everyClaim(r)
			wholeAndStrict(t, r, "s")
		}
		h.rebuilt()
	})
}

func TestErasedLedgerLeavesNothing(t *testing.T) {
	t.Parallel()
	r := withCall(t, "a")
	w, err := r.claim(ClaimTool{Call: "c1", By: "secret-executor"})
	if err != nil {
		t.Fatal(err)
	}
	r.do("s", CompleteTool{Claim: w.Ops[0].Dot, Result: []byte(`"secret-result"`)})
	r.do("s", EraseSession{})
	for more := true; more; {
		if more, err = Purge(r.tx, space, "s", 3); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range r.tx.values {
		if strings.Contains(k+string(v), "secret") || strings.HasPrefix(k, string(Prefix(space, "s"))) && k != string(metaKey(space, "s")) {
			t.Errorf("%q is left", k)
		}
	}
}
