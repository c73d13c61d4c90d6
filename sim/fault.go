package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// fault is a fault of the plan while it lasts.
type fault struct {
	*Fault
	ended  bool
	clones []*node

	nodes, peers map[string]bool // the names, to look them up
}

// begun gives a fault that is about to begin.
func begun(f *Fault) *fault {
	run := &fault{Fault: f, nodes: map[string]bool{}, peers: map[string]bool{}}
	for _, n := range f.Nodes {
		run.nodes[n] = true
	}
	for _, n := range f.Peers {
		run.peers[n] = true
	}
	return run
}

// befalls is [Fault.Befalls], quick for many names.
func (f *fault) befalls(from, to string) bool {
	faces := func(name string) bool {
		if len(f.peers) == 0 {
			return !f.nodes[name]
		}
		return f.peers[name]
	}
	return f.Direction != From && f.nodes[from] && faces(to) || f.Direction != To && f.nodes[to] && faces(from)
}

// image is a copy of a node's storage, taken before a fault that puts it back.
type image struct {
	mem      *memstore.Mem
	identity string
	taken    time.Duration
}

// Fault that put an old copy back take it so long before, unless they say.
const defaultAgo = 2 * time.Second

// await plans the beginning of a fault, and before it the copy that it needs.
func (w *world) await(f *Fault) {
	run := begun(f)
	switch f.Kind {
	case Restore, Clone, LoseSynced:
		ago := f.Ago
		if ago == 0 {
			ago = defaultAgo
		}
		images := map[*node]*image{}
		w.after(f.At-ago, func() {
			for _, n := range w.named(f.Nodes) {
				if w.mixed(n) { // made again once already, its ops would be made again once more: a known gap
					continue
				}
				images[n] = &image{mem: n.disk.mem.Clone(), identity: n.disk.identity, taken: w.now}
			}
		})
		w.after(f.At, func() { w.beginFault(run, images) })
	default:
		w.after(f.At, func() { w.beginFault(run, nil) })
	}
}

func (w *world) named(names []string) []*node {
	var list []*node
	for _, name := range names {
		if n := w.byLane[name]; n != nil && !n.gone {
			list = append(list, n)
		}
	}
	return list
}

// beginFault begins a fault and sees to its end.
func (w *world) beginFault(f *fault, images map[*node]*image) {
	if w.phase != safety {
		return
	}
	w.say(Event{Kind: EvFault, What: f.Kind.String(), Detail: fmt.Sprintf("%v %v for %v", f.Nodes, f.Peers, f.For)})
	w.running = append(w.running, f)
	switch f.Kind {
	case Partition, Degrade, Clog:
		w.active = append(w.active, f)
		w.net.reset()
	case Flap:
		w.flap(f, false)
	case StreamAway:
		for _, s := range w.bus.streams {
			w.excuseStream(s)
			s.recreate()
		}
		for _, c := range w.cores {
			c.lost = w.now
		}
	case StreamLoss:
		w.loseMessages(f)
	default:
		for _, n := range w.named(f.Nodes) {
			w.befall(f, n, images[n])
		}
	}
	if f.For > 0 {
		w.after(f.For, func() { w.end(f) })
	}
}

// loseMessages takes messages from the copies of core nodes, or of the leaders.
func (w *world) loseMessages(f *fault) {
	for _, s := range w.bus.streams {
		for _, n := range w.named(f.Nodes) {
			s.lose(n, f.Count, f.Cut)
		}
		if len(f.Nodes) == 0 && s.leader != nil {
			s.lose(s.leader, f.Count, f.Cut)
		}
	}
}

// flap cuts and mends a link in turns until the fault ends.
func (w *world) flap(f *fault, cut bool) {
	if f.ended {
		return
	}
	w.active = slices.DeleteFunc(w.active, func(o *fault) bool { return o == f })
	pause := f.Up
	if cut {
		w.active = append(w.active, f)
		pause = f.Down
	}
	w.net.reset()
	w.after(max(pause, time.Millisecond), func() { w.flap(f, !cut) })
}

