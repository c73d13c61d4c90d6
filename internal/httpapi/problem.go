package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Refusals of a [Service] beyond the sentinels of package session. Wrap them
// with the operation.
var (
	// ErrUnavailable says that something which passes keeps the node from answering.
	ErrUnavailable = errors.New("httpapi: unavailable")
	// ErrReadOnly says that the node takes no writes at present.
	ErrReadOnly = errors.New("httpapi: read only")
	// ErrDiskReserve says that the disk is too full for new writes.
	ErrDiskReserve = errors.New("httpapi: disk reserve reached")
	// ErrOverloaded says that too many requests wait already.
	ErrOverloaded = errors.New("httpapi: overloaded")
	// ErrMemoryReserve says that too little memory is left for new writes.
	ErrMemoryReserve = errors.New("httpapi: memory reserve reached")
	// ErrNoArbiter says that only the core may decide a claim, and cannot be asked.
	ErrNoArbiter = errors.New("httpapi: the core cannot be asked")
	// ErrNoSpace says that the node does not carry the space.
	ErrNoSpace = errors.New("httpapi: no such space here")
	// ErrBadCursor says that a page token was not made by this API.
	ErrBadCursor = errors.New("httpapi: bad page token")
)

// Problem is the body of every error answer (RFC 9457). Code is stable and
// what programs go by; Title belongs to the code; Detail is for people.
type Problem struct {
	Type   string   `json:"type" doc:"docs/API.md lists the codes"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail,omitempty"`
	Code   string   `json:"code" doc:"stable, snake_case"`
	Field  string   `json:"field,omitempty" doc:"member of the body, header or parameter at fault"`
	Limit  int      `json:"limit,omitempty" doc:"the limit that was passed"`
	Legal  []string `json:"legal,omitempty" doc:"legal moves"`
	Hint   string   `json:"hint,omitempty" doc:"what the operator can do"`

	Tool *session.Tool `json:"tool,omitempty" doc:"who has claimed the tool call"`

	allow string
	wait  time.Duration // for Retry-After
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// problemKind is one row of the table of codes in docs/API.md.
type problemKind struct {
	status int
	code   string
	title  string
}

// The codes. A test keeps this table and the one in docs/API.md equal.
var kinds = []problemKind{
	{400, "malformed_json", "body is not JSON"},
	{400, "invalid_utf8", "text is not UTF-8"},
	{400, "nul_in_name", "name holds a NUL character"},
	{400, "too_deep", "JSON is nested too deeply"},
	{400, "bad_version", "not a version token"},
	{400, "bad_query", "query parameter is not valid"},
	{400, "bad_header", "request header is not valid"},
	{403, "cross_origin", "web pages of other sites may not write here"},
	{404, "not_found", "no such resource"},
	{404, "space_not_found", "this node does not carry the space"},
	{404, "session_not_found", "no such session"},
	{404, "message_not_found", "no such message"},
	{404, "text_not_found", "no such text"},
	{405, "method_not_allowed", "method is not allowed here"},
	{406, "not_acceptable", "answers are JSON"},
	{409, "session_exists", "session id exists already"},
	{409, "message_exists", "message id exists already"},
	{409, "illegal_transition", "session cannot make this move"},
	{409, "session_ended", "session has ended"},
	{409, "message_redacted", "message is redacted"},
	{409, "tool_call_unknown", "no such tool call"},
	{409, "tool_call_answered", "tool call has its result already"},
	{409, "wrong_kind", "path holds something of another kind"},
	{409, "counter_overflow", "counter would overflow"},
	{409, "base_unknown", "base is no version that this node knows"},
	{409, "base_too_old", "too much was written since the base"},
	{409, "tool_claimed", "tool call is in progress"},
	{409, "tool_done", "tool call has another result already"},
	{409, "tool_claim_unknown", "no such claim of a tool call"},
	{409, "stream_ended", "the stream has ended"},
	{409, "stream_moved", "the words do not follow what was said"},
	{410, "session_erased", "session was erased"},
	{410, "session_expired", "session has expired"},
	{412, "version_moved", "session moved on from the given version"},
	{413, "body_too_large", "body is too large"},
	{413, "message_too_large", "message is too large"},
	{413, "batch_too_large", "too many messages in one call"},
	{413, "too_large", "request is too large"},
	{413, "text_full", "text takes no more edits"},
	{415, "unsupported_media_type", "body must be JSON"},
	{422, "bad_name", "not a valid name"},
	{422, "unknown_field", "body has an unknown member"},
	{422, "invalid_body", "body is not valid"},
	{422, "edit_outside_text", "edit lies outside the text"},
	{422, "unknown_parent", "parent is not a message of this session"},
	{422, "idempotency_key_reused", "idempotency key was used with another request"},
	{426, "upgrade_required", "this is a WebSocket"},
	{429, "rate_limited", "too many requests in too little time"},
	{429, "too_many_signals", "too much is being said"},
	{500, "record_damaged", "a stored record is damaged"},
	{500, "internal", "internal error"},
	{503, "unavailable", "not available at present"},
	{503, "read_only", "node takes no writes at present"},
	{503, "overloaded", "too many requests wait already"},
	{503, "memory_reserve", "too little memory is left for writes"},
	{503, "not_ready", "node is not ready"},
	{503, "no_arbiter", "the core cannot be asked to decide"},
	{507, "disk_reserve", "disk is too full for writes"},
}

// problem gives a new Problem of a code of the table; another code is a bug.
func problem(code, format string, args ...any) *Problem {
	for _, k := range kinds {
		if k.code == code {
			return &Problem{
				Type: "urn:causeway:problem:" + code, Title: k.title, Status: k.status, Code: code,
				Detail: fmt.Sprintf(format, args...),
			}
		}
	}
	panic("httpapi: want a code of the table, have " + code)
}

func (p *Problem) at(field string) *Problem {
	p.Field = field
	return p
}

func (p *Problem) limit(n int) *Problem {
	p.Limit = n
	return p
}

// sentinels maps refusals to codes; the first that matches counts.
var sentinels = []struct {
	err  error
	code string
}{
	{ErrNoSpace, "space_not_found"},
	{ErrBadCursor, "bad_query"},
	{ErrDiskReserve, "disk_reserve"},
	{ErrReadOnly, "read_only"},
	{ErrOverloaded, "overloaded"},
	{ErrUnavailable, "unavailable"},
	{session.ErrCorrupt, "record_damaged"},
	{session.ErrNoSession, "session_not_found"},
	{session.ErrSessionExists, "session_exists"},
	{session.ErrSessionErased, "session_erased"},
	{session.ErrSessionExpired, "session_expired"},
	{session.ErrSessionEnded, "session_ended"},
	{session.ErrIllegalMove, "illegal_transition"},
	{session.ErrNoMessage, "message_not_found"},
	{session.ErrMessageExists, "message_exists"},
	{session.ErrMessageRedacted, "message_redacted"},
	{ErrNoArbiter, "no_arbiter"},
	{ErrMemoryReserve, "memory_reserve"},
	{errRate, "rate_limited"},
	{session.ErrNoCall, "tool_call_unknown"},
	{session.ErrToolClaimed, "tool_claimed"},
	{session.ErrToolDone, "tool_done"},
	{session.ErrNoClaim, "tool_claim_unknown"},
	{session.ErrCallAnswered, "tool_call_answered"},
	{session.ErrUnknownParent, "unknown_parent"},
	{session.ErrVersionMoved, "version_moved"},
	{session.ErrKeyReused, "idempotency_key_reused"},
	{session.ErrWrongKind, "wrong_kind"},
	{session.ErrOverflow, "counter_overflow"},
	{session.ErrNoText, "text_not_found"},
	{session.ErrTextOutside, "edit_outside_text"},
	{session.ErrTextFull, "text_full"},
	{session.ErrBaseUnknown, "base_unknown"},
	{session.ErrBaseTooOld, "base_too_old"},
	{live.ErrStreamEnded, "stream_ended"},
	{live.ErrStreamPlace, "stream_moved"},
	{live.ErrTooMany, "too_many_signals"},
	{live.ErrTooLong, "message_too_large"},
	{session.ErrTooBig, "too_large"},
	{session.ErrInvalid, "invalid_body"},
	{vclock.ErrTooWide, "bad_version"},
	{vclock.ErrMalformed, "bad_version"},
	{context.DeadlineExceeded, "unavailable"},
}

// asProblem turns any error of a handler or a Service into a Problem. What it
// does not know becomes "internal" without details, which are for the log.
func asProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	for _, s := range sentinels {
		if !errors.Is(err, s.err) {
			continue
		}
		p := problem(s.code, "%s", err.Error())
		if m, ok := errors.AsType[*session.MoveError](err); ok {
			p.Legal = m.Legal
		}
		if l, ok := errors.AsType[*RateError](err); ok {
			p.wait = l.Wait
		}
		if t, ok := errors.AsType[*session.ToolError](err); ok {
			p.Tool = &t.Tool
		}
		if l, ok := errors.AsType[*session.LimitError](err); ok {
			p.Field, p.Limit = l.What, l.Max
		}
		if c, ok := errors.AsType[*session.CorruptError](err); ok {
			p.Hint = c.Hint
		}
		return p
	}
	return problem("internal", "the node's log has more")
}

// writeProblem answers with err. Details of 5xx go to the log.
func writeProblem(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // the client has gone; nobody reads an answer
	}
	p := asProblem(err)
	if p.Status >= 500 {
		log.LogAttrs(r.Context(), slog.LevelWarn, "request failed",
			slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.String("code", p.Code), slog.String("err", err.Error()))
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Etag")
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	switch {
	case p.wait > 0:
		h.Set("Retry-After", strconv.Itoa(wholeSeconds(p.wait)))
	case p.Status == http.StatusServiceUnavailable, p.Status == http.StatusTooManyRequests:
		h.Set("Retry-After", "1")
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		panic("httpapi: want a problem that encodes, have " + err.Error())
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(p.Status)
	if _, err := w.Write(b.Bytes()); err != nil {
		log.LogAttrs(r.Context(), slog.LevelDebug, "answer not written", slog.String("err", err.Error()))
	}
}
