package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/edge"
	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/lifecycle"
	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
)

// Core is a core node. Open it, then Run it.
type Core struct {
	cfg      Config
	log      *slog.Logger
	node     *node.Node
	bus      *Bus
	delivery *delivery
	ingests  []*ingest
	link     *edge.Link // to our own bus
	signals  *edge.SignalWire
	sync     *node.Sync
	listener net.Listener

	mu       sync.Mutex // guards what follows
	attached map[string]bool
}

// Open opens the store, the API's listener and the NATS server; version is
// that of the program. Errors name the key or the address that is wrong.
func Open(ctx context.Context, cfg Config, version string, log *slog.Logger) (*Core, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Core{cfg: cfg, log: log, attached: make(map[string]bool)}
	if err := c.open(ctx, version); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *Core) open(ctx context.Context, version string) (err error) {
	cfg, log := c.cfg, c.log
	if c.listener, err = node.Listen(ctx, "api", cfg.API); err != nil {
		return err
	}
	opts := store.CoreOptions(filepath.Join(cfg.Data, "store"))
	opts.Log = log
	opts.ReserveBytes = uint64(cfg.Reserve)
	policy, err := node.ParsePolicy(cfg.Durability)
	if err != nil {
		return err
	}
	c.node, err = node.Open(node.Config{
		Name: cfg.Node, Role: "core", Cluster: cfg.ClusterName, Version: version, Spaces: []string{node.AllSpaces},
		Store: opts, CoreTimeout: time.Duration(cfg.CoreTimeout), Sweep: drive.SweepEvery, SweepGrace: drive.CoreSweepGrace, Log: log,
		Clock: cfg.Clock, Limits: cfg.Limits, Policy: policy,
	})
	if err != nil {
		return err
	}
	c.node.Report(c.report)
	if c.bus, err = StartBus(ctx, c.busConfig()); err != nil {
		return err
	}
	if err := c.openDelivery(); err != nil {
		return err
	}
	return c.openSync()
}

func (c *Core) busConfig() BusConfig {
	bc := DefaultBusConfig()
	bc.Name, bc.Cluster, bc.Dir = c.cfg.Node, c.cfg.ClusterName, filepath.Join(c.cfg.Data, "streams")
	bc.Listen, bc.Log = c.cfg.NATS, c.log
	bc.Replicas, bc.Partitions = c.cfg.Nodes(), c.cfg.Partitions
	bc.MaxStoreBytes, bc.MaxAge = int64(c.cfg.StreamBytes), time.Duration(c.cfg.StreamAge)
	if bc.Replicas > 1 {
		bc.ClusterListen, bc.Peers = c.cfg.Cluster, c.cfg.Peers
	}
	return bc
}

func (c *Core) openDelivery() error {
	pc := protocol.DefaultCoreConfig()
	pc.Node, pc.Incarnation, pc.Cluster = c.cfg.Node, c.node.Incarnation(), c.cfg.ClusterName
	pc.Stores, pc.StoresRequired, pc.Partitions = c.cfg.Nodes(), c.cfg.Required(), c.cfg.Partitions
	var err error
	if c.delivery, err = newDelivery(c.node, c.bus, pc, c.log, c.admits); err != nil {
		return err
	}
	c.delivery.onFact = c.onFact
	for p := range c.cfg.Partitions {
		c.ingests = append(c.ingests, &ingest{node: c.node, bus: c.bus, delivery: c.delivery, partition: p, log: c.log})
	}
	return nil
}

// openSync prepares the way up for what this node writes itself, and among
// several core nodes the visits to the others.
func (c *Core) openSync() error {
	lc := edge.DefaultLinkConfig()
	lc.Node, lc.InProcess, lc.Log = c.cfg.Node, c.bus, c.log
	lc.OnUp = func(string) { c.sync.Input(context.Background(), protocol.LinkUp{}) }
	lc.OnDown = func(error) { c.sync.Input(context.Background(), protocol.LinkDown{}) }
	var err error
	if c.link, err = edge.NewLink(lc); err != nil {
		return err
	}
	c.node.AskThrough(c.link.Request)
	c.signals = edge.NewSignalWire(c.link)
	c.node.SignalThrough(c.signals)
	instance, err := node.NewInstance()
	if err != nil {
		return err
	}
	mc := protocol.DefaultEdgeConfig()
	mc.Node, mc.Instance, mc.Cluster, mc.Origin = c.cfg.Node, instance, c.cfg.ClusterName, c.node.Origin()
	mc.Everything, mc.UploadOnly, mc.StoresRequired = true, !c.hasPeers(), c.cfg.Required()
	c.sync, err = node.NewSync(c.node, c.link, node.SyncConfig{
		Machine: mc, Partitions: c.cfg.Partitions, Classify: edge.Classify,
		Compression: func() protocol.Compression { return protocol.Plain },
		Refill:      c.hasPeers(),
	})
	if err == nil && c.hasPeers() {
		c.delivery.onDoubt = c.sync.Doubt
	}
	c.delivery.onWant = func(ctx context.Context, w protocol.Want) { c.sync.Input(ctx, protocol.Received{Message: w}) }
	return err
}

// close undoes what Open did, as far as it came.
func (c *Core) close() error {
	var errs []error
	if c.bus != nil {
		errs = append(errs, c.bus.Close())
	}
	if c.node != nil {
		errs = append(errs, c.node.Close())
	}
	if c.listener != nil {
		errs = append(errs, c.listener.Close())
	}
	return errors.Join(errs...)
}

