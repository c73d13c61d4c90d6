package scenario_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/scenario"
)

// A document as kubectl prints it, with what a cluster adds.
const chaosDocument = `apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata:
  name: bad-uplink
  namespace: chaos
  uid: 0f0f
  creationTimestamp: "2026-01-02T03:04:05Z"
  annotations: {causeway.at: 2m, owner: somebody}
  labels: {team: edge}
spec:
  action: netem
  mode: all
  selector:
    namespaces: [default]
    labelSelectors: {causeway.role: edge}
  direction: both
  target:
    mode: all
    selector: {labelSelectors: {causeway.role: core}}
  duration: 30s
  device: eth0
  delay:
    latency: 90ms
    jitter: 90ms
    correlation: "25"
    reorder: {reorder: "0.5", correlation: "50", gap: 5}
  loss: {loss: "12.5", correlation: "25"}
  duplicate: {duplicate: "3"}
  corrupt: {corrupt: "0.1"}
  rate: {rate: 512kbit}
status: {experiment: {desiredPhase: Run}}
`

var (
	threeCores = []string{"core-1", "core-2", "core-3"}
	fiveEdges  = []string{"edge-1", "edge-2", "edge-3", "edge-4", "edge-5"}
	everybody  = slices.Concat(threeCores, fiveEdges)
)

func TestChaosDocument(t *testing.T) {
	t.Parallel()
	p := load(t, "length: 10m\n---\n"+chaosDocument)
	want := []sim.Fault{{
		Kind: sim.Degrade, At: 2 * time.Minute, For: 30 * time.Second, Nodes: fiveEdges, Peers: threeCores, Line: 3,
		Quality: sim.Quality{
			Delay: 90 * time.Millisecond, Jitter: 90 * time.Millisecond, DelayCorr: 0.25,
			Reorder: sim.Chance{P: 0.005, Correlation: 0.5}, ReorderGap: 5, Loss: sim.Chance{P: 0.125, Correlation: 0.25},
			Duplicate: sim.Chance{P: 0.03}, Corrupt: sim.Chance{P: 0.001}, Bandwidth: 64_000,
		},
	}}
	if !reflect.DeepEqual(p.Faults, want) {
		t.Errorf("faults = %+v\nwant %+v", p.Faults, want)
	}
}

// Without a scenario document chaos befalls a cluster of three and five.
func TestChaosAlone(t *testing.T) {
	t.Parallel()
	p := load(t, chaosDocument)
	if p.Length != 10*time.Minute || len(p.Nodes) != 8 || p.Workload == nil || len(p.Faults) != 1 {
		t.Errorf("plan = %+v, want a small cluster with work to do", p)
	}
}

// spec wraps the spec of a document.
func spec(lines string) string {
	return "length: 10m\nnodes: {cores: 3, edges: 5}\n---\napiVersion: chaos-mesh.org/v1alpha1\nkind: NetworkChaos\n" +
		"metadata: {name: x}\nspec:\n  " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n  ") + "\n"
}

// worse is a fault that makes worse what nodes send.
func worse(nodes, peers []string, q sim.Quality) sim.Fault {
	return sim.Fault{Kind: sim.Degrade, Nodes: nodes, Peers: peers, Direction: sim.To, Quality: q}
}

func TestChaosActions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec string
		want sim.Fault
	}{
		{`action: partition
mode: all
selector: {pods: {default: [edge-2]}}`,
			sim.Fault{Kind: sim.Partition, Nodes: []string{"edge-2"}, Direction: sim.To}},
		{`action: partition
mode: all
selector: {}
direction: from
target: {mode: all, selector: {pods: {default: [core-1]}}}`,
			sim.Fault{Kind: sim.Partition, Nodes: everybody, Peers: []string{"core-1"}, Direction: sim.From}},
		{`action: partition
mode: all
selector: {fieldSelectors: {metadata.name: edge-1}}
direction: both
externalTargets: [core-3]`,
			sim.Fault{Kind: sim.Partition, Nodes: []string{"edge-1"}, Peers: []string{"core-3"}}},
		{`action: loss
mode: all
selector: {}
duration: 1h
loss: {loss: "100"}`,
			worse(everybody, everybody, sim.Quality{Loss: sim.Chance{P: 1}})},
		{`action: delay
mode: all
selector:
  expressionSelectors: [{key: causeway.node, operator: In, values: [edge-1, edge-4]}]
delay: {latency: 2s}`,
			worse([]string{"edge-1", "edge-4"}, everybody, sim.Quality{Delay: 2 * time.Second})},
		{`action: bandwidth
mode: all
selector: {labelSelectors: {causeway.site: edge-3}}
bandwidth: {rate: 10kbps, limit: 20000, buffer: 10000, peakrate: 1000000, minburst: 1600}`,
			worse([]string{"edge-3"}, nil, sim.Quality{Bandwidth: 10240, Buffer: 20000})},
		{`action: corrupt
mode: all
selector:
  expressionSelectors:
    - {key: causeway.role, operator: NotIn, values: [edge]}
    - {key: site, operator: DoesNotExist}
    - {key: causeway.node, operator: Exists}
corrupt: {corrupt: "5", correlation: "10"}`,
			worse(threeCores, everybody, sim.Quality{Corrupt: sim.Chance{P: 0.05, Correlation: 0.1}})},
		// What does not concern the action has no effect, as in Chaos Mesh.
		{`action: duplicate
mode: all
selector: {pods: {default: [edge-1]}}
duplicate: {duplicate: "40"}
bandwidth: {rate: 1mbps, limit: 1, buffer: 1}`,
			worse([]string{"edge-1"}, nil, sim.Quality{Duplicate: sim.Chance{P: 0.4}})},
		{`action: netem
mode: all
selector: {pods: {default: [edge-1]}}
rate: {rate: 1mbps}
direction: "to"`,
			worse([]string{"edge-1"}, nil, sim.Quality{Bandwidth: 1 << 20})},
	} {
		p := load(t, spec(c.spec))
		c.want.Line = 4
		if len(p.Faults) != 1 || !reflect.DeepEqual(p.Faults[0], c.want) {
			t.Errorf("%s\ngives %+v\nwant %+v", c.spec, p.Faults, c.want)
		}
	}
}

