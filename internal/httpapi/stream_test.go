package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi/httpapitest"
	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/internal/wsraw"
	"github.com/causeway-sync/causeway/session"
)

// told is a message of the server.
type told struct {
	Type, Ref, Space, Session, Version string
	Status                             int
	Behind, Replayed                   bool
	Change                             session.Change
	Body                               json.RawMessage
	Problem                            struct{ Code, Detail, Field string }
}

// socket is a WebSocket to a server in a bubble.
type socket struct {
	*wsraw.Client
	t testing.TB
}

func (p *pipes) socket(t testing.TB, o wsraw.Options) *socket {
	t.Helper()
	c, err := wsraw.New(p.dial(), "node", "/v1/stream", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Conn.Close() })
	return &socket{c, t}
}

func (s *socket) say(format string, args ...any) {
	s.t.Helper()
	if err := s.Send(fmt.Sprintf(format, args...)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) next() told {
	s.t.Helper()
	text, err := s.NextText()
	if err != nil {
		s.t.Fatal(err)
	}
	var m told
	if err := json.Unmarshal(text, &m); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
	return m
}

// ask sends a request and gives its answer, which must be of a kind.
func (s *socket) ask(kind, format string, args ...any) told {
	s.t.Helper()
	s.say(format, args...)
	return s.want(kind)
}

func (s *socket) want(kind string) told {
	s.t.Helper()
	m := s.next()
	if m.Type != kind {
		s.t.Fatalf("got %+v, want %s", m, kind)
	}
	return m
}

// until reads changes up to a caught_up.
func (s *socket) until() (ops []string, at told) {
	s.t.Helper()
	for {
		m := s.next()
		switch m.Type {
		case "change":
			ops = append(ops, m.Change.Dot)
		case "caught_up":
			return ops, m
		default:
			s.t.Fatalf("got %+v, want a change or caught_up", m)
		}
	}
}

// listed gives what the list of changes has, which every rung must deliver.
func listed(t *testing.T, svc *httpapitest.Service, id, since string) (ops []string, next string) {
	t.Helper()
	f := &fixture{svc: svc, h: handlerOf(svc)}
	path := "/v1/spaces/default/changes?limit=1000&since=" + since
	if id != "" {
		path = at(id, "changes?limit=1000&since="+since)
	}
	page := decode[struct {
		Changes []session.Change
		Next    string
	}](t, f.must(t, "GET", path, ""))
	for _, c := range page.Changes {
		ops = append(ops, c.Dot)
	}
	return ops, page.Next
}

const subscribe = `{"type":"subscribe","ref":"sub","space":"default","session":"s-1","since":%q}`

// TestStreamFollows: a subscription gives what the list gives, then what comes,
// each once, and ends when it is told to.
func TestStreamFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		s := serve(t, f.svc).socket(t, wsraw.Options{})
		if m := s.ask("ack", subscribe, ""); m.Ref != "sub" || m.Session != "s-1" {
			t.Errorf("subscribe = %+v", m)
		}
		want, next := listed(t, f.svc, "s-1", "")
		if ops, at := s.until(); !slices.Equal(ops, want) || at.Version != next || at.Behind {
			t.Errorf("got %v up to %+v, want %v up to %s", ops, at, want, next)
		}
		for i := range 3 {
			f.must(t, "POST", sessionsURL, fmt.Sprintf(`{"id":"other-%d"}`, i)) // which this client does not follow
			f.must(t, "POST", at("s-1", "messages"), fmt.Sprintf(`{"role":"user","content":"<%d>"}`, i))
			m := s.want("change")
			want, next = listed(t, f.svc, "s-1", next)
			if m.Change.Dot != want[0] || m.Change.Version != next || string(m.Change.Message.Content) != fmt.Sprintf(`"<%d>"`, i) {
				t.Errorf("got %+v, want op %v and version %s", m, want, next)
			}
		}
		s.ask("ack", `{"type":"unsubscribe","space":"default","session":"s-1"}`)
		f.must(t, "POST", at("s-1", "messages"), hello)
		s.ask("ack", `{"type":"ping","ref":"still here"}`)
		s.ask("ack", subscribe, next)
		if ops, _ := s.until(); len(ops) != 1 {
			t.Errorf("since the last token came %v, want one change", ops)
		}
	})
}

// TestStreamOfASpace follows a whole space, sessions that begin later too.
func TestStreamOfASpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		s := serve(t, f.svc).socket(t, wsraw.Options{})
		s.ask("ack", `{"type":"subscribe","space":"default"}`)
		want, next := listed(t, f.svc, "", "")
		if ops, at := s.until(); !slices.Equal(ops, want) || at.Version != next || at.Session != "" {
			t.Errorf("got %v up to %+v, want %v up to %s", ops, at, want, next)
		}
		f.must(t, "POST", sessionsURL, `{"id":"later"}`)
		if m := s.want("change"); m.Change.Session != "later" || m.Change.Type != "open" {
			t.Errorf("got %+v, want the opening of the session", m)
		}
	})
}

