package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/causeway-sync/causeway/vclock"
)

// The tables of this file: read only, and safe for concurrent use.
var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	packer     = newPacker()
	unpacker   = newUnpacker()
)

// crcTag is the tag byte of Frame.crc32c: field 15, fixed32.
const crcTag = 15<<3 | byte(protowire.Fixed32Type)

// NewFrame makes a frame of encoded ops that follow prev; it fills in the
// hashes and the last chain. The frame keeps the slices.
func NewFrame(f Feed, prev Head, ops [][]byte) Frame {
	fr := Frame{Feed: f, From: prev.Seq + 1, Prev: prev.Chain, Last: prev.Chain}
	for _, op := range ops {
		h := HashOp(op)
		fr.Entries = append(fr.Entries, Entry{Bytes: op, Hash: h})
		fr.Last = fr.Last.Next(h)
	}
	return fr
}

// Head is the feed's head after the frame.
func (f *Frame) Head() Head { return Head{Seq: f.To(), Chain: f.Last} }

// ChainAt gives the chain at a number from From-1 to To; false outside. It
// costs a hash per entry walked.
func (f *Frame) ChainAt(n vclock.Seq) (Chain, bool) {
	if n+1 < f.From || n > f.To() {
		return Chain{}, false
	}
	if n == f.To() {
		return f.Last, true
	}
	c := f.Prev
	for i := range f.Entries[:n+1-f.From] {
		c = c.Next(f.Entries[i].Hash)
	}
	return c, true
}

// Split gives the first n ops and the others as two frames, for 0 < n < number
// of ops. They share the frame's entries.
func (f *Frame) Split(n int) (front, back *Frame) {
	at := f.From + vclock.Seq(n)
	chain, _ := f.ChainAt(at - 1)
	return &Frame{Feed: f.Feed, From: f.From, Prev: f.Prev, Entries: f.Entries[:n:n], Last: chain},
		&Frame{Feed: f.Feed, From: at, Prev: chain, Entries: f.Entries[n:], Last: f.Last}
}

// Verify checks the frame's bounds and that its ops, hashes and chains agree.
// It returns a *FrameError around ErrMalformed, ErrTooBig or ErrChain.
func (f *Frame) Verify() error {
	fail := func(i int, err error) error {
		return &FrameError{Feed: f.Feed, From: f.From, Offset: i, Err: err}
	}
	switch {
	case !validName(f.Space) || !validOrigin(f.Origin):
		return fail(-1, fmt.Errorf("name of feed: %w", ErrMalformed))
	case f.From == 0 || f.From > MaxSeq || len(f.Entries) == 0:
		return fail(-1, fmt.Errorf("extent: %w", ErrMalformed))
	case len(f.Entries) > MaxFrameOps:
		return fail(-1, fmt.Errorf("%d ops: %w", len(f.Entries), ErrTooBig))
	case f.From == 1 && f.Prev != Chain{}:
		return fail(-1, fmt.Errorf("chain before the first op: %w", ErrChain))
	}
	c := f.Prev
	for i := range f.Entries {
		e := &f.Entries[i]
		if len(e.Bytes) > MaxOpBytes {
			return fail(i, fmt.Errorf("op of %d bytes: %w", len(e.Bytes), ErrTooBig))
		}
		if !e.Hollow && HashOp(e.Bytes) != e.Hash {
			return fail(i, fmt.Errorf("hash of op: %w", ErrChain))
		}
		c = c.Next(e.Hash)
	}
	if c != f.Last {
		return fail(-1, ErrChain)
	}
	return nil
}

// AppendFrame appends the encoded frame to b. It returns what [Frame.Verify]
// returns, or a *FrameError around ErrTooBig for more than MaxFrameBytes or
// MaxFrameRawBytes; then b comes back as it was. With Zstd it falls back to
// Plain when that is not longer.
func AppendFrame(b []byte, f *Frame, how Compression) ([]byte, error) {
	if err := f.Verify(); err != nil {
		return b, err
	}
	tooBig := func(n int) error {
		return &FrameError{Feed: f.Feed, From: f.From, Offset: -1, Err: fmt.Errorf("%d bytes: %w", n, ErrTooBig)}
	}
	raw := appendEntries(nil, f.Entries)
	if len(raw) > MaxFrameRawBytes {
		return b, tooBig(len(raw))
	}
	body := raw
	if how == Zstd {
		if body = packer.EncodeAll(raw, nil); len(body) >= len(raw) {
			how, body = Plain, raw
		}
	}
	start := len(b)
	b = putString(b, 1, f.Space)
	b = putString(b, 2, string(f.Origin))
	b = putUint(b, 3, uint64(f.From))
	b = putChain(b, 4, f.Prev)
	b = putChain(b, 5, f.Last)
	b = putUint(b, 6, uint64(len(f.Entries)))
	b = putUint(b, 7, uint64(how))
	b = putUint(b, 8, uint64(len(raw)))
	b = putBytes(b, 9, body)
	sum := crc32.Checksum(b[start:], castagnoli)
	b = protowire.AppendFixed32(append(b, crcTag), sum)
	if n := len(b) - start; n > MaxFrameBytes {
		return b[:start], tooBig(n)
	}
	return b, nil
}

