package mistakes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// None is the name under which a [Runner] makes no mistake.
const None = ""

// Runner is a build of the simulator with all mistakes woven in.
type Runner struct {
	bin    string
	number map[string]int
}

// Build builds the simulator of the module at root with the mistakes woven in.
// Everything that it writes is in dir, which the caller removes.
func Build(ctx context.Context, root, dir string, list []Mistake) (*Runner, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("mistakes: %w", err)
	}
	replace := map[string]string{}
	put := func(file, text string) error {
		at := filepath.Join(dir, strings.ReplaceAll(file, "/", "_")+".txt")
		replace[filepath.Join(root, filepath.FromSlash(file))] = at
		return os.WriteFile(at, []byte(text), 0o600)
	}
	if err := put(chosenDir+"/chosen.go", chosenSource); err != nil {
		return nil, fmt.Errorf("mistakes: %w", err)
	}
	byFile := places(list)
	for _, file := range slices.Sorted(maps.Keys(byFile)) {
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			return nil, fmt.Errorf("mistakes: %w", err)
		}
		text, err := weave(file, string(source), byFile[file])
		if err != nil {
			return nil, err
		}
		if err := put(file, text); err != nil {
			return nil, fmt.Errorf("mistakes: %w", err)
		}
	}
	r := &Runner{bin: filepath.Join(dir, "runner"), number: map[string]int{None: 0}}
	for i := range list {
		r.number[list[i].Name] = i + 1
	}
	return r, r.compile(ctx, root, dir, replace)
}

func (r *Runner) compile(ctx context.Context, root, dir string, replace map[string]string) error {
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return fmt.Errorf("mistakes: %w", err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return fmt.Errorf("mistakes: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", file, "-ldflags", "-s -w", "-o", r.bin, "./sim/mistakes/runner")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mistakes: build: %w\n%s", err, out)
	}
	return nil
}

// Found is what the simulator said of a seed.
type Found struct {
	Seed  uint64 `json:"seed"`
	Hash  string `json:"hash"`            // of the trace; empty after a panic
	Check string `json:"check,omitempty"` // that was violated first; empty if none was
	Text  string `json:"text,omitempty"`
}

// Caught reports whether anything was violated.
func (f Found) Caught() bool { return f.Check != "" }

// Run makes one mistake, or [None], and runs the seeds first to last one after
// the other until one is caught. It gives what came of each.
func (r *Runner) Run(ctx context.Context, mistake string, first, last uint64) ([]Found, error) {
	number, ok := r.number[mistake]
	if !ok {
		return nil, fmt.Errorf("mistakes: %q is not built in", mistake)
	}
	cmd := exec.CommandContext(ctx, r.bin, strconv.FormatUint(first, 10), strconv.FormatUint(last, 10))
	cmd.Env = append(os.Environ(), chosenEnv+"="+strconv.Itoa(number), "GOMAXPROCS=1")
	cmd.WaitDelay = time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("mistakes: run %s %d to %d: %w\n%s", mistake, first, last, errors.Join(ctx.Err(), err), stderr.String())
	}
	var list []Found
	for line := range strings.Lines(string(out)) {
		var f Found
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			return nil, fmt.Errorf("mistakes: answer %q: %w", line, err)
		}
		list = append(list, f)
	}
	return list, nil
}
