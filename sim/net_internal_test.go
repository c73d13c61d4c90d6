package sim

import (
	"bytes"
	"math/bits"
	"slices"
	"testing"
	"time"
)

// arrival is a parcel that came, or was lost.
type arrival struct {
	at   time.Duration
	data string
	lost string
}

// sent has a network carry a parcel, and notes in list what becomes of it.
func (w *world) sent(a, b *node, data []byte, list *[]arrival) {
	w.net.send(a, b, parcel{data: data, alive: func() bool { return true },
		arrive: func(got []byte) { *list = append(*list, arrival{at: w.now, data: string(got)}) },
		lost:   func(why string) { *list = append(*list, arrival{at: w.now, data: string(data), lost: why}) }})
}

// A one-way partition stops one direction; a route that answers cannot come
// over is not open.
func TestOneWayPartition(t *testing.T) {
	t.Parallel()
	for _, direction := range []Direction{To, From, Both} {
		w := testWorld(t, 1, 2, func(p *Plan) { p.Messages = true })
		core, edge, other := w.byLane["core-1"], w.byLane["edge-1"], w.byLane["edge-2"]
		end := w.strike(Fault{Kind: Partition, Nodes: []string{"edge-1"}, Peers: []string{"core-1"}, Direction: direction})
		var up, down, beside []arrival
		w.sent(edge, core, []byte("up"), &up)
		w.sent(core, edge, []byte("down"), &down)
		w.sent(core, other, []byte("beside"), &beside)
		w.pass(time.Second)
		if got, want := up[0].lost == "", direction == From; got != want {
			t.Errorf("direction %d: from the edge it arrived %v, want %v", direction, got, want)
		}
		if got, want := down[0].lost == "", direction == To; got != want {
			t.Errorf("direction %d: to the edge it arrived %v, want %v", direction, got, want)
		}
		if beside[0].lost != "" || !w.net.open(core, other) || w.net.open(edge, core) {
			t.Errorf("direction %d: open to the other edge %v, to this one %v, want true, false", direction,
				w.net.open(core, other), w.net.open(edge, core))
		}
		end()
		if !w.net.open(edge, core) {
			t.Errorf("direction %d: not open after the partition", direction)
		}
	}
}

// A clog loses nothing: all comes when it is over, in its order.
func TestClog(t *testing.T) {
	t.Parallel()
	for _, messages := range []bool{false, true} {
		w := testWorld(t, 1, 1, func(p *Plan) { p.Messages = messages })
		core, edge := w.byLane["core-1"], w.byLane["edge-1"]
		end := w.strike(Fault{Kind: Clog, Nodes: []string{"edge-1"}})
		var got []arrival
		for i := range 5 {
			w.sent(edge, core, []byte{byte(i)}, &got)
		}
		w.pass(time.Minute)
		if len(got) > 0 {
			t.Fatalf("%d messages came through the clog", len(got))
		}
		end()
		w.pass(time.Second)
		for i, a := range got {
			if a.lost != "" || a.data[0] != byte(i) {
				t.Errorf("messages %v: place %d has %v", messages, i, a)
			}
		}
		if len(got) != 5 {
			t.Errorf("messages %v: %d came, want 5", messages, len(got))
		}
	}
}

// A flapping link is up first, then down, in turns, until the fault ends.
func TestFlap(t *testing.T) {
	t.Parallel()
	w := testWorld(t, 1, 1, nil)
	core, edge := w.byLane["core-1"], w.byLane["edge-1"]
	end := w.strike(Fault{Kind: Flap, Nodes: []string{"edge-1"}, Up: 3 * time.Second, Down: time.Second})
	w.pass(500 * time.Millisecond)
	for i := range 12 {
		if got, want := w.net.open(edge, core), i%4 != 3; got != want {
			t.Errorf("at %v the link is open %v, want %v", w.now, got, want)
		}
		w.pass(time.Second)
	}
	w.pass(3 * time.Second) // into the next gap
	end()
	for range 8 {
		if !w.net.open(edge, core) {
			t.Fatalf("at %v the link is cut, though the fault is over", w.now)
		}
		w.pass(500 * time.Millisecond)
	}
}

