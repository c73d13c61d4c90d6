package scenario_test

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/scenario"
)

func load(t *testing.T, text string) *sim.Plan {
	t.Helper()
	p, err := scenario.Load("some.yaml", []byte(text), 1, nil)
	if err != nil {
		t.Fatalf("Load = %v of\n%s", err, text)
	}
	return p
}

// One file with every key that people write.
const everything = `# Two shops and a car, with everything
# that can be said.
#
# Not part of the sentence.
length: 1h30m
settle: 2m
required: 2
messages: true
correlation: keep_mean
timing: {heartbeat: 10s, fsync: 5ms, sweep: 1m}
nodes:
  cores: 3
  edges:
    - {name: shop, spaces: [store-1], labels: {site: north, app: till}, drift: -20ppm, clock: 1h}
    - {name: car, count: 2, spaces: all, join: 10m, attach: core-2, compress: true}
    - kiosk
  labels: {env: test}
links:
  default: {delay: 30ms, jitter: 10ms, loss: 1%}
  between:
    - {nodes: cores, to: cores, delay: 1ms, loss: 0%}
    - {nodes: car-*, direction: to, bandwidth: 64kbit, buffer: 32KiB, burst: {enter: 1%, leave: 20%}}
workload:
  clients: 7
  sessions: 2
  spaces: [default, store-1]
  every: 5s
  until: 1h
  roam: 12.5%
  same: 30%
  keyed: 50%
  core: 20%
  batch: 4
  mix: {append: 6, read: 2}
  ttl: 30m
  at_cores: true
  nodes: [shop, kiosk]
calls:
  - {at: 20m, node: car-1, client: ann, space: store-1, append: s-1, batch: 2, keyed: true, core: true, target: 1,
     retries: [{after: 1m, node: shop, always: true}]}
  - {at: 5s, node: shop, open: s-1, order: chat, ttl: 1d}
  - {at: 6s, node: shop, move: s-1, to: ended, if_match: true}
  - {at: 7s, node: core-1, changes:}
faults:
  - {at: 30m, for: 10m, partition: {nodes: [shop, kiosk], from: cores, direction: to}}
  - {at: 25m, for: 1m, degrade: {nodes: env=test, to: all, delay: 2s, 
     loss: {chance: 30%, correlation: 25%, keep_mean: false}, duplicate: 5%,
     reorder: 10%, reorder_gap: 5, corrupt: 1%, delay_correlation: 50%}}
  - {at: 1m, for: 1m, flap: {nodes: kiosk, up: 2s, down: 3s}}
  - {at: 1m, for: 1m, clog: shop}
  - {at: 2m, for: 1m, split: [[core-1, shop], [core-2], [core-3, kiosk]]}
  - {at: 40m, for: 30s, crash: [core-1, shop]}
  - {at: 41m, for: 30s, stop: core-1}
  - {at: 42m, for: 8m, pause: {nodes: kiosk, suspend: true}}
  - {at: 51m, for: 1s, wipe: kiosk}
  - {at: 52m, for: 1s, wipe_streams: core-1}
  - {at: 53m, for: 1s, restore: {nodes: kiosk, ago: 50m, silent: true}}
  - {at: 54m, for: 1m, clone: {nodes: kiosk, ago: 5s}}
  - {at: 55m, bit_flip: {nodes: shop, class: op}}
  - {at: 56m, for: 1s, lose_synced: {nodes: shop, ago: 3s}}
  - {at: 57m, for: 1m, disk_full: shop}
  - {at: 57m, for: 1m, disk_reserve: kiosk}
  - {at: 57m, for: 1m, slow_disk: {nodes: core-1, by: 5s}}
  - {at: 58m, for: 1s, fsync_error: core-2}
  - {at: 59m, clock_step: {nodes: shop, by: -1h}}
  - {at: 59m, clock_drift: {nodes: shop, ppm: 200ppm}}
  - {at: 59m, stream_loss: {nodes: core-3, count: 100, cut: true}}
  - {at: 60m, stream_away:}
  - {at: 61m, leave: car-2}
  - {at: 62m, move_link: {nodes: shop, to: core-3}}
  - {at: 60m, upgrade: all}
  - {at: 64m, permanent: true, crash: car-1}
expect:
  converge: true
  within: 90s
  facts: [forked]
  refused: disk_reserve
  acked: 10
  at_core: 5
`

