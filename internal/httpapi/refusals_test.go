package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/httpapi/httpapitest"
	"github.com/causeway-sync/causeway/internal/intake"
	"github.com/causeway-sync/causeway/session"
)

// refusal is one row of the table "Bad input" in docs/API.md.
type refusal struct {
	input  string
	status int
	code   string
	send   func(*fixture) *http.Request
}

// fixture is a service with a session s-1 (active, one message m-1 under key
// k-1), an ended, an erased and an expired one.
type fixture struct {
	svc *httpapitest.Service
	h   http.Handler
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{svc: &httpapitest.Service{}}
	f.h = httpapi.Handler(f.svc, nil)
	for _, id := range []string{"s-1", "ended", "erased", "expired"} {
		f.must(t, "POST", "/v1/spaces/default/sessions", `{"id":"`+id+`"}`)
		f.must(t, "POST", at(id, "transitions"), `{"to":"active"}`)
	}
	f.must(t, "POST", at("s-1", "messages"), `{"id":"m-1","role":"user","content":"hi"}`, "Idempotency-Key", "k-1")
	f.must(t, "POST", at("s-1", "messages"), `{"id":"m-2","role":"user","content":"oh"}`)
	f.must(t, "DELETE", at("s-1", "messages/m-2"), "")
	f.must(t, "PATCH", at("s-1", "context"), `{"name":"x"}`)
	f.must(t, "POST", at("s-1", "context/ops"), `{"ops":[{"op":"add","path":"/full","by":9223372036854775807}]}`)
	f.must(t, "POST", at("s-1", "texts/notes/edits"), `{"edits":[{"pos":0,"ins":"hello"}]}`)
	f.must(t, "POST", at("s-1", "tools/c-1/claim"), `{"by":"x"}`)
	f.must(t, "POST", at("s-1", "tools/c-2/claim"), `{"by":"x"}`)
	f.must(t, "POST", at("s-1", "tools/c-2/complete"), `{"claim":"`+f.claim("c-2")+`","result":1}`)
	f.must(t, "POST", at("ended", "transitions"), `{"to":"ended"}`)
	f.must(t, "DELETE", at("erased", ""), "")
	f.svc.Expire("default", "expired")
	return f
}

// claim gives the id of the claim of a tool call in s-1.
func (f *fixture) claim(call string) string {
	t, err := f.svc.Tool(context.Background(), "default", "s-1", session.ClaimTool{Call: call})
	if err != nil || t.Claim == nil {
		return ""
	}
	return t.Claim.ID
}

func at(id, rest string) string {
	return strings.TrimSuffix("/v1/spaces/default/sessions/"+id+"/"+rest, "/")
}

// request makes a request; headers alternate names and values.
func request(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (f *fixture) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.h.ServeHTTP(w, r)
	return w
}

func (f *fixture) must(t testing.TB, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	w := f.do(request(method, path, body, headers...))
	if w.Code >= 300 {
		t.Fatalf("%s %s = %d %s", method, path, w.Code, w.Body)
	}
	return w
}

func post(rest, body string, headers ...string) func(*fixture) *http.Request {
	return func(*fixture) *http.Request { return request("POST", at("s-1", rest), body, headers...) }
}

func get(path string, headers ...string) func(*fixture) *http.Request {
	return func(*fixture) *http.Request { return request("GET", path, "", headers...) }
}

func on(method, path, body string, headers ...string) func(*fixture) *http.Request {
	return func(*fixture) *http.Request { return request(method, path, body, headers...) }
}

// failing makes the service refuse the write.
func failing(err error) func(*fixture) *http.Request {
	return func(f *fixture) *http.Request {
		f.svc.Fail = func(session.Command) error { return fmt.Errorf("write: %w", err) }
		return request("POST", at("s-1", "messages"), `{"role":"user","content":1}`)
	}
}

func unsized(r *http.Request) *http.Request {
	r.ContentLength = -1
	return r
}

func message(bytes int) string {
	return `{"role":"user","content":"` + strings.Repeat("x", bytes) + `"}`
}

const hello = `{"role":"user","content":"hello"}`

var sessionsURL = "/v1/spaces/default/sessions"

