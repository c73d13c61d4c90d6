package core

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Sizes of the bus. A frame has at most 512 KiB; the stream's limit leaves room
// for headers, and one stored message in base64 still fits into a payload.
const (
	MaxPayloadBytes = 1 << 20
	maxStoredBytes  = 576 << 10
	dedupWindow     = 2 * time.Minute // an optimisation only: feed numbers make retries idempotent
	maxPartitions   = 256
)

// BusConfig is what the embedded NATS server needs.
type BusConfig struct {
	// Name of the core node, unique in the cluster. A node whose directory was
	// wiped needs a new name: under the old one it could vote for a state that
	// it no longer has.
	Name string
	// Cluster is the same at all core nodes; nodes of other clusters are refused.
	Cluster string
	// Dir is where streams are kept. It belongs to this node alone.
	Dir string
	// Listen is host:port for edges; port 0 takes a free one.
	Listen string
	// ClusterListen is host:port for the other core nodes. Empty for one node.
	ClusterListen string
	// Peers are the ClusterListen addresses of the cluster; this node's own may
	// be among them.
	Peers []string
	// Replicas is the number of core nodes: 1, 3 or 5.
	Replicas int
	// Partitions is the number of streams, chosen when the cluster is made.
	Partitions int
	// MaxStoreBytes bounds all streams of this server together; each partition
	// gets its share, and then refuses new frames.
	MaxStoreBytes int64
	// MaxAge is how long frames stay in the streams. A core node that was away
	// for longer is filled from the others and from the edges instead.
	MaxAge time.Duration
	// Log takes the server's messages too.
	Log *slog.Logger
}

// DefaultBusConfig is one core node on a free loopback port. Name, Cluster and
// Dir are left to the caller.
func DefaultBusConfig() BusConfig {
	return BusConfig{
		Listen:        "127.0.0.1:0",
		Replicas:      1,
		Partitions:    4,
		MaxStoreBytes: 16 << 30,
		MaxAge:        30 * 24 * time.Hour,
	}
}

// Validate reports everything that is wrong at once.
func (c BusConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("core: bus: "+format, args...)) }
	if c.Name == "" || strings.ContainsAny(c.Name, " \t\r\n") {
		bad("name: got %q, want a name without spaces", c.Name)
	}
	if c.Dir == "" {
		bad("directory: got none, want a path")
	}
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		bad("replicas: got %d, want 1, 3 or 5", c.Replicas)
	}
	if c.Partitions < 1 || c.Partitions > maxPartitions {
		bad("partitions: got %d, want 1 to %d", c.Partitions, maxPartitions)
	}
	if c.MaxStoreBytes < int64(max(c.Partitions, 1))*maxStoredBytes {
		bad("store size: got %d bytes for %d partitions, want at least %d each",
			c.MaxStoreBytes, c.Partitions, maxStoredBytes)
	}
	if c.MaxAge <= dedupWindow {
		bad("age: got %v, want more than %v", c.MaxAge, dedupWindow)
	}
	if _, _, err := splitAddress(c.Listen); err != nil {
		bad("nats address: %w", err)
	}
	errs = append(errs, c.validateCluster()...)
	return errors.Join(errs...)
}

func (c BusConfig) validateCluster() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("core: bus: "+format, args...)) }
	for _, p := range c.Peers {
		if _, port, err := splitAddress(p); err != nil {
			bad("peer: %w", err)
		} else if port == 0 {
			bad("peer %s: want a fixed port", p)
		}
	}
	if c.Replicas <= 1 {
		if len(c.Peers) > 0 {
			bad("peers: got %d with replicas 1, want replicas 3 or 5", len(c.Peers))
		}
		return errs
	}
	if c.Cluster == "" || strings.ContainsAny(c.Cluster, " \t\r\n") {
		bad("cluster: got %q, want a name without spaces", c.Cluster)
	}
	_, port, err := splitAddress(c.ClusterListen)
	switch {
	case err != nil:
		bad("cluster address: %w", err)
	case port == 0:
		bad("cluster address %s: want a fixed port", c.ClusterListen)
	case len(c.routes()) != c.Replicas:
		bad("peers: got a cluster of %d addresses, want as many as replicas (%d)", len(c.routes()), c.Replicas)
	}
	return errs
}

// routes are the cluster addresses of all nodes, this one included: the server
// takes the expected size of the cluster from their number.
func (c BusConfig) routes() []string {
	r := append([]string{c.ClusterListen}, c.Peers...)
	slices.Sort(r)
	return slices.Compact(r)
}

// splitAddress splits host:port; an empty host is an error, so that nobody
// listens on all interfaces by leaving it out.
func splitAddress(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("got %q, want host:port", addr)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 || host == "" {
		return "", 0, fmt.Errorf("got %q, want host:port", addr)
	}
	return host, port, nil
}

func (c BusConfig) serverOptions() (*server.Options, error) {
	host, port, err := splitAddress(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("core: nats address: %w", err)
	}
	o := &server.Options{
		ServerName:             c.Name,
		Host:                   host,
		Port:                   serverPort(port),
		NoLog:                  true, // the adapter is set on the server itself
		NoSigs:                 true,
		MaxPayload:             MaxPayloadBytes,
		WriteDeadline:          10 * time.Second,
		PingInterval:           20 * time.Second,
		MaxPingsOut:            2,
		LameDuckDuration:       30 * time.Second,
		JetStream:              true,
		StoreDir:               c.Dir,
		SyncAlways:             true,
		SyncInterval:           2 * time.Minute,
		JetStreamMaxStore:      c.MaxStoreBytes,
		JetStreamMaxMemory:     64 << 20,
		DisableJetStreamBanner: true,
	}
	// Clients must not learn addresses that lead around a proxy on their way.
	o.Cluster.NoAdvertise = true
	if c.Replicas <= 1 {
		return o, nil
	}
	chost, cport, err := splitAddress(c.ClusterListen)
	if err != nil {
		return nil, fmt.Errorf("core: cluster address: %w", err)
	}
	o.Cluster.Name = c.Cluster
	o.Cluster.Host = chost
	o.Cluster.Port = cport
	o.Cluster.Compression.Mode = server.CompressionOff
	o.Cluster.PingInterval = 5 * time.Second
	o.Cluster.MaxPingsOut = 2
	for _, r := range c.routes() {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: r})
	}
	return o, nil
}

// serverPort translates "any free port" into the server's word for it.
func serverPort(port int) int {
	if port == 0 {
		return server.RANDOM_PORT
	}
	return port
}

// inboxToken makes a node name fit for one token of a subject.
func inboxToken(name string) string {
	return strings.NewReplacer(".", "%2E", "*", "%2A", ">", "%3E").Replace(name)
}
