package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// maxChangesBytes bounds the ops of one page of changes over HTTP.
const maxChangesBytes = 4 << 20

// Changes implements [httpapi.Service].
func (n *Node) Changes(ctx context.Context, space, id string, since vclock.Vector, limit int, wait time.Duration) (
	[]session.Change, vclock.Vector, error,
) {
	if err := n.carried(space); err != nil {
		return nil, since, err
	}
	if wait <= 0 {
		changes, next, err := n.changes(space, id, since, session.Bounds{Count: limit, Bytes: maxChangesBytes})
		return changes, next, notYet(err, since)
	}
	rung, ring := bell()
	defer n.hub.watch(topic{space, id}, ring)()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		changes, next, err := n.changes(space, id, since, session.Bounds{Count: limit, Bytes: maxChangesBytes})
		if err != nil && !errors.Is(err, session.ErrNoSession) || len(changes) > 0 {
			return changes, next, err
		}
		select {
		case <-rung:
		case <-timer.C:
			return changes, next, notYet(err, since)
		case <-ctx.Done():
			return changes, next, notYet(err, since)
		}
	}
}

// notYet forgives that a session is not here: whoever has a version of it knows
// that it is to come.
func notYet(err error, since vclock.Vector) error {
	if errors.Is(err, session.ErrNoSession) && !since.IsEmpty() {
		return nil
	}
	return err
}

// Page implements [httpapi.Service].
func (n *Node) Page(space, id string, since vclock.Vector) (changes []session.Change, more bool, err error) {
	if err := n.carried(space); err != nil {
		return nil, false, err
	}
	b := session.Bounds{Count: live.MaxPageItems, Bytes: live.MaxPageBytes}
	changes, _, more, err = n.behind(space, id, since, b)
	return changes, more, err
}

// Held implements [httpapi.Service].
func (n *Node) Held(space, id string) (held vclock.Vector, err error) {
	if err := n.carried(space); err != nil {
		return held, err
	}
	err = n.View(func(r session.Reader) error {
		if id == "" {
			held, err = replica.Vector(r, space)
		} else {
			held, err = session.Vector(r, space, id)
		}
		return err
	})
	return held, err
}

// Covers implements [httpapi.Service].
func (n *Node) Covers(space, id string, since vclock.Vector) (whole bool, err error) {
	if err := n.carried(space); err != nil {
		return false, err
	}
	err = n.View(func(r session.Reader) error {
		whole, err = replica.Shows(r, space, id, since)
		return err
	})
	return whole, err
}

// HasMessage implements [httpapi.Service].
func (n *Node) HasMessage(space, id, message string) (has bool, err error) {
	if err := n.carried(space); err != nil {
		return false, err
	}
	err = n.View(func(r session.Reader) error {
		has, err = session.HasMessage(r, space, id, message)
		return err
	})
	return has, err
}

// Follow implements [httpapi.Service].
func (n *Node) Follow(space, id string, moved func()) (stop func()) {
	return n.hub.watch(topic{space, id}, moved)
}

// changes lists what since does not cover, each change with its version.
func (n *Node) changes(space, id string, since vclock.Vector, b session.Bounds) (
	changes []session.Change, next vclock.Vector, err error,
) {
	changes, next, _, err = n.behind(space, id, since, b)
	if id == "" && err == nil {
		err = number(changes, since)
	}
	return changes, next, err
}

// behind is changes without the versions of those of a space.
func (n *Node) behind(space, id string, since vclock.Vector, b session.Bounds) (
	changes []session.Change, next vclock.Vector, more bool, err error,
) {
	next = since
	err = n.View(func(r session.Reader) error {
		if id != "" {
			changes, next, more, err = session.ChangesWithin(r, space, id, since, b)
		} else {
			changes, next, more, err = spaceChanges(r, space, since, b)
		}
		return err
	})
	return changes, next, more, err
}

// number gives each change its version. With many origins that is long, so it
// is left out where the reader makes his own.
func number(changes []session.Change, since vclock.Vector) error {
	for i := range changes {
		dot, err := vclock.ParseDot(changes[i].Dot)
		if err != nil {
			return fmt.Errorf("change %s: %w", changes[i].Dot, err)
		}
		since = since.With(dot)
		changes[i].Version = since.String()
	}
	return nil
}

// spaceChanges lists the changes of a space, without their versions.
func spaceChanges(r session.Reader, space string, since vclock.Vector, b session.Bounds) (
	[]session.Change, vclock.Vector, bool, error,
) {
	frames, next, more, err := replica.Missing(r, space, since, replica.Budget{Ops: b.Count, Bytes: b.Bytes})
	if err != nil {
		return nil, since, false, err
	}
	var changes []session.Change
	for _, f := range frames {
		for _, e := range f.Entries {
			op, err := session.DecodeOp(e.Bytes)
			if err != nil {
				return nil, since, false, fmt.Errorf("op of %s of %s: %w", f.Origin, space, err)
			}
			c, err := session.ChangeIn(r, &op)
			if err != nil {
				return nil, since, false, err
			}
			changes = append(changes, c)
		}
	}
	return changes, next, more, nil
}
