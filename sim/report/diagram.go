package report

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/vclock"
)

// diagram is what the page's script gets: all times in µs, events as columns,
// texts once each.
type diagram struct {
	End             int64             `json:"end"`
	Healed          int64             `json:"healed"`  // 0: never
	Settled         int64             `json:"settled"` // 0: never
	Lanes           []lane            `json:"lanes"`
	Strings         []string          `json:"strings"` // the first is empty
	Kinds           []string          `json:"kinds"`
	Events          columns           `json:"events"`
	Vectors         [][]int64         `json:"vectors"`
	Marks           []mark            `json:"marks"`
	Problems        []spot            `json:"problems"`
	Picked          int               `json:"picked"`
	Total           int               `json:"total"`
	Sessions        []json.RawMessage `json:"sessions"`
	SessionsLeftOut int               `json:"sessionsLeftOut"`
}

// columns are the events that are drawn, ascending by time. Texts and vectors
// are indexes.
type columns struct {
	At      []int64 `json:"at"`     // since the event before
	Serial  []int64 `json:"serial"` // since the event before
	Kind    []int   `json:"kind"`
	Node    []int   `json:"node"`
	Peer    []int   `json:"peer"`
	Cause   []int   `json:"cause"` // how many events before; 0: none that is drawn
	What    []int   `json:"what"`
	Detail  []int   `json:"detail"`
	Space   []int   `json:"space"`
	Session []int   `json:"session"`
	Vector  []int   `json:"vector"` // from 1; 0: none
}

// mark is a fault as it is drawn.
type mark struct {
	From  int64    `json:"a"`
	To    int64    `json:"b"` // equal to From for what happens at once
	Class string   `json:"class"`
	Name  string   `json:"name"`
	Words string   `json:"words"`
	Nodes []string `json:"nodes"`
	Peers []string `json:"peers"`
	Way   int      `json:"way"`            // as sim.Direction
	Up    int64    `json:"up,omitempty"`   // of a flapping link: works so long
	Down  int64    `json:"down,omitempty"` // and is cut so long
}

// spot is a violation as it is drawn.
type spot struct {
	At      int64  `json:"at"`
	Node    string `json:"node,omitempty"`
	Session string `json:"session,omitempty"`
	Check   string `json:"check"`
	Text    string `json:"text"`
}

// diagramOf makes the data of the diagram, with as many events as fit.
func diagramOf(r *sim.Result, problems []problem) *diagram {
	d := &diagram{
		End: micros(r.Simulated), Healed: micros(r.History.Healed), Settled: micros(r.History.Settled),
		Lanes: lanesOf(r, problems), Marks: marksOf(r), Total: len(r.Trace),
	}
	if n := len(r.Trace); n > 0 {
		d.End = max(d.End, micros(r.Trace[n-1].At))
	}
	for k := sim.EvCall; k <= sim.EvCheck; k++ {
		d.Kinds = append(d.Kinds, k.String())
	}
	for _, p := range problems[:min(len(problems), MaxProblems)] {
		d.Problems = append(d.Problems, spot{p.At, p.Node, p.Session, p.Check, p.Text})
	}
	for most, text := MaxEvents, MaxText; ; most, text = most*2/3, text*2/3 {
		enc := encoder{index: map[string]int{}, text: max(text, 24)}
		enc.encode(r.Trace, pick(r, problems, most))
		d.Events, d.Strings, d.Vectors = enc.events, enc.strings, enc.vectors
		d.Picked = len(enc.events.At)
		if enc.size() <= MaxTraceBytes || most < 100 {
			return d
		}
	}
}

// drawn says which events the diagram shows.
func (d *diagram) drawn() string {
	if d.Picked == d.Total {
		return "All " + number(d.Total) + " events of the trace are drawn."
	}
	near := "the beginnings and ends of faults"
	if len(d.Problems) > 0 {
		near = "violations, then " + near
	}
	return number(d.Picked) + " of " + number(d.Total) + " events are drawn: those nearest to " + near +
		", and an even sample of the rest. Counts and sums below speak of these only."
}

// encoder turns events into columns.
type encoder struct {
	events  columns
	strings []string
	index   map[string]int
	vectors [][]int64
	text    int // longest detail
	last    map[[2]string]int
	parsed  []vclock.Vector // of each vector
}

