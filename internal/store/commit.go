package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/causeway-sync/causeway/internal/inorder"
	"github.com/causeway-sync/causeway/internal/store/kv"
	"github.com/causeway-sync/causeway/session"
)

// commitKey holds the number of the commit that wrote it.
var commitKey = []byte("n/commit")

// request is one Update on its way through the committer.
type request struct {
	fn    func(tx session.Tx) error
	taken atomic.Bool // by the committer, or by the caller who gave up
	ours  bool        // taken by the committer; owned by it
	err   error       // what fn returned
	done  chan error  // holds one; written by the committer
}

// Update runs fn in a transaction and returns nil after its writes are durable
// together. An error of fn is returned to this caller only, and nothing that it
// wrote remains. Reads in fn see the writes of earlier Updates of the group.
//
// fn may run twice, so it must have no outside effect before Update returned
// nil; it runs on the committer's goroutine and must not block. If ctx ends
// before fn was begun, fn never runs and the cause is returned; afterwards
// Update waits for the outcome. It needs [Store.Run]. Updates whose contexts
// stand in one line (package inorder) are carried out in the order of the line.
//
// Errors: [ErrReserve], [ErrTooBig], [ErrClosed] say that nothing was written;
// [ErrFailed] that the outcome is unknown.
func (s *Store) Update(ctx context.Context, class Class, fn func(tx session.Tx) error) error {
	if err := s.failure(); err != nil {
		return err
	}
	if err := s.space.admit(class); err != nil {
		s.counters.refused.Add(1)
		return err
	}
	r := &request{fn: fn, done: make(chan error, 1)}
	if err := s.enqueue(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-s.stopped:
		if r.taken.CompareAndSwap(false, true) {
			return ErrClosed
		}
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
	}
	return <-r.done
}

// enqueue hands a request to the committer, in its place in the line of ctx;
// see package inorder.
func (s *Store) enqueue(ctx context.Context, r *request) error {
	pass, err := inorder.Enter(ctx)
	if err != nil {
		return err
	}
	defer pass()
	select {
	case s.queue <- r:
		return nil
	case <-s.stopped:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run is the committer: it makes all writes, until ctx ends. Then it carries
// out what was waiting and returns nil; later Updates get [ErrClosed].
func (s *Store) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer close(s.stopped)
	var collector sync.WaitGroup
	defer collector.Wait()
	if s.opt.CollectEvery > 0 && s.collects {
		collector.Go(func() { s.collect(ctx) })
	}
	for {
		select {
		case r := <-s.queue:
			s.serve(r)
		case <-ctx.Done():
			s.drain()
			return nil
		}
	}
}

// drain serves what is waiting now.
func (s *Store) drain() {
	for {
		select {
		case r := <-s.queue:
			s.serve(r)
		default:
			return
		}
	}
}

// serve carries out first and all that wait behind it, in one or more groups.
func (s *Store) serve(first *request) {
	waiting := s.gather([]*request{first})
	for len(waiting) > 0 {
		waiting = s.group(waiting)
	}
}

// gather takes what waits in the queue, and lingers for the callers who were
// answered a moment ago: without that, writers that write again at once fall
// into two halves, each waiting for the other's fsync. It lingers only for as
// many as there were, and for a tenth of the last commit's time, so that a lone
// writer never waits and others lose little.
func (s *Store) gather(waiting []*request) []*request {
	expected := min(s.pace.answered+s.pace.queued, s.opt.MaxGroupOps)
	for len(waiting) < s.opt.MaxGroupOps {
		select {
		case r := <-s.queue:
			waiting = append(waiting, r)
			continue
		default:
		}
		break
	}
	if len(waiting) >= expected {
		return waiting
	}
	timer := time.NewTimer(min(s.pace.took/lingerShare, lingerMax))
	defer timer.Stop()
	for len(waiting) < expected {
		select {
		case r := <-s.queue:
			waiting = append(waiting, r)
		case <-timer.C:
			return waiting
		}
	}
	return waiting
}

// pace is what the last group was like. Run owns it.
type pace struct {
	answered int           // requests in it
	queued   int           // requests that had come meanwhile
	took     time.Duration // its commit
}

const (
	lingerShare = 10
	lingerMax   = time.Millisecond
)

// group runs as many requests as fit into one transaction, commits, answers
// them, and returns the rest.
func (s *Store) group(waiting []*request) (rest []*request) {
	if err := s.failure(); err != nil {
		for _, r := range waiting {
			if r.begin() {
				r.done <- err
			}
		}
		return nil
	}
	b := kv.NewBatch(cached{reader: reader{store: s, txn: s.snap.txn}, cache: s.cache}, s.limits.threshold)
	var ran []*request
	for i, r := range waiting {
		if !r.begin() {
			continue
		}
		mark := b.Mark()
		if r.err = r.fn(b); r.err != nil {
			b.Rollback(mark)
		} else if !s.fits(b.Size()) {
			b.Rollback(mark)
			if b.Size().Entries > 0 {
				rest = waiting[i:] // fn runs again in the next group
				break
			}
			r.err = ErrTooBig
		}
		ran = append(ran, r)
		if b.Size().Payload >= s.opt.MaxGroupBytes {
			rest = waiting[i+1:]
			break
		}
	}
	began := time.Now()
	err := s.commitBatch(b)
	s.pace = pace{answered: len(ran), queued: len(s.queue) + len(rest), took: time.Since(began)}
	for _, r := range ran {
		// A refusal may rest on a write of the same group: if that did not
		// become durable, the refusal means nothing.
		if err != nil {
			r.done <- err
		} else {
			r.done <- r.err
		}
	}
	return rest
}

// begin takes the request unless its caller has given up.
func (r *request) begin() bool {
	r.ours = r.ours || r.taken.CompareAndSwap(false, true)
	return r.ours
}

func (s *Store) fits(size kv.Size) bool {
	return size.Entries <= s.limits.entries &&
		size.Inline+size.Entries*s.limits.entryBytes <= s.limits.inline
}

// commitBatch makes b durable, in Badger and in the high-water file at once.
// An error means that the store takes no more writes.
func (s *Store) commitBatch(b *kv.Batch) error {
	if b.Size().Entries == 0 {
		return nil
	}
	next := s.commit + 1
	var high error
	var side sync.WaitGroup
	if !s.opt.NoHighWater {
		side.Go(func() { high = s.high.advance(s.commit, next, true) })
	}
	err := s.write(b, next)
	side.Wait()
	if err = errors.Join(err, high); err != nil {
		return s.fail(err)
	}
	if err := s.failure(); err != nil { // the value log was not synced
		return err
	}
	s.commit = next
	if !s.opt.NoHighWater {
		// Not synced: if it is lost, commit next counts as unconfirmed.
		if err := s.high.advance(next, 0, false); err != nil {
			return s.fail(err)
		}
	}
	s.renew()
	s.counters.commits.Store(next)
	s.counters.groups.Add(1)
	return nil
}

// write commits b to Badger under number next.
func (s *Store) write(b *kv.Batch, next uint64) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("badger panicked: %v", cause)
		}
	}()
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for w := range b.All() {
		key := []byte(w.Key)
		if w.Deleted {
			err = txn.Delete(key)
		} else {
			err = txn.Set(key, kv.Seal(key, w.Value))
		}
		s.cache.written(key, w.Value) // after a failed commit nobody reads it
		if err != nil {
			return fmt.Errorf("write %q: %w", key, err)
		}
	}
	number := binary.BigEndian.AppendUint64(nil, next)
	if err := txn.Set(commitKey, kv.Seal(commitKey, number)); err != nil {
		return fmt.Errorf("write commit number: %w", err)
	}
	if err := txn.Commit(); err != nil {
		return fmt.Errorf("commit %d: %w", next, err)
	}
	return nil
}

