package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// ValidName reports whether s can name a space, a session or a message:
// [A-Za-z0-9][A-Za-z0-9._~:-]{0,127}.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxNameBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '~' || c == ':' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// ReservedID reports whether s looks like a message id that nodes make
// themselves: the id of a keyed message, or the dot of an op.
func ReservedID(s string) bool {
	if strings.HasPrefix(s, keyedPrefix) {
		return true
	}
	dot, err := vclock.ParseDot(s)
	return err == nil && strings.Contains(string(dot.Origin), "~")
}

// validate checks what decoder and encoder both insist on, beyond what the
// form of the bytes gives.
func (op *Op) validate() error {
	switch {
	case !ValidName(string(op.Dot.Origin)) || len(op.Dot.Origin) > vclock.MaxOriginBytes:
		return fmt.Errorf("origin %.40q", op.Dot.Origin)
	case op.Dot.Seq == 0:
		return errors.New("op number zero")
	case !ValidName(op.Space):
		return fmt.Errorf("space %.40q", op.Space)
	case !ValidName(op.Session):
		return fmt.Errorf("session %.40q", op.Session)
	case op.Deps.Covers(op.Dot):
		return fmt.Errorf("op %v depends on itself", op.Dot)
	case op.Stamp.Wall > clocksync.MaxWall || op.Stamp.Trust > clocksync.Synced:
		return fmt.Errorf("stamp %v", op.Stamp)
	case !validText(op.Actor, MaxActorBytes):
		return errors.New("actor is too long or not UTF-8")
	case !validText(op.Key, MaxKeyBytes):
		return errors.New("key is too long or not UTF-8")
	case op.Key == "" && (op.KeyIndex != 0 || op.Request != Digest{}):
		return errors.New("key index or request without a key")
	}
	return validBody(op.Body)
}

func validText(s string, most int) bool { return len(s) <= most && utf8.ValidString(s) }

func validBody(body Body) error {
	switch x := body.(type) {
	case Open:
		return x.validate()
	case Transition:
		if x.To > Ended {
			return fmt.Errorf("state %d", x.To)
		}
	case Put:
		return x.validate()
	case Edit:
		if !ValidName(x.Message) || len(x.Content) == 0 || len(x.Content)+len(x.Metadata) > MaxMessageBytes {
			return errors.New("edit without message or content, or too big")
		}
	case Redact:
		if !ValidName(x.Message) {
			return errors.New("redaction without message")
		}
	case Set:
		return validLeaves(x.Leaves)
	case Adjust:
		return x.validate()
	case TextEdit:
		return x.validate()
	case Claim:
		return x.validate()
	case Complete:
		return x.validate()
	case Expire, Erase, Erased:
	case Unknown:
		if x.Kind <= fieldLast || x.Kind > fieldBodyMax {
			return fmt.Errorf("unknown body of known kind %d", x.Kind)
		}
	default:
		return errors.New("op without body")
	}
	return nil
}

func (x *Open) validate() error {
	switch {
	case x.Order > Chat:
		return fmt.Errorf("order %d", x.Order)
	case x.TTL < 0 || x.TTL%time.Millisecond != 0:
		return fmt.Errorf("idle time %v is not whole milliseconds", x.TTL)
	case len(x.Labels) > MaxLabels:
		return fmt.Errorf("%d labels", len(x.Labels))
	}
	for k, v := range x.Labels {
		if k == "" || len(k)+len(v) > MaxLabelBytes || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return errors.New("a label is empty, too long or not UTF-8")
		}
	}
	return validLeaves(x.Context)
}

func (x *Put) validate() error {
	switch {
	case x.ID != "" && (!ValidName(x.ID) || ReservedID(x.ID)):
		return fmt.Errorf("message id %.40q", x.ID)
	case x.Parent != "" && !ValidName(x.Parent):
		return fmt.Errorf("parent id %.40q", x.Parent)
	case x.Role == "" || !validText(x.Role, MaxRoleBytes):
		return errors.New("role is empty, too long or not UTF-8")
	case !utf8.ValidString(x.Name) || !utf8.ValidString(x.ToolCallID):
		return errors.New("name or tool call id is not UTF-8")
	case x.CallOf != "" && !ValidName(x.CallOf) || x.CallOf == "" && x.CallIndex != 0 || x.CallIndex >= MaxCalls:
		return fmt.Errorf("call %d of message %.40q", x.CallIndex, x.CallOf)
	case x.bytes() > MaxMessageBytes:
		return fmt.Errorf("message of %d bytes", x.bytes())
	}
	return nil
}

