package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// defaultAgo is how old a copy is that is put back, unless the fault says.
const defaultAgo = 2 * time.Second

// stopsInTime is a promise about nodes that no checker sees.
const stopsInTime = "a node stops in time, with exit code 0 (F62)"

// running is a fault of the plan while it lasts.
type running struct {
	*sim.Fault
	images map[string]string // copies of stores taken before, by node
	clones []*member
}

// befall carries a fault out from its beginning to its end. faults ends when
// everything is healed: a fault that has begun ends then, one that has not never
// begins. ctx ends with the run.
func (r *run) befall(ctx, faults context.Context, x *sim.Fault) error {
	f := &running{Fault: x, images: map[string]string{}}
	if x.Kind == sim.Restore || x.Kind == sim.Clone || x.Kind == sim.LoseSynced {
		ago := x.Ago
		if ago == 0 {
			ago = defaultAgo
		}
		if !r.until(faults, x.At-ago) {
			return nil
		}
		if err := r.copyStores(f); err != nil {
			return err
		}
	}
	if !r.until(faults, x.At) {
		return nil
	}
	r.rec.say(sim.Event{Kind: sim.EvFault, What: x.Kind.String(),
		Detail: fmt.Sprintf("%v %v for %v", x.Nodes, x.Peers, x.For)})
	r.log.Info("fault", slog.String("kind", x.Kind.String()), slog.Any("nodes", x.Nodes))
	if x.Kind == sim.Flap {
		return r.flap(ctx, faults, f)
	}
	if err := r.begin(ctx, f); err != nil {
		return fmt.Errorf("%s of %v: %w", x.Kind, x.Nodes, err)
	}
	if x.For > 0 {
		r.until(faults, x.At+x.For)
	} else {
		<-faults.Done()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if x.For == 0 && x.Permanent {
		return nil
	}
	r.rec.say(sim.Event{Kind: sim.EvHeal, What: x.Kind.String(), Detail: fmt.Sprint(x.Nodes)})
	if err := r.end(ctx, f); err != nil {
		return fmt.Errorf("end of %s of %v: %w", x.Kind, x.Nodes, err)
	}
	return nil
}

// until waits for a moment of the plan; it is false if ctx ended first.
func (r *run) until(ctx context.Context, at time.Duration) bool {
	return pause(ctx, at-r.rec.now()) && ctx.Err() == nil
}

// flap cuts and mends links in turns, until the fault ends.
func (r *run) flap(ctx, faults context.Context, f *running) error {
	if f.For > 0 {
		var cancel context.CancelFunc
		faults, cancel = context.WithTimeout(faults, f.For)
		defer cancel()
	}
	var err error
	for cut := false; faults.Err() == nil && err == nil; cut = !cut {
		length := f.Up
		if cut {
			err, length = r.net.reset(ctx, f.Fault), f.Down
		} else {
			err = r.net.end(ctx, f.Fault)
		}
		pause(faults, max(length, 10*time.Millisecond))
	}
	r.rec.say(sim.Event{Kind: sim.EvHeal, What: f.Kind.String(), Detail: fmt.Sprint(f.Nodes)})
	return errors.Join(err, r.net.end(ctx, f.Fault))
}

func (r *run) copyStores(f *running) error {
	for _, m := range r.named(f.Nodes) {
		to := r.copyName()
		if !exists(filepath.Join(m.store(), databaseDir)) {
			continue
		}
		if err := m.snapshot(to); err != nil {
			return fmt.Errorf("snapshot of %s: %w", m.lane, err)
		}
		f.images[m.lane] = to
	}
	return nil
}

// begin begins a fault.
func (r *run) begin(ctx context.Context, f *running) error {
	switch f.Kind {
	case sim.Partition, sim.Degrade, sim.Clog:
		return r.net.begin(ctx, f.Fault)
	}
	return r.each(r.named(f.Nodes), func(m *member) error { return r.strike(ctx, f, m) })
}

// strike begins a fault of one node.
func (r *run) strike(ctx context.Context, f *running, m *member) error {
	switch f.Kind {
	case sim.Crash:
		return r.kill(m)
	case sim.Stop:
		return r.terminate(m)
	case sim.Pause:
		r.rec.say(sim.Event{Kind: sim.EvCheck, Node: m.lane, What: "frozen"})
		return m.freeze()
	case sim.MoveLink:
		if len(f.Peers) > 0 && !m.plan.Core {
			return r.moveLink(ctx, m, f.Peers[0])
		}
		return nil
	case sim.Clone:
		return r.clone(ctx, f, m)
	case sim.BitFlip:
		if err := r.harm(ctx, f, m); err != nil {
			return err
		}
		return r.startOf(ctx, m)
	default:
		return r.harm(ctx, f, m)
	}
}

func (r *run) kill(m *member) error {
	m.life.Lock()
	defer m.life.Unlock()
	if c, _ := m.process(); c != nil {
		r.rec.say(sim.Event{Kind: sim.EvCrash, Node: m.lane})
	}
	return m.kill()
}

func (r *run) terminate(m *member) error {
	m.life.Lock()
	defer m.life.Unlock()
	c, _ := m.process()
	if c == nil {
		return nil
	}
	r.rec.say(sim.Event{Kind: sim.EvCrash, Node: m.lane, What: "stop"})
	if err := m.stop(); err != nil {
		r.rec.problem(stopsInTime, m.lane, "%v", err)
	}
	return nil
}

// harm ends a node and does something to its storage. What is lost by that is
// excused before.
func (r *run) harm(ctx context.Context, f *running, m *member) error {
	r.harming.Lock()
	defer r.harming.Unlock()
	m.life.Lock()
	defer m.life.Unlock()
	from := r.rec.now()
	r.rec.say(sim.Event{Kind: sim.EvCrash, Node: m.lane})
	if err := m.kill(); err != nil {
		return err
	}
	defer func() { r.rec.reset(m.lane, from) }()
	if f.Kind == sim.WipeStreams {
		if !m.plan.Core {
			return nil
		}
		return removeAll(m.streams())
	}
	copied := f.images[m.lane]
	if (f.Kind == sim.Restore || f.Kind == sim.LoseSynced) && copied == "" {
		return nil // it had no store yet
	}
	if err := r.excuse(ctx, m, copied); err != nil {
		return err
	}
	switch f.Kind {
	case sim.Wipe:
		return m.wipe()
	case sim.Leave:
		m.leave()
		return nil
	case sim.Restore, sim.LoseSynced:
		return m.putBack(copied, f.Silent, f.Kind == sim.LoseSynced)
	case sim.BitFlip:
		m.harm()
		r.rec.damaged(m.lane, from)
		where, err := m.flip(f.Class, r.dice)
		r.rec.say(sim.Event{Kind: sim.EvFault, Node: m.lane, What: "flipped", Detail: where})
		return err
	}
	return fmt.Errorf("fault %s is not made", f.Kind)
}

// end ends a fault.
func (r *run) end(ctx context.Context, f *running) error {
	switch f.Kind {
	case sim.Partition, sim.Degrade, sim.Clog:
		return r.net.end(ctx, f.Fault)
	case sim.Clone:
		return r.each(f.clones, func(m *member) error { return r.endClone(ctx, m) })
	}
	return r.each(r.named(f.Nodes), func(m *member) error {
		switch f.Kind {
		case sim.Crash, sim.Stop, sim.Wipe, sim.WipeStreams, sim.Restore, sim.LoseSynced:
			return r.startOf(ctx, m)
		case sim.Pause:
			r.rec.say(sim.Event{Kind: sim.EvCheck, Node: m.lane, What: "thawed"})
			return m.resume()
		}
		return nil
	})
}

// startOf starts a node again.
func (r *run) startOf(ctx context.Context, m *member) error {
	m.life.Lock()
	err := r.bringUp(ctx, m)
	m.life.Unlock()
	failed, ok := errors.AsType[*startError](err)
	if !ok {
		return err
	}
	if !m.wasHarmed() {
		r.rec.problem("a node starts again", m.lane, "%s", failed.text)
		return nil
	}
	return r.replace(ctx, m, failed.text)
}

// replace does what docs/OPERATIONS.md tells to do with damaged storage: the
// node starts with an empty directory.
func (r *run) replace(ctx context.Context, m *member, why string) error {
	r.rec.fact(m.lane, "storage_unusable", why)
	r.log.Warn("a damaged node does not start; it gets an empty directory", slog.String("node", m.lane),
		slog.String("why", why))
	r.harming.Lock()
	defer r.harming.Unlock()
	m.life.Lock()
	defer m.life.Unlock()
	from := r.rec.now()
	if err := errors.Join(m.kill(), m.wipe()); err != nil {
		return err
	}
	if m.plan.Core {
		if err := removeAll(m.streams()); err != nil {
			return err
		}
	}
	err := r.bringUp(ctx, m)
	r.rec.reset(m.lane, from)
	if failed, ok := errors.AsType[*startError](err); ok {
		r.rec.problem("a node starts again", m.lane, "with an empty directory: %s", failed.text)
		return nil
	}
	return err
}

// bringUp starts a node and says so. Callers hold life.
func (r *run) bringUp(ctx context.Context, m *member) error {
	if c, _ := m.process(); c != nil || m.isGone() {
		return nil
	}
	if err := m.start(ctx, r); err != nil {
		return err
	}
	r.rec.say(sim.Event{Kind: sim.EvStart, Node: m.lane})
	return nil
}

// died is told that a node ended by itself. A supervisor would start it again;
// so does this, in a moment.
func (r *run) died(ctx context.Context, m *member, c *child) {
	if m.corpse {
		return
	}
	said := c.said()
	r.rec.say(sim.Event{Kind: sim.EvCrash, Node: m.lane, What: "by itself", Detail: lastWords(said)})
	if !m.wasHarmed() {
		r.rec.problem("no node ends by itself", m.lane, "%v: %s", c.outcome(), lastWords(said))
	} else {
		r.rec.fact(m.lane, "ended_by_itself", lastWords(said))
	}
	r.chore(ctx, func() error {
		if !pause(ctx, time.Second) {
			return nil
		}
		return r.startOf(ctx, m)
	})
}

// moveLink has an edge leave the core node that it is attached to for another:
// its ways to all others are cut until it has found it.
func (r *run) moveLink(ctx context.Context, m *member, to string) error {
	if err := r.net.detach(ctx, m.lane, to, true); err != nil {
		return err
	}
	look, cancel := context.WithTimeout(ctx, r.opt.Patience)
	defer cancel()
	for wait := firstLook; pause(look, wait); wait = min(2*wait, longestPause) {
		s, err := r.status(look, m)
		if err == nil && s.Link != nil && s.Link.State == "attached" && s.Link.Core == to {
			break
		}
	}
	return r.net.detach(ctx, m.lane, to, false)
}

// clone starts a second machine on a copy of an edge's directory.
func (r *run) clone(ctx context.Context, f *running, m *member) error {
	copied := f.images[m.lane]
	if copied == "" || m.plan.Core {
		return nil
	}
	r.mu.Lock()
	lane := fmt.Sprintf("%s+%d", m.plan.Name, len(r.members))
	r.mu.Unlock()
	a, err := r.place(ctx, lane, false)
	if err != nil {
		return err
	}
	c, err := r.newMember(ctx, m.plan, lane, a)
	if err != nil {
		return err
	}
	c.twin = m
	if err := putCopy(copied, c.dir, f.Silent); err != nil {
		return err
	}
	r.add(c)
	f.clones = append(f.clones, c)
	r.chore(ctx, func() error { r.watch(ctx, c); return nil })
	return r.startOf(ctx, c)
}

// endClone switches a clone off for ever. What only it had is lost with it.
func (r *run) endClone(ctx context.Context, m *member) error {
	r.harming.Lock()
	defer r.harming.Unlock()
	m.life.Lock()
	defer m.life.Unlock()
	r.rec.say(sim.Event{Kind: sim.EvCrash, Node: m.lane, What: "switched off"})
	if err := m.kill(); err != nil {
		return err
	}
	m.leave()
	return r.excuse(ctx, m, "")
}
