package live

import (
	"github.com/causeway-sync/causeway/vclock"
)

// Item is one change: the op that it shows, its size in bytes, and what the
// caller makes of it.
type Item[E any] struct {
	Dot   vclock.Dot
	Bytes int
	Event E
}

// Topic is a session, or a whole space, that somebody follows at this node. It
// keeps the last changes for those who have all but these, so that each change
// is read and encoded once, and lets go of a change when all of them have it.
//
// Invariant: items are the last changes that were read of the node's log, in
// the log's order, between base and cursor; their numbers run on without a gap
// from first; a reader that follows waits for items[i] exactly if its next is
// not beyond first+i, and items[i].left counts these readers.
type Topic[E any] struct {
	base      vclock.Vector // before items[0]
	cursor    vclock.Vector // behind the last item
	first     uint64        // number of items[0]
	items     []kept[E]
	bytes     int
	readers   int
	followers int // readers that take from items
}

type kept[E any] struct {
	Item[E]
	after vclock.Vector // the topic's cursor behind it
	left  int
}

// NewTopic begins at what the node held when it was asked; the caller reads on
// from there as soon as something may have come.
func NewTopic[E any](cursor vclock.Vector) *Topic[E] {
	return &Topic[E]{base: cursor, cursor: cursor}
}

// Cursor is behind which the node's log is to be read next, for [Topic.Grow].
func (t *Topic[E]) Cursor() vclock.Vector { return t.cursor }

// Readers counts those who take part.
func (t *Topic[E]) Readers() int { return t.readers }

// Held counts the changes that are kept, and their bytes.
func (t *Topic[E]) Held() (items, bytes int) { return len(t.items), t.bytes }

// Grow takes what was read behind the cursor, in the order of the log.
func (t *Topic[E]) Grow(items []Item[E]) {
	for _, it := range items {
		if t.cursor.Covers(it.Dot) {
			continue
		}
		t.cursor = t.cursor.With(it.Dot)
		t.items = append(t.items, kept[E]{Item: it, after: t.cursor, left: t.followers})
		t.bytes += it.Bytes
		for len(t.items) > 1 && (len(t.items) > MaxTailItems || t.bytes > MaxTailBytes) {
			t.drop(1)
		}
	}
	t.release()
}

// next is the number that the next change will get.
func (t *Topic[E]) next() uint64 { return t.first + uint64(len(t.items)) }

// release drops the changes that nobody waits for. While somebody reads from
// the store they are kept, or he might never meet the tail of a busy topic.
func (t *Topic[E]) release() {
	n := 0
	for t.followers == t.readers && n < len(t.items) && t.items[n].left == 0 {
		n++
	}
	t.drop(n)
}

func (t *Topic[E]) drop(n int) {
	if n == 0 {
		return
	}
	for i := range n {
		t.bytes -= t.items[i].Bytes
	}
	t.base = t.items[n-1].after
	t.first += uint64(n)
	clear(t.items[:n])
	if t.items = t.items[n:]; len(t.items) == 0 {
		t.items = nil // lets go of the array
	}
}
