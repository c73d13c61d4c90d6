package scenario

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/sim"
)

// TestDocumented loads every example of docs/SIMULATION.md, and looks there for
// every key that files may have.
func TestDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/SIMULATION.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for block := range strings.SplitSeq(string(text), "\n```yaml\n") {
		example, _, ok := strings.Cut(block, "\n```")
		if !ok || strings.HasPrefix(block, "# Simulation") {
			continue
		}
		examples++
		if !strings.Contains("\n"+example, "\nlength:") {
			example = "length: 1d\n" + example // a part of a file
		}
		if _, err := Load("example.yaml", []byte(example+"\n"), 1, nil); err != nil {
			t.Errorf("%v in\n%s", err, example)
		}
	}
	if examples < 10 {
		t.Errorf("%d examples found, want at least 10", examples)
	}
	var keys []string
	for _, r := range rules[sim.Partition:] {
		keys = append(keys, r.word)
	}
	keys = slices.Concat(keys, topKeys, nodeKeys, qualityKeys, callKeys, callWords, bodyKeys, classes, moves, expectKeys, countKeys,
		sim.Countable(), sim.Codes(), sim.Facts())
	for _, key := range keys {
		if !strings.Contains(string(text), "`"+key+"`") && !strings.Contains(string(text), key+":") {
			t.Errorf("docs/SIMULATION.md does not name %s", key)
		}
	}
}
