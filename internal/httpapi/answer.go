package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/causeway-sync/causeway/session"
)

// The bodies of answers, as the OpenAPI document shows them.
type (
	documentAnswer struct {
		session.Document
		Durability Durability `json:"durability,omitempty" doc:"on answers to writes"`
		Degraded   bool       `json:"degraded,omitempty" doc:"core was asked for and could not be had in time"`
		Fallback   string     `json:"fallback,omitempty" doc:"why: the name of the degraded mode"`
	}
	messageAnswer struct {
		session.Message
		Degraded bool   `json:"degraded,omitempty" doc:"core was asked for and could not be had in time"`
		Fallback string `json:"fallback,omitempty" doc:"why: the name of the degraded mode"`
	}
	batchAnswer struct {
		Messages   []session.Message `json:"messages"`
		Version    string            `json:"version"`
		Durability Durability        `json:"durability"`
		Degraded   bool              `json:"degraded,omitempty"`
		Fallback   string            `json:"fallback,omitempty"`
	}
	eraseAnswer struct {
		Session    string     `json:"session"`
		Erased     bool       `json:"erased"`
		Version    string     `json:"version"`
		Durability Durability `json:"durability"`
		Degraded   bool       `json:"degraded,omitempty"`
		Fallback   string     `json:"fallback,omitempty"`
	}
	sessionsPage struct {
		Sessions []session.Document `json:"sessions"`
		Next     string             `json:"next,omitempty" doc:"goes back in as after; absent at the end"`
	}
	messagesPage struct {
		Messages []session.Message `json:"messages"`
		Next     string            `json:"next,omitempty" doc:"goes back in as after (tail, view=model: before); absent at the end"`
		Tokens   int               `json:"tokens,omitempty" doc:"view=model: a guess, rather high"`
	}
	changesPage struct {
		Changes []session.Change `json:"changes"`
		Next    string           `json:"next" doc:"goes back in as since; covers everything listed"`
		Behind  bool             `json:"behind,omitempty" doc:"since covers what this node does not hold yet"`
	}
	spacesPage struct {
		Spaces []string `json:"spaces"`
	}
	clusterAnswer struct {
		Cluster string      `json:"cluster"`
		Node    string      `json:"node"`
		Role    string      `json:"role"`
		Link    *LinkStatus `json:"link,omitempty"`
		Core    *CoreStatus `json:"core,omitempty"`
	}
	healthAnswer struct {
		Status string `json:"status"`
	}
)

// maxPooled keeps one huge answer from staying in memory.
const maxPooled = 64 << 10

// encoder is a buffer with a JSON encoder on it; making one costs more than using it.
type encoder struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.enc = json.NewEncoder(&e.buf)
	e.enc.SetEscapeHTML(false) // clients get back the bytes that they wrote
	return e
}}

// reply writes v as JSON.
func reply(w http.ResponseWriter, status int, v any) error {
	if r, ok := w.(*recorder); ok && r.brief {
		r.WriteHeader(status)
		return nil
	}
	e := encoders.Get().(*encoder)
	defer func() {
		if e.buf.Cap() <= maxPooled {
			e.buf.Reset()
			encoders.Put(e)
		}
	}()
	if err := e.enc.Encode(v); err != nil {
		e.buf.Reset()
		return fmt.Errorf("encode answer: %w", err)
	}
	send(w, status, "application/json", e.buf.Bytes())
	return nil
}

// send writes the answer. A failing write means that the client has gone, and
// there is nobody left to tell.
func send(w http.ResponseWriter, status int, media string, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{media}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// writeStatus sets the headers of a write's answer and gives its status: 202
// if the client asked for more durability than it got.
func writeStatus(w http.ResponseWriter, ans *Answer, status int) (version string, code int) {
	version = session.SealedVersion(ans.Version, ans.Seal)
	w.Header()[headerVersion] = []string{version}
	if ans.Replayed {
		w.Header()[headerReplayed] = []string{"true"}
	}
	if ans.Degraded {
		status = http.StatusAccepted
	}
	return version, status
}

func etag(version string) string { return `"` + version + `"` }

func replyDocument(w http.ResponseWriter, ans *Answer, status int) error {
	if ans.Document == nil {
		return fmt.Errorf("want a document in the answer to a write of the session, have none")
	}
	version, status := writeStatus(w, ans, status)
	w.Header()["Etag"] = []string{etag(version)}
	return reply(w, status, documentAnswer{*ans.Document, ans.Durability, ans.Degraded, ans.Fallback})
}

func replyMessage(w http.ResponseWriter, ans *Answer, status int) error {
	if len(ans.Messages) != 1 {
		return fmt.Errorf("want one message in the answer, have %d", len(ans.Messages))
	}
	_, status = writeStatus(w, ans, status)
	m := messageAnswer{ans.Messages[0], ans.Degraded, ans.Fallback}
	m.Durability = string(ans.Durability)
	return reply(w, status, &m)
}

func replyBatch(w http.ResponseWriter, ans *Answer) error {
	version, status := writeStatus(w, ans, http.StatusCreated)
	for i := range ans.Messages {
		ans.Messages[i].Durability = string(ans.Durability)
	}
	return reply(w, status, &batchAnswer{ans.Messages, version, ans.Durability, ans.Degraded, ans.Fallback})
}

// list makes an empty list of nil, which JSON would show as null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
