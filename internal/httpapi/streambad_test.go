package httpapi_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/httpapi/httpapitest"
	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/internal/wsraw"
	"github.com/causeway-sync/causeway/vclock"
)

func handlerOf(svc *httpapitest.Service) http.Handler { return httpapi.Handler(svc, nil) }

// tokenBehind is a token that covers n more ops than one.
func tokenBehind(t testing.TB, token string, n vclock.Seq) string {
	t.Helper()
	v, err := vclock.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	return v.With(vclock.Dot{Origin: httpapitest.Origin, Seq: v.At(httpapitest.Origin) + n}).String()
}

// TestStreamRefusals: a message that is wrong is answered with the problem,
// under its ref, and the connection goes on.
func TestStreamRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		s := serve(t, f.svc).socket(t, wsraw.Options{})
		head := `"ref":"r","space":"default","session":"s-1"`
		for _, c := range []struct{ message, code, field string }{
			{`hello`, "malformed_json", ""},
			{``, "malformed_json", ""},
			{`[]`, "invalid_body", ""},
			{`{}`, "invalid_body", "type"},
			{`{"type":"dance","ref":"r"}`, "invalid_body", "type"},
			{`{"ref":"r","type":7}`, "invalid_body", "type"},
			{`{"ref":"r","type":"ping","extra":1}`, "unknown_field", "extra"},
			{`{"ref":"r","type":"ping","type":"ping"}`, "invalid_body", "type"},
			{`{"type":"subscribe","ref":"` + strings.Repeat("r", 65) + `"}`, "too_large", "ref"},
			{`{"ref":"r","type":"subscribe"}`, "bad_name", "space"},
			{`{"ref":"r","type":"subscribe","space":"a/b"}`, "bad_name", "space"},
			{`{"ref":"r","type":"subscribe","space":"default","session":".."}`, "bad_name", "session"},
			{`{` + head + `,"type":"subscribe","since":"!"}`, "bad_version", "since"},
			{`{` + head + `,"type":"subscribe","since":7}`, "invalid_body", "since"},
			{`{` + head + `,"type":"subscribe","wait":"long"}`, "invalid_body", "wait"},
			{`{"ref":"r","type":"append","space":"default","body":{}}`, "bad_name", "session"},
			{`{"ref":"r","type":"open","space":"default","session":"x","body":{}}`, "invalid_body", "session"},
			{`{` + head + `,"type":"append"}`, "malformed_json", ""},
			{`{` + head + `,"type":"append","body":{}}`, "invalid_body", "role"},
			{`{` + head + `,"type":"append","body":{"role":"a","content":1,"x":1}}`, "unknown_field", "x"},
			{`{` + head + `,"type":"append","message":"m-1","body":{"role":"a","content":1}}`, "invalid_body", "message"},
			{`{` + head + `,"type":"append","brief":1,"body":{"role":"a","content":1}}`, "invalid_body", "brief"},
			{`{` + head + `,"type":"append","key":"","body":{"role":"a","content":1}}`, "bad_header", "Idempotency-Key"},
			{`{` + head + `,"type":"append","durability":"mine","body":{"role":"a","content":1}}`, "bad_header", "Causeway-Durability"},
			{`{` + head + `,"type":"edit","body":{"content":1}}`, "bad_name", "message"},
			{`{` + head + `,"type":"edit","message":"../x","body":{"content":1}}`, "bad_name", "message"},
			{`{` + head + `,"type":"edit","message":"a","text":"b","body":{"content":1}}`, "invalid_body", "text"},
			{`{` + head + `,"type":"redact","message":"m-9"}`, "message_not_found", ""},
			{`{"ref":"r","type":"append","space":"default","session":"ended","body":{"role":"a","content":1}}`, "session_ended", ""},
			{`{"ref":"r","type":"patch","space":"default","session":"erased","body":{}}`, "session_erased", ""},
			{strings.Repeat("[", 100_000), "too_deep", ""},
			{"{\"type\":\"ping\",\"ref\":\"\x00\"}", "malformed_json", ""},
		} {
			m := s.ask("error", "%s", c.message)
			if m.Problem.Code != c.code || m.Problem.Field != c.field || m.Status < 400 {
				t.Errorf("%.100s = %+v, want %s at %q", c.message, m, c.code, c.field)
			}
			if strings.Contains(c.message, `"ref":"r"`) && m.Ref != "r" {
				t.Errorf("%.100s: ref %q", c.message, m.Ref)
			}
		}
		s.ask("ack", `{"type":"ping"}`)
	})
}

