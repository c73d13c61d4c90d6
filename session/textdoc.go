package session

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// openedText is a text put together from its ops.
//
// The document names its events by the origin of their op and a count. Neither
// that count nor the parents are in the op: both follow from its Deps and from
// what the ops before it did.
//
// Invariant: doc is a function of the set of the ops taken in, whatever their
// order was.
type openedText struct {
	key    textKey
	doc    *text.Doc
	ops    uint64 // of the list, taken in
	chain  textChain
	counts map[vclock.Origin][]textCount   // ascending
	all    vclock.Vector                   // events, as the document counts them
	seen   map[vclock.Origin]vclock.Vector // events that the last event of an origin had seen, itself included
	groups []twinGroup
	gone   map[vclock.Dot]vclock.Dot // by op that a twin stands for: last event that takes it away
	limit  int                       // of events run again for one op
	used   uint64                    // when the cache had it last
}

// textCount tells how many events the ops of an origin up to a number made.
type textCount struct {
	seq    vclock.Seq
	events vclock.Seq
}

func newOpenedText(k textKey) *openedText {
	return &openedText{
		key: k, doc: text.New(), limit: text.MaxReplay, counts: map[vclock.Origin][]textCount{},
		seen: map[vclock.Origin]vclock.Vector{}, gone: map[vclock.Dot]vclock.Dot{},
	}
}

// openText gives a text with all ops of its list: from the cache, which may be
// nil, or else from the saved document, and the ops that came since.
func openText(r Reader, texts *Texts, k textKey) (*openedText, error) {
	h, err := textHeadAt(r, k)
	if err != nil {
		return nil, err
	}
	o, err := cachedText(r, texts, k, h)
	if err == nil && o == nil {
		o, err = loadText(r, k, h)
	}
	if err != nil {
		return nil, err
	}
	return o, o.catchUp(r, h)
}

// cachedText gives the text as the cache has it, if the list still begins with
// what that holds; else nil.
func cachedText(r Reader, texts *Texts, k textKey, h textHead) (*openedText, error) {
	o := texts.take(k)
	if o == nil || o.ops > h.ops || o.ops == 0 {
		return nil, nil
	}
	if o.ops == h.ops && o.chain == h.chain {
		return o, nil
	}
	key := k.entry(o.ops)
	b, err := r.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read text %s: %w", k.name, err)
	}
	if b == nil {
		return nil, missing(key)
	}
	e, err := decodeTextEntry(key, b)
	if err != nil || e.chain != o.chain {
		return nil, err
	}
	return o, nil
}

// openTextAt gives a text with the ops that a version of the session covers.
func openTextAt(r Reader, k textKey, at vclock.Vector) (*openedText, error) {
	h, err := textHeadAt(r, k)
	if err != nil {
		return nil, err
	}
	o, err := loadText(r, k, h)
	if err != nil {
		return nil, err
	}
	if !o.within(at) {
		o = newOpenedText(k)
	}
	if err := o.learnTwins(r, h); err != nil {
		return nil, err
	}
	list, err := listed(r, k, o.ops, h)
	if err != nil {
		return nil, err
	}
	return o, o.takeAll(r, slices.DeleteFunc(list, func(e textEntry) bool { return !at.Covers(e.dot) }))
}

// within reports whether a version covers all ops that were taken in.
func (o *openedText) within(at vclock.Vector) bool {
	for origin, list := range o.counts {
		if n := len(list); n > 0 && !at.Covers(vclock.Dot{Origin: origin, Seq: list[n-1].seq}) {
			return false
		}
	}
	return true
}

// catchUp takes in what the list has more.
func (o *openedText) catchUp(r Reader, h textHead) error {
	if err := o.learnTwins(r, h); err != nil {
		return err
	}
	list, err := listed(r, o.key, o.ops, h)
	if err != nil {
		return err
	}
	return o.takeAll(r, list)
}

func (o *openedText) learnTwins(r Reader, h textHead) error {
	if !h.twins {
		return nil
	}
	groups, err := twinsAt(r, o.key)
	if err != nil {
		return err
	}
	twins := 0
	for _, g := range groups {
		twins += len(g) - 1
	}
	if twins > textTwinsMax {
		return &LimitError{Err: ErrTextFull, What: "repeated edits of text " + o.key.name, Got: twins, Max: textTwinsMax}
	}
	o.groups = groups
	return nil
}

func (o *openedText) takeAll(r Reader, list []textEntry) error {
	for _, e := range list {
		op, _, err := opAt(r, o.key.space, e.dot)
		if err != nil {
			return err
		}
		if err := o.take(r, &op); err != nil {
			return fmt.Errorf("text %s: op %v: %w", o.key.name, op.Dot, err)
		}
		o.ops, o.chain = o.ops+1, e.chain
	}
	return nil
}

