package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build makes the program that is measured.
func (b *bench) build(ctx context.Context) error {
	b.binary = filepath.Join(b.dir, "causeway")
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary, "./cmd/causeway")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build causeway (run this in the root of the module): %w: %s", err, out)
	}
	return nil
}

// process is a child that runs until it is stopped.
type process struct {
	cmd  *exec.Cmd
	url  string // of its API
	nats string // where edges connect, of a core node
	errs bytes.Buffer
}

var addresses = regexp.MustCompile(`(http|nats)://[0-9.:]+`)

// start starts a program that prints its addresses in its first line.
func start(name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...)}
	p.cmd.Stderr = &p.errs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	first, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s %v: %w: %s", name, args, errors.Join(err, p.cmd.Wait()), p.errs.String())
	}
	for _, a := range addresses.FindAllString(first, -1) {
		if strings.HasPrefix(a, "http") {
			p.url = a
		} else {
			p.nats = a
		}
	}
	return p, nil
}

// stop ends the process as a service manager would, and tells how long it took.
func (p *process) stop() {
	if p == nil || p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // gone already: Wait tells
	kill := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		progress("%s: %v: %s", strings.Join(p.cmd.Args[1:4], " "), err, p.errs.String())
	}
}

func (p *process) host() string { return strings.TrimPrefix(p.url, "http://") }

// ready waits until the node takes writes.
func (p *process) ready(ctx context.Context) error {
	return until(ctx, 30*time.Second, func() (bool, error) {
		res, err := http.Get(p.url + "/readyz")
		if err != nil {
			return false, nil
		}
		return res.StatusCode == http.StatusOK, res.Body.Close()
	})
}

// anon gives the anonymous memory of the process in bytes.
func (p *process) anon() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("this system does not tell anonymous memory")
}

// ticksPerSecond is what Linux counts processor time in, on every machine.
const ticksPerSecond = 100

// processor gives the processor time that the process has used.
func (p *process) processor() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third field on
	if len(fields) < 13 {
		return 0, errors.New("this system does not tell processor time")
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticksPerSecond, errors.Join(err1, err2)
}

// until asks done again and again, often at first: asking costs the node too.
func until(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(pause*5/4, 25*time.Millisecond) {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("did not happen within %v", limit)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// edge starts an edge; core is where it connects, empty for an edge alone.
func (b *bench) edge(ctx context.Context, dir, core string) (*process, error) {
	name := filepath.Base(dir)
	args := []string{"edge", "--node", name, "--data", dir, "--api", "127.0.0.1:0", "--core", core, "--log", "warn"}
	p, err := start(b.binary, args...)
	if err != nil {
		return nil, err
	}
	return p, p.ready(ctx)
}

// cores starts a cluster of n core nodes below dir.
func (b *bench) cores(ctx context.Context, dir string, n int) ([]*process, error) {
	peers := make([]string, n)
	for i := range peers {
		addr, err := freeAddress()
		if err != nil {
			return nil, err
		}
		peers[i] = addr
	}
	var nodes []*process
	for i := range n {
		name := fmt.Sprintf("core-%d", i+1)
		args := []string{"core", "--node", name, "--data", filepath.Join(dir, name), "--api", "127.0.0.1:0",
			"--nats", "127.0.0.1:0", "--log", "warn"}
		if n > 1 {
			args = append(args, "--cluster", peers[i], "--peers", strings.Join(peers, ","))
		}
		p, err := start(b.binary, args...)
		if err != nil {
			stopAll(nodes)
			return nil, err
		}
		nodes = append(nodes, p)
	}
	for _, p := range nodes {
		if err := p.ready(ctx); err != nil {
			stopAll(nodes)
			return nil, fmt.Errorf("core node: %w: %s", err, p.errs.String())
		}
	}
	return nodes, nil
}

func stopAll(nodes []*process) {
	for _, p := range nodes {
		p.stop()
	}
}

// freeAddress gives an address that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
