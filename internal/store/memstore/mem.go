package memstore

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/causeway-sync/causeway/internal/store/kv"
	"github.com/causeway-sync/causeway/session"
)

// Errors that writes give.
var (
	// ErrFull says that the simulated disk is full; nothing was written.
	ErrFull = errors.New("memstore: disk is full")
	// ErrFailed says that an fsync failed: the outcome is unknown, and the
	// store takes no more writes until it is opened again by a crash.
	ErrFailed = errors.New("memstore: fsync failed, no more writes are taken")
)

// Mem is a simulated store. The zero value is not usable; see [New].
//
// Invariant: synced <= commits; undo has what reverts commits synced+1 …
// commits, in that order.
type Mem struct {
	records map[string]record
	keys    kv.Keys
	undo    [][]change // one list for each commit that is not synced
	commits uint64
	synced  uint64
	high    uint64 // the high-water mark: commits that were acknowledged as durable
	lost    *Loss
	manual  bool
	full    bool
	sync    error // what fsync gives
	failed  bool
	bytes   int

	doubtful []change // what a failed fsync left in doubt: the values that were written
	doubts   uint64   // commits among it
}

// record is what is kept at a key: the key, and behind it the value in its
// envelope. Nothing changes its bytes: readers and clones share them. The zero
// record stands for absence.
type record struct {
	bytes []byte
	width int // of the key
}

func sealed(key string, value []byte) record {
	b := append(make([]byte, 0, len(key)+kv.Overhead+len(value)), key...)
	return record{kv.AppendSealed(b, b, value), len(key)}
}

func (r record) key() []byte { return r.bytes[:r.width:r.width] }

func (r record) open() ([]byte, error) { return kv.Open(r.key(), r.bytes[r.width:]) }

// change is what a commit did to one key.
type change struct {
	key    string
	before record // zero if the key was absent
}

// Loss says that acknowledged commits were gone after a crash.
type Loss struct {
	Committed uint64 // the last commit that was acknowledged
	Found     uint64 // the last commit that is there
}

// New returns an empty store in which every Update is synced before it returns.
func New() *Mem {
	return &Mem{records: make(map[string]record)}
}

// ManualSync leaves syncing to [Mem.Sync], for a machine that answers only
// after its writes are durable.
func (m *Mem) ManualSync() { m.manual = true }

// Update runs fn in a transaction. An error of fn is returned and leaves
// nothing behind. Without ManualSync, nil means that the writes are durable.
func (m *Mem) Update(fn func(tx session.Tx) error) error {
	if m.failed {
		return ErrFailed
	}
	b := kv.NewBatch(reader{m}, 1<<30)
	if err := fn(b); err != nil {
		return err
	}
	if b.Size().Entries == 0 {
		return nil
	}
	if m.full {
		return ErrFull
	}
	m.apply(b)
	if m.manual {
		return nil
	}
	return m.Sync()
}

// apply puts the writes into the page cache, so to speak.
func (m *Mem) apply(b *kv.Batch) {
	undo := make([]change, 0, b.Size().Entries)
	for w := range b.All() {
		undo = append(undo, change{key: w.Key, before: m.records[w.Key]})
		if w.Deleted {
			m.set(w.Key, record{})
			continue
		}
		m.set(w.Key, sealed(w.Key, w.Value))
	}
	m.undo = append(m.undo, undo)
	m.commits++
}

// set stores rec at key; the zero record removes what is there.
func (m *Mem) set(key string, rec record) {
	before, had := m.records[key]
	if had {
		m.bytes -= len(before.bytes)
	}
	if rec.bytes == nil {
		delete(m.records, key)
		m.keys.Remove(key)
		return
	}
	m.records[key] = rec
	if !had {
		m.keys.Insert(key)
	}
	m.bytes += len(rec.bytes)
}

// Sync makes all commits durable. An injected error fails the store.
func (m *Mem) Sync() error {
	if m.failed {
		return ErrFailed
	}
	if m.sync != nil {
		m.failed = true
		m.hide()
		return fmt.Errorf("%w: %w", ErrFailed, m.sync)
	}
	m.synced, m.high = m.commits, m.commits
	m.undo = nil
	return nil
}

// hide takes what is not synced out of sight. A crash decides whether it was
// durable after all.
func (m *Mem) hide() {
	m.doubtful, m.doubts = nil, m.commits-m.synced
	for _, undo := range m.undo {
		for _, c := range undo {
			m.doubtful = append(m.doubtful, change{key: c.key, before: m.records[c.key]})
		}
	}
	m.revert(0)
	m.undo = nil
}

// View calls fn with the last commit. fn must not update the store.
func (m *Mem) View(fn func(r session.Reader) error) error { return fn(reader{m}) }

