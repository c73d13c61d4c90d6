package drive

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/vclock"
)

// Refill decides when a core node takes deliveries of another one, of which,
// and for how long. What is new comes to every core node through the streams;
// what these do not hold any more, because they were made again, expired or
// lost messages while this node was away or wiped, only its peers hold, and
// edges that are attached to them.
//
// While in doubt it visits every peer once: after the start, and after [Refill.Doubt].
// Besides, it visits one of them now and then. A visit is an attachment of the
// node's edge half. It ends when the node holds what the peer showed at its
// beginning, or when nothing of that has come for RefillPatience, so that what
// is written meanwhile does not come twice for long.
//
// Invariant: at most one visit at a time, and none before the streams were read.
type Refill struct {
	Every time.Duration // between visits without doubt, before the jitter; see RefillEvery

	rng    *rand.Rand
	peers  []*host
	linked bool
	caught bool // the streams were read to their ends
	met    bool // the peers are known
	begun  protocol.Instant
	next   protocol.Instant // when to visit anybody without doubt

	at       *host // whom it visits; nil: nobody
	told     string
	granted  bool
	lacks    map[protocol.Feed]vclock.Seq // what is to come in this visit
	patience protocol.Instant             // when the visit ends for want of progress
	forks    map[protocol.Feed]bool       // feeds of our own whose fork is not mended
	answered bool                         // a visit was made to its end
	settled  bool
}

// host is another core node.
type host struct {
	name     string
	due      protocol.Instant // when to visit it; zero: there is no doubt
	visited  protocol.Instant // end of the last visit that was made to its end
	failures int              // in a row
	asked    bool
}

// NewRefill begins with the link down and no peer known, and visits each
// RefillEvery.
func NewRefill(rng *rand.Rand) *Refill {
	return &Refill{Every: RefillEvery, rng: rng, lacks: make(map[protocol.Feed]vclock.Seq), forks: make(map[protocol.Feed]bool)}
}

// Meet says who the other core nodes are; those that are new are in doubt.
func (r *Refill) Meet(at protocol.Instant, names []string) {
	r.peers = slices.DeleteFunc(r.peers, func(h *host) bool { return !slices.Contains(names, h.name) })
	for _, name := range names {
		if !r.knows(name) {
			r.peers = append(r.peers, &host{name: name, due: max(at, 1)})
		}
	}
	slices.SortFunc(r.peers, func(a, b *host) int { return strings.Compare(a.name, b.name) })
	r.met = true
	r.start(at)
}

// CaughtUp says that the streams were read to where they ended at the start.
// What they bring need not be fetched, so visits begin now.
func (r *Refill) CaughtUp(at protocol.Instant) {
	r.caught = true
	r.start(at)
}

func (r *Refill) start(at protocol.Instant) {
	if r.begun == 0 && r.caught && r.met {
		r.begun = max(at, 1)
		r.next = at.Later(r.about(r.Every))
	}
}

func (r *Refill) knows(name string) bool {
	return slices.ContainsFunc(r.peers, func(h *host) bool { return h.name == name })
}

// Doubt has all peers visited: a stream was made again, or messages are missing.
func (r *Refill) Doubt(at protocol.Instant) {
	soon := at.Later(r.about(RefillSpread))
	for _, h := range r.peers {
		if h.due != 0 {
			continue
		}
		if h.due = soon; h.visited != 0 {
			h.due = max(soon, h.visited.Later(RefillGap))
		}
	}
}

// Admits reports whether this node may grant an attach: an edge is told the
// truth about what the core lacks only when the peers were asked; a peer is not
// refused for that, or all who start together would wait for each other.
func (r *Refill) Admits(node string) bool { return r.caught && (r.settled || r.knows(node)) }

// Settled reports whether the peers were asked since the start.
func (r *Refill) Settled() bool { return r.settled }

// Told takes note of what the edge half is told, after it.
func (r *Refill) Told(at protocol.Instant, in protocol.EdgeInput) {
	switch in := in.(type) {
	case protocol.LinkUp:
		r.linked, r.told = true, in.Core
	case protocol.LinkDown:
		r.linked = false
		r.fail(at)
	case protocol.Persisted:
		goal, ok := r.lacks[in.Feed]
		if !ok {
			return
		}
		r.patience = at.Later(RefillPatience)
		if in.Seq >= goal {
			delete(r.lacks, in.Feed)
		}
	case protocol.Replaced: // the edge half attaches anew
		delete(r.forks, in.Feed)
	}
}

