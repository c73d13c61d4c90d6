package text

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/vclock"
)

// Merged is what became of edits that were made on an older version.
type Merged struct {
	// Span names the events made.
	Span Span
	// Edits turn the text before into the text after: the caller's edits,
	// transformed to follow the others'.
	Edits []Edit
	// Others turn the caller's text, its own edits included, into the text
	// after: the others' edits since the base, transformed to follow the
	// caller's.
	Others []Edit
}

// EditAt makes edits that were written on version base, as agent: as if agent
// had written them there, concurrently with all that came since. They become
// ordinary edits of the present text. It returns ErrUnknownVersion if base
// names events that are not held, ErrReplay if too much came since, and errors
// as for [Doc.Insert].
func (d *Doc) EditAt(agent vclock.Origin, base Version, edits ...Edit) (Merged, error) {
	if err := d.room(agent, edits...); err != nil {
		return Merged{}, err
	}
	at, err := d.resolve(base)
	if err != nil {
		return Merged{}, err
	}
	if slices.Equal(at, sorted(d.g.heads)) {
		made, err := d.Edit(agent, edits...)
		return Merged{Span: made, Edits: slices.Clone(edits)}, err
	}
	for i := range edits {
		if err := edits[i].check(MaxPos); err != nil {
			return Merged{}, fmt.Errorf("edit %d: %w", i, err)
		}
	}
	m, err := d.rebase(agent, at, edits)
	if err != nil {
		return Merged{}, err
	}
	m.Span, err = d.Edit(agent, m.Edits...)
	return m, err
}

// Changes returns the edits that turn the text of version base into the
// present one. Errors are as for [Doc.EditAt].
func (d *Doc) Changes(base Version) ([]Edit, error) {
	if err := d.load(); err != nil {
		return nil, err
	}
	at, err := d.resolve(base)
	if err != nil {
		return nil, err
	}
	rest := d.since(at)
	if len(rest) == 0 {
		return nil, nil
	}
	w, err := d.walkFrom(at, rest, endless)
	if err != nil {
		return nil, err
	}
	if err := w.visitAll(rest, true); err != nil {
		return nil, err
	}
	return d.edits(w.out), nil
}

// TextAt returns the text of an older version. It runs the history of that
// version from the beginning. It returns ErrUnknownVersion if version names
// events that are not held.
func (d *Doc) TextAt(version Version) (string, error) {
	if err := d.load(); err != nil {
		return "", err
	}
	at, err := d.resolve(version)
	if err != nil {
		return "", err
	}
	return d.textAt(at)
}

func (d *Doc) textAt(at []lv) (string, error) {
	have, _ := d.g.diff(at, nil, nil, nil)
	slices.Reverse(have)
	w := &walker{g: d.g, o: d.o, emitting: true}
	w.reset(lv(none), 0)
	// Up to the first event that the version lacks, critical versions count.
	if len(have) > 0 && have[0].from == 0 {
		whole := have[0]
		rest := have[1:]
		for len(rest) > 0 && rest[0].from == whole.to {
			whole.to, rest = rest[0].to, rest[1:]
		}
		if err := w.visit(whole, true); err != nil {
			return "", err
		}
		have = rest
	}
	if err := w.visitAll(have, true); err != nil {
		return "", err
	}
	r := newRope("")
	for _, e := range d.edits(w.out) {
		r.delete(int32(e.Pos), int32(e.Del))
		if e.Ins != "" {
			r.insert(int32(e.Pos), e.Ins)
		}
	}
	return r.String(), nil
}

// Heads returns the version that holds exactly what v covers, as far as it is
// held here. It returns ErrUnknownVersion if v covers events that are not held,
// or leaves out what precedes an event that it covers.
func (d *Doc) Heads(v vclock.Vector) (Version, error) {
	heads, err := d.frontier(v)
	if err != nil {
		return nil, err
	}
	have, _ := d.g.diff(heads, nil, nil, nil)
	events, covered := 0, 0
	for _, s := range have {
		events += int(s.to - s.from)
	}
	for _, seq := range v.All() {
		covered += int(seq)
	}
	if events != covered {
		return nil, fmt.Errorf("a vector that is not closed: %w", ErrUnknownVersion)
	}
	return d.name(heads), nil
}

// Frontier is [Doc.Heads] for a vector that is known to be closed: whatever
// precedes an event that it covers is covered too. It costs what its heads are
// apart, and not the whole history.
func (d *Doc) Frontier(v vclock.Vector) (Version, error) {
	heads, err := d.frontier(v)
	if err != nil {
		return nil, err
	}
	return d.name(heads), nil
}