func refusals() []refusal {
	rows := bodyRefusals()
	rows = append(rows, nameRefusals()...)
	rows = append(rows, textRefusals()...)
	rows = append(rows, signalRefusals()...)
	rows = append(rows, stateRefusals()...)
	return append(rows, headerRefusals()...)
}

func bodyRefusals() []refusal {
	nested := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	return []refusal{
		{"broken JSON", 400, "malformed_json", post("messages", `{"role":"user",`)},
		{"empty body", 400, "malformed_json", post("messages", ``)},
		{"two JSON values", 400, "malformed_json", post("messages", hello+hello)},
		{"raw NUL byte in the body", 400, "malformed_json", post("messages", "{\"role\":\"us\x00er\",\"content\":1}")},
		{"body shorter than its Content-Length", 400, "malformed_json", func(*fixture) *http.Request {
			r := request("POST", at("s-1", "messages"), hello)
			r.ContentLength += 10
			return r
		}},
		{"invalid UTF-8", 400, "invalid_utf8", post("messages", "{\"role\":\"user\",\"content\":\"\xff\"}")},
		{"depth bomb, 100,000 brackets", 400, "too_deep", post("messages", `{"role":"user","content":`+nested+`}`)},
		{"depth bomb, never closed", 400, "too_deep", post("messages", strings.Repeat(`{"a":`, 100_000))},
		{"content nested 65 deep", 400, "too_deep", post("messages",
			`{"role":"user","content":`+strings.Repeat("[", 65)+strings.Repeat("]", 65)+`}`)},
		{"message that is an array", 422, "invalid_body", post("messages", `[1]`)},
		{"role that is a number", 422, "invalid_body", post("messages", `{"role":1,"content":1}`)},
		{"message without role", 422, "invalid_body", post("messages", `{"content":1}`)},
		{"message without content and tool_calls", 422, "invalid_body", post("messages", `{"role":"user"}`)},
		{"role over 64 bytes", 422, "invalid_body",
			post("messages", `{"content":1,"role":"`+strings.Repeat("r", 65)+`"}`)},
		{"member that stands twice", 422, "invalid_body", post("messages", `{"role":"a","role":"b","content":1}`)},
		{"messages that is no array", 422, "invalid_body", post("messages", `{"messages":{}}`)},
		{"messages that is empty", 422, "invalid_body", post("messages", `{"messages":[]}`)},
		{"unknown member of a message", 422, "unknown_field", post("messages", `{"role":"a","content":1,"text":1}`)},
		{"unknown member of the third message", 422, "unknown_field",
			post("messages", `{"messages":[`+hello+`,`+hello+`,{"roll":1}]}`)},
		{"unknown member beside messages", 422, "unknown_field", post("messages", `{"messages":[`+hello+`],"x":1}`)},
		{"body over 2 MiB", 413, "body_too_large", post("messages", message(2<<20))},
		{"body over 2 MiB, chunked", 413, "body_too_large", func(*fixture) *http.Request {
			return unsized(request("POST", at("s-1", "messages"), message(2<<20)))
		}},
		{"message of 256 KiB + 1", 413, "message_too_large", post("messages", message(256<<10+1))},
		{"edit of 256 KiB + 1", 413, "message_too_large",
			on("PATCH", at("s-1", "messages/m-1"), `{"content":"`+strings.Repeat("x", 256<<10+1)+`"}`)},
		{"10,000 messages in one call", 413, "batch_too_large",
			post("messages", `{"messages":[`+strings.Repeat(hello+",", 9_999)+hello+`]}`)},
		{"messages over 1 MiB together", 413, "batch_too_large",
			post("messages", `{"messages":[`+strings.Repeat(message(240<<10)+",", 4)+message(240<<10)+`]}`)},
		{"edit without content", 422, "invalid_body", on("PATCH", at("s-1", "messages/m-1"), `{"metadata":{}}`)},
		{"unknown member of an edit", 422, "unknown_field", on("PATCH", at("s-1", "messages/m-1"), `{"role":"a"}`)},
		{"unknown order", 422, "invalid_body", on("POST", sessionsURL, `{"order":"random"}`)},
		{"ttl that is no duration", 422, "invalid_body", on("POST", sessionsURL, `{"ttl":"soon"}`)},
		{"label that is no string", 422, "invalid_body", on("POST", sessionsURL, `{"labels":{"a":1}}`)},
		{"label over 1 KiB", 413, "too_large",
			on("POST", sessionsURL, `{"labels":{"a":"`+strings.Repeat("x", 1024)+`"}}`)},
		{"context that is no object", 422, "invalid_body", on("POST", sessionsURL, `{"context":[]}`)},
		{"unknown member of a new session", 422, "unknown_field", on("POST", sessionsURL, `{"name":"a"}`)},
		{"unknown state", 422, "invalid_body", post("transitions", `{"to":"gone"}`)},
		{"merge patch that is no object", 422, "invalid_body", on("PATCH", at("s-1", "context"), `[]`)},
		{"context op without op", 422, "invalid_body", post("context/ops", `{"ops":[{"path":"/a"}]}`)},
		{"context op with a path that is no pointer", 422, "invalid_body",
			post("context/ops", `{"ops":[{"op":"add","path":"a","by":1}]}`)},
		{"add by a fraction", 422, "invalid_body", post("context/ops", `{"ops":[{"op":"add","path":"/a","by":1.5}]}`)},
		{"insert without value", 422, "invalid_body", post("context/ops", `{"ops":[{"op":"insert","path":"/a"}]}`)},
		{"no context ops", 422, "invalid_body", post("context/ops", `{"ops":[]}`)},
		{"claim without an executor", 422, "invalid_body", post("tools/c-1/claim", `{}`)},
		{"claim of neither call nor tool", 422, "invalid_body", post("tools/-/claim", `{"by":"x"}`)},
		{"claim by arguments without a tool", 422, "invalid_body", post("tools/c-1/claim", `{"by":"x","arguments":{}}`)},
		{"claim over what is no claim", 422, "invalid_body", post("tools/c-1/claim", `{"by":"x","over":"m-1"}`)},
		{"fallback that is neither true nor false", 422, "invalid_body", post("tools/c-1/claim", `{"by":"x","fallback":1}`)},
		{"unknown member of a claim", 422, "unknown_field", post("tools/c-1/claim", `{"by":"x","for":1}`)},
		{"outcome without a claim", 422, "invalid_body", post("tools/c-1/complete", `{"result":1}`)},
		{"outcome without a result", 422, "invalid_body", post("tools/c-1/complete", `{"claim":"a~b.1"}`)},
		{"failed that is a number", 422, "invalid_body", post("tools/c-1/complete", `{"claim":"a~b.1","result":1,"failed":1}`)},
		{"unknown member of an outcome", 422, "unknown_field", post("tools/c-1/complete", `{"claim":"a~b.1","result":1,"x":1}`)},
		{"tool call of 257 bytes", 422, "bad_name", get(at("s-1", "tools/"+strings.Repeat("c", 257)))},
		{"1,025 context ops", 413, "batch_too_large",
			post("context/ops", `{"ops":[`+strings.Repeat(`{"op":"add","path":"/a","by":1},`, 1024)+
				`{"op":"add","path":"/a","by":1}]}`)},
	}
}

