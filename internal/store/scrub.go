package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/causeway-sync/causeway/session"
)

// Scrubbed is what a scrub has read.
type Scrubbed struct {
	Records uint64
	Bytes   uint64 // of keys and values
	Damaged uint64
}

// Scrub verifies the checksums of all tables, then reads every record whose key
// begins with prefix (nil for all) in a snapshot, and calls report for each one
// that is damaged. The error is about the scrub itself: ctx ended, the store is
// closed, or a table as a whole is damaged ([*DamageError]), in which case
// records may be missing without being reported.
func (s *Store) Scrub(ctx context.Context, prefix []byte, report func(*session.CorruptError)) (Scrubbed, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return Scrubbed{}, ErrClosed
	}
	tables := s.verifyTables()
	snap := s.hold()
	defer s.drop(snap)
	done, err := scrubRange(ctx, reader{store: s, txn: snap.txn}, prefix, report)
	return done, errors.Join(tables, err)
}

// verifyTables goes over all blocks of all tables. Badger dereferences nil when
// it finds a damaged one, hence the recover.
func (s *Store) verifyTables() (err error) {
	dir := filepath.Join(s.opt.Dir, "db")
	defer func() {
		if cause := recover(); cause != nil {
			err = damaged(dir, fmt.Errorf("a table is damaged: %v", cause))
		}
	}()
	if err := s.db.VerifyChecksum(); err != nil {
		return damaged(fileIn(err.Error(), dir), err)
	}
	return nil
}

func scrubRange(
	ctx context.Context, r reader, prefix []byte, report func(*session.CorruptError),
) (done Scrubbed, err error) {
	c, err := r.cursor(prefix, nil, false)
	if err != nil {
		return done, err
	}
	defer c.close()
	for ctx.Err() == nil {
		e, ok, err := c.next()
		damage, isDamage := errors.AsType[*session.CorruptError](err)
		switch {
		case isDamage && e.Key == nil:
			return done, err // the iterator itself failed and cannot go on
		case isDamage:
			done.Damaged++
			r.store.counters.damage.Add(1)
			report(damage)
		case err != nil:
			return done, err
		case !ok:
			return done, nil
		}
		done.Records++
		done.Bytes += uint64(len(e.Key) + len(e.Value))
	}
	return done, context.Cause(ctx)
}