// Crash stops the machine: of the commits that are not synced a random number
// of the oldest stays, the next one is torn and therefore dropped whole, the
// others are gone. What was injected is over. It returns how many were dropped.
func (m *Mem) Crash(random *rand.Rand) (dropped int) {
	keep := random.IntN(len(m.undo) + 1)
	dropped = len(m.undo) - keep
	m.revert(keep)
	m.undo = nil
	if m.doubts > 0 && random.IntN(2) == 0 {
		for _, c := range m.doubtful {
			m.set(c.key, c.before)
		}
		m.commits += m.doubts
	}
	m.doubtful, m.doubts = nil, 0
	m.synced = m.commits
	m.full, m.sync, m.failed = false, nil, false
	m.judge()
	return dropped
}

// LoseSynced is a crash with a disk that lied about its fsyncs, or whose log
// rotted: the store is again what it was when old was cloned from it, but its
// high-water mark is not. [Mem.Lost] reports it.
func (m *Mem) LoseSynced(old *Mem) {
	old = old.Clone()
	m.records, m.keys, m.bytes = old.records, old.keys, old.bytes
	m.commits, m.synced, m.undo = old.commits, old.commits, nil
	m.full, m.sync, m.failed = false, nil, false
	m.judge()
}

// judge compares the commits found with the high-water mark. An earlier loss
// stays until it is forgiven.
func (m *Mem) judge() {
	if m.commits < m.high {
		m.lost = &Loss{Committed: m.high, Found: m.commits}
	}
}

// Lost is non-nil after a crash that took acknowledged commits, until Forgive.
func (m *Mem) Lost() *Loss { return m.lost }

// Forgive ends Lost, as taking a new epoch does.
func (m *Mem) Forgive() { m.lost, m.high = nil, m.commits }

// revert undoes all but the first keep commits that are not synced.
func (m *Mem) revert(keep int) {
	for _, undo := range slices.Backward(m.undo[keep:]) {
		for _, c := range undo {
			m.set(c.key, c.before)
		}
		m.commits--
	}
}

// Clone returns a copy that shares nothing that changes: an old state to come
// back to, a backup, or a second node with the same past. Injected faults and
// what is not synced do not go with it.
func (m *Mem) Clone() *Mem {
	c := &Mem{
		records: maps.Clone(m.records), keys: m.keys.Clone(), undo: slices.Clone(m.undo),
		commits: m.commits, synced: m.synced, high: m.high, bytes: m.bytes, manual: m.manual,
	}
	c.revert(0)
	c.undo = nil
	c.synced = c.commits
	return c
}

// Rot flips one bit in the record at key; false means that there is none.
func (m *Mem) Rot(key []byte, random *rand.Rand) bool {
	rec, ok := m.records[string(key)]
	if !ok {
		return false
	}
	rec.bytes = slices.Clone(rec.bytes) // others share the old ones
	rec.bytes[rec.width+random.IntN(len(rec.bytes)-rec.width)] ^= 1 << random.IntN(8)
	m.records[string(key)] = rec
	return true
}

// RotAny flips one bit in a random record and returns its key, nil if the store
// is empty.
func (m *Mem) RotAny(random *rand.Rand) []byte {
	if m.keys.Len() == 0 {
		return nil
	}
	target := random.IntN(m.keys.Len())
	for key := range m.keys.Scan("", "", false, false) {
		if target == 0 {
			m.Rot([]byte(key), random)
			return []byte(key)
		}
		target--
	}
	return nil
}

// Pick returns the key of a random record below prefix, nil if there is none.
func (m *Mem) Pick(prefix []byte, random *rand.Rand) []byte {
	var keys []string
	for key := range m.keys.Scan(string(prefix), "", false, false) {
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil
	}
	return []byte(keys[random.IntN(len(keys))])
}

// SetFull says whether the disk is full: writes then give [ErrFull].
func (m *Mem) SetFull(full bool) { m.full = full }

// FailSync makes the next fsync fail with err, and with it the store.
func (m *Mem) FailSync(err error) { m.sync = err }

// Commits is the number of the last commit.
func (m *Mem) Commits() uint64 { return m.commits }

// Bytes is the size of all keys and records.
func (m *Mem) Bytes() int { return m.bytes }

// reader reads the last commit.
type reader struct{ m *Mem }

// Get is described at [session.Reader].
func (r reader) Get(key []byte) ([]byte, error) {
	if len(key) == 0 {
		return nil, kv.ErrEmptyKey
	}
	rec, ok := r.m.records[string(key)]
	if !ok {
		return nil, nil
	}
	return rec.open()
}

// Scan is described at [session.Reader].
func (r reader) Scan(prefix, from []byte, reverse bool) iter.Seq2[session.Entry, error] {
	return func(yield func(session.Entry, error) bool) {
		for key := range r.m.keys.Scan(string(prefix), string(from), from != nil, reverse) {
			rec := r.m.records[key]
			value, err := rec.open()
			if err != nil {
				yield(session.Entry{}, err)
				return
			}
			if !yield(session.Entry{Key: rec.key(), Value: value}, nil) {
				return
			}
		}
	}
}
