package session

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"

	"github.com/causeway-sync/causeway/conflict"
)

// branch is a place in the context while it is put together: what is stored
// exactly here, and what lies below.
type branch struct {
	path     string
	register conflict.Register
	counter  conflict.Counter
	set      conflict.Set
	below    map[string]*branch
}

// shape is what a branch amounts to.
type shape struct {
	value  any             // nil: nothing is shown here
	best   *conflict.Value // the best write among those shown, nil if there is none
	leaves []*branch       // where the shown values come from
}

// renderer puts the context together and gathers conflicts.
type renderer struct{ conflicts []Conflict }

// render gives the context as it is shown, decoded, and its conflicts in the
// order of their paths.
func (l *leaves) render() (map[string]any, []Conflict) {
	root := &branch{}
	for path, reg := range l.registers {
		root.at(path).register = reg
	}
	for path, c := range l.counters {
		root.at(path).counter = c
	}
	for path, s := range l.sets {
		root.at(path).set = s
	}
	var r renderer
	below := r.inside(root)
	slices.SortStableFunc(r.conflicts, byPath)
	if below.value == nil {
		return map[string]any{}, r.conflicts
	}
	return below.value.(map[string]any), r.conflicts
}

func (b *branch) at(path string) *branch {
	here := ""
	for _, name := range members(path) {
		here = pointerTo(here, name)
		next := b.below[name]
		if next == nil {
			next = &branch{path: here}
			if b.below == nil {
				b.below = map[string]*branch{}
			}
			b.below[name] = next
		}
		b = next
	}
	return b
}

// inside gives what lies below b: an object, or nothing.
func (r *renderer) inside(b *branch) shape {
	var s shape
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(b.below)) {
		inner := r.resolve(b.below[name])
		if inner.value == nil {
			continue
		}
		object[name] = inner.value
		s.leaves = append(s.leaves, inner.leaves...)
		if inner.best != nil && (s.best == nil || conflict.Beats(*inner.best, *s.best)) {
			s.best = inner.best
		}
	}
	if len(object) > 0 {
		s.value = object
	}
	return s
}

// resolve decides between what is stored at b and what lies below. An empty
// object stored here gives way. Of a value here and values below, which were
// then written concurrently, the side with the better write is shown; counters
// and sets only weigh where no value stands against them.
func (r *renderer) resolve(b *branch) shape {
	own, below := r.own(b), r.inside(b)
	_, placeholder := own.value.(map[string]any)
	switch {
	case own.value == nil:
		return below
	case below.value == nil:
		return own
	case placeholder:
		return below
	case below.best != nil && (own.best == nil || conflict.Beats(*below.best, *own.best)):
		shown := Variant{Value: mustEncode(below.value)}
		describe(&shown, *below.best)
		r.conflicts = append(r.conflicts, Conflict{
			Kind: "context", Path: b.path, Shown: shown, Others: b.variants(own, below.best),
		})
		return below
	}
	for _, leaf := range below.leaves {
		shown := Variant{Value: mustEncode(own.value)}
		if own.best != nil {
			describe(&shown, *own.best)
		}
		r.conflicts = append(r.conflicts, Conflict{
			Kind: "context", Path: leaf.path, Shown: shown, Others: leaf.variants(leaf.plain(), own.best),
		})
	}
	return own
}

// own gives what is stored exactly at b and lists what loses there.
func (r *renderer) own(b *branch) shape {
	s := b.plain()
	if c, ok := registerConflict("context", b.path, b.register); ok {
		r.conflicts = append(r.conflicts, c)
	}
	for _, lost := range b.lost(s) {
		c := Conflict{Kind: "context", Path: b.path, Shown: Variant{Value: mustEncode(s.value)}, Others: []Variant{lost}}
		if s.best != nil {
			describe(&c.Shown, *s.best)
		}
		r.conflicts = append(r.conflicts, c)
	}
	return s
}

// plain gives the value at b by itself: the register's, to which a counter is
// added if it is a whole number; else the counter; else the set.
func (b *branch) plain() shape {
	s := shape{leaves: []*branch{b}}
	v, ok := b.register.Shown()
	held := ok && !v.Deleted
	if held {
		s.value, s.best = decodeValue(v.Data), &v
		if object, is := s.value.(map[string]any); is && len(object) == 0 {
			held = false // gives way to a counter or a set as well
		}
	}
	total, _ := b.counter.Total() // views show the nearest number
	switch counted := len(b.counter.Additions) > 0; {
	case counted && !held:
		s.value, s.best = json.Number(big.NewInt(total).String()), nil
	case counted:
		if n, whole := wholeNumber(s.value); whole {
			s.value = json.Number(n.Add(n, big.NewInt(total)).String())
		}
	case !held && len(b.set.Elements) > 0:
		s.value, s.best = b.elements(), nil
	}
	return s
}

func (b *branch) elements() []any {
	list := make([]any, 0, len(b.set.Elements))
	for _, e := range b.set.Elements {
		list = append(list, decodeValue(e.Value))
	}
	return list
}

// lost lists the counter and the set at b that s, which is plain, leaves out.
func (b *branch) lost(s shape) []Variant {
	var lost []Variant
	counted := len(b.counter.Additions) > 0
	if _, whole := wholeNumber(s.value); counted && !whole {
		total, _ := b.counter.Total() // the nearest number
		lost = append(lost, Variant{
			Value: json.RawMessage(big.NewInt(total).String()), Reason: reasonCounter,
			Origin: string(b.counter.Additions[0].Dot.Origin),
		})
	}
	if _, list := s.value.([]any); len(b.set.Elements) > 0 && (!list || s.best != nil) {
		lost = append(lost, Variant{
			Value: mustEncode(b.elements()), Reason: reasonSet, Origin: string(b.set.Elements[0].Dots[0].Origin),
		})
	}
	return lost
}

const (
	reasonCounter = "concurrent; counter beside a value"
	reasonSet     = "concurrent; set beside a value"
	reasonBelow   = "concurrent; value against members"
)

// variants describes what is stored at b for the list of what is not shown.
func (b *branch) variants(own shape, winner *conflict.Value) []Variant {
	if own.best == nil {
		v := Variant{Value: mustEncode(own.value), Reason: reasonBelow}
		if len(b.counter.Additions) > 0 {
			v.Origin = string(b.counter.Additions[0].Dot.Origin)
		} else if len(b.set.Elements) > 0 {
			v.Origin = string(b.set.Elements[0].Dots[0].Origin)
		}
		return []Variant{v}
	}
	v := variantOf(*own.best)
	v.Value, v.Reason = mustEncode(own.value), reasonBelow
	if winner != nil {
		v.Reason = conflict.Reason(*winner, *own.best)
	}
	return []Variant{v}
}

func variantOf(v conflict.Value) Variant {
	out := Variant{Value: json.RawMessage(v.Data), Deleted: v.Deleted}
	describe(&out, v)
	return out
}

func describe(out *Variant, v conflict.Value) {
	out.At, out.Actor, out.Origin = v.Stamp.Time(), v.Actor, string(v.Dot.Origin)
}

// wholeNumber reads a decoded number without fraction or exponent.
func wholeNumber(v any) (*big.Int, bool) {
	n, ok := v.(json.Number)
	if !ok || len(n) > 64 {
		return nil, false
	}
	return new(big.Int).SetString(n.String(), 10)
}
