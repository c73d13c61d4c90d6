package check

import "time"

// History is everything that a run shows to its clients.
type History struct {
	Calls  []Call  // ascending by Begin
	Finals []Final // one for each healthy node, ascending by node
	// Excused are values that may be gone: when a disk was destroyed, no other
	// disk and no stream held them.
	Excused map[string]bool
	// ExcusedCalls are the calls, by ID, whose effect may be gone for the same
	// reason. A request that was retried is excused when one of its calls is.
	ExcusedCalls map[int]bool
	// Resets are the moments at which what a node shows may fall back: its storage
	// was wiped, an older copy of it was put back, commits were lost, or it made
	// its ops again under another origin after a fork. Ascending by At.
	Resets []Reset
	// Anchors are the moments from which on a node's stamps may be earlier than
	// before, because its clock had been wrong and was put right.
	Anchors []Reset
	// Troubles say when disks made nodes refuse requests.
	Troubles []Trouble
	// Samples are the sizes of what must stay bounded.
	Samples []Sample
	// WholeMillis says that the logical parts of stamps are not known.
	WholeMillis bool
	// Healed is when the last fault ended; Settled when all nodes agreed, zero if
	// they never did; Bound is how long that may take.
	Healed, Settled, Bound time.Duration
	// Ended is when the run was over; zero: when the last thing in it happened.
	Ended time.Duration
}

// Reset says that a node's storage fell back at a moment.
type Reset struct {
	Node string
	At   time.Duration
}

// Trouble says that a node's disk may have it refuse requests with a code:
// disk_full, disk_reserve, or record_damaged.
type Trouble struct {
	Node, Code string
	From, To   time.Duration // To is zero if it lasted until the end
}

// Action is what a call asks for.
type Action uint8

// The actions.
const (
	Open    Action = iota
	Append         // Values: one a message; ID is the message's id if the client chose one
	Edit           // of message Target: Values[0]
	Redact         // of message Target
	Patch          // Values: ID is the JSON pointer of a leaf; an empty Value removes it
	Add            // to counter Target: By
	Insert         // into set Target: Values[0]
	Remove         // from set Target: Values[0], which was inserted before
	Move           // to state To, or "reopened"
	Erase          //
	Read           // one session
	ReadAll        // all changes of a space; only Ops is set in what was seen
	Text           // edit of text Target; Values are what was inserted, never within another value
)

// String names the action in lower case.
func (a Action) String() string {
	return [...]string{"open", "append", "edit", "redact", "patch", "add", "insert", "remove",
		"move", "erase", "read", "read_all", "text"}[a]
}

// Outcome is how a call ended.
type Outcome uint8

// The outcomes. An answer that leaves the effect open, such as 500 or 503, may
// be given as NoAnswer, or as Refused with its code.
const (
	NoAnswer Outcome = iota // it may have had its effect, then or later, or not
	OK
	Refused // with a code, and without effect
)

// String names the outcome in lower case.
func (o Outcome) String() string { return [...]string{"no_answer", "ok", "refused"}[o] }

// Value is a value that a client wrote. Value is unique in the history; ID says
// where it goes.
type Value struct{ ID, Value string }

// Call is one request of a client. A retry is a call of its own with the Key
// and the Values of the first. Clients never name the parent of a message.
type Call struct {
	ID         int // position in the history
	Client     string
	Node       string        // a clone of a node has a name of its own
	Begin, End time.Duration // End is when the answer came; meaningless without one
	Space      string
	Session    string
	Do         Action
	Key        string // idempotency key; empty for none
	IfMatch    string // version; empty for none
	Values     []Value
	Target     string        // message, counter, set or text that the action is about
	By         int64         // for Add: a power of two, each at most once for a counter
	To         string        // for Move
	TTL        time.Duration // for Open: the idle time asked for; zero: it never expires
	Drops      []string      // for Text: values that the edit took away, each as a whole
	WantCore   bool          // level "core" was asked for

	Outcome  Outcome
	Code     string   // of a refusal
	Core     bool     // acknowledged at level "core"; else "local"
	Version  string   // that the answer named
	Replayed bool     // the answer said that the key was known, so nothing was written
	IDs      []string // of the messages in the answer to an append, in the order of Values; may be nil
	Seen     *Seen    // for Read and ReadAll that were answered
}

// Seen is what one read showed of a session, all at one moment: who needs
// several requests for it repeats them until the version stays the same.
type Seen struct {
	Gone      string // "erased", "expired" or "unknown"; then nothing else is set
	State     string
	Version   string
	Messages  []Message // in the session's order
	Leaves    []Leaf    // ascending by path; one also where only a removal is shown beside Others
	Counters  map[string]int64
	Sets      map[string][]string // elements, sorted
	Texts     map[string]string
	Conflicts []string // paths and ids under "conflicts", sorted
	Ops       []Op     // for ReadAll, in the order of the changes
}

// Message is a message as a reader sees it.
type Message struct {
	ID       string
	Value    string   // the present content
	Others   []string // all other values in conflicts about the message
	Parent   string   // as its author gave it
	Origin   string
	At       int64 // milliseconds
	Redacted bool
}

// Leaf is a leaf of the context with all its concurrent values.
type Leaf struct {
	Path    string
	Shown   string
	Deleted bool     // the shown variant is a removal
	Others  []string // values listed under conflicts
}

// Op is one op in the changes of a space.
type Op struct {
	Origin  string
	Seq     uint64
	Session string
	Key     string // idempotency key; empty for all if the changes do not show it
	Wall    uint64 // of its stamp, in milliseconds
	Logical uint16
	Trust   uint8 // class of the clock that made the stamp; zero also if the changes do not show it
	// Kind is the name of the [Action], or "expire", "erased" (the session is gone
	// and with it what the op said), or "unknown". The names of the HTTP API will
	// do as well: "message", "transition", "context", "adjust".
	Kind   string
	Values []string // that it wrote, as far as the kind has any: append, edit, patch, insert, text
}

// Final is what a healthy node shows when the run is over.
type Final struct {
	Node     string
	Sessions map[string]Seen   // by space + "/" + session
	Spaces   []string          // that the node carries, sorted; "*" is all
	Digests  map[string]string // by space
	// Ops are all changes since the beginning, by space, in the order in which the
	// node lists them: what it wrote itself stands behind what it held by then.
	// Unordered says that this order is not to be believed, because damaged
	// records were repaired.
	Ops       map[string][]Op
	Unordered bool
	Backlog   map[string]int // by space: own ops that the core is not known to hold
	Waiting   map[string]int // by space: ops that wait for others
}

// Sample is the size of one thing at one moment.
type Sample struct {
	At    time.Duration
	Node  string
	What  string // e.g. "inputs", "in flight", "vector width"
	Value int
	Max   int // the bound
}

// Violation is a promise that the history breaks.
type Violation struct {
	Check   string // name of the checker
	Node    string // may be empty
	Session string // space + "/" + session; may be empty
	At      time.Duration
	Calls   []int // that show it
	Text    string
}
