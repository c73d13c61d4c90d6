package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/lifecycle"
	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
)

// Edge is an edge node. Open it, then Run it.
type Edge struct {
	cfg      Config
	log      *slog.Logger
	node     *node.Node
	link     *Link       // nil when no core is configured
	signals  *SignalWire // nil likewise
	sync     *node.Sync  // nil likewise
	listener net.Listener
	rtt      atomic.Int64 // last measured round trip in nanoseconds; zero: none
	mover    drive.Mover  // owned by the sync loop
	started  time.Time

	mu    sync.Mutex // guards what follows
	state httpapi.LinkStatus
}

// Open opens the store and the API's listener; version is that of the program.
// Errors name the key or the address that is wrong. Nothing runs before Run.
func Open(ctx context.Context, cfg Config, version string, log *slog.Logger) (e *Edge, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e = &Edge{cfg: cfg, log: log, started: time.Now(), state: httpapi.LinkStatus{State: "down", Since: time.Now().UTC()}}
	if e.listener, err = node.Listen(ctx, "api", cfg.API); err != nil {
		return nil, err
	}
	opts := store.DefaultOptions(cfg.Data)
	opts.Log = log
	opts.ReserveBytes = uint64(cfg.Reserve)
	policy, err := node.ParsePolicy(cfg.Durability)
	if err != nil {
		return nil, errors.Join(err, e.listener.Close())
	}
	e.node, err = node.Open(node.Config{
		Name: cfg.Node, Role: "edge", Cluster: cfg.ClusterName, Version: version, Spaces: cfg.Spaces,
		Store: opts, CoreTimeout: time.Duration(cfg.CoreTimeout), Sweep: drive.SweepEvery, Log: log,
		Clock: cfg.Clock, ProbeCore: len(cfg.Core) > 0, Limits: cfg.Limits, Policy: policy,
	})
	if err != nil {
		return nil, errors.Join(err, e.listener.Close())
	}
	e.node.Report(e.report)
	if len(cfg.Core) == 0 {
		return e, nil
	}
	if err := e.openLink(); err != nil {
		return nil, errors.Join(err, e.node.Close(), e.listener.Close())
	}
	return e, nil
}

func (e *Edge) openLink() error {
	lc := DefaultLinkConfig()
	lc.Node, lc.Servers, lc.Log = e.cfg.Node, e.cfg.Core, e.log
	lc.OnUp, lc.OnDown = e.linkUp, e.linkDown
	var err error
	if e.link, err = NewLink(lc); err != nil {
		return err
	}
	e.node.AskThrough(e.link.Request)
	e.signals = NewSignalWire(e.link)
	e.node.SignalThrough(e.signals)
	instance, err := node.NewInstance()
	if err != nil {
		return err
	}
	mc := protocol.DefaultEdgeConfig()
	mc.Node, mc.Instance, mc.Cluster, mc.Origin = e.cfg.Node, instance, e.cfg.ClusterName, e.node.Origin()
	mc.Everything = slices.Contains(e.cfg.Spaces, node.AllSpaces)
	mc.Spaces = append(slices.DeleteFunc(slices.Clone(e.cfg.Spaces), func(s string) bool { return s == node.AllSpaces }), "default")
	e.sync, err = node.NewSync(e.node, e.link, node.SyncConfig{
		Machine: mc, Classify: Classify, Compression: e.compression, OnFact: e.onFact,
	})
	return err
}

// Classify tells the sync machine how a publication failed.
func Classify(err error) protocol.FailureKind {
	switch {
	case errors.Is(err, ErrWrongSequence):
		return protocol.WrongSequence
	case errors.Is(err, ErrRefused):
		return protocol.Rejected
	default:
		return protocol.Unknown
	}
}

// Addr is where the API listens.
func (e *Edge) Addr() string { return e.listener.Addr().String() }

// Run serves the API and syncs until ctx ends; then it lets requests finish,
// commits what they wrote and closes the store.
func (e *Edge) Run(ctx context.Context) error {
	srv := httpapi.NewServer(e.node, httpapi.Options{Log: e.log})
	parts := []lifecycle.Part{
		{Name: "api", Run: func(ctx context.Context) error { return node.ServeAPI(ctx, srv, e.listener) }},
	}
	if e.link != nil {
		parts = append(parts,
			lifecycle.Part{Name: "link", Run: e.runLink},
			lifecycle.Part{Name: "round trip", Run: e.measure},
			lifecycle.Part{Name: "signals", Run: e.signals.Run},
			lifecycle.Part{Name: "sync", Run: e.sync.Run})
	}
	e.log.Info("edge runs", slog.String("node", e.cfg.Node), slog.String("api", e.Addr()),
		slog.String("origin", string(e.node.Origin())))
	return e.node.Around(ctx, parts...)
}

