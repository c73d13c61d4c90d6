package httpapi

import (
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/session"
)

const (
	spacePath   = "/v1/spaces/{space}"
	sessionPath = spacePath + "/sessions/{session}"
)

// route is one call: how it is served and how it is described.
type route struct {
	method, path string
	name         string // operation id
	summary      string
	query        []string // of queryParams
	body         any      // a value of the type of the request body; nil for none
	answer       any      // a value of the type of the good answer; nil for none
	status       int
	write        bool // takes the headers of a write
	plain        bool // answers something else than JSON
	serve        func(http.ResponseWriter, *http.Request) error
}

func (a *api) routes() []route {
	get, post, patch, del := http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	var (
		doc     documentAnswer
		msg     messageAnswer
		changes = []string{"since", "limit", "wait"}
	)
	return []route{
		{method: post, path: spacePath + "/sessions", name: "open-session", summary: "Open a session",
			body: openSchema{}, answer: doc, status: 201, write: true, serve: a.openSession},
		{method: get, path: spacePath + "/sessions", name: "list-sessions", summary: "List sessions, newest activity first",
			query: []string{"state", "label", "limit", "after"}, answer: sessionsPage{}, status: 200, serve: a.listSessions},
		{method: get, path: sessionPath, name: "get-session", summary: "Show a session; the entity tag is its version",
			answer: session.Document{}, status: 200, serve: a.getSession},
		{method: del, path: sessionPath, name: "erase-session", summary: "Erase a session for good",
			answer: eraseAnswer{}, status: 200, write: true, serve: a.eraseSession},
		{method: post, path: sessionPath + "/transitions", name: "move-session", summary: "Move a session to another state",
			body: moveSchema{}, answer: doc, status: 200, write: true, serve: a.moveSession},
		{method: patch, path: sessionPath + "/context", name: "patch-context",
			summary: "Change the context by a merge patch (RFC 7396)",
			body:    map[string]any{}, answer: doc, status: 200, write: true, serve: a.patchContext},
		{method: post, path: sessionPath + "/context/ops", name: "adjust-context",
			summary: "Add to counters, insert into and remove from sets",
			body:    adjustSchema{}, answer: doc, status: 200, write: true, serve: a.adjustContext},
		{method: post, path: sessionPath + "/messages", name: "append-messages",
			summary: `Append a message, or all or none of {"messages":[…]}`,
			body:    messageSchema{}, answer: msg, status: 201, write: true, serve: a.appendMessages},
		{method: get, path: sessionPath + "/messages", name: "list-messages", summary: "List messages in the session's order",
			query:  []string{"limit", "before", "after", "tail", "view", "repair", "last", "tokens", "explain"},
			answer: messagesPage{}, status: 200, serve: a.listMessages},
		{method: patch, path: sessionPath + "/messages/{id}", name: "edit-message", summary: "Replace a message's content",
			body: editSchema{}, answer: msg, status: 200, write: true, serve: a.editMessage},
		{method: del, path: sessionPath + "/messages/{id}", name: "redact-message",
			summary: "Take a message's content away for good",
			answer:  msg, status: 200, write: true, serve: a.redactMessage},
		{method: get, path: sessionPath + "/texts/{name}", name: "get-text", summary: "Show a text and the version of its session",
			answer: session.Text{}, status: 200, serve: a.getText},
		{method: post, path: sessionPath + "/texts/{name}/edits", name: "edit-text", summary: "Edit a text as it was at a version",
			body: textEditsSchema{}, answer: textAnswer{}, status: 200, write: true, serve: a.editText},
		{method: get, path: sessionPath + "/tools/{call}", name: "get-tool",
			summary: "Show who carries out a tool call, or its result",
			answer:  session.Tool{}, status: 200, serve: a.getTool},
		{method: post, path: sessionPath + "/tools/{call}/claim", name: "claim-tool",
			summary: "Claim a tool call before its side effect",
			body:    claimSchema{}, answer: toolAnswer{}, status: 201, write: true, serve: a.claimTool},
		{method: post, path: sessionPath + "/tools/{call}/complete", name: "complete-tool",
			summary: "Store the result of a claimed tool call",
			body:    completeSchema{}, answer: toolAnswer{}, status: 200, write: true, serve: a.completeTool},
		{method: post, path: sessionPath + "/signals", name: "say-signal",
			summary: "Say something to those who follow the session now; it is not kept",
			body:    signalSchema{}, answer: signalAnswer{}, status: 202, serve: a.saySignal},
		{method: get, path: sessionPath + "/changes", name: "list-session-changes",
			summary: "List what a version does not cover, or wait for it",
			query:   changes, answer: changesPage{}, status: 200, serve: a.listChanges},
		{method: get, path: spacePath + "/changes", name: "list-space-changes",
			summary: "List what a version of the space does not cover, or wait for it",
			query:   changes, answer: changesPage{}, status: 200, serve: a.listChanges},
		{method: get, path: sessionPath + "/events", name: "follow-session",
			summary: "Follow a session as Server-Sent Events; the id of an event is a version",
			query:   []string{"since", "wait", "signals"}, status: 200, plain: true, serve: a.events},
		{method: get, path: spacePath + "/events", name: "follow-space",
			summary: "Follow a space as Server-Sent Events; the id of an event is a version",
			query:   []string{"since", "wait"}, status: 200, plain: true, serve: a.events},
		{method: get, path: "/v1/stream", name: "stream", summary: "Become a WebSocket: follow, write, signal; see docs/API.md",
			status: 101, plain: true, serve: a.openStream},
		{method: get, path: sessionPath + "/digest", name: "digest-session", summary: "Hash a session's state",
			answer: Digest{}, status: 200, serve: a.digest},
		{method: get, path: spacePath + "/digest", name: "digest-space", summary: "Hash the state of a whole space",
			answer: Digest{}, status: 200, serve: a.digest},
		{method: get, path: "/v1/spaces", name: "list-spaces", summary: "List the spaces that this node carries",
			answer: spacesPage{}, status: 200, serve: a.spaces},
		{method: get, path: "/v1/status", name: "status", summary: "Show the node's state",
			answer: Status{}, status: 200, serve: a.status},
		{method: get, path: "/v1/cluster", name: "cluster", summary: "Show the cluster as this node sees it",
			answer: clusterAnswer{}, status: 200, serve: a.cluster},
		{method: get, path: "/v1/clock", name: "clock", summary: "Show the node's clock",
			answer: ClockStatus{}, status: 200, serve: a.clock},
		{method: get, path: "/healthz", name: "health", summary: "Answer while the process serves",
			answer: healthAnswer{}, status: 200, plain: true, serve: a.health},
		{method: get, path: "/readyz", name: "ready", summary: "Answer 200 when the node takes writes",
			answer: healthAnswer{}, status: 200, plain: true, serve: a.ready},
		{method: get, path: "/metrics", name: "metrics", summary: "Counters in the Prometheus text format",
			status: 200, plain: true, serve: a.serveMetrics},
		{method: get, path: "/openapi.json", name: "openapi", summary: "This description (OpenAPI 3.1)",
			status: 200, plain: true, serve: a.serveOpenAPI},
		{method: get, path: "/docs", name: "docs", summary: "This description, for people",
			status: 200, plain: true, serve: a.serveDocs},
	}
}

