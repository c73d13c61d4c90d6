package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/protocol/live"
)

// events follows a session or a space as Server-Sent Events.
func (a *api) events(w http.ResponseWriter, r *http.Request) error {
	space, id, err := target(r)
	if err != nil {
		return err
	}
	q := newQuery(r)
	since, wait := q.since(), q.wait()
	if last := r.Header.Get("Last-Event-Id"); last != "" && q.err == nil { // of a client that comes back
		since, q.err = version(last, "Last-Event-ID")
	}
	if q.err != nil {
		return q.err
	}
	rung := make(chan struct{}, 1)
	ring := func() {
		select {
		case rung <- struct{}{}:
		default:
		}
	}
	e := &eventStream{api: a, w: w, r: r, rung: rung, times: a.hub.Times()}
	var note func(*push.Note)
	if q.oneOf("signals", "true", "false") == "true" {
		note = func(n *push.Note) { e.box.Put(n); ring() }
	}
	if q.err != nil {
		return q.err
	}
	e.sub, err = a.hub.Subscribe(space, id, since, wait > 0, ring, note)
	if err != nil {
		return overloaded(err)
	}
	defer e.sub.Close()
	if wait > 0 {
		patience := time.AfterFunc(wait, func() { e.sub.Impatient(); ring() })
		defer patience.Stop()
	}
	return e.run()
}

// eventStream is one client's stream of events.
type eventStream struct {
	api   *api
	w     http.ResponseWriter
	r     *http.Request
	sub   *push.Sub
	rung  <-chan struct{} // has a value when there may be something; closed by nobody
	times live.Times
	box   push.Mailbox

	out    io.Writer // nil before the headers are written
	buffer []byte
}

// run sends events until the client or the node goes away. An error before
// the first event is an answer by itself.
func (e *eventStream) run() error {
	beat := time.NewTicker(e.times.Heartbeat)
	defer beat.Stop()
	for {
		batch, err := e.sub.Next()
		switch {
		case err != nil && e.out == nil:
			return err
		case err != nil:
			e.buffer = push.AppendProblemEvent(e.buffer, encode(asProblem(err)))
			_ = e.flush() // the client may have gone
			return nil
		}
		for _, n := range e.box.Take(e.sub.Again) { // before the message that ends a stream
			e.buffer = push.AppendSignalEvent(e.buffer, n)
		}
		e.buffer = push.AppendEvents(e.buffer, &batch)
		if len(e.buffer) > 0 {
			if e.flush() != nil {
				return nil // the client has gone, or is too slow: it comes back with its last id
			}
			continue
		}
		select {
		case <-e.rung:
		case <-beat.C:
			e.buffer = append(e.buffer, ":\n\n"...)
			if e.flush() != nil {
				return nil
			}
		case <-e.r.Context().Done():
			return nil
		}
	}
}

// begin writes the headers.
func (e *eventStream) begin() {
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // for proxies that collect
	h.Set("X-Content-Type-Options", "nosniff")
	e.out = e.w
	if strings.Contains(e.r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		zip, err := gzip.NewWriterLevel(e.w, gzip.StatelessCompression)
		if err != nil {
			panic("httpapi: want a compressor, have " + err.Error())
		}
		e.out = zip
	}
	e.w.WriteHeader(http.StatusOK)
}

// flush sends what was collected; it fails if the client does not take it in time.
func (e *eventStream) flush() error {
	if e.out == nil {
		e.begin()
	}
	control := http.NewResponseController(e.w)
	err := control.SetWriteDeadline(time.Now().Add(e.times.Stall))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err = e.out.Write(e.buffer)
	if e.buffer = e.buffer[:0]; cap(e.buffer) > push.WriteBytes {
		e.buffer = nil
	}
	return errors.Join(err, control.Flush())
}
