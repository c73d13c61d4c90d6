package protocol

import (
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// Message is the closed set of what nodes say to each other: [Upload],
// [Receipts], [Attach], [Attached], [Refused], [Deliver], [Credit],
// [Heartbeat], [Want], [HeadsAsk], [OpAsk], [ClockAsk],
// [ClockTold], [ClaimAsk], [ClaimTold], [Signal], [SignalAsk], [ChainsAsk],
// [Chains], [Detach],
// [DigestAsk], [Digest], [SnapshotBegin], [SnapshotPiece] and [SnapshotEnd].
type Message interface{ isMessage() }

// Compression is how a frame's entries are packed. Numbers are on the wire and
// never change meaning.
type Compression uint8

// The ways of packing.
const (
	Plain Compression = 0
	Zstd  Compression = 1
)

// Upload puts one frame on the op stream.
type Upload struct {
	Frame       Frame
	Compression Compression // how to encode; a decoder reports how it was
}

// Receipts is a list of receipts, all of one store, to the node that wrote the
// feeds or asked for their heads. A Seq of zero says that the store holds nothing.
type Receipts struct{ Receipts []Receipt } // at most MaxReceipts

// Attach asks a core node for deliveries behind what the node holds.
type Attach struct {
	Request    uint64 // comes back in the answer
	Node       string
	Instance   string // of the node's running process; tells clones apart
	Cluster    string
	Origin     vclock.Origin // under which the node writes now; may be empty
	Everything bool          // all spaces, those to come included
	Spaces     []SpaceHeads  // ascending by name; spaces wanted, and what is held
}

// SpaceHeads is what a node holds of a space.
type SpaceHeads struct {
	Space string
	Feeds []OriginHead // ascending by origin
}

// OriginHead is a feed's head, named within its space.
type OriginHead struct {
	Origin vclock.Origin
	Head
}

// Attached grants an Attach.
type Attached struct {
	Request        uint64
	Attachment     uint64 // never zero, never used twice
	Store          string // name of the core node
	Incarnation    string // of its storage
	Stores         int    // core stores in all
	StoresRequired int    // receipts of distinct stores that release the outbox
	Partitions     int    // op streams of the cluster
	Spaces         []SpaceState
}

// SpaceState is what a core store holds of a space.
type SpaceState struct {
	Space string
	Feeds []FeedState // ascending by origin
}

// FeedState is what a core store holds of a feed, in view of what the other
// side holds.
type FeedState struct {
	OriginHead
	Common Head       // at the smaller of both sides' numbers, with the store's chain there
	Floor  vclock.Seq // ops up to here are no longer kept one by one; zero: all are
}

// Refused denies an Attach.
type Refused struct {
	Request    uint64
	Code       Code
	Detail     string        // for people
	RetryAfter time.Duration // zero: the edge decides; whole milliseconds
}

// Deliver hands over frames of one space, in an order in which they can be
// ingested. Deliveries and snapshot messages of an attachment are numbered
// together 1, 2, 3 …
type Deliver struct {
	Attachment  uint64
	N           uint64
	Frames      []Frame     // 1 to MaxDeliverFrames
	Compression Compression // how to encode; a decoder reports how it was
}

// Credit says that deliveries up to N are durable at the edge.
type Credit struct{ Attachment, N uint64 }

// Heartbeat says that the sender lives. From a core node, N is the last number
// that it sent; from an edge, the last that is durable there, like [Credit].
type Heartbeat struct{ Attachment, N uint64 }

// Want asks whoever holds the feed to send it up again from a number.
type Want struct {
	Feed
	From vclock.Seq // at least 1
}

// HeadsAsk asks each core node it reaches for its heads of feeds, as Receipts.
type HeadsAsk struct {
	Node  string
	Feeds []Feed // 1 to MaxFeedsPerAsk
}

// OpAsk asks for one op, because the asker's record of it is damaged. Whoever
// holds it sound answers the request with an [Upload] of that op alone;
// nobody else answers. It passes by both machines.
type OpAsk struct {
	Feed
	Seq vclock.Seq // at least 1
}

// ChainsAsk asks for the chain of a feed at numbers, to find where two
// histories part.
type ChainsAsk struct {
	Node string
	Feed
	Seqs []vclock.Seq // 1 to MaxSeqsPerAsk
}

// Chains answers a ChainsAsk with those numbers that are held.
type Chains struct {
	Feed
	Heads []Head
}

// Detach gives up an attachment.
type Detach struct{ Attachment uint64 }

// Sum is a digest of a space's state.
type Sum [32]byte

// DigestAsk asks a core node to compare its state of a space at a vector.
type DigestAsk struct {
	Node   string
	Space  string
	Vector vclock.Vector
	Sum    Sum
}

// Agreement is how two digests stand to each other. Numbers are on the wire
// and never change meaning.
type Agreement uint8

// The outcomes of comparing digests.
const (
	Incomparable Agreement = 0 // taken at different vectors
	Agree        Agreement = 1
	Differ       Agreement = 2
)

// String names the outcome in lower case.
func (a Agreement) String() string {
	switch a {
	case Agree:
		return "agree"
	case Differ:
		return "differ"
	default:
		return "incomparable"
	}
}

// Digest answers a DigestAsk. Vector is that of the answering store.
type Digest struct {
	Space     string
	Vector    vclock.Vector
	Agreement Agreement
}

// SnapshotBegin starts to replace a space at the edge by the core's state,
// because ops that the edge lacks are no longer kept. Feeds are the heads that
// the edge holds when the snapshot is complete.
type SnapshotBegin struct {
	Attachment, N uint64
	Space         string
	Feeds         []OriginHead
}

// SnapshotPiece carries stored entries of one session.
type SnapshotPiece struct {
	Attachment, N uint64
	Space         string
	Session       string
	Entries       []Pair // at most MaxPieceEntries
}

// Pair is a stored key, relative to its session, and its value.
type Pair struct{ Key, Value []byte }

// SnapshotEnd completes a snapshot; until then the edge uses nothing of it.
type SnapshotEnd struct {
	Attachment, N uint64
	Space         string
	Sum           Sum // digest of the space at the snapshot's heads
}

func (Upload) isMessage()        {}
func (Receipts) isMessage()      {}
func (Attach) isMessage()        {}
func (Attached) isMessage()      {}
func (Refused) isMessage()       {}
func (Deliver) isMessage()       {}
func (Credit) isMessage()        {}
func (Heartbeat) isMessage()     {}
func (Want) isMessage()          {}
func (HeadsAsk) isMessage()      {}
func (OpAsk) isMessage()         {}
func (ClockAsk) isMessage()      {}
func (ClockTold) isMessage()     {}
func (ClaimAsk) isMessage()      {}
func (ClaimTold) isMessage()     {}
func (Signal) isMessage()        {}
func (SignalAsk) isMessage()     {}
func (ChainsAsk) isMessage()     {}
func (Chains) isMessage()        {}
func (Detach) isMessage()        {}
func (DigestAsk) isMessage()     {}
func (Digest) isMessage()        {}
func (SnapshotBegin) isMessage() {}
func (SnapshotPiece) isMessage() {}
func (SnapshotEnd) isMessage()   {}