// Messages queue for bandwidth; without room they are dropped.
func TestBandwidth(t *testing.T) {
	t.Parallel()
	w := testWorld(t, 1, 1, func(p *Plan) {
		p.Messages = true
		p.Net = Quality{Delay: 10 * time.Millisecond, Bandwidth: 10_000, Buffer: 3500}
	})
	var got []arrival
	for range 8 {
		w.sent(w.byLane["edge-1"], w.byLane["core-1"], make([]byte, 940), &got) // 1000 with headers
	}
	w.pass(5 * time.Second)
	came := 0
	for _, a := range got {
		if a.lost != "" {
			continue
		}
		came++
		if want := time.Duration(came)*100*time.Millisecond + 10*time.Millisecond; a.at != want {
			t.Errorf("message %d came at %v, want %v", came, a.at, want)
		}
	}
	if came != 4 {
		t.Errorf("%d of 8 messages came, want the 4 for which there was room", came)
	}
}

// bad is a link on which everything goes wrong.
func bad(loss float64) Quality {
	return Quality{Delay: 20 * time.Millisecond, Jitter: 15 * time.Millisecond, Loss: Chance{P: loss},
		Duplicate: Chance{P: 0.2}, Reorder: Chance{P: 0.2}, Corrupt: Chance{P: 0.2}}
}

// Over TCP all faults of a link cost nothing but time.
func TestTCPKeepsOrder(t *testing.T) {
	t.Parallel()
	w := testWorld(t, 1, 1, func(p *Plan) { p.Net = bad(0.1) })
	var got []arrival
	const count = 400
	for i := range count {
		w.after(time.Duration(i)*50*time.Millisecond, func() {
			w.sent(w.byLane["edge-1"], w.byLane["core-1"], []byte{byte(i), byte(i >> 8)}, &got)
		})
	}
	w.pass(5 * time.Minute)
	next, late := 0, false
	for _, a := range got {
		if a.lost == "connection given up" {
			continue
		}
		i := int(a.data[0]) | int(a.data[1])<<8
		if a.lost != "" || i < next {
			t.Fatalf("%v came behind message %d", a, next)
		}
		late = late || a.at-time.Duration(i)*50*time.Millisecond >= tcpRetry
		next = i + 1
	}
	if len(got) != count || next < count/2 || !late {
		t.Errorf("%d of %d came or were given up, the last is %d, one late: %v", len(got), count, next, late)
	}
}

// Without TCP each fault befalls whole messages, and what the sender holds stays
// as it is.
func TestFaultsOfMessages(t *testing.T) {
	t.Parallel()
	w := testWorld(t, 1, 1, func(p *Plan) { p.Messages, p.Net = true, bad(0.2) })
	var got []arrival
	const count = 400
	data := make([][]byte, count)
	for i := range data {
		data[i] = bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 3)
		w.after(time.Duration(i)*time.Millisecond, func() {
			w.sent(w.byLane["edge-1"], w.byLane["core-1"], data[i], &got)
		})
	}
	w.pass(time.Minute)
	lost, damaged, disordered, whole := 0, 0, 0, map[string]int{}
	last := -1
	for _, a := range got {
		i := int(a.data[0]) | int(a.data[1])<<8
		switch {
		case a.lost != "":
			lost++
		case a.data[:2] != a.data[2:4] || a.data[:2] != a.data[4:]:
			damaged++
		default:
			whole[a.data]++
			if i < last {
				disordered++
			}
			last = i
		}
	}
	double := 0
	for _, n := range whole {
		if n > 2 {
			t.Errorf("a message came %d times, want twice at most", n)
		}
		double += n - 1
	}
	for what, n := range map[string]int{"lost": lost, "damaged": damaged, "out of order": disordered, "doubled": double} {
		if n < count/20 || n > count/2 {
			t.Errorf("%d of %d messages were %s, want about a fifth", n, count, what)
		}
	}
	for i := range data {
		if !bytes.Equal(data[i], bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 3)) {
			t.Fatalf("what the sender holds of message %d became %v", i, data[i])
		}
	}
}

