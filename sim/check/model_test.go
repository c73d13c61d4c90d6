package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A causal store, made to be obviously right: a replica is a list of ops in the
// order of arrival, every op names what its author had seen of the session, and
// what is shown is worked out from the ops each time.

// modelOp is one op.
type modelOp struct {
	origin, author string
	seq            uint64
	session        string
	deps           map[string]uint64 // of the session: by origin the latest op seen
	at             stamp
	do             Action // or expires
	key, request   string // the request is what a key was used for
	index          int    // within the request
	id             string
	parent         string
	target, to     string
	epoch          int
	by             int64
	values         []Value
	drops          []string
}

func (op *modelOp) sees(other *modelOp) bool { return op.deps[other.origin] >= other.seq }

func (op *modelOp) less(other *modelOp) int {
	return cmp.Or(op.at.compare(other.at), cmp.Compare(op.origin, other.origin), cmp.Compare(op.seq, other.seq))
}

// replica is one node's storage.
type replica struct {
	node, origin string
	ops          []*modelOp
	next         uint64
	clock        stamp
}

func (r *replica) clone() *replica {
	c := *r
	c.ops = slices.Clone(r.ops)
	return &c
}

func (r *replica) holds(op *modelOp) bool { return slices.Contains(r.ops, op) }

// take takes up to most ops that the other replica has more, in its order.
func (r *replica) take(from *replica, most int) {
	have := make(map[*modelOp]bool, len(r.ops))
	for _, op := range r.ops {
		have[op] = true
	}
	for _, op := range from.ops {
		if have[op] {
			continue
		}
		if most--; most < 0 {
			return
		}
		r.ops = append(r.ops, op)
		if op.at.compare(r.clock) > 0 {
			r.clock = op.at
		}
	}
}

func (r *replica) of(session string) []*modelOp {
	var list []*modelOp
	for _, op := range r.ops {
		if op.session == session {
			list = append(list, op)
		}
	}
	return list
}

// replay gives the ops that were made under a key.
func replay(ops []*modelOp, key string) []*modelOp {
	var list []*modelOp
	for _, op := range ops {
		if key != "" && op.key == key {
			list = append(list, op)
		}
	}
	return list
}

// write carries out a call at a moment, or gives the code of a refusal.
func (r *replica) write(c *Call, wall uint64) (code string, replayed bool, made []*modelOp) {
	ops := r.of(c.Session)
	now := show(ops)
	if now.Gone == "erased" {
		return "session_erased", false, nil
	}
	known := replay(ops, c.Key)
	mine := slices.DeleteFunc(slices.Clone(known), func(op *modelOp) bool { return op.request != requestOf(c) })
	switch {
	case len(mine) >= max(1, appended(c)):
		return "", true, mine[:max(1, appended(c))]
	case len(known) > 0 && len(mine) == 0:
		return "idempotency_key_reused", false, nil
	}
	switch {
	case c.Do == Open && now.Gone == "":
		return "session_exists", false, nil
	case c.Do == Open && now.Gone == "unknown":
	case now.Gone == "expired" && c.Do != Erase:
		return "session_expired", false, nil
	case now.Gone == "unknown":
		return "session_not_found", false, nil
	case c.IfMatch != "" && c.IfMatch != now.Version:
		return "version_moved", false, nil
	case now.State == "ended" && c.Do != Move && c.Do != Erase && c.Do != Redact:
		return "session_ended", false, nil
	case c.Do == Move && !slices.Contains(legalFrom(now.State), c.To):
		return "illegal_transition", false, nil
	}
	if c.Do == Edit || c.Do == Redact {
		i := slices.IndexFunc(now.Messages, func(m Message) bool { return m.ID == c.Target })
		if i < 0 {
			return "message_not_found", false, nil
		}
		if now.Messages[i].Redacted {
			return "message_redacted", false, nil
		}
	}
	for i := range max(1, appended(c)) {
		made = append(made, r.emit(c, i, wall))
	}
	return "", false, made
}

func appended(c *Call) int {
	if c.Do == Append {
		return len(c.Values)
	}
	return 0
}

// requestOf is the same for calls that ask for the same.
func requestOf(c *Call) string { return fmt.Sprint(c.Do, c.Target, c.By, c.To, c.Values, c.Drops) }

