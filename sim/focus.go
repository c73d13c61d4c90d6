package sim

import (
	"slices"
	"time"
)

// details draws what the product meets rarely: little credit, small frames, keys
// used for two requests, conditions on every kind of write, clients that mostly
// do the same, links with bad times, links that differ from the others.
func (d *drawing) details() {
	p, l := &d.plan, d.plan.Workload
	if d.one(4) {
		p.Window = 1 + d.rng.IntN(3)
	}
	if d.one(6) {
		p.Budget = 1 + d.rng.IntN(3)
	}
	if d.one(4) {
		l.Reuse = d.rng.Float64() * 0.3
	}
	if d.one(4) {
		l.Match = d.rng.Float64() * 0.3
	}
	if d.one(4) {
		l.Mix[CallOpen] = 3
	}
	if d.one(2) {
		kinds := [...]CallKind{CallEdit, CallRedact, CallAdd, CallInsert, CallRemove, CallMove, CallErase, CallOpen}
		l.Mix[kinds[d.rng.IntN(len(kinds))]] *= 12
	}
	if d.one(6) {
		p.Net.Burst = d.burst()
	}
	if p.Net.Reorder.P > 0 && d.one(2) {
		p.Net.ReorderGap = 2 + d.rng.IntN(5)
	}
	if d.one(5) {
		d.links()
	}
}

func (d *drawing) burst() Burst {
	return Burst{Enter: d.rng.Float64() * 0.02, Leave: 0.05 + d.rng.Float64()*0.3, Bad: 0.3 + d.rng.Float64()*0.7}
}

// links draws links that are slower and worse than the others.
func (d *drawing) links() {
	for range 1 + d.rng.IntN(2) {
		q := d.plan.Net
		q.Delay += d.upTo(500 * time.Millisecond)
		q.Jitter = d.upTo(q.Delay)
		q.Loss.P = min(q.Loss.P+d.rng.Float64()*0.1, 1)
		if d.one(2) {
			q.Bandwidth = 20000 + d.rng.IntN(200000)
		}
		link := LinkPlan{Nodes: []string{d.edge()}, Direction: [...]Direction{Both, To, From}[d.rng.IntN(3)], Quality: q}
		d.plan.Links = append(d.plan.Links, link)
	}
}

// focuses are what half of the seeds are about: one thing, again and again, so
// that it meets itself and what stands in its way. Chance alone brings together
// hardly ever what takes three steps.
//
// Source: the idea is that of buggification in FoundationDB (Zhou et al., SIGMOD
// 2021), with a plan in place of switches in the code.
var focuses = [...]func(*drawing){
	(*drawing).calm, (*drawing).forks, (*drawing).forks, (*drawing).forks, (*drawing).damage, (*drawing).leaders, (*drawing).holes,
	(*drawing).gone, (*drawing).idling, (*drawing).late, (*drawing).moves, (*drawing).clocks, (*drawing).losses,
	(*drawing).disks, (*drawing).without, (*drawing).stores,
	(*drawing).batches, (*drawing).ashes,
}

func (d *drawing) focus() {
	if d.one(2) {
		focuses[d.rng.IntN(len(focuses))](d)
	}
}

// more draws faults of a kind in addition, times of them at most.
func (d *drawing) more(kind FaultKind, times int, change func(*Fault)) {
	i := slices.IndexFunc(recipes, func(r recipe) bool { return r.kind == kind })
	for range 1 + d.rng.IntN(times) {
		if f := d.fault(recipes[i]); f != nil && change != nil {
			change(f)
		}
	}
}

// calm has nothing go wrong at all: then nothing is asked for or sent twice, and
// all agree at once.
func (d *drawing) calm() {
	p := &d.plan
	p.Faults, p.Links, p.Net = nil, nil, Quality{Delay: d.upTo(50 * time.Millisecond)}
	p.Net.Jitter = d.upTo(p.Net.Delay)
	for i := range p.Nodes {
		p.Nodes[i].Join = 0
	}
	for i := range p.Time.Servers {
		p.Time.Servers[i].Conduct = Honest
	}
	p.Expect.Within, p.Expect.Without = calmWithin, troubles[:]
}

