package node_test

import (
	"context"
	"errors"
	"slices"
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

// TestGiveUp: an op that nobody has is given up; the node says so, writes on under
// a new origin, and hands out its feed without a gap.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	n, other := open(t, "edge-1"), open(t, "core-1")
	write(t, n, "s", session.OpenSession{})
	for _, text := range []string{`"a"`, `"b"`, `"c"`} {
		write(t, n, "s", session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(text)}}})
	}
	list, feed := frames(t, n), protocol.Feed{Space: "default", Origin: n.Origin()}
	err := n.Update(t.Context(), func(tx session.Tx) error {
		return tx.Put(session.OpKey(feed.Space, feed.Origin, 3), []byte("no record"))
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := n.GiveUp(t.Context(), protocol.OpAsk{Feed: feed, Seq: 3})
	if err != nil || g.Head.Seq != 4 {
		t.Fatalf("GiveUp = %+v, %v", g, err)
	}
	if n.Origin() == feed.Origin {
		t.Errorf("it still writes as %s", feed.Origin)
	}
	status, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lost []string
	for _, d := range status.Degraded {
		lost = append(lost, d.Name)
	}
	if !slices.Contains(lost, "op_lost") || slices.Contains(lost, "record_damaged") {
		t.Errorf("degraded %v, want op_lost and no record_damaged", lost)
	}
	err = n.View(func(r session.Reader) error {
		list[0], err = replica.FrameAt(r, feed, 1, replica.Budget{Ops: 9, Bytes: 1 << 20})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, refused, err := other.Ingest(t.Context(), list, nil); err != nil || refused[0] != nil {
		t.Errorf("the feed elsewhere: %v, %v", err, refused)
	}
	for _, who := range []*node.Node{n, other} {
		var got []string
		err := who.View(func(r session.Reader) error {
			page, _, err := session.Messages(r, "default", "s", session.Query{})
			for _, m := range page {
				got = append(got, string(m.Content))
			}
			return err
		})
		if want := []string{`"a"`, `"c"`}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s shows %v, %v, want %v", who.Name(), got, err, want)
		}
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