// Note takes note of a fact of the edge half.
func (r *Refill) Note(at protocol.Instant, f protocol.Fact) {
	switch f := f.(type) {
	case protocol.AttachGranted:
		if r.at == nil || r.at.name != f.Core {
			return
		}
		r.granted, r.patience = true, at.Later(RefillPatience)
		clear(r.lacks)
		for _, b := range f.Behind {
			r.lacks[b.Feed] = b.Seq
		}
	case protocol.AttachFailed:
		if r.at != nil && r.at.name == f.Core {
			r.fail(at)
		}
	case protocol.Forked: // the place is found only when attached
		if f.Own && !r.forks[f.Feed] {
			r.forks[f.Feed] = true
			r.Doubt(at)
		}
	}
}

// Turn gives the LinkUp with which the edge half is told to go elsewhere, nil
// if it stays, and when to call again; zero: not before something happens.
func (r *Refill) Turn(at protocol.Instant) (*protocol.LinkUp, protocol.Instant) {
	if !r.linked {
		return nil, 0
	}
	if r.at != nil {
		r.look(at)
	}
	if r.begun != 0 && r.at == nil {
		r.settle(at)
		r.begin(at)
	}
	wake := r.wake()
	name := ""
	if r.at != nil {
		name = r.at.name
	}
	if name == r.told {
		return nil, wake
	}
	return &protocol.LinkUp{Core: name}, wake
}

// look ends a visit that is over.
func (r *Refill) look(at protocol.Instant) {
	switch {
	case r.granted && len(r.lacks) == 0 && len(r.forks) == 0:
		r.answered = true
		r.at.failures, r.at.asked, r.at.visited = 0, true, at
		r.at = nil
	case at >= r.patience:
		r.answered = r.answered || r.granted
		r.fail(at)
	}
}

// fail ends a visit that came to nothing; the doubt remains.
func (r *Refill) fail(at protocol.Instant) {
	if r.at == nil {
		return
	}
	h := r.at
	h.asked = true
	again := at.Later(r.about(min(RefillRetry<<min(h.failures, 16), RefillRetryMax)))
	h.failures++
	if h.due == 0 || h.due < again {
		h.due = again
	}
	r.at = nil
	clear(r.lacks)
}

// settle notes that edges may attach: every peer was asked once, and one of
// them answered or there was time enough to.
func (r *Refill) settle(at protocol.Instant) {
	all := !slices.ContainsFunc(r.peers, func(h *host) bool { return !h.asked })
	if all && (r.answered || len(r.peers) == 0 || at >= r.begun.Later(RefillWait)) {
		r.settled = true
	}
}

// begin visits who is due, any of several; now and then somebody is.
func (r *Refill) begin(at protocol.Instant) {
	if at >= r.next && len(r.peers) > 0 {
		r.next = at.Later(r.about(r.Every))
		if h := r.peers[r.rng.IntN(len(r.peers))]; h.due == 0 {
			h.due = at
		}
	}
	var due []*host
	for _, h := range r.peers {
		if h.due != 0 && h.due <= at {
			due = append(due, h)
		}
	}
	if len(due) == 0 {
		return
	}
	r.at = due[r.rng.IntN(len(due))]
	r.at.due, r.granted, r.patience = 0, false, at.Later(RefillPatience)
	clear(r.lacks)
}

func (r *Refill) wake() protocol.Instant {
	if r.begun == 0 {
		return 0
	}
	if r.at != nil {
		return r.patience
	}
	w := r.next
	if !r.settled {
		w = min(w, r.begun.Later(RefillWait))
	}
	for _, h := range r.peers {
		if h.due != 0 {
			w = min(w, h.due)
		}
	}
	return w
}

// about gives d with jitter: from half of it to one and a half.
func (r *Refill) about(d time.Duration) time.Duration {
	return d/2 + time.Duration(r.rng.Int64N(int64(d)))
}
