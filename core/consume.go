package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/causeway-sync/causeway/protocol/drive"
)

const (
	pullMessages  = 128         // asked for at a time
	pullBytes     = 4 << 20     // the same, in bytes
	pullHeartbeat = time.Second // two missed: the consumer is gone
	pullExpiry    = 30 * time.Second
	consumeQuiet  = drive.EndQuiet // silence after which the stream is asked whether there is more
	consumerIdle  = 30 * time.Second
	minRetryWait  = 50 * time.Millisecond
	maxRetryWait  = time.Second
)

// ErrStreamRecreated says that a position means nothing in the present stream:
// it was made again, or lost what was stored. The caller starts at the zero
// Position; what it has applied already is recognised by feed numbers.
var ErrStreamRecreated = drive.ErrStreamRecreated

// Position is how far a partition's stream has been applied.
type Position = drive.Position

// Msg is a stored message, or, without a subject, only tells of those that are
// missing at the end of the stream, up to Seq.
type Msg struct {
	Seq     uint64 // in the stream, counted from 1
	Subject string
	Header  map[string][]string // nil if there is none
	Data    []byte
	// Pending is how many more were stored when this one was read.
	Pending uint64
	// Missing is how many numbers before Seq the stream could not show, neither
	// to our consumer nor by asking the leader: expired by age, or damage.
	Missing uint64
}

// Batch is a run of messages in stream order, 1 to MaxBatch of them.
type Batch struct {
	Stream StreamID
	Msgs   []Msg
}

// End is the position after the batch.
func (b Batch) End() Position { return Position{Stream: b.Stream, Seq: b.Msgs[len(b.Msgs)-1].Seq} }

// MaxBatch is the most messages that are handed over at a time.
const MaxBatch = 512

// Consume hands over the messages behind from, in stream order, each once,
// until ctx ends or handle fails. It hands over all that has arrived at a time,
// so that handle can commit it in one transaction, and reads on meanwhile.
// Leader loss, server restarts and lost requests are waited out; what one
// replica hides is read from the leader. It returns [ErrStreamRecreated] when
// from does not belong to the stream, and handle's error, wrapped.
//
// handle owns the slices of its batch.
func (b *Bus) Consume(ctx context.Context, partition int, from Position, handle func(Batch) error) error {
	if partition < 0 || partition >= b.cfg.Partitions {
		return fmt.Errorf("consume partition %d: want 0 to %d", partition, b.cfg.Partitions-1)
	}
	r := &reader{
		bus:       b,
		partition: partition,
		name:      StreamName(partition),
		pos:       from,
		queue:     newQueue(),
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1) // gets one value
	go func() {
		err := r.run(ctx)
		r.queue.close()
		done <- err
	}()
	for {
		batch, ok := r.queue.take(ctx)
		if !ok {
			break
		}
		if err := handle(batch); err != nil {
			cancel()
			<-done
			return fmt.Errorf("partition %d, messages %d to %d: %w", partition,
				batch.Msgs[0].Seq, batch.End().Seq, err)
		}
	}
	cancel()
	return fmt.Errorf("consume partition %d: %w", partition, <-done)
}

// reader keeps a consumer at work, and makes a new one behind the last message
// whenever anything is odd.
type reader struct {
	bus        *Bus
	partition  int
	name       string
	pos        Position // last message put into the queue
	first      uint64   // the stream's first message when last asked
	shortSince time.Time
	silent     bool   // a consumer brought nothing after silentAt, although there is more
	silentAt   uint64 // a position
	queue      *queue
}

func (r *reader) run(ctx context.Context) error {
	wait := minRetryWait
	for {
		before := r.pos
		err := r.read(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrStreamRecreated):
			return err
		case r.pos != before:
			wait = minRetryWait
		}
		r.bus.log.LogAttrs(ctx, slog.LevelDebug, "consumer starts again", slog.Int("partition", r.partition),
			slog.Uint64("after", r.pos.Seq), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
			wait = min(2*wait, maxRetryWait)
		}
	}
}

// read runs one consumer until it fails. It is an ordered consumer: in memory,
// unacknowledged, its deliveries counted without a gap.
func (r *reader) read(ctx context.Context) error {
	stream, err := r.check(ctx)
	if err != nil {
		return err
	}
	cons, err := r.create(ctx, stream)
	if err != nil {
		return err
	}
	defer r.remove(ctx, cons.CachedInfo().Name)
	it, err := cons.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.PullExpiry(pullExpiry),
	)
	if err != nil {
		return fmt.Errorf("read from consumer: %w", err)
	}
	defer it.Stop()
	defer context.AfterFunc(ctx, it.Stop)()
	for delivery := uint64(1); ; {
		m, err := it.Next(jetstream.NextMaxWait(consumeQuiet))
		if errors.Is(err, nats.ErrTimeout) {
			if err := r.checkQuiet(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("next message: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("message metadata: %w", err)
		}
		if meta.Sequence.Consumer != delivery {
			return fmt.Errorf("delivery %d came, want %d", meta.Sequence.Consumer, delivery)
		}
		delivery++
		if err := r.accept(ctx, stream, m, meta); err != nil {
			return err
		}
	}
}

func (r *reader) create(ctx context.Context, stream jetstream.Stream) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	cons, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.pos.Seq + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		InactiveThreshold: consumerIdle,
		Replicas:          1,
		MemoryStorage:     true,
		Metadata:          map[string]string{"causeway.node": r.bus.cfg.Name},
	})
	if err != nil {
		return nil, fmt.Errorf("create consumer on %s: %w", r.name, err)
	}
	return cons, nil
}

