package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/internal/apiclient"
	"github.com/causeway-sync/causeway/session"
)

// Bounds of an import. Batches must come out the same at every run, as their
// idempotency keys count turns; changing these makes an import that was
// interrupted before the change fail where it went on.
const (
	batchMessages = 128
	batchBytes    = 512 << 10
	maxLineBytes  = 64 << 20
)

type importOptions struct {
	nodeFlags
	workers int
	ended   bool
	asJSON  bool
}

// job is one conversation and where it stands.
type job struct {
	conversation
	at string // file:line
}

// importSummary is the result of an import.
type importSummary struct {
	Conversations int64   `json:"conversations"`
	Turns         int64   `json:"turns"`
	Seconds       float64 `json:"seconds"`
	TurnsPerS     float64 `json:"turns_per_s"`
}

func runImport(ctx context.Context, args []string, std streams) error {
	var o importOptions
	fs := newFlags("import", "[flags] FILE.jsonl[.gz]…", std)
	o.bindSpace(fs)
	fs.IntVar(&o.workers, "workers", 16, "conversations written at a time")
	fs.BoolVar(&o.ended, "ended", false, "end every session after its last turn")
	fs.BoolVar(&o.asJSON, "json", false, "print the summary as JSON")
	files, err := parseArgs(fs, args, 1, -1)
	if err != nil {
		return err
	}
	if o.workers < 1 || o.workers > 1024 {
		return usagef("import: --workers: got %d, want 1 to 1024", o.workers)
	}
	client, err := o.client(o.workers)
	if err != nil {
		return err
	}
	im := &importer{importOptions: o, client: client}
	begun := time.Now()
	stop := im.progress(std.err)
	err = im.files(ctx, files)
	stop()
	if err != nil {
		return err
	}
	s := importSummary{Conversations: im.conversations.Load(), Turns: im.turns.Load(), Seconds: time.Since(begun).Seconds()}
	s.TurnsPerS = float64(s.Turns) / max(s.Seconds, 1e-9)
	if o.asJSON {
		return printJSON(std.out, s)
	}
	_, err = fmt.Fprintf(std.out, "imported %d conversations, %d turns in %.1f s: %.0f turns/s\n",
		s.Conversations, s.Turns, s.Seconds, s.TurnsPerS)
	return err
}

// importer writes conversations, several at a time.
type importer struct {
	importOptions
	client               *apiclient.Client
	conversations, turns atomic.Int64
}

// progress shows counts on a terminal until the function it gives is called.
func (im *importer) progress(w io.Writer) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(f, "\r%d conversations, %d turns ", im.conversations.Load(), im.turns.Load())
			case <-done:
				fmt.Fprint(f, "\r\x1b[K")
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// files imports all files. The first fault stops everything; what was written
// stays, and another run goes on from there.
func (im *importer) files(ctx context.Context, names []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan job) // closed by this function
	var wg sync.WaitGroup
	for range im.workers {
		wg.Go(func() {
			for j := range jobs {
				if err := im.conversation(ctx, &j.conversation); err != nil {
					cancel(fmt.Errorf("%s: conversation %s: %w", j.at, j.ID, err))
					return
				}
				im.conversations.Add(1)
			}
		})
	}
	for _, name := range names {
		if err := readFile(ctx, name, jobs); err != nil {
			cancel(err)
			break
		}
	}
	close(jobs)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// readFile sends the conversations of one file, which may be compressed.
