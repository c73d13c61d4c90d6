package live_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/edge"
	"github.com/causeway-sync/causeway/internal/config"
)

// nodeVariable has the test binary be causeway instead of running tests: its
// arguments are then those of causeway edge or causeway core. So the race
// detector watches the nodes too.
const nodeVariable = "CAUSEWAY_LIVE_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(nodeVariable) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := beNode(ctx, os.Args[1], os.Args[2:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "causeway:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type node interface{ Run(context.Context) error }

func beNode(ctx context.Context, name string, args []string) (err error) {
	var n node
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	switch name {
	case "core":
		cfg := core.DefaultConfig()
		if err := parse(args, &cfg); err != nil {
			return err
		}
		n, err = core.Open(ctx, cfg, "test", log)
	case "edge":
		cfg := edge.DefaultConfig()
		if err := parse(args, &cfg); err != nil {
			return err
		}
		n, err = edge.Open(ctx, cfg, "test", log)
	default:
		return fmt.Errorf("there is no command %q here", name)
	}
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

func parse[C interface{ Validate() error }](args []string, cfg *C) error {
	fs := flag.NewFlagSet("node", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	flags := config.Bind(fs, cfg)
	if err := fs.Parse(args); err != nil {
		return err
	}
	if err := flags.Apply(cfg); err != nil {
		return err
	}
	return (*cfg).Validate()
}
