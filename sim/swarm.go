package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Shape is the size of the clusters that [Draw] makes.
type Shape struct {
	Cores, Edges int
	Length       time.Duration // of the safety phase at most; zero: two minutes
}

// settleTime is how long healed nodes of a drawn plan have to agree. The longest
// pauses of the machines are 30 s.
const settleTime = 4 * time.Minute

// settleCut is for plans in which a stream is cut short: what its numbers, used
// again, hide from a core node only the visits to its peers find, which it pays
// every five minutes (RefillEvery of package drive).
const settleCut = 15 * time.Minute

// Draw makes a plan from a seed: each seed has its own mix of faults, most of
// them absent, so that those that are there can do their worst (swarm testing).
//
// Source: Groce et al., Swarm Testing, ISSTA 2012.
func Draw(seed uint64, shape Shape) *Plan {
	d := &drawing{rng: split(seed, "plan"), shape: shape}
	if d.shape.Length == 0 {
		d.shape.Length = 2 * time.Minute
	}
	p := &d.plan
	p.Length = d.shape.Length/4 + d.upTo(d.shape.Length*3/4)
	p.Settle = settleTime
	p.Messages, p.Expect.Converge = d.one(2), true
	d.nodes()
	d.network()
	d.workload()
	d.faults()
	d.rng = split(seed, "plan", "texts") // so that what is above does not change with what is drawn here
	d.texts()
	d.rng = split(seed, "plan", "details")
	d.details()
	d.rng = split(seed, "plan", "time")
	d.time()
	d.rng = split(seed, "plan", "focus")
	d.focus()
	if p.Budget > 0 { // a few ops for each round trip: what is written must get through in the end
		p.Window = 0
		each := 4 * (p.Net.Delay + p.Net.Jitter + 50*time.Millisecond)
		p.Workload.Every = max(p.Workload.Every, each*time.Duration(p.Workload.Clients*max(p.Workload.Batch, 1)/p.Budget))
		d.thin(each / time.Duration(p.Budget))
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	if slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Kind == StreamLoss && f.Cut }) {
		p.Settle = settleCut
	}
	return p
}

type drawing struct {
	rng   *rand.Rand
	shape Shape
	plan  Plan
	cores []string
	edges []string
	hurt  map[string]bool // core nodes whose storage is harmed: at most a minority
}

func (d *drawing) one(in int) bool { return d.rng.IntN(in) == 0 }

func (d *drawing) upTo(t time.Duration) time.Duration {
	return time.Duration(d.rng.Int64N(int64(t) + 1))
}

// about draws a duration between least and most, short ones more often.
func (d *drawing) about(least, most time.Duration) time.Duration {
	for most > least && d.one(2) {
		most = least + (most-least)/3
	}
	return least + d.upTo(most-least)
}

func (d *drawing) nodes() {
	for i := range d.shape.Cores {
		name := fmt.Sprintf("core-%d", i+1)
		d.cores = append(d.cores, name)
		d.plan.Nodes = append(d.plan.Nodes, NodePlan{Name: name, Core: true, Drift: d.drift()})
	}
	for i := range d.shape.Edges {
		name := fmt.Sprintf("edge-%d", i+1)
		d.edges = append(d.edges, name)
		n := NodePlan{Name: name, Spaces: []string{"*"}, Drift: d.drift(), Compress: d.one(4)}
		if d.one(4) {
			n.Spaces = nil
		}
		if d.one(8) {
			n.Join = d.upTo(d.plan.Length)
		}
		if d.one(6) {
			n.Offset = d.wrong()
		}
		d.plan.Nodes = append(d.plan.Nodes, n)
	}
}

// drift draws how wrong the rate of a clock is: as much as every clock may be.
func (d *drawing) drift() float64 { return float64(d.rng.IntN(400)-200) / 4 }

// wrong draws how far a wall clock is off: seconds, an hour, years.
func (d *drawing) wrong() time.Duration {
	far := [...]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 3 * 365 * 24 * time.Hour}
	t := d.upTo(far[d.rng.IntN(len(far))])
	if d.one(2) {
		return -t
	}
	return t
}

func (d *drawing) network() {
	q := &d.plan.Net
	q.Delay = d.about(time.Millisecond, 150*time.Millisecond)
	q.Jitter = d.upTo(q.Delay)
	if d.one(2) {
		return
	}
	chance := func(most float64) Chance {
		if d.one(2) {
			return Chance{}
		}
		return Chance{P: d.rng.Float64() * most}
	}
	q.Loss, q.Duplicate, q.Reorder, q.Corrupt = chance(0.1), chance(0.1), chance(0.2), chance(0.02)
}

