package scenario

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

var chaosActions = []string{"netem", "delay", "loss", "duplicate", "corrupt", "partition", "bandwidth"}

var specKeys = []string{
	"action", "mode", "value", "selector", "device", "duration", "direction", "target", "targetDevice", "externalTargets",
	"remoteCluster", "scheduler", "delay", "loss", "duplicate", "corrupt", "rate", "bandwidth",
}

// chaosSpec reads what a document does, and to whom.
func (b *builder) chaosSpec(v *value, s *chaosSpec) {
	before := len(b.faults)
	o := b.object(v, specKeys...)
	if v.form != mapping {
		return
	}
	if o.has("scheduler") {
		b.fail(o.near("scheduler"), "scheduler", "none: give each time of it a faults entry")
	}
	if o.has("remoteCluster") {
		b.fail(o.near("remoteCluster"), "remoteCluster", "none: there is one cluster here")
	}
	action, direction := "", "to"
	if !b.choice(o.at("action"), chaosActions, &action) && o.at("action") == nil {
		b.fail(v, "no action", oneOf(chaosActions))
	}
	for _, key := range []string{"device", "targetDevice"} { // a node has one, whatever its name
		ignored := ""
		b.text(o.at(key), &ignored)
	}
	if d := o.at("duration"); d != nil {
		b.lastingChaos(d, &s.duration)
	}
	b.choice(o.at("direction"), directions, &direction)
	for d, word := range directions {
		if word == direction {
			s.direction = sim.Direction(d)
		}
	}
	s.kind = sim.Degrade
	if action == "partition" {
		s.kind = sim.Partition
	}
	b.chaosQuality(o, action, &s.quality)
	s.selector = b.choiceOf(o, "selector")
	b.chaosTarget(o, action, s)
	s.ok = len(b.faults) == before
}

// chaosTarget reads the other side.
func (b *builder) chaosTarget(o object, action string, s *chaosSpec) {
	if t := o.at("target"); t != nil {
		s.target = b.choiceOf(b.object(t, "selector", "mode", "value"), "selector")
	}
	ext := o.at("externalTargets")
	var names []string
	b.texts(ext, &names)
	for _, name := range names {
		if _, ok := b.node(name); !ok {
			b.fail(ext, strconv.Quote(name), "the name of a node: there is nothing else here that could be reached")
			continue
		}
		s.external = append(s.external, name)
	}
	if s.direction == sim.To || action == "partition" {
		return
	}
	if ext != nil {
		b.fail(ext, "externalTargets with direction "+directions[s.direction], "direction to, or action partition")
	}
	if s.target == nil {
		b.fail(o.near("direction"), "direction "+directions[s.direction]+" without a target", "a target, or direction to")
	}
}

// goDuration is what Chaos Mesh's schema lets through.
var goDuration = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)

func (b *builder) lastingChaos(v *value, into *time.Duration) {
	d, err := time.ParseDuration(v.text)
	if v.form != scalar || err != nil || !goDuration.MatchString(v.text) {
		b.expect(v, "a duration like 30s, 500ms or 1h")
		return
	}
	*into = d
}

