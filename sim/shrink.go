package sim

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/sim/check"
)

// Size counts what a plan says: nodes, calls and faults.
func (p *Plan) Size() int { return len(p.Nodes) + len(p.Calls) + len(p.Faults) }

// Shrink makes a smaller plan that breaks the same promise with the same seed:
// fewer faults, nodes and calls, and a shorter safety phase. It gives the
// smallest plan that it found within so many runs, or until stop says so, which
// may be nil, and the result of that.
//
// Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing
// Input, IEEE TSE 2002 (delta debugging). Differs: chunks are only removed,
// never kept alone.
func Shrink(failed *Result, runs int, stop func() bool) *Result {
	s := &shrinking{best: failed, promise: promiseOf(failed), left: runs, stop: stop}
	plan := *failed.Plan
	plan.Calls, plan.Workload = plan.AllCalls(failed.Seed), nil
	if !s.try(&plan) {
		return failed // its calls alone do not show it
	}
	for before := -1; s.left > 0 && before != s.best.Plan.Size(); {
		before = s.best.Plan.Size()
		s.shorten()
		s.faults()
		s.nodes()
		s.calls()
		s.simplify()
	}
	return s.best
}

// promiseOf is the check that says the first thing that went wrong.
func promiseOf(r *Result) string {
	if len(r.Problems) == 0 {
		return ""
	}
	return r.Problems[0].Check
}

type shrinking struct {
	best    *Result
	promise string
	left    int // runs
	stop    func() bool
}

// try runs a plan and keeps it if it breaks the promise.
func (s *shrinking) try(p *Plan) bool {
	if s.left <= 0 {
		return false
	}
	s.left--
	r, err := Run(p, s.best.Seed, Options{Stop: s.stop})
	if errors.Is(err, ErrStopped) {
		s.left = 0
	}
	if err != nil || !slices.ContainsFunc(r.Problems, func(v check.Violation) bool { return v.Check == s.promise }) {
		return false
	}
	s.best = r
	return true
}

// shorten ends the safety phase earlier.
func (s *shrinking) shorten() {
	for _, part := range []time.Duration{8, 4, 2} {
		p := *s.best.Plan
		p.Length = p.Length * (part - 1) / part
		p.Calls = slices.DeleteFunc(slices.Clone(p.Calls), func(c Call) bool { return c.At > p.Length })
		p.Faults = slices.DeleteFunc(slices.Clone(p.Faults), func(f Fault) bool { return f.At > p.Length })
		if s.try(&p) {
			s.shorten()
			return
		}
	}
}

// without removes chunks from a list of so many things, half of it at first and
// single ones at last.
func (s *shrinking) without(count func() int, drop func(p *Plan, from, to int)) {
	for size := max(count()/2, 1); ; size /= 2 {
		for from := 0; from < count(); {
			p := *s.best.Plan
			drop(&p, from, min(from+size, count()))
			if !s.try(&p) {
				from += size
			}
		}
		if size <= 1 || s.left <= 0 {
			return
		}
	}
}

func (s *shrinking) faults() {
	s.without(func() int { return len(s.best.Plan.Faults) }, func(p *Plan, from, to int) {
		p.Faults = slices.Delete(slices.Clone(p.Faults), from, to)
	})
}

func (s *shrinking) calls() {
	s.without(func() int { return len(s.best.Plan.Calls) }, func(p *Plan, from, to int) {
		p.Calls = slices.Delete(slices.Clone(p.Calls), from, to)
	})
}

// nodes removes nodes with everything that names them.
func (s *shrinking) nodes() {
	s.without(func() int { return len(s.best.Plan.Nodes) }, func(p *Plan, from, to int) {
		gone := map[string]bool{}
		for _, n := range p.Nodes[from:to] {
			gone[n.Name] = true
		}
		p.Nodes = slices.Delete(slices.Clone(p.Nodes), from, to)
		p.Calls = slices.DeleteFunc(slices.Clone(p.Calls), func(c Call) bool { return gone[c.Node] })
		for i := range p.Calls {
			p.Calls[i].Retries = slices.DeleteFunc(slices.Clone(p.Calls[i].Retries), func(r Retry) bool { return gone[r.Node] })
		}
		var kept []Fault
		for _, f := range p.Faults {
			named := len(f.Nodes)
			f.Nodes = left(f.Nodes, gone)
			peers := len(f.Peers)
			f.Peers = left(f.Peers, gone)
			if (named == 0 || len(f.Nodes) > 0) && (peers == 0 || len(f.Peers) > 0) {
				kept = append(kept, f)
			}
		}
		p.Faults = kept
		p.Links = slices.DeleteFunc(slices.Clone(p.Links), func(l LinkPlan) bool {
			return slices.ContainsFunc(slices.Concat(l.Nodes, l.Peers), func(n string) bool { return gone[n] })
		})
		p.Expect.Counts = slices.DeleteFunc(slices.Clone(p.Expect.Counts), func(c Count) bool {
			return slices.ContainsFunc(c.Nodes, func(n string) bool { return gone[n] })
		})
		if p.Workload != nil && slices.ContainsFunc(p.Workload.Nodes, func(n string) bool { return gone[n] }) {
			l := *p.Workload
			l.Nodes = left(l.Nodes, gone)
			p.Workload = &l
		}
	})
}

func left(names []string, gone map[string]bool) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return gone[n] })
}

// simplify takes away what is left beside nodes, faults and calls.
func (s *shrinking) simplify() {
	plain := Quality{Delay: cmp.Or(s.best.Plan.Net.Delay.Round(time.Millisecond), time.Millisecond)}
	if s.best.Plan.Net != plain {
		p := *s.best.Plan
		p.Net = plain
		s.try(&p)
	}
	for i := range s.best.Plan.Calls {
		if c := s.best.Plan.Calls[i]; len(c.Retries) > 0 || c.Batch > 1 || c.Core {
			p := *s.best.Plan
			p.Calls = slices.Clone(p.Calls)
			p.Calls[i].Retries, p.Calls[i].Batch, p.Calls[i].Core = nil, 0, false
			s.try(&p)
		}
	}
}
