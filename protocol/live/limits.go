package live

import "time"

// Bounds on what is kept for clients.
const (
	MaxTailItems  = 128       // changes kept in memory for the readers of one topic
	MaxTailBytes  = 64 << 10  // their size; one change is kept even if it is bigger
	MaxBatchItems = 64        // changes handed to a reader at a time
	MaxBatchBytes = 64 << 10  // their size; one change is handed over even if it is bigger
	MaxPageItems  = 256       // changes read from the store at a time
	MaxPageBytes  = 256 << 10 // their ops' size; one is read even if it is bigger
	MaxUnanswered = 256       // requests of one client under way or not yet answered
	// MaxUnansweredBytes is the size of these requests and of the answers that
	// wait to be sent; beyond it no request is taken.
	MaxUnansweredBytes = 1 << 20
)

// DefaultTimes are what nodes use.
func DefaultTimes() Times {
	return Times{Heartbeat: 20 * time.Second, Silence: 50 * time.Second, Stall: 10 * time.Second,
		Linger: 20 * time.Second}
}
