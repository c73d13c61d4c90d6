package scenario

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// rule says what a kind of fault is made of.
type rule struct {
	word    string
	keys    []string // besides nodes
	need    []string // keys that must be there
	peers   string   // how the other side is called: "from", "to", or nothing
	instant bool     // it does not last, so it has no for
	nobody  bool     // it befalls no node in particular
	only    string   // "cores" or "edges"; empty: any node
	down    bool     // the node does not run meanwhile
	alone   bool     // two of the kind on one node at a time contradict each other
}

// rules are by kind of fault.
var rules = []rule{
	sim.Partition: {word: "partition", keys: []string{"direction"}, peers: "from"},
	sim.Degrade:   {word: "degrade", keys: append([]string{"direction"}, qualityKeys...), peers: "to"},
	sim.Clog:      {word: "clog", keys: []string{"direction"}, peers: "from"},
	sim.Flap: {
		word: "flap", keys: []string{"direction", "up", "down"}, need: []string{"up", "down"}, peers: "from",
	},
	sim.Crash:       {word: "crash", down: true},
	sim.Stop:        {word: "stop", down: true},
	sim.Pause:       {word: "pause", keys: []string{"suspend"}, down: true},
	sim.Wipe:        {word: "wipe", down: true},
	sim.WipeStreams: {word: "wipe_streams", only: coreNodes, down: true},
	sim.Restore:     {word: "restore", keys: []string{"ago", "silent"}, down: true},
	sim.Clone:       {word: "clone", keys: []string{"ago", "silent"}, only: edgeNodes, alone: true},
	sim.BitFlip:     {word: "bit_flip", keys: []string{"class"}, instant: true},
	sim.LoseSynced:  {word: "lose_synced", keys: []string{"ago"}, down: true},
	sim.DiskFull:    {word: "disk_full", alone: true},
	sim.DiskReserve: {word: "disk_reserve", alone: true},
	sim.SlowDisk:    {word: "slow_disk", keys: []string{"by"}, need: []string{"by"}, alone: true},
	sim.FsyncError:  {word: "fsync_error", down: true},
	sim.ClockStep:   {word: "clock_step", keys: []string{"by"}, need: []string{"by"}, instant: true},
	sim.ClockDrift:  {word: "clock_drift", keys: []string{"ppm"}, need: []string{"ppm"}, instant: true},
	sim.StreamLoss: {
		word: "stream_loss", keys: []string{"count", "cut"}, need: []string{"count"}, instant: true, only: coreNodes,
	},
	sim.StreamAway: {word: "stream_away", instant: true, nobody: true},
	sim.Leave:      {word: "leave", instant: true},
	sim.MoveLink:   {word: "move_link", need: []string{"to"}, peers: "to", instant: true, only: edgeNodes},
	sim.Upgrade:    {word: "upgrade", instant: true},
}

// bodyKeys are all keys of all faults: what a drawn plan may use anywhere.
var bodyKeys = append([]string{
	"nodes", "from", "to", "direction", "up", "down", "by", "ago", "ppm", "count", "class", "suspend", "silent", "cut",
}, qualityKeys...)

var classes = []string{"op", "session", "feed", "stream", "any"}

// defaultAgo is how old a copy is that does not say.
const defaultAgo = 2 * time.Second

// chaosWord is the fault that a NetworkChaos document makes.
const chaosWord = "chaos"

func faultWords() []string {
	var list []string
	for _, r := range rules[sim.Partition:] {
		list = append(list, r.word)
	}
	return append(list, "split", chaosWord)
}

// placed is a fault of the plan with its place in a file.
type placed struct {
	sim.Fault
	at *value
}

// faultList reads what goes wrong.
func (b *builder) faultList(v *value) {
	for _, item := range b.list(v) {
		b.faultItem(item)
	}
}

