package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/session"
)

// wrapperDepth is how deep a client's value may lie within what it sends:
// {"type":"append","body":{"messages":[{"content":…}]}} over a WebSocket.
const wrapperDepth = 4

// maxBodyDepth bounds the nesting of a whole body.
const maxBodyDepth = session.MaxJSONDepth + wrapperDepth

// shape is what a scan learns about a body that is one JSON value.
type shape struct {
	depth  int  // deepest nesting; a scalar has 0
	padded bool // there is whitespace outside strings
}

// checkJSON refuses bytes that are not one JSON value in UTF-8, and values
// nested deeper than any body may be. It takes one pass and no memory, and
// does not recurse. FuzzScan compares it with encoding/json.
func checkJSON(b []byte) (shape, error) {
	if !utf8.Valid(b) {
		return shape{}, problem("invalid_utf8", "the body is not UTF-8")
	}
	s := scan{b: b}
	if !s.run() {
		if s.depth > maxBodyDepth {
			return s.shape, problem("too_deep", "the body is nested more than %d deep", maxBodyDepth).
				limit(session.MaxJSONDepth)
		}
		return s.shape, problem("malformed_json", "%s", syntaxDetail(b, s.i))
	}
	return s.shape, nil
}

func syntaxDetail(b []byte, at int) string {
	if len(bytes.TrimSpace(b)) == 0 {
		return "the body is empty"
	}
	if at >= len(b) {
		return "the body ends too early"
	}
	return fmt.Sprintf("unexpected character at byte %d", at)
}

// scan checks the syntax of JSON (RFC 8259). i is where it stands, and where
// it stopped if it finds a fault.
type scan struct {
	shape
	b []byte
	i int
}

func (s *scan) run() bool {
	var stack [maxBodyDepth]byte // the open brackets
	open := 0
	for {
		s.space()
		if s.i == len(s.b) {
			return false
		}
		switch c := s.b[s.i]; c {
		case '{', '[':
			if s.depth = max(s.depth, open+1); open == maxBodyDepth {
				return false
			}
			stack[open] = c
			open++
			s.i++
			if s.space(); !s.take(c + 2) { // the closing bracket in ASCII
				if c == '{' && !s.name() {
					return false
				}
				continue
			}
			open--
		default:
			if !s.scalar(c) {
				return false
			}
		}
		for { // a value has ended
			s.space()
			if open == 0 {
				return s.i == len(s.b)
			}
			in := stack[open-1]
			if s.take(',') {
				if s.space(); in == '{' && !s.name() {
					return false
				}
				break
			}
			if !s.take(in + 2) {
				return false
			}
			open--
		}
	}
}

func (s *scan) space() {
	from := s.i
	s.i = skipSpace(s.b, s.i)
	s.padded = s.padded || s.i > from
}

func (s *scan) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// name reads a member's name and colon.
func (s *scan) name() bool {
	if s.i == len(s.b) || s.b[s.i] != '"' || !s.str() {
		return false
	}
	s.space()
	return s.take(':')
}

func (s *scan) scalar(c byte) bool {
	switch c {
	case '"':
		return s.str()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scan) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.i:], []byte(w)) {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scan) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

func (s *scan) digits() bool {
	from := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > from
}

// str reads a string: no control characters, no unknown escapes.
func (s *scan) str() bool {
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < ' ':
			return false
		case c == '\\' && !s.escape():
			return false
		}
	}
	return false
}

// escape reads what follows a backslash and stops at its last character.
func (s *scan) escape() bool {
	s.i++
	if s.i == len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
	default:
		return false
	}
	for range 4 {
		s.i++
		if s.i == len(s.b) || !isHex(s.b[s.i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// The functions below walk bytes that [checkJSON] has passed.

func hasPadding(b []byte) bool {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case ' ', '\n', '\t', '\r':
			return true
		}
	}
	return false
}

// depth counts the deepest nesting of a value.
func depth(b []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		}
	}
	return deepest
}

