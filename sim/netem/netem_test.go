package netem_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/sim/netem"
)

const draws = 1_000_000

func generator(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// measure gives the share of hits and the correlation of neighbours.
func measure(c netem.Chance, seed uint64) (rate, neighbours float64) {
	rng, s := generator(seed), netem.Source{}
	hits, pairs, before := 0, 0, false
	for range draws {
		hit := s.Hit(c, rng)
		if hit {
			hits++
			if before {
				pairs++
			}
		}
		before = hit
	}
	rate = float64(hits) / draws
	if rate == 0 || rate == 1 {
		return rate, 0
	}
	return rate, (float64(pairs)/draws - rate*rate) / (rate * (1 - rate))
}

// tolerance is five standard errors of a rate over all draws, when the
// decisions are correlated like rho^k.
func tolerance(rate, rho float64) float64 {
	return 5*math.Sqrt(rate*(1-rate)/draws*(1+rho)/(1-rho)) + 2e-6
}

func TestRateOfTheKernelsFormula(t *testing.T) {
	t.Parallel()
	for i, c := range []netem.Chance{
		{P: 0.01, Correlation: 0.25}, {P: 0.1, Correlation: 0.25}, {P: 0.3, Correlation: 0.5}, {P: 0.05, Correlation: 0.9},
		{P: 0.5, Correlation: 0.75}, {P: 0.4, Correlation: 0.95}, {P: 0.45, Correlation: 0.99}, {P: 0.9, Correlation: 0.3},
		{P: 0.2}, {P: 1, Correlation: 0.5}, {P: 0.7, Correlation: 0.1}, {P: 0.25, Correlation: 0.7},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			want := netem.Rate(c)
			got, _ := measure(c, uint64(i))
			if d := math.Abs(got - want); d > tolerance(want, c.Correlation) {
				t.Errorf("rate of %+v over %d draws = %.6f, Rate says %.6f", c, draws, got, want)
			}
		})
	}
}

// The example that everybody copies: loss 1 %, correlation 25 %.
func TestTheKernelLosesNearlyNothing(t *testing.T) {
	t.Parallel()
	if got := netem.Rate(netem.Chance{P: 0.01, Correlation: 0.25}); got > 0.0001 {
		t.Errorf("Rate(1 %%, correlation 25 %%) = %g, want about 0", got)
	}
	if got := netem.Rate(netem.Chance{P: 0.01, Correlation: 0.25, MeanPreserving: true}); got != 0.01 {
		t.Errorf("Rate of the mean-preserving mode = %g, want 0.01", got)
	}
}

func TestMeanPreserving(t *testing.T) {
	t.Parallel()
	for i, c := range []netem.Chance{
		{P: 0.01, Correlation: 0.25}, {P: 0.3, Correlation: 0.5}, {P: 0.05, Correlation: 0.9}, {P: 0.5, Correlation: 0.75},
		{P: 0.2}, {P: 1, Correlation: 0.5}, {P: 0.001, Correlation: 0.6},
	} {
		c.MeanPreserving = true
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			rate, neighbours := measure(c, uint64(i))
			if d := math.Abs(rate - c.P); d > tolerance(c.P, c.Correlation) {
				t.Errorf("rate of %+v over %d draws = %.6f, want %.6f", c, draws, rate, c.P)
			}
			if c.P < 1 && math.Abs(neighbours-c.Correlation) > 0.05 {
				t.Errorf("correlation of neighbours of %+v = %.3f, want %.3f", c, neighbours, c.Correlation)
			}
		})
	}
}

// The two ways to compute the rate must meet where one takes over from the other.
func TestRateIsSmooth(t *testing.T) {
	t.Parallel()
	for p := 0.3; p < 0.5; p += 0.02 {
		low, high := netem.Rate(netem.Chance{P: p, Correlation: 0.97}), netem.Rate(netem.Chance{P: p, Correlation: 0.970001})
		if math.Abs(low-high) > 1e-4 {
			t.Errorf("Rate(%.2f) jumps from %.6f to %.6f at correlation 97 %%", p, low, high)
		}
	}
}

func TestRateRises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rho := rapid.Float64Range(0, 1).Draw(t, "correlation")
		p := rapid.Float64Range(0, 1).Draw(t, "p")
		q := rapid.Float64Range(p, 1).Draw(t, "q")
		a, b := netem.Rate(netem.Chance{P: p, Correlation: rho}), netem.Rate(netem.Chance{P: q, Correlation: rho})
		if a < 0 || b > 1 || a > b+1e-9 || math.IsNaN(a+b) {
			t.Errorf("Rate(%g)=%g, Rate(%g)=%g at correlation %g; want 0 <= first <= second <= 1", p, a, q, b, rho)
		}
	})
}

// The kernel's integers, worked out by hand for the generator's first numbers.
func TestCorrelatedNumberIsTheKernels(t *testing.T) {
	t.Parallel()
	raw, s, rng := generator(7), netem.Source{}, generator(7)
	last := raw.Uint32()
	const rho = 0x4000_0000 // what tc makes of 25 %, rounded: 0.25 * (2^32-1) = 0x3fffffff.c
	for i := range 1000 {
		fresh := raw.Uint32()
		last = uint32((uint64(fresh)*(1<<32-(rho+1)) + uint64(last)*(rho+1)) >> 32)
		const p = 0.4
		want := last <= uint32(math.Round(p*math.MaxUint32))
		if got := s.Hit(netem.Chance{P: p, Correlation: 0.25}, rng); got != want {
			t.Fatalf("decision %d = %v, want %v", i, got, want)
		}
	}
}

