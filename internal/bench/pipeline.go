package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/internal/wsraw"
)

// window is how many writes each client of a pipeline has under way.
const window = 32

// pipelineLine measures appends over WebSockets that do not wait for answers.
func pipelineLine(ctx context.Context, b *bench) error {
	edge, err := b.edge(ctx, filepath.Join(b.dir, "pipeline"), "")
	if err != nil {
		return err
	}
	defer edge.stop()
	ref, err := b.redis(ctx)
	if err != nil && !errors.Is(err, errNoRedis) {
		return err
	}
	defer ref.stop()
	if err := open(edge.host(), "a", clients); err != nil {
		return err
	}
	var ours, other series
	var cost []float64
	var piped []float64
	for range b.rounds {
		before, err := edge.processor()
		if err != nil {
			return err
		}
		w, err := pipelines(edge.url, clients, b.span)
		if err := ours.take(w, err); err != nil {
			return err
		}
		after, err := edge.processor()
		if err != nil {
			return err
		}
		cost = append(cost, float64((after-before).Microseconds())/float64(w.total))
		if ref == nil {
			continue
		}
		if err := other.take(ref.set(ctx, int(b.span.Seconds()*30000))); err != nil {
			return err
		}
		rate, err := ref.pipelined(ctx, int(b.span.Seconds()*200000))
		if err != nil {
			return err
		}
		piped = append(piped, rate)
	}
	m := ours.median()
	r := row{what: fmt.Sprintf("append over WebSocket, %d clients, %d under way each", clients, window), budget: ">= Redis",
		measured: m.String(), reference: errNoRedis.Error()}
	if len(other) > 0 {
		o := other.median()
		r.reference, r.ratio, r.verdict = "Redis AOF always "+o.String(), ratio(m.rate, o.rate), judge(m.rate >= o.rate)
	}
	b.add(r)
	b.add(row{what: "  processor time of the server", measured: fmt.Sprintf("%.0f us each", median(cost))})
	if len(piped) > 0 {
		o := median(piped)
		b.add(row{what: "  beside Redis, pipelined as deep", measured: perSecond(m.rate),
			reference: "Redis AOF always " + perSecond(o), ratio: ratio(m.rate, o)})
	}
	return nil
}

// pipelined measures SET by clients that have a window of requests under way.
func (r *redis) pipelined(ctx context.Context, count int) (float64, error) {
	out, err := exec.CommandContext(ctx, "redis-benchmark", "-p", r.port, "-c", strconv.Itoa(clients), "-P",
		strconv.Itoa(window), "-d", strconv.Itoa(payloadBytes), "-n", strconv.Itoa(count), "-r", "100000", "-t", "set",
		"--csv").Output()
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark: %w", err)
	}
	for l := range strings.Lines(string(out)) {
		if f := strings.Split(strings.ReplaceAll(strings.TrimSpace(l), `"`, ""), ","); len(f) > 1 && f[0] == "SET" {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("redis-benchmark says %q", out)
}

// pipelines is load over WebSockets.
func pipelines(url string, n int, span time.Duration) (writes, error) {
	warm := min(span/4, 300*time.Millisecond)
	var (
		all       sync.WaitGroup
		mu        sync.Mutex // guards what follows
		latencies []time.Duration
		total     int
		failures  []error
	)
	began := time.Now().Add(warm)
	for i := range n {
		all.Go(func() {
			took, before, err := onePipeline(url, i, began, span)
			mu.Lock()
			defer mu.Unlock()
			total += before + len(took)
			latencies = append(latencies, took...)
			if err != nil {
				failures = append(failures, err)
			}
		})
	}
	all.Wait()
	w := writes{rate: float64(len(latencies)) / span.Seconds(), total: total}
	w.p50, w.p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	return w, errors.Join(failures...)
}

// onePipeline keeps a window of writes under way: it sends as many as were
// answered, several in one system call, as a client that flushes when it is idle.
func onePipeline(url string, i int, began time.Time, span time.Duration) (took []time.Duration, before int, err error) {
	c, err := wsraw.Dial(url, "/v1/stream", wsraw.Options{Buffer: 16 << 10})
	if err != nil {
		return nil, 0, err
	}
	defer c.Conn.Close()
	message := fmt.Appendf(nil, `{"type":"append","space":"default","session":"a%d","brief":true,"body":%s}`,
		i, messageBody(payloadBytes))
	frame := wsraw.AppendFrame(nil, wsraw.Text, message)
	var sent []time.Time // of what is under way
	for {
		now := time.Now()
		if now.Sub(began) >= span {
			return took, before, nil
		}
		n := window - len(sent)
		if _, err := c.Conn.Write(bytes.Repeat(frame, n)); err != nil {
			return took, before, err
		}
		for range n {
			sent = append(sent, now)
		}
		for first := true; first || c.Buffered() && len(sent) > 0; first = false {
			f, err := c.Next()
			if err != nil {
				return took, before, err
			}
			if !bytes.HasPrefix(f.Payload, []byte(`{"type":"ack","status":201`)) {
				return took, before, fmt.Errorf("answer %s", f.Payload)
			}
			if sent[0].Before(began) {
				before++
			} else {
				took = append(took, time.Since(sent[0]))
			}
			sent = sent[1:]
		}
	}
}
