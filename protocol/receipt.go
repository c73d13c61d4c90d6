package protocol

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// lateAck is how long a publish may go on unanswered after a receipt showed
// that it arrived.
const lateAck = time.Second

// claimKind is what follows when a claim turns out to be true.
type claimKind uint8

const (
	held     claimKind = iota // a store holds the feed up to there
	acked                     // the stream holds it
	compared                  // nothing: it narrows a fork down
)

// claim is a chain that somebody else gave for a feed of ours.
type claim struct {
	Head
	kind        claimKind
	store       string
	incarnation string
	attempt     uint64 // of the question, for acked
}

// storeCount is how far one store has receipted a feed.
type storeCount struct {
	store string
	seq   vclock.Seq
}

// storeSeen is the present incarnation of a store, and former ones.
type storeSeen struct {
	incarnation string
	retired     []string
}

// forkSearch narrows down where our history and a core's part.
//
// Invariant: after < at.
type forkSearch struct{ after, at vclock.Seq }

func (s *forkSearch) open() bool { return s != nil && s.after+1 < s.at }

// receipts counts what a store says that it holds.
func (e *Edge) receipts(at Instant, m Receipts, out *EdgeOutput) {
	for _, r := range m.Receipts {
		f := e.feeds[r.Feed]
		if f != nil && r.Store != e.cfg.Node { // our own store is the one that may be damaged
			f.shown = max(f.shown, r.Seq)
		}
		switch {
		case f == nil && r.Origin == e.cfg.Origin && r.Seq > 0: // as in forgotten
			out.fact(Regressed{Feed: r.Feed, Theirs: r.Seq})
		case f == nil || !f.own:
			out.fact(Ignored{"receipt", "not our feed"})
		case !e.present(r.Store, r.Incarnation, out):
			out.fact(Ignored{"receipt", "former store"})
		case r.Seq > f.head.Seq:
			e.touched = f
			e.regressed(f, r.Seq, out)
		default:
			e.touched = f
			e.claim(at, f, claim{Head: r.Head, kind: held, store: r.Store, incarnation: r.Incarnation}, out)
		}
	}
}

// present reports whether a store has this incarnation now. A new one takes
// the place of the old, and what the old one had receipted counts no more.
func (e *Edge) present(store, incarnation string, out *EdgeOutput) bool {
	s := e.stores[store]
	switch {
	case s == nil:
		if len(e.stores) >= MaxStores {
			return false
		}
		e.stores[store] = &storeSeen{incarnation: incarnation}
		return true
	case s.incarnation == incarnation:
		return true
	case slices.Contains(s.retired, incarnation):
		return false
	}
	out.fact(StoreReplaced{Store: store, Was: s.incarnation, Is: incarnation})
	if len(s.retired) == MaxRetired {
		s.retired = slices.Delete(s.retired, 0, 1)
	}
	s.retired = append(s.retired, s.incarnation)
	s.incarnation = incarnation
	for _, f := range e.order {
		f.counts = slices.DeleteFunc(f.counts, func(c storeCount) bool { return c.store == store })
	}
	return true
}

// claim compares a chain with ours, now or when the store has told ours.
func (e *Edge) claim(at Instant, f *upFeed, c claim, out *EdgeOutput) {
	if ours, ok := f.known(c.Seq); ok {
		e.settle(at, f, c, ours, out)
		return
	}
	if !slices.ContainsFunc(f.claims, func(d claim) bool { return d.Seq == c.Seq }) {
		out.Lookup = append(out.Lookup, LookupChain{Feed: f.Feed, Seq: c.Seq})
	}
	if len(f.claims) == MaxClaims {
		f.claims = slices.Delete(f.claims, 0, 1)
	}
	f.claims = append(f.claims, c)
}

func (e *Edge) chainAt(at Instant, in ChainAt, out *EdgeOutput) {
	f := e.feeds[in.Feed]
	if f == nil {
		return
	}
	e.touched = f
	var due []claim
	f.claims = slices.DeleteFunc(f.claims, func(c claim) bool {
		if c.Seq == in.Seq {
			due = append(due, c)
		}
		return c.Seq == in.Seq
	})
	if !in.OK {
		if len(due) > 0 {
			out.fact(Ignored{"chain", "not held"})
		}
		return
	}
	for _, c := range due {
		e.settle(at, f, c, in.Chain, out)
	}
}

