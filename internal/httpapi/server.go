package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/protocol/live"
)

// Limits of the HTTP side. Those of sessions and messages are in package session.
const (
	MaxBodyBytes   = 2 << 20 // of one request: a full batch and its JSON around it
	MaxHeaderBytes = 32 << 10
	MaxPage        = 1000 // items in one page; more is treated as this many
	DefaultPage    = 100
	MaxWait        = 5 * time.Minute // of a long poll; more is treated as this long

	headerTimeout = 5 * time.Second  // a client that dribbles its headers is cut off
	bodyTimeout   = 30 * time.Second // whole request
	answerTimeout = 60 * time.Second // from the end of the headers to the end of the answer
	idleTimeout   = 2 * time.Minute
)

// Options shape a server.
type Options struct {
	Log   *slog.Logger // nil discards
	Times live.Times   // of clients that stay connected; zero: [live.DefaultTimes]
}

// Server serves the API. Both of its parts run together: HTTP serves, and
// Clients looks after those who stay connected.
type Server struct {
	HTTP    *http.Server
	Clients *push.Hub
}

// NewServer returns a server for svc with limits against slow and oversized
// requests. It has no address: call Serve of its HTTP part with a listener.
func NewServer(svc Service, o Options) *Server {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	a := newAPI(svc, log, o.Times)
	return &Server{Clients: a.hub, HTTP: &http.Server{
		Handler:           a.guarded(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Handler returns the API of svc. Nobody looks after its clients that stay
// connected: they get no heartbeats. See [NewServer].
func Handler(svc Service, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return newAPI(svc, log, live.Times{}).guarded()
}

func newAPI(svc Service, log *slog.Logger, times live.Times) *api {
	a := &api{
		svc: svc, log: log, mux: http.NewServeMux(), guard: http.NewCrossOriginProtection(),
		hub: push.NewHub(svc, push.Options{Times: times, Log: log}),
	}
	a.gate, _ = svc.(Admitter)
	a.upgrader = sync.OnceValue(a.sockets)
	a.mount()
	a.guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, log, problem("cross_origin", "the request comes from a page of %.80q", r.Header.Get("Origin")))
	}))
	return a
}

// guarded refuses writes from pages of other sites.
func (a *api) guarded() http.Handler { return a.guard.Handler(a.mux) }

// extendDeadlines lets a long poll outlive the server's timeouts. A test
// recorder has no deadlines to extend.
func extendDeadlines(w http.ResponseWriter, wait time.Duration) error {
	rc := http.NewResponseController(w)
	until := time.Now().Add(wait + answerTimeout)
	for _, set := range []func(time.Time) error{rc.SetReadDeadline, rc.SetWriteDeadline} {
		if err := set(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
}
