package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/edge"
	"github.com/causeway-sync/causeway/internal/store"
)

// flips is how many places of an edge's files are damaged; CAUSEWAY_FLIPS
// says otherwise.
func flips(t *testing.T) int {
	n := 15
	if s := os.Getenv("CAUSEWAY_FLIPS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("CAUSEWAY_FLIPS: %v", err)
		}
	}
	return n
}

// One byte of an edge's files is flipped while it is down. What is served
// afterwards is right or an error that names the record; an edge that cannot
// open names the file; the core's copy mends the rest (F3, F4, F5, I17).
func TestFlippedByteIsNeverServed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	s := c.sites[0]
	want := fill(t, s.url)
	c.converge("default", c.urls()...)
	random := rand.New(rand.NewPCG(7, 11))
	outcome := make(map[string]int)
	for round := range flips(t) {
		s.run.end(t)
		file, at, mask := pick(t, s.dir, random)
		flip(t, file, at, mask)
		e, err := edge.Open(context.Background(), s.cfg, "test", logOf(t))
		if err != nil {
			damage, ok := errors.AsType[*store.DamageError](err)
			if !ok || damage.File == "" {
				t.Fatalf("round %d, byte %d of %s: open failed with %v, want a DamageError that names the file", round, at, file, err)
			}
			outcome["refused to open"]++
			flip(t, file, at, mask)
			c.startSite(s)
			continue
		}
		s.url = "http://" + e.Addr()
		s.run = start(e.Run)
		outcome[check(t, s.url, want, file, at)]++
		c.mend(s, want, file, at)
	}
	t.Logf("outcomes: %v", outcome)
}

// fill writes sessions of different shapes and returns what they hold.
func fill(t *testing.T, node string) map[string][]string {
	want := make(map[string][]string)
	for i := range 12 {
		id := fmt.Sprintf("s%d", i)
		call(t, "POST", node+sessions, map[string]any{"id": id}, 201, nil)
		for j := range 20 {
			text := fmt.Sprintf("%s message %d %s", id, j, strings.Repeat("pad ", j*20))
			say(t, node, id, "user", text)
			want[id] = append(want[id], text)
		}
		call(t, "PATCH", node+sessions+"/"+id+"/context", map[string]any{"i": i, "name": id}, 200, nil)
	}
	return want
}

// pick chooses a place in a file of Badger, weighted by what is really stored.
func pick(t *testing.T, dir string, random *rand.Rand) (file string, at int64, mask byte) {
	t.Helper()
	type place struct {
		file string
		at   int64
	}
	var places []place
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		used := len(strings.TrimRight(string(b), "\x00"))
		if used == 0 {
			return nil
		}
		for range 4 {
			places = append(places, place{path, random.Int64N(int64(used))})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p := places[random.IntN(len(places))]
	return p.file, p.at, byte(1 << random.IntN(8))
}

func flip(t *testing.T, file string, at int64, mask byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= mask
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// check reads everything once: right, or an error that names the record.
func check(t *testing.T, node string, want map[string][]string, file string, at int64) string {
	t.Helper()
	worst := "all right"
	for id, texts := range want {
		got, problem := read(t, node, id)
		switch {
		case problem != "":
			if !strings.Contains(problem, "record_damaged") && !lossReported(t, node) {
				t.Errorf("byte %d of %s: session %s answers %s, want record_damaged or a reported loss", at, file, id, problem)
			}
			worst = "error named the record"
		case len(got) < len(texts) && lossReported(t, node):
			worst = "loss reported"
		default:
			if fmt.Sprint(got) != fmt.Sprint(texts) {
				t.Errorf("byte %d of %s: session %s reads %d messages that differ from the %d written", at, file, id, len(got), len(texts))
			}
		}
	}
	return worst
}

// lossReported tells whether the node says that its store lost commits.
func lossReported(t *testing.T, node string) bool {
	t.Helper()
	var st struct{ Degraded []struct{ Name string } }
	call(t, "GET", node+"/v1/status", nil, 200, &st)
	for _, d := range st.Degraded {
		if d.Name == "store_lost_commits" {
			return true
		}
	}
	return false
}

// read gives the texts of a session, or the problem that was answered.
func read(t *testing.T, node, id string) (texts []string, problem string) {
	t.Helper()
	res, err := http.Get(node + sessions + "/" + id + "/messages?limit=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 {
		return nil, string(b)
	}
	var page struct{ Messages []message }
	if err := json.Unmarshal(b, &page); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	for _, m := range page.Messages {
		var s string
		if err := json.Unmarshal(m.Content, &s); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, s)
	}
	return texts, ""
}

// mend waits until everything reads right again: what is damaged is repaired
// when it is read, what was lost comes back from the core.
func (c *cluster) mend(s *site, want map[string][]string, file string, at int64) {
	c.t.Helper()
	t := c.t.(*testing.T)
	deadline := time.Now().Add(startTimeout)
	for id, texts := range want {
		for {
			got, problem := read(t, s.url, id)
			if problem == "" && fmt.Sprint(got) == fmt.Sprint(texts) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("byte %d of %s: session %s is not mended within %v: %d of %d messages, %s",
					at, file, id, startTimeout, len(got), len(texts), problem)
			}
			call(t, "GET", s.url+"/v1/spaces/default/changes?wait=100ms&limit=1&since="+c.version(s.url), nil, 200, nil)
		}
	}
	c.converge("default", c.urls()...)
}

func (c *cluster) version(node string) string {
	var st struct {
		Spaces []struct{ Space, Version string }
	}
	call(c.t, "GET", node+"/v1/status", nil, 200, &st)
	for _, s := range st.Spaces {
		if s.Space == "default" {
			return s.Version
		}
	}
	return ""
}

// The same for the only core node: what it reads wrong it fetches from an edge.
func TestFlippedByteAtTheCore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	want := fill(t, c.sites[0].url)
	c.converge("default", c.urls()...)
	random := rand.New(rand.NewPCG(3, 5))
	outcome := make(map[string]int)
	for round := range flips(t) / 2 {
		c.core.end(t)
		file, at, mask := pick(t, filepath.Join(c.coreCfg.Data, "store"), random)
		flip(t, file, at, mask)
		n, err := core.Open(context.Background(), c.coreCfg, "test", logOf(t))
		if err != nil {
			damage, ok := errors.AsType[*store.DamageError](err)
			if !ok || damage.File == "" {
				t.Fatalf("round %d, byte %d of %s: open failed with %v, want a DamageError that names the file", round, at, file, err)
			}
			outcome["refused to open"]++
			flip(t, file, at, mask)
			c.startCore()
			continue
		}
		c.core = start(n.Run)
		outcome[check(t, c.coreURL, want, file, at)]++
		c.mend(&site{url: c.coreURL}, want, file, at)
	}
	t.Logf("outcomes: %v", outcome)
}
