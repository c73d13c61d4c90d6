// Command hunt looks for the seeds that catch each seeded mistake and writes
// down what it found: see package mistakes. It exits with 1 if a mistake is not
// caught, or a harmless change is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim/mistakes"
)

func main() {
	err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	root, only, out, docs string
	seeds, harmless       uint64
	more                  int
	limit                 time.Duration
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("hunt", flag.ContinueOnError)
	flags.StringVar(&o.root, "root", ".", "directory of the module")
	flags.StringVar(&o.only, "only", "", "mistakes to hunt, separated by commas; empty: all, and write down what was found")
	flags.StringVar(&o.out, "out", mistakes.CaughtFile, "file for what was found, below root")
	flags.StringVar(&o.docs, "docs", mistakes.DocsFile, "file for the table for people, below root")
	flags.Uint64Var(&o.seeds, "seeds", mistakes.MaxSeeds, "seeds to try for each mistake")
	flags.Uint64Var(&o.harmless, "harmless", 100, "seeds to try for each harmless change")
	flags.IntVar(&o.more, "more", 2, "further seeds to find that catch a mistake")
	flags.DurationVar(&o.limit, "limit", 30*time.Minute, "time for each mistake")
	if err := flags.Parse(args); err != nil {
		return err
	}
	list, err := mistakes.All()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mistakes")
	if err != nil {
		return err
	}
	err = hunt(ctx, &o, dir, list)
	return errors.Join(err, os.RemoveAll(dir))
}

func hunt(ctx context.Context, o *options, dir string, list []mistakes.Mistake) error {
	r, err := mistakes.Build(ctx, o.root, dir, list)
	if err != nil {
		return err
	}
	h := mistakes.Hunt{First: 1, More: o.more, MoreWithin: 40}
	var caught []mistakes.Catch
	var wrong []error
	for _, m := range list {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), m.Name) || o.only == "" && m.Missed {
			continue
		}
		if h.Last = o.seeds; m.Harmless {
			h.Last = o.harmless
		}
		c, took, err := one(ctx, o, r, &h, m.Name)
		if err != nil {
			wrong = append(wrong, err)
		}
		fmt.Printf("%-32s %5d %v %q %q ignored %d, %v\n", m.Name, c.Needed, c.Seeds, c.Check, c.Text, c.Ignored, took)
		switch {
		case m.Harmless && c.Needed != 0:
			wrong = append(wrong, fmt.Errorf("%s is harmless, yet seed %d says %s: %s", m.Name, c.Seeds[0], c.Check, c.Text))
		case !m.Harmless && c.Needed == 0:
			wrong = append(wrong, fmt.Errorf("%s was not caught within %d seeds", m.Name, o.seeds))
		case !m.Harmless:
			caught = append(caught, c)
		}
	}
	if o.only == "" {
		wrong = append(wrong, mistakes.WriteCaught(o.root, o.out, caught), mistakes.WriteTable(o.root, o.docs, list, caught))
	}
	return errors.Join(wrong...)
}

func one(ctx context.Context, o *options, r *mistakes.Runner, h *mistakes.Hunt, name string) (mistakes.Catch, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	start := time.Now()
	c, err := h.For(ctx, r, name)
	return c, time.Since(start).Round(time.Millisecond), err
}
