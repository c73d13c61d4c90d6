package protocol

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/causeway-sync/causeway/vclock"
)

// phase is what a feed's way up waits for.
type phase uint8

const (
	idle       phase = iota
	asking           // for the subject's last message
	publishing       // one frame
)

// upFeed is one feed on its way up.
//
// Invariant: released <= head.Seq; 1 <= next <= head.Seq+1; marks ascend; a
// frame in flight began at or below head.Seq.
type upFeed struct {
	Feed
	own      bool
	head     Head
	released vclock.Seq // own feeds: enough stores hold it up to here
	next     vclock.Seq // first op that goes up next
	goal     vclock.Seq // feeds of others: the last op to send
	forced   vclock.Seq // up to here ops go up although the stream had them
	renewed  vclock.Seq // up to here message ids carry the nonce, lest an earlier try swallow them
	nonce    uint64

	phase    phase
	attempt  uint64
	flight   vclock.Seq // where the frame in flight begins
	deadline Instant    // of the attempt
	hold     Instant    // nothing begins before
	failures int        // in a row
	expect   uint64     // last stream number of the subject
	expected bool       // expect is known
	doubts   int        // times that the stores were asked about another chain in the stream

	marks  []Head  // chains of ours at numbers, ascending
	claims []claim // chains of others that wait for ours
	counts []storeCount
	moved  Instant // last progress of a receipt
	stall  int     // resends for want of progress, in a row
	asked  Instant // when a Want was last heeded
	wanted vclock.Seq

	halted bool        // forked or regressed: nothing goes up
	former int         // own feeds: the node gave the origin up as the n-th since the start; 0: before
	passed bool        // own feeds: others need not wait, see NotRemade
	agreed vclock.Seq  // highest number at which a core's chain, or the stream's, equalled ours
	stored vclock.Seq  // the same without the stream, which shows frames that the stores refused
	shown  vclock.Seq  // highest number that another store or the stream said it holds, whatever its chain
	search *forkSearch // where histories part
	listed bool        // in Edge.busy
}

func (f *upFeed) compare(g Feed) int {
	return f.Feed.Compare(g)
}

// target is the last op that has to go up.
func (f *upFeed) target() vclock.Seq {
	if f.own {
		return f.head.Seq
	}
	return f.goal
}

func (f *upFeed) pending() bool { return !f.halted && f.next <= f.target() }

// waiting reports whether ops were sent that are not released.
func (f *upFeed) waiting() bool { return f.own && !f.halted && f.released+1 < f.next }

func (f *upFeed) isBusy() bool {
	return f.pending() || f.waiting() || f.phase != idle || f.search.open()
}

// deadlines adds when something is due. What is due already waits for a turn,
// not for time.
func (f *upFeed) deadlines(at Instant, w *earliest) {
	switch {
	case f.phase != idle:
		w.add(f.deadline)
	case f.pending() && f.hold > at:
		w.add(f.hold)
	}
}

func (f *upFeed) mustHold() {
	if f.released > f.head.Seq || f.next == 0 || f.next > f.head.Seq+1 ||
		f.phase == publishing && (f.flight == 0 || f.flight > f.head.Seq) {
		panic(fmt.Sprintf("protocol: feed %s %s: want released <= head, next <= head+1, flight <= head, have %d, %d, %d, %d",
			f.Space, f.Origin, f.released, f.next, f.flight, f.head.Seq))
	}
}

// forget drops what only holds for a connection.
func (f *upFeed) forget() {
	f.phase, f.expected, f.hold, f.failures, f.asked, f.doubts = idle, false, 0, 0, 0, 0
}

func (f *upFeed) mark(h Head) {
	if n := len(f.marks); n > 0 && f.marks[n-1].Seq >= h.Seq {
		return
	}
	if len(f.marks) == MaxMarks {
		f.marks = slices.Delete(f.marks, 0, MaxMarks/4)
	}
	f.marks = append(f.marks, h)
}

// known gives our chain at a number without asking the store.
func (f *upFeed) known(n vclock.Seq) (Chain, bool) {
	switch {
	case n == 0:
		return Chain{}, true
	case n == f.head.Seq:
		return f.head.Chain, true
	}
	i, ok := slices.BinarySearchFunc(f.marks, n, func(h Head, n vclock.Seq) int { return cmp.Compare(h.Seq, n) })
	if !ok {
		return Chain{}, false
	}
	return f.marks[i].Chain, true
}

