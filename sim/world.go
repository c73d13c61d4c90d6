package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// world is a cluster in virtual time. One goroutine owns it.
type world struct {
	plan *Plan
	seed uint64
	keep bool // the trace

	now     time.Duration
	events  queue
	serial  uint64
	steps   uint64
	instant uint64 // the first step of the present moment
	stop    func() bool
	cause   uint64 // the event of the trace that the present step follows from; 0: none. For people

	nodes  []*node // by lane, cores first; clones are added at the end
	byLane map[string]*node
	byName map[string][]*node
	known  []string // spaces that anybody was asked about, sorted
	cores  []*node
	net    network
	bus    *bus
	people map[string]*client
	chance chances

	log      traceLog
	facts    map[string]int
	history  check.History
	problems []check.Violation
	notes    []string        // what of the plan has no effect, for people
	seen     map[string]bool // problems reported already
	phase    phase
	values   int // values written so far: they are numbered
	adds     map[string]int
	calls    []Call
	nextCall int
	active   []*fault                // of the network, in force
	running  []*fault                // all that have begun
	erases   map[string]bool         // sessions that somebody wanted to erase
	callOf   map[string]int          // calls, by what their ops are known by
	doomed   map[string]*session.Op  // ops of which a record was damaged, by its key
	lists    map[string]listed       // ops as they are shown, by their bytes
	between  map[string][]vclock.Dot // by space: ops that excuseBetween and excuseOrphans excused
	origins  map[vclock.Origin]bool  // that any node began to write under
	upgrades int
	reason   func() string // why the nodes do not agree
	last     []*lastCall   // the calls when they do
}

// phase is where a run is.
type phase uint8

const (
	safety  phase = iota // faults come and go
	healing              // all faults but the permanent ones are over
	agreed               // all healed nodes agree
)

// chances are the generators, one for each purpose, so that a change in one
// part of a run does not shift the dice of all others.
type chances struct {
	net, disk, stream, fault, work, lie, time *rand.Rand
}

// split gives the generator of a purpose.
func split(seed uint64, purpose ...string) *rand.Rand {
	h := fnv.New64a()
	for _, p := range purpose {
		h.Write([]byte(p)) // a hash never returns an error
		h.Write([]byte{0})
	}
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func (w *world) add(n *node) {
	w.nodes = append(w.nodes, n)
	w.byLane[n.lane] = n
	w.byName[n.name] = append(w.byName[n.name], n)
	if n.core != nil {
		w.cores = append(w.cores, n)
	}
}

// after has do called when d has passed.
func (w *world) after(d time.Duration, do func()) {
	w.serial++
	w.events.push(event{w.now + max(d, 0), w.serial, do})
}

// runUntil lets events happen until the moment end, or until stop says so.
func (w *world) runUntil(end time.Duration, stop func() bool) {
	for len(w.events) > 0 && w.events[0].at <= end {
		e := w.events.pop()
		if w.steps++; e.at != w.now {
			w.now, w.instant = e.at, w.steps
		}
		w.watch()
		w.cause = 0
		e.do()
		if stop != nil && stop() {
			return
		}
	}
	w.now = max(w.now, end)
}

// Bounds of [world.watch].
const (
	askedEvery = 1 << 12 // steps
	instantMax = 1 << 22 // steps within one instant: nothing that a cluster does needs so many
)

// watch ends a run that is to stop, or that does not get on.
func (w *world) watch() {
	if w.steps%askedEvery == 0 && w.stop != nil && w.stop() {
		panic(ErrStopped)
	}
	if w.steps-w.instant > instantMax {
		panic(fmt.Sprintf("%d steps and no time has passed", instantMax))
	}
}

// problem reports a broken invariant, once for each text.
func (w *world) problem(name, node, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if w.seen[name+node+text] {
		return
	}
	w.seen[name+node+text] = true
	w.say(Event{Kind: EvProblem, Node: node, What: name, Detail: text})
	w.problems = append(w.problems, check.Violation{Check: name, Node: node, At: w.now, Text: text})
}

// fact counts what a machine noticed.
func (w *world) fact(n *node, f protocol.Fact) {
	name := factName(f)
	w.facts[name]++
	if w.log.detailed {
		w.say(Event{Kind: EvFact, Node: n.lane, What: name, Detail: fmt.Sprintf("%+v", f)})
		return
	}
	w.say(Event{Kind: EvFact, Node: n.lane, What: name})
}

// traceLog folds every event into a hash, and keeps them when asked to.
type traceLog struct {
	detailed bool
	sum      hash.Hash
	buf      []byte
	serial   uint64
	events   []Event
}

func newTraceLog(keep bool) traceLog { return traceLog{detailed: keep, sum: sha256.New()} }

// say adds an event to the trace and returns its number. Details for people,
// which cost time, are not part of the hash: they are made only when kept.
func (w *world) say(e Event) uint64 {
	l := &w.log
	l.serial++
	b := binary.BigEndian.AppendUint64(l.buf, uint64(w.now))
	b = append(b, byte(e.Kind))
	for _, s := range [...]string{e.Node, e.Peer, e.What, e.Session} {
		b = append(b, s...)
		b = append(b, 0)
	}
	if l.buf = b; len(b) > 1<<13 {
		l.flush()
	}
	if l.detailed {
		e.Serial, e.At = l.serial, w.now
		if e.Cause == 0 && e.Kind != EvCall {
			e.Cause = w.cause
		}
		l.events = append(l.events, e)
	}
	if e.leads() {
		w.cause = l.serial
	}
	return l.serial
}

// note folds bytes into the hash that no event shows, such as message contents.
func (l *traceLog) note(b []byte) {
	l.buf = append(l.buf, b...)
	if len(l.buf) > 1<<13 {
		l.flush()
	}
}

func (l *traceLog) flush() {
	l.sum.Write(l.buf) // a hash never returns an error
	l.buf = l.buf[:0]
}

func (l *traceLog) hash() (h [32]byte) {
	l.flush()
	l.sum.Sum(h[:0])
	return h
}
