package protocol

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// CoreConfig says which core store the core half speaks for. Start from
// [DefaultCoreConfig].
type CoreConfig struct {
	Node           string // name of this core node: the store's name
	Incarnation    string // of its storage: new when the directory is new
	Cluster        string
	Stores         int // core stores in all
	StoresRequired int // receipts that release an outbox
	Partitions     int // op streams

	Window         int           // deliveries sent and not yet credited, per attachment
	HeartbeatEvery time.Duration // to an attached node, when nothing else was sent
	IdleDrop       time.Duration // silence after which an attachment is dropped

	WantEvery  time.Duration // first pause between asking for what is missing; doubles
	WantMax    time.Duration // longest pause
	WantSpread int           // after so many unanswered wants every attached node is asked
}

// DefaultCoreConfig gives the values of the product for a cluster of one.
func DefaultCoreConfig() CoreConfig {
	return CoreConfig{
		Stores: 1, StoresRequired: 1, Partitions: 4,
		HeartbeatEvery: HeartbeatEvery, IdleDrop: IdleDrop,
		Window: CreditWindow, WantEvery: 2 * time.Second, WantMax: 30 * time.Second, WantSpread: 2,
	}
}

// Validate reports everything that is wrong with c at once.
func (c CoreConfig) Validate() error {
	var errs []error
	if !validName(c.Node) {
		errs = append(errs, fmt.Errorf("node: got %.40q, want a name", c.Node))
	}
	if !validName(c.Incarnation) {
		errs = append(errs, fmt.Errorf("incarnation: got %.40q, want a name", c.Incarnation))
	}
	if c.StoresRequired < 1 || c.StoresRequired > c.Stores || c.Stores > MaxStores {
		errs = append(errs, fmt.Errorf("stores_required: got %d of %d, want 1 to all of at most %d",
			c.StoresRequired, c.Stores, MaxStores))
	}
	if c.Partitions < 1 || c.Partitions > MaxCount {
		errs = append(errs, fmt.Errorf("partitions: got %d, want 1 to %d", c.Partitions, MaxCount))
	}
	if c.Window < 1 || c.Window > CreditWindow {
		errs = append(errs, fmt.Errorf("window: got %d, want 1 to %d", c.Window, CreditWindow))
	}
	if c.HeartbeatEvery <= 0 || c.IdleDrop <= c.HeartbeatEvery {
		errs = append(errs, fmt.Errorf("heartbeat_every: got %v, want more than 0s and less than idle_drop, which is %v",
			c.HeartbeatEvery, c.IdleDrop))
	}
	if c.WantEvery <= 0 || c.WantMax < c.WantEvery {
		errs = append(errs, fmt.Errorf("want_every: got %v to %v, want more than 0s, rising", c.WantEvery, c.WantMax))
	}
	return errors.Join(errs...)
}

// CoreInput is the closed set of what can happen to a [Core]: [Advanced],
// [Replaced], [FrameSeen], [AttachAsked], [Read], [SnapshotRead], [ChainsFound],
// [DigestFound], [Fence], [Received] and [Wake]. Attach never comes as
// Received: the driver looks the store up and gives AttachAsked.
type CoreInput interface{ isCoreInput() }

