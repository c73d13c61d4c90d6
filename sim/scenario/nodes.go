package scenario

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/causeway-sync/causeway/internal/config"
	"github.com/causeway-sync/causeway/sim"
)

// maxNodes bounds what a typing error can ask for.
const maxNodes = 100_000

// The words that stand for groups of nodes, and what no node may be called.
const (
	allNodes  = "all"
	coreNodes = "cores"
	edgeNodes = "edges"
)

// Labels that every node has. Chaos Mesh selectors and our own can use them.
const (
	labelPrefix    = "causeway."
	labelNode      = "causeway.node"      // its name
	labelRole      = "causeway.role"      // core or edge
	labelSite      = "causeway.site"      // its label "site", or else its name
	labelNamespace = "causeway.namespace" // "default" unless the scenario says otherwise
)

const nameRule = "1 to 63 lower-case letters, digits and dashes, beginning with a letter or digit"

// names of spaces, sessions and clients, as the API has them.
var (
	words     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}$`)
	wordsRule = "1 to 128 letters, digits and any of . _ ~ : -"
)

// nodes reads who takes part: by groups, or one by one in a list.
func (b *builder) nodes(v *value) {
	if v == nil {
		b.add(&value{}, "core", 3, sim.NodePlan{Name: "core"})
		b.add(&value{}, "edge", 5, sim.NodePlan{Name: "edge"})
		return
	}
	if v.form == list {
		for _, item := range v.items {
			b.listed(item)
		}
	} else {
		o := b.object(v, "cores", "edges", "labels")
		common := b.labels(o.at("labels"))
		b.group(o.at("cores"), "core", common)
		b.group(o.at("edges"), "edge", common)
	}
	cores := 0
	for _, n := range b.plan.Nodes {
		if n.Core {
			cores++
		}
	}
	if b.drawn || len(b.faults) > 0 {
		return
	}
	if cores != 1 && cores != 3 && cores != 5 {
		b.fail(v, fmt.Sprintf("%d core nodes", cores), "1, 3 or 5")
	}
}

// group reads one role: a number, a list of names and descriptions, or one
// description with a count.
func (b *builder) group(v *value, role string, common map[string]string) {
	switch {
	case v == nil:
	case v.form == scalar:
		n := 0
		b.count(v, 0, &n)
		b.add(v, role, n, sim.NodePlan{Name: role, Labels: common})
	case v.form == mapping:
		b.described(v, role, role, common)
	case v.form == list:
		for _, item := range v.items {
			if item.form == scalar {
				b.add(item, role, -1, sim.NodePlan{Name: item.text, Labels: common})
			} else {
				b.described(item, role, "", common)
			}
		}
	default:
		b.expect(v, "a number, a list of names, or keys and values")
	}
}

var nodeKeys = []string{"spaces", "labels", "drift", "clock", "ntp", "join", "attach", "compress"}

// described reads a node, or as many as its count says.
func (b *builder) described(v *value, role, name string, common map[string]string) {
	o := b.object(v, append([]string{"name", "count", "shared"}, nodeKeys...)...)
	count := -1
	b.count(o.at("count"), 1, &count)
	if !b.text(o.at("name"), &name) && name == "" {
		if v.form == mapping {
			b.fail(v, "no name", "a name")
		}
		return
	}
	if count < 0 && o.at("name") == nil {
		b.fail(v, "neither a name nor a count", "one of them")
		return
	}
	from := len(b.plan.Nodes)
	b.add(v, role, count, b.details(o, sim.NodePlan{Name: name, Labels: common}))
	b.shared(o.at("shared"), b.plan.Nodes[from:])
}

// shared gives each so many nodes a space that they share: district-1, ….
func (b *builder) shared(v *value, nodes []sim.NodePlan) {
	if v == nil {
		return
	}
	o := b.object(v, "space", "by")
	space, by := "", 0
	b.name(o.at("space"), words, wordsRule, &space)
	b.count(o.at("by"), 1, &by)
	if space == "" || by == 0 || (len(nodes) > 0 && nodes[0].Core) {
		b.fail(v, "spaces that cannot be shared", "space: and by: how many edges share one")
		return
	}
	for i := range nodes {
		nodes[i].Spaces = append(slices.Clone(nodes[i].Spaces), space+"-"+strconv.Itoa(i/by+1))
	}
}

// listed reads one node of a plain list: "core: core-1" or "edge: shop".
func (b *builder) listed(v *value) {
	o := b.object(v, append([]string{"core", "edge"}, nodeKeys...)...)
	role := "edge"
	if o.has("core") {
		role = "core"
	}
	n := sim.NodePlan{}
	if o.has("core") == o.has("edge") || !b.text(o.at(role), &n.Name) {
		if v.form == mapping {
			b.fail(v, "no node", "core: NAME or edge: NAME")
		}
		return
	}
	b.add(v, role, -1, b.details(o, n))
}

func (b *builder) details(o object, n sim.NodePlan) sim.NodePlan {
	b.texts(o.at("spaces"), &n.Spaces)
	for i, s := range n.Spaces {
		if s == allNodes {
			n.Spaces[i] = "*"
		} else if s != "*" && !words.MatchString(s) && !b.drawn {
			b.fail(o.at("spaces"), strconv.Quote(s), wordsRule+", or all")
		}
	}
	if own := b.labels(o.at("labels")); len(own) > 0 {
		n.Labels = maps.Clone(n.Labels)
		if n.Labels == nil {
			n.Labels = own
		}
		maps.Copy(n.Labels, own)
	}
	b.ppm(o.at("drift"), &n.Drift)
	b.shift(o.at("clock"), &n.Offset)
	b.boolean(o.at("ntp"), &n.NTP)
	b.duration(o.at("join"), &n.Join)
	b.text(o.at("attach"), &n.Attach)
	b.boolean(o.at("compress"), &n.Compress)
	return n
}

func (b *builder) labels(v *value) map[string]string {
	if v == nil {
		return nil
	}
	if v.form != mapping {
		b.expect(v, "keys and values")
		return nil
	}
	out := map[string]string{}
	for _, p := range v.pairs {
		s := ""
		_, twice := out[p.key]
		switch {
		case twice:
			b.failAt(v.file, p.line, join(v.path, p.key), "the key twice", "it once")
		case strings.HasPrefix(p.key, labelPrefix) && p.key != labelNamespace && !b.drawn:
			b.failAt(v.file, p.line, join(v.path, p.key), "a label that every node has by itself", "another name")
		case p.value.form == absent || !b.text(p.value, &s):
			if p.value.form == absent {
				b.expect(p.value, "text")
			}
		}
		out[p.key] = s
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// add puts a node into the plan; with a count from 0, so many of them with
// numbers behind their names.
func (b *builder) add(v *value, role string, count int, n sim.NodePlan) {
	n.Core = role == "core"
	if n.Core && !b.drawn && (len(n.Spaces) > 0 || n.Attach != "") {
		b.fail(v, "a core node with spaces or attach", "none: a core node carries all spaces")
	}
	if count > maxNodes {
		b.fail(v, strconv.Itoa(count)+" nodes", fmt.Sprintf("at most %d", maxNodes))
		return
	}
	for i := range max(count, 1) {
		one := n
		if count == 0 {
			return
		}
		if count > 0 {
			one.Name += "-" + strconv.Itoa(i+1)
		}
		one.Labels = maps.Clone(n.Labels)
		b.addOne(v, one)
	}
}

func (b *builder) addOne(v *value, n sim.NodePlan) {
	if config.CheckNode("", n.Name) != nil || n.Name == allNodes || n.Name == coreNodes || n.Name == edgeNodes {
		b.fail(v, strconv.Quote(n.Name), "a name of "+nameRule+", not "+oneOf([]string{allNodes, coreNodes, edgeNodes}))
		return
	}
	if first, twice := b.index[n.Name]; twice {
		b.fail(v, "a second node "+n.Name, fmt.Sprintf("one; the first is in line %d", b.nodeValues[first].line))
		return
	}
	b.index[n.Name] = len(b.plan.Nodes)
	b.plan.Nodes = append(b.plan.Nodes, n)
	b.nodeValues = append(b.nodeValues, v)
}

// checkNodes looks at what nodes say of each other and of the run.
func (b *builder) checkNodes() {
	for i, v := range b.nodeValues {
		n := b.plan.Nodes[i]
		if n.Attach != "" {
			if at, ok := b.node(n.Attach); !ok || (!at.Core && !b.drawn) {
				b.fail(v, "attach: "+n.Attach, b.knownNodes(true))
			}
		}
		if n.Join > b.plan.Length && !b.drawn {
			b.fail(v, "join: "+show(n.Join), "a time within the length of "+show(b.plan.Length))
		}
	}
}

func (b *builder) node(name string) (sim.NodePlan, bool) {
	i, ok := b.index[name]
	if !ok {
		return sim.NodePlan{}, false
	}
	return b.plan.Nodes[i], true
}

// knownNodes lists nodes for an error.
func (b *builder) knownNodes(coresOnly bool) string {
	var names []string
	for _, n := range b.plan.Nodes {
		if n.Core || !coresOnly {
			names = append(names, n.Name)
		}
	}
	what := "a node"
	if coresOnly {
		what = "a core node"
	}
	if len(names) > 12 {
		return fmt.Sprintf("%s: %s, … %s", what, strings.Join(names[:8], ", "), names[len(names)-1])
	}
	return what + ": " + strings.Join(names, ", ")
}

// refs reads which nodes are meant: names, patterns with *, labels like
// site=north, and the words cores, edges and all.
func (b *builder) refs(v *value, into *[]string) {
	var texts []string
	b.texts(v, &texts)
	if v == nil || len(texts) == 0 {
		if v != nil && v.form == list && len(v.items) == 0 {
			b.expect(v, "at least one node")
		}
		return
	}
	if b.drawn { // as it stands, with order and repetitions
		for _, s := range texts {
			if _, ok := b.node(s); !ok {
				b.fail(v, strconv.Quote(s), b.knownNodes(false))
			}
		}
		*into = texts
		return
	}
	var out []string
	seen := map[string]bool{}
	for _, s := range texts {
		found := b.matching(s)
		if len(found) == 0 {
			b.noMatch(v, s)
		}
		for _, name := range found {
			if !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	*into = out
}

// noMatch says why a reference to nodes means nobody.
func (b *builder) noMatch(v *value, s string) {
	if strings.ContainsAny(s, "*=") || s == coreNodes || s == edgeNodes {
		b.fail(v, strconv.Quote(s)+", which matches no node", b.knownNodes(false))
		return
	}
	b.fail(v, strconv.Quote(s)+", a node that does not exist", b.knownNodes(false))
}

// matching gives the nodes that a reference means, in the order of the plan.
func (b *builder) matching(s string) []string {
	key, want, label := strings.Cut(s, "=")
	matches := glob(s)
	var out []string
	for _, n := range b.plan.Nodes {
		ok := false
		switch {
		case s == allNodes:
			ok = true
		case s == coreNodes:
			ok = n.Core
		case s == edgeNodes:
			ok = !n.Core
		case label:
			have, there := labelsOf(n)[key]
			ok = there && have == want
		default:
			ok = matches(n.Name)
		}
		if ok {
			out = append(out, n.Name)
		}
	}
	return out
}

// glob gives a test for names in which * stands for anything.
func glob(s string) func(string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, ".*") + "$").MatchString
}

// labelsOf gives the labels of a node with those that it has by itself.
func labelsOf(n sim.NodePlan) map[string]string {
	out := map[string]string{labelNode: n.Name, labelRole: "edge", labelSite: n.Name, labelNamespace: "default"}
	if n.Core {
		out[labelRole] = "core"
	}
	if site, ok := n.Labels["site"]; ok {
		out[labelSite] = site
	}
	maps.Copy(out, n.Labels)
	return out
}
