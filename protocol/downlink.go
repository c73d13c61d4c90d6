package protocol

import (
	"fmt"
	"slices"

	"github.com/causeway-sync/causeway/vclock"
)

// notReadyFailures bounds what a core node that is starting adds to the pause
// before the next request.
const notReadyFailures = 3

// downState is how far the way down is.
type downState uint8

const (
	apart   downState = iota // no attachment
	joining                  // Attach sent, no answer yet
	joined                   // deliveries flow
)

// downlink is the attachment to a core node.
//
// Invariant: credited <= received <= credited + CreditWindow.
type downlink struct {
	state      downState
	peer       string // core node that was asked
	request    uint64
	attachment uint64
	received   uint64
	credited   uint64
	deadline   Instant // of the request
	heard      Instant
	said       Instant
	retry      Instant // when apart: not before
	failures   int     // in a row
}

func (d *downlink) core() string {
	if d.state == joined {
		return d.peer
	}
	return ""
}

func (d *downlink) deadlines(w *earliest, e *Edge) {
	switch {
	case e.core == "" || e.cfg.UploadOnly:
	case d.state == apart:
		w.add(max(d.retry, 1))
	case d.state == joining:
		w.add(d.deadline)
	default:
		w.add(d.heard.Later(e.cfg.HeartbeatLost))
		w.add(d.said.Later(e.cfg.KeepaliveEvery))
	}
}

func (d *downlink) mustHold() {
	if d.credited > d.received || d.received > d.credited+CreditWindow {
		panic(fmt.Sprintf("protocol: want credited <= received <= credited+%d, have %d, %d",
			CreditWindow, d.credited, d.received))
	}
}

// reset forgets the attachment and makes a new one possible at once.
func (d *downlink) reset(failures int) {
	*d = downlink{failures: failures}
}

func (e *Edge) linkUp(at Instant, core string, out *EdgeOutput) {
	e.rejoin(at, out)
	if !e.link {
		e.link = true
		e.nextAsk = at
		for _, f := range e.order {
			f.forget()
			e.list(f)
		}
	}
	e.core = core
	e.down.reset(0)
}

func (e *Edge) linkDown(out *EdgeOutput) {
	if e.down.state == joined {
		out.fact(AttachmentLost{Core: e.down.peer, Reason: "link"})
	}
	e.link = false
	for _, f := range e.order {
		f.forget()
	}
	e.down.reset(0)
}

func (e *Edge) newOrigin(at Instant, o vclock.Origin, out *EdgeOutput) {
	if e.cfg.Origin == o {
		return
	}
	before := e.cfg.Origin
	e.cfg.Origin = o
	e.renewals++
	for _, f := range e.order {
		if f.Origin == before {
			f.former = e.renewals
			e.watchFormer(at, f)
		}
		if f.halted && f.search == nil {
			f.halted = false
			f.next = f.head.Seq + 1 // a core has these numbers; what differs there is made again first
			e.list(f)
		}
	}
	e.rejoin(at, out)
}

func (e *Edge) carry(at Instant, in Carry, out *EdgeOutput) error {
	spaces := sortedNames(in.Spaces)
	for _, s := range spaces {
		if !validName(s) {
			return fmt.Errorf("carry space %.40q: %w", s, ErrMalformed)
		}
	}
	if len(spaces) > MaxSpacesPerNode {
		return fmt.Errorf("carry %d spaces: %w", len(spaces), ErrTooBig)
	}
	if e.cfg.Everything == in.Everything && slices.Equal(e.cfg.Spaces, spaces) {
		return nil
	}
	e.cfg.Everything, e.cfg.Spaces = in.Everything, spaces
	e.rejoin(at, out)
	return nil
}

// rejoin gives an attachment up whose terms have changed, for a new one at once.
func (e *Edge) rejoin(at Instant, out *EdgeOutput) {
	if e.down.state == joined {
		out.send(ToCore, e.down.peer, Detach{Attachment: e.down.attachment})
	}
	e.down.reset(e.down.failures)
	e.down.retry = at
}

// pumpDown does what is due on the way down.
func (e *Edge) pumpDown(at Instant, out *EdgeOutput) {
	if !e.link || e.core == "" || e.cfg.UploadOnly {
		return
	}
	d := &e.down
	switch {
	case d.state == joining && at >= d.deadline:
		e.failed(at, 0, "no answer", out)
	case d.state == joined && at >= d.heard.Later(e.cfg.HeartbeatLost):
		e.lose(at, "silence", out)
	case d.state == joined && at >= d.said.Later(e.cfg.KeepaliveEvery):
		d.said = at
		out.send(ToCredit, d.peer, Heartbeat{Attachment: d.attachment, N: d.credited})
	}
	if d.state == apart && at >= d.retry {
		d.state, d.peer = joining, e.core
		d.request = e.rng.Uint64() | 1
		// Longer with each silence: the round trip may be longer than we thought.
		d.deadline = at.Later(e.cfg.AttachTimeout << min(d.failures, maxAttachDoublings))
		out.send(ToCore, d.peer, e.attachment(out))
	}
}