func (e *Edge) runLink(ctx context.Context) error {
	take := func(_, _ string, data []byte) { e.sync.Receive(ctx, data) }
	for _, subject := range []string{protocol.DeliverSubject(e.cfg.Node), protocol.ReceiptSubject(e.cfg.Node)} {
		cancel, err := e.link.Subscribe(subject, take)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", subject, err)
		}
		defer cancel()
	}
	answer := func(_, reply string, data []byte) { e.node.AnswerOp(data, reply, e.link.Publish) }
	cancel, err := e.link.Subscribe(protocol.OpAskSubject, answer)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", protocol.OpAskSubject, err)
	}
	defer cancel()
	return e.link.Run(ctx)
}

// measure keeps the round trip to the core up to date.
func (e *Edge) measure(ctx context.Context) error {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		ask, cancel := context.WithTimeout(ctx, measureEvery)
		rtt, err := e.link.RTT(ask)
		cancel()
		if err != nil {
			rtt = 0 // the link is down or changing; the next measurement tells
		}
		e.rtt.Store(int64(rtt))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (e *Edge) linkUp(server string) {
	e.setState(httpapi.LinkStatus{State: "connecting", Core: server})
	e.sync.Input(context.Background(), protocol.LinkUp{Core: server})
}

func (e *Edge) linkDown(err error) {
	st := httpapi.LinkStatus{State: "down"}
	now := time.Now().UTC()
	st.LastSeen = &now
	e.setState(st)
	e.log.Warn("link down", slog.Any("error", err))
	e.sync.Input(context.Background(), protocol.LinkDown{})
}

func (e *Edge) onFact(f protocol.Fact) {
	switch f := f.(type) {
	case protocol.AttachGranted:
		e.log.Info("attached", slog.String("core", f.Core), slog.Int("stores", f.Stores), slog.Int("required", f.Required))
		e.setState(httpapi.LinkStatus{State: "attached", Core: f.Core})
	case protocol.AttachmentLost:
		e.log.Warn("attachment lost", slog.String("core", f.Core), slog.String("reason", f.Reason))
		if e.link.Up() {
			e.setState(httpapi.LinkStatus{State: "connecting", Core: f.Core})
		}
	case protocol.AttachFailed:
		e.log.Warn("attach failed", slog.String("core", f.Core), slog.String("code", f.Code.String()), slog.String("detail", f.Detail))
		if f.Code != 0 {
			e.setRefusal(f)
		}
		if e.mover.Move(protocol.Instant(time.Since(e.started)), f) {
			e.link.MoveOn()
		}
	default:
		e.log.Debug("sync", slog.String("fact", fmt.Sprintf("%T %+v", f, f)))
	}
}

func (e *Edge) setState(st httpapi.LinkStatus) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if st.State != e.state.State || st.Core != e.state.Core {
		st.Since = time.Now().UTC()
		if st.LastSeen == nil {
			st.LastSeen = e.state.LastSeen
		}
		e.state = st
	}
}

func (e *Edge) setRefusal(f protocol.AttachFailed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state.Refused = fmt.Sprintf("%s: %s", f.Code, f.Detail)
}

func (e *Edge) compression() protocol.Compression {
	switch e.cfg.Compress {
	case "on":
		return protocol.Zstd
	case "auto":
		if time.Duration(e.rtt.Load()) > compressFrom {
			return protocol.Zstd
		}
	}
	return protocol.Plain
}

const measureEvery = 2 * time.Second // between measurements of the round trip

// compressFrom is the round trip from which on the link and not the processor
// is taken for the bottleneck.
const compressFrom = 5 * time.Millisecond

// report adds the link to the node's status.
func (e *Edge) report(st *httpapi.Status) {
	if e.link == nil {
		return
	}
	e.mu.Lock()
	state := e.state
	e.mu.Unlock()
	if rtt := time.Duration(e.rtt.Load()); rtt > 0 && state.State != "down" {
		state.RTT = rtt.Round(10 * time.Microsecond).String()
	}
	st.Link = &state
	if state.State != "attached" {
		detail := "the core is not reachable; writes are kept here and sent when it is"
		if state.Refused != "" {
			detail = "the core refuses this node: " + state.Refused
		}
		st.Degraded = append(st.Degraded, httpapi.Degradation{Name: "link_down", Since: state.Since, Detail: detail})
	}
}
