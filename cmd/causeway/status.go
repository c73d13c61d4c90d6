package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/causeway-sync/causeway/internal/apiclient"
	"github.com/causeway-sync/causeway/internal/httpapi"
)

func runStatus(ctx context.Context, args []string, std streams) error {
	var node nodeFlags
	fs := newFlags("status", "[flags]", std)
	node.bind(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	c, err := node.client(1)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.Do(ctx, apiclient.Call{Method: http.MethodGet, Path: "/v1/status"}, &raw); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(std.out, raw)
	}
	var s httpapi.Status
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return printStatus(std.out, &s)
}

func printStatus(out io.Writer, s *httpapi.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, plain(fmt.Sprintf(format, args...)))
	}
	row("node", "%s (%s, cluster %s, causeway %s)", s.Node, s.Role, s.Cluster, s.Version)
	row("origin", "%s", s.Origin)
	row("started", "%s", printTime(s.Started))
	row("clock", "%s", s.Clock.Summary())
	if l := s.Link; l != nil {
		row("link", "%s", describeLink(l))
	}
	if c := s.Core; c != nil {
		row("core", "%d stores, %d required, quorum %t", c.Stores, c.StoresRequired, c.Quorum)
		row("attached", "%s", orDash(strings.Join(c.Attached, ", ")))
		for _, st := range c.Streams {
			row("stream", "%s: %d of %d applied, leader %s", st.Name, st.Applied, st.Last, orDash(st.Leader))
		}
	}
	row("store", "%d commits, %.1f GB free, %d repairs", s.Store.Commits, float64(s.Store.BytesFree)/1e9, s.Store.Repairs)
	for _, p := range s.Store.Problems {
		row("problem", "%s", p)
	}
	for _, d := range s.Degraded {
		row("degraded", "%s since %s: %s", d.Name, printTime(d.Since), d.Detail)
	}
	if len(s.Degraded) == 0 {
		row("degraded", "no")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(s.Spaces) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nSPACE\tSESSIONS\tOPS\tBACKLOG\tWAITING")
	for _, sp := range s.Spaces {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", plain(sp.Space), sp.Sessions, sp.Ops, sp.Backlog, sp.Waiting)
	}
	return w.Flush()
}

func describeLink(l *httpapi.LinkStatus) string {
	text := l.State
	if l.Core != "" {
		text += " to " + l.Core
	}
	if l.RTT != "" {
		text += ", round trip " + l.RTT
	}
	text += ", since " + printTime(l.Since)
	if l.LastSeen != nil && l.State != "attached" {
		text += ", core last seen " + l.LastSeen.Local().Format(time.DateTime)
	}
	if l.Refused != "" {
		text += ", refused: " + l.Refused
	}
	return text
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
