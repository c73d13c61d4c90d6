package check

import (
	"fmt"
	"reflect"
	"slices"
)

// convergence: when the faults are over all healthy nodes agree within the
// bound: on digests, on the content of every session, and nothing waits.
func convergence(ix *index) Verdict {
	j := newJudge("all healthy nodes agree in the end", "I8")
	h := ix.h
	late := Violation{At: ix.last}
	if len(h.Finals) == 0 {
		if len(h.Calls) > 0 {
			j.violate("", late, "no node was healthy in the end")
		}
		return j.done()
	}
	j.Examined++
	switch {
	case h.Settled == 0:
		j.violate("", late, "the nodes never agreed")
	case h.Settled-h.Healed > h.Bound:
		late.At = h.Settled
		j.violate("", late, "the nodes agreed %v after the last fault, want at most %v", h.Settled-h.Healed, h.Bound)
	}
	spaces := map[string]bool{}
	for i := range h.Finals {
		f := &h.Finals[i]
		ix.judgeIdle(j, f)
		for _, space := range f.Spaces {
			spaces[space] = space != "*"
		}
		for space := range f.Digests {
			spaces[space] = true
		}
	}
	for _, space := range sortedKeys(spaces) {
		if spaces[space] {
			ix.judgeDigests(j, space)
		}
	}
	for _, s := range ix.sessions {
		s.judgeAgreement(j)
	}
	return j.done()
}

// judgeIdle looks for what waits at a node.
func (ix *index) judgeIdle(j *judge, f *Final) {
	for _, space := range sortedKeys(f.Backlog) {
		if n := f.Backlog[space]; n != 0 {
			j.violate("", Violation{Node: f.Node, At: ix.last},
				"%s has %d ops of %s that the core is not known to hold", f.Node, n, space)
		}
	}
	for _, space := range sortedKeys(f.Waiting) {
		if n := f.Waiting[space]; n != 0 {
			j.violate("", Violation{Node: f.Node, At: ix.last}, "%s has %d ops of %s that wait for others", f.Node, n, space)
		}
	}
}

func (ix *index) judgeDigests(j *judge, space string) {
	var first *Final
	for i := range ix.h.Finals {
		f := &ix.h.Finals[i]
		if !f.carries(space) {
			continue
		}
		j.Examined++
		switch digest, ok := f.Digests[space]; {
		case !ok:
			j.violate("", Violation{Node: f.Node, At: ix.last}, "%s gives no digest of %s", f.Node, space)
		case first == nil:
			first = f
		case digest != first.Digests[space]:
			j.violate("", Violation{Node: f.Node, At: ix.last}, "%s has digest %s of %s, %s has %s",
				f.Node, digest, space, first.Node, first.Digests[space])
		}
	}
}

// judgeAgreement compares a session at all nodes with the first.
func (s *session) judgeAgreement(j *judge) {
	var first *view
	for _, v := range s.views {
		if !v.isFinal() {
			continue
		}
		if first == nil {
			first = v
			continue
		}
		j.Examined++
		if what, a, b := difference(first.seen, v.seen); what != "" {
			j.violate("", s.at(v), "%s has %s: %s, %s has %s", v.node, what, b, first.node, a)
		}
	}
}

// difference names the first thing in which two views of one session differ.
func difference(a, b *Seen) (what, inA, inB string) {
	for i := range max(len(a.Messages), len(b.Messages)) {
		if i < len(a.Messages) && i < len(b.Messages) && a.Messages[i].same(&b.Messages[i]) {
			continue
		}
		x, y := "none", "none"
		if i < len(a.Messages) {
			x = a.Messages[i].text()
		}
		if i < len(b.Messages) {
			y = b.Messages[i].text()
		}
		return fmt.Sprintf("other messages from message %d on", i+1), x, y
	}
	parts := []struct {
		name string
		a, b any
	}{
		{"another reason to be gone", a.Gone, b.Gone}, {"another state", a.State, b.State},
		{"another version", a.Version, b.Version}, {"other leaves", leavesOf(a), leavesOf(b)},
		{"other conflicts", a.Conflicts, b.Conflicts},
	}
	for _, p := range parts {
		if x, y := fmt.Sprintf("%q", p.a), fmt.Sprintf("%q", p.b); x != y {
			return p.name, x, y
		}
	}
	for _, p := range []struct {
		name string
		a, b any
	}{{"other counters", a.Counters, b.Counters}, {"other sets", a.Sets, b.Sets}, {"other texts", a.Texts, b.Texts}} {
		if reflect.ValueOf(p.a).Len()+reflect.ValueOf(p.b).Len() > 0 && !reflect.DeepEqual(p.a, p.b) {
			return p.name, fmt.Sprint(p.a), fmt.Sprint(p.b) // fmt sorts the keys of maps
		}
	}
	return "", "", ""
}

func (m *Message) same(o *Message) bool {
	return m.ID == o.ID && m.Value == o.Value && m.Parent == o.Parent && m.Origin == o.Origin && m.At == o.At &&
		m.Redacted == o.Redacted && (slices.Equal(m.Others, o.Others) || slices.Equal(sorted(m.Others), sorted(o.Others)))
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func (m *Message) text() string {
	others := sorted(m.Others)
	return fmt.Sprintf("%s (value %q, others %q, parent %q, origin %q, at %d, redacted %v)",
		m.ID, m.Value, others, m.Parent, m.Origin, m.At, m.Redacted)
}

// leavesOf gives the leaves with their other values in order.
func leavesOf(seen *Seen) []string {
	list := make([]string, len(seen.Leaves))
	for i := range seen.Leaves {
		l := &seen.Leaves[i]
		list[i] = l.Path + "=" + l.Shown
		if l.Deleted {
			list[i] = l.Path + " removed"
		}
		if len(l.Others) > 0 {
			list[i] += fmt.Sprintf(" beside %v", sorted(l.Others))
		}
	}
	return list
}