func (e *Edge) feed(feed Feed) *upFeed {
	f := e.feeds[feed]
	if f == nil {
		f = &upFeed{Feed: feed, own: NodeOf(feed.Origin) == e.cfg.Node, next: 1, shown: e.ahead[feed]}
		delete(e.ahead, feed)
		e.feeds[feed] = f
		i, _ := slices.BinarySearchFunc(e.order, feed, (*upFeed).compare)
		e.order = slices.Insert(e.order, i, f)
	}
	e.touched = f
	return f
}

// list puts f among the busy feeds.
func (e *Edge) list(f *upFeed) {
	if f.listed || !f.isBusy() {
		return
	}
	i, _ := slices.BinarySearchFunc(e.busy, f.Feed, (*upFeed).compare)
	e.busy = slices.Insert(e.busy, i, f)
	f.listed = true
}

func (e *Edge) settleBusy() {
	e.busy = slices.DeleteFunc(e.busy, func(f *upFeed) bool {
		f.listed = f.isBusy()
		return !f.listed
	})
}

func (e *Edge) persisted(at Instant, in Persisted) error {
	old := e.feeds[in.Feed]
	switch {
	case in.Seq == 0 || in.Seq > MaxSeq || in.Released > in.Seq:
		return fmt.Errorf("persisted %s %s up to %d, released %d: %w", in.Space, in.Origin, in.Seq, in.Released, ErrDisorder)
	case old != nil && in.Seq < old.head.Seq:
		return fmt.Errorf("persisted %s %s up to %d after %d: %w", in.Space, in.Origin, in.Seq, old.head.Seq, ErrDisorder)
	}
	f := e.feed(in.Feed)
	if old != nil && f.own && f.Origin != e.cfg.Origin {
		f.expected = false // it grew from below: the stream has it
		f.stored = in.Seq  // and so has the core node that sent it
	}
	if old != nil && old.head.Seq > 0 {
		f.mark(f.head)
	} else if f.own {
		f.released, f.moved = in.Released, at
		f.next = in.Released + 1
	} else {
		f.next = in.Seq + 1
	}
	f.head = in.Head
	e.watchFormer(at, f)
	e.list(f)
	return nil
}

// replaced takes over that a feed was cut. What was cut may not have been told of
// yet, so that the head moves on, or that the feed was never heard of.
func (e *Edge) replaced(at Instant, in Replaced, out *EdgeOutput) error {
	switch {
	case in.Seq > MaxSeq:
		return fmt.Errorf("replaced %s %s up to %d: %w", in.Space, in.Origin, in.Seq, ErrDisorder)
	case in.Seq == 0 && e.feeds[in.Feed] == nil:
		return nil
	}
	f := e.feed(in.Feed)
	f.forget()
	f.head = in.Head
	f.released, f.next = min(f.released, in.Seq), min(f.next, in.Seq+1)
	f.goal, f.forced, f.renewed, f.agreed, f.stored, f.shown = min(f.goal, in.Seq), 0, 0, 0, 0, 0
	f.marks, f.claims, f.counts = nil, nil, nil
	f.halted, f.search, f.moved, f.passed = false, nil, at, false
	e.watchFormer(at, f)
	e.touched = f
	e.list(f)
	e.rejoin(at, out) // the core left the feed out, or counts on what is gone
	return nil
}

// pumpFeeds begins what is due: a question or a publish per feed, in turns.
func (e *Edge) pumpFeeds(at Instant, out *EdgeOutput) {
	if !e.link {
		return
	}
	inFlight := 0
	for _, f := range e.busy {
		if f.phase != idle && at >= f.deadline {
			e.unsettled(at, f, Unknown, out)
		}
		if f.phase != idle {
			inFlight++
		}
	}
	e.formers = slices.DeleteFunc(e.formers, func(f *upFeed) bool { return f.settled() || f.Origin == e.cfg.Origin })
	for i := range e.busy {
		if inFlight >= MaxInFlight {
			break
		}
		f := e.busy[(e.turn+i)%len(e.busy)]
		if f.phase == idle && f.pending() && at >= f.hold && !e.waitsForFormer(f) {
			e.begin(at, f, out)
			inFlight++
		}
	}
	e.turn++
	e.askHeads(at, out)
	e.askChains(at, out)
}

