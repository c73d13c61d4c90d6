package drive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// StreamID tells one life of a stream from the next: a stream that was deleted
// and made again has another one, though name and settings are the same.
type StreamID string

// Position is how far a partition's stream has been applied. The zero Position
// is the beginning of whatever stream there is.
type Position struct {
	Stream StreamID
	Seq    uint64
}

func positionKey(partition int) []byte { return fmt.Appendf(nil, "n/stream/%d", partition) }

// PositionAt gives what [KeepPosition] kept, zero if nothing. After an error
// that wraps [session.ErrCorrupt] the stream is read from its beginning: what is
// held is recognised by feed numbers.
func PositionAt(r session.Reader, partition int) (Position, error) {
	key := positionKey(partition)
	b, err := r.Get(key)
	if err != nil || b == nil {
		return Position{}, err
	}
	if len(b) < 8 {
		return Position{}, &session.CorruptError{Key: key, Err: fmt.Errorf("position of %d bytes", len(b)),
			Hint: "the stream is read from its beginning"}
	}
	return Position{Stream: StreamID(b[8:]), Seq: binary.BigEndian.Uint64(b)}, nil
}

// KeepPosition keeps a position, in the transaction of the frames before it.
func KeepPosition(tx session.Tx, partition int, p Position) error {
	b := binary.BigEndian.AppendUint64(nil, p.Seq)
	return tx.Put(positionKey(partition), append(b, p.Stream...))
}

// ErrStreamRecreated says that a position means nothing in the present stream:
// it was made again, or lost what was stored. Reading starts at the zero
// Position; what was applied already is recognised by feed numbers.
var ErrStreamRecreated = errors.New("drive: stream was made again")

// ErrStreamShort says that the stream ends before the position, perhaps because
// its new leader has not caught up: ask again.
var ErrStreamShort = errors.New("drive: stream ends before the position")

// Against holds a position against the stream as its leader shows it, with its
// last number. It returns [ErrStreamRecreated], or [ErrStreamShort] until the
// stream has been short for patience ([RewindPatience]); short is for how long,
// zero when it is seen for the first time.
func (p Position) Against(stream StreamID, last uint64, short, patience time.Duration) error {
	switch {
	case p.Stream != "" && p.Stream != stream:
		return fmt.Errorf("stream was created %s, position is from %s: %w", stream, p.Stream, ErrStreamRecreated)
	case last >= p.Seq:
		return nil
	case short >= patience:
		return fmt.Errorf("stream ends at %d, position is %d: %w", last, p.Seq, ErrStreamRecreated)
	default:
		return fmt.Errorf("stream ends at %d, position is %d: %w", last, p.Seq, ErrStreamShort)
	}
}

// MissingBefore looks at the numbers from next on that a consumer left out
// before message seq, when the stream's first message is first. So many of them
// are gone by age; those in [ask, seq) are asked of the leader one by one, and
// those that it does not show either are gone too. If anything is gone,
// everybody who is attached is greeted again: [Attached.Again].
func MissingBefore(next, first, seq uint64) (gone, ask uint64) {
	if first > next {
		gone = min(first, seq) - next
	}
	return gone, next + gone
}

// DecodeFrame reads a stored message. It returns an error for what is no frame,
// or not that of its subject in a cluster of so many partitions: such a message
// is dropped, and what it should have held is asked for like any gap.
func DecodeFrame(subject string, data []byte, partitions int) (*protocol.Frame, error) {
	feed, err := protocol.ParseOpSubject(subject, partitions)
	if err != nil {
		return nil, err
	}
	frame, err := decodeUpload(data)
	if err != nil {
		return nil, err
	}
	if frame.Feed != feed {
		return nil, errForeignFrame(frame)
	}
	return frame, nil
}

// Fill collects frames off a stream for one commit: at most MaxCoreIngestOps
// ops, unless a single frame has more. The zero value is empty.
type Fill struct {
	Frames []*protocol.Frame
	ops    int
}

// Add takes a frame; false if it has to wait for the next commit.
func (c *Fill) Add(f *protocol.Frame) bool {
	if len(c.Frames) > 0 && c.ops+len(f.Entries) > MaxCoreIngestOps {
		return false
	}
	c.Frames, c.ops = append(c.Frames, f), c.ops+len(f.Entries)
	return true
}

// RefusedFrame tells the core half of a frame that [Ingest] refused. After an
// error that wraps [session.ErrCorrupt] it is forgotten: the record is repaired,
// and the frame comes again if it is needed. Else, if the refusal is a
// [replica.ErrFork], [KeepEvidence] comes before the machine is told.
func RefusedFrame(r session.Reader, f *protocol.Frame) (protocol.FrameSeen, error) {
	seen := protocol.FrameSeen{Feed: f.Feed, From: f.From, To: f.To()}
	head, err := replica.HeadOf(r, f.Feed)
	if err != nil {
		return seen, err
	}
	seen.Meet = min(head.Seq, f.To())
	if seen.Meet+1 < f.From {
		return seen, nil
	}
	seen.Theirs, _ = f.ChainAt(seen.Meet)
	seen.Ours, _, err = replica.ChainAt(r, f.Feed, seen.Meet)
	return seen, err
}

// KeepEvidence keeps a frame that forked and fences its origin.
func KeepEvidence(tx session.Tx, f *protocol.Frame) error {
	data, err := protocol.AppendMessage(nil, protocol.Upload{Frame: *f})
	if err != nil {
		return fmt.Errorf("keep evidence: %w", err)
	}
	return replica.KeepEvidence(tx, f.Feed, f.From, data)
}
