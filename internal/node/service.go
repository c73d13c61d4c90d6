package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// AllSpaces as a configured space means every space.
const AllSpaces = "*"

// Carries reports whether the node carries the space.
func (n *Node) Carries(space string) bool {
	return space == "default" || slices.Contains(n.cfg.Spaces, AllSpaces) || slices.Contains(n.cfg.Spaces, space)
}

func (n *Node) carried(space string) error {
	if n.Carries(space) {
		return nil
	}
	return fmt.Errorf("space %q: %w", space, httpapi.ErrNoSpace)
}

// Write implements [httpapi.Service].
func (n *Node) Write(ctx context.Context, cmd session.Command, level httpapi.Durability) (httpapi.Answer, error) {
	if err := n.carried(cmd.Space); err != nil {
		return httpapi.Answer{}, err
	}
	level = n.level(&cmd, level)
	if do, ok := cmd.Do.(session.ClaimTool); ok {
		return n.claim(ctx, cmd, do, level)
	}
	return n.write(ctx, cmd, level)
}

func (n *Node) write(ctx context.Context, cmd session.Command, level httpapi.Durability) (httpapi.Answer, error) {
	var a drive.Answer
	err := n.store.Update(ctx, store.Intake, func(tx session.Tx) error {
		var err error
		now := n.now()
		a, err = drive.Write(tx, n.replica, now, cmd)
		if drive.RunsAhead(n.replica, now) {
			n.clockAhead.Store(true)
		}
		return err
	})
	httpapi.Committed(ctx)
	if err != nil {
		return httpapi.Answer{}, n.seen(err)
	}
	if !a.Replayed {
		n.moved(a.Grown)
		n.hub.notify(cmd.Space, cmd.Session)
	}
	return n.answer(ctx, cmd, a, level), nil
}

// answer puts together what the client is told, after waiting for the level
// that it asked for.
func (n *Node) answer(ctx context.Context, cmd session.Command, w drive.Answer, level httpapi.Durability) httpapi.Answer {
	a := httpapi.Answer{Version: w.Version, Seal: w.Seal, Durability: httpapi.Local, Replayed: w.Replayed, Document: w.Document}
	if level == httpapi.Core && len(w.Ops) > 0 {
		last := w.Ops[len(w.Ops)-1].Dot
		if a.Fallback = n.firmly(ctx, cmd.Space, last); a.Fallback == "" {
			a.Durability = httpapi.Core
		} else {
			a.Degraded = true
		}
	}
	a.Edits, a.Tool = w.Others, w.Tool
	for i := range w.Ops {
		if m := session.ChangeOf(&w.Ops[i]).Message; m != nil {
			m.Durability = string(a.Durability)
			a.Messages = append(a.Messages, *m)
		}
	}
	return a
}

// Session implements [httpapi.Service].
func (n *Node) Session(_ context.Context, space, id string) (doc session.Document, err error) {
	if err := n.carried(space); err != nil {
		return doc, err
	}
	err = n.View(func(r session.Reader) error {
		doc, err = session.View(r, space, id)
		return err
	})
	return doc, err
}

// Sessions implements [httpapi.Service].
func (n *Node) Sessions(_ context.Context, space string, q httpapi.ListQuery) (
	docs []session.Document, next string, err error,
) {
	if err := n.carried(space); err != nil {
		return nil, "", err
	}
	err = n.View(func(r session.Reader) error {
		docs, next, err = session.List(r, space, session.ListQuery(q))
		return err
	})
	return docs, next, err
}

// Messages implements [httpapi.Service].
func (n *Node) Messages(_ context.Context, space, id string, q httpapi.MessageQuery) (
	msgs []session.Message, next string, err error,
) {
	if err := n.carried(space); err != nil {
		return nil, "", err
	}
	err = n.View(func(r session.Reader) error {
		msgs, next, err = session.Messages(r, space, id, session.Query(q))
		return err
	})
	for i := range msgs {
		msgs[i].Durability = n.durability(space, msgs[i].Dot)
	}
	return msgs, next, err
}

// Text implements [httpapi.Service].
func (n *Node) Text(_ context.Context, space, id, name string) (t session.Text, err error) {
	if err := n.carried(space); err != nil {
		return t, err
	}
	err = n.View(func(r session.Reader) error {
		n.reading.Lock()
		defer n.reading.Unlock()
		t, err = session.ReadText(r, &n.texts, space, id, name)
		return err
	})
	return t, err
}

func (n *Node) durability(space string, d vclock.Dot) string {
	if n.atCore(space, d) {
		return string(httpapi.Core)
	}
	return string(httpapi.Local)
}