func TestLoadEverything(t *testing.T) {
	t.Parallel()
	p := load(t, everything)
	if p.Name != "some" || p.Shows != "Two shops and a car, with everything that can be said." {
		t.Errorf("name %q, shows %q", p.Name, p.Shows)
	}
	car := sim.NodePlan{
		Name: "car-2", Spaces: []string{"*"}, Join: 10 * time.Minute, Labels: map[string]string{"env": "test"},
		Attach: "core-2", Compress: true,
	}
	if len(p.Nodes) != 7 || !p.Nodes[2].Core || !reflect.DeepEqual(p.Nodes[5], car) || p.Nodes[6].Name != "kiosk" {
		t.Errorf("nodes = %+v", p.Nodes)
	}
	shop := p.Nodes[3]
	if shop.Drift != -20 || shop.Offset != time.Hour || !reflect.DeepEqual(shop.Labels,
		map[string]string{"env": "test", "site": "north", "app": "till"}) {
		t.Errorf("shop = %+v", shop)
	}
	loss := sim.Chance{P: 0.01, MeanPreserving: true}
	if want := (sim.Quality{Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: loss}); p.Net != want {
		t.Errorf("default link = %+v, want %+v", p.Net, want)
	}
	links := []sim.LinkPlan{
		{
			Nodes: []string{"core-1", "core-2", "core-3"}, Peers: []string{"core-1", "core-2", "core-3"},
			Quality: sim.Quality{Delay: time.Millisecond, Loss: sim.Chance{MeanPreserving: true}},
		},
		{Nodes: []string{"car-1", "car-2"}, Direction: sim.To, Quality: sim.Quality{
			Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: loss, Bandwidth: 8000, Buffer: 32 << 10,
			Burst: sim.Burst{Enter: 0.01, Leave: 0.2, Bad: 1},
		}},
	}
	if !reflect.DeepEqual(p.Links, links) {
		t.Errorf("links = %+v, want %+v", p.Links, links)
	}
	wl := &sim.Workload{
		Clients: 7, Sessions: 2, Spaces: []string{"default", "store-1"}, Every: 5 * time.Second, Until: time.Hour,
		Roam: 0.125, Same: 0.3, Keyed: 0.5, Core: 0.2, Batch: 4,
		Mix: map[sim.CallKind]int{sim.CallAppend: 6, sim.CallRead: 2},
		TTL: 30 * time.Minute, AtCores: true, Nodes: []string{"shop", "kiosk"},
	}
	if !reflect.DeepEqual(p.Workload, wl) {
		t.Errorf("workload = %+v, want %+v", p.Workload, wl)
	}
	calls := []sim.Call{
		{
			At: 5 * time.Second, Client: "shop", Node: "shop", Space: "default", Session: "s-1", Order: "chat",
			TTL: 24 * time.Hour,
		},
		{
			At: 6 * time.Second, Client: "shop", Node: "shop", Space: "default", Session: "s-1", Kind: sim.CallMove,
			To: "ended", IfMatch: true,
		},
		{At: 7 * time.Second, Client: "core-1", Node: "core-1", Space: "default", Kind: sim.CallChanges},
		{
			At: 20 * time.Minute, Client: "ann", Node: "car-1", Space: "store-1", Session: "s-1", Kind: sim.CallAppend,
			Target: 1, Batch: 2, Core: true, Keyed: true,
			Retries: []sim.Retry{{After: time.Minute, Node: "shop", Always: true}},
		},
	}
	if !reflect.DeepEqual(p.Calls, calls) {
		t.Errorf("calls = %+v, want %+v", p.Calls, calls)
	}
	want := sim.Expect{
		Converge: true, Within: 90 * time.Second, Facts: []string{"forked"}, Refused: []string{"disk_reserve"},
		Acked: 10, AtCore: 5,
	}
	if !reflect.DeepEqual(p.Expect, want) {
		t.Errorf("expect = %+v, want %+v", p.Expect, want)
	}
	checkFaults(t, p)
}

