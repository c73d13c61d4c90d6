package scenario_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/netem"
	"github.com/causeway-sync/causeway/sim/scenario"
)

// draw makes plans of every kind that chance could put together, sense or not.
type draw struct {
	t     *rapid.T
	nodes []string
}

func (d *draw) flag(name string) bool { return rapid.Bool().Draw(d.t, name) }

func (d *draw) span(name string) time.Duration {
	return time.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, math.MaxInt64/2)).Draw(d.t, name))
}

func (d *draw) shift(name string) time.Duration {
	if d.flag(name) {
		return -d.span(name)
	}
	return d.span(name)
}

func (d *draw) part(name string) float64 {
	return rapid.OneOf(rapid.Just(0.0), rapid.Just(1.0), rapid.Float64Range(0, 1)).Draw(d.t, name)
}

func (d *draw) count(name string) int { return rapid.IntRange(0, 1<<40).Draw(d.t, name) }

func (d *draw) text(name string) string { return rapid.String().Draw(d.t, name) }

func (d *draw) word(name string) string {
	other := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._~:-]{0,20}`)
	return rapid.OneOf(rapid.Just("true"), rapid.Just("007"), other).Draw(d.t, name)
}

func (d *draw) node(name string) string { return rapid.SampledFrom(d.nodes).Draw(d.t, name) }

func (d *draw) some(name string) []string {
	return none(rapid.SliceOfN(rapid.SampledFrom(d.nodes), 0, 5).Draw(d.t, name))
}

func (d *draw) texts(name string) []string {
	return none(rapid.SliceOfN(rapid.String(), 0, 3).Draw(d.t, name))
}

func none(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

func (d *draw) times(name string, n int) int { return rapid.IntRange(0, n).Draw(d.t, name) }

func (d *draw) chance(name string) sim.Chance {
	return sim.Chance{P: d.part(name), Correlation: d.part(name), MeanPreserving: d.flag(name)}
}

func (d *draw) quality() sim.Quality {
	return sim.Quality{
		Delay: d.span("delay"), Jitter: d.span("jitter"), Loss: d.chance("loss"),
		Burst: netem.Burst{
			Enter: d.part("enter"), Leave: d.part("leave"), Bad: d.part("bad"), Good: d.part("good"),
		},
		Duplicate: d.chance("duplicate"), Copies: d.count("copies"), Reorder: d.chance("reorder"), ReorderGap: d.count("gap"),
		Corrupt: d.chance("corrupt"), DelayCorr: d.part("delay correlation"),
		Bandwidth: d.count("bandwidth"), Buffer: d.count("buffer"),
	}
}

func (d *draw) direction() sim.Direction {
	return rapid.SampledFrom([]sim.Direction{sim.Both, sim.To, sim.From}).Draw(d.t, "direction")
}

func (d *draw) plan() *sim.Plan {
	p := &sim.Plan{
		Name: d.text("name"), Shows: d.text("shows"), Required: d.count("required"), Length: d.span("length"),
		Settle: d.span("settle"), Messages: d.flag("messages"), Window: min(d.count("window"), 64), Budget: d.count("budget"), Net: d.quality(),
		Timing: sim.Timing{Heartbeat: d.span("heartbeat"), Fsync: d.span("fsync"), Sweep: d.span("sweep")},
		Expect: sim.Expect{
			Converge: d.flag("converge"), Within: d.span("within"), Facts: d.texts("facts"), Without: d.texts("without"), Refused: d.texts("refused"),
			Acked: d.count("acked"), AtCore: d.count("at core"),
		},
	}
	p.Nodes = d.plannedNodes()
	p.Time = d.timePlan()
	for range d.times("counts", 2) {
		c := sim.Count{Of: d.text("of"), From: d.span("from"), To: d.span("to"), Nodes: d.some("at"), Over: d.span("over"),
			Least: d.count("least"), Most: sim.NoLimit}
		if d.flag("limited") {
			c.Most = d.count("most")
		}
		p.Expect.Counts = append(p.Expect.Counts, c)
	}
	for range d.times("links", 2) {
		p.Links = append(p.Links, sim.LinkPlan{
			Nodes: d.some("nodes"), Peers: d.some("peers"), Direction: d.direction(), Quality: d.quality(),
		})
	}
	for range d.times("calls", 3) {
		p.Calls = append(p.Calls, d.call())
	}
	if d.flag("workload") {
		p.Workload = d.workload()
	}
	for range d.times("faults", 4) {
		p.Faults = append(p.Faults, d.fault())
	}
	slices.SortStableFunc(p.Calls, func(a, b sim.Call) int { return int(min(max(a.At-b.At, -1), 1)) })
	slices.SortStableFunc(p.Faults, func(a, b sim.Fault) int { return int(min(max(a.At-b.At, -1), 1)) })
	return p
}

func (d *draw) plannedNodes() []sim.NodePlan {
	name := rapid.StringMatching(`[a-z][a-z0-9-]{3,10}x`)
	d.nodes = rapid.SliceOfNDistinct(name, 1, 6, rapid.ID[string]).Draw(d.t, "nodes")
	var list []sim.NodePlan
	for _, name := range d.nodes {
		n := sim.NodePlan{
			Name: name, Core: d.flag("core"), Spaces: d.texts("spaces"), Join: d.span("join"),
			Drift: float64(d.shift("drift")) / 7, Offset: d.shift("offset"), Compress: d.flag("compress"),
			NTP: d.flag("ntp"),
		}
		if d.flag("attach") {
			n.Attach = d.node("attach")
		}
		if d.flag("labels") {
			n.Labels = map[string]string{d.word("key") + "1": d.text("value"), d.word("key") + "2": d.text("value")}
		}
		list = append(list, n)
	}
	return list
}

func (d *draw) timePlan() sim.TimePlan {
	p := sim.TimePlan{Poll: d.span("poll"), Limit: d.span("limit")}
	for range d.times("servers", 3) {
		p.Servers = append(p.Servers, sim.TimeServer{
			Name: d.text("server"), Delay: d.span("delay"), Jitter: d.span("jitter"), Loss: d.part("loss"),
			Conduct: sim.Conduct(d.times("conduct", int(sim.Slowing))), Lie: d.shift("lie"), From: d.span("from"), For: d.span("for"),
		})
	}
	return p
}

func (d *draw) call() sim.Call {
	c := sim.Call{
		At: d.span("at"), Client: d.text("client"), Node: d.node("node"), Space: d.text("space"), Session: d.text("session"),
		Kind: sim.CallKind(d.times("kind", int(sim.CallText))), Target: d.count("target"), Batch: d.count("batch"),
		Core: d.flag("core"), Keyed: d.flag("keyed"), Reuse: d.flag("reuse"),
		IfMatch: d.flag("if match"), To: d.text("to"), Order: d.text("order"), TTL: d.span("ttl"),
	}
	for range d.times("retries", 2) {
		r := sim.Retry{After: d.span("after"), Always: d.flag("always")}
		if d.flag("elsewhere") {
			r.Node = d.node("retry")
		}
		c.Retries = append(c.Retries, r)
	}
	return c
}

func (d *draw) workload() *sim.Workload {
	w := &sim.Workload{
		Clients: 1 + d.count("clients"), Sessions: 1 + d.count("sessions"), Spaces: d.texts("spaces"),
		Every: 1 + d.span("every"), Until: d.span("until"), Roam: d.part("roam"),
		Same: d.part("same"), Keyed: d.part("keyed"), Reuse: d.part("reuse"),
		Late: d.part("late"), Match: d.part("match"), Core: d.part("core"),
		Batch: d.count("batch"), TTL: d.span("ttl"), AtCores: d.flag("at cores"), Nodes: d.some("nodes"),
	}
	if d.flag("mix") {
		w.Mix = map[sim.CallKind]int{sim.CallKind(d.times("kind", int(sim.CallText))): d.count("weight"), sim.CallRead: 1}
	}
	return w
}

func (d *draw) fault() sim.Fault {
	return sim.Fault{
		Kind: sim.FaultKind(1 + d.times("kind", int(sim.Upgrade)-1)), At: d.span("at"), For: d.span("for"),
		Nodes: d.some("nodes"), Peers: d.some("peers"), Direction: d.direction(), Quality: d.quality(),
		Up: d.span("up"), Down: d.span("down"),
		Delay: d.shift("by"), Ago: d.span("ago"), PPM: float64(d.shift("ppm")) / 3, Count: d.count("count"),
		Class: d.text("class"), Suspend: d.flag("suspend"), Silent: d.flag("silent"), Cut: d.flag("cut"),
		Permanent: d.flag("permanent"),
	}
}

// forgetLines clears what Write does not keep.
func forgetLines(p *sim.Plan) *sim.Plan {
	for i := range p.Faults {
		p.Faults[i].Line = 0
	}
	return p
}

func TestWrittenPlanIsReadBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := (&draw{t: t}).plan()
		var out bytes.Buffer
		if err := scenario.Write(&out, p); err != nil {
			t.Fatalf("Write(%+v) = %v\n%s", p, err, out.String())
		}
		back, err := scenario.Load("f.yaml", out.Bytes(), 9, nil)
		if err != nil {
			t.Fatalf("Load of what Write gave = %v\n%s", err, out.String())
		}
		if !reflect.DeepEqual(forgetLines(back), p) {
			t.Fatalf("read back:\n%+v\nwant:\n%+v\ntext:\n%s", back, p, out.String())
		}
	})
}

// Every field of a plan must be drawn by the property above, so that a field
// which is added later and not written is noticed.
func TestEveryFieldIsDrawn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) { note(seen, "Plan", reflect.ValueOf((&draw{t: t}).plan())) })
	var all []string
	fields(reflect.TypeFor[sim.Plan](), "Plan", &all)
	for _, path := range all {
		if !seen[path] && path != "Plan.Faults.Line" {
			t.Errorf("no plan of this test has set %s: draw it, read it, write it", path)
		}
	}
}

// fields lists the leaves of a type.
func fields(t reflect.Type, path string, into *[]string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		fields(t.Elem(), path, into)
	case reflect.Struct:
		for f := range t.Fields() {
			fields(f.Type, path+"."+f.Name, into)
		}
	default:
		*into = append(*into, path)
	}
}

// note marks the leaves of a value that are not zero.
func note(seen map[string]bool, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			note(seen, path, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			note(seen, path, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			note(seen, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	default:
		seen[path] = seen[path] || !v.IsZero()
	}
}

func TestPlansThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	nodes := []sim.NodePlan{{Name: "core-1", Core: true}, {Name: "edge-1"}}
	for name, p := range map[string]*sim.Plan{
		"a node that is not there": {Nodes: nodes, Faults: []sim.Fault{{Kind: sim.Crash, Nodes: []string{"edge-2"}}}},
		"no kind of fault":         {Nodes: nodes, Faults: []sim.Fault{{Nodes: []string{"edge-1"}}}},
		"an unknown kind of fault": {Nodes: nodes, Faults: []sim.Fault{{Kind: 200, Nodes: []string{"edge-1"}}}},
		"an unknown kind of call":  {Nodes: nodes, Calls: []sim.Call{{Kind: 200, Node: "edge-1"}}},
		"calls out of order":       {Nodes: nodes, Calls: []sim.Call{{At: 2, Node: "edge-1"}, {At: 1, Node: "edge-1"}}},
		"a negative time":          {Nodes: nodes, Length: -1},
		"a chance over one":        {Nodes: nodes, Net: sim.Quality{Loss: sim.Chance{P: 1.5}}},
		"no number":                {Nodes: nodes, Net: sim.Quality{DelayCorr: math.NaN()}},
		"bytes that are no text":   {Nodes: nodes, Name: "\xff"},
		"a strange direction":      {Nodes: nodes, Faults: []sim.Fault{{Kind: sim.Clog, Direction: 7}}},
		"twin nodes":               {Nodes: []sim.NodePlan{{Name: "a", Core: true}, {Name: "a"}}},
	} {
		var out bytes.Buffer
		if err := scenario.Write(&out, p); !errors.Is(err, scenario.ErrNotWritable) || out.Len() > 0 {
			t.Errorf("Write of a plan with %s = %v and %d bytes, want ErrNotWritable and none", name, err, out.Len())
		}
	}
}

func TestWriteReportsTheWriter(t *testing.T) {
	t.Parallel()
	err := scenario.Write(brokenWriter{}, &sim.Plan{Nodes: []sim.NodePlan{{Name: "core-1", Core: true}}})
	if err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("Write = %v, want the writer's error", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }
