package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	clients      = 64
	payloadBytes = 500
	batchSize    = 16
)

// redis is a Redis server that syncs every write, if there is one.
type redis struct {
	cmd  *exec.Cmd
	port string
}

var errNoRedis = errors.New("redis not available")

func (b *bench) redis(ctx context.Context) (*redis, error) {
	server, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoRedis
	}
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		return nil, errNoRedis
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "redis-")
	if err != nil {
		return nil, err
	}
	r := &redis{port: addr[strings.LastIndexByte(addr, ':')+1:]}
	r.cmd = exec.Command(server, "--port", r.port, "--bind", "127.0.0.1", "--appendonly", "yes",
		"--appendfsync", "always", "--save", "", "--dir", dir)
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	return r, until(ctx, 5*time.Second, func() (bool, error) {
		return exec.CommandContext(ctx, "redis-cli", "-p", r.port, "ping").Run() == nil, nil
	})
}

func (r *redis) stop() {
	if r == nil {
		return
	}
	_ = r.cmd.Process.Kill() // its data is thrown away
	_ = r.cmd.Wait()
}

// set measures SET of a payload by clients that wait for each answer.
func (r *redis) set(ctx context.Context, count int) (writes, error) {
	out, err := exec.CommandContext(ctx, "redis-benchmark", "-p", r.port, "-c", strconv.Itoa(clients),
		"-d", strconv.Itoa(payloadBytes), "-n", strconv.Itoa(count), "-r", "100000", "-t", "set", "--csv").Output()
	if err != nil {
		return writes{}, fmt.Errorf("redis-benchmark: %w", err)
	}
	for l := range strings.Lines(string(out)) {
		f := strings.Split(strings.ReplaceAll(strings.TrimSpace(l), `"`, ""), ",")
		if len(f) < 2 || f[0] != "SET" {
			continue
		}
		w := writes{}
		if w.rate, err = strconv.ParseFloat(f[1], 64); err != nil {
			return w, err
		}
		if len(f) > 6 { // test, rps, avg, min, p50, p95, p99, max
			p50, _ := strconv.ParseFloat(f[4], 64)
			p99, _ := strconv.ParseFloat(f[6], 64)
			w.p50, w.p99 = time.Duration(p50*1e6), time.Duration(p99*1e6)
		}
		return w, nil
	}
	return writes{}, fmt.Errorf("redis-benchmark says %q", out)
}

// series holds the rounds of one measurement.
type series []writes

func (s series) median() writes {
	rates, p50s, p99s := make([]float64, len(s)), make([]time.Duration, len(s)), make([]time.Duration, len(s))
	for i, w := range s {
		rates[i], p50s[i], p99s[i] = w.rate, w.p50, w.p99
	}
	return writes{rate: median(rates), p50: median(p50s), p99: median(p99s)}
}

func (w writes) String() string { return fmt.Sprintf("%s, p99 %s", perSecond(w.rate), millis(w.p99)) }

func single(c *client, i int) []byte {
	return c.request("POST", fmt.Sprintf("%s/a%d/messages", sessionsPath, i), messageBody(payloadBytes))
}

func sixteen(c *client, i int) []byte {
	return c.request("POST", fmt.Sprintf("%s/a%d/messages", sessionsPath, i), batchBody(batchSize, payloadBytes))
}

