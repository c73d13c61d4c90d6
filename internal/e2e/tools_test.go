package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/session/sessiontest"
)

// tool is what a node says of a tool call.
type tool struct {
	Key, Status, Fallback string
	Degraded              bool
	Claim                 struct{ ID, By, Decided string }
	Result                json.RawMessage
	Others                []struct{ ID, By string }
}

// try posts something that may be refused, with a code, or find nobody: then
// the status is 0.
func try(t testing.TB, url string, body any, into any, headers ...string) (status int, code string) {
	t.Helper()
	return do(t, "POST", url, body, into, headers...)
}

// do is try of any method.
func do(t testing.TB, method, url string, body any, into any, headers ...string) (status int, code string) {
	t.Helper()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			t.Error(err)
			return 0, ""
		}
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(b))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	var problem struct{ Code string }
	if res.StatusCode >= 400 {
		into = &problem
	}
	if err != nil || into != nil && json.Unmarshal(answer, into) != nil {
		return 0, ""
	}
	return res.StatusCode, problem.Code
}

func toolURL(node, session, call, verb string) string {
	return node + sessions + "/" + session + "/tools/" + call + "/" + verb
}

// openCalls puts a message with calls c0 … into a session.
func openCalls(t testing.TB, node, session string, n int) {
	t.Helper()
	var calls []map[string]any
	for i := range n {
		calls = append(calls, map[string]any{"id": fmt.Sprintf("c%d", i), "name": "pay", "arguments": map[string]any{"n": i}})
	}
	call(t, "POST", node+sessions, map[string]any{"id": session}, 201, nil)
	call(t, "POST", node+sessions+"/"+session+"/messages", map[string]any{"messages": []map[string]any{
		{"role": "user", "content": "pay"}, {"role": "assistant", "content": "", "tool_calls": calls}}}, 201, nil)
}

// strictEverywhere reads a session as a model would at all nodes.
func strictEverywhere(t testing.TB, session string, urls ...string) {
	t.Helper()
	for _, u := range urls {
		var page struct {
			Messages json.RawMessage
			Tokens   int
		}
		call(t, "GET", u+sessions+"/"+session+"/messages?view=model&last=1000", nil, 200, &page)
		if err := sessiontest.Strict(page.Messages); err != nil || page.Tokens == 0 {
			t.Errorf("session %s at %s: %v\n%s", session, u, err, page.Messages)
		}
	}
}

// Executors at two edges and the core claim each of forty calls at the same
// moment: one gets it, by the core's word, and all others hear of him. When the
// link of one edge is cut, it decides by itself and says so, and after the cut
// both claims are shown.
func TestToolCallIsClaimedOnce(t *testing.T) {
	t.Parallel()
	const calls = 40
	c := newCluster(t, 2)
	openCalls(t, c.coreURL, "s", calls+2)
	c.converge("default", c.urls()...)
	for i := range calls {
		name := fmt.Sprintf("c%d", i)
		answers := make([]tool, len(c.urls()))
		status, codes := make([]int, len(answers)), make([]string, len(answers))
		var race sync.WaitGroup
		for j, u := range c.urls() {
			race.Go(func() {
				status[j], codes[j] = try(t, toolURL(u, "s", name, "claim"), map[string]any{"by": fmt.Sprintf("agent-%d", j)}, &answers[j])
			})
		}
		race.Wait()
		winner := slices.Index(status, 201)
		if winner < 0 {
			t.Fatalf("call %s: answers %v, %+v, want one 201", name, status, answers)
		}
		for j, s := range status {
			if j != winner && (s != 409 || codes[j] != "tool_claimed") {
				t.Fatalf("call %s: answers %v %q, want 409 but for one", name, status, codes)
			}
		}
		won := answers[winner]
		if won.Claim.Decided != "core" || won.Degraded {
			t.Errorf("call %s was won by %+v, want it decided by the core", name, won)
		}
		if i == 0 {
			call(t, "POST", toolURL(c.urls()[winner], "s", name, "complete"),
				map[string]any{"claim": won.Claim.ID, "result": map[string]any{"paid": true}}, 200, nil)
		}
	}
	c.converge("default", c.urls()...)
	for _, u := range c.urls() {
		var done tool
		call(t, "POST", toolURL(u, "s", "c0", "claim"), map[string]any{"by": "late"}, 200, &done)
		if done.Status != "done" || string(done.Result) != `{"paid":true}` {
			t.Errorf("a late executor at %s is told %+v", u, done)
		}
	}

	far := c.sites[1]
	far.cut(false)
	var here, there tool
	call(t, "POST", toolURL(c.sites[0].url, "s", "c40", "claim"), map[string]any{"by": "a"}, 201, &here)
	call(t, "POST", toolURL(far.url, "s", "c40", "claim"), map[string]any{"by": "b"}, 202, &there)
	if there.Claim.Decided != "local" || there.Fallback == "" || !there.Degraded {
		t.Errorf("behind the cut: %+v", there)
	}
	call(t, "POST", toolURL(far.url, "s", "c41", "claim"), map[string]any{"by": "b", "fallback": false}, 503, nil)
	far.cut(true)
	c.converge("default", c.urls()...)
	for _, u := range c.urls() {
		var both tool
		call(t, "GET", u+sessions+"/s/tools/c40", nil, 200, &both)
		if both.Claim.By != "a" || len(both.Others) != 1 || both.Others[0].By != "b" {
			t.Errorf("after the cut %s shows %+v, want both claims", u, both)
		}
		var doc struct{ Conflicts []struct{ Kind string } }
		call(t, "GET", u+sessions+"/s", nil, 200, &doc)
		if len(doc.Conflicts) != 1 || doc.Conflicts[0].Kind != "tool" {
			t.Errorf("conflicts at %s: %+v, want that of the tool call", u, doc.Conflicts)
		}
	}
	strictEverywhere(t, "s", c.urls()...)
}

