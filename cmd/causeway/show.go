package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/causeway-sync/causeway/internal/apiclient"
	"github.com/causeway-sync/causeway/session"
)

// table prints rows in columns.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer, columns ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t table) row(cells ...string) {
	for i := range cells {
		cells[i] = plain(cells[i])
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) flush() error { return t.w.Flush() }

// print shows a session for people.
func (s *shownSession) print(out io.Writer) error {
	d := &s.Session
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "session\t%s in %s\n", d.ID, d.Space)
	fmt.Fprintf(w, "state\t%s, order %s, %d messages\n", d.State, d.Order, d.MessageCount)
	fmt.Fprintf(w, "created\t%s, updated %s\n", printTime(d.CreatedAt), printTime(d.UpdatedAt))
	if d.ExpiresAt != nil {
		fmt.Fprintf(w, "expires\t%s\n", printTime(*d.ExpiresAt))
	}
	for _, k := range slices.Sorted(maps.Keys(d.Labels)) {
		fmt.Fprintf(w, "label\t%s\n", plain(k+"="+d.Labels[k]))
	}
	if c := string(d.Context); c != "" && c != "{}" {
		fmt.Fprintf(w, "context\t%s\n", plain(c))
	}
	if len(d.Texts) > 0 {
		fmt.Fprintf(w, "texts\t%s\n", plain(strings.Join(d.Texts, ", ")))
	}
	for _, c := range d.Conflicts {
		fmt.Fprintf(w, "conflict\t%s\n", plain(describeConflict(&c)))
	}
	fmt.Fprintf(w, "version\t%s\n", d.Version)
	if err := w.Flush(); err != nil {
		return err
	}
	if len(s.Messages) > 0 {
		fmt.Fprintln(out)
	}
	for i := range s.Messages {
		if err := printMessage(out, &s.Messages[i]); err != nil {
			return err
		}
	}
	return nil
}

func describeConflict(c *session.Conflict) string {
	others := make([]string, len(c.Others))
	for i := range c.Others {
		others[i] = describeVariant(&c.Others[i])
	}
	where := strings.TrimSpace(c.Kind + " " + c.Path)
	return where + ": " + describeVariant(&c.Shown) + " shown, beside " + strings.Join(others, ", ")
}

func describeVariant(v *session.Variant) string {
	value := string(v.Value)
	if v.Deleted {
		value = "(removed)"
	}
	return value + " by " + v.Origin
}

// printMessage shows a message in a line or more: time, author, content.
func printMessage(out io.Writer, m *session.Message) error {
	who := m.Role
	if m.Name != "" {
		who += " " + m.Name
	}
	var marks []string
	if m.EditedAt != nil {
		marks = append(marks, "edited")
	}
	if m.Redacted {
		marks = append(marks, "redacted")
	}
	if len(m.ToolCalls) > 0 {
		marks = append(marks, "calls "+string(m.ToolCalls))
	}
	text := contentText(m.Content)
	if len(marks) > 0 {
		text = strings.TrimSpace(text + " [" + strings.Join(marks, "; ") + "]")
	}
	_, err := fmt.Fprintf(out, "%s  %s  %s\n", printTime(m.At), plain(who+":"), plain(text))
	return err
}

// contentText gives a string's text and anything else as JSON.
func contentText(content json.RawMessage) string {
	var s string
	if json.Unmarshal(content, &s) == nil {
		return s
	}
	return string(content)
}

func sessionTail(ctx context.Context, args []string, std streams) error {
	var node nodeFlags
	fs := newFlags("session tail", "[flags] SESSION", std)
	node.bindSpace(fs)
	n := fs.Int("n", 20, "show so many of the last messages, at most 1000")
	follow := fs.Bool("follow", false, "go on until interrupted")
	fs.BoolVar(follow, "f", false, "the same as --follow")
	asJSON := fs.Bool("json", false, "print one JSON message a line")
	rest, err := parseArgs(fs, args, 1, 1)
	if err != nil {
		return err
	}
	if *n < 1 || *n > 1000 {
		return usagef("session tail: -n: got %d, want 1 to 1000", *n)
	}
	c, err := node.client(1)
	if err != nil {
		return err
	}
	t := tail{client: c, space: node.space, id: rest[0], std: std, asJSON: *asJSON, shown: map[string]bool{}}
	since, err := t.last(ctx, *n)
	if err != nil || !*follow {
		return err
	}
	for {
		if since, err = t.more(ctx, since); ctx.Err() != nil {
			return nil // interrupted, as it should be
		} else if err != nil {
			return err
		}
	}
}

// tail follows one session.
type tail struct {
	client    *apiclient.Client
	space, id string
	std       streams
	asJSON    bool
	shown     map[string]bool // messages of the first page, which changes may repeat
}

// last shows the last n messages. The version it gives is older than the
// page, so that nothing falls between them.
func (t *tail) last(ctx context.Context, n int) (since string, err error) {
	doc, err := t.client.Session(ctx, t.space, t.id)
	if err != nil {
		return "", err
	}
	msgs, err := t.client.Tail(ctx, t.space, t.id, n)
	if err != nil {
		return "", err
	}
	for i := range msgs {
		t.shown[msgs[i].ID] = true
		if err := t.show(&msgs[i]); err != nil {
			return "", err
		}
	}
	return doc.Version, nil
}

// more waits for changes and shows the messages among them.
func (t *tail) more(ctx context.Context, since string) (string, error) {
	changes, next, err := t.client.Changes(ctx, t.space, t.id, since, "30s")
	if err != nil {
		return since, err
	}
	for i := range changes {
		m := changes[i].Message
		if m == nil || (changes[i].Type == "message" && t.shown[m.ID]) {
			continue
		}
		if err := t.show(m); err != nil {
			return since, err
		}
	}
	return next, nil
}

func (t *tail) show(m *session.Message) error {
	if t.asJSON {
		return printJSON(t.std.out, m)
	}
	return printMessage(t.std.out, m)
}
