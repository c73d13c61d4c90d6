package node

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/intake"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Names of degraded modes that an answer gives as its fallback.
const (
	fallbackNoCore  = "no_core"          // the node has no link
	fallbackTimeout = "core_timeout"     // the core did not answer in time
	fallbackOpen    = "core_unreachable" // the breaker is open: the core was not asked
)

const (
	breakerTrips = 3               // failures in a row that open the breaker
	breakerRest  = time.Second     // until the core is tried again
	probeEvery   = time.Second     // between looks at whether it is there again
	probeWait    = 2 * time.Second // for the answer to such a look
)

// coreGuard keeps what needs the core from waiting for it in vain.
type coreGuard struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	acks    atomic.Uint64 // times that the core's quorum took more
	failed  atomic.Uint64 // acks at the last failure
	// counts for the metrics, by outcome
	firm, fellBack atomic.Uint64
}

func (n *Node) newGuard() *coreGuard {
	return &coreGuard{breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: "core", MaxRequests: 1, Timeout: breakerRest,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerTrips },
		IsExcluded:    func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: n.breakerMoved,
	})}
}

func (n *Node) breakerMoved(_ string, from, to gobreaker.State) {
	n.cfg.Log.Info("breaker of the core", slog.String("state", to.String()), slog.String("was", from.String()))
	n.named(fallbackOpen, to != gobreaker.StateClosed,
		"the core did not take writes in time; those at level core are answered as local until it does again")
}

// askCore runs what needs the core, unless the breaker is open; fallback names
// why it did not succeed.
func (n *Node) askCore(ctx context.Context, ask func(context.Context) error) (fallback string) {
	done, err := n.guard.breaker.Allow()
	if err != nil {
		n.guard.fellBack.Add(1)
		return fallbackOpen
	}
	if err = ask(ctx); err != nil {
		n.guard.failed.Store(n.guard.acks.Load())
		n.guard.fellBack.Add(1)
		fallback = fallbackTimeout
	} else {
		n.guard.firm.Add(1)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Canceled // the client went away: that says nothing of the core
	}
	done(err)
	return fallback
}

// firmly waits until the core's quorum holds d, if it can be had in time.
func (n *Node) firmly(ctx context.Context, space string, d vclock.Dot) (fallback string) {
	if n.atCore(space, d) {
		n.guard.firm.Add(1)
		return ""
	}
	return n.askCore(ctx, func(ctx context.Context) error {
		if n.awaitCore(ctx, space, d) {
			return nil
		}
		return httpapi.ErrUnavailable
	})
}

// watchCore closes the breaker when the core is there again although nobody
// asks for it.
func (n *Node) watchCore(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if n.guard.breaker.State() != gobreaker.StateHalfOpen {
			continue
		}
		done, err := n.guard.breaker.Allow()
		if err == nil {
			done(n.probeCore(ctx))
		}
	}
}

// probeCore looks whether the core takes ops: its quorum has taken some since
// the last failure, or there are none to take and it answers.
func (n *Node) probeCore(ctx context.Context) error {
	if n.guard.acks.Load() > n.guard.failed.Load() {
		return nil
	}
	behind, err := n.behindCore()
	if err != nil {
		return err
	}
	n.mu.Lock()
	request := n.request
	n.mu.Unlock()
	if behind || request == nil {
		return httpapi.ErrUnavailable
	}
	ask, err := protocol.AppendMessage(nil, protocol.ClockAsk{Node: n.cfg.Name})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	_, err = request(ctx, protocol.ClockSubject(n.cfg.Name), ask)
	return err
}

// behindCore reports whether the node has ops that the core's quorum is not
// known to hold.
func (n *Node) behindCore() (bool, error) {
	behind, origin := false, n.Origin()
	err := n.View(func(r session.Reader) error {
		spaces, err := replica.Spaces(r)
		for _, space := range spaces {
			head, headErr := replica.HeadOf(r, protocol.Feed{Space: space, Origin: origin})
			err = errors.Join(err, headErr)
			behind = behind || head.Seq > 0 && !n.atCore(space, vclock.Dot{Origin: origin, Seq: head.Seq})
		}
		return err
	})
	return behind, err
}

// level is how firmly a write is acknowledged: as it asks, else by the policy.
func (n *Node) level(cmd *session.Command, asked httpapi.Durability) httpapi.Durability {
	if asked != "" {
		return asked
	}
	if n.cfg.Policy.Level(nil, cmd.Space, rolesOf(cmd)...) == intake.Core {
		return httpapi.Core
	}
	return httpapi.Local
}

// rolesOf gives what the policy goes by.
func rolesOf(cmd *session.Command) []string {
	switch do := cmd.Do.(type) {
	case session.OpenSession:
		return []string{intake.KindOpen}
	case session.Move:
		return []string{intake.KindState}
	case session.PatchContext, session.AdjustContext:
		return []string{intake.KindContext}
	case session.EditText:
		return []string{intake.KindText}
	case session.ClaimTool, session.CompleteTool:
		return []string{intake.KindTool}
	case session.EraseSession:
		return []string{intake.KindErase}
	case session.Append:
		var roles []string
		for i := range do.Messages {
			roles = append(roles, do.Messages[i].Role)
		}
		return roles
	case session.EditMessage, session.RedactMessage:
		return []string{"*"} // of a message whose role is not looked up: rules for all roles count
	}
	return nil
}

func (n *Node) coreStatus() *httpapi.GuardStatus {
	return &httpapi.GuardStatus{
		Breaker: n.guard.breaker.State().String(), Firm: n.guard.firm.Load(), FellBack: n.guard.fellBack.Load(),
	}
}
