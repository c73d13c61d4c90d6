package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

const (
	sweepBatch = 256  // due sessions looked at in one sweep
	purgeBatch = 1000 // records of an erased session removed in one commit
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
	now := n.now().Wall
	var due []session.Due
	err := n.View(func(r session.Reader) error {
		var err error
		due, err = session.ExpiredBefore(r, now-min(now, uint64(n.cfg.SweepGrace.Milliseconds())), sweepBatch)
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
	if !d.Idle {
		return n.store.Update(ctx, store.Sync, func(tx session.Tx) error { return session.Postpone(tx, d) })
	}
	cmd := session.Command{Space: d.Space, Session: d.Session, Actor: n.cfg.Name,
		IfMatch: &d.Version, Do: session.ExpireSession{}}
	_, err := n.write(ctx, cmd, httpapi.Local) // also in a space that is carried no longer
	if settled(err) {
		return n.store.Update(ctx, store.Sync, func(tx session.Tx) error { return session.Postpone(tx, d) })
	}
	return err
}

// settled reports whether there is nothing to expire any more, or not yet.
func settled(err error) bool {
	for _, e := range []error{
		session.ErrSessionExpired, session.ErrSessionErased, session.ErrNoSession, session.ErrVersionMoved,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (n *Node) purgeErased(ctx context.Context) error {
	var gone []replica.Gone
	err := n.View(func(r session.Reader) error {
		var err error
		gone, err = replica.Unpurged(r, sweepBatch)
		return err
	})
	if err != nil {
		return err
	}
	for _, g := range gone {
		for more := true; more; {
			err := n.store.Update(ctx, store.Sync, func(tx session.Tx) error {
				var err error
				if err = dropAnswers(tx, g); err == nil {
					more, err = replica.Purge(tx, g, purgeBatch)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// dropAnswers removes the answers kept for retries in an erased session.
func dropAnswers(tx session.Tx, g replica.Gone) error {
	var keys [][]byte
	for e, err := range tx.Scan(answerPrefix(g.Space, g.Session), nil, false) {
		if err != nil {
			return err
		}
		if keys = append(keys, e.Key); len(keys) == purgeBatch {
			break
		}
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
