package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
	"testing"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// mapTx is a store in memory: a transaction that is always open.
type mapTx struct {
	values   map[string][]byte
	keys     []string // sorted; nil when that is to be done
	scanning int
	gets     int
	puts     int
	broken   map[string]bool
}

func newTx() *mapTx { return &mapTx{values: map[string][]byte{}, broken: map[string]bool{}} }

func (t *mapTx) Get(key []byte) ([]byte, error) {
	t.gets++
	if t.broken[string(key)] {
		return nil, &CorruptError{Key: key, Err: errPacked}
	}
	v, ok := t.values[string(key)]
	if !ok {
		return nil, nil
	}
	return append([]byte{}, v...), nil
}

func (t *mapTx) Put(key, value []byte) error {
	t.mustNotScan()
	t.puts++
	k := string(key)
	if _, ok := t.values[k]; !ok {
		t.keys = nil
	}
	delete(t.broken, k)
	t.values[k] = append([]byte{}, value...)
	return nil
}

func (t *mapTx) Delete(key []byte) error {
	t.mustNotScan()
	k := string(key)
	if _, ok := t.values[k]; ok {
		t.keys = nil
		delete(t.values, k)
	}
	delete(t.broken, k)
	return nil
}

func (t *mapTx) mustNotScan() {
	if t.scanning > 0 {
		panic("write within a scan")
	}
}

func (t *mapTx) Scan(prefix, from []byte, reverse bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		t.scanning++
		defer func() { t.scanning-- }()
		if t.keys == nil {
			t.keys = slices.Sorted(maps.Keys(t.values))
		}
		at := sort.SearchStrings(t.keys, string(max(string(prefix), string(from))))
		if reverse {
			at = t.lastBefore(prefix, from)
		}
		for at >= 0 && at < len(t.keys) && bytes.HasPrefix([]byte(t.keys[at]), prefix) {
			k := t.keys[at]
			if t.broken[k] {
				yield(Entry{}, &CorruptError{Key: []byte(k), Err: errPacked})
				return
			}
			if !yield(Entry{Key: []byte(k), Value: append([]byte{}, t.values[k]...)}, nil) {
				return
			}
			if at++; reverse {
				at -= 2
			}
		}
	}
}

func (t *mapTx) lastBefore(prefix, from []byte) int {
	if from != nil {
		i := sort.SearchStrings(t.keys, string(from))
		if i < len(t.keys) && t.keys[i] == string(from) {
			return i
		}
		return i - 1
	}
	return sort.Search(len(t.keys), func(i int) bool {
		return t.keys[i] > string(prefix) && !bytes.HasPrefix([]byte(t.keys[i]), prefix)
	}) - 1
}

const space = "shop"

// replica is the part of a node that session relies on: feeds, a clock, and
// ops that wait for others.
type replica struct {
	tb      testing.TB
	tx      *mapTx
	origin  vclock.Origin
	feeds   map[vclock.Origin][][]byte
	waiting []Op
	wall    uint64
	trust   clocksync.Trust
	texts   *Texts
}

func newReplica(tb testing.TB, name string) *replica {
	return &replica{
		tb: tb, tx: newTx(), origin: vclock.Origin(name + "~aaaaaaaa"),
		feeds: map[vclock.Origin][][]byte{}, wall: 1_760_000_000_000, trust: clocksync.Synced, texts: &Texts{},
	}
}

func (r *replica) env() Env {
	return Env{
		Texts: r.texts,
		Next: func() vclock.Dot {
			return vclock.Dot{Origin: r.origin, Seq: vclock.Seq(len(r.feeds[r.origin]) + 1)}
		},
		Stamp: func(after clocksync.Stamp) (clocksync.Stamp, error) {
			s := clocksync.Stamp{Wall: r.wall, Trust: r.trust}
			if s.Compare(after) <= 0 {
				next, ok := after.Next()
				if !ok {
					return s, clocksync.ErrExhausted
				}
				next.Trust, s = s.Trust, next
			}
			return s, nil
		},
		Emit: func(op Op) error {
			b, err := op.Append(nil)
			if err != nil {
				return err
			}
			r.feeds[r.origin] = append(r.feeds[r.origin], b)
			return r.apply(op, b)
		},
	}
}

func (r *replica) apply(op Op, b []byte) error {
	done, err := Apply(r.tx, op)
	if err != nil {
		return err
	}
	return r.put(&op, Record{Slot: done.Slot, Bytes: b})
}

// put stores a record with the chain of its feed.
func (r *replica) put(op *Op, rec Record) error {
	var before Record
	key := OpKey(op.Space, op.Dot.Origin, op.Dot.Seq-1)
	if b, ok := r.tx.values[string(key)]; ok {
		var err error
		if before, err = ParseRecord(key, b); err != nil {
			return err
		}
	}
	rec.Chain = sha256.Sum256(append(before.Chain[:], rec.Bytes...))
	return PutRecord(r.tx, op.Space, op.Dot, rec)
}

