package replica_test

import (
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/session"
)

// What is made again after a fork keeps tying results to calls and outcomes to
// claims, although these are named by dots that change.
func TestReissueKeepsToolCalls(t *testing.T) {
	t.Parallel()
	core, e := newPeer(t, "core~1"), newPeer(t, "e~1")
	e.must("s", session.OpenSession{}, "")
	first := e.must("s", say("before"), "").Ops[0]
	core.pull(e, 100)
	old := e.disk.Clone()
	e.must("s", say("lost here, held by the core"), "")
	core.pull(e, 100)

	set := &peer{t: t, disk: old, wall: e.wall + 100}
	set.reopen("e~1")
	set.must("s", session.Append{Messages: []session.Draft{
		{Role: "assistant", Content: []byte(`""`), ToolCalls: []byte(`[{"id":"c1","name":"f"},{"name":"g"}]`)},
		{Role: "tool", Name: "g", Content: []byte(`"of g"`)},
	}}, "")
	ask := session.ClaimTool{Call: "c1", By: "x"}
	held := set.must("s", ask, "").Ops[0].Dot
	ask.Over = &held
	ask.By = "y"
	claim := set.must("s", ask, "").Ops[0].Dot
	set.must("s", session.CompleteTool{Claim: claim, Result: []byte(`"of f"`)}, "")
	if err := set.update(func(tx session.Tx) error {
		set.r.Renew("e~2")
		_, err := set.r.Reissue(tx, set.now(), feed("e~1"), first.Dot.Seq, nowhere)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	set.pull(core, 100)
	core.pull(set, 100)
	core.view(func(r session.Reader) error {
		msgs, _, err := session.Messages(r, space, "s", session.Query{Model: true, Repair: true})
		var shown strings.Builder
		for _, m := range msgs {
			shown.WriteString(m.Role + " " + string(m.Content) + m.Synthetic + "; ")
		}
		if want := `user "before"; user "lost here, held by the core"; assistant ""; tool "of f"recorded; tool "of g"; `; shown.String() != want {
			t.Errorf("the model sees %s, want %s", shown.String(), want)
		}
		tool, err2 := session.ToolOf(r, space, "s", session.ClaimTool{Call: "c1"})
		if tool.Status != session.ToolDone || tool.Claim.By != "y" || len(tool.Others) != 1 || err2 != nil {
			t.Errorf("the ledger says %+v, %v", tool, err2)
		}
		return err
	})
}
