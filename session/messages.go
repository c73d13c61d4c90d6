package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// Query selects a page of a session's messages. With none of After, Before and
// Tail the page begins at the first message.
type Query struct {
	Limit   int    // at most so many; 0 or less: all
	After   string // message id: the page begins behind it
	Before  string // message id: the page ends before it
	Tail    bool   // the page ends at the last message
	Tree    bool   // depth first, with Depth and Children
	Explain bool   // with Placing

	// Repair shows an interrupted call with a synthetic result, a result without
	// a call behind a synthetic call, and of several results of a call the first,
	// with the ids of the others. Groups of a call and its results are not cut:
	// a page may be longer than Limit.
	Repair bool
	// Model shows messages as chat completions want them: the last whole turns
	// before Before, or of the session. A turn begins with what is neither the
	// model's nor a tool's. Only with Repair it is what a model will take.
	Model  bool
	Last   int // Model: at most so many messages; one turn is shown even so
	Tokens int // Model: likewise by [Message.EstimateTokens]
}

// pageRoom bounds the room that is made for a page before its messages are read.
const pageRoom = 4096

// Messages gives a page in the order of the session. next is empty at the end
// that the page walks to; else it is the id to go on from: as After when the
// page went forwards, as Before when Before or Tail was set. The cost is that
// of the page and of the session's branches, not of its history.
func Messages(r Reader, space, session string, q Query) (page []Message, next string, err error) {
	m, err := shownMeta(r, space, session)
	if err != nil {
		return nil, "", err
	}
	back := q.Tail || q.Before != ""
	mark := q.After
	if back {
		mark = q.Before
	}
	var slot uint64
	if mark != "" {
		at, ok, err := locate(r, space, session, m, mark)
		if err != nil {
			return nil, "", err
		}
		if !ok {
			return nil, "", fmt.Errorf("message %.140q: %w", mark, ErrNoMessage)
		}
		slot = at.slot
	}
	rd := reading{r: r, space: space, session: session, m: m, tree: q.Tree}
	switch {
	case q.Model:
		page, next, err = rd.modelPage(slot, q)
	case q.Repair && !q.Tree:
		page, next, err = rd.repairedPage(slot, q, back)
	default:
		page, next, err = rd.page(slot, q, back)
	}
	if err == nil && q.Explain {
		err = rd.explain(page)
	}
	return page, next, err
}

// page gives a page of the line, or of the tree.
func (rd *reading) page(slot uint64, q Query, back bool) (page []Message, next string, err error) {
	most := int(rd.m.messages)
	if q.Limit > 0 {
		most = min(most, q.Limit)
	}
	page = make([]Message, 0, min(most, pageRoom))
	walk := rd.line
	if q.Tree {
		walk = rd.from
	}
	for at, err := range walk(slot, back) {
		if err != nil {
			return nil, "", err
		}
		full := q.Limit > 0 && len(page) == q.Limit
		msg, ok, err := rd.message(at, full)
		if err != nil {
			return nil, "", err
		}
		if ok && full {
			next = page[len(page)-1].ID
			break
		}
		if ok {
			page = append(page, msg)
		}
	}
	if back {
		slices.Reverse(page)
	}
	return page, next, nil
}

// MessageByID gives one message as it is shown.
func MessageByID(r Reader, space, session, id string) (Message, error) {
	m, err := shownMeta(r, space, session)
	if err != nil {
		return Message{}, err
	}
	at, ok, err := locate(r, space, session, m, id)
	if err != nil {
		return Message{}, err
	}
	if !ok {
		return Message{}, fmt.Errorf("message %.140q: %w", id, ErrNoMessage)
	}
	rd := reading{r: r, space: space, session: session, m: m}
	msg, _, err := rd.message(stop{slot: at.slot}, false)
	return msg, err
}

// message shows the message at a slot; ok is false if there is none. With
// only set it answers just that.
func (rd *reading) message(at stop, only bool) (msg Message, ok bool, err error) {
	if at.entry == nil {
		e, err := entryAt(rd.r, rd.space, rd.session, at.slot)
		if err != nil {
			return Message{}, false, err
		}
		at.entry = &e
	}
	e := at.entry
	if !e.message || only {
		return Message{}, e.message, nil
	}
	op, _, err := opAt(rd.r, rd.space, e.shown)
	if err != nil {
		return Message{}, false, err
	}
	msg = messageOf(&op)
	if e.root {
		msg.Parent = ""
	}
	if e.edited {
		done, err := editsAt(rd.r, rd.space, rd.session, msg.ID)
		if err != nil {
			return Message{}, false, err
		}
		done.onto(&msg)
	}
	if rd.tree {
		msg.Depth = at.depth
		if msg.Children, err = rd.children(at.slot); err != nil {
			return Message{}, false, err
		}
	}
	return msg, true, nil
}

