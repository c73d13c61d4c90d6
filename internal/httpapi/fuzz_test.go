package httpapi_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/session"
)

func seeds(f *testing.F) {
	for _, c := range bodyRefusals() {
		var b bytes.Buffer
		if _, err := b.ReadFrom(c.send(nil).Body); err != nil {
			f.Fatal(err)
		}
		if b.Len() < 4096 {
			f.Add(b.Bytes())
		}
	}
	for _, s := range []string{
		hello, `{"messages":[` + hello + `]}`, ` { "role" : "a" , "content" : [ 1 , -0.5e+7 , "\ud800\"" ] } `,
		`{"to":"active"}`, `{"ops":[{"op":"add","path":"/a","by":-1}]}`, `{"id":"x","labels":{"a":"b"},"ttl":"1h"}`,
		`"`, `[1,]`, `{"a":}`, `{"a" 1}`, `01`, `-`, `1.`, `1e`, `tru`, `"\u12"`, "\"\t\"", `[]]`, `{"messages":null}`,
	} {
		f.Add([]byte(s))
	}
}

// FuzzScan compares the scanner with encoding/json: both accept the same
// bytes, unless they are nested too deeply or are not UTF-8.
func FuzzScan(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := httpapi.CheckJSON(b)
		want := json.Valid(b) && utf8.Valid(b)
		if err != nil && want && !strings.Contains(err.Error(), "deep") {
			t.Errorf("CheckJSON(%q) = %v, encoding/json takes it", b, err)
		}
		if err == nil && !want {
			t.Errorf("CheckJSON(%q) = nil, encoding/json refuses it", b)
		}
	})
}

// FuzzAppend checks that what the walker reads is what encoding/json reads.
func FuzzAppend(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		add, batch, err := httpapi.ReadAppend(bytes.Clone(b))
		if err != nil || batch {
			return
		}
		var want struct {
			Role    string
			Content json.RawMessage
		}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("ReadAppend(%q) = %+v, encoding/json: %v", b, add, err)
		}
		got := add.Messages[0]
		if !strings.Contains(string(b), `\`) && got.Role != want.Role {
			t.Errorf("ReadAppend(%q): role %q, want %q", b, got.Role, want.Role)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, want.Content); len(want.Content) > 0 && err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Content, compact.Bytes()) {
			t.Errorf("ReadAppend(%q): content %q, want %q", b, got.Content, compact.Bytes())
		}
	})
}

// FuzzBodies sends the same bytes to every call that takes a body: whatever
// they are, the answer is no 5xx, and there is one.
func FuzzBodies(f *testing.F) {
	seeds(f)
	fx := newFixture(f)
	fx.svc.Fail = func(session.Command) error { return session.ErrSessionEnded } // nothing piles up
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range []struct{ method, path string }{
			{"POST", sessionsURL}, {"POST", at("s-1", "transitions")}, {"PATCH", at("s-1", "context")},
			{"POST", at("s-1", "context/ops")}, {"POST", at("s-1", "messages")}, {"PATCH", at("s-1", "messages/m-1")},
		} {
			w := fx.do(request(c.method, c.path, string(b)))
			if w.Code < 400 || w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %s %q = %d %s", c.method, c.path, b, w.Code, w.Body)
			}
		}
	})
}

// FuzzStreamMessage reads messages of a WebSocket: what is taken is JSON, and
// its body is a part of it.
func FuzzStreamMessage(f *testing.F) {
	f.Add([]byte(`{"type":"append","ref":"1","space":"a","session":"b","key":"k","body":{"role":"u","content":1}}`))
	f.Add([]byte(`{"type":"subscribe","space":"a","since":"AA","wait":"1s"}`))
	f.Add([]byte(`{"type":"edit","text":"t","message":"m","brief":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, body, err := httpapi.ReadStreamMessage(b)
		if err != nil {
			return
		}
		if !json.Valid(b) || len(body) > 0 && (!json.Valid(body) || !bytes.Contains(b, body)) {
			t.Errorf("took %q with body %q", b, body)
		}
	})
}
