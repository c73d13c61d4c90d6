package intake

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/internal/purity"
)

func TestPure(t *testing.T) { purity.Check(t) }

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Whoever comes when, in any time span no more go through than the bucket had
// and was given, and one that waits as long as it was told goes through.
func TestBucketsKeepTheirRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		q := Quota{Rate: rapid.Float64Range(0.5, 50).Draw(rt, "rate"), Burst: rapid.IntRange(1, 20).Draw(rt, "burst")}
		b := NewBuckets(Quotas{OfClient: q})
		at := begin
		var through []time.Time
		for range rapid.IntRange(1, 200).Draw(rt, "requests") {
			at = at.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "pause")) * time.Millisecond)
			a := b.Take(at, "s", "c")
			if s := a.Standings[0]; s.Remaining < 0 || s.Remaining > q.Burst || s.Reset < 0 || a.Refused && s.Remaining > 0 {
				rt.Fatalf("standing %+v", s)
			}
			if !a.Refused {
				through = append(through, at)
				continue
			}
			if rapid.Bool().Draw(rt, "wait") {
				if at = at.Add(a.Wait); b.Take(at, "s", "c").Refused {
					rt.Fatalf("refused after the wait of %v", a.Wait)
				}
				through = append(through, at)
			}
		}
		for i := range through {
			for j := i; j < len(through); j++ {
				most := float64(q.Burst) + through[j].Sub(through[i]).Seconds()*q.Rate + 1e-6
				if n := j - i + 1; float64(n) > most {
					rt.Fatalf("%d requests in %v, want at most %.2f", n, through[j].Sub(through[i]), most)
				}
			}
		}
	})
}

func TestBucketsByScope(t *testing.T) {
	t.Parallel()
	b := NewBuckets(Quotas{OfNode: {Rate: 100, Burst: 100}, OfSpace: {Rate: 1, Burst: 3}, OfClient: {Rate: 1, Burst: 2}})
	for i, want := range []struct {
		space, client string
		refused       bool
		by            Scope
	}{
		{"a", "x", false, 0}, {"a", "x", false, 0}, {"a", "x", true, OfClient}, {"a", "y", false, 0},
		{"a", "y", true, OfSpace}, {"b", "y", false, 0}, {"b", "y", true, OfClient}, {"b", "z", false, 0},
	} {
		a := b.Take(begin, want.space, want.client)
		if a.Refused != want.refused || a.Refused && a.By != want.by || len(a.Standings) != 3 {
			t.Errorf("request %d: %+v, want %+v", i, a, want)
		}
	}
	if a := b.Take(begin, "c", "q"); a.Standings[0].Remaining != 94 { // refused ones cost nothing
		t.Errorf("the node has %+v left, want 94", a.Standings[0])
	}
	if a := NewBuckets(Quotas{}).Take(begin, "a", "x"); a.Refused || len(a.Standings) > 0 {
		t.Errorf("without quotas: %+v", a)
	}
}

func TestBucketsAreBounded(t *testing.T) {
	t.Parallel()
	b := NewBuckets(Quotas{OfClient: {Rate: 0.001, Burst: 1}})
	if b.Take(begin, "", "first").Refused || !b.Take(begin, "", "first").Refused {
		t.Fatal("the first client is not limited")
	}
	for i := range 3 * MaxBuckets {
		b.Take(begin.Add(time.Second), "", fmt.Sprint(i))
	}
	if n := len(b.of[OfClient]); n > MaxBuckets {
		t.Errorf("%d buckets, want at most %d", n, MaxBuckets)
	}
	b.forget(begin.Add(time.Hour), OfClient)
	if n := len(b.of[OfClient]); n > 0 {
		t.Errorf("%d buckets after an hour, want all forgotten, since they are full", n)
	}
}

// visitor is a request on its way through a gate.
type visitor struct {
	class  Class
	since  time.Time
	ticket Ticket
}

