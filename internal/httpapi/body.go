package httpapi

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/causeway-sync/causeway/session"
)

// openBody is the body of a call that opens a session.
type openBody struct {
	ID   string
	Open session.OpenSession
}

func readOpen(b []byte) (openBody, error) {
	var o openBody
	if len(bytes.TrimSpace(b)) == 0 {
		return o, nil
	}
	rd, err := newReader(b)
	if err != nil {
		return o, err
	}
	err = rd.members(b, "", func(name string, v []byte) (err error) {
		switch name {
		case "id":
			if o.ID, err = rd.str(v, name); err == nil {
				err = checkName(o.ID, name)
			}
		case "order":
			o.Open.Order, err = rd.order(v)
		case "ttl":
			o.Open.TTL, err = rd.ttl(v)
		case "labels":
			o.Open.Labels, err = rd.labels(v)
		case "context":
			if v[0] != '{' {
				return wrongType(name, "an object")
			}
			o.Open.Context, err = rd.value(v, name)
		default:
			err = unknownField(name)
		}
		return err
	})
	return o, err
}

func (rd reader) order(v []byte) (session.Order, error) {
	s, err := rd.str(v, "order")
	if err != nil {
		return 0, err
	}
	switch s {
	case "turns":
		return session.Turns, nil
	case "chat":
		return session.Chat, nil
	}
	return 0, problem("invalid_body", `order is %.40q, want "turns" or "chat"`, s).at("order")
}

func (rd reader) ttl(v []byte) (time.Duration, error) {
	s, err := rd.str(v, "ttl")
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, problem("invalid_body", `ttl is %.40q, want a duration like "30m"`, s).at("ttl")
	}
	return d, nil
}

func (rd reader) labels(v []byte) (map[string]string, error) {
	labels := map[string]string{}
	err := rd.members(v, "labels", func(name string, v []byte) error {
		path := "labels." + name
		if _, ok := labels[name]; ok {
			return problem("invalid_body", "%s stands twice", path).at(path)
		}
		if name == "" {
			return problem("invalid_body", "a label has no name").at("labels")
		}
		if err := checkText(name, "labels"); err != nil {
			return err
		}
		s, err := rd.str(v, path)
		if err != nil {
			return err
		}
		if n := len(name) + len(s); n > session.MaxLabelBytes {
			return problem("too_large", "%.80s is %d bytes", path, n).at("labels").limit(session.MaxLabelBytes)
		}
		labels[name] = s
		if len(labels) > session.MaxLabels {
			return problem("too_large", "too many labels").at("labels").limit(session.MaxLabels)
		}
		return nil
	})
	return labels, err
}

func readMove(b []byte) (session.Move, error) {
	var m session.Move
	rd, err := newReader(b)
	if err != nil {
		return m, err
	}
	err = rd.members(b, "", func(name string, v []byte) (err error) {
		if name != "to" {
			return unknownField(name)
		}
		m.To, err = rd.str(v, name)
		return err
	})
	if err != nil {
		return m, err
	}
	switch m.To {
	case "active", "paused", "ended", "reopened":
		return m, nil
	}
	return m, problem("invalid_body", "to is %.40q, want active, paused, ended or reopened", m.To).at("to")
}

// readAppend reads a message or {"messages":[…]}; batch tells which it was.
func readAppend(b []byte) (a session.Append, batch bool, err error) {
	rd, err := newReader(b)
	if err != nil {
		return a, false, err
	}
	if !isBatch(b, rd) {
		d, err := rd.draft(b, "")
		a.Messages = []session.Draft{d}
		return a, false, err
	}
	total := 0
	err = rd.members(b, "", func(name string, v []byte) error {
		if name != "messages" {
			return unknownField(name)
		}
		return rd.elements(v, name, func(i int, v []byte) error {
			if i == session.MaxBatchMessages {
				return problem("batch_too_large", "more messages than one call takes").at(name).limit(i)
			}
			d, err := rd.draft(v, "messages["+strconv.Itoa(i)+"]")
			if err != nil {
				return err
			}
			if total += draftBytes(&d); total > session.MaxBatchBytes {
				return problem("batch_too_large", "messages are %d bytes together", total).
					at(name).limit(session.MaxBatchBytes)
			}
			a.Messages = append(a.Messages, d)
			return nil
		})
	})
	if err == nil && len(a.Messages) == 0 {
		err = problem("invalid_body", "messages is empty").at("messages")
	}
	return a, true, err
}

