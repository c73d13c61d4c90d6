package scenario

import (
	"github.com/causeway-sync/causeway/sim"
)

// links reads what links are like when nothing is wrong with them.
func (b *builder) links(v *value) {
	b.plan.Net = defaultNet()
	o := b.object(v, "default", "between")
	if at := o.at("default"); at != nil {
		lo := b.object(at, qualityKeys...)
		b.quality(lo, &b.plan.Net)
		b.jitterFits(lo, &b.plan.Net)
	}
	for _, item := range b.list(o.at("between")) {
		lo := b.object(item, append([]string{"nodes", "to", "direction"}, qualityKeys...)...)
		l := sim.LinkPlan{Quality: b.plan.Net}
		b.sides(lo, "to", &l.Nodes, &l.Peers, &l.Direction)
		b.quality(lo, &l.Quality)
		b.jitterFits(lo, &l.Quality)
		b.plan.Links = append(b.plan.Links, l)
	}
}

// jitterFits checks that nothing can arrive before it is sent.
func (b *builder) jitterFits(o object, q *sim.Quality) {
	if q.Jitter > q.Delay && !b.drawn {
		b.fail(o.near("jitter"), "a jitter of "+show(q.Jitter), "at most the delay of "+show(q.Delay))
	}
}

// sides reads between whom something is.
func (b *builder) sides(o object, peers string, nodes, others *[]string, d *sim.Direction) {
	if o.at("nodes") == nil && o.value.form == mapping && !b.drawn {
		b.fail(o.value, "no nodes", "nodes: and whom it befalls")
	}
	b.refs(o.at("nodes"), nodes)
	b.refs(o.at(peers), others)
	b.direction(o.at("direction"), d)
	if b.drawn || len(*nodes) == 0 || (o.at(peers) != nil && len(*others) == 0) {
		return
	}
	if len(*others) == 0 && len(*nodes) == len(b.plan.Nodes) {
		b.fail(o.value, "all nodes and nobody else", "nodes on both sides: say "+peers+": all to mean all pairs")
	}
	if len(*nodes) == 1 && len(*others) == 1 && (*nodes)[0] == (*others)[0] {
		b.fail(o.value, "a link from "+(*nodes)[0]+" to itself", "two nodes")
	}
}

var directions = []string{sim.Both: "both", sim.To: "to", sim.From: "from"}

func (b *builder) direction(v *value, into *sim.Direction) {
	word := ""
	if !b.choice(v, directions, &word) {
		return
	}
	for d, name := range directions {
		if name == word {
			*into = sim.Direction(d)
		}
	}
}

var qualityKeys = []string{
	"delay", "jitter", "delay_correlation", "loss", "burst", "duplicate", "copies", "reorder", "reorder_gap",
	"corrupt", "bandwidth", "buffer",
}

// quality lays what a mapping says over q. A delay by itself has no jitter.
func (b *builder) quality(o object, q *sim.Quality) {
	if b.duration(o.at("delay"), &q.Delay) {
		q.Jitter = 0
	}
	b.duration(o.at("jitter"), &q.Jitter)
	b.percent(o.at("delay_correlation"), &q.DelayCorr)
	b.chance(o.at("loss"), &q.Loss)
	b.burst(o.at("burst"), &q.Burst)
	b.chance(o.at("duplicate"), &q.Duplicate)
	b.count(o.at("copies"), 0, &q.Copies)
	b.chance(o.at("reorder"), &q.Reorder)
	b.count(o.at("reorder_gap"), 0, &q.ReorderGap)
	b.chance(o.at("corrupt"), &q.Corrupt)
	b.rate(o.at("bandwidth"), &q.Bandwidth)
	b.size(o.at("buffer"), &q.Buffer)
}

// chance reads "30%", or that with a correlation.
func (b *builder) chance(v *value, c *sim.Chance) {
	if v == nil {
		return
	}
	*c = sim.Chance{MeanPreserving: b.keepMean}
	if v.form != mapping {
		b.percent(v, &c.P)
		return
	}
	o := b.object(v, "chance", "correlation", "keep_mean")
	if !b.percent(o.at("chance"), &c.P) && o.at("chance") == nil {
		b.fail(v, "no chance", "chance: and a percentage")
	}
	b.percent(o.at("correlation"), &c.Correlation)
	b.boolean(o.at("keep_mean"), &c.MeanPreserving)
}

// burst reads loss in bad times, all of which is lost unless it says otherwise.
func (b *builder) burst(v *value, into *sim.Burst) {
	if v == nil {
		return
	}
	o := b.object(v, "enter", "leave", "bad", "good")
	*into = sim.Burst{Bad: 1}
	b.percent(o.at("enter"), &into.Enter)
	b.percent(o.at("leave"), &into.Leave)
	b.percent(o.at("bad"), &into.Bad)
	b.percent(o.at("good"), &into.Good)
	if !b.drawn && v.form == mapping && (!o.has("enter") || !o.has("leave")) {
		b.fail(v, "a burst without enter or leave", "both: the chances that bad times begin and end")
	}
}
