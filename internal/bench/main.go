package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run of the program.
type bench struct {
	table
	dir    string        // for all data; removed at the end
	binary string        // causeway, stripped
	data   string        // directory of recorded conversations
	rounds int           // of each measurement; the median counts
	span   time.Duration // of one measurement of throughput
}

// line measures one or more budgets that belong together.
type line struct {
	name string
	run  func(context.Context, *bench) error
}

func lines() []line {
	return []line{
		{"1", appendLine},
		{"2", committerLine},
		{"3", oneCoreLine},
		{"4", threeCoreLine},
		{"5", ingestLine},
		{"6", footprintLine},
		{"7", batchLine},
		{"8", importLine},
		{"9", textLine},
		{"10", pushLine},
		{"11", pipelineLine},
		{"12", fanOutLine},
		{"overload", overloadLine},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) == 2 && args[0] == bareRole {
		return serveBare(ctx, args[1])
	}
	b := &bench{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := fs.String("only", "", "comma-separated numbers of the lines to measure; all when empty")
	fs.IntVar(&b.rounds, "rounds", 3, "times that each figure is measured; the median counts")
	fs.DurationVar(&b.span, "span", 1500*time.Millisecond, "length of one measurement of throughput")
	fs.StringVar(&b.data, "data", conversations(), "directory of recorded conversations")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "causeway-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	for _, l := range lines() {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), l.name) {
			continue
		}
		began := time.Now()
		if lineErr := l.run(ctx, b); lineErr != nil {
			err = errors.Join(err, fmt.Errorf("line %s: %w", l.name, lineErr))
		}
		progress("line %s took %.1f s", l.name, time.Since(began).Seconds())
	}
	return errors.Join(err, b.print(os.Stdout))
}

// conversations is where recorded conversations lie, as far as we know.
func conversations() string {
	for _, dir := range []string{os.Getenv("CAUSEWAY_DATA"), "../shared/data"} {
		if dir == "" {
			continue
		}
		for _, d := range []string{dir, filepath.Join(dir, "conversations")} {
			if files, err := filepath.Glob(filepath.Join(d, "*.jsonl*")); err == nil && len(files) > 0 {
				return d
			}
		}
	}
	return ""
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
