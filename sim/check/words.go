package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// describe names a write for people.
func (s *session) describe(w int32) string {
	r := s.writes[w].req
	value := ""
	if values := s.writes[w].values; len(values) > 0 {
		value = values[0].Value
	}
	call := r.calls[0]
	switch r.do {
	case Open:
		return fmt.Sprintf("the opening (call %d)", call)
	case Append:
		return fmt.Sprintf("message %q (call %d)", value, call)
	case Edit:
		return fmt.Sprintf("edit %q of message %s (call %d)", value, r.target, call)
	case Redact:
		return fmt.Sprintf("the redaction of message %s (call %d)", r.target, call)
	case Patch:
		path := ""
		if values := s.writes[w].values; len(values) > 0 {
			path = values[0].ID
		}
		return fmt.Sprintf("%q at leaf %s (call %d)", value, path, call)
	case Add:
		return fmt.Sprintf("the addition of %d to %s (call %d)", r.by, r.target, call)
	case Insert:
		return fmt.Sprintf("element %q of %s (call %d)", value, r.target, call)
	case Remove:
		return fmt.Sprintf("the removal of %q from %s (call %d)", value, r.target, call)
	case Text:
		return fmt.Sprintf("%q in text %s (call %d)", value, r.target, call)
	default:
		return fmt.Sprintf("the %s (call %d)", r.do, call)
	}
}

// lacks says that something does not show a write as it should.
func (s *session) lacks(w int32, value string) string {
	r := s.writes[w].req
	switch r.do {
	case Redact:
		return fmt.Sprintf("still shows message %s in spite of its redaction (call %d)", r.target, r.calls[0])
	case Remove:
		return fmt.Sprintf("still has %q in %s in spite of its removal (call %d)",
			s.writes[w].values[0].Value, r.target, r.calls[0])
	}
	if values := s.writes[w].values; len(values) > 1 && value != "" {
		return fmt.Sprintf("lacks %q, which call %d wrote among others", value, r.calls[0])
	}
	return "lacks " + s.describe(w)
}

// at gives a violation in a view.
func (s *session) at(v *view, calls ...int32) Violation {
	out := Violation{Node: v.node, Session: s.name, At: v.end}
	if v.isFinal() {
		out.At = s.ix.last
	} else {
		out.Calls = append(out.Calls, v.call)
	}
	for _, c := range calls {
		out.Calls = append(out.Calls, int(c))
	}
	return out
}

// where names a view for people: the node and what it was.
func (v *view) where() string {
	if v.isFinal() {
		return v.node + " in the end"
	}
	return fmt.Sprintf("%s (call %d)", v.node, v.call)
}

// sortedKeys gives the keys of m in their order, so that that of the map never
// shows.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
