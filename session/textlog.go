package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// A text is kept as the list of its ops in order of arrival, beside a saved
// document that holds the first of them. Applying an op adds to the list and
// merges nothing: that is done by who reads the text or edits it, from the
// saved document on. So what arrives costs the same however long the text is.

// textKey names a text.
type textKey struct{ space, session, name string }

func (k textKey) head() []byte { return namedKey(k.space, k.session, recText, k.name) }

func (k textKey) twins() []byte { return namedKey(k.space, k.session, recTextTwins, k.name) }

func (k textKey) entries() []byte { return append(namedKey(k.space, k.session, recTextOp, k.name), 0) }

func (k textKey) entry(number uint64) []byte {
	return binary.BigEndian.AppendUint64(k.entries(), number)
}

// textChain proves that two lists of ops begin alike.
type textChain [16]byte

// next is the chain behind an op, which was encoded to b.
func (c textChain) next(b []byte) textChain {
	h := sha256.New()
	h.Write(c[:])
	h.Write(b)
	var sum [sha256.Size]byte
	return textChain(h.Sum(sum[:0])[:len(c)])
}

// textHead is the head record of a text. The zero value is a text without ops.
type textHead struct {
	ops   uint64 // in the list
	saved uint64 // of them, those that the saved document holds
	bytes uint64 // of the saved document
	twins bool   // there are ops under one key that say the same
	chain textChain
}

func textHeadAt(r Reader, k textKey) (textHead, error) {
	key := k.head()
	b, err := r.Get(key)
	if err != nil {
		return textHead{}, fmt.Errorf("read text %s: %w", k.name, err)
	}
	if b == nil {
		return textHead{}, nil
	}
	p := packed{rest: b}
	h := textHead{twins: p.byte() == 1, ops: p.uint(), saved: p.uint(), bytes: p.uint()}
	copy(h.chain[:], p.take(uint64(len(h.chain))))
	if h.saved > h.ops || h.ops == 0 {
		p.fail()
	}
	return h, p.end(key)
}

func putTextHead(tx Tx, k textKey, h textHead) error {
	b := append(make([]byte, 0, 48), byte(boolNumber(h.twins)))
	for _, n := range []uint64{h.ops, h.saved, h.bytes} {
		b = binary.AppendUvarint(b, n)
	}
	if err := tx.Put(k.head(), append(b, h.chain[:]...)); err != nil {
		return fmt.Errorf("store text %s: %w", k.name, err)
	}
	return nil
}

// textEntry is one op in the list and the chain behind it.
type textEntry struct {
	dot   vclock.Dot
	chain textChain
}

func decodeTextEntry(key, b []byte) (textEntry, error) {
	p := packed{rest: b}
	e := textEntry{dot: p.dot()}
	copy(e.chain[:], p.take(uint64(len(e.chain))))
	return e, p.end(key)
}

// textNames lists the texts of a session, sorted.
func textNames(r Reader, space, session string) ([]string, error) {
	prefix := namedKey(space, session, recText, "")
	var names []string
	for e, err := range r.Scan(prefix, nil, false) {
		if err != nil {
			return nil, fmt.Errorf("scan session %s: %w", session, err)
		}
		names = append(names, string(e.Key[len(prefix):]))
	}
	return names, nil
}

// Texts are saved anew when that many ops, and a share of their size, have come
// since: what is written for an op stays the same as the text grows. Who only
// takes in ops waits for twice as many, for he must read the text to save it,
// and tries only once in so many.
const (
	textSaveOps    = 256
	textSaveBytes  = 256     // saved bytes that one op may cost
	textSaveReplay = 1 << 20 // events run again for one op; a text that takes more is left to who reads it
)

func (h *textHead) pause() uint64 { return max(textSaveOps, h.bytes/textSaveBytes) }

func (h *textHead) due() bool { return h.ops-h.saved >= h.pause() }

func (h *textHead) overdue() bool {
	pending := h.ops - h.saved
	return pending >= 2*h.pause() && pending%h.pause() == 0
}

