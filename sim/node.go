package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

const clusterName = "sim"

// coreTimeout is how long a write at level core waits for the quorum.
const coreTimeout = 5 * time.Second

// node is a simulated process with its machine, disk and clocks. What belongs
// to the process is made anew by start.
type node struct {
	w    *world
	plan NodePlan
	name string // by which the protocol knows it
	lane string // unique in the world: a clone has another one than its original
	host string // the machine that it runs on, for faults of the network

	clock clock
	time  timekeeper
	disk  disk
	link  link
	gone  bool  // for good
	twin  *node // a clone of it

	boots  int
	up     bool
	paused bool
	froze  time.Duration // what its clock showed as elapsed when it was paused
	late   []func()      // what happened while it was paused
	booted time.Duration
	rng    *rand.Rand // of this run of the process

	origin  vclock.Origin
	rep     *replica.Replica
	half    edgeHalf
	core    *coreHalf // nil at an edge
	acks    drive.Acks
	waiters []*waiter // writes that wait for the core's quorum
	let     map[protocol.Feed]vclock.Seq
	mover   drive.Mover
	cursors drive.Cursors
	repairs repairs
	largest [len(queues)]check.Sample // of each queue, since the beginning
	heard   map[*node]time.Duration   // core nodes that are known to have fallen back, and when they had
	lost    time.Duration             // when its copy of a stream lost messages last; zero: never
	// consumed is how far it was given each stream, ever.
	consumed map[drive.StreamID]uint64
	texts    session.Texts // that were read
	rotten   bool          // bits of its records were flipped
	fell     time.Duration // when its storage fell back last; zero: never
	remade   time.Duration // when it made ops again after a fork last; zero: never
}

// waiter is a write at level core whose answer waits for the quorum.
type waiter struct {
	space string
	dot   vclock.Dot
	done  func(core bool)
}

func newNode(w *world, p NodePlan, lane string) *node {
	n := &node{w: w, plan: p, name: p.Name, lane: lane, host: lane}
	n.clock = clock{from: w.now, base: w.now, ppb: int64(p.Drift * 1000), offset: p.Offset}
	n.disk = disk{n: n, mem: memstore.New()}
	n.link = link{n: n, calls: map[uint64]*pending{}}
	n.consumed = map[drive.StreamID]uint64{}
	if p.Core {
		n.core = &coreHalf{n: n}
	}
	return n
}

// listens reports whether a core node's server takes connections.
func (n *node) listens() bool { return n.up && n.core != nil && !n.paused }

// runs reports whether the process is there, even if it is paused.
func (n *node) runs() bool { return n.up }

// run does something in the process: at once, after the pause if it is
// paused, never if it is dead.
func (n *node) run(do func()) {
	switch {
	case !n.up:
	case n.paused:
		n.late = append(n.late, do)
	default:
		do()
	}
}

// later has the process do something when d has passed, unless it dies before.
func (n *node) later(d time.Duration, do func()) {
	boot := n.boots
	n.w.after(d, func() {
		if n.boots == boot {
			n.run(do)
		}
	})
}

// start begins a run of the process over what its disk holds.
func (n *node) start() {
	if n.up || n.gone {
		return
	}
	n.boots++
	n.up, n.paused, n.late = true, false, nil
	n.booted = n.clock.mono(n.w.now)
	n.rng = split(n.w.seed, "node", n.lane, fmt.Sprint(n.boots))
	n.acks, n.mover, n.cursors, n.repairs = drive.Acks{}, drive.Mover{}, drive.Cursors{}, repairs{}
	n.waiters, n.let, n.heard = nil, map[protocol.Feed]vclock.Seq{}, map[*node]time.Duration{}
	n.disk.fill(n.disk.full)
	n.w.say(Event{Kind: EvStart, Node: n.lane})
	if err := n.time.start(n); err != nil {
		n.broken("start", err)
		return
	}
	if err := n.open(); err != nil {
		n.broken("start", err)
		return
	}
	n.link.dialing, n.link.watched, n.link.tries = false, false, 0
	if n.core != nil {
		n.link.server, n.link.up = n, true
		n.link.life++
	}
	if err := n.startHalves(); err != nil {
		n.broken("start", err)
		return
	}
	n.keepSweeping()
	n.time.keep()
	if n.core != nil {
		n.stepEdge(protocol.LinkUp{})
		n.core.startReaders()
		n.w.bus.watch()
	} else {
		n.link.dial(time.Duration(n.rng.Int64N(int64(retryMin))))
	}
}

