package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// member is a node of the run: a directory, addresses, and most of the time a
// process.
type member struct {
	lane    string // name in the history; that of a clone is its own
	plan    sim.NodePlan
	dir     string   // of its data
	api     string   // HOST:PORT
	command []string // that runs it
	twin    *member  // the node that this is a clone of
	corpse  bool     // only looked at: nobody minds how it ends

	life sync.Mutex // held by whoever starts, ends or harms the node; above what follows

	mu     sync.Mutex // guards what follows
	child  *child     // nil when it was not started yet
	paused bool
	gone   bool // for good
	harmed bool // its files were damaged, so it may refuse to start
}

// store is the directory of the node's Badger store, streams that of JetStream.
func (m *member) store() string {
	if m.plan.Core {
		return filepath.Join(m.dir, "store")
	}
	return m.dir
}

func (m *member) streams() string { return filepath.Join(m.dir, "streams") }

func (m *member) url() string { return "http://" + m.api }

// process gives the node's process if it runs.
func (m *member) process() (c *child, paused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.child == nil || !m.child.alive() {
		return nil, false
	}
	return m.child, m.paused
}

func (m *member) isGone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

func (m *member) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
}

func (m *member) harm() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.harmed = true
}

func (m *member) wasHarmed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.harmed
}

// startError says why a node did not come up.
type startError struct{ lane, text string }

func (e *startError) Error() string { return fmt.Sprintf("%s does not start: %s", e.lane, e.text) }

// start starts the node, unless it runs or is gone, and waits until it takes
// writes. An address that somebody has taken meanwhile, for an outgoing
// connection say, is waited for. Callers hold life.
func (m *member) start(ctx context.Context, r *run) error {
	if c, _ := m.process(); c != nil || m.isGone() {
		return nil
	}
	patience, cancel := context.WithTimeoutCause(ctx, r.opt.Patience,
		&startError{m.lane, fmt.Sprintf("not ready within %v", r.opt.Patience)})
	defer cancel()
	for {
		c, err := r.starter.start(m.command, r.opt.Env, m.logFile(r), func(c *child) { r.died(ctx, m, c) })
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.child, m.paused = c, false
		m.mu.Unlock()
		err = m.ready(patience, c)
		if err == nil {
			return nil
		}
		c.want()
		if c.alive() {
			err = errors.Join(err, c.kill())
		}
		failed, ok := errors.AsType[*startError](err)
		if !ok || !strings.Contains(failed.text, "in use") || !pause(patience, retryPause) {
			return err
		}
	}
}

func (m *member) logFile(r *run) string { return filepath.Join(r.dir, m.lane+".log") }

// Pauses between looks at something that takes a while.
const (
	retryPause   = 50 * time.Millisecond
	firstLook    = 10 * time.Millisecond
	longestPause = 200 * time.Millisecond
)

// ready waits until the process takes writes.
func (m *member) ready(ctx context.Context, c *child) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for wait := firstLook; ; wait = min(2*wait, longestPause) {
		if !c.alive() {
			return &startError{m.lane, lastWords(c.said())}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url()+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("%s: %w", m.lane, err)
		}
		if resp, err := client.Do(req); err == nil {
			closeErr := resp.Body.Close()
			if resp.StatusCode == http.StatusOK && closeErr == nil && c.serve() {
				return nil
			}
		}
		if !pause(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// kill ends the node as kill -9 does. Callers hold life.
func (m *member) kill() error {
	if c, _ := m.process(); c != nil {
		return c.kill()
	}
	return nil
}

// stop asks the node to end. Callers hold life.
func (m *member) stop() error {
	c, paused := m.process()
	if c == nil {
		return nil
	}
	if paused {
		if err := m.resume(); err != nil {
			return err
		}
	}
	return c.terminate()
}

// freeze stops the process where it is.
func (m *member) freeze() error { return m.send(syscall.SIGSTOP, true) }

// resume lets a frozen process go on.
func (m *member) resume() error { return m.send(syscall.SIGCONT, false) }

func (m *member) send(s syscall.Signal, paused bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.child == nil || !m.child.alive() {
		return nil
	}
	if err := m.child.signal(s); err != nil {
		return fmt.Errorf("signal %v to %s: %w", s, m.lane, err)
	}
	m.paused = paused
	return nil
}

// pause waits; it is false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// removeAll removes a directory of the run.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}
