package sim

import "time"

// EventKind is what an event of the trace is about.
type EventKind uint8

// The kinds of event.
const (
	EvCall     EventKind = iota // a client asks: Node, Peer is the client
	EvAnswer                    // it is answered
	EvCommit                    // a group is durable at Node
	EvSend                      // Node sends a message to Peer
	EvArrive                    // it arrives at Node, from Peer; Cause is the EvSend
	EvDrop                      // it is lost on the way, and why
	EvPublish                   // Node publishes a frame on the stream
	EvStored                    // the stream has it
	EvConsume                   // Node reads it from the stream
	EvFact                      // a machine noticed something
	EvFault                     // a fault begins
	EvHeal                      // a fault ends
	EvCrash                     // Node is dead
	EvStart                     // Node runs
	EvReleased                  // the outbox of Node is released up to a number
	EvProblem                   // an invariant is broken
	EvCheck                     // an observation for people, e.g. "all nodes agree"
)

// String names the kind in lower case.
func (k EventKind) String() string {
	return [...]string{"call", "answer", "commit", "send", "arrive", "drop", "publish", "stored", "consume",
		"fact", "fault", "heal", "crash", "start", "released", "problem", "check"}[k]
}

// leads reports whether what follows in the same step follows from the event.
func (e *Event) leads() bool {
	switch e.Kind {
	case EvCall, EvCommit, EvArrive, EvPublish, EvStored, EvConsume, EvStart:
		return true
	default:
		return false
	}
}

// Event is one line of the trace: what a person needs to follow the run.
type Event struct {
	Serial uint64 // position in the trace, from 1
	At     time.Duration
	Kind   EventKind
	Node   string // whose lane it stands in
	Peer   string // the other end, if any
	Cause  uint64 // serial of the event that it follows from, e.g. the EvSend of an EvArrive; 0: none
	What   string // e.g. "deliver", "receipts", "append", "partition"
	Detail string // for people, e.g. "default edge-1~ab 3-7"
	Space  string
	// Session is set for what concerns one session; Vector for commits: what the
	// node then holds of Space, as a version token.
	Session string
	Vector  string
}