// settle acts on a claim whose number we hold with the chain ours.
func (e *Edge) settle(at Instant, f *upFeed, c claim, ours Chain, out *EdgeOutput) {
	switch {
	case c.Chain != ours && c.kind == acked:
		e.doubt(at, f, c, out)
		return
	case c.Chain != ours:
		e.fork(at, f, c.Seq, out)
		return
	}
	if c.store != e.cfg.Node { // our own store agrees with us in any case
		f.agreed = max(f.agreed, c.Seq)
		if c.kind != acked {
			f.stored = max(f.stored, c.Seq)
		}
	}
	switch c.kind {
	case held:
		if f.own && e.stores[c.store] != nil && e.stores[c.store].incarnation == c.incarnation {
			e.count(at, f, c, out)
		}
	case acked:
		e.confirmed(f, c, out)
	case compared:
		e.narrow(at, f, c.Seq, true, out)
	}
}

// count takes a store's receipt into account and releases what it may.
func (e *Edge) count(at Instant, f *upFeed, c claim, out *EdgeOutput) {
	i, ok := slices.BinarySearchFunc(f.counts, c.store, func(s storeCount, store string) int {
		return strings.Compare(s.store, store)
	})
	if !ok {
		f.counts = slices.Insert(f.counts, i, storeCount{store: c.store})
	}
	n := &f.counts[i]
	if f.phase == publishing && c.Seq >= f.flight && c.store != e.cfg.Node {
		// The frame arrived; if its acknowledgement got lost, do not wait long.
		f.deadline = min(f.deadline, at.Later(lateAck))
	}
	switch {
	case c.Seq > n.seq:
		n.seq, f.moved, f.stall = c.Seq, at, 0
	case c.Seq < n.seq:
		out.fact(Ignored{"receipt", "stale"})
		return
	case f.waiting() && c.Seq+1 < f.next && at >= f.moved.Later(e.stallAfter(f)):
		f.moved, f.stall = at, f.stall+1
		e.resend(at, f, c.Seq+1, "stalled", out)
	}
	e.release(f, out)
}

// stallAfter doubles the patience with each resend in a row, up to 32 times.
func (e *Edge) stallAfter(f *upFeed) time.Duration {
	return e.cfg.StallAfter << min(f.stall, 5)
}

// release moves the outbox on to the number that the required count of stores
// have receipted.
func (e *Edge) release(f *upFeed, out *EdgeOutput) {
	if e.required == 0 || len(f.counts) < e.required {
		return
	}
	seqs := make([]vclock.Seq, len(f.counts))
	for i, c := range f.counts {
		seqs[i] = c.seq
	}
	slices.SortFunc(seqs, func(a, b vclock.Seq) int { return cmp.Compare(b, a) })
	through := min(seqs[e.required-1], f.head.Seq)
	if through <= f.released {
		return
	}
	// What stores hold came through the stream and need not go there again, but
	// for our own store's word: other core nodes may have it from us directly.
	if f.next > f.released && f.next <= through && f.forced < f.next && !f.counted(e.cfg.Node) {
		f.next = through + 1
	}
	f.released = through
	f.failures, f.hold = 0, 0 // what goes up arrives: nothing is gained by pausing
	out.Released = append(out.Released, FeedSeq{f.Feed, through})
}

// counted reports whether a store has given a receipt for the feed.
func (f *upFeed) counted(store string) bool {
	return slices.ContainsFunc(f.counts, func(c storeCount) bool { return c.store == store })
}

func (e *Edge) unreleased() bool { return slices.ContainsFunc(e.busy, (*upFeed).waiting) }

// askHeads asks all core nodes for their heads of feeds whose receipts are late.
func (e *Edge) askHeads(at Instant, out *EdgeOutput) {
	if at < e.nextAsk || !e.unreleased() {
		return
	}
	e.nextAsk = at.Later(e.cfg.AskEvery)
	var late []Feed
	for _, f := range e.busy {
		if f.waiting() && (at >= f.moved.Later(e.cfg.AskEvery) || slices.Contains(e.formers, f)) {
			late = append(late, f.Feed)
		}
	}
	for part := range slices.Chunk(late, MaxFeedsPerAsk) {
		out.send(ToAllCores, "", HeadsAsk{Node: e.cfg.Node, Feeds: part})
	}
}

