package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
)

// The claim stream holds who got which tool call lately: one message a call,
// put there on the condition that it is the first. What is older than claimAge
// has long reached the ledgers of the core nodes.
const (
	claimStream   = "CW_CLAIMS"
	claimAge      = 24 * time.Hour
	claimBytes    = 64 << 20 // at most; of a small store a thirty-second part
	claimTries    = 4        // to take a slot that others take at the same time
	claimWorkers  = 4
	claimsWaiting = 256 // more are not answered: the asker decides by itself
)

func (b *Bus) claimStreamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              claimStream,
		Subjects:          []string{drive.ClaimSlots},
		MaxMsgs:           -1,
		MaxBytes:          min(claimBytes, b.cfg.MaxStoreBytes/32),
		MaxAge:            claimAge,
		MaxMsgsPerSubject: 1,
		MaxMsgSize:        4 << 10,
		Discard:           jetstream.DiscardOld,
		Storage:           jetstream.FileStorage,
		Replicas:          b.cfg.Replicas,
		Compression:       jetstream.NoCompression,
	}
}

// ensureClaims makes the claim stream or sets it right: nothing in it is worth
// more than a day.
func (b *Bus) ensureClaims(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := b.js.CreateOrUpdateStream(ctx, b.claimStreamConfig())
	if err != nil {
		return fmt.Errorf("stream %s: %w", claimStream, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slots = s
	return nil
}

// slot reads who holds a call; nil if nobody does.
func (b *Bus) slot(ctx context.Context, subject string) (held *protocol.ClaimAsk, seq uint64, err error) {
	b.mu.Lock()
	s := b.slots
	b.mu.Unlock()
	if s == nil {
		return nil, 0, ErrNotReady
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("slot %s: %w", subject, err)
	}
	got, err := protocol.DecodeMessage(m.Data)
	ask, ok := got.(protocol.ClaimAsk)
	if err != nil || !ok {
		return nil, 0, fmt.Errorf("slot %s holds %T: %w", subject, got, errors.Join(errBadSlot, err))
	}
	return &ask, m.Sequence, nil
}

var errBadSlot = errors.New("core: no claim in a slot")

// take puts a claim into a slot whose last message is number expect; false if
// it is not.
func (b *Bus) take(ctx context.Context, subject string, data []byte, expect uint64) (bool, error) {
	_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data},
		jetstream.WithExpectLastSequencePerSubject(expect), jetstream.WithRetryAttempts(0))
	if err == nil {
		return true, nil
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	if ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return false, nil
	}
	return false, fmt.Errorf("take slot %s: %w", subject, err)
}

// claims answers who asks for tool calls.
type claims struct {
	node  *node.Node
	bus   *Bus
	log   *slog.Logger
	ready func() bool // the ledger is up to date with the streams
}

type claimRequest struct {
	reply string
	data  []byte
}

// Run answers until ctx ends.
func (c *claims) Run(ctx context.Context) error {
	work := make(chan claimRequest, claimsWaiting) // closed by nobody
	stop, err := c.bus.Subscribe(protocol.ClaimSubjects, func(_, reply string, data []byte) {
		select {
		case work <- claimRequest{reply, data}:
		default:
			c.log.Warn("claim not answered: too many wait")
		}
	})
	if err != nil {
		return fmt.Errorf("listen on %s: %w", protocol.ClaimSubjects, err)
	}
	defer stop()
	var workers sync.WaitGroup
	for range claimWorkers {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case r := <-work:
					c.answer(ctx, r)
				}
			}
		})
	}
	workers.Wait()
	return ctx.Err()
}

// answer decides a claim. Who cannot decide keeps silent: another core node may
// be able to, or the asker decides by itself.
func (c *claims) answer(ctx context.Context, r claimRequest) {
	m, err := protocol.DecodeMessage(r.data)
	ask, ok := m.(protocol.ClaimAsk)
	if err != nil || !ok || r.reply == "" {
		c.node.MessageDropped()
		c.log.Warn("claim dropped", slog.Any("error", err))
		return
	}
	if !c.ready() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	told, err := c.decide(ctx, ask)
	if err == nil {
		told.Core = c.node.Name()
		var answer []byte
		if answer, err = protocol.AppendMessage(nil, *told); err == nil {
			err = c.bus.Publish(r.reply, answer)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("claim not decided", slog.String("node", ask.Node), slog.Any("error", err))
	}
}

func (c *claims) decide(ctx context.Context, ask protocol.ClaimAsk) (*protocol.ClaimTold, error) {
	var told *protocol.ClaimTold
	over := ""
	err := c.node.View(func(r session.Reader) (err error) {
		told, over, err = drive.JudgeClaim(r, ask)
		return err
	})
	if told != nil || err != nil {
		return told, err
	}
	data, err := protocol.AppendMessage(nil, ask)
	if err != nil {
		return nil, err
	}
	subject := drive.ClaimSlot(ask)
	for range claimTries {
		held, seq, err := c.bus.slot(ctx, subject)
		if err != nil {
			return nil, err
		}
		free, told := drive.JudgeSlot(ask, held, over)
		if !free {
			return told, nil
		}
		took, err := c.bus.take(ctx, subject, data, seq)
		if took {
			return &protocol.ClaimTold{Outcome: protocol.ClaimWon}, nil
		}
		if err != nil {
			c.log.Debug("slot not taken", slog.Any("error", err)) // perhaps it was: look again
		}
	}
	return nil, fmt.Errorf("slot %s is taken again and again", subject)
}