// calmWithin is how soon after the end of its work a cluster agrees that nothing
// ever went wrong in: it is looked for after lookAfter.
const calmWithin = lookAfter + 2*time.Second

// troubles are facts that have no place where nothing goes wrong.
var troubles = [...]string{
	"attachment_lost", "clone_suspected", "equivocation", "fenced", "forked", "fork_refused", "frame_dropped",
	"frame_refused",
	"gap_found", "message_dropped", "message_refused", "messages_missing", "op_lost", "ops_reissued", "origin_renewed",
	"record_damaged", "regressed", "spaces_left_out", "store_replaced",
}

// forks has two machines write under one name, and a machine write again from
// an old state, behind links that are cut meanwhile.
func (d *drawing) forks() {
	l, twice := d.plan.Workload, d.edge()
	if l.Nodes = []string{twice}; d.one(2) {
		l.Nodes = append(l.Nodes, d.edge())
	}
	l.Roam, l.Every = d.rng.Float64()*0.2, d.about(500*time.Millisecond, 2*time.Second)
	if d.one(2) { // what is found in one space first changes what is found in the other
		d.twoSpaces(twice)
	}
	slow := d.one(3)
	if slow { // writes are under way when the machine learns what it has forgotten
		d.plan.Faults = append(d.plan.Faults, Fault{Kind: SlowDisk, For: d.plan.Length, Nodes: []string{twice},
			Delay: time.Second + d.upTo(3*time.Second)})
	}
	meet := d.one(2) // others write to the same session, after what the machine has forgotten
	if meet {
		l.Nodes, l.Same, l.Every, l.Core = []string{twice, d.edge()}, 0.9, d.about(300*time.Millisecond, time.Second), 0.5
	}
	silent := func(f *Fault) {
		f.Nodes, f.Silent = []string{twice}, !d.one(4)
		if meet || slow {
			f.Ago = time.Second + d.upTo(2*time.Second)
		}
		if slow || !meet && d.one(2) {
			return
		}
		d.plan.Faults = append(d.plan.Faults, Fault{Kind: Partition, At: max(f.At-d.upTo(2*time.Second), 0),
			For: d.about(time.Second, 20*time.Second), Nodes: []string{twice}})
	}
	if d.one(2) {
		d.more(Clone, 2, silent)
	} else {
		kind := Restore
		if d.one(3) {
			kind = LoseSynced
		}
		d.more(kind, 3, func(f *Fault) {
			f.For = d.about(100*time.Millisecond, 5*time.Second)
			silent(f)
		})
	}
	switch d.rng.IntN(4) {
	case 0:
		d.more(StreamAway, 2, nil)
	case 1:
		d.more(StreamLoss, 2, func(f *Fault) { f.Nodes, f.Cut = d.cores, false })
	}
}

// twoSpaces has clients write in two spaces, which a node carries.
func (d *drawing) twoSpaces(name string) {
	d.plan.Workload.Spaces = []string{"default", "store-42"}
	d.plan.Workload.Clients = max(d.plan.Workload.Clients, 4)
	for i := range d.plan.Nodes {
		if n := &d.plan.Nodes[i]; n.Name == name {
			n.Spaces = []string{"*"}
		}
	}
}

// ashes has the core lose everything: what it held comes back from edges, also
// what one wrote that is gone. No other storage is lost.
func (d *drawing) ashes() {
	harm := []FaultKind{Wipe, WipeStreams, Restore, LoseSynced, Clone, BitFlip, StreamLoss, StreamAway}
	d.plan.Faults = slices.DeleteFunc(d.plan.Faults, func(f Fault) bool { return slices.Contains(harm, f.Kind) })
	if d.one(2) { // of a space that one edge alone carries nobody else has anything
		only := d.edge()
		for i := range d.plan.Nodes {
			d.plan.Nodes[i].Spaces = nil
		}
		d.twoSpaces(only)
	}
	at := d.plan.Length/2 + d.upTo(d.plan.Length/2)
	if len(d.edges) > 1 && d.one(2) {
		d.plan.Faults = append(d.plan.Faults, Fault{Kind: Leave, At: at, Nodes: []string{d.edge()}, Permanent: true})
	}
	d.plan.Faults = append(d.plan.Faults, Fault{Kind: StreamAway, At: at, For: time.Second},
		Fault{Kind: Wipe, At: at, For: d.about(time.Second, 10*time.Second), Nodes: d.cores})
}

