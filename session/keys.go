package session

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// Kinds of records below a session's prefix.
const (
	recMeta      = 'm'
	recLog       = 'l' // + slot
	recMessage   = 'i' // + id, of messages not named by their dot
	recPuts      = 'c' // + id, of messages that were put more than once
	recEdits     = 'd' // + id
	recKey       = 'k' // + idempotency key
	recChat      = 'h' // + stamp and dot
	recRegister  = 'r' // + path
	recCounter   = 'n' // + path
	recSet       = 'e' // + path
	recUnknown   = 'u'
	recTool      = 'b' // + key: ledger of a tool call
	recCallID    = 'j' // + digest of the id of a tool call: messages that opened one
	recResults   = 'q' // + slot of a message: results of its calls
	recText      = 't' // + name: head of a text
	recTextOp    = 'o' // + name, 0, number: list of its ops
	recTextTwins = 'w' // + name, of texts with ops under one key that say the same
	recTextSaved = 's' // + name: history of the first ops of the list
	recTextShown = 'v' // + name: text of the same
)

// OpKey is where the op record of (origin, seq) in the space lies.
func OpKey(space string, origin vclock.Origin, seq vclock.Seq) []byte {
	b := make([]byte, 0, 2+len(space)+1+len(origin)+1+8)
	b = appendOpPrefix(b, space, origin)
	return binary.BigEndian.AppendUint64(b, uint64(seq))
}

// OpPrefix begins the keys of all op records of one feed, in the order of seq.
func OpPrefix(space string, origin vclock.Origin) []byte { return appendOpPrefix(nil, space, origin) }

func appendOpPrefix(b []byte, space string, origin vclock.Origin) []byte {
	b = append(append(append(b, "o/"...), space...), 0)
	return append(append(b, origin...), 0)
}

// OpsPrefix begins the keys of all op records of a space.
func OpsPrefix(space string) []byte { return append([]byte("o/"+space), 0) }

// ParseOpKey reads the dot back from an op record's key.
func ParseOpKey(space string, key []byte) (vclock.Dot, error) {
	rest, ok := bytes.CutPrefix(key, OpsPrefix(space))
	i := bytes.IndexByte(rest, 0)
	if !ok || i <= 0 || len(rest) != i+9 {
		return vclock.Dot{}, fmt.Errorf("op key %q: %w", key, ErrCorrupt)
	}
	return vclock.Dot{
		Origin: vclock.Origin(rest[:i]),
		Seq:    vclock.Seq(binary.BigEndian.Uint64(rest[i+1:])),
	}, nil
}

// WaitKey is where the note lies that the session holds the op of dot, which
// waits for its dependencies.
func WaitKey(space, session string, dot vclock.Dot) []byte {
	b := WaitPrefix(space, session)
	b = append(append(b, dot.Origin...), 0)
	return binary.BigEndian.AppendUint64(b, uint64(dot.Seq))
}

// WaitPrefix begins the keys of all waiting ops of a session.
func WaitPrefix(space, session string) []byte {
	b := append([]byte("w/"+space), 0)
	return append(append(b, session...), 0)
}

// Prefix begins the keys of everything that belongs to one session, apart from
// its op records and its entries in the indexes of the space.
func Prefix(space, session string) []byte {
	b := make([]byte, 0, 2+len(space)+1+len(session)+1+24)
	b = append(append(append(b, "s/"...), space...), 0)
	return append(append(b, session...), 0)
}

func spacePrefix(space string) []byte { return append([]byte("s/"+space), 0) }

func metaKey(space, session string) []byte { return append(Prefix(space, session), recMeta) }

func logKey(space, session string, slot uint64) []byte {
	return binary.BigEndian.AppendUint64(append(Prefix(space, session), recLog), slot)
}

func namedKey(space, session string, kind byte, name string) []byte {
	return append(append(Prefix(space, session), kind), name...)
}

// chatKey orders the messages of a session by stamp, then dot.
func chatKey(space, session string, stamp clocksync.Stamp, dot vclock.Dot) []byte {
	b := append(Prefix(space, session), recChat)
	b = binary.BigEndian.AppendUint64(b, stamp.Wall<<16|uint64(stamp.Logical))
	b = append(append(b, dot.Origin...), 0)
	return binary.BigEndian.AppendUint64(b, uint64(dot.Seq))
}

// bucketMillis is the width of a bucket of the activity index.
const bucketMillis = 16_000

func bucketOf(s clocksync.Stamp) uint64 { return s.Wall/bucketMillis + 1 }

func activityPrefix(space string) []byte { return append([]byte("a/"+space), 0) }

// activityKey sorts newer buckets first.
func activityKey(space string, bucket uint64, session string) []byte {
	b := binary.BigEndian.AppendUint64(activityPrefix(space), ^bucket)
	return append(append(b, 0), session...)
}

func parseActivityKey(space string, key []byte) (bucket uint64, session string, err error) {
	rest, ok := bytes.CutPrefix(key, activityPrefix(space))
	if !ok || len(rest) < 10 || rest[8] != 0 {
		return 0, "", fmt.Errorf("activity key %q: %w", key, ErrCorrupt)
	}
	return ^binary.BigEndian.Uint64(rest), string(rest[9:]), nil
}

const expiryPrefix = "x/"

func expiryKey(at uint64, space, session string) []byte {
	b := binary.BigEndian.AppendUint64([]byte(expiryPrefix), at)
	b = append(append(append(b, 0), space...), 0)
	return append(b, session...)
}

func parseExpiryKey(key []byte) (Due, error) {
	rest, ok := bytes.CutPrefix(key, []byte(expiryPrefix))
	if !ok || len(rest) < 10 || rest[8] != 0 {
		return Due{}, fmt.Errorf("expiry key %q: %w", key, ErrCorrupt)
	}
	space, session, ok := bytes.Cut(rest[9:], []byte{0})
	if !ok {
		return Due{}, fmt.Errorf("expiry key %q: %w", key, ErrCorrupt)
	}
	return Due{At: binary.BigEndian.Uint64(rest), Space: string(space), Session: string(session)}, nil
}
