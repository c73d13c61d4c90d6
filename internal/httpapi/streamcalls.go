package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lxzan/gws"

	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/vclock"
)

// streamMessage is a message of a client, as it was read.
type streamMessage struct {
	kind, ref      string
	space, session string
	since          vclock.Vector
	wait           time.Duration
	target         string // of an edit or a redaction: the id of a message, or the name of a text
	text           bool   // target is a text
	body           []byte
	brief          bool
	mute           bool // a subscription without signals
	header         http.Header
}

const maxRefBytes = 64 // of what a client calls a request

// streamCall is how a message is carried out: as a call over HTTP.
type streamCall struct{ method, rest string }

// streamCalls are the messages that write or say something. rest follows the session's path.
var streamCalls = map[string]streamCall{
	"append": {http.MethodPost, "/messages"},
	"move":   {http.MethodPost, "/transitions"},
	"patch":  {http.MethodPatch, "/context"},
	"adjust": {http.MethodPost, "/context/ops"},
	"edit":   {http.MethodPatch, "/messages/"},
	"redact": {http.MethodDelete, "/messages/"},
	"open":   {http.MethodPost, ""},
	"signal": {http.MethodPost, "/signals"},
}

// take carries out a message; it owns m.
func (s *stream) take(m *gws.Message) {
	n, ok := s.conn.Expect(len(m.Bytes()))
	if !ok {
		_ = m.Close()
		return
	}
	msg, err := readStreamMessage(m.Bytes())
	if err == nil {
		if msg.kind == "signal" {
			s.signal(n, m, &msg)
			return
		}
		if _, writes := streamCalls[msg.kind]; writes {
			s.begin(n, m, &msg)
			return
		}
		err = s.do(&msg)
	}
	_ = m.Close() // it goes back to a pool
	if err != nil {
		s.conn.Answer(n, failure(msg.ref, msg.space, msg.session, err))
		return
	}
	s.conn.Answer(n, acknowledge(&msg, nil))
}

// do carries out what is no write.
func (s *stream) do(msg *streamMessage) error {
	switch msg.kind {
	case "subscribe":
		space, id := msg.space, msg.session
		if err := checkName(space, "space"); err != nil {
			return err
		}
		return overloaded(s.conn.Follow(push.Following{
			Space: space, Session: id, Since: msg.since, Wait: msg.wait, Mute: msg.mute,
			Fail: func(err error) []byte { return failure("", space, id, err) },
		}))
	case "unsubscribe":
		s.conn.Unfollow(msg.space, msg.session)
		return nil
	case "ping":
		return nil
	case "":
		return problem("invalid_body", "type is missing").at("type")
	}
	return problem("invalid_body", "type is %.40q", msg.kind).at("type")
}

// begin carries out a write as the same call over HTTP, beside others, but in
// its turn; it owns m.
func (s *stream) begin(n uint64, m *gws.Message, msg *streamMessage) {
	place := s.line.Join(s.ctx)
	r, err := s.call(place, msg)
	if err != nil {
		place.Leave()
		_ = m.Close()
		s.conn.Answer(n, failure(msg.ref, msg.space, msg.session, err))
		return
	}
	s.calls.Add(1)
	carriedOut := s.api.hub.Work(func() {
		defer s.calls.Done()
		defer place.Leave()
		w := newRecorder()
		w.brief = msg.brief
		s.api.mux.ServeHTTP(w, r)
		s.conn.Answer(n, acknowledge(msg, w))
		_ = m.Close() // nothing refers to it any longer
	})
	if !carriedOut { // the connection is about to end
		s.calls.Done()
		place.Leave()
		_ = m.Close()
	}
}

