package drive

import (
	"errors"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// ErrNoSnapshot says that a snapshot came, which this version does not take.
var ErrNoSnapshot = errors.New("snapshots are not taken by this version")

// Ingest takes frames of other nodes within one transaction. What the replica
// refuses is told by index and does not hold up the others; of a refused frame
// nothing was written. With an error the transaction must not be kept.
func Ingest(tx session.Tx, rep *replica.Replica, now replica.Now, frames []*protocol.Frame) (
	done []replica.Ingested, refused []error, err error,
) {
	done, refused = make([]replica.Ingested, len(frames)), make([]error, len(frames))
	for i, f := range frames {
		done[i], refused[i] = rep.Ingest(tx, now, f)
		if refused[i] != nil && !isRefusal(refused[i]) {
			return nil, nil, refused[i]
		}
	}
	return done, refused, nil
}

// isRefusal tells the errors of frames that wrote nothing. A damaged record may
// be met in the middle of a frame, and its error wraps what the decoder said.
func isRefusal(err error) bool {
	if errors.Is(err, session.ErrCorrupt) {
		return false
	}
	return errors.Is(err, replica.ErrGap) || errors.Is(err, replica.ErrFork) ||
		errors.Is(err, replica.ErrForeign) || errors.Is(err, session.ErrMalformed)
}

// Outcome tells whether a refused frame spoils its delivery. A fork does not: it
// is for operators (see [ForkProblem]), and the other feeds must go on.
func Outcome(refused error) error {
	if errors.Is(refused, replica.ErrFork) {
		return nil
	}
	return refused
}

// ForkProblem gives the degraded mode that a refused frame puts in force, nil
// if none.
func ForkProblem(refused error) *Problem {
	if !errors.Is(refused, replica.ErrFork) {
		return nil
	}
	return &Problem{Name: "feed_forked", Detail: refused.Error()}
}

// OpsIn counts the ops of a delivery. As many deliveries as have come, up to
// MaxEdgeIngestOps, are taken together.
func OpsIn(in protocol.Ingest) int {
	n := 0
	for i := range in.Frames {
		n += len(in.Frames[i].Entries)
	}
	return n
}

// Deliveries are taken together, and each one's outcome is told.
type Deliveries struct {
	batch    []protocol.Ingest
	outcomes []error
}

// Chunk is what goes into one commit: at most MaxEdgeIngestOps ops, unless a
// single frame has more.
type Chunk struct {
	Frames []*protocol.Frame
	of     []int // the delivery of each frame
}

// TakeTogether begins with deliveries in the order in which they came.
func TakeTogether(batch []protocol.Ingest) *Deliveries {
	d := &Deliveries{batch: batch, outcomes: make([]error, len(batch))}
	for i := range batch {
		if batch[i].Snapshot != nil {
			d.outcomes[i] = ErrNoSnapshot
		}
	}
	return d
}

// Chunks divides the frames into commits, to be made in this order.
func (d *Deliveries) Chunks() []Chunk {
	var chunks []Chunk
	ops := 0
	for i := range d.batch {
		for j := range d.batch[i].Frames {
			f := &d.batch[i].Frames[j]
			if len(chunks) == 0 || ops+len(f.Entries) > MaxEdgeIngestOps {
				chunks, ops = append(chunks, Chunk{}), 0
			}
			c := &chunks[len(chunks)-1]
			c.Frames, c.of = append(c.Frames, f), append(c.of, i)
			ops += len(f.Entries)
		}
	}
	return chunks
}

// Done notes what became of a chunk: what [Ingest] refused of it, or the error
// for which nothing of it was committed.
func (d *Deliveries) Done(c Chunk, refused []error, err error) {
	for i, of := range c.of {
		if err != nil {
			d.outcomes[of] = err
			continue
		}
		d.outcomes[of] = errors.Join(d.outcomes[of], Outcome(refused[i]))
	}
}

// Ingested gives the machine's inputs, in the order of the deliveries. What the
// commits added is told before, see [Moved].
func (d *Deliveries) Ingested() []protocol.Ingested {
	ins := make([]protocol.Ingested, len(d.batch))
	for i, in := range d.batch {
		ins[i] = protocol.Ingested{Attachment: in.Attachment, N: in.N, Err: d.outcomes[i]}
	}
	return ins
}