// isBatch reports whether the body has a member "messages".
func isBatch(b []byte, rd reader) bool {
	batch := false
	if err := rd.members(b, "", func(name string, _ []byte) error {
		batch = batch || name == "messages"
		return nil
	}); err != nil {
		return false // the reading proper says what is wrong
	}
	return batch
}

// draft reads one message.
func (rd reader) draft(b []byte, path string) (session.Draft, error) {
	var d session.Draft
	err := rd.members(b, path, func(name string, v []byte) (err error) {
		at := join(path, name)
		switch name {
		case "id":
			if d.ID, err = rd.str(v, at); err == nil {
				err = checkMessageID(d.ID, at)
			}
		case "role":
			d.Role, err = rd.str(v, at)
		case "name":
			d.Name, err = rd.str(v, at)
		case "tool_call_id":
			d.ToolCallID, err = rd.str(v, at)
		case "parent":
			d.Parent, err = rd.parent(v, at)
		case "content":
			d.Content, err = rd.value(v, at)
		case "tool_calls":
			d.ToolCalls, err = rd.value(v, at)
		case "metadata":
			d.Metadata, err = rd.value(v, at)
		default:
			err = unknownField(at)
		}
		return err
	})
	if err != nil {
		return d, err
	}
	err = checkDraft(&d, path)
	return d, err
}

// checkMessageID refuses what cannot name a message, and names that look like
// those which nodes give.
func checkMessageID(id, at string) error {
	if err := checkName(id, at); err != nil {
		return err
	}
	if session.ReservedID(id) {
		return problem("bad_name", "%s is %.60q, which looks like the name of another message", at, id).at(at)
	}
	return nil
}

// parent reads a message id, "" for the root, or null for the default.
func (rd reader) parent(v []byte, at string) (*string, error) {
	if string(v) == "null" {
		return nil, nil
	}
	s, err := rd.str(v, at)
	if err == nil && s != "" {
		err = checkName(s, at)
	}
	return &s, err
}

// maxDraftBytes leaves room for the name of the parent, which the node may fill in.
const maxDraftBytes = session.MaxMessageBytes - session.MaxNameBytes

func checkDraft(d *session.Draft, path string) error {
	switch {
	case d.Role == "":
		return problem("invalid_body", "%s is missing", join(path, "role")).at(join(path, "role"))
	case len(d.Role) > session.MaxRoleBytes:
		return problem("invalid_body", "%s is %d bytes", join(path, "role"), len(d.Role)).
			at(join(path, "role")).limit(session.MaxRoleBytes)
	case d.Content == nil && d.ToolCalls == nil:
		return problem("invalid_body", "%s is missing", join(path, "content")).at(join(path, "content"))
	}
	if n := draftBytes(d); n > maxDraftBytes {
		if path == "" {
			path = "message"
		}
		return problem("message_too_large", "%s is %d bytes", path, n).at(path).limit(maxDraftBytes)
	}
	return nil
}

func draftBytes(d *session.Draft) int {
	return len(d.ID) + len(d.Role) + len(d.Name) + len(d.ToolCallID) + len(d.Content) + len(d.ToolCalls) + len(d.Metadata)
}

