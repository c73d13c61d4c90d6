package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	samples   = 150                    // of a latency, in each round
	pauseTime = 3 * time.Millisecond   // between samples, so that nothing queues
	parkTime  = 500 * time.Microsecond // for a poll to arrive and wait
)

// rawStream publishes to a stream of the core's own JetStream servers, with
// the settings of causeway's streams, and sees the messages come out.
type rawStream struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	seen chan struct{}
	stop func()
}

const rawSubject = "bench.raw"

func newRawStream(ctx context.Context, url string, replicas int) (*rawStream, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	r := &rawStream{nc: nc, seen: make(chan struct{}, 1024)}
	if r.js, err = jetstream.New(nc); err != nil {
		return nil, err
	}
	var c jetstream.Consumer
	// A young cluster loses requests while it elects its leaders.
	if err := until(ctx, 30*time.Second, func() (bool, error) {
		c, err = r.consumer(ctx, replicas)
		return err == nil, nil
	}); err != nil {
		return nil, fmt.Errorf("raw stream: %w", err)
	}
	cc, err := c.Consume(func(jetstream.Msg) { r.seen <- struct{}{} })
	if err != nil {
		return nil, fmt.Errorf("raw consumer: %w", err)
	}
	r.stop = func() { cc.Stop(); nc.Close() }
	return r, nil
}

// consumer makes the stream, if it is not there, and a consumer on it.
func (r *rawStream) consumer(ctx context.Context, replicas int) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	s, err := r.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "BENCH", Subjects: []string{"bench.>"}, Replicas: replicas, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return nil, err
	}
	return s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
}

// measure gives the times until a publication is acknowledged and until the
// consumer has it.
func (r *rawStream) measure(ctx context.Context) (acked, seen []time.Duration, err error) {
	payload := messageBody(payloadBytes)
	for range samples {
		began := time.Now()
		if _, err := r.js.Publish(ctx, rawSubject, payload); err != nil {
			return nil, nil, err
		}
		acked = append(acked, time.Since(began))
		<-r.seen
		seen = append(seen, time.Since(began))
		time.Sleep(pauseTime)
	}
	return acked, seen, nil
}

