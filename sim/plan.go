package sim

import (
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/sim/netem"
)

// Plan is everything that happens in a run apart from chance: who takes part,
// what clients ask and when, and which faults come and go. A run is a function
// of a plan and a seed.
type Plan struct {
	Name  string // of the scenario; empty for a drawn one
	Shows string // a sentence for people

	Nodes    []NodePlan
	Required int           // core stores that release an outbox; zero: a majority
	Length   time.Duration // of the safety phase, with faults
	Settle   time.Duration // from the healing on: all healed nodes must agree within it
	Timing   Timing
	Net      Quality    // of every link between nodes when nothing is wrong with it
	Links    []LinkPlan // those that differ from Net from the beginning and for ever; of several the last holds
	// Messages has the faults of links befall whole messages, as if nothing below
	// mended them. Otherwise nodes talk over TCP: loss and damage cost time, and
	// a silent connection is given up.
	Messages bool
	// Window bounds the deliveries that a core node sends ahead of credit; zero:
	// the product's window, which small loads never fill.
	Window int
	// Budget bounds the ops of a frame that goes up and of a delivery; zero: the
	// product's bounds, which small loads never reach.
	Budget   int
	Time     TimePlan  // who tells the nodes what time it is
	Calls    []Call    // ascending by At
	Workload *Workload // more calls, drawn from the seed; nil for none
	Faults   []Fault   // ascending by At
	Expect   Expect
}

// NodePlan is one node.
type NodePlan struct {
	Name   string
	Core   bool
	Spaces []string      // carried by an edge; "*" for all. "default" is always carried
	Join   time.Duration // starts then; zero: from the beginning
	Labels map[string]string
	// Attach names the core node that an edge connects to first; empty: by name.
	Attach string
	Drift  float64       // of its clock, in parts per million
	Offset time.Duration // of its clock at the start
	NTP    bool          // an edge asks the time servers too, not only the core; core nodes always do
	// Compress has the node pack its frames with zstd.
	Compress bool
}

// TimePlan is who tells the time. Without servers nobody vouches for any clock.
type TimePlan struct {
	Servers []TimeServer
	Poll    time.Duration // between questions to a server; zero: 16 s. Of the core it is asked as often, at least each 16 s
	Limit   time.Duration // how far a clock may be off before the alarm; zero: the product's
}

// TimeServer is an NTP server of the world. Faults of the network befall it by
// its name, as far as they cut somebody off from everybody.
type TimeServer struct {
	Name          string
	Delay, Jitter time.Duration // one way; uniform, Delay ± Jitter, each way for itself
	Loss          float64       // of an exchange
	Conduct       Conduct       // while it is bad; honest before and after
	Lie           time.Duration // how wrong a liar is
	From, For     time.Duration // when it is bad; For zero: until the healing
}

// Conduct is how a bad time server behaves.
type Conduct uint8

// The conducts.
const (
	Honest  Conduct = iota
	Lying           // its time is wrong by Lie
	Mute            // it does not answer
	Denying         // it answers that it does not want to be asked again
	Slowing         // it answers that it wants to be asked less often
)

// Timing scales what costs events in long runs. Zero fields have the product's values.
type Timing struct {
	Heartbeat time.Duration // between heartbeats of an attachment; everything that is measured against it grows alike
	Fsync     time.Duration // of one group commit
	Sweep     time.Duration // between looks for idle sessions
}

// LinkPlan is the quality of the links between Nodes and Peers, instead of Net.
type LinkPlan struct {
	Nodes     []string
	Peers     []string // the other side; empty: everybody else
	Direction Direction
	Quality   Quality
}

// Quality is how a link treats messages. Chances are from 0 to 1. Correlations
// say how much of a decision is taken over from the one before.
type Quality struct {
	Delay, Jitter time.Duration // one way; uniform, Delay ± Jitter
	Loss          Chance
	Burst         Burst // more loss, in bad times
	Duplicate     Chance
	Copies        int    // that arrive of a message that is duplicated; less than two: two
	Reorder       Chance // sent ahead of those before it, without delay
	ReorderGap    int    // with a gap: only each so-manieth message is a candidate
	Corrupt       Chance // one bit is flipped
	DelayCorr     float64
	Bandwidth     int // bytes per second; zero: no limit
	Buffer        int // bytes that wait for bandwidth before messages are dropped; zero: no limit
}

// Chance is a probability with netem's correlation; Burst is loss in bad times.
type (
	Chance = netem.Chance
	Burst  = netem.Burst
)

// FaultKind is what goes wrong.
type FaultKind uint8

// The kinds of fault. Those with a duration end by themselves after For, or at
// the healing when For is zero.
const (
	NoFault     FaultKind = iota
	Partition             // Nodes cannot talk to Peers; Direction
	Degrade               // links between Nodes and Peers have Quality; Direction
	Clog                  // messages between Nodes and Peers wait until the end; Direction
	Flap                  // as Partition, but the link works for Up and is cut for Down, in turns, first up
	Crash                 // kill -9, half of them in the middle of the next commit; restarts after For
	Stop                  // SIGTERM; restarts after For
	Pause                 // frozen, with its clocks as Suspend says, for For
	Wipe                  // the storage is gone; the node restarts empty after For
	WipeStreams           // a core node loses its copy of the streams and restarts after For
	Restore               // killed; restarts after For with the storage as it was Ago before
	Clone                 // a copy of the storage starts as a second node of the same name beside it, for For
	BitFlip               // one bit in a record of Class
	LoseSynced            // killed; the disk has lost the last Count commits that it had said were durable
	DiskFull              // no write fits, for For
	DiskReserve           // below the reserve: intake is refused, for For
	SlowDisk              // each fsync takes Delay, for For
	FsyncError            // the next fsync fails; the node stops and restarts after For
	ClockStep             // the wall clock jumps by Delay (may be negative)
	ClockDrift            // the wall clock drifts by PPM from now on
	StreamLoss            // core nodes' copies of the streams, or the leaders', silently lose their last Count messages
	StreamAway            // all streams are deleted and made again, empty
	Leave                 // the node goes for good; what only it had is lost with it
	MoveLink              // an edge's link is moved to core node Peers[0]
	Upgrade               // the node writes an op of a kind that no node knows
)

