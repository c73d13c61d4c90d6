package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	what, budget, measured, reference, ratio string
	verdict                                  string
}

// Verdicts.
const (
	held     = "held"
	missed   = "MISSED"
	noBudget = "-"
)

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// judge gives the verdict on a fact.
func judge(ok bool) string {
	if ok {
		return held
	}
	return missed
}

func (t *table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "line\tbudget\tmeasured\treference, same run\tratio\tverdict")
	for _, r := range t.rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", r.what, cmp.Or(r.budget, noBudget), r.measured,
			cmp.Or(r.reference, noBudget), cmp.Or(r.ratio, noBudget), cmp.Or(r.verdict, noBudget))
	}
	return tw.Flush()
}

// median gives the middle of v, which it sorts.
func median[T cmp.Ordered](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}

// quantile gives the q-th part of v, which it sorts.
func quantile(v []time.Duration, q float64) time.Duration {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(int(q*float64(len(v))), len(v)-1)]
}

func perSecond(v float64) string { return fmt.Sprintf("%.0f/s", v) }

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func ratio(of, to float64) string { return fmt.Sprintf("%.2f", of/to) }
