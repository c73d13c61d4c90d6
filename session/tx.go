package session

import "iter"

// Reader is the reading half of a store transaction: a consistent view that
// includes the transaction's own writes. Keys are compared as bytes.
type Reader interface {
	// Get returns the value at key, or nil and no error when there is none.
	// The slice may be shared: nobody changes its bytes. A damaged record is an error that wraps
	// [ErrCorrupt], never nil and never other bytes.
	Get(key []byte) ([]byte, error)
	// Scan yields the entries whose key begins with prefix: upwards from the
	// smallest key >= from, or downwards from the largest key <= from when
	// reverse is set. A nil from begins at that end of the prefix. After the
	// first error it stops. Key and value may be shared, as in Get. The scan must
	// not be interleaved with writes of the same transaction.
	Scan(prefix, from []byte, reverse bool) iter.Seq2[Entry, error]
}

// Tx is a store transaction: all of its writes become durable together or not
// at all. One goroutine owns it.
type Tx interface {
	Reader
	// Put stores value at key. It keeps neither slice.
	Put(key, value []byte) error
	// Delete removes key; an absent key is no error.
	Delete(key []byte) error
}

// Entry is one key and its value.
type Entry struct {
	Key, Value []byte
}
