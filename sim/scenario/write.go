package scenario

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/sim"
)

// ErrNotWritable says that a plan cannot be said in a file: a node that does
// not exist, a time that is negative, calls out of order.
var ErrNotWritable = errors.New("scenario: plan cannot be written")

// Write writes a plan as a scenario that [Load] gives back equal, apart from
// Fault.Line. It is marked as drawn, so that whatever chance has put together is
// let through. The error is an ErrNotWritable if there is no such text; then
// nothing is written.
func Write(w io.Writer, p *sim.Plan) error {
	var out writer
	out.plan(p)
	back, err := Load("plan.yaml", out.Bytes(), 0, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritable, err)
	}
	if !reflect.DeepEqual(plain(back), plain(p)) {
		return fmt.Errorf("%w: what is read back differs", ErrNotWritable)
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write scenario: %w", err)
	}
	return nil
}

// plain gives a copy of a plan in which what is empty is nil and lines are gone.
func plain(p *sim.Plan) *sim.Plan {
	c := *p
	c.Nodes = slices.Clone(p.Nodes)
	for i := range c.Nodes {
		n := &c.Nodes[i]
		n.Spaces = none(n.Spaces)
		if len(n.Labels) == 0 {
			n.Labels = nil
		}
	}
	c.Links = none(slices.Clone(p.Links))
	for i := range c.Links {
		c.Links[i].Nodes, c.Links[i].Peers = none(c.Links[i].Nodes), none(c.Links[i].Peers)
	}
	c.Time.Servers = none(p.Time.Servers)
	c.Calls = none(slices.Clone(p.Calls))
	for i := range c.Calls {
		c.Calls[i].Retries = none(c.Calls[i].Retries)
	}
	c.Faults = none(slices.Clone(p.Faults))
	for i := range c.Faults {
		f := &c.Faults[i]
		f.Nodes, f.Peers, f.Line = none(f.Nodes), none(f.Peers), 0
	}
	if p.Workload != nil {
		wl := *p.Workload
		wl.Spaces, wl.Nodes = none(wl.Spaces), none(wl.Nodes)
		if len(wl.Mix) == 0 {
			wl.Mix = nil
		}
		c.Workload = &wl
	}
	e := &c.Expect
	e.Facts, e.Without, e.Refused, e.Counts = none(e.Facts), none(e.Without), none(e.Refused), none(slices.Clone(e.Counts))
	for i := range e.Counts {
		e.Counts[i].Nodes = none(e.Counts[i].Nodes)
	}
	return &c
}

func none[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// writer renders a plan.
type writer struct{ bytes.Buffer }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.Buffer, format+"\n", args...) }

func (w *writer) plan(p *sim.Plan) {
	w.line("# Written by the simulator.")
	w.line("drawn: true")
	w.line("name: %s", quote(p.Name))
	w.line("shows: %s", quote(p.Shows))
	w.line("length: %s", show(p.Length))
	w.line("settle: %s", show(p.Settle))
	w.line("required: %d", p.Required)
	w.line("messages: %t", p.Messages)
	if p.Window > 0 {
		w.line("window: %d", p.Window)
	}
	if p.Budget > 0 {
		w.line("budget: %d", p.Budget)
	}
	t := p.Timing
	w.line("timing: %s", flow{}.span("heartbeat", t.Heartbeat).span("fsync", t.Fsync).span("sweep", t.Sweep))
	w.entries("nodes", len(p.Nodes), func(i int) flow { return nodeText(&p.Nodes[i]) })
	w.line("links:")
	w.line("  default: %s", qualityText(flow{}, p.Net, defaultNet()))
	if len(p.Links) > 0 {
		w.line("  between:")
	}
	for _, l := range p.Links {
		text := flow{}.names("nodes", l.Nodes).names("to", l.Peers).direction(l.Direction)
		w.line("    - %s", qualityText(text, l.Quality, p.Net))
	}
	if times := timesText(&p.Time); len(times) > 0 {
		w.line("time: %s", times)
	}
	if p.Workload != nil {
		w.line("workload: %s", workloadText(p.Workload))
	}
	w.entries("calls", len(p.Calls), func(i int) flow { return callText(&p.Calls[i]) })
	w.entries("faults", len(p.Faults), func(i int) flow { return faultText(&p.Faults[i]) })
	e := p.Expect
	f := flow{}.raw("converge", strconv.FormatBool(e.Converge)).span("within", e.Within).
		names("facts", e.Facts).names("without", e.Without).names("refused", e.Refused).count("acked", e.Acked).count("at_core", e.AtCore)
	if len(e.Counts) > 0 {
		var counts []string
		for i := range e.Counts {
			counts = append(counts, countText(&e.Counts[i]).String())
		}
		f = f.raw("counts", "["+strings.Join(counts, ", ")+"]")
	}
	w.line("expect: %s", f)
}

