package protocol

import (
	"fmt"
	"hash/crc32"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the messages in an Envelope.
const (
	numUpload        protowire.Number = 2
	numReceipts      protowire.Number = 3
	numAttach        protowire.Number = 4
	numAttached      protowire.Number = 5
	numRefused       protowire.Number = 6
	numDeliver       protowire.Number = 7
	numCredit        protowire.Number = 8
	numHeartbeat     protowire.Number = 9
	numWant          protowire.Number = 10
	numHeadsAsk      protowire.Number = 11
	numChainsAsk     protowire.Number = 12
	numChains        protowire.Number = 13
	numDetach        protowire.Number = 14
	numDigestAsk     protowire.Number = 15
	numDigest        protowire.Number = 16
	numSnapshotBegin protowire.Number = 17
	numSnapshotPiece protowire.Number = 18
	numSnapshotEnd   protowire.Number = 19
	numOpAsk         protowire.Number = 20
	numClockAsk      protowire.Number = 21
	numClockTold     protowire.Number = 22
	numClaimAsk      protowire.Number = 23
	numClaimTold     protowire.Number = 24
	numSignal        protowire.Number = 25
	numSignalAsk     protowire.Number = 26
)

// sumTag is the tag of Envelope.crc32c: field 2047, fixed32. The number leaves
// room for the messages to come, so that the checksum stays the last field.
const sumTag = "\xfd\x7f"

// sumBytes is the size of the checksum with its tag.
const sumBytes = len(sumTag) + 4

// appendSum appends the checksum over b from start on.
func appendSum(b []byte, start int) []byte {
	sum := crc32.Checksum(b[start:], castagnoli)
	return protowire.AppendFixed32(append(b, sumTag...), sum)
}

// AppendMessage appends the envelope with m to b. It returns an error that
// wraps ErrMalformed, ErrTooBig or ErrChain, and b as it was, for a message
// that [DecodeMessage] would refuse. m must not be nil.
func AppendMessage(b []byte, m Message) ([]byte, error) {
	if err := check(m); err != nil {
		return b, fmt.Errorf("encode %T: %w", m, err)
	}
	num, body, err := encode(m)
	if err != nil {
		return b, fmt.Errorf("encode %T: %w", m, err)
	}
	start := len(b)
	b = putUint(b, 1, Version)
	b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), body)
	b = appendSum(b, start)
	if n := len(b) - start; n > MaxMessageBytes {
		return b[:start], fmt.Errorf("encode %T: %d bytes: %w", m, n, ErrTooBig)
	}
	return b, nil
}

func encode(m Message) (protowire.Number, []byte, error) {
	switch m := m.(type) {
	case Upload:
		frame, err := AppendFrame(nil, &m.Frame, m.Compression)
		return numUpload, putBytes(nil, 1, frame), err
	case Receipts:
		return numReceipts, encodeReceipts(m), nil
	case Attach:
		return numAttach, encodeAttach(m), nil
	case Attached:
		return numAttached, encodeAttached(m), nil
	case Refused:
		b := putFixed64(nil, 1, m.Request)
		b = putString(putUint(b, 2, uint64(m.Code)), 3, m.Detail)
		return numRefused, putUint(b, 4, uint64(m.RetryAfter/time.Millisecond)), nil
	case Deliver:
		b, err := encodeDeliver(m)
		return numDeliver, b, err
	case Credit:
		return numCredit, putUint(putFixed64(nil, 1, m.Attachment), 2, m.N), nil
	case Heartbeat:
		return numHeartbeat, putUint(putFixed64(nil, 1, m.Attachment), 2, m.N), nil
	case Want:
		return numWant, putUint(putFeed(nil, 1, m.Feed), 2, uint64(m.From)), nil
	case OpAsk:
		return numOpAsk, putUint(putFeed(nil, 1, m.Feed), 2, uint64(m.Seq)), nil
	case ClockAsk:
		return numClockAsk, encodeClockAsk(m), nil
	case ClockTold:
		return numClockTold, encodeClockTold(m), nil
	case ClaimAsk:
		return numClaimAsk, encodeClaimAsk(m), nil
	case ClaimTold:
		return numClaimTold, encodeClaimTold(m), nil
	case Signal:
		return numSignal, encodeSignal(m), nil
	case SignalAsk:
		return numSignalAsk, putString(putString(nil, 1, m.Space), 2, m.Session), nil
	case HeadsAsk:
		b := putString(nil, 1, m.Node)
		for _, f := range m.Feeds {
			b = putFeed(b, 2, f)
		}
		return numHeadsAsk, b, nil
	case ChainsAsk:
		return numChainsAsk, encodeChainsAsk(m), nil
	case Chains:
		b := putFeed(nil, 1, m.Feed)
		for _, h := range m.Heads {
			b = putHead(b, 2, h)
		}
		return numChains, b, nil
	case Detach:
		return numDetach, putFixed64(nil, 1, m.Attachment), nil
	case DigestAsk:
		b := putString(putString(nil, 1, m.Node), 2, m.Space)
		b = putBytes(b, 3, m.Vector.AppendBinary(nil))
		return numDigestAsk, putChain(b, 4, Chain(m.Sum)), nil
	case Digest:
		b := putBytes(putString(nil, 1, m.Space), 2, m.Vector.AppendBinary(nil))
		return numDigest, putUint(b, 3, uint64(m.Agreement)), nil
	case SnapshotBegin:
		b := putSnapshot(m.Attachment, m.N, m.Space)
		return numSnapshotBegin, putOriginHeads(b, 4, m.Feeds), nil
	case SnapshotPiece:
		return numSnapshotPiece, encodePiece(m), nil
	case SnapshotEnd:
		return numSnapshotEnd, putChain(putSnapshot(m.Attachment, m.N, m.Space), 4, Chain(m.Sum)), nil
	default:
		panic(fmt.Sprintf("protocol: message %T", m))
	}
}

