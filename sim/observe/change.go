package observe

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// Change gives an op as a list of changes shows it. The logical part of its
// stamp is not shown there, so it stays zero.
func Change(c *session.Change) (check.Op, error) {
	dot, err := vclock.ParseDot(c.Dot)
	if err != nil {
		return check.Op{}, fmt.Errorf("change of session %s: %w", c.Session, err)
	}
	o := check.Op{Origin: string(dot.Origin), Seq: uint64(dot.Seq), Session: c.Session, Key: c.Key,
		Wall: uint64(max(c.At.UnixMilli(), 0)), Kind: c.Type}
	switch c.Type {
	case "message", "edit":
		if c.Message != nil && !c.Message.Redacted {
			o.Values = []string{Text(c.Message.Content)}
		}
	case "context":
		o.Values, err = patched(c.Context)
	case "text":
		if c.Text != nil {
			o.Values = typed(c.Text.Edits)
		}
	case "adjust":
		o.Values, err = adjusted(c.Context)
	}
	if err != nil {
		return check.Op{}, fmt.Errorf("change %s of session %s: %w", c.Dot, c.Session, err)
	}
	return o, nil
}

// typed gives what edits of a text insert.
func typed(edits []text.Edit) []string {
	var list []string
	for _, e := range edits {
		if e.Ins != "" {
			list = append(list, e.Ins)
		}
	}
	return list
}

// patched gives the strings that a merge patch sets, ascending by path.
func patched(patch json.RawMessage) ([]string, error) {
	var object map[string]any
	if err := json.Unmarshal(patch, &object); err != nil {
		return nil, fmt.Errorf("merge patch: %w", err)
	}
	return stringsIn(object), nil
}

func stringsIn(object map[string]any) []string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch v := object[key].(type) {
		case string:
			list = append(list, v)
		case map[string]any:
			list = append(list, stringsIn(v)...)
		}
	}
	return list
}

// adjusted gives the elements that context ops put into sets or take out.
func adjusted(ops json.RawMessage) ([]string, error) {
	var list []struct {
		Op    string          `json:"op"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(ops, &list); err != nil {
		return nil, fmt.Errorf("context ops: %w", err)
	}
	var values []string
	for _, o := range list {
		if o.Op == "insert" || o.Op == "remove" {
			values = append(values, Text(o.Value))
		}
	}
	return values, nil
}
