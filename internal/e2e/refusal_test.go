package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/edge"
	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/internal/store"
)

// What an operator gets wrong at a start is refused with an error that says
// what, and leaves what runs alone (F56).
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	s := c.sites[0]
	at := func(change func(*edge.Config)) error {
		cfg := s.cfg
		cfg.API, cfg.Data = "127.0.0.1:0", filepath.Join(c.dir, "other")
		change(&cfg)
		e, err := edge.Open(context.Background(), cfg, "test", logOf(t))
		if err == nil {
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			err = errors.Join(errors.New("it opened"), e.Run(ended))
		}
		return err
	}
	cases := []struct {
		name   string
		change func(*edge.Config)
		want   error
		text   string
	}{
		{"port in use", func(cfg *edge.Config) { cfg.API = s.cfg.API }, syscall.EADDRINUSE, s.cfg.API},
		{"directory in use", func(cfg *edge.Config) { cfg.Data = s.dir }, store.ErrInUse, s.dir},
		{"directory of another node", func(cfg *edge.Config) { cfg.Node, cfg.Data = "edge-9", stopped(t, c) }, node.ErrWrongNode, `"edge-9"`},
		{"directory of another cluster", func(cfg *edge.Config) { cfg.Node, cfg.ClusterName, cfg.Data = "spare", "other", stopped(t, c) }, node.ErrWrongNode, `"other"`},
		{"data is a file", func(cfg *edge.Config) {
			cfg.Data = filepath.Join(c.dir, "file")
			if err := os.WriteFile(cfg.Data, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, "file"},
		{"listener for everybody", func(cfg *edge.Config) { cfg.API = "0.0.0.0:0" }, nil, "insecure"},
		{"bad names", func(cfg *edge.Config) { cfg.Node, cfg.Spaces = "Edge 1", []string{"a/b"} }, nil, "spaces[0]"},
	}
	for _, tc := range cases {
		err := at(tc.change)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: got %v, want %v with %q", tc.name, err, tc.want, tc.text)
		}
	}
	cfg := c.coreCfg
	cfg.Data, cfg.API = filepath.Join(c.dir, "core-9"), "127.0.0.1:0"
	if _, err := core.Open(context.Background(), cfg, "test", logOf(t)); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), c.nats) {
		t.Errorf("core on a NATS port in use: got %v, want EADDRINUSE and %s", err, c.nats)
	}
	call(t, "POST", s.url+sessions, map[string]any{"id": "still-here"}, 201, nil)
}

// stopped gives the directory of an edge "spare" that ran and was stopped.
func stopped(t *testing.T, c *cluster) string {
	t.Helper()
	s := c.addSite("spare")
	c.sites = c.sites[:len(c.sites)-1]
	call(t, "GET", s.url+"/readyz", nil, 200, nil)
	s.run.end(t)
	s.link.end(t)
	return s.dir
}

// An edge of another cluster is refused by the core and says so; it goes on
// working alone. So does one whose core cannot be reached.
func TestEdgeWithoutItsCore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	for name, change := range map[string]func(*edge.Config){
		"foreign": func(cfg *edge.Config) { cfg.ClusterName = "another" },
		"alone":   func(cfg *edge.Config) { cfg.Core = []string{"nats://127.0.0.1:1"} },
	} {
		cfg := edge.DefaultConfig()
		cfg.Node, cfg.Data, cfg.API, cfg.Core = name, filepath.Join(c.dir, name), "127.0.0.1:0", []string{"nats://" + c.nats}
		change(&cfg)
		e, err := edge.Open(context.Background(), cfg, "test", logOf(t))
		if err != nil {
			t.Fatal(err)
		}
		run := start(e.Run)
		t.Cleanup(func() { run.end(t) })
		url := "http://" + e.Addr()
		call(t, "POST", url+sessions, map[string]any{"id": "s"}, 201, nil)
		var m message
		call(t, "POST", url+sessions+"/s/messages", map[string]any{"role": "user", "content": "x"}, 202, &m,
			"Causeway-Durability", "core")
		if m.Durability != "local" {
			t.Errorf("%s: durability %q, want local", name, m.Durability)
		}
		var st struct {
			Degraded []struct{ Name, Detail string }
			Link     struct{ State, Refused string }
		}
		call(t, "GET", url+"/v1/status", nil, 200, &st)
		if len(st.Degraded) != 1 || st.Degraded[0].Name != "link_down" {
			t.Errorf("%s: degraded %v, want link_down", name, st.Degraded)
		}
		if name == "foreign" && !strings.Contains(st.Link.Refused, "wrong_cluster") {
			t.Errorf("foreign: link %+v, want wrong_cluster", st.Link)
		}
		if got := messages(t, url, "default", "s"); len(got) != 1 {
			t.Errorf("%s: %d messages, want 1", name, len(got))
		}
	}
}

// An edge whose disk is down to its reserve refuses writes with a clear code;
// it still serves, and takes what others write (F7).
func TestDiskReserve(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	one, two := c.sites[0], c.sites[1]
	call(t, "POST", one.url+sessions, map[string]any{"id": "s"}, 201, nil)
	say(t, one.url, "s", "user", "before")
	var st struct {
		Store struct {
			BytesFree int64 `json:"bytes_free"`
		}
		Degraded []struct{ Name string }
	}
	call(t, "GET", one.url+"/v1/status", nil, 200, &st)
	one.run.end(t)
	one.cfg.Reserve = config.Bytes(st.Store.BytesFree / 2 * 3)
	c.startSite(one)
	var problem struct{ Code string }
	call(t, "POST", one.url+sessions+"/s/messages", map[string]any{"role": "user", "content": "x"}, 507, &problem)
	if problem.Code != "disk_reserve" {
		t.Errorf("code %q, want disk_reserve", problem.Code)
	}
	c.converge("default", c.urls()...)
	say(t, two.url, "s", "assistant", "meanwhile")
	c.converge("default", c.urls()...)
	if got := texts(messages(t, one.url, "default", "s")); len(got) != 2 {
		t.Errorf("messages at the full edge: %v, want both", got)
	}
	call(t, "GET", one.url+"/v1/status", nil, 200, &st)
	if len(st.Degraded) != 1 || st.Degraded[0].Name != "disk_reserve" {
		t.Errorf("degraded: %v, want disk_reserve", st.Degraded)
	}
	one.run.end(t)
	one.cfg.Reserve = 1 << 20
	c.startSite(one)
	say(t, one.url, "s", "user", "after")
}
