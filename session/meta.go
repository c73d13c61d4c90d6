package session

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// meta is the head record of a session: what every read and every write needs.
//
// Invariant: firsts has one entry for each origin of vector, in its order;
// every op that vector covers has a slot in 1 … slots.
type meta struct {
	erased    bool
	registers bool // there may be records of that kind, and so on: what is not there need not be looked for
	counters  bool
	sets      bool
	edits     bool
	putAgain  bool
	texts     bool
	tools     bool
	vector    vclock.Vector
	firsts    []uint64 // slot of the first op of each origin
	slots     uint64   // last slot used
	purged    uint64   // slots that Purge has emptied
	messages  uint64
	updated   clocksync.Stamp // latest stamp of an op that is no expiry
	latest    clocksync.Stamp // latest stamp
	bucket    uint64          // where the session stands in the activity index; 0 nowhere
	look      uint64          // where it stands in the expiry index; 0 nowhere
	opens     []opening       // who opened it, smallest rank first: that one decides
	life      conflict.Lifecycle
	line      conflict.Timeline
	tail      tail
	expiry    *expiry
}

// opening is one opening of the session, without its context.
type opening struct {
	rank   conflict.Rank
	actor  string
	order  Order
	ttl    time.Duration
	labels map[string]string
}

// tail is the message of the highest slot.
type tail struct {
	slot uint64
	id   string
}

// expiry is there as soon as somebody let the session expire.
type expiry struct {
	seen vclock.Vector // union of what expiries had seen
	live vclock.Vector // the latest op of each origin that is no expiry
}

func (m *meta) opened() bool { return len(m.opens) > 0 }

// expired reports whether every op but the expiries was seen by some expiry.
func (m *meta) expired() bool { return m.expiry != nil && m.expiry.seen.Includes(m.expiry.live) }

// visible reports whether the session is shown and listed.
func (m *meta) visible() bool { return m.opened() && !m.erased && !m.expired() }

func (m *meta) order() Order {
	if !m.opened() {
		return Turns
	}
	return m.opens[0].order
}

// expiresAt is when the session has been idle for long enough, in
// milliseconds; 0 if never.
func (m *meta) expiresAt() uint64 {
	if !m.opened() || m.opens[0].ttl == 0 {
		return 0
	}
	return m.updated.Wall + uint64(m.opens[0].ttl/time.Millisecond)
}

// advance takes the op into the vector and gives it the next slot.
func (m *meta) advance(op *Op) uint64 {
	m.slots++
	known := m.vector.At(op.Dot.Origin) > 0
	m.vector = m.vector.With(op.Dot)
	if !known {
		at := 0
		for o := range m.vector.All() {
			if o == op.Dot.Origin {
				break
			}
			at++
		}
		m.firsts = slices.Insert(m.firsts, at, m.slots)
	}
	m.latest = later(m.latest, op.Stamp)
	return m.slots
}

// later gives the later stamp without its trust class: of equal stamps of
// different class it would depend on arrival.
func later(a, b clocksync.Stamp) clocksync.Stamp {
	if b.Compare(a) > 0 {
		a = b
	}
	a.Trust = clocksync.Unsynced
	return a
}

// first is the slot of the first op of o.
func (m *meta) first(o vclock.Origin) uint64 {
	at := 0
	for p := range m.vector.All() {
		if p == o {
			return m.firsts[at]
		}
		at++
	}
	return m.slots + 1
}

const (
	metaVersion = 2

	metaErased    = 1 << 0
	metaExpiry    = 1 << 1
	metaCounters  = 1 << 2
	metaSets      = 1 << 3
	metaRegisters = 1 << 4
	metaEdits     = 1 << 5
	metaPutAgain  = 1 << 6
	metaTexts     = 1 << 7
	metaTools     = 1 << 8
)

func (m *meta) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, metaVersion), m.flags())
	b = m.vector.AppendBinary(b)
	for _, slot := range m.firsts {
		b = binary.AppendUvarint(b, slot)
	}
	b = binary.AppendUvarint(b, m.slots)
	b = binary.AppendUvarint(b, m.purged)
	b = packStamp(b, m.latest)
	if m.erased {
		return b
	}
	b = packStamp(b, m.updated)
	b = binary.AppendUvarint(b, m.messages)
	b = binary.AppendUvarint(b, m.bucket)
	b = binary.AppendUvarint(b, m.look)
	b = binary.AppendUvarint(b, uint64(len(m.opens)))
	for i := range m.opens {
		b = m.opens[i].append(b)
	}
	b = m.life.AppendBinary(b)
	b = m.line.AppendBinary(b)
	b = binary.AppendUvarint(b, m.tail.slot)
	b = packText(b, m.tail.id)
	if m.expiry != nil {
		b = m.expiry.seen.AppendBinary(b)
		b = m.expiry.live.AppendBinary(b)
	}
	return b
}

