package protocol

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// checkEvery bounds how often all attachments are looked at.
const checkEvery = 50 * time.Millisecond

// attachment is a node that takes deliveries.
//
// Invariant: credited <= sent <= credited + window; lines ascend by space; at
// most one read is under way.
type attachment struct {
	id         uint64
	node       string
	instance   string
	origin     vclock.Origin // under which the node writes: never sent back to it
	everything bool
	lines      []*line
	turn       int // which line is next
	sent       uint64
	credited   uint64
	reading    *line
	lastHeard  Instant
	lastSent   Instant
	queued     bool // in Core.queue
}

// line is one space of an attachment.
type line struct {
	space    string
	reached  vclock.Vector // what the node holds when it has all that was sent
	missing  bool          // there may be more behind reached
	grew     bool          // missing was set while a read was under way
	snapshot bool          // the space comes as a snapshot, not as ops
	begun    bool          // its SnapshotBegin was sent
	cursor   []byte
}

func (a *attachment) line(space string) *line {
	i, ok := slices.BinarySearchFunc(a.lines, space, func(l *line, s string) int { return strings.Compare(l.space, s) })
	if !ok {
		return nil
	}
	return a.lines[i]
}

func (a *attachment) feedGrew(f *coreFeed) {
	l := a.line(f.Space)
	switch {
	case l == nil || f.head.Seq <= l.reached.At(f.Origin):
	case f.Origin == a.origin:
		l.reached = l.reached.With(vclock.Dot{Origin: f.Origin, Seq: f.head.Seq})
	default:
		l.missing, l.grew = true, true
	}
}

// next gives the line whose turn it is among those with something to read.
func (a *attachment) next() *line {
	for i := range a.lines {
		l := a.lines[(a.turn+i)%len(a.lines)]
		if l.missing || l.snapshot {
			a.turn = (a.turn + i + 1) % len(a.lines)
			return l
		}
	}
	return nil
}

func compareNode(a *attachment, node string) int { return strings.Compare(a.node, node) }

// deny gives the reason to refuse an Attach, zero for none.
func (c *Core) deny(in AttachAsked) (code Code, detail string) {
	a := in.Attach
	switch {
	case a.Cluster != c.cfg.Cluster:
		return CodeWrongCluster, "this is cluster " + c.cfg.Cluster
	case !in.Ready:
		return CodeNotReady, "the store is starting or refilling"
	case c.fenced[a.Origin]:
		return CodeFencedOrigin, "origin " + string(a.Origin) + " wrote one number twice"
	case c.nodes[a.Node] == nil && len(c.attachments) >= MaxAttachments:
		return CodeOverloaded, "too many attachments"
	}
	return 0, ""
}

func (c *Core) attachAsked(at Instant, in AttachAsked, out *CoreOutput) error {
	if err := check(in.Attach); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	m := in.Attach
	if code, detail := c.deny(in); code != 0 {
		out.send(ToNode, m.Node, Refused{Request: m.Request, Code: code, Detail: detail})
		out.fact(AttachDenied{Node: m.Node, Code: code})
		return nil
	}
	if old := c.nodes[m.Node]; old != nil {
		c.replace(old, m.Instance, out)
	}
	a := &attachment{
		id: c.rng.Uint64() | 1, node: m.Node, instance: m.Instance, origin: m.Origin,
		everything: m.Everything, lastHeard: at, lastSent: at,
	}
	c.enrol(a)
	answer := Attached{
		Request: m.Request, Attachment: a.id, Store: c.cfg.Node, Incarnation: c.cfg.Incarnation,
		Stores: c.cfg.Stores, StoresRequired: c.cfg.StoresRequired, Partitions: c.cfg.Partitions,
	}
	room := MaxMessageBytes - 4<<10
	for _, s := range m.Spaces {
		for _, f := range s.Feeds {
			if feed := (Feed{s.Space, f.Origin}); NodeOf(f.Origin) != m.Node {
				c.claimed(at, feed, f.Seq)
			}
		}
	}
	for _, s := range c.spacesOf(in) {
		c.openLine(a, m, s)
		if size := stateBytes(s); size <= room && len(answer.Spaces) < MaxSpacesPerNode {
			room -= size
			answer.Spaces = append(answer.Spaces, s)
		}
	}
	out.send(ToNode, a.node, answer)
	out.fact(NodeAttached{Node: a.node, Attachment: a.id})
	if next := at.Later(c.cfg.HeartbeatEvery); c.nextCheck == 0 || next < c.nextCheck {
		c.nextCheck = next
	}
	c.offer(a)
	c.touched = a
	return nil
}

// spacesOf gives what is held of each space that the node takes; a space that
// the store does not hold counts as empty.
func (c *Core) spacesOf(in AttachAsked) []SpaceState {
	states := slices.Clone(in.Held)
	for _, s := range in.Attach.Spaces {
		i, ok := slices.BinarySearchFunc(states, s.Space, func(t SpaceState, space string) int {
			return strings.Compare(t.Space, space)
		})
		if !ok {
			states = slices.Insert(states, i, SpaceState{Space: s.Space})
		}
	}
	return states
}

