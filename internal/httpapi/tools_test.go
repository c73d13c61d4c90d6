package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestToolCalls(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var got struct {
		Key, Status, Version, Durability string
		Claim                            struct{ ID, By string }
		Result                           json.RawMessage
		Degraded                         bool
	}
	ask := func(method, rest, body string, want int, headers ...string) http.Header {
		t.Helper()
		w := f.do(request(method, at("s-1", rest), body, headers...))
		if w.Code != want {
			t.Fatalf("%s %s = %d %s, want %d", method, rest, w.Code, w.Body, want)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return w.Header()
	}
	ask("GET", "tools/c%2F9", "", 200)
	if got.Status != "open" || got.Key != "c/9" {
		t.Errorf("before: %+v", got)
	}
	h := ask("POST", "tools/c%2F9/claim", `{}`, 201, "Causeway-Actor", "agent 1")
	if got.Status != "claimed" || got.Claim.By != "agent 1" || got.Version == "" || h.Get("Causeway-Version") != got.Version {
		t.Errorf("claim: %+v", got)
	}
	claim := got.Claim.ID
	ask("POST", "tools/c%2F9/claim", `{"by":"agent 1"}`, 200)
	if got.Claim.ID != claim {
		t.Errorf("again: %+v", got)
	}
	w := f.do(request("POST", at("s-1", "tools/c%2F9/claim"), `{"by":"agent 2"}`))
	if w.Code != 409 || !strings.Contains(w.Body.String(), `"by":"agent 1"`) || !strings.Contains(w.Body.String(), `"tool":{"key"`) {
		t.Errorf("second executor: %d %s", w.Code, w.Body)
	}
	ask("POST", "tools/c%2F9/complete", `{"claim":"`+claim+`","result":{"n":1.0}}`, 200)
	if got.Status != "done" || string(got.Result) != `{"n":1.0}` {
		t.Errorf("complete: %+v", got)
	}
	ask("POST", "tools/-/claim", `{"by":"x","tool":"pay","arguments":{"sum":1}}`, 201)
	f.svc.NoCore = true
	ask("POST", "tools/-/claim", `{"by":"x","tool":"send"}`, 202, "Causeway-Durability", "core")
	if !got.Degraded || got.Durability != "local" {
		t.Errorf("without a core: %+v", got)
	}
}
