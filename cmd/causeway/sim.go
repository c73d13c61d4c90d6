package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/live"
	"github.com/causeway-sync/causeway/sim/report"
	"github.com/causeway-sync/causeway/sim/scenario"
)

// simGCPercent lets the heap of a simulation grow further between collections:
// it makes little that lasts. simMemory bounds that.
const (
	simGCPercent = 400
	simMemory    = 3 << 30
)

func runSim(ctx context.Context, args []string, std streams) error {
	debug.SetGCPercent(simGCPercent)
	debug.SetMemoryLimit(simMemory)
	return dispatch(ctx, []command{
		{"run", "run a scenario in virtual time", runSimRun},
		{"explore", "run many clusters under faults drawn from seeds", runSimExplore},
		{"live", "run a scenario against real processes", runSimLive},
		{"list", "list the scenarios that ship, or show one", runSimList},
	}, "causeway sim", args, std)
}

// simTotals is the last line with --json.
type simTotals struct {
	Seeds       int     `json:"seeds"`
	Violations  int     `json:"violations"` // seeds with at least one
	Events      uint64  `json:"events"`
	EventsPerS  float64 `json:"events_per_s"`
	SimulatedS  float64 `json:"simulated_s"`
	RealS       float64 `json:"real_s"`
	TraceSHA256 string  `json:"trace_sha256,omitempty"` // of a single run

	Checks map[string]simExamined `json:"checks"`
	Facts  map[string]int         `json:"facts"` // how often the machines noticed what
}

// simExamined tells how much a check had to look at.
type simExamined struct {
	Seeds    int `json:"seeds"` // in which it had anything to examine
	Examined int `json:"examined"`
}

func (t *simTotals) add(r *sim.Result) {
	t.Seeds++
	t.Events += r.Events
	t.SimulatedS += r.Simulated.Seconds()
	if r.Failed() {
		t.Violations++
	}
	if t.Checks == nil {
		t.Checks, t.Facts = map[string]simExamined{}, map[string]int{}
	}
	for _, v := range r.Verdicts {
		c := t.Checks[v.Check]
		if v.Examined > 0 {
			c.Seeds++
		}
		c.Examined += v.Examined
		t.Checks[v.Check] = c
	}
	for name, n := range r.Facts {
		t.Facts[name] += n
	}
}

func (t *simTotals) end(began time.Time) {
	t.RealS = time.Since(began).Seconds()
	t.EventsPerS = float64(t.Events) / max(t.RealS, 1e-9)
}

// errViolated says that a promise was broken; what and how was printed.
var errViolated = errors.New("a promise was broken")

func runSimRun(ctx context.Context, args []string, std streams) error {
	fs := newFlags("sim run", "[flags] FILE|NAME", std)
	seed := fs.Uint64("seed", 1, "all chance comes from it")
	until := fs.Duration("until", 0, "stop at this moment of simulated time; nothing is judged then but what shows by itself")
	trace := fs.Bool("trace", false, "print every event on standard error")
	page := fs.String("report", "", "write a page about the run to `FILE.html`")
	asJSON := fs.Bool("json", false, "print the totals as JSON, in the last line")
	files, err := parseArgs(fs, args, 1, 1)
	if err != nil {
		return err
	}
	plan, err := loadScenario(files[0], *seed)
	if err != nil {
		return err
	}
	if *until < 0 || *until > plan.Length {
		return usagef("sim run: --until: got %v, want at most the %v of the scenario", *until, plan.Length)
	}
	fmt.Fprintf(std.out, "seed %d scenario %s\n", *seed, files[0])
	began := time.Now()
	r, err := sim.Run(plan, *seed, sim.Options{Trace: *trace || *page != "", Until: *until, Stop: over(ctx)})
	if errors.Is(err, sim.ErrStopped) {
		return ctx.Err()
	}
	if err != nil {
		return usageError{err}
	}
	r.Real, r.Command = time.Since(began), fmt.Sprintf("causeway sim run %s --seed %d", files[0], *seed)
	var totals simTotals
	totals.add(r)
	totals.end(began)
	totals.TraceSHA256 = fmt.Sprintf("%x", r.Hash)
	if *trace {
		if err := printTrace(std.err, r); err != nil {
			return err
		}
	}
	return withReport(showRun(std, r, &totals, *asJSON), *page, r)
}

// over says when a run is to stop.
func over(ctx context.Context) func() bool { return func() bool { return ctx.Err() != nil } }

