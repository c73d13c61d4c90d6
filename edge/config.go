package edge

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/internal/node"
	"github.com/causeway-sync/causeway/session"
)

// Config is what an edge needs to run. [DefaultConfig] is the only home of
// defaults.
type Config struct {
	// Node is the edge's name, unique in the cluster: "store-42-till-1".
	Node string `yaml:"node" help:"name of the node, unique in the cluster"`
	// ClusterName is the name that edge and core must share.
	ClusterName string `yaml:"cluster_name" help:"name that edge and core share"`
	// Data is the directory of the store. It must not be shared or copied
	// while in use; a restored copy is noticed and gets a new origin.
	Data string `yaml:"data" help:"directory of the store"`
	// API is where the HTTP API listens, HOST:PORT.
	API string `yaml:"api" help:"where the HTTP API listens, HOST:PORT"`
	// Gossip is where the ring of neighbours will listen, HOST:PORT. It is
	// checked and not used yet: discovery comes with its own issue.
	Gossip string `yaml:"gossip" help:"where gossip will listen, HOST:PORT; taken and checked, not used yet"`
	// Core lists NATS addresses of core nodes, nats://HOST:PORT; any of them
	// will do. Empty: the edge works alone.
	Core []string `yaml:"core" help:"NATS addresses of core nodes, nats://HOST:PORT with commas; none: the edge works alone"`
	// Spaces that this edge carries; "default" always, "*" for every space.
	Spaces []string `yaml:"spaces" help:"spaces that the edge carries, with commas; * is every space"`
	// Insecure allows listeners on addresses other than loopback although
	// nothing protects them yet.
	Insecure bool `yaml:"insecure" help:"allow listeners on other addresses than loopback, with nothing to protect them"`
	// Compress says when frames are compressed: "auto" above 5 ms of round
	// trip, "on", "off".
	Compress string `yaml:"compress" help:"when frames are compressed: auto, on or off"`
	// CoreTimeout is how long a write that asks for level core waits before it
	// is answered as local and degraded. Longer waits hide short cuts from
	// clients, shorter ones answer sooner when the link is down.
	CoreTimeout config.Duration `yaml:"core_timeout" help:"how long a write at level core waits for the quorum"`
	// Reserve is the free disk space below which new writes are refused, so
	// that the store can still sync and close: 64MB holds about an hour of a
	// busy edge.
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

// DefaultConfig works on a developer's machine without a file.
func DefaultConfig() Config {
	return Config{
		Node: "edge-1", ClusterName: "causeway", Data: "data/edge-1",
		API: "127.0.0.1:7101", Core: []string{"nats://127.0.0.1:7201"}, Spaces: []string{"default"},
		Compress: "auto", CoreTimeout: config.Duration(2 * time.Second), Reserve: 64 << 20,
		Durability: []string{}, Limits: node.DefaultLimitsConfig(),
		Clock: node.DefaultClockConfig(), Log: "info",
	}
}

// Validate reports everything that is wrong at once and changes nothing.
func (c Config) Validate() error {
	errs := []error{
		config.CheckNode("node", c.Node), config.CheckNode("cluster_name", c.ClusterName), CheckSpaces(c.Spaces),
		config.CheckListen("api", c.API, c.Insecure), config.CheckListenOrNone("gossip", c.Gossip, c.Insecure),
		config.CheckRange("core_timeout", time.Duration(c.CoreTimeout), 50*time.Millisecond, time.Minute),
		config.CheckLog("log", c.Log), c.Clock.Validate(), c.Limits.Validate(),
	}
	if _, err := node.ParsePolicy(c.Durability); err != nil {
		errs = append(errs, err)
	}
	if c.Data == "" {
		errs = append(errs, &config.FieldError{Path: "data", Got: `""`, Rule: "a directory"})
	}
	for i, addr := range c.Core {
		if !strings.HasPrefix(addr, "nats://") {
			errs = append(errs, &config.FieldError{
				Path: fmt.Sprintf("core[%d]", i), Got: fmt.Sprintf("%q", addr), Rule: "nats://HOST:PORT"})
		}
	}
	switch c.Compress {
	case "auto", "on", "off":
	default:
		errs = append(errs, &config.FieldError{Path: "compress", Got: fmt.Sprintf("%q", c.Compress), Rule: "auto, on or off"})
	}
	return errors.Join(errs...)
}

// CheckSpaces checks a list of spaces.
func CheckSpaces(spaces []string) error {
	var errs []error
	for i, s := range spaces {
		if s != node.AllSpaces && !session.ValidName(s) {
			errs = append(errs, &config.FieldError{Path: fmt.Sprintf("spaces[%d]", i), Got: fmt.Sprintf("%q", s),
				Rule: `"*", or letters, digits and ._~:- beginning with a letter or digit, at most 128`})
		}
	}
	return errors.Join(errs...)
}
