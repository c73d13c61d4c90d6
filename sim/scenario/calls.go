package scenario

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// callWords are the kinds of call as files name them.
var callWords = []string{
	sim.CallOpen: "open", sim.CallAppend: "append", sim.CallEdit: "edit", sim.CallRedact: "redact",
	sim.CallPatch: "patch", sim.CallAdd: "add", sim.CallInsert: "insert", sim.CallRemove: "remove", sim.CallMove: "move",
	sim.CallErase: "erase", sim.CallRead: "read", sim.CallChanges: "changes", sim.CallText: "text",
}

var callKeys = []string{
	"at", "client", "node", "space", "target", "batch", "core", "keyed", "reuse", "if_match", "to", "order", "ttl",
	"retries",
}

// fitting says which keys only some kinds of call have a use for.
var fitting = map[string][]sim.CallKind{
	"to":       {sim.CallMove},
	"order":    {sim.CallOpen},
	"ttl":      {sim.CallOpen},
	"batch":    {sim.CallAppend},
	"core":     writes,
	"keyed":    writes,
	"reuse":    {sim.CallAppend, sim.CallPatch},
	"if_match": writes,
	"retries":  writes,
}

var writes = []sim.CallKind{
	sim.CallOpen, sim.CallAppend, sim.CallEdit, sim.CallRedact, sim.CallPatch, sim.CallAdd, sim.CallInsert,
	sim.CallRemove, sim.CallMove, sim.CallErase, sim.CallText,
}

// calls reads what clients ask for, one by one.
func (b *builder) calls(v *value) {
	for _, item := range b.list(v) {
		if c, ok := b.call(item); ok {
			b.plan.Calls = append(b.plan.Calls, c)
		}
	}
	slices.SortStableFunc(b.plan.Calls, func(a, b sim.Call) int { return cmp.Compare(a.At, b.At) })
}

func (b *builder) call(v *value) (sim.Call, bool) {
	o := b.object(v, slices.Concat(callKeys, callWords)...)
	if v.form != mapping {
		return sim.Call{}, false
	}
	c := sim.Call{Space: "default"}
	kind, ok := b.theOne(o, callWords, "a call")
	if !ok {
		return c, false
	}
	c.Kind = sim.CallKind(slices.Index(callWords, kind))
	b.when(o, "at", &c.At)
	b.text(o.at(kind), &c.Session)
	b.text(o.at("node"), &c.Node)
	c.Client = c.Node
	b.text(o.at("client"), &c.Client)
	b.text(o.at("space"), &c.Space)
	b.count(o.at("target"), 0, &c.Target)
	b.count(o.at("batch"), 0, &c.Batch)
	b.boolean(o.at("core"), &c.Core)
	b.boolean(o.at("keyed"), &c.Keyed)
	b.boolean(o.at("reuse"), &c.Reuse)
	b.boolean(o.at("if_match"), &c.IfMatch)
	b.text(o.at("to"), &c.To)
	b.text(o.at("order"), &c.Order)
	b.duration(o.at("ttl"), &c.TTL)
	for _, item := range b.list(o.at("retries")) {
		ro := b.object(item, "after", "node", "always")
		r := sim.Retry{}
		if !b.duration(ro.at("after"), &r.After) && ro.at("after") == nil && item.form == mapping {
			b.fail(item, "no after", "after: how long after the call")
		}
		b.text(ro.at("node"), &r.Node)
		b.boolean(ro.at("always"), &r.Always)
		b.callNode(ro.at("node"), r.Node, c.Space, c.At+r.After)
		c.Retries = append(c.Retries, r)
	}
	if o.at("node") == nil && !b.drawn {
		b.fail(v, "no node", "node: and who is asked")
	}
	b.callNode(o.at("node"), c.Node, c.Space, c.At)
	b.checkCall(o, kind, c)
	return c, true
}

// theOne gives the one key of o that is among words.
func (b *builder) theOne(o object, words []string, what string) (string, bool) {
	var found []string
	for _, w := range words {
		if o.has(w) {
			found = append(found, w)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], true
	case len(found) == 0 && len(o.pairs) > 0 && b.unknownKey(o):
		return "", false // that fault says it all
	case len(found) == 0:
		b.fail(o.value, "nothing that happens", what+": "+oneOf(words))
	default:
		b.fail(o.value, strings.Join(found, " and "), "one of them")
	}
	return "", false
}

// unknownKey reports whether o has a key that is not known: it probably is the
// one that is missed.
func (b *builder) unknownKey(o object) bool {
	return slices.ContainsFunc(o.pairs, func(p pair) bool { return o.said[p.key] == 0 })
}

// when reads a time since the beginning of the run.
func (b *builder) when(o object, key string, into *time.Duration) {
	if b.duration(o.at(key), into) && *into > b.plan.Length && !b.drawn {
		b.fail(o.at(key), show(*into), "a time within the length of "+show(b.plan.Length))
	}
}

// callNode checks who is asked.
func (b *builder) callNode(v *value, name, space string, at time.Duration) {
	if v == nil || name == "" {
		return
	}
	n, ok := b.node(name)
	switch {
	case !ok:
		b.noMatch(v, name)
	case b.drawn:
	case at < n.Join:
		b.fail(v, "a call to "+name+" at "+show(at), "one after it joins at "+show(n.Join))
	case !carries(n, space):
		b.fail(v, name+", which does not carry space "+space, "a node that does, or spaces: at the node")
	}
}

func carries(n sim.NodePlan, space string) bool {
	return n.Core || space == "default" || slices.Contains(n.Spaces, space) || slices.Contains(n.Spaces, "*")
}

var moves = []string{"active", "paused", "ended", "reopened"}

// checkCall looks for what a call of its kind has no use for.
func (b *builder) checkCall(o object, word string, c sim.Call) {
	if b.drawn {
		return
	}
	if c.Kind != sim.CallChanges && !words.MatchString(c.Session) {
		if at := o.at(word); at != nil {
			b.expect(at, "a session: "+wordsRule)
		} else {
			b.fail(o.value, word+" without a session", "the name of one")
		}
	}
	for _, key := range callKeys {
		kinds, special := fitting[key]
		if special && o.has(key) && !slices.Contains(kinds, c.Kind) {
			b.fail(o.near(key), key+" at "+word, "it only at "+kindsText(kinds))
		}
	}
	if c.Kind == sim.CallMove && !slices.Contains(moves, c.To) {
		b.fail(o.value, "move to "+strconv.Quote(c.To), "to: "+oneOf(moves))
	}
	if c.Order != "" && c.Order != "turns" && c.Order != "chat" {
		b.expect(o.at("order"), "turns or chat")
	}
	for _, key := range []string{"client", "space"} {
		if at := o.at(key); at != nil && !words.MatchString(at.text) {
			b.expect(at, wordsRule)
		}
	}
}

func kindsText(kinds []sim.CallKind) string {
	if len(kinds) == len(writes) {
		return "writes"
	}
	var list []string
	for _, k := range kinds {
		list = append(list, callWords[k])
	}
	return oneOf(list)
}