func (d *Doc) frontier(v vclock.Vector) ([]lv, error) {
	if err := d.load(); err != nil {
		return nil, err
	}
	last := make([]lv, 0, v.Len())
	for origin, seq := range v.All() {
		at, ok := d.g.lookup(vclock.Dot{Origin: origin, Seq: seq})
		if !ok {
			return nil, fmt.Errorf("event %d of %.80q: %w", seq, origin, ErrUnknownVersion)
		}
		last = append(last, at)
	}
	return d.g.maximal(last), nil
}

// resolve finds the events of a version, ascending, without those that others
// of it have in their past.
func (d *Doc) resolve(version Version) ([]lv, error) {
	at := make([]lv, len(version))
	for i, dot := range version {
		v, ok := d.g.lookup(dot)
		if !ok {
			return nil, fmt.Errorf("event %.80v: %w", dot, ErrUnknownVersion)
		}
		at[i] = v
	}
	return d.g.maximal(at), nil
}

func sorted(heads []lv) []lv { return slices.Sorted(slices.Values(heads)) }

// since returns the events held that are not in a version, ascending.
func (d *Doc) since(at []lv) []span {
	rest, _ := d.g.diff(d.g.heads, at, nil, nil)
	slices.Reverse(rest)
	return rest
}

// walkFrom returns a walker that has visited exactly the version at, of which
// rest, not empty and ascending, is the complement, or a part of it that holds
// its first event. n is the length of the last critical version before rest,
// or endless.
func (d *Doc) walkFrom(at []lv, rest []span, n int32) (*walker, error) {
	base := d.g.criticalBefore(rest[0].from)
	if err := d.mayReplay(d.g.size() - base - 1); err != nil {
		return nil, err
	}
	w := &walker{g: d.g, o: d.o, limit: d.limit()}
	start := []lv{base}
	if base == lv(none) {
		start, n = nil, 0
	}
	w.reset(base, n)
	known, _ := d.g.diff(at, start, nil, nil)
	slices.Reverse(known)
	return w, w.visitAll(known, false)
}

// visitAll visits spans out of the order of their numbers.
func (w *walker) visitAll(spans []span, emitting bool) error {
	w.emitting = emitting
	for _, s := range spans {
		if err := w.visit(s, false); err != nil {
			return err
		}
	}
	return nil
}

// rebase computes what edits on version at amount to now. It adds them as
// events, walks the graph in two orders, and takes the events back.
func (d *Doc) rebase(agent vclock.Origin, at []lv, edits []Edit) (m Merged, err error) {
	known := d.g.size()
	d.g.mark()
	d.o.mark()
	defer d.rollback()
	rest := d.since(at)
	base := d.g.criticalBefore(rest[0].from)
	mine := d.branch(agent, at, edits)
	// The others first: mine come out transformed.
	if err := d.mayReplay(known - base - 1); err != nil {
		return m, err
	}
	w := &walker{g: d.g, o: d.o, limit: d.limit()}
	n := int32(endless)
	if base == lv(none) {
		n = 0
	}
	w.reset(base, n)
	if err := w.visitAll([]span{{base + 1, known}}, false); err != nil {
		return m, err
	}
	n -= w.effect() - int32(d.Len())
	w.settle(int32(d.Len()))
	if err := w.visitAll(mine, true); err != nil {
		return m, err
	}
	m.Edits = d.edits(w.out)
	// Mine first: the others come out transformed.
	if w, err = d.walkFrom(at, rest, n); err != nil {
		return m, err
	}
	if err := w.visitAll(mine, false); err != nil {
		return m, err
	}
	if err := w.visitAll(rest, true); err != nil {
		return m, err
	}
	m.Others = d.edits(w.out)
	return m, nil
}

// branch adds edits on version at as events; none if the edits are empty.
func (d *Doc) branch(agent vclock.Origin, at []lv, edits []Edit) []span {
	a := d.g.addAgent(agent)
	whole := span{d.g.size(), d.g.size()}
	for _, e := range edits {
		if e.Del > 0 {
			s := d.g.add(a, int32(e.Del), at)
			d.o.delete(s.from, int32(e.Del), int32(e.Pos), opDelete)
			at = []lv{s.to - 1}
		}
		if e.Ins != "" {
			n := int32(utf8.RuneCountInString(e.Ins))
			s := d.g.add(a, n, at)
			d.o.insert(s.from, n, int32(e.Pos), e.Ins)
			at = []lv{s.to - 1}
		}
	}
	if whole.to = d.g.size(); whole.from == whole.to {
		return nil
	}
	return []span{whole}
}
