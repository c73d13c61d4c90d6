package text

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/vclock"
)

// Apply takes in runs of other replicas and returns the edits that they amount
// to on the present text, in order: what an editor or a subscriber makes on
// its own copy. Events that are held are skipped; runs may stand in any order.
//
// It is all or nothing: on any error the document is as it was. ErrMissing
// says that a run's past is neither held nor among the runs. The refusals
// (ErrPosition, ErrRun, ErrParents, ErrUTF8, ErrForked) are verdicts on a run
// that every replica shares; what comes after a refused run must be dropped
// with it. See the errors for ErrTooLarge and ErrReplay.
//
// HAZARD: one bad run refuses the whole call. Whoever mixes runs of several
// authors applies them one by one after a refusal.
func (d *Doc) Apply(runs []Run) ([]Edit, error) {
	if err := d.load(); err != nil {
		return nil, err
	}
	known := d.g.size()
	d.g.mark()
	d.o.mark()
	err := d.takeAll(runs)
	var out []piece
	if err == nil {
		out, err = d.replay(known)
	}
	if err != nil {
		d.rollback()
		return nil, err
	}
	d.g.forget()
	edits := d.edits(out)
	for i := range edits {
		e := &edits[i]
		d.text.delete(int32(e.Pos), int32(e.Del))
		if e.Ins != "" {
			d.text.insert(int32(e.Pos), e.Ins)
		}
	}
	return edits, nil
}

func (d *Doc) rollback() {
	d.g.rollback()
	d.o.rollback()
	d.w = nil
}

// takeAll adds the events of runs to graph and log.
func (d *Doc) takeAll(runs []Run) error {
	bytes := 0
	for i := range runs {
		bytes += len(runs[i].Ins)
	}
	d.o.text = slices.Grow(d.o.text, min(bytes, MaxTextBytes))
	if len(runs) > 1 {
		d.expect(runs)
	}
	var waiting []Run
	for i := range runs {
		switch err := d.take(&runs[i]); {
		case errors.Is(err, ErrMissing):
			waiting = append(waiting, runs[i])
		case err != nil:
			return err
		}
	}
	for len(waiting) > 0 {
		var still []Run
		var missing error
		for i := range waiting {
			switch err := d.take(&waiting[i]); {
			case errors.Is(err, ErrMissing):
				still, missing = append(still, waiting[i]), err
			case err != nil:
				return err
			}
		}
		if len(still) == len(waiting) {
			return missing
		}
		waiting = still
	}
	return nil
}

// expect makes room for the entries and packed runs that runs will become, so
// that they are not copied again and again.
func (d *Doc) expect(runs []Run) {
	entries, parents, packed := 0, 0, 0
	for i := range runs {
		r := &runs[i]
		if i == 0 || !r.goesOnFrom(&runs[i-1]) {
			entries++
			parents += len(r.Parents)
		}
		if i == 0 || !r.packsWith(&runs[i-1]) {
			packed++
		}
	}
	d.g.entries = slices.Grow(d.g.entries, min(entries, MaxEvents))
	d.g.parents = slices.Grow(d.g.parents, min(parents, MaxEvents))
	d.o.runs = slices.Grow(d.o.runs, min(packed, MaxEvents))
}

// goesOnFrom guesses whether r lies in one entry with the run before.
func (r *Run) goesOnFrom(before *Run) bool {
	return r.ID.Origin == before.ID.Origin && len(r.Parents) == 1 &&
		r.Parents[0].Seq == r.ID.Seq-1 && r.Parents[0].Origin == r.ID.Origin
}

// packsWith guesses whether the log packs r with the run before.
func (r *Run) packsWith(before *Run) bool {
	if r.Ins != "" {
		return before.Ins != "" && r.Pos == before.Pos+len(before.Ins)
	}
	return before.Ins == "" && (r.Pos == before.Pos || r.Pos == before.Pos-before.Del)
}

