package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// Options say what a run keeps.
type Options struct {
	Trace bool // keep the events for a report
	// Until ends the run early, to look at what has happened so far; nothing is
	// judged then but what the world itself sees. Zero: run to the end.
	Until time.Duration
	// Stop is asked now and then; true ends the run with [ErrStopped]. Nil: never.
	Stop func() bool
}

// ErrStopped says that a run was ended by [Options.Stop].
var ErrStopped = errors.New("sim: stopped")

// Result is what came out of a run.
type Result struct {
	Plan      *Plan
	Seed      uint64
	Hash      [32]byte // of the whole trace: equal for the same plan, seed and build
	Events    uint64   // steps of the event queue
	Simulated time.Duration
	Real      time.Duration // that the run took; for people, not part of Hash
	Command   string        // that repeats the run; for people
	Trace     []Event       // with Options.Trace
	History   check.History
	Verdicts  []check.Verdict   // of the checkers, and of the world's own invariants
	Facts     map[string]int    // how often each was noticed
	Rates     []Rate            // what correlated chances really came to
	Problems  []check.Violation // all violations, in order of time
	Panic     string            // the stack of a panic, which is a problem too; for people
	Notes     []string          // what of the plan was not carried out as it says, for people
}

// Rate compares a chance with what came of it.
type Rate struct {
	What                      string // e.g. "loss edge-1 -> core-1"
	Nominal, Theory, Measured float64
	Drawn                     int
}

// Failed reports whether anything was violated.
func (r *Result) Failed() bool { return len(r.Problems) > 0 }

// errPlan says that a plan cannot be run.
var errPlan = errors.New("sim: plan")

// Run carries out a plan with a seed. It returns an error for a plan that makes
// no sense, and [ErrStopped]; what goes wrong in the run is in the result. A panic
// of the code that ships is a broken promise like others.
func Run(p *Plan, seed uint64, opt Options) (r *Result, err error) {
	w, err := newWorld(p, seed, opt)
	if err != nil {
		return nil, err
	}
	defer func() {
		switch cause := recover(); {
		case cause == nil:
		case cause == any(ErrStopped):
			r, err = nil, ErrStopped
		default:
			w.problem("no step panics", "", "%v", cause)
			r = w.result()
			r.Panic = string(debug.Stack())
		}
	}()
	w.beginAll()
	if opt.Until > 0 && opt.Until < p.Length {
		w.runUntil(opt.Until, nil)
		return w.result(), nil
	}
	w.runUntil(p.Length, nil)
	w.heal()
	w.runUntil(p.Length+p.Settle, func() bool { return w.phase == agreed })
	return w.finish(), nil
}

func newWorld(p *Plan, seed uint64, opt Options) (*world, error) {
	w := &world{plan: p, seed: seed, keep: opt.Trace, stop: opt.Stop, byLane: map[string]*node{},
		byName: map[string][]*node{}, people: map[string]*client{},
		log: newTraceLog(opt.Trace), facts: map[string]int{}, seen: map[string]bool{}, adds: map[string]int{},
		callOf: map[string]int{}, erases: map[string]bool{}, doomed: map[string]*session.Op{}, lists: map[string]listed{},
		between: map[string][]vclock.Dot{}, origins: map[vclock.Origin]bool{}}
	w.chance = chances{net: split(seed, "net"), disk: split(seed, "disk"), stream: split(seed, "stream"),
		fault: split(seed, "fault"), work: split(seed, "work"), lie: split(seed, "lie"),
		time: split(seed, "time")}
	w.history.Excused, w.history.ExcusedCalls = map[string]bool{}, map[int]bool{}
	w.net = network{w: w, paths: map[[2]*node]*path{}, rates: map[rated][2]int{}}
	w.bus = &bus{w: w}
	for _, np := range p.Nodes {
		if w.byLane[np.Name] != nil {
			return nil, fmt.Errorf("%w: two nodes are called %s", errPlan, np.Name)
		}
		w.add(newNode(w, np, np.Name))
	}
	if len(w.cores) == 0 {
		return nil, fmt.Errorf("%w: no core node", errPlan)
	}
	for i := range partitions {
		w.bus.streams = append(w.bus.streams, newStream(w, i))
	}
	w.calls = p.AllCalls(seed)
	w.noteDuplicates()
	return w, nil
}

