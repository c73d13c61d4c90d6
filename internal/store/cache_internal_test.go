package store

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// What the cache holds is what was written last, whatever falls out of it.
func TestCacheAgainstAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := &cache{young: map[string][]byte{}, limit: 1 << 10}
		truth := map[string][]byte{}
		for range rapid.IntRange(1, 400).Draw(rt, "steps") {
			key := fmt.Sprint(rapid.IntRange(0, 30).Draw(rt, "key"))
			if rapid.Bool().Draw(rt, "write") {
				var value []byte
				if n := rapid.SampledFrom([]int{-1, 0, 10, 100, cacheValueMax + 1}).Draw(rt, "bytes"); n >= 0 {
					value = bytes.Repeat([]byte{rapid.Byte().Draw(rt, "value")}, n)
				}
				truth[key] = value
				c.written([]byte(key), value)
				continue
			}
			got, ok := c.find([]byte(key))
			if !ok {
				c.keep(key, truth[key])
				continue
			}
			if !bytes.Equal(got, truth[key]) || (got == nil) != (truth[key] == nil) {
				rt.Fatalf("find(%s) = %q, want %q", key, got, truth[key])
			}
		}
	})
}
