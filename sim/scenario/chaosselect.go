package scenario

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

var chaosModes = []string{"one", "all", "fixed", "fixed-percent", "random-max-percent"}

// choice is how nodes are chosen among those that a selector matches.
type choice struct {
	among []string
	mode  string
	value int
}

// draw chooses nodes; they come in the order of the plan.
// Source: pkg/selector/generic/mode.go of Chaos Mesh.
func (c *choice) draw(rng *rand.Rand) []string {
	n := 0
	switch c.mode {
	case "one":
		n = 1
	case "all":
		return slices.Clone(c.among)
	case "fixed":
		n = min(c.value, len(c.among))
	case "fixed-percent":
		n = len(c.among) * c.value / 100
	case "random-max-percent":
		n = len(c.among) * rng.IntN(c.value+1) / 100
	}
	picked := rng.Perm(len(c.among))[:n]
	slices.Sort(picked)
	var out []string
	for _, i := range picked {
		out = append(out, c.among[i])
	}
	return out
}

// choiceOf reads a selector with its mode and value.
func (b *builder) choiceOf(o object, key string) *choice {
	c := &choice{}
	if !b.choice(o.at("mode"), chaosModes, &c.mode) && o.at("mode") == nil && o.value.form == mapping {
		b.fail(o.value, "no mode", oneOf(chaosModes))
	}
	v := o.at("value")
	low, high := 0, 0
	switch c.mode {
	case "fixed":
		low, high = 1, maxNodes
	case "fixed-percent", "random-max-percent":
		low, high = 1, 100
	}
	if low > 0 {
		n, text := 0, ""
		if v != nil && v.form == scalar {
			text = v.text
		}
		n, err := strconv.Atoi(text)
		switch {
		case err != nil || n < low || n > high:
			b.fail(o.near("value"), "value "+strconv.Quote(text), "a text from "+strconv.Quote(strconv.Itoa(low))+" to "+
				strconv.Quote(strconv.Itoa(high))+" with mode "+c.mode)
		case !v.quoted:
			b.fail(v, v.text, "a text: put it in quotes, "+strconv.Quote(v.text))
		}
		c.value = n
	}
	if o.at(key) == nil {
		if o.value.form == mapping && !o.has(key) {
			b.fail(o.value, "no "+key, "it; an empty one, {}, matches all nodes")
		}
		for _, n := range b.plan.Nodes {
			c.among = append(c.among, n.Name)
		}
		return c
	}
	c.among = b.selector(o.at(key))
	if c.mode == "fixed-percent" && len(c.among) > 0 && c.value > 0 && len(c.among)*c.value < 100 {
		b.fail(o.near("value"), strconv.Itoa(c.value)+" % of "+strconv.Itoa(len(c.among))+" nodes, which is none",
			"at least "+strconv.Itoa((99+len(c.among))/len(c.among)))
	}
	return c
}

var selectorKeys = []string{
	"namespaces", "fieldSelectors", "labelSelectors", "expressionSelectors", "annotationSelectors", "nodes", "pods",
	"nodeSelectors", "podPhaseSelectors",
}

// selector gives the nodes that a selector matches. A node of ours is a pod;
// what lies below pods cannot be meant.
func (b *builder) selector(v *value) []string {
	before := len(b.faults)
	o := b.object(v, selectorKeys...)
	for _, refuse := range []struct{ key, hint string }{
		{"annotationSelectors", "labelSelectors: nodes have labels and no annotations"},
		{"nodes", "pods or labelSelectors: a node of causeway is a pod here, and machines are not simulated"},
		{"nodeSelectors", "labelSelectors: a node of causeway is a pod here, and machines are not simulated"},
	} {
		if o.has(refuse.key) {
			b.fail(o.near(refuse.key), refuse.key, refuse.hint)
		}
	}
	out := b.pods(o.at("pods"))
	if o.at("pods") == nil { // as in Chaos Mesh, pods overrule the rest
		for _, n := range b.plan.Nodes {
			out = append(out, n.Name)
		}
		out = b.inNamespaces(o.at("namespaces"), out)
		out = b.labelled(o.at("labelSelectors"), out)
		out = b.fields(o.at("fieldSelectors"), out)
		for _, item := range b.list(o.at("expressionSelectors")) {
			out = b.expression(item, out)
		}
		b.phases(o.at("podPhaseSelectors"))
	}
	if len(out) == 0 && len(b.faults) == before {
		b.fail(v, "a selector that matches no node", "one that matches; "+b.knownNodes(false)+"; labels: "+b.knownLabels())
	}
	return out
}

