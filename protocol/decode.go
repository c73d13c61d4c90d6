package protocol

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"
)

// DecodeMessage reads one envelope. It returns an error that wraps ErrChecksum
// for what was damaged on its way, ErrVersion or ErrUnknownMessage for what a
// later version wrote, ErrTooBig for what exceeds a bound, ErrMalformed, or a
// *FrameError. One flipped bit, wherever it is, gives ErrChecksum or ErrMalformed. The message may share
// memory with b. Memory is bounded by MaxMessageBytes times a small constant,
// and by MaxFrameRawBytes for each compressed frame.
func DecodeMessage(b []byte) (Message, error) {
	if len(b) > MaxMessageBytes {
		return nil, fmt.Errorf("message of %d bytes: %w", len(b), ErrTooBig)
	}
	b, err := unseal(b)
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	var version uint64
	var body field
	err = eachField(b, func(v field) (err error) {
		switch {
		case v.num == 1:
			version, err = v.uint()
		case v.typ == protowire.BytesType && body.num != 0:
			return fmt.Errorf("two messages in an envelope: %w", ErrMalformed)
		case v.typ == protowire.BytesType:
			body = v
		}
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("envelope: %w", err)
	case version == 0 || body.num == 0:
		return nil, fmt.Errorf("envelope is incomplete: %w", ErrMalformed)
	case version > Version:
		return nil, fmt.Errorf("message of version %d: %w", version, ErrVersion)
	}
	m, err := decode(body)
	if err == nil {
		err = check(m)
	}
	if err != nil {
		return nil, fmt.Errorf("message %d: %w", body.num, err)
	}
	return m, nil
}

// unseal verifies the checksum at the end of an envelope and gives what stands
// before it.
func unseal(b []byte) ([]byte, error) {
	end := len(b) - sumBytes
	if end < 0 || string(b[end:end+len(sumTag)]) != sumTag {
		return nil, fmt.Errorf("no checksum at the end: %w", ErrMalformed)
	}
	if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end+len(sumTag):]) {
		return nil, ErrChecksum
	}
	return b[:end], nil
}

func decode(f field) (Message, error) {
	b := f.data
	switch f.num {
	case numUpload:
		return decodeUpload(b)
	case numReceipts:
		return decodeReceipts(b)
	case numAttach:
		return decodeAttach(b)
	case numAttached:
		return decodeAttached(b)
	case numRefused:
		return decodeRefused(b)
	case numDeliver:
		return decodeDeliver(b)
	case numCredit:
		a, n, err := decodePair(b)
		return Credit{a, n}, err
	case numHeartbeat:
		a, n, err := decodePair(b)
		return Heartbeat{a, n}, err
	case numWant:
		return decodeWant(b)
	case numOpAsk:
		w, err := decodeWant(b) // the same fields
		return OpAsk{Feed: w.Feed, Seq: w.From}, err
	case numClockAsk:
		return decodeClockAsk(b)
	case numClockTold:
		return decodeClockTold(b)
	case numClaimAsk:
		return decodeClaimAsk(b)
	case numClaimTold:
		return decodeClaimTold(b)
	case numSignal:
		return decodeSignal(b)
	case numSignalAsk:
		return decodeSignalAsk(b)
	case numHeadsAsk:
		return decodeHeadsAsk(b)
	case numChainsAsk:
		return decodeChainsAsk(b)
	case numChains:
		return decodeChains(b)
	case numDetach:
		a, _, err := decodePair(b)
		return Detach{a}, err
	case numDigestAsk:
		return decodeDigestAsk(b)
	case numDigest:
		return decodeDigest(b)
	case numSnapshotBegin:
		return decodeSnapshotBegin(b)
	case numSnapshotPiece:
		return decodeSnapshotPiece(b)
	case numSnapshotEnd:
		return decodeSnapshotEnd(b)
	default:
		return nil, fmt.Errorf("number %d: %w", f.num, ErrUnknownMessage)
	}
}

func decodeUpload(b []byte) (Upload, error) {
	var m Upload
	seen := false
	err := eachField(b, func(v field) error {
		if v.num != 1 {
			return nil
		}
		if seen {
			return v.malformed("two frames")
		}
		data, err := v.bytes()
		if err == nil {
			seen = true
			m.Frame, m.Compression, err = decodeFrame(data)
		}
		return err
	})
	return m, err
}

func decodeDeliver(b []byte) (Deliver, error) {
	var m Deliver
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Attachment, err = v.fixed64()
		case 2:
			m.N, err = v.uint()
		case 3:
			var data []byte
			if data, err = v.bytes(); err != nil {
				return err
			}
			if len(m.Frames) == MaxDeliverFrames {
				return fmt.Errorf("more than %d frames: %w", MaxDeliverFrames, ErrTooBig)
			}
			f, how, err := decodeFrame(data)
			m.Frames, m.Compression = append(m.Frames, f), max(m.Compression, how)
			return err
		}
		return err
	})
	return m, err
}

func decodeReceipts(b []byte) (Receipts, error) {
	var m Receipts
	err := eachNested(b, 1, MaxReceipts, func(b []byte) error {
		var r Receipt
		err := eachField(b, func(v field) (err error) {
			switch v.num {
			case 1:
				r.Feed, err = v.feed()
			case 2:
				r.Seq, err = v.seq()
			case 3:
				r.Chain, err = v.chain()
			case 4:
				r.Store, err = v.name()
			case 5:
				r.Incarnation, err = v.name()
			}
			return err
		})
		m.Receipts = append(m.Receipts, r)
		return err
	})
	return m, err
}

