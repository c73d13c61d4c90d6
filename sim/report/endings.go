package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// ending is what some nodes show of a session when the run is over.
type ending struct {
	Nodes     []string    `json:"nodes"` // that show the same
	Gone      string      `json:"gone,omitempty"`
	State     string      `json:"state,omitempty"`
	Skipped   int         `json:"skipped,omitempty"` // messages before the first that is listed
	Messages  []said      `json:"messages,omitempty"`
	Leaves    []said      `json:"leaves,omitempty"`   // ID is the path
	Counters  [][2]string `json:"counters,omitempty"` // name and value
	Sets      [][2]string `json:"sets,omitempty"`
	Texts     [][2]string `json:"texts,omitempty"`
	Conflicts []string    `json:"conflicts,omitempty"`
}

// said is a value with those that lost against it.
type said struct {
	ID     string   `json:"id"`
	Value  string   `json:"v"`
	Others []string `json:"others,omitempty"`
	By     string   `json:"by,omitempty"`
	Gone   bool     `json:"gone,omitempty"` // redacted or removed
}

// endingsOf groups the healthy nodes that carry a session by what they show of
// it in the end: one group if they agree.
func endingsOf(r *sim.Result, p place) []ending {
	var out []ending
	group := map[string]int{}
	for _, f := range r.History.Finals {
		if !slices.Contains(f.Spaces, p.space) {
			continue
		}
		seen, ok := f.Sessions[p.String()]
		if !ok {
			seen = check.Seen{Gone: "unknown"}
		}
		key := fingerprint(&seen)
		i, known := group[key]
		if !known {
			i = len(out)
			group[key] = i
			out = append(out, endingOf(&seen))
		}
		out[i].Nodes = append(out[i].Nodes, f.Node)
	}
	return out
}

// fingerprint is equal for equal content, whatever the version.
func fingerprint(s *check.Seen) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q ", s.Gone, s.State, s.Conflicts)
	for _, m := range s.Messages {
		fmt.Fprintf(&b, "%q %q %q %q %t ", m.ID, m.Value, m.Others, m.Parent, m.Redacted)
	}
	for _, l := range s.Leaves {
		fmt.Fprintf(&b, "%q %q %t %q ", l.Path, l.Shown, l.Deleted, l.Others)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		fmt.Fprintf(&b, "%q %d ", name, s.Counters[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Sets)) {
		fmt.Fprintf(&b, "%q %q ", name, s.Sets[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Texts)) {
		fmt.Fprintf(&b, "%q %q ", name, s.Texts[name])
	}
	return b.String()
}

func endingOf(s *check.Seen) ending {
	e := ending{Gone: s.Gone, State: s.State, Conflicts: s.Conflicts}
	e.Skipped = max(len(s.Messages)-MaxMessages, 0)
	for _, m := range s.Messages[e.Skipped:] {
		e.Messages = append(e.Messages, said{ID: clip(m.ID, 60), Value: clip(m.Value, MaxText), Others: clipAll(m.Others),
			By: nodeOf(m.Origin), Gone: m.Redacted})
	}
	for _, l := range s.Leaves[:min(len(s.Leaves), MaxMessages)] {
		e.Leaves = append(e.Leaves, said{ID: clip(l.Path, 60), Value: clip(l.Shown, MaxText), Others: clipAll(l.Others),
			Gone: l.Deleted})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		e.Counters = append(e.Counters, [2]string{name, strconv.FormatInt(s.Counters[name], 10)})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Sets)) {
		e.Sets = append(e.Sets, [2]string{name, list(clipAll(s.Sets[name]), 50)})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Texts)) {
		e.Texts = append(e.Texts, [2]string{name, clip(s.Texts[name], 8*MaxText)})
	}
	return e
}

func clipAll(values []string) []string {
	var out []string
	for _, v := range values[:min(len(values), 50)] {
		out = append(out, clip(v, MaxText))
	}
	return out
}

// nodeOf gives the node of an origin.
func nodeOf(origin string) string {
	node, _, _ := strings.Cut(origin, "~")
	return node
}

// doWords says what a call does.
func doWords(do check.Action) string { return strings.ReplaceAll(do.String(), "_", " ") }

// asksWords says what a call asks for, besides its name.
func asksWords(c *check.Call) string {
	var values []string
	for _, v := range c.Values {
		words := clip(v.Value, MaxText)
		if c.Do == check.Patch || c.Do == check.Append && v.ID != "" && len(c.Values) == 1 {
			words = clip(v.ID, 60) + " = " + words
		}
		values = append(values, words)
	}
	text := list(values, 6)
	target := cmp.Or(c.Target, "?")
	switch c.Do {
	case check.Edit:
		text = target + " → " + text
	case check.Redact:
		text = target
	case check.Add:
		text = target + " + " + strconv.FormatInt(c.By, 10)
	case check.Insert:
		text = target + " ∪ " + text
	case check.Remove:
		text = target + " ∖ " + text
	case check.Move:
		text = "to " + c.To
	case check.Text:
		text = target + ": " + text
	}
	if c.Key != "" {
		text += " (key " + c.Key + ")"
	}
	if c.IfMatch != "" {
		text += " (if unchanged)"
	}
	return clip(strings.TrimSpace(text), MaxText)
}

// saysWords says what was answered, besides how it ended.
func saysWords(c *check.Call) string {
	switch {
	case c.Outcome == check.Refused:
		return clip(c.Code, MaxText)
	case c.Seen == nil || c.Outcome != check.OK:
		return ""
	}
	s := c.Seen
	if s.Gone != "" {
		return s.Gone
	}
	parts := []string{s.State}
	if n := len(s.Messages); n > 0 {
		parts = append(parts, many(n, "message", "messages")+", last “"+clip(s.Messages[n-1].Value, 40)+"”")
	}
	if n := len(s.Leaves); n > 0 {
		parts = append(parts, many(n, "leaf", "leaves"))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		parts = append(parts, name+" "+strconv.FormatInt(s.Counters[name], 10))
	}
	if n := len(s.Ops); n > 0 {
		parts = append(parts, many(n, "op", "ops"))
	}
	if n := len(s.Conflicts); n > 0 {
		parts = append(parts, many(n, "conflict", "conflicts"))
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	return clip(strings.Join(parts, "; "), MaxText)
}
