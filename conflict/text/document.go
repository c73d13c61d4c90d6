package text

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/vclock"
)

// Doc is one text with its history. It is not safe for concurrent use.
//
// Invariant: the text is what its events give in any causal order; it depends
// on the set of events alone.
type Doc struct {
	// ReplayLimit bounds the work of one call: known events run again, and
	// events retreated and advanced where branches cross. Zero means MaxReplay.
	ReplayLimit int

	g    *graph
	o    *oplog
	text *rope

	w    *walker // kept while branches are open; nil otherwise
	upTo lv      // what w has visited

	saved   *savedState // history that is not read yet; nil if it is
	scratch []lv
}

// New returns an empty document.
func New() *Doc { return &Doc{g: newGraph(), o: &oplog{}, text: newRope("")} }

// String returns the text.
func (d *Doc) String() string { return d.text.String() }

// Len is the length of the text in code points.
func (d *Doc) Len() int { return d.text.length(CodePoints) }

// LenIn is the length of the text in another unit.
func (d *Doc) LenIn(u Unit) int { return d.text.length(u) }

// Slice returns the code points from from up to to. It returns ErrPosition for
// a range outside the text.
func (d *Doc) Slice(from, to int) (string, error) {
	if from < 0 || to < from || to > d.Len() {
		return "", fmt.Errorf("slice %d to %d of %d: %w", from, to, d.Len(), ErrPosition)
	}
	return d.text.slice(int32(from), int32(to)), nil
}

// Convert turns an offset into the text that counts one unit into one that
// counts another. It returns ErrPosition for an offset outside the text and
// ErrUTF8 for one inside a character. It costs little, whatever the length.
func (d *Doc) Convert(offset int, from, to Unit) (int, error) {
	return d.text.convert(offset, from, to)
}

// EditFrom turns an edit whose Pos and Del count another unit, on the present
// text, into one that counts code points. Errors are as for [Doc.Convert].
func (d *Doc) EditFrom(u Unit, e Edit) (Edit, error) {
	from, err := d.Convert(e.Pos, u, CodePoints)
	if err != nil {
		return Edit{}, err
	}
	to, err := d.Convert(e.Pos+e.Del, u, CodePoints)
	if err != nil {
		return Edit{}, err
	}
	return Edit{from, to - from, e.Ins}, nil
}

// Insert inserts s before the code point at pos, as agent. It returns the
// events that this made. It returns ErrPosition for a place outside the text,
// ErrUTF8 for text that is not UTF-8 and ErrTooLarge for more than a document
// may hold, and changes nothing then.
func (d *Doc) Insert(agent vclock.Origin, pos int, s string) (Span, error) {
	return d.edit(agent, Edit{pos, 0, s})
}

// Delete deletes n code points from pos on, as agent. Errors are as for
// [Doc.Insert].
func (d *Doc) Delete(agent vclock.Origin, pos, n int) (Span, error) {
	return d.edit(agent, Edit{pos, n, ""})
}

// Edit makes edits, one after the other, as agent: all of them or none. Errors
// are as for [Doc.Insert].
func (d *Doc) Edit(agent vclock.Origin, edits ...Edit) (Span, error) {
	if len(edits) == 1 {
		return d.edit(agent, edits[0])
	}
	n := d.Len()
	for i := range edits {
		if err := edits[i].check(n); err != nil {
			return Span{}, fmt.Errorf("edit %d: %w", i, err)
		}
		n += utf8.RuneCountInString(edits[i].Ins) - edits[i].Del
	}
	if err := d.room(agent, edits...); err != nil {
		return Span{}, err
	}
	var all Span
	for i, e := range edits {
		s := d.apply(agent, e)
		if i == 0 {
			all = s
		}
		all.To = s.To
	}
	return all, nil
}

func (d *Doc) edit(agent vclock.Origin, e Edit) (Span, error) {
	if err := e.check(d.Len()); err != nil {
		return Span{}, err
	}
	if err := d.room(agent, e); err != nil {
		return Span{}, err
	}
	return d.apply(agent, e), nil
}

// room makes sure that the history is read and that edits fit.
func (d *Doc) room(agent vclock.Origin, edits ...Edit) error {
	if err := d.load(); err != nil {
		return err
	}
	if agent == "" || len(agent) > vclock.MaxOriginBytes {
		return fmt.Errorf("agent %.80q: %w", agent, ErrRun)
	}
	events, bytes := 0, 0
	for i := range edits {
		events += edits[i].Del + len(edits[i].Ins)
		bytes += len(edits[i].Ins)
	}
	return d.fits(events, bytes, d.g.agent(agent) == none)
}

func (d *Doc) fits(events, bytes int, newAgent bool) error {
	switch {
	case int(d.g.size())+events > MaxEvents:
		return fmt.Errorf("%d events and %d more: %w", d.g.size(), events, ErrTooLarge)
	case len(d.o.text)+bytes > MaxTextBytes:
		return fmt.Errorf("%d bytes and %d more: %w", len(d.o.text), bytes, ErrTooLarge)
	case newAgent && len(d.g.agents) >= MaxAgents:
		return fmt.Errorf("%d agents: %w", len(d.g.agents), ErrTooLarge)
	}
	return nil
}