// take takes in one op. An op whose edits do not fit is passed over, as is one
// that has lost its body. It returns text.ErrReplay, and takes nothing, if the op
// makes more events run again than the limit: no verdict on the op, but a text
// that was made to be expensive, which is told as an error and never shown wrong.
func (o *openedText) take(r Reader, op *Op) error {
	x, ok := op.Body.(TextEdit)
	if !ok || x.Name != o.key.name {
		return nil
	}
	seen := o.at(op.Deps)
	runs, err := o.runs(op, &x, seen)
	if err != nil {
		return err
	}
	o.doc.ReplayLimit = o.limit
	if _, err = o.doc.Apply(runs); err != nil {
		switch {
		case refusedRun(err):
			return nil
		case errors.Is(err, text.ErrTooLarge):
			return fmt.Errorf("%w: %w", ErrTextFull, err)
		}
		return err
	}
	made := o.total(op.Dot.Origin)
	for i := range runs {
		made += vclock.Seq(runs[i].Len())
	}
	o.note(op.Dot, made, seen)
	return o.untwin(r, op.Dot)
}

// refusedRun reports a verdict on runs to which every replica comes.
func refusedRun(err error) bool {
	for _, verdict := range []error{text.ErrPosition, text.ErrRun, text.ErrParents, text.ErrUTF8, text.ErrForked} {
		if errors.Is(err, verdict) {
			return true
		}
	}
	return false
}

// note counts the events of an op that was taken in.
func (o *openedText) note(dot vclock.Dot, made vclock.Seq, seen vclock.Vector) {
	before := o.total(dot.Origin)
	o.counts[dot.Origin] = append(o.counts[dot.Origin], textCount{dot.Seq, made})
	if made > before {
		own := vclock.Dot{Origin: dot.Origin, Seq: made}
		o.all, o.seen[dot.Origin] = o.all.With(own), seen.With(own)
	}
}

// total is the number of events of an origin so far.
func (o *openedText) total(origin vclock.Origin) vclock.Seq {
	list := o.counts[origin]
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].events
}

// count gives the events of an origin's ops up to a number, and whether the op
// of that number was taken in.
func (o *openedText) count(dot vclock.Dot) (events vclock.Seq, taken bool) {
	list := o.counts[dot.Origin]
	i, taken := slices.BinarySearchFunc(list, dot.Seq, func(c textCount, seq vclock.Seq) int { return cmp.Compare(c.seq, seq) })
	if !taken {
		i--
	}
	if i < 0 {
		return 0, false
	}
	return list[i].events, taken
}

// at gives the events of the ops that a version of the session covers.
func (o *openedText) at(version vclock.Vector) vclock.Vector {
	dots := make([]vclock.Dot, 0, len(o.counts))
	for origin, seq := range version.All() {
		if n, _ := o.count(vclock.Dot{Origin: origin, Seq: seq}); n > 0 {
			dots = append(dots, vclock.Dot{Origin: origin, Seq: n})
		}
	}
	for _, g := range o.groups {
		for _, dot := range o.lost(g, version.Covers) {
			if last, ok := o.gone[dot]; ok {
				dots = append(dots, last)
			}
		}
	}
	return vclock.Of(dots...)
}

// lost gives the ops of a group that do not count, among those that are taken
// in and in sight: all but the first.
func (o *openedText) lost(g twinGroup, sees func(vclock.Dot) bool) []vclock.Dot {
	var present []vclock.Dot
	for _, dot := range g {
		if _, taken := o.count(dot); taken && sees(dot) {
			present = append(present, dot)
		}
	}
	if len(present) < 2 {
		return nil
	}
	return present[1:]
}

// runs gives the events of an op.
func (o *openedText) runs(op *Op, x *TextEdit, seen vclock.Vector) ([]text.Run, error) {
	parents, err := o.parents(op.Dot.Origin, seen)
	if err != nil {
		return nil, err
	}
	runs := make([]text.Run, 0, len(x.Edits))
	next := vclock.Dot{Origin: op.Dot.Origin, Seq: o.total(op.Dot.Origin) + 1}
	add := func(run text.Run) {
		run.ID, run.Parents = next, parents
		runs = append(runs, run)
		next.Seq += vclock.Seq(run.Len())
		parents = text.Version{{Origin: next.Origin, Seq: next.Seq - 1}}
	}
	for _, e := range x.Edits {
		if e.Del > 0 {
			add(text.Run{Pos: e.Pos, Del: e.Del})
		}
		if e.Ins != "" {
			add(text.Run{Pos: e.Pos, Ins: e.Ins})
		}
	}
	return runs, nil
}

