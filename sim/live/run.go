package live

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// run is one run of a scenario.
type run struct {
	opt     Options
	plan    *sim.Plan
	seed    uint64
	notes   *fitting
	dir     string
	log     *slog.Logger
	net     *network
	ns      *netns // nil without Options.Netns
	web     *web
	rec     *recorder
	people  *people
	starter *starter
	cores   []string
	places  map[string]addresses

	harming sync.Mutex // held by whoever harms the storage of a node; above member.life
	dice    *rand.Rand // guarded by harming
	ports   ports

	mu      sync.Mutex // guards what follows
	members []*member
	copies  int
	over    bool // no chore begins any more

	fail   context.CancelCauseFunc // ends the run; set once before anything begins
	chores sync.WaitGroup          // see chore and rest
}

// Run carries out a plan against real processes, in real time, and has the
// checkers judge it. It returns an *[UnfitError] for a plan that cannot be made
// live, before anything is started; the cause of ctx when that ends in the
// middle; other errors when this machine fails the run. What goes wrong in the
// nodes is in the result. seed chooses the calls and what chance there is here;
// it does not make two runs alike.
func Run(ctx context.Context, plan *sim.Plan, seed uint64, opt Options) (*sim.Result, error) {
	began := time.Now()
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	fitted, err := fit(scaled(plan, seed, opt.Speed), opt)
	if err != nil {
		return nil, err
	}
	r, err := newRun(ctx, fitted, seed, opt)
	if err != nil {
		return nil, err
	}
	result, err := r.all(ctx)
	if err = errors.Join(err, r.cleanUp(ctx)); err != nil {
		return nil, err
	}
	result.Plan, result.Real = plan, time.Since(began)
	return result, nil
}

func newRun(ctx context.Context, f *fitting, seed uint64, opt Options) (*run, error) {
	r := &run{opt: opt, plan: f.plan, seed: seed, notes: f, log: opt.Log, web: newWeb(), rec: newRecorder(),
		dice:  rand.New(rand.NewPCG(seed, 0x64696365)),
		ports: ports{rng: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(os.Getpid()))), used: map[int]bool{}}}
	if opt.Netns {
		ns, err := newNetns(ctx)
		if err != nil {
			return nil, err
		}
		r.ns = ns
	}
	dir, err := os.MkdirTemp(opt.Dir, "causeway-live-")
	if err != nil {
		return nil, fmt.Errorf("directory of the run: %w", err)
	}
	r.dir, r.starter = dir, newStarter()
	r.net = &network{plan: f.plan, seed: seed, filter: r.ns}
	r.people = newPeople(r, seed)
	return r, nil
}

