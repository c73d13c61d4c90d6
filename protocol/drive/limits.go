package drive

import "time"

// Bounds on what is done in one go, and times that both shells keep.
const (
	MaxEdgeIngestOps = 256  // ops that an edge takes into one commit: fits its transaction
	MaxCoreIngestOps = 1024 // the same at a core node
	SweepBatch       = 256  // due or erased sessions looked at in one sweep
	PurgeBatch       = 1000 // records of an erased session removed in one commit
	// MaxAnswerBytes bounds an answer that is kept for retries, so that keyed
	// writes to a big session do not store it again and again. A retry of a write
	// whose answer was larger is told the present state.
	MaxAnswerBytes = 16 << 10

	SweepEvery     = time.Second      // between sweeps
	CoreSweepGrace = time.Minute      // how much later than the opening node a core node writes an expiry
	KeepEvery      = time.Second      // between commits of outbox cursors
	SendTimeout    = 15 * time.Second // one publication or question
	FetchTimeout   = 5 * time.Second  // one request for an op
	RepairEvery    = 30 * time.Second // between tries to repair what could not be repaired
	MoveEvery      = 10 * time.Second // between moves to another core node: frames get up meanwhile
	RewindPatience = 15 * time.Second // how long a stream may end before our position; see [Position.Against]

	// EndQuiet is the silence of a consumer after which the stream is asked whether
	// it has more. A second consumer that is silent at the same place reads from a
	// copy that lost the end: that is read from the leader.
	EndQuiet = 5 * time.Second

	MoveAfter     = 3        // refused or unanswered attaches in a row: another core node may be ready
	CompressAbove = 16 << 10 // bytes of ops in one delivery from which on it is compressed

	// Of [Despair].
	GiveUpAfter = 3                // times that nobody had an op of our own that is damaged
	GiveUpPause = 20 * time.Second // between two that count

	// Of [Refill]: visits of a core node to its peers.
	RefillEvery    = 5 * time.Minute  // between visits without doubt, with jitter
	RefillPatience = 10 * time.Second // without progress, until a visit ends
	RefillSpread   = time.Second      // before the visits for one doubt, which may be raised by each stream
	RefillGap      = 10 * time.Second // between visits of one peer, however many the doubts
	RefillRetry    = time.Second      // before a peer that did not answer is asked again; doubles
	RefillRetryMax = time.Minute      // longest such pause
	RefillWait     = 10 * time.Second // until edges may attach although no peer has answered since the start
)
