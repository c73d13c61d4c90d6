package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/sim/observe"
)

// people are the clients of a run. They want the same things, by the same rules,
// as those of the simulator.
type people struct {
	r   *run
	web *web

	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	serial   int                    // keys given so far
	values   int                    // values written so far: they are numbered
	adds     map[string]int         // additions, by space, session and counter
	versions map[[2]string]string   // last seen, by client, and by space and session
	inserted map[[2]string][]string // elements put into sets, by client, and by space, session and set
	typed    map[string]int         // edits of texts, by client
}

func newPeople(r *run, seed uint64) *people {
	return &people{r: r, web: newWeb(), rng: rand.New(rand.NewPCG(seed, 0x6c697665)), adds: map[string]int{},
		versions: map[[2]string]string{}, inserted: map[[2]string][]string{}, typed: map[string]int{}}
}

// intent is what a client wants, however often it has to ask.
type intent struct {
	call sim.Call
	key  string

	mu       sync.Mutex // guards what follows; held while it is decided what exactly to ask
	prepared bool
	nothing  bool // there is nothing to ask for
	done     bool // an answer came
	q        question
	values   []check.Value
	target   string
	by       int64
	drops    []string // words that it takes away from a text
}

func (in *intent) isRead() bool {
	return in.call.Kind == sim.CallRead || in.call.Kind == sim.CallChanges
}

// place names the session of a call.
func (in *intent) place() string { return in.call.Space + "/" + in.call.Session }

// keyed reports whether a call gets a key though the plan does not ask for one:
// by it an op is told from others when storage was lost, unless a value does.
func keyed(c *sim.Call) bool {
	valued := c.Kind == sim.CallAppend || c.Kind == sim.CallEdit || c.Kind == sim.CallPatch || c.Kind == sim.CallInsert
	return c.Keyed || len(c.Retries) > 0 || !valued
}

// intend carries out a call of the plan with its retries. It returns when all of
// them are over. When patience ends there are no more retries.
func (p *people) intend(ctx, patience context.Context, c sim.Call) {
	in := &intent{call: c}
	if !in.isRead() && keyed(&c) {
		p.mu.Lock()
		p.serial++
		in.key = fmt.Sprintf("k%d", p.serial)
		p.mu.Unlock()
	}
	var tries sync.WaitGroup
	defer tries.Wait()
	began := time.Now()
	tries.Go(func() { p.try(ctx, in, c.Node) })
	for _, again := range c.Retries {
		if !pause(patience, time.Until(began.Add(again.After))) {
			return
		}
		in.mu.Lock()
		done := in.done
		in.mu.Unlock()
		if done && !again.Always {
			continue
		}
		lane := again.Node
		if lane == "" {
			lane = c.Node
		}
		tries.Go(func() { p.try(ctx, in, lane) })
	}
}

// try sends the request to a node. One that is down takes no connection; one
// that is frozen answers late.
func (p *people) try(ctx context.Context, in *intent, lane string) {
	m := p.pick(lane)
	if m == nil {
		p.r.rec.fact(lane, "unreachable", in.call.Session)
		return
	}
	if in.isRead() {
		p.look(ctx, in, m)
		return
	}
	in.mu.Lock()
	if !in.prepared {
		in.prepared = p.prepare(ctx, in, m)
	}
	ready := in.prepared && !in.nothing
	in.mu.Unlock()
	if ready {
		p.write(ctx, in, m)
	}
}

// pick finds the node, or one of the two machines that answer to its name.
func (p *people) pick(lane string) *member {
	var found []*member
	for _, m := range p.r.everybody() {
		if c, _ := m.process(); c != nil && (m.lane == lane || m.twin != nil && m.twin.lane == lane) {
			found = append(found, m)
		}
	}
	if len(found) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return found[p.rng.IntN(len(found))]
}

// begin gives a function that notes the beginning of a call, and one that gives
// its number, false if it never began.
func (p *people) begin(in *intent, m *member) (onBegin func(), number func() (int, bool)) {
	id, begun := 0, false
	c := check.Call{Client: in.call.Client, Node: m.lane, Space: in.call.Space, Session: in.call.Session,
		Do: actionOf(in.call.Kind), Key: in.key, Values: in.values, Target: in.target, By: in.by, Drops: in.drops, To: in.call.To,
		TTL: in.call.TTL, WantCore: in.call.Core, IfMatch: in.q.match}
	words := []string{in.key}
	for _, v := range in.values {
		words = append(words, v.ID+"="+v.Value)
	}
	onBegin = func() { id, begun = p.r.rec.begin(c, strings.Join(words, " ")), true }
	return onBegin, func() (int, bool) { return id, begun }
}