// all is the run from the founding of the cluster to the verdicts.
func (r *run) all(ctx context.Context) (*sim.Result, error) {
	ctx, r.fail = context.WithCancelCause(ctx)
	defer r.rest()
	r.net.fail = r.fail
	if r.ns != nil {
		if err := r.ns.open(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.found(ctx); err != nil {
		return nil, err
	}
	if err := r.setOut(ctx); err != nil {
		return nil, err
	}
	r.live(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.judgeAgreement(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return r.finish()
}

// setOut starts the cluster and waits until it is of use.
func (r *run) setOut(ctx context.Context) error {
	r.log.Info("starting", slog.Int("nodes", len(r.members)), slog.String("dir", r.dir))
	for _, m := range r.everybody() {
		if m.plan.Attach != "" && !m.plan.Core {
			if err := r.net.detach(ctx, m.lane, m.plan.Attach, true); err != nil {
				return err
			}
		}
	}
	if err := r.startAll(ctx); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, r.opt.Patience)
	defer cancel()
	if reason := r.usable(wait); reason != "" {
		return fmt.Errorf("the cluster is of no use within %v: %s", r.opt.Patience, reason)
	}
	for _, m := range r.everybody() {
		if err := r.net.detach(ctx, m.lane, "", false); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// chore does something in the background. An error ends the run.
func (r *run) chore(ctx context.Context, do func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.chores.Go(func() {
		if err := do(); err != nil && ctx.Err() == nil {
			r.fail(err)
		}
	})
}

// lastRetries is how long after the healing clients go on asking again.
const lastRetries = 2 * time.Second

// rest ends what goes on in the background. Nothing new begins after it.
func (r *run) rest() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.fail(nil)
	r.chores.Wait()
}

// live lets the plan happen and heals in the end. Errors end ctx.
func (r *run) live(ctx context.Context) {
	r.rec.restart()
	r.log.Info("the plan begins", slog.Duration("length", r.plan.Length))
	safety, lift := context.WithCancel(ctx)
	defer lift()
	for _, m := range r.everybody() {
		r.chore(ctx, func() error { r.watch(ctx, m); return nil })
	}
	var faults, calls sync.WaitGroup
	for i := range r.plan.Faults {
		faults.Go(func() {
			if err := r.befall(ctx, safety, &r.plan.Faults[i]); err != nil && ctx.Err() == nil {
				r.fail(err)
			}
		})
	}
	r.join(ctx, safety, &faults)
	patience, give := context.WithCancel(ctx)
	defer give()
	calls.Go(func() { r.callAll(ctx, patience, &calls) })
	r.until(ctx, r.plan.Length)
	lift()
	faults.Wait()
	if err := r.heal(ctx); err != nil && ctx.Err() == nil {
		r.fail(err)
	}
	r.log.Info("healed")
	pause(ctx, lastRetries)
	give()
	calls.Wait()
}

// join starts the nodes that come later.
func (r *run) join(ctx, safety context.Context, group *sync.WaitGroup) {
	for _, m := range r.everybody() {
		if m.plan.Join == 0 {
			continue
		}
		group.Go(func() {
			if !r.until(safety, m.plan.Join) {
				return
			}
			if err := r.startOf(ctx, m); err != nil && ctx.Err() == nil {
				r.fail(err)
			}
		})
	}
}

// callAll begins the calls of the plan in their time.
func (r *run) callAll(ctx, patience context.Context, group *sync.WaitGroup) {
	for _, c := range r.plan.Calls {
		if !r.until(patience, c.At) {
			return
		}
		group.Go(func() { r.people.intend(ctx, patience, c) })
	}
}

// judgeAgreement waits until the healed nodes agree, has clients use them once
// more, and reads everything.
func (r *run) judgeAgreement(ctx context.Context) {
	wait, cancel := r.settleWithin(ctx)
	defer cancel()
	reason := r.usable(wait)
	if reason == "" {
		reason = r.agree(wait)
	}
	if reason == "" {
		r.rec.settled()
		r.lastCalls(ctx)
		again, cancel := context.WithTimeout(ctx, max(r.plan.Settle, r.opt.Patience))
		defer cancel()
		reason = r.conclude(again)
	}
	if reason == "" || ctx.Err() != nil {
		return
	}
	r.rec.problem("all healed nodes agree (I8)", "", "not within %v of the healing: %s", r.plan.Settle, reason)
	r.readLast(ctx)
}

// finish has everything judged. The nodes still run.
func (r *run) finish() (*sim.Result, error) {
	if err := r.stopAll(); err != nil {
		return nil, err
	}
	r.rest()
	if err := r.endAll(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	members := slices.Clone(r.members)
	r.mu.Unlock()
	for _, m := range members {
		if err := r.readLog(m); err != nil {
			return nil, err
		}
	}
	r.rec.settleResets()
	h := r.rec.history
	for _, key := range sortedPairs(r.rec.largest) {
		h.Samples = append(h.Samples, r.rec.largest[key])
	}
	result := &sim.Result{Plan: r.plan, Seed: r.seed, Events: uint64(len(r.rec.trace)), Simulated: r.rec.now(),
		Trace: r.rec.trace, History: h, Facts: r.rec.facts, Rates: r.net.rates(), Notes: r.notes.notes,
		Hash: hashOf(r.rec.trace)}
	r.judge(result)
	return result, nil
}

// stopAll asks every node to end. Each has to do so in time.
func (r *run) stopAll() error {
	return r.each(r.everybody(), func(m *member) error {
		m.life.Lock()
		defer m.life.Unlock()
		if err := m.stop(); err != nil {
			r.rec.problem(stopsInTime, m.lane, "%v", err)
		}
		return nil
	})
}

// judge has the checkers say what is wrong, beside the problems that were seen
// on the way. What the plan expects counts only where the run is what it says;
// otherwise, and always for facts, which are seen from outside here, and for
// how long answers took, what is missing is a note.
func (r *run) judge(result *sim.Result) {
	result.Verdicts = check.All(&result.History)
	result.Problems = slices.Clone(r.rec.problems)
	for _, v := range result.Verdicts {
		result.Problems = append(result.Problems, v.Violations...)
	}
	firm, soft := result.Plan.Expect, sim.Expect{Facts: result.Plan.Expect.Facts}
	firm.Facts, firm.Counts = nil, nil
	for _, c := range result.Plan.Expect.Counts {
		if c.Over > 0 || slices.Contains(sim.Facts(), c.Of) {
			soft.Counts = append(soft.Counts, c)
		} else {
			firm.Counts = append(firm.Counts, c)
		}
	}
	if r.opt.Speed != 1 || r.notes.partial {
		firm, soft = sim.Expect{}, result.Plan.Expect
	}
	result.Problems = append(result.Problems, firm.Missed(&result.History, result.Facts, result.Simulated)...)
	for _, miss := range soft.Missed(&result.History, result.Facts, result.Simulated) {
		result.Notes = append(result.Notes, "the scenario expects more: "+miss.Text)
	}
	slices.SortStableFunc(result.Problems, func(a, b check.Violation) int { return int(a.At - b.At) })
}

// hashOf tells runs apart. It is no fingerprint of plan and seed, as that of a
// simulation is.
func hashOf(trace []sim.Event) (sum [32]byte) {
	h := sha256.New()
	for _, e := range trace {
		fmt.Fprintf(h, "%v", e) // a hash never returns an error
	}
	h.Sum(sum[:0])
	return sum
}

// cleanUp leaves nothing behind but what was asked for.
func (r *run) cleanUp(ctx context.Context) error {
	err := r.endAll()
	r.net.close()
	r.starter.close()
	if r.ns != nil {
		err = errors.Join(err, r.ns.close(ctx))
	}
	if r.opt.Keep {
		r.log.Info("kept", slog.String("dir", r.dir))
		return err
	}
	return errors.Join(err, removeAll(r.dir))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func sortedPairs(m map[[2]string]check.Sample) [][2]string {
	return slices.SortedFunc(maps.Keys(m), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
}

func sortResets(list []check.Reset) {
	slices.SortStableFunc(list, func(a, b check.Reset) int { return int(a.At - b.At) })
}
