package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// freeAddresses finds loopback addresses for servers that must know each
// other's before they start.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

// follower consumes a partition in the background and keeps what came.
type follower struct {
	mu   sync.Mutex
	msgs []Msg
	pos  Position
	more chan struct{}
	stop func()
}

func follow(t *testing.T, b *Bus, from Position) *follower {
	t.Helper()
	f := &follower{more: make(chan struct{}, 1), pos: from}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := b.Consume(ctx, 0, from, func(batch Batch) error {
			f.mu.Lock()
			f.msgs = append(f.msgs, batch.Msgs...)
			f.pos = batch.End()
			f.mu.Unlock()
			signal(f.more)
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Consume = %v, want it to end with its context", err)
		}
	}()
	f.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(f.stop)
	return f
}

// wait returns the messages when there are n.
func (f *follower) wait(t *testing.T, n int) ([]Msg, Position) {
	t.Helper()
	deadline := time.After(patience)
	for {
		f.mu.Lock()
		msgs, pos := f.msgs, f.pos
		f.mu.Unlock()
		if len(msgs) >= n {
			return msgs, pos
		}
		select {
		case <-f.more:
		case <-deadline:
			t.Fatalf("got %d messages, want %d", len(msgs), n)
		}
	}
}

// keep publishes m<first> to m<last> with the expected number, as an edge does:
// after an unknown outcome it asks for the last message, and goes on from there.
func keep(t *testing.T, b *Bus, first, last int) {
	t.Helper()
	const subject = "cw.op.0.s.edge-1"
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := first; n <= last; {
		try, done := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err := b.js.Publish(try, subject, fmt.Appendf(nil, "m%d", n),
			jetstream.WithExpectLastSequencePerSubject(uint64(n-1)), jetstream.WithRetryAttempts(0))
		done()
		if err == nil {
			n++
			continue
		}
		if ctx.Err() != nil {
			t.Fatalf("message %d was not stored: %v", n, err)
		}
		n = next(ctx, b, subject, n)
	}
}

// next is the number to publish, as far as the stream says; n if it does not.
func next(ctx context.Context, b *Bus, subject string, n int) int {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	s, err := b.js.Stream(ctx, StreamName(0))
	if err != nil {
		return n
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return n
	}
	return int(m.Sequence) + 1
}

// One cluster for all that needs one: it takes about 5 s to elect its leaders.
// F14: the leader of a stream goes, the others go on, and it comes back.
func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	addrs := freeAddresses(t, 3)
	configs := make([]BusConfig, 3)
	buses := make([]*Bus, 3)
	stops := make([]func() error, 3)
	for i := range 3 {
		c := testConfig(t.TempDir())
		c.Name = fmt.Sprintf("core-%d", i+1)
		c.Replicas, c.ClusterListen, c.Peers = 3, addrs[i], addrs
		b, err := StartBus(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		configs[i], buses[i], stops[i] = c, b, runStarted(t, b)
	}
	// All get ready together: a node alone has no quorum.
	followers := make([]*follower, 3)
	for i, b := range buses {
		waitReady(t, b)
		followers[i] = follow(t, b, Position{})
	}
	keep(t, buses[0], 1, 50)
	for i, f := range followers {
		got, pos := f.wait(t, 50)
		wantRun(t, got, 1, 50)
		if id, _ := buses[i].StreamID(0); pos.Stream != id {
			t.Errorf("%s: position is of stream %s, want %s", configs[i].Name, pos.Stream, id)
		}
		if p := buses[i].CheckStreams(); len(p) != 0 {
			t.Errorf("%s: CheckStreams = %v, want none", configs[i].Name, p)
		}
	}

	lead := leaderOf(t, buses[0], configs)
	_, pos := followers[lead].wait(t, 50)
	followers[lead].stop()
	began := time.Now()
	if err := stops[lead](); err != nil {
		t.Fatalf("stop of the leader: %v", err)
	}
	if took := time.Since(began); took > shutdownTimeout {
		t.Errorf("the leader took %v to stop, want at most %v", took, shutdownTimeout)
	}
	rest := []int{(lead + 1) % 3, (lead + 2) % 3}
	keep(t, buses[rest[0]], 51, 100)
	for _, i := range rest {
		got, _ := followers[i].wait(t, 100)
		wantRun(t, got, 1, 100)
	}

	b, _ := runBus(t, configs[lead])
	got, _ := follow(t, b, pos).wait(t, 50)
	wantRun(t, got, 51, 100)
}

func leaderOf(t *testing.T, b *Bus, configs []BusConfig) int {
	t.Helper()
	st := b.Streams()
	for i, c := range configs {
		if len(st) > 0 && st[0].Leader == c.Name {
			return i
		}
	}
	t.Fatalf("Streams = %+v, want a leader", st)
	return 0
}
