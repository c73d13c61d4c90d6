package sim

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim/check"
)

// Facts knows every fact that the machines have and that the world counts.
func TestFactsAreComplete(t *testing.T) {
	t.Parallel()
	known, found := Facts(), 0
	look := func(path string, re *regexp.Regexp, name func(string) string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range re.FindAllSubmatch(text, -1) {
			found++
			if n := name(string(m[1])); !slices.Contains(known, n) {
				t.Errorf("%s has the fact %s, which Facts does not name", path, n)
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		look(f, regexp.MustCompile(`facts\["([a-z_]+)"\]`), func(s string) string { return s })
	}
	look("../protocol/step.go", regexp.MustCompile(`func \((\w+)\) +isFact`), names.of)
	if found < len(known) {
		t.Errorf("%d facts found in the code, Facts names %d", found, len(known))
	}
	for _, n := range slices.Concat(Countable(), Codes()) {
		if slices.Contains(known, n) && n != "record_damaged" {
			t.Errorf("%s is a fact and something else", n)
		}
	}
}

func TestExpectationsCanFail(t *testing.T) {
	t.Parallel()
	const s = time.Second
	h := &check.History{Healed: 100 * s, Settled: 110 * s, Calls: []check.Call{
		{Node: "a", Do: check.Append, Begin: 1 * s, End: 2 * s, Outcome: check.OK, WantCore: true, Core: true},
		{Node: "a", Do: check.Append, Begin: 3 * s, End: 9 * s, Outcome: check.OK, WantCore: true},
		{Node: "b", Do: check.Patch, Begin: 4 * s, End: 5 * s, Outcome: check.OK, Replayed: true},
		{Node: "b", Do: check.Append, Begin: 6 * s, End: 6 * s, Outcome: check.Refused, Code: "disk_full"},
		{Node: "b", Do: check.Append, Begin: 7 * s, Outcome: check.NoAnswer},
		{Node: "b", Do: check.Read, Begin: 8 * s, End: 8 * s, Outcome: check.OK},
	}}
	facts := map[string]int{"forked": 2}
	count := func(of string, want int, c Count) Expect {
		c.Of, c.Least, c.Most = of, want+1, NoLimit
		return Expect{Counts: []Count{c}}
	}
	most := count("acked", 0, Count{})
	most.Counts[0].Least, most.Counts[0].Most = 0, 2
	for i, e := range []Expect{
		{Facts: []string{"fenced"}}, {Without: []string{"forked"}}, {Refused: []string{"too_big"}}, {Refused: []string{""}},
		{Acked: 4}, {AtCore: 2}, {Within: 9 * s}, most,
		count("acked", 3, Count{}), count("at_core", 1, Count{}), count("degraded", 1, Count{}), count("local", 1, Count{}),
		count("replayed", 1, Count{}), count("unanswered", 1, Count{}), count("disk_full", 1, Count{}), count("forked", 2, Count{}),
		count("acked", 1, Count{From: 5 * s, To: 9 * s}), count("acked", 2, Count{From: 5 * s}),
		count("acked", 1, Count{Nodes: []string{"b"}}), count("acked", 1, Count{Over: 2 * s}),
		count("unanswered", 0, Count{To: 7 * s}),
	} {
		if got := e.Missed(h, facts, 120*s); len(got) != 1 {
			t.Errorf("case %d, %+v: %d misses, want 1: %+v", i, e, len(got), got)
		}
		for k := range e.Counts {
			e.Counts[k].Least--
			e.Counts[k].Most = NoLimit
		}
		if got := e.Missed(h, facts, 120*s); len(e.Counts) > 0 && len(got) != 0 {
			t.Errorf("case %d, one less: %+v, want nothing", i, got)
		}
	}
	h.Settled = 0
	if got := (&Expect{Within: s}).Missed(h, facts, 120*s); len(got) != 1 {
		t.Errorf("nodes that never agree within a second: %+v, want a miss", got)
	}
}
