package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/internal/wsraw"
)

func signalRefusals() []refusal {
	long := strings.Repeat("x", 5000)
	return []refusal{
		{"signal of no kind", 422, "invalid_body", post("signals", `{}`)},
		{"signal whose kind is no name", 422, "bad_name", post("signals", `{"kind":"a b"}`)},
		{"signal whose data is too big", 413, "too_large", post("signals", `{"kind":"a","data":"`+long+`"}`)},
		{"signal that holds for no duration", 422, "invalid_body", post("signals", `{"kind":"a","ttl":"long"}`)},
		{"words that are no text", 400, "invalid_utf8", post("signals", `{"stream":"m","delta":"\ud800"}`)},
		{"words without a stream", 422, "invalid_body", post("signals", `{"kind":"typing","delta":"x"}`)},
		{"stream that holds", 422, "invalid_body", post("signals", `{"stream":"m","ttl":"1s"}`)},
		{"stream whose name looks like a node's own", 422, "bad_name", post("signals", `{"stream":"a~b.1","delta":"x"}`)},
		{"unknown member of a signal", 422, "unknown_field", post("signals", `{"kind":"typing","x":1}`)},
	}
}

// toldSignal is a signal as it is shown.
type toldSignal struct {
	Kind, From, Actor, Stream, Delta, TTL string
	At                                    *int
	Data                                  json.RawMessage
	Ended                                 bool
}

// signals takes signals until one is wanted, and puts streams together.
func (s *socket) signals(texts map[string]string, until func(toldSignal) bool) {
	s.t.Helper()
	for {
		text, err := s.NextText()
		if err != nil {
			s.t.Fatal(err)
		}
		var m struct {
			Type, Space, Session string
			Signal               toldSignal
		}
		if err := json.Unmarshal(text, &m); err != nil || m.Type != "signal" || m.Session != "s-1" || m.Space != "default" {
			s.t.Fatalf("got %s, %v; want a signal", text, err)
		}
		if err := hearWords(texts, &m.Signal); err != nil {
			s.t.Fatal(err)
		}
		if until(m.Signal) {
			return
		}
	}
}

// hearWords does what the documentation tells clients to do.
func hearWords(texts map[string]string, s *toldSignal) error {
	switch {
	case s.Stream == "":
	case s.Ended:
		delete(texts, s.Stream)
	case *s.At == 0:
		texts[s.Stream] = s.Delta
	case *s.At != utf8.RuneCountInString(texts[s.Stream]):
		return fmt.Errorf("words at %d behind %q", *s.At, texts[s.Stream])
	default:
		texts[s.Stream] += s.Delta
	}
	return nil
}

const sayHead = `{"type":"signal","space":"default","session":"s-1","actor":"bot","body":`

// TestStreamedAnswer: words reach everybody else who follows, one who comes in
// the middle gets what was said so far, and the message ends it.
func TestStreamedAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		bot, early := p.socket(t, wsraw.Options{}), p.socket(t, wsraw.Options{})
		since := lastOf(t, f, "s-1")
		for _, s := range []*socket{bot, early} {
			s.ask("ack", subscribe, since)
			s.until()
		}
		early2 := p.events(t, at("s-1", "events?since="+since))
		early2.until()
		texts, late := map[string]string{}, map[string]string{}
		var said strings.Builder
		for i := range 10 {
			word := fmt.Sprintf("wörd-%d <", i)
			said.WriteString(word)
			bot.say(sayHead+`{"stream":"a-1","delta":%q}}`, word)
			early.signals(texts, func(s toldSignal) bool { return strings.HasSuffix(s.Delta, word) })
			if e, err := early2.next(); err != nil || e.name != "signal" || e.id != "" || !strings.Contains(e.data, word) {
				t.Fatalf("event %+v, %v; want the words", e, err)
			}
		}
		middle := p.socket(t, wsraw.Options{})
		middle.say(subscribe, since)
		middle.want("ack")
		middle.until()
		middle.signals(late, func(toldSignal) bool { return true })
		if late["a-1"] != said.String() || texts["a-1"] != said.String() {
			t.Errorf("middle was told %v, early has %q, want %q", late, texts["a-1"], said.String())
		}
		bot.say(`{"type":"append","space":"default","session":"s-1","body":{"id":"a-1","role":"assistant","content":%q}}`, said.String())
		for _, s := range []*socket{early, middle} {
			if m := s.want("change"); m.Change.Message.ID != "a-1" {
				t.Errorf("got %+v, want the message", m)
			}
		}
		for range 2 {
			if m := bot.next(); m.Type != "ack" && m.Type != "change" { // and none of its own words
				t.Errorf("the bot got %+v", m)
			}
		}
		if m := bot.ask("error", sayHead+`{"stream":"a-1","delta":"more"}}`); m.Problem.Code != "stream_ended" {
			t.Errorf("words after the message: %+v", m)
		}
		afterwards := p.socket(t, wsraw.Options{})
		afterwards.ask("ack", subscribe, lastOf(t, f, "s-1"))
		if ops, _ := afterwards.until(); len(ops) > 0 {
			t.Errorf("got %v", ops)
		}
	})
}