// withReport writes the page, whatever was found.
func withReport(found error, page string, r *sim.Result) error {
	if page == "" {
		return found
	}
	err := writeReport(page, r)
	if err != nil && found != nil {
		return errors.Join(err, errViolated) // not shown yet
	}
	return errors.Join(err, found)
}

// showRun prints what came of a run; the last line of a failure repeats it. With
// JSON on standard output the failure is told on standard error.
func showRun(std streams, r *sim.Result, totals *simTotals, asJSON bool) error {
	w := std.out
	if !asJSON {
		printVerdicts(w, r)
		fmt.Fprintf(w, "%d events, %v simulated in %.2f s (%.0f times real time, %.0f events/s), trace %x\n", r.Events,
			r.Simulated.Round(time.Millisecond), totals.RealS, totals.SimulatedS/max(totals.RealS, 1e-9), totals.EventsPerS, r.Hash[:8])
	}
	if asJSON {
		if err := printJSON(w, totals); err != nil {
			return err
		}
		w = std.err
	}
	if !r.Failed() {
		return nil
	}
	printProblems(w, r)
	fmt.Fprintln(w, r.Command)
	return usageShown(errViolated)
}

// usageShown keeps an error from being printed again behind the last line.
func usageShown(err error) error { return errors.Join(errShown, err) }

func printVerdicts(w io.Writer, r *sim.Result) {
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	for _, rate := range r.Rates {
		fmt.Fprintf(w, "%s: nominal %.4g %%, in the long run %.4g %%, measured %.4g %% of %d\n", rate.What, 100*rate.Nominal, 100*rate.Theory,
			100*rate.Measured, rate.Drawn)
	}
	for _, v := range r.Verdicts {
		state := "ok"
		if len(v.Violations) > 0 {
			state = "BROKEN"
		} else if v.Examined == 0 {
			state = "nothing to examine"
		}
		fmt.Fprintf(w, "%-18s %-45s %d examined\n", state, v.Check, v.Examined)
	}
	if r.History.Settled > 0 {
		fmt.Fprintf(w, "all nodes agreed %v after the healing\n", (r.History.Settled - r.History.Healed).Round(time.Millisecond))
	}
}

const maxProblems = 20 // printed for one run

func printProblems(w io.Writer, r *sim.Result) {
	for i, p := range r.Problems {
		if i == maxProblems {
			fmt.Fprintf(w, "… and %d more\n", len(r.Problems)-i)
			return
		}
		fmt.Fprintf(w, "%v  %s  %s %s: %s\n", p.At.Round(time.Millisecond), p.Check, p.Node, p.Session, p.Text)
	}
	if r.Panic != "" {
		fmt.Fprintln(w, r.Panic)
	}
}

func printTrace(w io.Writer, r *sim.Result) error {
	b := bufio.NewWriter(w)
	for _, e := range r.Trace {
		fmt.Fprintf(b, "%d %v %s %s %s %s %s %s %s\n", e.Serial, e.At, e.Kind, e.Node, e.Peer, e.What, e.Space, e.Session, e.Detail)
	}
	return b.Flush()
}

func writeReport(name string, r *sim.Result) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return report.Write(f, r)
}

// loadScenario reads a file, or a shipped scenario by its name.
func loadScenario(name string, seed uint64) (*sim.Plan, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(name, "./\\") {
		if !slices.Contains(scenario.Names(), name) {
			return nil, usagef("sim: there is no file and no shipped scenario %q; causeway sim list shows them", name)
		}
		return usagePlan(scenario.LoadShipped(name, seed))
	}
	if err != nil {
		return nil, usageError{err}
	}
	return usagePlan(scenario.Load(filepath.Base(name), data, seed, os.DirFS(filepath.Dir(name))))
}

func usagePlan(p *sim.Plan, err error) (*sim.Plan, error) {
	if err != nil {
		return nil, usageError{err}
	}
	return p, nil
}

func runSimList(_ context.Context, args []string, std streams) error {
	fs := newFlags("sim list", "[NAME]", std)
	names, err := parseArgs(fs, args, 0, 1)
	if err != nil {
		return err
	}
	if len(names) == 1 {
		data, err := scenario.Shipped(names[0])
		if err != nil {
			return usagef("sim list: there is no shipped scenario %q", names[0])
		}
		_, err = std.out.Write(data)
		return err
	}
	for _, name := range scenario.Names() {
		p, err := scenario.LoadShipped(name, 1)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%-32s %s\n", name, p.Shows)
	}
	return nil
}

// exploring is one search through seeds.
type exploring struct {
	first  uint64
	seeds  uint64
	until  time.Time // zero: no end
	shape  sim.Shape
	shrink int
	save   string
	page   string
}

