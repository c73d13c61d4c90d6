package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/internal/intake"
)

// LimitsConfig bounds what clients may ask of a node. Rates are of writes; zero
// is no limit.
type LimitsConfig struct {
	// NodeRate is how many writes a second the node takes, NodeBurst how many at
	// once after a pause: 500 and 1000 suit a till that also imports.
	NodeRate  float64 `yaml:"node_rate" help:"writes a second that the node takes; 0: no limit"`
	NodeBurst int     `yaml:"node_burst" help:"writes that the node takes at once after a pause"`
	// SpaceRate and SpaceBurst are the same for each space.
	SpaceRate  float64 `yaml:"space_rate" help:"writes a second in one space; 0: no limit"`
	SpaceBurst int     `yaml:"space_burst" help:"writes in one space at once after a pause"`
	// ClientRate and ClientBurst are the same for each client: whoever writes
	// under one Causeway-Actor, or from one address without it.
	ClientRate  float64 `yaml:"client_rate" help:"writes a second of one client; 0: no limit"`
	ClientBurst int     `yaml:"client_burst" help:"writes of one client at once after a pause"`
	// Writes are carried out at a time. Imports fill five eighths of that,
	// backlog three eighths, so that live turns find room.
	Writes int `yaml:"writes" help:"writes that are carried out at a time"`
	// Waiting writes are kept beside them for MaxWait; then, or when there are
	// more, they are turned away with 503. A longer wait rides out longer bursts
	// and answers later under overload.
	Waiting int             `yaml:"waiting" help:"writes that wait for their turn"`
	MaxWait config.Duration `yaml:"max_wait" help:"how long a write waits for its turn"`
	// Memory that the process may take; 0 takes GOMEMLIMIT, or that of the
	// control group. With an eighth of it left writes are refused, with a quarter
	// left imports and backlog are.
	Memory config.Bytes `yaml:"memory" help:"memory that the process may take; 0: GOMEMLIMIT or that of the control group"`
}

// DefaultLimitsConfig limits no rates.
func DefaultLimitsConfig() LimitsConfig {
	return LimitsConfig{Writes: 256, Waiting: 1024, MaxWait: config.Duration(200 * time.Millisecond)}
}

// Validate reports everything that is wrong at once.
func (c LimitsConfig) Validate() error {
	var errs []error
	bad := func(path string, got any, rule string) {
		errs = append(errs, &config.FieldError{Path: "limits." + path, Got: fmt.Sprint(got), Rule: rule})
	}
	for _, q := range []struct {
		scope string
		rate  float64
		burst int
	}{{"node", c.NodeRate, c.NodeBurst}, {"space", c.SpaceRate, c.SpaceBurst}, {"client", c.ClientRate, c.ClientBurst}} {
		if !(q.rate >= 0 && q.rate <= 1e6) {
			bad(q.scope+"_rate", q.rate, "0 to 1000000")
		}
		if q.burst < 0 || q.burst > 1e6 {
			bad(q.scope+"_burst", q.burst, "0 to 1000000")
		}
		if q.rate > 0 && q.burst == 0 {
			bad(q.scope+"_burst", q.burst, "at least 1 beside a rate")
		}
	}
	if c.Writes < 1 || c.Writes > 1<<16 {
		bad("writes", c.Writes, "1 to 65536")
	}
	if c.Waiting < 0 || c.Waiting > 1<<20 {
		bad("waiting", c.Waiting, "0 to 1048576")
	}
	if err := config.CheckRange("limits.max_wait", time.Duration(c.MaxWait), 0, 10*time.Second); err != nil {
		errs = append(errs, err)
	}
	if c.Memory != 0 && c.Memory < 16<<20 {
		bad("memory", c.Memory, "0, or at least 16MiB")
	}
	return errors.Join(errs...)
}

func (c LimitsConfig) quotas() intake.Quotas {
	return intake.Quotas{
		intake.OfNode:   {Rate: c.NodeRate, Burst: c.NodeBurst},
		intake.OfSpace:  {Rate: c.SpaceRate, Burst: c.SpaceBurst},
		intake.OfClient: {Rate: c.ClientRate, Burst: c.ClientBurst},
	}
}

// ParsePolicy reads the rules of the durability policy.
func ParsePolicy(rules []string) (intake.Policy, error) {
	var p intake.Policy
	var errs []error
	for i, text := range rules {
		r, err := intake.ParseRule(text)
		if err != nil {
			errs = append(errs, &config.FieldError{Path: fmt.Sprintf("durability[%d]", i), Got: fmt.Sprintf("%q", text),
				Rule: "SPACE/ROLE=LEVEL, such as bank-*/assistant=core"})
		}
		p = append(p, r)
	}
	return p, errors.Join(errs...)
}
