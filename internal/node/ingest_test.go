package node_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// open runs a node on a new store until the test ends.
func open(t *testing.T, name string) *node.Node {
	t.Helper()
	n, _ := openAt(t, name, t.TempDir())
	return n
}

// openAt runs a node on the store in a directory until stop is called or the
// test ends.
func openAt(t *testing.T, name, dir string) (n *node.Node, stop func()) {
	t.Helper()
	n, err := node.Open(node.Config{
		Name: name, Role: "edge", Cluster: "test", Spaces: []string{node.AllSpaces}, Store: store.DefaultOptions(dir),
		CoreTimeout: time.Second, Sweep: time.Hour, Log: slog.New(slog.DiscardHandler),
		Clock: node.DefaultClockConfig(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

func write(t *testing.T, n *node.Node, id string, do session.Action) {
	t.Helper()
	cmd := session.Command{Space: "default", Session: id, Do: do}
	if _, err := n.Write(t.Context(), cmd, httpapi.Local); err != nil {
		t.Fatalf("write %T: %v", do, err)
	}
}

// frames reads all that a node has written itself.
func frames(t *testing.T, n *node.Node) (list []*protocol.Frame) {
	t.Helper()
	feed := protocol.Feed{Space: "default", Origin: n.Origin()}
	err := n.View(func(r session.Reader) error {
		for {
			from := feedEnd(list) + 1
			f, err := replica.FrameAt(r, feed, from, replica.Budget{Ops: protocol.MaxFrameOps, Bytes: protocol.FrameBytesBudget})
			if err != nil || f == nil {
				return err
			}
			list = append(list, f)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestIngestOfWideFrames takes frames of which each op fits a transaction, but
// all together do not.
func TestIngestOfWideFrames(t *testing.T) {
	t.Parallel()
	from, to := open(t, "edge-1"), open(t, "edge-2")
	write(t, from, "s", session.OpenSession{})
	for i := range 8 {
		var patch strings.Builder
		for j := range 1000 {
			fmt.Fprintf(&patch, ",\"%d-%d\":%d", i, j, j)
		}
		write(t, from, "s", session.PatchContext{Patch: []byte("{" + patch.String()[1:] + "}")})
	}
	ran := false
	list := frames(t, from)
	done, refused, err := to.Ingest(t.Context(), list, func(tx session.Tx) error {
		ran = true
		return tx.Put([]byte("n/test"), nil)
	})
	if err != nil || !ran {
		t.Fatalf("ingest of %d frames: %v", len(list), err)
	}
	added := 0
	for i := range done {
		if refused[i] != nil {
			t.Errorf("frame %d: %v", i, refused[i])
		}
		added += done[i].Added
	}
	if want := int(feedEnd(list)); added != want || done[len(done)-1].Head.Seq != feedEnd(list) {
		t.Errorf("added %d ops up to %d, want %d", added, done[len(done)-1].Head.Seq, want)
	}
	a, err := from.Digest(t.Context(), "default", "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := to.Digest(t.Context(), "default", "")
	if err != nil || a.Digest != b.Digest {
		t.Errorf("digests %s and %s: %v", a.Digest, b.Digest, err)
	}
}

func feedEnd(list []*protocol.Frame) vclock.Seq {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].To()
}

// TestReissueTakesANewOrigin makes ops behind a fork again; what is written
// afterwards must be readable at a replica that never saw the fork.
func TestReissueTakesANewOrigin(t *testing.T) {
	t.Parallel()
	n, other := open(t, "edge-1"), open(t, "edge-2")
	say := session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(`"x"`)}}}
	write(t, n, "s", session.OpenSession{})
	before := frames(t, n)
	old := protocol.Feed{Space: "default", Origin: n.Origin()}
	write(t, n, "s", say)
	write(t, n, "s", say)
	var told atomic.Int32
	defer n.Follow("default", "s", func() { told.Add(1) })()
	if _, err := n.Reissue(t.Context(), old, 1, func(protocol.Feed) vclock.Seq { return 0 }, "test"); err != nil {
		t.Fatal(err)
	}
	if n.Origin() == old.Origin {
		t.Fatal("the origin is still the old one")
	}
	if told.Load() == 0 {
		t.Error("who follows the session was not told of the ops that were made again")
	}
	write(t, n, "s", say)
	for _, list := range [][]*protocol.Frame{before, frames(t, n)} {
		if _, refused, err := other.Ingest(t.Context(), list, nil); err != nil || refused[0] != nil {
			t.Fatal(err, refused)
		}
	}
	a, err := n.Digest(t.Context(), "default", "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := other.Digest(t.Context(), "default", "")
	if err != nil || a.Digest != b.Digest || a.Waiting+b.Waiting != 0 {
		t.Errorf("digests %s (%d wait) and %s (%d wait): %v", a.Digest, a.Waiting, b.Digest, b.Waiting, err)
	}
}