// editText adds the op to the list of its text.
func (a *applier) editText(x *TextEdit) error {
	a.m.texts = true
	k := textKey{a.op.Space, a.op.Session, x.Name}
	h, err := textHeadAt(a.tx, k)
	if err != nil {
		return err
	}
	b, err := a.op.Append(nil)
	if err != nil {
		return fmt.Errorf("list op %v: %w", a.op.Dot, err)
	}
	if h.overdue() {
		if h, err = a.saveText(k, h); err != nil {
			return err
		}
	}
	h.ops++
	h.chain = h.chain.next(b)
	entry := append(packDot(nil, a.op.Dot), h.chain[:]...)
	if err := a.tx.Put(k.entry(h.ops), entry); err != nil {
		return fmt.Errorf("list op %v: %w", a.op.Dot, err)
	}
	if err := a.twin(k, &h); err != nil {
		return err
	}
	return putTextHead(a.tx, k, h)
}

// twinGroup is what was written under one key at several places: the first, by
// rank, counts.
type twinGroup []vclock.Dot

// twin notes an op of which there is another with the same key and request.
func (a *applier) twin(k textKey, h *textHead) error {
	if a.op.Key == "" {
		return nil
	}
	known, err := commandsAt(a.tx, k.space, k.session, a.op.Key)
	if err != nil || len(known) == 0 {
		return err
	}
	group := []rankedOp{{a.op.Dot, rankOf(a.op)}}
	for _, c := range known {
		if c.request != a.op.Request {
			continue
		}
		if c.continuedBy(a.op) {
			return nil
		}
		op, _, err := opAt(a.tx, k.space, c.first)
		if err != nil {
			return err
		}
		if x, ok := op.Body.(TextEdit); ok && x.Name == k.name {
			group = append(group, rankedOp{op.Dot, rankOf(&op)})
		}
	}
	if len(group) == 1 {
		return nil
	}
	h.twins = true
	return a.putTwins(k, group)
}

type rankedOp struct {
	dot  vclock.Dot
	rank conflict.Rank
}

func (a *applier) putTwins(k textKey, list []rankedOp) error {
	slices.SortFunc(list, func(x, y rankedOp) int { return x.rank.Compare(y.rank) })
	group := make(twinGroup, len(list))
	for i, r := range list {
		group[i] = r.dot
	}
	groups, err := twinsAt(a.tx, k)
	if err != nil {
		return err
	}
	groups = slices.DeleteFunc(groups, func(g twinGroup) bool {
		return slices.ContainsFunc(g, func(d vclock.Dot) bool { return slices.Contains(group, d) })
	})
	var b []byte
	for _, g := range append(groups, group) {
		b = binary.AppendUvarint(b, uint64(len(g)))
		for _, d := range g {
			b = packDot(b, d)
		}
	}
	if err := a.tx.Put(k.twins(), b); err != nil {
		return fmt.Errorf("store twins of text %s: %w", k.name, err)
	}
	return nil
}

func twinsAt(r Reader, k textKey) ([]twinGroup, error) {
	key := k.twins()
	b, err := r.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read twins of text %s: %w", k.name, err)
	}
	p := packed{rest: b}
	var groups []twinGroup
	for len(p.rest) > 0 {
		var g twinGroup
		for range p.count() {
			g = append(g, p.dot())
		}
		groups = append(groups, g)
	}
	return groups, p.end(key)
}

// saveText saves a text that nobody reads here, as it is before the op that is
// applied. What keeps it from being read keeps nobody from writing: the next
// reader is told.
func (a *applier) saveText(k textKey, h textHead) (textHead, error) {
	o, err := loadText(a.tx, k, h)
	if err == nil {
		o.limit = textSaveReplay
		err = o.catchUp(a.tx, h)
	}
	if err == nil {
		return o.store(a.tx, h)
	}
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTextFull) || errors.Is(err, text.ErrReplay) {
		return h, nil
	}
	return h, err
}

// listed gives the entries of a text behind the first after of them.
func listed(r Reader, k textKey, after uint64, h textHead) ([]textEntry, error) {
	if after == h.ops {
		return nil, nil
	}
	list := make([]textEntry, 0, min(h.ops-after, 1024))
	for e, err := range r.Scan(k.entries(), k.entry(after+1), false) {
		if err != nil {
			return nil, fmt.Errorf("scan text %s: %w", k.name, err)
		}
		number := after + uint64(len(list)) + 1
		if number > h.ops {
			break
		}
		if want := k.entry(number); !bytes.Equal(e.Key, want) {
			return nil, missing(want)
		}
		entry, err := decodeTextEntry(e.Key, e.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, entry)
	}
	if number := after + uint64(len(list)); number < h.ops {
		return nil, missing(k.entry(number + 1))
	}
	return list, nil
}