type (
	// Advanced says that the store holds feeds up to heads, durably: all feeds
	// at the start (with Quiet, which gives no receipts), then after each commit.
	Advanced struct {
		Feeds []FeedHead
		Quiet bool
	}
	// FrameSeen asks what to do with a frame off the op stream. Meet is the
	// smaller of the held number and the frame's last; Theirs is the frame's
	// chain there ([Frame.ChainAt]), Ours the store's. Both are ignored when
	// the frame begins behind a gap.
	FrameSeen struct {
		Feed
		From, To     vclock.Seq
		Meet         vclock.Seq
		Theirs, Ours Chain
	}
	// AttachAsked is an Attach off the wire with what the store holds of the
	// spaces that it names; of all spaces, when it asks for everything. Common
	// heads are taken at the smaller of both numbers.
	AttachAsked struct {
		Attach Attach
		Held   []SpaceState // ascending by space, feeds by origin
		Ready  bool         // the store can be read and is not being refilled
	}
	// Read answers a ReadMissing: the driver holds frames that reach Reached
	// (which includes After), and More says that the budget ended the read.
	// Frames is zero when nothing was missing. The output says whether and with
	// which number they are delivered.
	Read struct {
		Attachment uint64
		Space      string
		Frames     int
		Reached    vclock.Vector
		More       bool
	}
	// SnapshotRead answers a ReadSnapshot: the driver holds the message.
	// Next is the cursor of the next piece. With Done this was SnapshotEnd, and
	// the edge then holds Reached.
	SnapshotRead struct {
		Attachment uint64
		Space      string
		Next       []byte
		Done       bool
		Reached    vclock.Vector
	}
	// ChainsFound answers a LookupChains with the numbers that are held.
	ChainsFound struct {
		Node string
		Feed
		Heads []Head
	}
	// DigestFound answers a LookupDigest.
	DigestFound struct {
		Ask    DigestAsk
		Vector vclock.Vector
		Sum    Sum
	}
	// Fence bars an origin from attaching, because it equivocated. The driver
	// gives it for each one known at the start.
	Fence struct{ Origin vclock.Origin }
)

func (Advanced) isCoreInput()     {}
func (Replaced) isCoreInput()     {}
func (FrameSeen) isCoreInput()    {}
func (AttachAsked) isCoreInput()  {}
func (Read) isCoreInput()         {}
func (SnapshotRead) isCoreInput() {}
func (ChainsFound) isCoreInput()  {}
func (DigestFound) isCoreInput()  {}
func (Fence) isCoreInput()        {}

// Verdict is what to do with a frame off the op stream.
type Verdict uint8

// The verdicts on a frame.
const (
	NoVerdict Verdict = iota // the input was no FrameSeen
	Accept                   // ingest it; what is held already is skipped
	Duplicate                // all of it is held: drop it
	Gap                      // drop it; what is missing is asked for
	Fork                     // keep it as evidence, do not ingest it
)

// String names the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"none", "accept", "duplicate", "gap", "fork"}[v]
}

// CoreOutput is what the driver has to do, in the order of the fields.
type CoreOutput struct {
	Verdict  Verdict        // on a FrameSeen
	Deliver  []Delivery     // send what the Read or SnapshotRead just given holds
	Send     []Send         // answers, receipts, wants, heartbeats
	Missing  []ReadMissing  // answer each with Read
	Snapshot []ReadSnapshot // answer each with SnapshotRead
	Chains   []LookupChains // answer each with ChainsFound
	Digests  []DigestAsk    // answer each with DigestFound
	Facts    []Fact
	WakeAt   Instant // earliest deadline; zero: no timer
}

type (
	// Delivery numbers the message that the driver just read for an attachment.
	Delivery struct {
		Node          string
		Attachment, N uint64
	}
	// ReadMissing asks for frames of a space behind a vector, in the store's
	// order of arrival.
	ReadMissing struct {
		Attachment uint64
		Space      string
		After      vclock.Vector
		MaxOps     int
		MaxBytes   int
	}
	// ReadSnapshot asks for the next message of a snapshot of a space:
	// SnapshotBegin when Begin is set, else the piece at Cursor or SnapshotEnd.
	ReadSnapshot struct {
		Attachment uint64
		Space      string
		Begin      bool
		Cursor     []byte
		MaxBytes   int
	}
	// LookupChains asks for the chain of a feed at numbers, for a node.
	LookupChains struct {
		Node string
		Feed
		Seqs []vclock.Seq
	}
)

// Core is the core half of sync: deliveries to attached nodes, receipts,
// and the hunt for what is missing. One goroutine owns it.
//
// Invariant, per attachment: credited <= sent <= credited + window.
type Core struct {
	cfg CoreConfig
	rng *rand.Rand

	feeds      map[Feed]*coreFeed
	spaces     map[string][]*attachment // who takes a space, ascending by node, but for:
	everything []*attachment            // who takes all spaces, ascending by node
	wants      []*coreFeed              // feeds with a gap, by feed
	fenced     map[vclock.Origin]bool

	attachments map[uint64]*attachment
	nodes       map[string]*attachment // by node name
	retired     map[string][]string    // former instances by node name
	ring        []*attachment          // all, ascending by node
	queue       []*attachment          // those to read for, in turns
	nextCheck   Instant                // when to look for silence
	reading     int                    // reads under way
	touched     *attachment
}

