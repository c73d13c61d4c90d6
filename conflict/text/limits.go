package text

import (
	"errors"

	"github.com/causeway-sync/causeway/vclock"
)

// TieRule is the version of the rule that orders concurrent inserts at one
// place: the smaller agent (compared as bytes), then the smaller seq, stands
// first among inserts that FugueMax leaves equal. It is part of every encoded
// form, because under another rule an old history gives another text.
const TieRule = 1

// Limits that every replica shares. What breaks one of the first four is
// refused by every replica alike, because they look at nothing but the run
// and its causal past.
const (
	// MaxRunEvents bounds the events of one run. Local edits that are longer
	// become several runs.
	MaxRunEvents = 1 << 20
	// MaxRunBytes bounds the text of one run.
	MaxRunBytes = 1 << 20
	// MaxParents bounds the parents of one run. Each agent has at most one
	// head, so a document within MaxAgents can always be merged.
	MaxParents = MaxAgents
	// MaxPos bounds positions.
	MaxPos = 1 << 28

	// MaxAgents bounds the agents of one document.
	MaxAgents = vclock.MaxWidth
	// MaxEvents bounds the events of one document, and with them what a
	// replay can take: about 16 bytes of memory an event.
	MaxEvents = 1 << 24
	// MaxTextBytes bounds the inserted text of one document, deleted text
	// included.
	MaxTextBytes = 64 << 20
	// MaxReplay is the default of [Doc.ReplayLimit].
	MaxReplay = 1 << 26
	// MaxHistoryBytes bounds what decoders read.
	MaxHistoryBytes = 256 << 20
)

// Errors of this package. All that begin with "text: refused" are verdicts on
// the run: every replica comes to the same one, and a document is unchanged.
var (
	// ErrPosition is returned for a position outside the document as it was at
	// the run's parents, or, for a local edit, outside the text.
	ErrPosition = errors.New("text: refused: position outside the document")
	// ErrRun is returned for a run that is no run: no event, both kinds at
	// once, over MaxRunEvents or MaxRunBytes, an agent without a name.
	ErrRun = errors.New("text: refused: malformed run")
	// ErrParents is returned for parents that are not minimal or leave out the
	// agent's own event before, or are more than MaxParents.
	ErrParents = errors.New("text: refused: parents that no author has")
	// ErrUTF8 is returned for text that is not valid UTF-8 (a lone surrogate
	// is not), and for an offset inside a character.
	ErrUTF8 = errors.New("text: refused: invalid UTF-8")
	// ErrForked is returned when an event comes again with other content: two
	// writers share one agent.
	ErrForked = errors.New("text: refused: one event with two contents")

	// ErrMissing is returned for a run whose causal past is not held yet.
	// Keep the run and apply it later.
	ErrMissing = errors.New("text: parents are missing")
	// ErrUnknownVersion is returned for a version that names events not held.
	ErrUnknownVersion = errors.New("text: unknown version")
	// ErrTooLarge is returned when a document would exceed MaxAgents,
	// MaxEvents or MaxTextBytes.
	ErrTooLarge = errors.New("text: document too large")
	// ErrReplay is returned when a receipt would make more events run again
	// than [Doc.ReplayLimit] allows. It is no verdict on the run: raise the
	// limit and apply it again, or charge whoever sent it.
	ErrReplay = errors.New("text: replay too long")
	// ErrCorrupt is returned by decoders for bytes that no encoder made.
	ErrCorrupt = errors.New("text: corrupt bytes")
	// ErrVersion is returned by decoders for a format or a tie rule that is
	// newer than this code.
	ErrVersion = errors.New("text: unknown format version")
)
