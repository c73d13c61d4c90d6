package check

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestDebugMiss(t *testing.T) {
	seed64, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	name := os.Getenv("NAME")
	names := sortedKeys(corruptions)
	g := generate(seed64, options{nodes: 2 + int(seed64%4), sessions: 1 + int(seed64%4), steps: 350, resets: seed64%3 == 0})
	for i, n := range names {
		if n != name {
			continue
		}
		c := &corruptor{g: g, h: copyHistory(&g.h), rng: rand.New(rand.NewPCG(seed64, uint64(i)))}
		corruptions[name](c)
		path := ""
		sess := ""
		for s, seen := range c.h.Finals[0].Sessions {
			old := g.h.Finals[0].Sessions[s]
			for k := range old.Leaves {
				if a, b := fmt.Sprintf("%+v", old.Leaves[k]), fmt.Sprintf("%+v", seen.Leaves[k]); a != b {
					t.Logf("%s was %s now %s", s, a, b)
					path, sess = old.Leaves[k].Path, strings.TrimPrefix(s, "default/")
				}
			}
		}
		for _, cl := range g.h.Calls {
			if (cl.Do == Patch) && cl.Session == sess && cl.Outcome != Refused {
				hit := false
				for _, v := range cl.Values {
					hit = hit || related(v.ID, path)
				}
				if hit {
					t.Logf("call %d %s %v-%v %v key %s %v replayed %v", cl.ID, cl.Node, cl.Begin, cl.End, cl.Values, cl.Key, cl.Outcome, cl.Replayed)
				}
			}
		}
		for _, f := range g.h.Finals {
			line := ""
			for i, op := range f.Ops["default"] {
				if op.Session == sess && op.Kind == "patch" {
					line += fmt.Sprintf(" %d:%s.%d%v", i, op.Origin, op.Seq, op.Values)
				}
			}
			t.Logf("%s: %s", f.Node, line)
		}
		t.Logf("resets %v", g.h.Resets)
	}
}
