package drive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// ErrNoRepair says that a damaged record is of a kind that is not mended.
var ErrNoRepair = errors.New("this kind of record is not repaired in place; " +
	"move the data directory away and start again: what the core holds is fetched, under a new origin")

// Repair is what to do about a damaged record: fetch an op from another replica
// ([RestoreOp]), build a session again ([RebuildSession]), or make the record
// anew from others of this store ([Remake]).
type Repair struct {
	Op             *protocol.OpAsk
	Space, Session string // of the session to rebuild
	Remake         bool
}

// RepairOf decides what to do about the damaged record at key. It returns
// [ErrNoRepair] for kinds that hold what nobody can tell again, such as the
// evidence of a fork. A repair that came to nothing is tried again after
// RepairEvery.
func RepairOf(key []byte) (Repair, error) {
	if how, _ := remakingOf(key); how != noRemake {
		return Repair{Remake: true}, nil
	}
	kind, rest, _ := bytes.Cut(key, []byte("/"))
	parts := bytes.SplitN(rest, []byte{0}, 3)
	switch {
	case len(parts) < 3:
		return Repair{}, ErrNoRepair
	case string(kind) == "o" && len(parts[2]) == 8:
		f := protocol.Feed{Space: string(parts[0]), Origin: vclock.Origin(parts[1])}
		return Repair{Op: &protocol.OpAsk{Feed: f, Seq: vclock.Seq(binary.BigEndian.Uint64(parts[2]))}}, nil
	case string(kind) == "s":
		return Repair{Space: string(parts[0]), Session: string(parts[1])}, nil
	default:
		return Repair{}, ErrNoRepair
	}
}

// AnswerOp gives the encoded answer to an OpAsk. Who gets nil or an error
// cannot read the op and is silent; an error that wraps [session.ErrCorrupt]
// names a record to repair here.
func AnswerOp(r session.Reader, ask protocol.OpAsk) ([]byte, error) {
	frame, err := replica.FrameAt(r, ask.Feed, ask.Seq, replica.Budget{Ops: 1, Bytes: protocol.FrameBytesBudget})
	if err != nil || frame == nil {
		return nil, err
	}
	return protocol.AppendMessage(nil, protocol.Upload{Frame: *frame})
}

// CheckAnswer reads an answer to an OpAsk: a frame of that op alone, sound in
// itself. An answer that fails it is dropped; another node may give a better one.
func CheckAnswer(ask protocol.OpAsk, answer []byte) (*protocol.Frame, error) {
	frame, err := decodeUpload(answer)
	if err == nil && (frame.Feed != ask.Feed || frame.From != ask.Seq || frame.To() != ask.Seq) {
		err = fmt.Errorf("answer is op %d to %d of %s of %s: %w", frame.From, frame.To(), frame.Origin, frame.Space,
			protocol.ErrUnexpected)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch op %d of %s of %s: %w", ask.Seq, ask.Origin, ask.Space, err)
	}
	return frame, nil
}

// RestoreOp puts an op back from an answer that [CheckAnswer] takes and whose
// content the feed's chain proves; see [replica.Restore]. It writes nothing else.
// After the commit the feed is touched with its head: [Moved.Touch].
func RestoreOp(tx session.Tx, ask protocol.OpAsk, answer []byte) error {
	frame, err := CheckAnswer(ask, answer)
	if err != nil {
		return err
	}
	return replica.Restore(tx, frame)
}

// RebuildSession builds a session again: from the ops that its log names, or, if
// the log is damaged too, from all op records of the space.
func RebuildSession(tx session.Tx, space, id string) error {
	err := session.Rebuild(tx, space, id)
	if errors.Is(err, session.ErrCorrupt) {
		err = replica.Rebuild(tx, space, id)
	}
	if err != nil {
		return fmt.Errorf("rebuild session %s of %s: %w", id, space, err)
	}
	return nil
}