// NewCore gives a core half that holds nothing and has nobody attached. Each
// random choice comes from rng. It returns what cfg.Validate returns.
func NewCore(cfg CoreConfig, rng *rand.Rand) (*Core, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("core half: %w", err)
	}
	return &Core{
		cfg:         cfg,
		rng:         rng,
		feeds:       map[Feed]*coreFeed{},
		spaces:      map[string][]*attachment{},
		fenced:      map[vclock.Origin]bool{},
		attachments: map[uint64]*attachment{},
		nodes:       map[string]*attachment{},
		retired:     map[string][]string{},
	}, nil
}

// Step carries out one input. It returns an error, and leaves c as it was, for
// a message that a core node does not take ([ErrUnexpected]) or whose content
// contradicts itself ([ErrMalformed]), and for an input of the driver that
// contradicts an earlier one ([ErrDisorder]).
func (c *Core) Step(at Instant, in CoreInput) (CoreOutput, error) {
	var out CoreOutput
	c.touched = nil
	if err := c.apply(at, in, &out); err != nil {
		return CoreOutput{}, err
	}
	c.expire(at, &out)
	c.pumpReads(&out)
	c.pumpWants(at, &out)
	out.WakeAt = c.nextWake(at)
	c.mustHold()
	return out, nil
}

func (c *Core) apply(at Instant, in CoreInput, out *CoreOutput) error {
	switch in := in.(type) {
	case Wake:
		return nil
	case Advanced:
		return c.advanced(in, out)
	case Replaced:
		c.replaced(in, out)
	case FrameSeen:
		return c.frameSeen(at, in, out)
	case AttachAsked:
		return c.attachAsked(at, in, out)
	case Read:
		return c.read(at, in, out)
	case SnapshotRead:
		return c.snapshotRead(at, in, out)
	case ChainsFound:
		out.send(ToNode, in.Node, Chains{Feed: in.Feed, Heads: in.Heads})
	case DigestFound:
		c.digestFound(in, out)
	case Fence:
		c.fenced[in.Origin] = true
	case Received:
		return c.received(at, in, out)
	default:
		panic(fmt.Sprintf("protocol: core input %T", in))
	}
	return nil
}

func (c *Core) received(at Instant, in Received, out *CoreOutput) error {
	switch m := in.Message.(type) {
	case Credit:
		return c.credit(at, in.From, m, out)
	case Heartbeat: // says the credit again: the message that gave it may be lost
		return c.credit(at, in.From, Credit(m), out)
	case Detach:
		if a := c.attachments[m.Attachment]; a != nil && (in.From == "" || in.From == a.node) {
			c.drop(a, "detached", out)
		}
	case HeadsAsk:
		c.headsAsked(m, out)
	case ChainsAsk:
		out.Chains = append(out.Chains, LookupChains{Node: m.Node, Feed: m.Feed, Seqs: slices.Clone(m.Seqs)})
	case DigestAsk:
		out.Digests = append(out.Digests, m)
	default:
		return fmt.Errorf("core half, %T: %w", in.Message, ErrUnexpected)
	}
	return nil
}

// nextWake is the earliest deadline of all attachments and wants.
func (c *Core) nextWake(at Instant) Instant {
	w := earliest{}
	w.add(c.nextCheck)
	for _, f := range c.wants {
		w.add(f.wantAt)
	}
	return w.after(at)
}

// mustHold checks the invariant of the attachment that the last step touched.
func (c *Core) mustHold() {
	a := c.touched
	if a != nil && (a.credited > a.sent || a.sent > a.credited+uint64(c.cfg.Window)) {
		panic(fmt.Sprintf("protocol: want credited <= sent <= credited+%d, have %d, %d", c.cfg.Window, a.credited, a.sent))
	}
}

func (o *CoreOutput) send(p Place, name string, m Message) {
	o.Send = append(o.Send, Send{Place: p, Name: name, Message: m})
}

func (o *CoreOutput) fact(f Fact) { o.Facts = append(o.Facts, f) }
