package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/session"
)

func textRefusals() []refusal {
	edits := func(body string) func(*fixture) *http.Request { return post("texts/notes/edits", body) }
	many := strings.TrimSuffix(strings.Repeat(`{"pos":0,"ins":"x"},`, session.MaxTextCallEdits+1), ",")
	return []refusal{
		{"text that nobody wrote", 404, "text_not_found", get(at("s-1", "texts/none"))},
		{"text with a blank in its name", 422, "bad_name", get(at("s-1", "texts/a%20b"))},
		{"no edits of a text", 422, "invalid_body", edits(`{"edits":[]}`)},
		{"edit of a text without pos", 422, "invalid_body", edits(`{"edits":[{"ins":"x"}]}`)},
		{"edit of a text by a fraction", 422, "invalid_body", edits(`{"edits":[{"pos":0,"del":0.5}]}`)},
		{"edit of a text that inserts a number", 422, "invalid_body", edits(`{"edits":[{"pos":0,"ins":1}]}`)},
		{"unknown member of an edit of a text", 422, "unknown_field", edits(`{"edits":[{"at":0}]}`)},
		{"half of a surrogate pair", 400, "invalid_utf8", edits(`{"edits":[{"pos":0,"ins":"\ud83d!"}]}`)},
		{"base that is no version", 400, "bad_version", edits(`{"base":"!","edits":[{"pos":0,"ins":"x"}]}`)},
		{"base with a broken seal", 400, "bad_version", edits(`{"base":".AAAA","edits":[{"pos":0,"ins":"x"}]}`)},
		{"1,025 edits of a text", 413, "batch_too_large", edits(`{"edits":[` + many + `]}`)},
		{"edit behind the end of a text", 422, "edit_outside_text", edits(`{"edits":[{"pos":6,"ins":"x"}]}`)},
		{"delete behind the end of a text", 422, "edit_outside_text", edits(`{"edits":[{"pos":1,"del":5}]}`)},
		{"edit at a huge place", 422, "edit_outside_text", edits(`{"edits":[{"pos":4294967296,"del":5}]}`)},
		{"base that the node has not heard of", 409, "base_unknown", failing(session.ErrBaseUnknown)},
		{"base from long ago", 409, "base_too_old",
			failing(&session.LimitError{Err: session.ErrBaseTooOld, What: "changes since base", Got: 1 << 17, Max: 1 << 16})},
		{"text that is full", 413, "text_full", failing(session.ErrTextFull)},
		{"edit of a text of an ended session", 409, "session_ended",
			on("POST", at("ended", "texts/notes/edits"), `{"edits":[{"pos":0,"ins":"x"}]}`)},
	}
}

// TestTexts has two clients edit one text by nothing but what the answers say.
func TestTexts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var seen session.Text
	w := f.do(request("GET", at("s-1", "texts/notes"), ""))
	if err := json.Unmarshal(w.Body.Bytes(), &seen); err != nil || seen.Text != "hello" || seen.Version == "" ||
		w.Header().Get("Etag") != `"`+seen.Version+`"` {
		t.Fatalf("GET = %s, %v, %v", w.Body, w.Header(), err)
	}
	edit := func(edits, key string) (version string, others []text.Edit) {
		t.Helper()
		body := `{"base":"` + seen.Version + `","edits":` + edits + `}`
		w := f.do(request("POST", at("s-1", "texts/notes/edits"), body, "Idempotency-Key", key))
		var a struct {
			Version, Durability string
			Edits               []text.Edit
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || a.Durability != "local" ||
			w.Header().Get("Causeway-Version") != a.Version || a.Edits == nil {
			t.Fatalf("edit %s = %d %s, %v", edits, w.Code, w.Body, err)
		}
		return a.Version, a.Edits
	}
	edit(`[{"pos":5,"ins":" w\u00f6rld \ud83d\ude00"},{"pos":0,"del":1,"ins":"H"}]`, "a")
	for range 2 { // the second is a retry
		_, others := edit(`[{"pos":5,"ins":"!"}]`, "b")
		mine, err := text.Patch("hello!", others...)
		got := f.do(request("GET", at("s-1", "texts/notes"), "")).Body.String()
		if err != nil || !strings.Contains(got, `"`+mine+`"`) {
			t.Errorf("the client's text is %q, %v; the node's is %s", mine, err, got)
		}
	}
}

// TestSealedVersions uses the version of a text where any version goes.
func TestSealedVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	version := f.do(request("GET", at("s-1", ""), "")).Header().Get("Etag")
	sealed := strings.Trim(version, `"`) + ".AAAAAAAA"
	f.must(t, "GET", at("s-1", "changes?since="+sealed), "")
	body := `{"base":"` + sealed + `","edits":[{"pos":0,"ins":"x"}]}`
	if w := f.do(request("POST", at("s-1", "texts/notes/edits"), body, "If-Match", sealed)); w.Code != http.StatusOK {
		t.Errorf("edit with a sealed base and condition = %d %s", w.Code, w.Body)
	}
}

// FuzzTextEdits checks that what the walker reads is what encoding/json reads,
// but for what it refuses.
func FuzzTextEdits(f *testing.F) {
	seeds(f)
	f.Add([]byte(`{"base":"","edits":[{"pos":1,"del":2,"ins":"\ud83d\ude00\ud83d"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		do, err := httpapi.ReadTextEdits(b)
		if err != nil {
			return
		}
		var want struct{ Edits []text.Edit }
		if err := json.Unmarshal(b, &want); err != nil || len(want.Edits) != len(do.Edits) {
			t.Fatalf("read %q as %+v, encoding/json as %+v, %v", b, do, want, err)
		}
		for i, e := range want.Edits {
			if e != do.Edits[i] || strings.ContainsRune(e.Ins, '\uFFFD') && !strings.Contains(string(b), "\uFFFD") &&
				!strings.Contains(strings.ToLower(string(b)), `fffd`) {
				t.Fatalf("read %q as %+v, encoding/json as %+v", b, do, want)
			}
		}
	})
}
