package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// sent is a write with a key that was acknowledged.
type sent struct {
	method, path, key string
	body              any
	other             any // another body for the same key; nil if there is none
}

// sender writes with keys at random nodes and remembers all.
type sender struct {
	t    testing.TB
	rng  *rand.Rand
	all  []sent
	urls func() []string
}

func (s *sender) node() string { u := s.urls(); return u[s.rng.IntN(len(u))] }

// send does one write, which must be taken.
func (s *sender) send(node, method, path string, body, other, into any) {
	s.t.Helper()
	one := sent{method, path, fmt.Sprintf("key-%d", len(s.all)), body, other}
	if status, code := s.try(node, one, body, into); status >= 300 || status == 0 {
		s.t.Fatalf("%s %s at %s: %d %s", method, path, node, status, code)
	}
	s.all = append(s.all, one)
}

func (s *sender) try(node string, one sent, body, into any) (status int, code string) {
	s.t.Helper()
	return do(s.t, one.method, node+one.path, body, into, "Idempotency-Key", one.key)
}

// session writes what there is to write to one session, all at one node.
func (s *sender) session(id string) {
	node := s.node()
	at := sessions + "/" + id
	s.send(node, "POST", sessions, map[string]any{"id": id, "context": map[string]any{"n": 1}}, map[string]any{"id": id}, nil)
	s.send(node, "POST", at+"/transitions", map[string]any{"to": "active"}, map[string]any{"to": "ended"}, nil)
	var first struct{ ID string }
	s.send(node, "POST", at+"/messages", map[string]any{"role": "user", "content": "hi"}, map[string]any{"role": "user", "content": "ho"}, &first)
	s.send(node, "POST", at+"/messages", map[string]any{"messages": []map[string]any{
		{"role": "assistant", "content": "", "tool_calls": []map[string]any{{"id": "c", "name": "f"}, {"name": "g"}}},
		{"role": "tool", "name": "g", "content": "of g"}, {"role": "assistant", "content": "so"}}},
		map[string]any{"role": "user", "content": "other"}, nil)
	s.send(node, "PATCH", at+"/messages/"+first.ID, map[string]any{"content": "hi!"}, map[string]any{"content": "no"}, nil)
	s.send(node, "PATCH", at+"/context", map[string]any{"a": map[string]any{"b": id}}, map[string]any{"a": 7}, nil)
	s.send(node, "POST", at+"/context/ops", map[string]any{"ops": []map[string]any{{"op": "add", "path": "/visits", "by": 1},
		{"op": "insert", "path": "/tags", "value": "x"}}}, map[string]any{"ops": []map[string]any{{"op": "add", "path": "/visits", "by": 2}}}, nil)
	s.send(node, "POST", at+"/texts/notes/edits", map[string]any{"edits": []map[string]any{{"pos": 0, "ins": "hello"}}},
		map[string]any{"edits": []map[string]any{{"pos": 0, "ins": "bye"}}}, nil)
	var got tool
	s.send(node, "POST", at+"/tools/c/claim", map[string]any{"by": "x"}, map[string]any{"by": "y"}, &got)
	s.send(node, "POST", at+"/tools/c/complete", map[string]any{"claim": got.Claim.ID, "result": 7},
		map[string]any{"claim": got.Claim.ID, "result": 8}, nil)
	var last struct{ ID string }
	s.send(node, "POST", at+"/messages", map[string]any{"role": "user", "content": "gone"}, nil, &last)
	s.send(node, "DELETE", at+"/messages/"+last.ID, nil, nil, nil)
	if s.rng.IntN(3) == 0 {
		s.send(node, "POST", at+"/transitions", map[string]any{"to": "ended"}, nil, nil)
	}
}

// shown is what a node shows of all sessions, but for versions: a retry at a
// node that had not heard of the first try is an op of its own, without effect.
func shown(t testing.TB, node string, ids []string) string {
	t.Helper()
	var b strings.Builder
	for _, id := range ids {
		at := node + sessions + "/" + id
		var doc map[string]json.RawMessage
		call(t, "GET", at, nil, 200, &doc)
		delete(doc, "version")
		delete(doc, "updated_at")
		var tree struct{ Messages []map[string]json.RawMessage }
		call(t, "GET", at+"/messages?view=model&last=1000", nil, 200, &tree)
		for _, m := range tree.Messages { // of two puts of a message the earlier is shown
			for _, name := range []string{"version", "at", "origin", "durability", "edited_at"} {
				delete(m, name)
			}
		}
		var text struct{ Text string }
		call(t, "GET", at+"/texts/notes", nil, 200, &text)
		delete(doc, "created_at")
		lines, err := json.Marshal([]any{doc, tree, text})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", lines)
	}
	return b.String()
}

