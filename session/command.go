package session

import (
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// Command is what a client asks of a session at its node. [Author] checks it
// against the session as the node sees it and turns it into ops.
type Command struct {
	Space, Session string
	Actor          string
	Key            string // idempotency key, may be empty
	Request        Digest // of the request, when Key is set
	IfMatch        *vclock.Vector
	Do             Action
}

// Action is the closed set of requests: [OpenSession], [Move], [Append],
// [EditMessage], [RedactMessage], [PatchContext], [AdjustContext],
// [EditText], [ClaimTool], [CompleteTool], [ExpireSession], [EraseSession].
type Action interface{ isAction() }

// OpenSession opens the session; ErrSessionExists if there is one.
type OpenSession struct {
	Order   Order
	TTL     time.Duration
	Labels  map[string]string
	Context []byte // a JSON object, or nil
}

// Move asks for a transition; To is "active", "paused", "ended" or "reopened".
type Move struct{ To string }

// Draft is a message that a client wants to append. Parent nil means: the last
// message of the session's order, as this node sees it.
type Draft struct {
	ID, Role, Name, ToolCallID   string
	Parent                       *string
	Content, ToolCalls, Metadata []byte
}

// Append adds messages, all or none; each but the first that names no parent
// follows the one before it.
type Append struct{ Messages []Draft }

// EditMessage replaces content (and metadata when not nil).
type EditMessage struct {
	ID                string
	Content, Metadata []byte
}

// RedactMessage takes the content of a message away.
type RedactMessage struct{ ID string }

// PatchContext applies a JSON merge patch (RFC 7396); Patch is a JSON object.
type PatchContext struct{ Patch []byte }

// AdjustContext changes counters and sets, all or none.
type AdjustContext struct{ Changes []Adjustment }

// ExpireSession marks the session expired if nothing was written meanwhile.
type ExpireSession struct{}

// EraseSession erases the session; it succeeds too when it is expired.
type EraseSession struct{}

func (OpenSession) isAction()   {}
func (Move) isAction()          {}
func (Append) isAction()        {}
func (EditMessage) isAction()   {}
func (RedactMessage) isAction() {}
func (PatchContext) isAction()  {}
func (AdjustContext) isAction() {}
func (ExpireSession) isAction() {}
func (EraseSession) isAction()  {}

// Env is what [Author] needs from the replica that it writes for.
type Env struct {
	// Next is the dot of the next op of this replica's feed in the space.
	Next func() vclock.Dot
	// Stamp returns a stamp later than after and than all earlier ones.
	Stamp func(after clocksync.Stamp) (clocksync.Stamp, error)
	// Emit appends the op to the feed and applies it to the session.
	Emit func(Op) error
	// Texts keeps texts between edits; it may be nil.
	Texts *Texts
}

// Written tells what [Author] did.
type Written struct {
	Ops      []Op          // what was emitted now, or under the same key before
	Replayed bool          // the key was known and the request the same: nothing was written
	Version  vclock.Vector // the session's vector after the (first) write
	Seal     Seal          // for EditText: of Version
	Others   []text.Edit   // for EditText: the others' edits since its base, transformed to follow its own
}
