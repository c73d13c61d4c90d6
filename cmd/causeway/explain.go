package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/causeway-sync/causeway/session"
)

// sessionExplain shows why each message stands where it does.
func sessionExplain(ctx context.Context, args []string, std streams) error {
	var node nodeFlags
	fs := newFlags("session explain", "[flags] SESSION", std)
	node.bindSpace(fs)
	last := fs.Int("last", 20, "messages to explain, counted from the end; at most 1000")
	asJSON := fs.Bool("json", false, "print JSON")
	rest, err := parseArgs(fs, args, 1, 1)
	if err != nil {
		return err
	}
	c, err := node.client(1)
	if err != nil {
		return err
	}
	msgs, err := c.Explain(ctx, node.space, rest[0], *last)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(std.out, msgs)
	}
	return printPlacings(std.out, msgs)
}

func printPlacings(out io.Writer, msgs []session.Message) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MESSAGE\tOP\tSTAMP\tCLOCK\tWHY HERE\tDETAIL")
	for _, m := range msgs {
		p := m.Placing
		if p == nil {
			return fmt.Errorf("message %s: the node is too old to explain", plain(m.ID))
		}
		clock := p.Trust
		if p.BoundMS != nil {
			clock += fmt.Sprintf(" ±%d ms", *p.BoundMS)
		}
		detail := p.Detail
		if p.Path != "" {
			detail += " (" + p.Path + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s+%d\t%s\t%s\t%s\n", plain(m.ID), plain(p.Op),
			p.Stamp.UTC().Format("2006-01-02T15:04:05.000Z"), p.Count, clock, p.Why, plain(detail))
	}
	return w.Flush()
}
