package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/httpapi/httpapitest"
	"github.com/causeway-sync/causeway/session"
)

func decode[T any](t testing.TB, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("answer %d %q: %v", w.Code, w.Body, err)
	}
	return v
}

// TestConversation walks through the life of a session, one call after another.
func TestConversation(t *testing.T) {
	t.Parallel()
	f := &fixture{svc: &httpapitest.Service{}}
	f.h = httpapi.Handler(f.svc, nil)

	w := f.must(t, "POST", sessionsURL, `{"id":"talk","order":"chat","ttl":"30m","labels":{"a":"b"},"context":{"n":1}}`)
	doc := decode[session.Document](t, w)
	if w.Code != 201 || doc.ID != "talk" || doc.Order != "chat" || doc.Labels["a"] != "b" || doc.ExpiresAt == nil {
		t.Errorf("open = %d %s", w.Code, w.Body)
	}
	if got := w.Header().Get("Location"); got != sessionsURL+"/talk" {
		t.Errorf("Location = %q", got)
	}
	f.must(t, "POST", at("talk", "transitions"), `{"to":"active"}`)

	// A single message is answered by itself, with the client's bytes.
	content := `{"b":[1,2.50,1e400],"a":"<é\u00e9>"}`
	w = f.must(t, "POST", at("talk", "messages"), `{"role":"user","content": `+content+` ,"metadata":{"x": 1}}`,
		"Causeway-Actor", "till 4")
	m := decode[session.Message](t, w)
	if w.Code != 201 || m.Actor != "till 4" || m.Durability != "local" || string(m.Metadata) != `{"x":1}` {
		t.Errorf("append = %d %s", w.Code, w.Body)
	}
	if !strings.Contains(w.Body.String(), content) {
		t.Errorf("append = %s, want content %s in it as given", w.Body, content)
	}
	if w.Header().Get("Causeway-Version") == "" {
		t.Errorf("append: no Causeway-Version")
	}

	w = f.must(t, "POST", at("talk", "messages"),
		`{"messages":[{"role":"assistant","tool_calls":[{"id":"c"}]},{"role":"tool","tool_call_id":"c","content":null}]}`)
	batch := decode[struct {
		Messages []session.Message
		Version  string
	}](t, w)
	if len(batch.Messages) != 2 || batch.Version != w.Header().Get("Causeway-Version") {
		t.Errorf("append of two = %s", w.Body)
	}
	if batch.Messages[0].Parent != m.ID || batch.Messages[1].Parent != batch.Messages[0].ID {
		t.Errorf("parents = %q, %q, want a chain from %q", batch.Messages[0].Parent, batch.Messages[1].Parent, m.ID)
	}

	w = f.must(t, "PATCH", at("talk", "messages/"+m.ID), `{"content":"better"}`)
	if e := decode[session.Message](t, w); string(e.Content) != `"better"` || e.EditedAt == nil {
		t.Errorf("edit = %s", w.Body)
	}
	w = f.must(t, "DELETE", at("talk", "messages/"+m.ID), "")
	if e := decode[session.Message](t, w); !e.Redacted || e.Content != nil {
		t.Errorf("redact = %s", w.Body)
	}

	w = f.must(t, "PATCH", at("talk", "context"), `{"n":null,"slot.name":"x"}`, "Content-Type", "application/merge-patch+json")
	if got := string(decode[session.Document](t, w).Context); got != `{"slot.name":"x"}` {
		t.Errorf("context = %s", got)
	}
	w = f.must(t, "POST", at("talk", "context/ops"),
		`{"ops":[{"op":"add","path":"/visits","by":2},{"op":"insert","path":"/tags","value":"new"}]}`)
	if got := string(decode[session.Document](t, w).Context); got != `{"slot.name":"x","tags":["new"],"visits":2}` {
		t.Errorf("context = %s", got)
	}

	w = f.must(t, "GET", at("talk", ""), "")
	tag := w.Header().Get("Etag")
	if want := `"` + decode[session.Document](t, w).Version + `"`; tag != want {
		t.Errorf("ETag = %s, want %s", tag, want)
	}
	if w := f.do(request("GET", at("talk", ""), "", "If-None-Match", tag)); w.Code != 304 || w.Body.Len() > 0 {
		t.Errorf("If-None-Match = %d %s, want 304", w.Code, w.Body)
	}
	f.must(t, "POST", at("talk", "messages"), hello, "If-Match", tag)
	if w := f.do(request("POST", at("talk", "messages"), hello, "If-Match", tag)); w.Code != 412 {
		t.Errorf("second write with the same If-Match = %d, want 412", w.Code)
	}

	if w = f.must(t, "DELETE", at("talk", ""), ""); !strings.Contains(w.Body.String(), `"erased":true`) {
		t.Errorf("erase = %s", w.Body)
	}
	if w := f.do(request("GET", at("talk", ""), "")); w.Code != 410 {
		t.Errorf("get of an erased session = %d, want 410", w.Code)
	}
}

