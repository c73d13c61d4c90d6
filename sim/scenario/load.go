package scenario

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/scenarios"
)

// maxFileBytes bounds a scenario file.
const maxFileBytes = 16 << 20

// What a file that does not say otherwise gets.
const (
	defaultLength = 10 * time.Minute // of a file with Chaos Mesh documents only
	defaultSettle = 5 * time.Minute
)

func defaultNet() sim.Quality {
	return sim.Quality{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond}
}

// Load reads a scenario file; name stands for it in errors. The seed decides
// where a NetworkChaos document leaves a choice; the same text and seed give the
// same plan. Files named under chaos: are looked up in beside, which may be nil.
// The error joins one *config.FieldError per fault.
func Load(name string, data []byte, seed uint64, beside fs.FS) (*sim.Plan, error) {
	b := &builder{
		reader: &reader{files: []string{name}}, plan: &sim.Plan{}, seed: seed, beside: beside, index: map[string]int{},
	}
	if len(data) > maxFileBytes {
		return nil, &config.FieldError{At: name, Path: "file", Got: "more than 16 MiB", Rule: "less"}
	}
	docs, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	b.plan.Name = strings.TrimSuffix(path.Base(name), ".yaml")
	b.plan.Shows = firstComment(string(data))
	b.documents(docs)
	if err := b.err(); err != nil {
		return nil, err
	}
	return b.plan, nil
}

// Names gives the names of the scenarios that ship, ascending.
func Names() []string {
	entries, err := fs.ReadDir(scenarios.Files, ".")
	if err != nil {
		panic("scenario: embedded files: " + err.Error()) // they are part of the binary
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Shipped gives the text of a scenario that ships, and fs.ErrNotExist for
// another name.
func Shipped(name string) ([]byte, error) { return fs.ReadFile(scenarios.Files, name+".yaml") }

// LoadShipped loads a scenario that ships.
func LoadShipped(name string, seed uint64) (*sim.Plan, error) {
	data, err := Shipped(name)
	if err != nil {
		return nil, err
	}
	return Load(name+".yaml", data, seed, scenarios.Files)
}

// firstComment gives the first paragraph of the comment that a file begins with.
func firstComment(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		rest = strings.TrimSpace(rest)
		if !ok || rest == "" {
			break
		}
		out = append(out, rest)
	}
	return strings.Join(out, " ")
}

// builder makes a plan of the documents of a file.
type builder struct {
	*reader
	plan       *sim.Plan
	seed       uint64
	beside     fs.FS
	drawn      bool // by the simulator: what people would not write is let through
	keepMean   bool // chances preserve the mean unless they say otherwise
	index      map[string]int
	nodeValues []*value // where each node is written
	faultsAt   []placed
	chaos      []*chaosDoc
}

var topKeys = []string{
	"name", "shows", "drawn", "correlation", "nodes", "required", "length", "settle", "timing", "messages", "window",
	"budget", "links", "time", "workload", "calls", "faults", "chaos", "expect",
}

// documents sorts the documents of a file into ours and those of Chaos Mesh.
func (b *builder) documents(docs []*value) {
	var main *value
	for _, doc := range docs {
		switch {
		case isChaos(doc):
			b.addChaos(doc, doc.line)
		case main == nil:
			main = doc
		default:
			b.fail(doc, "a second scenario document", "one, and NetworkChaos documents beside it")
		}
	}
	if main == nil && len(b.chaos) == 0 {
		b.failAt(b.files[0], 1, "", "no document", "a scenario")
		return
	}
	b.scenario(b.object(main, topKeys...), main == nil)
}

// scenario reads the main document. Without one, chaos befalls a small cluster
// with some work to do.
func (b *builder) scenario(o object, bare bool) {
	p := b.plan
	b.text(o.at("name"), &p.Name)
	b.text(o.at("shows"), &p.Shows)
	b.boolean(o.at("drawn"), &b.drawn)
	mode := ""
	if b.choice(o.at("correlation"), []string{"kernel", "keep_mean"}, &mode) {
		b.keepMean = mode == "keep_mean"
	}
	p.Length, p.Settle = defaultLength, defaultSettle
	if !b.duration(o.at("length"), &p.Length) && !bare && o.at("length") == nil && o.value.form == mapping {
		b.failAt(o.file, o.line, "length", "nothing", "how long faults and work go on, like 10m")
	}
	b.duration(o.at("settle"), &p.Settle)
	b.nodes(o.at("nodes"))
	b.checkNodes()
	b.required(o.at("required"))
	b.timing(o.at("timing"))
	b.boolean(o.at("messages"), &p.Messages)
	b.window(o.at("window"))
	b.count(o.at("budget"), 0, &p.Budget)
	b.links(o.at("links"))
	b.times(o.at("time"))
	if bare {
		p.Workload = defaultWorkload()
	}
	b.workload(o.at("workload"))
	b.calls(o.at("calls"))
	b.chaosFiles(o.at("chaos"))
	b.faultList(o.at("faults"))
	b.chaosFaults()
	b.expectations(o.at("expect"))
	b.finish()
}

func (b *builder) required(v *value) {
	b.count(v, 0, &b.plan.Required)
	cores := 0
	for _, n := range b.plan.Nodes {
		if n.Core {
			cores++
		}
	}
	if b.plan.Required > cores && !b.drawn {
		b.expect(v, "at most as many as there are core nodes")
	}
}

func (b *builder) window(v *value) {
	b.count(v, 0, &b.plan.Window)
	if b.plan.Window > sim.MaxWindow {
		b.expect(v, "at most "+strconv.Itoa(sim.MaxWindow))
	}
}

func (b *builder) timing(v *value) {
	o := b.object(v, "heartbeat", "fsync", "sweep")
	b.duration(o.at("heartbeat"), &b.plan.Timing.Heartbeat)
	if every := b.plan.Timing.Heartbeat; !b.drawn && every > 0 && every < sim.MinHeartbeat {
		b.expect(o.at("heartbeat"), "at least "+show(sim.MinHeartbeat)+", the product's: it can only be stretched")
	}
	b.duration(o.at("fsync"), &b.plan.Timing.Fsync)
	b.duration(o.at("sweep"), &b.plan.Timing.Sweep)
}

// show writes a duration as people do.
func show(d time.Duration) string { return config.Duration(d).String() }