func TestChaosModes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode     string
		low, top int // how many edges of ten
	}{
		{"mode: one", 1, 1}, {"mode: all", 10, 10}, {`mode: fixed
value: "3"`, 3, 3}, {`mode: fixed
value: "30"`, 10, 10}, {`mode: fixed-percent
value: "37"`, 3, 3}, {`mode: random-max-percent
value: "60"`, 0, 6},
	} {
		text := strings.Replace(spec("action: partition\n"+c.mode+"\nselector: {labelSelectors: {causeway.role: edge}}"),
			"edges: 5", "edges: 10", 1)
		counts, choices := map[int]bool{}, map[string]bool{}
		for seed := range uint64(200) {
			p, err := scenario.Load("f.yaml", []byte(text), seed, nil)
			if err != nil {
				t.Fatal(err)
			}
			again, err := scenario.Load("f.yaml", []byte(text), seed, nil)
			if err != nil || !reflect.DeepEqual(p, again) {
				t.Fatalf("%s: seed %d gives two plans (%v)", c.mode, seed, err)
			}
			var nodes []string
			for _, f := range p.Faults {
				nodes = f.Nodes
			}
			counts[len(nodes)] = true
			choices[fmt.Sprint(nodes)] = true
			if len(nodes) < c.low || len(nodes) > c.top {
				t.Errorf("%s: seed %d chooses %v", c.mode, seed, nodes)
			}
		}
		if len(counts) != c.top-c.low+1 {
			t.Errorf("%s: numbers of nodes over 200 seeds: %v, want each from %d to %d", c.mode, counts, c.low, c.top)
		}
		if c.top < 10 && len(choices) < 10 {
			t.Errorf("%s: only %d choices over 200 seeds", c.mode, len(choices))
		}
	}
}

// The choice for one document does not depend on what else is in the file.
func TestChaosChoicesAreIndependent(t *testing.T) {
	t.Parallel()
	one := spec("action: partition\nmode: one\nselector: {}")
	two := one + strings.Replace(strings.SplitAfter(one, "edges: 5}\n")[1], "name: x", "name: y", 1)
	for seed := range uint64(20) {
		a, errA := scenario.Load("f.yaml", []byte(one), seed, nil)
		b, errB := scenario.Load("f.yaml", []byte(two), seed, nil)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if !reflect.DeepEqual(a.Faults[0].Nodes, b.Faults[0].Nodes) {
			t.Errorf("seed %d: x befalls %v alone and %v beside y", seed, a.Faults[0].Nodes, b.Faults[0].Nodes)
		}
	}
}

func TestChaosEntries(t *testing.T) {
	t.Parallel()
	head := `length: 10m
chaos: beside.yaml
faults:
  - {at: 1m, for: 20s, chaos: b}
  - {at: 3m, for: 4m, chaos: b}
  - at: 5m
    chaos:
      apiVersion: chaos-mesh.org/v1alpha1
      kind: NetworkChaos
      metadata: {name: inline}
      spec: {action: partition, mode: all, selector: {pods: {default: [edge-1]}}}
`
	partition := "action: partition\nmode: all\nduration: 0s\nselector: {pods: {default: [edge-2]}}"
	doc := strings.SplitAfter(spec(partition), "---\n")[1]
	files := fstest.MapFS{"beside.yaml": {Data: []byte(strings.Replace(doc, "name: x", "name: b", 1) + "---\n" +
		strings.Replace(doc, "name: x", "name: free", 1))}}
	p, err := scenario.Load("f.yaml", []byte(head), 1, files)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range p.Faults {
		got = append(got, fmt.Sprint(f.At, f.For, f.Nodes, f.Line))
	}
	want := []string{"0s 0s [edge-2] 2", "1m0s 20s [edge-2] 4", "3m0s 4m0s [edge-2] 5", "5m0s 0s [edge-1] 6"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("faults = %q, want %q", got, want)
	}
}

// keep_mean holds for the documents of a file, too.
func TestChaosKeepsTheMeanIfAsked(t *testing.T) {
	t.Parallel()
	text := spec("action: loss\nmode: one\nselector: {}\nloss: {loss: \"1\", correlation: \"25\"}")
	for _, keep := range []bool{false, true} {
		if keep {
			text = "correlation: keep_mean\n" + text
		}
		want := sim.Chance{P: 0.01, Correlation: 0.25, MeanPreserving: keep}
		if got := load(t, text).Faults[0].Quality.Loss; got != want {
			t.Errorf("loss = %+v, want %+v", got, want)
		}
	}
}
