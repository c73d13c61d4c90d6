package vclock

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Origin is a writer incarnation: a node name and an epoch, as "node~epoch".
// The zero value names nobody.
type Origin string

// Seq counts the ops of one origin: 1, 2, 3 … without a gap. Zero means none.
type Seq uint64

// Dot names one op of one origin. The zero Dot names nothing.
type Dot struct {
	Origin Origin
	Seq    Seq
}

// Errors of this package.
var (
	// ErrMalformed is returned by decoders for bytes or text that no encoder made.
	ErrMalformed = errors.New("vclock: malformed")
	// ErrTooWide is returned when a vector would name more than MaxWidth origins.
	ErrTooWide = errors.New("vclock: vector too wide")
)

// MaxOriginBytes bounds the length of an origin's text.
const MaxOriginBytes = 96

// IsZero reports whether d names nothing.
func (d Dot) IsZero() bool { return d.Origin == "" && d.Seq == 0 }

// namesNothing reports whether d lacks an origin or a counter.
func (d Dot) namesNothing() bool { return d.Origin == "" || d.Seq == 0 }

// Compare orders dots by origin, then counter. It is a total order that has
// nothing to do with causality; use it to make output deterministic.
func (d Dot) Compare(e Dot) int {
	if c := cmp.Compare(d.Origin, e.Origin); c != 0 {
		return c
	}
	return cmp.Compare(d.Seq, e.Seq)
}

// String gives "origin.seq", which [ParseDot] reads back.
func (d Dot) String() string {
	return string(d.Origin) + "." + strconv.FormatUint(uint64(d.Seq), 10)
}

// ParseDot reads what [Dot.String] wrote. It returns ErrMalformed for anything else.
func ParseDot(s string) (Dot, error) {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 || i > MaxOriginBytes {
		return Dot{}, fmt.Errorf("dot %.40q: %w", s, ErrMalformed)
	}
	digits := s[i+1:]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n == 0 || digits[0] == '0' {
		return Dot{}, fmt.Errorf("dot %.40q: %w", s, ErrMalformed)
	}
	return Dot{Origin: Origin(s[:i]), Seq: Seq(n)}, nil
}
