package kv

import (
	"errors"
	"iter"
	"slices"

	"github.com/causeway-sync/causeway/session"
)

// Errors that a [Batch] gives.
var (
	// ErrEmptyKey refuses a key without bytes.
	ErrEmptyKey = errors.New("kv: key is empty")
	// ErrKeyTooLong refuses a key over [MaxKeyBytes].
	ErrKeyTooLong = errors.New("kv: key is too long")
	// ErrScanDisturbed ends a scan during which the transaction wrote.
	ErrScanDisturbed = errors.New("kv: the transaction wrote during a scan")
)

// MaxKeyBytes is the longest key, in bytes.
const MaxKeyBytes = 32 << 10

// Batch is a [session.Tx]: writes that are pending over a base, and visible to
// its own reads. It can take back what was written since a mark, so that one
// function of a group can fail without harm to the others.
//
// Cost: a write is one map entry and one place in an ordered list; a scan
// merges the pending keys of its range with the base.
type Batch struct {
	base    session.Reader
	inline  int
	pending map[string]write
	keys    Keys
	undo    []undo
	size    Size
	writes  uint64 // counts up with every change
}

// Size is what a batch amounts to in the store.
type Size struct {
	Entries int // pending keys
	Inline  int // bytes of keys, of small values, and of pointers to big ones
	Payload int // bytes of keys and values
}

type write struct {
	value   []byte
	deleted bool
}

type undo struct {
	key    string
	before write
	fresh  bool // the key was not pending before
}

// pointerBytes is what a value that lies elsewhere costs in the tree.
const pointerBytes = 12

// NewBatch returns an empty batch over base. Values of at least inline bytes,
// envelope included, count as stored elsewhere in [Size].Inline.
func NewBatch(base session.Reader, inline int) *Batch {
	return &Batch{base: base, inline: inline, pending: make(map[string]write)}
}

// Get is described at [session.Reader].
func (b *Batch) Get(key []byte) ([]byte, error) {
	w, ok := b.pending[string(key)]
	switch {
	case !ok:
		return b.base.Get(key)
	case w.deleted:
		return nil, nil
	}
	return w.value, nil
}

// Put is described at [session.Tx].
func (b *Batch) Put(key, value []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	b.set(string(key), write{value: cloned(value)})
	return nil
}

// Delete is described at [session.Tx].
func (b *Batch) Delete(key []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	b.set(string(key), write{deleted: true})
	return nil
}

// Scan is described at [session.Reader].
func (b *Batch) Scan(prefix, from []byte, reverse bool) iter.Seq2[session.Entry, error] {
	return func(yield func(session.Entry, error) bool) {
		before := b.writes
		guarded := func(e session.Entry, err error) bool {
			if err == nil && b.writes != before {
				err = ErrScanDisturbed
			}
			return yield(e, err) && err == nil
		}
		b.merge(prefix, from, reverse, guarded)
	}
}

// merge walks the base and the pending keys side by side; pending ones win.
func (b *Batch) merge(prefix, from []byte, reverse bool, yield func(session.Entry, error) bool) {
	var pending []string
	for key := range b.keys.Scan(string(prefix), string(from), from != nil, reverse) {
		pending = append(pending, key)
	}
	// emit yields the first pending entry and drops it from the list.
	emit := func() bool {
		key := pending[0]
		pending = pending[1:]
		w := b.pending[key]
		return w.deleted || yield(session.Entry{Key: []byte(key), Value: w.value}, nil)
	}
	for e, err := range b.base.Scan(prefix, from, reverse) {
		if err != nil {
			yield(session.Entry{}, err)
			return
		}
		for len(pending) > 0 && precedes(pending[0], e.Key, reverse) {
			if !emit() {
				return
			}
		}
		if len(pending) > 0 && pending[0] == string(e.Key) {
			if !emit() {
				return
			}
			continue
		}
		if !yield(e, nil) {
			return
		}
	}
	for len(pending) > 0 {
		if !emit() {
			return
		}
	}
}

// Mark names the present state for [Batch.Rollback].
func (b *Batch) Mark() int { return len(b.undo) }

// Rollback takes back every write since mark.
func (b *Batch) Rollback(mark int) {
	for _, u := range slices.Backward(b.undo[mark:]) {
		b.count(u.key, b.pending[u.key], -1)
		if u.fresh {
			delete(b.pending, u.key)
			b.keys.Remove(u.key)
			continue
		}
		b.pending[u.key] = u.before
		b.count(u.key, u.before, 1)
	}
	b.undo = b.undo[:mark]
	b.writes++
}

// Size gives what is pending.
func (b *Batch) Size() Size { return b.size }

// Write is one pending write.
type Write struct {
	Key     string
	Value   []byte // shared with the batch
	Deleted bool
}

// All yields the pending writes in the order of their keys.
func (b *Batch) All() iter.Seq[Write] {
	return func(yield func(Write) bool) {
		for key := range b.keys.Scan("", "", false, false) {
			w := b.pending[key]
			if !yield(Write{Key: key, Value: w.value, Deleted: w.deleted}) {
				return
			}
		}
	}
}

func (b *Batch) set(key string, w write) {
	before, had := b.pending[key]
	b.undo = append(b.undo, undo{key: key, before: before, fresh: !had})
	if had {
		b.count(key, before, -1)
	} else {
		b.keys.Insert(key)
	}
	b.count(key, w, 1)
	b.pending[key] = w
	b.writes++
}

// count adds an entry to the size, or takes it off with sign -1.
func (b *Batch) count(key string, w write, sign int) {
	value := len(w.value) + Overhead
	if w.deleted {
		value = 0
	}
	b.size.Entries += sign
	b.size.Payload += sign * (len(key) + value)
	if value >= b.inline {
		value = pointerBytes
	}
	b.size.Inline += sign * (len(key) + value)
}

func checkKey(key []byte) error {
	switch {
	case len(key) == 0:
		return ErrEmptyKey
	case len(key) > MaxKeyBytes:
		return ErrKeyTooLong
	}
	return nil
}

func precedes(pending string, key []byte, reverse bool) bool {
	if reverse {
		return pending > string(key)
	}
	return pending < string(key)
}

// cloned copies b; unlike bytes.Clone it never gives nil, which means absence.
func cloned(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c
}