// openLine begins to serve a space to a node, from what it said it holds. Feeds
// in which it holds other content than we do are left out.
func (c *Core) openLine(a *attachment, m Attach, s SpaceState) {
	var theirs []OriginHead
	if i, ok := slices.BinarySearchFunc(m.Spaces, s.Space, func(h SpaceHeads, space string) int {
		return strings.Compare(h.Space, space)
	}); ok {
		theirs = m.Spaces[i].Feeds
	} else if !m.Everything {
		return
	}
	dots := make([]vclock.Dot, 0, len(theirs))
	snapshot := false
	for _, f := range s.Feeds {
		var t Head
		if i, ok := slices.BinarySearchFunc(theirs, f.Origin, func(h OriginHead, o vclock.Origin) int {
			return strings.Compare(string(h.Origin), string(o))
		}); ok {
			t = theirs[i].Head
		}
		switch {
		case t.Seq > 0 && t.Seq == f.Common.Seq && t.Chain != f.Common.Chain:
			dots = append(dots, vclock.Dot{Origin: f.Origin, Seq: MaxSeq})
		case f.Origin == m.Origin:
			dots = append(dots, vclock.Dot{Origin: f.Origin, Seq: max(t.Seq, f.Seq)})
		default:
			dots = append(dots, vclock.Dot{Origin: f.Origin, Seq: t.Seq})
			snapshot = snapshot || t.Seq < f.Floor
		}
	}
	for _, t := range theirs {
		dots = append(dots, vclock.Dot{Origin: t.Origin, Seq: t.Seq})
	}
	l := c.addLine(a, s.Space, vclock.Of(dots...))
	l.snapshot, l.missing = snapshot, !snapshot && len(s.Feeds) > 0
}

func (c *Core) addLine(a *attachment, space string, reached vclock.Vector) *line {
	l := &line{space: space, reached: reached}
	i, _ := slices.BinarySearchFunc(a.lines, space, func(l *line, s string) int { return strings.Compare(l.space, s) })
	a.lines = slices.Insert(a.lines, i, l)
	if !a.everything {
		list := c.spaces[space]
		i, _ := slices.BinarySearchFunc(list, a.node, compareNode)
		c.spaces[space] = slices.Insert(list, i, a)
	}
	return l
}

func (c *Core) enrol(a *attachment) {
	c.attachments[a.id], c.nodes[a.node] = a, a
	i, _ := slices.BinarySearchFunc(c.ring, a.node, compareNode)
	c.ring = slices.Insert(c.ring, i, a)
	if a.everything {
		i, _ := slices.BinarySearchFunc(c.everything, a.node, compareNode)
		c.everything = slices.Insert(c.everything, i, a)
	}
}

// replace makes room for a newer attachment of the same node. An instance that
// was replaced before and is back means that two of them run.
func (c *Core) replace(old *attachment, instance string, out *CoreOutput) {
	if old.instance != instance {
		if slices.Contains(c.retired[old.node], instance) {
			out.fact(CloneSuspected{Node: old.node, A: old.instance, B: instance})
		}
		list := c.retired[old.node]
		if len(list) == MaxRetired {
			list = slices.Delete(list, 0, 1)
		}
		if !slices.Contains(list, old.instance) {
			list = append(list, old.instance)
		}
		c.retired[old.node] = list
	}
	c.drop(old, "replaced", out)
}

func (c *Core) drop(a *attachment, reason string, out *CoreOutput) {
	out.fact(NodeGone{Node: a.node, Attachment: a.id, Reason: reason})
	delete(c.attachments, a.id)
	delete(c.nodes, a.node)
	c.ring = slices.DeleteFunc(c.ring, func(b *attachment) bool { return b == a })
	c.everything = slices.DeleteFunc(c.everything, func(b *attachment) bool { return b == a })
	for _, l := range a.lines {
		if list := slices.DeleteFunc(c.spaces[l.space], func(b *attachment) bool { return b == a }); len(list) > 0 {
			c.spaces[l.space] = list
		} else {
			delete(c.spaces, l.space)
		}
	}
	if a.reading != nil {
		c.reading--
	}
}

// expire drops who was silent for too long and greets who heard nothing. It
// looks at everybody, but at most every checkEvery.
func (c *Core) expire(at Instant, out *CoreOutput) {
	if c.nextCheck == 0 || at < c.nextCheck {
		return
	}
	var silent []*attachment
	w := earliest{}
	for _, a := range c.ring {
		if at >= a.lastHeard.Later(c.cfg.IdleDrop) {
			silent = append(silent, a)
			continue
		}
		if at >= a.lastSent.Later(c.cfg.HeartbeatEvery) {
			a.lastSent = at
			out.send(ToNode, a.node, Heartbeat{Attachment: a.id, N: a.sent})
		}
		w.add(min(a.lastHeard.Later(c.cfg.IdleDrop), a.lastSent.Later(c.cfg.HeartbeatEvery)))
	}
	for _, a := range silent {
		c.drop(a, "idle", out)
	}
	c.nextCheck = 0
	if w.at != 0 {
		c.nextCheck = max(w.at, at.Later(checkEvery))
	}
}

