package scenario

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// What a workload that does not say otherwise gets.
func defaultWorkload() *sim.Workload {
	return &sim.Workload{Clients: 5, Sessions: 3, Every: 10 * time.Second, Batch: 1}
}

// workload reads what clients do by chance.
func (b *builder) workload(v *value) {
	if v == nil {
		return
	}
	w := defaultWorkload()
	b.plan.Workload = w
	o := b.object(v, "clients", "sessions", "spaces", "every", "until", "roam", "same", "keyed", "reuse", "late",
		"if_match", "core", "batch", "mix", "ttl", "at_cores", "nodes")
	b.count(o.at("clients"), 1, &w.Clients)
	b.count(o.at("sessions"), 1, &w.Sessions)
	b.texts(o.at("spaces"), &w.Spaces)
	b.spacePatterns(o.at("spaces"), w)
	if b.duration(o.at("every"), &w.Every) && w.Every == 0 {
		b.fail(o.at("every"), "0s", "a pause between the calls of one client, like 10s")
	}
	b.when(o, "until", &w.Until)
	b.percent(o.at("roam"), &w.Roam)
	b.percent(o.at("same"), &w.Same)
	b.percent(o.at("keyed"), &w.Keyed)
	b.percent(o.at("reuse"), &w.Reuse)
	b.percent(o.at("late"), &w.Late)
	b.percent(o.at("if_match"), &w.Match)
	b.percent(o.at("core"), &w.Core)
	b.count(o.at("batch"), 0, &w.Batch)
	b.mix(o.at("mix"), w)
	b.duration(o.at("ttl"), &w.TTL)
	b.boolean(o.at("at_cores"), &w.AtCores)
	b.refs(o.at("nodes"), &w.Nodes)
	if !b.drawn {
		b.checkWorkload(o, w)
	}
}

// spacePatterns puts the spaces that edges carry in the place of patterns.
func (b *builder) spacePatterns(v *value, w *sim.Workload) {
	if b.drawn || !slices.ContainsFunc(w.Spaces, func(s string) bool { return strings.Contains(s, "*") }) {
		return
	}
	var out []string
	for _, s := range w.Spaces {
		if !strings.Contains(s, "*") {
			out = append(out, s)
			continue
		}
		before, matches := len(out), glob(s)
		for _, n := range b.plan.Nodes {
			for _, space := range n.Spaces {
				if space != "*" && matches(space) && !slices.Contains(out, space) {
					out = append(out, space)
				}
			}
		}
		if len(out) == before {
			b.fail(v, strconv.Quote(s)+", which matches no space", "a space that an edge carries")
		}
	}
	w.Spaces = out
}

// mix reads how often each kind of call is drawn, as weights.
func (b *builder) mix(v *value, w *sim.Workload) {
	if v == nil {
		return
	}
	o := b.object(v, callWords...)
	w.Mix = map[sim.CallKind]int{}
	total := 0
	for kind, word := range callWords {
		if weight := o.at(word); weight != nil {
			n := 0
			b.count(weight, 0, &n)
			w.Mix[sim.CallKind(kind)] = n
			total += n
		}
	}
	if v.form == mapping && total == 0 && !b.drawn && len(b.faults) == 0 {
		b.fail(v, "no kind of call with a weight", "at least one, like append: 5")
	}
}

// checkWorkload looks for spaces that nobody carries.
func (b *builder) checkWorkload(o object, w *sim.Workload) {
	where := w.Nodes
	if len(where) == 0 {
		for _, n := range b.plan.Nodes {
			if !n.Core || w.AtCores {
				where = append(where, n.Name)
			}
		}
	}
	if len(where) == 0 {
		b.fail(o.value, "a workload without edges", "edges, nodes: or at_cores: true")
		return
	}
	for _, space := range w.Spaces {
		if !words.MatchString(space) {
			b.fail(o.at("spaces"), strconv.Quote(space), wordsRule)
			continue
		}
		held := slices.ContainsFunc(where, func(name string) bool {
			n, _ := b.node(name)
			return carries(n, space)
		})
		if !held {
			b.fail(o.at("spaces"), strconv.Quote(space)+", which no node of the workload carries", "spaces: at one of them")
		}
	}
}
