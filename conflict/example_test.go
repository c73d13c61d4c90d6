package conflict_test

import (
	"fmt"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// Two sites set the same value while the link between them is down.
func ExampleRegister() {
	var unseen vclock.Vector
	shop := conflict.Value{
		Dot:   vclock.Dot{Origin: "shop", Seq: 1},
		Stamp: clocksync.Stamp{Wall: 1000, Trust: clocksync.Synced}, Data: []byte(`"gold"`),
	}
	car := conflict.Value{
		Dot:   vclock.Dot{Origin: "car", Seq: 1},
		Stamp: clocksync.Stamp{Wall: 2000, Trust: clocksync.Unsynced}, Data: []byte(`"silver"`),
	}
	r := conflict.Register{}.Write(shop, unseen).Write(car, unseen)
	shown, _ := r.Shown()
	fmt.Printf("shown %s\n", shown.Data)
	for _, v := range r.Others() {
		fmt.Printf("kept %s (%s)\n", v.Data, conflict.Reason(shown, v))
	}
	settled := conflict.Value{Dot: vclock.Dot{Origin: "shop", Seq: 2}, Stamp: shop.Stamp, Data: []byte(`"gold"`)}
	r = r.Write(settled, vclock.Of(shop.Dot, car.Dot))
	fmt.Println("conflicts after a write that has seen both:", len(r.Others()))
	// Output:
	// shown "gold"
	// kept "silver" (concurrent; untrusted clock)
	// conflicts after a write that has seen both: 0
}

// A client retries an addition at another edge under the same key.
func ExampleCounter() {
	var c conflict.Counter
	for _, a := range []conflict.Addition{
		{Dot: vclock.Dot{Origin: "shop", Seq: 1}, Key: "visit-7", By: 1},
		{Dot: vclock.Dot{Origin: "car", Seq: 1}, Key: "visit-7", By: 1},
		{Dot: vclock.Dot{Origin: "car", Seq: 2}, Key: "visit-8", By: 1},
	} {
		c, _ = c.Add(a)
	}
	total, err := c.Total()
	fmt.Println(total, err)
	// Output: 2 <nil>
}

// An insert that a remove had not seen outlives it.
func ExampleSet() {
	first, again := vclock.Dot{Origin: "shop", Seq: 1}, vclock.Dot{Origin: "car", Seq: 1}
	s := conflict.Set{}.Insert([]byte(`"vip"`), first, vclock.Vector{})
	s = s.Insert([]byte(`"vip"`), again, vclock.Of(first))
	s = s.Remove([]byte(`"vip"`), vclock.Of(first))
	fmt.Printf("%s\n", s.Elements[0].Value)
	// Output: "vip"
}

func ExampleLifecycle() {
	var l conflict.Lifecycle
	began := vclock.Dot{Origin: "shop", Seq: 1}
	l = l.Apply(conflict.Move{Dot: began, To: conflict.Active}, vclock.Vector{})
	l = l.Apply(conflict.Move{Dot: vclock.Dot{Origin: "shop", Seq: 2}, To: conflict.Paused}, vclock.Of(began))
	l = l.Apply(conflict.Move{Dot: vclock.Dot{Origin: "car", Seq: 1}, To: conflict.Ended}, vclock.Of(began))
	state, epoch := l.Shown()
	fmt.Println(state, epoch, conflict.Legal(state), l.Others()[0].To)
	// Output: ended 0 [reopened] paused
}

// Two sites answer the same message; neither run is interleaved with the other.
func ExampleTimeline() {
	var t conflict.Timeline
	texts := []string{"", "hello", "shop: one moment", "car: hi", "shop: here you are", "car: where to?"}
	parents := map[uint64]uint64{2: 1, 3: 1, 4: 2, 5: 3}
	rank := func(slot uint64) conflict.Rank {
		return conflict.Rank{Stamp: clocksync.Stamp{Wall: slot}, Dot: vclock.Dot{Origin: "any", Seq: vclock.Seq(slot)}}
	}
	next := func(after uint64) (uint64, conflict.Rank, error) { return after + 1, rank(after + 1), nil }
	for slot := uint64(1); slot <= 5; slot++ {
		if err := t.Add(slot, parents[slot], rank(slot), next); err != nil {
			fmt.Println(err)
		}
	}
	for _, s := range t.Segments() {
		for slot := s.From; slot <= s.To; slot++ {
			fmt.Println(texts[slot])
		}
	}
	// Output:
	// hello
	// shop: one moment
	// shop: here you are
	// car: hi
	// car: where to?
}
