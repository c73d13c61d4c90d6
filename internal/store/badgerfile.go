package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// The formats of Badger v4 files, as far as probe and the collector read them.
const (
	logHeaderBytes   = 20 // of write-ahead and value log files: key id, initial vector
	entryHeaderMax   = 22
	entryKeyMax      = 1 << 16
	bitTxn           = 1 << 6
	bitFinTxn        = 1 << 7
	discardFile      = "DISCARD"
	discardSlotBytes = 16
	registryText     = "Hello Badger" // behind an initial vector of 16 bytes
	registryBytes    = 28
)

// searchBytes is how far behind a damaged entry a good one is looked for; it
// is more than the biggest entry.
const searchBytes = 1 << 20

// logEnd is how a log file ends.
type logEnd struct {
	offset      int    // of the first byte that is not a good entry
	first, last uint64 // versions of the first and last whole transactions, or 0
	later       uint64 // version of a good entry behind a damaged one, or 0
}

// walkFile reads a write-ahead or value log file the way Badger replays it.
func walkFile(path string) (end logEnd, err error) {
	err = mapped(path, func(b []byte) error {
		if err := plainHeader(b); err != nil || len(b) == 0 {
			return err
		}
		end = walkLog(b)
		return nil
	})
	return end, err
}

func walkLog(b []byte) logEnd {
	end := logEnd{offset: logHeaderBytes}
	var open uint64 // version of the transaction that is being read
	at := logHeaderBytes
	for {
		e, ok := decodeEntry(b[at:])
		if !ok || len(e.key) == 0 {
			break
		}
		next := at + e.size
		switch {
		case e.meta&bitTxn != 0 && (open == 0 || open == e.version()):
			open = e.version()
		case e.meta&bitFinTxn != 0 && open != 0:
			if end.first == 0 {
				end.first = open
			}
			end.last, open = open, 0
			end.offset = next
		case e.meta&(bitTxn|bitFinTxn) == 0 && open == 0:
			end.offset = next
		default:
			return end // transactions are mixed up
		}
		at = next
	}
	if rest := b[at:]; !allZero(rest[:min(len(rest), entryHeaderMax)]) {
		end.later = laterEntry(rest)
	}
	return end
}

// laterEntry looks for a good entry behind the damaged one at the start of b.
func laterEntry(b []byte) uint64 {
	for at := 1; at < min(len(b), searchBytes); at++ {
		if b[at] == 0 && allZero(b[at:min(len(b), at+entryHeaderMax)]) {
			continue
		}
		if e, ok := decodeEntry(b[at:]); ok && len(e.key) > 8 {
			return e.version()
		}
	}
	return 0
}

// logEntry is one entry of a log file.
type logEntry struct {
	meta byte
	key  []byte // ends with the version
	size int
}

// version is the complement of the last eight bytes of the key.
func (e logEntry) version() uint64 {
	if len(e.key) <= 8 {
		return 0
	}
	return math.MaxUint64 - binary.BigEndian.Uint64(e.key[len(e.key)-8:])
}

// versionMax bounds what is believed to be a version, before the costly sum.
const versionMax = 1 << 48

// decodeEntry reads the entry at the start of b; ok is false for anything whose
// checksum does not hold.
func decodeEntry(b []byte) (e logEntry, ok bool) {
	if len(b) < 2 {
		return e, false
	}
	e.meta = b[0]
	at := 2
	var fields [3]uint64 // length of key, length of value, time of expiry
	for i := range fields {
		n, size := binary.Uvarint(b[at:])
		if size <= 0 {
			return e, false
		}
		fields[i], at = n, at+size
	}
	keyBytes, valueBytes := fields[0], fields[1]
	if keyBytes > entryKeyMax || valueBytes > uint64(len(b)) || keyBytes+valueBytes+4 > uint64(len(b)-at) {
		return e, false
	}
	sumAt := at + int(keyBytes+valueBytes)
	e.key = b[at : at+int(keyBytes)]
	e.size = sumAt + crc32.Size
	if e.meta&bitFinTxn == 0 && e.version() > versionMax {
		return e, false
	}
	return e, crc32.Checksum(b[:sumAt], castagnoli) == binary.BigEndian.Uint32(b[sumAt:])
}

