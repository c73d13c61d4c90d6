package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/wsraw"
	"github.com/causeway-sync/causeway/vclock"
)

// change is what followers read of a change.
type change struct {
	Type, Session, Version string
	Op                     vclockDot
	Message                *struct {
		ID      string
		Version string
		Content json.RawMessage
	}
}

// vclockDot is a dot in JSON.
type vclockDot struct{ vclock.Dot }

func (d *vclockDot) UnmarshalText(text []byte) (err error) {
	d.Dot, err = vclock.ParseDot(string(text))
	return err
}

// follower follows a session, or a space, over any rung and at any node, with
// nothing but its last token.
type follower struct {
	space, session string
	token          string
	seen           map[vclock.Dot]bool
	of             map[string]vclock.Vector // by session: what was seen of it
	stays          map[string]int           // by rung
}

func newFollower(session string) *follower {
	return &follower{space: "default", session: session, seen: map[vclock.Dot]bool{},
		of: map[string]vclock.Vector{}, stays: map[string]int{}}
}

// take notes a change: none twice, and none before what its author had seen.
func (f *follower) take(c *change) error {
	if f.seen[c.Op.Dot] {
		return fmt.Errorf("%v came twice", c.Op)
	}
	if c.Message != nil && c.Type == "message" {
		at, err := vclock.Parse(c.Message.Version)
		if err != nil {
			return err
		}
		if before := f.of[c.Session].With(c.Op.Dot); !before.Includes(at) {
			return fmt.Errorf("%v came before what it depends on: seen %v, version %v", c.Op, before, at)
		}
	}
	f.seen[c.Op.Dot] = true
	f.of[c.Session] = f.of[c.Session].With(c.Op.Dot)
	f.token = c.Version
	return nil
}

func (f *follower) path(call string) string {
	p := "/v1/spaces/" + f.space
	if f.session != "" {
		p += "/sessions/" + f.session
	}
	return p + "/" + call + "?since=" + url.QueryEscape(f.token)
}

// stay is how long a follower stays at a node: until it has had changes, or
// nothing has come for the time of its patience, or it has caught up.
type stay struct {
	changes  int
	patience time.Duration
	toEnd    bool      // to the first caught_up; patience then bounds the silence before it
	until    time.Time // or until then, if that is set
}

// left is how long to wait for the next change.
func (s stay) left() time.Duration {
	if s.until.IsZero() {
		return s.patience
	}
	return max(min(s.patience, time.Until(s.until)), time.Millisecond)
}

func (s stay) over() bool { return !s.until.IsZero() && time.Now().After(s.until) }

// errSilent says that nothing came in time.
var errSilent = errors.New("nothing came")

// rung is a way to follow.
type rung struct {
	name string
	stay func(f *follower, node string, s stay) error
}

func rungs() []rung {
	return []rung{{"poll", (*follower).poll}, {"long-poll", (*follower).longPoll}, {"events", (*follower).events},
		{"websocket", (*follower).socket}}
}

func (f *follower) poll(node string, s stay) error     { return f.pages(node, s, false) }
func (f *follower) longPoll(node string, s stay) error { return f.pages(node, s, true) }

func (f *follower) pages(node string, s stay, long bool) error {
	for got := 0; got < s.changes && !s.over(); {
		wait := "0s"
		if long && !s.toEnd {
			wait = s.left().String()
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.patience+startTimeout)
		req, err := http.NewRequestWithContext(ctx, "GET", node+f.path("changes")+"&limit=7&wait="+wait, nil)
		if err != nil {
			cancel()
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			cancel()
			return err
		}
		var page struct {
			Changes []change
			Next    string
			Behind  bool
		}
		err = json.NewDecoder(res.Body).Decode(&page)
		err = errors.Join(err, res.Body.Close())
		cancel()
		if err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("changes: %s: %w", res.Status, err)
		}
		for i := range page.Changes {
			if err := f.take(&page.Changes[i]); err != nil {
				return err
			}
		}
		if got += len(page.Changes); page.Next != f.token && f.token != "" {
			return fmt.Errorf("next is %s, want %s", page.Next, f.token)
		}
		if len(page.Changes) == 0 {
			if page.Behind {
				return errSilent
			}
			return nil
		}
	}
	return nil
}

// events reads Server-Sent Events.
func (f *follower) events(node string, s stay) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", node+f.path("events"), nil)
	if err != nil {
		return err
	}
	silence := time.AfterFunc(s.left(), cancel)
	defer silence.Stop()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return silent(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("events: %s", res.Status)
	}
	in := bufio.NewReader(res.Body)
	for got := 0; got < s.changes && !s.over(); {
		name, data, err := nextEvent(in)
		if err != nil {
			return silent(ctx, err)
		}
		silence.Reset(s.left())
		switch name {
		case "change":
			var c change
			if err := json.Unmarshal([]byte(data), &c); err != nil {
				return err
			}
			if err := f.take(&c); err != nil {
				return err
			}
			got++
		case "caught_up":
			if s.toEnd {
				return nil
			}
		default:
			return fmt.Errorf("event %s: %s", name, data)
		}
	}
	return nil
}

func silent(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errSilent
	}
	return err
}

func nextEvent(in *bufio.Reader) (name, data string, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case field == "event":
			name = value
		case field == "data":
			data = value
		case field == "" && name != "":
			return name, data, nil
		}
	}
}

// streamText is a message of a WebSocket.
type streamText struct {
	Type, Ref, Session, Version string
	Status                      int
	Behind, Replayed            bool
	Change                      change
	Body, Problem, Signal       json.RawMessage
}

