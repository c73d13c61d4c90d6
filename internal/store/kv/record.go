package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/causeway-sync/causeway/session"
)

// The envelope: one version byte, four bytes of CRC-32C over key and value,
// then the value. The key is covered so that a record that surfaces under
// another key is found out.
const (
	recordVersion = 1
	envelopeBytes = 5
)

// Overhead is how many bytes [Seal] adds to a value.
const Overhead = envelopeBytes

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors that [Open] gives as the cause within a [session.CorruptError].
var (
	ErrShort    = errors.New("kv: record is shorter than its envelope")
	ErrVersion  = errors.New("kv: record has an unknown envelope version")
	ErrChecksum = errors.New("kv: record checksum does not match")
)

// Hint is what an operator can do about a damaged record.
const Hint = "the disk changed this record; check the disk, then run causeway status to see what is being fetched again"

// Seal returns value in its envelope, in a new slice.
func Seal(key, value []byte) []byte {
	return AppendSealed(make([]byte, 0, envelopeBytes+len(value)), key, value)
}

// AppendSealed appends what [Seal] makes to b.
func AppendSealed(b, key, value []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, recordVersion), sum(key, value))
	return append(b, value...)
}

// Open returns the value in raw, which it shares and which has no room behind
// it. Anything but what [Seal] made
// for the same key is a [*session.CorruptError].
func Open(key, raw []byte) ([]byte, error) {
	switch {
	case len(raw) < envelopeBytes:
		return nil, Damaged(key, fmt.Errorf("%w: %d bytes", ErrShort, len(raw)))
	case raw[0] != recordVersion:
		return nil, Damaged(key, fmt.Errorf("%w: %d", ErrVersion, raw[0]))
	}
	value := raw[envelopeBytes:len(raw):len(raw)]
	if want, got := binary.BigEndian.Uint32(raw[1:]), sum(key, value); want != got {
		return nil, Damaged(key, fmt.Errorf("%w: want %08x, got %08x", ErrChecksum, want, got))
	}
	return value, nil
}

// Damaged says that the record at key is damaged by cause. It copies the key.
func Damaged(key []byte, cause error) *session.CorruptError {
	return &session.CorruptError{Key: append([]byte(nil), key...), Err: cause, Hint: Hint}
}

func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value)
}
