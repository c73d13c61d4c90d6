package live

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// status is the part of a node's status that is looked at here.
type status struct {
	Origin   string
	Degraded []struct{ Name, Detail string }
	Link     *struct{ State, Core, Refused string }
	Core     *struct {
		Quorum   bool
		Attached []string
	}
	Spaces []struct {
		Space, Version   string
		Backlog, Waiting int
	}
	Store struct{ Repairs int }
}

func (r *run) status(ctx context.Context, m *member) (s status, err error) {
	err = r.web.read(ctx, m.url(), question{method: "GET", path: "/v1/status", timeout: lookTimeout}, &s)
	return s, err
}

const (
	watchEvery  = 250 * time.Millisecond
	lookTimeout = 2 * time.Second
	// maxMemory bounds the memory of one node. It is far above what a node of a
	// scenario needs, with the race detector too, and far below a leak.
	maxMemory = 1024 // MiB
)

// watched is what was seen of a node when it was last looked at.
type watched struct {
	origin   string
	at       time.Duration // when the origin was seen last
	degraded map[string]bool
	versions map[string]string
	link     string
}

// watch looks at a node again and again until ctx ends.
func (r *run) watch(ctx context.Context, m *member) {
	seen := &watched{degraded: map[string]bool{}, versions: map[string]string{}}
	for !m.isGone() && pause(ctx, watchEvery) {
		c, paused := m.process()
		if c == nil || paused {
			continue
		}
		before := r.rec.now()
		s, err := r.status(ctx, m)
		if err != nil {
			continue // it is down, or busy; others judge that
		}
		r.compare(m, seen, &s, before)
		if mib, ok := memoryOf(c.pid()); ok {
			r.rec.sample(check.Sample{Node: m.lane, What: "anonymous memory in MiB", Value: mib, Max: maxMemory})
		}
	}
}

// compare tells what changed since the look before.
func (r *run) compare(m *member, seen *watched, s *status, at time.Duration) {
	if seen.origin != "" && s.Origin != seen.origin {
		r.rec.reset(m.lane, seen.at) // under a new origin ops may have been made again
		r.rec.fact(m.lane, "new_origin", seen.origin+" -> "+s.Origin)
	}
	seen.origin, seen.at = s.Origin, at
	now := map[string]bool{}
	for _, d := range s.Degraded {
		now[d.Name] = true
		if !seen.degraded[d.Name] {
			r.rec.fact(m.lane, d.Name, d.Detail)
		}
	}
	seen.degraded = now
	for _, sp := range s.Spaces {
		if sp.Version != seen.versions[sp.Space] {
			r.rec.say(sim.Event{Kind: sim.EvCommit, Node: m.lane, What: "holds", Space: sp.Space, Vector: sp.Version,
				Detail: fmt.Sprintf("backlog %d, waiting %d", sp.Backlog, sp.Waiting)})
			seen.versions[sp.Space] = sp.Version
		}
	}
	if s.Link == nil {
		return
	}
	if link := s.Link.State + " " + s.Link.Core; link != seen.link {
		r.rec.say(sim.Event{Kind: sim.EvCheck, Node: m.lane, Peer: s.Link.Core, What: "link " + s.Link.State})
		seen.link = link
	}
}

// memoryOf gives the anonymous memory of a process, where the system tells.
func memoryOf(pid int) (mib int, ok bool) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), "RssAnon:")
		if !found {
			continue
		}
		kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
		return kib / 1024, err == nil
	}
	return 0, false
}

// logFacts are the lines of a node's log that say what its machines noticed.
var logFacts = map[string]string{
	`msg=attached `: "attach_granted", `msg="attachment lost"`: "attachment_lost", `msg="attach failed"`: "attach_failed",
	`msg="node attached"`: "node_attached", `msg="node gone"`: "node_gone", `msg="attach refused"`: "attach_denied",
	`msg="two running nodes use one name"`: "clone_suspected", `msg="a feed has two contents`: "equivocation",
	`msg="frame refused"`: "frame_refused", `msg="stream damaged"`: "stream_damaged",
}

// words turns the name of a fact into words: "attach_granted".
func words(name string) string {
	var b strings.Builder
	for i, c := range name {
		if unicode.IsUpper(c) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// crashes are what no node may ever write.
var crashes = []string{"DATA RACE", "panic:", "fatal error:"}

// readLog counts what the machines of a node noticed, and reports what no node
// may write.
func (r *run) readLog(m *member) error {
	file, err := os.Open(m.logFile(r))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("log of %s: %w", m.lane, err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		for text, name := range logFacts {
			if strings.Contains(line, text) {
				r.rec.count(name)
			}
		}
		if _, after, ok := strings.Cut(line, `msg=sync fact="protocol.`); ok {
			name, _, _ := strings.Cut(after, " ")
			r.rec.count(words(name))
		}
		for _, bad := range crashes {
			if strings.Contains(line, bad) {
				r.rec.problem("no node fails inside", m.lane, "%.300s", line)
			}
		}
	}
	return lines.Err()
}