func (rd *reading) children(slot uint64) ([]string, error) {
	heads, inside := rd.m.line.Replies(slot)
	if inside {
		next, _, err := successor(rd.r, rd.space, rd.session, rd.m)(slot)
		if err != nil {
			return nil, err
		}
		heads = []uint64{next}
	}
	var ids []string
	for _, head := range heads {
		id, err := idAt(rd.r, rd.space, rd.session, head)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// messageOf is the message as its put says it.
func messageOf(op *Op) Message {
	put, ok := op.Body.(Put)
	if !ok {
		return Message{}
	}
	return Message{
		Dot: op.Dot, ID: MessageID(op), Role: put.Role, Content: json.RawMessage(put.Content), Name: put.Name,
		ToolCalls: json.RawMessage(put.ToolCalls), ToolCallID: put.ToolCallID, Parent: put.Parent,
		Metadata: json.RawMessage(put.Metadata), At: op.Stamp.Time(), Actor: op.Actor,
		Origin: string(op.Dot.Origin), Version: op.Deps.With(op.Dot).String(),
	}
}

// onto shows msg as it is after the edits.
func (e *edits) onto(msg *Message) {
	if e.redacted {
		at := e.by.Stamp.Time()
		msg.Content, msg.ToolCalls, msg.Metadata = nil, nil, nil
		msg.Redacted, msg.EditedAt = true, &at
		return
	}
	var at time.Time
	if v, ok := e.content.Shown(); ok {
		msg.Content, at = json.RawMessage(v.Data), v.Stamp.Time()
	}
	if v, ok := e.metadata.Shown(); ok {
		msg.Metadata = json.RawMessage(v.Data)
		if v.Stamp.Time().After(at) {
			at = v.Stamp.Time()
		}
	}
	msg.EditedAt = &at
}

// putVariant is a put that is not shown, or is, in a list of conflicts.
func putVariant(op *Op) Variant {
	put, ok := op.Body.(Put)
	if !ok {
		return Variant{Origin: string(op.Dot.Origin), At: op.Stamp.Time()}
	}
	value := mustEncode(struct {
		Role       string          `json:"role"`
		Content    json.RawMessage `json:"content,omitempty"`
		Name       string          `json:"name,omitempty"`
		ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
		ToolCallID string          `json:"tool_call_id,omitempty"`
		Metadata   json.RawMessage `json:"metadata,omitempty"`
	}{
		put.Role, json.RawMessage(put.Content), put.Name,
		json.RawMessage(put.ToolCalls), put.ToolCallID, json.RawMessage(put.Metadata),
	})
	return Variant{Value: value, At: op.Stamp.Time(), Actor: op.Actor, Origin: string(op.Dot.Origin)}
}

// messageConflicts lists, by message id, edits that lost against others, then
// puts of one message that differ. What is redacted has no conflicts.
func messageConflicts(r Reader, space, session string, m *meta) ([]Conflict, error) {
	var conflicts []Conflict
	redacted := map[string]bool{}
	if m.edits {
		done, err := scanNamed(r, space, session, recEdits, wholeEdits)
		if err != nil {
			return nil, err
		}
		for _, id := range sortedKeys(done) {
			e := done[id]
			redacted[id] = e.redacted
			for _, reg := range []conflict.Register{e.content, e.metadata} {
				if c, ok := registerConflict("message", id, reg); ok {
					conflicts = append(conflicts, c)
				}
			}
		}
	}
	if m.putAgain {
		puts, err := scanNamed(r, space, session, recPuts, wholeDots)
		if err != nil {
			return nil, err
		}
		for _, id := range sortedKeys(puts) {
			if redacted[id] {
				continue
			}
			c, err := putsConflict(r, space, id, puts[id])
			if err != nil {
				return nil, err
			}
			if len(c.Others) > 0 {
				conflicts = append(conflicts, c)
			}
		}
	}
	slices.SortStableFunc(conflicts, byPath)
	return conflicts, nil
}

// putsConflict compares the puts of one message; the first is shown.
func putsConflict(r Reader, space, id string, puts []vclock.Dot) (Conflict, error) {
	c := Conflict{Kind: "message", Path: id}
	for i, dot := range puts {
		op, _, err := opAt(r, space, dot)
		if err != nil {
			return Conflict{}, err
		}
		v := putVariant(&op)
		switch {
		case i == 0:
			c.Shown = v
		case !slices.ContainsFunc(append(c.Others, c.Shown), v.sameValue):
			v.Reason = "put again; a put of earlier stamp stands"
			c.Others = append(c.Others, v)
		}
	}
	return c, nil
}

func (v Variant) sameValue(w Variant) bool {
	return v.Deleted == w.Deleted && string(v.Value) == string(w.Value)
}
