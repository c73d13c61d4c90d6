package sim

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// client is somebody who asks nodes for things, one after the other or at
// once, and remembers the versions that the answers named.
type client struct {
	name     string
	versions map[string]vclock.Vector // last seen, by space and session
	inserted map[string][]string      // elements put into sets, by space, session and set
	keys     map[string]string        // last key that a node answered to, by node, space and session
	texts    map[string]editor        // by space, session and text
	typed    int                      // edits of texts
}

// intent is what a client wants, however often it has to ask.
type intent struct {
	call   Call
	client *client
	key    string
	values []check.Value
	target string
	by     int64
	drops  []string // words that it takes away
	before editor   // the text that it edits
	match  *vclock.Vector
	do     session.Action // nil for reads
	level  bool           // core
	done   bool           // an answer came
	code   string         // of the refusal, if that was one
	asked  uint64         // the call in the trace, the latest of them
}

// intend begins a call of the plan.
func (w *world) intend(c Call) *intent {
	who := w.people[c.Client]
	if who == nil {
		who = &client{name: c.Client, versions: map[string]vclock.Vector{}, inserted: map[string][]string{},
			keys: map[string]string{}, texts: map[string]editor{}}
		w.people[c.Client] = who
	}
	in := &intent{call: c, client: who, level: c.Core}
	if c.Keyed || len(c.Retries) > 0 || c.Kind == CallAdd || c.Kind == CallMove {
		w.serial++
		in.key = fmt.Sprintf("k%d", w.serial)
	}
	if n := w.byLane[c.Node]; c.Reuse && n != nil && n.fell == 0 && n.twin == nil { // it knows the key
		in.key = cmp.Or(who.keys[c.Node+" "+c.Space+"/"+c.Session], in.key)
	}
	w.try(in, c.Node)
	for _, r := range c.Retries {
		w.after(r.After, func() {
			if in.done && !r.Always {
				return
			}
			lane := r.Node
			if lane == "" {
				lane = c.Node
			}
			w.try(in, lane)
		})
	}
	return in
}

// try sends the request to a node. A node that is down refuses the connection;
// one that is paused answers late.
func (w *world) try(in *intent, lane string) {
	n := w.byLane[lane]
	if n != nil && n.twin != nil && n.twin.up && w.chance.work.IntN(2) == 0 {
		n = n.twin // two machines answer to one name
	}
	if n == nil || !n.up {
		w.facts["unreachable"]++
		return
	}
	if in.do == nil && !in.isRead() && !w.prepare(in, n) {
		return
	}
	id := w.begin(in, n)
	n.run(func() { w.serve(in, n, id) })
}

func (in *intent) isRead() bool { return in.call.Kind == CallRead || in.call.Kind == CallChanges }

// begin notes a request in the history.
func (w *world) begin(in *intent, n *node) int {
	id := len(w.history.Calls)
	c := check.Call{ID: id, Client: in.client.name, Node: n.lane, Begin: w.now, Space: in.call.Space,
		Session: in.call.Session, Do: actions[in.call.Kind], Key: in.key, Values: in.values, Target: in.target,
		By: in.by, Drops: in.drops, To: in.call.To, TTL: in.call.TTL, WantCore: in.level}
	mixed := !in.isRead() && w.mixed(n)
	if in.match != nil && !mixed { // else a version may stand for two states
		c.IfMatch = in.match.String()
	}
	if mixed {
		w.history.Resets = append(w.history.Resets, check.Reset{Node: n.lane, At: w.now})
	}
	w.history.Calls = append(w.history.Calls, c)
	in.asked = w.say(Event{Kind: EvCall, Node: n.lane, Peer: in.client.name, What: c.Do.String(), Session: c.Session, Space: c.Space,
		Detail: describe(in)})
	return id
}

func describe(in *intent) string {
	var text strings.Builder
	text.WriteString(in.key)
	for _, v := range in.values {
		text.WriteString(" " + v.ID + "=" + v.Value)
	}
	return text.String()
}

var actions = [...]check.Action{
	CallOpen: check.Open, CallAppend: check.Append, CallEdit: check.Edit, CallRedact: check.Redact, CallPatch: check.Patch,
	CallAdd: check.Add, CallInsert: check.Insert, CallRemove: check.Remove, CallMove: check.Move, CallErase: check.Erase,
	CallRead: check.Read, CallChanges: check.ReadAll, CallText: check.Text,
}

// serve is what the node does with a request.
func (w *world) serve(in *intent, n *node, id int) {
	if in.isRead() {
		w.serveRead(in, n, id)
		return
	}
	cmd := session.Command{Space: in.call.Space, Session: in.call.Session, Actor: in.client.name, Key: in.key,
		IfMatch: in.match, Do: in.do}
	if in.key != "" {
		sum := sha256.Sum256([]byte(describe(in) + in.target + in.call.To))
		copy(cmd.Request[:], sum[:])
	}
	n.write(cmd, func(a drive.Answer, err error) {
		if err != nil {
			w.refused(in, n, id, err)
			return
		}
		for i := range a.Ops {
			w.callOf[hollowName(&a.Ops[i])] = id
			for _, name := range callNames(&a.Ops[i]) {
				w.callOf[name] = id
			}
		}
		if !in.level || len(a.Ops) == 0 {
			w.answered(in, n, id, a, false)
			return
		}
		n.awaitCore(cmd.Space, a.Ops[len(a.Ops)-1].Dot, func(core bool) { w.answered(in, n, id, a, core) })
	})
}

