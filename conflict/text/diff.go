package text

import "slices"

// side tells from which versions an event can be reached.
type side uint8

const (
	sideA side = 1 << iota
	sideB
)

// headed is an event to be visited by a walk into the past.
type headed struct {
	v  lv
	of side
}

func (g *graph) push(h headed) {
	g.heap = append(g.heap, h)
	for i := len(g.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if g.heap[up].v >= g.heap[i].v {
			return
		}
		g.heap[up], g.heap[i] = g.heap[i], g.heap[up]
		i = up
	}
}

func (g *graph) pop() headed {
	top := g.heap[0]
	last := len(g.heap) - 1
	g.heap[0] = g.heap[last]
	g.heap = g.heap[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			return top
		}
		if c+1 < last && g.heap[c+1].v > g.heap[c].v {
			c++
		}
		if g.heap[i].v >= g.heap[c].v {
			return top
		}
		g.heap[i], g.heap[c] = g.heap[c], g.heap[i]
		i = c
	}
}

// diff returns the events in the past of version a (itself included) that are
// not in that of b, and the other way round, both in descending order,
// appended to onlyA and onlyB.
func (g *graph) diff(a, b []lv, onlyA, onlyB []span) ([]span, []span) {
	g.heap = g.heap[:0]
	for _, v := range a {
		g.push(headed{v, sideA})
	}
	for _, v := range b {
		g.push(headed{v, sideB})
	}
	open := len(g.heap) // entries of one side only
	i := len(g.entries)
	for open > 0 {
		h := g.pop()
		open -= oneSided(h.of)
		for len(g.heap) > 0 && g.heap[0].v == h.v {
			twin := g.pop()
			open -= oneSided(twin.of)
			h.of |= twin.of
		}
		if i == len(g.entries) || g.entries[i].from > h.v {
			i = g.entryFrom(min(i, len(g.entries)-1), h.v)
		}
		e := &g.entries[i]
		from := e.from
		inside := len(g.heap) > 0 && g.heap[0].v >= from
		if inside {
			from = g.heap[0].v + 1
		}
		switch h.of {
		case sideA:
			onlyA = append(onlyA, span{from, h.v + 1})
		case sideB:
			onlyB = append(onlyB, span{from, h.v + 1})
		}
		if inside {
			g.push(headed{from - 1, h.of})
			open += oneSided(h.of)
			continue
		}
		for _, p := range g.parentsAt(e) {
			g.push(headed{p, h.of})
			open += oneSided(h.of)
		}
	}
	return onlyA, onlyB
}

func oneSided(s side) int {
	if s == sideA|sideB {
		return 0
	}
	return 1
}

// covers reports whether v is in the past of version, itself included.
func (g *graph) covers(version []lv, v lv) bool {
	e := g.entryOf(v)
	to := g.entries[e].to
	for _, h := range version {
		if h >= v && h < to {
			return true
		}
	}
	g.heap = g.heap[:0]
	for _, h := range version {
		if h > v {
			g.push(headed{v: h})
		}
	}
	for len(g.heap) > 0 {
		h := g.pop().v
		for len(g.heap) > 0 && g.heap[0].v >= g.entries[g.entryOf(h)].from {
			g.pop() // in the past of h
		}
		e := &g.entries[g.entryOf(h)]
		if e.from <= v {
			return true // h and v are in one entry
		}
		for _, p := range g.parentsAt(e) {
			if p >= v {
				if p < to {
					return true
				}
				g.push(headed{v: p})
			}
		}
	}
	return false
}

// maximal returns those of the events that are in no other's past, ascending,
// without repetition. It reorders the slice it is given.
func (g *graph) maximal(events []lv) []lv {
	slices.Sort(events)
	events = slices.Compact(events)
	if len(events) < 2 {
		return events
	}
	// Walk down from all of them together; what the walk reaches from above is
	// in another's past.
	least := events[0]
	reached := make(map[lv]bool)
	g.heap = g.heap[:0]
	for _, v := range events {
		g.push(headed{v: v, of: sideA}) // sideA: one of the events
	}
	for len(g.heap) > 0 {
		h := g.pop()
		for len(g.heap) > 0 && g.heap[0].v == h.v {
			twin := g.pop()
			if h.of|twin.of == sideA|sideB {
				reached[h.v] = true
			}
			h.of |= twin.of
		}
		e := &g.entries[g.entryOf(h.v)]
		if len(g.heap) > 0 && g.heap[0].v >= e.from {
			g.push(headed{g.heap[0].v, sideB})
			continue
		}
		for _, p := range g.parentsAt(e) {
			if p >= least {
				g.push(headed{p, sideB})
			}
		}
	}
	return slices.DeleteFunc(events, func(v lv) bool { return reached[v] })
}