// Addr is where the API listens.
func (c *Core) Addr() string { return c.listener.Addr().String() }

// NATS is the URL at which edges connect.
func (c *Core) NATS() string { return c.bus.ClientURL() }

// Run serves the API, ingests and delivers until ctx ends; then it lets
// requests finish, commits what they wrote, and closes bus and store.
func (c *Core) Run(ctx context.Context) error {
	srv := httpapi.NewServer(c.node, httpapi.Options{Log: c.log})
	parts := []lifecycle.Part{
		{Name: "api", Run: func(ctx context.Context) error { return node.ServeAPI(ctx, srv, c.listener) }},
		{Name: "bus", Run: c.bus.Run},
		{Name: "delivery", Run: c.delivery.Run},
		{Name: "link", Run: c.runLink},
		{Name: "sync", Run: c.sync.Run},
		{Name: "claims", Run: (&claims{node: c.node, bus: c.bus, log: c.log, ready: c.caughtUp}).Run},
		{Name: "signals", Run: c.signals.Run},
	}
	if c.hasPeers() {
		parts = append(parts, lifecycle.Part{Name: "peers", Run: c.meetPeers})
	}
	for _, g := range c.ingests {
		parts = append(parts, lifecycle.Part{Name: fmt.Sprintf("ingest %d", g.partition), Run: func(ctx context.Context) error {
			if err := c.bus.WaitReady(ctx); err != nil {
				return err
			}
			return g.Run(ctx)
		}})
	}
	c.log.Info("core node runs", slog.String("node", c.cfg.Node), slog.String("api", c.Addr()),
		slog.String("nats", c.NATS()), slog.Int("nodes", c.cfg.Nodes()))
	return c.node.Around(ctx, parts...)
}

func (c *Core) runLink(ctx context.Context) error {
	take := func(_, _ string, data []byte) { c.sync.Receive(ctx, data) }
	for _, subject := range []string{protocol.ReceiptSubject(c.cfg.Node), protocol.DeliverSubject(c.cfg.Node)} {
		cancel, err := c.link.Subscribe(subject, take)
		if err != nil {
			return err
		}
		defer cancel()
	}
	return c.link.Run(ctx)
}

// hasPeers reports whether there are other core nodes.
func (c *Core) hasPeers() bool { return c.cfg.Nodes() > 1 }

// Pauses between questions for the other core nodes: until they are known and
// the streams are read, and then.
const (
	meetRetry = 100 * time.Millisecond
	meetEvery = time.Minute
)

// meetPeers tells the way up who the other core nodes are, and when the streams
// have been read.
func (c *Core) meetPeers(ctx context.Context) error {
	if err := c.bus.WaitReady(ctx); err != nil {
		return err
	}
	pause := meetRetry
	for {
		peers, err := c.bus.PeerNames(ctx)
		if err != nil {
			c.log.Debug("other core nodes not known", slog.Any("error", err))
		} else if c.sync.Meet(peers); c.caughtUp() {
			c.sync.CaughtUp()
			pause = meetEvery
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// admits reports whether a node's attach may be granted now.
func (c *Core) admits(node string) bool {
	return c.caughtUp() && (!c.hasPeers() || c.sync.Admits(node))
}

// caughtUp reports whether each stream was read to where it ended at the start.
func (c *Core) caughtUp() bool {
	return !slices.ContainsFunc(c.ingests, func(g *ingest) bool { return !g.caughtUp() })
}

func (c *Core) onFact(f protocol.Fact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f := f.(type) {
	case protocol.NodeAttached:
		c.attached[f.Node] = true
		c.log.Info("node attached", slog.String("node", f.Node))
	case protocol.NodeGone:
		if f.Reason != "replaced" {
			delete(c.attached, f.Node)
		}
		c.log.Info("node gone", slog.String("node", f.Node), slog.String("reason", f.Reason))
	case protocol.AttachDenied:
		c.log.Warn("attach refused", slog.String("node", f.Node), slog.String("code", f.Code.String()))
	case protocol.CloneSuspected:
		c.log.Error("two running nodes use one name", slog.String("node", f.Node))
	case protocol.Equivocation:
		c.log.Error("a feed has two contents; its origin is fenced, the evidence is kept",
			slog.String("space", f.Space), slog.String("origin", string(f.Origin)), slog.Uint64("seq", uint64(f.Seq)))
	}
}

// report adds the core's part to the node's status.
func (c *Core) report(st *httpapi.Status) {
	cs := &httpapi.CoreStatus{Stores: c.cfg.Nodes(), StoresRequired: c.cfg.Required(), Attached: []string{}}
	c.mu.Lock()
	for name := range c.attached {
		cs.Attached = append(cs.Attached, name)
	}
	c.mu.Unlock()
	sort.Strings(cs.Attached)
	streams := c.bus.Streams()
	cs.Quorum = len(streams) == len(c.ingests)
	for _, s := range streams {
		info := httpapi.StreamInfo{Name: s.Stream, Last: s.Last, Leader: s.Leader,
			Applied: c.ingests[s.Partition].applied.Load()}
		cs.Quorum = cs.Quorum && s.Leader != ""
		cs.Streams = append(cs.Streams, info)
	}
	st.Core = cs
	if !cs.Quorum {
		st.Degraded = append(st.Degraded, httpapi.Degradation{Name: "no_quorum", Since: time.Now().UTC(),
			Detail: "a stream has no leader; writes are kept and sent when there is one"})
	}
}