func runSimExplore(ctx context.Context, args []string, std streams) error {
	fs := newFlags("sim explore", "[flags]", std)
	e := exploring{}
	fs.Uint64Var(&e.first, "first-seed", 1, "where to begin")
	fs.Uint64Var(&e.seeds, "seeds", 200, "how many seeds; 0, or --minutes without --seeds, for no end but --minutes")
	minutes := fs.Float64("minutes", 0, "stop after so many minutes; 0 for all seeds")
	fs.IntVar(&e.shape.Cores, "cores", 3, "core nodes: 1, 3 or 5")
	fs.IntVar(&e.shape.Edges, "edges", 5, "edges")
	fs.DurationVar(&e.shape.Length, "length", 0, "longest safety phase, in simulated time; 0 for two minutes")
	fs.IntVar(&e.shrink, "shrink", 400, "runs to spend on making a failure smaller")
	fs.StringVar(&e.save, "save", ".", "`directory` for the scenario file of a failure")
	fs.StringVar(&e.page, "report", "", "write a page about the first failure to `FILE.html`")
	workers := fs.Int("workers", runtime.GOMAXPROCS(0), "seeds at a time")
	asJSON := fs.Bool("json", false, "print the totals as JSON, in the last line")
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	switch {
	case e.shape.Cores < 1 || e.shape.Cores > 5 || e.shape.Cores%2 == 0:
		return usagef("sim explore: --cores: got %d, want 1, 3 or 5", e.shape.Cores)
	case e.shape.Edges < 1 || e.shape.Edges > 200:
		return usagef("sim explore: --edges: got %d, want 1 to 200", e.shape.Edges)
	case *minutes < 0 || e.shape.Length < 0:
		return usagef("sim explore: --minutes and --length must not be negative")
	case e.seeds == 0 && *minutes == 0:
		return usagef("sim explore: give --seeds or --minutes, or it would never end")
	}
	given := false
	fs.Visit(func(f *flag.Flag) { given = given || f.Name == "seeds" })
	if *minutes > 0 && !given {
		e.seeds = 0
	}
	began := time.Now()
	if *minutes > 0 {
		e.until = began.Add(time.Duration(*minutes * float64(time.Minute)))
	}
	fmt.Fprintf(std.out, "seeds from %d, %d core nodes and %d edges\n", e.first, e.shape.Cores, e.shape.Edges)
	totals, failed := e.search(ctx, max(*workers, 1))
	totals.end(began)
	if failed == nil {
		return errors.Join(showTotals(std.out, &totals, *asJSON), ctx.Err())
	}
	again, err := e.explain(ctx, std, failed, *asJSON)
	if err := showTotals(std.out, &totals, *asJSON); err != nil {
		return err
	}
	last := std.out
	if *asJSON {
		last = std.err
	}
	fmt.Fprintln(last, again)
	if err != nil { // the failure was told all the same
		return errors.Join(err, errViolated)
	}
	return usageShown(errViolated)
}

func showTotals(w io.Writer, t *simTotals, asJSON bool) error {
	if asJSON {
		b, err := json.Marshal(t)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.Checks)) {
		c := t.Checks[name]
		fmt.Fprintf(w, "%-45s examined in %d seeds, %d in all\n", name, c.Seeds, c.Examined)
	}
	facts := make([]string, 0, len(t.Facts))
	for _, name := range slices.Sorted(maps.Keys(t.Facts)) {
		facts = append(facts, fmt.Sprintf("%s %d", name, t.Facts[name]))
	}
	fmt.Fprintln(w, "noticed:", strings.Join(facts, ", "))
	fmt.Fprintf(w, "%d seeds, %d with violations, %d events (%.0f/s), %.0f s simulated in %.1f s (%.0f times real time)\n",
		t.Seeds, t.Violations, t.Events, t.EventsPerS, t.SimulatedS, t.RealS, t.SimulatedS/max(t.RealS, 1e-9))
	return nil
}