// emit makes the i-th op of a call and applies it.
func (r *replica) emit(c *Call, i int, wall uint64) *modelOp {
	ops := r.of(c.Session)
	r.next++
	op := &modelOp{origin: r.origin, author: r.node, seq: r.next, session: c.Session, deps: map[string]uint64{}, do: c.Do,
		key: c.Key, request: requestOf(c), index: i, target: c.Target, to: c.To,
		by: c.By, values: c.Values, drops: c.Drops, epoch: epochOf(ops)}
	last := stamp{}
	for _, seen := range ops {
		op.deps[seen.origin] = max(op.deps[seen.origin], seen.seq)
		if seen.at.compare(last) > 0 {
			last = seen.at
		}
	}
	if last.compare(r.clock) < 0 {
		last = r.clock
	}
	if op.at = (stamp{wall, 0}); op.at.compare(last) <= 0 {
		op.at = stamp{last.wall, last.logical + 1}
	}
	r.clock = op.at
	switch c.Do {
	case Append:
		op.values = c.Values[i : i+1]
		if messages := messagesOf(ops); len(messages) > 0 {
			op.parent = messages[len(messages)-1].ID
		}
		switch {
		case c.Values[i].ID != "":
			op.id = c.Values[i].ID
		case c.Key != "":
			op.id = fmt.Sprintf("k~%s~%d", c.Key, i)
		default:
			op.id = fmt.Sprintf("%s.%d", op.origin, op.seq)
		}
	case Patch:
		op.values = withRemovals(c.Values, ops)
	case Move:
		if c.To == reopened {
			op.epoch++
		}
	}
	r.ops = append(r.ops, op)
	return op
}

// withRemovals adds the removal of leaves above and below the written ones, and
// below the removed ones.
func withRemovals(values []Value, ops []*modelOp) []Value {
	var now Seen
	leavesIn(&now, kind(ops, Patch))
	out := slices.Clone(values)
	for _, l := range now.Leaves {
		for _, v := range values {
			inTheWay := v.Value != "" && related(l.Path, v.ID) || strings.HasPrefix(l.Path, v.ID+"/")
			if l.Path != v.ID && inTheWay && !l.Deleted {
				out = append(out, Value{ID: l.Path})
			}
		}
	}
	return out
}

// maximal gives the ops that no other of them has seen, the winner first.
func maximal(ops []*modelOp) []*modelOp {
	var list []*modelOp
	for _, op := range ops {
		if !slices.ContainsFunc(ops, func(later *modelOp) bool { return later != op && later.sees(op) }) {
			list = append(list, op)
		}
	}
	slices.SortFunc(list, func(a, b *modelOp) int { return b.less(a) })
	return list
}

func kind(ops []*modelOp, do Action) []*modelOp {
	var list []*modelOp
	for _, op := range ops {
		if op.do == do {
			list = append(list, op)
		}
	}
	return list
}

func epochOf(ops []*modelOp) int {
	epoch := 0
	for _, op := range kind(ops, Move) {
		epoch = max(epoch, op.epoch)
	}
	return epoch
}

// show gives what a replica with these ops shows of their session.
func show(ops []*modelOp) Seen {
	opens := kind(ops, Open)
	switch {
	case len(kind(ops, Erase)) > 0:
		return Seen{Gone: "erased"}
	case len(opens) == 0:
		return Seen{Gone: "unknown"}
	case expired(ops):
		return Seen{Gone: "expired"}
	}
	s := Seen{State: stateOf(ops), Version: versionOf(ops), Counters: map[string]int64{},
		Sets: map[string][]string{}, Texts: map[string]string{}}
	s.Messages = messagesOf(ops)
	leavesIn(&s, kind(ops, Patch))
	counted := map[string]bool{}
	adds := kind(ops, Add)
	slices.SortFunc(adds, func(a, b *modelOp) int {
		return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(a.seq, b.seq))
	})
	for _, op := range adds {
		if op.key == "" || !counted[op.target+op.key] {
			s.Counters[op.target] += op.by
		}
		counted[op.target+op.key] = true
	}
	removes := kind(ops, Remove)
	for _, op := range kind(ops, Insert) {
		gone := slices.ContainsFunc(removes, func(r *modelOp) bool {
			return r.sees(op) && r.target == op.target && r.values[0].Value == op.values[0].Value
		})
		if list := s.Sets[op.target]; !gone && !slices.Contains(list, op.values[0].Value) {
			s.Sets[op.target] = sorted(append(list, op.values[0].Value))
		}
	}
	textsIn(&s, kind(ops, Text))
	return s
}

func expired(ops []*modelOp) bool {
	expiries := kind(ops, expires)
	return len(expiries) > 0 && !slices.ContainsFunc(ops, func(op *modelOp) bool {
		return op.do != expires && !slices.ContainsFunc(expiries, func(e *modelOp) bool { return e.sees(op) })
	})
}

func versionOf(ops []*modelOp) string {
	at := map[string]uint64{}
	for _, op := range ops {
		at[op.origin] = max(at[op.origin], op.seq)
	}
	var parts []string
	for _, origin := range slices.Sorted(maps.Keys(at)) {
		parts = append(parts, fmt.Sprintf("%s.%d", origin, at[origin]))
	}
	return strings.Join(parts, ",")
}

