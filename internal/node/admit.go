package node

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/intake"
)

// admission is the shell around package intake: its lock, its clock, and those
// who wait.
type admission struct {
	maxWait time.Duration
	memory  uint64 // that the process may take; 0: not known

	mu       sync.Mutex // guards what follows
	buckets  *intake.Buckets
	gate     *intake.Gate
	waiting  map[intake.Ticket]chan bool // each takes one value: whether to go in
	mem      intake.Reserves
	disk     intake.Reserves
	limited  map[intake.Scope]uint64 // requests over a quota
	reserved uint64                  // requests turned away for lack of memory or disk
	shedAt   time.Time               // when a request was last turned away
}

func newAdmission(c LimitsConfig) *admission {
	memory := uint64(c.Memory)
	if memory == 0 {
		memory = memoryLimit()
	}
	return &admission{
		maxWait: time.Duration(c.MaxWait), memory: memory, buckets: intake.NewBuckets(c.quotas()),
		gate:    intake.NewGate(intake.GateConfig{Room: c.Writes, Waiting: c.Waiting, MaxWait: time.Duration(c.MaxWait)}),
		waiting: make(map[intake.Ticket]chan bool), limited: make(map[intake.Scope]uint64),
	}
}

// Admit implements [httpapi.Admitter].
func (n *Node) Admit(ctx context.Context, space, client string, class intake.Class) (
	leave func(), standings []intake.Standing, err error,
) {
	a := n.admission
	at := time.Now()
	a.mu.Lock()
	took := a.buckets.Take(at, space, client)
	if took.Refused {
		a.limited[took.By]++
		a.mu.Unlock()
		return nil, took.Standings, &httpapi.RateError{Scope: took.By, Wait: took.Wait}
	}
	if err := a.reserve(class); err != nil {
		a.reserved++
		a.mu.Unlock()
		return nil, took.Standings, err
	}
	verdict, ticket, moved := a.gate.Enter(at, class)
	a.call(moved)
	var called chan bool
	switch verdict {
	case intake.Shed:
		a.shedAt = at
	case intake.Waits:
		called = make(chan bool, 1)
		a.waiting[ticket] = called
	}
	a.mu.Unlock()
	switch {
	case verdict == intake.Shed, verdict == intake.Waits && !a.await(ctx, ticket, called):
		return nil, took.Standings, fmt.Errorf("%s request: %w", class, httpapi.ErrOverloaded)
	}
	return sync.OnceFunc(a.leave), took.Standings, nil
}

// reserve says what a shortage means for a request.
func (a *admission) reserve(c intake.Class) error {
	switch {
	case a.disk.Level() == intake.Low && a.disk.Level().Refuses(c): // at the reserve the store refuses itself
		return fmt.Errorf("%s request: %w: little is left", c, httpapi.ErrDiskReserve)
	case a.mem.Level().Refuses(c):
		return fmt.Errorf("%s request: %w", c, httpapi.ErrMemoryReserve)
	}
	return nil
}

// call tells those whose wait is over. The caller holds the lock.
func (a *admission) call(m intake.Moved) {
	for _, t := range m.In {
		a.waiting[t] <- true
		delete(a.waiting, t)
	}
	for _, t := range m.Out {
		a.waiting[t] <- false
		delete(a.waiting, t)
		a.shedAt = time.Now()
	}
}

func (a *admission) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.call(a.gate.Leave(time.Now()))
}

// await waits for a ticket to be called.
func (a *admission) await(ctx context.Context, t intake.Ticket, called chan bool) bool {
	timer := time.NewTimer(a.maxWait)
	defer timer.Stop()
	select {
	case in := <-called:
		return in
	case <-ctx.Done():
		a.mu.Lock()
		gone := a.gate.Abandon(t)
		delete(a.waiting, t)
		a.mu.Unlock()
		if !gone && <-called {
			a.leave()
		}
		return false
	case <-timer.C:
		a.mu.Lock()
		a.call(a.gate.Tick(time.Now()))
		a.mu.Unlock()
		return <-called
	}
}

// shedFor is how long the node calls itself overloaded after it turned
// somebody away.
const shedFor = 10 * time.Second

// watchIntake looks at memory and disk, and names what is short.
func (n *Node) watchIntake(ctx context.Context) error {
	tick := time.NewTicker(intakeEvery)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for {
		metrics.Read(sample)
		used := sample[0].Value.Uint64() - sample[1].Value.Uint64()
		n.noteIntake(used, time.Now())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

const intakeEvery = 250 * time.Millisecond

func (n *Node) noteIntake(used uint64, at time.Time) {
	a := n.admission
	reserve := uint64(0)
	if n.cfg.Store.ReserveBytes > 0 {
		reserve = n.cfg.Store.ReserveBytes
	}
	free := n.store.Stats().BytesFree
	a.mu.Lock()
	disk := a.disk.See(free, 2*reserve, reserve)
	mem := a.mem.See(a.memory-min(used, a.memory), a.memory/4, a.memory/8)
	overloaded := !a.shedAt.IsZero() && at.Sub(a.shedAt) < shedFor
	inside, queued := a.gate.Inside(), a.gate.Queued()
	a.mu.Unlock()
	n.named("disk_low", disk == intake.Low, "%d bytes are free; imports and backlog are turned away", free)
	n.named("memory_low", mem == intake.Low,
		"%d of %d bytes are used; imports and backlog are turned away", used, a.memory)
	n.named("memory_reserve", mem == intake.Reserve,
		"%d of %d bytes are used; writes are turned away", used, a.memory)
	n.named("overloaded", overloaded,
		"writes were turned away lately; %d are carried out, %d wait", inside, queued)
}

// named puts a degraded mode in force or out of it.
func (n *Node) named(name string, on bool, detail string, args ...any) {
	if !on {
		n.problems.clear(name)
		return
	}
	n.problems.set(name, fmt.Sprintf(detail, args...), n.wall())
}

// status is what the gate has done, for the node's status.
func (a *admission) status() httpapi.IntakeStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := httpapi.IntakeStatus{Inside: a.gate.Inside(), Waiting: a.gate.Queued(), Reserved: a.reserved,
		Entered: map[string]uint64{}, Shed: map[string]uint64{}, Limited: map[string]uint64{}}
	for c := intake.Live; c <= intake.Backlog; c++ {
		s.Entered[c.String()], s.Shed[c.String()] = a.gate.Count.Entered[c], a.gate.Count.Shed[c]
	}
	for scope, count := range a.limited {
		s.Limited[scope.String()] = count
	}
	return s
}

// memoryLimit is what the process may take: GOMEMLIMIT, else that of the
// control group, else 0 for not known.
func memoryLimit() uint64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return uint64(limit)
	}
	text, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return 0 // another system, or another kind of control groups
	}
	limit, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
	if err != nil {
		return 0 // "max"
	}
	return limit
}
