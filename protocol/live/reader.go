package live

import (
	"github.com/causeway-sync/causeway/vclock"
)

// Reader is one client's place in a topic, made by [Topic.Enter].
//
// Invariant: since covers what was handed to the client and what its token
// covered, and nothing else. While it follows, since includes the topic's base
// and every item before next.
type Reader struct {
	since   vclock.Vector
	follows bool
	next    uint64 // while it follows: number of the next change
	same    bool   // while it follows: since is the topic's cursor before that change
	told    Standing
}

// Standing is what a client was told about how far it has come.
type Standing uint8

// The standings.
const (
	Reading  Standing = iota // there may be more to read
	Behind                   // it has all that this node holds, which is less than its token covers
	CaughtUp                 // it has all that this node holds
)

// Delivery is one change for one client.
type Delivery[E any] struct {
	Event   E
	Version vclock.Vector // the client's token behind it
	// Shared says that Version is the topic's own cursor behind the change, and
	// so the same for every client of whom this is said.
	Shared bool
}

// Enter lets a client that has what since covers take part. It reads from the
// store first, unless what it lacks is in the topic's tail.
func (t *Topic[E]) Enter(since vclock.Vector) *Reader {
	r := &Reader{since: since}
	t.readers++
	t.join(r)
	return r
}

// Leave ends the client's part.
func (t *Topic[E]) Leave(r *Reader) {
	t.part(r)
	t.readers--
	t.release()
}

// join makes r a follower if all that it lacks is in the tail.
func (t *Topic[E]) join(r *Reader) {
	switch {
	case r.since.Includes(t.cursor):
		r.next = t.next()
		r.same = t.cursor.Includes(r.since)
	case r.since.Includes(t.base):
		r.next = t.first
		r.same = t.base.Includes(r.since)
		for i := range t.items {
			t.items[i].left++
		}
	default:
		return
	}
	r.follows = true
	t.followers++
}

// part ends following.
func (t *Topic[E]) part(r *Reader) {
	if !r.follows {
		return
	}
	for i := range t.items {
		if t.first+uint64(i) >= r.next {
			t.items[i].left--
		}
	}
	r.follows = false
	t.followers--
}

// Since is the client's token now.
func (r *Reader) Since() vclock.Vector { return r.since }

// MustLoad reports whether the client's next changes are to be read from the
// store, behind Since, and handed to [Topic.Loaded].
func (t *Topic[E]) MustLoad(r *Reader) bool {
	if r.follows && r.next < t.first { // what it waited for was dropped
		t.part(r)
		r.told = Reading
	}
	return !r.follows
}

// Take hands over the next changes of a follower, at most MaxBatchItems and
// about MaxBatchBytes. Nothing: it has all that the topic has seen.
func (t *Topic[E]) Take(r *Reader) []Delivery[E] {
	if t.MustLoad(r) {
		return nil
	}
	var batch []Delivery[E]
	bytes := 0
	for r.next < t.next() && len(batch) < MaxBatchItems && bytes < MaxBatchBytes {
		k := &t.items[r.next-t.first]
		r.next++
		k.left--
		covered := r.since.Covers(k.Dot)
		switch {
		case r.same:
			r.since = k.after // shared by all who stand here
		case !covered:
			r.since = r.since.With(k.Dot)
		}
		r.same = r.same || k.after.Includes(r.since)
		if !covered {
			bytes += k.Bytes
			batch = append(batch, Delivery[E]{Event: k.Event, Version: r.since, Shared: r.same})
		}
	}
	t.release()
	return batch
}

// Loaded takes what was read from the store behind r.Since, in the order of
// the log, and gives what to send. end says that the node's log had nothing
// more when it was read.
func (t *Topic[E]) Loaded(r *Reader, items []Item[E], end bool) []Delivery[E] {
	var batch []Delivery[E]
	for _, it := range items {
		if r.since.Covers(it.Dot) {
			continue
		}
		r.since = r.since.With(it.Dot)
		batch = append(batch, Delivery[E]{Event: it.Event, Version: r.since})
	}
	if end && !r.follows {
		t.join(r)
		t.release()
	}
	return batch
}

// Stands is what the client was last told.
func (r *Reader) Stands() Standing { return r.told }

// Stand notes where a client stands who has taken all that there was, and
// reports whether it is to be told. whole says that the node holds everything
// that the client's token covers.
func (r *Reader) Stand(whole bool) (Standing, bool) {
	s := Behind
	if whole {
		s = CaughtUp
	}
	tell := r.told != s && r.told != CaughtUp
	if tell {
		r.told = s
	}
	return s, tell
}
