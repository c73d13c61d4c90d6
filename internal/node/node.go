package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/clocksync/source"
	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/internal/intake"
	"github.com/causeway-sync/causeway/internal/lifecycle"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Config is what the shared part of a node needs.
type Config struct {
	Name    string // of the node
	Role    string // "edge" or "core"
	Cluster string
	Version string // of the program, for the status
	Spaces  []string
	Store   store.Options
	// CoreTimeout is how long a write at level core waits for the quorum before
	// it is answered as local and degraded.
	CoreTimeout time.Duration
	// Sweep is how often idle sessions are looked for.
	Sweep time.Duration
	// SweepGrace is added to a session's expiry before this node writes the
	// expiry: zero at the node that opened it, more elsewhere.
	SweepGrace time.Duration
	Log        *slog.Logger
	Clock      ClockConfig
	ProbeCore  bool                     // ask the core for the time over the link
	Read       func() clocksync.Reading // the machine's clocks; [source.System] when nil
	Sources    []source.Source          // of time, beside those that Clock names
	Limits     LimitsConfig             // of what clients may ask; the zero value counts as [DefaultLimitsConfig]
	Policy     intake.Policy            // how firmly writes are acknowledged that do not say it
}

// Node holds the store and the replica. Open it, run it, then close it.
type Node struct {
	cfg      Config
	store    *store.Store
	replica  *replica.Replica // touched by the committer only
	hub      hub
	started  time.Time
	problems problems
	damaged  damagedRecords
	repairs  atomic.Uint64             // records repaired since the start
	dropped  atomic.Uint64             // messages dropped since the start
	damage   chan session.CorruptError // records to repair; taken by repairLoop

	admission *admission
	guard     *coreGuard

	reading sync.Mutex    // guards what follows
	texts   session.Texts // that were read; those that are edited are the replica's

	clock        *source.Clock
	clockSources []string    // their names, by number
	clockAhead   atomic.Bool // the hybrid clock may run ahead of the corrected time

	mu         sync.Mutex // guards what follows
	origin     vclock.Origin
	acked      drive.Acks            // the core's quorum has it
	ackers     chan struct{}         // closed and replaced when acked moves
	report     func(*httpapi.Status) // the shell's part of the status
	watch      []*Progress
	edgeClocks map[string]edgeClock         // by node; at a core node
	let        map[protocol.Feed]vclock.Seq // released from the outbox
	request    Requester                    // to the core nodes; nil without a link
	unanswered func(protocol.OpAsk)         // is told of ops of our own that nobody had; may be nil
	wire       push.Wire                    // to the signals of other nodes; nil without a link
}

// Requester sends a request over NATS and returns the first answer.
type Requester func(ctx context.Context, subject string, data []byte) ([]byte, error)

// Open opens the store and settles under which origin the node writes. A
// store that is new, was copied or restored, or lost acknowledged commits gets
// a new origin.
func Open(cfg Config) (*Node, error) {
	if cfg.Read == nil {
		cfg.Read = source.System
	}
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	n := &Node{
		cfg: cfg, store: s, edgeClocks: make(map[string]edgeClock),
		damage: make(chan session.CorruptError, maxDamaged),
		ackers: make(chan struct{}), let: make(map[protocol.Feed]vclock.Seq),
	}
	if err := n.openClock(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	n.started = n.wall()
	if cfg.Limits == (LimitsConfig{}) {
		cfg.Limits = DefaultLimitsConfig()
	}
	n.admission, n.guard = newAdmission(cfg.Limits), n.newGuard()
	n.clockAhead.Store(true) // an earlier run may have had a wrong clock
	if err := n.settle(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return n, nil
}

// settle adopts an origin before anything else is written.
func (n *Node) settle() error {
	if err := n.mendStart(); err != nil {
		return err
	}
	renew, why := n.mustRenew()
	var origin vclock.Origin
	err := n.store.Prepare(func(tx session.Tx) error {
		var err error
		if origin, err = drive.Adopt(tx, n.identity(), renew); err != nil {
			return err
		}
		n.replica, err = replica.Open(tx, origin)
		return err
	})
	if err != nil {
		return fmt.Errorf("adopt origin: %w", err)
	}
	n.origin = origin
	if renew {
		if err := n.store.AdoptIdentity(); err != nil {
			return fmt.Errorf("record identity: %w", err)
		}
		n.cfg.Log.Warn("writes continue under a new origin", slog.String("why", why), slog.String("origin", string(origin)))
	}
	return nil
}

func (n *Node) mustRenew() (bool, string) {
	at := drive.Opening{Moved: n.store.Identity().Moved}
	if loss := n.store.Lost(); loss != nil {
		at.Lost, at.Unconfirmed, at.Committed, at.Found = true, loss.Unconfirmed, loss.Committed, loss.Found
	} else if n.store.Stats().Unconfirmed {
		n.cfg.Log.Warn("the last commit before the stop is not there; it may have been acknowledged if the machine lost power")
	}
	p, why := at.Doubt()
	if why == "" {
		return false, ""
	}
	n.problems.set(p.Name, p.Detail, n.wall())
	return true, why
}

// Run owns the store's committer and the node's own chores until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	return lifecycle.Run(ctx,
		lifecycle.Part{Name: "store", Run: n.store.Run},
		lifecycle.Part{Name: "clock", Run: n.runClock},
		lifecycle.Part{Name: "sweep", Run: n.sweep},
		lifecycle.Part{Name: "intake", Run: n.watchIntake},
		lifecycle.Part{Name: "core breaker", Run: n.watchCore},
		lifecycle.Part{Name: "repair", Run: n.repairLoop})
}