// apply makes an edit that was checked.
func (d *Doc) apply(agent vclock.Origin, e Edit) Span {
	if e.Del == 0 && e.Ins == "" {
		seq := d.g.count(d.g.agent(agent)) + 1
		return Span{agent, seq, seq}
	}
	a := d.g.addAgent(agent)
	from := d.g.count(a) + 1
	if e.Del > 0 {
		s := d.g.add(a, int32(e.Del), d.g.heads)
		d.o.delete(s.from, int32(e.Del), int32(e.Pos), opDelete)
		d.text.delete(int32(e.Pos), int32(e.Del))
	}
	if e.Ins != "" {
		n := int32(utf8.RuneCountInString(e.Ins))
		s := d.g.add(a, n, d.g.heads)
		d.o.insert(s.from, n, int32(e.Pos), e.Ins)
		d.text.insert(int32(e.Pos), e.Ins)
	}
	return Span{agent, from, d.g.count(a) + 1}
}

// Version returns the present version. The caller owns it.
func (d *Doc) Version() Version {
	if d.saved != nil {
		return slices.Clone(d.saved.heads)
	}
	return d.name(d.g.heads)
}

// name gives the outside name of a version.
func (d *Doc) name(heads []lv) Version {
	v := make(Version, len(heads))
	for i, h := range heads {
		v[i] = d.g.dot(h)
	}
	slices.SortFunc(v, vclock.Dot.Compare)
	return v
}

// Vector returns which events the document holds: how many of each agent.
func (d *Doc) Vector() vclock.Vector {
	if d.saved != nil {
		return d.saved.vector
	}
	dots := make([]vclock.Dot, len(d.g.agents))
	for a, name := range d.g.agents {
		dots[a] = vclock.Dot{Origin: name, Seq: d.g.count(int32(a))}
	}
	return vclock.Of(dots...)
}

// Events is the number of events held.
func (d *Doc) Events() (int, error) {
	if err := d.load(); err != nil {
		return 0, err
	}
	return int(d.g.size()), nil
}

// Since returns the events that have does not cover, packed, in a causal
// order: what a replica that holds have needs. have may name events that this
// document lacks.
func (d *Doc) Since(have vclock.Vector) ([]Run, error) {
	if err := d.load(); err != nil {
		return nil, err
	}
	var runs []Run
	for i := range d.g.entries {
		e := &d.g.entries[i]
		held := have.At(d.g.agents[e.agent])
		if held < e.first() {
			held = e.first() - 1
		}
		if skipped := lv(held - (e.first() - 1)); skipped < e.to-e.from {
			runs = d.runs(runs, span{e.from + skipped, e.to})
		}
	}
	return runs, nil
}

// Runs returns the events of a span, packed: what other replicas need after a
// local edit. It returns ErrUnknownVersion if not all of them are held.
func (d *Doc) Runs(s Span) ([]Run, error) {
	if err := d.load(); err != nil {
		return nil, err
	}
	if s.From >= s.To {
		return nil, nil
	}
	a := d.g.agent(s.Agent)
	if s.From == 0 || d.g.count(a) < s.To-1 {
		return nil, fmt.Errorf("events %d to %d of %.80q: %w", s.From, s.To, s.Agent, ErrUnknownVersion)
	}
	var runs []Run
	for seq := s.From; seq < s.To; {
		at, n := d.g.at(a, seq)
		e := &d.g.entries[d.g.entryOf(at)]
		to := min(at+lv(n), e.to, at+lv(s.To-seq))
		runs = d.runs(runs, span{at, to})
		seq += vclock.Seq(to - at)
	}
	return runs, nil
}

// runs appends the events of s, which lie in one entry.
func (d *Doc) runs(out []Run, s span) []Run {
	for i, v := d.o.runOf(s.from), s.from; v < s.to; i++ {
		r := d.o.part(i, v, min(s.to, d.o.runs[i].at+lv(d.o.runs[i].n)))
		var buf [1]lv
		run := Run{ID: d.g.dot(v), Parents: d.name(d.g.parentsOf(v, buf[:])), Pos: int(r.pos)}
		switch r.kind {
		case opInsert:
			var b strings.Builder
			d.o.inserted(&b, v, v+lv(r.n))
			run.Ins = b.String()
		default:
			run.Del, run.Back = int(r.n), r.kind == opBackspace && r.n > 1
		}
		out = append(out, run.cut()...)
		v += lv(r.n)
	}
	return out
}

// cut divides a run that is longer than MaxRunEvents or MaxRunBytes.
func (r Run) cut() []Run {
	var parts []Run
	for {
		n, bytes := MaxRunEvents, cut(r.Ins, MaxRunBytes)
		if r.Del <= n && bytes == len(r.Ins) {
			return append(parts, r)
		}
		part := r
		if r.Ins != "" {
			part.Ins, r.Ins = r.Ins[:bytes], r.Ins[bytes:]
			n = utf8.RuneCountInString(part.Ins)
			r.Pos += n
		} else {
			part.Del, r.Del = n, r.Del-n
			if r.Back {
				r.Pos -= n
			}
		}
		r.ID.Seq += vclock.Seq(n)
		r.Parents = Version{{Origin: r.ID.Origin, Seq: r.ID.Seq - 1}}
		parts = append(parts, part)
	}
}
