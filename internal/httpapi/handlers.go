package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/lxzan/gws"

	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/session"
)

// api serves one Service.
type api struct {
	svc      Service
	log      *slog.Logger
	mux      *http.ServeMux
	gate     Admitter // nil: every write is admitted
	guard    *http.CrossOriginProtection
	metrics  metrics
	describe func() description   // made when first asked for
	hub      *push.Hub            // of clients that stay connected
	upgrader func() *gws.Upgrader // made when first asked for
}

// write runs a call that changes a session: body, command, service.
func (a *api) write(w http.ResponseWriter, r *http.Request, read func([]byte) (session.Action, error)) (Answer, error) {
	body, err := readBody(w, r)
	if err != nil {
		return Answer{}, err
	}
	cmd, level, err := command(r, body)
	if err != nil {
		return Answer{}, err
	}
	if cmd.Do, err = read(body); err != nil {
		return Answer{}, err
	}
	return a.svc.Write(r.Context(), cmd, level)
}

func (a *api) openSession(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	cmd, level, err := command(r, body)
	if err != nil {
		return err
	}
	o, err := readOpen(body)
	if err != nil {
		return err
	}
	cmd.Do = o.Open
	if cmd.Session = o.ID; cmd.Session == "" {
		cmd.Session = sessionID(cmd.Space, cmd.Key)
	}
	ans, err := a.svc.Write(r.Context(), cmd, level)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/spaces/"+cmd.Space+"/sessions/"+cmd.Session)
	return replyDocument(w, &ans, http.StatusCreated)
}

func (a *api) moveSession(w http.ResponseWriter, r *http.Request) error {
	ans, err := a.write(w, r, func(b []byte) (session.Action, error) { return readMove(b) })
	if err != nil {
		return err
	}
	return replyDocument(w, &ans, http.StatusOK)
}

func (a *api) patchContext(w http.ResponseWriter, r *http.Request) error {
	ans, err := a.write(w, r, func(b []byte) (session.Action, error) { return readPatch(b) })
	if err != nil {
		return err
	}
	return replyDocument(w, &ans, http.StatusOK)
}

func (a *api) adjustContext(w http.ResponseWriter, r *http.Request) error {
	ans, err := a.write(w, r, func(b []byte) (session.Action, error) { return readAdjust(b) })
	if err != nil {
		return err
	}
	return replyDocument(w, &ans, http.StatusOK)
}

func (a *api) eraseSession(w http.ResponseWriter, r *http.Request) error {
	ans, err := a.write(w, r, func([]byte) (session.Action, error) { return session.EraseSession{}, nil })
	if err != nil {
		return err
	}
	version, status := writeStatus(w, &ans, http.StatusOK)
	return reply(w, status, &eraseAnswer{
		r.PathValue("session"), true, version, ans.Durability, ans.Degraded, ans.Fallback})
}

func (a *api) appendMessages(w http.ResponseWriter, r *http.Request) error {
	batch := false
	ans, err := a.write(w, r, func(b []byte) (session.Action, error) {
		add, many, err := readAppend(b)
		batch = many
		return add, err
	})
	if err != nil {
		return err
	}
	for i := range ans.Messages {
		a.hub.Final(r.PathValue("space"), r.PathValue("session"), ans.Messages[i].ID)
	}
	if batch {
		return replyBatch(w, &ans)
	}
	return replyMessage(w, &ans, http.StatusCreated)
}

func (a *api) editMessage(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	ans, err := a.write(w, r, func(b []byte) (session.Action, error) {
		if err := checkName(id, "id"); err != nil {
			return nil, err
		}
		return readEdit(b, id)
	})
	if err != nil {
		return err
	}
	return replyMessage(w, &ans, http.StatusOK)
}

func (a *api) redactMessage(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	ans, err := a.write(w, r, func([]byte) (session.Action, error) {
		return session.RedactMessage{ID: id}, checkName(id, "id")
	})
	if err != nil {
		return err
	}
	return replyMessage(w, &ans, http.StatusOK)
}

func (a *api) getSession(w http.ResponseWriter, r *http.Request) error {
	space, id, err := target(r)
	if err != nil {
		return err
	}
	doc, err := a.svc.Session(r.Context(), space, id)
	if err != nil {
		return err
	}
	tag := etag(doc.Version)
	w.Header()["Etag"] = []string{tag}
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return reply(w, http.StatusOK, &doc)
}