// verifyTable checks every checksum in a table file and gives the highest
// version in it. Layout: blocks, index, its length, its checksum, the length of
// that; a block ends with its checksum and the length of that.
func verifyTable(path string) (version uint64, err error) {
	err = mapped(path, func(b []byte) error {
		raw, index, err := tailed(b)
		if err != nil {
			return fmt.Errorf("table footer: %w", err)
		}
		if len(index) < 4 {
			return errors.New("table footer: the index is cut off")
		}
		size := int64(binary.BigEndian.Uint32(index[len(index)-4:]))
		index = index[:len(index)-4]
		if size > int64(len(index)) || size < 8 {
			return errors.New("table footer: wrong length of the index")
		}
		blocks := index[:int64(len(index))-size]
		index = index[int64(len(index))-size:]
		if err := sumHolds(index, raw); err != nil {
			return fmt.Errorf("table index: %w", err)
		}
		version, err = verifyBlocks(blocks, fb.GetRootAsTableIndex(index, 0))
		return err
	})
	return version, err
}

func verifyBlocks(b []byte, index *fb.TableIndex) (version uint64, err error) {
	var at fb.BlockOffset
	for i := range index.OffsetsLength() {
		if !index.Offsets(&at, i) {
			return 0, fmt.Errorf("table index has no block %d", i)
		}
		from, to := uint64(at.Offset()), uint64(at.Offset())+uint64(at.Len())
		if to > uint64(len(b)) {
			return 0, fmt.Errorf("table block %d is cut off", i)
		}
		raw, block, err := tailed(b[from:to])
		if err == nil {
			err = sumHolds(block, raw)
		}
		if err != nil {
			return 0, fmt.Errorf("table block %d at %d: %w", i, from, err)
		}
	}
	return index.MaxVersion(), nil
}

// tailed takes a part off the end of b whose length stands behind it.
func tailed(b []byte) (tail, head []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("too short")
	}
	size := int64(binary.BigEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if size > int64(len(b)) {
		return nil, nil, fmt.Errorf("a length of %d is too big", size)
	}
	cut := len(b) - int(size)
	return b[cut:], b[:cut], nil
}

// sumHolds verifies data against an encoded checksum.
func sumHolds(data, raw []byte) error {
	var want pb.Checksum
	if err := proto.Unmarshal(raw, &want); err != nil {
		return fmt.Errorf("checksum is unreadable: %w", err)
	}
	if want.Algo != pb.Checksum_CRC32C {
		return fmt.Errorf("checksum is of the unknown kind %d", want.Algo)
	}
	return y.VerifyChecksum(data, &want)
}

// tornRecord tells whether b, the unread end of a manifest, can be one record
// that a crash tore: none of its beginnings has the record's checksum.
func tornRecord(b []byte) bool {
	const head = 8 // length, checksum
	if len(b) < head {
		return true
	}
	want := binary.BigEndian.Uint32(b[4:])
	sum := uint32(0)
	for _, c := range b[head:] {
		if sum = crc32.Update(sum, castagnoli, []byte{c}); sum == want {
			return false
		}
	}
	return true
}

// headerIsPlain checks the header of a log file.
func headerIsPlain(path string) error { return mapped(path, plainHeader) }

// plainHeader checks the header of a log file. An empty file is one that a
// crash left behind; Badger starts it anew.
func plainHeader(b []byte) error {
	switch {
	case len(b) == 0:
		return nil
	case len(b) < logHeaderBytes:
		return fmt.Errorf("the file has %d bytes, want at least %d", len(b), logHeaderBytes)
	case binary.BigEndian.Uint64(b) != 0:
		return errors.New("the header names an encryption key")
	}
	return nil
}

// collectable tells whether every value log file that the collector might pick
// is whole: it deletes a file after reading up to the first damaged entry.
func collectable(dir string, ratio float64) error {
	stats, err := os.ReadFile(filepath.Join(dir, discardFile))
	if err != nil {
		return fmt.Errorf("read value log statistics: %w", err)
	}
	for len(stats) >= discardSlotBytes {
		id, dead := binary.BigEndian.Uint64(stats), binary.BigEndian.Uint64(stats[8:])
		stats = stats[discardSlotBytes:]
		if id == 0 {
			break
		}
		if id > math.MaxUint32 {
			continue
		}
		path := valuePath(dir, int(id))
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) || err == nil && float64(dead) < ratio*float64(info.Size()) {
			continue
		}
		end, err := walkFile(path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if end.later != 0 {
			return fmt.Errorf("%s is damaged at %d", path, end.offset)
		}
	}
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// mapped calls fn with the content of a file, mapped for reading. A disk that
// fails under it is an error.
func mapped(path string, fn func(b []byte) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return fn(nil)
	}
	b, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, unix.Munmap(b)) }()
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("reading %s panicked: %v", path, cause)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return fn(b)
}