// befall begins a fault of one node.
func (w *world) befall(f *fault, n *node, copied *image) {
	if copied != nil && n.remade > copied.taken { // as above: the copy would make the same ops again once more
		copied = nil
	}
	if copied != nil && f.Kind == LoseSynced && n.fell > copied.taken { // another storage: nothing in it tells what is lost
		copied = nil
	}
	w.noteIdle(f, n, copied)
	switch f.Kind {
	case Crash:
		w.kill(f, n)
	case Stop:
		n.stop()
	case Pause:
		n.pause()
	case Wipe:
		n.crash()
		w.excuse(n, nil)
		n.wipe()
	case WipeStreams:
		n.crash()
		n.lost = w.now
		for _, s := range w.bus.streams {
			s.copies[n] = &replicaLog{}
		}
	case Restore, LoseSynced:
		w.putBack(f, n, copied)
	case Clone:
		w.clone(f, n, copied)
	case BitFlip:
		w.flipBit(f, n)
	case DiskFull:
		n.disk.fill(true)
	case DiskReserve:
		n.disk.hold(true)
	case SlowDisk:
		n.disk.slow = f.Delay
	case FsyncError:
		n.disk.failing = n.up
	case ClockStep:
		before := n.clock.reading(w.now).Wall
		n.clock.offset += f.Delay
		n.time.stepped(time.Duration(n.clock.reading(w.now).Wall - before))
	case ClockDrift:
		n.clock.drift(w.now, f.PPM)
	case Leave:
		n.crash()
		w.excuse(n, nil)
		n.gone = true
	case MoveLink:
		if n.core == nil && len(f.Peers) > 0 {
			n.link.moveOn(w.byLane[f.Peers[0]])
		}
	case Upgrade:
		w.upgrade(n)
	}
}

// crashPatience is how long a crash waits for a write that it can break.
const crashPatience = time.Second

// kill is kill -9. Half of them come in the middle of a commit, if there is one
// soon: a commit is so short that chance alone would hardly ever hit it.
func (w *world) kill(f *fault, n *node) {
	if !n.up || w.chance.fault.IntN(2) == 0 {
		n.crash()
		return
	}
	patience := crashPatience
	if f.For > 0 {
		patience = min(patience, f.For/2)
	}
	n.disk.doomed = true
	n.later(patience, n.die)
}

// startJoined starts a node again, unless it is to join later.
func (n *node) startJoined() {
	if n.w.now >= n.plan.Join {
		n.start()
	}
}

// die ends a process that is to be killed.
func (n *node) die() {
	if n.disk.doomed {
		n.crash()
	}
}

// end ends a fault, once.
func (w *world) end(f *fault) {
	if f.ended {
		return
	}
	f.ended = true
	w.say(Event{Kind: EvHeal, What: f.Kind.String(), Detail: fmt.Sprint(f.Nodes)})
	switch f.Kind {
	case Partition, Degrade, Clog, Flap:
		w.active = slices.DeleteFunc(w.active, func(o *fault) bool { return o == f })
		w.net.reset()
	}
	for _, n := range w.named(f.Nodes) {
		switch f.Kind {
		case Crash, Stop, Wipe, WipeStreams, Restore, LoseSynced:
			n.die() // if it still waits for a commit to die in
			n.startJoined()
		case Pause:
			n.resume(f.Suspend)
		case DiskFull:
			n.disk.fill(false)
		case DiskReserve:
			n.disk.hold(false)
		case SlowDisk:
			n.disk.slow = 0
		case FsyncError:
			n.crash()
			n.startJoined()
		}
	}
	for _, c := range f.clones {
		c.crash()
		w.excuse(c, nil)
		c.gone = true
	}
}

