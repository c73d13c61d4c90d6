package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Events come by time, and those of one moment in the order in which they were
// planned, whatever is planned in between.
func TestQueueOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	var q queue
	var last event
	left, serial := 0, uint64(0)
	for range 5000 {
		if left == 0 || rng.IntN(5) > 1 {
			serial++
			q.push(event{at: last.at + time.Duration(rng.IntN(20)), serial: serial})
			left++
			continue
		}
		e := q.pop()
		left--
		if e.at < last.at || e.at == last.at && e.serial < last.serial {
			t.Fatalf("event %d at %d came after event %d at %d", e.serial, e.at, last.serial, last.at)
		}
		last = e
	}
	if len(q) != left {
		t.Fatalf("%d events are left, want %d", len(q), left)
	}
	seen := map[uint64]bool{}
	for len(q) > 0 {
		e := q.pop()
		if seen[e.serial] || e.at < last.at {
			t.Fatalf("event %d at %d came twice, or late: %d went before", e.serial, e.at, last.at)
		}
		seen[e.serial], last = true, e
	}
}

// An event that is planned for the past happens now, behind those of now.
func TestEventsOfThePast(t *testing.T) {
	t.Parallel()
	w := testWorld(t, 1, 0, nil)
	w.now = time.Second
	var got []int
	w.after(0, func() { got = append(got, 1) })
	w.after(-time.Hour, func() { got = append(got, 2) })
	w.pass(0)
	if len(got) != 2 || got[0] != 1 || w.now != time.Second {
		t.Errorf("happened %v at %v, want [1 2] at 1s", got, w.now)
	}
}
