package text

import (
	"fmt"
	"unicode/utf8"
)

// Unit is what an offset counts.
type Unit int

// Units of offsets. The core counts code points; the others are for the
// border: Go strings count bytes, JavaScript and LSP count UTF-16 units.
const (
	CodePoints Unit = iota
	UTF16
	Bytes
)

// String names the unit.
func (u Unit) String() string {
	switch u {
	case CodePoints:
		return "code points"
	case UTF16:
		return "UTF-16 units"
	case Bytes:
		return "bytes"
	}
	return fmt.Sprintf("Unit(%d)", int(u))
}

const chunkBytes = 1024

// chunk is the content of a leaf: valid UTF-8, never half a character.
type chunk struct {
	n int32
	b [chunkBytes]byte
}

// rope holds a text in chunks. The sums of its tree count code points, UTF-16
// units and bytes, in the order of the Units.
type rope struct {
	tree   tree
	chunks []chunk
	hint   int32 // the leaf of the last change
	hintAt int32 // code points before it; valid while nothing else changes
}

func newRope(s string) *rope {
	r := &rope{}
	r.tree.reset(3)
	r.chunks = make([]chunk, 1, len(s)/(chunkBytes*3/4)+1)
	at := int32(0)
	for len(s) > 0 {
		n := cut(s, chunkBytes*3/4)
		if r.chunks[at].n > 0 {
			at = r.grow(at)
		}
		c := &r.chunks[at]
		c.n = int32(copy(c.b[:], s[:n]))
		r.tree.add(at, measure(c.b[:c.n]))
		s = s[n:]
	}
	r.hint, r.hintAt = 0, 0
	return r
}

// grow adds a chunk behind leaf l.
func (r *rope) grow(l int32) int32 {
	fresh := r.tree.insertAfter(l)
	if int(fresh) == len(r.chunks) {
		r.chunks = append(r.chunks, chunk{})
	}
	r.chunks[fresh].n = 0
	return fresh
}

// cut returns the most bytes of s, at most limit, that are whole characters.
func cut[S ~string | ~[]byte](s S, limit int) int {
	if len(s) <= limit {
		return len(s)
	}
	n := limit
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}

// measure counts valid UTF-8.
func measure[S ~string | ~[]byte](s S) sums {
	var m sums
	for i := range len(s) {
		switch b := s[i]; {
		case b < 0x80 || b >= 0xC0 && b < 0xF0:
			m[0]++
			m[1]++
		case b >= 0xF0:
			m[0]++
			m[1] += 2
		}
	}
	m[2] = int32(len(s))
	return m
}

// length counts the text.
func (r *rope) length(u Unit) int { return int(r.tree.total()[u]) }

// seek finds the leaf with the k-th code point, 1-based, k 0 meaning the very
// front, and the number of code points before the leaf.
func (r *rope) seek(k int32) (int32, int32) {
	if n := r.tree.leaves[r.hint].sum[0]; r.hintAt < k && k <= r.hintAt+n {
		return r.hint, r.hintAt
	}
	if k == 0 {
		r.hint, r.hintAt = r.tree.first, 0
		return r.tree.first, 0
	}
	l, before := r.tree.find(0, k)
	r.hint, r.hintAt = l, before[0]
	return l, before[0]
}

// byteAt returns where in leaf l the character with index k begins.
func (r *rope) byteAt(l, k int32) int32 {
	if r.tree.leaves[l].sum[0] == r.chunks[l].n {
		return k
	}
	c := &r.chunks[l]
	return int32(skip(c.b[:c.n], int(k)))
}

// skip returns the length in bytes of the first k characters.
func skip[S ~string | ~[]byte](s S, k int) int {
	i := 0
	for i < len(s) {
		if s[i] < 0x80 || s[i] >= 0xC0 {
			if k == 0 {
				return i
			}
			k--
		}
		i++
	}
	return i
}

// insert puts valid UTF-8 before the code point at pos; pos is in range.
func (r *rope) insert(pos int32, s string) {
	l, before := r.seek(pos)
	at := r.byteAt(l, pos-before)
	c := &r.chunks[l]
	if int(c.n)+len(s) <= chunkBytes {
		copy(c.b[int(at)+len(s):], c.b[at:c.n])
		copy(c.b[at:], s)
		c.n += int32(len(s))
		if len(s) == 1 {
			r.tree.add(l, sums{1, 1, 1})
		} else {
			r.tree.add(l, measure(s))
		}
		return
	}
	r.insertLong(l, at, s)
}

