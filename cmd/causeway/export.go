package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/apiclient"
	"github.com/causeway-sync/causeway/session"
)

// exportAhead is how many sessions are read while one is written.
const exportAhead = 8

func runExport(ctx context.Context, args []string, std streams) error {
	var node nodeFlags
	fs := newFlags("export", "[flags]", std)
	node.bindSpace(fs)
	out := fs.String("out", "", "file to write, compressed if it ends in .gz (default standard output)")
	asJSON := fs.Bool("json", false, "print the summary as JSON")
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	client, err := node.client(exportAhead)
	if err != nil {
		return err
	}
	ex := &exporter{client: client, space: node.space}
	summary := std.err
	begun := time.Now()
	if *out == "" {
		err = ex.write(ctx, std.out)
	} else {
		summary = std.out
		err = writeFile(*out, func(w io.Writer) error { return ex.write(ctx, w) })
	}
	if err != nil {
		return err
	}
	s := importSummary{Conversations: ex.conversations, Turns: ex.turns, Seconds: time.Since(begun).Seconds()}
	s.TurnsPerS = float64(s.Turns) / max(s.Seconds, 1e-9)
	if *asJSON {
		return printJSON(summary, s)
	}
	_, err = fmt.Fprintf(summary, "exported %d conversations, %d turns in %.1f s: %.0f turns/s\n",
		s.Conversations, s.Turns, s.Seconds, s.TurnsPerS)
	return err
}

// writeFile makes the file appear whole or not at all.
func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreGone(f.Close()), ignoreGone(os.Remove(f.Name())))
		}
	}()
	var w io.Writer = f
	finish := func() error { return nil }
	if strings.HasSuffix(name, ".gz") {
		z := gzip.NewWriter(f)
		w, finish = z, z.Close
	}
	if err := errors.Join(write(w), finish()); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("export %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

func ignoreGone(err error) error {
	if errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// exporter writes the sessions of a space, sorted by id.
type exporter struct {
	client               *apiclient.Client
	space                string
	conversations, turns int64
}

// fetched is one session read, or why not.
type fetched struct {
	conversation
	gone bool // erased or expired since it was listed
	err  error
}

func (ex *exporter) write(ctx context.Context, w io.Writer) error {
	docs := map[string]session.Document{}
	for d, err := range ex.client.Sessions(ctx, ex.space, apiclient.SessionFilter{}) {
		if err != nil {
			return err
		}
		docs[d.ID] = d
	}
	ids := make([]string, 0, len(docs))
	for id := range docs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ctx, cancel := context.WithCancel(ctx)
	results, wait := ex.readAhead(ctx, ids, docs)
	defer wait()
	defer cancel()
	buffered := bufio.NewWriterSize(w, 64<<10)
	for range ids {
		c := <-<-results
		if c.err != nil {
			return c.err
		}
		if c.gone {
			continue
		}
		if err := printJSON(buffered, c.conversation); err != nil {
			return err
		}
		ex.conversations++
		ex.turns += int64(len(c.Turns))
	}
	return buffered.Flush()
}

// readAhead reads sessions a few at a time and gives them in the order of ids.
// wait returns when every reader has ended.
func (ex *exporter) readAhead(ctx context.Context, ids []string, docs map[string]session.Document) (
	results <-chan chan fetched, wait func(),
) {
	queue := make(chan chan fetched, exportAhead) // closed by the goroutine below
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(queue)
		for _, id := range ids {
			slot := make(chan fetched, 1)
			select {
			case queue <- slot:
			case <-ctx.Done():
				return
			}
			doc := docs[id]
			go func() { slot <- ex.fetch(ctx, &doc) }()
		}
	}()
	return queue, func() {
		for slot := range queue {
			<-slot
		}
		<-ended
	}
}

func (ex *exporter) fetch(ctx context.Context, d *session.Document) fetched {
	c, err := newConversation(d)
	if err != nil {
		return fetched{err: err}
	}
	for m, err := range ex.client.Messages(ctx, ex.space, d.ID) {
		if isGone(err) {
			return fetched{gone: true}
		}
		if err != nil {
			return fetched{err: fmt.Errorf("session %s: %w", d.ID, err)}
		}
		t, err := newTurn(&m)
		if err != nil {
			return fetched{err: fmt.Errorf("session %s: %w", d.ID, err)}
		}
		c.Turns = append(c.Turns, t)
	}
	if c.Texts, err = ex.texts(ctx, d); isGone(err) {
		return fetched{gone: true}
	} else if err != nil {
		return fetched{err: fmt.Errorf("session %s: %w", d.ID, err)}
	}
	return fetched{conversation: c}
}

func isGone(err error) bool {
	p, ok := errors.AsType[*apiclient.Problem](err)
	return ok && (p.Status == http.StatusGone || p.Status == http.StatusNotFound)
}

// texts reads the texts of a session that hold anything.
func (ex *exporter) texts(ctx context.Context, d *session.Document) (map[string]string, error) {
	var all map[string]string
	for _, name := range d.Texts {
		t, err := ex.client.Text(ctx, ex.space, d.ID, name)
		if err != nil {
			return nil, fmt.Errorf("text %s: %w", name, err)
		}
		if t.Text == "" {
			continue
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = t.Text
	}
	return all, nil
}
