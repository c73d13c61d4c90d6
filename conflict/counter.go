package conflict

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/causeway-sync/causeway/vclock"
)

// ErrOverflow says that the total of a counter leaves the range of int64.
var ErrOverflow = errors.New("conflict: counter overflow")

// Addition is one addition to a counter. Key is the idempotency key under
// which it was asked for, or empty.
type Addition struct {
	Dot vclock.Dot
	Key string
	By  int64
}

// Counter is a bag of additions. Of several additions under one key, only the
// one with the smallest dot counts: the same retry at two edges adds once.
//
// Invariant: Additions are sorted by dot; no dot occurs twice.
type Counter struct {
	Additions []Addition
}

// Add returns the counter with a added; an a that is there already changes
// nothing. If the total then leaves the range of int64 it returns ErrOverflow,
// and the counter with a in it all the same: an author refuses the addition,
// whereas a replica that applies it keeps it, or replicas would differ by the
// order of arrival.
func (c Counter) Add(a Addition) (Counter, error) {
	i, found := slices.BinarySearchFunc(c.Additions, a.Dot, func(x Addition, d vclock.Dot) int {
		return x.Dot.Compare(d)
	})
	if !found {
		next := make([]Addition, 0, len(c.Additions)+1)
		next = append(next, c.Additions[:i]...)
		next = append(next, a)
		c = Counter{append(next, c.Additions[i:]...)}
	}
	_, err := c.Total()
	return c, err
}

// Reset returns the counter without the additions that deps covers: what an
// author that had seen deps set back to nothing.
func (c Counter) Reset(deps vclock.Vector) Counter {
	return Counter{uncovered(c.Additions, deps, Addition.dot)}
}

// Total returns the sum. If the sum leaves the range of int64 it returns the
// nearest number that does not, and ErrOverflow. It takes the time of one walk
// over the additions.
func (c Counter) Total() (int64, error) {
	var hi, lo uint64 // 128 bits, two's complement
	var counted map[string]bool
	for _, a := range c.Additions {
		if a.Key != "" {
			if counted[a.Key] {
				continue
			}
			if counted == nil {
				counted = make(map[string]bool)
			}
			counted[a.Key] = true
		}
		var carry uint64
		lo, carry = bits.Add64(lo, uint64(a.By), 0)
		hi, _ = bits.Add64(hi, uint64(a.By>>63), carry)
	}
	switch {
	case int64(hi) < 0 && (hi != math.MaxUint64 || int64(lo) >= 0):
		return math.MinInt64, ErrOverflow
	case int64(hi) >= 0 && (hi != 0 || int64(lo) < 0):
		return math.MaxInt64, ErrOverflow
	}
	return int64(lo), nil
}

// Join merges two replicas' states of one counter; seen and otherSeen are what
// each side has applied.
func (c Counter) Join(seen vclock.Vector, other Counter, otherSeen vclock.Vector) Counter {
	return Counter{join(c.Additions, seen, other.Additions, otherSeen, Addition.dot)}
}

func (a Addition) dot() vclock.Dot { return a.Dot }

// AppendBinary appends the binary form of c to b and returns the longer slice.
func (c Counter) AppendBinary(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.Additions)))
	var dots dotWriter
	for _, a := range c.Additions {
		b = dots.append(b, a.Dot)
		b = appendText(b, a.Key)
		b = binary.AppendVarint(b, a.By)
	}
	return b
}

// DecodeCounter reads one counter from the front of b and returns the rest. It
// returns ErrMalformed for bytes that AppendBinary cannot have written.
func DecodeCounter(b []byte) (Counter, []byte, error) {
	r := reader{b: b}
	n := r.count("additions", MaxAdditions, 5)
	var c Counter
	for i := range n {
		a := Addition{Dot: r.dot(), Key: string(r.bytes("key", MaxTextBytes)), By: r.int("amount")}
		if i > 0 && r.err == nil && c.Additions[i-1].Dot.Compare(a.Dot) >= 0 {
			r.fail("order of additions")
		}
		if r.err != nil {
			return Counter{}, nil, r.err
		}
		c.Additions = append(c.Additions, a)
	}
	if r.err != nil {
		return Counter{}, nil, r.err
	}
	return c, r.b, nil
}
