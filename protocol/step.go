package protocol

import (
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// Instant is monotonic time since the driver started.
type Instant time.Duration

// Later gives the instant d after t.
func (t Instant) Later(d time.Duration) Instant { return t + Instant(d) }

// Place says what kind of subject a message goes to.
type Place uint8

// The places; see subjects.go for their subjects.
const (
	ToCore      Place = iota // requests to one core node: cw.ask.<core>
	ToAllCores               // requests to every core node: cw.ask.all
	ToCredit                 // credit and keepalive: cw.crd.<core>.<node>
	ToNode                   // deliveries and answers to a node: cw.dlv.<node>
	ToReceiving              // receipts and wants to a node: cw.rcpt.<node>
)

// Send is a message to be sent without a promise that it arrives.
type Send struct {
	Place   Place
	Name    string // of the core node or node; empty for ToAllCores
	Message Message
}

// FeedHead is a feed and its head.
type FeedHead struct {
	Feed
	Head
}

// FeedSeq is a feed up to a number.
type FeedSeq struct {
	Feed
	Seq vclock.Seq
}

// Received is a message off the wire. From is the name of the node that sent
// it, as far as the subject tells; empty if it does not. An input of both machines.
type Received struct {
	From    string
	Message Message
}

// Wake is the wake-up that an output asked for; one too many does no harm. An
// input of both machines.
type Wake struct{}

// ChainAt answers a LookupChain. OK is false if the number is not held. An
// input of [Edge].
type ChainAt struct {
	Feed
	Head
	OK bool
}

func (Received) isEdgeInput() {}
func (Received) isCoreInput() {}
func (Wake) isEdgeInput()     {}
func (Wake) isCoreInput()     {}
func (ChainAt) isEdgeInput()  {}

// Fact is something that a machine noticed, for the log, the counters and the
// state of the node.
type Fact interface{ isFact() }

// Facts of the edge half.
type (
	// AttachGranted says that deliveries flow. Behind are the feeds of which the
	// core node has shown more than we hold, up to where, by space and origin.
	AttachGranted struct {
		Core                         string
		Attachment                   uint64
		Stores, Required, Partitions int
		Behind                       []FeedSeq
	}
	// AttachFailed says that a core node did not answer or refused. The driver
	// may try another one with LinkUp.
	AttachFailed struct {
		Core     string
		Code     Code // zero: no answer
		Detail   string
		Failures int // in a row
	}
	// AttachmentLost says that deliveries stopped, and why.
	AttachmentLost struct {
		Core   string
		Reason string // "silence", "gap", "ingest", "detached"
	}
	// Ignored says that a message was of no use, and why; it changed nothing.
	Ignored struct {
		Kind string // e.g. "deliver"
		Why  string // e.g. "old attachment"
	}
	// Resending says that ops go up again that were up already.
	Resending struct {
		Feed
		From vclock.Seq
		Why  string // "want", "stalled", "attach"
	}
	// PublishUnsettled says that a publish gave no answer or a refusal.
	PublishUnsettled struct {
		Feed
		From vclock.Seq
		Kind FailureKind
	}
	// Forked says that a core store holds other content in a feed than we do:
	// both agree up to After and differ at At. The feed is not sent any more. It
	// comes again when the search narrowed it down to At = After+1. For a feed
	// of our own the driver takes a new origin.
	Forked struct {
		Feed
		Own   bool
		After vclock.Seq
		At    vclock.Seq
	}
	// Regressed says that a core store knows more of the feed that we write
	// than we do: our storage was restored. The driver takes a new origin.
	Regressed struct {
		Feed
		Ours, Theirs vclock.Seq
	}
	// Fenced says that core nodes refuse our origin; the driver takes a new one.
	Fenced struct{ Origin vclock.Origin }
	// StoreReplaced says that a core store came back with other storage.
	StoreReplaced struct{ Store, Was, Is string }
	// SpacesLeftOut says that spaces did not fit into an attach.
	SpacesLeftOut struct{ Spaces []string }
	// DigestCompared is the outcome of a comparison that [CheckDigest] began.
	DigestCompared struct {
		Space     string
		Vector    vclock.Vector
		Agreement Agreement
	}
)

// Facts of the core half.
type (
	// NodeAttached says that a node takes deliveries.
	NodeAttached struct {
		Node       string
		Attachment uint64
	}
	// NodeGone says that an attachment ended, and why.
	NodeGone struct {
		Node       string
		Attachment uint64
		Reason     string // "idle", "detached", "replaced", "feed cut"
	}
	// AttachDenied says that an Attach was refused.
	AttachDenied struct {
		Node string
		Code Code
	}
	// CloneSuspected says that two running instances use one node's name.
	CloneSuspected struct {
		Node string
		A, B string
	}
	// GapFound says that a frame arrived before its predecessors.
	GapFound struct {
		Feed
		Held, From vclock.Seq
	}
	// Equivocation is the evidence that a feed has two contents: the chains
	// differ at Seq. Its origin is fenced; the driver keeps the frame.
	Equivocation struct {
		Feed
		Seq          vclock.Seq
		Ours, Theirs Chain
	}
)

func (AttachGranted) isFact()    {}
func (AttachFailed) isFact()     {}
func (AttachmentLost) isFact()   {}
func (Ignored) isFact()          {}
func (Resending) isFact()        {}
func (PublishUnsettled) isFact() {}
func (Forked) isFact()           {}
func (Regressed) isFact()        {}
func (Fenced) isFact()           {}
func (StoreReplaced) isFact()    {}
func (SpacesLeftOut) isFact()    {}
func (DigestCompared) isFact()   {}
func (NodeAttached) isFact()     {}
func (NodeGone) isFact()         {}
func (AttachDenied) isFact()     {}
func (CloneSuspected) isFact()   {}
func (GapFound) isFact()         {}
func (Equivocation) isFact()     {}
