package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
)

// Tool implements [httpapi.Service].
func (n *Node) Tool(_ context.Context, space, id string, do session.ClaimTool) (t session.Tool, err error) {
	if err := n.carried(space); err != nil {
		return t, err
	}
	err = n.View(func(r session.Reader) error {
		t, err = session.ToolOf(r, space, id, do)
		return err
	})
	return t, err
}

// claim decides a claim of a tool call: by what is here, then by the core, then,
// if that cannot be asked, by itself, and says so.
func (n *Node) claim(ctx context.Context, cmd session.Command, do session.ClaimTool, level httpapi.Durability) (
	httpapi.Answer, error,
) {
	plain := do
	plain.Arbitrated = false // nobody but the core says so
	key, settled, err := n.claimHere(cmd, plain)
	var a httpapi.Answer
	if err == nil && settled {
		cmd.Do = plain
		a, err = n.write(ctx, cmd, level)
	} else if err == nil {
		a, err = n.claimAtCore(ctx, cmd, plain, key, level)
	}
	if te, ok := errors.AsType[*session.ToolError](err); ok && errors.Is(err, session.ErrToolDone) {
		return httpapi.Answer{Tool: &te.Tool, Durability: httpapi.Local, Replayed: true}, nil
	}
	return a, err
}

// claimHere looks at the ledger: the key of the claim, and whether there is
// nothing left to decide.
func (n *Node) claimHere(cmd session.Command, do session.ClaimTool) (key string, settled bool, err error) {
	err = n.View(func(r session.Reader) error {
		if settled, err = session.KnownKey(r, cmd); err != nil || settled {
			return err
		}
		t, err := session.ToolOf(r, cmd.Space, cmd.Session, do)
		if err != nil {
			return err
		}
		key = t.Key
		settled, err = t.CheckClaim(&do)
		return err
	})
	return key, settled, err
}

// claimAtCore asks the core and carries out its verdict.
func (n *Node) claimAtCore(
	ctx context.Context, cmd session.Command, do session.ClaimTool, key string, level httpapi.Durability,
) (httpapi.Answer, error) {
	told, why := n.askClaim(ctx, cmd, do, key)
	v := drive.JudgeTold(do, key, told, do.CoreOnly)
	if !v.Write {
		if errors.Is(v.Err, drive.ErrNoArbiter) {
			v.Err = fmt.Errorf("claim %.140q: %w: %w (%s)", key, httpapi.ErrNoArbiter, v.Err, why)
		}
		return httpapi.Answer{Tool: v.Tool, Durability: httpapi.Core, Replayed: true}, v.Err
	}
	do.Arbitrated = v.Arbitrated
	cmd.Do = do
	a, err := n.write(ctx, cmd, level)
	if v.Degraded {
		a.Degraded, a.Fallback = true, why
	}
	return a, err
}

// askClaim asks the core nodes; nil, with the reason, if none answers in time.
func (n *Node) askClaim(ctx context.Context, cmd session.Command, do session.ClaimTool, key string) (
	told *protocol.ClaimTold, why string,
) {
	n.mu.Lock()
	request := n.request
	n.mu.Unlock()
	if request == nil {
		return nil, fallbackNoCore
	}
	ask := protocol.ClaimAsk{
		Node: n.cfg.Name, Space: cmd.Space, Session: cmd.Session, Key: key, By: do.By, At: n.now().Wall,
	}
	if do.Over != nil {
		ask.Over = do.Over.String()
	}
	why = n.askCore(ctx, func(ctx context.Context) (err error) {
		told, err = n.requestClaim(ctx, request, ask)
		return err
	})
	return told, why
}

func (n *Node) requestClaim(ctx context.Context, request Requester, ask protocol.ClaimAsk) (
	*protocol.ClaimTold, error,
) {
	data, err := protocol.AppendMessage(nil, ask)
	if err != nil {
		return nil, fmt.Errorf("ask for a claim: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.CoreTimeout)
	defer cancel()
	answer, err := request(ctx, protocol.ClaimSubject(n.cfg.Name), data)
	if err != nil {
		n.cfg.Log.Debug("claim not decided by the core", slog.Any("error", err))
		return nil, err
	}
	m, err := protocol.DecodeMessage(answer)
	told, ok := m.(protocol.ClaimTold)
	if err != nil || !ok {
		n.MessageDropped()
		n.cfg.Log.Warn("answer to a claim dropped", slog.Any("error", err))
		return nil, errors.Join(httpapi.ErrUnavailable, err)
	}
	return &told, nil
}
