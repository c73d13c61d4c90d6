package session

import (
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// Op is one immutable change to one session, made by one origin.
//
// Invariant: Deps never covers Dot; Stamp is later than the stamp of every op
// that Deps covers in this session.
type Op struct {
	Dot      vclock.Dot    // within the space: the feed's origin and number
	Space    string        // see ValidName
	Session  string        // see ValidName
	Deps     vclock.Vector // the session's vector at the author before this op
	Stamp    clocksync.Stamp
	Actor    string // who asked for it; may be empty
	Key      string // idempotency key; empty if the client gave none
	KeyIndex uint32 // this op is the KeyIndex-th written under Key, from 0
	Request  Digest // of the request that came with Key; zero without a key
	Body     Body
}

// Digest is the first half of a SHA-256 sum.
type Digest [16]byte

// Body is the closed set of changes: [Open], [Transition], [Put], [Edit],
// [Redact], [Set], [Adjust], [TextEdit], [Claim], [Complete], [Expire],
// [Erase], [Erased] and [Unknown].
type Body interface{ isBody() }

// Order is how a session's messages are shown in one line.
type Order uint8

// The two orders. Numbers are on the wire and never change meaning.
const (
	Turns Order = 0 // depth first over the tree of parents, branches by stamp
	Chat  Order = 1 // by stamp
)

// State is where a session is in its life; see package conflict for how
// concurrent moves merge.
type State = conflict.State

// The states in the order in which concurrent moves win: the higher one is
// shown. Numbers are on the wire and never change meaning.
const (
	Initialized = conflict.Initialized
	Active      = conflict.Active
	Paused      = conflict.Paused
	Ended       = conflict.Ended
)

// String names the order as the API does.
func (o Order) String() string {
	if o == Chat {
		return "chat"
	}
	return "turns"
}

// Open begins a session.
type Open struct {
	Order   Order
	TTL     time.Duration // idle time after which the session expires; 0 never
	Labels  map[string]string
	Context []Leaf
}

// Transition moves a session to a state. Epoch is the lifecycle epoch in which
// the move was made; a reopening counts it up and moves to Active.
type Transition struct {
	To    State
	Epoch uint64
}

// Put adds a message. Content, ToolCalls and Metadata are JSON as the client
// wrote it; empty means the member was absent.
type Put struct {
	ID         string // explicit id; empty: derived, see MessageID
	Parent     string // message id of the last message the author saw; empty at the root
	Role       string
	Name       string
	ToolCallID string
	Content    []byte
	ToolCalls  []byte
	Metadata   []byte
	CallOf     string // role tool: id of the message whose call this closes; empty if none
	CallIndex  uint32 // which of its calls, from 0
}

// Edit replaces a message's content, and its metadata when that is not empty.
type Edit struct {
	Message  string
	Content  []byte
	Metadata []byte
}

// Redact takes a message's content away for good.
type Redact struct{ Message string }

// Leaf is one leaf of a flattened merge patch: a value at a JSON pointer
// (RFC 6901), or its removal.
type Leaf struct {
	Path    string // "" is the whole context and never occurs
	Value   []byte // canonical JSON; nil when Deleted
	Deleted bool
}

// Set writes leaves of the context.
type Set struct{ Leaves []Leaf }

// ChangeKind is what an [Adjust] does at a path.
type ChangeKind uint8

// The kinds of adjustment. Numbers are on the wire and never change meaning.
const (
	CounterAdd ChangeKind = 0
	SetInsert  ChangeKind = 1
	SetRemove  ChangeKind = 2
)

// Adjustment is one change to a counter or an observed-remove set.
type Adjustment struct {
	Kind  ChangeKind
	Path  string
	By    int64  // CounterAdd
	Value []byte // SetInsert, SetRemove: canonical JSON
}

// Adjust changes counters and sets of the context.
type Adjust struct{ Changes []Adjustment }

// Expire ends an idle session as one unit. It takes effect only where its
// Deps cover every other op of the session.
type Expire struct{}

// Erase removes a session for good; no op, whenever it was written, brings it back.
type Erase struct{}

// Unknown is a body of a later version: stored and forwarded, not applied.
type Unknown struct {
	Kind uint32
	Raw  []byte
}

func (Open) isBody()       {}
func (Transition) isBody() {}
func (Put) isBody()        {}
func (Edit) isBody()       {}
func (Redact) isBody()     {}
func (Set) isBody()        {}
func (Adjust) isBody()     {}
func (Expire) isBody()     {}
func (Erase) isBody()      {}
func (Unknown) isBody()    {}

// Erased stands in for the body of an op whose session was erased; the op's
// original hash is kept beside it. Applying it only advances the vector.
type Erased struct{}

func (Erased) isBody() {}