func (d *drawing) workload() {
	l := &Workload{Clients: 2 + d.rng.IntN(6), Sessions: 1 + d.rng.IntN(6), Every: d.about(time.Second, 8*time.Second),
		Roam: d.rng.Float64() * 0.3, Same: d.rng.Float64(), Keyed: d.rng.Float64(), Core: d.rng.Float64() * 0.5,
		Batch: 1 + d.rng.IntN(4), AtCores: d.one(3)}
	l.Mix = map[CallKind]int{}
	for k := CallOpen; k <= CallText; k++ {
		if weight := defaultMix[k]; weight > 0 && (k == CallAppend || k == CallRead || !d.one(4)) {
			l.Mix[k] = weight
		}
	}
	if d.one(4) {
		l.Mix[CallErase] = 1
	}
	if d.one(6) {
		l.TTL = d.about(5*time.Second, time.Minute)
	}
	if d.one(4) {
		l.Spaces = []string{"default", "store-42"}
	}
	d.plan.Workload = l
}

// recipe is a kind of fault with how it is drawn.
type recipe struct {
	kind FaultKind
	in   int // one seed in so many has it
	most int // times
	draw func(d *drawing, f *Fault) bool
}

var recipes = []recipe{
	{Partition, 2, 4, (*drawing).partition},
	{Degrade, 4, 2, (*drawing).degrade},
	{Clog, 5, 2, (*drawing).partition},
	{Flap, 5, 1, (*drawing).flapping},
	{Crash, 2, 5, (*drawing).crashing},
	{Stop, 6, 2, (*drawing).crashing},
	{Pause, 4, 2, (*drawing).pausing},
	{Wipe, 5, 1, (*drawing).storage},
	{WipeStreams, 8, 1, (*drawing).storage},
	{Restore, 6, 1, (*drawing).storage},
	{LoseSynced, 6, 1, (*drawing).storage},
	{Clone, 4, 1, (*drawing).cloning},
	{BitFlip, 6, 3, (*drawing).flipping},
	{DiskFull, 8, 1, (*drawing).oneNode},
	{DiskReserve, 10, 1, (*drawing).oneNode},
	{SlowDisk, 6, 2, (*drawing).slow},
	{FsyncError, 8, 1, (*drawing).oneNode},
	{ClockStep, 5, 2, (*drawing).stepping},
	{ClockDrift, 6, 1, (*drawing).drifting},
	{StreamLoss, 6, 1, (*drawing).losing},
	{StreamAway, 12, 1, func(*drawing, *Fault) bool { return true }},
	{Leave, 14, 1, (*drawing).leaving},
	{MoveLink, 5, 2, (*drawing).moving},
	{Upgrade, 10, 1, (*drawing).oneNode},
}

func (d *drawing) faults() {
	d.hurt = map[string]bool{}
	for _, r := range recipes {
		if !d.one(r.in) {
			continue
		}
		for range 1 + d.rng.IntN(r.most) {
			d.fault(r)
		}
	}
}

// fault draws a fault of a kind and gives it, nil if there can be none.
func (d *drawing) fault(r recipe) *Fault {
	f := Fault{Kind: r.kind, At: d.upTo(d.plan.Length), For: d.about(100*time.Millisecond, d.plan.Length/2)}
	if !r.draw(d, &f) {
		return nil
	}
	d.plan.Faults = append(d.plan.Faults, f)
	return &d.plan.Faults[len(d.plan.Faults)-1]
}

func (d *drawing) node() string {
	all := slices.Concat(d.cores, d.edges)
	return all[d.rng.IntN(len(all))]
}

func (d *drawing) edge() string { return d.edges[d.rng.IntN(len(d.edges))] }

func (d *drawing) oneNode(f *Fault) bool {
	f.Nodes = []string{d.node()}
	return true
}

// some draws a part of the nodes, never all of them.
func (d *drawing) some() []string {
	all := slices.Concat(d.cores, d.edges)
	d.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	part := all[:1+d.rng.IntN(len(all)-1)]
	slices.Sort(part)
	return part
}

func (d *drawing) partition(f *Fault) bool {
	f.Nodes = d.some()
	if d.one(3) {
		f.Peers = []string{d.node()}
	}
	f.Direction = [...]Direction{Both, Both, To, From}[d.rng.IntN(4)]
	return true
}

