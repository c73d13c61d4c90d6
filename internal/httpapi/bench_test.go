package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// instant is a Service that does nothing, so that only the API is measured.
type instant struct{ Service }

func (instant) Write(_ context.Context, cmd session.Command, _ Durability) (Answer, error) {
	add := cmd.Do.(session.Append)
	ans := Answer{
		Version:    vclock.Of(vclock.Dot{Origin: "edge-1~k3x9a0qz", Seq: 17}),
		Durability: Local, Messages: make([]session.Message, len(add.Messages)),
	}
	for i, d := range add.Messages {
		ans.Messages[i] = session.Message{
			ID: "edge-1~k3x9a0qz.17", Role: d.Role, Content: d.Content, Parent: "edge-1~k3x9a0qz.16",
			At: time.Unix(1800000000, 5e6).UTC(), Origin: "edge-1~k3x9a0qz", Version: "AQAPZWRnZS0xfmszeDlhMHF6EQ",
		}
	}
	return ans, nil
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkAppend measures one append through the API, the same through
// huma.Register, and what net/http with encoding/json alone would cost.
func BenchmarkAppend(b *testing.B) {
	body := `{"role":"user","content":"` + strings.Repeat("a line of chat. ", 32) + `"}`
	bare := http.NewServeMux()
	bare.HandleFunc("POST /v1/spaces/{space}/sessions/{session}/messages",
		func(w http.ResponseWriter, r *http.Request) {
			var m session.Message
			in, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(in, &m); err != nil {
				b.Error(err)
			}
			out, _ := json.Marshal(&m)
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(out)
		})
	for _, c := range []struct {
		name string
		h    http.Handler
	}{
		{"bare", bare},
		{"causeway", Handler(instant{}, nil)},
		{"huma", humaAppend()},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _ := http.NewRequest("POST", "/v1/spaces/default/sessions/s-1/messages", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Idempotency-Key", "0123456789abcdef")
				c.h.ServeHTTP(&discard{http.Header{}}, r)
			}
		})
	}
}

// humaAppend is the same call in huma's way, with its validation.
func humaAppend() http.Handler {
	type in struct {
		Space   string `path:"space" pattern:"^[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}$"`
		Session string `path:"session" pattern:"^[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}$"`
		Key     string `header:"Idempotency-Key" maxLength:"256"`
		Body    struct {
			ID       string          `json:"id,omitempty"`
			Role     string          `json:"role" maxLength:"64"`
			Content  json.RawMessage `json:"content"`
			Metadata json.RawMessage `json:"metadata,omitempty"`
		}
	}
	type out struct {
		Version string `header:"Causeway-Version"`
		Body    session.Message
	}
	mux := http.NewServeMux()
	config := huma.DefaultConfig("causeway", "1")
	config.CreateHooks = nil
	api := humago.New(mux, config)
	huma.Register(api, huma.Operation{
		Method: "POST", Path: "/v1/spaces/{space}/sessions/{session}/messages", DefaultStatus: 201,
	}, func(ctx context.Context, i *in) (*out, error) {
		ans, err := instant{}.Write(ctx, session.Command{
			Do: session.Append{Messages: []session.Draft{{Role: i.Body.Role, Content: i.Body.Content}}},
		}, Local)
		if err != nil {
			return nil, err
		}
		return &out{ans.Version.String(), ans.Messages[0]}, nil
	})
	return mux
}

func BenchmarkCheckJSON(b *testing.B) {
	body := []byte(`{"role":"user","content":"` + strings.Repeat("a line of chat. ", 32) + `"}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, _, err := readAppend(bytes.Clone(body)); err != nil {
			b.Fatal(err)
		}
	}
}
