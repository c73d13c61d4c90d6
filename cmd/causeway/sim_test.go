package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

const smallScenario = `# Two shops, one cut.
length: 20s
settle: 2m
nodes: {cores: 1, edges: 2}
workload: {clients: 2, sessions: 1, every: 1s}
faults:
  - {at: 5s, for: 5s, partition: {nodes: edge-1}}
`

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "small.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func TestSimRun(t *testing.T) {
	t.Parallel()
	name := write(t, smallScenario)
	page := filepath.Join(t.TempDir(), "page.html")
	code, out, stderr := cli(t, "", "sim", "run", name, "--seed", "7", "--report", page, "--json")
	if code != exitOK {
		t.Fatalf("exit code %d, want 0:\n%s%s", code, out, stderr)
	}
	if first, _, _ := strings.Cut(out, "\n"); !strings.HasPrefix(first, "seed 7 ") {
		t.Errorf("first line is %q, want the seed", first)
	}
	var totals map[string]any
	if err := json.Unmarshal([]byte(lastLine(out)), &totals); err != nil {
		t.Fatalf("last line %q: %v", lastLine(out), err)
	}
	for _, key := range []string{"seeds", "violations", "events", "events_per_s", "simulated_s", "real_s"} {
		if _, ok := totals[key]; !ok {
			t.Errorf("last line lacks %s: %s", key, lastLine(out))
		}
	}
	if html, err := os.ReadFile(page); err != nil || !bytes.Contains(html, []byte("--seed 7")) {
		t.Errorf("report does not name the command that repeats it (%v, %d bytes)", err, len(html))
	}
}

// TestSimRunFails: a scenario whose expectation is missed ends with exit code 1,
// and its last line repeats it.
func TestSimRunFails(t *testing.T) {
	t.Parallel()
	name := write(t, smallScenario+"expect: {acked: 1000000}\n")
	code, out, _ := cli(t, "", "sim", "run", name, "--seed", "3")
	if code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if want := "causeway sim run " + name + " --seed 3"; lastLine(out) != want {
		t.Errorf("last line %q, want %q", lastLine(out), want)
	}
	if !strings.Contains(out, "writes were acknowledged, want 1000000") {
		t.Errorf("output does not say what was missed:\n%s", out)
	}
}

// TestSimRunFailsAloud: neither JSON nor a page that cannot be written hides what
// was found.
func TestSimRunFailsAloud(t *testing.T) {
	t.Parallel()
	name := write(t, smallScenario+"expect: {acked: 1000000}\n")
	again := "causeway sim run " + name + " --seed 3"
	code, out, stderr := cli(t, "", "sim", "run", name, "--seed", "3", "--json")
	if code != exitFailed || lastLine(stderr) != again || !json.Valid([]byte(lastLine(out))) {
		t.Errorf("exit code %d, last lines %q and %q, want %d, JSON and %q", code, lastLine(out), lastLine(stderr), exitFailed, again)
	}
	page := filepath.Join(t.TempDir(), "nowhere", "page.html")
	code, out, stderr = cli(t, "", "sim", "run", name, "--seed", "3", "--report", page)
	if code != exitFailed || lastLine(out) != again || !strings.Contains(stderr, page) {
		t.Errorf("exit code %d, last line %q, stderr %q, want %d, %q and the page's name", code, lastLine(out), stderr, exitFailed, again)
	}
}

// TestSimStops: an interrupt ends runs of any length.
func TestSimStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"run", "shop-offline-30-days"}, {"explore", "--seeds", "1000000"}} {
		var out, stderr bytes.Buffer
		if code := run(ctx, append([]string{"sim"}, args...), nil, &out, &stderr); code != exitFailed ||
			!strings.Contains(stderr.String(), "stopped") {
			t.Errorf("sim %v: exit code %d, stderr %q, want %d and that it was stopped", args, code, stderr.String(), exitFailed)
		}
	}
}