// stringEnd gives the index behind the string that begins at b[i].
func stringEnd(b []byte, i int) int {
	i++
	for i < len(b) {
		quote := bytes.IndexByte(b[i:], '"')
		if quote < 0 {
			return len(b)
		}
		slash := bytes.IndexByte(b[i:i+quote], '\\')
		if slash < 0 {
			return i + quote + 1
		}
		i += slash + 2
	}
	return len(b)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// valueEnd gives the index behind the value that begins at b[i].
func valueEnd(b []byte, i int) int {
	open := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			if open == 0 {
				return i
			}
			continue
		case '{', '[':
			open++
		case '}', ']':
			if open == 0 {
				return i // a scalar that ends with its container
			}
			if open--; open == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if open == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}

// reader walks one body. wide says that some value may be too deep, padded
// that there is whitespace to take out of values.
type reader struct{ wide, padded bool }

// newReader checks b and gives a reader for it.
func newReader(b []byte) (reader, error) {
	s, err := checkJSON(b)
	return reader{wide: s.depth > session.MaxJSONDepth, padded: s.padded}, err
}

// members calls visit with each member of the object b, in order. A body that
// is no object, a repeated name, and an error of visit end the walk.
func (rd reader) members(b []byte, path string, visit func(name string, value []byte) error) error {
	i := skipSpace(b, 0)
	if b[i] != '{' {
		return wrongType(path, "an object")
	}
	var seen [16]string // no body of ours has as many members
	count := 0
	for i = skipSpace(b, i+1); b[i] != '}'; i = skipSpace(b, i) {
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
		end := stringEnd(b, i)
		name, err := unquote(b[i:end])
		if err != nil {
			return err
		}
		i = skipSpace(b, skipSpace(b, end)+1) // over the colon
		end = valueEnd(b, i)
		if slices.Contains(seen[:min(count, len(seen))], name) {
			return problem("invalid_body", "%s stands twice", join(path, name)).at(join(path, name))
		}
		if count < len(seen) {
			seen[count] = name
		}
		count++
		if err := visit(name, b[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// elements calls visit with each element of the array b.
func (rd reader) elements(b []byte, path string, visit func(i int, value []byte) error) error {
	i := skipSpace(b, 0)
	if b[i] != '[' {
		return wrongType(path, "an array")
	}
	count := 0
	for i = skipSpace(b, i+1); b[i] != ']'; i = skipSpace(b, i) {
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
		end := valueEnd(b, i)
		if err := visit(count, b[i:end]); err != nil {
			return err
		}
		count++
		i = end
	}
	return nil
}

// value gives the client's bytes less whitespace outside strings. It refuses
// what is nested deeper than a value may be.
func (rd reader) value(b []byte, path string) ([]byte, error) {
	if rd.wide && depth(b) > session.MaxJSONDepth {
		return nil, problem("too_deep", "%s is nested %d deep", path, depth(b)).at(path).limit(session.MaxJSONDepth)
	}
	if !rd.padded || !hasPadding(b) {
		return b, nil
	}
	var c bytes.Buffer
	c.Grow(len(b))
	if err := json.Compact(&c, b); err != nil {
		return nil, fmt.Errorf("compact %s: %w", path, err)
	}
	return c.Bytes(), nil
}

// str reads a string that names or describes something: no NUL in it.
func (rd reader) str(b []byte, path string) (string, error) {
	if b[0] != '"' {
		return "", wrongType(path, "a string")
	}
	s, err := unquote(b)
	if err != nil {
		return "", err
	}
	return s, checkText(s, path)
}

// unquote decodes a JSON string.
func unquote(quoted []byte) (string, error) {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return "", problem("malformed_json", "%s", err.Error())
	}
	return s, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func wrongType(path, want string) error {
	if path == "" {
		return problem("invalid_body", "the body must be %s", want)
	}
	return problem("invalid_body", "%s must be %s", path, want).at(path)
}

func unknownField(path string) error {
	return problem("unknown_field", "%s is not a member of this body", path).at(path)
}