// rawSync measures one append of a payload with fdatasync.
func (b *bench) rawSync() ([]time.Duration, error) {
	f, err := os.OpenFile(filepath.Join(b.dir, "sync.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	payload := messageBody(payloadBytes)
	var took []time.Duration
	for range samples {
		began := time.Now()
		_, err := f.Write(payload)
		if err == nil {
			err = syscall.Fdatasync(int(f.Fd()))
		}
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		time.Sleep(pauseTime)
	}
	return took, nil
}

// path is a conversation between a client at one edge and one at another.
type path struct {
	writer, reader *client
	since          string
}

func newPath(ctx context.Context, from, to *process, id string) (*path, error) {
	p := &path{}
	var err error
	if p.writer, err = dial(from.host()); err != nil {
		return nil, err
	}
	if p.reader, err = dial(to.host()); err != nil {
		return nil, err
	}
	body := []byte(`{"id":"` + id + `"}`)
	status, err := p.writer.do(p.writer.request(http.MethodPost, sessionsPath, body))
	if err != nil || status != http.StatusCreated {
		return nil, errors.Join(err, fmt.Errorf("open session: status %d: %s", status, p.writer.body))
	}
	return p, until(ctx, 30*time.Second, func() (bool, error) {
		return p.poll(id, "0s")
	})
}

type changesPage struct {
	Changes []json.RawMessage `json:"changes"`
	Next    string            `json:"next"`
}

func (p *path) ask(id, wait string) []byte {
	q := url.Values{"since": {p.since}, "wait": {wait}, "limit": {"10"}}
	return p.reader.request(http.MethodGet, sessionsPath+"/"+id+"/changes?"+q.Encode(), nil)
}

func (p *path) poll(id, wait string) (bool, error) {
	if err := p.reader.send(p.ask(id, wait)); err != nil {
		return false, err
	}
	return p.answer()
}

func (p *path) answer() (bool, error) {
	status, err := p.reader.receive()
	if err != nil || status != http.StatusOK {
		return false, err
	}
	var page changesPage
	if err := json.Unmarshal(p.reader.body, &page); err != nil {
		return false, err
	}
	if p.since = page.Next; len(page.Changes) > 1 {
		return false, fmt.Errorf("%d changes at once, want one", len(page.Changes))
	}
	return len(page.Changes) == 1, nil
}

// measure gives the times from a client's write at one edge until the answer
// to a poll that waited at the other.
func (p *path) measure(id string) ([]time.Duration, error) {
	post := p.writer.request(http.MethodPost, sessionsPath+"/"+id+"/messages", messageBody(payloadBytes))
	var took []time.Duration
	for range samples {
		if err := p.reader.send(p.ask(id, "10s")); err != nil {
			return nil, err
		}
		time.Sleep(parkTime)
		began := time.Now()
		if status, err := p.writer.do(post); err != nil || status != http.StatusCreated {
			return nil, errors.Join(err, fmt.Errorf("append: status %d: %s", status, p.writer.body))
		}
		if ok, err := p.answer(); err != nil || !ok {
			return nil, errors.Join(err, fmt.Errorf("poll was answered with nothing: %s", p.reader.body))
		}
		took = append(took, time.Since(began))
		time.Sleep(pauseTime)
	}
	return took, nil
}

// journey is edge to edge beside its references.
type journey struct{ ours, acked, seen, sync []time.Duration }

// measureJourney takes turns between the references and the whole way.
func (b *bench) measureJourney(ctx context.Context, cores []*process, dir string) (journey, error) {
	var j journey
	var edges []*process
	defer func() { stopAll(edges) }()
	for i := range 2 {
		core := cores[i%len(cores)].nats
		e, err := b.edge(ctx, filepath.Join(dir, fmt.Sprintf("edge-%d", i+1)), core)
		if err != nil {
			return j, err
		}
		edges = append(edges, e)
	}
	raw, err := newRawStream(ctx, cores[0].nats, len(cores))
	if err != nil {
		return j, err
	}
	defer raw.stop()
	p, err := newPath(ctx, edges[0], edges[1], "way")
	if err != nil {
		return j, err
	}
	for range b.rounds {
		acked, seen, err := raw.measure(ctx)
		if err != nil {
			return j, err
		}
		synced, err := b.rawSync()
		if err != nil {
			return j, err
		}
		ours, err := p.measure("way")
		if err != nil {
			return j, err
		}
		j.acked, j.seen, j.sync = append(j.acked, acked...), append(j.seen, seen...), append(j.sync, synced...)
		j.ours = append(j.ours, ours...)
	}
	return j, nil
}

func (j journey) rawText(replicas int) string {
	return fmt.Sprintf("JetStream R%d publish p50 %s, to consumer %s / p99 %s; fsync %s", replicas,
		millis(quantile(j.acked, 0.5)), millis(quantile(j.seen, 0.5)), millis(quantile(j.seen, 0.99)),
		millis(quantile(j.sync, 0.5)))
}

func oneCoreLine(ctx context.Context, b *bench) error {
	dir := filepath.Join(b.dir, "one")
	cores, err := b.cores(ctx, dir, 1)
	if err != nil {
		return err
	}
	defer stopAll(cores)
	j, err := b.measureJourney(ctx, cores, dir)
	if err != nil {
		return err
	}
	p50, p99 := quantile(j.ours, 0.5), quantile(j.ours, 0.99)
	floor := quantile(j.acked, 0.5) + quantile(j.sync, 0.5)
	b.add(row{"edge to edge, 1 core, p50", "<= 3 ms", millis(p50), j.rawText(1),
		fmt.Sprintf("%s of publish + fsync", ratio(float64(p50), float64(floor))), judge(p50 <= 3*time.Millisecond)})
	b.add(row{what: "  p99", measured: millis(p99)})
	return nil
}

func threeCoreLine(ctx context.Context, b *bench) error {
	dir := filepath.Join(b.dir, "three")
	cores, err := b.cores(ctx, dir, 3)
	if err != nil {
		return err
	}
	defer stopAll(cores)
	j, err := b.measureJourney(ctx, cores, dir)
	if err != nil {
		return err
	}
	p50, p99 := quantile(j.ours, 0.5), quantile(j.ours, 0.99)
	raw50, raw99, synced := quantile(j.seen, 0.5), quantile(j.seen, 0.99), quantile(j.sync, 0.5)
	limit := raw50*17/10 + synced
	b.add(row{"edge to edge, 3 core, p50", "<= 1.7 raw + fsync = " + millis(limit), millis(p50), j.rawText(3),
		ratio(float64(p50), float64(raw50)), judge(p50 <= limit)})
	b.add(row{"  p99", "<= 3 raw p99 = " + millis(3*raw99), millis(p99), "", ratio(float64(p99), float64(raw99)),
		judge(p99 <= 3*raw99)})
	return nil
}
