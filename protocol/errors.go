package protocol

import (
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/vclock"
)

// Errors about what a peer sent.
var (
	// ErrMalformed is returned for bytes that no encoder of any version writes.
	ErrMalformed = errors.New("protocol: malformed")
	// ErrTooBig is returned for what exceeds a bound of this package.
	ErrTooBig = errors.New("protocol: too big")
	// ErrChecksum is returned for a message or frame whose checksum is wrong.
	ErrChecksum = errors.New("protocol: checksum differs")
	// ErrChain is returned for a frame whose ops do not add up to its chain.
	ErrChain = errors.New("protocol: chain differs")
	// ErrVersion is returned for a message of a later protocol version.
	ErrVersion = errors.New("protocol: later version")
	// ErrUnknownMessage is returned for a message kind of a later version.
	ErrUnknownMessage = errors.New("protocol: unknown message")
	// ErrUnexpected is returned by a machine for a message that is not for it.
	ErrUnexpected = errors.New("protocol: unexpected message")
	// ErrDisorder is returned by a machine for an input of its driver that
	// contradicts an earlier one, such as a head that goes back.
	ErrDisorder = errors.New("protocol: input out of order")
)

// FrameError says which frame was refused, and why. It wraps one of the
// errors above. Feed and From are zero when they could not be read.
type FrameError struct {
	Feed   Feed
	From   vclock.Seq
	Offset int // of the entry within the frame; -1: the frame as a whole
	Err    error
}

func (e *FrameError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("frame %s %s from %d: %v", e.Feed.Space, e.Feed.Origin, e.From, e.Err)
	}
	return fmt.Sprintf("frame %s %s from %d, entry %d: %v", e.Feed.Space, e.Feed.Origin, e.From, e.Offset, e.Err)
}

// Unwrap gives the cause.
func (e *FrameError) Unwrap() error { return e.Err }

// Code is the reason of a refusal on the wire. Numbers never change meaning.
type Code uint32

// The codes. A code that a node does not know is treated like CodeOverloaded.
const (
	CodeOverloaded   Code = 1 // too many attachments; come back later or go elsewhere
	CodeNotReady     Code = 2 // the core node is starting or refilling
	CodeWrongCluster Code = 3 // the edge is configured for another cluster
	CodeVersion      Code = 4 // the edge's protocol is too new for the core, or too old
	CodeFencedOrigin Code = 5 // the origin wrote one number twice; take a new epoch
	CodeUnknownSpace Code = 6 // the core does not carry a space that was asked for
	CodeMalformed    Code = 7 // the request could not be read or exceeds a limit
	CodeForbidden    Code = 8 // the node may not have what it asked for
)

// String names the code in lower case.
func (c Code) String() string {
	names := [...]string{
		CodeOverloaded: "overloaded", CodeNotReady: "not_ready", CodeWrongCluster: "wrong_cluster",
		CodeVersion: "version", CodeFencedOrigin: "fenced_origin", CodeUnknownSpace: "unknown_space",
		CodeMalformed: "malformed", CodeForbidden: "forbidden",
	}
	if int(c) < len(names) && names[c] != "" {
		return names[c]
	}
	return fmt.Sprintf("code_%d", uint32(c))
}

// lasting reports whether coming back soon cannot help.
func (c Code) lasting() bool {
	return c == CodeWrongCluster || c == CodeVersion || c == CodeUnknownSpace || c == CodeForbidden
}
