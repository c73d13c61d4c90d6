package session

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// Stored records are packed: unsigned varints, strings behind their length.
// The store adds a checksum; what is left to notice here are bugs and damage
// that the checksum let through, so decoders are strict and never panic.

var errPacked = errors.New("record does not decode")

func packText[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func packStamp(b []byte, s clocksync.Stamp) []byte {
	b = binary.AppendUvarint(b, s.Wall)
	return binary.AppendUvarint(b, uint64(s.Logical)<<2|uint64(s.Trust))
}

func packDot(b []byte, d vclock.Dot) []byte {
	return binary.AppendUvarint(packText(b, d.Origin), uint64(d.Seq))
}

// packed reads a record from its front. After the first error everything is
// zero and err is set.
type packed struct {
	rest []byte
	err  error
}

func (p *packed) fail() { p.rest, p.err = nil, errPacked }

func (p *packed) uint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.fail()
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *packed) byte() byte {
	if len(p.rest) == 0 {
		p.fail()
		return 0
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	return c
}

func (p *packed) take(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.fail()
		return nil
	}
	s := p.rest[:n:n]
	p.rest = p.rest[n:]
	return s
}

func (p *packed) bytes() []byte { return p.take(p.uint()) }

func (p *packed) text() string { return string(p.bytes()) }

// count reads a number of things of which each takes at least one byte.
func (p *packed) count() int {
	n := p.uint()
	if n > uint64(len(p.rest)) {
		p.fail()
		return 0
	}
	return int(n)
}

func (p *packed) stamp() clocksync.Stamp {
	wall, low := p.uint(), p.uint()
	if wall > clocksync.MaxWall || low>>2 > math.MaxUint16 {
		p.fail()
		return clocksync.Stamp{}
	}
	return clocksync.Stamp{Wall: wall, Logical: uint16(low >> 2), Trust: clocksync.Trust(low & 3)}
}

func (p *packed) dot() vclock.Dot {
	return vclock.Dot{Origin: vclock.Origin(p.bytes()), Seq: vclock.Seq(p.uint())}
}

func (p *packed) vector() vclock.Vector {
	if p.err != nil {
		return vclock.Vector{}
	}
	return unpack(p, vclock.Decode)
}

// unpack reads one value of another package's encoding.
func unpack[T any](p *packed, decode func([]byte) (T, []byte, error)) T {
	var zero T
	if p.err != nil {
		return zero
	}
	v, rest, err := decode(p.rest)
	if err != nil {
		p.rest, p.err = nil, err
		return zero
	}
	p.rest = rest
	return v
}

// end is the error of the whole reading: that there is nothing left is part of it.
func (p *packed) end(key []byte) error {
	if p.err == nil && len(p.rest) > 0 {
		p.fail()
	}
	if p.err == nil {
		return nil
	}
	return &CorruptError{Key: key, Err: p.err, Hint: repairHint}
}

const repairHint = "the session's derived records can be rebuilt from its ops"

// missing is the error for a record that must exist.
func missing(key []byte) error {
	return &CorruptError{Key: key, Err: errors.New("record is missing"), Hint: repairHint}
}
