// Package e2e runs whole clusters in one process: real stores, real NATS, real
// HTTP, with links that can be cut.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/edge"
	"github.com/causeway-sync/causeway/internal/linkproxy"
)

// running is a part of a cluster that runs until it is stopped.
type running struct {
	stop context.CancelFunc
	done chan error
}

func start(run func(context.Context) error) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- run(ctx) }()
	return r
}

func (r *running) end(t testing.TB) {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("part ended with %v", err)
	}
}

// site is an edge behind a link that can be cut.
type site struct {
	name  string
	url   string
	dir   string
	proxy *linkproxy.Proxy
	cfg   edge.Config
	run   *running
	link  *running
}

// cluster is one core node and some edges.
type cluster struct {
	t       testing.TB
	dir     string
	coreURL string
	nats    string
	core    *running
	coreCfg core.Config
	sites   []*site
}

// logOf gives the nodes' log to whoever asks for it with CAUSEWAY_LOG=debug.
func logOf(t testing.TB) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(os.Getenv("CAUSEWAY_LOG"))) != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}

// startTimeout bounds every wait of these tests; it is no promise of speed.
const startTimeout = 60 * time.Second

func newCluster(t testing.TB, edges int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir()}
	c.coreCfg = core.DefaultConfig()
	c.coreCfg.Node, c.coreCfg.Data = "core-1", filepath.Join(c.dir, "core-1")
	c.coreCfg.API, c.coreCfg.NATS = "127.0.0.1:0", "127.0.0.1:0"
	c.startCore()
	for i := 1; i <= edges; i++ {
		c.addSite(fmt.Sprintf("edge-%d", i))
	}
	t.Cleanup(c.stop)
	return c
}

func (c *cluster) startCore() {
	c.t.Helper()
	n, err := core.Open(context.Background(), c.coreCfg, "test", logOf(c.t))
	if err != nil {
		c.t.Fatalf("open core: %v", err)
	}
	c.coreURL, c.nats = "http://"+n.Addr(), strings.TrimPrefix(n.NATS(), "nats://")
	c.coreCfg.API, c.coreCfg.NATS = n.Addr(), c.nats // the same again after a restart
	c.core = start(n.Run)
}

func (c *cluster) addSite(name string) *site {
	c.t.Helper()
	s := &site{name: name, dir: filepath.Join(c.dir, name)}
	s.proxy = linkproxy.New("127.0.0.1:0", c.nats, 1)
	if err := s.proxy.Listen(context.Background()); err != nil {
		c.t.Fatalf("link of %s: %v", name, err)
	}
	s.link = start(s.proxy.Run)
	s.cfg = edge.DefaultConfig()
	s.cfg.Node, s.cfg.Data, s.cfg.API = name, s.dir, "127.0.0.1:0"
	s.cfg.Core, s.cfg.Spaces = []string{"nats://" + s.proxy.Addr()}, []string{"*"}
	c.startSite(s)
	c.sites = append(c.sites, s)
	return s
}

func (c *cluster) startSite(s *site) {
	c.t.Helper()
	e, err := edge.Open(context.Background(), s.cfg, "test", logOf(c.t))
	if err != nil {
		c.t.Fatalf("open %s: %v", s.name, err)
	}
	s.url = "http://" + e.Addr()
	s.cfg.API = e.Addr()
	s.run = start(e.Run)
}

func (c *cluster) stop() {
	for _, s := range c.sites {
		s.run.end(c.t)
		s.link.end(c.t)
	}
	c.core.end(c.t)
}

func (s *site) cut(up bool) { s.proxy.Set(linkproxy.State{Up: up}) }

// call does one request and decodes the answer; it fails the test unless the
// status is want.
func call(t testing.TB, method, url string, body any, want int, into any, headers ...string) http.Header {
	t.Helper()
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		rd = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, url, rd)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if res.StatusCode != want {
		t.Fatalf("%s %s: got %d %s, want %d", method, url, res.StatusCode, b, want)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, b)
		}
	}
	return res.Header
}

type digest struct {
	Version, Digest string
	Waiting         int
}

// converge waits until all nodes have the same digest of the space.
func (c *cluster) converge(space string, urls ...string) digest {
	c.t.Helper()
	return converge(c.t, space, urls...)
}

// converge waits until the nodes at urls have the same digest of the space. It
// follows the changes of each, so it wakes when something happens.
func converge(t testing.TB, space string, urls ...string) digest {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for {
		var got []digest
		same := true
		for _, u := range urls {
			var d digest
			call(t, "GET", u+"/v1/spaces/"+space+"/digest", nil, 200, &d)
			got = append(got, d)
			same = same && d == got[0] && d.Waiting == 0
		}
		if same {
			return got[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("nodes %v did not converge on %s within %v: %+v", urls, space, startTimeout, got)
		}
		for i, u := range urls {
			q := url.Values{"since": {got[i].Version}, "wait": {"100ms"}, "limit": {"1"}}
			call(t, "GET", u+"/v1/spaces/"+space+"/changes?"+q.Encode(), nil, 200, nil)
		}
	}
}

func (c *cluster) urls() []string {
	urls := []string{c.coreURL}
	for _, s := range c.sites {
		urls = append(urls, s.url)
	}
	return urls
}

type message struct {
	ID, Role, Parent, Origin, Version, Durability string
	Content                                       json.RawMessage
}

// messages reads the whole history of a session, page by page.
func messages(t testing.TB, node, space, id string) []message {
	t.Helper()
	var all []message
	after := ""
	for {
		var page struct {
			Messages []message
			Next     string
		}
		u := fmt.Sprintf("%s/v1/spaces/%s/sessions/%s/messages?limit=200&after=%s", node, space, id, url.QueryEscape(after))
		call(t, "GET", u, nil, 200, &page)
		all = append(all, page.Messages...)
		if page.Next == "" {
			return all
		}
		after = page.Next
	}
}
