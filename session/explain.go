package session

import (
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// Placing says why a message stands behind the one before it on its page.
type Placing struct {
	After string `json:"after,omitempty"` // id of the message before it; empty at the first one
	// Why is "first"; "causality": its author had seen the message before it;
	// "stamp": they are concurrent and its stamp, or that of its branch, is
	// later; "tie": the stamps are equal and its origin is larger; "result": it
	// closes a tool call and stands with that.
	Why    string    `json:"why"`
	Detail string    `json:"detail"` // for people
	Op     string    `json:"op"`
	Stamp  time.Time `json:"stamp"`
	Count  uint16    `json:"count"` // within the stamp's millisecond
	Trust  string    `json:"trust"` // class of the clock that made the stamp
	// BoundMS is how far the stamp may be off; absent: nobody vouches for it.
	BoundMS *int64 `json:"bound_ms,omitempty"`
	Path    string `json:"path,omitempty"` // of causality: what its author had seen
}

// maxAncestors bounds how far a branch is followed to where it begins.
const maxAncestors = 1024

// explain says of each message of a page, in the session's order, why it stands
// behind the one before it.
func (rd *reading) explain(page []Message) error {
	var before Op
	for i := range page {
		if page[i].Synthetic != "" {
			continue
		}
		op, _, err := opAt(rd.r, rd.space, page[i].Dot)
		if err != nil {
			return err
		}
		p := &Placing{Why: "first", Detail: "the first message of the page", Op: op.Dot.String(),
			Stamp: op.Stamp.Time(), Count: op.Stamp.Logical, Trust: op.Stamp.Trust.String()}
		if op.Stamp.Trust != clocksync.Unsynced {
			p.BoundMS = new(clocksync.MaxAhead.Milliseconds())
		}
		if with := standsBehind(op, before); i > 0 && with != "" {
			p.After, p.Why = page[i-1].ID, "result"
			p.Detail = "it closes a call of " + with + " and stands with it"
		} else if i > 0 {
			p.After = page[i-1].ID
			if err := rd.place(p, page[i-1:i+1], before, op); err != nil {
				return err
			}
		}
		page[i].Placing, before = p, op
	}
	return nil
}

// standsBehind gives the message whose call op closes, if the message before is
// that one or has closed a call of it too.
func standsBehind(op, before Op) string {
	put, ok := op.Body.(Put)
	if !ok || put.CallOf == "" {
		return ""
	}
	earlier, _ := before.Body.(Put)
	if before.Body != nil && MessageID(&before) == put.CallOf || earlier.CallOf == put.CallOf {
		return put.CallOf
	}
	return ""
}

// place explains the second of two messages, by the ops a and b.
func (rd *reading) place(p *Placing, msgs []Message, a, b Op) error {
	if b.Deps.Covers(a.Dot) || a.Dot.Origin == b.Dot.Origin && a.Dot.Seq < b.Dot.Seq {
		p.Why = "causality"
		p.Path = fmt.Sprintf("%v was written after its author had seen %v:%d", b.Dot, a.Dot.Origin, seenOf(b, a.Dot.Origin))
		p.Detail = "its author had seen the message before it"
		if msgs[1].Parent == msgs[0].ID {
			p.Detail = "it replies to the message before it"
		}
		return nil
	}
	if rd.m.order() == Chat {
		p.byRank(a, b, "the message before it")
		return nil
	}
	// Depth first: b begins a branch beside the one that ends with a.
	top, found, err := rd.branchTop(msgs[0], msgs[1].Parent)
	if err != nil {
		return err
	}
	if !found {
		p.Why, p.Detail = "stamp", fmt.Sprintf(
			"its branch stands behind the one before it, which begins more than %d messages back", maxAncestors)
		return nil
	}
	first, _, err := opAt(rd.r, rd.space, top.Dot)
	if err != nil {
		return err
	}
	where := "the branch before it, which begins with " + top.ID
	if top.ID == msgs[0].ID {
		where = "the message before it"
	}
	if b.Deps.Covers(first.Dot) {
		p.Why, p.Detail = "causality", "its author had seen the beginning of "+where
		p.Path = fmt.Sprintf("%v was written after its author had seen %v", b.Dot, first.Dot)
		return nil
	}
	p.byRank(first, b, where)
	return nil
}

// byRank explains two concurrent messages by their ranks. A message that was put
// twice is shown with the put of the lesser rank, which decides its place.
func (p *Placing) byRank(a, b Op, where string) {
	if a.Stamp.Compare(b.Stamp) == 0 {
		p.Why, p.Detail = "tie", fmt.Sprintf("concurrent to %s, with the same stamp; origin %s is larger than %s",
			where, b.Dot.Origin, a.Dot.Origin)
		return
	}
	p.Why, p.Detail = "stamp", fmt.Sprintf("concurrent to %s; stamp %v is later than %v", where, b.Stamp, a.Stamp)
}

// branchTop is the ancestor of m, or m, whose parent is given; false if it is too
// far back.
func (rd *reading) branchTop(m Message, parent string) (Message, bool, error) {
	for range maxAncestors {
		if m.Parent == parent || m.Parent == "" {
			return m, true, nil
		}
		var err error
		if m, err = MessageByID(rd.r, rd.space, rd.session, m.Parent); err != nil {
			return m, false, err
		}
	}
	return m, false, nil
}

func seenOf(op Op, o vclock.Origin) vclock.Seq {
	if o == op.Dot.Origin {
		return op.Dot.Seq - 1
	}
	return op.Deps.At(o)
}
