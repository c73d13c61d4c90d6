package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/internal/wsraw"
)

// listener is a client that hears what is said in a session.
type listener struct {
	*wsraw.Client
	t     testing.TB
	words map[string]string // by stream
	holds map[string]string // by kind and who
	final map[string]bool   // messages that came
}

func listen(t testing.TB, node, session string) *listener {
	t.Helper()
	c, err := wsraw.Dial(node, "/v1/stream", wsraw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Conn.Close() })
	l := &listener{c, t, map[string]string{}, map[string]string{}, map[string]bool{}}
	l.say(`{"type":"subscribe","space":"default","session":%q,"wait":"1m"}`, session)
	return l
}

func (l *listener) say(format string, args ...any) {
	l.t.Helper()
	if err := l.Send(fmt.Sprintf(format, args...)); err != nil {
		l.t.Fatal(err)
	}
}

// until reads until something is so.
func (l *listener) until(what string, so func() bool) {
	l.t.Helper()
	for !so() {
		m, err := nextText(l.Client, startTimeout)
		if err != nil {
			l.t.Fatalf("until %s: %v; have %.200v %v %v", what, err, l.words, l.holds, l.final)
		}
		switch m.Type {
		case "signal":
			l.signal(m.Signal)
		case "change":
			if m.Change.Message != nil {
				l.final[m.Change.Message.ID] = true
			}
		case "error":
			l.t.Fatalf("until %s: %s", what, m.Problem)
		}
	}
}

func (l *listener) signal(text []byte) {
	l.t.Helper()
	var s struct {
		Kind, From, Stream, Delta string
		At                        *int
		Data                      json.RawMessage
		Ended                     bool
	}
	if err := json.Unmarshal(text, &s); err != nil {
		l.t.Fatal(err)
	}
	who := s.Kind + " " + s.From
	switch {
	case s.Stream == "" && s.Ended:
		delete(l.holds, who)
	case s.Stream == "":
		l.holds[who] = string(s.Data)
	case s.Ended:
		delete(l.words, s.Stream)
	case *s.At == 0:
		l.words[s.Stream] = s.Delta
	case *s.At != utf8.RuneCountInString(l.words[s.Stream]):
		l.t.Fatalf("words at %d behind %d", *s.At, utf8.RuneCountInString(l.words[s.Stream]))
	default:
		l.words[s.Stream] += s.Delta
	}
}

// An agent at one edge streams an answer: it is heard as it is said at the
// other edge and at the core, by one who comes in the middle from its
// beginning, again after a cut of the link; its message ends it everywhere.
func TestSignals(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	one, two := c.sites[0], c.sites[1]
	call(t, "POST", one.url+sessions, map[string]any{"id": "s"}, 201, nil)
	c.converge("default", c.urls()...)
	bot := listen(t, one.url, "s")
	here, there, core := listen(t, one.url, "s"), listen(t, two.url, "s"), listen(t, c.coreURL, "s")
	said := ""
	speak := func(n int) {
		for range n {
			word := fmt.Sprintf("wörd%d ", len(said))
			said += word
			bot.say(`{"type":"signal","space":"default","session":"s","body":{"stream":"a","delta":%q}}`, word)
		}
	}
	heard := func(l *listener) func() bool { return func() bool { return l.words["a"] == said } }
	speak(200)
	for _, l := range []*listener{here, there, core} {
		l.until("all that was said is heard", heard(l))
	}
	middle := listen(t, two.url, "s")
	middle.until("what was said so far is heard", heard(middle))

	there.say(`{"type":"signal","space":"default","session":"s","actor":"Ann","body":{"kind":"typing","data":true,"ttl":"1m"}}`)
	for _, l := range []*listener{here, core, middle} {
		l.until("Ann types", func() bool { return l.holds["typing Ann"] == "true" })
	}

	two.cut(false)
	speak(50)
	here.until("what was said during the cut is heard", heard(here))
	two.cut(true)
	speak(1)
	there.until("what was said during the cut is heard at the other edge", heard(there))

	bot.say(`{"type":"append","space":"default","session":"s","body":{"id":"a","role":"assistant","content":%q}}`, said)
	for _, l := range []*listener{here, there, core, middle} {
		l.until("the message is there", func() bool { return l.final["a"] })
	}
	late := listen(t, two.url, "s")
	late.until("the message is there", func() bool { return late.final["a"] })
	late.until("Ann still types", func() bool { return late.holds["typing Ann"] == "true" })
	if len(late.words) > 0 {
		t.Errorf("after the message its stream is told: %.100v", late.words)
	}
}

// Signals do not keep ops from their way: while an edge says as much as it may,
// over a slow link, what it writes reaches the other edge.
func TestSignalsDoNotDelayOps(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	one, two := c.sites[0], c.sites[1]
	call(t, "POST", one.url+sessions, map[string]any{"id": "s"}, 201, nil)
	c.converge("default", c.urls()...)
	there := listen(t, two.url, "s")
	there.until("the session is there", func() bool { return len(there.words) == 0 })
	stop := make(chan struct{})
	ended := make(chan int)
	go func() {
		bot := listen(t, one.url, "s")
		n := 0
		for {
			select {
			case <-stop:
				ended <- n
				return
			default:
				bot.say(`{"type":"signal","space":"default","session":"s","body":{"kind":"noise","data":%q}}`, strings.Repeat("x", 3000))
				n++
			}
		}
	}()
	began := time.Now()
	for i := range 20 {
		id := fmt.Sprintf("m%d", i)
		call(t, "POST", one.url+sessions+"/s/messages", map[string]any{"id": id, "role": "user", "content": id}, 201, nil)
		there.until("the message is there", func() bool { return there.final[id] })
	}
	took := time.Since(began)
	close(stop)
	t.Logf("20 messages, one after the other, in %v beside %d signals of 3 KB", took, <-ended)
}
