package live

import (
	"maps"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// shortestTTL keeps a session from expiring between two looks at it.
const shortestTTL = 2 * time.Second

// scaled gives a copy of the plan whose times pass speed times faster, with all
// its calls as explicit ones. Delays of links and the time to settle are those
// of real programs and stay.
func scaled(p *sim.Plan, seed uint64, speed float64) *sim.Plan {
	faster := func(d time.Duration) time.Duration { return time.Duration(float64(d) / speed) }
	q := *p
	q.Calls, q.Workload = p.AllCalls(seed), nil
	q.Length, q.Expect.Within = faster(p.Length), p.Expect.Within
	q.Expect.Counts = slices.Clone(p.Expect.Counts)
	for i := range q.Expect.Counts {
		c := &q.Expect.Counts[i]
		c.From, c.To = faster(c.From), faster(c.To)
	}
	if q.Settle <= 0 {
		q.Settle = defaultSettle
	}
	q.Nodes = slices.Clone(p.Nodes)
	for i := range q.Nodes {
		q.Nodes[i].Labels = maps.Clone(q.Nodes[i].Labels)
		q.Nodes[i].Join = faster(q.Nodes[i].Join)
	}
	for i := range q.Calls {
		c := &q.Calls[i]
		c.At = faster(c.At)
		if c.TTL > 0 {
			c.TTL = max(faster(c.TTL), shortestTTL)
		}
		c.Retries = slices.Clone(c.Retries)
		for k := range c.Retries {
			c.Retries[k].After = faster(c.Retries[k].After)
		}
	}
	q.Faults = slices.Clone(p.Faults)
	for i := range q.Faults {
		f := &q.Faults[i]
		f.At, f.For, f.Up, f.Down, f.Ago = faster(f.At), faster(f.For), faster(f.Up), faster(f.Down), faster(f.Ago)
	}
	return &q
}
