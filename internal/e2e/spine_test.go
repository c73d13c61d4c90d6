package e2e

import (
	"fmt"
	"slices"
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
