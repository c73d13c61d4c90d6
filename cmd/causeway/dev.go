package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/edge"
	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/internal/lifecycle"
	"github.com/causeway-sync/causeway/internal/linkproxy"
	"github.com/causeway-sync/causeway/internal/node"
)

// devOptions are the flags of causeway dev.
type devOptions struct {
	data         string
	cores, edges int
	base         int
	log          string
}

const devHost = "127.0.0.1"

func (o devOptions) addr(offset int) string {
	return net.JoinHostPort(devHost, fmt.Sprint(o.base+offset))
}

func (o devOptions) check() error {
	var errs []error
	if o.cores != 1 && o.cores != 3 && o.cores != 5 {
		errs = append(errs, &config.FieldError{Path: "--cores", Got: fmt.Sprint(o.cores), Rule: "1, 3 or 5"})
	}
	if o.edges < 0 || o.edges > 49 {
		errs = append(errs, &config.FieldError{Path: "--edges", Got: fmt.Sprint(o.edges), Rule: "0 to 49"})
	}
	if o.base < 1024 || o.base > 65000 {
		errs = append(errs, &config.FieldError{Path: "--base-port", Got: fmt.Sprint(o.base), Rule: "1024 to 65000"})
	}
	return errors.Join(errs...)
}

// devCluster is a whole cluster in one process, each edge behind a link that
// can be cut.
type devCluster struct {
	opts  devOptions
	cores []*core.Core
	edges []*edge.Edge
	links map[string][]*linkproxy.Proxy // by edge, one for each core node
	parts []lifecycle.Part
}

func runDev(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o devOptions
	fs := flag.NewFlagSet("dev", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.data, "data", "data", "directory for everything; remove it to begin anew")
	fs.IntVar(&o.cores, "cores", 1, "core nodes: 1, 3 or 5")
	fs.IntVar(&o.edges, "edges", 2, "edges")
	fs.IntVar(&o.base, "base-port", 7000, "first port; the others are counted from it")
	fs.StringVar(&o.log, "log", "warn", "log level: debug, info, warn or error")
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return usageError{err}
	}
	log, err := newLog(stderr, o.log)
	if err != nil {
		return err
	}
	control, err := node.Listen(ctx, "control", o.addr(0))
	if err != nil {
		return err
	}
	d := &devCluster{opts: o, links: make(map[string][]*linkproxy.Proxy)}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := d.open(ctx, log); err != nil {
		stop()
		return errors.Join(err, control.Close(), d.shut())
	}
	srv := &http.Server{Handler: d.control(), ReadHeaderTimeout: 5 * time.Second}
	d.parts = append(d.parts, lifecycle.Part{Name: "control",
		Run: func(ctx context.Context) error { return node.Serve(ctx, srv, control) }})
	d.greet(stdout)
	return lifecycle.Run(ctx, d.parts...)
}

// open opens every node; those of a core cluster have to run to find each other.
func (d *devCluster) open(ctx context.Context, log *slog.Logger) error {
	for i := 1; i <= d.opts.cores; i++ {
		c, err := core.Open(ctx, d.coreConfig(i), version(), log.With(slog.String("node", fmt.Sprintf("core-%d", i))))
		if err != nil {
			return fmt.Errorf("core-%d: %w", i, err)
		}
		d.cores = append(d.cores, c)
		d.parts = append(d.parts, lifecycle.Part{Name: fmt.Sprintf("core-%d", i), Run: c.Run})
	}
	for i := 1; i <= d.opts.edges; i++ {
		if err := d.openEdge(ctx, i, log); err != nil {
			return fmt.Errorf("edge-%d: %w", i, err)
		}
	}
	return nil
}

func (d *devCluster) coreConfig(i int) core.Config {
	cfg := core.DefaultConfig()
	cfg.Node, cfg.Data = fmt.Sprintf("core-%d", i), filepath.Join(d.opts.data, fmt.Sprintf("core-%d", i))
	cfg.API, cfg.NATS, cfg.Cluster = d.opts.addr(i), d.opts.addr(200+i), d.opts.addr(300+i)
	if d.opts.cores > 1 {
		for p := 1; p <= d.opts.cores; p++ {
			cfg.Peers = append(cfg.Peers, d.opts.addr(300+p))
		}
	}
	return cfg
}