// TestTyping: what holds is told to who comes, replaced by who said it, and
// over when its time is.
func TestTyping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		since := lastOf(t, f, "s-1")
		ann, bob := p.socket(t, wsraw.Options{}), p.socket(t, wsraw.Options{})
		ann.ask("ack", `{"type":"signal","ref":"r","space":"default","session":"s-1","actor":"Ann",`+
			`"body":{"kind":"typing","data":{"on":true},"ttl":"10s"}}`)
		bob.say(subscribe, since)
		bob.want("ack")
		bob.until()
		texts := map[string]string{}
		bob.signals(texts, func(s toldSignal) bool {
			return s.Kind == "typing" && s.From == "Ann" && s.Actor == "Ann" && string(s.Data) == `{"on":true}` && s.TTL == "10s"
		})
		begun := time.Now()
		bob.signals(texts, func(s toldSignal) bool { return s.Ended && s.From == "Ann" })
		if took := time.Since(begun); took < 9*time.Second || took > 12*time.Second {
			t.Errorf("typing was over after %v, want 10s", took)
		}
		bob.ask("ack", `{"type":"subscribe","space":"default","session":"s-1","since":%q,"signals":false}`, since)
		bob.until()
		ann.say(`{"type":"signal","space":"default","session":"s-1","actor":"Ann","body":{"kind":"typing","ttl":"10s"}}`)
		ann.ask("ack", `{"type":"ping"}`)
		bob.ask("ack", `{"type":"unsubscribe","space":"default","session":"s-1"}`)
		ann.say(`{"type":"signal","space":"default","session":"s-1","body":{"kind":"wave"}}`)
		ann.ask("ack", `{"type":"ping"}`)
		bob.ask("ack", `{"type":"ping"}`)
	})
}

// wire is a net of nodes in memory.
type wire struct {
	net  *hall
	node string
	hear func(string, []byte)
	subs map[string]int
	up   bool
	ups  uint64
}

type hall struct {
	mu    sync.Mutex
	wires []*wire
	queue chan func()
}

func (w *wire) Hear(hear func(string, []byte)) { w.hear = hear }
func (w *wire) Backlog() int                   { return 0 }

func (w *wire) Up() (uint64, bool) {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	return w.ups, w.up
}

func (w *wire) Subscribe(subject string) (func(), error) {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	w.subs[subject]++
	return func() {
		w.net.mu.Lock()
		defer w.net.mu.Unlock()
		if w.subs[subject]--; w.subs[subject] == 0 {
			delete(w.subs, subject)
		}
	}, nil
}

func (w *wire) Publish(subject string, data []byte) error {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	parts := strings.SplitN(subject, ".", 4)
	for _, to := range w.net.wires {
		if to != w && w.up && to.up && to.subs["cw.sig.*."+parts[3]] > 0 {
			w.net.queue <- func() { to.hear(subject, data) }
		}
	}
	return nil
}