func TestGate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cfg := GateConfig{Room: rapid.IntRange(1, 10).Draw(rt, "room"), Waiting: rapid.IntRange(0, 6).Draw(rt, "waiting"), MaxWait: 100 * time.Millisecond}
		g := NewGate(cfg)
		at := begin
		inside := map[int]Class{} // by number
		var queue []visitor
		next := 0
		enter := func(c Class) { next++; inside[next] = c }
		carry := func(m Moved) {
			for _, t := range m.Out {
				i := slices.IndexFunc(queue, func(v visitor) bool { return v.ticket == t })
				if i < 0 {
					rt.Fatalf("ticket %d is turned away, %+v wait", t, queue)
				}
				queue = slices.Delete(queue, i, i+1)
			}
			for _, t := range m.In {
				i := slices.IndexFunc(queue, func(v visitor) bool { return v.ticket == t })
				if i < 0 {
					rt.Fatalf("ticket %d is called, %+v wait", t, queue)
				}
				for j, v := range queue {
					if v.class < queue[i].class || v.class == queue[i].class && j < i {
						rt.Fatalf("%+v goes before %+v", queue[i], v)
					}
				}
				enter(queue[i].class)
				queue = slices.Delete(queue, i, i+1)
			}
		}
		for range rapid.IntRange(1, 100).Draw(rt, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "pause")) * time.Millisecond)
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1, 2:
				c := Class(rapid.IntRange(0, 2).Draw(rt, "class"))
				v, ticket, moved := g.Enter(at, c)
				carry(moved)
				switch v {
				case Entered:
					enter(c)
				case Waits:
					queue = append(queue, visitor{c, at, ticket})
				case Shed:
					if c == Live && len(inside) < cfg.Room && len(queue) == 0 && cfg.Waiting > 0 {
						rt.Fatal("a live request is turned away from an empty gate")
					}
					for _, w := range queue {
						if w.class > c {
							rt.Fatalf("%v is turned away while %v waits", c, w.class)
						}
					}
				}
			case 3:
				if len(inside) > 0 {
					for k := range inside {
						delete(inside, k)
						break
					}
					carry(g.Leave(at))
				}
			case 4:
				if len(queue) > 0 && rapid.Bool().Draw(rt, "abandon") {
					if !g.Abandon(queue[0].ticket) {
						rt.Fatal("a ticket that waits is unknown")
					}
					queue = queue[1:]
				}
				carry(g.Tick(at))
				for _, v := range queue {
					if at.Sub(v.since) >= cfg.MaxWait {
						rt.Fatalf("%+v waits since %v", v, at.Sub(v.since))
					}
				}
			}
			if len(inside) != g.Inside() || len(inside) > cfg.Room || len(queue) != g.Queued() || len(queue) > cfg.Waiting {
				rt.Fatalf("%d inside (gate: %d), %d wait (gate: %d), of %+v", len(inside), g.Inside(), len(queue), g.Queued(), cfg)
			}
		}
	})
}

func TestGateKeepsRoomForLiveTurns(t *testing.T) {
	t.Parallel()
	g := NewGate(GateConfig{Room: 80, Waiting: 0})
	count := func(c Class) (n int) {
		for {
			if v, _, _ := g.Enter(begin, c); v != Entered {
				return n
			}
			n++
		}
	}
	if b, i, l := count(Backlog), count(Import), count(Live); b != 30 || i != 20 || l != 30 {
		t.Errorf("%d of the backlog, then %d imports, then %d live ones fit into 80, want 30, 20, 30", b, i, l)
	}
	if g.Count.Shed != [classes]uint64{1, 1, 1} || g.Count.Entered[Live] != 30 {
		t.Errorf("counts %+v", g.Count)
	}
}

func TestReserves(t *testing.T) {
	t.Parallel()
	var r Reserves
	for i, s := range []struct {
		left uint64
		want Level
	}{{1000, Ample}, {199, Low}, {210, Low}, {225, Ample}, {205, Ample}, {150, Low}, {99, Reserve}, {105, Reserve}, {113, Low}, {99, Reserve}, {300, Ample}} {
		if got := r.See(s.left, 200, 100); got != s.want || r.Level() != s.want {
			t.Errorf("step %d, %d left: %v, want %v", i, s.left, got, s.want)
		}
	}
	if got := r.See(0, 0, 0); got != Ample {
		t.Errorf("without a limit: %v", got)
	}
	for _, c := range []struct {
		l    Level
		c    Class
		want bool
	}{{Ample, Backlog, false}, {Low, Live, false}, {Low, Import, true}, {Reserve, Live, true}} {
		if c.l.Refuses(c.c) != c.want {
			t.Errorf("level %v refuses %v: %v", c.l, c.c, !c.want)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	var p Policy
	for _, text := range []string{"bank-*/context=local", "bank-*/*=core", "*/tool=core", "shop/assistant=core", "*/*=local"} {
		r, err := ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		p = append(p, r)
	}
	for _, c := range []struct {
		space string
		roles []string
		want  Firmness
	}{
		{"bank-1", []string{"user"}, Core}, {"bank-1", []string{KindContext}, Local}, {"bank", []string{"user"}, Local},
		{"shop", []string{"user"}, Local}, {"shop", []string{"user", "assistant"}, Core}, {"shop", []string{KindTool}, Core},
		{"other", nil, Local},
	} {
		if got := p.Level(nil, c.space, c.roles...); got != c.want {
			t.Errorf("Level(%s, %v) = %v, want %v", c.space, c.roles, got, c.want)
		}
	}
	if got := p.Level(new(Local), "bank-1", "user"); got != Local {
		t.Errorf("what the request asks for counts: %v", got)
	}
	for _, bad := range []string{"", "a", "a/b", "a/b=c", "/b=core", "a/=core", "a*b/c=core", "=core"} {
		if r, err := ParseRule(bad); err == nil {
			t.Errorf("ParseRule(%q) = %+v", bad, r)
		}
	}
	for c := range classes {
		if got, ok := ParseClass(c.String()); got != c || !ok {
			t.Errorf("ParseClass(%v) = %v, %v", c, got, ok)
		}
	}
}