// settled reports whether a core store is known to have a feed as we have it:
// then it cannot fork below its head any more.
func (f *upFeed) settled() bool {
	return !f.halted && max(f.released, f.stored) >= f.head.Seq
}

// waitsForFormer reports whether a feed of our own has to wait for one of an
// earlier origin of ours in its space. What we write depends on what we wrote
// before; if that forks, both are made again, which is possible only as long as
// neither has left the node.
func (e *Edge) waitsForFormer(f *upFeed) bool {
	return f.own && slices.ContainsFunc(e.formers, func(g *upFeed) bool {
		return g.Space == f.Space && !g.passed && (f.Origin == e.cfg.Origin || g.former < f.former)
	})
}

// watchFormer notes a feed of an earlier origin of ours that is not settled, and
// has the stores asked for it.
func (e *Edge) watchFormer(at Instant, f *upFeed) {
	if f.own && f.Origin != e.cfg.Origin && !e.cfg.UploadOnly && !f.settled() && !slices.Contains(e.formers, f) {
		e.formers = append(e.formers, f)
		e.nextAsk = min(e.nextAsk, at)
	}
}

func (e *Edge) begin(at Instant, f *upFeed, out *EdgeOutput) {
	e.attempt++
	f.attempt, f.deadline = e.attempt, at.Later(e.cfg.PublishTimeout)
	if !f.expected {
		f.phase = asking
		out.Ask = append(out.Ask, AskSubject{Feed: f.Feed, Attempt: f.attempt})
		return
	}
	f.phase, f.flight = publishing, f.next
	p := Publish{Feed: f.Feed, Attempt: f.attempt, From: f.next, Expect: f.expect,
		// The store may hold more already than we were told.
		MaxOps: int(min(MaxFrameOps, f.head.Seq-f.next+1)), MaxBytes: FrameBytesBudget}
	if f.next <= f.renewed {
		p.Nonce = f.nonce
	}
	out.Publish = append(out.Publish, p)
}

func (e *Edge) published(at Instant, in Published, out *EdgeOutput) error {
	f := e.feeds[in.Feed]
	if f == nil || f.phase != publishing || f.attempt != in.Attempt {
		out.fact(Ignored{"published", "old attempt"})
		return nil
	}
	if in.Head.Seq < f.flight || in.Head.Seq > f.head.Seq {
		return fmt.Errorf("published %s %s to %d: %w", in.Space, in.Origin, in.Head.Seq, ErrDisorder)
	}
	e.touched = f
	f.phase, f.failures, f.expect = idle, 0, in.StreamSeq // expected holds unless an attach cast doubt on it
	f.mark(in.Head)
	f.shown = max(f.shown, in.Head.Seq)
	if f.next == f.flight { // otherwise something wants earlier ops again
		f.next = in.Head.Seq + 1
	}
	if f.own && !f.halted {
		out.Acked = append(out.Acked, FeedSeq{f.Feed, in.Head.Seq})
		if e.nextAsk <= at {
			e.nextAsk = at.Later(e.cfg.AskEvery)
		}
	}
	e.list(f)
	return nil
}

func (e *Edge) publishFailed(at Instant, in PublishFailed, out *EdgeOutput) {
	f := e.feeds[in.Feed]
	if f == nil || f.phase == idle || f.attempt != in.Attempt {
		out.fact(Ignored{"publish_failed", "old attempt"})
		return
	}
	e.touched = f
	e.unsettled(at, f, in.Kind, out)
}

// unsettled ends an attempt without an outcome: the subject has to be asked
// before anything else is sent.
func (e *Edge) unsettled(at Instant, f *upFeed, kind FailureKind, out *EdgeOutput) {
	out.fact(PublishUnsettled{Feed: f.Feed, From: f.next, Kind: kind})
	f.phase, f.expected = idle, false
	f.failures++
	switch kind {
	case WrongSequence:
		f.hold = at
		if !f.own {
			f.forced = 0 // somebody else is sending the same
		}
		if f.failures > 1 {
			f.hold = at.Later(e.backoff(f.failures - 1))
		}
	case Unknown:
		f.hold = at.Later(e.backoff(f.failures))
	default:
		f.hold = at.Later(e.backoff(f.failures + 4))
	}
}

