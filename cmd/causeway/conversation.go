package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/session"
)

// conversation is one line of an import or export file.
type conversation struct {
	ID      string          `json:"id"`
	Source  *string         `json:"source,omitempty"`
	Licence *string         `json:"licence,omitempty"`
	Meta    json.RawMessage `json:"meta,omitempty"`
	Turns   []turn          `json:"turns"`
	// Texts is ours: the session's texts by name, as they are at the end.
	Texts map[string]string `json:"texts,omitempty"`
}

// turn is one message of a conversation with the context that it set. Metadata
// is ours: what a message carries beside context_set.
type turn struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content,omitempty"`
	Name       *string         `json:"name,omitempty"`
	ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID *string         `json:"tool_call_id,omitempty"`
	ContextSet json.RawMessage `json:"context_set,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

// Labels under which a session keeps what belongs to the whole conversation.
const (
	labelSource  = "import.source"
	labelLicence = "import.licence"
	labelMeta    = "import.meta"
)

// contextSet is the member of a message's metadata that keeps a turn's
// context_set, so that it can be given back.
const contextSet = "context_set"

// parseConversation reads one line strictly: whatever would be lost on the way
// there and back is an error.
func parseConversation(line []byte) (conversation, error) {
	var c conversation
	if !utf8.Valid(line) {
		return c, errors.New("not UTF-8")
	}
	var parts struct {
		Turns []json.RawMessage `json:"turns"`
	}
	err := errors.Join(
		onlyMembers(line, "id", "source", "licence", "meta", "turns", "texts"),
		json.Unmarshal(line, &c), json.Unmarshal(line, &parts),
	)
	switch {
	case err != nil:
		return c, err
	case !session.ValidName(c.ID):
		return c, fmt.Errorf("id is %.60q, want letters, digits and ._~:-, at most 128", c.ID)
	}
	for name, text := range c.Texts {
		if !session.ValidName(name) || text == "" {
			return c, fmt.Errorf("texts: %.60q is no name, or its text is empty", name)
		}
	}
	for i := range c.Turns {
		err := onlyMembers(parts.Turns[i],
			"role", "content", "name", "tool_calls", "tool_call_id", contextSet, "metadata")
		if err = errors.Join(err, c.Turns[i].check()); err != nil {
			return c, fmt.Errorf("turns[%d]: %w", i, err)
		}
	}
	return c, nil
}

// onlyMembers checks that b is an object of known members, none of them twice,
// and no string among them null, which Go would take for an absent one.
func onlyMembers(b []byte, known ...string) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		switch {
		case !ok || !slices.Contains(known, name):
			return fmt.Errorf("unknown member %q; known are %s", name, strings.Join(known, ", "))
		case seen[name]:
			return fmt.Errorf("member %q stands twice", name)
		}
		seen[name] = true
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return err
		}
		if string(v) == "null" && slices.Contains(textMembers, name) {
			return fmt.Errorf("member %q is null", name)
		}
	}
	return nil
}

// textMembers are the members that hold text.
var textMembers = []string{"id", "source", "licence", "role", "name", "tool_call_id"}

func (t *turn) check() error {
	switch {
	case t.Role == "":
		return errors.New("role is missing")
	case t.Name != nil && *t.Name == "", t.ToolCallID != nil && *t.ToolCallID == "":
		return errors.New("name or tool_call_id is empty")
	case t.ContextSet != nil && !isObject(t.ContextSet):
		return errors.New("context_set is no object")
	case t.Metadata != nil && !isObject(t.Metadata):
		return errors.New("metadata is no object")
	}
	return nil
}

func isObject(b json.RawMessage) bool { return len(b) > 0 && bytes.TrimSpace(b)[0] == '{' }

// labels are the session's labels.
func (c *conversation) labels() map[string]string {
	l := map[string]string{}
	if c.Source != nil {
		l[labelSource] = *c.Source
	}
	if c.Licence != nil {
		l[labelLicence] = *c.Licence
	}
	if c.Meta != nil {
		l[labelMeta] = string(c.Meta)
	}
	return l
}

// draft is the turn as a message.
func (t *turn) draft() (draft, error) {
	d := draft{Role: t.Role, Content: t.Content, ToolCalls: t.ToolCalls}
	if t.Name != nil {
		d.Name = *t.Name
	}
	if t.ToolCallID != nil {
		d.ToolCallID = *t.ToolCallID
	}
	if t.ContextSet == nil {
		d.Metadata = t.Metadata
		return d, nil
	}
	meta := map[string]json.RawMessage{}
	if t.Metadata != nil {
		if err := json.Unmarshal(t.Metadata, &meta); err != nil {
			return d, err
		}
		if _, taken := meta[contextSet]; taken {
			return d, errors.New("metadata has a context_set of its own")
		}
	}
	meta[contextSet] = t.ContextSet
	var err error
	d.Metadata, err = encodeJSON(meta)
	return d, err
}

// newConversation begins the line of a session.
func newConversation(d *session.Document) (conversation, error) {
	c := conversation{ID: d.ID, Turns: []turn{}}
	if v, ok := d.Labels[labelSource]; ok {
		c.Source = &v
	}
	if v, ok := d.Labels[labelLicence]; ok {
		c.Licence = &v
	}
	if meta, ok := d.Labels[labelMeta]; ok {
		if !json.Valid([]byte(meta)) {
			return c, fmt.Errorf("session %s: label %s is no JSON", d.ID, labelMeta)
		}
		c.Meta = json.RawMessage(meta)
	}
	return c, nil
}

// newTurn is a message as a turn.
func newTurn(m *session.Message) (turn, error) {
	t := turn{Role: m.Role, Content: m.Content, ToolCalls: m.ToolCalls}
	if m.Name != "" {
		t.Name = &m.Name
	}
	if m.ToolCallID != "" {
		t.ToolCallID = &m.ToolCallID
	}
	if m.Redacted {
		t.Content = json.RawMessage("null")
	}
	if len(m.Metadata) == 0 || !isObject(m.Metadata) {
		t.Metadata = m.Metadata
		return t, nil
	}
	var meta map[string]json.RawMessage
	if err := json.Unmarshal(m.Metadata, &meta); err != nil {
		return t, fmt.Errorf("message %s: metadata: %w", m.ID, err)
	}
	set, ok := meta[contextSet]
	if !ok {
		t.Metadata = m.Metadata
		return t, nil
	}
	t.ContextSet = set
	if delete(meta, contextSet); len(meta) == 0 {
		return t, nil
	}
	var err error
	t.Metadata, err = encodeJSON(meta)
	return t, err
}
