package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/causeway-sync/causeway/protocol/drive"
)

const (
	startTimeout    = 30 * time.Second // listeners open after the stored streams are recovered
	shutdownTimeout = 10 * time.Second
	apiTimeout      = 3 * time.Second // one request to JetStream
	inspectEvery    = 30 * time.Second
)

// ErrNotReady says that the streams cannot be used yet: the cluster has no
// quorum, or the streams were not checked.
var ErrNotReady = errors.New("core: streams are not ready")

// Bus is the NATS server inside a core node: the listener for edges, the routes
// to the other core nodes, and the partition streams.
//
// StartBus opens it, Run prepares the streams and watches over them, Close ends
// it; Run closes it too.
type Bus struct {
	cfg BusConfig
	log *slog.Logger
	srv *server.Server
	lg  *serverLog
	nc  *nats.Conn // in-process
	js  jetstream.JetStream

	ready     chan struct{} // closed by Run when all streams are there and checked
	readyOnce sync.Once
	closeOnce sync.Once
	closeErr  error

	slowConsumers atomic.Uint64
	hidden        atomic.Uint64 // messages that a replica did not show and the leader had

	// rewindPatience is how long a stream may look shorter than a position
	// before it counts as recreated: a new leader may still be replaying its log.
	rewindPatience time.Duration
	reported       map[StreamProblem]bool // logged already; touched by Run only

	mu        sync.Mutex       // guards what follows
	ids       []StreamID       // by partition; empty until seen
	slots     jetstream.Stream // of claims; nil until seen
	lastError error            // why the streams could not be used when last looked at
}

// StartBus starts the server and connects to it inside the process. It returns
// when the listeners are open; the streams may need a quorum that comes later
// (see [Bus.Run] and [Bus.WaitReady]). Addresses in use and a directory that
// cannot be used are errors that name them; nothing is left running then.
func StartBus(ctx context.Context, cfg BusConfig) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, addr := range []string{cfg.Listen, cfg.ClusterListen} {
		if err := probeAddress(ctx, addr); err != nil {
			return nil, err
		}
	}
	b := newBus(cfg)
	if err := b.startServer(ctx); err != nil {
		return nil, errors.Join(err, b.stopServer())
	}
	if err := b.connect(); err != nil {
		return nil, errors.Join(err, b.stopServer())
	}
	return b, nil
}

func newBus(cfg BusConfig) *Bus {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Bus{
		cfg:            cfg,
		log:            log,
		lg:             newServerLog(log),
		ready:          make(chan struct{}),
		rewindPatience: drive.RewindPatience,
		ids:            make([]StreamID, cfg.Partitions),
		reported:       make(map[StreamProblem]bool),
	}
}

// AddressError says that a listener's address cannot be used.
type AddressError struct {
	Addr string
	Err  error
}

func (e *AddressError) Error() string { return fmt.Sprintf("listen on %s: %v", e.Addr, e.Err) }

// Unwrap gives the reason, for instance syscall.EADDRINUSE.
func (e *AddressError) Unwrap() error { return e.Err }

// probeAddress tries an address before the server does, because the server
// reports a conflict only as a fatal log line.
func probeAddress(ctx context.Context, addr string) error {
	if addr == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		if oe, ok := errors.AsType[*net.OpError](err); ok {
			err = oe.Err
		}
		return &AddressError{Addr: addr, Err: err}
	}
	if err := l.Close(); err != nil {
		return &AddressError{Addr: addr, Err: err}
	}
	return nil
}

func (b *Bus) startServer(ctx context.Context) error {
	opts, err := b.cfg.serverOptions()
	if err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("core: nats server options: %w", err)
	}
	srv.SetLoggerV2(b.lg, false, false, false)
	b.srv = srv
	srv.Start()
	deadline := time.Now().Add(startTimeout)
	for !srv.ReadyForConnections(25 * time.Millisecond) {
		switch {
		case b.lg.fatalError() != nil:
			return b.lg.fatalError()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Now().After(deadline):
			return fmt.Errorf("core: nats server does not listen on %s after %v", b.cfg.Listen, startTimeout)
		}
	}
	if err := b.lg.fatalError(); err != nil {
		return err
	}
	if jc := srv.JetStreamConfig(); jc == nil || !jc.SyncAlways || !jc.Strict {
		return fmt.Errorf("core: jetstream in %s does not sync always; a core node refuses to run so",
			filepath.Clean(b.cfg.Dir))
	}
	return nil
}

