package live

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
)

// holding is the ops that a store holds, by space.
type holding map[string][]check.Op

// excuse notes what is about to be lost with a node's storage: the ops that no
// other node holds and that what is put in its place does not hold either. What
// only a stream holds counts as lost too; it may well come back. Callers hold
// the node's life; it has ended. kept is the copy that will be put in, or empty.
func (r *run) excuse(ctx context.Context, m *member, kept string) error {
	lost, err := r.autopsy(ctx, m, m.store())
	if err != nil {
		return err
	}
	safe := map[string]bool{}
	if kept != "" {
		held, err := r.autopsy(ctx, m, kept)
		if err != nil {
			return err
		}
		held.name(safe)
	}
	for _, o := range r.everybody() {
		if o == m {
			continue
		}
		held, err := r.held(ctx, o)
		if err != nil {
			return err
		}
		held.name(safe)
	}
	for space, ops := range lost {
		var gone []check.Op
		for _, o := range ops {
			if !isSafe(space, &o, safe) {
				gone = append(gone, o)
			}
		}
		r.rec.excuse(space, gone)
		if len(gone) > 0 {
			r.rec.fact(m.lane, "ops_excused", fmt.Sprintf("%d ops of %s are nowhere else", len(gone), space))
		}
	}
	return nil
}

// name notes what ops are known by: their values and keys, which stay when an op
// is made again under another origin, or else their dots.
func (h holding) name(names map[string]bool) {
	for space, ops := range h {
		for i := range ops {
			for _, name := range namesOf(space, &ops[i]) {
				names[name] = true
			}
		}
	}
}

func namesOf(space string, o *check.Op) []string {
	var names []string
	if o.Key == "" && len(o.Values) == 0 { // a clone may have another op under the same dot
		names = append(names, fmt.Sprintf("dot %s %s.%d", space, o.Origin, o.Seq))
	}
	if o.Key != "" {
		names = append(names, "key "+keyName(space, o.Session, o.Key))
	}
	for _, v := range o.Values {
		names = append(names, "value "+o.Kind+" "+v)
	}
	return names
}

func isSafe(space string, o *check.Op, safe map[string]bool) bool {
	for _, name := range namesOf(space, o) {
		if safe[name] {
			return true
		}
	}
	return false
}

// held gives what a node holds: it is asked if it answers, else a copy of its
// directory is looked at.
func (r *run) held(ctx context.Context, m *member) (h holding, err error) {
	if c, paused := m.process(); c != nil && !paused {
		if h, err := r.listing(ctx, m); err == nil {
			return h, nil
		}
	}
	if !exists(filepath.Join(m.store(), databaseDir)) {
		return nil, nil
	}
	copied := r.copyName()
	if err := m.snapshot(copied); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, removeAll(copied)) }()
	return r.autopsy(ctx, m, copied)
}

// copyName gives a directory for a copy of a store.
func (r *run) copyName() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.copies++
	return filepath.Join(r.dir, fmt.Sprintf("copy-%d", r.copies))
}

// listing asks a node for everything that it holds. Where a damaged record keeps
// it from telling about a space, it is asked about each session.
func (r *run) listing(ctx context.Context, m *member) (holding, error) {
	var answer struct{ Spaces []string }
	if err := r.web.get(ctx, m.url(), "/v1/spaces", &answer); err != nil {
		return nil, err
	}
	h := holding{}
	for _, space := range answer.Spaces {
		changes, err := r.web.changes(ctx, m.url(), spacePath(space), nil)
		if _, refused := errors.AsType[*refusal](err); refused {
			changes, err = r.bySession(ctx, m, space)
		}
		if err != nil {
			return nil, err
		}
		if h[space], err = opsOf(changes); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// bySession lists the changes of each session that can be listed.
func (r *run) bySession(ctx context.Context, m *member, space string) (all []session.Change, err error) {
	for _, id := range r.sessionsOf(space, nil) {
		changes, err := r.web.changes(ctx, m.url(), sessionPath(space, id), nil)
		if _, refused := errors.AsType[*refusal](err); refused {
			r.rec.fact(m.lane, "session_unreadable", space+"/"+id)
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, changes...)
	}
	return all, nil
}

// autopsy finds out what a directory holds whose node does not run. A copy of it
// is opened by an edge that works alone. A directory without a store holds
// nothing; one that does not open gives nothing up either, which is noted.
func (r *run) autopsy(ctx context.Context, m *member, dir string) (h holding, err error) {
	if !exists(filepath.Join(dir, databaseDir)) {
		return nil, nil
	}
	api, err := r.ports.free(ctx, loopback)
	if err != nil {
		return nil, err
	}
	copied := r.copyName()
	body := &member{lane: filepath.Base(copied), plan: m.plan, dir: copied, api: api, corpse: true}
	body.command = []string{r.opt.Binary, "edge", "--node", m.plan.Name, "--cluster-name", clusterName, "--data", copied,
		"--api", api, "--core", "", "--spaces", "*", "--reserve", "0", "--log", "warn"}
	body.life.Lock()
	defer body.life.Unlock()
	defer func() { err = errors.Join(err, body.kill(), removeAll(copied)) }()
	if err := copyDir(dir, copied, streamsDir, lockFile); err != nil {
		return nil, err
	}
	err = body.start(ctx, r)
	if err == nil {
		h, err = r.listing(ctx, body)
	}
	_, closed := errors.AsType[*startError](err)
	if closed || errors.Is(err, errNoAnswer) || errors.Is(err, errUnreachable) {
		r.rec.fact(m.lane, "storage_unreadable", err.Error())
		return nil, nil
	}
	return h, err
}