// DecodeFrame reads a whole encoded frame and verifies checksum, bounds and
// chain. It returns a *FrameError around ErrMalformed, ErrTooBig, ErrChecksum
// or ErrChain. The frame may share memory with b. It allocates at most
// MaxFrameRawBytes and in proportion to the number of ops.
func DecodeFrame(b []byte) (Frame, error) {
	f, _, err := decodeFrame(b)
	return f, err
}

func decodeFrame(b []byte) (Frame, Compression, error) {
	var f Frame
	var w frameWire
	if err := w.read(b, &f); err != nil {
		return Frame{}, 0, &FrameError{Feed: f.Feed, From: f.From, Offset: -1, Err: err}
	}
	raw, err := w.unpack()
	if err == nil {
		f.Entries, err = decodeEntries(raw, w.count)
	}
	if err != nil {
		return Frame{}, 0, &FrameError{Feed: f.Feed, From: f.From, Offset: -1, Err: err}
	}
	if err := f.Verify(); err != nil {
		return Frame{}, 0, err
	}
	return f, w.how, nil
}

// frameWire holds the fields of an encoded frame that the Frame has no room for.
type frameWire struct {
	count   uint64
	how     Compression
	rawSize uint64
	body    []byte
}

func (w *frameWire) read(b []byte, f *Frame) error {
	if len(b) > MaxFrameBytes {
		return fmt.Errorf("%d bytes: %w", len(b), ErrTooBig)
	}
	end := len(b) - 5
	if end < 0 || b[end] != crcTag {
		return fmt.Errorf("no checksum at the end: %w", ErrMalformed)
	}
	if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end+1:]) {
		return ErrChecksum
	}
	return eachField(b[:end], func(v field) (err error) {
		switch v.num {
		case 1:
			f.Space, err = v.name()
		case 2:
			f.Origin, err = v.origin()
		case 3:
			f.From, err = v.seq()
		case 4:
			f.Prev, err = v.chain()
		case 5:
			f.Last, err = v.chain()
		case 6:
			w.count, err = v.uint()
		case 7:
			var n uint64
			if n, err = v.uint(); n > uint64(Zstd) {
				return fmt.Errorf("compression %d: %w", n, ErrMalformed)
			}
			w.how = Compression(n)
		case 8:
			w.rawSize, err = v.uint()
		case 9:
			w.body, err = v.bytes()
		}
		return err
	})
}

func (w *frameWire) unpack() ([]byte, error) {
	if w.rawSize > MaxFrameRawBytes {
		return nil, fmt.Errorf("%d bytes unpacked: %w", w.rawSize, ErrTooBig)
	}
	raw := w.body
	if w.how == Zstd {
		var err error
		raw, err = unpacker.DecodeAll(w.body, make([]byte, 0, w.rawSize))
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return nil, fmt.Errorf("unpacked size: %w", ErrTooBig)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", ErrMalformed)
		}
	}
	if uint64(len(raw)) != w.rawSize {
		return nil, fmt.Errorf("unpacked size differs: %w", ErrMalformed)
	}
	return raw, nil
}

func appendEntries(b []byte, entries []Entry) []byte {
	for i := range entries {
		e := &entries[i]
		n := 0
		if len(e.Bytes) > 0 {
			n += 1 + protowire.SizeBytes(len(e.Bytes))
		}
		if e.Hollow {
			n += 1 + protowire.SizeBytes(len(e.Hash))
		}
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.BytesType), uint64(n))
		b = putBytes(b, 1, e.Bytes)
		if e.Hollow {
			b = putBytes(b, 2, e.Hash[:])
		}
	}
	return b
}

func decodeEntries(raw []byte, count uint64) ([]Entry, error) {
	if count > MaxFrameOps {
		return nil, fmt.Errorf("%d ops: %w", count, ErrTooBig)
	}
	entries := make([]Entry, 0, count)
	err := eachField(raw, func(v field) error {
		if v.num != 1 {
			return nil
		}
		if uint64(len(entries)) == count {
			return fmt.Errorf("more than %d ops: %w", count, ErrMalformed)
		}
		b, err := v.bytes()
		if err != nil {
			return err
		}
		e, err := decodeEntry(b)
		entries = append(entries, e)
		return err
	})
	if err == nil && uint64(len(entries)) != count {
		err = fmt.Errorf("%d ops, want %d: %w", len(entries), count, ErrMalformed)
	}
	return entries, err
}

func decodeEntry(b []byte) (Entry, error) {
	var e Entry
	err := eachField(b, func(v field) (err error) {
		switch v.num {
		case 1:
			e.Bytes, err = v.bytes()
		case 2:
			var c Chain
			c, err = v.chain()
			e.Hash, e.Hollow = Hash(c), true
		}
		return err
	})
	if err == nil && len(e.Bytes) > MaxOpBytes {
		return e, fmt.Errorf("op of %d bytes: %w", len(e.Bytes), ErrTooBig)
	}
	if !e.Hollow {
		e.Hash = HashOp(e.Bytes)
	}
	return e, err
}

func newPacker() *zstd.Encoder {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(MaxFrameRawBytes), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(fmt.Sprintf("protocol: zstd encoder: %v", err))
	}
	return w
}

func newUnpacker() *zstd.Decoder {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFrameRawBytes),
		zstd.WithDecoderMaxWindow(MaxFrameRawBytes), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(fmt.Sprintf("protocol: zstd decoder: %v", err))
	}
	return r
}
