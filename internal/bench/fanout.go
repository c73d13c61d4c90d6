package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/internal/wsraw"
)

const (
	fanSubscribers = 5000
	fanSessions    = 500
	fanRate        = 1000 // appends a second
	fanWriters     = 4    // WebSockets that the appends are sent over
	fanSpan        = 10 * time.Second
	fanStopped     = 10 // readers that stop
)

// audience is a crowd of subscribers of one edge.
type audience struct {
	conns   []*wsraw.Client
	wanted  atomic.Int64 // changes still to come
	done    chan struct{}
	failure atomic.Pointer[error]

	mu   sync.Mutex // guards took
	took []time.Duration
}

// fanOutLine measures many subscribers of one edge.
func fanOutLine(ctx context.Context, b *bench) error {
	edge, err := b.edge(ctx, filepath.Join(b.dir, "fanout"), "")
	if err != nil {
		return err
	}
	defer edge.stop()
	if err := open(edge.host(), "f", fanSessions); err != nil {
		return err
	}
	if err := fanWrite(edge.url, fanSessions, fanSessions*4); err != nil { // what any node has in memory anyway
		return err
	}
	before, err := edge.anon()
	if err != nil {
		return err
	}
	a := &audience{}
	defer a.close()
	if err := a.gather(edge.url); err != nil {
		return err
	}
	after, err := edge.anon()
	if err != nil {
		return err
	}
	each := float64(after-before) / fanSubscribers / 1024
	b.add(row{what: fmt.Sprintf("memory for each of %d subscribers", fanSubscribers), budget: "<= 25 KB",
		measured: fmt.Sprintf("%.1f KB", each), verdict: judge(each <= 25)})
	idle, err := edge.processor()
	if err != nil {
		return err
	}
	all, err := a.listen(ctx, edge.url, 0)
	if err != nil {
		return err
	}
	used, err := edge.processor()
	if err != nil {
		return err
	}
	busy, err := edge.anon()
	if err != nil {
		return err
	}
	b.add(row{what: fmt.Sprintf("%d appends/s over %d sessions to %d subscribers, p50", fanRate, fanSessions, fanSubscribers),
		measured: millis(quantile(all, 0.5)), reference: fmt.Sprintf("%d delivered, none lost, none twice; edge at %d MB", len(all), busy>>20)})
	b.add(row{what: "  p99", measured: millis(quantile(all, 0.99))})
	b.add(row{what: "  processor time of the server", measured: fmt.Sprintf("%.0f us a delivery, its append included",
		float64((used-idle).Microseconds())/float64(len(all)))})
	some, err := a.listen(ctx, edge.url, fanStopped)
	if err != nil {
		return err
	}
	b.add(row{what: fmt.Sprintf("  p99 of the others while %d readers have stopped", fanStopped), measured: millis(quantile(some, 0.99)),
		reference: "nobody stopped " + millis(quantile(all, 0.99)), ratio: ratio(float64(quantile(some, 0.99)), float64(quantile(all, 0.99)))})
	return nil
}