// regressed notes that a core knows more of the feed that we write than we do.
// It reports whether that is so.
func (e *Edge) regressed(f *upFeed, theirs vclock.Seq, out *EdgeOutput) bool {
	if f.Origin != e.cfg.Origin {
		return false
	}
	if !f.halted {
		f.halted = true
		out.fact(Regressed{Feed: f.Feed, Ours: f.head.Seq, Theirs: theirs})
	}
	return true
}

// fork halts a feed whose content at a number differs from a core's.
func (e *Edge) fork(at Instant, f *upFeed, n vclock.Seq, out *EdgeOutput) {
	if f.search != nil {
		e.narrow(at, f, n, false, out)
		return
	}
	after := f.agreed
	if after >= n {
		after = 0
	}
	if f.own && f.Origin != e.cfg.Origin && n <= f.stored {
		// Two core stores differ. What one of them has is not made again, or it
		// would be without end: by each word of either.
		if !f.passed {
			f.halted, f.passed = true, true
			out.fact(Forked{Feed: f.Feed, After: after, At: n})
		}
		return
	}
	f.halted, f.search = true, &forkSearch{after: after, at: n}
	f.claims = nil
	if f.phase == asking {
		f.phase = idle
	}
	e.chainAsk = at
	e.watchFormer(at, f)
	out.fact(Forked{Feed: f.Feed, Own: f.own, After: after, At: n})
	e.list(f)
}

// doubt is for a chain in the stream that is not ours. That alone proves no
// fork: the stores may have refused the frame, as they do with one that was
// published just before the core's content took its place here. So the stores
// are asked, whose answer tells; if none of them knows the other content, the
// feed goes on from where the stream is, and they judge what comes.
func (e *Edge) doubt(at Instant, f *upFeed, c claim, out *EdgeOutput) {
	if f.phase != asking || f.attempt != c.attempt {
		return
	}
	f.phase = idle
	if c.Seq <= f.agreed || f.doubts == maxDoubts {
		f.expected, f.doubts = true, 0
		return
	}
	f.doubts++
	f.hold = at.Later(e.cfg.AskEvery)
	out.send(ToAllCores, "", HeadsAsk{Node: e.cfg.Node, Feeds: []Feed{f.Feed}})
}

// maxDoubts is how often the stores are asked about a chain in the stream.
const maxDoubts = 3

// narrow takes one comparison into the search for the fork.
func (e *Edge) narrow(at Instant, f *upFeed, n vclock.Seq, equal bool, out *EdgeOutput) {
	s := f.search
	if !s.open() || n <= s.after || n >= s.at {
		return
	}
	if equal {
		s.after = n
	} else {
		s.at = n
	}
	if s.open() {
		e.chainAsk = at
		return
	}
	out.fact(Forked{Feed: f.Feed, Own: f.own, After: s.after, At: s.at})
}

func (e *Edge) searching() bool {
	return e.down.state == joined && slices.ContainsFunc(e.busy, func(f *upFeed) bool { return f.search.open() })
}

// askChains asks the attached core for chains between the bounds of each
// search, eight at a time.
func (e *Edge) askChains(at Instant, out *EdgeOutput) {
	if at < e.chainAsk || !e.searching() {
		return
	}
	e.chainAsk = at.Later(e.cfg.AttachTimeout)
	for _, f := range e.busy {
		if !f.search.open() || len(f.claims) > 0 {
			continue
		}
		const parts = 9
		var seqs []vclock.Seq
		step := max((f.search.at-f.search.after)/parts, 1)
		for n := f.search.after + step; n < f.search.at && len(seqs) < parts-1; n += step {
			seqs = append(seqs, n)
		}
		out.send(ToCore, e.down.peer, ChainsAsk{Node: e.cfg.Node, Feed: f.Feed, Seqs: seqs})
	}
}

func (e *Edge) chains(at Instant, m Chains, out *EdgeOutput) {
	f := e.feeds[m.Feed]
	if f == nil || !f.search.open() {
		out.fact(Ignored{"chains", "not asked for"})
		return
	}
	e.touched = f
	for _, h := range m.Heads {
		if h.Seq > f.search.after && h.Seq < f.search.at {
			e.claim(at, f, claim{Head: h, kind: compared}, out)
		}
	}
}

// spread gives a random pause before a feed of somebody else goes up, so that
// not every node sends it.
func (e *Edge) spread() time.Duration {
	return time.Duration(e.rng.Int64N(int64(e.cfg.ForeignSpread)))
}
