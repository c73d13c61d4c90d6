// Package httpapitest has a Service in memory: what a single node with an
// empty core does, without disk and without peers. Tests of the API and of the
// command line run against it.
package httpapitest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/internal/inorder"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Origin is the one origin that a [Service] writes under.
const Origin vclock.Origin = "fake~00000000"

// Service is an [httpapi.Service] in memory. The zero value has the space
// "default" and is ready.
type Service struct {
	// Fail, when not nil, is asked before every write and may refuse it.
	Fail func(session.Command) error
	// NoCore makes every write that asks for Core a degraded one.
	NoCore bool
	// Name is the node's; "fake" if empty.
	Name string
	// Signals is the way to other nodes; nil: there are none.
	Signals push.Wire

	mu     sync.Mutex // guards what follows
	spaces map[string]*space
	change chan struct{} // closed and replaced at every write
	watch  map[*watcher]bool
}

type space struct {
	seq      vclock.Seq
	sessions map[string]*state
	log      []session.Change
}

type state struct {
	doc     session.Document
	context map[string]any
	msgs    []session.Message
	keys    map[string]answered
	texts   map[string]*shared
	tools   map[string]*session.Tool
	erased  bool
	expired bool
}

// answered is what was answered to a write with an idempotency key.
type answered struct {
	request session.Digest
	answer  httpapi.Answer
}

// locked gives the space, made if it is new.
func (s *Service) locked(name string) *space {
	if s.spaces == nil {
		s.spaces = map[string]*space{}
		s.spaces["default"] = &space{sessions: map[string]*state{}}
		s.change = make(chan struct{})
	}
	if s.spaces[name] == nil {
		s.spaces[name] = &space{sessions: map[string]*state{}}
	}
	return s.spaces[name]
}

// Expire marks a session expired.
func (s *Service) Expire(name, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.locked(name).sessions[id]; st != nil {
		st.expired = true
	}
}

// Write carries out one command.
func (s *Service) Write(ctx context.Context, cmd session.Command, level httpapi.Durability) (httpapi.Answer, error) {
	if s.Fail != nil {
		if err := s.Fail(cmd); err != nil {
			return httpapi.Answer{}, err
		}
	}
	pass, err := inorder.Enter(ctx)
	if err != nil {
		return httpapi.Answer{}, err
	}
	defer pass()
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.locked(cmd.Space)
	st := sp.sessions[cmd.Session]
	if st != nil && cmd.Key != "" {
		if a, ok := st.keys[cmd.Key]; ok {
			if a.request != cmd.Request {
				return httpapi.Answer{}, fmt.Errorf("write: %w", session.ErrKeyReused)
			}
			a.answer.Replayed = true
			return a.answer, nil
		}
	}
	st, err = sp.admit(st, cmd)
	if err != nil {
		return httpapi.Answer{}, err
	}
	ans, err := sp.do(st, cmd)
	if err != nil {
		return httpapi.Answer{}, err
	}
	sp.sessions[cmd.Session] = st
	ans.Version = vclock.Of(vclock.Dot{Origin: Origin, Seq: sp.seq})
	st.doc.Version = ans.Version.String()
	if level == "" {
		level = httpapi.Local
	}
	ans.Durability = level
	if s.NoCore && level == httpapi.Core {
		ans.Durability, ans.Degraded, ans.Fallback = httpapi.Local, true, "core_timeout"
	}
	if _, erase := cmd.Do.(session.EraseSession); !erase {
		ans.Document = new(st.view())
	}
	if cmd.Key != "" {
		st.keys[cmd.Key] = answered{cmd.Request, ans}
	}
	s.moved(cmd.Space, cmd.Session)
	return ans, nil
}

// admit checks what holds for every command and makes a new session's state.
func (sp *space) admit(st *state, cmd session.Command) (*state, error) {
	_, open := cmd.Do.(session.OpenSession)
	_, erase := cmd.Do.(session.EraseSession)
	switch {
	case st == nil && !open:
		return nil, fmt.Errorf("session %s: %w", cmd.Session, session.ErrNoSession)
	case st == nil:
		return &state{keys: map[string]answered{}, context: map[string]any{}}, nil
	case st.erased && !erase:
		return nil, session.ErrSessionErased
	case st.expired && !erase:
		return nil, session.ErrSessionExpired
	case open:
		return nil, session.ErrSessionExists
	case cmd.IfMatch != nil && cmd.IfMatch.String() != st.doc.Version:
		return nil, session.ErrVersionMoved
	}
	if _, move := cmd.Do.(session.Move); st.doc.State == "ended" && !move && !erase {
		return nil, session.ErrSessionEnded
	}
	return st, nil
}

