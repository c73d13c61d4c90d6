package e2e

import (
	"fmt"
	"testing"

	"github.com/causeway-sync/causeway/internal/wsraw"
)

// A client sends writes over a WebSocket without waiting for answers, its edge
// is killed in the middle, and it sends again, when the edge is back,
// everything from the first write on that was not answered: each is there
// once, in the order of the sending.
func TestPipelineAcrossKills(t *testing.T) {
	const writes, kills = 3000, 4
	f := newFleet(t, 1, 2)
	call(t, "POST", f.edges[0].url()+sessions, map[string]any{"id": "s"}, 201, nil)
	f.converge()
	answered, replayed := 0, 0
	for round := range kills + 1 {
		until := writes * (round + 1) / (kills + 1)
		p := f.edges[0]
		n, again, err := pipeline(p, answered, writes, until)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		answered, replayed = answered+n, replayed+again
		if round < kills {
			p.start()
		}
	}
	if answered != writes {
		t.Fatalf("%d of %d writes were answered", answered, writes)
	}
	f.converge()
	for _, u := range f.urls() {
		got := messages(t, u, "default", "s")
		if len(got) != writes {
			t.Errorf("%d messages at %s, want %d", len(got), u, writes)
		}
		for i, m := range got {
			if want := fmt.Sprint(i); string(m.Content) != want {
				t.Fatalf("message %d at %s is %s", i, u, m.Content)
			}
		}
	}
	t.Logf("%d writes, %d kills, %d found to be made already", writes, kills, replayed)
}

// pipeline sends writes from number first on, to number last; at the answer to
// number until it kills the node, unless that is the last. It gives how many
// were answered, and how many of these had been made before.
func pipeline(p *process, first, last, until int) (answered, replayed int, err error) {
	c, err := wsraw.Dial(p.url(), "/v1/stream", wsraw.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer c.Conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := first; i < last; i++ {
			if c.Send(fmt.Sprintf(`{"type":"append","ref":"%d","key":"k%d","space":"default","session":"s","brief":true,`+
				`"body":{"role":"user","content":%d}}`, i, i, i)) != nil {
				return // the node was killed
			}
		}
	}()
	defer func() { _ = c.Conn.Close(); <-sent }()
	for at := first; at < last; at++ {
		m, err := nextText(c, startTimeout)
		if err != nil {
			if until < last && gone(err) {
				return answered, replayed, nil
			}
			return answered, replayed, err
		}
		if m.Type != "ack" || m.Ref != fmt.Sprint(at) {
			return answered, replayed, fmt.Errorf("answer %d is %+v: %s", at, m, m.Problem)
		}
		answered++
		if m.Replayed {
			replayed++
		}
		if at == until {
			p.kill()
		}
	}
	return answered, replayed, nil
}