// beginAll plans everything that the plan says.
func (w *world) beginAll() {
	for _, n := range w.nodes {
		w.after(n.plan.Join, n.start)
	}
	for i := range w.plan.Faults {
		w.await(&w.plan.Faults[i])
	}
	w.callNext()
	w.sample()
}

// callNext plans the next call, one at a time: there may be very many.
func (w *world) callNext() {
	if w.nextCall >= len(w.calls) {
		return
	}
	c := w.calls[w.nextCall]
	w.nextCall++
	w.after(c.At-w.now, func() {
		w.intend(c)
		w.callNext()
	})
}

// sampleEvery is how often the sizes of queues are looked at.
const sampleEvery = 500 * time.Millisecond

// Bounds on what may wait in a node. They are those of the shells' channels.
const (
	maxInputs  = 1024
	maxWaiting = 4096
	maxAsked   = 256
)

// sample keeps the largest size of each queue.
func (w *world) sample() {
	for _, n := range w.nodes {
		for i, size := range [...]int{len(n.half.inputs), len(n.disk.waiting), len(n.link.calls), len(n.half.ingests)} {
			if s := &n.largest[i]; size >= s.Value {
				*s = check.Sample{At: w.now, Node: n.lane, What: queues[i].what, Value: size, Max: queues[i].most}
			}
		}
	}
	w.after(w.plan.Timing.scale(sampleEvery), w.sample)
}

// grew keeps the size of a queue if it is the largest so far.
func (n *node) grew(queue, size int) {
	if s := &n.largest[queue]; size > s.Value {
		*s = check.Sample{At: n.w.now, Node: n.lane, What: queues[queue].what, Value: size, Max: queues[queue].most}
	}
}

// Numbers of queues.
const (
	queueInputs = iota
	queueWrites
	queueCalls
	queueDeliveries
)

// queues are what may wait in a node, and how much of it.
var queues = [...]struct {
	what string
	most int
}{{"inputs", maxInputs}, {"writes waiting", maxWaiting}, {"requests under way", maxAsked}, {"deliveries waiting", maxAsked}}

// heal ends the faults and waits for agreement of everybody but those whom a
// permanent fault keeps out.
func (w *world) heal() {
	w.phase = healing
	w.say(Event{Kind: EvHeal, What: "all"})
	out := map[string]bool{}
	for _, f := range w.running {
		if f.Permanent {
			for _, name := range f.Nodes {
				out[name] = true
			}
			continue
		}
		w.end(f)
	}
	for _, n := range w.nodes {
		if out[n.lane] {
			w.excuse(n, nil)
			n.gone = true
			continue
		}
		if n.twin == nil && n.name != n.lane {
			continue
		}
		n.start()
	}
	w.net.reset()
	w.history.Healed, w.history.Bound = w.now, w.plan.Settle
	w.after(w.plan.Timing.scale(lookAfter), w.lookForAgreement)
}

// After the healing, and after the last calls, how long it takes before it is
// looked for agreement.
const lookAfter = 6 * time.Second

// slowLink is how long it may take over the slowest links until the first op of
// a feed is at the core: its subject is asked first. Who asks for level core waits
// for less.
const slowLink = 4 * time.Second

// lastCalls has a client at every edge write at level core: the cluster must be
// of use again, not only at peace. All must agree once more then.
func (w *world) lastCalls() {
	for _, n := range w.healthy() {
		if n.core != nil {
			continue
		}
		space := "default"
		for _, s := range n.plan.Spaces { // not all edges carry it, in a big cluster
			if slices.Contains(w.spaces(), s) {
				space = s
				break
			}
		}
		l := &lastCall{call: Call{Client: "last-" + n.lane, Node: n.lane, Space: space, Session: "last-" + n.lane, Kind: CallOpen}}
		w.last = append(w.last, l)
		w.ask(l)
	}
}

