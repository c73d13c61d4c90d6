package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/conflict/text/trace"
)

func runText(ctx context.Context, args []string, std streams) error {
	return dispatch(ctx, []command{
		{"replay", "replay a recorded editing history and compare the text", runTextReplay},
	}, "causeway text", args, std)
}

// replayed is the result of a replay.
type replayed struct {
	OK       bool    `json:"ok"` // the text is the recorded one
	Kind     string  `json:"kind"`
	Events   int     `json:"events"` // characters inserted and deleted
	Chars    int     `json:"chars"`
	DecodeMS float64 `json:"decode_ms"` // from the file to edits
	MergeMS  float64 `json:"merge_ms"`  // from edits to the text
	Bytes    int     `json:"bytes"`     // of the whole history, encoded
	SHA256   string  `json:"sha256"`    // of the text
}

func runTextReplay(_ context.Context, args []string, std streams) error {
	fs := newFlags("text replay", "FILE.json[.gz]", std)
	files, err := parseArgs(fs, args, 1, 1)
	if err != nil {
		return err
	}
	result, err := replayFile(files[0])
	if err != nil {
		return fmt.Errorf("text replay %s: %w", files[0], err)
	}
	if err := printJSON(std.out, result); err != nil {
		return err
	}
	if !result.OK {
		return fmt.Errorf("text replay %s: the text is not endContent", files[0])
	}
	return nil
}

func replayFile(name string) (replayed, error) {
	f, err := os.Open(name)
	if err != nil {
		return replayed{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	begun := time.Now()
	recorded, err := trace.Read(f)
	if err != nil {
		return replayed{}, err
	}
	decoded := time.Since(begun)
	d, merged, err := replay(recorded, &decoded)
	if err != nil {
		return replayed{}, err
	}
	history, err := d.AppendHistory(nil)
	if err != nil {
		return replayed{}, err
	}
	events, err := d.Events()
	if err != nil {
		return replayed{}, err
	}
	content := d.String()
	sum := sha256.Sum256([]byte(content))
	return replayed{
		OK: content == recorded.EndContent, Kind: recorded.Kind, Events: events, Chars: d.Len(),
		DecodeMS: milliseconds(decoded), MergeMS: milliseconds(merged),
		Bytes: len(history), SHA256: hex.EncodeToString(sum[:]),
	}, nil
}

// replay makes a document of a recording and measures it. Making runs of a
// concurrent one counts as decoding.
func replay(recorded *trace.Trace, decoded *time.Duration) (d *text.Doc, merged time.Duration, err error) {
	d = text.New()
	begun := time.Now()
	if !recorded.Concurrent() {
		err = recorded.Type(d, "author")
		return d, time.Since(begun), err
	}
	runs, err := recorded.Runs()
	if err != nil {
		return nil, 0, err
	}
	*decoded += time.Since(begun)
	begun = time.Now()
	_, err = d.Apply(runs)
	return d, time.Since(begun), err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