// TestStreamGarbage: what is no WebSocket ends the connection with the code
// that the standard has for it; nobody else is touched.
func TestStreamGarbage(t *testing.T) {
	t.Parallel()
	text := func(first byte, payload string) []byte {
		b := wsraw.AppendFrame(nil, wsraw.Text, []byte(payload))
		b[0] = first
		return b
	}
	long := func(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, n) }
	for _, c := range []struct {
		name string
		send []byte
		code int
	}{
		{"binary message", text(0x82, "x"), 1003},
		{"not masked", []byte{0x81, 0x01, 'x'}, 1002},
		{"reserved bit", text(0xc1, "{}"), 1002},
		{"unknown opcode", text(0x8b, "x"), 1002},
		{"continuation of nothing", text(0x80, "x"), 1002},
		{"invalid UTF-8", text(0x81, "\xff\xfe"), 1007},
		{"too large", append(long(push.MaxMessageBytes+1), 0, 0, 0, 0), 1009},
		{"absurdly large", append(long(1<<62), 0, 0, 0, 0), 1009},
		{"bomb", bomb(t), 1009},
		{"client ends", wsraw.AppendFrame(nil, wsraw.Close, []byte("\x03\xe8bye")), 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := serve(t, newFixture(t).svc)
				other, s := p.socket(t, wsraw.Options{}), p.socket(t, wsraw.Options{Deflate: c.name == "bomb"})
				go func() { _, _ = s.Conn.Write(c.send) }() // ends with the connection
				_, err := s.Next()
				var end *wsraw.CloseError
				if !errors.As(err, &end) || end.Code != c.code {
					t.Errorf("got %v, want code %d", err, c.code)
				}
				_ = s.Conn.Close()
				other.ask("ack", `{"type":"ping"}`)
			})
		})
	}
}

// bomb is a compressed message that is much larger than a message may be.
func bomb(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	frame := wsraw.AppendFrame(nil, wsraw.Text, bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff")))
	frame[0] |= 0x40
	return frame
}

// TestStreamFragments: a message that comes in pieces, with a ping between, is one.
func TestStreamFragments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newFixture(t).svc).socket(t, wsraw.Options{})
		first := wsraw.AppendFrame(nil, wsraw.Text, []byte(`{"type":"ping",`))
		first[0] &^= 0x80
		last := wsraw.AppendFrame(nil, 0, []byte(`"ref":"pieces"}`))
		for _, b := range [][]byte{first, wsraw.AppendFrame(nil, wsraw.Ping, []byte("p")), last} {
			if _, err := s.Conn.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if f, err := s.Next(); err != nil || f.Opcode != wsraw.Pong || string(f.Payload) != "p" {
			t.Errorf("got %+v, %v; want a pong", f, err)
		}
		if m := s.want("ack"); m.Ref != "pieces" {
			t.Errorf("got %+v", m)
		}
	})
}

// TestStreamNoise writes random bytes, and random changes of good frames.
func TestStreamNoise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serve(t, newFixture(t).svc)
		other := p.socket(t, wsraw.Options{})
		rng := rand.New(rand.NewPCG(6, 6))
		for i := range 300 {
			s := p.socket(t, wsraw.Options{Deflate: i%2 == 0})
			b := wsraw.AppendFrame(nil, wsraw.Text, fmt.Appendf(nil, subscribe, ""))
			b = append(b, b...)
			for range 1 + rng.IntN(6) {
				b[rng.IntN(len(b))] = byte(rng.Uint32())
			}
			go func() {
				_, _ = s.Conn.Write(b)
				_ = s.Conn.Close()
			}()
			for {
				if _, err := s.Next(); err != nil {
					break
				}
			}
		}
		other.ask("ack", `{"type":"ping"}`)
	})
}

// TestStreamFromAnotherSite: a page of another site cannot open a stream.
func TestStreamFromAnotherSite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serve(t, newFixture(t).svc)
		for origin, want := range map[string]string{"http://node": "", "http://evil": "cross_origin", "null": "cross_origin"} {
			_, err := wsraw.New(p.dial(), "node", "/v1/stream", wsraw.Options{Header: http.Header{"Origin": {origin}}})
			if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
				t.Errorf("from %s: %v, want %q", origin, err, want)
			}
		}
	})
}
