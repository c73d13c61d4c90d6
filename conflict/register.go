package conflict

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// Value is one write to a register. Data is nil when Deleted.
type Value struct {
	Dot     vclock.Dot
	Stamp   clocksync.Stamp
	Actor   string // who asked for the write; may be empty
	Data    []byte
	Deleted bool
}

// Register is a multi-value register: it keeps every value that no other write
// has seen, and shows one of them. The zero value was never written.
//
// Invariant: Values are sorted by [Beats], best first; no dot occurs twice.
type Register struct {
	Values []Value
}

// Write returns the register after the write v of an author that had seen
// deps: the values that deps covers are dropped. It changes nothing if v.Dot
// is there already.
func (r Register) Write(v Value, deps vclock.Vector) Register {
	if slices.ContainsFunc(r.Values, func(w Value) bool { return w.Dot == v.Dot }) {
		return r
	}
	next := append(uncovered(r.Values, deps, Value.dot), v)
	slices.SortFunc(next, byRank)
	return Register{next}
}

// Shown returns the value that is shown, and false if the register was never
// written. The value may be a deletion.
func (r Register) Shown() (Value, bool) {
	if len(r.Values) == 0 {
		return Value{}, false
	}
	return r.Values[0], true
}

// Others returns the values that conflict with the shown one, best rank first:
// concurrent to it and of other content. Of equal ones it gives the best.
func (r Register) Others() []Value {
	var others []Value
	for i, v := range r.Values {
		if !slices.ContainsFunc(r.Values[:i], v.sameContent) {
			others = append(others, v)
		}
	}
	if len(others) <= 1 {
		return nil
	}
	return others[1:]
}

// Join merges two replicas' states of one register; seen and otherSeen are
// what each side has applied.
func (r Register) Join(seen vclock.Vector, other Register, otherSeen vclock.Vector) Register {
	values := join(r.Values, seen, other.Values, otherSeen, Value.dot)
	slices.SortFunc(values, byRank)
	return Register{values}
}

// Beats reports whether a is shown rather than the concurrent b: the clock of
// higher trust class, then the later stamp, then the larger dot. It is a
// strict total order of values with different dots.
func Beats(a, b Value) bool { return byRank(a, b) < 0 }

// Reason says in words why winner beats loser.
func Reason(winner, loser Value) string {
	switch {
	case winner.Stamp.Trust != loser.Stamp.Trust && loser.Stamp.Trust == clocksync.Unsynced:
		return "concurrent; untrusted clock"
	case winner.Stamp.Trust != loser.Stamp.Trust:
		return "concurrent; less trusted clock"
	case winner.Stamp.Compare(loser.Stamp) != 0:
		return "concurrent; earlier stamp"
	default:
		return "concurrent; tie by origin"
	}
}

func byRank(a, b Value) int {
	return cmp.Or(cmp.Compare(b.Stamp.Trust, a.Stamp.Trust), b.Stamp.Compare(a.Stamp), b.Dot.Compare(a.Dot))
}

func (v Value) dot() vclock.Dot { return v.Dot }

func (v Value) sameContent(w Value) bool {
	return v.Deleted == w.Deleted && (v.Deleted || bytes.Equal(v.Data, w.Data))
}

// AppendBinary appends the binary form of r to b and returns the longer slice.
func (r Register) AppendBinary(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(r.Values)))
	var dots dotWriter
	for _, v := range r.Values {
		b = dots.append(b, v.Dot)
		b = appendStamp(b, v.Stamp)
		b = appendText(b, v.Actor)
		if v.Deleted {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		b = appendText(b, v.Data)
	}
	return b
}

// DecodeRegister reads one register from the front of b and returns the rest.
// The values share memory with b. It returns ErrMalformed for bytes that
// AppendBinary cannot have written.
func DecodeRegister(b []byte) (Register, []byte, error) {
	r := reader{b: b}
	n := r.count("values", MaxValues, 7)
	var reg Register
	for i := range n {
		v := Value{Dot: r.dot(), Stamp: r.stamp(), Actor: string(r.bytes("actor", MaxTextBytes))}
		switch r.uint("kind") {
		case 0:
			v.Deleted = true
		case 1:
			v.Data = r.bytes("data", MaxDataBytes)
		default:
			r.fail("kind")
		}
		if i > 0 && r.err == nil && !Beats(reg.Values[i-1], v) {
			r.fail("order of values")
		}
		if r.err != nil {
			return Register{}, nil, r.err
		}
		reg.Values = append(reg.Values, v)
	}
	if r.err != nil {
		return Register{}, nil, r.err
	}
	return reg, r.b, nil
}
