package check

import "math/bits"

// bitset is a set of writes of one session.
type bitset []uint64

func newBitset(size int) bitset { return make(bitset, (size+63)/64) }

func (b bitset) has(i int32) bool { return b[i>>6]&(1<<(i&63)) != 0 }

func (b bitset) add(i int32) { b[i>>6] |= 1 << (i & 63) }

// addRange adds from and all after it, up to but without to.
func (b bitset) addRange(from, to int32) {
	for i := from; i < to; i++ {
		b.add(i)
	}
}

func (b bitset) union(c bitset) {
	for i, word := range c {
		b[i] |= word
	}
}

func (b bitset) intersect(c bitset) {
	for i, word := range c {
		b[i] &= word
	}
}

// each calls do for every member, in ascending order.
func (b bitset) each(do func(int32)) {
	for i, word := range b {
		for ; word != 0; word &= word - 1 {
			do(int32(i<<6 + bits.TrailingZeros64(word)))
		}
	}
}

// without gives the members that c lacks; a nil c has none.
func (b bitset) without(c bitset) []int32 {
	var list []int32
	for i, word := range b {
		if c != nil {
			word &^= c[i]
		}
		for ; word != 0; word &= word - 1 {
			list = append(list, int32(i<<6+bits.TrailingZeros64(word)))
		}
	}
	return list
}
