package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTextReplay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := `{"kind":"concurrent","endContent":"a😀b","txns":[
		{"parents":[],"agent":0,"patches":[[0,0,"xb"]]},
		{"parents":[0],"agent":0,"patches":[[0,1,"a"]]},
		{"parents":[0],"agent":1,"patches":[[1,0,"😀"]]}]}`
	sequential := `{"startContent":"","endContent":"hi","txns":[{"patches":[[0,0,"hey"],[1,2,"i"]]}]}`
	// The digests are those that sha256sum gives.
	for _, c := range []struct {
		in   string
		want replayed
	}{
		{good, replayed{OK: true, Kind: "concurrent", Events: 5, Chars: 3,
			SHA256: "6fba5b2ea783ded096fc2444d540ffbdf49168df30993b155b7efb683313f110"}},
		{sequential, replayed{OK: true, Kind: "sequential", Events: 6, Chars: 2,
			SHA256: "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"}},
	} {
		var got replayed
		if err := json.Unmarshal([]byte(ok(t, "text", "replay", file("good.json", c.in))), &got); err != nil {
			t.Fatal(err)
		}
		if got.Bytes == 0 || got.DecodeMS < 0 || got.MergeMS < 0 {
			t.Errorf("text replay: %+v", got)
		}
		got.Bytes, got.DecodeMS, got.MergeMS = 0, 0, 0
		if got != c.want {
			t.Errorf("text replay = %+v, want %+v", got, c.want)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"text"}, 2, "replay"},
		{[]string{"text", "dance"}, 2, `no command "dance"`},
		{[]string{"text", "replay"}, 2, "argument is missing"},
		{[]string{"text", "replay", "a", "b"}, 2, "unexpected"},
		{[]string{"text", "replay", filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{"text", "replay", file("other.json", strings.Replace(good, `"a😀b"`, `"ab"`, 1))}, 1, "not endContent"},
		{[]string{"text", "replay", file("bad.json", `{"txns":[{"patches":[[9,0,"x"]]}]}`)}, 1, "outside the document"},
		{[]string{"text", "replay", file("broken.json", `{`)}, 1, "read trace"},
	} {
		if code, out, errs := cli(t, "", c.args...); code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("causeway %v: exit %d\n%s%s, want exit %d and %q", c.args, code, out, errs, c.code, c.want)
		}
	}
}

// TestRecordedText replays recorded histories, if they are there.
func TestRecordedText(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("CAUSEWAY_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	name := filepath.Join(dir, "editing-traces", "friendsforever.json.gz")
	if _, err := os.Stat(name); err != nil {
		t.Skipf("no recorded histories in %s; set CAUSEWAY_DATA", dir)
	}
	out := ok(t, "text", "replay", name)
	if !strings.HasPrefix(out, `{"ok":true,"kind":"concurrent","events":26078,"chars":21362,"decode_ms":`) {
		t.Errorf("text replay = %s", out)
	}
}
