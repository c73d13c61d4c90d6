package drive

import (
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/vclock"
)

// Problem is a degraded mode to put in force. Name is stable, Detail for people.
type Problem struct{ Name, Detail string }

// Reaction is what a node does about a fact of its edge half. The zero Reaction
// is nothing.
type Reaction struct {
	// Reissue makes ops of a feed of our own behind Seq again: see [Reissue].
	Reissue *protocol.FeedSeq
	// Renew takes a new origin: see [Renew]. Beside Reissue only if that fails.
	Renew   bool
	Why     string // of the new origin, for people
	Problem *Problem
}

// OnFact decides what a fact asks of a node that writes as ours; uploadOnly is
// that of its machine. For a feed of our own where the core holds other ops,
// ours are made again under a new origin, so that nothing that was acknowledged
// here is lost. As long as the place is only bounded it waits: what is written
// meanwhile under the old origin depends on ops that move, and has to move with
// them. Without an attachment nobody finds the place.
func OnFact(f protocol.Fact, ours vclock.Origin, uploadOnly bool) Reaction {
	switch f := f.(type) {
	case protocol.Regressed:
		if f.Origin != ours {
			return Reaction{}
		}
		// What is written until the new origin is kept has a number that the core's
		// op has, and what is written after that must not depend on it.
		return Reaction{Renew: true, Reissue: &protocol.FeedSeq{Feed: f.Feed, Seq: f.Ours}, Why: fmt.Sprintf(
			"the core holds op %d of %s, this node only %d: its storage was restored", f.Theirs, f.Origin, f.Ours)}
	case protocol.Fenced:
		return Reaction{Renew: f.Origin == ours, Why: fmt.Sprintf("the core refuses origin %s", f.Origin)}
	case protocol.Forked:
		return onFork(f, ours, uploadOnly)
	default:
		return Reaction{}
	}
}

func onFork(f protocol.Forked, ours vclock.Origin, uploadOnly bool) Reaction {
	if !f.Own {
		return Reaction{Problem: &Problem{"feed_forked",
			fmt.Sprintf("%s of %s differs from the core's at op %d", f.Origin, f.Space, f.At)}}
	}
	r := Reaction{Why: fmt.Sprintf("the core holds other content of %s from op %d on", f.Origin, f.At)}
	found := f.At <= f.After+1
	if found {
		r.Reissue = &protocol.FeedSeq{Feed: f.Feed, Seq: f.After}
	}
	r.Renew = f.Origin == ours && (found || uploadOnly)
	return r
}
