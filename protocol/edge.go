package protocol

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// EdgeConfig says who the edge half speaks for and how patient it is. Start
// from [DefaultEdgeConfig].
type EdgeConfig struct {
	Node       string        // name of this node; feeds of its origins are its own
	Instance   string        // random, new with every start of the process
	Cluster    string        // name of the cluster; another one is refused
	Origin     vclock.Origin // under which the node writes now
	Spaces     []string      // spaces to take deliveries of
	Everything bool          // take deliveries of all spaces, those to come included
	// StoresRequired is the number of receipts that release the outbox, until
	// a core node has said it. Zero: nothing is released before that.
	StoresRequired int
	// UploadOnly makes no attachment: LinkUp only opens the way up.
	UploadOnly bool

	AttachTimeout  time.Duration // no answer to Attach: try again; doubles with each failure in a row
	HeartbeatLost  time.Duration // no message of the attachment: make it anew
	KeepaliveEvery time.Duration // to the core node, when nothing else was sent
	PublishTimeout time.Duration // no answer to a publish or question: outcome unknown
	BackoffMin     time.Duration // first pause after a failure, with full jitter
	BackoffMax     time.Duration // longest pause
	AskEvery       time.Duration // between questions for heads while the outbox is not released
	StallAfter     time.Duration // a store's head stays below what was sent: send again
	ForeignSpread  time.Duration // feeds of others go up after a random part of this
}

// maxAttachDoublings bounds how patient an attach gets: 16 times AttachTimeout.
const maxAttachDoublings = 4

// DefaultEdgeConfig gives the times of the product; names are empty.
func DefaultEdgeConfig() EdgeConfig {
	return EdgeConfig{
		AttachTimeout:  time.Second,
		HeartbeatLost:  3 * time.Second,
		KeepaliveEvery: KeepaliveEvery,
		PublishTimeout: 15 * time.Second,
		BackoffMin:     100 * time.Millisecond,
		BackoffMax:     30 * time.Second,
		AskEvery:       3 * time.Second,
		StallAfter:     15 * time.Second,
		ForeignSpread:  2 * time.Second,
	}
}

// Validate reports everything that is wrong with c at once.
func (c EdgeConfig) Validate() error {
	var errs []error
	if !validName(c.Node) {
		errs = append(errs, fmt.Errorf("node: got %.40q, want a name", c.Node))
	}
	for _, s := range c.Spaces {
		if !validName(s) {
			errs = append(errs, fmt.Errorf("spaces: got %.40q, want a name", s))
		}
	}
	if len(c.Spaces) > MaxSpacesPerNode {
		errs = append(errs, fmt.Errorf("spaces: got %d, want at most %d", len(c.Spaces), MaxSpacesPerNode))
	}
	for _, d := range []struct {
		name string
		got  time.Duration
	}{
		{"attach_timeout", c.AttachTimeout}, {"heartbeat_lost", c.HeartbeatLost},
		{"keepalive_every", c.KeepaliveEvery},
		{"publish_timeout", c.PublishTimeout}, {"backoff_min", c.BackoffMin}, {"backoff_max", c.BackoffMax},
		{"ask_every", c.AskEvery}, {"stall_after", c.StallAfter}, {"foreign_spread", c.ForeignSpread},
	} {
		if d.got <= 0 {
			errs = append(errs, fmt.Errorf("%s: got %v, want more than 0s", d.name, d.got))
		}
	}
	return errors.Join(errs...)
}

// EdgeInput is the closed set of what can happen to an [Edge]: [LinkUp],
// [LinkDown], [NewOrigin], [Carry], [Persisted], [Replaced], [NotRemade],
// [Received], [Published], [PublishFailed], [SubjectHead], [ChainAt], [Ingested],
// [CheckDigest] and [Wake].
type EdgeInput interface{ isEdgeInput() }

type (
	// LinkUp says that messages can be sent, and which core node to attach to.
	// Given while the link is up, it moves to another core node.
	LinkUp struct{ Core string }
	// LinkDown says that the connection is lost.
	LinkDown struct{}
	// NewOrigin says that the node writes under another origin from now on.
	NewOrigin struct{ Origin vclock.Origin }
	// Carry replaces the set of spaces to take deliveries of.
	Carry struct {
		Spaces     []string
		Everything bool
	}
	// Persisted says that the local store holds a feed up to a head, durably:
	// for every feed at the start, then after each commit. Released is the
	// outbox cursor that was kept; zero if unknown.
	Persisted struct {
		Feed
		Head
		Released vclock.Seq
	}
	// Replaced says that the local store holds other content of a feed than
	// before, up to Head: what forked was taken out. An input of both machines.
	Replaced struct {
		Feed
		Head
	}
	// NotRemade says that a feed of our own that forked stays as it is: what was
	// written since under other origins need not wait for it.
	NotRemade struct{ Feed }
	// Published says that the op stream's quorum has the frame of a [Publish]
	// with this attempt number; Head is that of the frame's last op.
	Published struct {
		Feed
		Attempt   uint64
		Head      Head
		StreamSeq uint64
	}
	// PublishFailed says that a [Publish] or an [AskSubject] with this attempt
	// number came to nothing, as far as is known.
	PublishFailed struct {
		Feed
		Attempt uint64
		Kind    FailureKind
	}
	// SubjectHead answers an [AskSubject]: the stream number of the last message
	// on the feed's subject, and the head at the end of its frame; zeros if
	// there is none.
	SubjectHead struct {
		Feed
		Attempt   uint64
		Head      Head
		StreamSeq uint64
	}
	// Ingested says that delivery N is durable, or why it could not be taken.
	// What it added is reported with Persisted, before.
	Ingested struct {
		Attachment, N uint64
		Err           error
	}
	// CheckDigest asks to compare the digest of a space with the core's.
	CheckDigest struct {
		Space  string
		Vector vclock.Vector
		Sum    Sum
	}
)

