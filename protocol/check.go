package protocol

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/vclock"
)

// check holds a message against the rules of wire.proto that its types do not
// express. Encoder and decoder share it. Frames are verified where they are
// encoded and decoded.
func check(m Message) error {
	switch m := m.(type) {
	case Upload:
		return need(len(m.Frame.Entries) > 0, "frame")
	case Receipts:
		return checkReceipts(m)
	case Attach:
		return checkAttach(m)
	case Attached:
		return checkAttached(m)
	case Refused:
		return first(need(m.Code != 0 && m.Code <= MaxCount, "code"), need(utf8.ValidString(m.Detail), "detail"),
			need(m.RetryAfter >= 0 && m.RetryAfter <= 24*time.Hour, "retry_after"),
			most(len(m.Detail), MaxDetailBytes, "detail"))
	case Deliver:
		return first(numbered(m.Attachment, m.N), need(len(m.Frames) > 0, "frames"),
			most(len(m.Frames), MaxDeliverFrames, "frames"))
	case Credit:
		return need(m.Attachment != 0, "attachment")
	case Heartbeat:
		return need(m.Attachment != 0, "attachment")
	case Want:
		return first(checkFeed(m.Feed), checkSeq(m.From, 1))
	case OpAsk:
		return first(checkFeed(m.Feed), checkSeq(m.Seq, 1))
	case ClockAsk:
		return checkClockAsk(m)
	case ClockTold:
		return checkClockTold(m)
	case ClaimAsk:
		return checkClaimAsk(m)
	case ClaimTold:
		return checkClaimTold(m)
	case Signal:
		return checkSignal(m)
	case SignalAsk:
		return first(name(m.Space, "space"), name(m.Session, "session"))
	case HeadsAsk:
		return checkHeadsAsk(m)
	case ChainsAsk:
		return checkChainsAsk(m)
	case Chains:
		return checkChains(m)
	case Detach:
		return need(m.Attachment != 0, "attachment")
	case DigestAsk:
		return first(name(m.Node, "node"), name(m.Space, "space"))
	case Digest:
		return first(name(m.Space, "space"), need(m.Agreement <= Differ, "agreement"))
	case SnapshotBegin:
		return first(numbered(m.Attachment, m.N), name(m.Space, "space"), checkOriginHeads(m.Feeds))
	case SnapshotPiece:
		return checkPiece(m)
	case SnapshotEnd:
		return first(numbered(m.Attachment, m.N), name(m.Space, "space"))
	default:
		panic(fmt.Sprintf("protocol: message %T", m))
	}
}

func checkReceipts(m Receipts) error {
	if err := most(len(m.Receipts), MaxReceipts, "receipts"); err != nil {
		return err
	}
	for _, r := range m.Receipts {
		err := first(checkFeed(r.Feed), checkHead(r.Head), name(r.Store, "store"), name(r.Incarnation, "incarnation"))
		if err != nil {
			return err
		}
	}
	return nil
}

func checkAttach(m Attach) error {
	err := first(need(m.Request != 0, "request"), name(m.Node, "node"), name(m.Instance, "instance"),
		name(m.Cluster, "cluster"), need(m.Origin == "" || validOrigin(m.Origin), "origin"),
		most(len(m.Spaces), MaxSpacesPerNode, "spaces"))
	if err != nil {
		return err
	}
	feeds, last := 0, ""
	for _, s := range m.Spaces {
		feeds += len(s.Feeds)
		err := first(name(s.Space, "space"), need(s.Space > last, "order of spaces"), checkOriginHeads(s.Feeds),
			most(feeds, MaxFeedsPerAttach, "feeds"))
		if err != nil {
			return err
		}
		last = s.Space
	}
	return nil
}

