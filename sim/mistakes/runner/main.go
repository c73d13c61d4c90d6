// Command runner runs seeds of drawn plans, one after the other, until one is
// violated, and prints what came of each as a line of JSON. It is built with
// mistakes woven into the packages below it; see package mistakes.
package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/sim/mistakes"
)

// patience is how long one seed may take: hundreds of times longer than any does.
const patience = time.Minute

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: runner FIRST LAST")
	}
	first, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return fmt.Errorf("first seed: %w", err)
	}
	last, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return fmt.Errorf("last seed: %w", err)
	}
	for seed := first; seed <= last; seed++ {
		f, err := watched(seed)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
			return err
		}
		if f.Caught() {
			return nil
		}
	}
	return nil
}

// watched runs a seed, whether it ends or not.
func watched(seed uint64) (mistakes.Found, error) {
	type outcome struct {
		found mistakes.Found
		err   error
	}
	done := make(chan outcome, 1) // never closed
	go func() {
		f, err := one(seed)
		done <- outcome{f, err}
	}()
	select {
	case o := <-done:
		return o.found, o.err
	case <-time.After(patience):
		return mistakes.Found{Seed: seed, Check: "a run comes to an end", Text: "not within " + patience.String()}, nil
	}
}

// one runs a seed. A panic is a broken invariant of the product.
func one(seed uint64) (f mistakes.Found, err error) {
	defer func() {
		if p := recover(); p != nil {
			f, err = mistakes.Found{Seed: seed, Check: "no step panics", Text: fmt.Sprint(p)}, nil
		}
	}()
	r, err := sim.Run(mistakes.PlanOf(seed), seed, sim.Options{})
	if err != nil {
		return f, err
	}
	f = mistakes.Found{Seed: seed, Hash: hex.EncodeToString(r.Hash[:])}
	if r.Failed() {
		p := tell(r)
		f.Check, f.Text = p.Check, p.Node+": "+p.Text
	}
	return f, nil
}

// tell chooses the violation that tells most: the first one that is not only
// that the nodes do not agree, which much may lead to.
func tell(r *sim.Result) check.Violation {
	for _, p := range r.Problems {
		if !strings.Contains(p.Check, "agree") && !strings.HasPrefix(p.Text, "and ") {
			return p
		}
	}
	return r.Problems[0]
}