// size estimates the bytes of the JSON from above for texts, closely for the rest.
func (c *encoder) size() int {
	bytes := 48 * len(c.events.At)
	for _, s := range c.strings {
		bytes += len(s) + 3
		bytes += 5 * (strings.Count(s, "<") + strings.Count(s, ">") + strings.Count(s, "&"))
		for _, r := range s {
			if r < ' ' {
				bytes += 5
			}
		}
	}
	for _, v := range c.vectors {
		bytes += 2 + 8*len(v)
	}
	return bytes
}

func (c *encoder) encode(trace []sim.Event, picked []int) {
	c.intern("")
	c.last = map[[2]string]int{}
	position := make(map[uint64]int, len(picked))
	var at, serial int64
	for n, i := range picked {
		e := &trace[i]
		position[e.Serial] = n
		now := micros(e.At)
		v := &c.events
		v.At, at = append(v.At, now-at), now
		v.Serial, serial = append(v.Serial, int64(e.Serial)-serial), int64(e.Serial)
		v.Kind = append(v.Kind, int(e.Kind))
		v.Node = append(v.Node, c.intern(e.Node))
		v.Peer = append(v.Peer, c.intern(e.Peer))
		back := 0
		if cause, drawn := position[e.Cause]; drawn && e.Cause != 0 && cause < n {
			back = n - cause
		}
		v.Cause = append(v.Cause, back)
		v.What = append(v.What, c.intern(e.What))
		v.Detail = append(v.Detail, c.intern(e.Detail))
		v.Space = append(v.Space, c.intern(e.Space))
		v.Session = append(v.Session, c.intern(e.Session))
		v.Vector = append(v.Vector, c.vector(e))
	}
}

// intern gives the index of a text.
func (c *encoder) intern(text string) int {
	text = clip(text, c.text)
	if i, ok := c.index[text]; ok {
		return i
	}
	i := len(c.strings)
	c.strings = append(c.strings, text)
	c.index[text] = i
	return i
}

// vector gives the number of an event's vector: a list of a base, which is the
// number of the vector before at the same node and space, and of the entries
// that differ from it, as origin and seq. An entry of seq 0 is gone. A token
// that is none is kept as a text: base -1 and its index.
func (c *encoder) vector(e *sim.Event) int {
	if e.Vector == "" {
		return 0
	}
	place := [2]string{e.Node, e.Space}
	var out []int64
	v, err := vclock.Parse(e.Vector)
	if err != nil { // shown as it is: the page hides nothing
		out = []int64{-1, int64(c.intern(e.Vector))}
	} else {
		base := c.last[place]
		var before vclock.Vector
		if base > 0 {
			before = c.parsed[base-1]
		}
		out = c.changes(int64(base), before, v)
		c.last[place] = len(c.vectors) + 1
	}
	c.vectors = append(c.vectors, out)
	c.parsed = append(c.parsed, v)
	return len(c.vectors)
}

// changes lists what differs between two vectors.
func (c *encoder) changes(base int64, before, after vclock.Vector) []int64 {
	out := []int64{base}
	for origin, seq := range after.All() {
		if before.At(origin) != seq {
			out = append(out, int64(c.intern(string(origin))), int64(min(seq, 1<<53)))
		}
	}
	for origin := range before.All() {
		if after.At(origin) == 0 {
			out = append(out, int64(c.intern(string(origin))), 0)
		}
	}
	return out
}

// marksOf gives the faults to be drawn, the longest-lasting first, so that short
// ones are drawn over them.
func marksOf(r *sim.Result) []mark {
	var out []mark
	for _, f := range r.Plan.Faults {
		end, _ := faultEnd(r, f)
		m := mark{From: micros(f.At), To: micros(end), Class: faultClass(f.Kind), Name: faultName(f.Kind),
			Words: faultWords(f), Nodes: f.Nodes, Peers: f.Peers, Way: int(f.Direction)}
		if f.Kind == sim.Flap && f.Up+f.Down > 0 {
			m.Up, m.Down = micros(f.Up), micros(f.Down)
		}
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b mark) int {
		return int(min(max((b.To-b.From)-(a.To-a.From), -1), 1))
	})
	const most = 5 * MaxFaults
	if len(out) > most {
		out = out[:most]
	}
	return out
}