// try carries out a command; a refusal must leave nothing behind.
func (r *replica) try(cmd Command) (Written, error) {
	r.tb.Helper()
	cmd.Space = space
	puts, ops := r.tx.puts, len(r.feeds[r.origin])
	w, err := Author(r.tx, r.env(), cmd)
	if err != nil && (r.tx.puts != puts || len(r.feeds[r.origin]) != ops) {
		r.tb.Fatalf("Author(%+v) was refused with %v and wrote", cmd, err)
	}
	return w, err
}

func (r *replica) do(session string, action Action) Written {
	r.tb.Helper()
	r.wall += 10
	w, err := r.try(Command{Session: session, Actor: "tester", Do: action})
	if err != nil {
		r.tb.Fatalf("%s: %T: %v", r.origin, action, err)
	}
	return w
}

func (r *replica) keyed(session, key string, action Action) (Written, error) {
	r.tb.Helper()
	r.wall += 10
	return r.try(Command{Session: session, Key: key, Request: Digest{1}, Do: action})
}

// pull takes up to limit ops of one feed from another replica (less than 0: all).
func (r *replica) pull(from *replica, origin vclock.Origin, limit int) {
	r.tb.Helper()
	for n := len(r.feeds[origin]); n < len(from.feeds[origin]) && limit != 0; n++ {
		limit--
		b := from.feeds[origin][n]
		op, err := DecodeOp(b)
		if err != nil {
			r.tb.Fatalf("DecodeOp of op %d of %s: %v", n+1, origin, err)
		}
		r.feeds[origin] = append(r.feeds[origin], b)
		if err := r.put(&op, Record{Bytes: b}); err != nil {
			r.tb.Fatal(err)
		}
		r.waiting = append(r.waiting, op)
		r.settle()
	}
}

func (r *replica) settle() {
	r.tb.Helper()
	for again := true; again; {
		again = false
		kept := r.waiting[:0]
		for _, op := range r.waiting {
			ready, err := Ready(r.tx, op)
			if err != nil {
				r.tb.Fatal(err)
			}
			if !ready {
				kept = append(kept, op)
				continue
			}
			if err := r.apply(op, r.feeds[op.Dot.Origin][op.Dot.Seq-1]); err != nil {
				r.tb.Fatalf("apply %v: %v", op.Dot, err)
			}
			again = true
		}
		r.waiting = kept
	}
}

// syncAll exchanges everything among replicas.
func syncAll(rs ...*replica) {
	for range rs {
		for _, to := range rs {
			for _, from := range rs {
				for _, of := range rs {
					to.pull(from, of.origin, -1)
				}
			}
		}
	}
}

func (r *replica) view(session string) Document {
	r.tb.Helper()
	doc, err := View(r.tx, space, session)
	if err != nil {
		r.tb.Fatalf("View(%s) at %s: %v", session, r.origin, err)
	}
	return doc
}

func (r *replica) messages(session string, q Query) []Message {
	r.tb.Helper()
	page, _, err := Messages(r.tx, space, session, q)
	if err != nil {
		r.tb.Fatalf("Messages(%s, %+v) at %s: %v", session, q, r.origin, err)
	}
	return page
}

func (r *replica) digest(session string) string {
	r.tb.Helper()
	sum, err := StateDigest(r.tx, space, session)
	if err != nil {
		r.tb.Fatalf("StateDigest(%s) at %s: %v", session, r.origin, err)
	}
	return fmt.Sprintf("%x", sum[:8])
}

// dump is everything that a client can see of a session.
func (r *replica) dump(session string) string {
	r.tb.Helper()
	doc, err := View(r.tx, space, session)
	if err != nil {
		return err.Error()
	}
	return marshal(r.tb, doc, r.messages(session, Query{}), r.messages(session, Query{Tree: true}))
}

func marshal(tb testing.TB, values ...any) string {
	tb.Helper()
	b, err := json.MarshalIndent(values, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func say(text string) Draft {
	return Draft{Role: "user", Content: []byte(`"` + text + `"`)}
}

func contents(page []Message) string {
	var b []byte
	for _, m := range page {
		b = append(append(b, m.Content...), ' ')
	}
	return string(bytes.ReplaceAll(bytes.TrimSpace(b), []byte(`"`), nil))
}

func expect(tb testing.TB, rs []*replica, session string) {
	tb.Helper()
	for _, r := range rs[1:] {
		if a, b := rs[0].dump(session), r.dump(session); a != b {
			tb.Fatalf("session %s differs at %s:\n%s\nand at %s:\n%s", session, rs[0].origin, a, r.origin, b)
		}
		if a, b := rs[0].digest(session), r.digest(session); a != b {
			tb.Fatalf("digest of session %s: %s at %s, %s at %s", session, a, rs[0].origin, b, r.origin)
		}
	}
}