// checkFaults looks at some faults of the file above.
func checkFaults(t *testing.T, p *sim.Plan) {
	t.Helper()
	if !slices.IsSortedFunc(p.Faults, func(a, b sim.Fault) int { return int(a.At - b.At) }) {
		t.Error("faults are not in the order of time")
	}
	kinds := map[sim.FaultKind]int{}
	lines := strings.Split(everything, "\n")
	for _, f := range p.Faults {
		kinds[f.Kind]++
		if line := lines[f.Line-1]; !strings.Contains(line, f.Kind.String()+":") && !strings.Contains(line, "split:") {
			t.Errorf("a %v is read from line %d: %s", f.Kind, f.Line, line)
		}
	}
	for k := sim.Partition; k <= sim.Upgrade; k++ {
		if kinds[k] == 0 {
			t.Errorf("no fault of kind %d", k)
		}
	}
	find := func(kind sim.FaultKind, at time.Duration) sim.Fault {
		i := slices.IndexFunc(p.Faults, func(f sim.Fault) bool { return f.Kind == kind && f.At == at })
		if i < 0 {
			t.Fatalf("no fault of kind %d at %v", kind, at)
		}
		return p.Faults[i]
	}
	line := 1 + strings.Count(everything[:strings.Index(everything, "partition:")], "\n")
	part := find(sim.Partition, 30*time.Minute)
	if !reflect.DeepEqual(part.Nodes, []string{"shop", "kiosk"}) || len(part.Peers) != 3 || part.Direction != sim.To ||
		part.Line != line {
		t.Errorf("partition = %+v", part)
	}
	bad := find(sim.Degrade, 25*time.Minute)
	want := sim.Quality{
		Delay: 2 * time.Second, Loss: sim.Chance{P: 0.3, Correlation: 0.25},
		Duplicate: sim.Chance{P: 0.05, MeanPreserving: true}, Reorder: sim.Chance{P: 0.1, MeanPreserving: true},
		ReorderGap: 5, Corrupt: sim.Chance{P: 0.01, MeanPreserving: true},
		DelayCorr: 0.5,
	}
	if bad.Quality != want || len(bad.Nodes) != 7 || len(bad.Peers) != 7 {
		t.Errorf("degrade = %+v, want quality %+v between all", bad, want)
	}
	first := find(sim.Partition, 2*time.Minute)
	others := []string{"core-2", "core-3", "kiosk"}
	if !reflect.DeepEqual(first.Nodes, []string{"core-1", "shop"}) || !reflect.DeepEqual(first.Peers, others) {
		t.Errorf("split = %+v, want the first group against all others", first)
	}
	restore := find(sim.Restore, 53*time.Minute)
	if restore.Ago != 50*time.Minute || !restore.Silent {
		t.Errorf("restore = %+v", restore)
	}
	if f := find(sim.ClockStep, 59*time.Minute); f.Delay != -time.Hour {
		t.Errorf("clock_step = %+v", f)
	}
	if f := find(sim.Crash, 64*time.Minute); !f.Permanent || f.For != 0 {
		t.Errorf("permanent crash = %+v", f)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	p := load(t, "length: 5m\n")
	want := sim.Plan{
		Name: "some", Length: 5 * time.Minute, Settle: 5 * time.Minute,
		Net:    sim.Quality{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond},
		Expect: sim.Expect{Converge: true},
	}
	for _, name := range []string{"ntp-1", "ntp-2", "ntp-3"} {
		want.Time.Servers = append(want.Time.Servers,
			sim.TimeServer{Name: name, Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
	}
	for _, name := range []string{"core-1", "core-2", "core-3", "edge-1", "edge-2", "edge-3", "edge-4", "edge-5"} {
		want.Nodes = append(want.Nodes, sim.NodePlan{Name: name, Core: strings.HasPrefix(name, "core")})
	}
	if !reflect.DeepEqual(*p, want) {
		t.Errorf("Load of a length = %+v, want %+v", *p, want)
	}
	p = load(t, "length: 5m\nworkload: {clients: 2}\n")
	wl := &sim.Workload{Clients: 2, Sessions: 3, Every: 10 * time.Second, Batch: 1}
	if !reflect.DeepEqual(p.Workload, wl) {
		t.Errorf("workload = %+v, want %+v", p.Workload, wl)
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "500ms": time.Second / 2, "0s": 0,
		"90s": 90 * time.Second,
	} {
		if got := load(t, "length: "+text+"\n").Length; got != want {
			t.Errorf("length: %s is read as %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{
		"d", "1.5d", "30", "1d-2h", "1d+2h", "-1d", "200000d", "106751d24h", "1dd", "+1d", "''",
	} {
		if _, err := scenario.Load("f.yaml", []byte("length: "+text+"\n"), 0, nil); err == nil {
			t.Errorf("length: %s is taken", text)
		}
	}
}

func TestNodeLists(t *testing.T) {
	t.Parallel()
	p := load(t, "length: 1m\nnodes:\n  - edge: b\n  - core: a\n    drift: 5ppm\n  - edge: c\n    spaces: [x, all]\n")
	want := []sim.NodePlan{{Name: "b"}, {Name: "a", Core: true, Drift: 5}, {Name: "c", Spaces: []string{"x", "*"}}}
	if !reflect.DeepEqual(p.Nodes, want) {
		t.Errorf("nodes = %+v, want %+v", p.Nodes, want)
	}
	p = load(t, "length: 1m\nnodes: {cores: 1, edges: {count: 1000, spaces: s}}\nfaults: [{at: 1s, crash: edge-99*}]\n")
	if len(p.Nodes) != 1001 || p.Nodes[1000].Name != "edge-1000" || len(p.Faults[0].Nodes) != 11 {
		t.Errorf("%d nodes, the last %+v, %d crash", len(p.Nodes), p.Nodes[len(p.Nodes)-1], len(p.Faults[0].Nodes))
	}
}

func TestDrawnPlansMayContradictThemselves(t *testing.T) {
	t.Parallel()
	text := "length: 1m\nfaults:\n  - {at: 1s, for: 5m, crash: {nodes: [edge-1, edge-1]}}\n" +
		"  - {at: 2m, stop: {nodes: [edge-1]}}\n"
	if _, err := scenario.Load("f.yaml", []byte(text), 0, nil); err == nil {
		t.Error("a contradiction of a person is taken")
	}
	if _, err := scenario.Load("f.yaml", []byte("drawn: true\n"+text), 0, nil); err != nil {
		t.Errorf("a contradiction of chance: %v", err)
	}
}

func TestShipped(t *testing.T) {
	t.Parallel()
	names := scenario.Names()
	if len(names) < 24 {
		t.Errorf("%d scenarios ship, want at least 24", len(names))
	}
	for _, name := range names {
		text, err := scenario.Shipped(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# ") {
			t.Errorf("%s does not begin with a comment", name)
		}
		p, err := scenario.LoadShipped(name, 1)
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		if !strings.HasSuffix(p.Shows, ".") || len(p.Shows) < 30 {
			t.Errorf("%s shows %q, want a sentence", name, p.Shows)
		}
		if p.Workload == nil && len(p.Calls) == 0 {
			t.Errorf("%s: nobody does anything", name)
		}
		if p.Expect.Acked == 0 {
			t.Errorf("%s: passes if nothing is ever acknowledged; say expect: acked", name)
		}
		var out strings.Builder
		if err := scenario.Write(&out, p); err != nil {
			t.Errorf("%s cannot be written: %v", name, err)
		}
	}
	if _, err := scenario.Shipped("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Shipped(none) = %v, want fs.ErrNotExist", err)
	}
	if _, err := scenario.LoadShipped("none", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadShipped(none) = %v, want fs.ErrNotExist", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(chaosDocument))
	f.Add([]byte("length: 1s\nnodes: {cores: 1, edges: [{name: a, count: 9}]}\n" +
		"faults: [{at: 1s, split: [[a-*], [core-1]]}]\n"))
	f.Add([]byte("drawn: true\nfaults: [{crash: {}}, {chaos: {kind: NetworkChaos}}]\ncalls: [{open:}]\n"))
	f.Add([]byte("? [a]\n: b\n---\n<<: {kind: x}\n"))
	for _, name := range scenario.Names() {
		text, err := scenario.Shipped(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := scenario.Load("f.yaml", text, 1, fstest.MapFS{})
		if (p == nil) == (err == nil) {
			t.Fatalf("Load(%q) = %v, %v; want a plan or an error", text, p, err)
		}
		again, err2 := scenario.Load("f.yaml", text, 1, fstest.MapFS{})
		if !reflect.DeepEqual(p, again) || (err != nil && err.Error() != err2.Error()) {
			t.Fatalf("Load(%q) gives different things:\n%v %v\n%v %v", text, p, err, again, err2)
		}
		if p == nil {
			return
		}
		var out strings.Builder
		if err := scenario.Write(&out, p); err != nil {
			t.Fatalf("Write of the plan of %q = %v", text, err)
		}
	})
}
