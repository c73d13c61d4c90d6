package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// digest is the part of a digest that is looked at here.
type digest struct {
	Version, Digest string
	Waiting         int
}

// heal ends all faults but the permanent ones and has every node that is not
// gone run. liftFaults must have returned.
func (r *run) heal(ctx context.Context) error {
	if err := r.net.heal(ctx); err != nil {
		return err
	}
	err := r.each(r.everybody(), func(m *member) error {
		if m.twin != nil || r.keptOut(m) {
			return nil
		}
		m.life.Lock()
		err := m.resume()
		m.life.Unlock()
		if err != nil {
			return err
		}
		return r.startOf(ctx, m)
	})
	r.rec.healed(r.plan.Settle)
	return err
}

// keptOut reports whether a fault that is not healed befell the node. Such a
// node is not looked at in the end.
func (r *run) keptOut(m *member) bool {
	for _, f := range r.plan.Faults {
		if f.Permanent && slices.Contains(f.Nodes, m.lane) {
			return true
		}
	}
	return false
}

// healthy gives the nodes that have to agree.
func (r *run) healthy() []*member {
	return slices.DeleteFunc(r.everybody(), func(m *member) bool { return m.twin != nil || r.keptOut(m) })
}

// usable waits until every healthy edge is attached and every core node has a
// quorum, as it is before anything begins. It gives what was missing last.
func (r *run) usable(ctx context.Context) string {
	reason := "nobody was asked"
	for wait := firstLook; ; wait = min(2*wait, longestPause) {
		reason = ""
		for _, m := range r.healthy() {
			if c, _ := m.process(); c == nil {
				continue // it joins later, or does not start; others judge that
			}
			s, err := r.status(ctx, m)
			switch {
			case err != nil:
				reason = fmt.Sprintf("%s does not answer: %v", m.lane, err)
			case s.Core != nil && !s.Core.Quorum:
				reason = m.lane + " has no quorum"
			case s.Link != nil && s.Link.State != "attached":
				reason = fmt.Sprintf("%s is not attached: %s %s", m.lane, s.Link.State, s.Link.Refused)
			}
			if reason != "" {
				break
			}
		}
		if reason == "" || !pause(ctx, wait) {
			return reason
		}
	}
}

// lastCalls has a client at every edge write at level core: the cluster must be
// of use again, not only at peace.
func (r *run) lastCalls(ctx context.Context) {
	for _, m := range r.healthy() {
		if m.plan.Core {
			continue
		}
		c := sim.Call{Client: "last-" + m.lane, Node: m.lane, Space: "default", Session: "last-" + m.lane, Kind: sim.CallOpen}
		r.people.intend(ctx, ctx, c)
		c.Kind, c.Core = sim.CallAppend, true
		r.people.intend(ctx, ctx, c)
	}
}

// spaces lists every space that anybody was asked about.
func (r *run) spaces() []string {
	names := map[string]bool{"default": true}
	for _, c := range r.plan.Calls {
		names[c.Space] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// carries reports whether a node carries a space.
func (m *member) carries(space string) bool {
	return m.plan.Core || space == "default" || slices.Contains(m.plan.Spaces, "*") ||
		slices.Contains(m.plan.Spaces, space)
}

// agree waits until all healthy nodes agree. It gives why they did not before
// ctx ended, empty if they did.
func (r *run) agree(ctx context.Context) (reason string) {
	for wait := firstLook; ; wait = min(2*wait, longestPause) {
		if _, reason = r.digests(ctx); reason == "" || !pause(ctx, wait) {
			return reason
		}
	}
}

// conclude waits until all healthy nodes agree, and reads everything that they
// show. What it reads is of one moment: nothing moved meanwhile. It gives why
// there was no such moment before ctx ended, empty if there was one.
func (r *run) conclude(ctx context.Context) (reason string) {
	for wait := firstLook; ; wait = min(2*wait, longestPause) {
		before, reason := r.digests(ctx)
		if reason == "" {
			finals, err := r.finals(ctx, before)
			after, again := r.digests(ctx)
			switch {
			case err != nil:
				reason = fmt.Sprintf("last read: %v", err)
			case again == "" && maps.Equal(before, after):
				r.rec.finals(finals)
				return ""
			default:
				reason = "nodes go on writing"
			}
		}
		if !pause(ctx, wait) {
			return reason
		}
	}
}

// digests gives the digest of every node and space, and why they do not agree
// yet.
func (r *run) digests(ctx context.Context) (all map[[2]string]digest, reason string) {
	all = map[[2]string]digest{}
	for _, m := range r.healthy() {
		if c, _ := m.process(); c == nil {
			return nil, m.lane + " is down"
		}
		s, err := r.status(ctx, m)
		if err != nil {
			return nil, fmt.Sprintf("%s does not answer: %v", m.lane, err)
		}
		for _, sp := range s.Spaces {
			if sp.Backlog > 0 || sp.Waiting > 0 {
				return nil, fmt.Sprintf("%s: backlog %d, waiting %d in %s", m.lane, sp.Backlog, sp.Waiting, sp.Space)
			}
		}
	}
	for _, space := range r.spaces() {
		var first string
		for _, m := range r.healthy() {
			if !m.carries(space) {
				continue
			}
			var d digest
			if err := r.web.get(ctx, m.url(), spacePath(space)+"/digest", &d); err != nil {
				return nil, fmt.Sprintf("digest of %s at %s: %v", space, m.lane, err)
			}
			all[[2]string{m.lane, space}] = d
			if first == "" {
				first = m.lane
			}
			if want := all[[2]string{first, space}]; d != want {
				return nil, fmt.Sprintf("%s: %s has %v, %s has %v", space, m.lane, d, first, want)
			}
		}
	}
	return all, ""
}

// finals reads everything that the healthy nodes show.
func (r *run) finals(ctx context.Context, digests map[[2]string]digest) ([]check.Final, error) {
	var list []check.Final
	for _, m := range r.healthy() {
		f, err := r.final(ctx, m, digests)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.lane, err)
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b check.Final) int { return strings.Compare(a.Node, b.Node) })
	return list, nil
}