func nameRefusals() []refusal {
	return []refusal{
		{"space with a blank", 422, "bad_name", get("/v1/spaces/a%20b/sessions")},
		{"session id with a slash", 422, "bad_name", get("/v1/spaces/default/sessions/a%2Fb")},
		{"session id of 129 bytes", 422, "bad_name", get(at(strings.Repeat("a", 129), ""))},
		{"session id that begins with a dot", 422, "bad_name", on("POST", sessionsURL, `{"id":".hidden"}`)},
		{"empty session id", 422, "bad_name", on("POST", sessionsURL, `{"id":""}`)},
		{"message id with a blank", 422, "bad_name", post("messages", `{"id":"a b","role":"a","content":1}`)},
		{"message id that looks like a node's own", 422, "bad_name",
			post("messages", `{"id":"edge-1~k3x9a0qz.17","role":"a","content":1}`)},
		{"message id in the path with a blank", 422, "bad_name", on("DELETE", at("s-1", "messages/a%20b"), "")},
		{"NUL in a session id", 400, "nul_in_name", get("/v1/spaces/default/sessions/a%00b")},
		{"NUL in a new session's id", 400, "nul_in_name", on("POST", sessionsURL, `{"id":"a\u0000b"}`)},
		{"NUL in a role", 400, "nul_in_name", post("messages", `{"role":"a\u0000","content":1}`)},
		{"invalid UTF-8 in a session id", 400, "invalid_utf8", get("/v1/spaces/default/sessions/a%FFb")},
		{"unknown route", 404, "not_found", get("/v1/nothing")},
		{"unknown session", 404, "session_not_found", get(at("nobody", ""))},
		{"message to an unknown session", 404, "session_not_found", on("POST", at("nobody", "messages"), hello)},
		{"changes of an unknown session", 404, "session_not_found", get(at("nobody", "changes"))},
		{"events of an unknown session", 404, "session_not_found", get(at("nobody", "events"))},
		{"unknown message", 404, "message_not_found", on("DELETE", at("s-1", "messages/m-9"), "")},
		{"messages after an unknown one", 404, "message_not_found", get(at("s-1", "messages?after=m-9"))},
		{"space that the node does not carry", 404, "space_not_found", failing(httpapi.ErrNoSpace)},
		{"method that the route does not have", 405, "method_not_allowed", on("PUT", at("s-1", ""), `{}`)},
	}
}

