package sim

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// excuseStream excuses what a stream alone holds that is about to be deleted:
// its author has lost it, and no core node has read it yet.
func (w *world) excuseStream(s *stream) {
	looked := map[*stored]bool{}
	for _, c := range w.cores {
		for _, m := range s.copies[c].log {
			if m == nil || looked[m] {
				continue
			}
			looked[m] = true
			if f, err := drive.DecodeFrame(m.subject, m.data, partitions); err == nil {
				w.excuseFrame(f)
			}
		}
	}
}

// excuseFrame excuses the ops of a frame that no disk holds.
func (w *world) excuseFrame(f *protocol.Frame) {
	for i, e := range f.Entries {
		seq := f.From + vclock.Seq(i)
		want, ok := f.ChainAt(seq)
		held := slices.ContainsFunc(w.nodes, func(n *node) bool {
			got, has := w.chain(n, f.Feed, seq)
			return !n.gone && has && got == want
		})
		if !ok || held {
			continue
		}
		if op, err := session.DecodeOp(e.Bytes); err == nil {
			w.excuseOp(&op)
		}
	}
}

// excuse notes the values that are gone with a node's storage, or with what it
// holds more than kept: those that no other disk and no stream holds.
func (w *world) excuse(n *node, kept *memstore.Mem) {
	view := func(m *memstore.Mem, fn func(session.Reader) error) {
		if m == nil {
			return
		}
		if err := m.View(fn); err != nil {
			w.facts["excuse_unreadable"]++
		}
	}
	view(n.disk.mem, func(r session.Reader) error {
		for _, space := range w.spaces() { // not those of the store, whose records may be damaged
			for _, h := range w.headsOf(n, r, space) {
				safe := w.heldElsewhere(n, h.Feed)
				view(kept, func(k session.Reader) error {
					had, err := replica.HeadOf(k, h.Feed)
					safe = max(safe, alike(n.disk.mem, kept, h.Feed, min(h.Seq, had.Seq)))
					return err
				})
				w.excuseOps(r, h.Feed, safe, h.Seq)
				if own(n.name, h.Origin) && safe < h.Seq { // what it wrote since under another origin may wait for ever
					w.excuseBetween(n, h.Feed, safe, "")
				}
				w.excuseRotten(n, h.Feed, safe)
			}
		}
		return nil
	})
}

// headsOf gives the feeds of a space that a node holds, with their numbers. Where
// a head is damaged, the feeds are those that anybody knows, counted op by op.
func (w *world) headsOf(n *node, r session.Reader, space string) []replica.FeedHead {
	heads, err := replica.Heads(r, space)
	if err == nil {
		return heads
	}
	w.facts["excuse_unreadable"]++
	origins := []vclock.Origin{n.origin}
	for _, o := range w.nodes {
		list, err := w.headsAt(o, space)
		if err != nil {
			w.facts["excuse_unreadable"]++
		}
		for _, h := range list {
			origins = append(origins, h.Origin)
		}
	}
	slices.Sort(origins)
	heads = nil
	for _, o := range slices.Compact(origins) {
		h := replica.FeedHead{Feed: protocol.Feed{Space: space, Origin: o}}
		for {
			_, ok, err := session.RecordAt(r, space, vclock.Dot{Origin: o, Seq: h.Seq + 1})
			if err == nil && !ok {
				break
			}
			h.Seq++
		}
		heads = append(heads, h)
	}
	return heads
}

func (w *world) headsAt(n *node, space string) (heads []replica.FeedHead, err error) {
	err = n.disk.mem.View(func(r session.Reader) error {
		heads, err = replica.Heads(r, space)
		return err
	})
	return heads, err
}

// heldElsewhere is how far any other disk, or a stream, holds a feed with the
// content that n holds: two copies of a node may have written on in two ways.
func (w *world) heldElsewhere(n *node, f protocol.Feed) vclock.Seq {
	var most vclock.Seq
	for _, o := range w.nodes {
		if o != n && !o.gone {
			most = max(most, w.agreed(n, o, f))
		}
	}
	return w.heldByStream(n, f, most)
}

// heldByStream is how far a feed goes on from most by what the stream holds and
// some core node has still to read. What follows a gap that nobody can fill is
// no help.
func (w *world) heldByStream(n *node, f protocol.Feed, most vclock.Seq) vclock.Seq {
	s, subject := w.bus.streams[protocol.Partition(f.Space, partitions)], protocol.OpSubject(f, partitions)
	for _, seq := range s.subjects[subject] {
		for _, c := range w.cores {
			m := s.at(c, seq)
			if m == nil || m.subject != subject || !w.unread(s, seq) {
				continue
			}
			frame, err := drive.DecodeFrame(m.subject, m.data, partitions)
			if err != nil {
				w.facts["excuse_unreadable"]++
				continue
			}
			if ours, ok := w.chain(n, f, frame.To()); ok && ours == frame.Last && frame.From <= most+1 {
				most = max(most, frame.To())
				break
			}
		}
	}
	return most
}

