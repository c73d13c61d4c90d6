package netem

import (
	"math"
	"math/rand/v2"
	"time"
)

// Chance is a probability with memory. The zero value never happens.
type Chance struct {
	P           float64 // from 0 to 1
	Correlation float64 // from 0 to 1: how much of a decision is taken over from the one before
	// MeanPreserving keeps P as the long-run rate. Otherwise the kernel's formula
	// is followed exactly, whose rate is [Rate].
	MeanPreserving bool
}

// Source remembers what the next decision depends on. The zero value is ready.
type Source struct {
	last  uint32 // the kernel's correlated number
	hit   bool   // the decision before
	drawn bool   // there was one before
}

// Hit decides once. It draws nothing when c never happens.
//
// With MeanPreserving a decision is the one before with probability
// Correlation, and a fresh one otherwise. Each decision then has probability P,
// and decisions k apart have correlation Correlation^k.
func (s *Source) Hit(c Chance, rng *rand.Rand) bool {
	if c.P <= 0 {
		return false
	}
	if !c.MeanPreserving {
		return s.number(scaled(c.Correlation), rng) <= scaled(c.P)
	}
	if !s.drawn || c.Correlation <= 0 || rng.Float64() >= c.Correlation {
		s.hit, s.drawn = rng.Float64() < c.P, true
	}
	return s.hit
}

// Delay draws a delay that is uniform in [mean-jitter, mean+jitter). It is
// negative if jitter is over mean and chance wants it; callers take zero then.
//
// As in the kernel, the correlated number is folded into that range by a
// division with remainder. Unless jitter is seconds long the range is passed
// through many times, which wipes out nearly all of the correlation.
func (s *Source) Delay(mean, jitter time.Duration, correlation float64, rng *rand.Rand) time.Duration {
	if jitter <= 0 {
		return mean
	}
	width := uint64(2 * jitter)
	return mean - jitter + time.Duration(s.wide(width, scaled(correlation), rng)%width)
}

// wide is number for a width that may be over 32 bits, where the kernel stops:
// its jitter ends at 2.1 s. Beyond that the number is stretched.
func (s *Source) wide(width uint64, rho uint32, rng *rand.Rand) uint64 {
	n := uint64(s.number(rho, rng))
	if width <= math.MaxUint32 {
		return n
	}
	return uint64(float64(n) / (1 << 32) * float64(width))
}

// number gives the next correlated number.
// Source: get_crandom in sch_netem.c. Differs: the number before the first is
// drawn from the generator that is handed in.
func (s *Source) number(rho uint32, rng *rand.Rand) uint32 {
	if rho == 0 {
		return rng.Uint32()
	}
	if !s.drawn {
		s.last, s.drawn = rng.Uint32(), true
	}
	r := uint64(rho) + 1
	s.last = uint32((uint64(rng.Uint32())*(1<<32-r) + uint64(s.last)*r) >> 32)
	return s.last
}

// scaled turns a probability into the 32 bits in which tc hands it to the kernel.
func scaled(p float64) uint32 {
	return uint32(math.Round(min(max(p, 0), 1) * math.MaxUint32))
}

// Order decides which messages are sent ahead of those before them, that is,
// without delay. The zero value is ready.
type Order struct {
	source Source
	passed int // messages since the last that was sent ahead
}

// Ahead decides for the next message. With a gap of n, only each n-th message
// since the last hit is a candidate; a gap of 0 counts as 1.
// Source: netem_enqueue in sch_netem.c.
func (o *Order) Ahead(c Chance, gap int, rng *rand.Rand) bool {
	if c.P <= 0 {
		return false
	}
	if o.passed < gap-1 || !o.source.Hit(c, rng) {
		o.passed++
		return false
	}
	o.passed = 0
	return true
}
