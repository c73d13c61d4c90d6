package live_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/live"
)

func at(seconds float64) protocol.Instant {
	return protocol.Instant(seconds * float64(time.Second))
}

var times = live.Times{
	Heartbeat: 20 * time.Second, Silence: 50 * time.Second, Stall: 10 * time.Second, Linger: 20 * time.Second,
}

// TestSilentClient: a client is pinged when it says nothing, and cut off when
// it says nothing to that either.
func TestSilentClient(t *testing.T) {
	t.Parallel()
	p := live.NewPace(at(100), times)
	for _, step := range []struct {
		at    float64
		heard bool
		want  live.Verdict
	}{
		{at: 119.9, want: live.Fine}, {at: 120, want: live.Ping}, {at: 121, want: live.Fine},
		{at: 125, heard: true, want: live.Fine}, {at: 144.9, want: live.Fine}, {at: 145, want: live.Ping},
		{at: 165, want: live.Ping}, {at: 174.9, want: live.Fine}, {at: 175, want: live.Cut},
	} {
		if step.heard {
			p.Heard(at(step.at))
		}
		if got := p.Check(at(step.at)); got != step.want {
			t.Errorf("Check at %v = %v, want %v", step.at, got, step.want)
		}
	}
}

// TestSlowClient: who does not take one buffer in time is found too slow once,
// and cut off when it does not take the reason either. A client that takes its
// time with each buffer, but takes it, is left alone.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	p := live.NewPace(0, times)
	for s := 0.0; s < 45; s += 9 {
		p.Began(at(s))
		if got := p.Check(at(s + 8.9)); got != live.Fine {
			t.Errorf("Check %v s into a write = %v, want Fine", 8.9, got)
		}
		p.Ended()
	}
	p.Began(at(45))
	for _, step := range []struct {
		at   float64
		want live.Verdict
	}{{54.9, live.Fine}, {55, live.TooSlow}, {56, live.Fine}, {74.9, live.Fine}, {75, live.Cut}} {
		if got := p.Check(at(step.at)); got != step.want {
			t.Errorf("Check at %v = %v, want %v", step.at, got, step.want)
		}
	}
	if !p.Slow() {
		t.Error("the client does not count as slow")
	}
}

// TestAnswersInOrder: answers that become ready in any order leave in the order
// of the requests, each once, and what waits is bounded.
func TestAnswersInOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 6))
	var a live.Answers
	var open []uint64
	asked, taken := 0, 0
	for taken < 5000 {
		switch k := rng.IntN(3); {
		case k == 0 && !a.Full():
			open = append(open, a.Expect(100))
			asked++
		case k == 1 && len(open) > 0:
			i := rng.IntN(len(open))
			a.Answer(open[i], fmt.Append(nil, open[i]))
			open = append(open[:i], open[i+1:]...)
		default:
			for b, ok := a.Next(); ok; b, ok = a.Next() {
				if want := fmt.Sprint(taken); string(b) != want {
					t.Fatalf("answer %s, want %s", b, want)
				}
				taken++
			}
		}
		if a.Waiting() != asked-taken || a.Waiting() > live.MaxUnanswered {
			t.Fatalf("%d wait, want %d", a.Waiting(), asked-taken)
		}
	}
	a = live.Answers{}
	first, second := a.Expect(live.MaxUnansweredBytes-1), a.Expect(1)
	if !a.Full() {
		t.Error("not full although requests of the greatest size are under way")
	}
	a.Answer(second, make([]byte, live.MaxUnansweredBytes))
	a.Answer(first, nil)
	if !a.Full() {
		t.Error("not full although answers of the greatest size wait")
	}
	for _, ok := a.Next(); ok; _, ok = a.Next() {
	}
	if a.Full() {
		t.Error("full although everything was taken")
	}
}