// remove deletes a consumer that is no longer used. If that fails, the server
// does it after consumerIdle.
func (r *reader) remove(ctx context.Context, consumer string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 250*time.Millisecond)
	defer cancel()
	if err := r.bus.js.DeleteConsumer(ctx, r.name, consumer); err != nil {
		r.bus.log.LogAttrs(ctx, slog.LevelDebug, "consumer left to expire", slog.String("stream", r.name),
			slog.Any("error", err))
	}
}

// check asks the stream's leader whether our position belongs to the stream.
func (r *reader) check(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := r.bus.js.Stream(ctx, r.name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", r.name, err)
	}
	info := stream.CachedInfo()
	id := streamID(info.Created)
	now := time.Now()
	short := time.Duration(0)
	if !r.shortSince.IsZero() {
		short = now.Sub(r.shortSince)
	}
	if err := r.pos.Against(id, info.State.LastSeq, short, r.bus.rewindPatience); err != nil {
		if r.shortSince.IsZero() && errors.Is(err, drive.ErrStreamShort) {
			r.shortSince = now
		}
		return nil, fmt.Errorf("stream %s: %w", r.name, err)
	}
	r.shortSince = time.Time{}
	r.pos.Stream = id
	r.first = info.State.FirstSeq
	return stream, nil
}

// checkQuiet is called when heartbeats came but no message did. If the stream
// has more, another consumer is tried; what that does not bring either is read
// from the leader.
func (r *reader) checkQuiet(ctx context.Context) error {
	stream, err := r.check(ctx)
	if err != nil {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	if last <= r.pos.Seq {
		return nil
	}
	if !r.silent || r.silentAt != r.pos.Seq {
		r.silent, r.silentAt = true, r.pos.Seq
		return fmt.Errorf("consumer is silent at %d, stream %s ends at %d", r.pos.Seq, r.name, last)
	}
	missing, err := r.hidden(ctx, stream, last+1, 0)
	if err != nil || missing == 0 {
		return err
	}
	if stream, err = r.check(ctx); err != nil { // it may be another leader by now
		return err
	}
	if end := stream.CachedInfo().State.LastSeq; end < last {
		return fmt.Errorf("stream %s ends at %d, and ended at %d before", r.name, end, last)
	}
	return r.put(ctx, Msg{Seq: last, Missing: missing})
}

// accept puts a message into the queue, and before it those that the consumer
// left out: a damaged replica hides messages without a word.
func (r *reader) accept(ctx context.Context, stream jetstream.Stream, m jetstream.Msg,
	meta *jetstream.MsgMetadata) error {
	seq := meta.Sequence.Stream
	if seq <= r.pos.Seq {
		return nil
	}
	var missing uint64
	if seq > r.pos.Seq+1 {
		if _, err := r.check(ctx); err != nil { // learns the first that is left
			return err
		}
		var err error
		if missing, err = r.hidden(ctx, stream, seq, meta.NumPending+1); err != nil {
			return err
		}
	}
	return r.put(ctx, Msg{
		Seq: seq, Subject: m.Subject(), Header: m.Headers(), Data: m.Data(),
		Pending: meta.NumPending, Missing: missing,
	})
}

// hidden reads from the leader what a consumer left out before message seq, from
// which on there are so many. It returns how many the leader does not
// show either, of those behind the last one that it does show.
func (r *reader) hidden(ctx context.Context, stream jetstream.Stream, seq, rest uint64) (missing uint64, err error) {
	next := r.pos.Seq + 1
	missing, ask := drive.MissingBefore(next, r.first, seq)
	for s := ask; s < seq; s++ {
		found, err := r.fetch(ctx, stream, Msg{Seq: s, Pending: rest + seq - 1 - s, Missing: missing})
		if err != nil {
			return 0, err
		}
		if found {
			missing = 0
		} else {
			missing++
		}
	}
	r.bus.log.LogAttrs(ctx, slog.LevelWarn, "consumer left out messages", slog.Int("partition", r.partition),
		slog.Uint64("from", next), slog.Uint64("to", seq), slog.Uint64("missing", missing))
	return missing, nil
}

// fetch reads message m.Seq from the stream's leader into the queue.
func (r *reader) fetch(ctx context.Context, stream jetstream.Stream, m Msg) (bool, error) {
	get, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	raw, err := stream.GetMsg(get, m.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read message %d of %s: %w", m.Seq, r.name, err)
	}
	r.bus.hidden.Add(1)
	m.Subject, m.Header, m.Data = raw.Subject, raw.Header, raw.Data
	return true, r.put(ctx, m)
}

func (r *reader) put(ctx context.Context, m Msg) error {
	if err := r.queue.put(ctx, r.pos.Stream, m); err != nil {
		return err
	}
	r.pos.Seq = m.Seq
	return nil
}