// Damage is one bit.
func TestDamageIsOneBit(t *testing.T) {
	t.Parallel()
	w := testWorld(t, 1, 1, func(p *Plan) { p.Messages, p.Net = true, Quality{Corrupt: Chance{P: 1}} })
	var got []arrival
	w.sent(w.byLane["edge-1"], w.byLane["core-1"], make([]byte, 64), &got)
	w.pass(time.Second)
	set := 0
	for _, b := range []byte(got[0].data) {
		set += bits.OnesCount8(b)
	}
	if set != 1 {
		t.Errorf("%d bits were flipped, want 1", set)
	}
}

// A link through which nothing comes is given up after 4 s, not before; one that
// is cut for a shorter time goes on.
func TestSilentLinkIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, direction := range []Direction{Both, To, From} {
		w := running(t, 1, 1, nil)
		e := w.byLane["edge-1"]
		life := e.link.life
		end := w.strike(Fault{Kind: Partition, Nodes: []string{"edge-1"}, Direction: direction})
		w.pass(breakAfter - time.Millisecond)
		end()
		w.pass(10 * time.Second)
		if !e.link.up || e.link.life != life {
			t.Fatalf("direction %d: a cut of less than %v ended the connection", direction, breakAfter)
		}
		end = w.strike(Fault{Kind: Partition, Nodes: []string{"edge-1"}, Direction: direction})
		w.pass(breakAfter - time.Millisecond)
		if !e.link.up {
			t.Errorf("direction %d: given up before %v", direction, breakAfter)
		}
		w.pass(2 * time.Millisecond)
		if e.link.up {
			t.Errorf("direction %d: still up after %v of silence", direction, breakAfter)
		}
		end()
		w.pass(retryMax + waitForTCP)
		if !e.link.up {
			t.Errorf("direction %d: not up again after the cut", direction)
		}
		w.noProblems(t)
	}
}

// Of the links that a plan names the last counts, in its direction.
func TestLinkPlan(t *testing.T) {
	t.Parallel()
	slow, slower := Quality{Delay: time.Second}, Quality{Delay: time.Minute, Loss: Chance{P: 0.5}}
	p := &Plan{Net: Quality{Delay: time.Millisecond}, Links: []LinkPlan{
		{Nodes: []string{"a", "b"}, Quality: slow},
		{Nodes: []string{"a"}, Peers: []string{"c"}, Direction: To, Quality: slower},
	}}
	for _, c := range []struct {
		from, to string
		want     Quality
	}{{"a", "b", p.Net}, {"b", "c", slow}, {"c", "b", slow}, {"a", "c", slower}, {"c", "a", slow}, {"c", "d", p.Net}} {
		if got := p.Between(c.from, c.to); got != c.want {
			t.Errorf("Between(%s, %s) = %+v, want %+v", c.from, c.to, got, c.want)
		}
	}
	if got := slower.Healed(); got != (Quality{Delay: time.Minute}) {
		t.Errorf("healed it is %+v, want the delay alone", got)
	}
}

// Faults look names up as plans define them.
func TestBefalls(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c", "d"}
	for _, direction := range []Direction{Both, To, From} {
		for _, peers := range [][]string{nil, {"c"}, {"a", "c"}} {
			f := Fault{Nodes: []string{"a", "b"}, Peers: peers, Direction: direction}
			quick := begun(&f)
			for _, from := range names {
				for _, to := range names {
					if from != to && quick.befalls(from, to) != f.Befalls(from, to) {
						t.Errorf("%+v: befalls(%s, %s) = %v", f, from, to, quick.befalls(from, to))
					}
				}
			}
			if direction == To && slices.Contains(peers, "c") && (!f.Befalls("b", "c") || f.Befalls("c", "b")) {
				t.Errorf("%+v: it is not one-way", f)
			}
		}
	}
}