// appendLine measures one durable append a request.
func appendLine(ctx context.Context, b *bench) error {
	edge, err := b.edge(ctx, filepath.Join(b.dir, "append"), "")
	if err != nil {
		return err
	}
	defer edge.stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bare, err := start(self, bareRole, filepath.Join(b.dir, "bare"))
	if err != nil {
		return err
	}
	defer bare.stop()
	ref, err := b.redis(ctx)
	if err != nil && !errors.Is(err, errNoRedis) {
		return err
	}
	defer ref.stop()
	if err := open(edge.host(), "a", clients); err != nil {
		return err
	}
	var ours, raw, other, alone, aloneRaw series
	var cost, rawCost []float64
	var anon int64
	for range b.rounds {
		if err := errors.Join(
			raw.take(b.costly(bare, &rawCost)),
			ours.take(b.costly(edge, &cost)),
			aloneRaw.take(load(bare.host(), 1, b.span/3, single)),
			alone.take(load(edge.host(), 1, b.span/3, single)),
		); err != nil {
			return err
		}
		used, err := edge.anon()
		if err != nil {
			return err
		}
		anon = max(anon, used)
		if ref != nil {
			if err := other.take(ref.set(ctx, int(b.span.Seconds()*30000))); err != nil {
				return err
			}
		}
	}
	m, r := ours.median(), raw.median()
	b.add(row{"append, 64 clients, API alone", ">= 0.80 of bare", m.String(), "bare net/http+Badger " + r.String(),
		ratio(m.rate, r.rate), judge(m.rate >= 0.8*r.rate)})
	b.add(row{"  p99", "<= 12 ms", millis(m.p99), "bare " + millis(r.p99), ratio(float64(m.p99), float64(r.p99)),
		judge(m.p99 <= 12*time.Millisecond)})
	mc, rc := median(cost), median(rawCost)
	b.add(row{what: "  processor time of the server", measured: fmt.Sprintf("%.0f us each", mc),
		reference: fmt.Sprintf("bare %.0f us", rc), ratio: ratio(mc, rc)})
	b.redisRow("  beside Redis", m, other)
	m, r = alone.median(), aloneRaw.median()
	b.add(row{what: "append, 1 client", measured: fmt.Sprintf("%s, p50 %s", perSecond(m.rate), millis(m.p50)),
		reference: fmt.Sprintf("bare %s, p50 %s", perSecond(r.rate), millis(r.p50)), ratio: ratio(m.rate, r.rate)})
	b.add(row{what: "memory while appending", budget: "<= 80 MB anonymous", measured: fmt.Sprintf("%d MB", anon>>20),
		verdict: judge(anon <= 80<<20)})
	return nil
}

// costly is a load of single appends that also tells the processor time of the
// server for each, in microseconds.
func (b *bench) costly(p *process, cost *[]float64) (writes, error) {
	before, err := p.processor()
	if err != nil {
		return writes{}, err
	}
	w, err := load(p.host(), clients, b.span, single)
	if err != nil {
		return w, err
	}
	after, err := p.processor()
	*cost = append(*cost, float64((after-before).Microseconds())/float64(w.total))
	return w, err
}

func (s *series) take(w writes, err error) error {
	*s = append(*s, w)
	return err
}

func (b *bench) redisRow(what string, m writes, other series) {
	if len(other) == 0 {
		b.add(row{what: what, measured: perSecond(m.rate), reference: errNoRedis.Error()})
		return
	}
	r := other.median()
	b.add(row{what: what, measured: perSecond(m.rate), reference: "Redis AOF always " + r.String(),
		ratio: ratio(m.rate, r.rate)})
}

// batchLine measures sixteen messages a request.
func batchLine(ctx context.Context, b *bench) error {
	edge, err := b.edge(ctx, filepath.Join(b.dir, "batch"), "")
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
	for range b.rounds {
		if err := ours.take(load(edge.host(), clients, b.span, sixteen)); err != nil {
			return err
		}
		if ref != nil {
			if err := other.take(ref.set(ctx, int(b.span.Seconds()*30000))); err != nil {
				return err
			}
		}
	}
	m := ours.median()
	m.rate *= batchSize
	r := row{what: "append, 16 messages a call, 64 clients", budget: ">= Redis", measured: "messages " + m.String(),
		reference: errNoRedis.Error()}
	if len(other) > 0 {
		o := other.median()
		r.reference, r.ratio, r.verdict = "Redis AOF always "+o.String(), ratio(m.rate, o.rate), judge(m.rate >= o.rate)
	}
	b.add(r)
	return nil
}