// offer puts an attachment at the end of the queue for reads if there is
// something to read for it and credit to send it.
func (c *Core) offer(a *attachment) {
	if !a.queued && a.reading == nil && a.sent < a.credited+uint64(c.cfg.Window) {
		a.queued = true
		c.queue = append(c.queue, a)
	}
}

// pumpReads asks for what is missing: attachments in turns, and the spaces of
// each in turns, as far as the bound on reads allows.
func (c *Core) pumpReads(out *CoreOutput) {
	for len(c.queue) > 0 && c.reading < MaxReadsInFlight {
		a := c.queue[0]
		c.queue = c.queue[1:]
		a.queued = false
		if c.attachments[a.id] != a {
			continue
		}
		if l := a.next(); l != nil {
			a.reading = l
			c.reading++
			out.read(a, l)
		}
	}
	if len(c.queue) == 0 {
		c.queue = nil // lets go of the consumed front
	}
}

func (o *CoreOutput) read(a *attachment, l *line) {
	l.grew = false
	if l.snapshot {
		o.Snapshot = append(o.Snapshot, ReadSnapshot{Attachment: a.id, Space: l.space, Begin: !l.begun, Cursor: l.cursor,
			MaxBytes: FrameBytesBudget})
		return
	}
	o.Missing = append(o.Missing, ReadMissing{Attachment: a.id, Space: l.space, After: l.reached,
		MaxOps: MaxDeliverOps, MaxBytes: FrameBytesBudget})
}

// answered ends the read that an input answers. It gives nil and no error for
// an attachment that is gone.
func (c *Core) answered(id uint64, space string, snapshot bool, out *CoreOutput) (*attachment, error) {
	a := c.attachments[id]
	if a == nil {
		out.fact(Ignored{"read", "old attachment"})
		return nil, nil
	}
	if a.reading == nil || a.reading.space != space || a.reading.snapshot != snapshot {
		return nil, fmt.Errorf("read of %s for %s: %w", space, a.node, ErrDisorder)
	}
	c.touched = a
	c.reading--
	return a, nil
}

func (c *Core) read(at Instant, in Read, out *CoreOutput) error {
	a, err := c.answered(in.Attachment, in.Space, false, out)
	if a == nil || err != nil {
		return err
	}
	l := a.reading
	a.reading = nil
	l.reached = l.reached.Merge(in.Reached)
	l.missing = in.More || l.grew
	if in.Frames > 0 {
		c.deliver(at, a, out)
	}
	c.offer(a)
	return nil
}

func (c *Core) snapshotRead(at Instant, in SnapshotRead, out *CoreOutput) error {
	a, err := c.answered(in.Attachment, in.Space, true, out)
	if a == nil || err != nil {
		return err
	}
	l := a.reading
	a.reading = nil
	l.begun, l.cursor = true, slices.Clone(in.Next)
	if in.Done {
		l.reached = l.reached.Merge(in.Reached)
		l.snapshot, l.missing, l.cursor = false, true, nil
	}
	c.deliver(at, a, out)
	c.offer(a)
	return nil
}

func (c *Core) deliver(at Instant, a *attachment, out *CoreOutput) {
	a.sent++
	a.lastSent = at
	out.Deliver = append(out.Deliver, Delivery{Node: a.node, Attachment: a.id, N: a.sent})
}

func (c *Core) credit(at Instant, from string, m Credit, out *CoreOutput) error {
	a := c.attachments[m.Attachment]
	switch {
	case a == nil || from != "" && from != a.node:
		c.stranger(from, m.Attachment, out)
		return nil
	case m.N > a.sent:
		return fmt.Errorf("credit for %d of %d: %w", m.N, a.sent, ErrMalformed)
	}
	c.touched = a
	a.lastHeard = at
	a.credited = max(a.credited, m.N)
	c.offer(a)
	return nil
}

// stranger tells a node that its attachment is not known here, so that it need
// not wait for silence.
func (c *Core) stranger(from string, attachment uint64, out *CoreOutput) {
	out.fact(Ignored{"credit", "old attachment"})
	if from != "" {
		out.send(ToNode, from, Detach{Attachment: attachment})
	}
}

// stateBytes is at least the encoded size of s.
func stateBytes(s SpaceState) int {
	size := len(s.Space) + 16
	for _, f := range s.Feeds {
		size += len(f.Origin) + 2*(2+11+34) + 11 + 8
	}
	return size
}