// gather connects the subscribers: each follows one session.
func (a *audience) gather(url string) error {
	a.conns = make([]*wsraw.Client, fanSubscribers)
	errs := make([]error, 16)
	var all sync.WaitGroup
	for w := range errs {
		all.Go(func() {
			for i := w; i < fanSubscribers && errs[w] == nil; i += len(errs) {
				watcher, err := watchFrom(url, fmt.Sprintf("f%d", i%fanSessions))
				if errs[w] = err; err == nil {
					a.conns[i] = watcher
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// watchFrom follows a session from now on.
func watchFrom(url, id string) (*wsraw.Client, error) {
	c, err := wsraw.Dial(url, "/v1/stream", wsraw.Options{Buffer: 2 << 10})
	if err != nil {
		return nil, err
	}
	if err := c.Send(fmt.Sprintf(`{"type":"subscribe","space":"default","session":%q}`, id)); err != nil {
		return nil, err
	}
	for {
		text, err := c.NextText()
		if err != nil || bytes.HasPrefix(text, []byte(`{"type":"error"`)) {
			return nil, errors.Join(err, fmt.Errorf("subscribe: %s", text))
		}
		if bytes.HasPrefix(text, []byte(`{"type":"caught_up"`)) {
			return c, nil
		}
	}
}

func (a *audience) close() {
	for _, c := range a.conns {
		if c != nil {
			_ = c.Conn.Close() // the reader ends with it
		}
	}
}

// listen has the appends made, while all but the stopped ones read, and gives
// what each delivery took.
func (a *audience) listen(ctx context.Context, url string, stopped int) ([]time.Duration, error) {
	writes := int(fanSpan.Seconds()) * fanRate
	each := writes / fanSessions * fanSubscribers / fanSessions // deliveries of a session's subscribers
	a.done = make(chan struct{})
	a.took = make([]time.Duration, 0, writes*fanSubscribers/fanSessions)
	a.wanted.Store(int64(each*fanSessions - stopped*writes/fanSessions))
	var readers sync.WaitGroup
	for _, c := range a.conns[stopped:] {
		readers.Go(func() { a.read(c, writes/fanSessions) })
	}
	failed := make(chan error, 1)
	go func() { failed <- fanWrite(url, fanRate, writes) }()
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(fanSpan + 30*time.Second):
		return nil, fmt.Errorf("%d of %d deliveries were lost", a.wanted.Load(), a.wanted.Load()+int64(len(a.took)))
	}
	readers.Wait()
	if err := a.failure.Load(); err != nil {
		return nil, *err
	}
	return a.took, <-failed
}

var sentMark = []byte(`"content":"at `)

// read takes a subscriber's changes.
func (a *audience) read(c *wsraw.Client, count int) {
	took := make([]time.Duration, 0, count)
	var last []byte
	for len(took) < count {
		text, err := c.NextText()
		if err != nil {
			a.failure.CompareAndSwap(nil, &err)
			return
		}
		_, after, ok := bytes.Cut(text, sentMark)
		if !ok {
			continue
		}
		stamp, _, _ := bytes.Cut(after, []byte(" "))
		nanos, err := strconv.ParseInt(string(stamp), 10, 64)
		if err == nil && string(stamp) <= string(last) {
			err = fmt.Errorf("write of %s came after that of %s", stamp, last)
		}
		if err != nil {
			a.failure.CompareAndSwap(nil, &err)
			return
		}
		last = append(last[:0], stamp...)
		took = append(took, time.Duration(time.Now().UnixNano()-nanos))
	}
	a.mu.Lock()
	a.took = append(a.took, took...)
	a.mu.Unlock()
	if a.wanted.Add(-int64(len(took))) == 0 {
		close(a.done)
	}
}

// fanWrite makes count appends, over the sessions in turns, at a rate a second.
func fanWrite(url string, rate, count int) error {
	errs := make([]error, fanWriters)
	var all sync.WaitGroup
	began := time.Now()
	for w := range errs {
		all.Go(func() { errs[w] = fanWriter(url, w, rate, count, began) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// fanWriter makes every fanWriters-th of the appends, each at its time.
func fanWriter(url string, w, rate, count int, began time.Time) error {
	c, err := wsraw.Dial(url, "/v1/stream", wsraw.Options{})
	if err != nil {
		return err
	}
	defer c.Conn.Close()
	answered := make(chan error, 1)
	go func() {
		for range (count - w + fanWriters - 1) / fanWriters {
			text, err := c.NextText()
			if err != nil || !bytes.HasPrefix(text, []byte(`{"type":"ack","status":201`)) {
				answered <- errors.Join(err, fmt.Errorf("answer %s", text))
				return
			}
		}
		answered <- nil
	}()
	pad := words(payloadBytes - 60)
	for i := w; i < count; i += fanWriters {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		if err := c.Send(fmt.Sprintf(`{"type":"append","space":"default","session":"f%d","brief":true,"body":{"role":"user","content":"at %d %s"}}`,
			i%fanSessions, time.Now().UnixNano(), pad)); err != nil {
			return err
		}
	}
	return <-answered
}
