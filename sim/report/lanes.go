package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// lane is one row of the diagram.
type lane struct {
	Name  string   `json:"name"`
	Role  string   `json:"role"`            // "core", "edge", "other" or "rest"
	Nodes []string `json:"nodes,omitempty"` // of the lane "rest": who shares it
	Gaps  []gap    `json:"gaps,omitempty"`
}

// gap is a time in which a node does not run.
type gap struct {
	From int64  `json:"a"` // µs
	To   int64  `json:"b"`
	Why  string `json:"why"`
	Open bool   `json:"open,omitempty"` // it did not come back
}

// lanesOf gives the lanes: core nodes and edges, clones below their node, and
// whatever else has events below the core. Of too many, those with problems, faults and the most
// events have their own; the others share the last one.
func lanesOf(r *sim.Result, problems []problem) []lane {
	events := map[string]int{}
	for i := range r.Trace {
		if e := &r.Trace[i]; e.Node != "" {
			events[e.Node]++
		}
	}
	var cores, edges, others []lane
	planned := map[string]bool{}
	for _, n := range r.Plan.Nodes {
		planned[n.Name] = true
		if n.Core {
			cores = append(cores, lane{Name: n.Name, Role: "core"})
		} else {
			edges = append(edges, lane{Name: n.Name, Role: "edge"})
		}
	}
	for name := range events {
		if !planned[name] {
			others = append(others, lane{Name: name, Role: "other"})
		}
	}
	slices.SortFunc(others, func(a, b lane) int { return cmp.Compare(a.Name, b.Name) })
	all := slices.Concat(cores, edges)
	for _, l := range slices.Backward(others) {
		all = besideItsNode(all, l, len(cores))
	}
	if len(all) > MaxLanes {
		all = fewer(all, weights(r, problems, events))
	}
	gaps := gapsOf(r)
	for i := range all {
		all[i].Gaps = gaps[all[i].Name]
	}
	return all
}

// besideItsNode puts the lane of a clone, whose name is that of its node with a
// plus and more behind it, below its node, and any other lane below the core.
func besideItsNode(all []lane, l lane, cores int) []lane {
	node, _, _ := strings.Cut(l.Name, "+")
	if i := slices.IndexFunc(all, func(o lane) bool { return o.Name == node && o.Name != l.Name }); i >= 0 {
		l.Role = all[i].Role
		return slices.Insert(all, i+1, l)
	}
	return slices.Insert(all, cores, l)
}

// weights says how much a node deserves a lane of its own.
func weights(r *sim.Result, problems []problem, events map[string]int) map[string]int {
	const fault, broken = 1 << 40, 1 << 50
	weight := map[string]int{}
	for name, n := range events {
		weight[name] += n
	}
	for _, f := range r.Plan.Faults {
		if len(f.Nodes) > MaxLanes/2 {
			continue // befalls so many that it distinguishes nobody
		}
		for _, name := range slices.Concat(f.Nodes, f.Peers) {
			weight[name] += fault
		}
	}
	for _, p := range problems {
		weight[p.Node] += broken
		for _, id := range p.Calls {
			if id >= 0 && id < len(r.History.Calls) {
				weight[r.History.Calls[id].Node] += broken
			}
		}
	}
	return weight
}

// fewer keeps MaxLanes-1 lanes, all core nodes among them as far as there is
// room, and puts the others into one.
func fewer(all []lane, weight map[string]int) []lane {
	ranked := slices.Clone(all)
	slices.SortStableFunc(ranked, func(a, b lane) int {
		if (a.Role == "core") != (b.Role == "core") {
			if a.Role == "core" {
				return -1
			}
			return 1
		}
		return cmp.Compare(weight[b.Name], weight[a.Name])
	})
	keep := map[string]bool{}
	for _, l := range ranked[:MaxLanes-1] {
		keep[l.Name] = true
	}
	var kept []lane
	rest := lane{Role: "rest"}
	for _, l := range all {
		if keep[l.Name] {
			kept = append(kept, l)
		} else {
			rest.Nodes = append(rest.Nodes, l.Name)
		}
	}
	rest.Name = number(len(rest.Nodes)) + " others"
	return append(kept, rest)
}

// gapsOf gives the times in which nodes do not run, by name: before they join,
// from a crash to the next start, and while they are frozen.
func gapsOf(r *sim.Result) map[string][]gap {
	gaps := map[string][]gap{}
	down := map[string]time.Duration{}
	for _, n := range r.Plan.Nodes {
		if n.Join > 0 {
			down[n.Name] = 0
			if len(r.Trace) == 0 {
				gaps[n.Name] = append(gaps[n.Name], gap{To: micros(n.Join), Why: "not there yet"})
				delete(down, n.Name)
			}
		}
	}
	begun := map[string]bool{}
	for i := range r.Trace {
		e := &r.Trace[i]
		from, isDown := down[e.Node]
		switch {
		case e.Kind == sim.EvCrash && !isDown:
			down[e.Node] = e.At
		case e.Kind == sim.EvStart && !begun[e.Node] && e.At > 0:
			gaps[e.Node] = append(gaps[e.Node], gap{To: micros(e.At), Why: "not there yet"})
			delete(down, e.Node)
		case e.Kind == sim.EvStart && isDown:
			gaps[e.Node] = append(gaps[e.Node], gap{From: micros(from), To: micros(e.At), Why: "down"})
			delete(down, e.Node)
		}
		begun[e.Node] = begun[e.Node] || e.Kind == sim.EvStart || e.Kind == sim.EvCrash
	}
	for name, from := range down { // each into its own list: the order does not show
		gaps[name] = append(gaps[name], gap{From: micros(from), To: micros(r.Simulated), Why: "down", Open: true})
	}
	for _, f := range r.Plan.Faults {
		if f.Kind != sim.Pause {
			continue
		}
		end, _ := faultEnd(r, f)
		for _, name := range f.Nodes {
			gaps[name] = append(gaps[name], gap{From: micros(f.At), To: micros(end), Why: "frozen"})
		}
	}
	return gaps
}