func (m *meta) flags() uint64 {
	var f uint64
	set := func(bit uint64, on bool) {
		if on {
			f |= bit
		}
	}
	set(metaErased, m.erased)
	set(metaExpiry, m.expiry != nil && !m.erased)
	set(metaCounters, m.counters)
	set(metaSets, m.sets)
	set(metaRegisters, m.registers)
	set(metaEdits, m.edits)
	set(metaPutAgain, m.putAgain)
	set(metaTexts, m.texts)
	set(metaTools, m.tools)
	return f
}

func (o *opening) append(b []byte) []byte {
	b = packDot(packStamp(b, o.rank.Stamp), o.rank.Dot)
	b = packText(b, o.actor)
	b = append(b, byte(o.order))
	b = binary.AppendUvarint(b, uint64(o.ttl/time.Millisecond))
	b = binary.AppendUvarint(b, uint64(len(o.labels)))
	if len(o.labels) == 0 {
		return b
	}
	for _, k := range slices.Sorted(maps.Keys(o.labels)) {
		b = packText(packText(b, k), o.labels[k])
	}
	return b
}

func decodeMeta(key, b []byte) (*meta, error) {
	p := packed{rest: b}
	if p.byte() != metaVersion {
		p.fail()
	}
	flags := p.uint()
	m := &meta{
		erased: flags&metaErased != 0, registers: flags&metaRegisters != 0, counters: flags&metaCounters != 0,
		sets: flags&metaSets != 0, edits: flags&metaEdits != 0, putAgain: flags&metaPutAgain != 0,
		texts: flags&metaTexts != 0, tools: flags&metaTools != 0,
	}
	m.vector = p.vector()
	m.firsts = make([]uint64, 0, m.vector.Len()+1)
	for range m.vector.Len() {
		m.firsts = append(m.firsts, p.uint())
	}
	m.slots, m.purged, m.latest = p.uint(), p.uint(), p.stamp()
	if m.erased {
		return m, p.end(key)
	}
	m.updated, m.messages, m.bucket, m.look = p.stamp(), p.uint(), p.uint(), p.uint()
	for range p.count() {
		m.opens = append(m.opens, p.opening())
	}
	m.life = unpack(&p, conflict.DecodeLifecycle)
	m.line = unpack(&p, conflict.DecodeTimeline)
	m.tail = tail{slot: p.uint(), id: p.text()}
	if flags&metaExpiry != 0 {
		m.expiry = &expiry{seen: p.vector(), live: p.vector()}
	}
	return m, p.end(key)
}

func (p *packed) opening() opening {
	o := opening{rank: conflict.Rank{Stamp: p.stamp(), Dot: p.dot()}, actor: p.text(), order: Order(p.byte())}
	o.ttl = time.Duration(p.uint()) * time.Millisecond
	n := p.count()
	if n > 0 {
		o.labels = make(map[string]string, n)
	}
	for range n {
		k := p.text()
		o.labels[k] = p.text()
	}
	return o
}

// metaAt reads the head record; an absent one gives nil.
func metaAt(r Reader, space, session string) (*meta, error) {
	key := metaKey(space, session)
	b, err := r.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read session %s: %w", session, err)
	}
	if b == nil {
		return nil, nil
	}
	return decodeMeta(key, b)
}

// shownMeta reads the head record of a session that clients may see, or gives
// the refusal.
func shownMeta(r Reader, space, session string) (*meta, error) {
	m, err := metaAt(r, space, session)
	if err != nil {
		return nil, err
	}
	return m, m.refusal()
}

// refusal says why the session is not shown, nil if it is.
func (m *meta) refusal() error {
	switch {
	case m == nil:
		return ErrNoSession
	case m.erased:
		return ErrSessionErased
	case !m.opened():
		return ErrNoSession
	case m.expired():
		return ErrSessionExpired
	}
	return nil
}

// Vector gives the session's vector: the ops that are applied to it here. An
// unknown session has the empty vector, an erased one still has its own.
func Vector(r Reader, space, session string) (vclock.Vector, error) {
	m, err := metaAt(r, space, session)
	if err != nil || m == nil {
		return vclock.Vector{}, err
	}
	return m.vector, nil
}