// lastCall opens a session and appends to it at level core.
type lastCall struct {
	call         Call
	open, append *intent
}

func (w *world) ask(l *lastCall) {
	l.open, l.append = w.intend(l.call), nil
	w.after(slowLink, func() {
		c := l.call
		c.Kind, c.Core = CallAppend, true
		l.append = w.intend(c)
	})
}

// metDamage reports whether a call met a damaged record, which is being repaired then.
func (l *lastCall) metDamage() bool {
	const code = "record_damaged"
	return l.append.code == code || l.append.code != "" && l.open.code == code
}

// notReady tells why level core cannot be had yet.
func (w *world) notReady() string {
	for _, n := range w.healthy() {
		if !n.link.up {
			return n.lane + " has no link"
		}
		if len(n.link.calls) > 0 { // e.g. a publication whose answer was lost
			return n.lane + " waits for an answer"
		}
	}
	for _, s := range w.bus.streams {
		if s.leader == nil || !s.majority(s.leader) {
			return fmt.Sprintf("stream %d has no leader", s.partition)
		}
	}
	return ""
}

// unanswered tells who waits for the answer to a last call. Nothing speaks
// against those, so that a refusal breaks a promise. Who met a damaged record,
// which is being repaired by then, asks again.
func (w *world) unanswered() string {
	for _, l := range w.last {
		switch {
		case l.append == nil || !l.append.done:
			return l.call.Node + " does not answer its last call"
		case l.metDamage():
			w.ask(l)
			return l.call.Node + " repairs what its last call needs"
		case l.append.code != "":
			w.problem("new writes are taken after the faults (I13)", l.call.Node, "the last call is refused with %s", l.append.code)
		}
	}
	return ""
}

func (w *world) healthy() []*node {
	var list []*node
	for _, n := range w.nodes {
		if n.up && !n.gone {
			list = append(list, n)
		}
	}
	return list
}

// agreeEvery is how often it is looked whether all nodes agree.
const agreeEvery = 500 * time.Millisecond

func (w *world) lookForAgreement() {
	if w.reason = w.disagreement(); w.reason == nil {
		w.reason = because(cmp.Or(w.notReady(), w.clockNotReady(), w.unanswered()))
	}
	if w.reason != nil {
		w.after(w.plan.Timing.scale(agreeEvery), w.lookForAgreement)
		return
	}
	if w.history.Settled == 0 {
		w.history.Settled = w.now
		w.say(Event{Kind: EvCheck, What: "all nodes agree"})
		w.lastCalls()
		w.after(w.plan.Timing.scale(lookAfter), w.lookForAgreement)
		return
	}
	if err := w.excuseOrphans(); err != nil {
		w.reason = because(fmt.Sprintf("look for orphans: %v", err))
		w.after(w.plan.Timing.scale(agreeEvery), w.lookForAgreement)
		return
	}
	for _, n := range w.healthy() {
		f, err := n.final(w.spaces())
		if err != nil { // a damaged record is found, and repaired, when it is read
			w.history.Finals, w.reason = nil, because(fmt.Sprintf("%s: final read: %v", n.lane, err))
			w.after(w.plan.Timing.scale(agreeEvery), w.lookForAgreement)
			return
		}
		n.checkErased(&f)
		for _, space := range f.Spaces {
			n.checkBooks(space)
		}
		w.history.Finals = append(w.history.Finals, f)
	}
	w.phase = agreed
	w.say(Event{Kind: EvCheck, What: "all nodes agree again"})
}

// because makes a reason of a text; nil of none.
func because(text string) func() string {
	if text == "" {
		return nil
	}
	return func() string { return text }
}