// mount puts the routes on the mux and describes them.
func (a *api) mount() {
	routes := a.routes()
	a.describe = sync.OnceValue(func() description { return describe(routes) })
	for _, rt := range routes {
		a.mux.HandleFunc(rt.method+" "+rt.path, a.serving(rt, a.metrics.route(rt.method, rt.path)))
	}
	count := a.metrics.route("", "")
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		p := asProblem(a.unrouted(r))
		writeProblem(w, r, a.log, p)
		count.done(p.Status, time.Since(begun))
	})
}

// serving wraps a route's handler: Accept, errors, counters.
func (a *api) serving(rt route, count *routeMetrics) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begun, status := time.Now(), rt.status
		err := error(nil)
		if !rt.plain {
			err = checkAccept(r)
		}
		if err == nil && rt.write {
			var leave func()
			if r, leave, err = a.admit(w, r); leave != nil {
				defer leave()
			}
		}
		if err == nil {
			err = rt.serve(w, r)
		}
		if err != nil {
			status = asProblem(err).Status
			writeProblem(w, r, a.log, err)
		}
		count.done(status, time.Since(begun))
	}
}

// unrouted says why no route took the request.
func (a *api) unrouted(r *http.Request) error {
	var allowed []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		probe := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := a.mux.Handler(probe); pattern != "/" && pattern != "" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) == 0 {
		return problem("not_found", "there is nothing at %.200q", r.URL.Path)
	}
	p := problem("method_not_allowed", "%.40q; allowed are %s", r.Method, strings.Join(allowed, ", "))
	p.allow = strings.Join(allowed, ", ")
	return p
}