// broken reports an error that would end the process. Damage is no bug: the
// process ends and an operator is needed, who wipes the storage.
func (n *node) broken(doing string, err error) {
	if errors.Is(err, session.ErrCorrupt) {
		n.mustBeRotten(err)
		n.mustBeBeyondMending(err)
		n.w.facts["storage_unusable"]++
		n.w.say(Event{Kind: EvFact, Node: n.lane, What: "storage_unusable"})
		n.crash()
		n.w.excuse(n, nil)
		n.wipe()
		n.w.after(time.Second, n.start)
		return
	}
	if errors.Is(err, memstore.ErrFull) { // a supervisor tries again
		n.crash()
		n.w.after(time.Second, n.start)
		return
	}
	n.w.problem("no step fails", n.lane, "%s: %v", doing, err)
	n.crash()
}

// open settles under which origin the process writes.
func (n *node) open() error {
	found := drive.Opening{Moved: n.disk.moved}
	if loss := n.disk.mem.Lost(); loss != nil {
		found.Lost, found.Committed, found.Found = true, loss.Committed, loss.Found
	}
	if n.disk.identity == "" {
		n.disk.identity = n.newIdentity()
	}
	if found.Lost {
		n.w.facts["commits_missing"]++
	}
	if found.Moved {
		n.w.facts["storage_moved"]++
	}
	problem, _ := found.Doubt()
	renew := problem != drive.Problem{}
	if err := n.mendStart(); err != nil {
		return err
	}
	err := n.disk.mem.Update(func(tx session.Tx) error {
		var err error
		if n.origin, err = drive.Adopt(tx, n.identity(), renew); err != nil {
			return err
		}
		n.rep, err = replica.Open(tx, n.origin)
		return err
	})
	if err != nil {
		return err
	}
	if (found.Lost || found.Moved) && n.w.origins[n.origin] {
		n.w.problem("who knows that its storage fell back takes a new origin (I15)", n.lane, "it goes on as %s", n.origin)
	}
	n.w.origins[n.origin] = true
	if renew {
		n.adoptIdentity()
	}
	return nil
}

// mendStart mends what the process reads when it starts.
func (n *node) mendStart() error {
	for {
		var key []byte
		err := n.disk.mem.Update(func(tx session.Tx) (err error) {
			key, err = drive.MendStart(tx)
			return err
		})
		if err != nil || key == nil {
			return err
		}
		n.mustBeRotten(fmt.Errorf("%q is mended at the start", key))
		n.w.facts["record_repaired"]++
	}
}

// adoptIdentity gives the storage a new identity, as the store does when a new
// origin was taken.
func (n *node) adoptIdentity() {
	n.disk.moved = false
	n.disk.mem.Forgive()
	n.disk.identity = n.newIdentity()
}

func (n *node) newIdentity() string { return fmt.Sprintf("s%016x", n.w.chance.disk.Uint64()) }

func (n *node) identity() drive.Identity {
	return drive.Identity{Node: n.name, Cluster: clusterName, Epoch: func() (string, error) {
		const digits = "abcdefghijklmnopqrstuvwxyz234567"
		var b [8]byte
		for i := range b {
			b[i] = digits[n.w.chance.disk.IntN(len(digits))]
		}
		return string(b[:]), nil
	}}
}

// now is what the process believes the time to be.
func (n *node) now() replica.Now {
	m := n.time.moment()
	n.clock.most = max(n.clock.most, m.Millis())
	return replica.Now{Wall: m.Millis(), Trust: m.Trust}
}

