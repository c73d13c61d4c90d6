package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/lifecycle"
)

const (
	drainTimeout = 5 * time.Second        // for requests under way after a stop
	writeGrace   = 500 * time.Millisecond // before waiting requests are told to return
)

// ListenError says that an address cannot be listened on.
type ListenError struct {
	What, Addr string
	Err        error
}

func (e *ListenError) Error() string {
	if errors.Is(e.Err, syscall.EADDRINUSE) {
		return fmt.Sprintf("%s: %s is in use by another program; choose another address or end that program", e.What, e.Addr)
	}
	return fmt.Sprintf("%s: listen on %s: %v", e.What, e.Addr, e.Err)
}

// Unwrap gives the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Listen opens a TCP listener; what names it in the error.
func Listen(ctx context.Context, what, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, &ListenError{What: what, Addr: addr, Err: err}
	}
	return l, nil
}

// ServeAPI answers requests on l and looks after the clients that stay
// connected, until ctx ends. Then it tells these that the node goes away.
func ServeAPI(ctx context.Context, srv *httpapi.Server, l net.Listener) error {
	return lifecycle.Run(ctx,
		lifecycle.Part{Name: "http", Run: func(ctx context.Context) error { return Serve(ctx, srv.HTTP, l) }},
		lifecycle.Part{Name: "clients", Run: srv.Clients.Run})
}

// Serve answers requests on l until ctx ends, then lets those under way finish.
// The context of requests ends a moment after ctx, so that writes are answered
// and long polls return.
func Serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv.BaseContext = func(net.Listener) context.Context { return base }
	done := make(chan error, 1) // closed by nobody; takes the one result of Serve
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace := time.AfterFunc(writeGrace, stop)
	defer grace.Stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := srv.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
