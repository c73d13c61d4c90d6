package httpapi

import (
	"fmt"
	"net/http"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// toolAnswer answers about a tool call.
type toolAnswer struct {
	session.Tool
	Version    string     `json:"version,omitempty"`
	Durability Durability `json:"durability,omitempty" doc:"on answers to writes"`
	Degraded   bool       `json:"degraded,omitempty" doc:"the core did not decide, or does not hold it"`
	Fallback   string     `json:"fallback,omitempty" doc:"why: the name of the degraded mode"`
}

// The types below only describe bodies.
type (
	claimSchema struct {
		By        string `json:"by,omitempty" doc:"the executor, by its own name; absent: Causeway-Actor"`
		Tool      string `json:"tool,omitempty" doc:"claim this tool with these arguments, whatever the call"`
		Arguments any    `json:"arguments,omitempty" doc:"any JSON; absent: {}"`
		Over      string `json:"over,omitempty" doc:"id of the claim to be taken over"`
		Fallback  *bool  `json:"fallback,omitempty" doc:"false: refuse with 503 no_arbiter if the core cannot decide"`
	}
	completeSchema struct {
		Claim  string `json:"claim" doc:"id of the claim"`
		Result any    `json:"result" doc:"any JSON"`
		Failed bool   `json:"failed,omitempty" doc:"the result is an error"`
	}
)

func (a *api) getTool(w http.ResponseWriter, r *http.Request) error {
	space, id, err := target(r)
	if err != nil {
		return err
	}
	call, err := toolCall(r)
	if err != nil {
		return err
	}
	t, err := a.svc.Tool(r.Context(), space, id, session.ClaimTool{Call: call})
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, &t)
}

func (a *api) claimTool(w http.ResponseWriter, r *http.Request) error {
	ans, err := a.write(w, r, func(b []byte) (session.Action, error) {
		call, err := toolCall(r)
		if err != nil {
			return nil, err
		}
		return readClaim(r, b, call)
	})
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if ans.Replayed {
		status = http.StatusOK
	}
	return replyTool(w, &ans, status)
}

func (a *api) completeTool(w http.ResponseWriter, r *http.Request) error {
	ans, err := a.write(w, r, func(b []byte) (session.Action, error) {
		if _, err := toolCall(r); err != nil {
			return nil, err
		}
		return readComplete(b)
	})
	if err != nil {
		return err
	}
	return replyTool(w, &ans, http.StatusOK)
}

func replyTool(w http.ResponseWriter, ans *Answer, status int) error {
	if ans.Tool == nil {
		return fmt.Errorf("want a tool call in the answer, have none")
	}
	out := toolAnswer{Tool: *ans.Tool, Durability: ans.Durability, Degraded: ans.Degraded, Fallback: ans.Fallback}
	if !ans.Version.IsEmpty() {
		out.Version, status = writeStatus(w, ans, status)
	}
	return reply(w, status, &out)
}

// noCall stands in the path for a claim by tool and arguments alone.
const noCall = "-"

// toolCall reads the name of the call in the path.
func toolCall(r *http.Request) (string, error) {
	call := r.PathValue("call")
	if err := checkText(call, "call"); err != nil {
		return "", err
	}
	if len(call) > session.MaxToolBytes {
		return "", problem("bad_name", "call is %d bytes", len(call)).at("call").limit(session.MaxToolBytes)
	}
	if call == noCall {
		return "", nil
	}
	return call, nil
}

func readClaim(r *http.Request, b []byte, call string) (session.ClaimTool, error) {
	do := session.ClaimTool{Call: call}
	rd, err := newReader(b)
	if err != nil {
		return do, err
	}
	err = rd.members(b, "", func(name string, v []byte) (err error) {
		switch name {
		case "by":
			do.By, err = rd.str(v, name)
		case "tool":
			do.Tool, err = rd.str(v, name)
		case "arguments":
			do.Arguments, err = rd.value(v, name)
		case "over":
			do.Over, err = rd.claimID(v, name)
		case "fallback":
			switch string(v) {
			case "false":
				do.CoreOnly = true
			case "true":
			default:
				err = wrongType(name, "true or false")
			}
		default:
			err = unknownField(name)
		}
		return err
	})
	if err != nil {
		return do, err
	}
	if do.By == "" {
		if do.By, err = actor(r); err != nil {
			return do, err
		}
	}
	switch {
	case do.By == "":
		return do, problem("invalid_body", "by is missing, and there is no %s", headerActor).at("by")
	case do.Call == "" && do.Tool == "":
		return do, problem("invalid_body", "tool is missing, and the path names no call").at("tool")
	case do.Arguments != nil && do.Tool == "":
		return do, problem("invalid_body", "arguments go with tool").at("arguments")
	}
	return do, nil
}

func (rd reader) claimID(v []byte, at string) (*vclock.Dot, error) {
	s, err := rd.str(v, at)
	if err != nil {
		return nil, err
	}
	dot, err := vclock.ParseDot(s)
	if err != nil {
		return nil, problem("invalid_body", "%s is %.60q, want the id of a claim", at, s).at(at)
	}
	return &dot, nil
}

func readComplete(b []byte) (session.CompleteTool, error) {
	var do session.CompleteTool
	rd, err := newReader(b)
	if err != nil {
		return do, err
	}
	claimed := false
	err = rd.members(b, "", func(name string, v []byte) (err error) {
		switch name {
		case "claim":
			var dot *vclock.Dot
			if dot, err = rd.claimID(v, name); err == nil {
				do.Claim, claimed = *dot, true
			}
		case "result":
			do.Result, err = rd.value(v, name)
		case "failed":
			if do.Failed = string(v) == "true"; !do.Failed && string(v) != "false" {
				err = wrongType(name, "true or false")
			}
		default:
			err = unknownField(name)
		}
		return err
	})
	switch {
	case err != nil:
	case !claimed:
		err = problem("invalid_body", "claim is missing").at("claim")
	case do.Result == nil:
		err = problem("invalid_body", "result is missing").at("result")
	}
	return do, err
}
