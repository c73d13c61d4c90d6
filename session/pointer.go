package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Paths are JSON pointers (RFC 6901). The context is always an object; what is
// no object is a leaf, and so is an object without members.

var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

func pointerTo(parent, member string) string {
	return parent + "/" + pointerEscaper.Replace(member)
}

// members splits a path into the names of members.
func members(path string) []string {
	names := strings.Split(path, "/")[1:]
	for i := range names {
		names[i] = pointerUnescaper.Replace(names[i])
	}
	return names
}

// related reports whether one path is the other or leads to it.
func related(p, q string) bool {
	if len(p) > len(q) {
		p, q = q, p
	}
	return strings.HasPrefix(q, p) && (len(p) == len(q) || q[len(p)] == '/')
}

// parseObject decodes a JSON object; numbers stay as they were written.
func parseObject(b []byte) (map[string]any, error) {
	if err := checkJSON(b); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w: %w", ErrInvalid, err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("not a JSON object: %w", ErrInvalid)
	}
	return object, nil
}

// mergePatch gives target after patch, which it does not share members with
// as far as they are objects. Source: RFC 7396, section 2.
func mergePatch(target any, patch map[string]any) map[string]any {
	merged := map[string]any{}
	if object, ok := target.(map[string]any); ok {
		maps.Copy(merged, object)
	}
	for name, value := range patch {
		switch v := value.(type) {
		case nil:
			delete(merged, name)
		case map[string]any:
			merged[name] = mergePatch(merged[name], v)
		default:
			merged[name] = v
		}
	}
	return merged
}

// flatten gives the leaves below an object by path; null is a value.
func flatten(object map[string]any) (map[string][]byte, error) {
	flat := map[string][]byte{}
	return flat, flattenInto(flat, "", object)
}

func flattenInto(flat map[string][]byte, path string, object map[string]any) error {
	for name, value := range object {
		at := pointerTo(path, name)
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
			if err := flattenInto(flat, at, inner); err != nil {
				return err
			}
			continue
		}
		b, err := encodeJSON(value)
		if err != nil {
			return err
		}
		flat[at] = b
	}
	return nil
}

// objectLeaves gives the leaves of a whole context. Unlike in a patch, null is
// a value here.
func objectLeaves(object map[string]any) ([]Leaf, error) {
	flat, err := flatten(object)
	if err != nil {
		return nil, err
	}
	list := make([]Leaf, 0, len(flat))
	for _, path := range slices.Sorted(maps.Keys(flat)) {
		list = append(list, Leaf{Path: path, Value: flat[path]})
	}
	return list, checkLeaves(list)
}

// patchLeaves gives the leaves that turn the shown context into shown merged
// with patch: those that are new, other, or named by the patch, and deletions
// of those that vanish. Values that lost to concurrent ones and lie where the
// patch writes are deleted too: whoever writes decides the conflict.
func patchLeaves(shown, patch map[string]any, l *leaves) ([]Leaf, error) {
	before, err := flatten(shown)
	if err != nil {
		return nil, err
	}
	after, err := flatten(mergePatch(shown, patch))
	if err != nil {
		return nil, err
	}
	named, err := flatten(patch)
	if err != nil {
		return nil, err
	}
	write := map[string]Leaf{}
	for path, value := range after {
		old, there := before[path]
		if _, ok := named[path]; ok || !there || !bytes.Equal(old, value) {
			write[path] = Leaf{Path: path, Value: value}
		}
	}
	for path := range before {
		if _, stays := after[path]; !stays {
			write[path] = Leaf{Path: path, Deleted: true}
		}
	}
	for _, path := range l.hidden(named) {
		if _, stays := after[path]; !stays {
			write[path] = Leaf{Path: path, Deleted: true}
		}
	}
	list := make([]Leaf, 0, len(write))
	for _, path := range slices.Sorted(maps.Keys(write)) {
		list = append(list, write[path])
	}
	return list, checkLeaves(list)
}

// hidden lists the paths that hold something alive, shown or not, and are
// related to one of the named paths.
func (l *leaves) hidden(named map[string][]byte) []string {
	var paths []string
	consider := func(path string) {
		for at := path; at != ""; at = at[:strings.LastIndexByte(at, '/')] {
			if _, ok := named[at]; ok {
				paths = append(paths, path)
				return
			}
		}
		for name := range named {
			if related(name, path) {
				paths = append(paths, path)
				return
			}
		}
	}
	for path, reg := range l.registers {
		for _, v := range reg.Values {
			if !v.Deleted {
				consider(path)
				break
			}
		}
	}
	for path, c := range l.counters {
		if len(c.Additions) > 0 {
			consider(path)
		}
	}
	for path, s := range l.sets {
		if len(s.Elements) > 0 {
			consider(path)
		}
	}
	return paths
}

func checkLeaves(list []Leaf) error {
	if len(list) > MaxLeaves {
		return &LimitError{Err: ErrTooBig, What: "context leaves", Got: len(list), Max: MaxLeaves}
	}
	for i := range list {
		if n := len(list[i].Path); n > MaxPathBytes {
			return &LimitError{Err: ErrTooBig, What: "context path", Got: n, Max: MaxPathBytes}
		}
	}
	return nil
}
