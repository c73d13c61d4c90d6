package check

// judgeExpiry looks at a session that has expired in the end: it must have an
// idle time, and every op of it must have been seen by some expiry.
func (s *session) judgeExpiry(j *judge, v *view) {
	j.Examined++
	limited := len(s.opens) == 0
	for _, w := range s.opens {
		for _, call := range s.writes[w].req.calls {
			limited = limited || s.ix.h.Calls[call].TTL > 0
		}
	}
	if !limited {
		j.violate("", s.at(v), "%s shows the session as expired, which was opened without an idle time", v.where())
		return
	}
	f := s.ix.finals[v.node]
	ops, ok := f.Ops[s.space]
	if !ok {
		return
	}
	var expiries, others []*Op
	for i := range ops {
		op := &ops[i]
		if op.Session != s.id {
			continue
		}
		if kindOf(op.Kind) == expires {
			expiries = append(expiries, op)
		} else {
			others = append(others, op)
		}
	}
	for _, o := range others {
		if !s.expiredBy(o, expiries) {
			j.violate("", s.at(v), "%s shows the session as expired, but no expiry can have seen op %s.%d (%s)",
				v.where(), o.Origin, o.Seq, o.Kind)
			return
		}
	}
}

// expiredBy reports whether one of the expiries can have seen an op: its stamp
// is later, and the node that wrote it, as far as that is known, held the op.
func (s *session) expiredBy(o *Op, expiries []*Op) bool {
	for _, e := range expiries {
		if !e.after(o) && !(s.ix.h.WholeMillis && e.Wall == o.Wall) {
			continue
		}
		places := s.ix.authorsList(s.space, e.Origin)
		mine, theirs := places[e.dot()], places[o.dot()]
		if mine == 0 || theirs < mine {
			return true
		}
	}
	return false
}

// after reports whether the stamp of a is later than that of b.
func (a *Op) after(b *Op) bool { return a.Wall > b.Wall || a.Wall == b.Wall && a.Logical > b.Logical }

// dot names an op within a space.
type dot struct {
	origin string
	seq    uint64
}

func (op *Op) dot() dot { return dot{op.Origin, op.Seq} }

// authorsList gives the places, from 1, of all ops in the final list of the node
// that writes as origin; nil if it is not known which node that is, if it was
// ever reset, or if its list says nothing.
func (ix *index) authorsList(space, origin string) map[dot]int {
	f := ix.finals[ix.authors[origin]]
	if f == nil || f.Unordered || len(ix.resets[f.Node]) > 0 {
		return nil
	}
	name := f.Node + "/" + space
	places, ok := ix.places[name]
	if !ok {
		places = map[dot]int{}
		for i := range f.Ops[space] {
			places[f.Ops[space][i].dot()] = i + 1
		}
		ix.places[name] = places
	}
	return places
}