func (LinkUp) isEdgeInput()        {}
func (LinkDown) isEdgeInput()      {}
func (NewOrigin) isEdgeInput()     {}
func (Carry) isEdgeInput()         {}
func (Persisted) isEdgeInput()     {}
func (Replaced) isEdgeInput()      {}
func (NotRemade) isEdgeInput()     {}
func (Published) isEdgeInput()     {}
func (PublishFailed) isEdgeInput() {}
func (SubjectHead) isEdgeInput()   {}
func (Ingested) isEdgeInput()      {}
func (CheckDigest) isEdgeInput()   {}

// FailureKind is how a publish failed.
type FailureKind uint8

// The kinds of failure.
const (
	Unknown       FailureKind = iota // no answer: the stream may have it
	WrongSequence                    // somebody else wrote to the subject
	Rejected                         // the stream refuses: full, too big, not allowed
	Unreadable                       // the frame could not be read locally
)

// String names the kind in lower case.
func (k FailureKind) String() string {
	switch k {
	case Unknown:
		return "unknown"
	case WrongSequence:
		return "wrong_sequence"
	case Rejected:
		return "rejected"
	default:
		return "unreadable"
	}
}

// EdgeOutput is what the driver has to do, in the order of the fields.
type EdgeOutput struct {
	Released []FeedSeq     // persist the outbox cursor: enough stores hold the feed up to Seq
	Acked    []FeedSeq     // the op stream's quorum has the feed up to Seq: durability "core"
	Ingest   []Ingest      // commit, then Persisted for each feed that grew, then Ingested
	Lookup   []LookupChain // answer with ChainAt
	Ask      []AskSubject  // answer with SubjectHead, or PublishFailed
	Publish  []Publish     // answer with Published or PublishFailed
	Send     []Send
	Facts    []Fact
	WakeAt   Instant // earliest deadline; zero: no timer
}

type (
	// Publish asks to put one frame on the op stream: ops of the feed from From
	// on, at most MaxOps and MaxBytes of them, at least one. The expected last
	// sequence of the feed's subject is Expect; the message id is
	// MsgID(frame, Nonce).
	Publish struct {
		Feed
		Attempt  uint64
		From     vclock.Seq
		MaxOps   int
		MaxBytes int
		Expect   uint64
		Nonce    uint64
	}
	// AskSubject asks for the last message on the feed's subject.
	AskSubject struct {
		Feed
		Attempt uint64
	}
	// LookupChain asks for the local chain of a feed at a number.
	LookupChain struct {
		Feed
		Seq vclock.Seq
	}
	// Ingest hands over delivery N: frames, or a snapshot message
	// (SnapshotBegin, SnapshotPiece or SnapshotEnd).
	Ingest struct {
		Attachment, N uint64
		Frames        []Frame
		Snapshot      Message
	}
)

// Edge is the edge half of sync: the way up for a node's feeds, and the way
// down for what others wrote. One goroutine owns it.
//
// Invariant, per feed: released <= head; next <= head+1; at most one frame is
// in flight. Per attachment: credited <= received.
type Edge struct {
	cfg  EdgeConfig
	rng  *rand.Rand
	link bool
	core string // to attach to; empty: none

	feeds    map[Feed]*upFeed
	order    []*upFeed           // all of them, by feed
	formers  []*upFeed           // of our own, of earlier origins and not settled
	ahead    map[Feed]vclock.Seq // of our own that cores hold and we do not
	renewals int                 // new origins since the start
	busy     []*upFeed           // those with something to send or to be released, by feed
	turn     int                 // which of them begins
	touched  *upFeed             // the last one stepped, for mustHold
	attempt  uint64
	required int
	stores   map[string]*storeSeen
	nextAsk  Instant
	chainAsk Instant

	down downlink
}

// NewEdge gives an edge half with nothing persisted and the link down. Each
// random choice comes from rng. It returns what cfg.Validate returns.
func NewEdge(cfg EdgeConfig, rng *rand.Rand) (*Edge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("edge half: %w", err)
	}
	cfg.Spaces = sortedNames(cfg.Spaces)
	return &Edge{
		cfg:      cfg,
		rng:      rng,
		feeds:    map[Feed]*upFeed{},
		ahead:    map[Feed]vclock.Seq{},
		required: cfg.StoresRequired,
		stores:   map[string]*storeSeen{},
	}, nil
}

