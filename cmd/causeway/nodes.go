package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/edge"
	"github.com/causeway-sync/causeway/internal/config"
)

func runEdge(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg := edge.DefaultConfig()
	if err := loadNode("edge", args, stderr, &cfg); err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	log, err := newLog(stderr, cfg.Log)
	if err != nil {
		return err
	}
	e, err := edge.Open(ctx, cfg, version(), log)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "edge %s answers at http://%s\n", cfg.Node, e.Addr())
	return e.Run(ctx)
}

func runCore(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg := core.DefaultConfig()
	if err := loadNode("core", args, stderr, &cfg); err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	log, err := newLog(stderr, cfg.Log)
	if err != nil {
		return err
	}
	c, err := core.Open(ctx, cfg, version(), log)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "core node %s answers at http://%s, edges connect to %s\n", cfg.Node, c.Addr(), c.NATS())
	return c.Run(ctx)
}

// loadNode reads the file that --config names into cfg, then the other flags
// over it.
func loadNode[T any](name string, args []string, stderr io.Writer, cfg *T) error {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	file := fs.String("config", "", "YAML file; flags win over it")
	flags := config.Bind(fs, cfg)
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	if *file != "" {
		if err := config.Load(*file, cfg); err != nil {
			return usageError{err}
		}
	}
	if err := flags.Apply(cfg); err != nil {
		return usageError{err}
	}
	return nil
}

func newLog(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{&config.FieldError{Path: "log", Got: fmt.Sprintf("%q", level), Rule: "debug, info, warn or error"}}
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}
