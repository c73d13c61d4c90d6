package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Errors of this package.
var (
	// ErrGap says that a frame begins behind the next expected number.
	ErrGap = errors.New("replica: gap in the feed")
	// ErrFork says that a number of a feed is held with other content.
	ErrFork = errors.New("replica: feed forked")
	// ErrForeign says that an op inside a frame does not belong to its feed.
	ErrForeign = errors.New("replica: op does not belong to the frame's feed")
)

// GapError is an [ErrGap] with the number that is wanted next.
type GapError struct {
	Feed protocol.Feed
	Want vclock.Seq
	Got  vclock.Seq
}

func (e *GapError) Error() string {
	return fmt.Sprintf("%v: %s of %s: got op %d, want %d", ErrGap, e.Feed.Origin, e.Feed.Space, e.Got, e.Want)
}

// Unwrap gives ErrGap.
func (e *GapError) Unwrap() error { return ErrGap }

// ForkError is an [ErrFork] with the highest number up to which both chains
// were compared and differ.
type ForkError struct {
	Feed protocol.Feed
	At   vclock.Seq
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("%v: %s of %s differs at or before op %d", ErrFork, e.Feed.Origin, e.Feed.Space, e.At)
}

// Unwrap gives ErrFork.
func (e *ForkError) Unwrap() error { return ErrFork }

// A space's own record: how many ops have arrived, how many of them wait, how
// many sessions were opened.
type spaceState struct {
	arrivals uint64
	waiting  uint64
	sessions uint64
}

func spaceKey(space string) []byte { return append([]byte("p/"), space...) }

func feedPrefix(space string) []byte {
	k := append([]byte("f/"), space...)
	return append(k, 0)
}

func feedKey(f protocol.Feed) []byte { return append(feedPrefix(f.Space), f.Origin...) }

func waitingDot(prefix, key []byte) (vclock.Dot, error) {
	rest := key[len(prefix):]
	if len(rest) < 10 || rest[len(rest)-9] != 0 {
		return vclock.Dot{}, damaged(key, errors.New("key of a waiting op is malformed"))
	}
	seq := binary.BigEndian.Uint64(rest[len(rest)-8:])
	return vclock.Dot{Origin: vclock.Origin(rest[:len(rest)-9]), Seq: vclock.Seq(seq)}, nil
}

func loadSpace(r session.Reader, space string) (spaceState, error) {
	key := spaceKey(space)
	b, err := r.Get(key)
	if err != nil || b == nil {
		return spaceState{}, err
	}
	if len(b) != 24 {
		return spaceState{}, damaged(key, fmt.Errorf("space record of %d bytes", len(b)))
	}
	return spaceState{
		arrivals: binary.BigEndian.Uint64(b), waiting: binary.BigEndian.Uint64(b[8:]), sessions: binary.BigEndian.Uint64(b[16:]),
	}, nil
}

func (s spaceState) save(tx session.Tx, space string) error {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 24), s.arrivals)
	b = binary.BigEndian.AppendUint64(b, s.waiting)
	return tx.Put(spaceKey(space), binary.BigEndian.AppendUint64(b, s.sessions))
}

// Gone names an erased session whose remains are still to be purged.
type Gone struct{ Space, Session string }

var gonePrefix = []byte("g/")

func goneKey(space, id string) []byte {
	k := append([]byte("g/"), space...)
	return append(append(k, 0), id...)
}

// Unpurged lists erased sessions that Purge has not finished yet, at most limit.
func Unpurged(r session.Reader, limit int) ([]Gone, error) {
	var gone []Gone
	for e, err := range r.Scan(gonePrefix, nil, false) {
		if err != nil {
			return nil, fmt.Errorf("erased sessions: %w", err)
		}
		space, id, ok := bytes.Cut(e.Key[len(gonePrefix):], []byte{0})
		if !ok {
			return nil, damaged(e.Key, errors.New("key of an erased session is malformed"))
		}
		if gone = append(gone, Gone{string(space), string(id)}); len(gone) >= limit {
			break
		}
	}
	return gone, nil
}

// Purge removes a part of what an erased session left behind and reports
// whether there is more.
func Purge(tx session.Tx, g Gone, limit int) (more bool, err error) {
	if more, err = session.Purge(tx, g.Space, g.Session, limit); more || err != nil {
		return more, err
	}
	return false, tx.Delete(goneKey(g.Space, g.Session))
}

