package protocol

import (
	"time"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Version is the protocol version of the messages that this package writes; it
// reads this and every earlier one.
const Version = 1

// Bounds on bytes and counts. Encoders and decoders refuse what exceeds them.
const (
	MaxFrameOps       = 256                  // ops in one frame
	MaxFrameBytes     = 512 << 10            // encoded frame, compressed or not
	MaxFrameRawBytes  = 1 << 20              // a frame's entries after decompression
	MaxOpBytes        = session.MaxOpBytes   // one op
	MaxMessageBytes   = 1<<20 - 8<<10        // encoded message; leaves NATS room for headers
	FrameBytesBudget  = 448 << 10            // op bytes to put into one frame: fits MaxFrameBytes uncompressed
	MaxDeliverFrames  = 64                   // frames in one delivery
	MaxDeliverOps     = 512                  // ops to put into one delivery
	MaxReceipts       = 512                  // receipts in one message
	MaxSpacesPerNode  = 1024                 // spaces in one attach
	MaxFeedsPerSpace  = vclock.MaxWidth      // origins in one space
	MaxFeedsPerAttach = vclock.MaxWidth      // feeds of all spaces in one attach
	MaxFeedsPerAsk    = 256                  // feeds in one HeadsAsk
	MaxSeqsPerAsk     = 64                   // numbers in one ChainsAsk
	MaxPieceEntries   = 4096                 // keys in one snapshot piece
	MaxKeyBytes       = 4 << 10              // key of a snapshot entry
	MaxDetailBytes    = 512                  // text for people in a refusal
	MaxNameBytes      = session.MaxNameBytes // node, cluster, space, instance
	MaxSeq            = 1 << 62              // no feed gets there; keeps sums from wrapping
	MaxCount          = 1 << 16              // stores, partitions
)

// Bounds on what the machines keep.
const (
	CreditWindow     = 64   // deliveries sent and not yet credited, per attachment
	MaxAttachments   = 4096 // per core node
	MaxInFlight      = 32   // feeds with a question or a frame on its way, per edge half
	MaxReadsInFlight = 16   // reads of the store under way, per core node
	MaxWants         = 4096 // feeds with a gap that a core node asks for at a time
	MaxRetired       = 8    // former incarnations remembered per store, instances per node
	MaxMarks         = 64   // chains of our own that the uplink remembers per feed
	MaxClaims        = 16   // chains of others that wait for ours, per feed
	MaxStores        = 64   // stores whose receipts are counted
)

// Times that both halves share, unless their configurations say otherwise.
const (
	HeartbeatEvery = time.Second      // core to edge, when nothing else was sent
	KeepaliveEvery = 3 * time.Second  // edge to core, when nothing else was sent
	IdleDrop       = 10 * time.Second // silence after which a core node drops an attachment
)
