package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/causeway-sync/causeway/internal/wsraw"
)

// pollSamples are few, since each takes half a second.
const pollSamples = 8

// watcher is a client at one edge that is pushed to, while another writes at
// the other edge.
type watcher struct {
	*wsraw.Client
}

// watch follows a session to its end.
func watch(url, id string) (*watcher, error) {
	c, err := wsraw.Dial(url, "/v1/stream", wsraw.Options{})
	if err != nil {
		return nil, err
	}
	w := &watcher{Client: c}
	if err := c.Send(fmt.Sprintf(`{"type":"subscribe","space":"default","session":%q,"wait":"30s"}`, id)); err != nil {
		return nil, err
	}
	for {
		kind, err := w.next()
		if err != nil || kind == "caught_up" {
			return w, err
		}
	}
}

func (w *watcher) next() (kind string, err error) {
	text, err := w.NextText()
	if err != nil {
		return "", err
	}
	var m struct {
		Type    string          `json:"type"`
		Problem json.RawMessage `json:"problem"`
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Type == "error" {
		return "", errors.Join(err, fmt.Errorf("got %s", text))
	}
	return m.Type, nil
}

// measure gives the times from a client's write at one edge until the change
// is at the one that is pushed to.
func (w *watcher) measure(writer *client, id string) ([]time.Duration, error) {
	post := writer.request(http.MethodPost, sessionsPath+"/"+id+"/messages", messageBody(payloadBytes))
	var took []time.Duration
	for range samples {
		began := time.Now()
		if status, err := writer.do(post); err != nil || status != http.StatusCreated {
			return nil, errors.Join(err, fmt.Errorf("append: status %d: %s", status, writer.body))
		}
		if kind, err := w.next(); err != nil || kind != "change" {
			return nil, errors.Join(err, fmt.Errorf("got %s, want a change", kind))
		}
		took = append(took, time.Since(began))
		time.Sleep(pauseTime)
	}
	return took, nil
}

// ping measures round trips of the protocol's own pings on the same WebSocket.
func (w *watcher) ping() ([]time.Duration, error) {
	var took []time.Duration
	for range samples {
		began := time.Now()
		if err := w.Write(wsraw.Ping, []byte("bench")); err != nil {
			return nil, err
		}
		if f, err := w.Next(); err != nil || f.Opcode != wsraw.Pong {
			return nil, errors.Join(err, fmt.Errorf("frame %d after a ping", f.Opcode))
		}
		took = append(took, time.Since(began))
		time.Sleep(pauseTime)
	}
	return took, nil
}

// natsTrips measures core NATS from one connection to another one and back.
func natsTrips(url string) ([]time.Duration, error) {
	one, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	defer one.Close()
	two, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	defer two.Close()
	if _, err := two.Subscribe("bench.ping", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil { // a lost answer times out
		return nil, err
	}
	if err := two.Flush(); err != nil {
		return nil, err
	}
	var took []time.Duration
	payload := messageBody(payloadBytes)
	for range samples {
		began := time.Now()
		if _, err := one.Request("bench.ping", payload, time.Second); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		time.Sleep(pauseTime)
	}
	return took, nil
}

// polled gives the times until a poll each second sees a write.
func (p *path) polled(id string) ([]time.Duration, error) {
	post := p.writer.request(http.MethodPost, sessionsPath+"/"+id+"/messages", messageBody(payloadBytes))
	var took []time.Duration
	for i := range pollSamples {
		tick := time.NewTicker(time.Second)
		time.Sleep(time.Second * time.Duration(i) / pollSamples) // at any time between two polls
		began := time.Now()
		if status, err := p.writer.do(post); err != nil || status != http.StatusCreated {
			tick.Stop()
			return nil, errors.Join(err, fmt.Errorf("append: status %d", status))
		}
		for seen := false; !seen; {
			<-tick.C
			var err error
			if seen, err = p.poll(id, "0s"); err != nil {
				tick.Stop()
				return nil, err
			}
		}
		took = append(took, time.Since(began))
		tick.Stop()
	}
	return took, nil
}

// pushed is what a change takes from edge to edge over each rung.
type pushed struct{ socket, long, poll, trip, ping, sync []time.Duration }

func (b *bench) measurePush(ctx context.Context, cores []*process, dir string) (pushed, error) {
	var m pushed
	var edges []*process
	defer func() { stopAll(edges) }()
	for i := range 2 {
		e, err := b.edge(ctx, filepath.Join(dir, fmt.Sprintf("edge-%d", i+1)), cores[i%len(cores)].nats)
		if err != nil {
			return m, err
		}
		edges = append(edges, e)
	}
	long, err := newPath(ctx, edges[0], edges[1], "long")
	if err != nil {
		return m, err
	}
	poll, err := newPath(ctx, edges[0], edges[1], "poll")
	if err != nil {
		return m, err
	}
	if _, err := newPath(ctx, edges[0], edges[1], "push"); err != nil {
		return m, err
	}
	w, err := watch(edges[1].url, "push")
	if err != nil {
		return m, err
	}
	defer w.Conn.Close()
	for range b.rounds {
		for _, take := range []struct {
			into *[]time.Duration
			from func() ([]time.Duration, error)
		}{
			{&m.trip, func() ([]time.Duration, error) { return natsTrips(cores[0].nats) }},
			{&m.ping, w.ping}, {&m.sync, b.rawSync},
			{&m.socket, func() ([]time.Duration, error) { return w.measure(long.writer, "push") }},
			{&m.long, func() ([]time.Duration, error) { return long.measure("long") }},
		} {
			took, err := take.from()
			if err != nil {
				return m, err
			}
			*take.into = append(*take.into, took...)
		}
	}
	m.poll, err = poll.polled("poll")
	return m, err
}

func pushLine(ctx context.Context, b *bench) error {
	for _, c := range []struct {
		name  string
		cores int
		goal  time.Duration
	}{{"push-one", 1, 3 * time.Millisecond}, {"push-three", 3, 5 * time.Millisecond}} {
		dir := filepath.Join(b.dir, c.name)
		cores, err := b.cores(ctx, dir, c.cores)
		if err != nil {
			return err
		}
		m, err := b.measurePush(ctx, cores, dir)
		stopAll(cores)
		if err != nil {
			return err
		}
		p50, p99 := quantile(m.socket, 0.5), quantile(m.socket, 0.99)
		b.add(row{fmt.Sprintf("edge to WebSocket at another edge, %d core, p50", c.cores), "<= " + millis(c.goal), millis(p50),
			fmt.Sprintf("NATS there and back %s, WebSocket ping %s, fsync %s", millis(quantile(m.trip, 0.5)),
				millis(quantile(m.ping, 0.5)), millis(quantile(m.sync, 0.5))), "", judge(p50 <= c.goal)})
		b.add(row{what: "  p99", measured: millis(p99), reference: fmt.Sprintf("NATS %s, WebSocket ping %s, fsync %s",
			millis(quantile(m.trip, 0.99)), millis(quantile(m.ping, 0.99)), millis(quantile(m.sync, 0.99)))})
		b.add(row{what: "  over the other rungs", measured: fmt.Sprintf("long-poll p50 %s, p99 %s",
			millis(quantile(m.long, 0.5)), millis(quantile(m.long, 0.99))),
			reference: fmt.Sprintf("poll each second p50 %s, p99 %s", millis(quantile(m.poll, 0.5)), millis(quantile(m.poll, 0.99))),
			ratio:     ratio(float64(p50), float64(quantile(m.long, 0.5)))})
	}
	return nil
}