func (r *run) final(ctx context.Context, m *member, digests map[[2]string]digest) (check.Final, error) {
	f := check.Final{Node: m.lane, Sessions: map[string]check.Seen{}, Digests: map[string]string{},
		Ops: map[string][]check.Op{}, Backlog: map[string]int{}, Waiting: map[string]int{}}
	s, err := r.status(ctx, m)
	if err != nil {
		return f, err
	}
	f.Unordered = s.Store.Repairs > 0
	for _, sp := range s.Spaces {
		f.Backlog[sp.Space], f.Waiting[sp.Space] = sp.Backlog, sp.Waiting
	}
	for _, space := range r.spaces() {
		if !m.carries(space) {
			continue
		}
		f.Spaces = append(f.Spaces, space)
		f.Digests[space] = digests[[2]string{m.lane, space}].Digest
		seen, err := r.showChanges(ctx, r.web, m, space, nil)
		if err != nil {
			return f, fmt.Errorf("changes of %s: %w", space, err)
		}
		f.Ops[space] = seen.Ops
		for _, id := range r.sessionsOf(space, seen.Ops) {
			seen, err := r.showSession(ctx, r.web, m, space, id, nil)
			if err != nil {
				return f, fmt.Errorf("session %s of %s: %w", id, space, err)
			}
			f.Sessions[space+"/"+id] = *seen
		}
	}
	return f, nil
}

// sessionsOf lists the sessions of a space that ops are about, or that anybody
// was asked about.
func (r *run) sessionsOf(space string, ops []check.Op) []string {
	names := map[string]bool{}
	for i := range ops {
		names[ops[i].Session] = true
	}
	r.rec.mu.Lock()
	defer r.rec.mu.Unlock()
	for i := range r.rec.history.Calls {
		if c := &r.rec.history.Calls[i]; c.Space == space && c.Do != check.ReadAll {
			names[c.Session] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// readLast reads what nodes show that never agreed, as far as they answer, so
// that the checkers have something to say.
func (r *run) readLast(ctx context.Context) {
	for _, m := range r.healthy() {
		ctx, cancel := context.WithTimeout(ctx, r.opt.Patience)
		digests := map[[2]string]digest{}
		for _, space := range r.spaces() {
			var d digest
			if m.carries(space) && r.web.get(ctx, m.url(), spacePath(space)+"/digest", &d) == nil {
				digests[[2]string{m.lane, space}] = d
			}
		}
		f, err := r.final(ctx, m, digests)
		cancel()
		if err != nil {
			r.rec.problem("all healed nodes agree (I8)", m.lane, "last read: %v", err)
			continue
		}
		r.rec.finals([]check.Final{f})
	}
}

// settleWithin gives a context that ends when the plan says that all must agree.
func (r *run) settleWithin(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(r.plan.Settle-r.rec.sinceHealed(), time.Second))
}