// signal carries out a signal, at once: its order counts. One that has no ref
// is answered only if it was refused. It owns m.
func (s *stream) signal(n uint64, m *gws.Message, msg *streamMessage) {
	defer m.Close()
	r, err := s.call(s.ctx, msg)
	if err != nil {
		s.conn.Answer(n, failure(msg.ref, msg.space, msg.session, err))
		return
	}
	w := newRecorder()
	s.api.mux.ServeHTTP(w, r)
	if msg.ref == "" && w.status < http.StatusBadRequest {
		s.conn.Nothing(n)
		return
	}
	s.conn.Answer(n, acknowledge(msg, w))
}

// call makes the request over HTTP that a message stands for.
func (s *stream) call(ctx context.Context, msg *streamMessage) (*http.Request, error) {
	call := streamCalls[msg.kind]
	path := "/v1/spaces/" + msg.space + "/sessions"
	if msg.kind != "open" {
		path += "/" + msg.session + call.rest
	}
	switch {
	case msg.kind == "edit" && msg.text:
		call.method, path = http.MethodPost, "/v1/spaces/"+msg.space+"/sessions/"+msg.session+"/texts/"+msg.target+"/edits"
	case msg.kind == "edit" || msg.kind == "redact":
		path += msg.target
	}
	if err := checkTargets(msg); err != nil {
		return nil, err
	}
	r := s.request.WithContext(ctx)
	r.Method, r.URL, r.RequestURI = call.method, &url.URL{Path: path}, path
	r.Header = msg.header
	if r.Header == nil {
		r.Header = s.request.Header // is only read
	}
	for name, values := range s.request.Header {
		if _, own := r.Header[name]; !own {
			r.Header[name] = values
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(msg.body)), int64(len(msg.body))
	return r, nil
}

// checkTargets refuses names that would lead to another path.
func checkTargets(msg *streamMessage) error {
	if err := checkName(msg.space, "space"); err != nil {
		return err
	}
	if msg.kind == "open" {
		if msg.session != "" {
			return problem("invalid_body", "the id of a new session is a member of body").at("session")
		}
		return nil
	}
	if err := checkName(msg.session, "session"); err != nil {
		return err
	}
	switch msg.kind {
	case "edit", "redact":
		return checkName(msg.target, "message")
	}
	if msg.target != "" {
		return problem("invalid_body", "message and text go with edit and redact").at("message")
	}
	return nil
}

// writeTemplate is what the writes of a stream take over from the request that
// opened it: who asks.
func writeTemplate(r *http.Request) *http.Request {
	t := &http.Request{
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		Host: r.Host, RemoteAddr: r.RemoteAddr, TLS: r.TLS, Header: http.Header{},
	}
	for _, name := range []string{"Authorization", headerActor} {
		if values, ok := r.Header[name]; ok {
			t.Header[name] = values
		}
	}
	return t
}

// readStreamMessage reads a message strictly. Of a message that cannot be read
// what was read before the fault is returned.
func readStreamMessage(b []byte) (streamMessage, error) {
	var msg streamMessage
	rd, err := newReader(b)
	if err != nil {
		return msg, err
	}
	err = rd.members(b, "", func(name string, v []byte) error { return msg.member(rd, name, v) })
	return msg, err
}

func (msg *streamMessage) member(rd reader, name string, v []byte) (err error) {
	switch name {
	case "type":
		msg.kind, err = rd.str(v, name)
	case "ref":
		if msg.ref, err = rd.str(v, name); len(msg.ref) > maxRefBytes {
			msg.ref, err = "", problem("too_large", "ref is longer than %d bytes", maxRefBytes).at(name).limit(maxRefBytes)
		}
	case "space":
		if msg.space, err = rd.str(v, name); err == nil {
			err = checkName(msg.space, name)
		}
	case "session":
		if msg.session, err = rd.str(v, name); err == nil {
			err = checkName(msg.session, name)
		}
	case "since":
		var token string
		if token, err = rd.str(v, name); err == nil {
			msg.since, err = version(token, name)
		}
	case "wait":
		msg.wait, err = rd.duration(v, name)
	case "message", "text":
		if msg.target != "" {
			return problem("invalid_body", "either message or text").at(name)
		}
		msg.text = name == "text"
		msg.target, err = rd.str(v, name)
	case "body":
		msg.body = v
	case "brief":
		msg.brief, err = rd.boolean(v, name)
	case "signals":
		msg.mute, err = rd.boolean(v, name)
		msg.mute = !msg.mute
	case "key":
		err = msg.head(rd, headerKey, name, v)
	case "actor":
		err = msg.head(rd, headerActor, name, v)
	case "durability":
		err = msg.head(rd, headerDurability, name, v)
	case "if_match":
		err = msg.head(rd, headerIfMatch, name, v)
	default:
		err = unknownField(name)
	}
	return err
}

// head takes a member that stands for a header.
func (msg *streamMessage) head(rd reader, header, name string, v []byte) error {
	s, err := rd.str(v, name)
	if err != nil {
		return err
	}
	if msg.header == nil {
		msg.header = http.Header{}
	}
	msg.header[header] = []string{s}
	return nil
}

func (rd reader) boolean(v []byte, at string) (bool, error) {
	yes := string(v) == "true"
	if !yes && string(v) != "false" {
		return false, wrongType(at, "true or false")
	}
	return yes, nil
}

func (rd reader) duration(v []byte, at string) (time.Duration, error) {
	s, err := rd.str(v, at)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, problem("invalid_body", `%s is %.40q, want a duration like "30s"`, at, s).at(at)
	}
	return min(d, MaxWait), nil
}

