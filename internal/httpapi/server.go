package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
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
	Log *slog.Logger // nil discards
}

// NewServer returns a server for svc with limits against slow and oversized
// requests. It has no address: call Serve with a listener.
func NewServer(svc Service, o Options) *http.Server {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           Handler(svc, log),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Handler returns the API of svc.
func Handler(svc Service, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	a := &api{svc: svc, log: log, mux: http.NewServeMux()}
	a.gate, _ = svc.(Admitter)
	a.mount()
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, log, problem("cross_origin", "the request comes from a page of %.80q", r.Header.Get("Origin")))
	}))
	return guard.Handler(a.mux)
}

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
