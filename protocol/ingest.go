package protocol

import (
	"fmt"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/vclock"
)

// coreFeed is what a core half knows of a feed.
type coreFeed struct {
	Feed
	head    Head
	gap     vclock.Seq // a frame from here on was seen; zero: nothing is missing
	wantAt  Instant    // when to ask next
	tries   int        // wants sent for this gap
	claimed bool       // the gap was told by an attached node, not seen in the stream
}

func (c *Core) feed(feed Feed) *coreFeed {
	f := c.feeds[feed]
	if f == nil {
		f = &coreFeed{Feed: feed}
		c.feeds[feed] = f
	}
	return f
}

// advanced takes new heads in: receipts to who wrote the feeds, work for who
// is attached.
func (c *Core) advanced(in Advanced, out *CoreOutput) error {
	for _, h := range in.Feeds {
		f := c.feeds[h.Feed]
		if h.Seq > MaxSeq || f != nil && h.Seq < f.head.Seq {
			return fmt.Errorf("advanced %s %s to %d: %w", h.Space, h.Origin, h.Seq, ErrDisorder)
		}
	}
	var receipts []Receipt
	for _, h := range in.Feeds {
		f := c.feed(h.Feed)
		if h.Seq < f.head.Seq {
			continue // listed twice
		}
		f.head = h.Head
		if f.gap != 0 && f.head.Seq+1 >= f.gap {
			c.closeGap(f)
		}
		c.markMissing(f)
		if !in.Quiet {
			receipts = append(receipts, c.receipt(f.Feed, f.head))
		}
	}
	slices.SortStableFunc(receipts, func(a, b Receipt) int {
		return strings.Compare(NodeOf(a.Origin), NodeOf(b.Origin))
	})
	for len(receipts) > 0 {
		node, n := NodeOf(receipts[0].Origin), 1
		for n < len(receipts) && n < MaxReceipts && NodeOf(receipts[n].Origin) == node {
			n++
		}
		out.send(ToReceiving, node, Receipts{Receipts: receipts[:n:n]})
		receipts = receipts[n:]
	}
	return nil
}

// replaced takes a feed's head back. Who was sent more of it than is held now
// attaches anew, and says what it holds of what was taken out.
func (c *Core) replaced(in Replaced, out *CoreOutput) {
	f := c.feed(in.Feed)
	if in.Seq >= f.head.Seq {
		return
	}
	f.head = in.Head
	for _, a := range slices.Clone(c.ring) {
		if l := a.line(in.Space); l != nil && l.reached.At(in.Origin) > in.Seq {
			out.send(ToNode, a.node, Detach{Attachment: a.id})
			c.drop(a, "feed cut", out)
		}
	}
}

func (c *Core) receipt(f Feed, h Head) Receipt {
	return Receipt{Feed: f, Head: h, Store: c.cfg.Node, Incarnation: c.cfg.Incarnation}
}

// markMissing notes for everybody attached that the feed has grown. Who writes
// the feed at present has it.
func (c *Core) markMissing(f *coreFeed) {
	for _, a := range c.spaces[f.Space] {
		a.feedGrew(f)
		c.offer(a)
	}
	for _, a := range c.everything {
		if a.line(f.Space) == nil {
			c.addLine(a, f.Space, vclock.Vector{})
		}
		a.feedGrew(f)
		c.offer(a)
	}
}

// frameSeen judges a frame off the op stream.
func (c *Core) frameSeen(at Instant, in FrameSeen, out *CoreOutput) error {
	if in.From == 0 || in.To < in.From || in.To > MaxSeq {
		return fmt.Errorf("frame seen %s %s %d to %d: %w", in.Space, in.Origin, in.From, in.To, ErrMalformed)
	}
	held := Head{}
	if f := c.feeds[in.Feed]; f != nil {
		held = f.head
	}
	if in.From <= held.Seq+1 && in.Meet != min(held.Seq, in.To) {
		return fmt.Errorf("frame seen %s %s compared at %d: %w", in.Space, in.Origin, in.Meet, ErrDisorder)
	}
	switch {
	case in.From > held.Seq+1:
		out.Verdict = Gap
		c.openGap(at, in, held.Seq, out)
	case in.Ours != in.Theirs:
		out.Verdict = Fork
		c.fenced[in.Origin] = true
		out.fact(Equivocation{Feed: in.Feed, Seq: in.Meet, Ours: in.Ours, Theirs: in.Theirs})
		out.send(ToReceiving, NodeOf(in.Origin), Receipts{Receipts: []Receipt{c.receipt(in.Feed, held)}})
	case in.To <= held.Seq:
		out.Verdict = Duplicate
		// Whoever sent it again may have missed the receipt.
		out.send(ToReceiving, NodeOf(in.Origin), Receipts{Receipts: []Receipt{c.receipt(in.Feed, held)}})
	default:
		out.Verdict = Accept
	}
	return nil
}