func (e *Edge) subjectHead(at Instant, in SubjectHead, out *EdgeOutput) {
	f := e.feeds[in.Feed]
	if f == nil || f.phase != asking || f.attempt != in.Attempt {
		out.fact(Ignored{"subject_head", "old attempt"})
		return
	}
	e.touched = f
	f.expect = in.StreamSeq
	f.shown = max(f.shown, in.Head.Seq)
	switch to := in.Head.Seq; {
	case to == 0:
		f.phase, f.expected = idle, true
	case to > f.head.Seq:
		f.phase, f.expected = idle, true
		if !e.regressed(f, to, out) && f.next > f.forced {
			f.next = f.head.Seq + 1
		}
	default: // nothing is published before our chain there was compared
		e.claim(at, f, claim{Head: in.Head, kind: acked, attempt: f.attempt}, out)
	}
	e.list(f)
}

// Known is how far core nodes are known to hold a feed of our own, or may hold it
// as far as we were told; told is false as long as nobody could tell. Where a core
// holds other content, it holds ours up to the fork at most.
func (e *Edge) Known(feed Feed) (through vclock.Seq, told bool) {
	told = e.link && (e.cfg.UploadOnly || e.down.state == joined)
	f := e.feeds[feed]
	switch {
	case f == nil:
		return e.ahead[feed], told
	case f.search != nil:
		return f.search.at - 1, told
	default:
		return max(f.released, f.agreed, f.shown), told
	}
}

// confirmed goes on from where the stream is, after its chain proved ours.
func (e *Edge) confirmed(f *upFeed, c claim, out *EdgeOutput) {
	if f.own {
		out.Acked = append(out.Acked, FeedSeq{f.Feed, c.Seq})
	}
	if f.phase != asking || f.attempt != c.attempt {
		return
	}
	f.phase, f.expected = idle, true
	if f.next > f.forced {
		f.next = max(f.next, c.Seq+1)
	}
}

// wanted heeds a Want: the feed goes up again from a number, under a new nonce.
func (e *Edge) wanted(at Instant, m Want, out *EdgeOutput) error {
	f := e.feeds[m.Feed]
	if m.From == 0 {
		return fmt.Errorf("want from 0: %w", ErrMalformed)
	}
	switch {
	case f == nil || m.From > f.head.Seq:
		out.fact(Ignored{"want", "not held"})
		return nil
	case f.halted:
		out.fact(Ignored{"want", "halted"})
		return nil
	case f.asked != 0 && at < f.asked.Later(e.cfg.ForeignSpread) && m.From >= f.wanted:
		out.fact(Ignored{"want", "under way"})
		return nil
	case f.own && f.next <= m.From && f.pending():
		out.fact(Ignored{"want", "under way"})
		return nil
	}
	e.touched = f
	f.asked, f.wanted = at, m.From
	e.resend(at, f, m.From, "want", out)
	return nil
}

// resend forces ops from a number on up to the head to go up again.
func (e *Edge) resend(at Instant, f *upFeed, from vclock.Seq, why string, out *EdgeOutput) {
	out.fact(Resending{Feed: f.Feed, From: from, Why: why})
	f.next = min(f.next, from)
	f.goal, f.forced, f.renewed = f.head.Seq, f.head.Seq, f.head.Seq
	f.nonce = e.rng.Uint64() | 1
	if !f.own {
		f.expected = false
		f.hold = at.Later(e.spread())
	}
	e.list(f)
}

// lacking sends up what an attached core lacks, unless the stream has it.
func (e *Edge) lacking(at Instant, f *upFeed, theirs vclock.Seq, out *EdgeOutput) {
	if f.halted || theirs >= f.head.Seq {
		return
	}
	if f.own && f.next <= theirs+1 {
		return
	}
	if f.next > theirs+1 {
		out.fact(Resending{Feed: f.Feed, From: theirs + 1, Why: "attach"})
		f.next = theirs + 1
	}
	f.expected, f.forced, f.goal = false, 0, f.head.Seq
	f.renewed, f.nonce = f.head.Seq, e.rng.Uint64()|1
	if !f.own {
		f.hold = at.Later(e.spread())
	}
	e.list(f)
}