// worker is an executor: what it has carried out survives it, what it was about
// to do does not.
type worker struct {
	t     testing.TB
	name  string
	urls  []string
	rng   *rand.Rand
	steps func()              // is called before each step: nodes may die there
	done  map[string]bool     // its own record of side effects
	world map[string][]string // by call: who carried it out
	mu    *sync.Mutex         // guards world
}

// carryOut claims a call, does what it asks for and stores the outcome, again
// from the beginning wherever nobody answers.
func (w *worker) carryOut(session, name string) {
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		node := w.urls[w.rng.IntN(len(w.urls))]
		w.steps()
		var got tool
		status, code := try(w.t, toolURL(node, session, name, "claim"), map[string]any{"by": w.name, "fallback": false}, &got)
		switch {
		case status == 409 && code == "tool_claimed", status == 200 && got.Status == "done":
			return
		case status != 200 && status != 201:
			continue // it died, or cannot ask
		}
		w.steps()
		if !w.done[name] {
			w.done[name] = true
			w.mu.Lock()
			w.world[name] = append(w.world[name], w.name)
			w.mu.Unlock()
		}
		w.steps()
		status, _ = try(w.t, toolURL(node, session, name, "complete"), map[string]any{"claim": got.Claim.ID, "result": w.name}, nil)
		if status != 200 {
			continue
		}
		w.steps()
		status, _ = try(w.t, node+sessions+"/"+session+"/messages", map[string]any{
			"role": "tool", "tool_call_id": name, "content": w.name}, nil, "Idempotency-Key", "result-"+name)
		if status == 201 || status == 409 {
			return
		}
	}
	w.t.Errorf("%s did not get through with %s", w.name, name)
}

// Three executors carry out calls at two edges and a core node while edges are
// killed between claim, side effect and complete. No call is carried out twice,
// none is left out, and every history is one that a model takes.
func TestKilledBetweenClaimAndComplete(t *testing.T) {
	kills, _ := killCounts(t, 6)
	calls := max(4, kills/4)
	f := newFleet(t, 1, 2)
	openCalls(t, f.edges[0].url(), "s", min(calls, 200))
	f.converge()
	rng := rand.New(rand.NewPCG(7, 7))
	world := map[string][]string{}
	var mu sync.Mutex
	killed := 0
	for i := range min(calls, 200) {
		name := fmt.Sprintf("c%d", i)
		var all sync.WaitGroup
		strike := make(chan struct{})
		for j := range 3 {
			seed := rng.Uint64()
			all.Go(func() {
				w := worker{t: t, name: fmt.Sprintf("agent-%d", j), urls: []string{f.edges[0].url(), f.edges[1].url(), f.cores[0].url()},
					rng: rand.New(rand.NewPCG(seed, 1)), done: map[string]bool{}, world: world, mu: &mu}
				w.steps = func() {
					if w.rng.IntN(3) == 0 {
						select {
						case strike <- struct{}{}:
						case <-time.After(time.Second):
						}
					}
				}
				w.carryOut("s", name)
			})
		}
		ended := make(chan struct{})
		go func() { all.Wait(); close(ended) }()
		for open := true; open; {
			select {
			case <-ended:
				open = false
			case <-strike:
				if killed < kills*(i+1)/calls {
					e := f.edges[rng.IntN(len(f.edges))]
					e.kill()
					e.start()
					killed++
				}
			}
		}
	}
	f.converge()
	for i := range min(calls, 200) {
		name := fmt.Sprintf("c%d", i)
		if who := world[name]; len(who) != 1 {
			t.Errorf("call %s was carried out by %v, want one", name, who)
		}
		for _, u := range f.urls() {
			var got tool
			call(t, "GET", u+sessions+"/s/tools/"+name, nil, 200, &got)
			if got.Status != "done" {
				t.Errorf("call %s at %s: %+v", name, u, got)
			}
		}
	}
	strictEverywhere(t, "s", f.urls()...)
	t.Logf("%d edges killed, %d calls", killed, len(world))
}
