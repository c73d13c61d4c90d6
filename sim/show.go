package sim

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/sim/observe"
	"github.com/causeway-sync/causeway/vclock"
)

// show gives a session as the node's API shows it.
func (n *node) show(space, id string) (*check.Seen, error) {
	var s *check.Seen
	err := n.view(func(r session.Reader) error {
		doc, err := session.View(r, space, id)
		if gone := observe.Gone(err); gone != "" {
			s = &check.Seen{Gone: gone}
			return nil
		}
		if err != nil {
			return err
		}
		msgs, _, err := session.Messages(r, space, id, session.Query{})
		if err != nil {
			return err
		}
		if s, err = observe.Session(&doc, msgs); err != nil {
			return err
		}
		return n.showTexts(r, &doc, s)
	})
	if err == nil {
		n.checkRedacted(space, id, s)
	}
	return s, err
}

// ops gives all ops of a space in the order in which they came to the node.
func (n *node) ops(space string) ([]check.Op, error) {
	var list []check.Op
	gone := erasures{}
	err := n.view(func(r session.Reader) error {
		after, more := vclock.Vector{}, true
		for more {
			var frames []*protocol.Frame
			var err error
			frames, after, more, err = replica.Missing(r, space, after, replica.Budget{Ops: 1 << 12, Bytes: 4 << 20})
			if err != nil {
				return err
			}
			for _, f := range frames {
				for _, e := range f.Entries {
					l, err := n.w.listed(e.Bytes)
					if err != nil {
						return fmt.Errorf("op of %s of %s: %w", f.Origin, space, err)
					}
					o := l.shown
					if hidden, err := gone.hides(r, l.op); err != nil {
						return err
					} else if hidden {
						o.Kind, o.Values = "erased", nil
					}
					list = append(list, o)
				}
			}
		}
		return nil
	})
	return list, err
}

// listed is an op as lists of changes show it.
type listed struct {
	op    *session.Op
	shown check.Op
}

// listed decodes an op once, however many nodes have the same bytes.
func (w *world) listed(raw []byte) (listed, error) {
	if l, ok := w.lists[string(raw)]; ok {
		return l, nil
	}
	op, err := session.DecodeOp(raw)
	if err != nil {
		return listed{}, err
	}
	l := listed{&op, opOf(&op)}
	w.lists[string(raw)] = l
	return l, nil
}

// erasures are the sessions that were looked at, and whether each is erased:
// then the API tells nothing of its ops, even before they are purged.
type erasures map[string]bool

func (e erasures) hides(r session.Reader, op *session.Op) (bool, error) {
	if _, erase := op.Body.(session.Erase); erase {
		return false, nil
	}
	hidden, known := e[op.Session]
	if known {
		return hidden, nil
	}
	c, err := session.ChangeIn(r, op)
	if err != nil {
		return false, err
	}
	e[op.Session] = c.Type == "erased"
	return e[op.Session], nil
}

func opOf(op *session.Op) check.Op {
	o := check.Op{Origin: string(op.Dot.Origin), Seq: uint64(op.Dot.Seq), Session: op.Session,
		Wall: op.Stamp.Wall, Logical: op.Stamp.Logical, Trust: uint8(op.Stamp.Trust), Key: op.Key, Values: valuesOf(op)}
	o.Kind = strings.ToLower(strings.TrimPrefix(reflect.TypeOf(op.Body).String(), "session."))
	if o.Kind == "textedit" {
		o.Kind = check.Text.String()
	}
	return o
}

// valuesOf gives the values that an op writes.
func valuesOf(op *session.Op) []string {
	switch b := op.Body.(type) {
	case session.Put:
		return []string{observe.Text(b.Content)}
	case session.Edit:
		return []string{observe.Text(b.Content)}
	case session.Set:
		var list []string
		for _, l := range b.Leaves {
			if !l.Deleted {
				list = append(list, observe.Text(l.Value))
			}
		}
		return list
	case session.TextEdit:
		var list []string
		for _, e := range b.Edits {
			if e.Ins != "" {
				list = append(list, e.Ins)
			}
		}
		return list
	case session.Adjust:
		var list []string
		for _, c := range b.Changes {
			if c.Kind != session.CounterAdd {
				list = append(list, observe.Text(c.Value))
			}
		}
		return list
	default:
		return nil
	}
}

// final gives everything that a node shows in the end.
func (n *node) final(spaces []string) (check.Final, error) {
	f := check.Final{Node: n.lane, Unordered: n.rotten, Sessions: map[string]check.Seen{}, Digests: map[string]string{},
		Ops: map[string][]check.Op{}, Backlog: map[string]int{}, Waiting: map[string]int{}}
	for _, space := range spaces {
		if !n.carries(space) {
			continue
		}
		f.Spaces = append(f.Spaces, space)
		if err := n.finalOf(space, &f); err != nil {
			return f, fmt.Errorf("space %s: %w", space, err)
		}
	}
	return f, nil
}

func (n *node) finalOf(space string, f *check.Final) error {
	var names []string
	err := n.view(func(r session.Reader) error {
		sum, _, err := session.SpaceDigest(r, space)
		if err != nil {
			return err
		}
		f.Digests[space] = hex.EncodeToString(sum[:])
		totals, err := replica.Count(r, space)
		if err != nil {
			return err
		}
		f.Waiting[space] = n.w.waiting(n, space, int(totals.Waiting))
		heads, err := replica.Heads(r, space)
		if err != nil {
			return err
		}
		for _, h := range heads {
			if protocol.NodeOf(h.Origin) == n.name {
				f.Backlog[space] += int(h.Seq - min(h.Seq, n.let[h.Feed]))
			}
		}
		names, err = session.SessionNames(r, space, "", 0)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range names {
		seen, err := n.show(space, id)
		if err != nil {
			return fmt.Errorf("session %s: %w", id, err)
		}
		f.Sessions[space+"/"+id] = *seen
	}
	f.Ops[space], err = n.ops(space)
	return err
}
