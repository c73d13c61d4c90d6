package session

import (
	"fmt"
	"iter"
	"slices"
)

// closer finds the calls that the results of one Append close: by tool_call_id
// the latest open call of that id; without one the earliest open call of that
// name, or of any if there is no name, first among those of the present turn. A
// result without tool_call_id for which no call is there closes none: recorded
// conversations have such.
type closer struct {
	rd    reading
	again bool     // a part of the batch is here already
	batch []caller // the messages of the batch so far
	fresh int      // from here on they follow one another; what is before has another branch
	base  string   // what the first of these follows
	done  []callRef
}

type callRef struct {
	message string
	index   uint32
}

// caller is a message with its calls, and which of them have results.
type caller struct {
	id, role string
	calls    []Call
	done     []uint32
}

// take ties put, which becomes the message of the id, to the call that it
// closes, and remembers what it opens. branches says that its client named the
// parent.
func (c *closer) take(put *Put, id string, branches bool) error {
	inBatch := slices.ContainsFunc(c.batch, func(m caller) bool { return m.id == put.Parent })
	if len(c.batch) == 0 || branches && !inBatch {
		c.fresh, c.base = len(c.batch), put.Parent
	}
	if put.Role == roleTool {
		ref, ok, err := c.find(put, id)
		if err != nil {
			return err
		}
		if ok {
			put.CallOf, put.CallIndex = ref.message, ref.index
			c.done = append(c.done, ref)
		}
	}
	c.batch = append(c.batch, caller{id: id, role: put.Role, calls: callsOf(put)})
	return nil
}

// find gives the call that a result closes; ok is false if it closes none.
func (c *closer) find(put *Put, id string) (ref callRef, ok bool, err error) {
	if c.again { // a part of the batch is here: it has decided already
		if there, ok, err := c.stored(id); err != nil || ok {
			return callRef{there.CallOf, there.CallIndex}, there.CallOf != "", err
		}
	}
	if put.ToolCallID != "" {
		ref, err = c.byID(put.ToolCallID)
		return ref, err == nil, err
	}
	return c.byName(put.Name)
}

// stored gives the put that shows a message, if the session has that.
func (c *closer) stored(id string) (put Put, ok bool, err error) {
	if !ValidName(id) {
		return Put{}, false, nil
	}
	at, ok, err := locate(c.rd.r, c.rd.space, c.rd.session, c.rd.m, id)
	if err != nil || !ok {
		return Put{}, false, err
	}
	op, _, err := opAt(c.rd.r, c.rd.space, at.puts[0])
	put, ok = op.Body.(Put)
	return put, ok, err
}

// byID finds the latest open call of an id; if all are answered, the latest of
// them with ErrCallAnswered.
func (c *closer) byID(call string) (callRef, error) {
	var answered callRef
	for i := len(c.batch) - 1; i >= 0; i-- {
		index, open, is := c.openCall(&c.batch[i], call)
		if open {
			return callRef{c.batch[i].id, index}, nil
		}
		if is && answered.message == "" {
			answered = callRef{c.batch[i].id, index}
		}
	}
	ids, err := opensOf(c.rd.r, c.rd.space, c.rd.session, call)
	if err != nil {
		return callRef{}, err
	}
	if message, _, ok := ParseCallName(call); ok {
		ids = append([]string{message}, ids...)
	}
	for _, id := range slices.Backward(ids) {
		m, ok, err := c.callerAt(id)
		if err != nil {
			return callRef{}, err
		}
		if !ok {
			continue
		}
		index, open, is := c.openCall(&m, call)
		if open {
			return callRef{id, index}, nil
		}
		if is && answered.message == "" {
			answered = callRef{id, index}
		}
	}
	if answered.message != "" {
		return answered, fmt.Errorf("tool call %.140q: %w", call, ErrCallAnswered)
	}
	return callRef{}, fmt.Errorf("tool call %.140q: %w", call, ErrNoCall)
}

// openCall finds the first open call of an id in a message, or the last that
// is answered; is tells whether the message has any call of that id.
func (c *closer) openCall(m *caller, call string) (index uint32, open, is bool) {
	for i, one := range m.calls {
		if one.ID != call && CallName(m.id, uint32(i)) != call {
			continue
		}
		if index, is = uint32(i), true; c.open(m, index) {
			return index, true, true
		}
	}
	return index, false, is
}