func stateRefusals() []refusal {
	again := func(id string) func(*fixture) *http.Request { return on("POST", at(id, "messages"), hello) }
	return []refusal{
		{"session id that exists", 409, "session_exists", on("POST", sessionsURL, `{"id":"s-1"}`)},
		{"message id that exists", 409, "message_exists", post("messages", `{"id":"m-1","role":"a","content":1}`)},
		{"illegal transition", 409, "illegal_transition", post("transitions", `{"to":"reopened"}`)},
		{"message to an ended session", 409, "session_ended", again("ended")},
		{"edit of a redacted message", 409, "message_redacted",
			on("PATCH", at("s-1", "messages/m-2"), `{"content":1}`)},
		{"counter where text is", 409, "wrong_kind", post("context/ops", `{"ops":[{"op":"add","path":"/name","by":1}]}`)},
		{"counter past 64 bits", 409, "counter_overflow",
			post("context/ops", `{"ops":[{"op":"add","path":"/full","by":1}]}`)},
		{"result of a call that nobody made", 409, "tool_call_unknown", failing(session.ErrNoCall)},
		{"second result of a call", 409, "tool_call_answered", failing(session.ErrCallAnswered)},
		{"claim of what another executor has", 409, "tool_claimed", post("tools/c-1/claim", `{"by":"somebody else"}`)},
		{"other result of a call that is done", 409, "tool_done",
			func(f *fixture) *http.Request {
				return request("POST", at("s-1", "tools/c-2/complete"), `{"claim":"`+f.claim("c-2")+`","result":2}`)
			}},
		{"result of a claim that nobody made", 409, "tool_claim_unknown",
			post("tools/c-1/complete", `{"claim":"nobody~00000000.1","result":1}`)},
		{"claim that only the core may decide, without it", 503, "no_arbiter", failing(httpapi.ErrNoArbiter)},
		{"words of a stream whose message is there", 409, "stream_ended", post("signals", `{"stream":"m-1","delta":"x"}`)},
		{"words behind a gap", 409, "stream_moved", post("signals", `{"stream":"m-3","at":7,"delta":"x"}`)},
		{"stream in an erased session", 410, "session_erased", on("POST", at("erased", "signals"), `{"stream":"m","delta":"x"}`)},
		{"too many signals", 429, "too_many_signals", tooManySignals},
		{"message to an erased session", 410, "session_erased", again("erased")},
		{"events of an erased session", 410, "session_erased", get(at("erased", "events"))},
		{"message to an expired session", 410, "session_expired", again("expired")},
		{"parent that is not in the session", 422, "unknown_parent",
			post("messages", `{"parent":"m-9","role":"a","content":1}`)},
		{"stale If-Match", 412, "version_moved", post("messages", hello, "If-Match", `"AA"`)},
		{"idempotency key with another body", 422, "idempotency_key_reused",
			post("messages", hello, "Idempotency-Key", "k-1")},
		{"too many leaves (and other limits of a session)", 413, "too_large",
			failing(&session.LimitError{Err: session.ErrTooBig, What: "leaves", Got: 1025, Max: 1024})},
		{"damaged record", 500, "record_damaged",
			failing(&session.CorruptError{Key: []byte("s/x"), Err: errors.New("checksum"), Hint: "run causeway status"})},
		{"anything unforeseen", 500, "internal", failing(errors.New("secret detail"))},
		{"node that cannot answer at present", 503, "unavailable", failing(httpapi.ErrUnavailable)},
		{"node that takes no writes", 503, "read_only", failing(httpapi.ErrReadOnly)},
		{"too many waiting requests", 503, "overloaded", failing(httpapi.ErrOverloaded)},
		{"too many requests in too little time", 429, "rate_limited", failing(&httpapi.RateError{Scope: intake.OfClient, Wait: time.Second})},
		{"too little memory", 503, "memory_reserve", failing(httpapi.ErrMemoryReserve)},
		{"disk full", 507, "disk_reserve", failing(httpapi.ErrDiskReserve)},
	}
}

