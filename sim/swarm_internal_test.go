package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The swarm draws every kind of fault in every form, and every kind of client.
func TestSwarmDrawsEverything(t *testing.T) {
	t.Parallel()
	drawn := map[string]int{}
	const seeds = 500
	for seed := range uint64(seeds) {
		p := Draw(seed, Shape{Cores: 3, Edges: 5})
		is := func(what string, yes bool) { drawn[what] += map[bool]int{true: 1}[yes] }
		for i := range p.Faults {
			f := &p.Faults[i]
			drawn[f.Kind.String()]++
			is("bit flip of any record", f.Class == "any")
			is("silent restore", f.Kind == Restore && f.Silent)
			is("silent clone", f.Kind == Clone && f.Silent)
			is("cut copy of a stream", f.Cut)
			is("loss at the leaders", f.Kind == StreamLoss && len(f.Nodes) == 0)
			is("suspend", f.Suspend)
			is("clock wrong by years", f.Kind == ClockStep && f.Delay.Abs().Hours() > 24*365)
			is("one-way partition", f.Kind == Partition && f.Direction != Both)
			is("partial partition", f.Kind == Partition && len(f.Peers) > 0)
			is("whole core down", f.Kind == Crash && len(f.Nodes) == 3)
		}
		for _, n := range p.Nodes {
			is("late join", n.Join > 0)
			is("wrong clock", n.Offset != 0)
			is("compression", n.Compress)
		}
		is("nobody knows the time", len(p.Time.Servers) == 0)
		is("an edge asks time servers", slices.ContainsFunc(p.Nodes, func(n NodePlan) bool { return n.NTP }))
		for c := Lying; c <= Slowing; c++ {
			bad := 0
			for _, s := range p.Time.Servers {
				if s.Conduct == c {
					bad++
				}
			}
			is(fmt.Sprint("time server of conduct ", c), bad > 0)
			is("half of the time servers lie", c == Lying && bad > 0 && 2*bad == len(p.Time.Servers))
		}
		is("TCP", !p.Messages)
		is("little credit", p.Window > 0)
		is("small frames", p.Budget > 0)
		is("bad times of links", p.Net.Burst.Enter > 0)
		is("a gap in reordering", p.Net.ReorderGap > 0)
		is("links of their own", len(p.Links) > 0)
		is("calm", len(p.Faults) == 0 && len(p.Expect.Without) > 0)
		is("a core node that leaves", slices.ContainsFunc(p.Faults, func(f Fault) bool {
			return f.Kind == Leave && strings.HasPrefix(f.Nodes[0], "core")
		}))
		is("two spaces", len(p.Workload.Spaces) == 2)
		is("expiry", p.Workload.TTL > 0)
		is("calls at core nodes", p.Workload.AtCores)
		is("erasure", p.Workload.Mix[CallErase] > 0)
		for _, c := range p.AllCalls(seed) {
			drawn["call "+fmt.Sprint(c.Kind)]++
			is("If-Match", c.IfMatch)
			is("If-Match beyond patches", c.IfMatch && c.Kind != CallPatch)
			is("the key of another request", c.Reuse)
			is("retry beyond the window of message ids", slices.ContainsFunc(c.Retries, func(r Retry) bool { return r.After > dedupWindow }))
			is("retry elsewhere", len(c.Retries) > 0 && c.Retries[0].Node != "")
			is("retry of what was answered", len(c.Retries) > 0 && c.Retries[0].Always)
		}
	}
	for k := Partition; k <= Upgrade; k++ {
		drawn[k.String()] += 0
	}
	for k := CallOpen; k <= CallChanges; k++ {
		drawn["call "+fmt.Sprint(k)] += 0
	}
	for what, n := range drawn {
		if n < seeds/100 {
			t.Errorf("%s was drawn %d times in %d seeds, want %d at least", what, n, seeds, seeds/100)
		}
	}
}