// crash ends the process at once.
func (n *node) crash() {
	if !n.up {
		return
	}
	n.w.say(Event{Kind: EvCrash, Node: n.lane})
	n.up, n.paused, n.late = false, false, nil
	n.boots++
	n.link.up, n.link.dialing, n.link.watched = false, false, false
	n.link.life++
	clear(n.link.calls)
	n.disk.crash()
	n.half.machine = nil
	if n.core == nil {
		return
	}
	n.core.machine = nil
	for _, s := range n.w.bus.streams {
		s.deposed(n)
	}
	for _, e := range n.w.nodes { // the kernel resets its connections
		if e.core == nil && e.link.up && e.link.server == n {
			e.later(n.w.plan.Net.Delay, func() {
				if e.link.up && e.link.server == n {
					e.link.cut("reset")
				}
			})
		}
	}
	n.w.bus.watch()
}

// stop ends the process as SIGTERM does: what is being written is committed,
// and callers are told.
func (n *node) stop() {
	if !n.up {
		return
	}
	group := n.disk.waiting
	n.disk.waiting = nil
	n.disk.commit(group)
	n.crash()
}

// wipe makes the storage new. A wiped core node's copy of the streams is
// another matter: see WipeStreams.
func (n *node) wipe() {
	n.disk.mem, n.disk.identity, n.disk.moved = memstore.New(), "", false
	n.w.fellBack(n)
}

// pause freezes the process.
func (n *node) pause() {
	if !n.paused {
		n.froze = n.clock.elapsed(n.w.now)
	}
	n.paused = true
	if n.core != nil {
		n.w.bus.watch()
	}
}

// resume lets it go on; asleep tells that the whole machine slept, so that its
// monotonic clock stood still.
func (n *node) resume(asleep bool) {
	if !n.up || !n.paused {
		return
	}
	n.paused = false
	if asleep {
		n.clock.asleep += n.clock.elapsed(n.w.now) - n.froze
	}
	late := n.late
	n.late = nil
	for _, do := range late {
		n.run(do)
	}
	n.w.net.reset()
}

// mustBeRotten is an oracle: nothing is damaged where no bit was flipped (I17).
func (n *node) mustBeRotten(damage error) {
	if !n.rotten {
		n.w.problem("only what rotted is damaged (I17)", n.lane, "%v", damage)
	}
}

// noticed has a damaged record repaired, and passes err on.
func (n *node) noticed(err error) error {
	if corrupt, ok := errors.AsType[*session.CorruptError](err); ok {
		n.mustBeRotten(err)
		n.repair(corrupt.Key)
	}
	return err
}

// update writes; see disk.update.
func (n *node) update(c class, fn func(session.Tx) error, done func(error)) {
	n.disk.update(c, fn, func(err error) { done(n.noticed(err)) })
}

// moved tells both halves that feeds have grown.
func (n *node) moved(heads ...protocol.FeedHead) {
	for _, h := range heads {
		n.half.moved.Note(h.Feed, h.Head)
		if n.core != nil {
			n.core.moved.Note(h.Feed, h.Head)
		}
	}
	n.stepEdge(protocol.Wake{})
	if n.core != nil {
		n.stepCore(protocol.Wake{})
	}
}

// acked notes what the quorum has and answers those who waited for it.
func (n *node) acked(a protocol.FeedSeq) {
	if !n.acks.Note(a.Feed, a.Seq) {
		return
	}
	var met []*waiter
	n.waiters = slices.DeleteFunc(n.waiters, func(w *waiter) bool {
		if !n.acks.Holds(n.name, w.space, w.dot) {
			return false
		}
		met = append(met, w)
		return true
	})
	for _, w := range met {
		w.done(true)
	}
}

// awaitCore calls done when the quorum has the op, or when it has taken too long.
func (n *node) awaitCore(space string, dot vclock.Dot, done func(core bool)) {
	if n.acks.Holds(n.name, space, dot) {
		done(true)
		return
	}
	w := &waiter{space, dot, done}
	n.waiters = append(n.waiters, w)
	n.later(coreTimeout, func() {
		if i := slices.Index(n.waiters, w); i >= 0 {
			n.waiters = slices.Delete(n.waiters, i, i+1)
			done(false)
		}
	})
}

// carries reports whether the node is configured to carry a space.
func (n *node) carries(space string) bool {
	return n.core != nil || space == "default" || slices.Contains(n.plan.Spaces, "*") || slices.Contains(n.plan.Spaces, space)
}