func (b *builder) faultItem(v *value) {
	o := b.object(v, append([]string{"at", "for", "permanent"}, faultWords()...)...)
	if v.form != mapping {
		return
	}
	word, ok := b.theOne(o, faultWords(), "a fault")
	if !ok {
		return
	}
	f := sim.Fault{Line: v.line}
	b.when(o, "at", &f.At)
	b.lasting(o, &f)
	b.boolean(o.at("permanent"), &f.Permanent)
	if f.Permanent && f.For > 0 && !b.drawn {
		b.fail(o.at("permanent"), "permanent with an end", "permanent or for, not both")
	}
	body := o.at(word)
	if body == nil {
		body = &value{file: v.file, line: v.line, path: join(v.path, word)}
	}
	switch word {
	case chaosWord:
		b.chaosEntry(o, body, f)
	case "split":
		b.split(body, f)
	default:
		f.Kind = sim.FaultKind(slices.IndexFunc(rules, func(r rule) bool { return r.word == word }))
		b.body(body, &f)
		if r := rules[f.Kind]; r.instant && !b.drawn && (o.has("for") || o.has("permanent")) {
			b.fail(o.near("for"), word+" with for or permanent", "neither: it does not end")
		}
		b.faultsAt = append(b.faultsAt, placed{f, v})
	}
}

// lasting reads how long a fault goes on: not beyond the length.
func (b *builder) lasting(o object, f *sim.Fault) {
	v := o.at("for")
	if !b.duration(v, &f.For) || b.drawn {
		return
	}
	switch {
	case f.For == 0:
		b.fail(v, "0s", "how long it lasts; without for it lasts to the healing")
	case f.At <= b.plan.Length && f.For > b.plan.Length-f.At:
		b.fail(v, show(f.For)+" from "+show(f.At)+" on", "an end within the length of "+show(b.plan.Length)+
			"; without for it lasts to the healing")
	}
}

// body reads what stands behind the word: nodes, or nodes and more.
func (b *builder) body(v *value, f *sim.Fault) {
	r := rules[f.Kind]
	o, ok := b.bodyObject(v, r)
	if !ok {
		return
	}
	if r.peers != "" || b.drawn {
		b.sides(o, cmp.Or(r.peers, "from"), &f.Nodes, &f.Peers, &f.Direction)
	} else {
		b.refs(o.at("nodes"), &f.Nodes)
		if o.at("nodes") == nil && !r.nobody {
			b.fail(v, r.word+" without nodes", "whom it befalls")
		}
	}
	b.particulars(o, f)
	b.fits(v, o, r, f)
}

// bodyObject reads the forms that a body may have as one.
func (b *builder) bodyObject(v *value, r rule) (object, bool) {
	switch {
	case v.form == absent && r.nobody:
		return object{}, false
	case v.form == absent && !b.drawn:
		b.fail(v, r.word+" without nodes", "whom it befalls")
		return object{}, false
	case b.drawn:
		return b.object(v, bodyKeys...), v.form == mapping
	case r.nobody && v.form != mapping:
		b.fail(v, r.word+" of "+v.describe(), "nothing behind it: it befalls everybody")
		return object{}, false
	case v.form == scalar || v.form == list:
		for _, key := range r.need {
			b.fail(v, r.word+" without "+key, "keys and values: nodes and "+key)
		}
		bare := &value{file: v.file, line: v.line, path: v.path}
		return object{bare, map[string]*value{"nodes": v}, map[string]int{"nodes": v.line}}, len(r.need) == 0
	}
	known := r.keys
	if !r.nobody {
		known = slices.Concat([]string{"nodes"}, known)
	}
	if r.peers != "" {
		known = append(known, r.peers)
	}
	o := b.object(v, known...)
	for _, key := range r.need {
		if v.form == mapping && o.at(key) == nil {
			b.fail(v, r.word+" without "+key, "nodes and "+key)
		}
	}
	return o, v.form == mapping
}