// knownLabels lists what nodes are labelled with, for an error.
func (b *builder) knownLabels() string {
	seen := map[string]bool{}
	var list []string
	for _, n := range b.plan.Nodes {
		for key := range labelsOf(n) {
			if !seen[key] {
				seen[key] = true
				list = append(list, key)
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// pods reads namespace: [names].
func (b *builder) pods(v *value) []string {
	if v == nil {
		return nil
	}
	if v.form != mapping {
		b.expect(v, "namespaces with lists of names")
		return nil
	}
	var out []string
	for _, p := range v.pairs {
		var names []string
		b.texts(p.value, &names)
		for _, name := range names {
			n, ok := b.node(name)
			switch {
			case !ok:
				b.fail(p.value, strconv.Quote(name)+", a node that does not exist", b.knownNodes(false))
			case labelsOf(n)[labelNamespace] != p.key:
				b.failAt(p.value.file, p.line, p.value.path, "namespace "+strconv.Quote(p.key)+" for "+name,
					labelsOf(n)[labelNamespace]+", which the node's label "+labelNamespace+" says")
			default:
				out = appendNew(out, name)
			}
		}
	}
	return out
}

// keep gives those of names whose labels satisfy a condition.
func (b *builder) keep(names []string, ok func(labels map[string]string) bool) []string {
	var out []string
	for _, name := range names {
		if n, _ := b.node(name); ok(labelsOf(n)) {
			out = append(out, name)
		}
	}
	return out
}

func (b *builder) inNamespaces(v *value, names []string) []string {
	var wanted []string
	b.texts(v, &wanted)
	if len(wanted) == 0 {
		return names
	}
	out := b.keep(names, func(l map[string]string) bool { return slices.Contains(wanted, l[labelNamespace]) })
	if len(out) == 0 {
		b.fail(v, "namespaces without nodes: "+strings.Join(wanted, ", "), "default, or nodes with a label "+labelNamespace)
	}
	return out
}

func (b *builder) labelled(v *value, names []string) []string {
	wanted := b.selection(v)
	return b.keep(names, func(l map[string]string) bool {
		for key, want := range wanted {
			if have, there := l[key]; !there || have != want {
				return false
			}
		}
		return true
	})
}

// selection reads keys and texts.
func (b *builder) selection(v *value) map[string]string {
	out := map[string]string{}
	if v == nil {
		return out
	}
	if v.form != mapping {
		b.expect(v, "keys and values")
	}
	for _, p := range v.pairs {
		s := ""
		if p.value.form == absent || b.text(p.value, &s) {
			out[p.key] = s
		}
	}
	return out
}

func (b *builder) fields(v *value, names []string) []string {
	if v == nil {
		return names
	}
	wanted := b.selection(v)
	for _, p := range v.pairs {
		if p.key != "metadata.name" && p.key != "metadata.namespace" {
			b.failAt(v.file, p.line, join(v.path, p.key), "a field that nodes do not have",
				"metadata.name or metadata.namespace")
		}
	}
	return b.keep(names, func(l map[string]string) bool {
		name, one := wanted["metadata.name"]
		space, two := wanted["metadata.namespace"]
		return (!one || l[labelNode] == name) && (!two || l[labelNamespace] == space)
	})
}

var operators = []string{"In", "NotIn", "Exists", "DoesNotExist"}

// expression reads {key, operator, values} as Kubernetes does.
func (b *builder) expression(v *value, names []string) []string {
	o := b.object(v, "key", "operator", "values")
	key, operator := "", ""
	var values []string
	if !b.text(o.at("key"), &key) || !b.choice(o.at("operator"), operators, &operator) {
		if v.form == mapping && (o.at("key") == nil || o.at("operator") == nil) {
			b.fail(v, "an expression without key or operator", "both")
		}
		return names
	}
	b.texts(o.at("values"), &values)
	if in := operator == "In" || operator == "NotIn"; in != (len(values) > 0) {
		b.fail(o.near("values"), operator+" with "+strconv.Itoa(len(values))+" values",
			map[bool]string{true: "at least one", false: "none"}[in])
		return names
	}
	return b.keep(names, func(l map[string]string) bool {
		have, there := l[key]
		switch operator {
		case "In":
			return there && slices.Contains(values, have)
		case "NotIn":
			return !there || !slices.Contains(values, have)
		case "Exists":
			return there
		}
		return !there
	})
}

// phases checks pod phases: a node that is simulated is running.
func (b *builder) phases(v *value) {
	var wanted []string
	b.texts(v, &wanted)
	if len(wanted) > 0 && !slices.Contains(wanted, "Running") {
		b.fail(v, strings.Join(wanted, ", "), "Running, which nodes are")
	}
}