// putBack replaces a node's storage by an older copy.
func (w *world) putBack(f *fault, n *node, copied *image) {
	n.crash()
	if copied == nil {
		return
	}
	w.excuse(n, copied.mem)
	if f.Kind == LoseSynced {
		n.disk.mem.LoseSynced(copied.mem)
	} else {
		n.disk.mem, n.disk.identity = copied.mem.Clone(), copied.identity
		n.disk.moved = !f.Silent
	}
	w.fellBack(n)
}

// clone starts a copy of a node beside it.
func (w *world) clone(f *fault, n *node, copied *image) {
	if copied == nil || n.core != nil {
		return
	}
	lane := fmt.Sprintf("%s+%d", n.lane, len(w.nodes))
	c := newNode(w, n.plan, lane)
	c.host = n.host
	c.clock, c.boots = n.clock, n.boots
	c.disk.mem, c.disk.identity, c.disk.moved = copied.mem.Clone(), copied.identity, !f.Silent
	c.rotten = n.rotten
	c.trouble("record_damaged", c.rotten)
	w.add(c)
	n.twin = c
	f.clones = append(f.clones, c)
	c.start()
}

// fellBack notes that what a node shows may be older than before.
func (w *world) fellBack(n *node) {
	n.fell = max(w.now, 1)
	w.history.Resets = append(w.history.Resets, check.Reset{Node: n.lane, At: w.now})
}

// flipBit damages a record of a class, if it can be mended.
func (w *world) flipBit(f *fault, n *node) {
	key := n.disk.pick(f.Class, w.chance.disk)
	switch {
	case key == nil:
		w.idle(f, n, "it has no such record")
		return
	case !w.mendable(n, key):
		w.idle(f, n, fmt.Sprintf("the record that was drawn, %q, could not be mended", key))
		return
	}
	n.rotten = true
	n.trouble("record_damaged", true)
	w.doom(n, key)
	n.disk.mem.Rot(key, w.chance.disk)
	w.say(Event{Kind: EvFault, Node: n.lane, What: "rot", Detail: fmt.Sprintf("%q", key)})
}

// mendable reports whether a record that is damaged can be made good again. Two
// kinds cannot: the evidence of a fork, and an op that nobody else holds. A node
// gives such an op of its own up, which has tests of its own: the checkers would
// take the stand-in for another content.
func (w *world) mendable(n *node, key []byte) bool {
	what, err := drive.RepairOf(key)
	if err != nil {
		return false
	}
	return what.Op == nil ||
		w.heldElsewhere(n, what.Op.Feed) >= what.Op.Seq && w.readElsewhere(n, what.Op.Feed, what.Op.Seq)
}

// laterOrigin marks the origins under which upgraded nodes write.
const laterOrigin = "~later"

func isLater(o vclock.Origin) bool { return strings.Contains(string(o), laterOrigin) }

// upgrade has a node take an op of a kind that this version does not know, as
// a later version would have written it.
func (w *world) upgrade(n *node) {
	if !n.up {
		return
	}
	w.upgrades++
	f := protocol.Feed{Space: "default", Origin: vclock.Origin(fmt.Sprintf("%s%s%03d", n.name, laterOrigin, w.upgrades))}
	op := session.Op{Dot: vclock.Dot{Origin: f.Origin, Seq: 1}, Space: f.Space, Session: "s0", Stamp: clocksync.Stamp{Wall: n.now().Wall},
		Body: session.Unknown{Kind: 100, Raw: []byte{1, 2, 3}}}
	bytes, err := op.Append(nil)
	if err != nil {
		w.problem("encoding", n.lane, "op of a later kind: %v", err)
		return
	}
	e := protocol.Entry{Bytes: bytes, Hash: protocol.HashOp(bytes)}
	frame := &protocol.Frame{Feed: f, From: 1, Entries: []protocol.Entry{e}}
	frame.Last = protocol.Chain{}.Next(e.Hash)
	n.ingest([]*protocol.Frame{frame}, nil, func(refused []error, err error) {
		if err == nil && refused[0] != nil {
			w.problem("an op of a later kind is kept", n.lane, "%v", refused[0])
		}
	})
}
