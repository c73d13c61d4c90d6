package sim

import "slices"

// Between gives what the plan says of the way from one node to another, without
// its faults.
func (p *Plan) Between(from, to string) Quality {
	q := p.Net
	for i := range p.Links {
		l := &p.Links[i]
		if (&Fault{Nodes: l.Nodes, Peers: l.Peers, Direction: l.Direction}).Befalls(from, to) {
			q = l.Quality
		}
	}
	return q
}

// Befalls reports whether a fault of the network is on the way from one node to
// another.
func (f *Fault) Befalls(from, to string) bool {
	if f.Direction != From && slices.Contains(f.Nodes, from) && f.faces(to) {
		return true
	}
	return f.Direction != To && slices.Contains(f.Nodes, to) && f.faces(from)
}

func (f *Fault) faces(name string) bool {
	if len(f.Peers) == 0 {
		return !slices.Contains(f.Nodes, name)
	}
	return slices.Contains(f.Peers, name)
}

// Healed gives q without what loses, repeats, reorders or damages messages.
func (q Quality) Healed() Quality {
	q.Loss, q.Burst, q.Duplicate, q.Reorder, q.Corrupt = Chance{}, Burst{}, Chance{}, Chance{}, Chance{}
	return q
}

// Worsened adds the faults of x to q.
func (q Quality) Worsened(x Quality) Quality {
	q.Delay += x.Delay
	q.Jitter += x.Jitter
	q.DelayCorr = max(q.DelayCorr, x.DelayCorr)
	for _, c := range []struct{ have, more *Chance }{
		{&q.Loss, &x.Loss}, {&q.Duplicate, &x.Duplicate}, {&q.Reorder, &x.Reorder}, {&q.Corrupt, &x.Corrupt},
	} {
		if c.more.P > c.have.P {
			*c.have = *c.more
		}
	}
	if x.Burst.Rate() > q.Burst.Rate() {
		q.Burst = x.Burst
	}
	q.Copies = max(q.Copies, x.Copies)
	if x.ReorderGap != 0 {
		q.ReorderGap = x.ReorderGap
	}
	if x.Bandwidth != 0 && (q.Bandwidth == 0 || x.Bandwidth < q.Bandwidth) {
		q.Bandwidth, q.Buffer = x.Bandwidth, x.Buffer
	}
	return q
}
