package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// sweep writes the expiry of idle sessions and removes what erased sessions
// left behind.
func (n *Node) sweep(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := errors.Join(n.expireIdle(ctx), n.purgeErased(ctx)); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("sweep put off", slog.Any("error", n.seen(err)))
		}
	}
}

func (n *Node) expireIdle(ctx context.Context) error {
	var due []session.Due
	err := n.View(func(r session.Reader) error {
		var err error
		due, err = session.ExpiredBefore(r, drive.SweepCutoff(n.now().Wall, n.cfg.SweepGrace), drive.SweepBatch)
		return err
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range due {
		errs = append(errs, n.expire(ctx, d))
	}
	return errors.Join(errs...)
}

// expire writes the expiry of a session that is idle, and puts off looking at
// one that was used since it was listed.
func (n *Node) expire(ctx context.Context, d session.Due) error {
	if cmd, idle := drive.Expiry(d, n.cfg.Name); idle {
		if _, err := n.write(ctx, cmd, httpapi.Local); !drive.Settled(err) {
			return err
		}
	}
	return n.store.Update(ctx, store.Sync, func(tx session.Tx) error { return session.Postpone(tx, d) })
}

func (n *Node) purgeErased(ctx context.Context) error {
	var gone []replica.Gone
	err := n.View(func(r session.Reader) error {
		var err error
		gone, err = replica.Unpurged(r, drive.SweepBatch)
		return err
	})
	if err != nil {
		return err
	}
	for _, g := range gone {
		for more := true; more; {
			err := n.store.Update(ctx, store.Sync, func(tx session.Tx) error {
				var err error
				more, err = drive.Purge(tx, g)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