// particulars reads all that is neither nodes nor time.
func (b *builder) particulars(o object, f *sim.Fault) {
	b.quality(o, &f.Quality)
	b.duration(o.at("up"), &f.Up)
	b.duration(o.at("down"), &f.Down)
	b.shift(o.at("by"), &f.Delay)
	b.duration(o.at("ago"), &f.Ago)
	b.ppm(o.at("ppm"), &f.PPM)
	b.count(o.at("count"), 0, &f.Count)
	if b.drawn {
		b.text(o.at("class"), &f.Class)
	} else {
		b.choice(o.at("class"), classes, &f.Class)
	}
	b.boolean(o.at("suspend"), &f.Suspend)
	b.boolean(o.at("silent"), &f.Silent)
	b.boolean(o.at("cut"), &f.Cut)
}

// fits checks that a fault of its kind can be meant.
func (b *builder) fits(v *value, o object, r rule, f *sim.Fault) {
	if b.drawn {
		return
	}
	for _, name := range f.Nodes {
		n, _ := b.node(name)
		if (r.only == coreNodes && !n.Core) || (r.only == edgeNodes && n.Core) {
			b.fail(o.near("nodes"), r.word+" of "+name, "it only at "+r.only)
		}
		if n.Join > f.At && r.peers != "from" && r.peers != "to" {
			b.fail(o.near("nodes"), r.word+" of "+name+" at "+show(f.At), "a time from "+show(n.Join)+" on, when it joins")
		}
	}
	switch f.Kind {
	case sim.Degrade:
		if f.Quality == (sim.Quality{}) && !b.unknownKey(o) {
			b.fail(v, "degrade without anything worse", "delay, loss, bandwidth, …")
		}
	case sim.Flap:
		if o.has("up") && o.has("down") && (f.Up <= 0 || f.Down <= 0) {
			b.fail(v, "up "+show(f.Up)+", down "+show(f.Down), "both longer than 0s")
		}
	case sim.SlowDisk:
		if o.has("by") && f.Delay <= 0 {
			b.fail(o.near("by"), show(f.Delay), "how long an fsync takes, like 5s")
		}
	case sim.Restore, sim.Clone, sim.LoseSynced:
		if ago := cmp.Or(f.Ago, defaultAgo); ago > f.At {
			b.fail(o.near("ago"), show(ago)+" before "+show(f.At), "a time since the beginning of the run")
		}
	case sim.StreamLoss:
		if o.has("count") && f.Count == 0 {
			b.fail(o.near("count"), "0", "a whole number from 1")
		}
	case sim.MoveLink:
		if to, _ := b.node(first(f.Peers)); o.has("to") && (len(f.Peers) != 1 || !to.Core) {
			b.fail(o.near("to"), "move_link to "+strconv.Quote(first(f.Peers)), "one core node")
		}
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// split cuts groups of nodes off from each other.
func (b *builder) split(v *value, f sim.Fault) {
	if v.form != list || len(v.items) < 2 {
		b.expect(v, "two or more lists of nodes")
		return
	}
	groups := make([][]string, len(v.items))
	home := map[string]int{}
	for i, item := range v.items {
		b.refs(item, &groups[i])
		for _, name := range groups[i] {
			if other, twice := home[name]; twice && other != i {
				b.fail(item, name+" in two groups", "it in one")
			}
			home[name] = i
		}
	}
	f.Kind = sim.Partition
	for i, group := range groups[:len(groups)-1] {
		f.Nodes, f.Peers = group, slices.Concat(groups[i+1:]...)
		if len(f.Nodes) > 0 && len(f.Peers) > 0 {
			b.faultsAt = append(b.faultsAt, placed{f, v})
		}
	}
}

// finish puts the faults into the plan, ordered by time, once they are known
// not to contradict each other.
func (b *builder) finish() {
	slices.SortStableFunc(b.faultsAt, func(a, b placed) int { return cmp.Compare(a.At, b.At) })
	if !b.drawn && len(b.faults) == 0 {
		b.contradictions()
	}
	for _, f := range b.faultsAt {
		b.plan.Faults = append(b.plan.Faults, f.Fault)
	}
}

// ends gives the moment at which a fault is over.
func (b *builder) ends(f placed) time.Duration {
	switch {
	case rules[f.Kind].instant:
		return f.At
	case f.For == 0:
		return b.plan.Length
	}
	return f.At + f.For
}
