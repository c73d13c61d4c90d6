package node_test

import (
	"context"
	"errors"
	"testing"

	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// TestRepairedOpIsToldAgain damages an op. Reading it has it fetched from another
// node, and then those who sync are told, although no feed moved: a delivery may
// have ended there, and nothing else would have it go on.
func TestRepairedOpIsToldAgain(t *testing.T) {
	t.Parallel()
	n, other := open(t, "core-1"), open(t, "edge-1")
	write(t, n, "s", session.OpenSession{})
	write(t, n, "s", session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(`"x"`)}}})
	list := frames(t, n)
	if _, refused, err := other.Ingest(t.Context(), list, nil); err != nil || refused[0] != nil {
		t.Fatal(err, refused)
	}
	n.AskThrough(ask(other))
	progress := n.Watch()
	feed := protocol.Feed{Space: "default", Origin: n.Origin()}
	err := n.Update(t.Context(), func(tx session.Tx) error {
		return tx.Put(session.OpKey(feed.Space, feed.Origin, 1), []byte("no record"))
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func() (f *protocol.Frame, err error) {
		err = n.View(func(r session.Reader) error {
			f, err = replica.FrameAt(r, feed, 1, replica.Budget{Ops: 9, Bytes: 1 << 20})
			return err
		})
		return f, err
	}
	if _, err := read(); !errors.Is(err, session.ErrCorrupt) {
		t.Fatalf("read of the damaged op: %v, want ErrCorrupt", err)
	}
	select {
	case <-progress.Changed():
	case <-t.Context().Done():
		t.Fatal("nobody is told of the repair")
	}
	want := protocol.FeedHead{Feed: feed, Head: list[0].Head()}
	if got := progress.Take(); len(got) != 1 || got[0] != want {
		t.Errorf("told %v, want %v", got, want)
	}
	if f, err := read(); err != nil || f.Head() != list[0].Head() {
		t.Errorf("read of the repaired op: %v, %v", f, err)
	}
}

// TestDamagedHeadIsMadeAnew damages the head of a feed in a running node, which
// mends it when it is read and tells those who sync, and again while the node is
// down: it starts all the same.
func TestDamagedHeadIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, stop := openAt(t, "edge-1", dir)
	write(t, n, "s", session.OpenSession{})
	write(t, n, "s", session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(`"x"`)}}})
	feed := protocol.Feed{Space: "default", Origin: n.Origin()}
	head := func() (h protocol.Head, err error) {
		err = n.View(func(r session.Reader) (err error) {
			h, err = replica.HeadOf(r, feed)
			return err
		})
		return h, err
	}
	want, err := head()
	if err != nil {
		t.Fatal(err)
	}
	damage := func() {
		t.Helper()
		err := n.Update(t.Context(), func(tx session.Tx) error {
			return tx.Put([]byte("f/"+feed.Space+"\x00"+string(feed.Origin)), []byte("no head"))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	progress := n.Watch()
	damage()
	if _, err := head(); !errors.Is(err, session.ErrCorrupt) {
		t.Fatalf("read of the damaged head: %v, want ErrCorrupt", err)
	}
	select {
	case <-progress.Changed():
	case <-t.Context().Done():
		t.Fatal("nobody is told of the repair")
	}
	if got, err := head(); got != want || err != nil {
		t.Errorf("after the repair: %v, %v, want %v", got, err, want)
	}
	damage()
	stop()
	n, _ = openAt(t, "edge-1", dir)
	if got, err := head(); got != want || err != nil {
		t.Errorf("after the start: %v, %v, want %v", got, err, want)
	}
	write(t, n, "s", session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(`"y"`)}}})
	if got, err := head(); got.Seq != want.Seq+1 || err != nil {
		t.Errorf("after another write: %v, %v, want number %d", got, err, want.Seq+1)
	}
}

// ask sends questions for ops to a node.
func ask(n *node.Node) node.Requester {
	return func(_ context.Context, _ string, data []byte) (answer []byte, err error) {
		n.AnswerOp(data, "inbox", func(_ string, data []byte) error {
			answer = data
			return nil
		})
		if answer == nil {
			return nil, errors.New("no answer")
		}
		return answer, nil
	}
}