// HeadOf returns how far the feed is held; the zero head if not at all.
func HeadOf(r session.Reader, f protocol.Feed) (protocol.Head, error) {
	key := feedKey(f)
	b, err := r.Get(key)
	if err != nil || b == nil {
		return protocol.Head{}, err
	}
	return decodeHead(key, b)
}

func decodeHead(key, b []byte) (protocol.Head, error) {
	var h protocol.Head
	if len(b) != 8+len(h.Chain) {
		return h, damaged(key, fmt.Errorf("feed head of %d bytes", len(b)))
	}
	h.Seq = vclock.Seq(binary.BigEndian.Uint64(b))
	copy(h.Chain[:], b[8:])
	return h, nil
}

func saveHead(tx session.Tx, f protocol.Feed, h protocol.Head) error {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(h.Chain)), uint64(h.Seq))
	return tx.Put(feedKey(f), append(b, h.Chain[:]...))
}

// FeedHead is a feed and how far it is held.
type FeedHead struct {
	protocol.Feed
	protocol.Head
}

// Heads returns the heads of all feeds of a space, sorted by origin.
func Heads(r session.Reader, space string) ([]FeedHead, error) {
	var heads []FeedHead
	err := eachHead(r, space, func(origin []byte, h protocol.Head) {
		heads = append(heads, FeedHead{protocol.Feed{Space: space, Origin: vclock.Origin(origin)}, h})
	})
	if err != nil {
		return nil, err
	}
	return heads, nil
}

// eachHead calls fn with the head of each feed of a space, by origin. It may be
// called on the way to an error.
func eachHead(r session.Reader, space string, fn func(origin []byte, h protocol.Head)) error {
	prefix := feedPrefix(space)
	for e, err := range r.Scan(prefix, nil, false) {
		if err != nil {
			return fmt.Errorf("heads of %s: %w", space, err)
		}
		h, err := decodeHead(e.Key, e.Value)
		if err != nil {
			return err
		}
		fn(e.Key[len(prefix):], h)
	}
	return nil
}

// Vector returns what is held of a space.
func Vector(r session.Reader, space string) (vclock.Vector, error) {
	var dots []vclock.Dot
	err := eachHead(r, space, func(origin []byte, h protocol.Head) {
		dots = append(dots, vclock.Dot{Origin: vclock.Origin(origin), Seq: h.Seq})
	})
	if err != nil {
		return vclock.Vector{}, err
	}
	return vclock.Of(dots...), nil
}

// Spaces lists the spaces of which anything is held, sorted.
func Spaces(r session.Reader) ([]string, error) {
	var spaces []string
	for e, err := range r.Scan([]byte("p/"), nil, false) {
		if err != nil {
			return nil, fmt.Errorf("spaces: %w", err)
		}
		spaces = append(spaces, string(e.Key[2:]))
	}
	return spaces, nil
}

// Totals counts what is held of a space.
type Totals struct {
	Ops      uint64 // held
	Waiting  uint64 // of these, those that wait for their dependencies
	Sessions uint64 // ever opened
}

// Count returns the totals of a space.
func Count(r session.Reader, space string) (Totals, error) {
	s, err := loadSpace(r, space)
	return Totals{Ops: s.arrivals, Waiting: s.waiting, Sessions: s.sessions}, err
}

// ChainAt returns the chain of a feed after op seq; false if it is not held.
func ChainAt(r session.Reader, f protocol.Feed, seq vclock.Seq) (protocol.Chain, bool, error) {
	if seq == 0 {
		return protocol.Chain{}, true, nil
	}
	head, err := HeadOf(r, f)
	switch {
	case err != nil:
		return protocol.Chain{}, false, err
	case seq > head.Seq:
		return protocol.Chain{}, false, nil
	case seq == head.Seq:
		return head.Chain, true, nil
	}
	rec, err := record(r, f, seq)
	return rec.Chain, err == nil, err
}

// record reads an op record that must exist.
func record(r session.Reader, f protocol.Feed, seq vclock.Seq) (session.Record, error) {
	dot := vclock.Dot{Origin: f.Origin, Seq: seq}
	rec, ok, err := session.RecordAt(r, f.Space, dot)
	if err != nil {
		return rec, fmt.Errorf("op %v of %s: %w", dot, f.Space, err)
	}
	if !ok {
		return rec, damaged(session.OpKey(f.Space, f.Origin, seq), errors.New("record is gone"))
	}
	return rec, nil
}

func damaged(key []byte, err error) error {
	return &session.CorruptError{Key: key, Err: err, Hint: "the record is fetched again from the core when it is reachable"}
}