// TestSimExplains: a failure is made smaller and saved, and the command that is
// printed repeats it.
func TestSimExplains(t *testing.T) {
	t.Parallel()
	e := exploring{shape: sim.Shape{Cores: 1, Edges: 2, Length: 20 * time.Second}, shrink: 30, save: t.TempDir()}
	plan := sim.Draw(1, e.shape)
	plan.Expect.Acked = 1 << 20
	failed, err := sim.Run(plan, 1, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	again, err := e.explain(t.Context(), streams{nil, &out, &out}, failed, false)
	if err != nil {
		t.Fatal(err)
	}
	args, ok := strings.CutPrefix(again, "causeway ")
	if !ok || !strings.Contains(out.String(), "made smaller") {
		t.Fatalf("explain gives %q and says:\n%s", again, out.String())
	}
	if code, out, _ := cli(t, "", strings.Fields(args)...); code != exitFailed || lastLine(out) != again {
		t.Errorf("%s: exit code %d, last line %q, want %d and itself", again, code, lastLine(out), exitFailed)
	}
	e.save = filepath.Join(e.save, "nowhere")
	if again, err = e.explain(t.Context(), streams{nil, &out, &out}, failed, false); err == nil ||
		!strings.HasSuffix(again, "--cores 1 --edges 2 --length 20s") {
		t.Errorf("explain without a place to save gives %q, %v, want the command of the whole run, and an error", again, err)
	}
}

func TestSimRefusesBadFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", strings.Replace(smallScenario, "settle", "setle", 1), "small.yaml:3: "},
		{"negative duration", strings.Replace(smallScenario, "for: 5s", "for: -5s", 1), "small.yaml:7: "},
		{"no such node", strings.Replace(smallScenario, "edge-1", "edge-9", 1), "small.yaml:7: "},
		{"percentage over 100", smallScenario + "links: {loss: 130%}\n", "small.yaml:8: "},
		{"impossible selector", smallScenario + `---
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: {name: cut}
spec:
  action: partition
  mode: all
  selector: {labelSelectors: {app: nothing-here}}
`, "small.yaml:15: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := cli(t, "", "sim", "run", write(t, tt.text))
			if code != exitUsage || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, stderr %q, want %d and %q", code, stderr, exitUsage, tt.want)
			}
		})
	}
}

func TestSimExplore(t *testing.T) {
	t.Parallel()
	code, out, stderr := cli(t, "", "sim", "explore", "--seeds", "2", "--cores", "1", "--edges", "2", "--length", "20s", "--json", "--save", t.TempDir())
	var totals simTotals
	if err := json.Unmarshal([]byte(lastLine(out)), &totals); err != nil || code != exitOK || totals.Seeds != 2 {
		t.Errorf("exit code %d, last line %q (%v), want 0 and two seeds\n%s", code, lastLine(out), err, stderr)
	}
	for _, args := range [][]string{{"--cores", "2"}, {"--edges", "0"}, {"--seeds", "0"}, {"--minutes", "-1"}} {
		if code, _, stderr := cli(t, "", append([]string{"sim", "explore"}, args...)...); code != exitUsage || stderr == "" {
			t.Errorf("explore %v: exit code %d, stderr %q, want %d and a reason", args, code, stderr, exitUsage)
		}
	}
}

func TestSimList(t *testing.T) {
	t.Parallel()
	code, out, _ := cli(t, "", "sim", "list")
	if code != exitOK || strings.Count(out, "\n") < 20 {
		t.Errorf("exit code %d, %d scenarios, want 0 and at least 20", code, strings.Count(out, "\n"))
	}
	if code, out, _ := cli(t, "", "sim", "list", "split-core"); code != exitOK || !strings.Contains(out, "cores") {
		t.Errorf("list split-core: exit code %d, %q", code, out)
	}
	if code, _, stderr := cli(t, "", "sim", "run", "split-cores"); code != exitUsage || !strings.Contains(stderr, "split-cores") {
		t.Errorf("run of an unknown name: exit code %d, stderr %q", code, stderr)
	}
}
