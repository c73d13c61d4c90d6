package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/internal/store"
)

// book keeps what a test was told is stored, to look for it everywhere later.
type book struct {
	t    testing.TB
	said map[string][]saidMessage // by session
	open map[string]bool
	n    int
}

func newBook(t testing.TB) *book {
	return &book{t: t, said: map[string][]saidMessage{}, open: map[string]bool{}}
}

// write says n things at a node, in a session that is opened there first if
// need be; some have a key and some are named by their dot.
func (b *book) write(node, session string, n int) {
	b.t.Helper()
	if !b.open[session] {
		call(b.t, "POST", node+sessions, map[string]any{"id": session}, http.StatusCreated, nil)
		b.open[session] = true
	}
	for range n {
		b.n++
		text := fmt.Sprintf("%s/%06d", session, b.n)
		var headers []string
		if b.n%2 == 0 {
			headers = []string{"Idempotency-Key", text}
		}
		m := say(b.t, node, session, "user", text, headers...)
		b.said[session] = append(b.said[session], saidMessage{session, m.ID, string(m.Content)})
	}
}

// check looks for everything at every node: once, and nothing else.
func (b *book) check(urls ...string) {
	b.t.Helper()
	for session, said := range b.said {
		for _, u := range urls {
			checkSession(b.t, u, session, said)
		}
	}
}

// checkContents is check without names: for messages that were named by their
// dot and got another one.
func (b *book) checkContents(urls ...string) {
	b.t.Helper()
	for session, said := range b.said {
		for _, u := range urls {
			count := map[string]int{}
			for _, m := range messages(b.t, u, "default", session) {
				count[string(m.Content)]++
			}
			for _, m := range said {
				if count[m.content] != 1 {
					b.t.Errorf("%s, session %s: %s is there %d times, want once", u, session, m.content, count[m.content])
				}
				delete(count, m.content)
			}
			if len(count) > 0 {
				b.t.Errorf("%s, session %s: nobody wrote %v", u, session, count)
			}
		}
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func copyTo(t testing.TB, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// A core node that lost its store reads it from the stream again; one that
// lost the stream too is filled by the edges.
func TestWipedCore(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"store", "."} {
		t.Run(strings.ReplaceAll(lost, ".", "all"), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2)
			b := newBook(t)
			b.write(c.sites[0].url, "a", 20)
			b.write(c.sites[1].url, "b", 20)
			b.write(c.coreURL, "c", 20)
			before := c.converge("default", c.urls()...)
			c.core.end(t)
			b.write(c.sites[0].url, "a", 5)
			remove(t, filepath.Join(c.coreCfg.Data, lost))
			c.startCore()
			after := c.converge("default", c.urls()...)
			if before.Digest == after.Digest {
				t.Errorf("digest %s before and after further writes", after.Digest)
			}
			b.write(c.coreURL, "c", 5)
			b.write(c.sites[1].url, "b", 5)
			c.converge("default", c.urls()...)
			b.check(c.urls()...)
		})
	}
}

// One core node of three that lost its store, and another one that lost its
// streams too, get everything back.
func TestWipedCoreOfThree(t *testing.T) {
	f := newFleet(t, 3, 1)
	b := newBook(t)
	b.write(f.edges[0].url(), "a", 20)
	for i, p := range f.cores {
		b.write(p.url(), fmt.Sprintf("c%d", i), 10)
	}
	f.converge()
	for i, lost := range []string{"store", "."} {
		victim := f.cores[2-i]
		victim.kill()
		b.write(f.edges[0].url(), "a", 5)
		remove(t, filepath.Join(victim.cfg.Data, lost))
		victim.start()
		f.converge()
		b.write(victim.url(), fmt.Sprintf("c%d", 2-i), 5)
		b.write(f.edges[0].url(), "a", 5)
		f.converge()
	}
	b.check(f.urls()...)
}

// A core node that lost its store, in a cluster whose streams were deleted too,
// gets everything back from its peers, when no edge is there any more to send
// it again. What it wrote itself under its former origin is among it.
func TestWipedCoreWithoutStreams(t *testing.T) {
	f := newFleet(t, 3, 1)
	b := newBook(t)
	b.write(f.edges[0].url(), "a", 20)
	for i, p := range f.cores {
		b.write(p.url(), fmt.Sprintf("c%d", i), 10)
	}
	f.converge()
	f.edges[0].kill()
	f.edges = nil
	victim := f.cores[2]
	for _, p := range f.cores {
		p.kill()
		remove(t, filepath.Join(p.cfg.Data, "streams"))
	}
	remove(t, filepath.Join(victim.cfg.Data, "store"))
	for _, p := range f.cores {
		p.start()
	}
	f.converge()
	b.check(f.urls()...)
	b.write(victim.url(), "c2", 5)
	f.converge()
	b.check(f.urls()...)
}

// An edge that lost everything gets it back from the core, and writes on.
func TestWipedEdge(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	b := newBook(t)
	b.write(c.sites[0].url, "a", 30)
	b.write(c.sites[1].url, "b", 30)
	c.converge("default", c.urls()...)
	origin := statusOf(t, c.sites[0].url).Origin
	c.sites[0].run.end(t)
	remove(t, c.sites[0].dir)
	c.startSite(c.sites[0])
	c.converge("default", c.urls()...)
	if got := statusOf(t, c.sites[0].url).Origin; got == origin {
		t.Errorf("origin is %s before and after", got)
	}
	b.write(c.sites[0].url, "a", 5)
	c.converge("default", c.urls()...)
	b.check(c.urls()...)
}