func (sp *space) do(st *state, cmd session.Command) (httpapi.Answer, error) {
	switch do := cmd.Do.(type) {
	case session.OpenSession:
		return httpapi.Answer{}, sp.open(st, cmd, do)
	case session.Move:
		return httpapi.Answer{}, sp.move(st, cmd, do)
	case session.Append:
		return sp.append(st, cmd, do)
	case session.EditMessage:
		return sp.amend(st, cmd, do.ID, func(m *session.Message) {
			m.Content = do.Content
			if do.Metadata != nil {
				m.Metadata = do.Metadata
			}
			m.EditedAt = new(sp.now())
		})
	case session.RedactMessage:
		return sp.amend(st, cmd, do.ID, func(m *session.Message) {
			m.Content, m.ToolCalls, m.Metadata, m.Redacted = nil, nil, nil, true
		})
	case session.PatchContext:
		return httpapi.Answer{}, sp.patch(st, cmd, do.Patch)
	case session.AdjustContext:
		return httpapi.Answer{}, sp.adjust(st, cmd, do.Changes)
	case session.EditText:
		return sp.editText(st, cmd, do)
	case session.ClaimTool:
		return sp.claim(st, cmd, do)
	case session.CompleteTool:
		return sp.complete(st, cmd, do)
	case session.EraseSession:
		st.erased, st.msgs, st.context = true, nil, map[string]any{}
		sp.record(st, cmd, session.Change{Type: "erase"})
		return httpapi.Answer{}, nil
	}
	return httpapi.Answer{}, fmt.Errorf("%T: %w", cmd.Do, session.ErrInvalid)
}

func (sp *space) now() time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(sp.seq) * time.Millisecond)
}

// record gives the write its number and puts it in the log.
func (sp *space) record(st *state, cmd session.Command, c session.Change) {
	sp.seq++
	dot := vclock.Dot{Origin: Origin, Seq: sp.seq}
	c.Session, c.Dot, c.Version = cmd.Session, dot.String(), vclock.Of(dot).String()
	c.At, c.Actor, c.Origin, c.Key = sp.now(), cmd.Actor, string(Origin), cmd.Key
	sp.log = append(sp.log, c)
	st.doc.UpdatedAt = c.At
}

func (sp *space) open(st *state, cmd session.Command, o session.OpenSession) error {
	if err := merge(st.context, o.Context); err != nil {
		return err
	}
	st.doc = session.Document{
		ID: cmd.Session, Space: cmd.Space, State: "initialized", Order: "turns",
		Labels: map[string]string{}, Conflicts: []session.Conflict{}, CreatedAt: sp.now(),
	}
	if o.Order == session.Chat {
		st.doc.Order = "chat"
	}
	maps.Copy(st.doc.Labels, o.Labels)
	if o.TTL > 0 {
		st.doc.ExpiresAt = new(sp.now().Add(o.TTL))
	}
	sp.record(st, cmd, session.Change{Type: "open", Context: o.Context})
	return nil
}

var moves = map[string][]string{
	"initialized": {"active", "ended"}, "active": {"paused", "ended"},
	"paused": {"active", "ended"}, "ended": {"reopened"},
}

func (sp *space) move(st *state, cmd session.Command, m session.Move) error {
	if legal := moves[st.doc.State]; !slices.Contains(legal, m.To) {
		return &session.MoveError{From: st.doc.State, To: m.To, Legal: legal}
	}
	st.doc.State = m.To
	if m.To == "reopened" {
		st.doc.State = "active"
	}
	sp.record(st, cmd, session.Change{Type: "transition", State: st.doc.State})
	return nil
}

func (sp *space) append(st *state, cmd session.Command, a session.Append) (httpapi.Answer, error) {
	known := map[string]bool{}
	for _, m := range st.msgs {
		known[m.ID] = true
	}
	for _, d := range a.Messages {
		if d.ID != "" && known[d.ID] {
			return httpapi.Answer{}, fmt.Errorf("message %s: %w", d.ID, session.ErrMessageExists)
		}
		if d.Parent != nil && *d.Parent != "" && !known[*d.Parent] {
			return httpapi.Answer{}, fmt.Errorf("parent %s: %w", *d.Parent, session.ErrUnknownParent)
		}
		known[d.ID] = true
	}
	var ans httpapi.Answer
	for _, d := range a.Messages {
		m := session.Message{
			ID: d.ID, Role: d.Role, Content: d.Content, Name: d.Name, ToolCalls: d.ToolCalls,
			ToolCallID: d.ToolCallID, Metadata: d.Metadata, Actor: cmd.Actor, Origin: string(Origin),
		}
		if n := len(st.msgs); d.Parent != nil {
			m.Parent = *d.Parent
		} else if n > 0 {
			m.Parent = st.msgs[n-1].ID
		}
		m.ID = cmp.Or(m.ID, string(Origin)+"."+strconv.Itoa(int(sp.seq)+1))
		m.At = sp.now()
		m.Version = vclock.Of(vclock.Dot{Origin: Origin, Seq: sp.seq + 1}).String()
		st.msgs = append(st.msgs, m)
		sp.record(st, cmd, session.Change{Type: "message", Message: &m})
		ans.Messages = append(ans.Messages, m)
	}
	return ans, nil
}