// Fault is one thing that goes wrong.
type Fault struct {
	Kind      FaultKind
	At, For   time.Duration
	Nodes     []string // whom it befalls
	Peers     []string // the other side; empty: everybody else
	Direction Direction
	Quality   Quality       // Degrade
	Up, Down  time.Duration // Flap
	Delay     time.Duration // SlowDisk, ClockStep
	Ago       time.Duration // Restore, Clone: age of the copy
	PPM       float64       // ClockDrift
	Count     int           // LoseSynced, StreamLoss
	Class     string        // BitFlip: "op", "session", "feed", "stream", "any"
	Suspend   bool          // Pause: the monotonic clock stops too
	Silent    bool          // Restore, Clone: the storage cannot tell that it is a copy, as with a whole machine's snapshot
	Cut       bool          // StreamLoss: the copy is cut off instead of having holes
	Permanent bool          // not healed at the end: these nodes are not in the chosen set
	Line      int           // in the scenario file; zero: drawn
}

// Direction is seen from Nodes.
type Direction uint8

// The directions.
const (
	Both Direction = iota
	To             // what Nodes send to Peers
	From           // what Peers send to Nodes
)

// CallKind is what a client asks for.
type CallKind uint8

// The kinds of call.
const (
	CallOpen CallKind = iota
	CallAppend
	CallEdit
	CallRedact
	CallPatch
	CallAdd
	CallInsert
	CallRemove
	CallMove
	CallErase
	CallRead
	CallChanges
	CallText
)

// Call is one thing that a client wants. Values are made by the run, unique in
// its history.
type Call struct {
	At      time.Duration
	Client  string
	Node    string // an edge or a core node
	Space   string
	Session string
	Kind    CallKind
	Target  int    // which message, path, counter, set or text, as far as there are so many
	Batch   int    // messages of an append; zero means one
	Core    bool   // level "core"
	Keyed   bool   // with an idempotency key
	Reuse   bool   // with the key of another request that the node answered to this client: to be refused
	IfMatch bool   // with the version that the client saw last in the session
	To      string // CallMove
	Order   string // CallOpen: "turns" or "chat"
	TTL     time.Duration
	Retries []Retry // sent if the answers before are missing (or in any case, with Always)
}

// Retry is the same request again, under the same key.
type Retry struct {
	After  time.Duration // since the call
	Node   string        // empty: the same
	Always bool          // also when an answer came
}

// Workload draws calls.
type Workload struct {
	Clients  int
	Sessions int           // for each space
	Spaces   []string      // empty: default
	Every    time.Duration // mean pause of one client between calls
	Until    time.Duration // zero: the whole safety phase
	Roam     float64       // chance that a client goes to another node before a call
	Same     float64       // chance that a call goes to the session that everybody writes to
	Keyed    float64       // chance of an idempotency key
	Reuse    float64       // chance of the key of another request
	Late     float64       // chance that a keyed request is sent again minutes later
	Match    float64       // chance of a condition on the version seen last, of any write
	Core     float64       // chance of level "core"
	Batch    int           // largest batch
	Mix      map[CallKind]int
	TTL      time.Duration // of the sessions; zero: none
	AtCores  bool          // clients call core nodes too
	Nodes    []string      // where clients are; empty: all edges that carry the space
}

// MaxWindow bounds [Plan.Window].
const MaxWindow = protocol.CreditWindow

// MinHeartbeat is the least [Timing.Heartbeat]: the product's, which can only be stretched.
const MinHeartbeat = protocol.HeartbeatEvery

// scale stretches a time that is measured against the heartbeat, which counts to
// the millisecond. A time is a few hours at most.
func (t Timing) scale(d time.Duration) time.Duration {
	if t.Heartbeat <= protocol.HeartbeatEvery {
		return d
	}
	whole, rest := t.Heartbeat/protocol.HeartbeatEvery, t.Heartbeat%protocol.HeartbeatEvery
	return d*whole + d*(rest/time.Millisecond)/(protocol.HeartbeatEvery/time.Millisecond)
}

func (t Timing) fsync() time.Duration {
	if t.Fsync == 0 {
		return 300 * time.Microsecond
	}
	return t.Fsync
}

func (t Timing) sweep() time.Duration {
	if t.Sweep == 0 {
		return drive.SweepEvery
	}
	return t.Sweep
}

// required is how many core stores release an outbox.
func (p *Plan) required() int {
	if p.Required != 0 {
		return p.Required
	}
	cores := 0
	for _, n := range p.Nodes {
		if n.Core {
			cores++
		}
	}
	return cores/2 + 1
}
