package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/edge"
)

// childVariable holds, as JSON, what node the test binary is to be instead of
// running tests. So the race detector watches the nodes too.
const childVariable = "CAUSEWAY_E2E_NODE"

// childConfig is what a node in a process of its own is told.
type childConfig struct {
	Role, Node, Data, API string
	NATS, Cluster         string   // of a core node
	Peers                 []string // of a core node
	Core                  []string // of an edge
	Log                   string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(beNode(text))
	}
	os.Exit(m.Run())
}

// beNode runs one node until SIGTERM. It ends at once when the test that
// started it is gone, which it learns from the end of its standard input.
func beNode(text string) int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := runNode(ctx, text); err != nil {
		fmt.Fprintln(os.Stderr, "node ended:", err)
		return 1
	}
	return 0
}

func runNode(ctx context.Context, text string) error {
	var c childConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log)); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if c.Role == "core" {
		n, err := core.Open(ctx, c.coreConfig(), "test", log)
		if err != nil {
			return err
		}
		fmt.Println("ready")
		return n.Run(ctx)
	}
	n, err := edge.Open(ctx, c.edgeConfig(), "test", log)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return n.Run(ctx)
}

func (c childConfig) coreConfig() core.Config {
	cfg := core.DefaultConfig()
	cfg.Node, cfg.Data, cfg.API = c.Node, c.Data, c.API
	cfg.NATS, cfg.Cluster, cfg.Peers = c.NATS, c.Cluster, c.Peers
	return cfg
}

func (c childConfig) edgeConfig() edge.Config {
	cfg := edge.DefaultConfig()
	cfg.Node, cfg.Data, cfg.API = c.Node, c.Data, c.API
	cfg.Core, cfg.Spaces = c.Core, []string{"*"}
	return cfg
}

// process is a node in a process of its own, which can be killed and started
// again on the same directory and ports.
type process struct {
	t   testing.TB
	cfg childConfig
	log string // file with everything that the process wrote

	mu      sync.Mutex // guards what follows
	cmd     *exec.Cmd  // nil when it does not run
	stdin   io.Closer
	ended   chan struct{} // closed when the process has ended
	wanted  bool          // it was told to end
	outcome error
}

// freeAddress asks the system for a port that nobody uses.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newProcess(t testing.TB, cfg childConfig) *process {
	t.Helper()
	if cfg.Log = os.Getenv("CAUSEWAY_LOG"); cfg.Log == "" {
		cfg.Log = "info"
	}
	p := &process{t: t, cfg: cfg, log: filepath.Join(t.ArtifactDir(), cfg.Node+".log")}
	t.Cleanup(func() {
		if t.Failed() { // the log then shows what each goroutine waits for
			_ = p.signal(syscall.SIGQUIT) // its outcome is that it was told to
		}
		p.kill()
		p.judgeLog()
	})
	return p
}

func (p *process) url() string { return "http://" + p.cfg.API }

// start starts the node and waits until it answers. A port that somebody has
// taken meanwhile, for an outgoing connection say, is waited for.
func (p *process) start() {
	p.t.Helper()
	deadline := time.Now().Add(startTimeout)
	for {
		err := p.tryStart()
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "in use") || time.Now().After(deadline) {
			p.t.Fatalf("start %s: %v", p.cfg.Node, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// tryStart starts the node, and returns what it says when it does not come up.
func (p *process) tryStart() error {
	text, err := json.Marshal(p.cfg)
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	before, err := logFile.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = logFile
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n') // an early end shows below
	ended := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.stdin, p.ended, p.wanted = cmd, stdin, ended, line == ""
	p.mu.Unlock()
	go p.wait(cmd, ended)
	if line != "" {
		return nil
	}
	<-ended
	said, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	return errors.New(strings.TrimSpace(string(said[before:])))
}

// wait notes how the process ended; an end that nobody asked for fails the test.
func (p *process) wait(cmd *exec.Cmd, ended chan struct{}) {
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wanted {
		p.t.Errorf("%s ended by itself: %v; log in %s\n%s", p.cfg.Node, err, p.log, tail(p.log))
	}
	p.cmd, p.outcome = nil, err
	close(ended)
}

// kill ends the process without a chance to do anything.
func (p *process) kill() { _ = p.signal(syscall.SIGKILL) } // its outcome is that it was killed

// terminate asks the process to end and returns how it did.
func (p *process) terminate() error { return p.signal(syscall.SIGTERM) }

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.wanted = true
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-ended
	_ = p.stdin.Close() // closed by Wait already
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome
}

// judgeLog fails the test for what no run may write.
func (p *process) judgeLog() {
	said, err := os.ReadFile(p.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Errorf("read log of %s: %v", p.cfg.Node, err)
	}
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if i := bytes.Index(said, []byte(bad)); i >= 0 {
			p.t.Errorf("log of %s has %q:\n%s", p.cfg.Node, bad, said[max(0, i-200):min(len(said), i+4000)])
		}
	}
	if p.t.Failed() {
		p.t.Logf("end of the log of %s:\n%s", p.cfg.Node, tail(p.log))
	}
}

func tail(path string) []byte {
	said, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	return said[max(0, len(said)-6000):]
}

// fleet is a core and edges in processes of their own.
type fleet struct {
	t     testing.TB
	cores []*process
	edges []*process
}

// newFleet starts cores core nodes (1 or 3) and edges.
func newFleet(t testing.TB, cores, edges int) *fleet {
	t.Helper()
	f := &fleet{t: t}
	dir := t.TempDir()
	var peers, nats []string
	for range cores {
		peers, nats = append(peers, freeAddress(t)), append(nats, freeAddress(t))
	}
	for i := range cores {
		name := fmt.Sprintf("core-%d", i+1)
		cfg := childConfig{Role: "core", Node: name, Data: filepath.Join(dir, name), API: freeAddress(t), NATS: nats[i]}
		if cores > 1 {
			cfg.Cluster, cfg.Peers = peers[i], peers
		}
		f.cores = append(f.cores, newProcess(t, cfg))
	}
	for i := range nats {
		nats[i] = "nats://" + nats[i]
	}
	for i := range edges {
		name := fmt.Sprintf("edge-%d", i+1)
		f.edges = append(f.edges, newProcess(t, childConfig{
			Role: "edge", Node: name, Data: filepath.Join(dir, name), API: freeAddress(t), Core: nats}))
	}
	for _, p := range f.all() {
		p.start()
	}
	return f
}

func (f *fleet) all() []*process { return append(append([]*process{}, f.cores...), f.edges...) }

func (f *fleet) urls() []string {
	var urls []string
	for _, p := range f.all() {
		urls = append(urls, p.url())
	}
	return urls
}

// converge waits until all nodes of the fleet have the same digest.
func (f *fleet) converge() digest {
	f.t.Helper()
	return converge(f.t, "default", f.urls()...)
}

// status is the part of a node's status that the tests look at.
type status struct {
	Node, Origin string
	Degraded     []struct{ Name, Detail string }
	Link         struct{ State, Refused string }
	Spaces       []struct {
		Space            string
		Ops              uint64
		Backlog, Waiting uint64
	}
	Core struct {
		Quorum   bool
		Attached []string
		Streams  []struct {
			Name, Leader  string
			Last, Applied uint64
		}
	}
}

func (s status) degraded(name string) bool {
	for _, d := range s.Degraded {
		if d.Name == name {
			return true
		}
	}
	return false
}

func statusOf(t testing.TB, node string) status {
	t.Helper()
	var s status
	call(t, "GET", node+"/v1/status", nil, http.StatusOK, &s)
	return s
}