func checkAttached(m Attached) error {
	err := first(need(m.Request != 0, "request"), need(m.Attachment != 0, "attachment"), name(m.Store, "store"),
		name(m.Incarnation, "incarnation"), need(m.StoresRequired >= 1 && m.StoresRequired <= m.Stores, "stores"),
		most(m.Stores, MaxStores, "stores"), need(m.Partitions >= 1, "partitions"),
		most(m.Partitions, MaxCount, "partitions"), most(len(m.Spaces), MaxSpacesPerNode, "spaces"))
	if err != nil {
		return err
	}
	feeds, last := 0, ""
	for _, s := range m.Spaces {
		feeds += len(s.Feeds)
		err := first(name(s.Space, "space"), need(s.Space > last, "order of spaces"),
			most(feeds, 2*MaxFeedsPerAttach, "feeds"))
		if err != nil {
			return err
		}
		last = s.Space
		lastOrigin := vclock.Origin("")
		for _, f := range s.Feeds {
			err := first(need(validOrigin(f.Origin), "origin"), need(f.Origin > lastOrigin, "order of origins"),
				checkHead(f.Head), checkHead(f.Common), need(f.Common.Seq <= f.Head.Seq, "common"),
				need(f.Common.Seq < f.Head.Seq || f.Common == f.Head, "common chain"),
				need(f.Floor <= f.Head.Seq, "floor"))
			if err != nil {
				return err
			}
			lastOrigin = f.Origin
		}
	}
	return nil
}

func checkHeadsAsk(m HeadsAsk) error {
	err := first(name(m.Node, "node"), need(len(m.Feeds) > 0, "feeds"), most(len(m.Feeds), MaxFeedsPerAsk, "feeds"))
	for _, f := range m.Feeds {
		err = first(err, checkFeed(f))
	}
	return err
}

func checkChainsAsk(m ChainsAsk) error {
	err := first(name(m.Node, "node"), checkFeed(m.Feed), need(len(m.Seqs) > 0, "seqs"),
		most(len(m.Seqs), MaxSeqsPerAsk, "seqs"))
	for _, n := range m.Seqs {
		err = first(err, checkSeq(n, 1))
	}
	return err
}

func checkChains(m Chains) error {
	err := first(checkFeed(m.Feed), most(len(m.Heads), MaxSeqsPerAsk, "heads"))
	for _, h := range m.Heads {
		err = first(err, checkHead(h))
	}
	return err
}

func checkPiece(m SnapshotPiece) error {
	err := first(numbered(m.Attachment, m.N), name(m.Space, "space"),
		need(m.Session == "" || validName(m.Session), "session"), most(len(m.Entries), MaxPieceEntries, "entries"))
	for _, p := range m.Entries {
		err = first(err, need(len(p.Key) > 0, "key"), most(len(p.Key), MaxKeyBytes, "key"))
	}
	return err
}

func checkOriginHeads(feeds []OriginHead) error {
	if err := most(len(feeds), MaxFeedsPerSpace, "feeds"); err != nil {
		return err
	}
	last := vclock.Origin("")
	for _, f := range feeds {
		err := first(need(validOrigin(f.Origin), "origin"), need(f.Origin > last, "order of origins"), checkHead(f.Head))
		if err != nil {
			return err
		}
		last = f.Origin
	}
	return nil
}

func checkFeed(f Feed) error {
	return first(name(f.Space, "space"), need(validOrigin(f.Origin), "origin"))
}

func checkHead(h Head) error {
	return first(checkSeq(h.Seq, 0), need(h.Seq > 0 || h.Chain == Chain{}, "chain of the empty feed"))
}

func checkSeq(n, least vclock.Seq) error {
	if n > MaxSeq {
		return fmt.Errorf("number %d: %w", n, ErrTooBig)
	}
	return need(n >= least, "number")
}

func numbered(attachment, n uint64) error {
	return first(need(attachment != 0, "attachment"), need(n != 0, "n"))
}

func name(s, what string) error { return need(validName(s), what) }

func need(ok bool, what string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%s: %w", what, ErrMalformed)
}

func most(n, bound int, what string) error {
	if n <= bound {
		return nil
	}
	return fmt.Errorf("%d %s: %w", n, what, ErrTooBig)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
