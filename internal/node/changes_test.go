package node_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// copyTo gives one node what another one has and it lacks.
func copyTo(t *testing.T, from, to *node.Node) {
	t.Helper()
	held, err := to.Held("default", "")
	if err != nil {
		t.Fatal(err)
	}
	var frames []*protocol.Frame
	err = from.View(func(r session.Reader) (err error) {
		frames, _, _, err = replica.Missing(r, "default", held, replica.Budget{Ops: 1000, Bytes: 1 << 20})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := to.Ingest(t.Context(), frames, nil); err != nil {
		t.Fatal(err)
	}
}

func hello() session.Append {
	return session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(`"hi"`)}}}
}

// A version taken at one node is used at another one that has less, nothing,
// or more: what it covers never comes, what it does not cover comes once.
func TestVersionsAcrossNodes(t *testing.T) {
	t.Parallel()
	one, two := open(t, "edge-1"), open(t, "edge-2")
	write(t, one, "s", session.OpenSession{})
	write(t, one, "s", hello())
	since, err := one.Held("default", "s")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := two.Page("default", "s", since); !errors.Is(err, session.ErrNoSession) {
		t.Errorf("Page of a session that is not here = %v", err)
	}
	changes, next, err := two.Changes(t.Context(), "default", "s", since, 10, 0)
	if err != nil || len(changes) > 0 || next.Compare(since) != vclock.Equal {
		t.Errorf("Changes since a version of elsewhere = %v, %v, %v; want none and the same version", changes, next, err)
	}
	if _, _, err := two.Changes(t.Context(), "default", "s", vclock.Vector{}, 10, 0); !errors.Is(err, session.ErrNoSession) {
		t.Errorf("Changes of an unknown session = %v", err)
	}
	for _, id := range []string{"s", ""} {
		if whole, err := two.Covers("default", id, since); whole || err != nil {
			t.Errorf("Covers(%q) = %v, %v before the ops are here", id, whole, err)
		}
	}
	var calls, others atomic.Int32
	defer two.Follow("default", "s", func() { calls.Add(1) })()
	defer two.Follow("default", "other", func() { others.Add(1) })()
	waited := make(chan []session.Change, 1)
	go func() {
		changes, _, err := two.Changes(t.Context(), "default", "s", vclock.Vector{}, 10, time.Minute)
		if err != nil {
			t.Error(err)
		}
		waited <- changes
	}()
	copyTo(t, one, two)
	if got := <-waited; len(got) != 2 {
		t.Errorf("who waited for the session got %d changes, want 2", len(got))
	}
	if calls.Load() == 0 || others.Load() > 0 {
		t.Errorf("the session's watcher was called %d times, another one's %d", calls.Load(), others.Load())
	}
	write(t, two, "s", hello())
	if changes, more, err := two.Page("default", "s", since); len(changes) != 1 || more || err != nil {
		t.Errorf("Page = %v, more %v, %v; want the one change that the version does not cover", changes, more, err)
	}
	for _, id := range []string{"s", ""} {
		if whole, err := two.Covers("default", id, since); !whole || err != nil {
			t.Errorf("Covers(%q) = %v, %v", id, whole, err)
		}
	}
	if has, err := two.HasMessage("default", "s", "nope"); has || err != nil {
		t.Errorf("HasMessage = %v, %v", has, err)
	}
	write(t, two, "s", session.EraseSession{})
	if _, _, err := two.Page("default", "s", since); !errors.Is(err, session.ErrSessionErased) {
		t.Errorf("Page of an erased session = %v", err)
	}
	if _, err := two.HasMessage("default", "s", "nope"); !errors.Is(err, session.ErrSessionErased) {
		t.Errorf("HasMessage of an erased session = %v", err)
	}
	changes, _, err = two.Changes(t.Context(), "default", "", vclock.Vector{}, 10, 0)
	if err != nil || len(changes) != 4 || changes[3].Type != "erase" {
		t.Errorf("changes of the space = %+v, %v", changes, err)
	}
	for i := range changes[:len(changes)-1] { // each version is where to resume
		since, err := vclock.Parse(changes[i].Version)
		if err != nil {
			t.Fatal(err)
		}
		rest, _, err := two.Changes(t.Context(), "default", "", since, 10, 0)
		if err != nil || len(rest) != len(changes)-i-1 || rest[0].Dot != changes[i+1].Dot {
			t.Errorf("behind change %d come %+v, %v", i, rest, err)
		}
	}
}
