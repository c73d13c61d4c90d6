package session

import (
	"cmp"
	"iter"
	"slices"

	"github.com/causeway-sync/causeway/conflict"
)

// The line is the session's order with one difference: results of tool calls
// stand right behind the message whose calls they close, wherever concurrent
// branches or stamps have put them. Nothing is shown twice or left out.

// group is a message and the results of its calls, in the order of the calls,
// several of one call by rank.
type group struct {
	head    stop
	results []stop
}

// groups yields the groups of the line behind the message at slot, or before
// it, nearest first, when back is set. Slot 0 is the beginning, or with back the
// end. A result counts as the message whose call it closes.
func (rd *reading) groups(slot uint64, back bool) iter.Seq2[group, error] {
	return func(yield func(group, error) bool) {
		for at, err := range rd.from(slot, back) {
			if err != nil {
				yield(group{}, err)
				return
			}
			g, ok, err := rd.groupOf(at)
			if err != nil || ok && !yield(g, nil) {
				if err != nil {
					yield(group{}, err)
				}
				return
			}
		}
	}
}

// groupOf gives the group that a message heads; ok is false if it stands with
// another one, or if there is no message at the slot.
func (rd *reading) groupOf(at stop) (g group, ok bool, err error) {
	e, err := entryAt(rd.r, rd.space, rd.session, at.slot)
	if err != nil || !e.message {
		return group{}, false, err
	}
	at.entry = &e
	if caller, err := rd.standsWith(&e); caller != 0 || err != nil {
		return group{}, false, err
	}
	g.head = at
	if e.called && e.caller == 0 {
		g.results, err = rd.results(at.slot)
	}
	return g, err == nil, err
}

// standsWith gives the slot of the message that a result stands behind, 0 for
// other messages. Whoever stands with another has nobody standing with it: a
// result of a result keeps its own place.
func (rd *reading) standsWith(e *entry) (uint64, error) {
	if e.caller == 0 {
		return 0, nil
	}
	c, err := entryAt(rd.r, rd.space, rd.session, e.caller)
	if err != nil || c.caller != 0 {
		return 0, err
	}
	return e.caller, nil
}

// results gives the results that stand with the message at a slot.
func (rd *reading) results(slot uint64) ([]stop, error) {
	list, err := resultsAt(rd.r, rd.space, rd.session, slot)
	if err != nil {
		return nil, err
	}
	type ranked struct {
		result
		stop
		rank conflict.Rank
	}
	all := make([]ranked, len(list))
	for i, one := range list {
		e, err := entryAt(rd.r, rd.space, rd.session, one.slot)
		if err != nil {
			return nil, err
		}
		op, _, err := opAt(rd.r, rd.space, e.shown)
		if err != nil {
			return nil, err
		}
		all[i] = ranked{one, stop{slot: one.slot, entry: &e, call: one.index}, rankOf(&op)}
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.index, b.index), a.rank.Compare(b.rank)) })
	stops := make([]stop, len(all))
	for i := range all {
		stops[i] = all[i].stop
	}
	return stops, nil
}

// line yields the messages of the line, as [reading.groups] does.
func (rd *reading) line(slot uint64, back bool) iter.Seq2[stop, error] {
	return func(yield func(stop, error) bool) {
		slot, begun, err := rd.within(slot, back)
		if err != nil {
			yield(stop{}, err)
			return
		}
		for _, at := range begun {
			if !yield(at, nil) {
				return
			}
		}
		for g, err := range rd.groups(slot, back) {
			if err != nil {
				yield(stop{}, err)
				return
			}
			for _, at := range g.stops(back) {
				if !yield(at, nil) {
					return
				}
			}
		}
	}
}

// stops lists the messages of a group.
func (g *group) stops(back bool) []stop {
	list := append([]stop{g.head}, g.results...)
	if back {
		slices.Reverse(list)
	}
	return list
}

// within gives what is left of the group of the message at slot, behind it or
// before it, and the slot from which on whole groups follow.
func (rd *reading) within(slot uint64, back bool) (head uint64, rest []stop, err error) {
	if slot == 0 {
		return 0, nil, nil
	}
	head, err = rd.headOf(slot)
	if err != nil {
		return 0, nil, err
	}
	g, _, err := rd.groupOf(stop{slot: head})
	if err != nil {
		return 0, nil, err
	}
	list := g.stops(back)
	at := slices.IndexFunc(list, func(s stop) bool { return s.slot == slot })
	return head, list[at+1:], nil
}

// headOf gives the slot of the message that heads the group of the one at slot.
func (rd *reading) headOf(slot uint64) (uint64, error) {
	e, err := entryAt(rd.r, rd.space, rd.session, slot)
	if err != nil {
		return 0, err
	}
	caller, err := rd.standsWith(&e)
	return cmp.Or(caller, slot), err
}