func TestNeverDrawsNothing(t *testing.T) {
	t.Parallel()
	rng, same := generator(3), generator(3)
	var s netem.Source
	var o netem.Order
	var b netem.Spell
	if s.Hit(netem.Chance{Correlation: 1}, rng) || o.Ahead(netem.Chance{}, 5, rng) || b.Lost(netem.Burst{Leave: 1}, rng) {
		t.Error("what never happens has happened")
	}
	if d := s.Delay(time.Second, 0, 0.5, rng); d != time.Second {
		t.Errorf("Delay without jitter = %v, want 1s", d)
	}
	if rng.Uint64() != same.Uint64() {
		t.Error("a decision that is certain has drawn from the generator")
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mean, jitter time.Duration
		correlation  float64
	}{
		{100 * time.Millisecond, 20 * time.Millisecond, 0},
		{100 * time.Millisecond, 20 * time.Millisecond, 0.25},
		{100 * time.Millisecond, 20 * time.Millisecond, 0.9},
		{10 * time.Second, 5 * time.Second, 0}, // over the kernel's 32 bits
		{time.Millisecond, time.Nanosecond, 0},
	} {
		rng, s := generator(11), netem.Source{}
		const n = 100_000
		sum, low, high := 0.0, time.Duration(math.MaxInt64), time.Duration(0)
		for range n {
			d := s.Delay(c.mean, c.jitter, c.correlation, rng)
			sum += float64(d)
			low, high = min(low, d), max(high, d)
		}
		if low < c.mean-c.jitter || high >= c.mean+c.jitter {
			t.Errorf("delays of %+v are from %v to %v, want [mean-jitter, mean+jitter)", c, low, high)
		}
		if c.jitter > time.Microsecond && (low > c.mean-c.jitter*9/10 || high < c.mean+c.jitter*9/10) {
			t.Errorf("delays of %+v are from %v to %v, want nearly the whole range", c, low, high)
		}
		if got := sum / n; math.Abs(got-float64(c.mean)) > float64(c.jitter)/20+1 {
			t.Errorf("mean delay of %+v = %v", c, time.Duration(got))
		}
	}
}

func TestGap(t *testing.T) {
	t.Parallel()
	rng, o := generator(1), netem.Order{}
	for i := range 100 {
		if got, want := o.Ahead(netem.Chance{P: 1}, 5, rng), i%5 == 4; got != want {
			t.Fatalf("message %d with gap 5: ahead = %v, want %v", i, got, want)
		}
	}
	rng, o = generator(1), netem.Order{}
	hits := 0
	for range draws {
		if o.Ahead(netem.Chance{P: 0.25}, 0, rng) {
			hits++
		}
	}
	if got := float64(hits) / draws; math.Abs(got-0.25) > tolerance(0.25, 0) {
		t.Errorf("share sent ahead without a gap = %.4f, want 0.25", got)
	}
}

func TestBurst(t *testing.T) {
	t.Parallel()
	b := netem.Burst{Enter: 0.01, Leave: 0.2, Bad: 0.9, Good: 0.001}
	rng, s := generator(5), netem.Spell{}
	lost, runs, before := 0, 0, false
	for range draws {
		hit := s.Lost(b, rng)
		if hit {
			lost++
			if !before {
				runs++
			}
		}
		before = hit
	}
	if got, want := float64(lost)/draws, b.Rate(); math.Abs(got-want) > tolerance(want, 0.8) {
		t.Errorf("share lost in bursts = %.5f, Rate says %.5f", got, want)
	}
	if mean := float64(lost) / float64(runs); mean < 2 {
		t.Errorf("mean run of losses = %.2f, want bursts of 2 and more", mean)
	}
	for _, c := range []struct {
		b    netem.Burst
		want float64
	}{
		{netem.Burst{}, 0}, {netem.Burst{Bad: 1}, 0}, {netem.Burst{Good: 0.5, Bad: 1}, 0.5},
		{netem.Burst{Enter: 0.1, Bad: 1}, 1}, {netem.Burst{Enter: 0.1, Leave: 0.3, Bad: 1}, 0.25},
	} {
		if got := c.b.Rate(); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v.Rate() = %g, want %g", c.b, got, c.want)
		}
	}
}

func BenchmarkHit(b *testing.B) {
	rng, s := generator(1), netem.Source{}
	for b.Loop() {
		s.Hit(netem.Chance{P: 0.3, Correlation: 0.25}, rng)
	}
}

func BenchmarkRate(b *testing.B) {
	for b.Loop() {
		netem.Rate(netem.Chance{P: 0.3, Correlation: 0.95})
	}
}

func ExampleRate() {
	for _, c := range []netem.Chance{
		{P: 0.01, Correlation: 0.25},
		{P: 0.30, Correlation: 0.25},
		{P: 0.01, Correlation: 0.25, MeanPreserving: true},
	} {
		fmt.Printf("%.0f %% becomes %.3f %%\n", 100*c.P, 100*netem.Rate(c))
	}
	// Output:
	// 1 % becomes 0.000 %
	// 30 % becomes 23.333 %
	// 1 % becomes 1.000 %
}