func (sp *space) amend(st *state, cmd session.Command, id string, change func(*session.Message)) (httpapi.Answer, error) {
	i := slices.IndexFunc(st.msgs, func(m session.Message) bool { return m.ID == id })
	if i < 0 {
		return httpapi.Answer{}, fmt.Errorf("message %s: %w", id, session.ErrNoMessage)
	}
	if _, edit := cmd.Do.(session.EditMessage); edit && st.msgs[i].Redacted {
		return httpapi.Answer{}, session.ErrMessageRedacted
	}
	change(&st.msgs[i])
	m := st.msgs[i]
	kind := "edit"
	if m.Redacted {
		kind = "redact"
	}
	sp.record(st, cmd, session.Change{Type: kind, Message: &m})
	return httpapi.Answer{Messages: []session.Message{m}}, nil
}

func (sp *space) patch(st *state, cmd session.Command, patch []byte) error {
	if err := merge(st.context, patch); err != nil {
		return err
	}
	sp.record(st, cmd, session.Change{Type: "context", Context: patch})
	return nil
}

// merge applies a JSON merge patch; numbers keep their text.
func merge(into map[string]any, patch []byte) error {
	if patch == nil {
		return nil
	}
	var p map[string]any
	dec := json.NewDecoder(bytes.NewReader(patch))
	dec.UseNumber()
	if err := dec.Decode(&p); err != nil {
		return fmt.Errorf("patch: %w: %w", session.ErrInvalid, err)
	}
	mergeObject(into, p)
	return nil
}

func mergeObject(into, p map[string]any) {
	for k, v := range p {
		switch v := v.(type) {
		case nil:
			delete(into, k)
		case map[string]any:
			sub, ok := into[k].(map[string]any)
			if !ok {
				sub = map[string]any{}
			}
			mergeObject(sub, v)
			into[k] = sub
		default:
			into[k] = v
		}
	}
}

// adjust keeps counters and sets at the top level of the context only.
func (sp *space) adjust(st *state, cmd session.Command, changes []session.Adjustment) error {
	next := maps.Clone(st.context)
	for _, c := range changes {
		key := c.Path[1:]
		if c.Kind == session.CounterAdd {
			n, ok := next[key].(int64)
			if !ok && next[key] != nil {
				return fmt.Errorf("%s: %w", c.Path, session.ErrWrongKind)
			}
			if sum := n + c.By; (sum > n) != (c.By > 0) && c.By != 0 {
				return fmt.Errorf("%s: %w", c.Path, session.ErrOverflow)
			}
			next[key] = n + c.By
			continue
		}
		set, ok := next[key].([]string)
		if !ok && next[key] != nil {
			return fmt.Errorf("%s: %w", c.Path, session.ErrWrongKind)
		}
		set = slices.DeleteFunc(slices.Clone(set), func(e string) bool { return e == string(c.Value) })
		if c.Kind == session.SetInsert {
			set = append(set, string(c.Value))
			slices.Sort(set)
		}
		next[key] = set
	}
	st.context = next
	sp.record(st, cmd, session.Change{Type: "adjust"})
	return nil
}

func (st *state) view() session.Document {
	d := st.doc
	shown := maps.Clone(st.context)
	for k, v := range shown {
		if set, ok := v.([]string); ok {
			raw := make([]json.RawMessage, len(set))
			for i := range set {
				raw[i] = json.RawMessage(set[i])
			}
			shown[k] = raw
		}
	}
	text, err := json.Marshal(shown)
	if err != nil {
		panic("httpapitest: want a context that encodes, have " + err.Error())
	}
	d.Context, d.MessageCount = text, len(st.msgs)
	d.Texts = slices.Sorted(maps.Keys(st.texts))
	return d
}

func (s *Service) find(name, id string) (*state, error) {
	st := s.locked(name).sessions[id]
	switch {
	case st == nil:
		return nil, fmt.Errorf("session %s: %w", id, session.ErrNoSession)
	case st.erased:
		return nil, session.ErrSessionErased
	case st.expired:
		return nil, session.ErrSessionExpired
	}
	return st, nil
}