// attachment builds an Attach from the heads that the store holds now.
func (e *Edge) attachment(out *EdgeOutput) Attach {
	a := Attach{
		Request: e.down.request, Node: e.cfg.Node, Instance: e.cfg.Instance, Cluster: e.cfg.Cluster,
		Origin: e.cfg.Origin, Everything: e.cfg.Everything,
	}
	names := e.cfg.Spaces
	if e.cfg.Everything {
		names = slices.Clone(names)
		for _, f := range e.order {
			names = append(names, f.Space)
		}
		names = sortedNames(names)
	}
	room := MaxFeedsPerAttach
	var left []string
	for _, name := range names {
		s := SpaceHeads{Space: name, Feeds: e.headsOf(name)}
		if len(s.Feeds) > room || len(a.Spaces) == MaxSpacesPerNode {
			left = append(left, name)
			continue
		}
		room -= len(s.Feeds)
		a.Spaces = append(a.Spaces, s)
	}
	if len(left) > 0 {
		out.fact(SpacesLeftOut{Spaces: left})
	}
	return a
}

func (e *Edge) headsOf(space string) []OriginHead {
	var heads []OriginHead
	i, _ := slices.BinarySearchFunc(e.order, Feed{Space: space}, (*upFeed).compare)
	for ; i < len(e.order) && e.order[i].Space == space; i++ {
		if f := e.order[i]; f.head.Seq > 0 {
			heads = append(heads, OriginHead{Origin: f.Origin, Head: f.head})
		}
	}
	return heads
}

func (e *Edge) attached(at Instant, m Attached, out *EdgeOutput) error {
	d := &e.down
	if d.state != joining || m.Request != d.request {
		out.fact(Ignored{"attached", "old request"})
		return nil
	}
	if err := check(m); err != nil {
		return fmt.Errorf("attached: %w", err)
	}
	d.state, d.attachment, d.received, d.credited = joined, m.Attachment, 0, 0
	d.heard, d.said = at, at
	e.required = m.StoresRequired
	out.fact(AttachGranted{Core: d.peer, Attachment: m.Attachment, Stores: m.Stores, Required: m.StoresRequired,
		Partitions: m.Partitions, Behind: e.behind(m)})
	known := e.present(m.Store, m.Incarnation, out)
	for _, s := range m.Spaces {
		e.forgotten(s, out)
		e.compareSpace(at, s, m, known, out)
	}
	return nil
}

// forgotten notes that a core holds a feed of the origin that we write under
// and of which we hold nothing: our storage was restored to before its first op.
// The core does not deliver it, because who writes a feed is thought to have it.
// Those of our former origins it delivers.
func (e *Edge) forgotten(s SpaceState, out *EdgeOutput) {
	for _, theirs := range s.Feeds {
		feed := Feed{Space: s.Space, Origin: theirs.Origin}
		if e.feeds[feed] != nil || NodeOf(theirs.Origin) != e.cfg.Node {
			continue
		}
		e.ahead[feed] = max(e.ahead[feed], theirs.Seq)
		if theirs.Origin == e.cfg.Origin && theirs.Seq > 0 {
			out.fact(Regressed{Feed: feed, Theirs: theirs.Seq})
		}
	}
}

// behind lists what a core holds beyond us, but for feeds in which it holds
// other content, which it does not send.
func (e *Edge) behind(m Attached) []FeedSeq {
	var list []FeedSeq
	for _, s := range m.Spaces {
		for _, theirs := range s.Feeds {
			f := e.feeds[Feed{Space: s.Space, Origin: theirs.Origin}]
			switch {
			case f == nil && theirs.Seq > 0, f != nil && theirs.Seq > f.head.Seq &&
				(theirs.Common.Seq != f.head.Seq || theirs.Common.Chain == f.head.Chain):
				list = append(list, FeedSeq{Feed{s.Space, theirs.Origin}, theirs.Seq})
			}
		}
	}
	return list
}