// damage flips bits in many records while nodes crash and sessions end. Some who
// are asked for an op give another one, and writes meet damage half way.
func (d *drawing) damage() {
	d.more(BitFlip, 8, nil)
	d.more(BitFlip, 4, func(f *Fault) { f.Class = "op" })
	d.more(Crash, 4, nil)
	if p := &d.plan; d.one(2) {
		p.Messages, p.Net.Corrupt.P = true, 0.001+d.rng.Float64()*0.02
	} else {
		d.more(BitFlip, 16, func(f *Fault) { f.Class = "session" })
		p.Workload.Batch, p.Workload.Sessions = 4+d.rng.IntN(4), 1+d.rng.IntN(2)
	}
	if d.one(2) {
		d.plan.Workload.Mix[CallErase] = 3
	}
}

// leaders has core nodes go and come back while clients ask for level core.
func (d *drawing) leaders() {
	d.plan.Workload.Core = 0.5 + d.rng.Float64()/2
	one := func(f *Fault) { f.Nodes, f.For = []string{d.core()}, d.about(time.Second, 20*time.Second) }
	d.more(Crash, 6, one)
	d.more(Partition, 4, func(f *Fault) {
		one(f)
		if f.Peers = nil; d.one(2) {
			f.Peers = slices.DeleteFunc(slices.Clone(d.cores), func(c string) bool { return c == f.Nodes[0] })
		}
	})
	if d.one(2) {
		d.more(Pause, 3, one)
	}
}

// holes has the streams lose what they acknowledged, while some core node has
// not read it yet.
func (d *drawing) holes() {
	d.plan.Workload.Core = d.rng.Float64()
	d.more(StreamLoss, 3, func(f *Fault) {
		if f.Nodes, f.Cut = d.cores, false; d.one(3) {
			f.Nodes, f.Cut = nil, d.one(2) // not all copies: where all are cut, new numbers stand below all positions
		}
		f.Count = 1 + d.rng.IntN(8)
		ahead := min(f.At, d.about(time.Second, 20*time.Second))
		d.plan.Faults = append(d.plan.Faults, Fault{Kind: Crash, At: f.At - ahead, For: ahead + d.upTo(5*time.Second),
			Nodes: []string{d.core()}})
	})
	if d.one(3) {
		d.more(WipeStreams, 1, nil)
	}
	if d.one(3) {
		d.more(StreamAway, 1, nil)
	}
}

// gone has clients erase and redact while others write.
func (d *drawing) gone() {
	l := d.plan.Workload
	l.Sessions, l.Keyed = 4+d.rng.IntN(8), max(l.Keyed, 0.5)
	l.Mix[CallErase], l.Mix[CallRedact], l.Mix[CallEdit] = 5, 8, 8
	d.more(Partition, 3, nil)
}

// idling has sessions expire while others write.
func (d *drawing) idling() {
	l := d.plan.Workload
	l.TTL, l.Sessions, l.Every = d.about(2*time.Second, 20*time.Second), 4+d.rng.IntN(8), max(l.Every, 4*time.Second)
	d.more(SlowDisk, 3, func(f *Fault) { f.Delay = min(f.Delay, time.Second) })
	d.more(Partition, 3, nil)
}