// Digest implements [httpapi.Service].
func (n *Node) Digest(_ context.Context, space, id string) (httpapi.Digest, error) {
	d := httpapi.Digest{Space: space, Session: id}
	if err := n.carried(space); err != nil {
		return d, err
	}
	err := n.View(func(r session.Reader) error {
		var sum [32]byte
		var err error
		var at vclock.Vector
		if id == "" {
			if sum, d.Sessions, err = session.SpaceDigest(r, space); err == nil {
				at, err = replica.Vector(r, space)
			}
		} else if sum, err = session.StateDigest(r, space, id); err == nil {
			at, err = session.Vector(r, space, id)
		}
		if err != nil {
			return err
		}
		totals, err := replica.Count(r, space)
		d.Version, d.Digest, d.Waiting = at.String(), hex.EncodeToString(sum[:]), int(totals.Waiting)
		return err
	})
	return d, err
}

// Spaces implements [httpapi.Service]: the configured spaces and those held.
func (n *Node) Spaces(context.Context) ([]string, error) {
	spaces := []string{"default"}
	err := n.View(func(r session.Reader) error {
		held, err := replica.Spaces(r)
		spaces = append(spaces, held...)
		return err
	})
	for _, s := range n.cfg.Spaces {
		if s != AllSpaces {
			spaces = append(spaces, s)
		}
	}
	slices.Sort(spaces)
	return slices.Compact(spaces), err
}

// Status implements [httpapi.Service].
func (n *Node) Status(ctx context.Context) (httpapi.Status, error) {
	stats := n.store.Stats()
	st := httpapi.Status{
		Node: n.cfg.Name, Role: n.cfg.Role, Cluster: n.cfg.Cluster, Version: n.cfg.Version,
		Origin: string(n.Origin()), Started: n.started.UTC(),
		Dropped: n.dropped.Load(),
		Clock:   n.clockStatus(),
		Store: httpapi.StoreStatus{Commits: stats.Commits, BytesFree: stats.BytesFree, Repairs: n.repairs.Load(),
			Problems: []string{}},
	}
	spaces, err := n.Spaces(ctx)
	if err != nil {
		return st, err
	}
	n.noteStore(stats)
	st.Intake, st.Guard = n.admission.status(), n.coreStatus()
	st.Degraded = n.problems.all()
	st.Spaces = []httpapi.SpaceStatus{}
	for _, space := range spaces {
		s, err := n.spaceStatus(space)
		if err != nil {
			return st, err
		}
		st.Spaces = append(st.Spaces, s)
	}
	n.mu.Lock()
	report := n.report
	n.mu.Unlock()
	if report != nil {
		report(&st)
	}
	return st, nil
}

// noteStore puts the store's degraded modes in force or out of it.
func (n *Node) noteStore(stats store.Stats) {
	if stats.Failed != nil {
		n.problems.set("store_failed", fmt.Sprintf(
			"no more writes are taken: %v; restart when the disk is sound", stats.Failed), n.wall())
	}
	if stats.Reserve == store.ReserveFree {
		n.problems.clear("disk_reserve")
		return
	}
	n.problems.set("disk_reserve", fmt.Sprintf(
		"%d bytes are free; new writes are refused until there is more", stats.BytesFree), n.wall())
}

func (n *Node) spaceStatus(space string) (httpapi.SpaceStatus, error) {
	s := httpapi.SpaceStatus{Space: space}
	err := n.View(func(r session.Reader) error {
		at, err := replica.Vector(r, space)
		if err != nil {
			return err
		}
		s.Version = at.String()
		totals, err := replica.Count(r, space)
		if err != nil {
			return err
		}
		s.Ops, s.Waiting, s.Sessions = totals.Ops, totals.Waiting, totals.Sessions
		heads, err := replica.Heads(r, space)
		if err != nil {
			return err
		}
		s.Backlog = n.backlog(heads)
		return nil
	})
	return s, err
}

// backlog counts the node's own ops that too few core stores are known to hold.
func (n *Node) backlog(heads []replica.FeedHead) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ops uint64
	for _, h := range heads {
		if protocol.NodeOf(h.Origin) == n.cfg.Name {
			ops += uint64(h.Seq - min(h.Seq, n.let[h.Feed]))
		}
	}
	return ops
}

// Ready implements [httpapi.Service].
func (n *Node) Ready(context.Context) error {
	st := n.store.Stats()
	switch {
	case st.Failed != nil:
		return fmt.Errorf("%w: %w", httpapi.ErrReadOnly, st.Failed)
	case st.Reserve != store.ReserveFree:
		return fmt.Errorf("%w: %d bytes are free", httpapi.ErrDiskReserve, st.BytesFree)
	}
	return nil
}