// Step carries out one input. It returns an error, and leaves e as it was, for
// a message that an edge does not take ([ErrUnexpected]) or whose content
// contradicts itself ([ErrMalformed]), and for an input of the driver that
// contradicts an earlier one ([ErrDisorder]).
func (e *Edge) Step(at Instant, in EdgeInput) (EdgeOutput, error) {
	var out EdgeOutput
	e.touched = nil
	if err := e.apply(at, in, &out); err != nil {
		return EdgeOutput{}, err
	}
	e.pumpFeeds(at, &out)
	e.pumpDown(at, &out)
	e.settleBusy()
	out.WakeAt = e.nextWake(at)
	e.mustHold()
	return out, nil
}

func (e *Edge) apply(at Instant, in EdgeInput, out *EdgeOutput) error {
	switch in := in.(type) {
	case Wake:
		return nil
	case LinkUp:
		e.linkUp(at, in.Core, out)
	case LinkDown:
		e.linkDown(out)
	case NewOrigin:
		e.newOrigin(at, in.Origin, out)
	case Carry:
		return e.carry(at, in, out)
	case Persisted:
		return e.persisted(at, in)
	case Replaced:
		return e.replaced(at, in, out)
	case NotRemade:
		if f := e.feeds[in.Feed]; f != nil {
			f.passed = true
		}
	case Published:
		return e.published(at, in, out)
	case PublishFailed:
		e.publishFailed(at, in, out)
	case SubjectHead:
		e.subjectHead(at, in, out)
	case ChainAt:
		e.chainAt(at, in, out)
	case Ingested:
		return e.ingested(at, in, out)
	case CheckDigest:
		if e.link && e.down.core() != "" {
			out.send(ToCore, e.down.core(), DigestAsk{Node: e.cfg.Node, Space: in.Space, Vector: in.Vector, Sum: in.Sum})
		}
	case Received:
		return e.received(at, in, out)
	default:
		panic(fmt.Sprintf("protocol: edge input %T", in))
	}
	return nil
}

func (e *Edge) received(at Instant, in Received, out *EdgeOutput) error {
	switch m := in.Message.(type) {
	case Receipts:
		e.receipts(at, m, out)
	case Want:
		return e.wanted(at, m, out)
	case Chains:
		e.chains(at, m, out)
	case Attached:
		return e.attached(at, m, out)
	case Refused:
		e.refused(at, m, out)
	case Deliver:
		e.delivered(at, m.Attachment, m.N, Ingest{Attachment: m.Attachment, N: m.N, Frames: m.Frames}, out)
	case SnapshotBegin:
		e.delivered(at, m.Attachment, m.N, Ingest{Attachment: m.Attachment, N: m.N, Snapshot: m}, out)
	case SnapshotPiece:
		e.delivered(at, m.Attachment, m.N, Ingest{Attachment: m.Attachment, N: m.N, Snapshot: m}, out)
	case SnapshotEnd:
		e.delivered(at, m.Attachment, m.N, Ingest{Attachment: m.Attachment, N: m.N, Snapshot: m}, out)
	case Heartbeat:
		e.heartbeat(at, m, out)
	case Detach:
		e.detached(at, m, out)
	case Digest:
		out.fact(DigestCompared(m))
	default:
		return fmt.Errorf("edge half, %T: %w", in.Message, ErrUnexpected)
	}
	return nil
}

// nextWake is the earliest deadline of the attachment and of all busy feeds.
func (e *Edge) nextWake(at Instant) Instant {
	w := earliest{}
	if e.link {
		e.down.deadlines(&w, e)
		for _, f := range e.busy {
			f.deadlines(at, &w)
		}
		if e.unreleased() {
			w.add(e.nextAsk)
		}
		if e.searching() {
			w.add(e.chainAsk)
		}
	}
	return w.after(at)
}

// mustHold checks the invariants of what the last step touched.
func (e *Edge) mustHold() {
	e.down.mustHold()
	if f := e.touched; f != nil {
		f.mustHold()
	}
}

// backoff gives a full-jitter pause after a number of failures in a row.
func (e *Edge) backoff(failures int) time.Duration {
	ceiling := e.cfg.BackoffMax
	if failures < 20 {
		ceiling = min(ceiling, e.cfg.BackoffMin<<failures)
	}
	return e.cfg.BackoffMin/2 + time.Duration(e.rng.Int64N(int64(ceiling)))
}

func (o *EdgeOutput) send(p Place, name string, m Message) {
	o.Send = append(o.Send, Send{Place: p, Name: name, Message: m})
}

func (o *EdgeOutput) fact(f Fact) { o.Facts = append(o.Facts, f) }

// earliest keeps the smallest of the instants added; zeros do not count.
type earliest struct{ at Instant }

func (w *earliest) add(t Instant) {
	if t != 0 && (w.at == 0 || t < w.at) {
		w.at = t
	}
}

// after gives the smallest instant, but never one that has passed.
func (w *earliest) after(now Instant) Instant {
	if w.at != 0 && w.at <= now {
		return now + 1
	}
	return w.at
}

func sortedNames(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
