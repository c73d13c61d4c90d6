package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// rate is a row of the table of chances.
type rate struct {
	What, Nominal, Theory, Measured, Drawn string
	Off                                    bool // what comes of it is far from what was asked for
}

// ratesOf compares chances with what came of them.
func ratesOf(r *sim.Result) []rate {
	out := make([]rate, 0, len(r.Rates))
	for _, x := range r.Rates[:min(len(r.Rates), MaxFaults)] {
		out = append(out, rate{
			What: clip(x.What, MaxText), Nominal: percent(x.Nominal), Theory: percent(x.Theory),
			Measured: percent(x.Measured), Drawn: number(x.Drawn),
			Off: x.Theory < 0.8*x.Nominal || x.Theory > 1.25*x.Nominal,
		})
	}
	return out
}

// count is how often something was noticed.
type count struct{ Name, Times string }

// factsOf lists the facts, the most frequent first.
func factsOf(r *sim.Result) []count {
	names := slices.SortedFunc(maps.Keys(r.Facts), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Facts[b], r.Facts[a]), strings.Compare(a, b))
	})
	out := make([]count, 0, len(names))
	for _, name := range names {
		out = append(out, count{clip(strings.ReplaceAll(name, "_", " "), MaxText), number(r.Facts[name])})
	}
	return out
}

// bound is the largest size that something had, beside its bound.
type bound struct {
	What, Largest, Max, Node, When string
	Share                          int // of the bound, in thousandths, at most 1000
	Over                           bool
}

// boundsOf gives the largest sample of each thing that must stay bounded.
func boundsOf(r *sim.Result) []bound {
	largest := map[string]check.Sample{}
	share := func(s check.Sample) float64 {
		if s.Max <= 0 {
			return float64(s.Value)
		}
		return float64(s.Value) / float64(s.Max)
	}
	for _, s := range r.History.Samples {
		if old, seen := largest[s.What]; !seen || share(s) > share(old) {
			largest[s.What] = s
		}
	}
	var out []bound
	for _, what := range slices.Sorted(maps.Keys(largest)) {
		s := largest[what]
		out = append(out, bound{
			What: clip(what, MaxText), Largest: number(s.Value), Max: number(s.Max), Node: s.Node, When: moment(s.At),
			Share: int(min(max(share(s), 0), 1) * 1000), Over: s.Value > s.Max,
		})
	}
	return out
}

// tally counts the calls of one kind.
type tally struct {
	Do                        string
	Calls, OK, Core, NoAnswer string
	Refused                   string // with codes
}

// talliesOf counts calls by what they asked for and how they ended.
func talliesOf(r *sim.Result) []tally {
	type sums struct {
		calls, ok, core, silent, refused int
		codes                            map[string]int
	}
	kinds := map[check.Action]*sums{}
	for i := range r.History.Calls {
		c := &r.History.Calls[i]
		s := kinds[c.Do]
		if s == nil {
			s = &sums{codes: map[string]int{}}
			kinds[c.Do] = s
		}
		s.calls++
		switch c.Outcome {
		case check.OK:
			s.ok++
			if c.Core {
				s.core++
			}
		case check.Refused:
			s.refused++
			s.codes[c.Code]++
		case check.NoAnswer:
			s.silent++
		}
	}
	var out []tally
	for _, do := range slices.Sorted(maps.Keys(kinds)) {
		s := kinds[do]
		t := tally{Do: strings.ReplaceAll(do.String(), "_", " "), Calls: number(s.calls), OK: number(s.ok),
			Core: number(s.core), NoAnswer: number(s.silent), Refused: number(s.refused)}
		if s.refused > 0 {
			var named []string
			for _, code := range slices.Sorted(maps.Keys(s.codes)) {
				named = append(named, clip(code, MaxText)+" × "+number(s.codes[code]))
			}
			t.Refused += " (" + list(named, 6) + ")"
		}
		out = append(out, t)
	}
	return out
}
