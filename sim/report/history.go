package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// story is the history of one session.
type story struct {
	Space    string   `json:"space"`
	Session  string   `json:"session"`
	Problems int      `json:"problems"`
	Total    int      `json:"total"` // calls
	Nodes    []string `json:"nodes"` // whose columns follow each write
	More     int      `json:"more"`  // nodes without a column
	How      string   `json:"how"`   // "commits" or "reads": how it is known who held what
	Calls    []row    `json:"calls"`
	Ends     []ending `json:"ends"`
}

// row is one call.
type row struct {
	ID     int     `json:"id"`
	At     int64   `json:"t"`
	Took   int64   `json:"d"` // -1: no answer
	Client string  `json:"c"`
	Node   string  `json:"n"`
	Do     string  `json:"do"`
	Asks   string  `json:"asks,omitempty"`
	End    string  `json:"end"` // "ok", "core", "refused" or "none"
	Says   string  `json:"says,omitempty"`
	Held   []int64 `json:"held,omitempty"` // since the call began, by column; or one of the below
	Bad    bool    `json:"bad,omitempty"`  // a violation names it
}

// What row.Held says besides times.
const (
	never   = -1
	foreign = -2 // the node does not carry the space
	before  = -3 // it was there already: the call repeats one
)

// place names a session, or a value, in its space.
type place struct{ space, session string }

func (p place) String() string { return p.space + "/" + p.session }

// storiesOf gives the histories of sessions: those with violations first, then
// those with the most calls, as long as there is room. It also says how many
// are left out.
func storiesOf(r *sim.Result, problems []problem) (out []json.RawMessage, left int, err error) {
	calls := map[place][]int{}
	for i := range r.History.Calls {
		if c := &r.History.Calls[i]; c.Session != "" {
			p := place{c.Space, c.Session}
			calls[p] = append(calls[p], i)
		}
	}
	broken, bad := map[string]int{}, map[int]bool{}
	for _, p := range problems {
		broken[p.Session]++
		for _, id := range p.Calls {
			bad[id] = true
		}
	}
	order := make([]place, 0, len(calls))
	for p := range calls {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b place) int {
		return cmp.Or(cmp.Compare(broken[b.String()], broken[a.String()]), cmp.Compare(len(calls[b]), len(calls[a])),
			cmp.Compare(a.space, b.space), cmp.Compare(a.session, b.session))
	})
	h := newHolders(r)
	room := MaxSessionBytes
	for i, p := range order {
		if i == MaxSessions {
			return out, len(order) - i, nil
		}
		s := h.story(p, calls[p], bad)
		s.Problems = broken[p.String()]
		data, err := json.Marshal(s)
		if err != nil {
			return nil, 0, fmt.Errorf("write session %s: %w", p, err)
		}
		if room -= len(data); room < 0 && i > 0 {
			return out, len(order) - i, nil
		}
		out = append(out, data)
	}
	return out, 0, nil
}

// story tells one session.
func (h *holders) story(p place, ids []int, bad map[int]bool) story {
	all := h.r.History.Calls
	s := story{Space: p.space, Session: p.session, Total: len(ids)}
	s.Nodes, s.More = h.columns(p, ids)
	if s.How = "commits"; !h.traced {
		s.How = "reads"
	}
	seen := h.firstReads(ids)
	for _, id := range shown(ids, bad) {
		c := &all[id]
		line := row{ID: id, At: micros(c.Begin), Took: micros(c.End - c.Begin), Client: clip(c.Client, 60), Node: c.Node,
			Do: doWords(c.Do), Asks: asksWords(c), Says: saysWords(c), Bad: bad[id]}
		switch {
		case c.Outcome == check.NoAnswer:
			line.End, line.Took = "none", -1
		case c.Outcome == check.Refused:
			line.End = "refused"
		case c.Core:
			line.End = "core"
		default:
			line.End = "ok"
		}
		if !reads(c.Do) && c.Outcome != check.Refused {
			line.Held = h.held(c, s.Nodes, seen)
		}
		s.Calls = append(s.Calls, line)
	}
	s.Ends = endingsOf(h.r, p)
	return s
}

// shown chooses the calls of a session that are listed: all, or of too many the
// first and the last, and those that a violation names.
func shown(ids []int, bad map[int]bool) []int {
	if len(ids) <= MaxCalls {
		return ids
	}
	var out []int
	named := 0
	for i, id := range ids {
		edge := i < MaxCalls/4 || i >= len(ids)-MaxCalls/2
		if !edge && bad[id] && named < MaxCalls/4 {
			named++
			edge = true
		}
		if edge {
			out = append(out, id)
		}
	}
	return out
}

// columns chooses the nodes whose view of the session is shown: those that
// carry its space, those first that clients called.
func (h *holders) columns(p place, ids []int) (nodes []string, more int) {
	called := map[string]bool{}
	for _, id := range ids {
		called[h.r.History.Calls[id].Node] = true
	}
	var others []string
	for _, n := range h.r.Plan.Nodes {
		switch {
		case called[n.Name]:
			nodes = append(nodes, n.Name)
		case carries(n, p.space):
			others = append(others, n.Name)
		}
	}
	nodes = append(nodes, others...)
	if len(nodes) > MaxColumns {
		more = len(nodes) - MaxColumns
		nodes = nodes[:MaxColumns]
	}
	rank := map[string]int{}
	for i, n := range h.r.Plan.Nodes {
		rank[n.Name] = i
	}
	slices.SortFunc(nodes, func(a, b string) int { return cmp.Compare(rank[a], rank[b]) })
	return nodes, more
}

// carries reports whether a node of the plan holds a space.
func carries(n sim.NodePlan, space string) bool {
	return n.Core || space == "default" || slices.Contains(n.Spaces, space) || slices.Contains(n.Spaces, "*")
}

// since gives how long after a call began something was, in µs.
func since(c *check.Call, when time.Duration) int64 {
	if when < c.Begin {
		return before
	}
	return micros(when - c.Begin)
}