// An edge whose directory is replaced by an older copy notices it, takes a new
// origin, and gets back what the core holds.
func TestOlderCopyOfEdge(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"copied", "moved"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2)
			b := newBook(t)
			s := c.sites[0]
			b.write(s.url, "a", 20)
			c.converge("default", c.urls()...)
			s.run.end(t)
			old := filepath.Join(c.dir, "old")
			copyTo(t, old, s.dir)
			c.startSite(s)
			b.write(s.url, "a", 20)
			b.write(c.sites[1].url, "b", 5)
			c.converge("default", c.urls()...)
			origin := statusOf(t, s.url).Origin
			s.run.end(t)
			remove(t, s.dir)
			if way == "copied" {
				copyTo(t, s.dir, old)
			} else if err := os.Rename(old, s.dir); err != nil {
				t.Fatal(err)
			}
			s.cut(false)
			c.startSite(s)
			st := statusOf(t, s.url)
			if st.Origin == origin || !st.degraded("store_moved") {
				t.Errorf("restored: origin %s, was %s; degraded %v, want a new origin and store_moved",
					st.Origin, origin, st.Degraded)
			}
			b.write(s.url, "a2", 5) // before the core could tell
			s.cut(true)
			c.converge("default", c.urls()...)
			b.write(s.url, "a", 5)
			c.converge("default", c.urls()...)
			b.check(c.urls()...)
		})
	}
}

// A snapshot of a whole machine brings an older store back that looks like the
// one that was there. The core shows that it holds more of the edge's feed, or
// other content; the edge takes a new origin and makes its ops again.
func TestSnapshotOfEdge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                  string
		before, after, behind int // messages before the snapshot, after it, and after it was brought back
	}{
		{"core holds more", 20, 20, 0},
		{"fork, core holds more", 20, 20, 7},
		{"fork, edge holds more", 20, 7, 20},
		{"fork at the first op", 0, 7, 9},
		{"fork, long", 60, 80, 90},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testSnapshot(t, c.before, c.after, c.behind)
		})
	}
}

func testSnapshot(t *testing.T, before, after, behind int) {
	c := newCluster(t, 2)
	b := newBook(t)
	s := c.sites[0]
	b.write(c.sites[1].url, "other", 1)
	c.converge("default", c.urls()...)
	if before > 0 {
		b.write(s.url, "a", before)
	}
	c.converge("default", c.urls()...)
	s.run.end(t)
	snapshot := filepath.Join(c.dir, "snapshot")
	copyTo(t, snapshot, s.dir)
	c.startSite(s)
	origin := statusOf(t, s.url).Origin
	b.write(s.url, "b", after)
	b.write(s.url, "other", after)
	c.converge("default", c.urls()...)
	s.run.end(t)
	remove(t, s.dir)
	copyTo(t, s.dir, snapshot)
	looksTheSame(t, s.dir)
	s.cut(false)
	c.startSite(s)
	st := statusOf(t, s.url)
	if st.Origin != origin || st.degraded("store_moved") {
		t.Fatalf("the snapshot was noticed at the start: origin %s, was %s, degraded %v", st.Origin, origin, st.Degraded)
	}
	if behind > 0 {
		b.write(s.url, "c", behind)
		b.write(s.url, "other", behind)
	}
	s.cut(true)
	b.write(s.url, "other", 300) // while the nodes find out
	c.converge("default", c.urls()...)
	st = statusOf(t, s.url)
	if st.Origin == origin || !st.degraded("origin_renewed") {
		t.Errorf("origin %s, was %s, degraded %v; want a new origin and origin_renewed", st.Origin, origin, st.Degraded)
	}
	b.write(s.url, "d", 5)
	b.write(c.sites[1].url, "other", 5)
	c.converge("default", c.urls()...)
	b.checkContents(c.urls()...)
}

// looksTheSame makes a restored store look like the original one, as a snapshot
// below the file system does. The nodes' origin lies in the store and stays.
func looksTheSame(t testing.TB, dir string) {
	t.Helper()
	s, err := store.Open(store.DefaultOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AdoptIdentity(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Two edges run from one directory that was cloned, under one name. Nothing
// that either of them acknowledged is lost.
func TestClonedEdge(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	b := newBook(t)
	one := c.sites[0]
	b.write(one.url, "a", 20)
	c.converge("default", c.urls()...)
	one.run.end(t)
	clone := filepath.Join(c.dir, "clone")
	copyTo(t, clone, one.dir)
	c.startSite(one)
	two := c.addSite("edge-3")
	two.run.end(t)
	two.dir, two.cfg.Data, two.cfg.Node, two.cfg.API = clone, clone, one.name, "127.0.0.1:0"
	c.startSite(two)
	if a, b := statusOf(t, one.url).Origin, statusOf(t, two.url).Origin; a == b {
		t.Fatalf("both write under %s", a)
	}
	for i := range 4 {
		b.write(one.url, "a", 5)
		b.write(two.url, fmt.Sprintf("clone-%d", i), 5)
		b.write(c.sites[1].url, "b", 5)
	}
	c.converge("default", c.urls()...)
	b.check(c.urls()...)
}
