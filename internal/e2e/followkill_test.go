package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/causeway-sync/causeway/internal/wsraw"
)

// A client that follows over a WebSocket loses its edge to kill -9, goes on at
// the other one with its last token, and comes back: every change once.
func TestFollowerOfAKilledNode(t *testing.T) {
	f := newFleet(t, 1, 2)
	call(t, "POST", f.edges[0].url()+sessions, map[string]any{"id": sharedSession}, 201, nil)
	f.converge()
	c := startChaos(t, 5, f.edges[0], f.edges[1])
	both := []*follower{newFollower(sharedSession), newFollower("")}
	for round := range 4 {
		here, there := f.edges[round/2], f.edges[1-round/2]
		if err := both[round%2].untilKilled(here); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, w := range both {
			if err := w.socket(there.url(), stay{changes: 30, patience: startTimeout}); err != nil {
				t.Fatalf("round %d, at the other edge: %v", round, err)
			}
		}
		here.start()
	}
	c.finish()
	f.converge()
	rng := rand.New(rand.NewPCG(5, 5))
	for _, w := range both {
		finish(t, w, f.urls(), rng)
	}
}

// untilKilled follows, has the node killed in the middle of it, and reads what
// still comes.
func (f *follower) untilKilled(p *process) error {
	c, err := wsraw.Dial(p.url(), "/v1/stream", wsraw.Options{})
	if err != nil {
		return err
	}
	defer c.Conn.Close()
	subscribe := fmt.Sprintf(`{"type":"subscribe","space":"default","since":%q}`, f.token)
	if f.session != "" {
		subscribe = fmt.Sprintf(`{"type":"subscribe","space":"default","session":%q,"since":%q}`, f.session, f.token)
	}
	if err := c.Send(subscribe); err != nil {
		return err
	}
	for got := 0; ; {
		m, err := nextText(c, startTimeout)
		if err != nil {
			if got < 15 || !gone(err) {
				return fmt.Errorf("after %d changes: %w", got, err)
			}
			return nil
		}
		if m.Type != "change" {
			continue
		}
		if err := f.take(&m.Change); err != nil {
			return err
		}
		if got++; got == 15 {
			p.kill()
		}
	}
}