// retries is how many earlier requests are sent again; CAUSEWAY_RETRIES gives
// another number.
func retries(t testing.TB) int {
	t.Helper()
	text := os.Getenv("CAUSEWAY_RETRIES")
	if text == "" {
		return 300
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CAUSEWAY_RETRIES: got %q, want a number from 1 on", text)
	}
	return n
}

// Writes of every kind are sent again at random nodes: at once while links are
// cut, after they are healed, after restarts. None has an effect; the same key
// with another body is refused wherever the first is known.
func TestRetriesHaveNoEffect(t *testing.T) {
	t.Parallel()
	total := retries(t)
	c := newCluster(t, 2)
	s := &sender{t: t, rng: rand.New(rand.NewPCG(11, 3)), urls: c.urls}
	var ids []string
	for i := range 6 {
		ids = append(ids, fmt.Sprintf("s%d", i))
		s.session(ids[i])
	}
	c.converge("default", c.urls()...)
	before := shown(t, c.coreURL, ids)
	again, refused := 0, 0
	round := func(n int, everywhere bool) {
		for range n {
			one := s.all[s.rng.IntN(len(s.all))]
			node := s.node()
			status, code := s.try(node, one, one.body, nil)
			if status >= 300 || status == 0 {
				t.Fatalf("%s %s again at %s: %d %s", one.method, one.path, node, status, code)
			}
			again++
			if one.other != nil && everywhere && s.rng.IntN(4) == 0 {
				if status, code := s.try(node, one, one.other, nil); status != http.StatusUnprocessableEntity || code != "idempotency_key_reused" {
					t.Fatalf("%s %s with another body at %s: %d %s, want 422", one.method, one.path, node, status, code)
				}
				refused++
			}
		}
	}
	for part := range 4 {
		for _, site := range c.sites {
			site.cut(part%2 == 0)
		}
		round(total/4, true)
		if part == 1 || part == 3 {
			for _, site := range c.sites {
				site.run.end(t)
				c.startSite(site)
			}
		}
		if part == 3 {
			c.core.end(t)
			c.startCore()
		}
	}
	for _, site := range c.sites {
		site.cut(true)
	}
	round(total/10+1, true)
	c.converge("default", c.urls()...)
	for _, u := range c.urls() {
		if after := shown(t, u, ids); after != before {
			t.Errorf("after %d retries %s shows\n%s\nwant\n%s", again, u, after, before)
		}
	}
	t.Logf("%d requests, sent again %d times; %d times with another body", len(s.all), again, refused)

	// Sessions that only one side has heard of: a retry at the other side is a
	// write there, and one effect when they meet.
	c.sites[0].cut(false)
	apart := &sender{t: t, rng: s.rng, urls: func() []string { return []string{c.sites[0].url} }}
	apart.session("apart")
	for _, one := range apart.all {
		body := one.body
		if strings.HasSuffix(one.path, "/complete") {
			continue // it names a claim that the other side has not heard of
		}
		if status, code := apart.try(c.sites[1].url, one, body, nil); status >= 300 || status == 0 {
			t.Fatalf("%s %s at the other side: %d %s", one.method, one.path, status, code)
		}
	}
	c.sites[0].cut(true)
	c.converge("default", c.urls()...)
	for _, u := range c.urls() {
		var doc struct {
			MessageCount int `json:"message_count"`
			Context      json.RawMessage
			Conflicts    []struct{ Kind, Path string }
		}
		call(t, "GET", u+sessions+"/apart", nil, 200, &doc)
		if doc.MessageCount != 5 || len(doc.Conflicts) > 0 || string(doc.Context) != `{"a":{"b":"apart"},"n":1,"tags":["x"],"visits":1}` {
			t.Errorf("what was written at both sides is at %s %+v", u, doc)
		}
	}
	strictEverywhere(t, "apart", c.urls()...)
}