// parents gives the version that holds what an op had seen. Whatever the last
// event of its origin had seen cannot be a head beside that event.
func (o *openedText) parents(origin vclock.Origin, seen vclock.Vector) (text.Version, error) {
	if seen.Compare(o.all) == vclock.Equal {
		return o.doc.Version(), nil
	}
	var before vclock.Vector
	if last := o.total(origin); last > 0 && seen.At(origin) == last {
		before = o.seen[origin]
	}
	var near []vclock.Dot
	for a, n := range seen.All() {
		if a == origin || n > before.At(a) {
			near = append(near, vclock.Dot{Origin: a, Seq: n})
		}
	}
	return o.doc.Frontier(vclock.Of(near...))
}

// untwin takes away what ops inserted for which another one stands. It does so
// by events that follow from the op alone, so that they are the same wherever
// they are made.
func (o *openedText) untwin(r Reader, dot vclock.Dot) error {
	i := slices.IndexFunc(o.groups, func(g twinGroup) bool { return slices.Contains(g, dot) })
	if i < 0 {
		return nil
	}
	for _, lost := range o.lost(o.groups[i], func(vclock.Dot) bool { return true }) {
		if _, done := o.gone[lost]; done {
			continue
		}
		op, _, err := opAt(r, o.key.space, lost)
		if err != nil {
			return err
		}
		x, _ := op.Body.(TextEdit) // it was taken in
		if err := o.withdraw(lost, x.Edits); err != nil {
			return err
		}
	}
	return nil
}

func (o *openedText) withdraw(dot vclock.Dot, edits []text.Edit) error {
	last, _ := o.count(dot)
	parents := text.Version{{Origin: dot.Origin, Seq: last}}
	next := vclock.Dot{Origin: withdrawer(dot), Seq: 1}
	var runs []text.Run
	for _, e := range slices.Backward(text.Compose(edits...)) {
		if e.Ins == "" {
			continue
		}
		run := text.Run{ID: next, Parents: parents, Pos: e.Pos, Del: utf8.RuneCountInString(e.Ins)}
		runs = append(runs, run)
		next.Seq += vclock.Seq(run.Del)
		parents = text.Version{{Origin: next.Origin, Seq: next.Seq - 1}}
	}
	if len(runs) == 0 {
		return nil
	}
	if _, err := o.doc.Apply(runs); err != nil {
		return fmt.Errorf("withdraw op %v: %w", dot, err)
	}
	next.Seq--
	o.gone[dot], o.all = next, o.all.With(next)
	return nil
}

// withdrawer is the agent that takes away what an op inserted. No origin has
// such a name.
func withdrawer(dot vclock.Dot) vclock.Origin {
	sum := sha256.Sum256([]byte(dot.String()))
	return vclock.Origin("!" + hex.EncodeToString(sum[:12]))
}

// editAt makes edits as origin that were written on the text of a version.
func (o *openedText) editAt(origin vclock.Origin, base vclock.Vector, edits []text.Edit) (text.Merged, error) {
	version, err := o.version(o.at(base))
	if err != nil {
		return text.Merged{}, err
	}
	o.doc.ReplayLimit = 0
	merged, err := o.doc.EditAt(origin, version, edits...)
	switch {
	case errors.Is(err, text.ErrPosition):
		err = fmt.Errorf("%w: %w", ErrTextOutside, err)
	case errors.Is(err, text.ErrReplay):
		err = fmt.Errorf("%w: %w", ErrBaseTooOld, err)
	case errors.Is(err, text.ErrTooLarge):
		err = fmt.Errorf("%w: %w", ErrTextFull, err)
	}
	return merged, err
}

// version names the state of the text that has exactly these events.
func (o *openedText) version(events vclock.Vector) (text.Version, error) {
	if events.Compare(o.all) == vclock.Equal {
		return o.doc.Version(), nil
	}
	behind := vclock.Seq(0)
	for agent, n := range o.all.All() {
		behind += n - min(n, events.At(agent))
	}
	if behind > MaxTextBehind {
		return nil, &LimitError{Err: ErrBaseTooOld, What: "changes since base", Got: int(behind), Max: MaxTextBehind}
	}
	v, err := o.doc.Heads(events)
	if errors.Is(err, text.ErrUnknownVersion) {
		err = fmt.Errorf("base is no version of the text: %w", ErrBaseUnknown)
	}
	return v, err
}

// written takes note of the op that the edits became, if they became one.
func (o *openedText) written(r Reader) error {
	h, err := textHeadAt(r, o.key)
	if err != nil || h.ops == o.ops {
		return err
	}
	list, err := listed(r, o.key, o.ops, h)
	if err != nil {
		return err
	}
	dot := list[len(list)-1].dot
	if len(list) != 1 {
		panic(fmt.Sprintf("session: want one op of text %s, have %d", o.key.name, len(list)))
	}
	o.ops, o.chain = h.ops, h.chain
	o.note(dot, o.doc.Vector().At(dot.Origin), o.all)
	return nil
}
