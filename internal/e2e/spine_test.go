package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

const sessions = "/v1/spaces/default/sessions"

func say(t testing.TB, node, session, role, text string, headers ...string) message {
	t.Helper()
	var m message
	call(t, "POST", node+sessions+"/"+session+"/messages", map[string]any{"role": role, "content": text}, 201, &m, headers...)
	return m
}

func texts(ms []message) []string {
	var out []string
	for _, m := range ms {
		out = append(out, string(m.Content))
	}
	return out
}

// A conversation begun at one edge goes on at another, and reads the same at
// every replica.
func TestConversationIsEverywhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	one, two := c.sites[0], c.sites[1]
	call(t, "POST", one.url+sessions, map[string]any{"id": "s1"}, 201, nil)
	say(t, one.url, "s1", "user", "hello")
	c.converge("default", c.urls()...)
	say(t, two.url, "s1", "assistant", "good day")
	c.converge("default", c.urls()...)
	say(t, c.coreURL, "s1", "user", "from the back office")
	c.converge("default", c.urls()...)
	want := []string{`"hello"`, `"good day"`, `"from the back office"`}
	for _, u := range c.urls() {
		if got := texts(messages(t, u, "default", "s1")); !slices.Equal(got, want) {
			t.Errorf("messages at %s = %v, want %v", u, got, want)
		}
	}
}

// Both sides of a cut link go on, with half of the writes in the same session;
// healed, they agree on one order in which branches are not interleaved, and
// conflicts are visible.
func TestCutLinkConverges(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	one, two := c.sites[0], c.sites[1]
	for _, id := range []string{"both", "only-1", "only-2"} {
		call(t, "POST", one.url+sessions, map[string]any{"id": id}, 201, nil)
	}
	say(t, one.url, "both", "user", "root")
	c.converge("default", c.urls()...)
	one.cut(false)
	for i := range 40 {
		say(t, one.url, "both", "user", fmt.Sprintf("a%d", i))
		say(t, two.url, "both", "user", fmt.Sprintf("b%d", i))
		say(t, one.url, "only-1", "user", fmt.Sprintf("c%d", i))
		say(t, two.url, "only-2", "user", fmt.Sprintf("d%d", i))
	}
	call(t, "PATCH", one.url+sessions+"/both/context", map[string]any{"city": "Oslo", "a": 1}, 200, nil)
	call(t, "PATCH", two.url+sessions+"/both/context", map[string]any{"city": "Bergen", "b": 2}, 200, nil)
	one.cut(true)
	c.converge("default", c.urls()...)
	first := texts(messages(t, one.url, "default", "both"))
	if len(first) != 81 {
		t.Fatalf("%d messages after healing, want 81", len(first))
	}
	switches := 0
	for i := 2; i < len(first); i++ {
		if first[i][1] != first[i-1][1] {
			switches++
		}
	}
	if switches != 1 {
		t.Errorf("the branches change %d times in %v, want once", switches, first)
	}
	for _, u := range c.urls() {
		if got := texts(messages(t, u, "default", "both")); !slices.Equal(got, first) {
			t.Errorf("order at %s differs", u)
		}
		var doc struct {
			Context   map[string]any
			Conflicts []struct{ Path string }
		}
		call(t, "GET", u+sessions+"/both", nil, 200, &doc)
		if len(doc.Conflicts) != 1 || doc.Conflicts[0].Path != "/city" || doc.Context["a"] == nil || doc.Context["b"] == nil {
			t.Errorf("at %s: context %v, conflicts %v; want a and b and one conflict at /city", u, doc.Context, doc.Conflicts)
		}
	}
}

// The same request sent to two edges that are apart has one effect.
func TestRetryAtAnotherEdge(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	one, two := c.sites[0], c.sites[1]
	call(t, "POST", one.url+sessions, map[string]any{"id": "s"}, 201, nil)
	c.converge("default", c.urls()...)
	one.cut(false)
	a := say(t, one.url, "s", "user", "pay", "Idempotency-Key", "k1")
	again := say(t, one.url, "s", "user", "pay", "Idempotency-Key", "k1")
	b := say(t, two.url, "s", "user", "pay", "Idempotency-Key", "k1")
	if a.ID != b.ID || a.ID != again.ID {
		t.Errorf("ids %q, %q, %q, want one", a.ID, again.ID, b.ID)
	}
	one.cut(true)
	c.converge("default", c.urls()...)
	for _, u := range c.urls() {
		if got := messages(t, u, "default", "s"); len(got) != 1 {
			t.Errorf("%d messages at %s, want 1", len(got), u)
		}
	}
}