// TestStreamBehind: a client whose token is ahead of the node is told so, gets
// nothing again, and is told when the node has caught up.
func TestStreamBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		_, here := listed(t, f.svc, "", "")
		ahead := tokenBehind(t, here, 2)
		s := serve(t, f.svc).socket(t, wsraw.Options{})
		s.ask("ack", subscribe, ahead)
		if ops, at := s.until(); len(ops) != 0 || !at.Behind || at.Version != ahead {
			t.Errorf("got %v and %+v, want nothing and to be told that the node is behind", ops, at)
		}
		w := f.must(t, "GET", at("s-1", "changes?since="+ahead), "")
		if !strings.Contains(w.Body.String(), `"changes":[],"next":"`+ahead+`","behind":true`) {
			t.Errorf("changes = %s, want none and behind", w.Body)
		}
		f.must(t, "POST", at("s-1", "messages"), hello)
		f.must(t, "POST", at("s-1", "messages"), hello)
		if ops, at := s.until(); len(ops) != 0 || at.Behind {
			t.Errorf("got %v and %+v, want nothing that the token covers, and no longer behind", ops, at)
		}
		f.must(t, "POST", at("s-1", "messages"), hello)
		s.want("change")

		s.ask("ack", `{"type":"subscribe","space":"default","session":"elsewhere","since":%q}`, here)
		if ops, at := s.until(); len(ops) != 0 || at.Session != "elsewhere" {
			t.Errorf("a session of which there is a token: %v, %+v", ops, at)
		}
	})
}

// TestStreamWaits: a session that is not here yet is waited for as long as the
// client says.
func TestStreamWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		s := serve(t, f.svc).socket(t, wsraw.Options{})
		s.ask("ack", `{"type":"subscribe","space":"default","session":"none"}`)
		if m := s.want("error"); m.Problem.Code != "session_not_found" || m.Session != "none" {
			t.Errorf("got %+v, want that there is no such session", m)
		}
		s.ask("ack", `{"type":"subscribe","space":"default","session":"late","wait":"30s"}`)
		s.ask("ack", `{"type":"subscribe","space":"default","session":"never","wait":"30s"}`)
		time.Sleep(20 * time.Second)
		f.must(t, "POST", sessionsURL, `{"id":"late"}`)
		if ops, at := s.until(); len(ops) != 1 || at.Session != "late" {
			t.Errorf("got %v, %+v; want the opening", ops, at)
		}
		begun := time.Now()
		m := s.want("error")
		waited := time.Since(begun)
		if m.Session != "never" || m.Problem.Code != "session_not_found" || waited < 9*time.Second || waited > 12*time.Second {
			t.Errorf("after %v got %+v, want that the session did not come", waited, m)
		}
	})
}

// TestStreamEndsWithItsSession: whoever follows a session that is erased is
// told so, and nothing else of it.
func TestStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		s := serve(t, f.svc).socket(t, wsraw.Options{})
		s.ask("ack", subscribe, "")
		s.until()
		f.must(t, "DELETE", at("s-1", ""), "")
		if m := s.want("error"); m.Problem.Code != "session_erased" || m.Session != "s-1" || m.Space != "default" {
			t.Errorf("got %+v, want that the session was erased", m)
		}
		s.ask("ack", `{"type":"ping"}`)
	})
}

