package drive

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// CoreStart gives what the core half is told at the start: who is fenced, then
// all heads that the store holds, with which [Moved.Seed] begins.
func CoreStart(r session.Reader) ([]protocol.CoreInput, error) {
	fenced, err := replica.Fenced(r)
	if err != nil {
		return nil, err
	}
	var ins []protocol.CoreInput
	for _, o := range fenced {
		ins = append(ins, protocol.Fence{Origin: o})
	}
	all := protocol.Advanced{Quiet: true}
	err = eachHead(r, func(h replica.FeedHead) error {
		all.Feeds = append(all.Feeds, protocol.FeedHead{Feed: h.Feed, Head: h.Head})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	return append(ins, all), nil
}

// CoreExcuses reports whether the core half may go on although it refused in
// with err: a message off the wire is dropped and counted, and a frame that was
// looked at before its feed grew is forgotten, because the next one shows what
// is missing still. Any other error is a bug.
func CoreExcuses(in protocol.CoreInput, err error) bool {
	switch in.(type) {
	case protocol.Received:
		return true
	case protocol.FrameSeen:
		return errors.Is(err, protocol.ErrDisorder)
	default:
		return false
	}
}

// AttachAsked adds to an attach what this store holds; ready tells whether it
// may be granted. Damage is a record at which the histories cannot be compared,
// to be repaired. After an error that wraps [session.ErrCorrupt] the attach
// stays without an answer: the node asks again.
func AttachAsked(r session.Reader, ask protocol.Attach, ready bool) (in protocol.AttachAsked, damage, err error) {
	in = protocol.AttachAsked{Attach: ask, Ready: ready}
	asked := make(map[string][]protocol.OriginHead, len(ask.Spaces))
	for _, s := range ask.Spaces {
		asked[s.Space] = s.Feeds
	}
	spaces := slices.Sorted(maps.Keys(asked))
	if ask.Everything {
		held, err := replica.Spaces(r)
		if err != nil {
			return in, nil, err
		}
		spaces = append(spaces, held...)
		slices.Sort(spaces)
		spaces = slices.Compact(spaces)
	}
	for _, space := range spaces {
		state, bad, err := stateOf(r, space, asked[space])
		if err != nil {
			return in, nil, err
		}
		in.Held = append(in.Held, state)
		damage = cmp.Or(damage, bad)
	}
	return in, damage, nil
}

// stateOf tells what this store holds of a space in view of what the other
// side holds.
func stateOf(r session.Reader, space string, theirs []protocol.OriginHead) (
	state protocol.SpaceState, damage, err error,
) {
	state.Space = space
	heads, err := replica.Heads(r, space)
	if err != nil {
		return state, nil, err
	}
	their := make(map[vclock.Origin]vclock.Seq, len(theirs))
	for _, t := range theirs {
		their[t.Origin] = t.Seq
	}
	for _, h := range heads {
		f := protocol.FeedState{OriginHead: protocol.OriginHead{Origin: h.Origin, Head: h.Head}}
		common := min(h.Seq, their[h.Origin])
		chain, ok, err := replica.ChainAt(r, h.Feed, common)
		bad, err := apart(err)
		if err != nil {
			return state, nil, err
		}
		if damage = cmp.Or(damage, bad); ok && bad == nil {
			f.Common = protocol.Head{Seq: common, Chain: chain}
		}
		state.Feeds = append(state.Feeds, f)
	}
	return state, damage, nil
}

// Missed is the answer to a ReadMissing.
type Missed struct {
	Read   protocol.Read
	Frames []*protocol.Frame // what Read stands for
	Damage error             // the damaged record at which it ended, nil if it did not; repair it
}

// Reads answers ReadMissing, and reads once what several nodes lack. It is for
// what one step of the machine asked for, and for the steps that its answers
// lead to: before the next input comes [Reads.Forget].
type Reads struct {
	asked []protocol.ReadMissing
	got   []Missed
}

// readsKept bounds the answers that [Reads] keeps.
const readsKept = 8

// Forget has everything be read anew.
func (k *Reads) Forget() {
	clear(k.asked)
	clear(k.got)
	k.asked, k.got = k.asked[:0], k.got[:0]
}

// Missing is [ReadMissing]; what it gives may be shared with earlier answers.
func (k *Reads) Missing(r session.Reader, m protocol.ReadMissing) (Missed, error) {
	for i, a := range k.asked {
		if a.Space == m.Space && a.MaxOps == m.MaxOps && a.MaxBytes == m.MaxBytes && a.After.Compare(m.After) == vclock.Equal {
			got := k.got[i]
			got.Read.Attachment = m.Attachment
			return got, nil
		}
	}
	got, err := ReadMissing(r, m)
	if err == nil && got.Damage == nil && len(k.asked) < readsKept {
		k.asked, k.got = append(k.asked, m), append(k.got, got)
	}
	return got, err
}

// ReadMissing reads what a node lacks. At a damaged record it ends: what was
// read before it is delivered, and when the record is repaired [Moved.Touch] has
// the machine read on. The driver gives Read to the machine and sends Frames for each Delivery
// of the output, see [DeliverOf].
func ReadMissing(r session.Reader, m protocol.ReadMissing) (Missed, error) {
	got := Missed{Read: protocol.Read{Attachment: m.Attachment, Space: m.Space, Reached: m.After}}
	frames, reached, more, err := replica.Missing(r, m.Space, m.After, replica.Budget{Ops: m.MaxOps, Bytes: m.MaxBytes})
	if err != nil && !errors.Is(err, session.ErrCorrupt) {
		return got, fmt.Errorf("read what a node lacks of %s: %w", m.Space, err)
	}
	if err != nil {
		got.Damage, more = fmt.Errorf("read what a node lacks of %s: %w", m.Space, err), false
	}
	if len(frames) > protocol.MaxDeliverFrames {
		frames, more = frames[:protocol.MaxDeliverFrames], true
		reached = m.After
		for _, f := range frames {
			reached = reached.With(vclock.Dot{Origin: f.Origin, Seq: f.To()})
		}
	}
	got.Frames = frames
	got.Read.Frames, got.Read.Reached, got.Read.More = len(frames), reached, more
	return got, nil
}

// DeliverOf makes the message of a delivery. It shares the frames' entries.
func DeliverOf(to protocol.Delivery, frames []*protocol.Frame) protocol.Deliver {
	msg := protocol.Deliver{Attachment: to.Attachment, N: to.N, Frames: make([]protocol.Frame, len(frames))}
	bytes := 0
	for i, f := range frames {
		msg.Frames[i] = *f
		for _, e := range f.Entries {
			bytes += len(e.Bytes)
		}
	}
	if bytes > CompressAbove {
		msg.Compression = protocol.Zstd
	}
	return msg
}

// Chains answers a LookupChains with what is held and not damaged; damage names
// a record to be repaired.
func Chains(r session.Reader, l protocol.LookupChains) (in protocol.ChainsFound, damage, err error) {
	in = protocol.ChainsFound{Node: l.Node, Feed: l.Feed}
	for _, seq := range l.Seqs {
		chain, ok, err := replica.ChainAt(r, l.Feed, seq)
		bad, err := apart(err)
		if err != nil {
			return in, nil, err
		}
		if damage = cmp.Or(damage, bad); ok && bad == nil {
			in.Heads = append(in.Heads, protocol.Head{Seq: seq, Chain: chain})
		}
	}
	return in, damage, nil
}

// Digest answers a DigestAsk. After an error that wraps [session.ErrCorrupt] it
// stays without an answer.
func Digest(r session.Reader, ask protocol.DigestAsk) (protocol.DigestFound, error) {
	in := protocol.DigestFound{Ask: ask}
	sum, _, err := session.SpaceDigest(r, ask.Space)
	if err != nil {
		return in, err
	}
	in.Sum = sum
	in.Vector, err = replica.Vector(r, ask.Space)
	return in, err
}

// Attached notes who is attached to a core node.
type Attached struct{ by map[string]uint64 } // attachments by node

// Note keeps who is attached.
func (a *Attached) Note(f protocol.Fact) {
	switch f := f.(type) {
	case protocol.NodeAttached:
		if a.by == nil {
			a.by = make(map[string]uint64)
		}
		a.by[f.Node] = f.Attachment
	case protocol.NodeGone:
		if a.by[f.Node] == f.Attachment {
			delete(a.by, f.Node)
		}
	}
}

// Again gives what ends all attachments, in the order of the nodes' names, once
// messages are gone from a stream ([MissingBefore]). The nodes attach again and
// say what they hold, which shows what this store lacks; frames that follow in
// the stream would show it only for the feeds that go on.
func (a *Attached) Again() []protocol.Send {
	var sends []protocol.Send
	for _, name := range slices.Sorted(maps.Keys(a.by)) {
		sends = append(sends, protocol.Send{Place: protocol.ToNode, Name: name,
			Message: protocol.Detach{Attachment: a.by[name]}})
	}
	return sends
}