// follow adds a run that goes on where the last event of all ends, as most do,
// and reports whether it did.
func (d *Doc) follow(r *Run) bool {
	i := len(d.g.entries) - 1
	if i < 0 || len(r.Parents) != 1 {
		return false
	}
	e, p := &d.g.entries[i], &r.Parents[0]
	last := e.first() + vclock.Seq(e.to-e.from) - 1
	name := d.g.agents[e.agent]
	if r.ID.Seq != last+1 || p.Seq != last || r.ID.Origin != name || p.Origin != name || r.checkDeed() != nil {
		return false
	}
	n := r.Len()
	if d.fits(n, len(r.Ins), false) != nil {
		return false
	}
	s := d.g.grow(int32(n))
	if r.Ins != "" {
		d.o.insert(s.from, int32(n), int32(r.Pos), r.Ins)
	} else {
		d.o.delete(s.from, int32(n), int32(r.Pos), r.kind())
	}
	return true
}

// take adds the events of one run that are not held.
func (d *Doc) take(r *Run) error {
	if d.follow(r) {
		return nil
	}
	if err := r.check(); err != nil {
		return err
	}
	n := r.Len()
	a := d.g.agent(r.ID.Origin)
	held := d.g.count(a)
	if r.ID.Seq > held+1 {
		return fmt.Errorf("run %v: %d events of its agent are held: %w", r.ID, held, ErrMissing)
	}
	parents, err := d.parents(r)
	if errors.Is(err, ErrMissing) && r.ID.Seq <= held {
		return fmt.Errorf("run %v has other parents than before: %w", r.ID, ErrForked)
	}
	if err != nil {
		return err
	}
	if r.ID.Seq <= held {
		if err := d.compare(r, parents); err != nil {
			return err
		}
	}
	known := int(held + 1 - r.ID.Seq)
	if known >= n {
		return nil
	}
	if err := d.fits(n-known, len(r.Ins), a == none); err != nil {
		return err
	}
	if known > 0 {
		last, _ := d.g.at(a, held)
		parents = []lv{last}
	} else if err := d.admit(r, a, parents); err != nil {
		return err
	}
	d.store(r, int32(known), int32(n), parents)
	return nil
}

// store adds the events of r from number known on.
func (d *Doc) store(r *Run, known, n int32, parents []lv) {
	s := d.g.add(d.g.addAgent(r.ID.Origin), n-known, parents)
	pos, kind := int32(r.Pos), r.kind()
	switch kind {
	case opInsert:
		d.o.insert(s.from, n-known, pos+known, r.Ins[skip(r.Ins, int(known)):])
		return
	case opBackspace:
		pos -= known
	}
	d.o.delete(s.from, n-known, pos, kind)
}

// parents finds the parents of a run, ascending. They are good until it is
// called again.
func (d *Doc) parents(r *Run) ([]lv, error) {
	parents := d.scratch[:0]
	for _, p := range r.Parents {
		v, ok := d.g.lookup(p)
		if !ok {
			return nil, fmt.Errorf("run %v: parent %v: %w", r.ID, p, ErrMissing)
		}
		parents = append(parents, v)
	}
	d.scratch = parents
	if len(parents) > 1 {
		slices.Sort(parents)
	}
	return parents, nil
}

// admit checks that some author can have had these parents: none is in the
// past of another, and the agent's own event before is in the past of one.
func (d *Doc) admit(r *Run, a int32, parents []lv) error {
	if len(parents) > 1 && len(d.g.maximal(slices.Clone(parents))) < len(parents) {
		return fmt.Errorf("run %v: one parent is in the past of another: %w", r.ID, ErrParents)
	}
	if r.ID.Seq == 1 {
		return nil
	}
	own, _ := d.g.at(a, r.ID.Seq-1)
	if _, direct := slices.BinarySearch(parents, own); !direct && !d.g.covers(parents, own) {
		return fmt.Errorf("run %v has not seen the event before it: %w", r.ID, ErrForked)
	}
	return nil
}

// compare checks that the part of a run that is held has the same content.
func (d *Doc) compare(r *Run, parents []lv) error {
	forked := func(v lv) error { return fmt.Errorf("event %v: %w", d.g.dot(v), ErrForked) }
	a := d.g.agent(r.ID.Origin)
	n := min(vclock.Seq(r.Len()), d.g.count(a)+1-r.ID.Seq)
	given := opRun{0, int32(r.Len()), r.kind(), int32(r.Pos), 0}
	ins := r.Ins
	var buf [1]lv
	for done := vclock.Seq(0); done < n; {
		v, together := d.g.at(a, r.ID.Seq+done)
		if done > 0 {
			last, _ := d.g.at(a, r.ID.Seq+done-1)
			parents = []lv{last}
		}
		if !slices.Equal(d.g.parentsOf(v, buf[:]), parents) {
			return forked(v)
		}
		e := &d.g.entries[d.g.entryOf(v)]
		i := d.o.runOf(v)
		to := min(v+lv(together), e.to, v+lv(n-done), d.o.runs[i].at+lv(d.o.runs[i].n))
		part := d.o.part(i, v, to)
		if !sameDeed(part, given, int32(done)) {
			return forked(v)
		}
		if part.kind == opInsert {
			var b strings.Builder
			d.o.inserted(&b, v, to)
			rest, ok := strings.CutPrefix(ins, b.String())
			if !ok {
				return forked(v)
			}
			ins = rest
		}
		done += vclock.Seq(to - v)
	}
	return nil
}

