package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/causeway-sync/causeway/conflict"
)

// StateDigest hashes the state of a session: what it shows, its conflicts, and
// its version, independent of the order in which ops arrived. Two replicas
// have equal digests if and only if they hold equal state. An erased session
// has a digest as well; an unknown one gives ErrNoSession. It reads the whole
// session.
func StateDigest(r Reader, space, session string) ([sha256.Size]byte, error) {
	m, err := metaAt(r, space, session)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	if m == nil {
		return [sha256.Size]byte{}, ErrNoSession
	}
	d := digester{h: sha256.New(), reading: reading{r: r, space: space, session: session, m: m}}
	d.part('v', m.vector.AppendBinary(nil))
	if m.erased {
		d.part('x')
		return d.sum(), nil
	}
	for i := range m.opens {
		d.part('o', m.opens[i].append(nil))
	}
	d.part('l', m.life.AppendBinary(nil), packStamp(nil, m.updated), binary.AppendUvarint(nil, m.messages))
	if m.expired() {
		d.part('X')
	}
	if err := d.context(); err != nil {
		return [sha256.Size]byte{}, err
	}
	if err := d.messages(); err != nil {
		return [sha256.Size]byte{}, err
	}
	if err := d.texts(); err != nil {
		return [sha256.Size]byte{}, err
	}
	if err := d.tools(); err != nil {
		return [sha256.Size]byte{}, err
	}
	return d.sum(), nil
}

// digester hashes parts, each with its kind and the lengths of its pieces.
type digester struct {
	reading
	h   hash.Hash
	buf []byte
}

func (d *digester) part(kind byte, pieces ...[]byte) {
	d.buf = append(d.buf[:0], kind, byte(len(pieces)))
	for _, p := range pieces {
		d.buf = packText(d.buf, p)
	}
	d.h.Write(d.buf)
}

func (d *digester) sum() [sha256.Size]byte { return [sha256.Size]byte(d.h.Sum(nil)) }

// context hashes what is stored of the context. Counters and sets without
// anything in them count as absent.
func (d *digester) context() error {
	for _, kind := range []byte{recRegister, recCounter, recSet} {
		prefix := namedKey(d.space, d.session, kind, "")
		for e, err := range d.r.Scan(prefix, nil, false) {
			if err != nil {
				return fmt.Errorf("scan session %s: %w", d.session, err)
			}
			if kind != recRegister && bytes.Equal(e.Value, emptyBag) {
				continue
			}
			d.part(kind, e.Key[len(prefix):], e.Value)
		}
	}
	return nil
}

// emptyBag is the stored form of an empty counter and of an empty set.
var emptyBag = conflict.Counter{}.AppendBinary(nil)

func (d *digester) messages() error {
	for at, err := range d.from(0, false) {
		if err != nil {
			return err
		}
		if err := d.message(at.slot); err != nil {
			return err
		}
	}
	return nil
}

func (d *digester) message(slot uint64) error {
	e, err := entryAt(d.r, d.space, d.session, slot)
	if err != nil || !e.message {
		return err
	}
	op, _, err := opAt(d.r, d.space, e.shown)
	if err != nil {
		return err
	}
	put, ok := op.Body.(Put)
	if !ok { // emptied before the erasure itself arrived
		d.part('e', packDot(nil, op.Dot))
		return nil
	}
	id := MessageID(&op)
	var done []byte
	if e.edited {
		key := namedKey(d.space, d.session, recEdits, id)
		if done, err = d.r.Get(key); err != nil {
			return fmt.Errorf("read edits of message %s: %w", id, err)
		}
		if edits, err := decodeEdits(key, done); err != nil || edits.redacted {
			if err != nil {
				return err
			}
			put.Content, put.ToolCalls, put.Metadata = nil, nil, nil
		}
	}
	if e.root {
		put.Parent = ""
	}
	puts, err := d.r.Get(namedKey(d.space, d.session, recPuts, id))
	if err != nil {
		return fmt.Errorf("read puts of message %s: %w", id, err)
	}
	d.part('m', []byte(id), packDot(packStamp(nil, op.Stamp), op.Dot), []byte(op.Actor), appendPut(nil, &put), done, puts)
	return nil
}

// SpaceDigest combines the digests of all sessions of a space, erased ones
// too, and counts them. It reads everything in the space.
func SpaceDigest(r Reader, space string) (sum [sha256.Size]byte, sessions int, err error) {
	h := sha256.New()
	var from []byte
	for {
		name, err := sessionFrom(r, space, from)
		if err != nil {
			return sum, 0, err
		}
		if name == "" {
			return [sha256.Size]byte(h.Sum(nil)), sessions, nil
		}
		one, err := StateDigest(r, space, name)
		if err != nil {
			return sum, 0, fmt.Errorf("digest of session %s: %w", name, err)
		}
		h.Write(packText(nil, name))
		h.Write(one[:])
		sessions++
		from = append(Prefix(space, name), 0xff)
	}
}

// sessionFrom names the session of the first record from a key on.
func sessionFrom(r Reader, space string, from []byte) (string, error) {
	prefix := spacePrefix(space)
	for e, err := range r.Scan(prefix, from, false) {
		if err != nil {
			return "", fmt.Errorf("scan space %s: %w", space, err)
		}
		name, _, ok := bytes.Cut(e.Key[len(prefix):], []byte{0})
		if !ok {
			return "", &CorruptError{Key: e.Key, Err: errPacked, Hint: repairHint}
		}
		return string(name), nil
	}
	return "", nil
}

// SessionNames lists the sessions of a space of which anything is known,
// erased and expired ones too, by name: up to limit (0 or less: all) behind
// the one named after.
func SessionNames(r Reader, space, after string, limit int) ([]string, error) {
	var names []string
	var from []byte
	if after != "" {
		from = append(Prefix(space, after), 0xff)
	}
	for limit <= 0 || len(names) < limit {
		name, err := sessionFrom(r, space, from)
		if err != nil {
			return nil, err
		}
		if name == "" {
			break
		}
		names = append(names, name)
		from = append(Prefix(space, name), 0xff)
	}
	return names, nil
}
