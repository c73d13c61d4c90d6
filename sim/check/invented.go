package check

import (
	"fmt"
	"slices"
	"time"
)

// invented: every value that is shown was submitted before, for that place: the
// session, the message or path, and the kind.
func invented(ix *index) Verdict {
	j := newJudge("nothing is invented", "I3")
	for _, s := range ix.sessions {
		for _, v := range s.views {
			s.judgeSights(j, v)
		}
	}
	ix.judgeChanges(j)
	return j.done()
}

func (s *session) judgeSights(j *judge, v *view) {
	for _, stray := range v.stray {
		j.Examined++
		j.violate("stray "+stray+v.node, s.at(v), "%s shows %q in a text, which nobody put there", v.where(), stray)
	}
	if len(s.possible(s.opens)) == 0 && len(s.writes) == 0 && v.seen.Gone == "" {
		j.violate("session "+s.name, s.at(v), "%s shows the session, which nobody opened", v.where())
	}
	for _, g := range v.sights {
		if g.as == asPut || g.as == asRedacted {
			continue
		}
		j.Examined++
		if g.write < 0 {
			value, place := v.name(g)
			j.violate("value "+value+place, s.at(v), "%s shows %q as %s, which nobody wrote there", v.where(), value, place)
			continue
		}
		r := s.writes[g.write].req
		switch {
		case !s.belongs(v, g):
			value, place := v.name(g)
			j.violate("place "+value+place, s.at(v, r.calls[0]), "%s shows %s as %s", v.where(), s.describe(g.write), place)
		case r.begin > v.end:
			j.violate(fmt.Sprint("early ", g.write, s.name), s.at(v, r.calls[0]),
				"%s shows %s before it was submitted", v.where(), s.describe(g.write))
		}
	}
}

// name gives the value of a sight and where it stands.
func (v *view) name(g sight) (value, place string) {
	switch g.as {
	case asMessage, asOther, asPut, asRedacted:
		m := &v.seen.Messages[g.at]
		if g.as == asOther {
			return m.Others[g.sub], "a conflict of message " + m.ID
		}
		return m.Value, "message " + m.ID
	case asLeaf:
		return v.seen.Leaves[g.at].Shown, "leaf " + v.seen.Leaves[g.at].Path
	case asLeafOther:
		return v.seen.Leaves[g.at].Others[g.sub], "a conflict of leaf " + v.seen.Leaves[g.at].Path
	case asBit:
		name := v.counters[g.at]
		if g.sub < 0 {
			return fmt.Sprint(v.seen.Counters[name]), "counter " + name
		}
		return fmt.Sprint(uint64(1) << g.sub), fmt.Sprintf("part of %d in counter %s", v.seen.Counters[name], name)
	case asElement:
		name := v.sets[g.at]
		return v.seen.Sets[name][g.sub], "element of " + name
	default:
		return "", "text " + v.texts[g.at]
	}
}

// belongs reports whether a write may show where it does.
func (s *session) belongs(v *view, g sight) bool {
	r := s.writes[g.write].req
	switch g.as {
	case asMessage, asOther:
		id := v.seen.Messages[g.at].ID
		if r.do == Edit {
			return r.target == id || slices.Contains(s.aliases(r.target), id)
		}
		chosen := ""
		if r.do == Append {
			chosen = s.writes[g.write].values[0].ID
		}
		return r.do == Append && (chosen == "" || chosen == id)
	case asLeaf, asLeafOther:
		return (r.do == Patch || r.do == Open) && related(s.writes[g.write].values[g.part].ID, v.seen.Leaves[g.at].Path)
	case asElement:
		return r.do == Insert && r.target == v.sets[g.at]
	case asPiece:
		return r.do == Text && r.target == v.texts[g.at]
	default:
		return true
	}
}

// judgeChanges looks at the values in lists of changes.
func (ix *index) judgeChanges(j *judge) {
	ix.eachList(func(l *list) {
		for i := range l.ops {
			for _, value := range l.ops[i].Values {
				j.Examined++
				ix.judgeChange(j, l, &l.ops[i], value)
			}
		}
	})
}

func (ix *index) judgeChange(j *judge, l *list, op *Op, value string) {
	at, ok := ix.values[value]
	switch {
	case !ok:
		j.violate("op "+value, l.violation(op.Session),
			"%s lists %q in op %s.%d (%s), which nobody wrote", l.where(), value, op.Origin, op.Seq, op.Kind)
		return
	case at.s.id != op.Session || at.s.space != l.space:
		j.violate("session of op "+value, l.violation(op.Session),
			"%s lists %q in op %s.%d of session %s, which was written in %s",
			l.where(), value, op.Origin, op.Seq, op.Session, at.s.name)
		return
	}
	r := at.s.writes[at.write].req
	kind, begin := kindOf(op.Kind), r.begin
	var removes []int32
	if r.do == Insert && fits(kind, Remove) {
		removes = at.s.removes[element(r.target, value)]
	}
	for _, w := range removes { // a remove may come before the insert that was taken: that of a retry
		begin = min(begin, at.s.writes[w].req.begin)
	}
	if kind != foreign && !fits(kind, r.do) && len(removes) == 0 {
		j.violate("kind of op "+value, l.violation(op.Session), "%s lists %q in op %s.%d as %s, which was written by %s",
			l.where(), value, op.Origin, op.Seq, op.Kind, at.s.describe(at.write))
		return
	}
	if begin > l.end {
		j.violate("early op "+value, l.violation(op.Session),
			"%s lists %s before it was submitted", l.where(), at.s.describe(at.write))
	}
}

// list is a list of changes that a node gave.
type list struct {
	call       int // in the history; -1 in the end
	node       string
	space      string
	begin, end time.Duration
	last       time.Duration // for a violation
	ops        []Op
}

func (l *list) where() string {
	if l.call < 0 {
		return l.node + " in the end"
	}
	return fmt.Sprintf("%s (call %d)", l.node, l.call)
}

func (l *list) violation(session string) Violation {
	v := Violation{Node: l.node, At: min(l.end, l.last)}
	if session != "" {
		v.Session = l.space + "/" + session
	}
	if l.call >= 0 {
		v.Calls = []int{l.call}
	}
	return v
}

// eachList calls do for every list of changes: those of reads by their begin,
// then those of the end.
func (ix *index) eachList(do func(*list)) {
	for i := range ix.h.Calls {
		c := &ix.h.Calls[i]
		if c.Do == ReadAll && c.Outcome == OK && c.Seen != nil {
			do(&list{i, c.Node, c.Space, c.Begin, c.End, ix.last, c.Seen.Ops})
		}
	}
	for i := range ix.h.Finals {
		f := &ix.h.Finals[i]
		for _, space := range sortedKeys(f.Ops) {
			do(&list{-1, f.Node, space, forever, forever, ix.last, f.Ops[space]})
		}
	}
}
