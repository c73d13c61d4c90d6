package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AllCalls gives the explicit calls of the plan and those that its workload
// draws from the seed, ascending by time.
func (p *Plan) AllCalls(seed uint64) []Call {
	calls := append(slices.Clone(p.Calls), p.expand(split(seed, "calls"), split(seed, "calls", "details"))...)
	slices.SortStableFunc(calls, func(a, b Call) int { return cmp.Compare(a.At, b.At) })
	return calls
}

// expand draws the calls of a plan's workload.
func (p *Plan) expand(rng, details *rand.Rand) []Call {
	if p.Workload == nil {
		return nil
	}
	l := *p.Workload
	l.Every = cmp.Or(l.Every, time.Second)
	l.Until = cmp.Or(l.Until, p.Length)
	l.Sessions = max(l.Sessions, 1)
	l.Clients = max(l.Clients, 1)
	if len(l.Spaces) == 0 {
		l.Spaces = []string{"default"}
	}
	if len(l.Mix) == 0 {
		l.Mix = defaultMix
	}
	var calls []Call
	for _, space := range l.Spaces {
		calls = append(calls, p.openings(&l, space)...)
	}
	for i := range l.Clients {
		calls = append(calls, p.daily(&l, fmt.Sprintf("c%d", i), i, rng)...)
	}
	for i := range calls {
		p.detail(&l, &calls[i], details)
	}
	return calls
}

// lateRetry is how long after a call a late retry of it comes, at least: longer
// than a stream remembers message ids.
const lateRetry = dedupWindow + 10*time.Second

// extraSessions are those that anybody opens, in any way, and more than once.
const extraSessions = 3

// detail draws what makes a call unusual.
func (p *Plan) detail(l *Workload, c *Call, rng *rand.Rand) {
	write := c.Kind != CallRead && c.Kind != CallChanges
	if c.Client != "opener" && l.Mix[CallOpen] > 0 && (c.Kind == CallOpen && rng.IntN(2) == 0 || rng.IntN(8) == 0) {
		c.Session = fmt.Sprintf("o%d", rng.IntN(extraSessions))
	}
	if c.Kind == CallOpen && c.Client != "opener" { // once more, at another node perhaps
		c.Order, c.TTL = orderOfSession(c.Session), l.TTL
		if c.Session[0] == 'o' && rng.IntN(2) == 0 {
			c.Order = "chat"
		}
	}
	if write && c.Kind != CallOpen && l.Match > 0 && rng.Float64() < l.Match {
		c.IfMatch = true
	}
	if write && c.Keyed && l.Late > 0 && rng.Float64() < l.Late {
		r := Retry{After: lateRetry + time.Duration(rng.Int64N(int64(lateRetry))), Always: rng.IntN(2) == 0}
		if sites := p.sites(l, c.Space); rng.IntN(2) == 0 && len(sites) > 0 {
			r.Node = sites[rng.IntN(len(sites))]
		}
		c.Retries = append(c.Retries, r)
	}
	if (c.Kind == CallAppend || c.Kind == CallPatch) && len(c.Retries) == 0 {
		c.Reuse = rng.Float64() < l.Reuse
	}
}

// defaultMix is how often clients ask for what.
var defaultMix = map[CallKind]int{CallAppend: 50, CallPatch: 15, CallRead: 12, CallEdit: 5, CallRedact: 1, CallAdd: 6, CallInsert: 4,
	CallRemove: 2, CallMove: 3, CallErase: 0, CallChanges: 1}

// moves are what clients ask for; an ended session is of little use, so that it
// is reopened more often than ended.
var moves = [...]string{"active", "paused", "active", "paused", "active", "reopened", "reopened", "ended"}

// sites are the nodes at which clients of a space can be.
func (p *Plan) sites(l *Workload, space string) []string {
	var list []string
	for _, n := range p.Nodes {
		at := !n.Core && (space == "default" || slices.Contains(n.Spaces, "*") || slices.Contains(n.Spaces, space))
		if len(l.Nodes) > 0 {
			at = slices.Contains(l.Nodes, n.Name)
		}
		if at || n.Core && l.AtCores {
			list = append(list, n.Name)
		}
	}
	return list
}

// openings opens each session at one node, early on.
func (p *Plan) openings(l *Workload, space string) []Call {
	var calls []Call
	sites := p.sites(l, space)
	for s := range l.Sessions {
		if len(sites) == 0 {
			continue
		}
		name := fmt.Sprintf("s%d", s)
		calls = append(calls, Call{At: time.Duration(s+1) * time.Millisecond, Client: "opener", Node: sites[s%len(sites)],
			Space: space, Session: name, Kind: CallOpen, Order: orderOfSession(name), TTL: l.TTL, Keyed: true})
	}
	return calls
}

// orderOfSession makes one session in three a group chat.
func orderOfSession(name string) string {
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "s")); err == nil && n%3 == 2 {
		return "chat"
	}
	return "turns"
}

// daily draws the calls of one client.
func (p *Plan) daily(l *Workload, name string, i int, rng *rand.Rand) []Call {
	var calls []Call
	space := l.Spaces[i%len(l.Spaces)]
	sites := p.sites(l, space)
	if len(sites) == 0 {
		return nil
	}
	site := sites[i/len(l.Spaces)%len(sites)]
	for at := pause(l.Every, rng); at < l.Until; at += pause(l.Every, rng) {
		if rng.Float64() < l.Roam {
			site = sites[rng.IntN(len(sites))]
		}
		session := 0
		if rng.Float64() >= l.Same {
			session = rng.IntN(l.Sessions)
		}
		c := Call{At: at, Client: name, Node: site, Space: space, Session: fmt.Sprintf("s%d", session), Kind: draw(l.Mix, rng),
			Target: rng.IntN(setCount), Core: rng.Float64() < l.Core, Keyed: rng.Float64() < l.Keyed}
		switch c.Kind {
		case CallAppend:
			c.Batch = 1 + rng.IntN(max(l.Batch, 1))
		case CallMove:
			c.To = moves[rng.IntN(len(moves))]
		case CallPatch:
			c.IfMatch = rng.IntN(8) == 0
		}
		if c.Keyed && c.Kind != CallRead && c.Kind != CallChanges {
			c.Retries = retries(sites, rng)
		}
		calls = append(calls, c)
	}
	return calls
}

// retries draws how a client asks again: soon, here or elsewhere, and now and
// then although it was answered.
func retries(sites []string, rng *rand.Rand) []Retry {
	var list []Retry
	after := time.Duration(0)
	for range rng.IntN(3) {
		after += time.Duration(100+rng.IntN(9000)) * time.Millisecond
		r := Retry{After: after, Always: rng.IntN(4) == 0}
		if rng.IntN(3) == 0 {
			r.Node = sites[rng.IntN(len(sites))]
		}
		list = append(list, r)
	}
	return list
}

// pause draws an exponential pause.
func pause(mean time.Duration, rng *rand.Rand) time.Duration {
	return max(time.Duration(rng.ExpFloat64()*float64(mean)), time.Microsecond)
}

// draw chooses a kind by weight.
func draw(mix map[CallKind]int, rng *rand.Rand) CallKind {
	total := 0
	for k := CallOpen; k <= CallText; k++ {
		total += mix[k]
	}
	at := rng.IntN(max(total, 1))
	for k := CallOpen; k <= CallText; k++ {
		if at -= mix[k]; at < 0 {
			return k
		}
	}
	return CallRead
}
