package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// A message that no op put is marked by why it is shown.
const (
	SyntheticInterrupted = "interrupted" // result of a call that has none
	SyntheticInProgress  = "in_progress" // the same, and the ledger has a claim of it
	SyntheticRecorded    = "recorded"    // result that is in the ledger only
	SyntheticOrphan      = "orphan"      // call of a result that closes none
)

// maxTurnMessages bounds what is shown as one turn: a longer one is cut between
// two groups.
const maxTurnMessages = 4096

// answer is a result as it is shown, and the call that it closes.
type answer struct {
	Message
	index uint32
}

// exchange is a group, read: a message, its calls, their results.
type exchange struct {
	head    Message
	calls   []Call
	results []answer
	tools   []Tool // of the calls, if they have no result
	q       Query
}

// repaired reads a group and shows it as the query wants it.
func (rd *reading) repaired(g group, q Query) ([]Message, error) {
	x := exchange{q: q}
	var err error
	if x.head, x.calls, err = rd.shown(g.head); err != nil {
		return nil, err
	}
	for _, at := range g.results {
		one, _, err := rd.shown(at)
		if err != nil {
			return nil, err
		}
		x.results = append(x.results, answer{one, at.call})
	}
	if !q.Repair {
		return x.messages(), nil
	}
	x.tools = make([]Tool, len(x.calls))
	for i, c := range x.calls {
		if x.answered(uint32(i)) {
			continue
		}
		if x.tools[i], err = rd.recorded(x.head.ID, uint32(i), c); err != nil {
			return nil, err
		}
	}
	return x.messages(), nil
}

func (x *exchange) answered(index uint32) bool {
	return slices.ContainsFunc(x.results, func(a answer) bool { return a.index == index })
}

// shown reads a message, and the calls that its put has even if it is redacted.
func (rd *reading) shown(at stop) (Message, []Call, error) {
	msg, _, err := rd.message(at, false)
	if err != nil {
		return msg, nil, err
	}
	op, _, err := opAt(rd.r, rd.space, msg.Dot)
	if err != nil {
		return msg, nil, err
	}
	put, ok := op.Body.(Put)
	if !ok {
		return msg, nil, nil
	}
	return msg, callsOf(&put), nil
}

func (x *exchange) messages() []Message {
	head := x.head
	ids := x.ids()
	page := x.orphan(head) // closes no call, or it would not head a group
	if head.Role != roleTool {
		if x.q.Model {
			head.plain(x.wire(ids))
		}
		page = []Message{head}
	}
	for i := range x.calls {
		page = append(page, x.closing(i, ids[i])...)
	}
	for _, a := range x.results {
		if int(a.index) >= len(x.calls) { // the message was put twice, with other calls
			page = append(page, x.orphan(a.Message)...)
		}
	}
	return page
}

// closing gives the results of a call: with Repair exactly one.
func (x *exchange) closing(i int, id string) []Message {
	var list []Message
	for _, a := range x.results {
		switch {
		case a.index != uint32(i):
		case x.q.Repair && len(list) > 0:
			list[0].Others = append(list[0].Others, a.ID)
		default:
			list = append(list, a.Message)
		}
	}
	if len(list) == 0 && x.q.Repair {
		return []Message{x.interrupted(i, id)}
	}
	if x.q.Model {
		for j := range list {
			list[j].plain(nil)
			list[j].ToolCallID = id
		}
	}
	return list
}

// ids names the calls of the message: by their own ids where these tell them
// apart.
func (x *exchange) ids() []string {
	ids := make([]string, len(x.calls))
	for i, c := range x.calls {
		ids[i] = c.ID
		if x.q.Model && (c.ID == "" || x.head.Redacted || slices.Contains(ids[:i], c.ID)) {
			ids[i] = CallName(x.head.ID, uint32(i))
		}
	}
	return ids
}

// interrupted stands for the result of a call that has none among the messages.
func (x *exchange) interrupted(i int, id string) Message {
	m := x.beside(CallName(x.head.ID, uint32(i)), SyntheticInterrupted)
	m.Role, m.ToolCallID = roleTool, id
	m.Content = json.RawMessage(`"[interrupted: no result of this call was recorded]"`)
	switch t := &x.tools[i]; {
	case x.head.Redacted:
	case t.Status == ToolDone:
		m.Synthetic, m.Content = SyntheticRecorded, t.Result
		m.plain(nil)
	case t.Status == ToolClaimed:
		m.Synthetic = SyntheticInProgress
		m.Content = mustEncode("[in progress by " + t.Claim.By + "; no result yet]")
	}
	if !x.head.Redacted {
		m.Name = x.calls[i].Name
	}
	return m
}

// orphan shows a result that closes no call, with Repair behind a call made up
// for it.
func (x *exchange) orphan(m Message) []Message {
	if !x.q.Repair {
		if x.q.Model {
			m.plain(nil)
		}
		return []Message{m}
	}
	before := (&exchange{head: m}).beside(CallName(m.ID, 0), SyntheticOrphan)
	before.Role, before.Content = roleAssistant, json.RawMessage(`""`)
	call := Call{Name: m.Name}
	if call.Name == "" {
		call.Name = "unknown"
	}
	id := m.ToolCallID
	if id == "" {
		id = before.ID
	}
	before.ToolCalls = wireCalls([]Call{call}, []string{id})
	if x.q.Model {
		m.plain(nil)
		m.ToolCallID = id
	}
	return []Message{before, m}
}

