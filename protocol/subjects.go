package protocol

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/causeway-sync/causeway/vclock"
)

// AllCores is the name that stands for every core node in a subject.
const AllCores = "all"

// Partition gives the op stream of a space, in [0, n): FNV-1a of its name
// modulo n. It is the same on every node and in every version. n must be at least 1.
func Partition(space string, n int) int {
	h := fnv.New64a()
	h.Write([]byte(space)) // a hash never returns an error
	return int(h.Sum64() % uint64(n))
}

// StreamName gives the JetStream name of a partition: "CW_OPS_0".
func StreamName(partition int) string { return "CW_OPS_" + strconv.Itoa(partition) }

// StreamSubjects gives the subjects that a partition's stream takes: "cw.op.0.>".
func StreamSubjects(partition int) string { return "cw.op." + strconv.Itoa(partition) + ".>" }

// OpSubject gives the subject of a feed, "cw.op.<partition>.<space>.<origin>",
// in a cluster of n partitions.
func OpSubject(f Feed, n int) string {
	return "cw.op." + strconv.Itoa(Partition(f.Space, n)) + "." + Token(f.Space) + "." + Token(string(f.Origin))
}

// ParseOpSubject reads what [OpSubject] wrote. It returns ErrMalformed for
// anything else, a wrong partition included.
func ParseOpSubject(subject string, n int) (Feed, error) {
	parts := strings.Split(subject, ".")
	if len(parts) != 5 || parts[0] != "cw" || parts[1] != "op" {
		return Feed{}, fmt.Errorf("subject %.80q: %w", subject, ErrMalformed)
	}
	space, err := ParseToken(parts[3])
	if err != nil {
		return Feed{}, fmt.Errorf("subject %.80q: %w", subject, err)
	}
	origin, err := ParseToken(parts[4])
	if err != nil {
		return Feed{}, fmt.Errorf("subject %.80q: %w", subject, err)
	}
	f := Feed{Space: space, Origin: vclock.Origin(origin)}
	if OpSubject(f, n) != subject {
		return Feed{}, fmt.Errorf("subject %.80q is not that of its space: %w", subject, ErrMalformed)
	}
	return f, nil
}

// ReceiptSubject is where a node hears receipts and wants.
func ReceiptSubject(node string) string { return "cw.rcpt." + Token(node) }

// DeliverSubject is where a node hears deliveries and answers.
func DeliverSubject(node string) string { return "cw.dlv." + Token(node) }

// AskSubjectOf is where a core node hears requests; [AllCores] reaches each.
func AskSubjectOf(core string) string { return "cw.ask." + Token(core) }

// OpAskSubject is where everybody who may hold an op hears an [OpAsk].
const OpAskSubject = "cw.have"

// ClockSubject is where a node asks the core nodes for the time, see [ClockAsk].
func ClockSubject(node string) string { return "cw.time." + Token(node) }

// ClockSubjects takes the questions of all nodes.
const ClockSubjects = "cw.time.*"

// CreditSubject is where a core node hears a node's credit and keepalive.
func CreditSubject(core, node string) string { return "cw.crd." + Token(core) + "." + Token(node) }

// CreditSubjects takes the credit of all nodes to a core node.
func CreditSubjects(core string) string { return "cw.crd." + Token(core) + ".*" }

// ParseCreditSubject gives the node that a credit came from. It returns
// ErrMalformed for anything that [CreditSubject] cannot have written.
func ParseCreditSubject(subject string) (core, node string, err error) {
	parts := strings.Split(subject, ".")
	if len(parts) != 4 || parts[0] != "cw" || parts[1] != "crd" {
		return "", "", fmt.Errorf("subject %.80q: %w", subject, ErrMalformed)
	}
	if core, err = ParseToken(parts[2]); err != nil {
		return "", "", err
	}
	node, err = ParseToken(parts[3])
	return core, node, err
}

// parseThree reads the three tokens behind a prefix.
func parseThree(subject, prefix string) (a, b, c string, err error) {
	rest, ok := strings.CutPrefix(subject, prefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return "", "", "", fmt.Errorf("subject %.80q: %w", subject, ErrMalformed)
	}
	var texts [3]string
	for i, part := range parts {
		if texts[i], err = ParseToken(part); err != nil {
			return "", "", "", fmt.Errorf("subject %.80q: %w", subject, err)
		}
	}
	return texts[0], texts[1], texts[2], nil
}

// Subject gives the subject of s when node sends it.
func (s Send) Subject(node string) string {
	switch s.Place {
	case ToCore:
		return AskSubjectOf(s.Name)
	case ToAllCores:
		return AskSubjectOf(AllCores)
	case ToCredit:
		return CreditSubject(s.Name, node)
	case ToNode:
		return DeliverSubject(s.Name)
	default:
		return ReceiptSubject(s.Name)
	}
}

// NodeOf gives the node name of an origin: what stands before the last '~', or
// all of it without one.
func NodeOf(o vclock.Origin) string {
	if i := strings.LastIndexByte(string(o), '~'); i >= 0 {
		return string(o[:i])
	}
	return string(o)
}

// MsgID is the Nats-Msg-Id of a frame on the op stream. The extent is part of
// it, because a retry may hold more ops than the first try; the nonce is,
// because a frame that is asked for again must not be swallowed as a duplicate.
func MsgID(f *Frame, nonce uint64) string {
	return fmt.Sprintf("%s/%s/%d-%d/%x/%x", Token(f.Space), Token(string(f.Origin)), f.From, f.To(), f.Last[:8], nonce)
}

const hexDigits = "0123456789ABCDEF"

// Token writes any text as one token of a subject: letters, digits, '_', '~',
// ':' and '-' stand for themselves, every other byte is '=' and two hex
// digits; the empty text is "=". Different texts give different tokens.
func Token(text string) string {
	if text == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; plainByte(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// ParseToken reads what [Token] wrote. It returns ErrMalformed for anything else.
func ParseToken(token string) (string, error) {
	if token == "=" {
		return "", nil
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c != '=' {
			if !plainByte(c) {
				return "", fmt.Errorf("token %.80q: %w", token, ErrMalformed)
			}
			b = append(b, c)
			continue
		}
		if i+2 >= len(token) {
			return "", fmt.Errorf("token %.80q: %w", token, ErrMalformed)
		}
		hi, lo := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
		if hi < 0 || lo < 0 || plainByte(byte(hi<<4|lo)) {
			return "", fmt.Errorf("token %.80q: %w", token, ErrMalformed)
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	if len(b) == 0 {
		return "", fmt.Errorf("empty token: %w", ErrMalformed)
	}
	return string(b), nil
}

func plainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '_' || c == '~' || c == ':' || c == '-'
}

// validName reports whether s may name a space, node, cluster or instance:
// [A-Za-z0-9][A-Za-z0-9._~:-]{0,127}.
func validName(s string) bool {
	if s == "" || len(s) > MaxNameBytes || !plainByte(s[0]) || strings.IndexByte("_~:-", s[0]) >= 0 {
		return false
	}
	for i := range len(s) {
		if !plainByte(s[i]) && s[i] != '.' {
			return false
		}
	}
	return true
}

func validOrigin(o vclock.Origin) bool {
	return len(o) <= vclock.MaxOriginBytes && validName(string(o))
}