func (x *Put) bytes() int {
	return len(x.ID) + len(x.Parent) + len(x.Role) + len(x.Name) + len(x.ToolCallID) +
		len(x.Content) + len(x.ToolCalls) + len(x.Metadata)
}

func validLeaves(leaves []Leaf) error {
	if len(leaves) > MaxLeaves {
		return fmt.Errorf("%d leaves", len(leaves))
	}
	seen := make(map[string]struct{}, len(leaves))
	for i := range leaves {
		l := &leaves[i]
		if !validPath(l.Path) {
			return fmt.Errorf("leaf path %.40q", l.Path)
		}
		if _, twice := seen[l.Path]; twice {
			return fmt.Errorf("leaf %.40q twice", l.Path)
		}
		seen[l.Path] = struct{}{}
		if l.Deleted != (len(l.Value) == 0) || !l.Deleted && !validLeaf(l.Value) {
			return fmt.Errorf("value of leaf %.40q", l.Path)
		}
	}
	return nil
}

func (x *Adjust) validate() error {
	if len(x.Changes) > MaxLeaves {
		return fmt.Errorf("%d adjustments", len(x.Changes))
	}
	for i := range x.Changes {
		c := &x.Changes[i]
		switch {
		case !validPath(c.Path):
			return fmt.Errorf("path %.40q", c.Path)
		case c.Kind == CounterAdd && len(c.Value) == 0:
		case (c.Kind == SetInsert || c.Kind == SetRemove) && c.By == 0 && validValue(c.Value):
		default:
			return fmt.Errorf("adjustment of kind %d at %.40q", c.Kind, c.Path)
		}
	}
	return nil
}

// validPath reports whether p is a JSON pointer (RFC 6901) of a member.
func validPath(p string) bool {
	if p == "" || p[0] != '/' || !validText(p, MaxPathBytes) || strings.Count(p, "/") > MaxJSONDepth {
		return false
	}
	for i := strings.IndexByte(p, '~'); i >= 0; {
		if i+1 >= len(p) || p[i+1] != '0' && p[i+1] != '1' {
			return false
		}
		n := strings.IndexByte(p[i+1:], '~')
		if n < 0 {
			break
		}
		i += 1 + n
	}
	return true
}

// validLeaf reports whether b can be the value of a leaf: an object with
// members is no leaf.
func validLeaf(b []byte) bool { return validValue(b) && (b[0] != '{' || string(b) == "{}") }

// validValue reports whether b is JSON that we store: well formed, UTF-8, not
// too deep.
func validValue(b []byte) bool { return checkJSON(b) == nil }

// checkJSON returns ErrInvalid for bytes that are not one JSON value in UTF-8,
// and a LimitError for one nested deeper than MaxJSONDepth.
func checkJSON(b []byte) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("text is not UTF-8: %w", ErrInvalid)
	}
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	if deepest > MaxJSONDepth {
		return &LimitError{Err: ErrInvalid, What: "JSON depth", Got: deepest, Max: MaxJSONDepth}
	}
	if !json.Valid(b) {
		return fmt.Errorf("not JSON: %w", ErrInvalid)
	}
	return nil
}

// canonical rewrites JSON with sorted member names, without spaces, numbers as
// they were written. Of a member that occurs twice the last counts. It relies
// on checkJSON.
func canonical(b []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w: %w", ErrInvalid, err)
	}
	return encodeJSON(v)
}

// encodeJSON writes a decoded value in canonical form.
func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write JSON: %w: %w", ErrInvalid, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// wholeMillis rounds an idle time up to what an op can say.
func wholeMillis(d time.Duration) (time.Duration, error) {
	if d < 0 || d > math.MaxInt64-time.Millisecond {
		return 0, fmt.Errorf("idle time %v: %w", d, ErrInvalid)
	}
	return (d + time.Millisecond - 1).Truncate(time.Millisecond), nil
}

// decodeValue decodes JSON that checkJSON has accepted.
func decodeValue(b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(fmt.Sprintf("session: want JSON that was checked, have %v", err))
	}
	if v == nil {
		return jsonNull{}
	}
	return v
}

// jsonNull is null where it is a value: nil stands for nothing there.
type jsonNull struct{}

// MarshalJSON gives null.
func (jsonNull) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// mustEncode writes what decodeValue gave and objects of such.
func mustEncode(v any) []byte {
	b, err := encodeJSON(v)
	if err != nil {
		panic(fmt.Sprintf("session: want a decoded JSON value, have %v", err))
	}
	return b
}
