package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/httpapi/httpapitest"
	"github.com/causeway-sync/causeway/session"
)

// dial gives a client that does not really pause, and the pauses it took.
func dial(t *testing.T, h http.Handler) (*Client, *[]time.Duration) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL, 4)
	if err != nil {
		t.Fatal(err)
	}
	var pauses []time.Duration
	c.wait = func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return nil
	}
	return c, &pauses
}

// TestRetryKeepsKey: the answers of the first attempts are lost on the way; the
// write happens once.
func TestRetryKeepsKey(t *testing.T) {
	t.Parallel()
	svc := &httpapitest.Service{}
	api := httpapi.Handler(svc, nil)
	var lost atomic.Int32 // each connection has a goroutine of its own
	c, _ := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/messages") && lost.Load() < 3 {
			lost.Add(1)
			api.ServeHTTP(httptest.NewRecorder(), r) // carried out, never answered
			panic(http.ErrAbortHandler)
		}
		api.ServeHTTP(w, r)
	}))
	ctx := t.Context()
	if err := c.Do(ctx, Call{Method: "POST", Path: SpacePath("default") + "/sessions", Body: []byte(`{"id":"s"}`)}, nil); err != nil {
		t.Fatal(err)
	}
	var m session.Message
	call := Call{Method: "POST", Path: SessionPath("default", "s", "/messages"), Body: []byte(`{"role":"user","content":1}`)}
	if err := c.Do(ctx, call, &m); err != nil {
		t.Fatal(err)
	}
	doc, err := c.Session(ctx, "default", "s")
	if err != nil || doc.MessageCount != 1 || lost.Load() != 3 {
		t.Errorf("after %d lost answers: %d messages, %v; want 3, 1, nil", lost.Load(), doc.MessageCount, err)
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err      error
		attempts int
	}{
		{httpapi.ErrOverloaded, maxAttempts}, {httpapi.ErrUnavailable, maxAttempts},
		{session.ErrNoSession, 1}, {httpapi.ErrDiskReserve, 1}, {errors.New("bug"), 1},
	} {
		attempts := 0
		svc := &httpapitest.Service{Fail: func(session.Command) error {
			attempts++
			return fmt.Errorf("write: %w", c.err)
		}}
		client, pauses := dial(t, httpapi.Handler(svc, nil))
		err := client.Do(t.Context(), Call{Method: "POST", Path: SpacePath("default") + "/sessions", Body: []byte(`{}`)}, nil)
		if p, ok := errors.AsType[*Problem](err); !ok || p.Code == "" || attempts != c.attempts {
			t.Errorf("%v: %d attempts, error %v; want %d and a problem", c.err, attempts, err, c.attempts)
		}
		for _, d := range *pauses {
			if d < time.Second { // what Retry-After says
				t.Errorf("%v: pause of %v, want at least 1s", c.err, d)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempt := 1; attempt <= 30; attempt++ {
		if d := backoff(min(attempt, maxAttempts)); d < firstPause/2 || d > longestPause {
			t.Errorf("backoff(%d) = %v", attempt, d)
		}
	}
}

func TestProblemText(t *testing.T) {
	t.Parallel()
	c, _ := dial(t, httpapi.Handler(&httpapitest.Service{}, nil))
	_, err := c.Session(t.Context(), "default", "nobody")
	want := "no such session (404 session_not_found): session nobody: session: no such session"
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	c, _ = dial(t, http.NotFoundHandler())
	if _, err = c.Session(t.Context(), "default", "s"); !strings.Contains(fmt.Sprint(err), "not_causeway") {
		t.Errorf("error of a foreign server = %v", err)
	}
	for _, bad := range []string{"", "127.0.0.1:7101", "ftp://x", "http://"} {
		if _, err := New(bad, 1); err == nil {
			t.Errorf("New(%q) = nil error", bad)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	c, _ := dial(t, httpapi.Handler(&httpapitest.Service{}, nil))
	ctx := t.Context()
	const n = pageSize + 7
	for i := range n {
		body := fmt.Sprintf(`{"id":"s-%d"}`, i)
		if err := c.Do(ctx, Call{Method: "POST", Path: SpacePath("default") + "/sessions", Body: []byte(body)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	for d, err := range c.Sessions(ctx, "default", SessionFilter{State: "initialized"}) {
		if err != nil {
			t.Fatal(err)
		}
		ids[d.ID] = true
	}
	if len(ids) != n {
		t.Errorf("%d sessions, want %d", len(ids), n)
	}
	for range 3 {
		msgs := []map[string]any{}
		for i := range 200 {
			msgs = append(msgs, map[string]any{"role": "user", "content": i})
		}
		body, err := json.Marshal(map[string]any{"messages": msgs})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(ctx, Call{Method: "POST", Path: SessionPath("default", "s-1", "/messages"), Body: body}, nil); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	for m, err := range c.Messages(ctx, "default", "s-1") {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(count % 200); string(m.Content) != want {
			t.Errorf("message %d = %s, want %s", count, m.Content, want)
		}
		count++
	}
	if count != 600 {
		t.Errorf("%d messages, want 600", count)
	}
}