func stateOf(ops []*modelOp) string {
	state, epoch := 0, 0
	for _, m := range maximal(kind(ops, Move)) {
		if n := slices.Index(states, stateAfter(m.to)); m.epoch > epoch || m.epoch == epoch && n > state {
			state, epoch = n, m.epoch
		}
	}
	return states[state]
}

// messagesOf gives the messages depth first over the tree of parents.
func messagesOf(ops []*modelOp) []Message {
	puts := map[string][]*modelOp{}
	for _, op := range kind(ops, Append) {
		puts[op.id] = append(puts[op.id], op)
	}
	edits, redacts := byTarget(kind(ops, Edit)), byTarget(kind(ops, Redact))
	children := map[string][]string{}
	for id, list := range puts {
		slices.SortFunc(list, (*modelOp).less)
		parent := list[0].parent
		if !slices.ContainsFunc(puts[parent], func(p *modelOp) bool { return list[0].sees(p) && p.less(list[0]) < 0 }) {
			parent = ""
		}
		children[parent] = append(children[parent], id)
	}
	var messages []Message
	var walk func(string)
	walk = func(parent string) {
		list := children[parent]
		slices.SortFunc(list, func(a, b string) int { return puts[a][0].less(puts[b][0]) })
		for _, id := range list {
			messages = append(messages, messageOf(puts[id], edits[id], redacts[id]))
			walk(id)
		}
	}
	walk("")
	return messages
}

func byTarget(ops []*modelOp) map[string][]*modelOp {
	targets := map[string][]*modelOp{}
	for _, op := range ops {
		targets[op.target] = append(targets[op.target], op)
	}
	return targets
}

func messageOf(puts, edits, redacts []*modelOp) Message {
	first := puts[0]
	m := Message{ID: first.id, Value: first.values[0].Value, Parent: first.parent, Origin: first.origin,
		At: int64(first.at.wall)}
	if len(redacts) > 0 {
		m.Redacted, m.Value = true, ""
		return m
	}
	values := []string{m.Value}
	if edits := maximal(edits); len(edits) > 0 {
		m.Value, values = edits[0].values[0].Value, append(values, edits[0].values[0].Value)
		for _, e := range edits[1:] {
			if v := e.values[0].Value; !slices.Contains(values, v) {
				m.Others, values = append(m.Others, v), append(values, v)
			}
		}
	}
	for _, p := range puts[1:] {
		if v := p.values[0].Value; !slices.Contains(values, v) {
			m.Others = append(m.Others, v)
		}
	}
	slices.Sort(m.Others)
	return m
}

func leavesIn(s *Seen, patches []*modelOp) {
	byPath := map[string][]*modelOp{}
	for _, op := range patches {
		for _, v := range op.values {
			byPath[v.ID] = append(byPath[v.ID], op)
		}
	}
	at := func(op *modelOp, path string) string {
		return op.values[slices.IndexFunc(op.values, func(v Value) bool { return v.ID == path })].Value
	}
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		top := maximal(byPath[path])
		l := Leaf{Path: path, Shown: at(top[0], path), Deleted: at(top[0], path) == ""}
		for _, op := range top[1:] {
			if v := at(op, path); v != "" && v != l.Shown && !slices.Contains(l.Others, v) {
				l.Others = append(l.Others, v)
			}
		}
		slices.Sort(l.Others)
		if !l.Deleted || len(l.Others) > 0 {
			s.Leaves = append(s.Leaves, l)
		}
	}
}

func textsIn(s *Seen, ops []*modelOp) {
	slices.SortFunc(ops, (*modelOp).less)
	done := map[string]bool{}
	for _, op := range ops {
		for _, v := range op.values {
			gone := slices.ContainsFunc(ops, func(d *modelOp) bool { return d.sees(op) && slices.Contains(d.drops, v.Value) })
			if !gone && !done[v.Value] {
				s.Texts[op.target] += v.Value
			}
			done[v.Value] = true
		}
	}
}

// changes lists the ops as the API does.
func (r *replica) changes() []Op {
	erased := map[string]bool{}
	for _, op := range r.ops {
		erased[op.session] = erased[op.session] || op.do == Erase
	}
	var list []Op
	for _, op := range r.ops {
		out := Op{Origin: op.origin, Seq: op.seq, Session: op.session, Key: op.key, Wall: op.at.wall, Logical: op.at.logical}
		switch {
		case erased[op.session] && op.do != Erase:
			out.Kind, out.Key = "erased", ""
		case op.do == expires:
			out.Kind = "expire"
		default:
			out.Kind = op.do.String()
			for _, v := range op.values {
				if v.Value != "" && op.do != Remove {
					out.Values = append(out.Values, v.Value)
				}
			}
		}
		list = append(list, out)
	}
	return list
}