func (d *drawing) flapping(f *Fault) bool {
	f.Up, f.Down = d.about(200*time.Millisecond, 10*time.Second), d.about(200*time.Millisecond, 10*time.Second)
	return d.partition(f)
}

func (d *drawing) degrade(f *Fault) bool {
	d.partition(f)
	f.Quality = Quality{Delay: d.upTo(2 * time.Second), Jitter: d.upTo(time.Second),
		Loss: Chance{P: d.rng.Float64() * 0.5, Correlation: d.rng.Float64() / 2, MeanPreserving: true}}
	if d.one(2) {
		f.Quality.Bandwidth = 2000 + d.rng.IntN(100000)
	}
	return true
}

func (d *drawing) crashing(f *Fault) bool {
	f.Nodes = []string{d.node()}
	if d.one(8) {
		f.Nodes = slices.Clone(d.cores)
	}
	return true
}

func (d *drawing) pausing(f *Fault) bool {
	f.Suspend = d.one(2)
	return d.oneNode(f)
}

// storage chooses whose storage is harmed: any edge, or a minority of the core.
func (d *drawing) storage(f *Fault) bool {
	name := d.node()
	if f.Kind == WipeStreams {
		name = d.cores[d.rng.IntN(len(d.cores))]
	}
	if !d.mayHurt(name) {
		return false
	}
	f.Nodes = []string{name}
	f.Ago = d.about(time.Second, time.Minute)
	// Not a core node: it hands out what it writes before the others have it, so
	// that a copy that does not know itself for one leaves two contents of its
	// feed behind. A known gap.
	f.Silent = d.one(2) && slices.Contains(d.edges, name)
	return true
}

func (d *drawing) mayHurt(name string) bool {
	if !slices.Contains(d.cores, name) || d.hurt[name] {
		return true
	}
	if len(d.hurt) >= (len(d.cores)-1)/2 {
		return false
	}
	d.hurt[name] = true
	return true
}

func (d *drawing) cloning(f *Fault) bool {
	f.Nodes, f.Ago, f.Silent = []string{d.edge()}, d.about(time.Millisecond, 20*time.Second), d.one(2)
	f.For = d.plan.Length/4 + d.upTo(d.plan.Length/4) // so long that both are written to
	return true
}

func (d *drawing) flipping(f *Fault) bool {
	f.Class = [...]string{"op", "session", "any"}[d.rng.IntN(3)]
	f.Nodes = []string{d.node()}
	return d.mayHurt(f.Nodes[0])
}

func (d *drawing) slow(f *Fault) bool {
	f.Delay = d.about(10*time.Millisecond, 5*time.Second)
	return d.oneNode(f)
}

// stepping has somebody set a clock, and now and then set it right again.
func (d *drawing) stepping(f *Fault) bool {
	f.Delay = d.wrong()
	d.oneNode(f)
	if d.one(2) {
		d.plan.Faults = append(d.plan.Faults, Fault{Kind: ClockStep, At: f.At + d.upTo(d.plan.Length-f.At), Nodes: f.Nodes,
			Delay: -f.Delay})
	}
	return true
}

func (d *drawing) drifting(f *Fault) bool {
	f.PPM = float64(d.rng.IntN(2000) - 1000)
	return d.oneNode(f)
}

// losing chooses whose copy of the streams loses messages: one core node's, or
// the leaders'. What is gone shows only to who reads it afterwards, so some core
// node is away when it happens.
func (d *drawing) losing(f *Fault) bool {
	f.Count, f.Cut = 1+d.rng.IntN(100), d.one(3)
	name := d.cores[d.rng.IntN(len(d.cores))]
	if d.one(2) {
		ahead := min(f.At, d.about(time.Second, 20*time.Second))
		d.plan.Faults = append(d.plan.Faults, Fault{Kind: Crash, At: f.At - ahead, For: ahead + d.upTo(time.Second), Nodes: []string{name}})
		return true
	}
	if !d.mayHurt(name) {
		return false
	}
	f.Nodes = []string{name}
	return true
}

func (d *drawing) leaving(f *Fault) bool {
	if len(d.edges) < 2 {
		return false
	}
	f.Nodes, f.Permanent = []string{d.edge()}, true
	return true
}

func (d *drawing) moving(f *Fault) bool {
	f.Nodes, f.Peers = []string{d.edge()}, []string{d.cores[d.rng.IntN(len(d.cores))]}
	return true
}
