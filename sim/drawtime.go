package sim

import (
	"fmt"
	"time"
)

// time draws who tells the time: mostly several servers of which a minority is
// bad for a while, now and then half of them, and now and then nobody.
func (d *drawing) time() {
	t := &d.plan.Time
	count := 3 + d.rng.IntN(3)
	switch {
	case d.one(10):
		return
	case d.one(6):
		count = 1 + d.rng.IntN(2)
	}
	t.Poll = d.about(time.Second, corePoll)
	for i := range count {
		s := TimeServer{Name: fmt.Sprintf("ntp-%d", i+1), Delay: d.about(time.Millisecond, 100*time.Millisecond)}
		if s.Jitter = d.upTo(s.Delay); d.one(4) {
			s.Loss = d.rng.Float64() * 0.3
		}
		t.Servers = append(t.Servers, s)
	}
	for i := range d.plan.Nodes {
		d.plan.Nodes[i].NTP = !d.plan.Nodes[i].Core && d.one(2)
	}
	switch {
	case d.one(2):
		d.badTime((count - 1) / 2)
	case d.one(4):
		d.badTime(count / 2)
	}
}

// badTime makes so many servers bad at most.
func (d *drawing) badTime(most int) {
	list := d.plan.Time.Servers
	d.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	lie := d.lie()
	for i := range list[:most] {
		s := &list[i]
		s.Conduct = [...]Conduct{Lying, Lying, Lying, Mute, Denying, Slowing}[d.rng.IntN(6)]
		s.From, s.For = d.upTo(d.plan.Length/2), d.about(time.Second, d.plan.Length)
		if s.Conduct == Lying {
			if s.Lie = lie; d.one(2) {
				s.Lie = d.lie()
			}
		}
	}
}

// lie draws how wrong a time server is: so little that it is hard to see, or a lot.
func (d *drawing) lie() time.Duration {
	if d.one(2) {
		return d.wrong()
	}
	return d.upTo(600*time.Millisecond) - 300*time.Millisecond
}

// doubtfulTime has servers be asked often over ways that vary, some of which lie
// by so little that it is hard to see while honest ones say nothing.
func (d *drawing) doubtfulTime() {
	t := &d.plan.Time
	if len(t.Servers) == 0 {
		return
	}
	t.Poll = d.about(time.Second, 3*time.Second)
	if d.one(2) {
		d.plan.Net.Delay, d.plan.Net.Jitter = d.upTo(5*time.Millisecond), 0
	}
	wrong := 0
	for i := range t.Servers {
		s := &t.Servers[i]
		if s.Delay = d.about(10*time.Millisecond, 150*time.Millisecond); d.one(2) {
			s.Jitter = s.Delay
		}
		if s.Conduct == Lying {
			s.Lie = (d.upTo(4*s.Delay) - 2*s.Delay)
			wrong++
		}
	}
	for i := range t.Servers {
		s := &t.Servers[i]
		if s.Conduct != Lying && 2*(wrong+1) < len(t.Servers) && d.one(2) {
			s.Conduct, s.Lie = Lying, d.upTo(4*s.Delay)-2*s.Delay
			s.From, s.For = 0, 0
			wrong++
			continue
		}
		if s.Conduct != Lying && d.one(3) {
			s.Conduct, s.From, s.For = Mute, d.upTo(d.plan.Length/2), d.about(10*time.Second, d.plan.Length)
		}
	}
}