// beside begins a synthetic message that stands beside the head.
func (x *exchange) beside(id, why string) Message {
	return Message{ID: id, At: x.head.At, Origin: x.head.Origin, Version: x.head.Version, Synthetic: why}
}

// wire gives the calls in the form of chat completions, nil if there are none.
func (x *exchange) wire(ids []string) json.RawMessage {
	if len(x.calls) == 0 {
		return nil
	}
	calls := x.calls
	if x.head.Redacted {
		calls = make([]Call, len(x.calls))
		for i := range calls {
			calls[i].Name = "redacted"
		}
	}
	return wireCalls(calls, ids)
}

func wireCalls(calls []Call, ids []string) json.RawMessage {
	type function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	type call struct {
		ID       string   `json:"id"`
		Type     string   `json:"type"`
		Function function `json:"function"`
	}
	list := make([]call, len(calls))
	for i, c := range calls {
		list[i] = call{ids[i], "function", function{c.Name, argumentText(c.Arguments)}}
	}
	return mustEncode(list)
}

// argumentText gives arguments as a model's interface wants them: as text that
// is JSON.
func argumentText(raw []byte) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "{}"
	}
	if raw[0] == '"' {
		return textOf(raw)
	}
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return string(raw)
	}
	return out.String()
}

// plain brings a message into the form of chat completions: content is text or
// a list of parts, tool_calls are the given ones.
func (m *Message) plain(calls json.RawMessage) {
	m.ToolCalls = calls
	switch {
	case m.Redacted:
		m.Content = json.RawMessage(`"[redacted]"`)
	case len(m.Content) == 0 || string(m.Content) == "null":
		m.Content = json.RawMessage(`""`)
	case m.Content[0] == '"' || isParts(m.Content):
	default:
		m.Content = mustEncode(string(m.Content))
	}
}

// isParts reports whether content is a list of parts, each an object that says
// its type.
func isParts(content []byte) bool {
	var parts []json.RawMessage
	if json.Unmarshal(content, &parts) != nil || len(parts) == 0 {
		return false
	}
	return !slices.ContainsFunc(parts, func(p json.RawMessage) bool { return textOf(objectOf(p)["type"]) == "" })
}

// EstimateTokens guesses, rather high, what a message costs a model: a token
// for three bytes of its text, and four for its frame.
func (m *Message) EstimateTokens() int {
	return (len(m.Role)+len(m.Name)+len(m.ToolCallID)+len(m.Content)+len(m.ToolCalls)+2)/3 + 4
}

// repairedPage is [Messages] with Repair: pages of whole groups.
func (rd *reading) repairedPage(slot uint64, q Query, back bool) (page []Message, next string, err error) {
	head := slot
	if slot != 0 {
		if head, err = rd.headOf(slot); err != nil {
			return nil, "", err
		}
	}
	var parts [][]Message
	n := 0
	for g, err := range rd.groups(head, back) {
		if err != nil {
			return nil, "", err
		}
		if q.Limit > 0 && n >= q.Limit {
			next = edgeOf(parts[len(parts)-1], back)
			break
		}
		part, err := rd.repaired(g, q)
		if err != nil {
			return nil, "", err
		}
		n += len(part)
		parts = append(parts, part)
	}
	if back {
		slices.Reverse(parts)
	}
	return slices.Concat(parts...), next, nil
}

// edgeOf is the id to go on from behind a group, or before it.
func edgeOf(part []Message, back bool) string {
	id := ""
	for i := range part {
		if part[i].Synthetic == "" && (id == "" || !back) {
			id = part[i].ID
		}
	}
	return id
}

// turn is what lies between two beginnings of turns, put together backwards.
type turn struct {
	parts  [][]Message
	count  int
	tokens int
}

func (t *turn) add(part []Message) {
	t.parts = append(t.parts, part)
	t.count += len(part)
	for i := range part {
		t.tokens += part[i].EstimateTokens()
	}
}

// modelPage gives whole turns before the message at slot, or the last ones: as
// many as fit into q, and at least one.
func (rd *reading) modelPage(slot uint64, q Query) (page []Message, next string, err error) {
	if slot != 0 {
		if slot, err = rd.headOf(slot); err != nil {
			return nil, "", err
		}
	}
	var all, now turn
	spoke, more := false, false
	for g, err := range rd.groups(slot, true) {
		if err != nil {
			return nil, "", err
		}
		part, err := rd.repaired(g, q)
		if err != nil {
			return nil, "", fmt.Errorf("turn of session %s: %w", rd.session, err)
		}
		speaks := speaks(part[0].Role) && part[0].Synthetic == ""
		if spoke && !speaks || now.count >= maxTurnMessages {
			all.join(&now)
		}
		spoke = speaks
		now.add(part)
		if more = len(all.parts) > 0 && !q.fits(all, now); more {
			break
		}
	}
	if !more {
		all.join(&now)
	} else {
		next = edgeOf(all.parts[len(all.parts)-1], true)
	}
	slices.Reverse(all.parts)
	return slices.Concat(all.parts...), next, nil
}

// join takes over what other has.
func (t *turn) join(other *turn) {
	t.parts = append(t.parts, other.parts...)
	t.count += other.count
	t.tokens += other.tokens
	*other = turn{}
}

func (q *Query) fits(all, now turn) bool {
	most := q.Last
	if most == 0 && q.Tokens == 0 {
		most = q.Limit
	}
	return (most == 0 || all.count+now.count <= most) && (q.Tokens == 0 || all.tokens+now.tokens <= q.Tokens)
}
