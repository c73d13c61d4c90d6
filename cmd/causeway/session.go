package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/causeway-sync/causeway/internal/apiclient"
	"github.com/causeway-sync/causeway/session"
)

func runSession(ctx context.Context, args []string, std streams) error {
	return dispatch(ctx, []command{
		{"create", "open a session", sessionCreate},
		{"append", "append a message", sessionAppend},
		{"get", "show a session and its messages", sessionGet},
		{"explain", "say why each message stands where it does", sessionExplain},
		{"tail", "show the last messages and follow", sessionTail},
		{"list", "list sessions, newest activity first", sessionList},
		{"transition", "move a session to another state", sessionTransition},
		{"patch", "change the context by a merge patch", sessionPatch},
	}, "causeway session", args, std)
}

// writeFlags are the flags of commands that write.
type writeFlags struct {
	nodeFlags
	key, actor, durability string
	asJSON                 bool
}

func (w *writeFlags) bind(fs *flag.FlagSet) {
	w.bindSpace(fs)
	fs.StringVar(&w.key, "key", "", "idempotency key: the same command under the same key writes once")
	fs.StringVar(&w.actor, "actor", "", "who writes")
	fs.StringVar(&w.durability, "durability", "", "local or core (default local)")
	fs.BoolVar(&w.asJSON, "json", false, "print the node's answer as JSON")
}

// written is what is shown of the answer to a write.
type written struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	Durability string `json:"durability"`
	Degraded   bool   `json:"degraded"`
}

// call makes the write and shows say(answer) or the answer itself.
func (w *writeFlags) call(ctx context.Context, out io.Writer, call apiclient.Call, say func(written) string) error {
	c, err := w.client(1)
	if err != nil {
		return err
	}
	call.Key, call.Actor, call.Durability = w.key, w.actor, w.durability
	var raw json.RawMessage
	if err := c.Do(ctx, call, &raw); err != nil {
		return err
	}
	if w.asJSON {
		return printJSON(out, raw)
	}
	var done written
	if err := json.Unmarshal(raw, &done); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	how := done.Durability
	if done.Degraded {
		how += "; the core could not be reached in time"
	}
	_, err = fmt.Fprintf(out, "%s (%s)\n", plain(say(done)), how)
	return err
}

// labels collects --label key=value.
type labels map[string]string

func (l labels) set(s string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return fmt.Errorf("got %q, want key=value", s)
	}
	l[k] = v
	return nil
}

func sessionCreate(ctx context.Context, args []string, std streams) error {
	var w writeFlags
	var o struct {
		ID      string          `json:"id,omitempty"`
		Order   string          `json:"order,omitempty"`
		TTL     string          `json:"ttl,omitempty"`
		Labels  labels          `json:"labels,omitempty"`
		Context json.RawMessage `json:"context,omitempty"`
	}
	o.Labels = labels{}
	var context string
	fs := newFlags("session create", "[flags] [SESSION]", std)
	w.bind(fs)
	fs.StringVar(&o.ID, "id", "", "the session's id, instead of as an argument (default: the node makes one up)")
	fs.StringVar(&o.Order, "order", "", "turns or chat (default turns)")
	fs.StringVar(&o.TTL, "ttl", "", "idle time after which the session expires, like 30m (default never)")
	fs.StringVar(&context, "context", "", "a JSON object")
	fs.Func("label", "key=value; may be repeated", o.Labels.set)
	rest, err := parseArgs(fs, args, 0, 1)
	if err != nil {
		return err
	}
	if len(rest) == 1 {
		if o.ID != "" {
			return usagef("session create: the id is given twice")
		}
		o.ID = rest[0]
	}
	if context != "" {
		if o.Context, err = jsonArg("--context", context); err != nil {
			return err
		}
	}
	body, err := encodeJSON(o)
	if err != nil {
		return err
	}
	call := apiclient.Call{Method: http.MethodPost, Path: apiclient.SpacePath(w.space) + "/sessions", Body: body}
	return w.call(ctx, std.out, call, func(d written) string { return "opened " + d.ID })
}

// jsonArg checks that an argument is JSON before it travels.
func jsonArg(name, text string) (json.RawMessage, error) {
	if !json.Valid([]byte(text)) {
		return nil, usagef("%s: got %q, want JSON", name, text)
	}
	return json.RawMessage(text), nil
}

