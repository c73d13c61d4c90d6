package text_test

import (
	"fmt"
	"slices"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// oracle is the slow, plain twin of the fast walker: one record per character
// in a slice, ancestor sets as maps, linear scans, no runs, no restarts. Its
// cost is the square of the number of events.
type oracle struct {
	events  []oracleEvent
	number  map[vclock.Dot]int
	records []*record
	of      map[int]*record // insert or delete event to the record that it made or hit
	prepare map[int]bool
	effect  []rune
}

type oracleEvent struct {
	id      vclock.Dot
	parents []int
	pos     int
	char    rune // -1: delete
	past    map[int]bool
}

type record struct {
	event       int // -2 for START, -1 for END
	prepare     int
	gone        bool
	left, right int
}

func newOracle() *oracle {
	return &oracle{number: map[vclock.Dot]int{}, of: map[int]*record{}, prepare: map[int]bool{}}
}

// add visits the events of a run; its past has been visited.
func (o *oracle) add(r text.Run) error {
	var parents []int
	for _, p := range r.Parents {
		n, ok := o.number[p]
		if !ok {
			return fmt.Errorf("oracle: %v lacks parent %v", r.ID, p)
		}
		parents = append(parents, n)
	}
	chars := []rune(r.Ins)
	for k := range r.Len() {
		e := oracleEvent{id: r.ID, parents: parents, pos: r.Pos, char: -1}
		e.id.Seq += vclock.Seq(k)
		switch {
		case r.Ins != "":
			e.char, e.pos = chars[k], r.Pos+k
		case r.Back:
			e.pos = r.Pos - k
		}
		n := len(o.events)
		o.number[e.id] = n
		e.past = map[int]bool{}
		for _, p := range e.parents {
			e.past[p] = true
			for a := range o.events[p].past {
				e.past[a] = true
			}
		}
		o.events = append(o.events, e)
		if err := o.visit(n); err != nil {
			return err
		}
		parents = []int{n}
	}
	return nil
}

func (o *oracle) visit(n int) error {
	e := o.events[n]
	for v := n - 1; v >= 0; v-- { // retreat, last first
		if o.prepare[v] && !e.past[v] {
			o.of[v].prepare--
			delete(o.prepare, v)
		}
	}
	for v := range n { // advance, first first
		if !o.prepare[v] && e.past[v] {
			o.of[v].prepare++
			o.prepare[v] = true
		}
	}
	o.prepare[n] = true
	if e.char < 0 {
		return o.delete(n, e)
	}
	return o.insert(n, e)
}

func (o *oracle) delete(n int, e oracleEvent) error {
	seen, eff := 0, 0
	for _, r := range o.records {
		if r.prepare == 0 {
			if seen == e.pos {
				if !r.gone {
					o.effect = slices.Delete(o.effect, eff, eff+1)
				}
				r.prepare, r.gone = 1, true
				o.of[n] = r
				return nil
			}
			seen++
		}
		if !r.gone {
			eff++
		}
	}
	return fmt.Errorf("oracle: %v deletes at %d of %d", e.id, e.pos, seen)
}

func (o *oracle) insert(n int, e oracleEvent) error {
	at, seen := 0, 0
	for ; seen < e.pos; at++ {
		if at == len(o.records) {
			return fmt.Errorf("oracle: %v inserts at %d of %d", e.id, e.pos, seen)
		}
		if o.records[at].prepare == 0 {
			seen++
		}
	}
	fresh := &record{event: n, left: -2, right: -1}
	if at > 0 {
		fresh.left = o.records[at-1].event
	}
	for _, r := range o.records[at:] {
		if r.prepare != -1 {
			fresh.right = r.event
			break
		}
	}
	at = o.among(fresh, at)
	o.records = slices.Insert(o.records, at, fresh)
	o.of[n] = fresh
	eff := 0
	for _, r := range o.records[:at] {
		if !r.gone {
			eff++
		}
	}
	o.effect = slices.Insert(o.effect, eff, e.char)
	return nil
}

// place is where an origin stands: START before all, END behind all.
func (o *oracle) place(event int) int {
	switch event {
	case -2:
		return -1
	case -1:
		return len(o.records)
	}
	return slices.IndexFunc(o.records, func(r *record) bool { return r.event == event })
}

func (o *oracle) among(fresh *record, at int) int {
	left, right := o.place(fresh.left), o.place(fresh.right)
	best, tentative := at, false
	for i := at; i < len(o.records); i++ {
		r := o.records[i]
		l := o.place(r.left)
		if r.prepare != -1 || l < left {
			break
		}
		if l == left {
			switch p := o.place(r.right); {
			case p == right:
				if o.events[fresh.event].id.Compare(o.events[r.event].id) < 0 {
					return best
				}
				tentative = false
			default:
				tentative = p < right
			}
		}
		if !tentative {
			best = i + 1
		}
	}
	return best
}

func (o *oracle) String() string { return string(o.effect) }
