package live

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// recorder keeps what the checkers and people look at afterwards.
type recorder struct {
	base time.Time
	zero atomic.Int64 // nanoseconds after base at which the plan began

	mu       sync.Mutex // guards what follows
	history  check.History
	trace    []sim.Event
	facts    map[string]int
	problems []check.Violation
	said     map[string]bool            // problems reported already
	byKey    map[string][]int           // calls, by space, session and key
	largest  map[[2]string]check.Sample // of each size, by node and name
	windows  []window
}

// window is a stretch of time in which what a node shows may have fallen back.
type window struct {
	node     string
	from, to time.Duration
}

func newRecorder() *recorder {
	return &recorder{base: time.Now(), facts: map[string]int{}, said: map[string]bool{}, byKey: map[string][]int{},
		largest: map[[2]string]check.Sample{},
		history: check.History{WholeMillis: true, Excused: map[string]bool{}, ExcusedCalls: map[int]bool{}}}
}

// now is the time since the plan began, never negative.
func (c *recorder) now() time.Duration {
	return max(time.Since(c.base)-time.Duration(c.zero.Load()), 0)
}

// restart makes this moment the beginning.
func (c *recorder) restart() {
	c.zero.Store(int64(time.Since(c.base)))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.trace {
		c.trace[i].At = 0
	}
}

// say adds an event to the trace.
func (c *recorder) say(e sim.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(e)
}

// tell is say for who holds mu.
func (c *recorder) tell(e sim.Event) {
	e.Serial, e.At = uint64(len(c.trace)+1), c.now()
	c.trace = append(c.trace, e)
}

// fact counts something that was noticed.
func (c *recorder) fact(node, what, detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts[what]++
	c.tell(sim.Event{Kind: sim.EvFact, Node: node, What: what, Detail: detail})
}

// count counts something that was noticed, at a moment that is not known.
func (c *recorder) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts[what]++
}

// problem reports a broken promise that no checker sees, once for each text.
func (c *recorder) problem(name, node, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said[name+node+text] {
		return
	}
	c.said[name+node+text] = true
	c.tell(sim.Event{Kind: sim.EvProblem, Node: node, What: name, Detail: text})
	c.problems = append(c.problems, check.Violation{Check: name, Node: node, At: c.now(), Text: text})
}

// begin adds a call to the history and gives its number.
func (c *recorder) begin(call check.Call, detail string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.ID, call.Begin = len(c.history.Calls), c.now()
	c.history.Calls = append(c.history.Calls, call)
	if call.Key != "" {
		key := keyName(call.Space, call.Session, call.Key)
		c.byKey[key] = append(c.byKey[key], call.ID)
	}
	c.tell(sim.Event{Kind: sim.EvCall, Node: call.Node, Peer: call.Client, What: call.Do.String(), Session: call.Session,
		Space: call.Space, Detail: detail})
	return call.ID
}

func keyName(space, session, key string) string { return space + "/" + session + " " + key }

// answer notes how a call ended. change sets what else is known of it.
func (c *recorder) answer(id int, what string, change func(*check.Call)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := &c.history.Calls[id]
	call.End = c.now()
	change(call)
	c.tell(sim.Event{Kind: sim.EvAnswer, Node: call.Node, Peer: call.Client, What: what, Session: call.Session,
		Space: call.Space})
}

// reset notes that what a node shows may have fallen back at some moment between
// from and now.
func (c *recorder) reset(node string, from time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.windows = append(c.windows, window{node, from, c.now()})
}

// damaged notes that records of a node are damaged since a moment.
func (c *recorder) damaged(node string, since time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.Troubles = append(c.history.Troubles, check.Trouble{Node: node, Code: "record_damaged", From: since})
}

// sample keeps the largest size of something.
func (c *recorder) sample(s check.Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{s.Node, s.What}
	if old, ok := c.largest[key]; !ok || s.Value > old.Value {
		s.At = c.now()
		c.largest[key] = s
	}
}

// excuse notes that the values of ops may be gone, and so may the calls that
// asked for them.
func (c *recorder) excuse(space string, ops []check.Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ops {
		o := &ops[i]
		for _, v := range o.Values {
			c.history.Excused[v] = true
		}
		if o.Key == "" {
			continue
		}
		for _, id := range c.byKey[keyName(space, o.Session, o.Key)] {
			c.history.ExcusedCalls[id] = true
		}
	}
}

// healed notes that the faults are over, and how long all may take to agree.
func (c *recorder) healed(bound time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(sim.Event{Kind: sim.EvHeal, What: "all"})
	c.history.Healed, c.history.Bound = c.now(), bound
}

func (c *recorder) sinceHealed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now() - c.history.Healed
}

// settled notes that all nodes agree.
func (c *recorder) settled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(sim.Event{Kind: sim.EvCheck, What: "all nodes agree"})
	c.history.Settled = c.now()
}

// finals adds what nodes show in the end.
func (c *recorder) finals(list []check.Final) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.Finals = append(c.history.Finals, list...)
}

// settleResets turns the windows into moments. Within a window the moment is not
// known, so that there is one between any two requests of that time.
func (c *recorder) settleResets() {
	c.mu.Lock()
	defer c.mu.Unlock()
	add := func(node string, at time.Duration) {
		c.history.Resets = append(c.history.Resets, check.Reset{Node: node, At: at})
	}
	for _, w := range c.windows {
		add(w.node, w.from)
		add(w.node, w.to)
		for i := range c.history.Calls {
			call := &c.history.Calls[i]
			for _, at := range []time.Duration{call.Begin, call.End} {
				if call.Node == w.node && at > w.from && at < w.to {
					add(w.node, at)
				}
			}
		}
	}
	sortResets(c.history.Resets)
}