// Session shows one session.
func (s *Service) Session(_ context.Context, name, id string) (session.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(name, id)
	if err != nil {
		return session.Document{}, err
	}
	return st.view(), nil
}

// Sessions lists by activity; the page token is an index.
func (s *Service) Sessions(_ context.Context, name string, q httpapi.ListQuery) ([]session.Document, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var docs []session.Document
	for _, id := range slices.Sorted(maps.Keys(s.locked(name).sessions)) {
		st, err := s.find(name, id)
		if err != nil || (q.State != "" && q.State != st.doc.State) {
			continue
		}
		if k, v, ok := strings.Cut(q.Label, "="); ok && st.doc.Labels[k] != v {
			continue
		}
		docs = append(docs, st.view())
	}
	slices.SortStableFunc(docs, func(a, b session.Document) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	from := 0
	if q.After != "" {
		n, err := strconv.Atoi(q.After)
		if err != nil || n < 0 || n > len(docs) {
			return nil, "", fmt.Errorf("after %q: %w", q.After, httpapi.ErrBadCursor)
		}
		from = n
	}
	to := min(from+q.Limit, len(docs))
	next := ""
	if to < len(docs) {
		next = strconv.Itoa(to)
	}
	return docs[from:to], next, nil
}

// Messages lists one session's messages.
func (s *Service) Messages(_ context.Context, name, id string, q httpapi.MessageQuery) ([]session.Message, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(name, id)
	if err != nil {
		return nil, "", err
	}
	all := st.msgs
	for _, edge := range []string{q.After, q.Before} {
		if edge == "" {
			continue
		}
		i := slices.IndexFunc(all, func(m session.Message) bool { return m.ID == edge })
		if i < 0 {
			return nil, "", fmt.Errorf("message %s: %w", edge, session.ErrNoMessage)
		}
		if edge == q.After {
			all = all[i+1:]
		} else {
			all = all[:i]
		}
	}
	if len(all) <= q.Limit {
		return slices.Clone(all), "", nil
	}
	if q.Tail || q.Before != "" {
		page := all[len(all)-q.Limit:]
		return slices.Clone(page), page[0].ID, nil
	}
	page := all[:q.Limit]
	return slices.Clone(page), page[len(page)-1].ID, nil
}

// Digest hashes what a session or a space shows.
func (s *Service) Digest(ctx context.Context, name, id string) (httpapi.Digest, error) {
	d := httpapi.Digest{Space: name, Session: id}
	ids := []string{id}
	s.mu.Lock()
	sp := s.locked(name)
	if id == "" {
		ids = slices.Sorted(maps.Keys(sp.sessions))
		d.Sessions = len(ids)
	}
	d.Version = vclock.Of(vclock.Dot{Origin: Origin, Seq: sp.seq}).String()
	s.mu.Unlock()
	h := sha256.New()
	for _, one := range ids {
		doc, err := s.Session(ctx, name, one)
		if id == "" && (errors.Is(err, session.ErrSessionErased) || errors.Is(err, session.ErrSessionExpired)) {
			continue
		}
		if err != nil {
			return d, err
		}
		fmt.Fprintf(h, "%s %s %s %d\n", one, doc.Version, doc.Context, doc.MessageCount)
		d.Messages += doc.MessageCount
	}
	d.Digest = hex.EncodeToString(h.Sum(nil))
	return d, nil
}

// Spaces lists the spaces written to, and "default".
func (s *Service) Spaces(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked("default")
	return slices.Sorted(maps.Keys(s.spaces)), nil
}

// Status describes the fake.
func (s *Service) Status(context.Context) (httpapi.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := httpapi.Status{
		Node: "fake", Role: "edge", Cluster: "causeway", Version: "test", Origin: string(Origin),
		Degraded: []httpapi.Degradation{}, Spaces: []httpapi.SpaceStatus{},
		Link:  &httpapi.LinkStatus{State: "attached", Core: "core-1", RTT: "1ms"},
		Clock: httpapi.ClockStatus{Trust: "system"}, Store: httpapi.StoreStatus{Problems: []string{}},
	}
	s.locked("default")
	for _, name := range slices.Sorted(maps.Keys(s.spaces)) {
		sp := s.spaces[name]
		st.Spaces = append(st.Spaces, httpapi.SpaceStatus{
			Space: name, Ops: uint64(sp.seq), Sessions: uint64(len(sp.sessions)),
			Version: vclock.Of(vclock.Dot{Origin: Origin, Seq: sp.seq}).String(),
		})
	}
	return st, nil
}

// Ready is always nil.
func (s *Service) Ready(context.Context) error { return nil }
