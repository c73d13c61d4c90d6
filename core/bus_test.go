package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience bounds every wait of these tests for something that must happen.
const patience = 30 * time.Second

func testConfig(dir string) BusConfig {
	c := DefaultBusConfig()
	c.Name, c.Cluster, c.Dir = "core-1", "test", dir
	c.Partitions = 2
	c.MaxStoreBytes = 256 << 20
	return c
}

// runBus starts a bus and waits until its streams are ready. stop ends it and
// returns what Run returned; it is called at the end of the test in any case.
func runBus(t *testing.T, cfg BusConfig) (b *Bus, stop func() error) {
	t.Helper()
	b, err := StartBus(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop = runStarted(t, b)
	waitReady(t, b)
	return b, stop
}

func runStarted(t *testing.T, b *Bus) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var result error
	go func() {
		defer close(done)
		result = b.Run(ctx)
	}()
	stop = func() error {
		cancel()
		<-done
		return result
	}
	t.Cleanup(func() {
		if err := stop(); err != nil && !t.Failed() {
			t.Logf("Run = %v", err)
		}
	})
	return stop
}

func waitReady(t *testing.T, b *Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// publish stores a message; expect < 0 expects nothing.
func publish(t *testing.T, b *Bus, subject, text, id string, expect int64) (*jetstream.PubAck, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m := &nats.Msg{Subject: subject, Data: []byte(text), Header: nats.Header{}}
	var opts []jetstream.PublishOpt
	if id != "" {
		opts = append(opts, jetstream.WithMsgID(id))
	}
	if expect >= 0 {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(uint64(expect)))
	}
	return b.js.PublishMsg(ctx, m, opts...)
}

func mustPublish(t *testing.T, b *Bus, subject, text string) uint64 {
	t.Helper()
	ack, err := publish(t, b, subject, text, "", -1)
	if err != nil {
		t.Fatalf("publish %s: %v", text, err)
	}
	return ack.Sequence
}

var errEnough = errors.New("enough")

// consume reads until n messages have come.
func consume(t *testing.T, b *Bus, partition int, from Position, n int) ([]Msg, Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []Msg
	pos := from
	err := b.Consume(ctx, partition, from, func(batch Batch) error {
		got = append(got, batch.Msgs...)
		pos = batch.End()
		if len(got) >= n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("Consume after %v gave %d messages, %v, want %d messages", from, len(got), err, n)
	}
	return got, pos
}

// wantRun compares messages with consecutive numbers and texts "m<number>".
func wantRun(t *testing.T, got []Msg, first, last uint64) {
	t.Helper()
	if len(got) != int(last-first+1) {
		t.Fatalf("got %d messages, want %d to %d", len(got), first, last)
	}
	for i, m := range got {
		want := first + uint64(i)
		if m.Seq != want || string(m.Data) != fmt.Sprintf("m%d", want) || m.Missing != 0 {
			t.Fatalf("message %d = %d %q (missing %d), want %d, no gap", i, m.Seq, m.Data, m.Missing, want)
		}
	}
}

func TestOneNodeExpectedSequenceAndDedup(t *testing.T) {
	t.Parallel()
	b, _ := runBus(t, testConfig(t.TempDir()))
	const subject = "cw.op.0.default.edge-1"
	first, err := publish(t, b, subject, "a", "id-1", 0)
	if err != nil || first.Sequence != 1 {
		t.Fatalf("first publish = %v, %v, want number 1", first, err)
	}
	_, err = publish(t, b, subject, "b", "id-2", 0)
	ae, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || ae.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		t.Errorf("publish with a stale expected number: %v, want wrong last sequence", err)
	}
	again, err := publish(t, b, subject, "a", "id-1", 1)
	if err != nil || !again.Duplicate || again.Sequence != 1 {
		t.Errorf("publish of a known id = %+v, %v, want duplicate of 1", again, err)
	}
	second, err := publish(t, b, subject, "b", "id-2", 1)
	if err != nil || second.Sequence != 2 {
		t.Errorf("second publish = %v, %v, want number 2", second, err)
	}
	if p := b.CheckStreams(); len(p) != 0 {
		t.Errorf("CheckStreams = %v, want none", p)
	}
	st := b.Streams()
	if len(st) != 2 || st[0].Last != 2 || st[0].Messages != 2 || st[0].Leader != "core-1" {
		t.Errorf("Streams = %+v, want two, the first with 2 messages and leader core-1", st)
	}
	if cfg := b.srv.JetStreamConfig(); !cfg.SyncAlways {
		t.Error("SyncAlways is off")
	}
}

