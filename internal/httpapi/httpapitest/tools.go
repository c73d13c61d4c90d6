package httpapitest

import (
	"context"
	"strconv"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Tool shows a tool call, by the call that a claim named.
func (s *Service) Tool(_ context.Context, name, id string, do session.ClaimTool) (session.Tool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(name, id)
	if err != nil {
		return session.Tool{}, err
	}
	return *st.tool(do.Call + do.Tool), nil
}

func (st *state) tool(key string) *session.Tool {
	if st.tools == nil {
		st.tools = map[string]*session.Tool{}
	}
	if st.tools[key] == nil {
		st.tools[key] = &session.Tool{Key: key, Status: session.ToolOpen}
	}
	return st.tools[key]
}

func (sp *space) claim(st *state, cmd session.Command, do session.ClaimTool) (httpapi.Answer, error) {
	t := st.tool(do.Call + do.Tool)
	found, err := t.CheckClaim(&do)
	if err != nil || found {
		return httpapi.Answer{Tool: t, Replayed: true}, err
	}
	sp.record(st, cmd, session.Change{Type: "claim"})
	t.Status = session.ToolClaimed
	id := string(Origin) + "." + strconv.Itoa(int(sp.seq))
	t.Claim = &session.ToolClaim{ID: id, By: do.By, Decided: session.DecidedLocal}
	shown := *t
	return httpapi.Answer{Tool: &shown}, nil
}

func (sp *space) complete(st *state, cmd session.Command, do session.CompleteTool) (httpapi.Answer, error) {
	for _, t := range st.tools {
		if t.Claim == nil || t.Claim.ID != (vclock.Dot{Origin: do.Claim.Origin, Seq: do.Claim.Seq}).String() {
			continue
		}
		if t.Status == session.ToolDone {
			return httpapi.Answer{}, &session.ToolError{Err: session.ErrToolDone, Tool: *t}
		}
		sp.record(st, cmd, session.Change{Type: "complete"})
		t.Status, t.Result, t.Failed = session.ToolDone, do.Result, do.Failed
		shown := *t
		return httpapi.Answer{Tool: &shown}, nil
	}
	return httpapi.Answer{}, session.ErrNoClaim
}