// write sends a write and notes what came of it.
func (p *people) write(ctx context.Context, in *intent, m *member) {
	q := in.q
	q.key, q.actor, q.core = in.key, in.call.Client, in.call.Core
	onBegin, number := p.begin(in, m)
	q.onBegin = onBegin
	answer, err := p.web.ask(ctx, m.url(), q)
	id, begun := number()
	if !begun {
		p.r.rec.fact(m.lane, "unreachable", in.call.Session)
		return
	}
	if err != nil {
		p.r.rec.answer(id, "no answer", func(*check.Call) {})
		return
	}
	if refused := answer.refused(); refused != nil {
		p.finish(in, refused.status < 500)
		p.r.rec.answer(id, refused.code, func(c *check.Call) { c.Outcome, c.Code = check.Refused, refused.code })
		return
	}
	p.finish(in, true)
	version := answer.header.Get("Causeway-Version")
	p.saw(in, version)
	said := read(answer.body)
	p.r.rec.answer(id, "ok", func(c *check.Call) {
		c.Outcome, c.Version, c.Core = check.OK, version, in.call.Core && said.Durability == "core"
		c.Replayed = answer.header.Get("Causeway-Replayed") == "true"
		if c.Do == check.Append {
			c.IDs = said.ids()
		}
	})
}

func (p *people) finish(in *intent, done bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.done = in.done || done
}

// saw notes the version that an answer named.
func (p *people) saw(in *intent, version string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.versions[[2]string{in.call.Client, in.place()}] = version
}

// said is what matters of the answer to a write.
type said struct {
	Durability string
	Messages   []struct{ ID string }
}

func read(body []byte) said {
	var s said
	if json.Unmarshal(body, &s) != nil {
		return said{} // then nothing is known but that it was done
	}
	return s
}

func (s *said) ids() []string {
	var list []string
	for _, m := range s.Messages {
		list = append(list, m.ID)
	}
	return list
}

// look reads a session, or the changes of its space.
func (p *people) look(ctx context.Context, in *intent, m *member) {
	p.show(ctx, in, m)
}

// show is look that gives what was seen, nil if nothing was.
func (p *people) show(ctx context.Context, in *intent, m *member) *check.Seen {
	onBegin, number := p.begin(in, m)
	var seen *check.Seen
	var err error
	if in.call.Kind == sim.CallChanges {
		seen, err = p.r.showChanges(ctx, p.web, m, in.call.Space, onBegin)
	} else {
		seen, err = p.r.showSession(ctx, p.web, m, in.call.Space, in.call.Session, onBegin)
	}
	id, begun := number()
	if !begun {
		p.r.rec.fact(m.lane, "unreachable", in.call.Session)
		return nil
	}
	if err != nil {
		refused, ok := errors.AsType[*refusal](err)
		p.finish(in, ok && refused.status < 500)
		p.r.rec.answer(id, err.Error(), func(c *check.Call) {
			if ok {
				c.Outcome, c.Code = check.Refused, refused.code
			}
		})
		return nil
	}
	p.finish(in, true)
	p.r.rec.answer(id, "read", func(c *check.Call) { c.Outcome, c.Seen, c.Version = check.OK, seen, seen.Version })
	if seen.Version != "" {
		p.saw(in, seen.Version)
	}
	return seen
}