func (c *closer) open(m *caller, index uint32) bool {
	return !slices.Contains(m.done, index) && !slices.Contains(c.done, callRef{m.id, index})
}

// callerAt reads a message of the session by its id.
func (c *closer) callerAt(id string) (caller, bool, error) {
	put, ok, err := c.stored(id)
	if err != nil || !ok {
		return caller{}, false, err
	}
	at, _, err := locate(c.rd.r, c.rd.space, c.rd.session, c.rd.m, id)
	if err != nil {
		return caller{}, false, err
	}
	list, err := resultsAt(c.rd.r, c.rd.space, c.rd.session, at.slot)
	return callerOf(id, &put, list), err == nil, err
}

func callerOf(id string, put *Put, list []result) caller {
	m := caller{id: id, role: put.Role, calls: callsOf(put)}
	for _, r := range list {
		m.done = append(m.done, r.index)
	}
	return m
}

// maxCallScan bounds how many messages are looked at for the call that a
// result without tool_call_id closes.
const maxCallScan = 1024

// byName finds the earliest open call of a name, or of any for "", in the
// present turn; else the earliest before it.
func (c *closer) byName(name string) (ref callRef, ok bool, err error) {
	present, spoke, answered := true, false, false
	scanned := 0
	for m, err := range c.before() {
		if err != nil {
			return callRef{}, false, err
		}
		speaks := speaks(m.role)
		if present && spoke && !speaks { // the turn began with the message behind m
			if ok || answered {
				break
			}
			present = false
		}
		spoke = speaks
		for i, call := range slices.Backward(m.calls) {
			switch {
			case name != "" && call.Name != name:
			case c.open(&m, uint32(i)):
				ref, ok = callRef{m.id, uint32(i)}, true
			default:
				answered = answered || present
			}
		}
		if scanned++; scanned == maxCallScan {
			break
		}
	}
	if !ok && answered {
		return ref, false, fmt.Errorf("call of tool %.140q: %w", name, ErrCallAnswered)
	}
	return ref, ok, nil
}

// speaks reports whether messages of a role begin a turn: all but those of the
// model and of its tools do.
func speaks(role string) bool { return role != roleTool && role != roleAssistant }

// before yields the messages before the one that is taken now, nearest first.
func (c *closer) before() iter.Seq2[caller, error] {
	return func(yield func(caller, error) bool) {
		for _, m := range slices.Backward(c.batch[c.fresh:]) {
			if !yield(m, nil) {
				return
			}
		}
		rd := &c.rd
		if c.base == "" {
			return
		}
		at, ok, err := locate(rd.r, rd.space, rd.session, rd.m, c.base)
		if err != nil || !ok {
			if err != nil {
				yield(caller{}, err)
			}
			return
		}
		for stop, err := range rd.upTo(at.slot) {
			m := caller{}
			if err == nil {
				m, err = rd.caller(stop)
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// upTo yields the heads of groups from that of the message at a slot back to
// the first.
func (rd *reading) upTo(slot uint64) iter.Seq2[stop, error] {
	return func(yield func(stop, error) bool) {
		head, err := rd.headOf(slot)
		if err != nil || !yield(stop{slot: head}, nil) {
			if err != nil {
				yield(stop{}, err)
			}
			return
		}
		for g, err := range rd.groups(head, true) {
			if !yield(g.head, err) || err != nil {
				return
			}
		}
	}
}

// caller reads the message at a place with its calls.
func (rd *reading) caller(at stop) (caller, error) {
	e, err := entryAt(rd.r, rd.space, rd.session, at.slot)
	if err != nil {
		return caller{}, err
	}
	op, _, err := opAt(rd.r, rd.space, e.shown)
	if err != nil {
		return caller{}, err
	}
	put, ok := op.Body.(Put)
	if !ok {
		return caller{}, nil
	}
	var list []result
	if e.called {
		list, err = resultsAt(rd.r, rd.space, rd.session, at.slot)
	}
	return callerOf(MessageID(&op), &put, list), err
}
