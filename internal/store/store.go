package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/causeway-sync/causeway/session"
)

// Class says who writes, which decides what a nearly full disk still takes.
type Class uint8

// The classes.
const (
	// Intake is a client's write. It is refused below the reserve.
	Intake Class = iota
	// Sync is what keeps replicas together and lets the outbox shrink. It is
	// refused below half the reserve.
	Sync
)

// Store is a durable key-value store. All methods may be called concurrently.
//
// Invariant: a commit is answered only when both Badger and the high-water file
// have it on disk.
type Store struct {
	opt    Options
	log    *slog.Logger
	db     *badger.DB
	lock   *os.File
	high   *highwater
	ident  *identity
	space  *gauge
	limits limits

	queue   chan *request // closed by nobody; readers are Run alone
	running atomic.Bool
	stopped chan struct{} // closed by Run when it takes no more requests
	failed  atomic.Pointer[error]

	life   sync.RWMutex // held for reading by reads, for writing by Close
	closed bool

	snapMu sync.Mutex // guards snap and the counts of all snapshots
	snap   *snapshot

	commit      uint64 // number of the last commit; owned by Run
	cache       *cache // owned by Run
	pace        pace   // of the last group; owned by Run
	counters    counters
	unconfirmed bool
	collects    bool // false if a value log file was found damaged at open
}

// limits are the most that one transaction of Badger can hold.
type limits struct {
	entries    int // keys
	entryBytes int // what each key costs beside its bytes
	inline     int // bytes of keys, small values and pointers to big ones
	threshold  int // values of at least this size lie in the value log
}

// Open opens or makes the store at o.Dir. It starts no goroutine of its own;
// Badger's run until [Store.Close]. It returns [ErrInUse] if another process
// has the directory, and a [*DamageError] for a store that cannot be opened.
func Open(o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		opt: o, log: log, lock: lock, space: newGauge(o),
		queue: make(chan *request, 2*o.MaxGroupOps), stopped: make(chan struct{}), collects: true,
		cache: newCache(o.Profile),
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// open goes through the files in the order in which they can be judged.
func (s *Store) open() error {
	var err error
	if s.ident, err = openIdentity(s.opt.Dir); err != nil {
		return err
	}
	dir := filepath.Join(s.opt.Dir, "db")
	found, err := probe(dir, s.log)
	if err != nil {
		return err
	}
	s.collects = !found.damagedLog
	if s.db, err = openBadger(badgerOptions(s, dir)); err != nil {
		return err
	}
	s.limits = limitsOf(s.db)
	if s.commit, err = s.readCommit(); err != nil {
		return err
	}
	return s.judge()
}

// readCommit gives the number of the last commit that Badger has.
func (s *Store) readCommit() (uint64, error) {
	s.renew()
	raw, err := reader{store: s, txn: s.snap.txn}.Get(commitKey)
	switch {
	case err != nil:
		return 0, damaged(filepath.Join(s.opt.Dir, "db"), err)
	case raw == nil:
		return 0, nil
	case len(raw) != 8:
		return 0, damaged(filepath.Join(s.opt.Dir, "db"), fmt.Errorf("commit record has %d bytes, want 8", len(raw)))
	}
	return binary.BigEndian.Uint64(raw), nil
}

// judge compares the store's commit number with the high-water file. A loss is
// written down there, so that it is not forgotten before the node has acted.
func (s *Store) judge() error {
	var err error
	if s.high, err = openHighwater(s.opt.Dir); err != nil {
		return err
	}
	known := s.high.state
	switch {
	case !s.high.known && s.commit > 0:
		known.lost = &Loss{Found: s.commit, Unconfirmed: true}
	case s.commit < known.committed:
		known.lost = &Loss{Committed: known.committed, Found: s.commit}
	}
	s.unconfirmed = known.lost == nil && known.pending > s.commit
	if known.lost != nil {
		s.log.Error("store lost commits", slog.String("loss", known.lost.String()))
	}
	known.committed, known.pending = s.commit, 0
	return s.high.write(known, true)
}

// Lost is non-nil if the store was found without commits that had been
// acknowledged. It stays so, across restarts, until [Store.AdoptIdentity].
func (s *Store) Lost() *Loss { return s.high.loss() }

// Identity tells which incarnation of the store this is.
func (s *Store) Identity() Identity { return s.ident.read() }

// AdoptIdentity gives the store a new identity and ends Lost, Fresh and Moved.
// A node calls it after it has taken a new epoch durably: one whose store was
// moved or lost commits must not go on under its old origin.
func (s *Store) AdoptIdentity() error {
	if err := s.ident.adopt(); err != nil {
		return err
	}
	return s.high.forgive()
}

// View calls fn with a consistent snapshot of the last commit. Views do not
// wait for commits, nor commits for views. What fn gives out must be copied,
// as all slices are already.
func (s *Store) View(fn func(r session.Reader) error) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return ErrClosed
	}
	snap := s.hold()
	defer s.drop(snap)
	return fn(reader{store: s, txn: snap.txn})
}

// Close ends the store: it waits for views, writes the high-water file for the
// last time and closes Badger. Run must have ended or never been called; after
// the first call Close does nothing.
func (s *Store) Close() error {
	if s.running.Load() {
		<-s.stopped
	}
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.release()
}

// release closes what is open, in an order that leaves a clean store.
func (s *Store) release() error {
	var errs []error
	if s.db != nil {
		s.retire()
		errs = append(errs, closeBadger(s.db))
	}
	if s.high != nil {
		if s.failed.Load() == nil && errs[0] == nil {
			errs = append(errs, s.high.advance(s.commit, 0, true))
		}
		errs = append(errs, s.high.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
