package sim

import (
	"cmp"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// What a fork spoils until it is noticed, and nobody can help: two machines that
// do not know of each other write other content under the same numbers. What
// somebody else wrote after one of them is then shown above the other. What such
// a node shows is not judged, nor what its clients had seen when they wrote;
// that what they wrote survives is.

// mixed reports whether a node holds other content in a feed of its own than
// some other node does.
func (w *world) mixed(n *node) bool {
	if !slices.ContainsFunc(w.running, func(f *fault) bool {
		return f.Kind == Restore || f.Kind == Clone || f.Kind == LoseSynced
	}) {
		return false
	}
	for _, h := range w.ownHeads(n) {
		for _, o := range w.nodes {
			if o == n || o.gone {
				continue
			}
			if both := min(h.Seq, w.headSeq(o, h.Feed)); w.agreed(n, o, h.Feed) < both {
				return true
			}
		}
	}
	return false
}

// ownHeads lists the feeds that a node wrote, as its disk has them.
func (w *world) ownHeads(n *node) (list []replica.FeedHead) {
	err := n.disk.mem.View(func(r session.Reader) error {
		spaces, err := replica.Spaces(r)
		if err != nil {
			return err
		}
		for _, space := range spaces {
			heads, err := replica.Heads(r, space)
			if err != nil {
				return err
			}
			for _, h := range heads {
				if own(n.name, h.Origin) {
					list = append(list, h)
				}
			}
		}
		return nil
	})
	if err != nil {
		w.facts["excuse_unreadable"]++
	}
	return list
}

func (w *world) headSeq(n *node, f protocol.Feed) (seq vclock.Seq) {
	err := n.disk.mem.View(func(r session.Reader) error {
		h, err := replica.HeadOf(r, f)
		seq = h.Seq
		return err
	})
	if err != nil {
		w.facts["excuse_unreadable"]++
	}
	return seq
}

// waiting is how many ops of a space wait for others at a node, but for those
// that excuseBetween and excuseOrphans excuse.
func (w *world) waiting(n *node, space string, all int) int {
	for _, dot := range slices.Compact(slices.SortedFunc(slices.Values(w.between[space]), vclock.Dot.Compare)) {
		err := n.disk.mem.View(func(r session.Reader) error {
			if rec, ok, err := session.RecordAt(r, space, dot); err != nil || !ok || rec.Slot > 0 {
				return err
			}
			all--
			return nil
		})
		if err != nil {
			w.facts["excuse_unreadable"]++
		}
	}
	return all
}

// excuseOrphans excuses the ops that wait for what no node holds any more: their
// author is gone for good with the others, that it acknowledged itself and whose
// loss is judged by itself. What was acknowledged at level core is not excused.
func (w *world) excuseOrphans() error {
	for _, space := range w.spaces() {
		var held vclock.Vector
		waiting := map[vclock.Dot]*session.Op{}
		for _, n := range w.healthy() {
			if !n.carries(space) {
				continue
			}
			err := n.disk.mem.View(func(r session.Reader) error {
				v, err := replica.Vector(r, space)
				if err != nil {
					return err
				}
				held = held.Merge(v)
				totals, err := replica.Count(r, space)
				if err != nil || totals.Waiting == 0 {
					return err
				}
				return w.eachOp(r, space, func(op *session.Op) {
					if rec, ok, err := session.RecordAt(r, space, op.Dot); err == nil && ok && rec.Slot == 0 {
						waiting[op.Dot] = op
					}
				})
			})
			if err != nil {
				return err
			}
		}
		w.excuseWaiting(space, held, waiting)
	}
	return nil
}

// excuseWaiting excuses the ops of a space that follow one beyond held, and
// those that follow them.
func (w *world) excuseWaiting(space string, held vclock.Vector, waiting map[vclock.Dot]*session.Op) {
	for before := -1; before != len(waiting); {
		before = len(waiting)
		for _, dot := range slices.SortedFunc(maps.Keys(waiting), vclock.Dot.Compare) {
			op := waiting[dot]
			orphan := !held.Includes(op.Deps) || slices.ContainsFunc(w.between[space], op.Deps.Covers)
			if !orphan || w.acknowledgedAtCore(op) {
				continue
			}
			delete(waiting, dot)
			w.facts["op_orphaned"]++
			w.between[space] = append(w.between[space], dot)
			w.excuseOp(op)
		}
	}
}

func (w *world) acknowledgedAtCore(op *session.Op) bool {
	return slices.ContainsFunc(callNames(op), func(name string) bool {
		id, ok := w.callOf[name]
		return ok && w.history.Calls[id].Core
	})
}

// excuseBetween excuses the ops that a node wrote under a newer origin before it
// made those behind a number of a feed again: they say that they follow numbers
// that have another content now. Core stores have them already; what has not left
// the node must have been made again as well.
func (w *world) excuseBetween(n *node, f protocol.Feed, cut vclock.Seq, again vclock.Origin) {
	err := n.disk.mem.View(func(r session.Reader) error {
		return w.eachOp(r, f.Space, func(op *session.Op) {
			newer := own(n.name, op.Dot.Origin) && op.Dot.Origin != f.Origin && op.Dot.Origin != again
			if !newer || op.Deps.At(f.Origin) <= cut {
				return
			}
			released, err := replica.ReleasedOf(r, protocol.Feed{Space: f.Space, Origin: op.Dot.Origin})
			if err == nil && released < op.Dot.Seq {
				w.problem("what forked is made again as it was", n.lane, "%v follows op %d of %s, which was taken out behind %d",
					op.Dot, op.Deps.At(f.Origin), f.Origin, cut)
			}
			w.facts["op_in_between"]++
			w.between[f.Space] = append(w.between[f.Space], op.Dot)
			w.excuseOp(op)
		})
	})
	if err != nil {
		w.facts["excuse_unreadable"]++
	}
}

// checkAgain is an oracle: what is taken out of feeds is made again, in its order,
// says what it said, and names each other by new numbers. Before is all that the
// node had written in the space.
func (w *world) checkAgain(n *node, before []session.Op, done drive.Reissued) {
	const promise = "what forked is made again as it was"
	left := slices.DeleteFunc(before, func(op session.Op) bool {
		return !slices.ContainsFunc(done.Cut, func(cut protocol.FeedHead) bool {
			return cut.Origin == op.Dot.Origin && cut.Seq < op.Dot.Seq
		})
	})
	if int(done.Grown.Seq) != len(left) {
		w.problem(promise, n.lane, "%d ops of %s for %d", done.Grown.Seq, done.Grown.Origin, len(left))
		return
	}
	moved, last := map[string]string{}, map[vclock.Origin]vclock.Seq{}
	for _, op := range n.opsOf(done.Grown.Feed) {
		i := slices.IndexFunc(left, func(old session.Op) bool {
			return op.Session == old.Session && op.Key == old.Key && op.Stamp == old.Stamp &&
				slices.Equal(valuesOf(&op), valuesOf(&old))
		})
		if i < 0 {
			w.problem(promise, n.lane, "%v is none of what was taken out", op.Dot)
			return
		}
		old := left[i]
		left = slices.Delete(left, i, i+1)
		moved[old.Dot.String()] = op.Dot.String()
		want := cmp.Or(moved[aboutMessage(&old)], aboutMessage(&old))
		if got := aboutMessage(&op); got != want || old.Dot.Seq < last[old.Dot.Origin] {
			w.problem(promise, n.lane, "%v, which was %v, is about %q, want %q, or behind op %d",
				op.Dot, old.Dot, got, want, last[old.Dot.Origin])
		}
		last[old.Dot.Origin] = old.Dot.Seq
	}
}

// opsOf gives the ops of a feed, as far as they can be read.
func (n *node) opsOf(f protocol.Feed) (list []session.Op) {
	err := n.disk.mem.View(func(r session.Reader) error {
		list = readable(r, f)
		return nil
	})
	if err != nil {
		n.w.facts["excuse_unreadable"]++
	}
	return list
}

// ownOps gives all ops of a space that the node wrote, as far as they can be read.
func (n *node) ownOps(r session.Reader, space string) (list []session.Op) {
	heads, err := replica.Heads(r, space)
	if err != nil {
		n.w.facts["excuse_unreadable"]++
	}
	for _, h := range heads {
		if own(n.name, h.Origin) {
			list = append(list, readable(r, h.Feed)...)
		}
	}
	return list
}

// readable gives the ops of a feed up to the first that cannot be read.
func readable(r session.Reader, f protocol.Feed) (list []session.Op) {
	for seq := vclock.Seq(1); ; seq++ {
		rec, ok, err := session.RecordAt(r, f.Space, vclock.Dot{Origin: f.Origin, Seq: seq})
		if err != nil || !ok {
			return list
		}
		op, err := session.DecodeOp(rec.Bytes)
		if err != nil {
			return list
		}
		list = append(list, op)
	}
}
