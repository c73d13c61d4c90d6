package core

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/internal/node"
)

// Config is what a core node needs to run. [DefaultConfig] is the only home of
// defaults.
type Config struct {
	// Node is the core node's name, unique in the cluster: "core-1".
	Node string `yaml:"node" help:"name of the node, unique in the cluster"`
	// ClusterName is the name that all core nodes and edges share.
	ClusterName string `yaml:"cluster_name" help:"name that edge and core share"`
	// Data is the directory of the store and of the streams.
	Data string `yaml:"data" help:"directory of the store"`
	// API is where the HTTP API listens, HOST:PORT.
	API string `yaml:"api" help:"where the HTTP API listens, HOST:PORT"`
	// Gossip is where the ring of neighbours will listen, HOST:PORT. It is
	// checked and not used yet: discovery comes with its own issue.
	Gossip string `yaml:"gossip" help:"where gossip will listen, HOST:PORT; taken and checked, not used yet"`
	// NATS is where edges connect, HOST:PORT.
	NATS string `yaml:"nats" help:"where edges connect, HOST:PORT"`
	// Cluster is where the other core nodes connect, HOST:PORT. Not used by a
	// core of one node.
	Cluster string `yaml:"cluster" help:"where the other core nodes connect, HOST:PORT"`
	// Peers are the Cluster addresses of all core nodes: none for one node,
	// three or five otherwise (this node's own may be left out).
	Peers []string `yaml:"peers" help:"cluster addresses of all core nodes, HOST:PORT with commas; none: a core of one"`
	// Partitions is the number of op streams, chosen when the cluster is made.
	Partitions int `yaml:"partitions" help:"number of op streams, chosen when the cluster is made"`
	// StreamBytes bounds the op streams of this node together. When they are
	// full the core refuses frames and the edges keep theirs.
	StreamBytes config.Bytes `yaml:"stream_bytes" help:"size of the op streams of this node together"`
	// StreamAge is how long frames stay in the streams; a core node that was
	// away for longer is filled by its peers and the edges.
	StreamAge config.Duration `yaml:"stream_age" help:"how long frames stay in the op streams"`
	// Insecure allows listeners on addresses other than loopback although
	// nothing protects them yet.
	Insecure bool `yaml:"insecure" help:"allow listeners on other addresses than loopback, with nothing to protect them"`
	// CoreTimeout is how long a write that asks for level core waits for the
	// quorum before it is answered as local and degraded.
	CoreTimeout config.Duration `yaml:"core_timeout" help:"how long a write at level core waits for the quorum"`
	// Reserve is the free disk space below which new writes are refused.
	Reserve config.Bytes `yaml:"reserve" help:"free disk space below which writes are refused"`
	// Durability says which writes wait for the core's quorum although they do
	// not ask for it: SPACE/ROLE=LEVEL, the first rule that matches counts, else
	// local. ROLE is that of a message, or open, state, context, text, tool,
	// erase, or *. "bank-*/*=core" makes everything firm in those spaces.
	Durability []string `yaml:"durability" help:"which writes wait for the quorum unasked, SPACE/ROLE=LEVEL with commas"`
	// Limits bounds what clients may ask of the node.
	Limits node.LimitsConfig `yaml:"limits"`
	// Clock says where the node gets the time from.
	Clock node.ClockConfig `yaml:"clock"`
	// Log is "debug", "info", "warn" or "error".
	Log string `yaml:"log" help:"debug, info, warn or error"`
}

// DefaultConfig is one core node on a developer's machine.
func DefaultConfig() Config {
	return Config{
		Node: "core-1", ClusterName: "causeway", Data: "data/core-1",
		API: "127.0.0.1:7001", NATS: "127.0.0.1:7201", Cluster: "127.0.0.1:7301",
		Partitions: 4, StreamBytes: 16 << 30, StreamAge: config.Duration(30 * 24 * time.Hour),
		CoreTimeout: config.Duration(2 * time.Second), Reserve: 256 << 20,
		Durability: []string{}, Limits: node.DefaultLimitsConfig(),
		Clock: node.DefaultClockConfig(), Log: "info",
	}
}

// Validate reports everything that is wrong at once and changes nothing.
func (c Config) Validate() error {
	bad := func(path, got, rule string) error { return &config.FieldError{Path: path, Got: got, Rule: rule} }
	errs := []error{
		config.CheckListen("api", c.API, c.Insecure),
		config.CheckListen("nats", c.NATS, c.Insecure),
		config.CheckListenOrNone("gossip", c.Gossip, c.Insecure),
		config.CheckNode("node", c.Node), config.CheckNode("cluster_name", c.ClusterName),
		config.CheckRange("core_timeout", time.Duration(c.CoreTimeout), 50*time.Millisecond, time.Minute),
		config.CheckLog("log", c.Log), c.Clock.Validate(), c.Limits.Validate(),
	}
	if _, err := node.ParsePolicy(c.Durability); err != nil {
		errs = append(errs, err)
	}
	if c.Data == "" {
		errs = append(errs, bad("data", `""`, "a directory"))
	}
	if n := c.Nodes(); n != 1 && n != 3 && n != 5 {
		errs = append(errs, bad("peers", fmt.Sprintf("a cluster of %d nodes", n), "1, 3 or 5 nodes, this one included"))
	} else if n > 1 {
		errs = append(errs, config.CheckListen("cluster", c.Cluster, c.Insecure))
	}
	for i, p := range c.Peers {
		if _, _, err := net.SplitHostPort(p); err != nil {
			errs = append(errs, bad(fmt.Sprintf("peers[%d]", i), fmt.Sprintf("%q", p), "HOST:PORT"))
		}
	}
	if c.Partitions < 1 || c.Partitions > maxPartitions {
		errs = append(errs, bad("partitions", fmt.Sprint(c.Partitions), fmt.Sprintf("1 to %d", maxPartitions)))
	}
	return errors.Join(errs...)
}

// Nodes is the size of the cluster.
func (c Config) Nodes() int {
	if len(c.Peers) == 0 {
		return 1
	}
	if slices.Contains(c.Peers, c.Cluster) {
		return len(c.Peers)
	}
	return len(c.Peers) + 1
}

// Required is how many core stores must hold an op before its origin may let
// go of it: a majority.
func (c Config) Required() int { return c.Nodes()/2 + 1 }