// TestSignalsBetweenNodes: words said at one node reach who follows at another,
// also one who comes in the middle, and what was missed while the link was cut.
func TestSignalsBetweenNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &hall{queue: make(chan func(), 1000)}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for deliver := range n.queue {
				deliver()
			}
		}()
		var at []*pipes
		for i := range 2 {
			w := &wire{net: n, node: fmt.Sprintf("n%d", i), subs: map[string]int{}, up: true}
			n.wires = append(n.wires, w)
			f := newFixture(t)
			f.svc.Signals, f.svc.Name = w, w.node
			at = append(at, serve(t, f.svc))
		}
		bot := at[0].socket(t, wsraw.Options{})
		said := ""
		speak := func(word string) {
			said += word
			bot.ask("ack", `{"type":"signal","ref":"r","space":"default","session":"s-1","body":{"stream":"a-1","delta":%q}}`, word)
		}
		speak("first ")
		time.Sleep(time.Second)
		late := at[1].socket(t, wsraw.Options{})
		late.say(subscribe, "")
		for late.next().Type != "caught_up" {
		}
		texts := map[string]string{}
		late.signals(texts, func(toldSignal) bool { return texts["a-1"] == said })
		speak("second ")
		late.signals(texts, func(toldSignal) bool { return texts["a-1"] == said })
		n.mu.Lock()
		n.wires[1].up = false
		n.mu.Unlock()
		time.Sleep(3 * time.Second)
		speak("third, which nobody heard ")
		time.Sleep(3 * time.Second)
		n.mu.Lock()
		n.wires[1].up = true
		n.wires[1].ups++
		n.mu.Unlock()
		late.signals(texts, func(toldSignal) bool { return texts["a-1"] == said })
		n.mu.Lock()
		n.wires[1].up = false
		n.mu.Unlock()
		speak("during a short cut that nobody saw ")
		time.Sleep(100 * time.Millisecond)
		n.mu.Lock()
		n.wires[1].up = true
		n.wires[1].ups++
		n.mu.Unlock()
		late.signals(texts, func(toldSignal) bool { return texts["a-1"] == said })
		speak("end")
		late.signals(texts, func(toldSignal) bool { return texts["a-1"] == said })
		for _, p := range at {
			p.stop()
		}
		close(n.queue)
		<-ended
	})
}

// TestSlowListener: who does not take signals in time loses nothing of a
// stream: it is told again what was said.
func TestSlowListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		slow, bot := p.socket(t, wsraw.Options{}), p.socket(t, wsraw.Options{})
		slow.say(subscribe, lastOf(t, f, "s-1"))
		slow.want("ack")
		slow.until()
		var said strings.Builder
		for i := range 3000 {
			word := fmt.Sprintf("word %d ", i)
			said.WriteString(word)
			bot.ask("ack", `{"type":"signal","ref":"r","space":"default","session":"s-1","body":{"stream":"a-1","delta":%q}}`, word)
			time.Sleep(2 * time.Millisecond)
		}
		texts := map[string]string{}
		count := 0
		slow.signals(texts, func(toldSignal) bool { count++; return texts["a-1"] == said.String() })
		if count > 2500 {
			t.Errorf("%d signals were kept for a client that did not read", count)
		}
	})
}

// TestSignalsOfAnErasedSession: nobody is told what was said in a session that
// was erased.
func TestSignalsOfAnErasedSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p := serve(t, f.svc)
		bot := p.socket(t, wsraw.Options{})
		bot.ask("ack", `{"type":"signal","ref":"r","space":"default","session":"s-1","body":{"stream":"a-1","delta":"secret"}}`)
		f.must(t, "DELETE", at("s-1", ""), "")
		s := p.socket(t, wsraw.Options{})
		s.ask("ack", subscribe, "")
		if m := s.want("error"); m.Problem.Code != "session_erased" {
			t.Errorf("got %+v", m)
		}
		s.ask("ack", `{"type":"ping"}`)
	})
}