func encodeReceipts(m Receipts) []byte {
	var b []byte
	for _, r := range m.Receipts {
		b = putNested(b, 1, func(b []byte) []byte {
			b = putUint(putFeed(b, 1, r.Feed), 2, uint64(r.Seq))
			b = putString(putChain(b, 3, r.Chain), 4, r.Store)
			return putString(b, 5, r.Incarnation)
		})
	}
	return b
}

func encodeAttach(m Attach) []byte {
	b := putFixed64(nil, 1, m.Request)
	b = putString(b, 2, m.Node)
	b = putString(b, 3, m.Instance)
	b = putString(b, 4, m.Cluster)
	b = putString(b, 5, string(m.Origin))
	b = putBool(b, 6, m.Everything)
	for _, s := range m.Spaces {
		b = putNested(b, 7, func(b []byte) []byte {
			return putOriginHeads(putString(b, 1, s.Space), 2, s.Feeds)
		})
	}
	return b
}

func encodeAttached(m Attached) []byte {
	b := putFixed64(putFixed64(nil, 1, m.Request), 2, m.Attachment)
	b = putString(putString(b, 3, m.Store), 4, m.Incarnation)
	b = putUint(b, 5, uint64(m.Stores))
	b = putUint(b, 6, uint64(m.StoresRequired))
	b = putUint(b, 7, uint64(m.Partitions))
	for _, s := range m.Spaces {
		b = putNested(b, 8, func(b []byte) []byte {
			b = putString(b, 1, s.Space)
			for _, f := range s.Feeds {
				b = putNested(b, 2, func(b []byte) []byte { return putFeedState(b, f) })
			}
			return b
		})
	}
	return b
}

func putFeedState(b []byte, f FeedState) []byte {
	b = putHead(putString(b, 1, string(f.Origin)), 2, f.Head)
	if f.Common != f.Head {
		b = putHead(b, 3, f.Common)
	}
	return putUint(b, 4, uint64(f.Floor))
}

func encodeDeliver(m Deliver) ([]byte, error) {
	b := putUint(putFixed64(nil, 1, m.Attachment), 2, m.N)
	for i := range m.Frames {
		frame, err := AppendFrame(nil, &m.Frames[i], m.Compression)
		if err != nil {
			return nil, err
		}
		b = putBytes(b, 3, frame)
	}
	return b, nil
}

func encodeChainsAsk(m ChainsAsk) []byte {
	b := putFeed(putString(nil, 1, m.Node), 2, m.Feed)
	return putNested(b, 3, func(b []byte) []byte {
		for _, n := range m.Seqs {
			b = protowire.AppendVarint(b, uint64(n))
		}
		return b
	})
}

func encodePiece(m SnapshotPiece) []byte {
	b := putString(putSnapshot(m.Attachment, m.N, m.Space), 4, m.Session)
	for _, p := range m.Entries {
		b = putNested(b, 5, func(b []byte) []byte { return putBytes(putBytes(b, 1, p.Key), 2, p.Value) })
	}
	return b
}

func putSnapshot(attachment, n uint64, space string) []byte {
	return putString(putUint(putFixed64(nil, 1, attachment), 2, n), 3, space)
}

func putFeed(b []byte, num protowire.Number, f Feed) []byte {
	return putNested(b, num, func(b []byte) []byte {
		return putString(putString(b, 1, f.Space), 2, string(f.Origin))
	})
}

func putHead(b []byte, num protowire.Number, h Head) []byte {
	return putNested(b, num, func(b []byte) []byte {
		return putChain(putUint(b, 1, uint64(h.Seq)), 2, h.Chain)
	})
}

func putOriginHeads(b []byte, num protowire.Number, feeds []OriginHead) []byte {
	for _, f := range feeds {
		b = putNested(b, num, func(b []byte) []byte {
			return putChain(putUint(putString(b, 1, string(f.Origin)), 2, uint64(f.Seq)), 3, f.Chain)
		})
	}
	return b
}
