package store

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/causeway-sync/causeway/internal/store/kv"
	"github.com/causeway-sync/causeway/session"
)

// snapshot is a read transaction that many readers share. The committer opens
// one after each commit, so that views neither wait for a commit in progress,
// as Badger's own would, nor see half of it.
type snapshot struct {
	txn  *badger.Txn
	refs int
}

// hold takes a share in the present snapshot.
func (s *Store) hold() *snapshot {
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	s.snap.refs++
	return s.snap
}

// drop gives a share back; the last one ends the snapshot.
func (s *Store) drop(snap *snapshot) {
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	snap.refs--
	if snap.refs == 0 {
		snap.txn.Discard()
	}
}

// renew puts a snapshot of the last commit in place.
func (s *Store) renew() {
	next := &snapshot{txn: s.db.NewTransaction(false), refs: 1}
	s.snapMu.Lock()
	last := s.snap
	s.snap = next
	s.snapMu.Unlock()
	if last != nil {
		s.drop(last)
	}
}

// retire gives back the store's own share.
func (s *Store) retire() {
	s.snapMu.Lock()
	last := s.snap
	s.snap = nil
	s.snapMu.Unlock()
	if last != nil {
		s.drop(last)
	}
}

// reader is a [session.Reader] over a snapshot. It may be used by several
// goroutines.
type reader struct {
	store *Store
	txn   *badger.Txn
}

// readTries is how often a value is looked up before it counts as damaged: the
// value log's collector may move it between the look-up and the read.
const readTries = 3

// Get is described at [session.Reader].
func (r reader) Get(key []byte) ([]byte, error) {
	if len(key) == 0 {
		return nil, kv.ErrEmptyKey
	}
	var err error
	for range readTries {
		var value []byte
		if value, err = r.get(key); err == nil {
			return value, nil
		}
	}
	return nil, r.store.note(err)
}

func (r reader) get(key []byte) (value []byte, err error) {
	defer func() { err = caught(recover(), key, err) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	item, err := r.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, kv.Damaged(key, err)
	}
	return valueOf(key, item)
}

// Scan is described at [session.Reader].
func (r reader) Scan(prefix, from []byte, reverse bool) iter.Seq2[session.Entry, error] {
	return func(yield func(session.Entry, error) bool) {
		c, err := r.cursor(prefix, from, reverse)
		if err != nil {
			yield(session.Entry{}, r.store.note(err))
			return
		}
		defer c.close()
		for {
			e, ok, err := c.next()
			if err != nil {
				yield(session.Entry{}, r.store.note(err))
				return
			}
			if !ok || !yield(e, nil) {
				return
			}
		}
	}
}

// cursor is a Badger iterator within a prefix. Values are read one by one:
// Badger's prefetching reads them in goroutines, where a panic over damaged
// bytes could not be caught.
type cursor struct {
	it      *badger.Iterator
	started bool
	start   []byte
	prefix  []byte
}

func (r reader) cursor(prefix, from []byte, reverse bool) (c *cursor, err error) {
	defer func() { err = caught(recover(), prefix, err) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	start := from
	if !reverse {
		if string(from) < string(prefix) {
			start = prefix
		}
		o := badger.IteratorOptions{Prefix: prefix}
		return &cursor{it: r.txn.NewIterator(o), start: start, prefix: prefix}, nil
	}
	if from == nil || string(from) > string(prefix) && !bytes.HasPrefix(from, prefix) {
		start = after(prefix) // itself is stepped over in next
	}
	// Without Prefix: Badger's iterator would end at once on a start behind it.
	o := badger.IteratorOptions{Reverse: true}
	return &cursor{it: r.txn.NewIterator(o), start: start, prefix: prefix}, nil
}

// next gives the next entry; ok is false at the end.
func (c *cursor) next() (e session.Entry, ok bool, err error) {
	at := c.prefix
	defer func() { err = caught(recover(), at, err) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	switch {
	case c.started:
		c.it.Next()
	case c.start == nil:
		c.it.Rewind()
	default:
		c.it.Seek(c.start)
	}
	if !c.started && c.it.Valid() && string(c.it.Item().Key()) == string(after(c.prefix)) {
		c.it.Next() // a reverse scan began at the key behind the prefix
	}
	c.started = true
	if !c.it.ValidForPrefix(c.prefix) {
		return session.Entry{}, false, nil
	}
	item := c.it.Item()
	at = item.KeyCopy(nil)
	value, err := valueOf(at, item)
	if err != nil {
		return session.Entry{Key: at}, false, err
	}
	return session.Entry{Key: at, Value: value}, true, nil
}

func (c *cursor) close() { c.it.Close() }

// valueOf opens the envelope. Badger gives an empty value and no error for one
// that it cannot read; the envelope tells that from a value that is empty.
func valueOf(key []byte, item *badger.Item) ([]byte, error) {
	raw, err := item.ValueCopy(nil)
	if err != nil {
		return nil, kv.Damaged(key, err)
	}
	return kv.Open(key, raw)
}

// caught turns a panic within Badger into damage at key. What is caught is
// damaged bytes that Badger trusts, and a disk that fails under a mapped file.
func caught(cause any, key []byte, err error) error {
	if cause == nil {
		return err
	}
	return kv.Damaged(key, fmt.Errorf("badger panicked: %v", cause))
}

// note counts damage.
func (s *Store) note(err error) error {
	if errors.Is(err, session.ErrCorrupt) {
		s.counters.damage.Add(1)
	}
	return err
}

// after gives a key behind all keys with prefix, or nil if there is none.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
