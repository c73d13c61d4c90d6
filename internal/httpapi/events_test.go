package httpapi_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-sync/causeway/session"
)

// event is a Server-Sent Event.
type event struct{ id, name, data string }

// feed is an open stream of events.
type feed struct {
	t    testing.TB
	res  *http.Response
	in   *bufio.Reader
	stop context.CancelFunc
}

func (p *pipes) events(t testing.TB, path string, headers ...string) *feed {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	req, err := http.NewRequestWithContext(ctx, "GET", "http://node"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := p.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	in := io.Reader(res.Body)
	if res.Header.Get("Content-Encoding") == "gzip" {
		if in, err = gzip.NewReader(res.Body); err != nil {
			t.Fatal(err)
		}
	}
	return &feed{t: t, res: res, in: bufio.NewReader(in), stop: stop}
}

// next gives the next event; one without a name is a comment.
func (f *feed) next() (event, error) {
	var e event
	for {
		line, err := f.in.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "":
			return e, nil
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		}
	}
}

// until reads changes up to a caught_up.
func (f *feed) until() (ops []string, at event) {
	f.t.Helper()
	for {
		e, err := f.next()
		if err != nil {
			f.t.Fatal(err)
		}
		switch e.name {
		case "change":
			var c session.Change
			if err := json.Unmarshal([]byte(e.data), &c); err != nil || c.Version != e.id {
				f.t.Fatalf("event %+v: %v; its id must be the version", e, err)
			}
			ops = append(ops, c.Dot)
		case "caught_up":
			return ops, e
		default:
			f.t.Fatalf("got %+v", e)
		}
	}
}

// TestEvents: the stream of events has the changes of the list, under tokens
// with which any rung goes on.
func TestEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		for _, c := range []struct{ path, id string }{{at("s-1", "events"), "s-1"}, {"/v1/spaces/default/events", ""}} {
			e := p.events(t, c.path, "Accept", "text/event-stream")
			if got := e.res.Header.Get("Content-Type"); got != "text/event-stream" || e.res.StatusCode != 200 {
				t.Errorf("events = %d %s", e.res.StatusCode, got)
			}
			want, next := listed(t, f.svc, c.id, "")
			ops, at := e.until()
			if !slices.Equal(ops, want) || at.id != next {
				t.Errorf("%s: got %v up to %+v, want %v up to %s", c.path, ops, at, want, next)
			}
		}
		e := p.events(t, at("s-1", "events?since=AA"), "Last-Event-ID", lastOf(t, f, "s-1"))
		if ops, _ := e.until(); len(ops) != 0 {
			t.Errorf("behind Last-Event-ID came %v", ops)
		}
		f.must(t, "POST", at("s-1", "messages"), hello)
		got, err := e.next()
		if err != nil || got.name != "change" || got.id != lastOf(t, f, "s-1") {
			t.Errorf("got %+v, %v; want the change", got, err)
		}
		f.must(t, "DELETE", at("s-1", ""), "")
		if got, err = e.next(); err != nil || got.name != "problem" || !strings.Contains(got.data, "session_erased") {
			t.Errorf("got %+v, %v; want that the session was erased", got, err)
		}
		if _, err = e.next(); err != io.EOF {
			t.Errorf("after the problem came %v, want the end", err)
		}
	})
}

func lastOf(t *testing.T, f *fixture, id string) string {
	_, next := listed(t, f.svc, id, "")
	return next
}

// TestEventsBeat: a quiet stream is kept open by comments, for long.
func TestEventsBeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		e := serve(t, f.svc).events(t, at("s-1", "events"))
		e.until()
		begun := time.Now()
		for range 30 {
			if got, err := e.next(); err != nil || got != (event{}) {
				t.Fatalf("got %+v, %v; want a comment", got, err)
			}
		}
		if took := time.Since(begun); took != 10*time.Minute {
			t.Errorf("30 comments in %v, want one each 20s", took)
		}
	})
}

// TestEventsWait: a session that is not here yet is waited for as long as the
// client says.
func TestEventsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		begun := time.Now()
		e := p.events(t, at("never", "events?wait=10s"))
		if took := time.Since(begun); e.res.StatusCode != 404 || took != 10*time.Second {
			t.Errorf("events of a session that does not come = %d after %v", e.res.StatusCode, took)
		}
		go func() {
			time.Sleep(5 * time.Second)
			f.must(t, "POST", sessionsURL, `{"id":"late"}`)
		}()
		e = p.events(t, at("late", "events?wait=10s"))
		if ops, _ := e.until(); len(ops) != 1 {
			t.Errorf("got %v, want the opening", ops)
		}
	})
}

// TestEventsCompressed: each event comes at once although the stream is compressed.
func TestEventsCompressed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		e := serve(t, f.svc).events(t, at("s-1", "events"), "Accept-Encoding", "gzip")
		if got := e.res.Header.Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("Content-Encoding is %q", got)
		}
		e.until()
		for i := range 3 {
			f.must(t, "POST", at("s-1", "messages"), fmt.Sprintf(`{"role":"user","content":"%d"}`, i))
			if got, err := e.next(); err != nil || !strings.Contains(got.data, fmt.Sprintf(`"content":"%d"`, i)) {
				t.Errorf("got %+v, %v; want message %d", got, err, i)
			}
		}
	})
}

// TestEventsStall: a client that does not read is let go, and costs no goroutine.
func TestEventsStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		e := serve(t, f.svc).events(t, at("s-1", "events"))
		e.until()
		for range 200 {
			f.must(t, "POST", at("s-1", "messages"), `{"role":"user","content":"`+strings.Repeat("x", 2000)+`"}`)
		}
		time.Sleep(time.Minute)
		for {
			got, err := e.next()
			if err != nil {
				break
			}
			if got.name == "change" && got.id == lastOf(t, f, "s-1") {
				t.Fatal("the client was waited for")
			}
		}
	})
}