// fail puts the store out of writing. The first cause stays.
func (s *Store) fail(cause error) error {
	err := fmt.Errorf("%w: %w", ErrFailed, cause)
	if s.failed.CompareAndSwap(nil, &err) {
		s.log.Error("store takes no more writes", slog.Any("error", cause))
	}
	return s.failure()
}

func (s *Store) failure() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// syncFailed is called by Badger's log, before Badger answers the commit.
func (s *Store) syncFailed(err error) { _ = s.fail(err) }

// collectRatio is the share of a value log file that must be dead before the
// rest is moved out of it.
const collectRatio = 0.5

// collect gives space of the value log back, now and then, until ctx ends.
func (s *Store) collect(ctx context.Context) {
	timer := time.NewTicker(s.opt.CollectEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		before := s.counters.collected.Load()
		for ctx.Err() == nil && s.failure() == nil && s.collectOnce() {
			s.counters.collected.Add(1)
		}
		if s.counters.collected.Load() > before {
			debug.FreeOSMemory() // moving values takes memory that is not needed soon again
		}
	}
}

// collectOnce rewrites one file; false means that there is none worth it.
func (s *Store) collectOnce() (again bool) {
	defer func() {
		if cause := recover(); cause != nil {
			again = false
			s.log.Error("value log collection panicked", slog.Any("cause", cause))
		}
	}()
	// Half the ratio: a file may become worth it between the check and the run.
	if err := collectable(filepath.Join(s.opt.Dir, "db"), collectRatio/2); err != nil {
		s.log.Error("value log is not collected", slog.Any("error", err))
		return false
	}
	err := s.db.RunValueLogGC(collectRatio)
	if err != nil && !errors.Is(err, badger.ErrNoRewrite) && !errors.Is(err, badger.ErrRejected) {
		s.log.Error("value log collection", slog.Any("error", err))
	}
	return err == nil
}
