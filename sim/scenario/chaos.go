package scenario

import (
	"cmp"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// What a Chaos Mesh document of ours looks like.
// Source: api/v1alpha1 of Chaos Mesh 2.7: networkchaos_types.go, _webhook.go.
const (
	chaosVersion = "chaos-mesh.org/v1alpha1"
	chaosKind    = "NetworkChaos"
	// beginAnnotation says when a document takes effect; at once without it.
	beginAnnotation = "causeway.at"
	pauseAnnotation = "experiment.chaos-mesh.org/pause"
)

// instead says what to write here for the kinds that are not links.
var instead = map[string]string{
	"Schedule": "a faults entry for each time", "Workflow": "a faults entry for each step",
	"PodChaos": "crash, stop or pause among the faults", "TimeChaos": "clock_step or clock_drift among the faults",
	"IOChaos":     "disk_full, slow_disk, fsync_error or bit_flip among the faults",
	"StressChaos": "slow_disk or pause among the faults", "BlockChaos": "slow_disk among the faults",
	"PhysicalMachineChaos": "faults of nodes", "List": "each document by itself, with --- between",
	"NetworkChaosList": "each document by itself, with --- between",
}

// chaosDoc is a NetworkChaos document.
type chaosDoc struct {
	at    *value
	line  int // in the scenario file
	spec  chaosSpec
	name  string
	begin time.Duration
	named bool // a faults entry says when it begins
}

// chaosSpec is a document turned into what a fault needs.
type chaosSpec struct {
	kind             sim.FaultKind
	quality          sim.Quality
	direction        sim.Direction
	selector, target *choice
	external         []string // nodes
	duration         time.Duration
	ok               bool
}

// isChaos reports whether a document is one of Kubernetes.
func isChaos(v *value) bool {
	for _, p := range v.pairs {
		if p.key == "apiVersion" || p.key == "kind" {
			return true
		}
	}
	return false
}

// addChaos notes a document; what it says is read when the nodes are known.
func (b *builder) addChaos(v *value, line int) {
	b.chaos = append(b.chaos, &chaosDoc{at: v, line: line})
}

// chaosFiles reads the files that the scenario names.
func (b *builder) chaosFiles(v *value) {
	var names []string
	if v != nil {
		b.texts(v, &names)
	}
	for _, name := range names {
		if b.beside == nil || !fs.ValidPath(name) {
			b.fail(v, strconv.Quote(name), "the path of a file beside this one, without ..")
			continue
		}
		text, err := fs.ReadFile(b.beside, name)
		if err != nil {
			b.fail(v, "a file that cannot be read: "+err.Error(), "the path of a file beside this one")
			continue
		}
		docs, err := parse(name, text)
		if err != nil {
			b.adopt(name, err)
			continue
		}
		for _, doc := range docs {
			if !isChaos(doc) {
				b.fail(doc, "no apiVersion and kind", "a NetworkChaos document")
				continue
			}
			b.addChaos(doc, v.line)
		}
	}
	for _, doc := range b.chaos {
		b.chaosDoc(doc)
	}
	b.twoNames()
}

// twoNames looks for documents that cannot be told apart.
func (b *builder) twoNames() {
	for i, doc := range b.chaos {
		for _, other := range b.chaos[:i] {
			if doc.name != "" && doc.name == other.name {
				b.fail(doc.at, "a second NetworkChaos "+doc.name, "one of this name; the first is in "+
					other.at.file+":"+strconv.Itoa(other.at.line))
				break
			}
		}
	}
}

var metadataKeys = []string{
	"name", "namespace", "labels", "annotations", "creationTimestamp", "finalizers", "generateName", "generation",
	"managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
}

// chaosDoc reads a document.
func (b *builder) chaosDoc(doc *chaosDoc) {
	version, kind := "", ""
	for _, p := range doc.at.pairs {
		switch p.key {
		case "apiVersion":
			version = p.value.text
		case "kind":
			kind = p.value.text
		}
	}
	if kind != chaosKind {
		b.fail(doc.at, "kind "+strconv.Quote(kind), cmp.Or(instead[kind], chaosKind))
		return
	}
	if version != chaosVersion {
		b.fail(doc.at, "apiVersion "+strconv.Quote(version), chaosVersion)
		return
	}
	o := b.object(doc.at, "apiVersion", "kind", "metadata", "spec", "status")
	if o.at("spec") == nil || o.at("metadata") == nil {
		b.fail(doc.at, "a document without metadata or spec", "both")
		return
	}
	meta := b.object(o.at("metadata"), metadataKeys...)
	if !b.text(meta.at("name"), &doc.name) && meta.at("name") == nil {
		b.fail(meta.value, "no name", "metadata.name")
	}
	b.annotations(meta.at("annotations"), doc)
	b.chaosSpec(o.at("spec"), &doc.spec)
}

// annotations looks for ours, and for the one that switches a document off.
func (b *builder) annotations(v *value, doc *chaosDoc) {
	if v == nil {
		return
	}
	if v.form != mapping {
		b.expect(v, "keys and values")
		return
	}
	for _, p := range v.pairs {
		switch p.key {
		case beginAnnotation:
			if b.duration(p.value, &doc.begin) && doc.begin > b.plan.Length {
				b.fail(p.value, show(doc.begin), "a time within the length of "+show(b.plan.Length))
			}
		case pauseAnnotation:
			if p.value.text == "true" {
				b.fail(p.value, "a document that is paused", "one that does something")
			}
		}
	}
}

// chaosEntry is a faults entry that says when a document begins: one of this
// file by its name, or a whole one.
func (b *builder) chaosEntry(o object, v *value, f sim.Fault) {
	if f.Permanent {
		b.fail(o.near("permanent"), "a permanent NetworkChaos", "partition or degrade with permanent: true")
	}
	var doc *chaosDoc
	if v.form == mapping {
		doc = &chaosDoc{at: v}
		b.chaosDoc(doc)
	} else {
		name := ""
		if !b.text(v, &name) {
			return
		}
		for _, d := range b.chaos {
			if d.name == name {
				doc = d
			}
		}
		if doc == nil {
			b.fail(v, strconv.Quote(name), "metadata.name of a NetworkChaos document in this file or under chaos")
			return
		}
		doc.named = true
	}
	if f.For > 0 && doc.spec.duration > 0 {
		b.fail(o.near("for"), "for beside a duration of "+show(doc.spec.duration), "one of them")
	}
	if doc.spec.ok {
		b.unleash(doc, f.At, cmp.Or(f.For, doc.spec.duration), f.Line)
	}
}

// chaosFaults begins what no faults entry has begun.
func (b *builder) chaosFaults() {
	for _, doc := range b.chaos {
		if !doc.named && doc.spec.ok {
			b.unleash(doc, doc.begin, doc.spec.duration, doc.line)
		}
	}
}

// unleash makes a fault of a document. Which nodes it befalls is drawn from the
// seed and the document's name, so another document more changes nothing here.
func (b *builder) unleash(doc *chaosDoc, at, lasting time.Duration, line int) {
	h := fnv.New64a()
	h.Write([]byte(doc.name + "@" + at.String())) // never fails
	rng := rand.New(rand.NewPCG(b.seed, h.Sum64()))
	s := doc.spec
	f := sim.Fault{Kind: s.kind, At: at, For: lasting, Direction: s.direction, Quality: s.quality, Line: line}
	f.Nodes = s.selector.draw(rng)
	if s.target != nil {
		f.Peers = s.target.draw(rng)
	}
	for _, name := range s.external {
		f.Peers = appendNew(f.Peers, name)
	}
	if len(f.Nodes) == 0 || (s.target != nil && len(f.Peers) == 0) {
		return // chance has chosen nobody
	}
	if s.target == nil && len(s.external) == 0 && len(f.Nodes) > 1 {
		for _, n := range b.plan.Nodes { // to each other, too
			f.Peers = append(f.Peers, n.Name)
		}
	}
	if at+lasting >= b.plan.Length {
		f.For = 0
	}
	b.faultsAt = append(b.faultsAt, placed{f, doc.at})
}

func appendNew(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}
