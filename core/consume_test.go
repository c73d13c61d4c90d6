package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// F17: a damaged replica leaves messages out; the leader has them.
func TestHiddenMessagesAreReadFromTheLeader(t *testing.T) {
	t.Parallel()
	b, _ := runBus(t, testConfig(t.TempDir()))
	for i := 1; i <= 4; i++ {
		mustPublish(t, b, "cw.op.0.s.edge-1", fmt.Sprintf("m%d", i))
	}
	id, _ := b.StreamID(0)
	r := &reader{bus: b, name: StreamName(0), pos: Position{Stream: id, Seq: 1}, queue: newQueue()}
	stream, err := r.check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cons, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 4, AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	m, err := cons.Next(jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	meta, err := m.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.accept(t.Context(), stream, m, meta); err != nil {
		t.Fatal(err)
	}
	batch, _ := r.queue.take(t.Context())
	wantRun(t, batch.Msgs, 2, 4)
	if p := batch.Msgs[0].Pending; p != 2 {
		t.Errorf("Pending of message 2 of 4 = %d, want 2", p)
	}
	if n := b.Stats().HiddenMessages; n != 2 {
		t.Errorf("HiddenMessages = %d, want 2", n)
	}
}

// F17: a replica that lost the end of the stream is silent about it. A second
// consumer is tried, then the leader is asked; what that lost too is told.
func TestSilentEndIsReadFromTheLeader(t *testing.T) {
	t.Parallel()
	b, _ := runBus(t, testConfig(t.TempDir()))
	stream, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "silent", Subjects: []string{"silent"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 5; i++ {
		if _, err := b.js.Publish(t.Context(), "silent", fmt.Appendf(nil, "m%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, seq := range []uint64{4, 5} {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	r := &reader{bus: b, name: "silent", queue: newQueue(), pos: Position{Seq: 1}}
	if err := r.checkQuiet(t.Context()); err == nil {
		t.Fatal("the first consumer was silent before the end: no error, want one")
	}
	if err := r.checkQuiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch, _ := r.queue.take(t.Context())
	if len(batch.Msgs) != 3 || batch.End().Seq != 5 {
		t.Fatalf("got %+v, want messages 2 and 3, and 5 for what is missing", batch.Msgs)
	}
	wantRun(t, batch.Msgs[:2], 2, 3)
	for i, want := range []Msg{{Pending: 3}, {Pending: 2}, {Missing: 2}} {
		if got := batch.Msgs[i]; got.Pending != want.Pending || got.Missing != want.Missing {
			t.Errorf("message %d: pending %d, missing %d, want %d, %d", got.Seq, got.Pending, got.Missing, want.Pending, want.Missing)
		}
	}
	if got := batch.Msgs[2].Subject; got != "" {
		t.Errorf("what is missing has the subject %q, want none", got)
	}
	if err := r.checkQuiet(t.Context()); err != nil {
		t.Errorf("at the end: %v", err)
	}
}

func TestConsumeSurvivesTheLossOfItsConsumer(t *testing.T) {
	t.Parallel()
	b, _ := runBus(t, testConfig(t.TempDir()))
	f := follow(t, b, Position{})
	mustPublish(t, b, "cw.op.0.s.edge-1", "m1")
	f.wait(t, 1)
	s, err := b.js.Stream(t.Context(), StreamName(0))
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(t.Context()).Name() {
		if err := s.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	mustPublish(t, b, "cw.op.0.s.edge-1", "m2")
	got, _ := f.wait(t, 2)
	wantRun(t, got, 1, 2)
}

func TestConsumeReturnsHandlerError(t *testing.T) {
	t.Parallel()
	b, _ := runBus(t, testConfig(t.TempDir()))
	mustPublish(t, b, "cw.op.0.s.edge-1", "m1")
	err := b.Consume(t.Context(), 0, Position{}, func(Batch) error { return errEnough })
	if !errors.Is(err, errEnough) {
		t.Errorf("Consume = %v, want %v", err, errEnough)
	}
	if err := b.Consume(t.Context(), 2, Position{}, nil); err == nil {
		t.Error("Consume of partition 2 of 2 = nil, want an error")
	}
}

func TestQueueIsBoundedAndKeepsOrder(t *testing.T) {
	t.Parallel()
	q := newQueue()
	big := make([]byte, maxQueueBytes/2)
	for i := range 2 {
		if !q.tryPut("s", Msg{Seq: uint64(i + 1), Data: big}) {
			t.Fatalf("message %d did not fit", i+1)
		}
	}
	if q.tryPut("s", Msg{Seq: 3, Data: []byte("x")}) {
		t.Errorf("a message fits over %d bytes", maxQueueBytes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.put(ctx, "s", Msg{Seq: 3}); !errors.Is(err, context.Canceled) {
		t.Errorf("put into a full queue = %v, want %v", err, context.Canceled)
	}
	batch, ok := q.take(t.Context())
	if !ok || len(batch.Msgs) != 2 || batch.End() != (Position{Stream: "s", Seq: 2}) {
		t.Errorf("take = %d messages up to %v, %v, want 2", len(batch.Msgs), batch.End(), ok)
	}
	n := 0
	for q.tryPut("s", Msg{Seq: uint64(n)}) {
		n++
	}
	if n != MaxBatch {
		t.Errorf("%d small messages fit, want %d", n, MaxBatch)
	}
	q.close()
	if b, ok := q.take(t.Context()); !ok || len(b.Msgs) != MaxBatch {
		t.Errorf("take after close = %d messages, %v, want what was queued", len(b.Msgs), ok)
	}
	if _, ok := q.take(t.Context()); ok {
		t.Error("take from a closed, empty queue = true, want false")
	}
}

// heard is a log handler that tells of one text.
type heard struct {
	slog.Handler
	text string
	c    chan struct{}
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if strings.Contains(a.Value.String(), h.text) {
			signal(h.c)
		}
		return true
	})
	return nil
}

func TestForeignClusterIsNamed(t *testing.T) {
	t.Parallel()
	addrs := append(freeAddresses(t, 2), "127.0.0.1:1")
	h := heard{Handler: slog.DiscardHandler, text: "does not match", c: make(chan struct{}, 1)}
	var buses []*Bus
	for i, cluster := range []string{"ours", "theirs"} {
		c := testConfig(t.TempDir())
		c.Name, c.Cluster = fmt.Sprintf("core-%d", i+1), cluster
		c.Replicas, c.ClusterListen, c.Peers = 3, addrs[i], addrs
		c.Log = slog.New(h)
		b, err := StartBus(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		runStarted(t, b)
		buses = append(buses, b)
	}
	select {
	case <-h.c:
	case <-time.After(patience):
		t.Fatal("no node refused the other")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var text strings.Builder
	for _, b := range buses {
		err := b.WaitReady(ctx)
		if !errors.Is(err, ErrNotReady) {
			t.Errorf("WaitReady = %v, want %v", err, ErrNotReady)
		}
		text.WriteString(fmt.Sprint(err))
	}
	if !strings.Contains(text.String(), "ours") || !strings.Contains(text.String(), "theirs") {
		t.Errorf("WaitReady = %q, want both cluster names in it", text.String())
	}
}

// BenchmarkConsume reads stored messages of 4 KiB.
func BenchmarkConsume(b *testing.B) {
	cfg := testConfig(b.TempDir())
	cfg.MaxStoreBytes = 8 << 30
	bus, err := StartBus(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := bus.Close(); err != nil {
			b.Error(err)
		}
	}()
	if err := bus.prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 4<<10)
	for range b.N {
		if _, err := bus.js.PublishAsync("cw.op.0.s.edge-1", data, jetstream.WithStallWait(patience)); err != nil {
			b.Fatal(err)
		}
	}
	<-bus.js.PublishAsyncComplete()
	b.SetBytes(int64(len(data)))
	b.ResetTimer()
	batches := 0
	err = bus.Consume(b.Context(), 0, Position{}, func(batch Batch) error {
		batches++
		if batch.End().Seq >= uint64(b.N) {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/float64(batches), "msgs/batch")
}
