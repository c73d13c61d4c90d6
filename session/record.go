package session

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/causeway-sync/causeway/vclock"
)

// Record is what is stored for one op at [OpKey]. Bytes are the op as its
// author encoded it, or, in a hollow record, a stand-in with the body
// [Erased]; then Hash is the hash of the author's bytes.
type Record struct {
	Arrival uint64   // position among the ops of the space in order of arrival here
	Slot    uint64   // position in the session's log, see [Applied]; 0 while the op waits
	Chain   [32]byte // of the feed, after this op
	Hash    [32]byte // SHA-256 of the author's bytes; PutRecord needs it only if Hollow
	Hollow  bool     // the body was erased
	Bytes   []byte
}

const (
	recordPlain  = 1
	recordHollow = 2
)

// PutRecord stores rec for the op of dot.
func PutRecord(tx Tx, space string, dot vclock.Dot, rec Record) error {
	b := make([]byte, 0, 1+2*binary.MaxVarintLen64+64+len(rec.Bytes))
	if rec.Hollow {
		b = append(append(b, recordHollow), rec.Hash[:]...)
	} else {
		b = append(b, recordPlain)
	}
	b = binary.AppendUvarint(b, rec.Arrival)
	b = binary.AppendUvarint(b, rec.Slot)
	b = append(b, rec.Chain[:]...)
	b = append(b, rec.Bytes...)
	if err := tx.Put(OpKey(space, dot.Origin, dot.Seq), b); err != nil {
		return fmt.Errorf("store op %v: %w", dot, err)
	}
	return nil
}

// RecordAt reads the record of dot, false if there is none. Hash is set in
// hollow records only.
func RecordAt(r Reader, space string, dot vclock.Dot) (Record, bool, error) {
	key := OpKey(space, dot.Origin, dot.Seq)
	b, err := r.Get(key)
	if err != nil {
		return Record{}, false, fmt.Errorf("read op %v: %w", dot, err)
	}
	if b == nil {
		return Record{}, false, nil
	}
	rec, err := ParseRecord(key, b)
	return rec, err == nil, err
}

// ParseRecord reads a stored op record; key is only named in the error. The
// record shares memory with b.
func ParseRecord(key, b []byte) (Record, error) {
	p := packed{rest: b}
	var rec Record
	switch p.byte() {
	case recordPlain:
	case recordHollow:
		rec.Hollow = true
		copy(rec.Hash[:], p.take(sha256.Size))
	default:
		p.fail()
	}
	rec.Arrival, rec.Slot = p.uint(), p.uint()
	copy(rec.Chain[:], p.take(sha256.Size))
	rec.Bytes = p.rest
	if p.err != nil || len(rec.Bytes) == 0 {
		return Record{}, &CorruptError{Key: key, Err: errPacked, Hint: "the op can be fetched again from another replica"}
	}
	return rec, nil
}

// opAt reads and decodes an op that must be there.
func opAt(r Reader, space string, dot vclock.Dot) (Op, Record, error) {
	rec, ok, err := RecordAt(r, space, dot)
	if err != nil {
		return Op{}, Record{}, err
	}
	if !ok {
		return Op{}, Record{}, missing(OpKey(space, dot.Origin, dot.Seq))
	}
	op, err := decodeOp(rec.Bytes)
	if err != nil {
		return Op{}, Record{}, &CorruptError{Key: OpKey(space, dot.Origin, dot.Seq), Err: err, Hint: repairHint}
	}
	return op, rec, nil
}

// hollow returns rec without what the op said: who wrote when, after what, stays.
func hollow(op *Op, rec Record) (Record, error) {
	if !rec.Hollow {
		rec.Hash = sha256.Sum256(rec.Bytes)
	}
	bare := Op{Dot: op.Dot, Space: op.Space, Session: op.Session, Deps: op.Deps, Stamp: op.Stamp, Body: Erased{}}
	b, err := bare.Append(nil)
	if err != nil {
		return Record{}, fmt.Errorf("empty op %v: %w", op.Dot, err)
	}
	rec.Hollow, rec.Bytes = true, b
	return rec, nil
}
