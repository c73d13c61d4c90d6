// Command causeway keeps sessions of conversations at the edge and syncs them
// with a core cluster. This package is the only place that knows arguments,
// files, signals and exit codes; each subcommand has a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/causeway-sync/causeway/internal/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong arguments or configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// streams are where a command reads and writes. Results go to out, everything
// else to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// command is a subcommand.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, std streams) error
}

func commands() []command {
	type nodeRun = func(ctx context.Context, args []string, stdout, stderr io.Writer) error
	node := func(run nodeRun) func(context.Context, []string, streams) error {
		return func(ctx context.Context, args []string, std streams) error { return run(ctx, args, std.out, std.err) }
	}
	return []command{
		{"dev", "run core nodes and edges in one process, to try things out", node(runDev)},
		{"edge", "run an edge", node(runEdge)},
		{"core", "run a core node", node(runCore)},
		{"session", "create, show, list and change sessions", runSession},
		{"import", "write recorded conversations into a node", runImport},
		{"export", "write a node's conversations into a file", runExport},
		{"text", "replay recorded editing histories", runText},
		{"sim", "put clusters through faults, in virtual time or live", runSim},
		{"status", "show the state of a node", runStatus},
		{"version", "show which causeway this is", runVersion},
	}
}

// usageError is a mistake in the arguments or the configuration: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef makes a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errShown says that the flag package has told the person already.
var errShown = errors.New("usage was shown")

// run carries out one command line and gives the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := dispatch(ctx, commands(), "causeway", args, streams{stdin, stdout, stderr})
	return exitCode(ctx, err, stderr)
}

func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if !errors.Is(err, errShown) {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(stderr, "causeway:", strings.TrimSpace(line))
		}
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*config.FieldError](err); ok {
		return exitUsage
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "causeway: stopped")
	}
	return exitFailed
}

// dispatch runs the command that args name, of the commands of prefix.
func dispatch(ctx context.Context, known []command, prefix string, args []string, std streams) error {
	if len(args) == 0 {
		showCommands(std.err, prefix, known)
		return usageError{errShown}
	}
	name := args[0]
	switch name {
	case "help", "-h", "-help", "--help":
		showCommands(std.out, prefix, known)
		return nil
	}
	names := make([]string, len(known))
	for i, c := range known {
		if names[i] = c.name; c.name == name {
			return c.run(ctx, args[1:], std)
		}
	}
	return usagef("%s has no command %q; there are %s", prefix, name, strings.Join(names, ", "))
}

func showCommands(w io.Writer, prefix string, known []command) {
	fmt.Fprintf(w, "Usage: %s COMMAND [flags]\n\n", prefix)
	for _, c := range known {
		fmt.Fprintf(w, "  %-11s %s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, "\n%s COMMAND --help shows the flags of a command.\n", prefix)
}

// newFlags begins the flags of a subcommand; form is what stands behind its
// name, like "[flags] FILE…".
func newFlags(name, form string, std streams) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(std.err)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "Usage: causeway %s %s\n\n", name, form)
		fs.PrintDefaults()
	}
	return fs
}

// parseFlags parses arguments that are flags only.
func parseFlags(fs *flag.FlagSet, args []string) error {
	rest, err := parseArgs(fs, args, 0, 0)
	if err == nil && len(rest) > 0 {
		return usagef("%s: unexpected %q", fs.Name(), rest[0])
	}
	return err
}

// parseArgs parses flags and, anywhere between them, from least to most other
// arguments, which it gives back. most -1 means any number. After "--"
// everything is an argument.
func parseArgs(fs *flag.FlagSet, args []string, least, most int) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usageError{errShown}
		}
		left := fs.Args()
		if taken := len(args) - len(left); taken > 0 && args[taken-1] == "--" {
			rest = append(rest, left...)
			break
		}
		if len(left) == 0 {
			break
		}
		rest, args = append(rest, left[0]), left[1:]
	}
	if len(rest) < least {
		return nil, usagef("%s: an argument is missing; see causeway %s --help", fs.Name(), fs.Name())
	}
	if most >= 0 && len(rest) > most {
		return nil, usagef("%s: unexpected %q; see causeway %s --help", fs.Name(), rest[most], fs.Name())
	}
	return rest, nil
}