// late stretches a run, so that what is cut is cut for longer than a stream
// remembers message ids, and has clients ask again long after.
func (d *drawing) late() {
	p := &d.plan
	stretched := d.shape.Length * 5 / 2
	factor := max(int64(stretched/p.Length), 1)
	p.Length = stretched
	for i := range p.Faults {
		p.Faults[i].At *= time.Duration(factor)
		p.Faults[i].For *= time.Duration(factor)
	}
	l := p.Workload
	l.Every *= time.Duration(factor)
	l.Keyed, l.Late, l.Roam = max(l.Keyed, 0.7), 0.5, max(l.Roam, 0.2)
	d.more(Partition, 3, func(f *Fault) { f.For = max(f.For, d.upTo(p.Length)) })
}

// moves has clients at sites that do not hear of each other end, open again and
// empty the same sessions.
func (d *drawing) moves() {
	l := d.plan.Workload
	l.Sessions, l.Every = 1+d.rng.IntN(3), d.about(500*time.Millisecond, 3*time.Second)
	l.Mix[CallMove], l.Mix[CallInsert], l.Mix[CallRemove], l.Mix[CallOpen] = 40, 12, 12, 6
	d.more(Partition, 4, nil)
}

// clocks has many clocks go wrong, by years too, while nodes restart and
// sessions are opened.
func (d *drawing) clocks() {
	for i := range d.plan.Nodes {
		if d.one(2) {
			d.plan.Nodes[i].Offset = d.wrong()
		}
	}
	d.more(ClockStep, 6, nil)
	d.more(ClockDrift, 2, nil)
	d.more(Crash, 5, nil)
	d.plan.Workload.Mix[CallOpen] = 10
	d.doubtfulTime()
}

// losses has messages get lost on their way, singly and in bad times, with
// little credit.
func (d *drawing) losses() {
	p := &d.plan
	p.Messages, p.Window = true, 1+d.rng.IntN(3)
	p.Net.Loss.P, p.Net.Burst = d.rng.Float64()*0.2, d.burst()
	p.Net.Duplicate.P, p.Net.Reorder.P = d.rng.Float64()*0.2, d.rng.Float64()*0.2
}

// disks has disks be full, slow and fail, and machines die in commits.
func (d *drawing) disks() {
	d.more(DiskFull, 4, nil)
	d.more(SlowDisk, 3, nil)
	d.more(FsyncError, 3, nil)
	d.more(DiskReserve, 2, nil)
	d.more(Crash, 6, nil)
	d.more(LoseSynced, 2, nil)
}

// without has a core node leave for good: the others do its work.
func (d *drawing) without() {
	name := d.core()
	if d.mayHurt(name) {
		leave := Fault{Kind: Leave, At: d.upTo(d.plan.Length), Nodes: []string{name}, Permanent: true}
		d.plan.Faults = append(d.plan.Faults, leave)
	}
}

// stores has all core stores be slow, and one lose what it had.
func (d *drawing) stores() {
	d.plan.Faults = append(d.plan.Faults, Fault{Kind: SlowDisk, For: d.plan.Length, Nodes: d.cores,
		Delay: time.Second + d.upTo(6*time.Second)})
	name := d.core()
	if !d.mayHurt(name) {
		return
	}
	kind := [...]FaultKind{Wipe, Restore, LoseSynced}[d.rng.IntN(3)]
	d.plan.Faults = append(d.plan.Faults, Fault{Kind: kind, At: d.upTo(d.plan.Length),
		For: d.about(50*time.Millisecond, 2*time.Second), Nodes: []string{name}, Ago: d.about(time.Second, time.Minute)})
}

// batches has batches come op by op to where they are asked for again.
func (d *drawing) batches() {
	p, l := &d.plan, d.plan.Workload
	p.Budget, p.Net.Delay = 1, max(p.Net.Delay, 100*time.Millisecond)
	l.Batch, l.Keyed, l.Every, l.Clients = 4+d.rng.IntN(4), 1, 4*time.Second, 2+d.rng.IntN(2)
	l.Mix[CallAppend] = 150
	d.more(Partition, 4, nil)
	d.more(Flap, 1, nil)
}

func (d *drawing) core() string { return d.cores[d.rng.IntN(len(d.cores))] }
