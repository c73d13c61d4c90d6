package drive

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// EdgeStart gives what the edge half is told at the start: every feed that the
// store holds, and how far its outbox was released. A feed that forked may end
// before what was once released of it; then all of it is.
func EdgeStart(r session.Reader) ([]protocol.Persisted, error) {
	var ins []protocol.Persisted
	err := eachHead(r, func(h replica.FeedHead) error {
		released, err := replica.ReleasedOf(r, h.Feed)
		if err != nil {
			return err
		}
		ins = append(ins, protocol.Persisted{Feed: h.Feed, Head: h.Head, Released: min(released, h.Seq)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	return ins, nil
}

// eachHead visits all feeds that are held, by space and origin.
func eachHead(r session.Reader, visit func(replica.FeedHead) error) error {
	spaces, err := replica.Spaces(r)
	if err != nil {
		return err
	}
	for _, space := range spaces {
		heads, err := replica.Heads(r, space)
		if err != nil {
			return err
		}
		for _, h := range heads {
			if err := visit(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// EdgeHeads gives what the edge half is told of feeds that moved, in the order
// given. The heads are those of the store now: what was noted at the commit may
// be older than a fork that was taken out since. Feeds of which nothing is left
// are passed over. Left are those whose heads are damaged, to be read again when
// they are repaired; damage names one of them.
func EdgeHeads(r session.Reader, feeds []protocol.Feed) (
	ins []protocol.Persisted, left []protocol.Feed, damage, err error,
) {
	for _, f := range feeds {
		head, err := replica.HeadOf(r, f)
		bad, err := apart(err)
		switch {
		case err != nil:
			return nil, nil, nil, fmt.Errorf("read heads: %w", err)
		case bad != nil:
			left, damage = append(left, f), bad
		case head.Seq > 0:
			ins = append(ins, protocol.Persisted{Feed: f, Head: head})
		}
	}
	return ins, left, damage, nil
}

// Told remembers which heads the edge half was told. Commits are reported on
// two ways, by who wrote and by who took a delivery, which may overtake each
// other; the machine takes no head twice and none that goes back.
type Told struct{ heads map[protocol.Feed]vclock.Seq }

// Stale reports whether in tells of a head that the machine was told already;
// such an input is dropped. Otherwise it counts as told from now on.
func (t *Told) Stale(in protocol.EdgeInput) bool {
	if t.heads == nil {
		t.heads = make(map[protocol.Feed]vclock.Seq)
	}
	switch in := in.(type) {
	case protocol.Persisted:
		if in.Seq <= t.heads[in.Feed] {
			return true
		}
		t.heads[in.Feed] = in.Seq
	case protocol.Replaced:
		t.heads[in.Feed] = in.Seq
	}
	return false
}

// Moved collects the feeds that moved since they were last taken. Commits are
// noted in any order; a head behind one that was noted before is ignored.
type Moved struct {
	heads map[protocol.Feed]protocol.Head // the furthest of each feed
	moved map[protocol.Feed]struct{}      // since the last Take
	cut   map[protocol.Feed]protocol.Head // likewise: taken back to there
}

// Note takes down that a commit moved a feed to h; false if that is no news.
func (m *Moved) Note(f protocol.Feed, h protocol.Head) bool {
	if m.heads[f].Seq >= h.Seq {
		return false
	}
	m.Touch(f, h)
	return true
}

// Seed says that the machine was told these heads at its start. A commit that
// was read then and is noted later is no news, and must be none: a head never
// goes back.
func (m *Moved) Seed(heads []protocol.FeedHead) {
	for _, h := range heads {
		if m.ready(); m.heads[h.Feed].Seq <= h.Seq {
			m.heads[h.Feed] = h.Head
			delete(m.moved, h.Feed)
		}
	}
}

// Touch has a feed told again although it did not move from h: an op of it that
// could not be read was repaired ([RestoreOp]), and a core node whose delivery
// ended there reads on.
func (m *Moved) Touch(f protocol.Feed, h protocol.Head) {
	m.ready()
	if m.heads[f].Seq < h.Seq {
		m.heads[f] = h
	}
	m.moved[f] = struct{}{}
}

func (m *Moved) ready() {
	if m.heads == nil {
		m.heads, m.moved = make(map[protocol.Feed]protocol.Head), make(map[protocol.Feed]struct{})
		m.cut = make(map[protocol.Feed]protocol.Head)
	}
}

// Take gives the feeds that moved since the last call with their latest heads,
// by space and origin.
func (m *Moved) Take() []protocol.FeedHead {
	if len(m.moved) == 0 {
		clear(m.cut)
		return nil
	}
	heads := make([]protocol.FeedHead, 0, len(m.moved))
	for f := range m.moved {
		heads = append(heads, protocol.FeedHead{Feed: f, Head: m.heads[f]})
	}
	clear(m.moved)
	clear(m.cut)
	slices.SortFunc(heads, func(a, b protocol.FeedHead) int { return a.Feed.Compare(b.Feed) })
	return heads
}

// Reset says that a feed was cut back to h.
func (m *Moved) Reset(f protocol.Feed, h protocol.Head) {
	m.ready()
	m.heads[f], m.cut[f] = h, h
	delete(m.moved, f)
}

// TakeCore is [Moved.Take] for a core half: the inputs that tell of what moved,
// feeds that were cut back first; none if nothing did.
func (m *Moved) TakeCore() []protocol.CoreInput {
	if len(m.moved) == 0 && len(m.cut) == 0 {
		return nil
	}
	var ins []protocol.CoreInput
	for _, f := range slices.SortedFunc(maps.Keys(m.cut), protocol.Feed.Compare) {
		ins = append(ins, protocol.Replaced{Feed: f, Head: m.cut[f]})
	}
	if heads := m.Take(); len(heads) > 0 {
		ins = append(ins, protocol.Advanced{Feeds: heads})
	}
	return ins
}

// EdgeExcuses reports whether the edge half may go on although it refused in: a
// message off the wire is dropped and counted. Any other error is a bug.
func EdgeExcuses(in protocol.EdgeInput) bool {
	_, wire := in.(protocol.Received)
	return wire
}

// Lookup answers a LookupChain. A damaged record counts as not held; damage
// names it, to be repaired.
func Lookup(r session.Reader, l protocol.LookupChain) (in protocol.ChainAt, damage, err error) {
	chain, ok, err := replica.ChainAt(r, l.Feed, l.Seq)
	if damage, err = apart(err); err != nil {
		return protocol.ChainAt{}, nil, err
	}
	in = protocol.ChainAt{Feed: l.Feed, Head: protocol.Head{Seq: l.Seq}, OK: ok && damage == nil}
	if in.OK {
		in.Chain = chain
	}
	return in, damage, nil
}

// apart tells an error about a damaged record from any other.
func apart(err error) (damage, other error) {
	if errors.Is(err, session.ErrCorrupt) {
		return err, nil
	}
	return nil, err
}

// PublishFrame reads the frame of a Publish. With nil or an error the
// publication has failed as Unreadable.
func PublishFrame(r session.Reader, p protocol.Publish) (*protocol.Frame, error) {
	return replica.FrameAt(r, p.Feed, p.From, replica.Budget{Ops: p.MaxOps, Bytes: p.MaxBytes})
}

// PublishedOf says that the stream has the frame of p under a number.
func PublishedOf(p protocol.Publish, f *protocol.Frame, streamSeq uint64) protocol.Published {
	return protocol.Published{Feed: p.Feed, Attempt: p.Attempt, StreamSeq: streamSeq, Head: f.Head()}
}

// Failed says that a publication or question with this attempt came to nothing.
func Failed(f protocol.Feed, attempt uint64, kind protocol.FailureKind) protocol.PublishFailed {
	return protocol.PublishFailed{Feed: f, Attempt: attempt, Kind: kind}
}

// SubjectHead answers an AskSubject with the last message on the feed's subject
// and its number in the stream; zero and nil if there is none. A message that
// is no frame of the feed, because it was damaged on its way or by hand, is an
// error for the log; the answer then says only where the stream is, which is
// enough for the feed to go on. Not to answer would stop it for ever.
func SubjectHead(a protocol.AskSubject, streamSeq uint64, data []byte) (protocol.SubjectHead, error) {
	got := protocol.SubjectHead{Feed: a.Feed, Attempt: a.Attempt, StreamSeq: streamSeq}
	if streamSeq == 0 {
		return got, nil
	}
	frame, err := decodeUpload(data)
	if err == nil && frame.Feed != a.Feed {
		err = errForeignFrame(frame)
	}
	if err != nil {
		return got, fmt.Errorf("last message of %s of %s: %w", a.Origin, a.Space, err)
	}
	got.Head = frame.Head()
	return got, nil
}

// decodeUpload reads an encoded Upload.
func decodeUpload(data []byte) (*protocol.Frame, error) {
	m, err := protocol.DecodeMessage(data)
	if err != nil {
		return nil, err
	}
	up, ok := m.(protocol.Upload)
	if !ok {
		return nil, fmt.Errorf("%T where a frame belongs: %w", m, protocol.ErrUnexpected)
	}
	return &up.Frame, nil
}

func errForeignFrame(f *protocol.Frame) error {
	return fmt.Errorf("frame of %s of %s under a foreign subject: %w", f.Origin, f.Space, protocol.ErrUnexpected)
}

// Cursors collects how far feeds were released until the cursors are kept. The
// zero value is ready.
type Cursors struct{ seqs map[protocol.Feed]vclock.Seq }

// Note takes down a release.
func (c *Cursors) Note(r protocol.FeedSeq) {
	if c.seqs == nil {
		c.seqs = make(map[protocol.Feed]vclock.Seq)
	}
	c.seqs[r.Feed] = r.Seq
}

// Take gives what was noted since the last call, by space and origin.
func (c *Cursors) Take() []protocol.FeedSeq {
	if len(c.seqs) == 0 {
		return nil
	}
	list := make([]protocol.FeedSeq, 0, len(c.seqs))
	for _, f := range slices.SortedFunc(maps.Keys(c.seqs), protocol.Feed.Compare) {
		list = append(list, protocol.FeedSeq{Feed: f, Seq: c.seqs[f]})
	}
	clear(c.seqs)
	return list
}

// KeepCursors persists how far the outbox is released, so that a restart knows
// it without asking. Losing the last ones only costs a question.
func KeepCursors(tx session.Tx, list []protocol.FeedSeq) error {
	for _, k := range list {
		if err := replica.KeepReleased(tx, k.Feed, k.Seq); err != nil {
			return err
		}
	}
	return nil
}

// Acks is how far the core's quorum is known to hold feeds.
type Acks struct{ held map[protocol.Feed]vclock.Seq }

// Note takes down that the quorum holds the feed through seq; false if that is
// no news.
func (a *Acks) Note(f protocol.Feed, seq vclock.Seq) bool {
	if a.held[f] >= seq {
		return false
	}
	if a.held == nil {
		a.held = make(map[protocol.Feed]vclock.Seq)
	}
	a.held[f] = seq
	return true
}

// Through is how far the quorum is known to hold a feed.
func (a *Acks) Through(f protocol.Feed) vclock.Seq { return a.held[f] }

// Holds reports whether the core is known to hold op d of a space: it was
// acknowledged to this node, or it came from another node and so from the core.
func (a *Acks) Holds(node, space string, d vclock.Dot) bool {
	return protocol.NodeOf(d.Origin) != node || a.held[protocol.Feed{Space: space, Origin: d.Origin}] >= d.Seq
}

// Mover decides when an edge whose attaches fail tries another core node.
type Mover struct {
	last protocol.Instant // of the last move
	did  bool             // there was one
}

// Move reports whether to move now, and counts it as done.
func (m *Mover) Move(at protocol.Instant, f protocol.AttachFailed) bool {
	if f.Failures < MoveAfter || m.did && at < m.last.Later(MoveEvery) {
		return false
	}
	m.last, m.did = at, true
	return true
}
