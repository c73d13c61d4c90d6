package push

import (
	"log/slog"
	"time"

	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Source is where changes come from: a node. See httpapi.Service.
type Source interface {
	Page(space, id string, since vclock.Vector) (changes []session.Change, more bool, err error)
	Held(space, id string) (vclock.Vector, error)
	Covers(space, id string, since vclock.Vector) (bool, error)
	Follow(space, id string, moved func()) (stop func())
	HasMessage(space, id, message string) (bool, error)
	Wire() (node string, w Wire)
}

// Wire is how signals come to other nodes. None of its methods waits for the net.
type Wire interface {
	Publish(subject string, data []byte) error
	Subscribe(subject string) (cancel func(), err error)
	Hear(func(subject string, data []byte)) // what is called for each that comes
	Up() (times uint64, up bool)            // how often it came up: signals are lost in between
	Backlog() int                           // bytes that were given to the link and have not been sent
}

// Options shape a hub. Zero values stand for defaults.
type Options struct {
	Times    live.Times
	MaxConns int
	Log      *slog.Logger
}

// Limits of the connections of a node.
const (
	// MaxConns is how many clients may be connected, unless options say otherwise.
	MaxConns = 10_000
	// MaxSubscriptions is what one connection may follow.
	MaxSubscriptions = 1000
	// MaxMessageBytes is the largest message of a client: a whole message of a
	// session or a text edit with names around it. Batches beyond go over HTTP.
	MaxMessageBytes = 320 << 10
	// WriteBytes is about what is written to a client at a time.
	WriteBytes = 64 << 10
	// deflateFrom is the size from which on messages are compressed.
	deflateFrom = 512
	// keptBuffer is the largest buffer that is used again.
	keptBuffer = 2 * WriteBytes
	// MaxNotes and MaxNoteBytes bound the signals that wait for one client; the
	// first one may be bigger.
	MaxNotes     = 1024
	MaxNoteBytes = 512 << 10
	// flushEvery is the least time between two tellings to other nodes: what is
	// said meanwhile goes together.
	flushEvery = 25 * time.Millisecond
	// wireRate and wireBurst bound what is told to other nodes, in bytes a second
	// and at once.
	wireRate  = 128 << 10
	wireBurst = 64 << 10
	// maxBacklog is how much may wait for the link before signals wait too: ops go first.
	maxBacklog = 16 << 10
	// maxLoads bounds the pages that are read from the store side by side.
	maxLoads = 8
)