// sameDeed reports whether the events of part do what those of given from
// number off on do. Forms may differ where the events are the same.
func sameDeed(part, given opRun, off int32) bool {
	if (part.kind == opInsert) != (given.kind == opInsert) {
		return false
	}
	place := func(r opRun, k int32) int32 {
		switch r.kind {
		case opInsert:
			return r.pos + k
		case opBackspace:
			return r.pos - k
		}
		return r.pos
	}
	return place(part, 0) == place(given, off) && place(part, part.n-1) == place(given, off+part.n-1)
}

// replay computes what the events from known on amount to. The text is that of
// the events before.
func (d *Doc) replay(known lv) ([]piece, error) {
	if d.g.size() == known {
		return nil, nil
	}
	base := d.g.criticalBefore(known)
	if d.w == nil || !d.g.isCritical(d.w.base) || base >= d.upTo-1 {
		d.w = &walker{g: d.g, o: d.o}
		d.startAt(base, known)
	}
	if err := d.mayReplay(known - d.upTo); err != nil {
		return nil, err
	}
	w := d.w
	w.emitting, w.out = false, nil
	w.steps, w.limit = int(known-d.upTo), d.limit()
	if d.upTo < known {
		if err := w.visit(span{d.upTo, known}, true); err != nil {
			return nil, err
		}
	}
	w.settle(int32(d.Len()))
	w.emitting, w.out = true, make([]piece, 0, len(d.o.runs)-d.o.runOf(known))
	if err := w.visit(span{known, d.g.size()}, true); err != nil {
		return nil, err
	}
	out := w.out
	w.out = nil
	d.upTo = d.g.size()
	if d.g.isCritical(d.upTo - 1) {
		d.w = nil
	}
	return out, nil
}

// startAt puts the walker to version base; text is that of the events before
// known.
func (d *Doc) startAt(base, known lv) {
	n := int32(endless)
	switch base {
	case lv(none):
		n = 0
	case known - 1:
		n = int32(d.Len())
	}
	d.w.reset(base, n)
	d.upTo = base + 1
}

func (d *Doc) limit() int {
	if d.ReplayLimit == 0 {
		return MaxReplay
	}
	return d.ReplayLimit
}

func (d *Doc) mayReplay(n lv) error {
	if limit := d.limit(); int(n) > limit {
		return fmt.Errorf("%d events, at most %d: %w", n, limit, ErrReplay)
	}
	return nil
}

// edits gives pieces their text. Pieces that follow each other at one place
// become one edit.
func (d *Doc) edits(out []piece) []Edit {
	if len(out) == 0 {
		return nil
	}
	var b strings.Builder
	events := 0
	for i := range out {
		events += int(out[i].events.to - out[i].events.from)
	}
	b.Grow(events) // which is all of it, if it is ASCII
	ends := make([]int, len(out))
	for i, p := range out {
		if p.del == 0 {
			d.o.inserted(&b, p.events.from, p.events.to)
		}
		ends[i] = b.Len()
	}
	all, at := b.String(), 0
	edits := make([]Edit, 0, len(out))
	grown := int32(none) // where the last edit's insert ends
	for i, p := range out {
		ins := all[at:ends[i]]
		at = ends[i]
		if k := len(edits) - 1; p.del == 0 && grown == p.pos {
			edits[k].Ins = all[at-len(ins)-len(edits[k].Ins) : at]
		} else {
			edits = append(edits, Edit{int(p.pos), int(p.del), ins})
		}
		if grown = none; p.del == 0 {
			grown = p.pos + int32(p.events.to-p.events.from)
		}
	}
	return edits
}
