package store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Profile chooses how much memory the store may use.
type Profile uint8

// The profiles.
const (
	// EdgeProfile keeps payloads in the value log and memory small: about
	// 30 MB anonymous at moderate load.
	EdgeProfile Profile = iota
	// CoreProfile has big write buffers and bigger transactions.
	CoreProfile
)

// Options configure a [Store]. Begin with [DefaultOptions].
type Options struct {
	// Dir holds everything; it is made if absent. No two processes can use it.
	Dir string
	// Profile chooses the memory use.
	Profile Profile
	// Log receives what the store and Badger have to say. Nil means silence.
	Log *slog.Logger
	// ReserveBytes is the free space below which Intake writes are refused;
	// Sync writes go on until half of it. 0 switches the check off.
	// Default 64 MiB at the edge, 512 MiB at the core.
	ReserveBytes uint64
	// MaxGroupOps is how many Update calls share one commit. Default 512.
	MaxGroupOps int
	// MaxGroupBytes closes a group when its keys and values come to it. One
	// call may be bigger. Default 1 MiB at the edge, 4 MiB at the core.
	MaxGroupBytes int
	// CollectEvery is how often space is reclaimed from the value log; 0 never.
	// Default 5 minutes.
	CollectEvery time.Duration
	// Free gives the bytes free for Dir. Nil asks the file system.
	Free func() (uint64, error)
	// NoHighWater leaves the high-water file alone, to measure what it costs.
	// Lost commits then go unnoticed.
	NoHighWater bool
}

// DefaultOptions returns the options for an edge node at dir.
func DefaultOptions(dir string) Options {
	return Options{
		Dir:           dir,
		Profile:       EdgeProfile,
		ReserveBytes:  64 << 20,
		MaxGroupOps:   512,
		MaxGroupBytes: 1 << 20,
		CollectEvery:  5 * time.Minute,
	}
}

// CoreOptions returns the options for a core node at dir.
func CoreOptions(dir string) Options {
	o := DefaultOptions(dir)
	o.Profile = CoreProfile
	o.ReserveBytes = 512 << 20
	o.MaxGroupBytes = 4 << 20
	return o
}

// Validate reports everything that is wrong with o.
func (o Options) Validate() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("store.dir: got nothing, want a directory"))
	}
	if o.Profile > CoreProfile {
		errs = append(errs, fmt.Errorf("store.profile: got %d, want EdgeProfile or CoreProfile", o.Profile))
	}
	if o.MaxGroupOps < 1 {
		errs = append(errs, fmt.Errorf("store.max_group_ops: got %d, want at least 1", o.MaxGroupOps))
	}
	if o.MaxGroupBytes < 1 {
		errs = append(errs, fmt.Errorf("store.max_group_bytes: got %d, want at least 1", o.MaxGroupBytes))
	}
	if o.CollectEvery < 0 {
		errs = append(errs, fmt.Errorf("store.collect_every: got %v, want 0 or more", o.CollectEvery))
	}
	return errors.Join(errs...)
}
