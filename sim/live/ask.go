package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/session"
)

// requestTimeout is how long a client waits for an answer before it gives up.
const requestTimeout = 10 * time.Second

// maxAnswerBytes bounds what is read of one answer.
const maxAnswerBytes = 64 << 20

// errUnreachable says that a node took no connection: it was not asked.
var errUnreachable = errors.New("live: node takes no connection")

// errNoAnswer says that a node was asked and did not answer.
var errNoAnswer = errors.New("live: no answer")

// web asks nodes. Each request has a connection of its own, so that a node that
// died is told from one that did not answer.
type web struct{ client *http.Client }

func newWeb() *web {
	return &web{client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}}
}

// question is one request.
type question struct {
	method, path string
	body         []byte // nil for none
	key, actor   string
	match        string // version
	core         bool
	onBegin      func() // called when the connection stands, before anything is sent; may be nil
	timeout      time.Duration
}

// reply is an answer, of whatever status.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a question to a node. It returns errUnreachable or errNoAnswer if
// there is no answer.
func (w *web) ask(ctx context.Context, node string, q question) (*reply, error) {
	timeout := q.timeout
	if timeout == 0 {
		timeout = requestTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var once sync.Once
	begun := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		once.Do(func() {
			begun = true
			if q.onBegin != nil {
				q.onBegin()
			}
		})
	}})
	var body io.Reader
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, node+q.path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", q.method, q.path, err)
	}
	q.header(req.Header)
	resp, err := w.client.Do(req)
	once.Do(func() {}) // nothing begins after this
	if err != nil && !begun {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer func() { _ = resp.Body.Close() }() // everything wanted is read by then
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return &reply{resp.StatusCode, resp.Header, text}, nil
}

func (q *question) header(h http.Header) {
	if q.body != nil {
		h.Set("Content-Type", "application/json")
	}
	for name, value := range map[string]string{"Idempotency-Key": q.key, "Causeway-Actor": q.actor, "If-Match": q.match} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if q.core {
		h.Set("Causeway-Durability", "core")
	}
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	code   string
	detail string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.code, r.detail) }

// refused gives the refusal that an answer is, nil if it is none.
func (r *reply) refused() *refusal {
	if r.status < 400 {
		return nil
	}
	var problem struct{ Code, Detail, Title string }
	if err := json.Unmarshal(r.body, &problem); err != nil || problem.Code == "" {
		return &refusal{r.status, "unknown", fmt.Sprintf("%.200q", r.body)}
	}
	return &refusal{r.status, simCode(problem.Code), problem.Title + " " + problem.Detail}
}

// simCodes gives the simulator's names of refusals where the API has others.
var simCodes = map[string]string{
	"session_not_found": "no_session", "illegal_transition": "illegal_move", "message_not_found": "no_message",
	"idempotency_key_reused": "key_reused", "counter_overflow": "overflow", "too_large": "too_big",
	"message_too_large": "too_big", "batch_too_large": "too_big", "invalid_body": "invalid",
}

func simCode(code string) string {
	if name, ok := simCodes[code]; ok {
		return name
	}
	return code
}

// get asks for something and decodes the answer. A refusal is a *refusal.
func (w *web) get(ctx context.Context, node, path string, into any) error {
	return w.read(ctx, node, question{method: http.MethodGet, path: path}, into)
}

func (w *web) read(ctx context.Context, node string, q question, into any) error {
	r, err := w.ask(ctx, node, q)
	if err != nil {
		return err
	}
	if refused := r.refused(); refused != nil {
		return refused
	}
	if err := json.Unmarshal(r.body, into); err != nil {
		return fmt.Errorf("answer of %s to %s: %w", node, q.path, err)
	}
	return nil
}

func spacePath(space string) string { return "/v1/spaces/" + url.PathEscape(space) }

func sessionPath(space, id string) string {
	return spacePath(space) + "/sessions/" + url.PathEscape(id)
}

// reads of a session are repeated until nothing was written in between.
const readTries = 20

// errMoving says that a session was written to all the time while it was read.
var errMoving = errors.New("live: session does not stand still")

// session reads a session with all its messages as it is at one moment.
// onBegin is called once, before anything is asked.
func (w *web) session(ctx context.Context, node, space, id string, onBegin func()) (
	*session.Document, []session.Message, map[string]string, error,
) {
	for range readTries {
		var doc, after session.Document
		q := question{method: http.MethodGet, path: sessionPath(space, id), onBegin: onBegin}
		onBegin = nil
		if err := w.read(ctx, node, q, &doc); err != nil {
			return nil, nil, nil, err
		}
		messages, err := w.messages(ctx, node, space, id)
		if err != nil {
			return nil, nil, nil, err
		}
		texts, err := w.texts(ctx, node, &doc)
		if err != nil {
			return nil, nil, nil, err
		}
		if err := w.get(ctx, node, sessionPath(space, id), &after); err != nil {
			return nil, nil, nil, err
		}
		if after.Version == doc.Version {
			return &doc, messages, texts, nil
		}
	}
	return nil, nil, nil, errMoving
}

const pageSize = 1000

func (w *web) messages(ctx context.Context, node, space, id string) ([]session.Message, error) {
	var all []session.Message
	q := url.Values{"limit": {fmt.Sprint(pageSize)}}
	for {
		var page struct {
			Messages []session.Message `json:"messages"`
			Next     string            `json:"next"`
		}
		if err := w.get(ctx, node, sessionPath(space, id)+"/messages?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		if page.Next == "" {
			return all, nil
		}
		q.Set("after", page.Next)
	}
}

// changes reads all changes of a space or session, by its path, since the
// beginning.
func (w *web) changes(ctx context.Context, node, path string, onBegin func()) ([]session.Change, error) {
	var all []session.Change
	q := url.Values{"limit": {fmt.Sprint(pageSize)}}
	for {
		var page struct {
			Changes []session.Change `json:"changes"`
			Next    string           `json:"next"`
		}
		ask := question{method: http.MethodGet, path: path + "/changes?" + q.Encode(), onBegin: onBegin}
		onBegin = nil
		if err := w.read(ctx, node, ask, &page); err != nil {
			return nil, err
		}
		if len(page.Changes) == 0 {
			return all, nil
		}
		all = append(all, page.Changes...)
		q.Set("since", page.Next)
	}
}