// tooManySignals says as much as may be said at once, and gives one signal more.
func tooManySignals(f *fixture) *http.Request {
	say := func() *http.Request {
		return request("POST", at("s-1", "signals"), `{"stream":"m-3","at":0,"delta":"`+strings.Repeat("x", 200<<10)+`"}`)
	}
	if f != nil {
		f.do(say())
		f.do(say())
	}
	return say()
}

func headerRefusals() []refusal {
	return []refusal{
		{"If-Match that is no version", 400, "bad_version", post("messages", hello, "If-Match", "yesterday")},
		{"since that is no version", 400, "bad_version", get(at("s-1", "changes?since=%21"))},
		{"Last-Event-ID that is no version", 400, "bad_version", on("GET", at("s-1", "events"), "", "Last-Event-ID", "!")},
		{"WebSocket without an upgrade", 426, "upgrade_required", get("/v1/stream")},
		{"limit of zero", 400, "bad_query", get(at("s-1", "messages?limit=0"))},
		{"limit that is no number", 400, "bad_query", get("/v1/spaces/default/sessions?limit=all")},
		{"negative limit", 400, "bad_query", get(at("s-1", "changes?limit=-1"))},
		{"wait that is no duration", 400, "bad_query", get(at("s-1", "changes?wait=long"))},
		{"view that does not exist", 400, "bad_query", get(at("s-1", "messages?view=round"))},
		{"last without the model's view", 400, "bad_query", get(at("s-1", "messages?last=3"))},
		{"tokens that is no number", 400, "bad_query", get(at("s-1", "messages?view=model&tokens=few"))},
		{"model's view after a message", 400, "bad_query", get(at("s-1", "messages?view=model&after=m-1"))},
		{"tree that is to be repaired", 400, "bad_query", get(at("s-1", "messages?view=tree&repair=true"))},
		{"before and after together", 400, "bad_query", get(at("s-1", "messages?before=m-1&after=m-1"))},
		{"state that does not exist", 400, "bad_query", get("/v1/spaces/default/sessions?state=gone")},
		{"label without value", 400, "bad_query", get("/v1/spaces/default/sessions?label=a")},
		{"page token of somebody else", 400, "bad_query", get("/v1/spaces/default/sessions?after=x")},
		{"query that cannot be decoded", 400, "bad_query", get(at("s-1", "messages?limit=%zz"))},
		{"Causeway-Durability that is neither local nor core", 400, "bad_header",
			post("messages", hello, "Causeway-Durability", "maybe")},
		{"Causeway-Actor over 256 bytes", 400, "bad_header",
			post("messages", hello, "Causeway-Actor", strings.Repeat("a", 257))},
		{"Idempotency-Key over 256 bytes", 400, "bad_header",
			post("messages", hello, "Idempotency-Key", strings.Repeat("k", 257))},
		{"empty Idempotency-Key", 400, "bad_header", post("messages", hello, "Idempotency-Key", "")},
		{"Idempotency-Key that is not ASCII", 400, "bad_header", post("messages", hello, "Idempotency-Key", "ké")},
		{"priority that does not exist", 400, "bad_header", post("messages", hello, "Causeway-Priority", "urgent")},
		{"Accept without JSON", 406, "not_acceptable", get(at("s-1", ""), "Accept", "text/html")},
		{"body that is not declared as JSON", 415, "unsupported_media_type",
			post("messages", hello, "Content-Type", "text/xml")},
		{"body in another charset", 415, "unsupported_media_type",
			post("messages", hello, "Content-Type", "application/json; charset=latin1")},
		{"write from a web page of another site", 403, "cross_origin",
			post("messages", hello, "Sec-Fetch-Site", "cross-site")},
		{"compressed body", 415, "unsupported_media_type", post("messages", hello, "Content-Encoding", "gzip")},
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range refusals() {
		t.Run(c.input, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			w := f.do(c.send(f))
			var p struct {
				Type, Title, Code, Detail string
				Status                    int
			}
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("%s: answer %q: %v", c.input, w.Body, err)
			}
			if w.Code != c.status || p.Code != c.code || p.Status != c.status {
				t.Errorf("%s = %d %s, want %d %s", c.input, w.Code, w.Body, c.status, c.code)
			}
			if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("%s: Content-Type = %q", c.input, ct)
			}
			if p.Type == "" || p.Title == "" || strings.Contains(p.Detail, "secret") {
				t.Errorf("%s: problem = %s", c.input, w.Body)
			}
		})
	}
}

