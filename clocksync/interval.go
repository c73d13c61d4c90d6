package clocksync

import (
	"cmp"
	"slices"
	"time"
)

// Interval is where true time lies, in the opinion of one source: relative to
// whatever all intervals of a comparison are relative to. Lo <= Hi, both count.
type Interval struct{ Lo, Hi time.Duration }

// Mid is the middle of i.
func (i Interval) Mid() time.Duration { return i.Lo + (i.Hi-i.Lo)/2 }

// Overlaps reports whether i and j share a point.
func (i Interval) Overlaps(j Interval) bool { return i.Lo <= j.Hi && j.Lo <= i.Hi }

// Agree finds where true time is if more than half of the intervals contain
// it: from the first to the last point that lies in more than half of them. It
// reports which intervals reach into the result (the others are falsetickers)
// and false if no majority agrees anywhere.
//
// Invariant: if at most a minority is wrong, the result contains the truth.
//
// Source: Marzullo 1984; RFC 5905, 11.2.1. Differs: the result is where a
// majority meets, not where most meet, which a liar that reaches into the
// honest ones' edge could choose; and the middles of the intervals need not
// lie in the result, so that honest sources behind asymmetric paths stay.
func Agree(all []Interval) (Interval, []bool, bool) {
	found, ok := meet(all, len(all)/2+1)
	if !ok {
		return Interval{}, nil, false
	}
	members := make([]bool, len(all))
	for i, v := range all {
		members[i] = v.Overlaps(found)
	}
	return found, members, true
}

// meet gives from the first to the last point that lies in so many intervals at
// least; false if there is none.
func meet(all []Interval, need int) (found Interval, ok bool) {
	type edge struct {
		at  time.Duration
		end bool
	}
	edges := make([]edge, 0, 2*len(all))
	for _, i := range all {
		edges = append(edges, edge{i.Lo, false}, edge{i.Hi, true})
	}
	slices.SortFunc(edges, func(a, b edge) int { // beginnings first: touching is agreeing
		return cmp.Or(cmp.Compare(a.at, b.at), compareBool(a.end, b.end))
	})
	depth := 0
	for _, e := range edges {
		if e.end {
			if depth == need {
				found.Hi = e.at
			}
			depth--
			continue
		}
		if depth++; depth == need && !ok {
			found.Lo, ok = e.at, true
		}
	}
	return found, ok
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// combine weighs the middles of the intervals by how narrow they are and gives
// a point within. Source: RFC 5905, 11.2.3, clock combine.
func combine(within Interval, members []Interval) time.Duration {
	var sum, weights int64
	for _, m := range members {
		w := int64(1e12) / int64(max((m.Hi-m.Lo)/2, minError))
		at := min(max(m.Mid(), within.Lo), within.Hi)
		sum += int64(at-within.Lo) * w / int64(len(members))
		weights += w / int64(len(members))
	}
	if weights == 0 {
		return within.Mid()
	}
	return within.Lo + time.Duration(sum/weights)
}