// search runs seeds, several at a time, and gives the failure with the lowest
// seed. After a failure no later seeds are begun.
func (e *exploring) search(ctx context.Context, workers int) (totals simTotals, failed *sim.Result) {
	var mu sync.Mutex // guards totals, failed, next
	next := e.first
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				seed := next
				end := failed != nil || e.seeds > 0 && seed >= e.first+e.seeds || !e.until.IsZero() && time.Now().After(e.until)
				next++
				mu.Unlock()
				if end {
					return
				}
				r, err := sim.Run(sim.Draw(seed, e.shape), seed, sim.Options{Stop: over(ctx)})
				if errors.Is(err, sim.ErrStopped) {
					return
				}
				if err != nil {
					panic(fmt.Sprintf("sim: drawn plan of seed %d: %v", seed, err)) // a drawn plan makes sense
				}
				mu.Lock()
				totals.add(r)
				if r.Failed() && (failed == nil || seed < failed.Seed) {
					failed = r
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return totals, failed
}

// explain makes a failure small, saves it as a scenario and prints it. It gives
// the command that repeats it, with an error too.
func (e *exploring) explain(ctx context.Context, std streams, failed *sim.Result, quiet bool) (again string, err error) {
	w := std.out
	if quiet {
		w = std.err
	}
	fmt.Fprintf(w, "seed %d broke a promise:\n", failed.Seed)
	printProblems(w, failed)
	small := sim.Shrink(failed, e.shrink, over(ctx))
	again = fmt.Sprintf("causeway sim explore --first-seed %d --seeds 1 --cores %d --edges %d", failed.Seed, e.shape.Cores, e.shape.Edges)
	if e.shape.Length > 0 {
		again += fmt.Sprintf(" --length %v", e.shape.Length)
	}
	if small != failed {
		name := filepath.Join(e.save, fmt.Sprintf("causeway-seed-%d.yaml", failed.Seed))
		if err := savePlan(name, small.Plan); err != nil {
			return again, err
		}
		fmt.Fprintf(w, "made smaller: %d nodes, %d calls, %d faults, %v; saved as %s\n", len(small.Plan.Nodes), len(small.Plan.Calls),
			len(small.Plan.Faults), small.Plan.Length, name)
		printProblems(w, small)
		again = fmt.Sprintf("causeway sim run %s --seed %d", name, failed.Seed)
	}
	if e.page != "" {
		r, err := sim.Run(small.Plan, small.Seed, sim.Options{Trace: true})
		if err != nil {
			return again, err
		}
		r.Command = again
		if err := writeReport(e.page, r); err != nil {
			return again, err
		}
	}
	return again, nil
}

func savePlan(name string, p *sim.Plan) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return scenario.Write(f, p)
}

func runSimLive(ctx context.Context, args []string, std streams) error {
	fs := newFlags("sim live", "[flags] FILE|NAME", std)
	seed := fs.Uint64("seed", 1, "which calls the workload draws")
	opt := live.Options{}
	fs.StringVar(&opt.Dir, "dir", "", "`directory` for the nodes' data; a temporary one by default")
	fs.BoolVar(&opt.Keep, "keep", false, "leave data and logs there")
	fs.BoolVar(&opt.Netns, "netns", false, "put each node into a network namespace and filter packets; needs root")
	fs.BoolVar(&opt.SkipUnsupported, "skip-unsupported", false, "leave out what cannot be made live instead of refusing")
	fs.Float64Var(&opt.Speed, "speed", 1, "make the plan's times pass so many times faster")
	fs.DurationVar(&opt.MaxLength, "max-length", 0, "longest run; 0 for 15 minutes")
	level := fs.String("log", "info", "log level: debug, info, warn or error")
	page := fs.String("report", "", "write a page about the run to `FILE.html`")
	asJSON := fs.Bool("json", false, "print the totals as JSON, in the last line")
	files, err := parseArgs(fs, args, 1, 1)
	if err != nil {
		return err
	}
	plan, err := loadScenario(files[0], *seed)
	if err != nil {
		return err
	}
	if opt.Log, err = newLog(std.err, *level); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "seed %d scenario %s, live\n", *seed, files[0])
	began := time.Now()
	r, err := live.Run(ctx, plan, *seed, opt)
	if unfit, ok := errors.AsType[*live.UnfitError](err); ok {
		return usageError{unfit}
	}
	if err != nil {
		return err
	}
	r.Real, r.Command = time.Since(began), liveCommand(files[0], *seed, &opt)
	var totals simTotals
	totals.add(r)
	totals.end(began)
	return withReport(showRun(std, r, &totals, *asJSON), *page, r)
}

// liveCommand repeats a live run, as far as that can be repeated.
func liveCommand(file string, seed uint64, opt *live.Options) string {
	b := fmt.Sprintf("causeway sim live --seed %d", seed)
	if opt.Speed != 1 {
		b += fmt.Sprintf(" --speed %v", opt.Speed)
	}
	if opt.Netns {
		b += " --netns"
	}
	if opt.SkipUnsupported {
		b += " --skip-unsupported"
	}
	if opt.MaxLength > 0 {
		b += fmt.Sprintf(" --max-length %v", opt.MaxLength)
	}
	return b + " " + file
}
