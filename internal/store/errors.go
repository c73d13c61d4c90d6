package store

import (
	"errors"
	"fmt"
)

// Refusals and failures of a [Store].
var (
	// ErrInUse says that another process has the directory.
	ErrInUse = errors.New("store: directory is in use by another process")
	// ErrReserve says that the disk is nearly full: the write was not made.
	ErrReserve = errors.New("store: disk reserve reached, writes are refused")
	// ErrFailed says that a commit failed. Whether the write is durable is
	// unknown, and the store refuses all further writes; reads go on.
	ErrFailed = errors.New("store: a commit failed, the store takes no more writes")
	// ErrTooBig says that one Update wrote more than one transaction can hold.
	ErrTooBig = errors.New("store: write is too big for one transaction")
	// ErrClosed says that the store is closed or its Run has ended.
	ErrClosed = errors.New("store: closed")
	// ErrRunning says that Run was called twice.
	ErrRunning = errors.New("store: already running")
)

// DamageError says that the store cannot be opened because a file is damaged.
type DamageError struct {
	File string // path of the file, or of the directory if it is not known
	Err  error
	Hint string // what the operator can do
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("store file %s is damaged: %v (%s)", e.File, e.Err, e.Hint)
}

// Unwrap gives the cause.
func (e *DamageError) Unwrap() error { return e.Err }

const damageHint = "move the data directory aside and start with an empty one; " +
	"what the core or other nodes hold is fetched again"

// Loss says that the store, when it was opened, had fewer commits than were
// acknowledged.
type Loss struct {
	Committed uint64 // the last commit known to have been acknowledged
	Found     uint64 // the last commit that the store has
	// Unconfirmed is set if it is not known how far commits had come, because
	// the high-water file is missing or damaged.
	Unconfirmed bool
}

func (l *Loss) String() string {
	if l.Unconfirmed {
		return fmt.Sprintf("high-water file is missing or damaged; the store has commits up to %d", l.Found)
	}
	return fmt.Sprintf("commits %d to %d were acknowledged and are gone", l.Found+1, l.Committed)
}
