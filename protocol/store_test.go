package protocol

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/vclock"
)

// memStore is the obviously right store: lists of ops with their chains.
type memStore struct {
	feeds map[Feed]*memFeed
	order []vclock.Dot // arrival, per space in spaces
	in    []string
}

type memFeed struct {
	entries []Entry
	chains  []Chain
}

func newMemStore() *memStore { return &memStore{feeds: map[Feed]*memFeed{}} }

func (s *memStore) feedsSorted() []Feed {
	return slices.SortedFunc(maps.Keys(s.feeds), Feed.Compare)
}

func (s *memStore) head(f Feed) Head {
	m := s.feeds[f]
	if m == nil {
		return Head{}
	}
	n := len(m.entries)
	c, _ := s.chain(f, vclock.Seq(n))
	return Head{vclock.Seq(n), c}
}

func (s *memStore) chain(f Feed, n vclock.Seq) (Chain, bool) {
	m := s.feeds[f]
	switch {
	case n == 0:
		return Chain{}, true
	case m == nil || int(n) > len(m.chains):
		return Chain{}, false
	}
	return m.chains[n-1], true
}

func (s *memStore) append(f Feed, e Entry) {
	h := s.head(f)
	m := s.feeds[f]
	if m == nil {
		m = &memFeed{}
		s.feeds[f] = m
	}
	m.entries = append(m.entries, e)
	m.chains = append(m.chains, h.Chain.Next(e.Hash))
	s.order = append(s.order, vclock.Dot{Origin: f.Origin, Seq: h.Seq + 1})
	s.in = append(s.in, f.Space)
}

// truncate takes ops behind n out of a feed.
func (s *memStore) truncate(f Feed, n int) {
	m := s.feeds[f]
	m.entries, m.chains = m.entries[:n], m.chains[:n]
	if n == 0 {
		delete(s.feeds, f)
	}
	for i := len(s.order) - 1; i >= 0; i-- {
		if s.in[i] == f.Space && s.order[i].Origin == f.Origin && int(s.order[i].Seq) > n {
			s.order, s.in = slices.Delete(s.order, i, i+1), slices.Delete(s.in, i, i+1)
		}
	}
}

func (s *memStore) ingest(frames []Frame) (grew []Feed, err error) {
	for _, f := range frames {
		h := s.head(f.Feed)
		meet := min(h.Seq, f.To())
		if f.From > h.Seq+1 {
			return grew, fmt.Errorf("gap: %s from %d, held %d", f.Origin, f.From, h.Seq)
		}
		ours, _ := s.chain(f.Feed, meet)
		if theirs, _ := f.ChainAt(meet); ours != theirs {
			return grew, fmt.Errorf("fork: %s at %d", f.Origin, meet)
		}
		if f.To() <= h.Seq {
			continue
		}
		for _, e := range f.Entries[h.Seq+1-f.From:] {
			s.append(f.Feed, e)
		}
		if !slices.Contains(grew, f.Feed) {
			grew = append(grew, f.Feed)
		}
	}
	return grew, nil
}

func (s *memStore) frame(f Feed, from vclock.Seq, most int) (Frame, bool) {
	m := s.feeds[f]
	if m == nil || from == 0 || int(from) > len(m.entries) {
		return Frame{}, false
	}
	prev, _ := s.chain(f, from-1)
	to := min(int(from)-1+most, len(m.entries))
	last, _ := s.chain(f, vclock.Seq(to))
	return Frame{Feed: f, From: from, Prev: prev, Last: last, Entries: m.entries[from-1 : to]}, true
}

// missing gives frames behind a vector in order of arrival, a few ops of them.
func (s *memStore) missing(space string, after vclock.Vector, most int) ([]Frame, vclock.Vector, bool) {
	var frames []Frame
	count := 0
	for i, d := range s.order {
		if s.in[i] != space || after.Covers(d) {
			continue
		}
		if count == most {
			return frames, after, true
		}
		count++
		f := Feed{space, d.Origin}
		if n := len(frames); n > 0 && frames[n-1].Feed == f {
			frames[n-1], _ = s.frame(f, frames[n-1].From, len(frames[n-1].Entries)+1)
		} else {
			one, _ := s.frame(f, d.Seq, 1)
			frames = append(frames, one)
		}
		after = after.With(d)
	}
	return frames, after, false
}

