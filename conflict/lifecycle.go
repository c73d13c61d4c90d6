package conflict

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// State is where a session is in its life.
type State uint8

// The states in the order in which concurrent moves win: the higher one is
// shown. Numbers are on the wire and never change meaning.
const (
	Initialized State = 0
	Active      State = 1
	Paused      State = 2
	Ended       State = 3
)

// Reopened is the name of the move from Ended back to Active. It begins a new
// epoch; it is not a state.
const Reopened = "reopened"

// String names the state in lower case.
func (s State) String() string {
	switch s {
	case Initialized:
		return "initialized"
	case Active:
		return "active"
	case Paused:
		return "paused"
	case Ended:
		return "ended"
	default:
		return "unknown"
	}
}

// Legal names the moves that a session in state s may make, as [Next] takes
// them. It is nil for a state that is none.
func Legal(s State) []string {
	switch s {
	case Initialized:
		return []string{Active.String(), Ended.String()}
	case Active:
		return []string{Paused.String(), Ended.String()}
	case Paused:
		return []string{Active.String(), Ended.String()}
	case Ended:
		return []string{Reopened}
	default:
		return nil
	}
}

// Next returns the state and the epoch after the named move, and false if the
// move is not legal from s.
func Next(s State, epoch uint64, to string) (State, uint64, bool) {
	if !slices.Contains(Legal(s), to) {
		return s, epoch, false
	}
	switch to {
	case Reopened:
		if epoch == math.MaxUint64 {
			return s, epoch, false
		}
		return Active, epoch + 1, true
	case Active.String():
		return Active, epoch, true
	case Paused.String():
		return Paused, epoch, true
	default:
		return Ended, epoch, true
	}
}

// Move is one move of a session to the state To in an epoch.
type Move struct {
	Dot   vclock.Dot
	Stamp clocksync.Stamp
	Actor string // who asked for the move; may be empty
	To    State
	Epoch uint64
}

// Lifecycle is the state of a session. The zero value is Initialized in
// epoch 0. Of concurrent moves the highest epoch wins, then the highest state:
// a reopening outlives an ending that did not know of it, and an ending
// outlives a pause.
//
// Invariant: Moves are those that no other move has seen, winner first; no dot
// occurs twice.
type Lifecycle struct {
	Moves []Move
}

// Apply returns the lifecycle after the move m of an author that had seen
// deps. It changes nothing if m.Dot is there already.
func (l Lifecycle) Apply(m Move, deps vclock.Vector) Lifecycle {
	if slices.ContainsFunc(l.Moves, func(n Move) bool { return n.Dot == m.Dot }) {
		return l
	}
	next := append(uncovered(l.Moves, deps, Move.dot), m)
	slices.SortFunc(next, byState)
	return Lifecycle{next}
}

// Shown returns the state and the epoch that are shown.
func (l Lifecycle) Shown() (State, uint64) {
	if len(l.Moves) == 0 {
		return Initialized, 0
	}
	return l.Moves[0].To, l.Moves[0].Epoch
}

// Others returns the moves that conflict with the shown state, best first:
// concurrent to the shown move and to another state or epoch. Of moves to one
// state it gives the latest.
func (l Lifecycle) Others() []Move {
	var others []Move
	for i, m := range l.Moves {
		if i > 0 && (m.To != l.Moves[i-1].To || m.Epoch != l.Moves[i-1].Epoch) {
			others = append(others, m)
		}
	}
	return others
}

// Join merges two replicas' states of one lifecycle; seen and otherSeen are
// what each side has applied.
func (l Lifecycle) Join(seen vclock.Vector, other Lifecycle, otherSeen vclock.Vector) Lifecycle {
	moves := join(l.Moves, seen, other.Moves, otherSeen, Move.dot)
	slices.SortFunc(moves, byState)
	return Lifecycle{moves}
}

func (m Move) dot() vclock.Dot { return m.Dot }

// byState sorts the winner first; stamps and dots only order moves that agree.
func byState(a, b Move) int {
	return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(b.To, a.To),
		b.Stamp.Compare(a.Stamp), b.Dot.Compare(a.Dot))
}

// AppendBinary appends the binary form of l to b and returns the longer slice.
func (l Lifecycle) AppendBinary(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(l.Moves)))
	var dots dotWriter
	for _, m := range l.Moves {
		b = dots.append(b, m.Dot)
		b = appendStamp(b, m.Stamp)
		b = appendText(b, m.Actor)
		b = append(b, byte(m.To))
		b = binary.AppendUvarint(b, m.Epoch)
	}
	return b
}

// DecodeLifecycle reads one lifecycle from the front of b and returns the
// rest. It returns ErrMalformed for bytes that AppendBinary cannot have
// written.
func DecodeLifecycle(b []byte) (Lifecycle, []byte, error) {
	r := reader{b: b}
	n := r.count("moves", MaxValues, 8)
	var l Lifecycle
	for i := range n {
		m := Move{Dot: r.dot(), Stamp: r.stamp(), Actor: string(r.bytes("actor", MaxTextBytes))}
		to := r.uint("state")
		m.Epoch = r.uint("epoch")
		if to > uint64(Ended) {
			r.fail("state")
		}
		m.To = State(to)
		if i > 0 && r.err == nil && byState(l.Moves[i-1], m) >= 0 {
			r.fail("order of moves")
		}
		if r.err != nil {
			return Lifecycle{}, nil, r.err
		}
		l.Moves = append(l.Moves, m)
	}
	if r.err != nil {
		return Lifecycle{}, nil, r.err
	}
	return l, r.b, nil
}
