package drive

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
)

// slot is a subject of the claim stream.
type slot struct {
	held *protocol.ClaimAsk
	seq  uint64
}

func (s *slot) put(ask protocol.ClaimAsk, expect uint64) bool {
	if s.seq != expect {
		return false
	}
	s.held, s.seq = &ask, s.seq+1
	return true
}

// asker goes through a claim step by step, so that steps of several can mix.
type asker struct {
	ask    protocol.ClaimAsk
	over   string
	seen   slot
	looked bool
	told   *protocol.ClaimTold
}

func (a *asker) step(s *slot) {
	switch {
	case a.told != nil:
	case !a.looked:
		a.seen, a.looked = *s, true
	default:
		take, told := JudgeSlot(a.ask, a.seen.held, a.over)
		if a.looked = false; !take {
			a.told = told
		} else if s.put(a.ask, a.seen.seq) {
			a.told = &protocol.ClaimTold{Outcome: protocol.ClaimWon}
		}
	}
}

// However the steps of several executors mix, one gets a call, and of those
// who want to take it over from him one more.
func TestOneExecutorGetsTheSlot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var s slot
		race := func(over, overBy string) []string {
			var all []*asker
			for i := range rapid.IntRange(1, 6).Draw(rt, "askers") {
				by := fmt.Sprintf("%s%d", over, rapid.IntRange(0, 3).Draw(rt, "by"))
				ask := protocol.ClaimAsk{Node: fmt.Sprintf("edge-%d", i%3), By: by, Over: over}
				all = append(all, &asker{ask: ask, over: overBy})
			}
			for open := len(all); open > 0; {
				a := rapid.SampledFrom(all).Draw(rt, "next")
				before := a.told
				if a.step(&s); before == nil && a.told != nil {
					open--
				}
			}
			won := map[string]bool{}
			for _, a := range all {
				if a.told.Outcome == protocol.ClaimWon {
					won[a.ask.By] = true
				} else if a.told.By != s.held.By || a.told.By == "" {
					rt.Fatalf("%+v is told of %+v, the slot holds %+v", a.ask, a.told, s.held)
				}
			}
			var names []string
			for by := range won {
				names = append(names, by)
			}
			return names
		}
		first := race("", "")
		if len(first) != 1 {
			rt.Fatalf("%v got the call, want one", first)
		}
		if second := race("c1", first[0]); len(second) != 1 {
			rt.Fatalf("%v took the call over, want one", second)
		}
	})
}

func TestJudgeClaimByLedger(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "core-1")
	ask := protocol.ClaimAsk{Node: "edge-1", Space: space, Session: "s", Key: "m:0", By: "y"}
	judge := func(ask protocol.ClaimAsk) (told *protocol.ClaimTold, over string) {
		p.view(func(r session.Reader) (err error) {
			told, over, err = JudgeClaim(r, ask)
			return err
		})
		return told, over
	}
	if told, _ := judge(ask); told != nil {
		t.Errorf("of a session that is not here: %+v", told)
	}
	p.must("s", session.OpenSession{})
	p.must("s", session.Append{Messages: []session.Draft{{ID: "m", Role: "assistant", ToolCalls: []byte(`[{"name":"f"}]`)}}})
	if told, _ := judge(ask); told != nil {
		t.Errorf("of an open call: %+v", told)
	}
	claim := p.must("s", session.ClaimTool{Call: "m:0", By: "x"}).Ops[0].Dot
	if told, _ := judge(ask); told == nil || told.Outcome != protocol.ClaimHeld || told.By != "x" || told.Claim != claim.String() {
		t.Errorf("of a claimed call: %+v", told)
	}
	ask.Over = claim.String()
	if told, over := judge(ask); told != nil || over != "x" {
		t.Errorf("taking over: %+v, %q", told, over)
	}
	ask.Over = ""
	p.must("s", session.CompleteTool{Claim: claim, Result: []byte(`7`)})
	if told, _ := judge(ask); told == nil || told.Outcome != protocol.ClaimDone || string(told.Result) != "7" {
		t.Errorf("of what is done: %+v", told)
	}
}

func TestJudgeTold(t *testing.T) {
	t.Parallel()
	do := session.ClaimTool{Call: "m:0", By: "y"}
	for _, c := range []struct {
		name     string
		told     *protocol.ClaimTold
		coreOnly bool
		write    bool
		degraded bool
		err      error
	}{
		{"won", &protocol.ClaimTold{Outcome: protocol.ClaimWon}, true, true, false, nil},
		{"held", &protocol.ClaimTold{Outcome: protocol.ClaimHeld, By: "x"}, false, false, false, session.ErrToolClaimed},
		{"held by himself", &protocol.ClaimTold{Outcome: protocol.ClaimHeld, By: "y", Claim: "e.1"}, false, false, false, nil},
		{"done", &protocol.ClaimTold{Outcome: protocol.ClaimDone, By: "y", Result: []byte(`7`)}, false, false, false, session.ErrToolDone},
		{"cut", nil, false, true, true, nil},
		{"cut, only the core will do", nil, true, false, false, ErrNoArbiter},
	} {
		v := JudgeTold(do, "m:0", c.told, c.coreOnly)
		if v.Write != c.write || v.Degraded != c.degraded || !errors.Is(v.Err, c.err) || v.Arbitrated != (c.write && !c.degraded) ||
			(v.Tool == nil) != (c.write || c.told == nil) {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}