func readEdit(b []byte, id string) (session.EditMessage, error) {
	e := session.EditMessage{ID: id}
	rd, err := newReader(b)
	if err != nil {
		return e, err
	}
	err = rd.members(b, "", func(name string, v []byte) (err error) {
		switch name {
		case "content":
			e.Content, err = rd.value(v, name)
		case "metadata":
			e.Metadata, err = rd.value(v, name)
		default:
			err = unknownField(name)
		}
		return err
	})
	if err != nil {
		return e, err
	}
	if e.Content == nil {
		return e, problem("invalid_body", "content is missing").at("content")
	}
	if n := len(e.Content) + len(e.Metadata); n > session.MaxMessageBytes {
		return e, problem("message_too_large", "message is %d bytes", n).limit(session.MaxMessageBytes)
	}
	return e, nil
}

func readPatch(b []byte) (session.PatchContext, error) {
	rd, err := newReader(b)
	if err != nil {
		return session.PatchContext{}, err
	}
	i := skipSpace(b, 0)
	if b[i] != '{' {
		return session.PatchContext{}, wrongType("", "a JSON object (a merge patch)")
	}
	patch, err := rd.value(b[i:valueEnd(b, i)], "the body")
	return session.PatchContext{Patch: patch}, err
}

// readAdjust reads {"ops":[…]}.
func readAdjust(b []byte) (session.AdjustContext, error) {
	var a session.AdjustContext
	rd, err := newReader(b)
	if err != nil {
		return a, err
	}
	err = rd.members(b, "", func(name string, v []byte) error {
		if name != "ops" {
			return unknownField(name)
		}
		return rd.elements(v, name, func(i int, v []byte) error {
			if i == session.MaxLeaves {
				return problem("batch_too_large", "more ops than one call takes").at(name).limit(i)
			}
			c, err := rd.adjustment(v, fmt.Sprintf("ops[%d]", i))
			a.Changes = append(a.Changes, c)
			return err
		})
	})
	if err == nil && len(a.Changes) == 0 {
		err = problem("invalid_body", "ops is missing or empty").at("ops")
	}
	return a, err
}

func (rd reader) adjustment(b []byte, path string) (session.Adjustment, error) {
	var c session.Adjustment
	var op string
	var by []byte
	var hasPath bool
	err := rd.members(b, path, func(name string, v []byte) (err error) {
		at := join(path, name)
		switch name {
		case "op":
			op, err = rd.str(v, at)
		case "path":
			hasPath = true
			c.Path, err = rd.str(v, at)
		case "by":
			by = v
		case "value":
			c.Value, err = rd.value(v, at)
		default:
			err = unknownField(at)
		}
		return err
	})
	if err != nil {
		return c, err
	}
	if !hasPath || c.Path == "" || c.Path[0] != '/' || len(c.Path) > session.MaxPathBytes {
		return c, problem("invalid_body", "%s.path must be a JSON pointer like /visits", path).at(path + ".path")
	}
	err = finishAdjustment(&c, op, by, path)
	return c, err
}

// finishAdjustment sets kind and step, and refuses members of the other kinds.
func finishAdjustment(c *session.Adjustment, op string, by []byte, path string) error {
	switch op {
	case "add":
		c.Kind = session.CounterAdd
		n, err := strconv.ParseInt(string(by), 10, 64)
		if err != nil {
			return problem("invalid_body", "%s.by must be a whole number of 64 bits", path).at(path + ".by")
		}
		if c.Value != nil {
			return problem("invalid_body", "%s.value does not go with add", path).at(path + ".value")
		}
		c.By = n
		return nil
	case "insert":
		c.Kind = session.SetInsert
	case "remove":
		c.Kind = session.SetRemove
	default:
		return problem("invalid_body", "%s.op is %.40q, want add, insert or remove", path, op).at(path + ".op")
	}
	if c.Value == nil {
		return problem("invalid_body", "%s.value is missing", path).at(path + ".value")
	}
	if by != nil {
		return problem("invalid_body", "%s.by goes with add only", path).at(path + ".by")
	}
	return nil
}
