package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
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
	Node string `yaml:"node"`
	// ClusterName is the name that edge and core must share.
	ClusterName string `yaml:"cluster_name"`
	// Data is the directory of the store. It must not be shared or copied
	// while in use; a restored copy is noticed and gets a new origin.
	Data string `yaml:"data"`
	// API is where the HTTP API listens, HOST:PORT.
	API string `yaml:"api"`
	// Core lists NATS addresses of core nodes, nats://HOST:PORT; any of them
	// will do. Empty: the edge works alone.
	Core []string `yaml:"core"`
	// Spaces that this edge carries; "default" always, "*" for every space.
	Spaces []string `yaml:"spaces"`
	// Insecure allows listeners on addresses other than loopback although
	// nothing protects them yet.
	Insecure bool `yaml:"insecure"`
	// Compress says when frames are compressed: "auto" above 5 ms of round
	// trip, "on", "off".
	Compress string `yaml:"compress"`
	// CoreTimeout is how long a write that asks for level core waits before it
	// is answered as local and degraded. Longer waits hide short cuts from
	// clients, shorter ones answer sooner when the link is down.
	CoreTimeout config.Duration `yaml:"core_timeout"`
	// Reserve is the free disk space below which new writes are refused, so
	// that the store can still sync and close: 64MB holds about an hour of a
	// busy edge.
	Reserve config.Bytes `yaml:"reserve"`
	// Log is "debug", "info", "warn" or "error".
	Log string `yaml:"log"`
}

// DefaultConfig works on a developer's machine without a file.
func DefaultConfig() Config {
	return Config{
		Node: "edge-1", ClusterName: "causeway", Data: "data/edge-1",
		API: "127.0.0.1:7101", Core: []string{"nats://127.0.0.1:7201"}, Spaces: []string{"default"},
		Compress: "auto", CoreTimeout: config.Duration(2 * time.Second), Reserve: 64 << 20, Log: "info",
	}
}

var nodeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Validate reports everything that is wrong at once and changes nothing.
func (c Config) Validate() error {
	errs := []error{
		CheckNode("node", c.Node), CheckNode("cluster_name", c.ClusterName), CheckSpaces(c.Spaces),
		config.CheckListen("api", c.API, c.Insecure),
		CheckRange("core_timeout", time.Duration(c.CoreTimeout), 50*time.Millisecond, time.Minute),
		CheckLog(c.Log),
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

// CheckNode checks the name of a node or cluster.
func CheckNode(path, name string) error {
	if nodeName.MatchString(name) {
		return nil
	}
	return &config.FieldError{Path: path, Got: fmt.Sprintf("%q", name),
		Rule: "1 to 63 lower-case letters, digits and dashes, beginning with a letter or digit"}
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

// CheckRange checks a duration.
func CheckRange(path string, got, low, high time.Duration) error {
	if low <= got && got <= high {
		return nil
	}
	return &config.FieldError{Path: path, Got: got.String(), Rule: fmt.Sprintf("%s to %s", low, high)}
}

// CheckLog checks a log level.
func CheckLog(level string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return &config.FieldError{Path: "log", Got: fmt.Sprintf("%q", level), Rule: "debug, info, warn or error"}
	}
	return nil
}
