package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/conflict/text/trace"
	"github.com/causeway-sync/causeway/vclock"
)

// textRounds is how often each figure of texts is measured.
const textRounds = 5

// peersDir holds the script that measures other text merges.
const peersDir = "conflict/text/testdata/peers"

// texts measures package conflict/text on recorded editing traces, beside peers
// of the same run.
type texts struct {
	b      *bench
	traces string
	peers  map[string]figure // by peer and what
}

// figure is a line that the peers' script prints.
type figure struct {
	Peer  string  `json:"peer"`
	What  string  `json:"what"`
	MS    float64 `json:"ms"`
	Bytes int     `json:"bytes"`
	Error string  `json:"error"`
}

func textLine(ctx context.Context, b *bench) error {
	t := &texts{b: b, traces: tracesBeside(b.data)}
	if t.traces == "" {
		b.add(row{what: "9 texts", measured: "no recorded editing traces; set CAUSEWAY_DATA"})
		return nil
	}
	t.measurePeers(ctx)
	return errors.Join(t.merges(), t.replays(), t.localEdit(), t.branches(), t.opens(), t.wire(), t.memory())
}

// tracesBeside finds the editing traces, which lie beside the conversations.
func tracesBeside(conversations string) string {
	for _, above := range []string{"..", "."} {
		dir := filepath.Join(conversations, above, "editing-traces")
		if files, err := filepath.Glob(filepath.Join(dir, "*.json.gz")); err == nil && len(files) > 0 {
			return dir
		}
	}
	return ""
}

// measurePeers runs the peers' script, if there are node and npm and the peers
// can be had.
func (t *texts) measurePeers(ctx context.Context) {
	t.peers = map[string]figure{}
	dir := filepath.Join(t.b.dir, "peers")
	out, err := runPeers(ctx, dir, t.traces)
	if err != nil {
		progress("peers of texts are not available: %v", err)
	}
	for scan := bufio.NewScanner(bytes.NewReader(out)); scan.Scan(); {
		var f figure
		if json.Unmarshal(scan.Bytes(), &f) == nil && f.Error == "" {
			t.peers[f.Peer+" "+f.What] = f
		} else {
			progress("peers of texts: %s", scan.Text())
		}
	}
}

func runPeers(ctx context.Context, dir, traces string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"package.json", "peers.mjs"} {
		b, err := os.ReadFile(filepath.Join(peersDir, name))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	absolute, err := filepath.Abs(traces)
	if err != nil {
		return nil, err
	}
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm install: %w: %.200s", err, out)
	}
	run := exec.CommandContext(ctx, "node", "peers.mjs", absolute, strconv.Itoa(textRounds))
	run.Dir, run.Stderr = dir, io.Discard
	return run.Output()
}

// beside names what peers took for the same.
func (t *texts) beside(what string, say func(figure) string) string {
	var list []string
	for _, peer := range []string{"yjs", "automerge", "diamond-types"} {
		if f, ok := t.peers[peer+" "+what]; ok {
			list = append(list, peer+" "+say(f))
		}
	}
	return cmp.Or(strings.Join(list, ", "), "peer not available")
}

func peerTime(f figure) string  { return fmt.Sprintf("%.1f ms", f.MS) }
func peerBytes(f figure) string { return strconv.Itoa(f.Bytes) }

func (t *texts) read(name string) (*trace.Trace, error) {
	f, err := os.Open(filepath.Join(t.traces, name+".json.gz"))
	if err != nil {
		return nil, err
	}
	recorded, err := trace.Read(f)
	return recorded, errors.Join(err, f.Close())
}

// medianOf times work, with what before makes left out.
func medianOf[T any](before func() (T, error), work func(T) error) (time.Duration, error) {
	var all []time.Duration
	for range textRounds {
		with, err := before()
		if err != nil {
			return 0, err
		}
		runtime.GC()
		began := time.Now()
		if err := work(with); err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
	}
	return median(all), nil
}

func (t *texts) timed(what string, budget, took time.Duration, reference string) {
	r := row{what: "9 text: " + what, measured: millis(took), reference: reference}
	if budget > 0 {
		r.budget, r.verdict = "≤ "+millis(budget), judge(took <= budget)
	}
	t.b.add(r)
}