func countText(c *sim.Count) flow {
	f := flow{}.text("of", c.Of)
	switch {
	case c.To > 0:
		f = f.raw("during", show(c.From)+"-"+show(c.To))
	case c.From > 0:
		f = f.raw("during", show(c.From)+"-")
	}
	f = f.names("nodes", c.Nodes).span("over", c.Over).count("at_least", c.Least)
	if c.Most == sim.NoLimit {
		return f
	}
	return f.raw("at_most", strconv.Itoa(c.Most))
}

func (w *writer) entries(key string, n int, text func(i int) flow) {
	if n == 0 {
		if key == "nodes" {
			w.line("nodes: []")
		}
		return
	}
	w.line("%s:", key)
	for i := range n {
		w.line("  - %s", text(i))
	}
}

// flow is a mapping on one line. What is zero is left out.
type flow []string

func (f flow) String() string { return "{" + strings.Join(f, ", ") + "}" }

func (f flow) raw(key, text string) flow { return append(f, key+": "+text) }

func (f flow) text(key, s string) flow {
	if s == "" {
		return f
	}
	return f.raw(key, quote(s))
}

func (f flow) flag(key string, on bool) flow {
	if !on {
		return f
	}
	return f.raw(key, "true")
}

func (f flow) count(key string, n int) flow {
	if n == 0 {
		return f
	}
	return f.raw(key, strconv.Itoa(n))
}

func (f flow) span(key string, d time.Duration) flow {
	if d == 0 {
		return f
	}
	return f.raw(key, show(d))
}

func (f flow) part(key string, p float64) flow {
	if p == 0 {
		return f
	}
	return f.raw(key, percent(p))
}

func (f flow) ppm(key string, x float64) flow {
	if x == 0 {
		return f
	}
	return f.raw(key, strconv.FormatFloat(x, 'f', -1, 64)+"ppm")
}

func (f flow) names(key string, list []string) flow {
	if len(list) == 0 {
		return f
	}
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return f.raw(key, "["+strings.Join(quoted, ", ")+"]")
}

func (f flow) direction(d sim.Direction) flow {
	if d == sim.Both {
		return f
	}
	if int(d) >= len(directions) {
		return f.raw("direction", strconv.Itoa(int(d)))
	}
	return f.raw("direction", directions[d])
}

func nodeText(n *sim.NodePlan) flow {
	role := "edge"
	if n.Core {
		role = "core"
	}
	f := flow{}.raw(role, quote(n.Name)).names("spaces", n.Spaces)
	if len(n.Labels) > 0 {
		labels := flow{}
		for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
			labels = labels.raw(quote(key), quote(n.Labels[key]))
		}
		f = f.raw("labels", labels.String())
	}
	return f.ppm("drift", n.Drift).span("clock", n.Offset).flag("ntp", n.NTP).span("join", n.Join).text("attach", n.Attach).
		flag("compress", n.Compress)
}

// qualityText says in what q differs from what it is laid over.
func qualityText(f flow, q, over sim.Quality) flow {
	differ := func(key, text string, yes bool) {
		if yes {
			f = f.raw(key, text)
		}
	}
	chance := func(key string, c, over sim.Chance) { differ(key, chanceText(c), c != over) }
	differ("delay", show(q.Delay), q.Delay != over.Delay)
	differ("jitter", show(q.Jitter), q.Jitter != over.Jitter || q.Delay != over.Delay)
	differ("delay_correlation", percent(q.DelayCorr), q.DelayCorr != over.DelayCorr)
	chance("loss", q.Loss, over.Loss)
	b := q.Burst
	differ("burst", flow{}.raw("enter", percent(b.Enter)).raw("leave", percent(b.Leave)).raw("bad", percent(b.Bad)).
		raw("good", percent(b.Good)).String(), b != over.Burst)
	chance("duplicate", q.Duplicate, over.Duplicate)
	differ("copies", strconv.Itoa(q.Copies), q.Copies != over.Copies)
	chance("reorder", q.Reorder, over.Reorder)
	differ("reorder_gap", strconv.Itoa(q.ReorderGap), q.ReorderGap != over.ReorderGap)
	chance("corrupt", q.Corrupt, over.Corrupt)
	differ("bandwidth", bytesText(q.Bandwidth, "/s"), q.Bandwidth != over.Bandwidth)
	differ("buffer", bytesText(q.Buffer, ""), q.Buffer != over.Buffer)
	return f
}