func TestConsumeContinuesAfterRestart(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	b, stop := runBus(t, cfg)
	for i := 1; i <= 40; i++ {
		mustPublish(t, b, "cw.op.1.s.edge-1", fmt.Sprintf("m%d", i))
	}
	got, pos := consume(t, b, 1, Position{}, 40)
	wantRun(t, got, 1, 40)
	id := pos.Stream
	if pos.Seq != 40 || id == "" {
		t.Fatalf("position after 40 = %v", pos)
	}
	if err := stop(); err != nil {
		t.Fatalf("Run = %v, want nil", err)
	}

	b, _ = runBus(t, cfg)
	for i := 41; i <= 60; i++ {
		mustPublish(t, b, "cw.op.1.s.edge-1", fmt.Sprintf("m%d", i))
	}
	got, pos = consume(t, b, 1, pos, 20)
	wantRun(t, got, 41, 60)
	if pos.Stream != id {
		t.Errorf("stream identity after a restart = %s, want %s", pos.Stream, id)
	}
	if known, ok := b.StreamID(1); !ok || known != id {
		t.Errorf("StreamID(1) = %s, %v, want %s", known, ok, id)
	}
}

func TestConsumeSeesLiveMessagesAndStopsWithContext(t *testing.T) {
	t.Parallel()
	b, _ := runBus(t, testConfig(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan uint64, 1000)
	done := make(chan error, 1)
	go func() {
		done <- b.Consume(ctx, 0, Position{}, func(batch Batch) error {
			for _, m := range batch.Msgs {
				seen <- m.Seq
			}
			return nil
		})
	}()
	for i := 1; i <= 300; i++ { // more than one pull
		mustPublish(t, b, "cw.op.0.s.edge-1", "x")
	}
	for want := uint64(1); want <= 300; want++ {
		if got := <-seen; got != want {
			t.Fatalf("message %d came, want %d", got, want)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Consume after cancel = %v, want %v", err, context.Canceled)
	}
}

func TestConsumeNoticesRecreatedStream(t *testing.T) {
	t.Parallel()
	b, _ := runBus(t, testConfig(t.TempDir()))
	b.rewindPatience = 0
	mustPublish(t, b, "cw.op.0.s.edge-1", "m1")
	_, pos := consume(t, b, 0, Position{}, 1)
	never := func(Batch) error { return errors.New("handle was called") }

	err := b.Consume(t.Context(), 0, Position{Stream: pos.Stream, Seq: 2}, never)
	if !errors.Is(err, ErrStreamRecreated) {
		t.Errorf("Consume behind the end = %v, want %v", err, ErrStreamRecreated)
	}
	if err := b.js.DeleteStream(t.Context(), StreamName(0)); err != nil {
		t.Fatal(err)
	}
	if p := b.CheckStreams(); len(p) != 1 || p[0].Kind != ProblemMissing {
		t.Errorf("CheckStreams without a stream = %v, want missing", p)
	}
	if _, err := b.js.CreateStream(t.Context(), b.streamConfig(0)); err != nil {
		t.Fatal(err)
	}
	if p := b.CheckStreams(); len(p) != 1 || p[0].Kind != ProblemRecreated {
		t.Errorf("CheckStreams with a new stream = %v, want recreated", p)
	}
	mustPublish(t, b, "cw.op.0.s.edge-1", "m1")
	if err := b.Consume(t.Context(), 0, pos, never); !errors.Is(err, ErrStreamRecreated) {
		t.Errorf("Consume in a new stream = %v, want %v", err, ErrStreamRecreated)
	}
}

// A replica that lost messages leaves them out without a word (F17). Here the
// stream itself has a hole, which a deletion makes.
func TestConsumeReportsAHole(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	b, err := StartBus(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	// The same stream, but with deletion allowed; ensureStream would repair that.
	sc := b.streamConfig(0)
	sc.DenyDelete = false
	s, err := b.js.CreateStream(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 6; i++ {
		mustPublish(t, b, "cw.op.0.s.edge-1", fmt.Sprintf("m%d", i))
	}
	for _, seq := range []uint64{3, 4} {
		if err := s.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	runStarted(t, b)
	waitReady(t, b)
	p := b.CheckStreams()
	if len(p) != 1 || p[0].Kind != ProblemHoles || p[0].Partition != 0 {
		t.Errorf("CheckStreams = %v, want holes in partition 0", p)
	}
	got, _ := consume(t, b, 0, Position{}, 4)
	want := []struct{ seq, missing uint64 }{{1, 0}, {2, 0}, {5, 2}, {6, 0}}
	for i, w := range want {
		if got[i].Seq != w.seq || got[i].Missing != w.missing {
			t.Errorf("message %d = number %d, missing %d, want %d, %d", i, got[i].Seq, got[i].Missing, w.seq, w.missing)
		}
	}
	info, err := s.Info(t.Context())
	if err != nil || !info.Config.DenyDelete {
		t.Errorf("deny_delete after start = %v, %v, want repaired", info.Config.DenyDelete, err)
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()

	cfg := testConfig(t.TempDir())
	cfg.Listen = addr
	_, err = StartBus(t.Context(), cfg)
	if ae, ok := errors.AsType[*AddressError](err); !ok || ae.Addr != addr || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("StartBus on a used address = %v, want %v naming %s", err, syscall.EADDRINUSE, addr)
	}

	// The address may be taken between our look and the server's: the server
	// itself must then neither end the process nor stay half started.
	b := newBus(cfg)
	err = b.startServer(t.Context())
	if err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("server on a used address = %v, want an error that names %s", err, addr)
	}
	if err := b.stopServer(); err != nil {
		t.Error(err)
	}

	cluster := testConfig(t.TempDir())
	cluster.Replicas = 3
	cluster.ClusterListen = addr
	cluster.Peers = []string{addr, "127.0.0.1:1", "127.0.0.1:2"}
	b = newBus(cluster)
	err = b.startServer(t.Context())
	if err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("server with a used cluster address = %v, want an error that names %s", err, addr)
	}
	if err := b.stopServer(); err != nil {
		t.Error(err)
	}
}

func TestDriftIsRefused(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		change func(*jetstream.StreamConfig)
		want   string
	}{
		{"async", func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "persist mode"},
		{"compressed", func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression }, "compression"},
		{"subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"cw.op.0.>", "other"} }, "subjects"},
		{"partitions", func(c *jetstream.StreamConfig) { c.Metadata[metaPartitions] = "8" }, "partitions"},
	}
	b, _ := runBus(t, func() BusConfig { c := testConfig(t.TempDir()); c.Partitions = 1; return c }())
	for _, tc := range cases {
		if err := b.js.DeleteStream(t.Context(), StreamName(0)); err != nil {
			t.Fatal(err)
		}
		sc := b.streamConfig(0)
		tc.change(&sc)
		if _, err := b.js.CreateStream(t.Context(), sc); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		err := b.prepare(t.Context())
		if de, ok := errors.AsType[*DriftError](err); !ok || !strings.Contains(de.Error(), tc.want) {
			t.Errorf("%s: prepare = %v, want a drift error about %q", tc.name, err, tc.want)
		}
		drift := 0
		for _, p := range b.CheckStreams() {
			if p.Kind == ProblemDrift {
				drift++
			}
		}
		if drift != 1 {
			t.Errorf("%s: CheckStreams found %d drifts, want 1", tc.name, drift)
		}
	}
}

func TestCoreNATS(t *testing.T) {
	t.Parallel()
	b, _ := runBus(t, testConfig(t.TempDir()))
	type message struct{ subject, text string }
	got := make(chan message, 4)
	cancel, err := b.Subscribe("cw.x.*", func(subject, reply string, data []byte) {
		got <- message{subject, string(data)}
		if reply != "" {
			if err := b.Publish(reply, []byte("answer")); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	if err := b.Publish("cw.x.one", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m != (message{"cw.x.one", "1"}) {
		t.Errorf("subscription got %v", m)
	}
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	answer, err := b.Request(ctx, "cw.x.two", nil)
	if err != nil || string(answer) != "answer" {
		t.Errorf("Request = %q, %v, want answer", answer, err)
	}
	if _, err := b.Request(ctx, "cw.nobody", nil); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("Request to nobody = %v, want %v", err, nats.ErrNoResponders)
	}
}

func TestValidateReportsAll(t *testing.T) {
	t.Parallel()
	err := BusConfig{Replicas: 2, Listen: "nowhere", Peers: []string{"x"}}.Validate()
	for _, want := range []string{"name", "directory", "replicas", "partitions", "store size", "age", "nats address",
		"peer", "cluster address"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want it to mention %q", err, want)
		}
	}
	if err := testConfig("d").Validate(); err != nil {
		t.Errorf("Validate of a good config = %v", err)
	}
}
