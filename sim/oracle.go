package sim

import (
	"bytes"
	"cmp"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// What the world itself sees, because no answer to a client shows it.

// checkRelease is an oracle: an outbox is released only up to where enough
// core stores hold the feed with the same chain (I16).
func (w *world) checkRelease(n *node, r protocol.FeedSeq) {
	want, ok := w.chain(n, r.Feed, r.Seq)
	if !ok || r.Seq == 0 {
		return // damaged here: nothing to compare with
	}
	held := 0
	for _, c := range w.cores {
		got, ok := w.chain(c, r.Feed, r.Seq)
		unheard := c.fell > 0 && n.heard[c] != c.fell // its receipts count until one learns that it fell back
		if ok && got == want || c.rotten && w.damaged(c, r.Feed, r.Seq) || unheard {
			held++
		}
	}
	if held < w.plan.required() {
		w.problem("released ops are in enough core stores (I16)", n.lane,
			"%s of %s is released up to %d, which %d stores hold, want %d", r.Origin, r.Space, r.Seq, held, w.plan.required())
	}
}

// damaged reports whether a record stands in the way of reading the chain of a
// feed at a number: then it is not known what the node holds, other than if the
// number is absent.
func (w *world) damaged(c *node, f protocol.Feed, seq vclock.Seq) bool {
	return c.disk.mem.View(func(r session.Reader) error {
		_, _, err := replica.ChainAt(r, f, seq)
		return err
	}) != nil
}

// mustBeBeyondMending is an oracle: only a feed's head beside its last op keeps
// a node from starting; all else is mended (I20).
func (n *node) mustBeBeyondMending(damage error) {
	corrupt, ok := errors.AsType[*session.CorruptError](damage)
	if !ok || !bytes.HasPrefix(corrupt.Key, []byte("f/")) && !bytes.HasPrefix(corrupt.Key, []byte("o/")) {
		n.w.problem("damage is mended before a start (I20)", n.lane, "%v", damage)
	}
}

// hearStores notes of which core stores that fell back a node hears that they
// have other storage now.
func (n *node) hearStores(in protocol.EdgeInput) {
	got, ok := in.(protocol.Received)
	if !ok {
		return
	}
	switch m := got.Message.(type) {
	case protocol.Attached:
		n.hearStore(m.Store, m.Incarnation)
	case protocol.Receipts:
		for i := range m.Receipts {
			n.hearStore(m.Receipts[i].Store, m.Receipts[i].Incarnation)
		}
	}
}

func (n *node) hearStore(store, incarnation string) {
	if c := n.w.byLane[store]; c != nil && c.fell > 0 && c.up && c.disk.identity == incarnation {
		n.heard[c] = c.fell
	}
}

// refusedMessage reports a message that its receiver could read and refused as
// senseless: whole messages have a checksum and nobody here lies, so nodes say
// only what the other side takes.
func (n *node) refusedMessage(in any, err error) {
	n.w.facts["message_refused"]++
	n.w.problem("nodes understand each other", n.lane, "%T: %v", in, err)
}

// checkFence reports a fork of which no evidence is kept, and one whose origin
// was let in again (I15).
func (n *node) checkFence(in protocol.CoreInput, out protocol.CoreOutput) {
	for _, f := range out.Facts {
		if e, ok := f.(protocol.Equivocation); ok && !n.fenced(e.Origin, true) && !n.disk.full && !n.disk.failed {
			n.w.problem("forks are kept as evidence (I15)", n.lane, "%s of %s forked at %d, and its origin is not fenced",
				e.Origin, e.Space, e.Seq)
		}
	}
	ask, ok := in.(protocol.AttachAsked)
	if !ok || ask.Attach.Origin == "" || !n.fenced(ask.Attach.Origin, false) {
		return
	}
	for _, s := range out.Send {
		if _, granted := s.Message.(protocol.Attached); granted {
			n.w.problem("forks are kept as evidence (I15)", n.lane, "%s was let in, though it is fenced", ask.Attach.Origin)
		}
	}
}

// fenced reports whether an origin is fenced; unknown is for damaged records.
func (n *node) fenced(o vclock.Origin, unknown bool) (fenced bool) {
	err := n.disk.mem.View(func(r session.Reader) error {
		list, err := replica.Fenced(r)
		fenced = slices.Contains(list, o)
		return err
	})
	return fenced || err != nil && unknown
}

// checkTaken is an oracle: a frame that was taken is held, with the history that
// it came with (I5).
func (n *node) checkTaken(r session.Reader, f *protocol.Frame) {
	const promise = "frames are taken with their history (I5)"
	if head, err := replica.HeadOf(r, f.Feed); err == nil && head.Seq < f.To() {
		n.w.problem(promise, n.lane, "%s of %s up to %d is taken, and held up to %d", f.Origin, f.Space, f.To(), head.Seq)
		return
	}
	if got, ok, err := replica.ChainAt(r, f.Feed, f.To()); err == nil && ok && got != f.Last {
		n.w.problem(promise, n.lane, "%s of %s up to %d is taken, and held with another chain", f.Origin, f.Space, f.To())
	}
}

// hearCredit notes how far a node has taken deliveries.
func (c *coreHalf) hearCredit(m protocol.Message) {
	switch m := m.(type) {
	case protocol.Credit:
		c.credit[m.Attachment] = max(c.credit[m.Attachment], m.N)
	case protocol.Heartbeat:
		c.credit[m.Attachment] = max(c.credit[m.Attachment], m.N)
	}
}

// checkCredit is an oracle: a core node does not send more than a node has asked
// for.
func (c *coreHalf) checkCredit(d protocol.Delivery) {
	window := uint64(cmp.Or(c.n.w.plan.Window, protocol.CreditWindow))
	if d.N > c.credit[d.Attachment]+window {
		c.n.w.problem("deliveries wait for credit", c.n.lane, "delivery %d goes to %s, which took %d, with a window of %d",
			d.N, d.Node, c.credit[d.Attachment], window)
	}
}

// checkPosition is an oracle: a core node starts to read a stream at the latest
// where it stopped.
func (n *node) checkPosition(p drive.Position) {
	if p.Seq > n.consumed[p.Stream] {
		n.w.problem("positions do not run ahead", n.lane, "position %d in %s, of which it was given no more than %d",
			p.Seq, p.Stream, n.consumed[p.Stream])
	}
}

// checkPassed is an oracle: a commit that moves a position over frames has what
// the store could take of them. A frame that follows right behind the head of its
// feed could be taken, if no frame before it in the same commit can have brought
// that head.
func (n *node) checkPassed(tx session.Reader, frames []*protocol.Frame) {
	for _, f := range frames {
		head, err := replica.HeadOf(tx, f.Feed)
		if err != nil || f.From != head.Seq+1 || f.Prev != head.Chain {
			continue
		}
		brought := slices.ContainsFunc(frames, func(g *protocol.Frame) bool {
			return g.Feed == f.Feed && g.From <= head.Seq && head.Seq <= g.To()
		})
		if !brought {
			n.w.problem("positions do not run ahead", n.lane, "the position moves over %s of %s from %d on, and the store ends at %d",
				f.Origin, f.Space, f.From, head.Seq)
		}
	}
}

// lookAtStamp notes stamps that are more than a second off: from the true time,
// and from what the clock of the node that gave them shows.
func (n *node) lookAtStamp(a drive.Answer) {
	if len(a.Ops) == 0 || a.Replayed {
		return
	}
	const much = 1000
	stamp, truth := a.Ops[0].Stamp.Wall, epoch+uint64(n.w.now.Milliseconds())
	switch {
	case stamp > truth+much:
		n.w.facts["stamp_ahead"]++
	case stamp+much < truth:
		n.w.facts["stamp_behind"]++
	}
	if stamp > n.clock.wall(n.w.now)+much {
		n.w.facts["clock_behind"]++
	}
}

// checkFirstStamp holds the stamp of an op that follows nothing against the
// clock of its node: others may have pushed it by clocksync.MaxAhead, and each
// start by clocksync.BoundStep, but no further (I10).
func (n *node) checkFirstStamp(a drive.Answer) {
	if len(a.Ops) == 0 || a.Replayed || !a.Ops[0].Deps.IsEmpty() {
		return
	}
	most := n.clock.most + uint64(clocksync.MaxAhead.Milliseconds()) + uint64(n.boots+1)*uint64(clocksync.BoundStep.Milliseconds())
	if at := a.Ops[0].Stamp.Wall; at > most {
		n.w.problem("clocks are not led astray (I10)", n.lane,
			"%v has a stamp %d ms ahead of any time that the node's clock ever showed", a.Ops[0].Dot, at-n.clock.most)
	}
}

// checkExpiry holds an expiry that was written just now against the ops that its
// node had applied by then: the session had been idle for long enough.
func (n *node) checkExpiry(space, id string, dot vclock.Dot) {
	var before uint64 // ops in the session's log before it count
	var last clocksync.Stamp
	var opened conflict.Rank
	var ttl uint64
	n.eachOp(space, func(op *session.Op, rec *session.Record) {
		if op.Dot == dot {
			before = rec.Slot
		}
	})
	n.eachOp(space, func(op *session.Op, rec *session.Record) {
		if op.Session != id || rec.Slot == 0 || rec.Slot >= before {
			return
		}
		rank := conflict.Rank{Stamp: op.Stamp, Dot: op.Dot}
		switch b := op.Body.(type) {
		case session.Expire:
			return
		case session.Open:
			if opened.Dot.IsZero() || rank.Compare(opened) < 0 {
				opened, ttl = rank, uint64(b.TTL.Milliseconds())
			}
		}
		if op.Stamp.Compare(last) > 0 {
			last = op.Stamp
		}
	})
	if now := n.clock.most; !n.rotten && before > 0 && (ttl == 0 || now < last.Wall+ttl) {
		n.w.problem("sessions expire when they are idle", n.lane,
			"%s of %s expired at %d, last used at %d, with an idle time of %d ms", id, space, now, last.Wall, ttl)
	}
}

// eachOp visits the ops of a space, as far as they can be read.
func (n *node) eachOp(space string, visit func(*session.Op, *session.Record)) {
	n.eachRecord("o/"+space+"\x00", func(key, value []byte) {
		rec, err := session.ParseRecord(key, value)
		if err != nil {
			return
		}
		if op, err := session.DecodeOp(rec.Bytes); err == nil {
			visit(&op, &rec)
		}
	})
}

// eachRecord visits the records whose keys have a prefix, up to one that is damaged.
func (n *node) eachRecord(prefix string, visit func(key, value []byte)) {
	_ = n.disk.mem.View(func(r session.Reader) error {
		for e, err := range r.Scan([]byte(prefix), nil, false) {
			if err != nil {
				return err
			}
			visit(e.Key, e.Value)
		}
		return nil
	})
}

// written finds the values of clients in the bytes of records: each is a JSON
// string of its own.
var written = regexp.MustCompile(`"v[0-9]+"`)

// checkErased looks through all records of a node for what erased sessions said:
// in the end nothing of it is on the disk. Frames kept as evidence are not looked
// at, nor ops that wait for what nobody has: they are not emptied, a known gap.
func (n *node) checkErased(f *check.Final) {
	gone := map[string]string{} // sessions by value
	for _, c := range n.w.history.Calls {
		name := c.Space + "/" + c.Session
		if f.Sessions[name].Gone != "erased" {
			continue
		}
		for _, v := range c.Values {
			gone[`"`+v.Value+`"`] = name
		}
	}
	if len(gone) == 0 {
		return
	}
	waits := map[string]bool{}
	for space, dots := range n.w.between {
		for _, d := range dots {
			waits[string(session.OpKey(space, d.Origin, d.Seq))] = true
		}
	}
	for _, prefix := range []string{"a/", "f/", "g/", "n/", "o/", "p/", "s/", "u/", "w/", "x/", "y/"} {
		n.eachRecord(prefix, func(key, value []byte) {
			for _, v := range written.FindAll(worded(key, value), -1) {
				if name, ok := gone[string(v)]; ok && !waits[string(key)] {
					n.w.problem("nothing is left of erased sessions", n.lane, "%s of %s is in the record at %q", v, name, key)
				}
			}
		})
	}
}

// worded gives the part of a record that may say something. Chains and hashes
// stand for nothing, and now and then look like a value.
func worded(key, value []byte) []byte {
	switch {
	case bytes.HasPrefix(key, []byte("o/")):
		if rec, err := session.ParseRecord(key, value); err == nil {
			return rec.Bytes
		}
	case bytes.HasPrefix(key, []byte("f/")):
		return nil
	case bytes.HasPrefix(key, []byte("s/")):
		if parts := bytes.SplitN(key, []byte{0}, 3); len(parts) == 3 && bytes.HasPrefix(parts[2], []byte("o")) {
			return nil // an entry in the list of a text's ops
		}
	}
	return value
}

// checkRedacted looks for what redacted messages said.
func (n *node) checkRedacted(space, id string, seen *check.Seen) {
	for i := range seen.Messages {
		if m := &seen.Messages[i]; m.Redacted && (m.Value != "" || len(m.Others) > 0) {
			n.w.problem("redacted messages show nothing", n.lane, "message %s of %s/%s is redacted and shows %q %q",
				m.ID, space, id, m.Value, m.Others)
		}
	}
}

// forged is an answer to a question for an op, sometimes with other content:
// as a node gives it whose memory is bad or whose history is another one. It
// is sound in itself; only the chain of the feed tells.
func (w *world) forged(answer []byte) []byte {
	if !w.plan.Messages || w.plan.Net.Corrupt.P == 0 || w.chance.lie.IntN(4) > 0 {
		return answer
	}
	m, err := protocol.DecodeMessage(answer)
	up, ok := m.(protocol.Upload)
	if err != nil || !ok {
		return answer
	}
	op, err := session.DecodeOp(up.Frame.Entries[0].Bytes)
	put, ok := op.Body.(session.Put)
	if err != nil || !ok {
		return answer
	}
	put.Content = quoted("forged")
	op.Body = put
	b, err := op.Append(nil)
	if err != nil {
		return answer
	}
	e := protocol.Entry{Bytes: b, Hash: protocol.HashOp(b)}
	up.Frame.Entries = []protocol.Entry{e}
	up.Frame.Last = up.Frame.Prev.Next(e.Hash)
	data, err := protocol.AppendMessage(nil, up)
	if err != nil {
		return answer
	}
	return data
}

// stillOnTheWay is how long after a server lost messages of a stream an
// acknowledgement may arrive that counted them.
const stillOnTheWay = time.Minute

// checkCoreAck is an oracle: who is told that an op is at level core can rely on
// a majority that has it, in the stream or in its store (I1).
func (w *world) checkCoreAck(n *node, space string, dot vclock.Dot) {
	f := protocol.Feed{Space: space, Origin: dot.Origin}
	if !own(n.name, f.Origin) {
		return
	}
	has := 0
	for _, c := range w.cores {
		if w.now-max(c.lost, c.fell) < stillOnTheWay && max(c.lost, c.fell) > 0 || w.holdsOp(n, c, f, dot.Seq) {
			has++
		}
	}
	if has <= len(w.cores)/2 {
		w.problem("level core means that the quorum has it (I1)", n.lane,
			"%v of %s was acknowledged at level core, and %d core nodes have it", dot, space, has)
	}
}

// holdsOp reports whether a core node has an op of n, with the content that n
// wrote, in its store or in its copy of the stream.
func (w *world) holdsOp(n, c *node, f protocol.Feed, seq vclock.Seq) bool {
	want, known := w.chain(n, f, seq)
	if w.headSeq(c, f) >= seq {
		got, ok := w.chain(c, f, seq)
		return !known || !ok || got == want
	}
	s := w.bus.streams[protocol.Partition(f.Space, partitions)]
	subject, log := protocol.OpSubject(f, partitions), s.copies[c].log
	for _, at := range slices.Backward(s.subjects[subject]) {
		if at > uint64(len(log)) || log[at-1] == nil || log[at-1].subject != subject {
			continue
		}
		m, err := protocol.DecodeMessage(log[at-1].data)
		up, ok := m.(protocol.Upload)
		if err != nil || !ok {
			return true // damaged on its way: the stream cannot know
		}
		ours, ok := w.chain(n, f, up.Frame.To())
		return up.Frame.To() >= seq && (!ok || ours == up.Frame.Last)
	}
	return false
}
