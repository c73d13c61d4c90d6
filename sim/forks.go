package sim

import (
	"bytes"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
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

// remains reports whether a read shows a session of which the node holds ops that
// were emptied, but not yet the erasure: who lost everything is given again, op by
// op, what those hold who know of the erasure and those who do not. A known gap.
func (w *world) remains(n *node, c *check.Call) bool {
	if c.Seen.Gone != "" || len(w.history.Resets) == 0 || !w.erases[c.Space+"/"+c.Session] {
		return false
	}
	found := false
	n.eachOp(c.Space, func(op *session.Op, _ *session.Record) {
		_, hollow := op.Body.(session.Erased)
		found = found || hollow && op.Session == c.Session
	})
	return found
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
	for _, dot := range w.between[space] {
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
			w.noteBetween(space, dot)
			w.excuseOp(op)
		}
	}
}

// noteBetween notes an op that may wait for ever.
func (w *world) noteBetween(space string, dot vclock.Dot) {
	if !slices.Contains(w.between[space], dot) {
		w.between[space] = append(w.between[space], dot)
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
// that have another content now. Others may have them already; what has not left
// the node must have been made again as well. With no new origin nothing was made
// again: the feed is gone with the node.
func (w *world) excuseBetween(n *node, f protocol.Feed, cut vclock.Seq, again vclock.Origin) {
	err := n.disk.mem.View(func(r session.Reader) error {
		return w.eachOp(r, f.Space, func(op *session.Op) {
			newer := own(n.name, op.Dot.Origin) && op.Dot.Origin != f.Origin && op.Dot.Origin != again
			if !newer || op.Deps.At(f.Origin) <= cut {
				return
			}
			if again != "" && n.known(protocol.Feed{Space: f.Space, Origin: op.Dot.Origin}) < op.Dot.Seq {
				w.problem("what forked is made again as it was", n.lane, "%v follows op %d of %s, which was taken out behind %d",
					op.Dot, op.Deps.At(f.Origin), f.Origin, cut)
			}
			w.facts["op_in_between"]++
			w.noteBetween(f.Space, op.Dot)
			w.excuseOp(op)
		})
	})
	if err != nil {
		w.facts["excuse_unreadable"]++
	}
}

// checkAgain is an oracle: what is taken out of feeds is made again, in its order,
// says what it said, and names each other by new numbers. Before is all that the
// node had written in the space. It notes from which calls they come.
func (w *world) checkAgain(n *node, tx session.Reader, before []session.Op, done drive.Reissued) {
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
	moved, last := map[vclock.Dot]vclock.Seq{}, map[vclock.Origin]vclock.Seq{}
	for _, op := range readable(tx, done.Grown.Feed) {
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
		moved[old.Dot] = op.Dot.Seq
		want := aboutMessage(&old)
		if d, err := vclock.ParseDot(want); err == nil && moved[d] > 0 {
			want = vclock.Dot{Origin: op.Dot.Origin, Seq: moved[d]}.String()
		}
		if got := aboutMessage(&op); got != want || old.Dot.Seq < last[old.Dot.Origin] {
			w.problem(promise, n.lane, "%v, which was %v, is about %q, want %q, or behind op %d",
				op.Dot, old.Dot, got, want, last[old.Dot.Origin])
		}
		last[old.Dot.Origin] = old.Dot.Seq
		if id, ok := w.callOf[callNames(&old)[0]]; ok {
			w.callOf[callNames(&op)[0]] = id
		}
		w.checkCauses(n, done, moved, &old, &op)
	}
}

// checkCauses is an oracle: an op that is made again follows nothing of what was
// taken out but what was made of it.
func (w *world) checkCauses(n *node, done drive.Reissued, moved map[vclock.Dot]vclock.Seq, was, is *session.Op) {
	var want vclock.Seq
	for _, cut := range done.Cut {
		if seen := was.Deps.At(cut.Origin); seen > cut.Seq {
			want = max(want, moved[vclock.Dot{Origin: cut.Origin, Seq: seen}])
		}
		if old := is.Deps.At(cut.Origin); old > cut.Seq {
			w.problem("what forked is made again as it was", n.lane, "%v, which was %v, follows %d of %s, of which %d are left",
				is.Dot, was.Dot, old, cut.Origin, cut.Seq)
		}
	}
	if again := is.Deps.At(is.Dot.Origin); again != want {
		w.problem("what forked is made again as it was", n.lane, "%v, which was %v, follows %d of %s, want %d",
			is.Dot, was.Dot, again, is.Dot.Origin, want)
	}
}

// checkLeft is an oracle: when a node leaves an origin because the core has more
// of its feed, the feed keeps nothing that was written since it learned that:
// such ops have numbers that the core's ops have.
func (n *node) checkLeft(tx session.Reader) {
	at := n.half.behind
	if at == nil {
		return
	}
	if h, err := replica.HeadOf(tx, at.Feed); err == nil && h.Seq > at.Seq {
		n.w.problem("what forked is made again as it was", n.lane, "%s of %s is left at %d, though the core has other ops from %d on",
			at.Origin, at.Space, h.Seq, at.Seq+1)
	}
}

// checkOwnOrder is an oracle: nobody writes behind ops of its own feed that wait.
// Of one origin a session takes no earlier op after a later one.
func (n *node) checkOwnOrder(tx session.Reader, grown protocol.FeedHead) {
	of := []byte("\x00" + string(grown.Origin) + "\x00")
	for e, err := range tx.Scan([]byte("w/"+grown.Space+"\x00"), nil, false) {
		if err != nil {
			return
		}
		if bytes.Contains(e.Key, of) {
			n.w.problem("nobody writes behind what waits", n.lane, "op %d of %s is written, and %q waits", grown.Seq, grown.Origin, e.Key)
			return
		}
	}
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