// Around runs the node, and inside it the given parts: they are stopped first,
// so that what they still write is committed, then the node; then the store is
// closed.
func (n *Node) Around(ctx context.Context, parts ...lifecycle.Part) error {
	inner, stopParts := context.WithCancelCause(ctx)
	defer stopParts(nil)
	outer, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	done := make(chan error, 1) // takes the one result of Run
	go func() {
		err := n.Run(outer)
		stopParts(fmt.Errorf("node stopped: %w", cmp.Or(err, error(context.Canceled))))
		done <- err
	}()
	err := lifecycle.Run(inner, parts...)
	stopNode()
	return errors.Join(err, <-done, n.Close())
}

// Close closes the store. Run must have returned.
func (n *Node) Close() error { return n.store.Close() }

// Name is the node's name.
func (n *Node) Name() string { return n.cfg.Name }

// Incarnation names the node's present storage.
func (n *Node) Incarnation() string { return n.store.Identity().ID }

// Origin is the origin under which the node writes now.
func (n *Node) Origin() vclock.Origin {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.origin
}

// Reissue makes ops of our own that collide with the core's again under a new
// origin; see [drive.Reissue].
func (n *Node) Reissue(ctx context.Context, f protocol.Feed, after vclock.Seq, known func(protocol.Feed) vclock.Seq, why string) (
	drive.Reissued, error,
) {
	var done drive.Reissued
	err := n.store.Update(ctx, store.Sync, func(tx session.Tx) error {
		var err error
		done, err = drive.Reissue(tx, n.replica, n.now(), n.identity(), f, after, known)
		return err
	})
	if err != nil {
		return done, n.seen(err)
	}
	if done.Origin != n.Origin() {
		n.renewed(done.Origin, why)
	}
	if done.Grown.Seq == 0 {
		return done, nil
	}
	n.mu.Lock()
	for _, p := range n.watch {
		for _, cut := range done.Cut {
			p.reset(cut.Feed, cut.Head)
		}
	}
	n.mu.Unlock()
	n.moved(done.Grown)
	n.hub.notifyAll(f.Space)
	for _, cut := range done.Cut {
		n.regrown(cut.Feed)
	}
	return done, nil
}

// regrown tells of what the feed took in since it was cut back: that may have
// been reported before the cut was.
func (n *Node) regrown(f protocol.Feed) {
	grown := protocol.FeedHead{Feed: f}
	err := n.View(func(r session.Reader) (err error) {
		grown.Head, err = replica.HeadOf(r, f)
		return err
	})
	if err != nil {
		n.cfg.Log.Warn("head of a feed that was cut back cannot be read", slog.Any("error", err))
		return
	}
	n.moved(grown)
}

// Watch gives a new reader of which feeds move from now on, by local writes
// and by ingest.
func (n *Node) Watch() *Progress {
	p := newProgress()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watch = append([]*Progress{p}, n.watch...)
	return p
}

func (n *Node) moved(h protocol.FeedHead) {
	n.mu.Lock()
	watch := n.watch
	n.mu.Unlock()
	for _, p := range watch {
		p.note(h)
	}
}

// released notes how far enough core stores hold a feed.
func (n *Node) released(r protocol.FeedSeq) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.let[r.Feed] = r.Seq
}

// MessageDropped counts a message of a peer that could not be read or was refused.
func (n *Node) MessageDropped() { n.dropped.Add(1) }

// Report sets the function that fills in the shell's part of the status.
func (n *Node) Report(fill func(*httpapi.Status)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.report = fill
}

// AskThrough sets how the core nodes are asked for ops whose records are
// damaged here.
func (n *Node) AskThrough(r Requester) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.request = r
}

// SignalThrough sets how signals come to other nodes. It is called before the
// API is served.
func (n *Node) SignalThrough(w push.Wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wire = w
}

// Wire implements [httpapi.Service].
func (n *Node) Wire() (name string, w push.Wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cfg.Name, n.wire
}

// View reads from a consistent snapshot.
func (n *Node) View(fn func(session.Reader) error) error { return n.seen(n.store.View(fn)) }

