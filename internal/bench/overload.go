package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	overloadTimes   = 5    // how many times its capacity an edge is offered
	overloadClients = 1024 // connections over which that comes
	recoverWithin   = 10 * time.Second
)

// overload is what came of a load that nobody waited for.
type overload struct {
	offered, good, shed float64 // a second
	bare                int     // refusals without Retry-After
	other               int     // answers that are neither 2xx nor 503
	p50, p99, longest   time.Duration
}

// overloadLine offers an edge, which has one processor to itself, five times
// what it can do: what it still does, how long that takes, and how soon it is
// itself again.
func overloadLine(ctx context.Context, b *bench) error {
	p, err := b.edgeWith(ctx, filepath.Join(b.dir, "overload-1"), "GOMAXPROCS=1")
	if err != nil {
		return err
	}
	defer p.stop()
	const sessions = 256
	if err := open(p.host(), "o", sessions); err != nil {
		return err
	}
	body := messageBody(payloadBytes)
	request := func(c *client, i int) []byte {
		return c.request(http.MethodPost, fmt.Sprintf("%s/o%d/messages", sessionsPath, i%sessions), body)
	}
	capacity, err := load(p.host(), clients, 2*b.span, request)
	if err != nil {
		return err
	}
	o, err := flood(ctx, p.host(), capacity.rate*overloadTimes, 4*b.span, request)
	if err != nil {
		return err
	}
	recovered, err := recovery(p.host(), capacity, b.span/4, request)
	if err != nil {
		return err
	}
	b.add(row{what: "overload, goodput",
		measured:  fmt.Sprintf("%.0f/s of %.0f/s offered, %.0f/s shed", o.good, o.offered, o.shed),
		reference: fmt.Sprintf("capacity %.0f/s", capacity.rate), ratio: fmt.Sprintf("%.2f", o.good/capacity.rate),
		budget: "≥ 0.8 of capacity", verdict: judge(o.good >= 0.8*capacity.rate)})
	b.add(row{what: "overload, time of what is accepted",
		measured:  fmt.Sprintf("p50 %v, p99 %v, longest %v", o.p50, o.p99, o.longest),
		reference: fmt.Sprintf("without overload p50 %v, p99 %v", capacity.p50, capacity.p99), budget: "bounded"})
	b.add(row{what: "overload, answers",
		measured: fmt.Sprintf("%d refusals without Retry-After, %d others", o.bare, o.other),
		budget:   "none", verdict: judge(o.bare == 0 && o.other == 0)})
	b.add(row{what: "overload, recovery", measured: recovered.Round(time.Millisecond).String(),
		budget: "≤ " + recoverWithin.String(), verdict: judge(recovered <= recoverWithin)})
	return nil
}

// edgeWith starts an edge without a core, with more in its environment.
func (b *bench) edgeWith(ctx context.Context, dir string, env ...string) (*process, error) {
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		before, had := os.LookupEnv(name)
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
		defer func() {
			if had {
				_ = os.Setenv(name, before) // it was set before
			} else {
				_ = os.Unsetenv(name)
			}
		}()
	}
	return b.edge(ctx, dir, "")
}

// flood sends requests at a rate, whatever becomes of them, over connections
// that each wait for their own answer only.
func flood(ctx context.Context, host string, rate float64, span time.Duration, request func(*client, int) []byte) (
	overload, error,
) {
	f := &flooding{began: time.Now(), rate: rate, span: span, warm: span / 4}
	var all sync.WaitGroup
	errs := make([]error, overloadClients)
	for i := range errs {
		all.Go(func() {
			c, err := dial(host)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.conn.Close()
			errs[i] = f.client(ctx, c, request(c, i))
		})
	}
	all.Wait()
	seconds := (f.span - f.warm).Seconds()
	o := f.overload
	o.offered, o.good, o.shed = float64(f.sent)/seconds, float64(len(f.took))/seconds, float64(f.refused)/seconds
	o.p50, o.p99 = quantile(f.took, 0.5), quantile(f.took, 0.99)
	if len(f.took) > 0 {
		o.longest = slices.Max(f.took)
	}
	return o, errors.Join(errs...)
}

type flooding struct {
	began      time.Time
	rate       float64
	span, warm time.Duration
	next       atomic.Int64

	mu            sync.Mutex // guards what follows
	took          []time.Duration
	sent, refused int
	overload
}

// client sends what is due over one connection.
func (f *flooding) client(ctx context.Context, c *client, data []byte) error {
	for ctx.Err() == nil {
		at := f.began.Add(time.Duration(float64(f.next.Add(1)) / f.rate * float64(time.Second)))
		if at.Sub(f.began) >= f.span {
			return nil
		}
		if wait := time.Until(at); wait > 0 {
			time.Sleep(wait)
		}
		sent := time.Now()
		if sent.Sub(f.began) >= f.span {
			return nil // the server, or this program, is behind
		}
		status, err := c.do(data)
		if err != nil {
			return err
		}
		if sent.Sub(f.began) > f.warm {
			f.count(status, c.wait, time.Since(sent))
		}
	}
	return ctx.Err()
}

func (f *flooding) count(status int, told bool, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
	switch {
	case status/100 == 2:
		f.took = append(f.took, took)
	case status != http.StatusServiceUnavailable:
		f.other++
	default:
		f.refused++
		if !told {
			f.bare++
		}
	}
}

// recovery is how long after the overload it takes until a window of normal
// load meets no refusal and half of the capacity.
func recovery(host string, capacity writes, window time.Duration, request func(*client, int) []byte) (
	time.Duration, error,
) {
	began := time.Now()
	for time.Since(began) < 3*recoverWithin {
		at := time.Since(began)
		w, err := load(host, clients, window, request)
		if err == nil && w.rate >= capacity.rate/2 {
			return at, nil
		}
	}
	return 0, fmt.Errorf("not recovered within %v", 3*recoverWithin)
}
