package drive

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// TestExpiry lets an idle session expire and leaves one that was used.
func TestExpiry(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	p.must("idle", session.OpenSession{TTL: time.Minute})
	p.must("used", session.OpenSession{TTL: time.Minute})
	p.wall += 50_000
	p.must("used", say("still here"))
	p.wall += 30_000
	var due []session.Due
	p.view(func(r session.Reader) (err error) {
		due, err = session.ExpiredBefore(r, SweepCutoff(p.wall, 0), SweepBatch)
		return err
	})
	if len(due) != 2 {
		t.Fatalf("%d sessions to look at, want 2", len(due))
	}
	for _, d := range due {
		cmd, idle := Expiry(d, "edge-1")
		if idle != (d.Session == "idle") {
			t.Errorf("Expiry of %s = %v", d.Session, idle)
		}
		if !idle {
			continue
		}
		if cmd.Actor != "edge-1" || cmd.Session != "idle" || cmd.Space != space {
			t.Errorf("Expiry = %+v", cmd)
		}
		if _, err := p.write(cmd); err != nil {
			t.Errorf("the expiry is refused: %v", err)
		}
		if _, err := p.write(cmd); !Settled(err) {
			t.Errorf("the expiry again: %v, want a settled answer", err)
		}
	}
	if _, err := p.write(session.Command{Session: "idle", Do: say("late")}); !errors.Is(err, session.ErrSessionExpired) {
		t.Errorf("a write to the expired session: %v", err)
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		session.ErrSessionExpired: true, session.ErrSessionErased: true, session.ErrNoSession: true,
		session.ErrVersionMoved: true, session.ErrCorrupt: false, errors.New("disk full"): false,
	} {
		if got := Settled(fmt.Errorf("expire: %w", err)); got != want {
			t.Errorf("Settled(%v) = %v, want %v", err, got, want)
		}
	}
	if Settled(nil) {
		t.Error("Settled(nil) = true: what was expired is not looked at again")
	}
}

func TestSweepCutoff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		now   uint64
		grace time.Duration
		want  uint64
	}{
		{100_000, 0, 100_000}, {100_000, time.Minute, 40_000}, {1000, time.Minute, 0},
		{math.MaxUint64, time.Second, math.MaxUint64 - 1000},
	} {
		if got := SweepCutoff(c.now, c.grace); got != c.want {
			t.Errorf("SweepCutoff(%d, %v) = %d, want %d", c.now, c.grace, got, c.want)
		}
	}
}

// TestWriteKeepsAnswers: a retry is shown the first answer and not a later state,
// until the session is erased.
func TestWriteKeepsAnswers(t *testing.T) {
	t.Parallel()
	p := newPeer(t, "edge-1")
	open := session.Command{Session: "s", Key: "k", Do: session.OpenSession{}}
	first, err := p.write(open)
	if err != nil || first.Document == nil || first.Grown.Feed != p.feed() || first.Grown.Head != p.head(p.feed()) {
		t.Fatalf("Write = %+v, %v", first, err)
	}
	if said := p.must("s", say("hi")); said.Document != nil || said.Grown.Seq != 2 {
		t.Errorf("Write of a message = %+v, want no document and op 2", said)
	}
	again, err := p.write(open)
	if err != nil || !again.Replayed || !reflect.DeepEqual(again.Document, first.Document) {
		t.Errorf("the retry = %+v, %v, want the first answer %+v", again.Document, err, first.Document)
	}
	p.must("s", session.EraseSession{})
	rounds := 0
	for more := true; more; rounds++ {
		p.update(func(tx session.Tx) (err error) {
			more, err = Purge(tx, replica.Gone{Space: space, Session: "s"})
			return err
		})
	}
	p.view(func(r session.Reader) error {
		for e, err := range r.Scan(answerPrefix(space, "s"), nil, false) {
			t.Errorf("after the purge: %q, %v", e.Key, err)
		}
		gone, err := replica.Unpurged(r, SweepBatch)
		if len(gone) > 0 || err != nil || rounds == 0 {
			t.Errorf("after %d rounds: %v, %v, want nothing left", rounds, gone, err)
		}
		return nil
	})
}
