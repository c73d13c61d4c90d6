package report

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// picker chooses the events of a long trace that are worth drawing.
type picker struct {
	trace  []sim.Event
	root   []int32 // the event whose fate each event shares: a message is taken whole or not at all
	taken  []bool
	left   int
	member map[int32][]int32 // by root: the others
}

// pick gives the indexes of at most so many events, ascending. What begins and
// ends faults, crashes, starts and broken promises comes first. Of the room
// that is left, up to half goes to events around violations, those of their
// sessions before others; then up to two thirds to events around the beginning
// and the end of faults; the rest is spread evenly over the run. A message is
// taken with its arrival, a call with its answer.
func pick(r *sim.Result, problems []problem, most int) []int {
	trace := r.Trace
	if len(trace) <= most {
		all := make([]int, len(trace))
		for i := range all {
			all[i] = i
		}
		return all
	}
	p := newPicker(trace, most)
	first := p.where(func(e *sim.Event) bool { return marks(e.Kind) })
	p.take(p.even(first, p.left/2), p.left/2)
	spots, sessions := spotsOf(problems)
	if len(spots) > 0 {
		p.take(p.nearest(spots, sessions), p.left/2)
	}
	var edges []time.Duration
	for _, f := range r.Plan.Faults {
		end, _ := faultEnd(r, f)
		edges = append(edges, f.At, end)
	}
	if r.History.Settled > 0 {
		edges = append(edges, r.History.Settled)
	}
	if slices.Sort(edges); len(edges) > 0 {
		p.take(p.nearest(edges, nil), p.left*2/3)
	}
	p.spread()
	var out []int
	for i, t := range p.taken {
		if t {
			out = append(out, i)
		}
	}
	return out
}

// marks reports whether events of a kind come before all others.
func marks(k sim.EventKind) bool {
	switch k {
	case sim.EvFault, sim.EvHeal, sim.EvCrash, sim.EvStart, sim.EvProblem, sim.EvCheck:
		return true
	default:
		return false
	}
}

// follows reports whether an event of kind k shares the fate of its cause.
func follows(k, cause sim.EventKind) bool {
	switch k {
	case sim.EvArrive, sim.EvDrop:
		return cause == sim.EvSend
	case sim.EvSend: // handed on, or what carries a publication
		return cause == sim.EvSend || cause == sim.EvPublish
	case sim.EvStored, sim.EvConsume:
		return cause == sim.EvPublish || cause == sim.EvSend || cause == sim.EvStored
	case sim.EvAnswer:
		return cause == sim.EvCall
	default:
		return false
	}
}

func newPicker(trace []sim.Event, most int) *picker {
	p := &picker{trace: trace, root: make([]int32, len(trace)), taken: make([]bool, len(trace)), left: most,
		member: map[int32][]int32{}}
	at := serials(trace)
	for i := range trace {
		p.root[i] = int32(i)
		e := &trace[i]
		if c, ok := at.find(e.Cause); ok && c < i && follows(e.Kind, trace[c].Kind) {
			root := p.root[c]
			p.root[i] = root
			p.member[root] = append(p.member[root], int32(i))
		}
	}
	return p
}

// where gives the roots of the events that are wanted.
func (p *picker) where(wanted func(*sim.Event) bool) []int32 {
	var out []int32
	for i := range p.trace {
		if wanted(&p.trace[i]) {
			out = append(out, p.root[i])
		}
	}
	return out
}

// nearest gives all roots that are not taken, those first that are nearest in
// time to one of the spots (ascending). Events of the sessions count as sixteen
// times nearer.
func (p *picker) nearest(spots []time.Duration, sessions map[string]bool) []int32 {
	distance := make([]int64, len(p.trace))
	var out []int32
	for i := range p.trace {
		e := &p.trace[i]
		k, _ := slices.BinarySearch(spots, e.At)
		d := int64(math.MaxInt64)
		if k < len(spots) {
			d = int64(spots[k] - e.At)
		}
		if k > 0 {
			d = min(d, int64(e.At-spots[k-1]))
		}
		if e.Session != "" && sessions[e.Space+"/"+e.Session] {
			d >>= 4
		}
		distance[i] = d
		if root := p.root[i]; int(root) != i {
			distance[root] = min(distance[root], d)
		} else if !p.taken[i] {
			out = append(out, root)
		}
	}
	slices.SortStableFunc(out, func(a, b int32) int { return cmp.Compare(distance[a], distance[b]) })
	return out
}

// take takes roots with what belongs to them, in the order given, until no more
// than room events are spent or the list ends.
func (p *picker) take(roots []int32, room int) {
	for _, root := range roots {
		if p.taken[root] {
			continue
		}
		size := 1 + len(p.member[root])
		if size > room {
			return
		}
		room -= size
		p.left -= size
		p.taken[root] = true
		for _, m := range p.member[root] {
			p.taken[m] = true
		}
	}
}

// spread takes of the rest as many as there is room for, evenly over the run.
func (p *picker) spread() {
	var free []int32
	for i := range p.trace {
		if root := p.root[i]; int(root) == i && !p.taken[i] {
			free = append(free, root)
		}
	}
	p.take(p.even(free, p.left), p.left)
}

// even orders roots so that those which fit into the room lie evenly over them.
func (p *picker) even(roots []int32, room int) []int32 {
	size := 0
	for _, root := range roots {
		size += 1 + len(p.member[root])
	}
	if room <= 0 || size <= room {
		return roots
	}
	step := (size + room - 1) / room
	out := make([]int32, 0, len(roots))
	for offset := range step {
		for i := offset; i < len(roots); i += step {
			out = append(out, roots[i])
		}
	}
	return out
}

// spotsOf gives the moments of violations, ascending, and their sessions.
func spotsOf(problems []problem) (spots []time.Duration, sessions map[string]bool) {
	sessions = map[string]bool{}
	for _, p := range problems {
		spots = append(spots, time.Duration(p.At)*time.Microsecond)
		if p.Session != "" {
			sessions[p.Session] = true
		}
	}
	slices.Sort(spots)
	return spots, sessions
}

// serials finds events by their serial numbers, which ascend.
type serials []sim.Event

func (s serials) find(serial uint64) (int, bool) {
	if serial == 0 {
		return 0, false
	}
	if i := int(serial) - 1; i < len(s) && s[i].Serial == serial { // a whole trace
		return i, true
	}
	i, found := slices.BinarySearchFunc(s, serial, func(e sim.Event, want uint64) int {
		return cmp.Compare(e.Serial, want)
	})
	return i, found
}
