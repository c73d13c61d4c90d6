package intake

import (
	"fmt"
	"strings"
)

// Firmness is the level at which a write is acknowledged.
type Firmness uint8

// The levels.
const (
	Local Firmness = iota // fsynced at the node
	Core                  // stored by the core's quorum
)

// String names the level as the Causeway-Durability header does.
func (f Firmness) String() string {
	if f == Core {
		return "core"
	}
	return "local"
}

// Kinds of writes that are no messages stand where a role stands in a [Rule].
const (
	KindOpen    = "open"
	KindState   = "state"
	KindContext = "context"
	KindText    = "text"
	KindTool    = "tool"
	KindErase   = "erase"
)

// Rule says how firmly some writes are acknowledged, unless the request says it.
type Rule struct {
	Space string // name, or a beginning with * behind it, or *
	Role  string // of messages; or a kind; or *
	Level Firmness
}

// ParseRule reads "SPACE/ROLE=LEVEL", such as "bank-*/assistant=core".
func ParseRule(text string) (Rule, error) {
	what, level, ok := strings.Cut(text, "=")
	space, role, both := strings.Cut(what, "/")
	r := Rule{Space: strings.TrimSpace(space), Role: strings.TrimSpace(role)}
	switch strings.TrimSpace(level) {
	case "core":
		r.Level = Core
	case "local":
	default:
		ok = false
	}
	if !ok || !both || r.Space == "" || r.Role == "" || strings.Contains(strings.TrimSuffix(r.Space, "*"), "*") {
		return r, fmt.Errorf("%q is no SPACE/ROLE=LEVEL, such as bank-*/assistant=core", text)
	}
	return r, nil
}

func (r *Rule) matches(space, role string) bool {
	if head, any := strings.CutSuffix(r.Space, "*"); any {
		if !strings.HasPrefix(space, head) {
			return false
		}
	} else if r.Space != space {
		return false
	}
	return r.Role == "*" || r.Role == role
}

// Policy is a list of rules; for each role the first that matches counts.
type Policy []Rule

// Level is how firmly a write is to be acknowledged. asked is what the request
// says, nil if nothing; it counts before the rules. roles are those of its
// messages, or its kind: the firmest of them counts for all, since they are one
// commit.
func (p Policy) Level(asked *Firmness, space string, roles ...string) Firmness {
	if asked != nil {
		return *asked
	}
	level := Local
	for _, role := range roles {
		for i := range p {
			if p[i].matches(space, role) {
				level = max(level, p[i].Level)
				break
			}
		}
	}
	return level
}
