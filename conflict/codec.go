package conflict

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// Bounds of the decoders. They are wider than what an author may write,
// because concurrent authors each stay below their own limit.
const (
	MaxValues    = vclock.MaxWidth // concurrent values of a register, moves of a lifecycle
	MaxAdditions = 1 << 20         // live additions of a counter
	MaxElements  = 1 << 20         // elements of a set
	MaxDots      = vclock.MaxWidth // live inserts of one element
	MaxRuns      = 1 << 20         // runs of a timeline
	MaxDataBytes = 256 << 10       // a register's value, a set's element
	MaxTextBytes = 256             // an actor, a key
)

// ErrMalformed is returned by decoders for bytes that no encoder made.
var ErrMalformed = errors.New("conflict: malformed")

// The binary forms consist of unsigned varints in their shortest form and
// strings with their length before them. Each value has exactly one encoding:
// decoders refuse all others. Dots in a list are written one after the other
// by a dotWriter.

func appendText[S ~string | ~[]byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// dotWriter writes dots compactly: how many bytes of the origin before are
// taken over, the bytes that follow, and the counter.
type dotWriter struct{ prev vclock.Origin }

func (w *dotWriter) append(b []byte, d vclock.Dot) []byte {
	n := sharedPrefix(w.prev, d.Origin)
	b = binary.AppendUvarint(b, uint64(n))
	b = appendText(b, d.Origin[n:])
	w.prev = d.Origin
	return binary.AppendUvarint(b, uint64(d.Seq))
}

func sharedPrefix(a, b vclock.Origin) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// reader takes values from the front of b. After the first error it gives
// zero values; whoever uses it looks at err before trusting anything.
type reader struct {
	b    []byte
	prev vclock.Origin
	err  error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", what, ErrMalformed)
	}
	r.b = nil
}

func (r *reader) uint(what string) uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || (size > 1 && r.b[size-1] == 0) {
		r.fail(what)
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) int(what string) int64 {
	n := r.uint(what)
	return int64(n>>1) ^ -int64(n&1)
}

// count reads a number of items of at least itemBytes bytes each.
func (r *reader) count(what string, limit, itemBytes int) int {
	n := r.uint(what)
	if n > uint64(limit) || n > uint64(len(r.b)/itemBytes) {
		r.fail(what)
		return 0
	}
	return int(n)
}

// bytes reads a length and that many bytes; the result shares memory with b
// and cannot be appended to in place. Empty is nil.
func (r *reader) bytes(what string, limit int) []byte {
	n := r.count(what, limit, 1)
	if n == 0 {
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) dot() vclock.Dot {
	const what = "dot"
	shared := r.uint(what)
	tail := r.bytes(what, vclock.MaxOriginBytes)
	seq := r.uint(what)
	if shared > uint64(len(r.prev)) || seq == 0 {
		r.fail(what)
		return vclock.Dot{}
	}
	o := r.prev
	if int(shared) < len(r.prev) || len(tail) > 0 {
		o = r.prev[:shared] + vclock.Origin(tail)
	}
	if o == "" || len(o) > vclock.MaxOriginBytes || sharedPrefix(r.prev, o) != int(shared) {
		r.fail(what)
		return vclock.Dot{}
	}
	r.prev = o
	return vclock.Dot{Origin: o, Seq: vclock.Seq(seq)}
}

func appendStamp(b []byte, s clocksync.Stamp) []byte {
	b = binary.AppendUvarint(b, s.Wall)
	return binary.AppendUvarint(b, uint64(s.Logical)<<2|uint64(s.Trust&3))
}

func (r *reader) stamp() clocksync.Stamp {
	wall, rest := r.uint("stamp"), r.uint("stamp")
	trust := clocksync.Trust(rest & 3)
	if wall > clocksync.MaxWall || rest>>2 > math.MaxUint16 || trust > clocksync.Synced {
		r.fail("stamp")
		return clocksync.Stamp{}
	}
	return clocksync.Stamp{Wall: wall, Logical: uint16(rest >> 2), Trust: trust}
}
