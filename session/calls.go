package session

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Call is a tool call that a message opened. A message of role "tool" closes
// one; see [Put.CallOf].
type Call struct {
	ID        string // as given; empty if the message gave none
	Name      string
	Arguments json.RawMessage // as given; nil if absent
}

const (
	roleTool      = "tool"
	roleAssistant = "assistant"
)

// CallName names the call of a message that gave it no id of its own: message
// id, colon, place among the calls of the message. It does for tool_call_id.
func CallName(message string, index uint32) string {
	return message + ":" + strconv.FormatUint(uint64(index), 10)
}

// ParseCallName is the inverse of [CallName]; ok is false for what that does
// not give.
func ParseCallName(name string) (message string, index uint32, ok bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || !ValidName(name[:i]) {
		return "", 0, false
	}
	n, err := strconv.ParseUint(name[i+1:], 10, 32)
	return name[:i], uint32(n), err == nil && n < MaxCalls
}

// opensCalls reports whether messages of a role open the calls that they
// carry: results, and those who speak to a model, do not.
func opensCalls(role string) bool {
	switch role {
	case roleTool, "user", "system", "developer":
		return false
	}
	return true
}

// callsOf reads the calls that a put opens, at most MaxCalls. Elements of
// tool_calls without a name are none. Both usual forms are known: {"id",
// "name", "arguments"} and {"id", "function": {"name", "arguments"}}.
func callsOf(put *Put) []Call {
	if len(put.ToolCalls) == 0 || !opensCalls(put.Role) {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(put.ToolCalls, &list) != nil {
		list = []json.RawMessage{put.ToolCalls}
	}
	var calls []Call
	for _, one := range list {
		if c, ok := readCall(one); ok && len(calls) < MaxCalls {
			calls = append(calls, c)
		}
	}
	return calls
}

func readCall(raw []byte) (Call, bool) {
	call := objectOf(raw)
	said := call
	if inner := objectOf(call["function"]); inner != nil {
		said = inner
	}
	c := Call{ID: textOf(call["id"]), Name: textOf(said["name"]), Arguments: said["arguments"]}
	if c.Arguments == nil {
		c.Arguments = said["input"]
	}
	return c, c.Name != ""
}

// objectOf gives the members of a JSON object, nil for anything else.
func objectOf(raw []byte) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &members) != nil {
		return nil
	}
	return members
}

// textOf gives a JSON string, empty for anything else.
func textOf(raw []byte) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// result is one answer to a call: which call of the message, and the slot of
// the message that answers.
type result struct {
	index uint32
	slot  uint64
}

// callKey is where the messages are listed that opened a call of an id.
func callKey(space, session, call string) []byte {
	sum := sha256.Sum256([]byte(call))
	return namedKey(space, session, recCallID, string(sum[:16]))
}

// opensOf lists the ids of the messages that opened calls of an id, as they
// arrived here; of many only the last.
func opensOf(r Reader, space, session, call string) ([]string, error) {
	key := callKey(space, session, call)
	b, err := r.Get(key)
	if err != nil || b == nil {
		return nil, err
	}
	p := packed{rest: b}
	var ids []string
	for range p.count() {
		ids = append(ids, p.text())
	}
	return ids, p.end(key)
}

// noteCalls lists a message under the ids of the calls that it opened.
func (a *applier) noteCalls(id string, x *Put) error {
	for _, c := range callsOf(x) {
		if c.ID == "" {
			continue
		}
		ids, err := opensOf(a.tx, a.op.Space, a.op.Session, c.ID)
		if err != nil {
			return fmt.Errorf("read calls of id %.80q: %w", c.ID, err)
		}
		if n := len(ids); n > 0 && ids[n-1] == id {
			continue
		}
		if ids = append(ids, id); len(ids) > maxCallUses {
			ids = ids[len(ids)-maxCallUses:]
		}
		b := binary.AppendUvarint(nil, uint64(len(ids)))
		for _, id := range ids {
			b = packText(b, id)
		}
		if err := a.tx.Put(callKey(a.op.Space, a.op.Session, c.ID), b); err != nil {
			return fmt.Errorf("store calls of id %.80q: %w", c.ID, err)
		}
	}
	return nil
}

// maxCallUses bounds how many messages are remembered that used one call id:
// some models count their calls from zero in every turn.
const maxCallUses = 64

// attach ties the result at a slot to the call that it closes, if its author
// had seen that. e is what the log holds at the slot.
func (a *applier) attach(x *Put, slot uint64, e *entry) error {
	e.caller = 0
	if x.CallOf == "" || x.Role != roleTool {
		return nil
	}
	caller, ok, err := a.seen(x.CallOf)
	if err != nil || !ok || caller == slot {
		return err
	}
	e.caller = caller
	list, err := resultsAt(a.tx, a.op.Space, a.op.Session, caller)
	if err != nil {
		return err
	}
	if err := a.putResults(caller, append(list, result{x.CallIndex, slot})); err != nil {
		return err
	}
	at, err := entryAt(a.tx, a.op.Space, a.op.Session, caller)
	if err != nil || at.called {
		return err
	}
	at.called = true
	return putEntry(a.tx, a.op.Space, a.op.Session, caller, at)
}

// detach undoes attach.
func (a *applier) detach(slot uint64, e *entry) error {
	if e.caller == 0 {
		return nil
	}
	list, err := resultsAt(a.tx, a.op.Space, a.op.Session, e.caller)
	if err != nil {
		return err
	}
	kept := list[:0]
	for _, r := range list {
		if r.slot != slot {
			kept = append(kept, r)
		}
	}
	caller := e.caller
	e.caller = 0
	return a.putResults(caller, kept)
}

func resultsKey(space, session string, caller uint64) []byte {
	return namedKey(space, session, recResults, string(binary.BigEndian.AppendUint64(nil, caller)))
}

// resultsAt lists the results of the calls of the message at a slot, as they
// arrived here.
func resultsAt(r Reader, space, session string, caller uint64) ([]result, error) {
	key := resultsKey(space, session, caller)
	b, err := r.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read results of slot %d of session %s: %w", caller, session, err)
	}
	if b == nil {
		return nil, nil
	}
	p := packed{rest: b}
	var list []result
	for range p.count() {
		list = append(list, result{uint32(p.uint()), p.uint()})
	}
	return list, p.end(key)
}

func (a *applier) putResults(caller uint64, list []result) error {
	b := binary.AppendUvarint(nil, uint64(len(list)))
	for _, r := range list {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.index)), r.slot)
	}
	if err := a.tx.Put(resultsKey(a.op.Space, a.op.Session, caller), b); err != nil {
		return fmt.Errorf("store results of slot %d of session %s: %w", caller, a.op.Session, err)
	}
	return nil
}