// TestStreamWrites writes in every way that there is, and compares with what
// is answered over HTTP. A retry over the other rung under the same key has no
// effect.
func TestStreamWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{svc: &httpapitest.Service{}}
		f.h = handlerOf(f.svc)
		s := serve(t, f.svc).socket(t, wsraw.Options{Header: http.Header{"Causeway-Actor": {"till 4"}}})
		head := `"space":"default","session":"w"`
		for _, c := range []struct {
			message, method, path, body string
			status                      int
		}{
			{`{"type":"open","space":"default","key":"k0","body":{"id":"w"}}`, "POST", sessionsURL, `{"id":"w"}`, 201},
			{`{"type":"move",` + head + `,"key":"k1","body":{"to":"active"}}`,
				"POST", at("w", "transitions"), `{"to":"active"}`, 200},
			{`{"type":"append",` + head + `,"key":"k2","body":{"id":"m","role":"user","content":"<1>"}}`,
				"POST", at("w", "messages"), `{"id":"m","role":"user","content":"<1>"}`, 201},
			{`{"type":"append",` + head + `,"key":"k3","body":{"messages":[{"role":"a","content":1},{"role":"a","content":2}]}}`,
				"POST", at("w", "messages"), `{"messages":[{"role":"a","content":1},{"role":"a","content":2}]}`, 201},
			{`{"type":"edit",` + head + `,"key":"k4","message":"m","body":{"content":"2"}}`,
				"PATCH", at("w", "messages/m"), `{"content":"2"}`, 200},
			{`{"type":"edit",` + head + `,"key":"k5","text":"notes","body":{"edits":[{"pos":0,"ins":"x"}]}}`,
				"POST", at("w", "texts/notes/edits"), `{"edits":[{"pos":0,"ins":"x"}]}`, 200},
			{`{"type":"redact",` + head + `,"key":"k6","message":"m"}`, "DELETE", at("w", "messages/m"), "", 200},
			{`{"type":"patch",` + head + `,"key":"k7","body":{"a":{"b":1}}}`, "PATCH", at("w", "context"), `{"a":{"b":1}}`, 200},
			{`{"type":"adjust",` + head + `,"key":"k8","body":{"ops":[{"op":"add","path":"/n","by":1}]}}`,
				"POST", at("w", "context/ops"), `{"ops":[{"op":"add","path":"/n","by":1}]}`, 200},
		} {
			m := s.ask("ack", "%s", c.message)
			w := f.must(t, c.method, c.path, c.body, "Idempotency-Key", keyOf(c.message), "Causeway-Actor", "till 4")
			if m.Status != c.status || m.Replayed || w.Code != c.status || w.Header().Get("Causeway-Replayed") != "true" {
				t.Errorf("%s = %+v; over HTTP %d, replayed %q", c.message, m, w.Code, w.Header().Get("Causeway-Replayed"))
			}
			if string(m.Body) != strings.TrimSpace(w.Body.String()) || m.Version != w.Header().Get("Causeway-Version") {
				t.Errorf("%s = %s, version %s; over HTTP %s", c.message, m.Body, m.Version, w.Body)
			}
			if again := s.ask("ack", "%s", c.message); !again.Replayed {
				t.Errorf("%s again = %+v, want the first answer", c.message, again)
			}
			if c.body == "" {
				continue
			}
			other := strings.Replace(c.message, `"body":{`, `"body":{ `, 1)
			if m := s.ask("error", "%s", other); m.Problem.Code != "idempotency_key_reused" {
				t.Errorf("another body under the key of %s: %+v", c.message, m)
			}
		}
		m := s.ask("ack", `{"type":"append",%s,"brief":true,"actor":"me","body":{"role":"a","content":1}}`, head)
		if m.Body != nil || m.Version == "" || m.Status != 201 {
			t.Errorf("brief = %+v, want no body", m)
		}
		m = s.ask("error", `{"type":"append","ref":"r",%s,"if_match":"AA","body":{"role":"a","content":1}}`, head)
		if m.Status != 412 || m.Problem.Code != "version_moved" || m.Ref != "r" || m.Session != "w" {
			t.Errorf("if_match = %+v", m)
		}
		f.svc.NoCore = true
		m = s.ask("ack", `{"type":"append",%s,"durability":"core","body":{"role":"a","content":1}}`, head)
		if m.Status != 202 || !strings.Contains(string(m.Body), `"degraded":true`) {
			t.Errorf("durability core = %+v", m)
		}
	})
}

func keyOf(message string) string {
	_, rest, _ := strings.Cut(message, `"key":"`)
	key, _, _ := strings.Cut(rest, `"`)
	return key
}

// TestStreamPipelines sends a thousand writes without waiting, good and bad:
// they are made in their order and answered in their order.
func TestStreamPipelines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const writes = 1000
		f := newFixture(t)
		s := serve(t, f.svc).socket(t, wsraw.Options{})
		sent := make(chan error, 1)
		go func() {
			var err error
			for i := range writes {
				role := `"role":"user",`
				if i%10 == 3 {
					role = ""
				}
				err = errors.Join(err, s.Send(fmt.Sprintf(`{"type":"append","ref":"%d","brief":true,"space":"default",`+
					`"session":"s-1","body":{%s"content":%d}}`, i, role, i)))
			}
			sent <- err
		}()
		for i := range writes {
			want := "ack"
			if i%10 == 3 {
				want = "error"
			}
			if m := s.next(); m.Type != want || m.Ref != fmt.Sprint(i) {
				t.Fatalf("answer %d = %+v, want %s", i, m, want)
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		page := decode[struct{ Messages []session.Message }](t, f.must(t, "GET", at("s-1", "messages?limit=1000"), ""))
		last := -1
		for _, m := range page.Messages[2:] {
			var n int
			if err := json.Unmarshal(m.Content, &n); err != nil || n <= last {
				t.Fatalf("message %s comes after %d", m.Content, last)
			}
			last = n
		}
		if len(page.Messages) != 2+writes*9/10 {
			t.Errorf("%d messages, want %d", len(page.Messages), 2+writes*9/10)
		}
	})
}