// chaosQuality reads how bad links get. As in Chaos Mesh, sections that do not
// concern the action have no effect; those of netem add up.
func (b *builder) chaosQuality(o object, action string, into *sim.Quality) {
	var netem, tbf sim.Quality
	b.chaosDelay(o.at("delay"), &netem)
	b.chaosChance(o.at("loss"), "loss", &netem.Loss)
	b.chaosChance(o.at("duplicate"), "duplicate", &netem.Duplicate)
	b.chaosChance(o.at("corrupt"), "corrupt", &netem.Corrupt)
	if v := o.at("rate"); v != nil {
		b.chaosRate(b.object(v, "rate"), &netem.Bandwidth)
	}
	if v := o.at("bandwidth"); v != nil {
		bo := b.object(v, "rate", "limit", "buffer", "peakrate", "minburst")
		b.chaosRate(bo, &tbf.Bandwidth)
		ignored := 0 // of a message at a time, the bucket makes no difference
		b.needed(bo, "limit")
		b.needed(bo, "buffer")
		b.count(bo.at("limit"), 1, &tbf.Buffer)
		b.count(bo.at("buffer"), 1, &ignored)
		b.count(bo.at("peakrate"), 0, &ignored)
		b.count(bo.at("minburst"), 0, &ignored)
	}
	switch action {
	case "partition", "":
	case "bandwidth":
		*into = tbf
	default:
		*into = netem
	}
	section := o.at(action)
	switch {
	case action == "" || action == "partition":
	case action == "netem" && netem == (sim.Quality{}):
		b.fail(o.value, "action netem without delay, loss, duplicate, corrupt or rate", "one of them")
	case action != "netem" && section == nil:
		b.fail(o.value, "action "+action+" without "+action+":", "it")
	}
}

func (b *builder) needed(o object, key string) {
	if o.value.form == mapping && o.at(key) == nil {
		b.fail(o.value, "no "+key, "it")
	}
}

func (b *builder) chaosDelay(v *value, q *sim.Quality) {
	if v == nil {
		return
	}
	o := b.object(v, "latency", "correlation", "jitter", "reorder")
	b.needed(o, "latency")
	if d := o.at("latency"); d != nil {
		b.lastingChaos(d, &q.Delay)
	}
	if d := o.at("jitter"); d != nil {
		b.lastingChaos(d, &q.Jitter)
	}
	b.chaosPercent(o.at("correlation"), &q.DelayCorr)
	if r := o.at("reorder"); r != nil {
		ro := b.object(r, "reorder", "correlation", "gap")
		b.chaosChanceOf(ro, "reorder", &q.Reorder)
		b.needed(ro, "gap")
		b.count(ro.at("gap"), 0, &q.ReorderGap)
	}
}

// chaosChance reads a section like loss: {loss: "25", correlation: "50"}.
func (b *builder) chaosChance(v *value, key string, c *sim.Chance) {
	if v != nil {
		b.chaosChanceOf(b.object(v, key, "correlation"), key, c)
	}
}

func (b *builder) chaosChanceOf(o object, key string, c *sim.Chance) {
	b.needed(o, key)
	b.chaosPercent(o.at(key), &c.P)
	b.chaosPercent(o.at("correlation"), &c.Correlation)
	c.MeanPreserving = b.keepMean
}

// chaosPercent reads a percentage without a sign, which is a text in Chaos Mesh.
func (b *builder) chaosPercent(v *value, into *float64) {
	if v == nil {
		return
	}
	p, ok := fraction(v.text)
	switch {
	case v.form != scalar || !ok:
		b.expect(v, `a percentage from "0" to "100", without a sign`)
	case !v.quoted:
		b.fail(v, v.text, "a text: put it in quotes, "+strconv.Quote(v.text))
	default:
		*into = p
	}
}

// chaosRate reads a rate: bps, kbps, … are bytes and powers of 1024 here, bit,
// kbit, … are bits and powers of 1000.
func (b *builder) chaosRate(o object, into *int) {
	b.needed(o, "rate")
	v := o.at("rate")
	if v == nil {
		return
	}
	s := strings.ToLower(strings.TrimSpace(v.text))
	n, ok := bitRate(s)
	for i, unit := range []string{"bps", "kbps", "mbps", "gbps", "tbps"} {
		digits, found := strings.CutSuffix(s, unit)
		k, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
		if found && err == nil && k <= math.MaxInt64>>(10*i) {
			n, ok = int(k<<(10*i)), k > 0
		}
	}
	if v.form != scalar || !ok {
		b.expect(v, "a rate like 1mbps (bytes) or 512kbit")
		return
	}
	*into = n
}