// ViewAround is View for what can go on around a damaged record: fn names the
// record, which is repaired, and the outcome stands.
func (n *Node) ViewAround(fn func(session.Reader) (damage, err error)) error {
	var damage error
	err := n.View(func(r session.Reader) (err error) {
		damage, err = fn(r)
		return err
	})
	_ = n.seen(damage) // it has been passed on to be repaired
	return err
}

// Update runs fn in the next commit; it may run more than once. Extra says
// what the commit of fn carries for those who sync: it is called after it.
func (n *Node) Update(ctx context.Context, fn func(session.Tx) error) error {
	return n.seen(n.store.Update(ctx, store.Sync, fn))
}

// Ingest takes frames of other nodes in one transaction, with extra (a stream
// position, say) stored beside them; extra may be nil. What does not fit into
// one transaction is taken in several, extra in the last one. Frames that the
// replica refuses are reported by index and do not hold up the others.
func (n *Node) Ingest(ctx context.Context, frames []*protocol.Frame, extra func(session.Tx) error) (
	[]replica.Ingested, []error, error,
) {
	done, refused, err := n.ingest(ctx, frames, extra)
	switch {
	case !errors.Is(err, store.ErrTooBig):
		return done, refused, err
	case len(frames) > 1:
		half := len(frames) / 2
		done, refused, err = n.Ingest(ctx, frames[:half], nil)
		if err != nil {
			return nil, nil, err
		}
		more, others, err := n.Ingest(ctx, frames[half:], extra)
		return append(done, more...), append(refused, others...), err
	case len(frames) == 1 && len(frames[0].Entries) > 1:
		return n.ingestHalves(ctx, frames[0], extra)
	}
	return nil, nil, err
}

// ingestHalves is Ingest of a frame that is too big for a transaction.
func (n *Node) ingestHalves(ctx context.Context, f *protocol.Frame, extra func(session.Tx) error) (
	[]replica.Ingested, []error, error,
) {
	front, back := f.Split(len(f.Entries) / 2)
	done, refused, err := n.Ingest(ctx, []*protocol.Frame{front, back}, extra)
	if err != nil {
		return nil, nil, err
	}
	whole := done[1]
	whole.Added += done[0].Added
	whole.Sessions = append(done[0].Sessions, done[1].Sessions...)
	return []replica.Ingested{whole}, []error{cmp.Or(refused[0], refused[1])}, nil
}

func (n *Node) ingest(ctx context.Context, frames []*protocol.Frame, extra func(session.Tx) error) (
	[]replica.Ingested, []error, error,
) {
	var done []replica.Ingested
	var refused []error
	err := n.store.Update(ctx, store.Sync, func(tx session.Tx) error {
		var err error
		if done, refused, err = drive.Ingest(tx, n.replica, n.now(), frames); err != nil || extra == nil {
			return err
		}
		return extra(tx)
	})
	if err != nil {
		return nil, nil, n.seen(err)
	}
	for i, d := range done {
		if refused[i] == nil && d.Added > 0 {
			n.moved(protocol.FeedHead{Feed: frames[i].Feed, Head: d.Head})
			n.hub.notify(frames[i].Space, d.Sessions...)
		}
	}
	return done, refused, nil
}

// Acked notes that the core's quorum holds the feed through seq.
func (n *Node) Acked(f protocol.Feed, seq vclock.Seq) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.acked.Note(f, seq) {
		return
	}
	n.guard.acks.Add(1)
	close(n.ackers)
	n.ackers = make(chan struct{})
}

// awaitCore waits until the core's quorum holds d of the space.
func (n *Node) awaitCore(ctx context.Context, space string, d vclock.Dot) bool {
	timer := time.NewTimer(n.cfg.CoreTimeout)
	defer timer.Stop()
	for {
		n.mu.Lock()
		done, moved := n.acked.Through(protocol.Feed{Space: space, Origin: d.Origin}) >= d.Seq, n.ackers
		n.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-moved:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// atCore reports whether the core is known to hold d; see [drive.Acks.Holds].
func (n *Node) atCore(space string, d vclock.Dot) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.acked.Holds(n.cfg.Name, space, d)
}

// RenewOrigin makes the node write under a new origin from now on and returns it.
func (n *Node) RenewOrigin(ctx context.Context, why string) (vclock.Origin, error) {
	var origin vclock.Origin
	err := n.store.Update(ctx, store.Sync, func(tx session.Tx) error {
		var err error
		origin, err = drive.Renew(tx, n.replica, n.identity())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("renew origin: %w", err)
	}
	n.renewed(origin, why)
	return origin, nil
}

// renewed notes that the store has a new origin.
func (n *Node) renewed(origin vclock.Origin, why string) {
	n.mu.Lock()
	n.origin = origin
	n.mu.Unlock()
	n.problems.set("origin_renewed", why, n.wall())
	n.cfg.Log.Warn("writes continue under a new origin", slog.String("why", why), slog.String("origin", string(origin)))
	if err := n.store.AdoptIdentity(); err != nil { // the next start then renews the origin again
		n.cfg.Log.Error("new identity not recorded", slog.Any("error", err))
	}
}