// TestRefusalMembers checks what programs read beside the code.
func TestRefusalMembers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		r    *http.Request
		want string
	}{
		{post("transitions", `{"to":"active"}`)(f), `"legal":["paused","ended"]`},
		{post("messages", message(256<<10))(f), `"limit":257920`},
		{post("messages", `{"messages":[`+hello+`,{"role":7,"content":1}]}`)(f), `"field":"messages[1].role"`},
	} {
		if w := f.do(c.r); !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s = %s, want %s in it", c.r.Method, c.r.URL, w.Body, c.want)
		}
	}
	w := f.do(request("PUT", at("s-1", ""), ""))
	if got, want := w.Header().Get("Allow"), "GET, HEAD, DELETE"; got != want {
		t.Errorf("Allow = %q, want %q", got, want)
	}
}

// TestDocumentedTables keeps the tables of docs/API.md equal to the code.
// UPDATE=1 writes them.
func TestDocumentedTables(t *testing.T) {
	t.Parallel()
	const path = "../../docs/API.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var codes, inputs strings.Builder
	codes.WriteString("| status | code | title |\n|---|---|---|\n")
	for _, k := range httpapi.Kinds() {
		fmt.Fprintf(&codes, "| %d | `%s` | %s |\n", k.Status, k.Code, k.Title)
	}
	inputs.WriteString("| input | status | code |\n|---|---|---|\n")
	for _, c := range refusals() {
		fmt.Fprintf(&inputs, "| %s | %d | `%s` |\n", c.input, c.status, c.code)
	}
	want := splice(t, splice(t, text, "codes", codes.String()), "bad input", inputs.String())
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(text, want) {
		t.Errorf("the tables of docs/API.md differ from the code; run UPDATE=1 go test ./internal/httpapi and read the change")
	}
}

// splice puts table between the two comments that name it.
func splice(t *testing.T, text []byte, name, table string) []byte {
	t.Helper()
	begin, end := []byte("<!-- "+name+" -->\n"), []byte("<!-- end of "+name+" -->\n")
	before, rest, ok1 := bytes.Cut(text, begin)
	_, after, ok2 := bytes.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("docs/API.md: no place for the table %q", name)
	}
	return bytes.Join([][]byte{before, begin, []byte(table), end, after}, nil)
}

// TestEveryCodeIsShown checks that each code has a bad input that gives it.
func TestEveryCodeIsShown(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{"not_ready": true} // TestReady shows it
	for _, c := range refusals() {
		shown[c.code] = true
	}
	for _, k := range httpapi.Kinds() {
		if !shown[k.Code] {
			t.Errorf("code %s: no input in the table gives it", k.Code)
		}
	}
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
