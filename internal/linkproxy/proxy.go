package linkproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	chunkBytes  = 32 << 10
	queueChunks = 64 // in flight per direction; beyond that the sender is held up
	dialTimeout = 5 * time.Second
)

// Direction names ways through the proxy; a sum of them is a set.
type Direction uint8

// Directions.
const (
	ToTarget Direction = 1 << iota
	FromTarget
	Neither Direction = 0
	Both              = ToTarget | FromTarget
)

// State is how the link behaves. The zero State is a cut link.
type State struct {
	// Up false resets all connections, and each new one at once.
	Up bool
	// Latency is added to every byte, in each direction.
	Latency time.Duration
	// Jitter makes the latency vary evenly between Latency-Jitter and
	// Latency+Jitter, per piece of data that arrives together.
	Jitter time.Duration
	// BytesPerSecond limits each connection in each direction; zero is no limit.
	BytesPerSecond int64
	// Blackhole swallows bytes while connections stay open. What was swallowed
	// is lost, so a connection that lost bytes is reset when the blackhole ends.
	Blackhole Direction
	// Hold keeps bytes back while connections stay open, and delivers them when
	// it ends, as TCP does over a path that was dead for a while.
	Hold Direction
	// Stall is the chance that a piece of data, and all behind it, is late by
	// StallFor more, as after the loss of a packet. A piece that is late may be
	// late again, by twice as much.
	Stall    float64
	StallFor time.Duration
	// Back, if not nil, says how bytes from the target travel; Latency, Jitter,
	// BytesPerSecond, Stall and StallFor are then those of bytes to the target.
	Back *Shape
}

// Shape is how bytes travel in one direction; see the fields of [State].
type Shape struct {
	Latency, Jitter time.Duration
	BytesPerSecond  int64
	Stall           float64
	StallFor        time.Duration
}

// shape gives how bytes travel in a direction.
func (s *State) shape(dir Direction) Shape {
	if dir == FromTarget && s.Back != nil {
		return *s.Back
	}
	return Shape{s.Latency, s.Jitter, s.BytesPerSecond, s.Stall, s.StallFor}
}

// Stats counts pieces of data that went a way, and how often one was stalled.
type Stats struct{ Pieces, Stalls uint64 }

// Proxy forwards connections to one address. Make it with New.
type Proxy struct {
	listenAddr string
	targetAddr string
	seed       uint64

	mu       sync.Mutex // guards what follows
	listener net.Listener
	state    State
	changed  chan struct{} // closed and replaced at every Set
	conns    map[*conn]struct{}
	accepted uint64
	counts   map[Direction]Stats
}

// New makes a proxy that is up and without delay. seed determines the jitter:
// connection n gets the same sequence of delays in every run.
func New(listenAddr, targetAddr string, seed uint64) *Proxy {
	return &Proxy{
		listenAddr: listenAddr,
		targetAddr: targetAddr,
		seed:       seed,
		state:      State{Up: true},
		changed:    make(chan struct{}),
		conns:      make(map[*conn]struct{}),
		counts:     make(map[Direction]Stats),
	}
}

// Listen opens the proxy's address. Run does it too; call it before to learn
// the address of port 0, or that the address is in use.
func (p *Proxy) Listen(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.listenAddr)
	if err != nil {
		return fmt.Errorf("proxy to %s: %w", p.targetAddr, err)
	}
	p.listener = l
	return nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return p.listenAddr
	}
	return p.listener.Addr().String()
}

// Run forwards until ctx ends, and leaves no connection behind. It may be
// called once.
func (p *Proxy) Run(ctx context.Context) error {
	if err := p.Listen(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		closeQuietly(p.listener)
	})
	defer wg.Wait()
	defer p.closeAll()
	defer stop()
	for {
		c, err := p.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				closeQuietly(c)
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("proxy to %s: %w", p.targetAddr, err)
		case err != nil: // for instance out of file descriptors
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		wg.Go(func() { p.serve(ctx, c) })
	}
}

// Set changes the state of all connections, present and future. When it
// returns, a cut link has no connection left.
func (p *Proxy) Set(s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	close(p.changed)
	p.changed = make(chan struct{})
	for c := range p.conns {
		if !s.Up || c.lost()&^s.Blackhole != 0 {
			c.reset()
		}
	}
}

// State is the present state.
func (p *Proxy) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Conns is the number of open connections.
func (p *Proxy) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Stats counts what went a way since the beginning.
func (p *Proxy) Stats(dir Direction) Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[dir]
}

func (p *Proxy) count(dir Direction, stalls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts[dir]
	p.counts[dir] = Stats{c.Pieces + 1, c.Stalls + uint64(stalls)}
}

func (p *Proxy) watch() (State, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.changed
}

func (p *Proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.reset()
	}
}

// serve forwards one connection until it ends.
func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	c := &conn{client: client, ended: make(chan struct{})}
	n, ok := p.register(c)
	if !ok {
		c.reset()
		return
	}
	defer p.forget(c)
	stop := context.AfterFunc(ctx, c.reset)
	defer stop()
	d := net.Dialer{Timeout: dialTimeout}
	target, err := d.DialContext(ctx, "tcp", p.targetAddr)
	if err != nil || !c.setTarget(target) {
		c.reset() // whoever dialled sees a reset, as from a dead target
		return
	}
	var wg sync.WaitGroup
	for _, dir := range []Direction{ToTarget, FromTarget} {
		pp := newPipe(p, c, dir, n)
		wg.Go(pp.read)
		wg.Go(pp.write)
	}
	wg.Wait()
	c.end(false)
}

func (p *Proxy) register(c *conn) (number uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.state.Up {
		return 0, false
	}
	p.accepted++
	p.conns[c] = struct{}{}
	return p.accepted, true
}

func (p *Proxy) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// conn is a pair of sockets.
type conn struct {
	client net.Conn
	ended  chan struct{} // closed by reset

	mu        sync.Mutex // guards what follows
	target    net.Conn   // nil until dialled
	swallowed Direction
	closed    bool
}

func (c *conn) setTarget(t net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		closeQuietly(t)
		return false
	}
	c.target = t
	return true
}

// reset closes both sockets at once; bytes on their way are lost, and the peers
// are told that it was no orderly end.
func (c *conn) reset() { c.end(true) }

func (c *conn) end(abort bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	close(c.ended)
	for _, s := range []net.Conn{c.client, c.target} {
		if t, ok := s.(*net.TCPConn); ok && abort {
			_ = t.SetLinger(0) // an orderly end instead of a reset is no harm
		}
		if s != nil {
			closeQuietly(s)
		}
	}
}

func (c *conn) swallow(d Direction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.swallowed |= d
}

func (c *conn) lost() Direction {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.swallowed
}

// closeQuietly closes what is given up anyway; an error changes nothing.
func closeQuietly(c io.Closer) { _ = c.Close() }