// showSession reads a session as checkers look at it.
func (r *run) showSession(ctx context.Context, w *web, m *member, space, id string, onBegin func()) (
	*check.Seen, error,
) {
	doc, messages, texts, err := w.session(ctx, m.url(), space, id, onBegin)
	if refused, ok := errors.AsType[*refusal](err); ok {
		if gone, ok := goneCodes[refused.code]; ok {
			return &check.Seen{Gone: gone}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	seen, err := observe.Session(doc, messages)
	if err == nil && len(texts) > 0 {
		seen.Texts = texts
	}
	return seen, err
}

// goneCodes are the refusals of a read that are an answer.
var goneCodes = map[string]string{"no_session": "unknown", "session_erased": "erased", "session_expired": "expired"}

// showChanges reads all changes of a space.
func (r *run) showChanges(ctx context.Context, w *web, m *member, space string, onBegin func()) (*check.Seen, error) {
	changes, err := w.changes(ctx, m.url(), spacePath(space), onBegin)
	if err != nil {
		return nil, err
	}
	ops, err := opsOf(changes)
	return &check.Seen{Ops: ops}, err
}

func opsOf(changes []session.Change) ([]check.Op, error) {
	ops := make([]check.Op, 0, len(changes))
	for i := range changes {
		op, err := observe.Change(&changes[i])
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func actionOf(k sim.CallKind) check.Action {
	return map[sim.CallKind]check.Action{
		sim.CallOpen: check.Open, sim.CallAppend: check.Append, sim.CallEdit: check.Edit, sim.CallRedact: check.Redact,
		sim.CallPatch: check.Patch, sim.CallAdd: check.Add, sim.CallInsert: check.Insert, sim.CallRemove: check.Remove,
		sim.CallMove: check.Move, sim.CallErase: check.Erase, sim.CallRead: check.Read, sim.CallChanges: check.ReadAll,
		sim.CallText: check.Text,
	}[k]
}

// value makes a value that nobody has written before. Callers hold mu.
func (p *people) value() string {
	p.values++
	return fmt.Sprintf("v%d", p.values)
}

// jsonOf encodes what cannot fail.
func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("live: encode %v: %v", v, err)) // maps, strings and numbers never fail
	}
	return b
}

// prepare decides what exactly the client asks for, looking first where it needs
// to. It is false if that has to be decided again. Callers hold in.mu.
func (p *people) prepare(ctx context.Context, in *intent, m *member) bool {
	switch in.call.Kind {
	case sim.CallEdit, sim.CallRedact:
		return p.prepareEdit(ctx, in, m)
	case sim.CallText:
		return p.prepareText(ctx, in, m)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &in.call
	at := sessionPath(c.Space, c.Session)
	if c.IfMatch {
		in.q.match = p.versions[[2]string{c.Client, in.place()}]
	}
	in.q.method = http.MethodPost
	switch c.Kind {
	case sim.CallOpen:
		in.q.path, in.q.body = spacePath(c.Space)+"/sessions", jsonOf(openBody(c))
	case sim.CallAppend:
		var list []map[string]any
		for range max(c.Batch, 1) {
			v := p.value()
			in.values = append(in.values, check.Value{Value: v})
			list = append(list, map[string]any{"role": "user", "content": v})
		}
		in.q.path, in.q.body = at+"/messages", jsonOf(map[string]any{"messages": list})
	case sim.CallPatch:
		in.target = sim.LeafPath(c.Target)
		in.values = []check.Value{{ID: in.target, Value: p.value()}}
		in.q.method, in.q.path, in.q.body = http.MethodPatch, at+"/context", sim.PatchOf(in.target, in.values[0].Value)
	case sim.CallAdd, sim.CallInsert, sim.CallRemove:
		in.nothing = !p.prepareAdjust(in, at)
	case sim.CallMove:
		in.q.path, in.q.body = at+"/transitions", jsonOf(map[string]any{"to": c.To})
	case sim.CallErase:
		in.q.method, in.q.path = http.MethodDelete, at
	default:
		in.nothing = true
	}
	return true
}

func openBody(c *sim.Call) map[string]any {
	body := map[string]any{"id": c.Session}
	if c.Order != "" {
		body["order"] = c.Order
	}
	if c.TTL > 0 {
		body["ttl"] = c.TTL.String()
	}
	return body
}

// maxAdds keeps the bits of a counter apart.
const maxAdds = 50

// prepareAdjust decides about a counter or a set; false if there is nothing to do.
func (p *people) prepareAdjust(in *intent, at string) bool {
	c := &in.call
	op := map[string]any{}
	switch c.Kind {
	case sim.CallAdd:
		in.target = fmt.Sprintf("/n%d", c.Target)
		counter := in.place() + in.target
		if p.adds[counter] >= maxAdds {
			return false
		}
		in.by = 1 << p.adds[counter]
		p.adds[counter]++
		op["op"], op["by"] = "add", in.by
	default:
		in.target = fmt.Sprintf("/s%d", c.Target)
		v, ok := p.element(in)
		if !ok {
			return false
		}
		in.values = []check.Value{{ID: in.target, Value: v}}
		op["op"], op["value"] = "insert", v
		if c.Kind == sim.CallRemove {
			op["op"] = "remove"
		}
	}
	op["path"] = in.target
	in.q.path, in.q.body = at+"/context/ops", jsonOf(map[string]any{"ops": []any{op}})
	return true
}

// element gives a new element, or one that the client has put there before.
func (p *people) element(in *intent) (string, bool) {
	set := [2]string{in.call.Client, in.place() + in.target}
	if in.call.Kind == sim.CallInsert {
		v := p.value()
		p.inserted[set] = append(p.inserted[set], v)
		return v, true
	}
	list := p.inserted[set]
	if len(list) == 0 {
		return "", false
	}
	p.inserted[set] = list[1:]
	return list[0], true
}

// prepareEdit chooses a message among those that the node shows.
func (p *people) prepareEdit(ctx context.Context, in *intent, m *member) bool {
	look := &intent{call: in.call}
	look.call.Kind, look.call.Core = sim.CallRead, false
	seen := p.show(ctx, look, m)
	if seen == nil || len(seen.Messages) == 0 {
		return false
	}
	in.target = seen.Messages[in.call.Target%len(seen.Messages)].ID
	in.q.path = sessionPath(in.call.Space, in.call.Session) + "/messages/" + in.target
	if in.call.Kind == sim.CallRedact {
		in.q.method = http.MethodDelete
		return true
	}
	p.mu.Lock()
	in.values = []check.Value{{ID: in.target, Value: p.value()}}
	p.mu.Unlock()
	in.q.method, in.q.body = http.MethodPatch, jsonOf(map[string]any{"content": in.values[0].Value})
	return true
}
