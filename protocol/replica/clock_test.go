package replica_test

import (
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// at writes with the clock of the peer at wall, of the given class.
func (p *peer) at(wall uint64, trust clocksync.Trust, id string, do session.Action) session.Written {
	p.t.Helper()
	p.wall = wall
	var w session.Written
	err := p.update(func(tx session.Tx) (err error) {
		w, err = p.r.Write(tx, replica.Now{Wall: wall, Trust: trust}, session.Command{Space: space, Session: id, Do: do})
		return err
	})
	if err != nil {
		p.t.Fatalf("%T: %v", do, err)
	}
	return w
}

func (p *peer) placings(id string) (list []session.Message) {
	p.t.Helper()
	p.view(func(r session.Reader) (err error) {
		list, _, err = session.Messages(r, space, id, session.Query{Explain: true})
		return err
	})
	return list
}

const hour = uint64(time.Hour / time.Millisecond)

// A clock that is an hour ahead and that nobody vouches for wins no tie; the
// losing value is kept with the reason, alike on both replicas.
func TestTrustDecidesTies(t *testing.T) {
	t.Parallel()
	const wall = 1_000_000_000
	a, b := newPeer(t, "a~1"), newPeer(t, "b~1")
	a.at(wall, clocksync.Synced, "s", session.OpenSession{})
	b.pull(a, 100)
	a.at(wall+1000, clocksync.Synced, "s", session.PatchContext{Patch: []byte(`{"k":"right","l":1}`)})
	b.at(wall+hour, clocksync.Unsynced, "s", session.PatchContext{Patch: []byte(`{"k":"ahead"}`)})
	a.pull(b, 100)
	b.pull(a, 100)
	for _, p := range []*peer{a, b} {
		p.view(func(r session.Reader) error {
			doc, err := session.View(r, space, "s")
			if err != nil {
				return err
			}
			if len(doc.Conflicts) != 1 || string(doc.Conflicts[0].Shown.Value) != `"right"` ||
				doc.Conflicts[0].Others[0].Reason != "concurrent; untrusted clock" ||
				string(doc.Conflicts[0].Others[0].Value) != `"ahead"` {
				t.Errorf("conflicts %+v", doc.Conflicts)
			}
			return nil
		})
	}
}

// Why a message stands where it does: the same answer on both replicas.
func TestExplain(t *testing.T) {
	t.Parallel()
	const wall = 1_000_000_000
	for _, order := range []session.Order{session.Turns, session.Chat} {
		a, b := newPeer(t, "a~1"), newPeer(t, "b~1")
		a.at(wall, clocksync.Synced, "s", session.OpenSession{Order: order})
		a.at(wall+1, clocksync.Synced, "s", say("first"))
		b.pull(a, 100)
		a.at(wall+10, clocksync.Synced, "s", say("a"))
		a.at(wall+30, clocksync.Synced, "s", say("reply at a"))
		b.at(wall+20, clocksync.Holdover, "s", say("b"))
		b.at(wall+40, clocksync.Unsynced, "s", say("reply at b"))
		a.pull(b, 100)
		b.pull(a, 100)
		b.at(wall+50, clocksync.Unsynced, "s", say("has seen all"))
		a.pull(b, 100)
		want := "first causality causality stamp causality causality"
		if order == session.Chat {
			want = "first causality stamp stamp stamp causality"
		}
		for _, p := range []*peer{a, b} {
			var why []string
			list := p.placings("s")
			for i, m := range list {
				why = append(why, m.Placing.Why)
				if i > 0 && m.Placing.After != list[i-1].ID {
					t.Errorf("%s is explained against %s, which does not stand before it", m.ID, m.Placing.After)
				}
				if known := m.Placing.BoundMS != nil; known != (m.Placing.Trust != "unsynced") {
					t.Errorf("%s has trust %s, a bound: %t", m.ID, m.Placing.Trust, known)
				}
			}
			if got := strings.Join(why, " "); got != want {
				t.Errorf("order %v: %s, want %s", order, got, want)
			}
		}
	}
}

// Of two concurrent messages with one stamp that of the larger origin stands
// behind, and says so.
func TestExplainTie(t *testing.T) {
	t.Parallel()
	const wall = 1_000_000_000
	for _, order := range []session.Order{session.Turns, session.Chat} {
		a, b := newPeer(t, "a~1"), newPeer(t, "b~1")
		a.at(wall, clocksync.Synced, "s", session.OpenSession{Order: order})
		b.pull(a, 100)
		b.at(wall+10, clocksync.Synced, "s", say("b"))
		a.at(wall+10, clocksync.Unsynced, "s", say("a")) // trust decides no order of messages
		a.pull(b, 100)
		b.pull(a, 100)
		for _, p := range []*peer{a, b} {
			list := p.placings("s")
			if len(list) != 2 || string(list[0].Content) != `"a"` || list[1].Placing.Why != "tie" ||
				!strings.Contains(list[1].Placing.Detail, "origin b~1 is larger than a~1") {
				t.Errorf("order %v: %+v, want a and then b by a tie", order, list)
			}
		}
	}
}

// A message that was put twice stands where the put of the earlier stamp belongs,
// and is explained by it.
func TestExplainPutTwice(t *testing.T) {
	t.Parallel()
	const wall = 1_000_000_000
	for _, order := range []session.Order{session.Turns, session.Chat} {
		a, b := newPeer(t, "a~1"), newPeer(t, "b~1")
		a.at(wall, clocksync.Synced, "s", session.OpenSession{Order: order})
		b.pull(a, 100)
		b.at(wall+20, clocksync.Synced, "s", say("between"))
		a.wall = wall + 9
		a.must("s", say("twice"), "key")
		b.wall = wall + 29
		b.must("s", say("twice"), "key")
		a.pull(b, 100)
		b.pull(a, 100)
		for _, p := range []*peer{a, b} {
			list := p.placings("s")
			if len(list) != 2 || string(list[0].Content) != `"twice"` || list[0].Placing.Op != "a~1.2" ||
				list[1].Placing.Why != "stamp" {
				t.Errorf("order %v: %+v, want what was put twice first, by its first put", order, list)
			}
		}
	}
}

// The beginning of a branch is looked for only so far back.
func TestExplainDeepBranch(t *testing.T) {
	t.Parallel()
	const wall = 1_000_000_000
	a, b := newPeer(t, "a~1"), newPeer(t, "b~1")
	a.at(wall, clocksync.Synced, "s", session.OpenSession{})
	b.pull(a, 100)
	b.at(wall+5, clocksync.Synced, "s", say("beside"))
	a.at(wall+1, clocksync.Synced, "s", say("the branch begins"))
	for range 1100 {
		a.at(wall+10, clocksync.Synced, "s", say("and goes on"))
	}
	a.pull(b, 100)
	var page []session.Message
	a.view(func(r session.Reader) (err error) {
		page, _, err = session.Messages(r, space, "s", session.Query{Explain: true, Tail: true, Limit: 2})
		return err
	})
	if last := page[len(page)-1]; string(last.Content) != `"beside"` || last.Placing.Why != "stamp" ||
		!strings.Contains(last.Placing.Detail, "messages back") {
		t.Errorf("the last message is %+v, %+v, want the one beside a branch that begins too far back", last, last.Placing)
	}
}

// A node whose clock stood in 2099 and was put right writes at the right time
// again, under a new origin; sessions that carry such stamps keep their order.
func TestReanchor(t *testing.T) {
	t.Parallel()
	const wall = 1_000_000_000
	p := newPeer(t, "a~1")
	p.at(wall+1000*hour, clocksync.Unsynced, "old", session.OpenSession{})
	w := p.at(wall, clocksync.Synced, "s", session.OpenSession{})
	if s := w.Ops[0].Stamp; s.Wall < wall+1000*hour || s.Trust != clocksync.Unsynced {
		t.Errorf("stamp %v, want one ahead that nobody vouches for", s)
	}
	if ahead := p.r.Ahead(replica.Now{Wall: wall}); ahead < 1000*time.Hour {
		t.Errorf("ahead by %v", ahead)
	}
	if err := p.update(func(tx session.Tx) error {
		p.r.Renew("a~2")
		return p.r.Reanchor(tx)
	}); err != nil {
		t.Fatal(err)
	}
	p.reopen("a~2") // the bound on disk is put back too
	s := p.at(wall+1, clocksync.Synced, "new", session.OpenSession{}).Ops[0].Stamp
	if s.Wall != wall+1 || s.Trust != clocksync.Synced {
		t.Errorf("stamp %v after the clock was put right", s)
	}
	s = p.at(wall+2, clocksync.Synced, "old", say("later")).Ops[0].Stamp
	if s.Wall < wall+1000*hour || s.Trust != clocksync.Unsynced {
		t.Errorf("stamp %v in a session of stamps far ahead, want a later one that nobody vouches for", s)
	}
}