func TestKeyedRetries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.must(t, "POST", sessionsURL, `{"labels":{"a":"b"}}`, "Idempotency-Key", "open-1")
	again := f.must(t, "POST", sessionsURL, `{"labels":{"a":"b"}}`, "Idempotency-Key", "open-1")
	if first.Body.String() != again.Body.String() || again.Code != 201 {
		t.Errorf("retry of open = %d %s, want %s", again.Code, again.Body, first.Body)
	}
	if first.Header().Get("Causeway-Replayed") != "" || again.Header().Get("Causeway-Replayed") != "true" {
		t.Errorf("Causeway-Replayed = %q then %q", first.Header(), again.Header())
	}
	if w := f.do(request("POST", sessionsURL, `{}`, "Idempotency-Key", "open-1")); w.Code != 422 {
		t.Errorf("open with the same key and another body = %d, want 422", w.Code)
	}
	one := decode[session.Document](t, f.must(t, "POST", sessionsURL, ``))
	two := decode[session.Document](t, f.must(t, "POST", sessionsURL, ``))
	if one.ID == two.ID {
		t.Errorf("two sessions without id and key are both %s", one.ID)
	}
	w := f.must(t, "POST", at("s-1", "messages"), `{"id":"m-1","role":"user","content":"hi"}`, "Idempotency-Key", "k-1")
	if w.Code != 201 || w.Header().Get("Causeway-Replayed") != "true" {
		t.Errorf("retry of append = %d %v", w.Code, w.Header())
	}
}

func TestDegraded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.svc.NoCore = true
	for _, c := range []struct{ method, path, body string }{
		{"POST", at("s-1", "messages"), hello},
		{"POST", at("s-1", "messages"), `{"messages":[` + hello + `]}`},
		{"PATCH", at("s-1", "context"), `{"a":1}`},
		{"POST", sessionsURL, `{}`},
		{"DELETE", at("ended", ""), ""},
	} {
		w := f.do(request(c.method, c.path, c.body, "Causeway-Durability", "core"))
		got := decode[struct {
			Durability string
			Degraded   bool
		}](t, w)
		if w.Code != 202 || got.Durability != "local" || !got.Degraded {
			t.Errorf("%s %s with core out of reach = %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 5 {
		f.must(t, "POST", at("s-1", "messages"), `{"id":"n-`+string(rune('0'+i))+`","role":"user","content":1}`)
	}
	type page struct {
		Messages []session.Message
		Sessions []session.Document
		Changes  []session.Change
		Next     string
	}
	p := decode[page](t, f.must(t, "GET", at("s-1", "messages?limit=3"), ""))
	if len(p.Messages) != 3 || p.Next == "" {
		t.Errorf("first page = %+v", p)
	}
	p = decode[page](t, f.must(t, "GET", at("s-1", "messages?limit=99&after="+p.Next), ""))
	if len(p.Messages) != 4 || p.Next != "" {
		t.Errorf("second page = %+v", p)
	}
	p = decode[page](t, f.must(t, "GET", at("s-1", "messages?limit=2&tail=true"), ""))
	if len(p.Messages) != 2 || p.Messages[1].ID != "n-4" {
		t.Errorf("tail = %+v", p)
	}
	p = decode[page](t, f.must(t, "GET", sessionsURL+"?state=active&limit=10", ""))
	if len(p.Sessions) != 1 || p.Sessions[0].ID != "s-1" {
		t.Errorf("active sessions = %+v", p)
	}
	if w := f.must(t, "GET", "/v1/spaces/empty/sessions", ""); w.Body.String() != "{\"sessions\":[]}\n" {
		t.Errorf("empty list = %s", w.Body)
	}
	all := decode[page](t, f.must(t, "GET", "/v1/spaces/default/changes?limit=1000", ""))
	rest := decode[page](t, f.must(t, "GET", "/v1/spaces/default/changes?since="+all.Next, ""))
	if len(all.Changes) < 15 || len(rest.Changes) != 0 || rest.Next != all.Next {
		t.Errorf("changes = %d, then %d; next %q then %q", len(all.Changes), len(rest.Changes), all.Next, rest.Next)
	}
	for _, path := range []string{
		"/v1/status", "/v1/cluster", "/v1/clock", "/v1/spaces", "/healthz", "/readyz",
		"/v1/spaces/default/digest", at("s-1", "digest"),
	} {
		f.must(t, "GET", path, "")
	}
}

// TestOpenAPI checks that every route is described and that the page for
// people loads nothing.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	doc := decode[struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ OperationID string }
	}](t, f.must(t, "GET", "/openapi.json", ""))
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi = %q, want 3.1.0", doc.OpenAPI)
	}
	count := 0
	for _, ops := range doc.Paths {
		count += len(ops)
	}
	if want := 33; count != want {
		t.Errorf("%d operations are described, want %d", count, want)
	}
	page := f.must(t, "GET", "/docs", "").Body.String()
	for _, bad := range []string{"<script", "http://", "https://", "@import", "src="} {
		if strings.Contains(page, bad) {
			t.Errorf("/docs contains %q", bad)
		}
	}
	if !strings.Contains(page, "idempotency_key_reused") || !strings.Contains(page, "/v1/spaces/{space}/sessions") {
		t.Errorf("/docs lacks calls or codes")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.do(request("GET", "/nowhere", ""))
	text := f.must(t, "GET", "/metrics", "").Body.String()
	for _, want := range []string{
		`causeway_http_requests_total{method="POST",route="/v1/spaces/{space}/sessions",class="2xx"} 4`,
		`causeway_http_requests_total{method="",route="",class="4xx"} 1`,
		`causeway_space_sessions{space="default"} 4`,
		`le="+Inf"`, "causeway_link_up 1", "causeway_live_clients 0", "causeway_live_too_slow_total 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s:\n%s", want, text)
		}
	}
}