func (w *world) answered(in *intent, n *node, id int, a drive.Answer, core bool) {
	in.done = true
	if core {
		w.checkCoreAck(n, in.call.Space, a.Ops[len(a.Ops)-1].Dot)
	}
	c := &w.history.Calls[id]
	c.Outcome, c.End, c.Core, c.Version, c.Replayed = check.OK, w.now, core, a.Version.String(), a.Replayed
	for i := range a.Ops {
		if id := session.MessageID(&a.Ops[i]); id != "" {
			c.IDs = append(c.IDs, id)
		}
	}
	if c.Do == check.Append && len(c.IDs) != len(in.values) {
		w.problem("an answer is about the whole batch", n.lane, "%s/%s, key %q: %d messages were asked for, %d are acknowledged",
			c.Space, c.Session, c.Key, len(in.values), len(c.IDs))
	}
	in.client.versions[in.call.Space+"/"+in.call.Session] = a.Version
	if in.key != "" {
		in.client.keys[n.lane+" "+in.call.Space+"/"+in.call.Session] = in.key
	}
	w.typed(in, n, a)
	w.say(Event{Kind: EvAnswer, Node: n.lane, Peer: in.client.name, What: "ok", Session: c.Session, Space: c.Space, Cause: in.asked})
}

func (w *world) refused(in *intent, n *node, id int, err error) {
	code := codeOf(err)
	c := &w.history.Calls[id]
	c.End, c.Code = w.now, code
	if code == unknownCode { // the store failed: it may have been written
		w.mustBeCoded(n, err)
		w.say(Event{Kind: EvAnswer, Node: n.lane, Peer: in.client.name, What: "error", Detail: err.Error(), Cause: in.asked})
		return
	}
	in.done, in.code = true, code
	in.forgets()
	c.Outcome = check.Refused
	w.say(Event{Kind: EvAnswer, Node: n.lane, Peer: in.client.name, What: code, Session: c.Session, Space: c.Space,
		Cause: in.asked})
}

// codes are the stable names of refusals.
var codes = []struct {
	err  error
	code string
}{
	{session.ErrNoSession, "no_session"}, {session.ErrSessionExists, "session_exists"},
	{session.ErrSessionErased, "session_erased"}, {session.ErrSessionExpired, "session_expired"},
	{session.ErrSessionEnded, "session_ended"}, {session.ErrIllegalMove, "illegal_move"},
	{session.ErrNoMessage, "no_message"}, {session.ErrMessageExists, "message_exists"},
	{session.ErrMessageRedacted, "message_redacted"}, {session.ErrUnknownParent, "unknown_parent"},
	{session.ErrVersionMoved, "version_moved"}, {session.ErrKeyReused, "key_reused"},
	{session.ErrWrongKind, "wrong_kind"}, {session.ErrOverflow, "overflow"}, {session.ErrTooBig, "too_big"},
	{session.ErrNoText, "text_not_found"}, {session.ErrTextOutside, "edit_outside_text"},
	{session.ErrTextFull, "text_full"}, {session.ErrBaseUnknown, "base_unknown"},
	{session.ErrBaseTooOld, "base_too_old"}, {session.ErrInvalid, "invalid"}, {errReserve, "disk_reserve"}, {session.ErrCorrupt, "record_damaged"},
	{memstore.ErrFull, "disk_full"},
}

// unknownCode is for what has no code: the store failed.
const unknownCode = "unknown"

// mustBeCoded is an oracle: every refusal has a code (I17), but for a store that
// failed.
func (w *world) mustBeCoded(n *node, err error) {
	if !errors.Is(err, memstore.ErrFailed) {
		w.problem("every refusal has a code (I17)", n.lane, "%v", err)
	}
}

func codeOf(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return unknownCode
}

// serveRead answers a read from what is durable now, and gives what was shown.
// What a node shows in a fork is not judged: see [world.mixed].
func (w *world) serveRead(in *intent, n *node, id int) *check.Seen {
	c := &w.history.Calls[id]
	var err error
	c.Seen, err = n.show(in.call.Space, in.call.Session)
	if in.call.Kind == CallChanges {
		c.Seen = &check.Seen{}
		c.Seen.Ops, err = n.ops(in.call.Space)
	}
	c.End = w.now
	if err != nil {
		c.Outcome, c.Code, c.Seen = check.Refused, codeOf(err), nil
		if c.Code == unknownCode {
			w.mustBeCoded(n, err)
		}
		return nil
	}
	in.done = true
	c.Outcome = check.OK
	seen := c.Seen
	if v, err := vclock.Parse(c.Seen.Version); err == nil && c.Seen.Version != "" {
		in.client.versions[in.call.Space+"/"+in.call.Session] = v
		c.Version = c.Seen.Version
	}
	w.say(Event{Kind: EvAnswer, Node: n.lane, Peer: in.client.name, What: "read", Session: c.Session, Space: c.Space,
		Cause: in.asked})
	switch {
	case w.mixed(n):
		w.facts["read_in_fork"]++
		c.Outcome, c.Seen = check.NoAnswer, nil
	case w.remains(n, c):
		w.facts["read_of_remains"]++
		c.Outcome, c.Seen = check.NoAnswer, nil
	}
	return seen
}

