package kv

import (
	"iter"
	"slices"
	"strings"
)

// chunkKeysMax is how many keys one chunk holds before it is split in two.
const chunkKeysMax = 256

// Keys is an ordered set of keys. The zero value is empty and ready.
//
// Invariant: no chunk is empty; keys rise within and across chunks.
type Keys struct {
	chunks [][]string
	count  int
}

// Len gives the number of keys.
func (k *Keys) Len() int { return k.count }

// Insert adds key; it does nothing if the key is there.
func (k *Keys) Insert(key string) {
	if len(k.chunks) == 0 {
		k.chunks = [][]string{append(make([]string, 0, 8), key)}
		k.count = 1
		return
	}
	c := k.chunk(key)
	at, found := slices.BinarySearch(k.chunks[c], key)
	if found {
		return
	}
	k.chunks[c] = slices.Insert(k.chunks[c], at, key)
	k.count++
	if full := k.chunks[c]; len(full) > chunkKeysMax {
		half := len(full) / 2
		upper := slices.Clone(full[half:])
		clear(full[half:])
		k.chunks[c] = full[:half]
		k.chunks = slices.Insert(k.chunks, c+1, upper)
	}
}

// Remove takes key away; it does nothing if the key is not there.
func (k *Keys) Remove(key string) {
	if len(k.chunks) == 0 {
		return
	}
	c := k.chunk(key)
	at, found := slices.BinarySearch(k.chunks[c], key)
	if !found {
		return
	}
	k.count--
	if len(k.chunks[c]) == 1 {
		k.chunks = slices.Delete(k.chunks, c, c+1)
		return
	}
	k.chunks[c] = slices.Delete(k.chunks[c], at, at+1)
}

// Clone returns a copy that shares nothing.
func (k *Keys) Clone() Keys {
	chunks := make([][]string, len(k.chunks))
	for i, c := range k.chunks {
		chunks[i] = slices.Clone(c)
	}
	return Keys{chunks: chunks, count: k.count}
}

// Scan yields the keys with prefix as [session.Reader] describes it. The set
// must not change meanwhile.
func (k *Keys) Scan(prefix, from string, hasFrom, reverse bool) iter.Seq[string] {
	if reverse {
		return k.down(prefix, from, hasFrom)
	}
	return k.up(prefix, from, hasFrom)
}

func (k *Keys) up(prefix, from string, hasFrom bool) iter.Seq[string] {
	start := prefix
	if hasFrom && from > prefix {
		start = from
	}
	return func(yield func(string) bool) {
		if len(k.chunks) == 0 {
			return
		}
		c := k.chunk(start)
		at, _ := slices.BinarySearch(k.chunks[c], start)
		for ; c < len(k.chunks); c, at = c+1, 0 {
			for _, key := range k.chunks[c][at:] {
				if !strings.HasPrefix(key, prefix) || !yield(key) {
					return
				}
			}
		}
	}
}

func (k *Keys) down(prefix, from string, hasFrom bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for c := len(k.chunks) - 1; c >= 0; c-- {
			chunk := k.chunks[c]
			if chunk[0] > prefix && !strings.HasPrefix(chunk[0], prefix) {
				continue // the whole chunk lies behind the prefix
			}
			if hasFrom && chunk[0] > from {
				continue
			}
			for _, key := range slices.Backward(chunk) {
				if hasFrom && key > from {
					continue
				}
				if !strings.HasPrefix(key, prefix) {
					if key > prefix {
						continue
					}
					return
				}
				if !yield(key) {
					return
				}
			}
		}
	}
}

// chunk gives the index of the chunk that key is in or belongs into.
func (k *Keys) chunk(key string) int {
	at, found := slices.BinarySearchFunc(k.chunks, key, func(c []string, key string) int {
		return strings.Compare(c[0], key)
	})
	if found || at == 0 {
		return at
	}
	return at - 1
}