// recorder takes an answer that goes into a message.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	brief  bool // the body of a good answer is not wanted
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

// Header implements [http.ResponseWriter].
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *recorder) WriteHeader(status int) { w.status = cmp.Or(w.status, status) }

// Write implements [http.ResponseWriter].
func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// acknowledge makes the answer to a message from that to its call, which is
// nil if it was none.
func acknowledge(msg *streamMessage, w *recorder) []byte {
	if w == nil {
		return append(answerHead("ack", msg.ref, msg.space, msg.session), '}')
	}
	text := bytes.TrimSpace(w.body.Bytes())
	if w.status >= http.StatusBadRequest {
		b := appendMember(answerHead("error", msg.ref, msg.space, msg.session), "status", strconv.Itoa(w.status))
		if after, err := strconv.Atoi(w.header.Get("Retry-After")); err == nil {
			b = appendMember(b, "retry_after", strconv.Itoa(after))
		}
		return append(appendMember(b, "problem", string(text)), '}')
	}
	b := appendMember(answerHead("ack", msg.ref, "", ""), "status", strconv.Itoa(w.status))
	b = appendMember(b, "version", quoted(w.header.Get(headerVersion)))
	if w.header.Get(headerReplayed) != "" {
		b = appendMember(b, "replayed", "true")
	}
	if !msg.brief {
		b = append(append(b, `,"body":`...), text...)
	}
	return append(b, '}')
}

// failure makes the message that tells of an error.
func failure(ref, space, id string, err error) []byte {
	p := asProblem(err)
	b := appendMember(answerHead("error", ref, space, id), "status", strconv.Itoa(p.Status))
	return append(append(append(b, `,"problem":`...), encode(p)...), '}')
}

// answerHead begins an answer; what is empty is left out.
func answerHead(kind, ref, space, id string) []byte {
	b := append(make([]byte, 0, 256), `{"type":"`...)
	b = append(append(b, kind...), '"')
	for _, m := range []struct{ name, value string }{{"ref", ref}, {"space", space}, {"session", id}} {
		if m.value != "" {
			b = appendMember(b, m.name, quoted(m.value))
		}
	}
	return b
}

// appendMember appends a member whose value is JSON.
func appendMember(b []byte, name, value string) []byte {
	b = append(append(b, `,"`...), name...)
	return append(append(b, `":`...), value...)
}

func quoted(s string) string { return string(encode(s)) }

// encode gives JSON as answers have it.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("httpapi: want a message that encodes, have " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
