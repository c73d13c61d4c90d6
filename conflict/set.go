package conflict

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/causeway-sync/causeway/vclock"
)

// Element is a member of a set and the inserts that keep it there.
//
// Invariant: Dots is not empty, sorted, without repetition.
type Element struct {
	Value []byte
	Dots  []vclock.Dot
}

// Set is an observed-remove set: a remove takes away the inserts that its
// author had seen, so an insert concurrent with a remove wins.
//
// Invariant: Elements are sorted by Value; no value occurs twice.
type Set struct {
	Elements []Element
}

// Insert returns the set after the author of dot, who had seen deps, inserted
// value.
func (s Set) Insert(value []byte, dot vclock.Dot, deps vclock.Vector) Set {
	i, found := s.find(value)
	e := Element{Value: value}
	if found {
		e.Value = s.Elements[i].Value
		e.Dots = uncovered(s.Elements[i].Dots, deps, itself)
	}
	if at, there := slices.BinarySearchFunc(e.Dots, dot, vclock.Dot.Compare); !there {
		e.Dots = slices.Insert(e.Dots, at, dot)
	}
	return s.with(i, found, e)
}

// Remove returns the set after an author that had seen deps removed value.
func (s Set) Remove(value []byte, deps vclock.Vector) Set {
	i, found := s.find(value)
	if !found {
		return s
	}
	return s.with(i, true, Element{s.Elements[i].Value, uncovered(s.Elements[i].Dots, deps, itself)})
}

// Reset returns the set after an author that had seen deps emptied it.
func (s Set) Reset(deps vclock.Vector) Set {
	var next Set
	for _, e := range s.Elements {
		if dots := uncovered(e.Dots, deps, itself); len(dots) > 0 {
			next.Elements = append(next.Elements, Element{e.Value, dots})
		}
	}
	return next
}

// Join merges two replicas' states of one set; seen and otherSeen are what
// each side has applied.
func (s Set) Join(seen vclock.Vector, other Set, otherSeen vclock.Vector) Set {
	var next Set
	add := func(value []byte, a, b []vclock.Dot) {
		if dots := join(a, seen, b, otherSeen, itself); len(dots) > 0 {
			next.Elements = append(next.Elements, Element{value, dots})
		}
	}
	a, b := s.Elements, other.Elements
	for len(a) > 0 && len(b) > 0 {
		switch c := bytes.Compare(a[0].Value, b[0].Value); {
		case c < 0:
			add(a[0].Value, a[0].Dots, nil)
			a = a[1:]
		case c > 0:
			add(b[0].Value, nil, b[0].Dots)
			b = b[1:]
		default:
			add(a[0].Value, a[0].Dots, b[0].Dots)
			a, b = a[1:], b[1:]
		}
	}
	for _, e := range a {
		add(e.Value, e.Dots, nil)
	}
	for _, e := range b {
		add(e.Value, nil, e.Dots)
	}
	return next
}

// with returns s with e at i, in place of the element there if found; without
// any there if e has no dots.
func (s Set) with(i int, found bool, e Element) Set {
	next := make([]Element, 0, len(s.Elements)+1)
	next = append(next, s.Elements[:i]...)
	if len(e.Dots) > 0 {
		next = append(next, e)
	}
	if found {
		i++
	}
	if next = append(next, s.Elements[i:]...); len(next) == 0 {
		return Set{}
	}
	return Set{next}
}

func (s Set) find(value []byte) (int, bool) {
	return slices.BinarySearchFunc(s.Elements, value, func(e Element, v []byte) int {
		return bytes.Compare(e.Value, v)
	})
}

// AppendBinary appends the binary form of s to b and returns the longer slice.
func (s Set) AppendBinary(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.Elements)))
	var dots dotWriter
	for _, e := range s.Elements {
		b = appendText(b, e.Value)
		b = binary.AppendUvarint(b, uint64(len(e.Dots)))
		for _, d := range e.Dots {
			b = dots.append(b, d)
		}
	}
	return b
}

// DecodeSet reads one set from the front of b and returns the rest. Elements
// share memory with b. It returns ErrMalformed for bytes that AppendBinary
// cannot have written.
func DecodeSet(b []byte) (Set, []byte, error) {
	r := reader{b: b}
	n := r.count("elements", MaxElements, 5)
	var s Set
	for i := range n {
		e := Element{Value: r.bytes("element", MaxDataBytes)}
		if i > 0 && bytes.Compare(s.Elements[i-1].Value, e.Value) >= 0 {
			r.fail("order of elements")
		}
		dots := r.count("dots", MaxDots, 3)
		if dots == 0 {
			r.fail("dots")
		}
		for j := range dots {
			d := r.dot()
			if j > 0 && r.err == nil && e.Dots[j-1].Compare(d) >= 0 {
				r.fail("order of dots")
			}
			if r.err != nil {
				return Set{}, nil, r.err
			}
			e.Dots = append(e.Dots, d)
		}
		if r.err != nil {
			return Set{}, nil, r.err
		}
		s.Elements = append(s.Elements, e)
	}
	if r.err != nil {
		return Set{}, nil, r.err
	}
	return s, r.b, nil
}
