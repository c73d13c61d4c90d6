package observe

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
)

// Session gives what a read of a session showed: its document and all its
// messages, in order, at one moment.
func Session(doc *session.Document, messages []session.Message) (*check.Seen, error) {
	s := &check.Seen{State: doc.State, Version: doc.Version, Counters: map[string]int64{}, Sets: map[string][]string{}}
	for i := range messages {
		m := &messages[i]
		s.Messages = append(s.Messages, check.Message{ID: m.ID, Value: Text(m.Content), Parent: m.Parent,
			Origin: m.Origin, At: m.At.UnixMilli(), Redacted: m.Redacted})
	}
	var values map[string]any
	if err := json.Unmarshal(doc.Context, &values); err != nil {
		return nil, fmt.Errorf("context of session %s: %w", doc.ID, err)
	}
	leaves := map[string]*check.Leaf{}
	addValues(s, leaves, "", values)
	addConflicts(s, leaves, doc.Conflicts)
	for _, path := range slices.Sorted(maps.Keys(leaves)) {
		s.Leaves = append(s.Leaves, *leaves[path])
	}
	return s, nil
}

// Gone names why a read showed nothing: "unknown", "erased" or "expired"; empty
// for every other error.
func Gone(err error) string {
	switch {
	case errors.Is(err, session.ErrNoSession):
		return "unknown"
	case errors.Is(err, session.ErrSessionErased):
		return "erased"
	case errors.Is(err, session.ErrSessionExpired):
		return "expired"
	default:
		return ""
	}
}

// Text reads a JSON string; other JSON stands for itself.
func Text(raw json.RawMessage) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return string(raw)
	}
	return s
}

// addValues walks through a context: strings are leaves, numbers counters,
// arrays sets.
func addValues(s *check.Seen, leaves map[string]*check.Leaf, path string, object map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		at := path + "/" + key
		switch v := object[key].(type) {
		case string:
			leaves[at] = &check.Leaf{Path: at, Shown: v}
		case float64:
			s.Counters[at] = int64(v)
		case []any:
			for _, e := range v {
				s.Sets[at] = append(s.Sets[at], fmt.Sprint(e))
			}
			slices.Sort(s.Sets[at])
		case map[string]any:
			addValues(s, leaves, at, v)
		}
	}
}

func addConflicts(s *check.Seen, leaves map[string]*check.Leaf, conflicts []session.Conflict) {
	for _, c := range conflicts {
		s.Conflicts = append(s.Conflicts, c.Kind+" "+c.Path)
		switch c.Kind {
		case "context":
			leaf := leaves[c.Path]
			if leaf == nil {
				leaf = &check.Leaf{Path: c.Path}
				leaves[c.Path] = leaf
			}
			leaf.Deleted = c.Shown.Deleted
			if !c.Shown.Deleted {
				leaf.Shown = Text(c.Shown.Value)
			}
			leaf.Others = append(leaf.Others, others(c.Others)...)
		case "message":
			for i := range s.Messages {
				if s.Messages[i].ID == c.Path {
					s.Messages[i].Others = append(s.Messages[i].Others, others(contents(c.Others))...)
				}
			}
		}
	}
	slices.Sort(s.Conflicts)
}

// contents gives of variants of a message only what they say: one that was put
// under an id that is taken is a whole message.
func contents(list []session.Variant) []session.Variant {
	list = slices.Clone(list)
	for i := range list {
		var put struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		}
		if err := json.Unmarshal(list[i].Value, &put); err == nil && put.Role != "" {
			list[i].Value = put.Content
		}
	}
	return list
}

func others(list []session.Variant) []string {
	var values []string
	for _, v := range list {
		if !v.Deleted {
			values = append(values, Text(v.Value))
		}
	}
	slices.Sort(values)
	return values
}
