package session

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/causeway-sync/causeway/conflict"
)

// leaves holds the context of a session as it is stored: by path what was
// written, added and inserted there.
type leaves struct {
	registers map[string]conflict.Register
	counters  map[string]conflict.Counter
	sets      map[string]conflict.Set
}

// leavesAt reads the whole context.
func leavesAt(r Reader, space, session string, m *meta) (leaves, error) {
	var l leaves
	var err error
	if m.registers {
		if l.registers, err = scanNamed(r, space, session, recRegister, conflict.DecodeRegister); err != nil {
			return leaves{}, err
		}
	}
	if m.counters {
		if l.counters, err = scanNamed(r, space, session, recCounter, conflict.DecodeCounter); err != nil {
			return leaves{}, err
		}
	}
	if m.sets {
		if l.sets, err = scanNamed(r, space, session, recSet, conflict.DecodeSet); err != nil {
			return leaves{}, err
		}
	}
	return l, nil
}

type decoder[T any] = func([]byte) (T, []byte, error)

func scanNamed[T any](r Reader, space, session string, kind byte, decode decoder[T]) (map[string]T, error) {
	found := map[string]T{}
	prefix := namedKey(space, session, kind, "")
	for e, err := range r.Scan(prefix, nil, false) {
		if err != nil {
			return nil, fmt.Errorf("scan session %s: %w", session, err)
		}
		v, err := decodeAll(e.Key, e.Value, decode)
		if err != nil {
			return nil, err
		}
		found[string(e.Key[len(prefix):])] = v
	}
	return found, nil
}

func decodeAll[T any](key, b []byte, decode decoder[T]) (T, error) {
	p := packed{rest: b}
	v := unpack(&p, decode)
	return v, p.end(key)
}

// readNamed reads one record; an absent one gives the zero value and false.
func readNamed[T any](r Reader, key []byte, decode decoder[T]) (T, bool, error) {
	var zero T
	b, err := r.Get(key)
	if err != nil {
		return zero, false, fmt.Errorf("read %q: %w", key, err)
	}
	if b == nil {
		return zero, false, nil
	}
	v, err := decodeAll(key, b, decode)
	return v, err == nil, err
}

type binaryAppender interface{ AppendBinary([]byte) []byte }

func (a *applier) store(kind byte, path string, v binaryAppender) error {
	if err := a.tx.Put(namedKey(a.op.Space, a.op.Session, kind, path), v.AppendBinary(nil)); err != nil {
		return fmt.Errorf("store context at %q: %w", path, err)
	}
	return nil
}

// set writes leaves. What the author had seen of a counter or a set at the
// path goes with the value that it had seen there.
func (a *applier) set(written []Leaf) error {
	space, session, deps := a.op.Space, a.op.Session, a.op.Deps
	for i := range written {
		a.m.registers = true
		l := &written[i]
		reg, _, err := readNamed(a.tx, namedKey(space, session, recRegister, l.Path), conflict.DecodeRegister)
		if err != nil {
			return err
		}
		reg = reg.Write(conflict.Value{
			Dot: a.op.Dot, Stamp: a.op.Stamp, Actor: a.op.Actor, Data: l.Value, Deleted: l.Deleted,
		}, deps)
		if err := a.store(recRegister, l.Path, reg); err != nil {
			return err
		}
		if err := a.reset(l.Path); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) reset(path string) error {
	space, session, deps := a.op.Space, a.op.Session, a.op.Deps
	if a.m.counters {
		c, ok, err := readNamed(a.tx, namedKey(space, session, recCounter, path), conflict.DecodeCounter)
		if err != nil {
			return err
		}
		if ok {
			if err := a.store(recCounter, path, c.Reset(deps)); err != nil {
				return err
			}
		}
	}
	if a.m.sets {
		s, ok, err := readNamed(a.tx, namedKey(space, session, recSet, path), conflict.DecodeSet)
		if err != nil {
			return err
		}
		if ok {
			return a.store(recSet, path, s.Reset(deps))
		}
	}
	return nil
}

func (a *applier) adjust(changes []Adjustment) error {
	sums := map[string]int64{}
	for i := range changes {
		if c := &changes[i]; c.Kind == CounterAdd {
			sums[c.Path] = addWithin(sums[c.Path], c.By)
		}
	}
	added := map[string]bool{}
	for i := range changes {
		c := &changes[i]
		var err error
		switch {
		case c.Kind != CounterAdd:
			err = a.adjustSet(c)
		case !added[c.Path]: // one dot is one addition
			added[c.Path] = true
			err = a.add(c.Path, sums[c.Path])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) add(path string, by int64) error {
	a.m.counters = true
	c, _, err := readNamed(a.tx, namedKey(a.op.Space, a.op.Session, recCounter, path), conflict.DecodeCounter)
	if err != nil {
		return err
	}
	// An overflow is no reason not to keep what another node has accepted:
	// views show the nearest number.
	c, _ = c.Add(conflict.Addition{Dot: a.op.Dot, Key: additionKey(a.op), By: by})
	return a.store(recCounter, path, c)
}

func (a *applier) adjustSet(c *Adjustment) error {
	a.m.sets = true
	s, _, err := readNamed(a.tx, namedKey(a.op.Space, a.op.Session, recSet, c.Path), conflict.DecodeSet)
	if err != nil {
		return err
	}
	if c.Kind == SetInsert {
		s = s.Insert(c.Value, a.op.Dot, a.op.Deps)
	} else {
		s = s.Remove(c.Value, a.op.Deps)
	}
	return a.store(recSet, c.Path, s)
}

// additionKey is the same for the same addition under the same idempotency key.
func additionKey(op *Op) string {
	if op.Key == "" {
		return ""
	}
	sum := sha256.Sum256(binary.AppendUvarint(packText(nil, op.Key), uint64(op.KeyIndex)))
	return string(sum[:16])
}

// addWithin adds and stays at the end of the range instead of leaving it.
func addWithin(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}
