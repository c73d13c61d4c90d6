package httpapi

import (
	"context"
	"time"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Service is the node behind the API. All methods may be called concurrently.
// Refusals are the sentinels of package session, or [ErrUnavailable] and its
// kin below, wrapped.
type Service interface {
	// Write carries out cmd durably and returns after its fsync, or, with
	// Core, after the core's quorum has it or CoreTimeout has passed. Without a
	// level the node's policy chooses one. It calls [Committed] when its turn at
	// the store is over.
	Write(ctx context.Context, cmd session.Command, level Durability) (Answer, error)
	Session(ctx context.Context, space, id string) (session.Document, error)
	Sessions(ctx context.Context, space string, q ListQuery) (docs []session.Document, next string, err error)
	// Messages lists in the session's order; After and Before are message ids.
	// With neither, and Tail set, it gives the last Limit messages.
	Messages(ctx context.Context, space, id string, q MessageQuery) (msgs []session.Message, next string, err error)
	// Text gives a named text of a session.
	Text(ctx context.Context, space, id, name string) (session.Text, error)
	// Tool shows what the ledger says of a tool call, named as a claim would.
	Tool(ctx context.Context, space, id string, do session.ClaimTool) (session.Tool, error)
	// Changes lists what since does not cover; id empty means the whole space.
	// With nothing to list it waits up to wait. next always covers the listed. A
	// session that is not here is waited for as well, and is no error if since
	// covers something.
	Changes(ctx context.Context, space, id string, since vclock.Vector, limit int, wait time.Duration) (changes []session.Change, next vclock.Vector, err error)
	// Page is Changes at once, within the bounds of package live; more says that
	// these ended it. A session that is not here is an error.
	Page(space, id string, since vclock.Vector) (changes []session.Change, more bool, err error)
	// Held is the version of a session here, empty if it is not here, or of the
	// space for id "".
	Held(space, id string) (vclock.Vector, error)
	// Covers reports whether the node holds everything that since covers, a
	// version of the session or, for id "", of the space.
	Covers(space, id string, since vclock.Vector) (bool, error)
	// Follow calls moved after each change of the session or, for id "", of the
	// space, until stop is called. moved returns at once.
	Follow(space, id string, moved func()) (stop func())
	// HasMessage reports whether a session has a message here; one that is not
	// here has none.
	HasMessage(space, id, message string) (bool, error)
	// Wire is the node's name and how signals come to other nodes; nil if they do not.
	Wire() (node string, w push.Wire)
	// Digest hashes the state of one session, or of the whole space for id "".
	Digest(ctx context.Context, space, id string) (Digest, error)
	Spaces(ctx context.Context) ([]string, error)
	Status(ctx context.Context) (Status, error)
	// Ready is nil when the node can take writes.
	Ready(ctx context.Context) error
}

// Durability is the level at which a write is acknowledged.
type Durability string

// The levels.
const (
	Local Durability = "local" // fsynced at this node
	Core  Durability = "core"  // stored by the core's quorum
)

// Answer is the outcome of a write.
type Answer struct {
	Version    vclock.Vector
	Seal       session.Seal // for EditText: of Version
	Durability Durability
	Degraded   bool // Core was asked for and could not be had in time
	Replayed   bool // the idempotency key was known: this is the first answer again
	Document   *session.Document
	Messages   []session.Message // for Append, EditMessage and RedactMessage
	Edits      []text.Edit       // for EditText: the others' edits since its base
	Tool       *session.Tool     // for ClaimTool and CompleteTool
	// Fallback says why the answer is Degraded: the name of the degraded mode.
	Fallback string
}

// ListQuery filters a list of sessions.
type ListQuery struct {
	State string // "" for all
	Label string // "key=value", "" for all
	Limit int
	After string // token of the page before
}

// MessageQuery selects a page of messages.
type MessageQuery struct {
	Limit         int
	After, Before string
	Tail          bool
	Tree          bool
	Explain       bool
	Repair        bool // see [session.Query], also for what follows
	Model         bool
	Last, Tokens  int
}

// Digest is a hash of state at a version: equal at two replicas means equal state.
type Digest struct {
	Space    string `json:"space"`
	Session  string `json:"session,omitempty"`
	Version  string `json:"version"`
	Digest   string `json:"digest"` // hex SHA-256
	Sessions int    `json:"sessions,omitempty"`
	Messages int    `json:"messages,omitempty"`
	Waiting  int    `json:"waiting"` // ops held whose dependencies are missing
}

// Status is what a node says about itself.
type Status struct {
	Node     string        `json:"node"`
	Role     string        `json:"role"` // "edge" or "core"
	Cluster  string        `json:"cluster"`
	Version  string        `json:"version"`
	Origin   string        `json:"origin"`
	Started  time.Time     `json:"started_at"`
	Degraded []Degradation `json:"degraded"` // never nil
	Link     *LinkStatus   `json:"link,omitempty"`
	Core     *CoreStatus   `json:"core,omitempty"`
	Spaces   []SpaceStatus `json:"spaces"` // never nil
	Clock    ClockStatus   `json:"clock"`
	Store    StoreStatus   `json:"store"`
	Dropped  uint64        `json:"dropped_messages"` // of peers, since the start: damaged, malformed or refused
	Intake   IntakeStatus  `json:"intake"`
	Guard    *GuardStatus  `json:"core_breaker,omitempty"`
}

// IntakeStatus says who was let in and who was not, since the start; by class
// of requests, Limited by scope of the quota.
type IntakeStatus struct {
	Inside   int               `json:"inside"`  // writes that are carried out now
	Waiting  int               `json:"waiting"` // writes that wait for that
	Entered  map[string]uint64 `json:"entered"`
	Shed     map[string]uint64 `json:"shed"`
	Limited  map[string]uint64 `json:"limited"`
	Reserved uint64            `json:"reserved"` // turned away for lack of memory or disk
}

// GuardStatus is the state of the circuit breaker around what needs the core.
type GuardStatus struct {
	Breaker  string `json:"state"`     // "closed", "half-open", "open"
	Firm     uint64 `json:"firm"`      // writes and claims that the core took, since the start
	FellBack uint64 `json:"fell_back"` // those that it did not take in time
}

// Degradation is a degraded mode in force.
type Degradation struct {
	Name   string    `json:"name"` // stable, e.g. "link_down", "store_lost_commits"
	Since  time.Time `json:"since"`
	Detail string    `json:"detail"`
}

// LinkStatus is the state of an edge's link.
type LinkStatus struct {
	State    string     `json:"state"` // "down", "connecting", "attached"
	Core     string     `json:"core,omitempty"`
	RTT      string     `json:"rtt,omitempty"`
	Since    time.Time  `json:"since"`
	LastSeen *time.Time `json:"last_seen,omitempty"`
	Refused  string     `json:"refused,omitempty"` // why the core refused the node the last time
}

// CoreStatus is the state of a core node.
type CoreStatus struct {
	Stores         int          `json:"stores"`
	StoresRequired int          `json:"stores_required"`
	Quorum         bool         `json:"quorum"`
	Attached       []string     `json:"attached"` // names of attached nodes
	Streams        []StreamInfo `json:"streams"`
}

// StreamInfo is one partition stream as this node sees it.
type StreamInfo struct {
	Name    string `json:"name"`
	Last    uint64 `json:"last"`
	Applied uint64 `json:"applied"`
	Leader  string `json:"leader,omitempty"`
}

// SpaceStatus is the state of one space at this node.
type SpaceStatus struct {
	Space    string `json:"space"`
	Version  string `json:"version"`
	Ops      uint64 `json:"ops"`
	Sessions uint64 `json:"sessions"`
	Backlog  uint64 `json:"backlog"` // ops that the core does not yet hold on enough stores
	Waiting  uint64 `json:"waiting"`
}

// StoreStatus is the state of the node's store.
type StoreStatus struct {
	Commits   uint64   `json:"commits"`
	BytesFree uint64   `json:"bytes_free"`
	Repairs   uint64   `json:"repairs"`
	Problems  []string `json:"problems"` // never nil
}