// states is what the store says to an Attach.
func (s *memStore) states(a Attach) []SpaceState {
	theirs := map[Feed]vclock.Seq{}
	spaces := map[string]bool{}
	for _, sp := range a.Spaces {
		spaces[sp.Space] = true
		for _, f := range sp.Feeds {
			theirs[Feed{sp.Space, f.Origin}] = f.Seq
		}
	}
	var states []SpaceState
	for _, f := range s.feedsSorted() {
		if !a.Everything && !spaces[f.Space] {
			continue
		}
		h := s.head(f)
		if h.Seq == 0 {
			continue
		}
		n := min(h.Seq, theirs[f])
		c, _ := s.chain(f, n)
		if len(states) == 0 || states[len(states)-1].Space != f.Space {
			states = append(states, SpaceState{Space: f.Space})
		}
		last := &states[len(states)-1]
		last.Feeds = append(last.Feeds, FeedState{OriginHead: OriginHead{f.Origin, h}, Common: Head{n, c}})
	}
	return states
}

// dump shows everything held, for comparing stores.
func (s *memStore) dump() string {
	var b strings.Builder
	for _, f := range s.feedsSorted() {
		if h := s.head(f); h.Seq > 0 {
			fmt.Fprintf(&b, "%s %s %d %x\n", f.Space, f.Origin, h.Seq, h.Chain[:4])
		}
	}
	return b.String()
}

// kindOf names a message for fault rules.
func kindOf(m Message) string {
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", m), "protocol."))
}

// describe shows a message without what differs from run to run.
func describe(m Message) string {
	switch m := m.(type) {
	case Receipts:
		var s strings.Builder
		s.WriteString("receipts")
		for _, r := range m.Receipts {
			s.WriteString(fmt.Sprintf(" %s:%d@%s", r.Origin, r.Seq, r.Incarnation))
		}
		return s.String()
	case Attach:
		var s strings.Builder
		s.WriteString("attach as " + string(m.Origin))
		for _, sp := range m.Spaces {
			s.WriteString(" " + sp.Space + "[")
			for i, f := range sp.Feeds {
				s.WriteString(strings.Repeat(" ", min(i, 1)) + fmt.Sprintf("%s:%d", f.Origin, f.Seq))
			}
			s.WriteString("]")
		}
		return s.String()
	case Attached:
		var s strings.Builder
		s.WriteString(fmt.Sprintf("attached %d/%d", m.StoresRequired, m.Stores))
		for _, sp := range m.Spaces {
			s.WriteString(" " + sp.Space + "[")
			for i, f := range sp.Feeds {
				s.WriteString(strings.Repeat(" ", min(i, 1)) + fmt.Sprintf("%s:%d common %d", f.Origin, f.Seq, f.Common.Seq))
			}
			s.WriteString("]")
		}
		return s.String()
	case Refused:
		return fmt.Sprintf("refused %v: %s", m.Code, m.Detail)
	case Deliver:
		var s strings.Builder
		s.WriteString(fmt.Sprintf("deliver %d", m.N))
		for _, f := range m.Frames {
			s.WriteString(fmt.Sprintf(" %s:%d-%d", f.Origin, f.From, f.To()))
		}
		return s.String()
	case Credit:
		return fmt.Sprintf("credit %d", m.N)
	case Heartbeat:
		return fmt.Sprintf("heartbeat %d", m.N)
	case Want:
		return fmt.Sprintf("want %s from %d", m.Origin, m.From)
	case HeadsAsk:
		return fmt.Sprintf("heads? %d feeds", len(m.Feeds))
	case ChainsAsk:
		return fmt.Sprintf("chains? %s %d", m.Origin, m.Seqs)
	case Chains:
		var s strings.Builder
		s.WriteString("chains " + string(m.Origin))
		for _, h := range m.Heads {
			s.WriteString(fmt.Sprintf(" %d", h.Seq))
		}
		return s.String()
	}
	return kindOf(m)
}

// factText shows a fact on a line.
func factText(f Fact) string {
	if e, ok := f.(Equivocation); ok {
		return fmt.Sprintf("Equivocation{%v Seq:%d}", e.Feed, e.Seq)
	}
	return strings.ReplaceAll(strings.TrimPrefix(fmt.Sprintf("%T%+v", f, f), "protocol."), "Space:s1 Origin:", "")
}