func (c *Core) openGap(at Instant, in FrameSeen, held vclock.Seq, out *CoreOutput) {
	f := c.feed(in.Feed)
	if f.gap != 0 {
		return
	}
	out.fact(GapFound{Feed: in.Feed, Held: held, From: in.From})
	if len(c.wants) >= MaxWants {
		return // a later frame of the feed shows the gap again
	}
	f.gap, f.tries, f.wantAt, f.claimed = in.From, 0, at, false
	c.want(f)
}

// claimed notes that an attached node holds more of a feed than this store,
// and did not write it. As a rule the rest comes up the stream in a moment. If
// it does not, because the stream hid it from us and shows it to others, the
// nodes are asked to send it again; after some tries the claim is forgotten.
func (c *Core) claimed(at Instant, feed Feed, through vclock.Seq) {
	f := c.feed(feed)
	if f.gap != 0 || through <= f.head.Seq || len(c.wants) >= MaxWants {
		return
	}
	f.gap, f.tries, f.wantAt, f.claimed = through+1, c.cfg.WantSpread, at.Later(2*c.cfg.WantEvery), true
	c.want(f)
}

// maxClaimWants is how often what a node claims to hold is asked for.
const maxClaimWants = 8

func (c *Core) want(f *coreFeed) {
	i, _ := slices.BinarySearchFunc(c.wants, f.Feed, func(g *coreFeed, h Feed) int { return g.Compare(h) })
	c.wants = slices.Insert(c.wants, i, f)
}

func (c *Core) closeGap(f *coreFeed) {
	f.gap = 0
	c.wants = slices.DeleteFunc(c.wants, func(g *coreFeed) bool { return g == f })
}

// pumpWants asks for what is missing: first who wrote it, later everybody
// attached who takes the space, and the other core nodes.
func (c *Core) pumpWants(at Instant, out *CoreOutput) {
	for _, f := range slices.Clone(c.wants) {
		if at < f.wantAt {
			continue
		}
		if f.claimed && f.tries >= c.cfg.WantSpread+maxClaimWants {
			c.closeGap(f)
			continue
		}
		m := Want{Feed: f.Feed, From: f.head.Seq + 1}
		author := NodeOf(f.Origin)
		out.send(ToReceiving, author, m)
		if f.tries >= c.cfg.WantSpread {
			if c.cfg.Stores > 1 {
				out.send(ToAllCores, "", m)
			}
			for _, a := range c.ring {
				if a.node != author && a.line(f.Space) != nil {
					out.send(ToReceiving, a.node, m)
				}
			}
		}
		pause := min(c.cfg.WantEvery<<min(f.tries, 10), c.cfg.WantMax)
		f.tries++
		f.wantAt = at.Later(pause)
	}
}

func (c *Core) headsAsked(m HeadsAsk, out *CoreOutput) {
	var list []Receipt
	for _, feed := range m.Feeds {
		var held Head
		if f := c.feeds[feed]; f != nil {
			held = f.head
		}
		list = append(list, c.receipt(feed, held))
	}
	for part := range slices.Chunk(list, MaxReceipts) {
		out.send(ToReceiving, m.Node, Receipts{Receipts: part})
	}
}

func (c *Core) digestFound(in DigestFound, out *CoreOutput) {
	agreement := Incomparable
	if in.Vector.Compare(in.Ask.Vector) == vclock.Equal {
		agreement = Differ
		if in.Sum == in.Ask.Sum {
			agreement = Agree
		}
	}
	out.send(ToNode, in.Ask.Node, Digest{Space: in.Ask.Space, Vector: in.Vector, Agreement: agreement})
}
