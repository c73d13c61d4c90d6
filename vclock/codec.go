package vclock

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// The binary form: a count, then per origin the number of leading bytes shared
// with the origin before it, the number of bytes that follow, these bytes, and
// the counter; all numbers are unsigned varints in their shortest form.
// Origins ascend strictly. One vector has exactly one encoding.

// AppendBinary appends the binary form of v to b and returns the longer slice.
func (v Vector) AppendBinary(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v.entries)))
	prev := ""
	for _, d := range v.entries {
		o := string(d.Origin)
		n := sharedPrefix(prev, o)
		b = binary.AppendUvarint(b, uint64(n))
		b = binary.AppendUvarint(b, uint64(len(o)-n))
		b = append(b, o[n:]...)
		b = binary.AppendUvarint(b, uint64(d.Seq))
		prev = o
	}
	return b
}

// Decode reads one binary vector from the front of b and returns the rest. It
// returns ErrMalformed for bytes that AppendBinary cannot have written and
// ErrTooWide for more than MaxWidth origins; it allocates at most in
// proportion to len(b). The vector shares no memory with b.
func Decode(b []byte) (Vector, []byte, error) {
	count, b, err := uvarint(b)
	if err != nil {
		return Vector{}, nil, err
	}
	if count > MaxWidth {
		return Vector{}, nil, fmt.Errorf("%d origins, at most %d: %w", count, MaxWidth, ErrTooWide)
	}
	if count == 0 {
		return Vector{}, b, nil
	}
	entries := make([]Dot, 0, min(int(count), len(b)/3+1))
	var few [512]byte // all origins, one behind the other: they become one string
	names, prev := few[:0], 0
	var fewLengths [32]uint16
	lengths := fewLengths[:0]
	for i := range count {
		var shared, tail, seq uint64
		if shared, b, err = uvarint(b); err != nil {
			return Vector{}, nil, err
		}
		if tail, b, err = uvarint(b); err != nil {
			return Vector{}, nil, err
		}
		before := names[prev:]
		if shared > uint64(len(before)) || tail == 0 || tail > uint64(len(b)) || shared+tail > MaxOriginBytes {
			return Vector{}, nil, fmt.Errorf("vector entry %d: %w", i, ErrMalformed)
		}
		if shared < uint64(len(before)) && b[0] <= before[shared] { // equal: it shares more than it says
			return Vector{}, nil, fmt.Errorf("vector entry %d out of order: %w", i, ErrMalformed)
		}
		prev = len(names)
		names = append(append(names, before[:shared]...), b[:tail]...)
		if seq, b, err = uvarint(b[tail:]); err != nil {
			return Vector{}, nil, err
		}
		if seq == 0 {
			return Vector{}, nil, fmt.Errorf("vector entry %d is zero: %w", i, ErrMalformed)
		}
		entries = append(entries, Dot{Seq: Seq(seq)})
		lengths = append(lengths, uint16(shared+tail))
	}
	all := string(names)
	for i, n := range lengths {
		entries[i].Origin, all = Origin(all[:n]), all[n:]
	}
	return Vector{entries}, b, nil
}

// String gives the version token of v: its binary form as unpadded base64url.
// Equal vectors give equal tokens on every node. The empty vector gives "AA".
func (v Vector) String() string {
	return base64.RawURLEncoding.EncodeToString(v.AppendBinary(nil))
}

// Parse reads a version token. The empty string is the empty vector. It
// returns an error that wraps ErrMalformed or ErrTooWide for anything else
// that [Vector.String] cannot have written.
func Parse(token string) (Vector, error) {
	if token == "" {
		return Vector{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") { // which base64 skips
		return Vector{}, fmt.Errorf("version token: %w", ErrMalformed)
	}
	v, rest, err := Decode(b)
	if err != nil {
		return Vector{}, fmt.Errorf("version token: %w", err)
	}
	if len(rest) > 0 {
		return Vector{}, fmt.Errorf("version token has %d bytes too many: %w", len(rest), ErrMalformed)
	}
	return v, nil
}

func uvarint(b []byte) (uint64, []byte, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || (size > 1 && b[size-1] == 0) {
		return 0, nil, fmt.Errorf("varint: %w", ErrMalformed)
	}
	return n, b[size:], nil
}

func sharedPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