func chanceText(c sim.Chance) string {
	if c.Correlation == 0 && !c.MeanPreserving {
		return percent(c.P)
	}
	f := flow{}.raw("chance", percent(c.P)).part("correlation", c.Correlation).flag("keep_mean", c.MeanPreserving)
	return f.String()
}

func bytesText(n int, per string) string {
	if n == 0 {
		return "none"
	}
	return config.Bytes(n).String() + per
}

func workloadText(wl *sim.Workload) flow {
	f := flow{}.raw("clients", strconv.Itoa(wl.Clients)).raw("sessions", strconv.Itoa(wl.Sessions)).
		raw("every", show(wl.Every)).raw("batch", strconv.Itoa(wl.Batch)).names("spaces", wl.Spaces).
		span("until", wl.Until).part("roam", wl.Roam).
		part("same", wl.Same).part("keyed", wl.Keyed).part("reuse", wl.Reuse).part("late", wl.Late).
		part("if_match", wl.Match).part("core", wl.Core)
	if len(wl.Mix) > 0 {
		mix := flow{}
		for _, kind := range slices.Sorted(maps.Keys(wl.Mix)) {
			mix = mix.raw(word(callWords, int(kind)), strconv.Itoa(wl.Mix[kind]))
		}
		f = f.raw("mix", mix.String())
	}
	return f.span("ttl", wl.TTL).flag("at_cores", wl.AtCores).names("nodes", wl.Nodes)
}

func callText(c *sim.Call) flow {
	f := flow{}.raw("at", show(c.At)).raw("client", quote(c.Client)).raw("node", quote(c.Node)).
		raw(word(callWords, int(c.Kind)), quote(c.Session)).raw("space", quote(c.Space)).count("target", c.Target).
		count("batch", c.Batch).flag("core", c.Core).flag("keyed", c.Keyed).flag("reuse", c.Reuse).
		flag("if_match", c.IfMatch).text("to", c.To).text("order", c.Order).span("ttl", c.TTL)
	if len(c.Retries) == 0 {
		return f
	}
	var list []string
	for _, r := range c.Retries {
		list = append(list, flow{}.raw("after", show(r.After)).text("node", r.Node).flag("always", r.Always).String())
	}
	return f.raw("retries", "["+strings.Join(list, ", ")+"]")
}

func faultText(f *sim.Fault) flow {
	head := flow{}.raw("at", show(f.At)).span("for", f.For).flag("permanent", f.Permanent)
	r := rule{word: strconv.Itoa(int(f.Kind))}
	if int(f.Kind) < len(rules) {
		r = rules[f.Kind]
	}
	body := flow{}.names("nodes", f.Nodes).names(cmp.Or(r.peers, "from"), f.Peers).direction(f.Direction)
	body = qualityText(body, f.Quality, sim.Quality{})
	body = body.span("up", f.Up).span("down", f.Down).span("by", f.Delay).span("ago", f.Ago).ppm("ppm", f.PPM).
		count("count", f.Count).text("class", f.Class).flag("suspend", f.Suspend).flag("silent", f.Silent).flag("cut", f.Cut)
	return head.raw(cmp.Or(r.word, "nothing"), body.String())
}

// word gives the name of a number, or digits that no reader takes.
func word(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return strconv.Itoa(i)
}

// percent writes a number from 0 to 1 so that reading gives exactly it: the
// decimal point moves, nothing is computed.
func percent(p float64) string {
	if math.IsNaN(p) || p < 0 || p > 1 {
		return strconv.FormatFloat(p, 'g', -1, 64)
	}
	whole, part, _ := strings.Cut(strconv.FormatFloat(p, 'f', -1, 64), ".")
	part += "00"
	whole, part = strings.TrimLeft(whole+part[:2], "0"), strings.TrimRight(part[2:], "0")
	if part != "" {
		part = "." + part
	}
	return cmp.Or(whole, "0") + part + "%"
}

var (
	bare     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./+-]*$`)
	reserved = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
)

// quote writes text as YAML, in quotes where it could be taken for something else.
func quote(s string) string {
	if bare.MatchString(s) && !slices.Contains(reserved, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}