func readFile(ctx context.Context, name string, jobs chan<- job) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	in := bufio.NewReader(f)
	if magic, err := in.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("import %s: %w", name, err)
		}
		in = bufio.NewReader(z)
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxLineBytes)
	n := 0
	for lines.Scan() {
		n++
		if len(lines.Bytes()) == 0 {
			continue
		}
		at := name + ":" + strconv.Itoa(n)
		c, err := parseConversation(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		select {
		case jobs <- job{c, at}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return nil
}

// conversation writes one conversation. Every call has a key made of the id
// and the position, so that what is there already is not written again.
func (im *importer) conversation(ctx context.Context, c *conversation) error {
	key := "import:" + c.ID + ":"
	open, err := encodeJSON(map[string]any{"id": c.ID, "labels": c.labels()})
	if err != nil {
		return err
	}
	err = im.client.Do(ctx, apiclient.Call{Priority: "import",
		Method: http.MethodPost, Path: apiclient.SpacePath(im.space) + "/sessions", Body: open, Key: key + "open",
	}, nil)
	if err != nil {
		return err
	}
	if err := im.move(ctx, c.ID, "active"); err != nil {
		return err
	}
	for from := 0; from < len(c.Turns); {
		to, err := im.batch(ctx, c, from)
		if err != nil {
			return fmt.Errorf("turns[%d]: %w", from, err)
		}
		im.turns.Add(int64(to - from))
		from = to
	}
	for _, name := range slices.Sorted(maps.Keys(c.Texts)) {
		if err := im.text(ctx, c.ID, name, c.Texts[name]); err != nil {
			return fmt.Errorf("text %s: %w", name, err)
		}
	}
	if im.ended {
		return im.move(ctx, c.ID, "ended")
	}
	return nil
}

func (im *importer) move(ctx context.Context, id, to string) error {
	return im.client.Do(ctx, apiclient.Call{Priority: "import",
		Method: http.MethodPost, Path: apiclient.SessionPath(im.space, id, "/transitions"),
		Body: []byte(`{"to":"` + to + `"}`), Key: "import:" + id + ":" + to,
	}, nil)
}

// batch writes turns from from on: up to and including the first that sets
// context, which is patched right after it, so that the context at each turn
// is what it was. It gives the index behind the last turn written.
func (im *importer) batch(ctx context.Context, c *conversation, from int) (to int, err error) {
	var body struct {
		Messages []json.RawMessage `json:"messages"`
	}
	size := 0
	for to = from; to < len(c.Turns) && len(body.Messages) < batchMessages; to++ {
		d, err := c.Turns[to].draft()
		if err != nil {
			return from, err
		}
		text, err := encodeJSON(d)
		if err != nil {
			return from, err
		}
		if size += len(text); size > batchBytes && to > from {
			break
		}
		body.Messages = append(body.Messages, text)
		if c.Turns[to].ContextSet != nil {
			to++
			break
		}
	}
	text, err := encodeJSON(body)
	if err != nil {
		return from, err
	}
	key := "import:" + c.ID + ":"
	err = im.client.Do(ctx, apiclient.Call{Priority: "import",
		Method: http.MethodPost, Path: apiclient.SessionPath(im.space, c.ID, "/messages"),
		Body: text, Key: key + strconv.Itoa(from),
	}, nil)
	if set := c.Turns[to-1].ContextSet; err == nil && set != nil {
		err = im.client.Do(ctx, apiclient.Call{Priority: "import",
			Method: http.MethodPatch, Path: apiclient.SessionPath(im.space, c.ID, "/context"),
			Body: set, Key: key + "context:" + strconv.Itoa(to-1),
		}, nil)
	}
	if p, ok := errors.AsType[*apiclient.Problem](err); ok && p.Code == "idempotency_key_reused" {
		return from, fmt.Errorf("was imported before with other content: %w", err)
	}
	return to, err
}

// text writes a text in parts, each on what the one before it made.
func (im *importer) text(ctx context.Context, id, name, content string) error {
	base := ""
	for part, at := 0, 0; content != ""; part++ {
		n := min(len(content), session.MaxTextInsert)
		for n < len(content) && !utf8.RuneStart(content[n]) {
			n--
		}
		edit := text.Edit{Pos: at, Ins: content[:n]}
		body, err := encodeJSON(map[string]any{"base": base, "edits": []text.Edit{edit}})
		if err != nil {
			return err
		}
		var done struct{ Version string }
		err = im.client.Do(ctx, apiclient.Call{Priority: "import",
			Method: http.MethodPost, Path: apiclient.SessionPath(im.space, id, "/texts/"+name+"/edits"),
			Body: body, Key: "import:" + id + ":text:" + name + ":" + strconv.Itoa(part),
		}, &done)
		if err != nil {
			return err
		}
		base, content, at = done.Version, content[n:], at+utf8.RuneCountInString(edit.Ins)
	}
	return nil
}
