package session

import (
	"encoding/json"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// Document is a session as clients see it.
type Document struct {
	ID           string            `json:"id"`
	Space        string            `json:"space"`
	State        string            `json:"state"`
	Order        string            `json:"order"`
	Version      string            `json:"version"` // vclock.Vector.String
	Context      json.RawMessage   `json:"context"`
	Conflicts    []Conflict        `json:"conflicts"` // never nil
	MessageCount int               `json:"message_count"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
	ExpiresAt    *time.Time        `json:"expires_at"`
	Labels       map[string]string `json:"labels"`          // never nil
	Texts        []string          `json:"texts,omitempty"` // names, sorted
}

// Conflict lists what concurrent writes left beside the value that is shown.
type Conflict struct {
	Kind   string    `json:"kind"` // "context", "state", "message", "open", "tool"
	Path   string    `json:"path"` // JSON pointer, or the message id, or ""
	Shown  Variant   `json:"shown"`
	Others []Variant `json:"others"`
}

// Variant is one of several concurrent values.
type Variant struct {
	Value   json.RawMessage `json:"value,omitempty"`
	Deleted bool            `json:"deleted,omitempty"`
	At      time.Time       `json:"at"`
	Actor   string          `json:"actor,omitempty"`
	Origin  string          `json:"origin"`
	Reason  string          `json:"reason,omitempty"` // why it is not shown, e.g. "concurrent; earlier stamp"
}

// Message is a message as clients see it.
type Message struct {
	Dot        vclock.Dot      `json:"-"` // of the put that is shown
	ID         string          `json:"id"`
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content,omitempty"`
	Name       string          `json:"name,omitempty"`
	ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"`
	Parent     string          `json:"parent,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	At         time.Time       `json:"at"`
	Actor      string          `json:"actor,omitempty"`
	Origin     string          `json:"origin"`
	Version    string          `json:"version"` // the op's Deps with its Dot
	Durability string          `json:"durability,omitempty"`
	EditedAt   *time.Time      `json:"edited_at,omitempty"`
	Redacted   bool            `json:"redacted,omitempty"`
	Depth      int             `json:"depth,omitempty"`    // view=tree: number of branch points above
	Children   []string        `json:"children,omitempty"` // view=tree: ids of the direct replies, in order
	Placing    *Placing        `json:"explain,omitempty"`  // explain=true: why it stands where it does
	// Synthetic marks a message that nobody wrote, shown so that each call has a
	// result and each result a call; see [SyntheticInterrupted] and its kin.
	Synthetic string   `json:"synthetic,omitempty"`
	Others    []string `json:"others,omitempty"` // with Repair: further results of the same call
}

// Change is one op as clients see it in a list of changes.
type Change struct {
	Type    string          `json:"type"` // "open", "transition", "message", "edit", "redact", "context", "adjust", "text", "claim", "complete", "expire", "erase", "unknown"
	Session string          `json:"session"`
	Dot     string          `json:"op"`      // vclock.Dot.String
	Version string          `json:"version"` // cursor: everything up to and including this change
	At      time.Time       `json:"at"`
	Actor   string          `json:"actor,omitempty"`
	Origin  string          `json:"origin"`
	Key     string          `json:"key,omitempty"`
	Message *Message        `json:"message,omitempty"` // message, edit, redact
	State   string          `json:"state,omitempty"`   // transition
	Context json.RawMessage `json:"context,omitempty"` // open, context: merge patch; adjust: list of ops
	Text    *TextChange     `json:"text,omitempty"`
	Tool    *ToolChange     `json:"tool,omitempty"` // claim, complete
}

// ToolChange is a claim of a tool call or its outcome, in a list of changes.
type ToolChange struct {
	Key     string          `json:"key,omitempty"`
	By      string          `json:"by,omitempty"`
	Call    string          `json:"call,omitempty"`
	Tool    string          `json:"tool,omitempty"`
	Over    string          `json:"over,omitempty"`
	Decided string          `json:"decided,omitempty"`
	Claim   string          `json:"claim,omitempty"` // of complete: what is completed
	Result  json.RawMessage `json:"result,omitempty"`
	Failed  bool            `json:"failed,omitempty"`
}
