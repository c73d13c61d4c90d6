package intake

import (
	"cmp"
	"math"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Quota is a token bucket: so many requests a second, and so many at once after
// a pause. A Rate of zero is no limit.
type Quota struct {
	Rate  float64
	Burst int
}

// Limited reports whether there is a limit at all.
func (q Quota) Limited() bool { return q.Rate > 0 }

// Window is the time in which an empty bucket fills: as long as q of the
// RateLimit-Policy header is for.
func (q Quota) Window() time.Duration {
	return time.Duration(float64(q.burst()) / q.Rate * float64(time.Second))
}

// burst is at least one: nothing would ever go through.
func (q Quota) burst() int { return max(q.Burst, 1) }

// Scope is what a quota is for.
type Scope uint8

// The scopes, from the widest.
const (
	OfNode Scope = iota
	OfSpace
	OfClient
	scopes
)

// String names the scope as headers and metrics do.
func (s Scope) String() string { return [...]string{"node", "space", "client"}[s] }

// Quotas has a quota for each scope; every space and every client has one of
// its own.
type Quotas [scopes]Quota

// MaxBuckets bounds the buckets that are kept of one scope. Those that are full
// are forgotten first, since a new one is full too, then those that were used
// longest ago.
const MaxBuckets = 8192

// Buckets holds the token buckets.
//
// Invariant: no bucket is ever above its burst or below zero.
type Buckets struct {
	quotas Quotas
	of     [scopes]map[string]*bucket
}

type bucket struct {
	*rate.Limiter
	used time.Time
}

// NewBuckets makes full buckets.
func NewBuckets(q Quotas) *Buckets {
	b := &Buckets{quotas: q}
	for s := range b.of {
		b.of[s] = make(map[string]*bucket)
	}
	return b
}

// Standing is how a bucket stands after a request.
type Standing struct {
	Scope     Scope
	Quota     Quota
	Remaining int           // whole requests that would go through at once
	Reset     time.Duration // until one more goes through, if none does; else until the bucket is full
}

// Admission is what the buckets say to a request.
type Admission struct {
	Refused   bool
	By        Scope         // the scope that refused it
	Wait      time.Duration // after which the same request would go through
	Standings []Standing    // of the scopes that have a quota, widest first
}

// Take takes a token out of each bucket that the request falls under, or, if
// one is empty, out of none.
func (b *Buckets) Take(at time.Time, space, client string) Admission {
	names := [scopes]string{OfSpace: space, OfClient: client}
	var found [scopes]*bucket
	var a Admission
	for s := range scopes {
		if !b.quotas[s].Limited() {
			continue
		}
		found[s] = b.bucket(at, s, names[s])
		if wait := found[s].wait(at); wait > a.Wait {
			a.Refused, a.By, a.Wait = true, s, wait
		}
	}
	for s, k := range found {
		if k == nil {
			continue
		}
		if !a.Refused {
			k.AllowN(at, 1)
		}
		a.Standings = append(a.Standings, k.standing(at, Scope(s), b.quotas[s]))
	}
	return a
}

// bucket finds a bucket or makes it.
func (b *Buckets) bucket(at time.Time, s Scope, name string) *bucket {
	k, ok := b.of[s][name]
	if !ok {
		if len(b.of[s]) >= MaxBuckets {
			b.forget(at, s)
		}
		k = &bucket{Limiter: rate.NewLimiter(rate.Limit(b.quotas[s].Rate), b.quotas[s].burst())}
		b.of[s][name] = k
	}
	k.used = at
	return k
}

// forget drops the buckets that are full again; if these are too few, those
// that were used longest ago as well, an eighth at a time so that it is cheap.
func (b *Buckets) forget(at time.Time, s Scope) {
	type user struct {
		name string
		used time.Time
	}
	var left []user
	for name, k := range b.of[s] {
		if k.TokensAt(at) >= float64(k.Burst()) {
			delete(b.of[s], name)
			continue
		}
		left = append(left, user{name, k.used})
	}
	slices.SortFunc(left, func(a, b user) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.name, b.name)) })
	for _, u := range left[:max(len(left)-(MaxBuckets-MaxBuckets/8), 0)] {
		delete(b.of[s], u.name)
	}
}

// roundUp makes up for what fractions of tokens lose in rounding.
const roundUp = time.Microsecond

// wait is how long until there is a token.
func (k *bucket) wait(at time.Time) time.Duration {
	missing := 1 - k.TokensAt(at)
	if missing <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(missing/float64(k.Limit())*float64(time.Second))) + roundUp
}

func (k *bucket) standing(at time.Time, s Scope, q Quota) Standing {
	tokens := max(k.TokensAt(at), 0)
	st := Standing{Scope: s, Quota: Quota{Rate: q.Rate, Burst: q.burst()}, Remaining: int(tokens), Reset: k.wait(at)}
	if st.Reset == 0 {
		st.Reset = time.Duration((float64(q.burst()) - tokens) / q.Rate * float64(time.Second))
	}
	return st
}
