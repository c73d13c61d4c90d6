package session

import (
	"errors"
	"fmt"
)

// Refusals: valid requests against a rule. The text after the colon of each
// is for people; shells map each to a stable code.
var (
	ErrNoSession       = errors.New("session: no such session")
	ErrSessionExists   = errors.New("session: id exists already")
	ErrSessionErased   = errors.New("session: erased")
	ErrSessionExpired  = errors.New("session: expired")
	ErrSessionEnded    = errors.New("session: ended")
	ErrIllegalMove     = errors.New("session: illegal transition")
	ErrNoMessage       = errors.New("session: no such message")
	ErrMessageExists   = errors.New("session: message id exists already")
	ErrMessageRedacted = errors.New("session: message is redacted")
	ErrNoCall          = errors.New("session: no such tool call")
	ErrCallAnswered    = errors.New("session: tool call has its result already")
	ErrToolClaimed     = errors.New("session: tool call is in progress")
	ErrToolDone        = errors.New("session: tool call is done")
	ErrNoClaim         = errors.New("session: no such claim of a tool call")
	ErrUnknownParent   = errors.New("session: parent is not a message of this session")
	ErrVersionMoved    = errors.New("session: moved on from the given version")
	ErrKeyReused       = errors.New("session: idempotency key used with another request")
	ErrWrongKind       = errors.New("session: path holds something of another kind")
	ErrOverflow        = errors.New("session: counter overflow")
	ErrTooBig          = errors.New("session: too big")
	ErrInvalid         = errors.New("session: invalid")
)

// Errors about bytes.
var (
	// ErrMalformed is returned by decoders of op bytes.
	ErrMalformed = errors.New("session: malformed op")
	// ErrNotReady says that an op depends on ops which are not applied yet.
	ErrNotReady = errors.New("session: op depends on ops that are not applied")
	// ErrCorrupt says that a stored record is damaged; see [CorruptError].
	ErrCorrupt = errors.New("session: stored record is damaged")
)

// CorruptError names a damaged record. It wraps [ErrCorrupt].
type CorruptError struct {
	Key  []byte
	Err  error
	Hint string // what the operator can do
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("record %q: %v: %v", e.Key, ErrCorrupt, e.Err)
}

// Unwrap gives ErrCorrupt and the cause.
func (e *CorruptError) Unwrap() []error { return []error{ErrCorrupt, e.Err} }

// MoveError is an [ErrIllegalMove] with the legal moves.
type MoveError struct {
	From, To string
	Legal    []string
}

func (e *MoveError) Error() string {
	return fmt.Sprintf("%v: from %s to %s, legal moves are %v", ErrIllegalMove, e.From, e.To, e.Legal)
}

// Unwrap gives ErrIllegalMove.
func (e *MoveError) Unwrap() error { return ErrIllegalMove }

// LimitError is an [ErrTooBig] or [ErrInvalid] that names the field and the limit.
type LimitError struct {
	Err  error
	What string // e.g. "messages[3].content"
	Got  int
	Max  int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: %s is %d, at most %d", e.Err, e.What, e.Got, e.Max)
}

// Unwrap gives the class.
func (e *LimitError) Unwrap() error { return e.Err }
