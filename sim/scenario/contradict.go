package scenario

import (
	"fmt"

	"github.com/causeway-sync/causeway/sim"
)

// contradictions looks for faults that cannot both be meant: two that take the
// same node down at once, anything that befalls a node after it has left, two
// rhythms of one link, a cluster that is never healed.
func (b *builder) contradictions() {
	byNode := map[string][]placed{}
	for _, f := range b.faultsAt {
		if p := rules[f.Kind].peers; p == "" || f.Kind == sim.MoveLink {
			for _, name := range f.Nodes {
				b.againstEarlier(name, f, byNode[name])
				byNode[name] = append(byNode[name], f)
			}
		}
	}
	b.rhythms()
	b.majority()
	b.callsOfGone(byNode)
}

// againstEarlier compares a fault of a node with those that begin before it.
func (b *builder) againstEarlier(name string, f placed, before []placed) {
	for _, e := range before {
		now, then := rules[f.Kind], rules[e.Kind]
		switch {
		case e.Kind == sim.Leave:
			b.clash(f, e, now.word+" of "+name+" at "+show(f.At), "nothing after it has left")
		case e.Kind == sim.Upgrade && f.Kind == sim.Upgrade:
			b.clash(f, e, "a second upgrade of "+name, "one")
		case f.At >= b.ends(e):
		case (now.down || f.Kind == sim.Leave) && then.down:
			b.clash(f, e, now.word+" of "+name+" at "+show(f.At), "a time when it runs")
		case now.alone && f.Kind == e.Kind:
			b.clash(f, e, "a second "+now.word+" of "+name+" at "+show(f.At), "a time after the first")
		default:
			continue
		}
		return
	}
}

// clash reports two faults that contradict each other.
func (b *builder) clash(f, earlier placed, got, want string) {
	r := rules[earlier.Kind]
	about := fmt.Sprintf("%s; %s in line %d", want, r.word, earlier.at.line)
	if !r.instant {
		about += " lasts until " + show(b.ends(earlier))
	}
	b.fail(f.at, got, about)
}

// rhythms looks for two flaps of one link at a time.
func (b *builder) rhythms() {
	for i, f := range b.faultsAt {
		if f.Kind != sim.Flap {
			continue
		}
		for _, e := range b.faultsAt[:i] {
			if e.Kind == sim.Flap && f.At < b.ends(e) && b.share(f, e) {
				b.clash(f, e, "a second flap of one link", "one rhythm at a time")
				break
			}
		}
	}
}

// share reports whether two faults of links have a link in common.
func (b *builder) share(f, e placed) bool {
	for _, x := range b.plan.Nodes {
		for _, y := range b.plan.Nodes {
			if x.Name != y.Name && f.Befalls(x.Name, y.Name) && e.Befalls(x.Name, y.Name) {
				return true
			}
		}
	}
	return false
}

// majority checks that enough core nodes are there when all shall agree.
func (b *builder) majority() {
	cores, lost := 0, map[string]placed{}
	for _, n := range b.plan.Nodes {
		if n.Core {
			cores++
		}
	}
	for _, f := range b.faultsAt {
		if !f.Permanent && f.Kind != sim.Leave {
			continue
		}
		for _, name := range f.Nodes {
			if n, _ := b.node(name); n.Core {
				lost[name] = f
			}
		}
		if len(lost)*2 >= cores && b.plan.Expect.Converge {
			b.fail(f.at, fmt.Sprintf("%d of %d core nodes that are never healed", len(lost), cores),
				"a majority that is, or expect: {converge: false}")
			return
		}
	}
}

// callsOfGone looks for calls to nodes that have left.
func (b *builder) callsOfGone(byNode map[string][]placed) {
	for _, c := range b.plan.Calls {
		for _, f := range byNode[c.Node] {
			if f.Kind == sim.Leave && c.At > f.At {
				b.fail(f.at, "leave of "+c.Node+" at "+show(f.At), "no call to it afterwards; there is one at "+show(c.At))
				break
			}
		}
	}
}
