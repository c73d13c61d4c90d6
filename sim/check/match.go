package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Ops that carry neither a value nor a key, such as removals of leaves, are
// matched with the calls that they came of by their number and order.

// nameless is what a node wrote to a session in ops of one kind that tell
// nothing.
type nameless struct {
	author string
	do     Action
}

// matchNameless finds out from a final list of changes what became of requests
// that made ops which tell nothing. If a node has as many of them in a session
// as it acknowledged, then those that were not answered had no effect. If the
// acknowledged ones followed each other in time, and one origin wrote them, each
// has its own op.
func (ix *index) matchNameless(f *Final) {
	wanted := map[*session]map[nameless][]int32{}
	for _, s := range ix.sessions {
		if lists := s.nameless(); len(lists) > 0 && s.lists[f.Node] != nil && !s.goneInTheEnd(f.Node) {
			wanted[s] = lists
		}
	}
	found := map[*session]map[nameless][]listedOp{}
	for _, space := range sortedKeys(f.Ops) {
		ops := f.Ops[space]
		for i := range ops {
			kind := kindOf(ops[i].Kind)
			s := ix.named[space+"/"+ops[i].Session]
			if wanted[s] == nil || ops[i].Key != "" || len(ops[i].Values) > 0 || kind >= expires {
				continue
			}
			if kind == adjusts {
				kind = Add // the others carry the element
			}
			if found[s] == nil {
				found[s] = map[nameless][]listedOp{}
			}
			name := nameless{ix.authors[ops[i].Origin], kind}
			found[s][name] = append(found[s][name], listedOp{ops[i].Origin, int32(i)})
		}
	}
	for s, lists := range wanted {
		for name, writes := range lists {
			unclear := found[s][nameless{"", name.do}] != nil || found[s][nameless{severalAuthors, name.do}] != nil
			if !unclear && len(ix.resets[name.author]) == 0 {
				s.assign(s.lists[f.Node], writes, found[s][name])
			}
		}
	}
}

// assign gives writes of one node their ops, as far as there is no doubt.
func (s *session) assign(l *listed, writes []int32, ops []listedOp) {
	var acked []int32
	for _, w := range writes {
		if s.writes[w].req.acked {
			acked = append(acked, w)
		}
	}
	if len(ops) != len(acked) {
		return
	}
	for _, w := range writes {
		if !s.writes[w].req.acked {
			l.none.add(w)
		}
	}
	if !s.inTurn(acked) || slices.ContainsFunc(ops, func(op listedOp) bool { return op.origin != ops[0].origin }) {
		return
	}
	for i, w := range acked {
		l.ops[w] = append(l.ops[w], ops[i])
	}
}

// nameless gives the writes whose ops tell nothing, by node and action, those
// that began first ahead.
func (s *session) nameless() map[nameless][]int32 {
	lists := map[nameless][]int32{}
	for w := range s.writes {
		r := s.writes[w].req
		told := slices.ContainsFunc(s.writes[w].values, func(v Value) bool { return v.Value != "" })
		if r.key == "" && r.possible && r.sole && !told {
			name := nameless{r.maker, r.do}
			lists[name] = append(lists[name], int32(w))
		}
	}
	for _, list := range lists {
		slices.SortStableFunc(list, func(a, b int32) int {
			return cmp.Compare(s.writes[a].req.begin, s.writes[b].req.begin)
		})
	}
	return lists
}

// inTurn reports whether the requests of the writes did not overlap.
func (s *session) inTurn(writes []int32) bool {
	for i := 1; i < len(writes); i++ {
		if s.writes[writes[i-1]].req.end >= s.writes[writes[i]].req.begin {
			return false
		}
	}
	return true
}

// renamed notes under which names messages stand that have their name from their
// op: another one if it was made again after a fork. Who edits the message by
// its old name is followed then, even if nobody ever saw it in between.
func (ix *index) renamed() {
	ix.eachList(func(l *list) {
		for i := range l.ops {
			op := &l.ops[i]
			if kindOf(op.Kind) != Append || op.Key != "" || len(op.Values) != 1 {
				continue
			}
			at, ok := ix.values[op.Values[0]]
			if !ok || at.s.space != l.space || at.s.id != op.Session {
				continue
			}
			if w := at.s.writes[at.write]; w.req.do == Append && w.req.key == "" && w.values[0].ID == "" {
				at.s.identify(at.write, fmt.Sprintf("%s.%d", op.Origin, op.Seq))
			}
		}
	})
}
