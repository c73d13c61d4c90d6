package scenario

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/sim"
)

var (
	expectKeys = []string{"converge", "within", "facts", "without", "refused", "acked", "at_core", "counts"}
	countKeys  = []string{"of", "during", "nodes", "over", "at_least", "at_most"}
)

// expectations reads what must come out.
func (b *builder) expectations(v *value) {
	e := &b.plan.Expect
	e.Converge = true
	o := b.object(v, expectKeys...)
	b.boolean(o.at("converge"), &e.Converge)
	b.duration(o.at("within"), &e.Within)
	b.known(o.at("facts"), "a fact", sim.Facts(), &e.Facts)
	b.known(o.at("without"), "a fact", sim.Facts(), &e.Without)
	b.known(o.at("refused"), "a code", sim.Codes(), &e.Refused)
	b.count(o.at("acked"), 0, &e.Acked)
	b.count(o.at("at_core"), 0, &e.AtCore)
	for _, item := range b.list(o.at("counts")) {
		b.counted(item)
	}
	if b.drawn {
		return
	}
	if e.Within > b.plan.Settle {
		b.fail(o.at("within"), show(e.Within), "at most settle, which is "+show(b.plan.Settle))
	}
	if e.AtCore > max(e.Acked, 0) && o.at("acked") != nil {
		b.expect(o.at("at_core"), "at most as many as acked")
	}
}

// known reads names, each of which is in a table.
func (b *builder) known(v *value, what string, names []string, into *[]string) {
	b.texts(v, into)
	if v == nil || b.drawn {
		return
	}
	items := []*value{v}
	if v.form == list {
		items = v.items
	}
	for _, item := range items {
		if item.form == scalar && !slices.Contains(names, item.text) {
			b.fail(item, strconv.Quote(item.text), what+" that there is"+config.Nearest(item.text, names))
		}
	}
}

// counted reads how often something may and must happen.
func (b *builder) counted(v *value) {
	c := sim.Count{Most: sim.NoLimit}
	o := b.object(v, countKeys...)
	b.text(o.at("of"), &c.Of)
	b.during(o.at("during"), &c)
	b.refs(o.at("nodes"), &c.Nodes)
	b.duration(o.at("over"), &c.Over)
	b.count(o.at("at_least"), 0, &c.Least)
	b.count(o.at("at_most"), 0, &c.Most)
	b.plan.Expect.Counts = append(b.plan.Expect.Counts, c)
	if b.drawn || v.form != mapping {
		return
	}
	calls, facts := slices.Concat(sim.Countable(), sim.Codes()), sim.Facts()
	switch {
	case o.at("of") == nil:
		b.fail(v, "nothing that is counted", "of: "+oneOf(sim.Countable())+", a code or a fact")
	case slices.Contains(facts, c.Of):
		if o.has("during") || o.has("nodes") || o.has("over") {
			b.fail(v, "a fact with during, nodes or over", "of and how often: facts are counted for the whole run")
		}
	case !slices.Contains(calls, c.Of):
		b.fail(o.at("of"), strconv.Quote(c.Of), "an outcome, a code or a fact"+config.Nearest(c.Of, slices.Concat(calls, facts)))
	}
	switch {
	case c.Least == 0 && c.Most == sim.NoLimit:
		b.fail(v, "a count that is always right", "at_least from 1, or at_most")
	case c.Most != sim.NoLimit && c.Most < c.Least:
		b.fail(o.at("at_most"), strconv.Itoa(c.Most), "at_least, which is "+strconv.Itoa(c.Least)+", or more")
	}
}

// during reads a stretch of time: 1m-3m. What has no end lasts to that of the run.
func (b *builder) during(v *value, c *sim.Count) {
	text := ""
	if !b.text(v, &text) {
		return
	}
	from, to, ok := strings.Cut(text, "-")
	read := func(s string, into *time.Duration) {
		d, err := parseDuration(s)
		ok = ok && err == nil && d >= 0
		*into = d
	}
	read(from, &c.From)
	if to != "" {
		read(to, &c.To)
		ok = ok && (c.To > c.From || b.drawn)
	}
	if !ok {
		b.expect(v, "two times, the later one behind, like 90s-5m, or one like 5m-")
	}
}
