package live

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
)

// Options say where and how a run takes place. The zero value works in a program
// that is causeway itself.
type Options struct {
	// Binary is the causeway program to run; empty: this one. Env is added to its
	// environment.
	Binary string
	Env    []string
	// Dir is where the directory of the run is made; empty: the system's for
	// temporary files. Keep leaves it there for a look at data and logs.
	Dir  string
	Keep bool
	// Netns puts each node into a network namespace of its own. It needs root, ip,
	// and nft or iptables.
	Netns bool
	// SkipUnsupported leaves out what cannot be made live instead of refusing.
	SkipUnsupported bool
	// Speed makes the times of the plan pass so many times faster: those of faults
	// and calls and the idle time of sessions, not the delays of links. Zero: 1.
	Speed float64
	// MaxLength bounds the length of the plan after Speed; zero: 15 minutes.
	MaxLength time.Duration
	// Patience bounds every wait for a process to start or to stop; zero: 1 minute.
	Patience time.Duration
	// Log is told what happens as it happens; nil: nobody.
	Log *slog.Logger
}

const (
	defaultMaxLength = 15 * time.Minute
	defaultPatience  = time.Minute
	defaultSettle    = 2 * time.Minute
)

func (o Options) withDefaults() (Options, error) {
	if o.Binary == "" {
		path, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find the causeway program: %w", err)
		}
		o.Binary = path
	}
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.MaxLength == 0 {
		o.MaxLength = defaultMaxLength
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// UnfitError says why a plan cannot be carried out here, before anything was
// started. It is a matter of configuration: nothing failed.
type UnfitError struct {
	Reasons []string // each for people
	Hint    string   // what to do; may be empty
}

func (e *UnfitError) Error() string {
	text := "the scenario cannot be made live: " + strings.Join(e.Reasons, "; ")
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}
