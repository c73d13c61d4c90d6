package session

// Limits. Each is checked at the API before anything is written and again at
// the decoder of whatever comes from another node.
const (
	MaxOpBytes       = 256 << 10       // encoded op
	MaxMessageBytes  = 256<<10 - 4<<10 // content, tool_calls, metadata, names and ids of one message together
	MaxBatchMessages = 256             // messages in one Append
	MaxBatchBytes    = 1 << 20         // of all messages in one Append
	MaxCalls         = 256             // tool calls of one message that count as such
	MaxToolBytes     = 256             // name of a tool, or of a call that is claimed
	MaxNameBytes     = 128             // spaces, sessions, message ids
	MaxKeyBytes      = 256             // idempotency key
	MaxActorBytes    = 256
	MaxRoleBytes     = 64
	MaxLabels        = 64
	MaxLabelBytes    = 1024 // key and value together
	MaxPathBytes     = 1024 // JSON pointer of a context leaf
	MaxLeaves        = 1024 // leaves or adjustments in one write
	MaxJSONDepth     = 64
	MaxSetElements   = 4096 // of one set
	MaxAdditions     = 4096 // live additions of one counter
)