// The types below only describe bodies; body.go reads them.
type (
	openSchema struct {
		ID      string            `json:"id,omitempty" doc:"made up if absent; from the idempotency key if there is one"`
		Order   string            `json:"order,omitempty" enum:"turns,chat"`
		TTL     string            `json:"ttl,omitempty" doc:"idle time after which the session expires, like 30m"`
		Context map[string]any    `json:"context,omitempty"`
		Labels  map[string]string `json:"labels,omitempty"`
	}
	moveSchema struct {
		To string `json:"to" enum:"active,paused,ended,reopened"`
	}
	messageSchema struct {
		ID         string  `json:"id,omitempty"`
		Role       string  `json:"role" doc:"at most 64 bytes"`
		Content    any     `json:"content" doc:"any JSON; may be absent beside tool_calls"`
		Name       string  `json:"name,omitempty"`
		ToolCalls  any     `json:"tool_calls,omitempty" doc:"any JSON"`
		ToolCallID string  `json:"tool_call_id,omitempty"`
		Parent     *string `json:"parent,omitempty" doc:"message id; empty for the root; absent: the last message"`
		Metadata   any     `json:"metadata,omitempty" doc:"any JSON"`
	}
	batchSchema struct {
		Messages []messageSchema `json:"messages" minItems:"1" maxItems:"256"`
	}
	editSchema struct {
		Content  any `json:"content" doc:"any JSON"`
		Metadata any `json:"metadata,omitempty" doc:"any JSON; absent: stays as it is"`
	}
	adjustmentSchema struct {
		Op    string `json:"op" enum:"add,insert,remove"`
		Path  string `json:"path" doc:"JSON pointer"`
		By    int64  `json:"by,omitempty" doc:"with add"`
		Value any    `json:"value,omitempty" doc:"with insert and remove: any JSON"`
	}
	adjustSchema struct {
		Ops []adjustmentSchema `json:"ops" minItems:"1" maxItems:"1024"`
	}
)

// schemaNames are the names under components/schemas.
var schemaNames = map[reflect.Type]string{
	reflect.TypeFor[openSchema]():       "NewSession",
	reflect.TypeFor[moveSchema]():       "Move",
	reflect.TypeFor[messageSchema]():    "NewMessage",
	reflect.TypeFor[batchSchema]():      "NewMessages",
	reflect.TypeFor[editSchema]():       "Edit",
	reflect.TypeFor[adjustmentSchema](): "ContextOp",
	reflect.TypeFor[adjustSchema]():     "ContextOps",
	reflect.TypeFor[documentAnswer]():   "SessionAnswer",
	reflect.TypeFor[session.Document](): "Session",
	reflect.TypeFor[messageAnswer]():    "MessageAnswer",
	reflect.TypeFor[batchAnswer]():      "MessagesAnswer",
	reflect.TypeFor[eraseAnswer]():      "Erased",
	reflect.TypeFor[textEditSchema]():   "NewTextEdit",
	reflect.TypeFor[text.Edit]():        "TextEdit",
	reflect.TypeFor[textEditsSchema]():  "TextEdits",
	reflect.TypeFor[textAnswer]():       "TextAnswer",
	reflect.TypeFor[signalSchema]():     "Signal",
	reflect.TypeFor[signalAnswer]():     "SignalAnswer",
	reflect.TypeFor[session.Text]():     "Text",
	reflect.TypeFor[claimSchema]():      "NewToolClaim",
	reflect.TypeFor[completeSchema]():   "ToolOutcome",
	reflect.TypeFor[toolAnswer]():       "ToolAnswer",
	reflect.TypeFor[session.Tool]():     "Tool",
	reflect.TypeFor[sessionsPage]():     "SessionsPage",
	reflect.TypeFor[messagesPage]():     "MessagesPage",
	reflect.TypeFor[changesPage]():      "ChangesPage",
	reflect.TypeFor[spacesPage]():       "Spaces",
	reflect.TypeFor[clusterAnswer]():    "Cluster",
	reflect.TypeFor[healthAnswer]():     "Health",
}