// unread reports whether some core node has still to read a message of a stream.
// One that was cut short and grew again is not read where all have been before.
func (w *world) unread(s *stream, seq uint64) bool {
	return slices.ContainsFunc(w.cores, func(c *node) bool { return !c.gone && c.consumed[s.id] < seq })
}

// chain gives what a node's disk has as the chain of a feed at a number.
func (w *world) chain(n *node, f protocol.Feed, seq vclock.Seq) (c protocol.Chain, ok bool) {
	return chainIn(n.disk.mem, f, seq)
}

func chainIn(m *memstore.Mem, f protocol.Feed, seq vclock.Seq) (c protocol.Chain, ok bool) {
	err := m.View(func(r session.Reader) (err error) {
		c, ok, err = replica.ChainAt(r, f, seq)
		return err
	})
	return c, ok && err == nil
}

// agreed is up to which number two disks hold the same content of a feed.
func (w *world) agreed(a, b *node, f protocol.Feed) vclock.Seq {
	return alike(a.disk.mem, b.disk.mem, f, min(w.headSeq(a, f), w.headSeq(b, f)))
}

// alike is up to which number, most at the utmost, two storages hold the same
// content of a feed.
func alike(a, b *memstore.Mem, f protocol.Feed, most vclock.Seq) vclock.Seq {
	parted := sort.Search(int(most), func(i int) bool { // equal up to a number, and never again
		at := vclock.Seq(i + 1)
		ours, ok := chainIn(a, f, at)
		theirs, also := chainIn(b, f, at)
		return ok && also && ours != theirs
	})
	return vclock.Seq(parted)
}

// excuseOps excuses the values of the ops of a feed in (after, through].
func (w *world) excuseOps(r session.Reader, f protocol.Feed, after, through vclock.Seq) {
	for seq := after + 1; seq <= through; seq++ {
		rec, ok, err := session.RecordAt(r, f.Space, vclock.Dot{Origin: f.Origin, Seq: seq})
		if err != nil || !ok {
			w.excuseDoomed(f, seq)
			continue
		}
		op, err := session.DecodeOp(rec.Bytes)
		if err != nil {
			continue
		}
		w.excuseOp(&op)
	}
}

// excuseRotten excuses the ops of a feed up to a number that other disks hold
// with damaged records only.
func (w *world) excuseRotten(n *node, f protocol.Feed, through vclock.Seq) {
	if !slices.ContainsFunc(w.nodes, func(o *node) bool { return o.rotten }) {
		return
	}
	for seq := vclock.Seq(1); seq <= through; seq++ {
		if !w.readElsewhere(n, f, seq) {
			w.excuseDoomed(f, seq)
		}
	}
}

func (w *world) excuseDoomed(f protocol.Feed, seq vclock.Seq) {
	if op := w.doomed[string(session.OpKey(f.Space, f.Origin, seq))]; op != nil {
		w.excuseOp(op)
	}
}

// readElsewhere reports whether another disk that holds an op can read it; true
// if none holds it: then a stream does.
func (w *world) readElsewhere(n *node, f protocol.Feed, seq vclock.Seq) bool {
	holds := false
	for _, o := range w.nodes {
		if o == n || o.gone {
			continue
		}
		err := o.disk.mem.View(func(r session.Reader) error {
			_, ok, err := session.RecordAt(r, f.Space, vclock.Dot{Origin: f.Origin, Seq: seq})
			holds = holds || ok || err != nil
			if err == nil && ok {
				return errFound
			}
			return nil
		})
		if errors.Is(err, errFound) {
			return true
		}
	}
	return !holds
}

var errFound = errors.New("sim: found")

// excuseOp excuses what an op wrote, and the call that asked for it.
func (w *world) excuseOp(op *session.Op) {
	for _, v := range valuesOf(op) {
		w.history.Excused[v] = true
	}
	for _, name := range callNames(op) {
		if id, ok := w.callOf[name]; ok {
			w.history.ExcusedCalls[id] = true
		}
	}
}

// callNames gives what may lead from an op to the call that it comes from: its
// dot, which a reissue changes, and the key, which it does not. Two clones give
// one dot to two ops, but not with one stamp and content.
func callNames(op *session.Op) []string {
	if _, hollow := op.Body.(session.Erased); hollow {
		return []string{hollowName(op)}
	}
	names := []string{fmt.Sprint("dot ", op.Space, " ", op.Dot, " ", op.Stamp, " ", valuesOf(op))}
	if op.Key != "" {
		names = append(names, "key "+op.Space+"/"+op.Session+" "+op.Key)
	}
	return names
}

// hollowName is what leads from an op to its call when it tells nothing any more.
func hollowName(op *session.Op) string {
	return fmt.Sprint("hollow ", op.Space, " ", op.Dot, " ", op.Stamp)
}