// The long version: behind a cut link 1,000 messages and 200 context patches
// on each side, half of them in the same ten sessions. Healed, every replica
// shows the same order and the same conflicts, nothing lost, nothing twice.
func TestLongCutConverges(t *testing.T) {
	t.Parallel()
	const shared, writes, patches = 10, 1000, 200
	c := newCluster(t, 2)
	for i := range shared {
		call(t, "POST", c.sites[0].url+sessions, map[string]any{"id": fmt.Sprintf("both-%d", i)}, 201, nil)
	}
	c.converge("default", c.urls()...)
	c.sites[0].cut(false)
	written := make(map[string]int) // how often each text must be found
	var mu sync.Mutex
	var writers sync.WaitGroup
	for _, s := range c.sites {
		for lane := range shared {
			writers.Go(func() {
				own := fmt.Sprintf("%s-%d", s.name, lane)
				call(t, "POST", s.url+sessions, map[string]any{"id": own}, 201, nil)
				for i := range writes / shared {
					id := []string{fmt.Sprintf("both-%d", lane), own}[i%2]
					text := fmt.Sprintf("%s %d %d", s.name, lane, i)
					say(t, s.url, id, "user", text)
					mu.Lock()
					written[fmt.Sprintf("%q", text)]++
					mu.Unlock()
					if i%(writes/patches) == 0 {
						patch := map[string]any{"last": text, s.name: i, "n": map[string]any{fmt.Sprint(i % 3): text}}
						call(t, "PATCH", s.url+sessions+"/"+id+"/context", patch, 200, nil)
					}
				}
			})
		}
	}
	writers.Wait()
	c.sites[0].cut(true)
	c.converge("default", c.urls()...)
	found := make(map[string]int)
	for _, id := range sessionIDs(t, c.coreURL) {
		want := messages(t, c.coreURL, "default", id)
		doc := document(t, c.coreURL, id)
		for _, m := range want {
			found[string(m.Content)]++
		}
		for _, s := range c.sites {
			if got := messages(t, s.url, "default", id); !slices.Equal(texts(got), texts(want)) {
				t.Errorf("session %s reads differently at %s and core-1", id, s.name)
			}
			if got := document(t, s.url, id); got != doc {
				t.Errorf("session %s: %s shows\n%s\ncore-1 shows\n%s", id, s.name, got, doc)
			}
		}
		if strings.HasPrefix(id, "both") && (sideChanges(want) != 1 || !strings.Contains(doc, `"path":"/last"`)) {
			t.Errorf("session %s: sides change %d times, want once; its conflicts: %s", id, sideChanges(want), doc)
		}
	}
	if !maps.Equal(found, written) {
		t.Errorf("%d texts found, %d written; they must be the same, each once", len(found), len(written))
	}
}

// sideChanges counts how often the origin changes along the messages.
func sideChanges(ms []message) int {
	n := 0
	for i := 1; i < len(ms); i++ {
		if ms[i].Origin != ms[i-1].Origin {
			n++
		}
	}
	return n
}

// document is what a node shows of a session besides its messages.
func document(t testing.TB, node, id string) string {
	t.Helper()
	var doc json.RawMessage
	call(t, "GET", node+sessions+"/"+id, nil, 200, &doc)
	return string(doc)
}

func sessionIDs(t testing.TB, node string) []string {
	t.Helper()
	var page struct {
		Sessions []struct{ ID string }
		Next     string
	}
	call(t, "GET", node+sessions+"?limit=1000", nil, 200, &page)
	var ids []string
	for _, s := range page.Sessions {
		ids = append(ids, s.ID)
	}
	return ids
}
