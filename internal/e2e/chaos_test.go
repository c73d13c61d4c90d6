package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	writersPerRun  = 16
	requestTimeout = 10 * time.Second // of one try; the writer then tries again
	sharedSession  = "shared"
	// maxThinking is the longest pause of a writer between two messages. It keeps
	// the load below what two processors carry for six processes.
	maxThinking = 100 * time.Millisecond
)

// tally counts what was acknowledged, and wakes who waits for more.
type tally struct {
	mu      sync.Mutex // guards what follows
	counts  map[string]int
	changed chan struct{} // closed and replaced when a count grows
}

func newTally() *tally { return &tally{counts: map[string]int{}, changed: make(chan struct{})} }

func (c *tally) add(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range names {
		c.counts[n]++
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits until the named count has grown by n.
func (c *tally) await(t testing.TB, name string, n int) {
	t.Helper()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	from := -1
	for {
		c.mu.Lock()
		now, changed := c.counts[name], c.changed
		c.mu.Unlock()
		if from < 0 {
			from = now
		}
		if now >= from+n {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("%d of %d further acknowledgements of kind %q within %v", now-from, n, name, startTimeout)
		}
	}
}

func (c *tally) total(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

// saidMessage is a message that a node acknowledged.
type saidMessage struct{ session, id, content string }

// writer posts one message after the other, each until it is acknowledged.
type writer struct {
	name   string
	node   *process
	level  string // of durability that it asks for
	rng    *rand.Rand
	client *http.Client
	tally  *tally
	said   []saidMessage // read when the writer has ended
	err    error         // what no retry can mend
}

// chaos is a set of writers at work.
type chaos struct {
	t       testing.TB
	writers []*writer
	tally   *tally
	stop    context.CancelFunc
	running sync.WaitGroup
}

// startChaos sets sixteen writers to work at the given nodes, in turns; every
// fourth of them asks for the quorum of the core. The shared session must be
// open at all of the nodes.
func startChaos(t testing.TB, seed uint64, nodes ...*process) *chaos {
	ctx, stop := context.WithCancel(context.Background())
	c := &chaos{t: t, tally: newTally(), stop: stop}
	for i := range writersPerRun {
		w := &writer{
			name: fmt.Sprintf("w%d", i), node: nodes[i%len(nodes)], level: "local", tally: c.tally,
			rng:    rand.New(rand.NewPCG(seed, uint64(i))),
			client: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1}},
		}
		if i/len(nodes)%4 == 0 {
			w.level = "core"
		}
		c.writers = append(c.writers, w)
		c.running.Go(func() { w.run(ctx) })
	}
	t.Cleanup(c.abandon)
	return c
}

// abandon stops the writers of a test that failed.
func (c *chaos) abandon() {
	c.stop()
	for _, w := range c.writers {
		w.client.CloseIdleConnections()
	}
}

// finish lets each writer bring its present message to an end. All nodes must
// run, or the writers would try for ever.
func (c *chaos) finish() {
	c.t.Helper()
	c.stop()
	ended := make(chan struct{})
	go func() { c.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(startTimeout):
		c.t.Fatalf("writers did not finish within %v", startTimeout)
	}
	for _, w := range c.writers {
		if w.err != nil {
			c.t.Errorf("writer %s: %v", w.name, w.err)
		}
	}
}

func (w *writer) run(ctx context.Context) {
	if w.err = w.open(); w.err != nil {
		return
	}
	for n := 0; ctx.Err() == nil && w.err == nil; n++ {
		session := w.name
		if n%2 == 1 {
			session = sharedSession
		}
		w.err = w.say(session, fmt.Sprintf("%s/%06d", w.name, n))
		<-time.After(time.Duration(w.rng.Int64N(int64(maxThinking))))
	}
}

func (w *writer) open() error {
	_, err := w.post(sessions, map[string]any{"id": w.name}, "open-"+w.name)
	return err
}

func (w *writer) say(session, text string) error {
	body, err := w.post(sessions+"/"+session+"/messages", map[string]any{"role": "user", "content": text}, text)
	if err != nil {
		return err
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("answer to %s: %w", text, err)
	}
	w.said = append(w.said, saidMessage{session, m.ID, string(m.Content)})
	w.tally.add("all", w.node.cfg.Role, w.node.cfg.Node, "durability "+m.Durability)
	return nil
}

// post sends a request until it is acknowledged. Only an answer that says that
// the request itself is wrong is an error.
func (w *writer) post(path string, body any, key string) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	for {
		status, answer, err := w.try(path, text, key)
		switch {
		case err == nil && (status == http.StatusCreated || status == http.StatusAccepted):
			return answer, nil
		case err == nil && status < 500 && status != http.StatusTooManyRequests:
			return nil, fmt.Errorf("POST %s with key %s: %d %s", path, key, status, answer)
		}
		w.tally.add("retry")
		<-time.After(time.Millisecond + rand.N(50*time.Millisecond)) // the jitter of a client
	}
}

func (w *writer) try(path string, body []byte, key string) (int, []byte, error) {
	req, err := http.NewRequest("POST", w.node.url()+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Causeway-Durability", w.level)
	res, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// said gives what was acknowledged, by session.
func (c *chaos) said() map[string][]saidMessage {
	all := map[string][]saidMessage{}
	for _, w := range c.writers {
		for _, m := range w.said {
			all[m.session] = append(all[m.session], m)
		}
	}
	return all
}

// check compares what each node shows with what was acknowledged: every
// message once and with its content, nothing else, each writer's in its order.
func (c *chaos) check(urls ...string) {
	c.t.Helper()
	for session, said := range c.said() {
		for _, u := range urls {
			checkSession(c.t, u, session, said)
		}
	}
}

func checkSession(t testing.TB, node, session string, said []saidMessage) {
	t.Helper()
	want := make(map[string]string, len(said))
	for _, m := range said {
		if want[m.id] != "" {
			t.Errorf("session %s: two acknowledged messages have the id %s", session, m.id)
		}
		want[m.id] = m.content
	}
	last := map[string]string{} // by writer
	seen := map[string]bool{}
	for _, m := range messages(t, node, "default", session) {
		text := string(m.Content)
		switch {
		case seen[m.ID]:
			t.Errorf("%s, session %s: message %s %s is there twice", node, session, m.ID, text)
		case want[m.ID] == "":
			t.Errorf("%s, session %s: nobody was told of message %s %s", node, session, m.ID, text)
		case want[m.ID] != text:
			t.Errorf("%s, session %s: message %s is %s, was acknowledged as %s", node, session, m.ID, text, want[m.ID])
		}
		seen[m.ID] = true
		author, _, _ := strings.Cut(text, "/")
		if text <= last[author] {
			t.Errorf("%s, session %s: %s comes after %s", node, session, text, last[author])
		}
		last[author] = text
	}
	var lost []string
	for id, text := range want {
		if !seen[id] {
			lost = append(lost, id+" "+text)
		}
	}
	slices.Sort(lost)
	if len(lost) > 0 {
		t.Errorf("%s, session %s: %d of %d acknowledged messages are lost: %.1000v",
			node, session, len(lost), len(want), lost)
	}
}