type notReady struct{ httpapi.Service }

func (notReady) Ready(context.Context) error { return httpapi.ErrUnavailable }

func TestReady(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	httpapi.Handler(notReady{&httpapitest.Service{}}, nil).ServeHTTP(w, request("GET", "/readyz", ""))
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"not_ready"`) || w.Header().Get("Retry-After") == "" {
		t.Errorf("readyz = %d %s", w.Code, w.Body)
	}
}

// pipes is a listener whose connections are in memory, so that time is that
// of the synctest bubble.
type pipes struct {
	stop  func()
	conns chan net.Conn
	done  chan struct{} // closed by Close
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// serve runs a server in the bubble until the test function returns, or stop
// is called.
func serve(t *testing.T, svc httpapi.Service) *pipes {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := httpapi.NewServer(svc, httpapi.Options{})
	ended := make(chan error, 2)
	ctx, stop := context.WithCancel(context.Background())
	go func() { ended <- server.HTTP.Serve(p) }()
	go func() { ended <- server.Clients.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		stop()
		if err := server.HTTP.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		<-ended
		<-ended
	})
	t.Cleanup(p.stop)
	return p
}

// client is an HTTP client of the server.
func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
		DisableKeepAlives: true, DisableCompression: true,
	}}
}

// TestLongPollOutlivesTimeouts: a poll of five minutes is neither cut by the
// timeout for answers nor by the one for requests.
func TestLongPollOutlivesTimeouts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serve(t, newFixture(t).svc)
		client := p.client()
		begun := time.Now()
		since := decodeNext(t, client, "http://node/v1/spaces/default/changes?limit=1000")
		next := decodeNext(t, client, "http://node/v1/spaces/default/changes?wait=5m&since="+since)
		if took := time.Since(begun); took != 5*time.Minute || next != since {
			t.Errorf("poll took %v and gave next %q, want 5m and %q", took, next, since)
		}
	})
}

func decodeNext(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	defer resp.Body.Close()
	var page struct{ Next string }
	if err := json.Unmarshal([]byte(readAll(t, resp.Body)), &page); err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	return page.Next
}

// TestSlowHeadersAreCut: a client that dribbles its headers loses the connection.
func TestSlowHeadersAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serve(t, &httpapitest.Service{})
		conn := p.dial()
		var drained sync.WaitGroup
		drained.Go(func() { _, _ = io.Copy(io.Discard, conn) }) // a pipe has no buffer for the server's last words
		defer drained.Wait()
		defer conn.Close()
		begun := time.Now()
		var err error
		for _, b := range []byte(strings.Repeat("GET / HTTP/1.1\r\nX: y\r\n", 100)) {
			if _, err = conn.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(time.Second) // virtual: the dribble is what is tested
		}
		if took := time.Since(begun); err == nil || took > 6*time.Second {
			t.Errorf("dribbled for %v, error %v; want a cut after 5s", took, err)
		}
	})
}