func (d *devCluster) openEdge(ctx context.Context, i int, log *slog.Logger) error {
	name := fmt.Sprintf("edge-%d", i)
	cfg := edge.DefaultConfig()
	cfg.Node, cfg.Data, cfg.API = name, filepath.Join(d.opts.data, name), d.opts.addr(100+i)
	cfg.Core, cfg.Spaces = nil, []string{node.AllSpaces}
	for c := range d.cores {
		p := linkproxy.New(net.JoinHostPort(devHost, "0"), d.opts.addr(200+c+1), uint64(100*i+c))
		if err := p.Listen(ctx); err != nil {
			return err
		}
		d.links[name] = append(d.links[name], p)
		d.parts = append(d.parts, lifecycle.Part{Name: fmt.Sprintf("link of %s to core-%d", name, c+1), Run: p.Run})
		cfg.Core = append(cfg.Core, "nats://"+p.Addr())
	}
	e, err := edge.Open(ctx, cfg, version(), log.With(slog.String("node", name)))
	if err != nil {
		return err
	}
	d.edges = append(d.edges, e)
	d.parts = append(d.parts, lifecycle.Part{Name: name, Run: e.Run})
	return nil
}

// shut runs what was opened for the length of an ended context, so that it
// closes what it holds.
func (d *devCluster) shut() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if len(d.parts) == 0 {
		return nil
	}
	return lifecycle.Run(ended, d.parts...)
}

// devNode is one line of the control page.
type devNode struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	API     string `json:"api"`
	NATS    string `json:"nats,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	Data    string `json:"data"`
	Link    *link  `json:"link,omitempty"`
}

// link is the state of an edge's link as people set and read it. Members that
// are absent from a request stay as they are.
type link struct {
	Up      *bool            `json:"up,omitempty"`
	Latency *config.Duration `json:"latency,omitempty"`
	Jitter  *config.Duration `json:"jitter,omitempty"`
}

func (d *devCluster) nodes() []devNode {
	var nodes []devNode
	for i := range d.cores {
		cfg := d.coreConfig(i + 1)
		n := devNode{Name: cfg.Node, Role: "core", API: "http://" + cfg.API, NATS: "nats://" + cfg.NATS, Data: cfg.Data}
		if d.opts.cores > 1 {
			n.Cluster = cfg.Cluster
		}
		nodes = append(nodes, n)
	}
	for i, e := range d.edges {
		name := fmt.Sprintf("edge-%d", i+1)
		nodes = append(nodes, devNode{Name: name, Role: "edge", API: "http://" + e.Addr(),
			Data: filepath.Join(d.opts.data, name), Link: d.link(name)})
	}
	return nodes
}

func (d *devCluster) link(name string) *link {
	if len(d.links[name]) == 0 {
		return nil
	}
	s := d.links[name][0].State()
	latency, jitter := config.Duration(s.Latency), config.Duration(s.Jitter)
	return &link{Up: &s.Up, Latency: &latency, Jitter: &jitter}
}

func (d *devCluster) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, map[string]any{"nodes": d.nodes()})
	})
	mux.HandleFunc("PUT /links/{edge}", d.setLink)
	return mux
}

func (d *devCluster) setLink(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("edge")
	links, ok := d.links[name]
	if !ok {
		problem(w, http.StatusNotFound, "link_not_found", fmt.Sprintf("there is no edge %q here", name))
		return
	}
	var want link
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&want); err != nil {
		problem(w, http.StatusBadRequest, "malformed_json", fmt.Sprintf(
			`want {"up":false} or {"latency":"80ms","jitter":"20ms"}: %v`, err))
		return
	}
	for _, p := range links {
		s := p.State()
		if want.Up != nil {
			s.Up = *want.Up
		}
		if want.Latency != nil {
			s.Latency = time.Duration(*want.Latency)
		}
		if want.Jitter != nil {
			s.Jitter = time.Duration(*want.Jitter)
		}
		p.Set(s)
	}
	answerJSON(w, http.StatusOK, d.link(name))
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the client is gone: nobody is left to tell
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
}

// greet says what runs and what to try.
func (d *devCluster) greet(w io.Writer) {
	fmt.Fprintf(w, "causeway %s: %d core node(s), %d edge(s), data in %s\n\n", version(), d.opts.cores, d.opts.edges, d.opts.data)
	for _, n := range d.nodes() {
		fmt.Fprintf(w, "  %-8s %s\n", n.Name, n.API)
	}
	control := "http://" + d.opts.addr(0)
	fmt.Fprintf(w, "  %-8s %s\n\n", "control", control)
	if len(d.edges) < 2 {
		return
	}
	one, two := "http://"+d.edges[0].Addr(), "http://"+d.edges[1].Addr()
	fmt.Fprintf(w, `Try, in another terminal:
  ./bin/causeway session create --node %s hello
  ./bin/causeway session append --node %s hello user "Is my parcel here?"
  ./bin/causeway session get    --node %s hello
  curl -X PUT %s/links/edge-1 -d '{"up":false}'      # cut the link of edge-1
  ./bin/causeway session append --node %s hello assistant "I am looking."
  ./bin/causeway session append --node %s hello user "Anybody there?"
  curl -X PUT %s/links/edge-1 -d '{"up":true}'       # heal it: both sides agree again
  ./bin/causeway session get    --node %s hello
Stop with Ctrl-C.
`, one, one, two, control, one, two, control, two)
}