// disagreement tells why the healed nodes do not agree yet, nil if they do.
func (w *world) disagreement() func() string {
	for _, n := range w.nodes {
		if !n.up && !n.gone {
			return because(n.lane + " is down")
		}
	}
	for _, space := range w.spaces() {
		var first *node
		var want vclock.Vector
		for _, n := range w.healthy() {
			if !n.carries(space) {
				continue
			}
			got, idle, err := n.holds(space)
			switch {
			case err != nil:
				return because(fmt.Sprintf("%s: %v", n.lane, err))
			case idle != "":
				return because(n.lane + ": " + idle)
			case first == nil:
				first, want = n, got
			case got.Compare(want) != vclock.Equal:
				return func() string { return fmt.Sprintf("%s: %s has %s, %s has %s", space, n.lane, got, first.lane, want) }
			}
		}
	}
	return nil
}

// lastReason tells what was in the way when it was looked last.
func (w *world) lastReason() string {
	if w.reason == nil {
		return ""
	}
	return w.reason()
}

// holds gives what a node has of a space, and what it still has to do.
func (n *node) holds(space string) (v vclock.Vector, todo string, err error) {
	err = n.view(func(r session.Reader) error {
		if v, err = replica.Vector(r, space); err != nil {
			return err
		}
		heads, err := replica.Heads(r, space)
		for _, h := range heads {
			if own(n.name, h.Origin) && n.let[h.Feed] < h.Seq {
				todo = fmt.Sprintf("%s of %s is released up to %d of %d", h.Origin, space, n.let[h.Feed], h.Seq)
			}
		}
		if err != nil {
			return err
		}
		gone, err := replica.Unpurged(r, 1)
		if len(gone) > 0 {
			todo = fmt.Sprintf("erased session %s is not purged", gone[0].Session)
		}
		return err
	})
	switch {
	case len(n.disk.waiting) > 0 || n.disk.busy:
		todo = "writes are under way"
	case len(n.repairs.open) > 0:
		todo = "records are being repaired"
	}
	return v, todo, err
}

// spaces lists every space that anybody was asked about.
func (w *world) spaces() []string {
	if w.known == nil {
		names := map[string]bool{"default": true}
		for _, c := range w.calls {
			names[c.Space] = true
		}
		w.known = slices.Sorted(maps.Keys(names))
	}
	return w.known
}

// finish reads everything for the last time and has it judged.
func (w *world) finish() *Result {
	if w.phase != agreed && w.plan.Expect.Converge {
		w.problem("all healed nodes agree (I8)", "", "not within %v of the healing: %s", w.plan.Settle, w.lastReason())
		for _, n := range w.healthy() { // what can be read shows where they differ
			if f, err := n.final(w.spaces()); err == nil {
				w.history.Finals = append(w.history.Finals, f)
			}
		}
	}
	for _, n := range w.nodes {
		w.history.Samples = append(w.history.Samples, n.largest[:]...)
	}
	w.history.Ended = w.now
	r := w.result()
	r.Verdicts = check.All(&r.History)
	if !w.plan.Expect.Converge {
		r.Verdicts = withoutAgreement(r.Verdicts)
	}
	for _, v := range r.Verdicts {
		r.Problems = append(r.Problems, v.Violations...)
	}
	r.Problems = append(r.Problems, w.plan.Expect.Missed(&w.history, w.facts, w.now)...)
	slices.SortStableFunc(r.Problems, func(a, b check.Violation) int { return int(a.At - b.At) })
	return r
}

// withoutAgreement drops the verdicts that demand it.
func withoutAgreement(list []check.Verdict) []check.Verdict {
	return slices.DeleteFunc(list, func(v check.Verdict) bool {
		return strings.Contains(v.Promise, "I8") || strings.Contains(v.Promise, "I13")
	})
}

// result is what there is to tell so far.
func (w *world) result() *Result {
	return &Result{Plan: w.plan, Seed: w.seed, Hash: w.log.hash(), Events: w.steps, Simulated: w.now,
		Trace: w.log.events, History: w.history, Facts: w.facts, Rates: w.net.measured(),
		Problems: w.problems, Notes: w.notes}
}