func (t *texts) merges() error {
	recorded, err := t.read("friendsforever")
	if err != nil {
		return err
	}
	runs, err := recorded.Runs()
	if err != nil {
		return err
	}
	empty := func() (*text.Doc, error) { return text.New(), nil }
	for _, c := range []struct {
		what   string
		copies int
		budget time.Duration
		beside string
	}{
		{"merge of friendsforever", 1, 8 * time.Millisecond, t.beside("friendsforever", peerTime)},
		{"the same 25 times in one text", 25, 150 * time.Millisecond, ""},
	} {
		all := trace.Repeat(runs, c.copies)
		took, err := medianOf(empty, func(d *text.Doc) error {
			_, err := d.Apply(all)
			if want := c.copies * len([]rune(recorded.EndContent)); err == nil && d.Len() != want {
				err = fmt.Errorf("%s: %d code points, want %d", c.what, d.Len(), want)
			}
			return err
		})
		if err != nil {
			return err
		}
		t.timed(c.what, c.budget, took, c.beside)
	}
	return nil
}

func (t *texts) replays() error {
	for _, c := range []struct {
		name    string
		budget  time.Duration
		history int
	}{
		{"automerge-paper", 30 * time.Millisecond, 109 << 10}, {"sveltecomponent", 0, 0}, {"rustcode", 0, 0},
	} {
		recorded, err := t.read(c.name)
		if err != nil {
			return err
		}
		var typed *text.Doc
		took, err := medianOf(func() (*text.Doc, error) { return text.New(), nil }, func(d *text.Doc) error {
			typed = d
			return recorded.Type(d, "author")
		})
		if err != nil {
			return err
		}
		t.timed("replay of "+c.name, c.budget, took, t.beside(c.name, peerTime))
		if c.history == 0 {
			continue
		}
		history, err := typed.AppendHistory(nil)
		if err != nil {
			return err
		}
		t.b.add(row{
			what: "9 text: bytes of the history of " + c.name, budget: fmt.Sprint("≤ ", c.history),
			measured: fmt.Sprint(len(history)), reference: t.beside(c.name, peerBytes),
			verdict: judge(len(history) <= c.history),
		})
	}
	return nil
}

// localEdit inserts and deletes single characters in a text of 100,000.
func (t *texts) localEdit() error {
	const edits = 100_000
	rng := rand.New(rand.NewPCG(1, 1))
	took, err := medianOf(begun, func(d *text.Doc) error {
		for i := range edits {
			var err error
			if pos := rng.IntN(d.Len()); i%2 == 0 {
				_, err = d.Insert("author", pos, "x")
			} else {
				_, err = d.Delete("author", pos, 1)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	each := took / edits
	t.b.add(row{
		what: "9 text: local edit of one character", budget: "≤ 1000 ns",
		measured: fmt.Sprintf("%d ns", each.Nanoseconds()), verdict: judge(each <= time.Microsecond),
	})
	return err
}

// begun is a text of 100,000 characters.
func begun() (*text.Doc, error) {
	d := text.New()
	_, err := d.Insert("base", 0, strings.Repeat("0123456789", 10_000))
	return d, err
}

// branches merges two branches of 10,000 edits each that began at one text.
func (t *texts) branches() error {
	const edits = 10_000
	mine, err := begun()
	if err != nil {
		return err
	}
	base, err := mine.AppendHistory(nil)
	if err != nil {
		return err
	}
	theirs, err := text.Decode(base)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i, d := range []*text.Doc{mine, theirs} {
		agent := vclock.Origin([]string{"mine", "theirs"}[i])
		for n := range edits { // each at a place of its own
			var err error
			if pos := rng.IntN(d.Len()); n%5 == 4 {
				_, err = d.Delete(agent, pos, 1)
			} else {
				_, err = d.Insert(agent, pos, "x")
			}
			if err != nil {
				return err
			}
		}
	}
	if base, err = mine.AppendHistory(nil); err != nil {
		return err
	}
	runs, err := theirs.Since(mine.Vector())
	if err != nil {
		return err
	}
	took, err := medianOf(func() (*text.Doc, error) { return text.Decode(base) }, func(d *text.Doc) error {
		_, err := d.Apply(runs)
		return err
	})
	t.timed("two branches of 10,000 edits", 7*time.Millisecond, took, "")
	return err
}

func (t *texts) opens() error {
	d, err := begun()
	if err != nil {
		return err
	}
	snapshot := d.AppendSnapshot(nil)
	took, err := medianOf(func() ([]byte, error) { return snapshot, nil }, func(b []byte) error {
		_, err := text.Open(b, nil)
		return err
	})
	t.timed("opening a saved text of 100 KB", time.Millisecond, took, "")
	return err
}