// insertLong inserts at byte at of a chunk that is too full for s.
func (r *rope) insertLong(l, at int32, s string) {
	tail := string(r.chunks[l].b[at:r.chunks[l].n])
	r.truncate(l, at)
	if len(tail) == 0 || len(s) > chunkBytes/2 {
		r.fill(r.fill(l, s, chunkBytes*3/4), tail, chunkBytes)
		return
	}
	// Two halves with room in both, wherever s stands.
	if at > chunkBytes/2 {
		b := r.chunks[l].b[:at]
		half := int32(cut(b, chunkBytes/2))
		s = string(b[half:]) + s
		r.truncate(l, half)
	}
	r.fill(r.fill(r.grow(l), s, chunkBytes), tail, chunkBytes)
}

// truncate keeps the first n bytes of a chunk.
func (r *rope) truncate(l, n int32) {
	c := &r.chunks[l]
	lost := measure(c.b[n:c.n])
	c.n = n
	r.tree.add(l, sums{-lost[0], -lost[1], -lost[2]})
}

// fill appends s to leaf l and, where it is full, to new ones behind it, up to
// limit bytes in each; it returns the last leaf.
func (r *rope) fill(l int32, s string, limit int) int32 {
	for len(s) > 0 {
		n := cut(s, max(0, limit-int(r.chunks[l].n)))
		if n == 0 {
			l = r.grow(l)
			continue
		}
		c := &r.chunks[l]
		c.n += int32(copy(c.b[c.n:], s[:n]))
		r.tree.add(l, measure(s[:n]))
		s = s[n:]
	}
	return l
}

// delete takes out n code points from pos on; the range is in the text.
func (r *rope) delete(pos, n int32) {
	for n > 0 {
		l, before := r.seek(pos + 1)
		k := pos - before
		m := min(n, r.tree.leaves[l].sum[0]-k)
		from, to := r.byteAt(l, k), r.byteAt(l, k+m)
		c := &r.chunks[l]
		d := sums{-1, -1, -1}
		if to-from > 1 {
			lost := measure(c.b[from:to])
			d = sums{-lost[0], -lost[1], -lost[2]}
		}
		copy(c.b[from:], c.b[to:c.n])
		c.n -= to - from
		r.tree.add(l, d)
		if c.n == 0 {
			r.tree.remove(l)
			r.hint, r.hintAt = r.tree.first, 0
		}
		n -= m
	}
}

// String returns the whole text.
func (r *rope) String() string {
	b := make([]byte, 0, r.length(Bytes))
	for l := r.tree.first; l != none; l = r.tree.leaves[l].next {
		b = append(b, r.chunks[l].b[:r.chunks[l].n]...)
	}
	return string(b)
}

// slice returns the code points from from up to to.
func (r *rope) slice(from, to int32) string {
	if from >= to {
		return ""
	}
	b := make([]byte, 0, to-from)
	l, before := r.seek(from + 1)
	for at := from; at < to; l = r.tree.leaves[l].next {
		n := r.tree.leaves[l].sum[0]
		m := min(to, before+n)
		b = append(b, r.chunks[l].b[r.byteAt(l, at-before):r.byteAt(l, m-before)]...)
		at, before = m, before+n
	}
	return string(b)
}

// convert turns an offset in one unit into another.
func (r *rope) convert(offset int, from, to Unit) (int, error) {
	if offset < 0 || offset > r.length(from) {
		return 0, fmt.Errorf("offset %d of %d %s: %w", offset, r.length(from), from, ErrPosition)
	}
	if offset == 0 {
		return 0, nil
	}
	l, before := r.tree.find(int(from), int32(offset))
	c := &r.chunks[l]
	rest, err := Convert(string(c.b[:c.n]), offset-int(before[from]), from, to)
	if err != nil {
		return 0, err
	}
	return int(before[to]) + rest, nil
}

// Convert turns an offset into s that counts one unit into one that counts
// another. It returns ErrPosition for an offset outside s and ErrUTF8 for one
// inside a character. It costs the length of s; [Doc.Convert] is cheaper.
func Convert(s string, offset int, from, to Unit) (int, error) {
	if !utf8.ValidString(s) {
		return 0, ErrUTF8
	}
	at := [3]int{}
	for i, c := range s {
		if at[from] >= offset {
			break
		}
		at[CodePoints]++
		at[UTF16]++
		if c > 0xFFFF {
			at[UTF16]++
		}
		at[Bytes] = i + utf8.RuneLen(c)
	}
	switch {
	case offset < 0 || at[from] < offset:
		return 0, fmt.Errorf("offset %d of %d %s: %w", offset, at[from], from, ErrPosition)
	case at[from] > offset:
		return 0, fmt.Errorf("offset %d %s is inside a character: %w", offset, from, ErrUTF8)
	}
	return at[to], nil
}