// draft is a message as the API takes it.
type draft struct {
	ID         string          `json:"id,omitempty"`
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content,omitempty"`
	Name       string          `json:"name,omitempty"`
	ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"`
	Parent     *string         `json:"parent,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

// maxInput bounds a message read from standard input; the node's own limit is lower.
const maxInput = 1 << 20

func sessionAppend(ctx context.Context, args []string, std streams) error {
	var w writeFlags
	var d draft
	var role, content, parent string
	fs := newFlags("session append", "[flags] SESSION [ROLE] [TEXT | -]", std)
	w.bind(fs)
	fs.StringVar(&role, "role", "", "role, instead of as an argument")
	fs.StringVar(&content, "content", "", "content as JSON, instead of TEXT")
	fs.StringVar(&d.ID, "id", "", "message id (default: the node makes one up)")
	fs.StringVar(&d.Name, "name", "", "name of the author or tool")
	fs.StringVar(&d.ToolCallID, "tool-call-id", "", "the tool call that this answers")
	fs.StringVar(&parent, "parent", "", "id of the message that this follows (default the last)")
	rest, err := parseArgs(fs, args, 1, 3)
	if err != nil {
		return err
	}
	texts := rest[1:]
	if d.Role = role; role == "" {
		if len(texts) == 0 {
			return usagef("session append: the role is missing")
		}
		d.Role, texts = texts[0], texts[1:]
	}
	if d.Content, err = contentOf(content, texts, std.in); err != nil {
		return err
	}
	if parent != "" {
		d.Parent = &parent
	}
	body, err := encodeJSON(d)
	if err != nil {
		return err
	}
	call := apiclient.Call{
		Method: http.MethodPost, Path: apiclient.SessionPath(w.space, rest[0], "/messages"), Body: body,
	}
	return w.call(ctx, std.out, call, func(a written) string { return "appended " + a.ID })
}

// contentOf takes the content from --content, the argument, or standard input.
func contentOf(content string, texts []string, in io.Reader) (json.RawMessage, error) {
	switch {
	case len(texts) > 1:
		return nil, usagef("session append: unexpected %q", texts[1])
	case content != "" && len(texts) == 1:
		return nil, usagef("session append: either --content or TEXT")
	case content != "":
		return jsonArg("--content", content)
	case len(texts) == 0:
		return nil, usagef("session append: the text is missing; - reads it from standard input")
	case texts[0] != "-":
		return encodeJSON(texts[0])
	}
	b, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(b) > maxInput {
		return nil, fmt.Errorf("standard input: more than %d bytes", maxInput)
	}
	return encodeJSON(strings.TrimSuffix(string(b), "\n"))
}

func sessionTransition(ctx context.Context, args []string, std streams) error {
	var w writeFlags
	fs := newFlags("session transition", "[flags] SESSION active|paused|ended|reopened", std)
	w.bind(fs)
	rest, err := parseArgs(fs, args, 2, 2)
	if err != nil {
		return err
	}
	body, err := encodeJSON(map[string]string{"to": rest[1]})
	if err != nil {
		return err
	}
	call := apiclient.Call{
		Method: http.MethodPost, Path: apiclient.SessionPath(w.space, rest[0], "/transitions"), Body: body,
	}
	return w.call(ctx, std.out, call, func(d written) string { return d.ID + " is " + d.State })
}

func sessionPatch(ctx context.Context, args []string, std streams) error {
	var w writeFlags
	fs := newFlags("session patch", "[flags] SESSION JSON", std)
	w.bind(fs)
	ifMatch := fs.String("if-match", "", "version: fail if the session moved on from it")
	rest, err := parseArgs(fs, args, 2, 2)
	if err != nil {
		return err
	}
	patch, err := jsonArg("patch", rest[1])
	if err != nil {
		return err
	}
	call := apiclient.Call{
		Method: http.MethodPatch, Path: apiclient.SessionPath(w.space, rest[0], "/context"),
		Body: patch, IfMatch: *ifMatch,
	}
	return w.call(ctx, std.out, call, func(d written) string { return "changed " + d.ID })
}

func sessionList(ctx context.Context, args []string, std streams) error {
	var node nodeFlags
	var filter apiclient.SessionFilter
	fs := newFlags("session list", "[flags]", std)
	node.bindSpace(fs)
	fs.StringVar(&filter.State, "state", "", "only sessions in this state")
	fs.StringVar(&filter.Label, "label", "", "only sessions with this key=value")
	limit := fs.Int("limit", 50, "at most so many; 0 for all")
	asJSON := fs.Bool("json", false, "print one JSON document a line")
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	c, err := node.client(1)
	if err != nil {
		return err
	}
	table := newTable(std.out, "SESSION", "STATE", "MESSAGES", "UPDATED", "CONFLICTS")
	count := 0
	for d, err := range c.Sessions(ctx, node.space, filter) {
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(std.out, d)
		} else {
			table.row(d.ID, d.State, fmt.Sprint(d.MessageCount), printTime(d.UpdatedAt), fmt.Sprint(len(d.Conflicts)))
		}
		if err != nil {
			return err
		}
		if count++; count == *limit {
			break
		}
	}
	if *asJSON {
		return nil
	}
	return table.flush()
}

// shownSession is what session get --json prints.
type shownSession struct {
	Session  session.Document  `json:"session"`
	Messages []session.Message `json:"messages"`
}

func sessionGet(ctx context.Context, args []string, std streams) error {
	var node nodeFlags
	fs := newFlags("session get", "[flags] SESSION", std)
	node.bindSpace(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	rest, err := parseArgs(fs, args, 1, 1)
	if err != nil {
		return err
	}
	c, err := node.client(1)
	if err != nil {
		return err
	}
	shown := shownSession{Messages: []session.Message{}}
	if shown.Session, err = c.Session(ctx, node.space, rest[0]); err != nil {
		return err
	}
	for m, err := range c.Messages(ctx, node.space, rest[0]) {
		if err != nil {
			return err
		}
		shown.Messages = append(shown.Messages, m)
	}
	if *asJSON {
		return printJSON(std.out, shown)
	}
	return shown.print(std.out)
}
