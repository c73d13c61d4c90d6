package session

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// A saved text is two records: what it takes to go on from there, and the text
// by itself for those who only read it. The first holds how many ops it has and
// their chain, by origin the numbers of the ops and of their events, by op that
// a twin stands for the last event that took it away, and the history; the
// second the number of ops and the snapshot; see package text for these two.
const savedTextVersion = 1

func (k textKey) saved() []byte { return namedKey(k.space, k.session, recTextSaved, k.name) }

func (k textKey) shown() []byte { return namedKey(k.space, k.session, recTextShown, k.name) }

// store saves the text; h is its head, which is given back as it must be put.
func (o *openedText) store(tx Tx, h textHead) (textHead, error) {
	b := binary.AppendUvarint([]byte{savedTextVersion}, o.ops)
	b = append(b, o.chain[:]...)
	b = binary.AppendUvarint(b, uint64(len(o.counts)))
	for _, origin := range slices.Sorted(maps.Keys(o.counts)) {
		b = packText(b, origin)
		b = binary.AppendUvarint(b, uint64(len(o.counts[origin])))
		var last textCount
		for _, c := range o.counts[origin] {
			b = binary.AppendUvarint(b, uint64(c.seq-last.seq))
			b = binary.AppendUvarint(b, uint64(c.events-last.events))
			last = c
		}
	}
	b = binary.AppendUvarint(b, uint64(len(o.gone)))
	for _, dot := range slices.SortedFunc(maps.Keys(o.gone), vclock.Dot.Compare) {
		b = packDot(packDot(b, dot), o.gone[dot])
	}
	b, err := o.doc.AppendHistory(b)
	if err != nil {
		return h, fmt.Errorf("save text %s: %w", o.key.name, err)
	}
	shown := o.doc.AppendSnapshot(binary.AppendUvarint(nil, o.ops))
	if err := tx.Put(o.key.saved(), b); err != nil {
		return h, fmt.Errorf("save text %s: %w", o.key.name, err)
	}
	if err := tx.Put(o.key.shown(), shown); err != nil {
		return h, fmt.Errorf("save text %s: %w", o.key.name, err)
	}
	h.saved, h.bytes = o.ops, uint64(len(b)+len(shown))
	return h, nil
}

// loadText reads the saved document, or gives one without ops.
func loadText(r Reader, k textKey, h textHead) (*openedText, error) {
	o := newOpenedText(k)
	if h.saved == 0 {
		return o, nil
	}
	key := k.saved()
	b, err := r.Get(key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read text %s: %w", k.name, err)
	case b == nil:
		return nil, missing(key)
	}
	p := packed{rest: b}
	if p.byte() != savedTextVersion {
		p.fail()
	}
	if o.ops = p.uint(); o.ops != h.saved {
		p.fail()
	}
	copy(o.chain[:], p.take(uint64(len(o.chain))))
	for range p.count() {
		p.counts(o)
	}
	for range p.count() {
		dot, last := p.dot(), p.dot()
		o.gone[dot] = last
	}
	if p.err == nil {
		if o.doc, err = text.Decode(p.rest); err != nil {
			p.err = err
		}
		p.rest = nil
	}
	if err := p.end(key); err != nil {
		return nil, err
	}
	o.all = o.doc.Vector()
	return o, nil
}

func (p *packed) counts(o *openedText) {
	origin := vclock.Origin(p.text())
	list := make([]textCount, 0, p.count())
	var c textCount
	for range cap(list) {
		c.seq += vclock.Seq(p.uint())
		c.events += vclock.Seq(p.uint())
		list = append(list, c)
	}
	o.counts[origin] = list
}

// savedText gives the text of the saved document, if that holds all ops.
func savedText(r Reader, k textKey, h textHead) (shown string, ok bool, err error) {
	if h.saved == 0 || h.saved < h.ops {
		return "", false, nil
	}
	key := k.shown()
	b, err := r.Get(key)
	switch {
	case err != nil:
		return "", false, fmt.Errorf("read text %s: %w", k.name, err)
	case b == nil:
		return "", false, missing(key)
	}
	p := packed{rest: b}
	if p.uint() != h.saved {
		p.fail()
	}
	var doc *text.Doc
	if p.err == nil {
		doc, p.err = text.Open(p.rest, nil)
		p.rest = nil
	}
	if err := p.end(key); err != nil {
		return "", false, err
	}
	return doc.String(), true, nil
}

// keep gives the text to the cache, and saves it if that is due.
func (o *openedText) keep(tx Tx, texts *Texts) error {
	h, err := textHeadAt(tx, o.key)
	if err != nil {
		return err
	}
	if h.due() {
		if h, err = o.store(tx, h); err != nil {
			return err
		}
		if err := putTextHead(tx, o.key, h); err != nil {
			return err
		}
	}
	texts.put(o)
	return nil
}

// Bounds of [Texts].
const (
	maxOpenTexts  = 64
	maxOpenEvents = 1 << 19 // some 16 bytes of memory each
)

// Texts keeps texts that were opened lately, so that who edits or reads one
// again need not read its history. The zero value is ready, a nil one keeps
// nothing. What it holds is checked against the store on every use, so it may
// outlive transactions that came to nothing. It is not safe for concurrent use.
type Texts struct {
	kept   map[textKey]*openedText
	events int
	clock  uint64
}

// take takes a text out.
func (t *Texts) take(k textKey) *openedText {
	if t == nil {
		return nil
	}
	o := t.kept[k]
	if o != nil {
		delete(t.kept, k)
		t.events -= o.size()
	}
	return o
}

// put keeps a text and drops those that were not used for longest.
func (t *Texts) put(o *openedText) {
	if t == nil {
		return
	}
	if t.kept == nil {
		t.kept = map[textKey]*openedText{}
	}
	t.take(o.key)
	t.clock++
	o.used = t.clock
	t.kept[o.key] = o
	t.events += o.size()
	for len(t.kept) > 1 && (len(t.kept) > maxOpenTexts || t.events > maxOpenEvents) {
		oldest := o
		for _, other := range t.kept {
			if other.used < oldest.used {
				oldest = other
			}
		}
		t.take(oldest.key)
	}
}

func (o *openedText) size() int {
	n := 0
	for _, seq := range o.all.All() {
		n += int(seq)
	}
	return n
}