func (b *Bus) connect() error {
	nc, err := nats.Connect("",
		nats.Name("core "+b.cfg.Name),
		nats.InProcessServer(b.srv),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.IgnoreDiscoveredServers(),
		nats.CustomInboxPrefix("_INBOX."+inboxToken(b.cfg.Name)+".bus"),
		nats.ErrorHandler(b.asyncError),
	)
	if err != nil {
		return fmt.Errorf("core: connect to own nats server: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return fmt.Errorf("core: jetstream context: %w", err)
	}
	b.nc, b.js = nc, js
	return nil
}

func (b *Bus) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	if errors.Is(err, nats.ErrSlowConsumer) {
		b.slowConsumers.Add(1)
	}
	b.log.Warn("bus subscription", slog.String("subject", subject), slog.Any("error", err))
}

// Run creates or checks the streams, retrying until the cluster has a quorum,
// then inspects them every 30 s until ctx ends, and closes the bus. It returns
// [*DriftError] if a stream exists with settings that we must not run with, and
// the reason if the server stops by itself.
func (b *Bus) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	b.readyOnce.Do(func() { close(b.ready) })
	b.log.LogAttrs(ctx, slog.LevelInfo, "bus ready",
		slog.String("nats", b.ClientURL()), slog.Int("partitions", b.cfg.Partitions), slog.Int("replicas", b.cfg.Replicas))
	t := time.NewTicker(inspectEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.lg.failed:
			return b.lg.fatalError()
		case <-t.C:
			if err := b.inspect(ctx); err != nil {
				return err
			}
		}
	}
}

// Ready is closed when all streams exist and were checked.
func (b *Bus) Ready() <-chan struct{} { return b.ready }

// WaitReady waits for Ready. When ctx ends first it returns [ErrNotReady] with
// the last reason, such as a cluster without a leader or a foreign cluster name.
func (b *Bus) WaitReady(ctx context.Context) error {
	select {
	case <-b.ready:
		return nil
	case <-ctx.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		return errors.Join(ErrNotReady, b.lastError, b.lg.lastRefusal(), context.Cause(ctx))
	}
}

// Err is why the streams could not be used when they were last looked at, within
// the last 30 s; nil if they could.
func (b *Bus) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lastError
}

// Close ends the connection and the server, in at most 10 s, after handing
// stream leadership to other nodes. It may be called more than once.
func (b *Bus) Close() error {
	b.closeOnce.Do(func() {
		b.nc.Close()
		b.closeErr = b.stopServer()
	})
	return b.closeErr
}

func (b *Bus) stopServer() error {
	if b.srv == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
	}()
	t := time.NewTimer(shutdownTimeout)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return fmt.Errorf("core: nats server did not stop within %v", shutdownTimeout)
	}
}

// ClientURL is where edges connect, for instance nats://127.0.0.1:7201.
func (b *Bus) ClientURL() string {
	if a := b.srv.Addr(); a != nil {
		return "nats://" + a.String()
	}
	return "nats://" + b.cfg.Listen
}

// Partitions is the number of streams.
func (b *Bus) Partitions() int { return b.cfg.Partitions }

// InProcessConn opens a connection to the server without a socket, so that a
// link of the node itself can run over it.
func (b *Bus) InProcessConn() (net.Conn, error) { return b.srv.InProcessConn() }

// Publish sends data to whoever listens on subject now, without storing it. It
// is an error if the server is stopping.
func (b *Bus) Publish(subject string, data []byte) error {
	if err := b.nc.Publish(subject, data); err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return nil
}

// Request sends data and waits for one answer, until ctx ends.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	m, err := b.nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, fmt.Errorf("request to %s: %w", subject, err)
	}
	return m.Data, nil
}

// Subscribe calls handle for every message on subject, in order, one at a time,
// until cancel is called. handle owns data; reply is empty when no answer is
// wanted. Messages that handle does not keep up with are dropped and counted.
func (b *Bus) Subscribe(subject string, handle func(subject, reply string, data []byte)) (cancel func(), err error) {
	sub, err := b.nc.Subscribe(subject, func(m *nats.Msg) { handle(m.Subject, m.Reply, m.Data) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return func() {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) &&
			!errors.Is(err, nats.ErrBadSubscription) {
			b.log.Warn("unsubscribe", slog.String("subject", subject), slog.Any("error", err))
		}
	}, nil
}

// Flush waits until the server has processed what was sent and subscribed so far.
func (b *Bus) Flush(ctx context.Context) error {
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// BusStats counts what went wrong without stopping anything.
type BusStats struct {
	SlowConsumers  uint64 // times that a subscription of this node lost messages
	HiddenMessages uint64 // stored messages that one replica did not show and the leader did
	Clients        int    // connections, our own in-process ones included
	Routes         int    // connections to other core nodes
}

// Stats returns the present counts.
func (b *Bus) Stats() BusStats {
	return BusStats{
		SlowConsumers:  b.slowConsumers.Load(),
		HiddenMessages: b.hidden.Load(),
		Clients:        b.srv.NumClients(),
		Routes:         b.srv.NumRoutes(),
	}
}