// compareSpace takes a core's heads of a space: as receipts for our feeds, as a
// test for forks, and as a list of what the core lacks.
func (e *Edge) compareSpace(at Instant, s SpaceState, m Attached, known bool, out *EdgeOutput) {
	i, _ := slices.BinarySearchFunc(e.order, Feed{Space: s.Space}, (*upFeed).compare)
	for ; i < len(e.order) && e.order[i].Space == s.Space; i++ {
		f := e.order[i]
		var theirs FeedState
		if j, ok := slices.BinarySearchFunc(s.Feeds, f.Origin, func(t FeedState, o vclock.Origin) int {
			return Feed{Origin: t.Origin}.Compare(Feed{Origin: o})
		}); ok {
			theirs = s.Feeds[j]
		}
		f.shown = max(f.shown, theirs.Seq)
		if theirs.Common.Seq <= f.head.Seq && known {
			e.claim(at, f, claim{Head: theirs.Common, kind: held, store: m.Store, incarnation: m.Incarnation}, out)
		}
		if theirs.Seq > f.head.Seq {
			e.regressed(f, theirs.Seq, out)
		}
		e.lacking(at, f, theirs.Seq, out)
	}
}

func (e *Edge) refused(at Instant, m Refused, out *EdgeOutput) {
	d := &e.down
	if d.state != joining || m.Request != d.request {
		out.fact(Ignored{"refused", "old request"})
		return
	}
	e.failed(at, m.Code, m.Detail, out)
	switch {
	case m.Code == CodeFencedOrigin:
		out.fact(Fenced{Origin: e.cfg.Origin})
	case m.Code == CodeNotReady: // it answers, and will be ready soon
		d.failures = min(d.failures, notReadyFailures)
	case m.Code.lasting():
		d.retry = at.Later(e.cfg.BackoffMax/2 + e.backoff(20)/2)
	}
	if m.RetryAfter > 0 {
		d.retry = max(d.retry, at.Later(min(m.RetryAfter, 10*e.cfg.BackoffMax)))
	}
}

// failed ends a request without an attachment.
func (e *Edge) failed(at Instant, code Code, detail string, out *EdgeOutput) {
	core, failures := e.down.peer, e.down.failures+1
	e.down.reset(failures)
	e.down.retry = at.Later(e.backoff(failures))
	out.fact(AttachFailed{Core: core, Code: code, Detail: detail, Failures: failures})
}

// lose gives an attachment up. The first time after progress the next one
// follows at once.
func (e *Edge) lose(at Instant, reason string, out *EdgeOutput) {
	d := &e.down
	out.fact(AttachmentLost{Core: d.peer, Reason: reason})
	out.send(ToCore, d.peer, Detach{Attachment: d.attachment})
	failures := d.failures
	d.reset(failures + 1)
	d.retry = at
	if failures > 0 || reason == "ingest" {
		d.retry = at.Later(e.backoff(failures + 1))
	}
}

// delivered takes a numbered message of the attachment.
func (e *Edge) delivered(at Instant, attachment, n uint64, in Ingest, out *EdgeOutput) {
	d := &e.down
	switch {
	case d.state != joined || attachment != d.attachment:
		out.fact(Ignored{"deliver", "old attachment"})
	case n <= d.received:
		out.fact(Ignored{"deliver", "duplicate"})
	case n > d.received+1 || d.received-d.credited >= CreditWindow:
		e.lose(at, "gap", out)
	default:
		d.received, d.heard = n, at
		out.Ingest = append(out.Ingest, in)
	}
}

func (e *Edge) heartbeat(at Instant, m Heartbeat, out *EdgeOutput) {
	d := &e.down
	switch {
	case d.state != joined || m.Attachment != d.attachment:
		out.fact(Ignored{"heartbeat", "old attachment"})
	case m.N > d.received:
		e.lose(at, "gap", out)
	default:
		d.heard = at
	}
}

func (e *Edge) detached(at Instant, m Detach, out *EdgeOutput) {
	if e.down.state == joined && m.Attachment == e.down.attachment {
		e.lose(at, "detached", out)
	}
}

// ingested returns credit for a delivery that is durable.
func (e *Edge) ingested(at Instant, in Ingested, out *EdgeOutput) error {
	d := &e.down
	switch {
	case d.state != joined || in.Attachment != d.attachment:
		out.fact(Ignored{"ingested", "old attachment"})
	case in.N != d.credited+1 || in.N > d.received:
		return fmt.Errorf("ingested %d after %d of %d: %w", in.N, d.credited, d.received, ErrDisorder)
	case in.Err != nil:
		e.lose(at, "ingest", out)
	default:
		d.credited, d.failures, d.said = in.N, 0, at
		out.send(ToCredit, d.peer, Credit{Attachment: d.attachment, N: in.N})
	}
	return nil
}
