package protocol

import (
	"cmp"
	"crypto/sha256"

	"github.com/causeway-sync/causeway/vclock"
)

// Feed names the ops of one origin in one space.
type Feed struct {
	Space  string
	Origin vclock.Origin
}

// Compare orders feeds by space, then origin: negative if f comes first.
func (f Feed) Compare(g Feed) int {
	return cmp.Or(cmp.Compare(f.Space, g.Space), cmp.Compare(f.Origin, g.Origin))
}

// Hash is the SHA-256 of an op's bytes as its author encoded them.
type Hash [sha256.Size]byte

// Chain is the running hash of a feed: it stands for the content of every op
// up to a number. The zero Chain is that of the empty feed.
type Chain [sha256.Size]byte

// HashOp returns the hash of encoded op bytes.
func HashOp(op []byte) Hash { return sha256.Sum256(op) }

// Next returns the chain after an op with hash h: SHA-256(chain ‖ h).
func (c Chain) Next(h Hash) Chain {
	var b [2 * sha256.Size]byte
	copy(b[:], c[:])
	copy(b[sha256.Size:], h[:])
	return sha256.Sum256(b[:])
}

// Head is how far a feed is held, and the chain there.
type Head struct {
	Seq   vclock.Seq
	Chain Chain
}

// Entry is one op of a frame. Hash is that of the bytes which the author
// wrote; Hollow says that Bytes is a stand-in whose body was erased, and then
// Hash is not the hash of Bytes.
type Entry struct {
	Bytes  []byte
	Hash   Hash
	Hollow bool
}

// Frame is a run of consecutive ops of one feed.
//
// Invariant: entry i holds the op with number From+i; Last is Prev chained
// with the hashes of all entries.
type Frame struct {
	Feed
	From    vclock.Seq // at least 1
	Prev    Chain      // chain at From-1
	Last    Chain      // chain at To()
	Entries []Entry    // 1 to MaxFrameOps
}

// To is the number of the last op.
func (f *Frame) To() vclock.Seq { return f.From + vclock.Seq(len(f.Entries)) - 1 }

// Receipt is a core store's durable statement: it holds the feed up to Seq
// with this chain. Store names the core node, Incarnation its present storage.
type Receipt struct {
	Feed
	Head
	Store       string
	Incarnation string
}
