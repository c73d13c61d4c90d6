package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
)

// leveled is what an answer says of durability.
type leveled struct {
	Durability, Fallback string
	Degraded             bool
}

// The policy makes messages of the assistant firm. With the link cut they are
// answered as local, which the answer, the status and the metrics name; after a
// few in vain the core is not asked any more. When it is back, firm writes are
// firm again by themselves, and nothing is lost.
func TestCoreLevelFallsBackAndReturns(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	s := c.sites[0]
	s.run.end(t)
	s.cfg.Durability = []string{"default/assistant=core", "default/tool=core"}
	s.cfg.CoreTimeout = config.Duration(200 * time.Millisecond)
	c.startSite(s)
	call(t, "POST", s.url+sessions, map[string]any{"id": "s"}, 201, nil)
	c.converge("default", c.urls()...)
	write := func(role string, want int, headers ...string) (got leveled) {
		t.Helper()
		call(t, "POST", s.url+sessions+"/s/messages", map[string]any{"role": role, "content": "x"}, want, &got, headers...)
		return got
	}
	await(t, "the first firm write", func() bool {
		var got leveled
		status, _ := try(t, s.url+sessions+"/s/messages", map[string]any{"role": "assistant", "content": "x"}, &got)
		return status == 201 && got.Durability == "core"
	})
	if got := write("user", 201); got.Durability != "local" {
		t.Errorf("a user's message: %+v", got)
	}
	if got := write("assistant", 201, "Causeway-Durability", "local"); got.Durability != "local" || got.Degraded {
		t.Errorf("what the request asks for does not count: %+v", got)
	}
	s.cut(false)
	seen := map[string]int{}
	for range 8 {
		got := write("assistant", 202)
		if got.Durability != "local" || !got.Degraded {
			t.Errorf("behind the cut: %+v", got)
		}
		seen[got.Fallback]++
		if got := write("user", 201); got.Degraded || got.Durability != "local" {
			t.Errorf("a user's message behind the cut: %+v", got)
		}
	}
	if seen["core_timeout"] < 3 || seen["core_timeout"]+seen["core_unreachable"] != 8 || seen["core_unreachable"] == 0 {
		t.Errorf("fallbacks %v, want some after their time, then the breaker open", seen)
	}
	if st := statusOf(t, s.url); !st.degraded("core_unreachable") {
		t.Errorf("degraded %+v, want core_unreachable", st.Degraded)
	}
	if text := page(t, s.url+"/metrics"); !strings.Contains(text, `causeway_degraded{mode="core_unreachable"} 1`) ||
		!strings.Contains(text, "causeway_core_breaker_closed 0") {
		t.Errorf("the metrics do not name the mode:\n%s", text)
	}
	s.cut(true)
	await(t, "the breaker to close", func() bool {
		st := statusOf(t, s.url)
		return !st.degraded("core_unreachable") && !st.degraded("link_down")
	})
	if got := write("assistant", 201); got.Durability != "core" || got.Fallback != "" {
		t.Errorf("after the cut: %+v", got)
	}
	c.converge("default", c.urls()...)
	here, there := messages(t, s.url, "default", "s"), messages(t, c.coreURL, "default", "s")
	if len(here) != len(there) || len(there) < 19 {
		t.Errorf("%d messages at the edge, %d at the core", len(here), len(there))
	}
}

// await asks until something is so.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", startTimeout, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func page(t testing.TB, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