// socket reads a WebSocket.
func (f *follower) socket(node string, s stay) error {
	c, err := wsraw.Dial(node, "/v1/stream", wsraw.Options{Deflate: len(f.seen)%2 == 0})
	if err != nil {
		return err
	}
	defer c.Conn.Close()
	subscribe := fmt.Sprintf(`{"type":"subscribe","space":%q,"since":%q}`, f.space, f.token)
	if f.session != "" {
		subscribe = fmt.Sprintf(`{"type":"subscribe","space":%q,"session":%q,"since":%q}`, f.space, f.session, f.token)
	}
	if err := c.Send(subscribe); err != nil {
		return err
	}
	for got := 0; got < s.changes && !s.over(); {
		m, err := nextText(c, s.left())
		if err != nil {
			return err
		}
		switch m.Type {
		case "change":
			if err := f.take(&m.Change); err != nil {
				return err
			}
			got++
		case "caught_up":
			if s.toEnd && !m.Behind {
				return nil
			}
		case "ack":
		default:
			return fmt.Errorf("got %+v: %s", m, m.Problem)
		}
	}
	return nil
}

// nextText reads a message within the time.
func nextText(c *wsraw.Client, patience time.Duration) (m streamText, err error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return m, err
	}
	text, err := c.NextText()
	switch nerr := net.Error(nil); {
	case errors.As(err, &nerr) && nerr.Timeout():
		return m, errSilent
	case err != nil:
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// gone reports whether an error only says that the node is not there.
func gone(err error) bool {
	var end *wsraw.CloseError
	op := (*net.OpError)(nil)
	return errors.Is(err, errSilent) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &op) || errors.As(err, &end) && end.Code == 1001
}

// all reads every change of a node's list.
func allChanges(t testing.TB, node, session string) *follower {
	t.Helper()
	f := newFollower(session)
	if err := f.poll(node, stay{changes: 1 << 30, patience: startTimeout}); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFollowAnywhere has two clients, one of a session and one of a space,
// change node and rung all the time while three nodes write to it and links
// flap: each gets every change once, after what it depends on.
func TestFollowAnywhere(t *testing.T) {
	t.Parallel()
	next := func(hops int, rng *rand.Rand) (stay, bool) {
		return stay{changes: 1 + rng.IntN(40), patience: 200 * time.Millisecond}, hops < 40
	}
	followAnywhere(t, 11, next)
}

// followAnywhere is TestFollowAnywhere with other stays.
func followAnywhere(t *testing.T, seed uint64, next func(hops int, rng *rand.Rand) (stay, bool)) {
	c := newCluster(t, 2)
	call(t, "POST", c.sites[0].url+sessions, map[string]any{"id": "s"}, 201, nil)
	c.converge("default", c.urls()...)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 3)
	for i, u := range c.urls() {
		go func() { done <- chatter(ctx, u, fmt.Sprintf("w%d", i), rand.New(rand.NewPCG(seed, uint64(i)))) }()
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	one, all := newFollower("s"), newFollower("")
	for hops := 0; ; hops++ {
		s, more := next(hops, rng)
		if !more {
			break
		}
		site := c.sites[rng.IntN(2)]
		site.cut(rng.IntN(2) == 0)
		for _, f := range []*follower{one, all} {
			r := rungs()[rng.IntN(4)]
			f.stays[r.name]++
			node := c.urls()[rng.IntN(3)]
			err := r.stay(f, node, s)
			if err != nil && !errors.Is(err, errSilent) {
				t.Fatalf("hop %d, %s at %s: %v", hops, r.name, node, err)
			}
		}
	}
	stop()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, s := range c.sites {
		s.cut(true)
	}
	c.converge("default", c.urls()...)
	for _, f := range []*follower{one, all} {
		finish(t, f, c.urls(), rng)
	}
}

// finish lets a follower read to the end at some node, and compares what it
// got with what every node lists.
func finish(t *testing.T, f *follower, urls []string, rng *rand.Rand) {
	t.Helper()
	r := rungs()[rng.IntN(4)]
	if err := r.stay(f, urls[rng.IntN(len(urls))], stay{changes: 1 << 30, patience: startTimeout, toEnd: true}); err != nil {
		t.Fatalf("to the end over %s: %v", r.name, err)
	}
	for _, u := range urls {
		want := allChanges(t, u, f.session)
		for dot := range want.seen {
			if !f.seen[dot] {
				t.Errorf("session %q: %v was lost", f.session, dot)
			}
		}
		if len(f.seen) != len(want.seen) || f.token != want.token {
			t.Errorf("session %q: %d changes came up to %s; %s has %d up to %s", f.session,
				len(f.seen), f.token, u, len(want.seen), want.token)
		}
	}
	t.Logf("session %q: %d changes, stays %v", f.session, len(f.seen), f.stays)
}

// chatter writes to the shared session and to sessions of its own until ctx
// ends.
func chatter(ctx context.Context, node, name string, rng *rand.Rand) error {
	post := func(path, body string) error {
		req, err := http.NewRequest("POST", node+sessions+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			text, err := io.ReadAll(res.Body)
			return fmt.Errorf("POST %s at %s: %s %s: %w", path, node, res.Status, text, err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	for n := 0; ctx.Err() == nil; n++ {
		own := fmt.Sprintf("%s-%d", name, n/20)
		if n%20 == 0 {
			if err := post("", fmt.Sprintf(`{"id":%q}`, own)); err != nil {
				return err
			}
		}
		for _, id := range []string{"s", own} {
			if err := post("/"+id+"/messages", fmt.Sprintf(`{"role":"user","content":"%s %d"}`, name, n)); err != nil {
				return err
			}
		}
		<-time.After(time.Duration(rng.Int64N(int64(20 * time.Millisecond)))) // the pace of a person
	}
	return nil
}
