package mistakes

import (
	"context"
	"fmt"
)

// Hunt says how to look for the seeds that catch a mistake.
type Hunt struct {
	First, Last uint64 // seeds to try, in this order
	More        int    // further seeds to find after the first
	MoreWithin  uint64 // as far behind the first one as this
	// Bad remembers seeds at which the build without a mistake fails.
	Bad map[uint64]string
}

// Catch is how a mistake is caught.
type Catch struct {
	Mistake string
	Needed  uint64   // seeds that had to be tried, from the first one on; 0: none caught it
	Seeds   []uint64 // that catch it, ascending
	Check   string   // that caught it first
	Text    string   // what it said
	Ignored int      // seeds that failed, but fail without the mistake too
}

// For looks for the seeds that catch a mistake. Seeds at which the build without
// a mistake fails count for nothing.
func (h *Hunt) For(ctx context.Context, r *Runner, mistake string) (Catch, error) {
	c := Catch{Mistake: mistake}
	last := h.Last
	for next := h.First; next <= last && len(c.Seeds) <= h.More; {
		list, err := r.Run(ctx, mistake, next, last)
		if err != nil {
			return c, err
		}
		found := list[len(list)-1]
		next = found.Seed + 1
		if !found.Caught() {
			break
		}
		good, err := h.good(ctx, r, found.Seed)
		if err != nil {
			return c, err
		}
		if !good {
			c.Ignored++
			continue
		}
		if len(c.Seeds) == 0 {
			c.Needed, c.Check, c.Text = found.Seed-h.First+1, found.Check, found.Text
			last = min(last, found.Seed+h.MoreWithin)
		}
		c.Seeds = append(c.Seeds, found.Seed)
	}
	return c, nil
}

// good reports whether a seed passes without a mistake.
func (h *Hunt) good(ctx context.Context, r *Runner, seed uint64) (bool, error) {
	if h.Bad == nil {
		h.Bad = map[uint64]string{}
	}
	check, known := h.Bad[seed]
	if !known {
		list, err := r.Run(ctx, None, seed, seed)
		if err != nil {
			return false, fmt.Errorf("without a mistake: %w", err)
		}
		check = list[0].Check
		h.Bad[seed] = check
	}
	return check == "", nil
}