// value makes a value that nobody has written before.
func (w *world) value() string {
	w.values++
	return fmt.Sprintf("v%d", w.values)
}

// prepare decides what exactly the client asks for, looking first where it
// needs to. It is false if there is nothing to ask for.
func (w *world) prepare(in *intent, n *node) bool {
	c := &in.call
	if c.IfMatch {
		if v, ok := in.client.versions[c.Space+"/"+c.Session]; ok {
			in.match = &v
		}
	}
	switch c.Kind {
	case CallOpen:
		in.do = session.OpenSession{Order: orderOf(c.Order), TTL: c.TTL}
	case CallAppend:
		in.do = w.appendOf(in)
	case CallEdit, CallRedact:
		return w.prepareEdit(in, n)
	case CallPatch:
		in.target = LeafPath(c.Target)
		v := w.value()
		in.values = []check.Value{{ID: in.target, Value: v}}
		in.do = session.PatchContext{Patch: PatchOf(in.target, v)}
	case CallAdd:
		in.target = fmt.Sprintf("/n%d", c.Target)
		at := c.Space + "/" + c.Session + in.target
		if w.adds[at] >= 50 {
			return false
		}
		in.by = 1 << w.adds[at]
		w.adds[at]++
		in.do = adjust(session.Adjustment{Kind: session.CounterAdd, Path: in.target, By: in.by})
	case CallInsert, CallRemove:
		return w.prepareSet(in)
	case CallMove:
		in.do = session.Move{To: c.To}
	case CallErase:
		w.erases[c.Space+"/"+c.Session] = true
		in.do = session.EraseSession{}
	case CallText:
		return w.prepareText(in, n)
	case CallRead, CallChanges:
		return true
	default:
		return false
	}
	return true
}

func adjust(a session.Adjustment) session.Action {
	return session.AdjustContext{Changes: []session.Adjustment{a}}
}

func orderOf(name string) session.Order {
	if name == "chat" {
		return session.Chat
	}
	return session.Turns
}

func (w *world) appendOf(in *intent) session.Action {
	var do session.Append
	for range max(in.call.Batch, 1) {
		v := w.value()
		in.values = append(in.values, check.Value{Value: v})
		do.Messages = append(do.Messages, session.Draft{Role: "user", Content: quoted(v)})
	}
	return do
}

// prepareEdit chooses a message among those that the node shows.
func (w *world) prepareEdit(in *intent, n *node) bool {
	look := &intent{call: in.call, client: in.client}
	look.call.Kind = CallRead
	id := w.begin(look, n)
	if n.paused {
		return false
	}
	seen := w.serveRead(look, n, id)
	if seen == nil || len(seen.Messages) == 0 {
		return false
	}
	m := seen.Messages[in.call.Target%len(seen.Messages)]
	in.target = m.ID
	if in.call.Kind == CallRedact {
		in.do = session.RedactMessage{ID: m.ID}
		return true
	}
	v := w.value()
	in.values = []check.Value{{ID: m.ID, Value: v}}
	in.do = session.EditMessage{ID: m.ID, Content: quoted(v)}
	return true
}

// setCount is how many sets of a session the drawn calls are about.
const setCount = 8

func (w *world) prepareSet(in *intent) bool {
	c := &in.call
	in.target = fmt.Sprintf("/s%d", c.Target)
	at := c.Space + "/" + c.Session + in.target
	kind := session.SetInsert
	v := ""
	if c.Kind == CallInsert {
		v = w.value()
		in.client.inserted[at] = append(in.client.inserted[at], v)
	} else {
		list := in.client.inserted[at]
		for i := 1; len(list) == 0 && i < setCount; i++ { // from another set, then
			in.target = fmt.Sprintf("/s%d", (c.Target+i)%setCount)
			at = c.Space + "/" + c.Session + in.target
			list = in.client.inserted[at]
		}
		if len(list) == 0 {
			return false
		}
		v, in.client.inserted[at] = list[0], list[1:]
		kind = session.SetRemove
	}
	in.values = []check.Value{{ID: in.target, Value: v}}
	in.do = adjust(session.Adjustment{Kind: kind, Path: in.target, Value: quoted(v)})
	return true
}

func quoted(v string) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sim: marshal %q: %v", v, err)) // a string never fails
	}
	return b
}
