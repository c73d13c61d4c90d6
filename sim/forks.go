package sim

import (
	"cmp"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/protocol"
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
	for _, dot := range slices.Compact(w.between[space]) {
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
// that have another content now. A known gap.
func (w *world) excuseBetween(n *node, f protocol.Feed, cut vclock.Seq, again vclock.Origin) {
	err := n.disk.mem.View(func(r session.Reader) error {
		return w.eachOp(r, f.Space, func(op *session.Op) {
			newer := own(n.name, op.Dot.Origin) && op.Dot.Origin != f.Origin && op.Dot.Origin != again
			if newer && op.Deps.At(f.Origin) > cut {
				w.facts["op_in_between"]++
				w.between[f.Space] = append(w.between[f.Space], op.Dot)
				w.excuseOp(op)
			}
		})
	})
	if err != nil {
		w.facts["excuse_unreadable"]++
	}
}

// checkAgain is an oracle: ops that are made again say what they said, and name
// each other by their new numbers.
func (w *world) checkAgain(n *node, before []session.Op, grown protocol.FeedHead) {
	at := map[string]string{}
	for i := range before {
		at[before[i].Dot.String()] = vclock.Dot{Origin: grown.Origin, Seq: vclock.Seq(i + 1)}.String()
	}
	if int(grown.Seq) != len(before) {
		w.problem("what forked is made again as it was", n.lane, "%d ops of %s for %d", grown.Seq, grown.Origin, len(before))
		return
	}
	err := n.disk.mem.View(func(r session.Reader) error {
		for i := range before {
			rec, ok, err := session.RecordAt(r, grown.Space, vclock.Dot{Origin: grown.Origin, Seq: vclock.Seq(i + 1)})
			if err != nil || !ok {
				return err
			}
			op, err := session.DecodeOp(rec.Bytes)
			if err != nil {
				return err
			}
			want := cmp.Or(at[aboutMessage(&before[i])], aboutMessage(&before[i]))
			if op.Session != before[i].Session || op.Key != before[i].Key || aboutMessage(&op) != want ||
				!slices.Equal(valuesOf(&op), valuesOf(&before[i])) {
				w.problem("what forked is made again as it was", n.lane, "%v, which was %v, is about %q, want %q",
					op.Dot, before[i].Dot, aboutMessage(&op), want)
			}
		}
		return nil
	})
	if err != nil {
		w.facts["excuse_unreadable"]++
	}
}

// behind gives the ops of a feed behind a number, as far as they can be read.
func behind(r session.Reader, f protocol.Feed, after vclock.Seq) (list []session.Op) {
	for seq := after + 1; ; seq++ {
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