func decodeAttach(b []byte) (Attach, error) {
	var m Attach
	room := MaxFeedsPerAttach
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Request, err = v.fixed64()
		case 2:
			m.Node, err = v.name()
		case 3:
			m.Instance, err = v.name()
		case 4:
			m.Cluster, err = v.name()
		case 5:
			m.Origin, err = v.origin()
		case 6:
			m.Everything, err = v.bool()
		case 7:
			var s SpaceHeads
			if len(m.Spaces) == MaxSpacesPerNode {
				return fmt.Errorf("more than %d spaces: %w", MaxSpacesPerNode, ErrTooBig)
			}
			s, err = v.spaceHeads(room)
			m.Spaces = append(m.Spaces, s)
			room -= len(s.Feeds)
		}
		return err
	})
	return m, err
}

func decodeAttached(b []byte) (Attached, error) {
	var m Attached
	room := 2 * MaxFeedsPerAttach
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Request, err = v.fixed64()
		case 2:
			m.Attachment, err = v.fixed64()
		case 3:
			m.Store, err = v.name()
		case 4:
			m.Incarnation, err = v.name()
		case 5:
			m.Stores, err = v.count()
		case 6:
			m.StoresRequired, err = v.count()
		case 7:
			m.Partitions, err = v.count()
		case 8:
			var s SpaceState
			if len(m.Spaces) == MaxSpacesPerNode {
				return fmt.Errorf("more than %d spaces: %w", MaxSpacesPerNode, ErrTooBig)
			}
			s, err = v.spaceState(room)
			m.Spaces = append(m.Spaces, s)
			room -= len(s.Feeds)
		}
		return err
	})
	return m, err
}

func decodeRefused(b []byte) (Refused, error) {
	var m Refused
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Request, err = v.fixed64()
		case 2:
			var n int
			n, err = v.count()
			m.Code = Code(n)
		case 3:
			m.Detail, err = v.text(MaxDetailBytes)
		case 4:
			m.RetryAfter, err = v.millis()
		}
		return err
	})
	return m, err
}

func decodePair(b []byte) (attachment, n uint64, err error) {
	err = eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			attachment, err = v.fixed64()
		case 2:
			n, err = v.uint()
		}
		return err
	})
	return attachment, n, err
}

func decodeWant(b []byte) (Want, error) {
	var m Want
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Feed, err = v.feed()
		case 2:
			m.From, err = v.seq()
		}
		return err
	})
	return m, err
}

func decodeHeadsAsk(b []byte) (HeadsAsk, error) {
	var m HeadsAsk
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Node, err = v.name()
		case 2:
			var f Feed
			if len(m.Feeds) == MaxFeedsPerAsk {
				return fmt.Errorf("more than %d feeds: %w", MaxFeedsPerAsk, ErrTooBig)
			}
			f, err = v.feed()
			m.Feeds = append(m.Feeds, f)
		}
		return err
	})
	return m, err
}

func decodeChainsAsk(b []byte) (ChainsAsk, error) {
	var m ChainsAsk
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Node, err = v.name()
		case 2:
			m.Feed, err = v.feed()
		case 3:
			m.Seqs, err = v.seqs(m.Seqs, MaxSeqsPerAsk)
		}
		return err
	})
	return m, err
}

func decodeChains(b []byte) (Chains, error) {
	var m Chains
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Feed, err = v.feed()
		case 2:
			var h Head
			if len(m.Heads) == MaxSeqsPerAsk {
				return fmt.Errorf("more than %d heads: %w", MaxSeqsPerAsk, ErrTooBig)
			}
			h, err = v.head()
			m.Heads = append(m.Heads, h)
		}
		return err
	})
	return m, err
}

func decodeDigestAsk(b []byte) (DigestAsk, error) {
	var m DigestAsk
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Node, err = v.name()
		case 2:
			m.Space, err = v.name()
		case 3:
			m.Vector, err = v.vector()
		case 4:
			var c Chain
			c, err = v.chain()
			m.Sum = Sum(c)
		}
		return err
	})
	return m, err
}

func decodeDigest(b []byte) (Digest, error) {
	var m Digest
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			m.Space, err = v.name()
		case 2:
			m.Vector, err = v.vector()
		case 3:
			var n uint64
			if n, err = v.uint(); n > uint64(Differ) {
				return v.malformed("not an agreement")
			}
			m.Agreement = Agreement(n)
		}
		return err
	})
	return m, err
}

func decodeSnapshotBegin(b []byte) (SnapshotBegin, error) {
	var m SnapshotBegin
	err := eachField(b, func(v field) (err error) {
		if v.num == 4 {
			m.Feeds, err = v.originHeads(m.Feeds, MaxFeedsPerSpace)
			return err
		}
		return v.snapshot(&m.Attachment, &m.N, &m.Space)
	})
	return m, err
}

func decodeSnapshotPiece(b []byte) (SnapshotPiece, error) {
	var m SnapshotPiece
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 4:
			m.Session, err = v.name()
		case 5:
			var p Pair
			if len(m.Entries) == MaxPieceEntries {
				return fmt.Errorf("more than %d entries: %w", MaxPieceEntries, ErrTooBig)
			}
			p, err = v.pair()
			m.Entries = append(m.Entries, p)
		default:
			err = v.snapshot(&m.Attachment, &m.N, &m.Space)
		}
		return err
	})
	return m, err
}

func decodeSnapshotEnd(b []byte) (SnapshotEnd, error) {
	var m SnapshotEnd
	err := eachField(b, func(v field) error {
		if v.num == 4 {
			c, err := v.chain()
			m.Sum = Sum(c)
			return err
		}
		return v.snapshot(&m.Attachment, &m.N, &m.Space)
	})
	return m, err
}