func (a *api) listSessions(w http.ResponseWriter, r *http.Request) error {
	space, _, err := target(r)
	if err != nil {
		return err
	}
	q := newQuery(r)
	lq := ListQuery{
		State: q.oneOf("state", "", "initialized", "active", "paused", "ended"),
		Label: q.str("label"), Limit: q.limit(), After: q.str("after"),
	}
	if k, _, ok := strings.Cut(lq.Label, "="); lq.Label != "" && (!ok || k == "") {
		q.fail("label", "key=value")
	}
	if q.err != nil {
		return q.err
	}
	docs, next, err := a.svc.Sessions(r.Context(), space, lq)
	if err != nil {
		return badPage(err)
	}
	return reply(w, http.StatusOK, &sessionsPage{list(docs), next})
}

// badPage tells a page token that the service refused from a bad body.
func badPage(err error) error {
	if errors.Is(err, session.ErrInvalid) {
		return problem("bad_query", "%v", err)
	}
	return err
}

func (a *api) listMessages(w http.ResponseWriter, r *http.Request) error {
	space, id, err := target(r)
	if err != nil {
		return err
	}
	q := newQuery(r)
	mq := MessageQuery{
		Limit: q.limit(), After: q.str("after"), Before: q.str("before"),
		Tail:    q.oneOf("tail", "false", "true") == "true",
		Explain: q.oneOf("explain", "false", "true") == "true",
	}
	q.view(&mq)
	switch {
	case mq.After != "" && mq.Before != "":
		q.fail("before", "either before or after")
	case mq.After != "" && mq.Tail:
		q.fail("tail", "no tail beside after")
	}
	for _, name := range []string{"after", "before"} {
		if v := q.values.Get(name); v != "" && checkName(v, name) != nil {
			q.fail(name, "a message id")
		}
	}
	if q.err != nil {
		return q.err
	}
	msgs, next, err := a.svc.Messages(r.Context(), space, id, mq)
	if err != nil {
		return badPage(err)
	}
	page := messagesPage{Messages: list(msgs), Next: next}
	if mq.Model {
		for i := range msgs {
			page.Tokens += msgs[i].EstimateTokens()
		}
	}
	return reply(w, http.StatusOK, &page)
}

func (a *api) listChanges(w http.ResponseWriter, r *http.Request) error {
	space, id, err := target(r)
	if err != nil {
		return err
	}
	q := newQuery(r)
	since, limit, wait := q.since(), q.limit(), q.wait()
	if q.err != nil {
		return q.err
	}
	if wait > 0 {
		if err := extendDeadlines(w, wait); err != nil {
			return err
		}
	}
	changes, next, err := a.svc.Changes(r.Context(), space, id, since, limit, wait)
	if err != nil {
		return err
	}
	whole, err := a.svc.Covers(space, id, since)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, &changesPage{list(changes), next.String(), !whole})
}

func (a *api) digest(w http.ResponseWriter, r *http.Request) error {
	space, id, err := target(r)
	if err != nil {
		return err
	}
	d, err := a.svc.Digest(r.Context(), space, id)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, &d)
}

func (a *api) spaces(w http.ResponseWriter, r *http.Request) error {
	names, err := a.svc.Spaces(r.Context())
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, &spacesPage{list(names)})
}

func (a *api) status(w http.ResponseWriter, r *http.Request) error {
	s, err := a.svc.Status(r.Context())
	if err != nil {
		return err
	}
	s.Clock.History = nil // that is for /v1/clock
	return reply(w, http.StatusOK, &s)
}

func (a *api) cluster(w http.ResponseWriter, r *http.Request) error {
	s, err := a.svc.Status(r.Context())
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, &clusterAnswer{s.Cluster, s.Node, s.Role, s.Link, s.Core})
}

func (a *api) clock(w http.ResponseWriter, r *http.Request) error {
	s, err := a.svc.Status(r.Context())
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, &s.Clock)
}

func (a *api) health(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, &healthAnswer{"ok"})
}

func (a *api) ready(w http.ResponseWriter, r *http.Request) error {
	if err := a.svc.Ready(r.Context()); err != nil {
		return problem("not_ready", "%v", err)
	}
	return reply(w, http.StatusOK, &healthAnswer{"ready"})
}
