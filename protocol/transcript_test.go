package protocol

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/vclock"
)

// TestTranscripts plays testdata/*.txt: commands to a small cluster, and below
// ---- what its nodes said and did. With UPDATE=1 it writes the output anew.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("transcripts: %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			play(t, name)
		})
	}
}

func play(t *testing.T, name string) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 1)
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(b)), "\n\n") {
		cmd, _, _ := strings.Cut(block, "\n----")
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(cmd + "\n")
		if strings.HasPrefix(cmd, "#") {
			continue
		}
		w.log.Reset()
		for line := range strings.SplitSeq(cmd, "\n") {
			w.command(t, strings.Fields(line))
		}
		out.WriteString("----\n" + w.log.String())
	}
	if len(w.problems) > 0 {
		t.Errorf("%s: %s", name, strings.Join(w.problems, "\n"))
	}
	switch {
	case os.Getenv("UPDATE") != "":
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	case out.String() != string(b):
		t.Errorf("%s: got\n%s\nwant\n%s", name, out.String(), b)
	}
}

// command carries out one line of a transcript.
func (w *world) command(t *testing.T, f []string) {
	arg := func(i int) string {
		if i >= len(f) {
			t.Fatalf("command %v: argument %d is missing", f, i)
		}
		return f[i]
	}
	n := w.nodes[arg(min(1, len(f)-1))]
	switch f[0] {
	case "stores": // stores 3 required 2
		w.stores, w.required = number(t, arg(1)), number(t, arg(3))
	case "core", "edge":
		w.add(arg(1), f[0] == "core")
	case "link": // link edge-1 core-1, link edge-1 down
		if arg(2) == "down" {
			w.linkDown(n)
			return
		}
		w.linkUp(n, arg(2))
	case "run":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		w.run(d)
	case "append": // append edge-1 s1 hello world
		w.append(n, arg(2), f[3:]...)
	case "burst": // burst edge-1 s1 80: that many ops, one every 5 ms, unlogged
		log := w.log
		w.log = nil
		for i := range number(t, arg(3)) {
			w.append(n, arg(2), fmt.Sprintf("op-%d", i))
			w.run(5 * time.Millisecond)
		}
		w.log = log
	case "lose", "dup", "delay": // lose deliver to edge-1 2 times
		w.faults = append(w.faults, &fault{what: f[0], kind: arg(1), to: arg(3), count: number(t, arg(4))})
	case "wipe":
		w.wipe(n)
	case "rollback": // rollback edge-1 s1 2: an older copy of the directory
		w.linkDown(n)
		n.store.truncate(Feed{arg(2), n.origin}, number(t, arg(3)))
		n.released[Feed{arg(2), n.origin}] = 0
		w.start(n)
	case "replace": // replace edge-1 s1 edge-1~a 2: what forked is taken out
		feed := Feed{arg(2), vclock.Origin(arg(3))}
		n.store.truncate(feed, number(t, arg(4)))
		w.stepEdge(n, Replaced{Feed: feed, Head: n.store.head(feed)})
	case "origin":
		n.origin = vclock.Origin(arg(2))
		w.stepEdge(n, NewOrigin{Origin: n.origin})
	case "truncate-stream":
		w.stream, w.ids = w.stream[:number(t, arg(1))], map[string]uint64{}
	case "heartbeats": // log them from here on
		w.beats = true
	case "inject-credit": // inject-credit core-1 edge-2 64
		for _, a := range n.core.ring {
			if a.node == arg(2) {
				w.stepCore(n, Received{From: a.node, Message: Credit{a.id, uint64(number(t, arg(3)))}})
			}
		}
	case "held":
		w.log.WriteString(n.store.dump())
	case "inject": // inject edge-1 receipt s1 edge-1~a 1 core-1 core-1-s0
		w.inject(t, n, f[2:])
	default:
		t.Fatalf("command %v is unknown", f)
	}
}

// inject hands a made-up message to a node.
func (w *world) inject(t *testing.T, n *node, f []string) {
	var m Message
	switch f[0] {
	case "receipt":
		feed := Feed{f[1], vclock.Origin(f[2])}
		seq := vclock.Seq(number(t, f[3]))
		c, ok := n.store.chain(feed, seq)
		if !ok || len(f) > 6 {
			c = Chain{0xbad & 0xff}
		}
		m = Receipts{[]Receipt{{Feed: feed, Head: Head{seq, c}, Store: f[4], Incarnation: f[5]}}}
	case "deliver":
		m = Deliver{Attachment: uint64(number(t, f[1])), N: uint64(number(t, f[2])),
			Frames: []Frame{NewFrame(Feed{"s1", "edge-9~a"}, Head{}, [][]byte{[]byte("x")})}}
	case "heartbeat":
		m = Heartbeat{Attachment: uint64(number(t, f[1])), N: uint64(number(t, f[2]))}
	case "attached":
		m = Attached{Request: 5, Attachment: 6, Store: "core-1", Incarnation: "x",
			Stores: 1, StoresRequired: 1, Partitions: 1}
	case "want":
		m = Want{Feed{f[1], vclock.Origin(f[2])}, vclock.Seq(number(t, f[3]))}
	case "attach-elsewhere":
		m = Attach{Request: 7, Node: f[1], Instance: f[2], Cluster: f[3], Origin: vclock.Origin(f[1] + "~" + f[2])}
		w.stepCore(n, AttachAsked{Attach: m.(Attach), Ready: true})
		return
	case "fence":
		w.stepCore(n, Fence{Origin: vclock.Origin(f[1])})
		return
	default:
		t.Fatalf("inject %v is unknown", f)
	}
	w.say("injected at %s: %s", n.name, describe(m))
	w.stepEdge(n, Received{From: "core-1", Message: m})
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(fmt.Errorf("number in transcript: %w", err))
	}
	return n
}
