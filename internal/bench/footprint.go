package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/linkproxy"
)

const (
	manySessions = 10_000
	settleTime   = 5 * time.Second // for the collector to give memory back
)

// link is a way to a core node that can be cut.
type link struct {
	proxy *linkproxy.Proxy
	end   context.CancelFunc
	done  chan error // takes the result of Run
}

func newLink(ctx context.Context, nats string) (*link, error) {
	l := &link{proxy: linkproxy.New("127.0.0.1:0", strings.TrimPrefix(nats, "nats://"), 1), done: make(chan error, 1)}
	if err := l.proxy.Listen(ctx); err != nil {
		return nil, err
	}
	ctx, l.end = context.WithCancel(ctx)
	go func() { l.done <- l.proxy.Run(ctx) }()
	return l, nil
}

func (l *link) url() string { return "nats://" + l.proxy.Addr() }

func (l *link) set(up bool) { l.proxy.Set(linkproxy.State{Up: up}) }

func (l *link) stop() {
	l.end()
	<-l.done // it was told to end
}

// footprintLine measures an edge with many sessions: memory, start, size.
func footprintLine(ctx context.Context, b *bench) error {
	dir := filepath.Join(b.dir, "footprint")
	edge, err := b.edge(ctx, dir, "")
	if err != nil {
		return err
	}
	defer func() { edge.stop() }()
	if err := open(edge.host(), "a", manySessions); err != nil {
		return err
	}
	if err := fill(edge.host(), manySessions); err != nil {
		return err
	}
	if _, err := load(edge.host(), clients, b.span, single); err != nil {
		return err
	}
	after, err := edge.anon()
	if err != nil {
		return err
	}
	settled := after
	for began := time.Now(); time.Since(began) < settleTime; time.Sleep(100 * time.Millisecond) {
		if settled, err = edge.anon(); err != nil {
			return err
		}
	}
	b.add(row{what: "edge with 10,000 sessions, memory", budget: "<= 48 MB anonymous",
		measured: fmt.Sprintf("%d MB (%d MB just after load)", settled>>20, after>>20), verdict: judge(settled <= 48<<20)})
	var took []time.Duration
	for range b.rounds {
		edge.stop()
		began := time.Now()
		if edge, err = b.edge(ctx, dir, ""); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	start := median(took)
	b.add(row{what: "  cold start until ready", budget: "<= 1 s", measured: millis(start),
		verdict: judge(start <= time.Second)})
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.add(row{what: "binary, stripped", budget: "<= 32 MB", measured: fmt.Sprintf("%.1f MB", float64(info.Size())/1e6),
		verdict: judge(info.Size() <= 32_000_000)})
	return nil
}

// importLine writes recorded conversations at one edge and waits for another.
func importLine(ctx context.Context, b *bench) error {
	const what = "import of recorded conversations"
	files, err := filepath.Glob(filepath.Join(b.data, "*.jsonl*"))
	if err != nil {
		return err
	}
	if b.data == "" || len(files) == 0 {
		b.add(row{what: what, measured: "data not available"})
		return nil
	}
	dir := filepath.Join(b.dir, "import")
	return b.withCores(ctx, dir, 1, func(cores []*process) error {
		var edges []*process
		defer func() { stopAll(edges) }()
		for _, name := range []string{"edge-1", "edge-2"} {
			e, err := b.edge(ctx, filepath.Join(dir, name), cores[0].nats)
			if err != nil {
				return err
			}
			edges = append(edges, e)
		}
		began := time.Now()
		out, err := exec.CommandContext(ctx, b.binary,
			append([]string{"import", "--json", "--node", edges[0].url}, files...)...).Output()
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		var sum struct {
			Conversations, Turns int
			Seconds              float64
			Rate                 float64 `json:"turns_per_s"`
		}
		if err := json.Unmarshal(out, &sum); err != nil {
			return fmt.Errorf("import says %q: %w", out, err)
		}
		if err := sameVersion(ctx, edges); err != nil {
			return err
		}
		b.add(row{what: what, measured: fmt.Sprintf("%d turns, %s; the other edge had all after %.1f s (import %.1f s)",
			sum.Turns, perSecond(sum.Rate), time.Since(began).Seconds(), sum.Seconds)})
		return nil
	})
}

// sameVersion waits until both nodes hold the same of the default space.
func sameVersion(ctx context.Context, nodes []*process) error {
	version := func(p *process) (string, error) {
		st, err := p.status()
		if err != nil {
			return "", err
		}
		for _, s := range st.Spaces {
			if s.Space == "default" {
				return s.Version, nil
			}
		}
		return "", nil
	}
	return until(ctx, catchUpLimit, func() (bool, error) {
		one, err := version(nodes[0])
		if err != nil {
			return false, err
		}
		two, err := version(nodes[1])
		return err == nil && one == two, err
	})
}