// TestStreamHeartbeat: a client that says nothing is pinged, and cut off when
// it does not answer; one that answers stays.
func TestStreamHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serve(t, newFixture(t).svc)
		silent, alive := p.socket(t, wsraw.Options{}), p.socket(t, wsraw.Options{})
		go func() { _, _ = alive.NextText() }() // answers pings, until the end
		begun := time.Now()
		f, err := silent.Next()
		took := time.Since(begun)
		if err != nil || f.Opcode != wsraw.Ping || took < 20*time.Second || took > 22*time.Second {
			t.Errorf("after %v got %+v, %v; want a ping after 20s", took, f, err)
		}
		for err == nil {
			_, err = silent.Next()
		}
		if took := time.Since(begun); took < 50*time.Second || took > 53*time.Second {
			t.Errorf("cut off after %v, want 50s", took)
		}
		time.Sleep(5 * time.Minute)
		if err := alive.Send(`{"type":"ping"}`); err != nil {
			t.Errorf("the client that answers was cut off: %v", err)
		}
	})
}

// TestStreamStalls: one client stops reading while the others go on. It is
// ended with a code and the token with which it resumes, and finds all the rest.
func TestStreamStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		stalled, quick := p.socket(t, wsraw.Options{}), p.socket(t, wsraw.Options{})
		for _, s := range []*socket{stalled, quick} {
			s.ask("ack", subscribe, "")
			s.until()
		}
		const writes = 500
		begun := time.Now()
		for i := range writes {
			f.must(t, "POST", at("s-1", "messages"), fmt.Sprintf(`{"role":"user","content":"%d %s"}`, i, strings.Repeat("x", 1000)))
			quick.want("change")
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("the others took %v of virtual time", took)
		}
		time.Sleep(15 * time.Second)
		ops := map[string]bool{}
		last := ""
		var end *wsraw.CloseError
		for end == nil {
			text, err := stalled.NextText()
			if errors.As(err, &end) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var m told
			if err := json.Unmarshal(text, &m); err != nil {
				t.Fatal(err)
			}
			ops[m.Change.Dot], last = true, m.Change.Version
		}
		if end.Code != push.CloseTooSlow || end.Reason != "too_slow; since="+last {
			t.Errorf("ended with %v, want %d and the token %s", end, push.CloseTooSlow, last)
		}
		if len(ops) == 0 || len(ops) > 200 {
			t.Errorf("%d changes were kept for a client that stopped reading", len(ops))
		}
		again := p.socket(t, wsraw.Options{})
		again.ask("ack", subscribe, last)
		rest, _ := again.until()
		for _, op := range rest {
			if ops[op] {
				t.Errorf("%s came twice", op)
			}
			ops[op] = true
		}
		if len(ops) != writes {
			t.Errorf("%d changes came in all, want %d", len(ops), writes)
		}
	})
}

// TestStreamIsCutOff: a client that does not even take the reason is cut off.
func TestStreamIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		s := p.socket(t, wsraw.Options{})
		s.ask("ack", subscribe, "")
		time.Sleep(2 * time.Minute)
		var err error
		for err == nil {
			_, err = s.Next() // what had come already
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after two minutes without reading: %v; want the end of the connection", err)
		}
	})
}

// TestStreamGoesAway: clients are told that the node stops.
func TestStreamGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serve(t, newFixture(t).svc)
		s := p.socket(t, wsraw.Options{})
		stopped := make(chan struct{})
		go func() { p.stop(); close(stopped) }()
		_, err := s.NextText()
		var end *wsraw.CloseError
		if !errors.As(err, &end) || end.Code != push.CloseGoingAway {
			t.Errorf("got %v, want the code for going away", err)
		}
		<-stopped
	})
}

// TestStreamCompresses: what is worth it comes compressed to those who agreed
// to it, the same for all, and is read compressed from them.
func TestStreamCompresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		packed, plain := p.socket(t, wsraw.Options{Deflate: true}), p.socket(t, wsraw.Options{})
		for _, s := range []*socket{packed, plain} {
			s.ask("ack", subscribe, "")
			s.until()
		}
		long := strings.Repeat("the same again and again ", 100)
		if err := packed.SendPacked(`{"type":"append","space":"default","session":"s-1","body":{"role":"user","content":"` + long + `"}}`); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if m := packed.next(); m.Type == "change" && string(m.Change.Message.Content) != `"`+long+`"` {
				t.Errorf("got %+v", m)
			}
		}
		if m := plain.want("change"); string(m.Change.Message.Content) != `"`+long+`"` {
			t.Errorf("got %+v", m)
		}
		if packed.Packed != 2 || plain.Packed != 0 {
			t.Errorf("%d and %d messages came compressed, want 2 and 0", packed.Packed, plain.Packed)
		}
	})
}
