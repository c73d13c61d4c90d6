package protocol

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestSignals: what may be said comes back as it was, and what may not is
// refused by who says it and by who hears it.
func TestSignals(t *testing.T) {
	t.Parallel()
	presence := Signal{Space: "s1", Session: "s-1", Kind: "presence", From: "Ann", Data: []byte(`{"at":"till 4"}`),
		TTL: time.Minute}
	stream := Signal{Space: "s1", Session: "s-1", Kind: SignalStream, Stream: "m-1", Run: 1, Text: "Hel"}
	long := strings.Repeat("x", MaxSignalDataBytes)
	for name, c := range map[string]struct {
		change func(*Signal)
		of     Signal
		good   bool
	}{
		"presence":             {func(*Signal) {}, presence, true},
		"stream":               {func(*Signal) {}, stream, true},
		"end of a stream":      {func(s *Signal) { s.Text, s.Ended = "", true }, stream, true},
		"no session":           {func(s *Signal) { s.Session = "" }, presence, false},
		"kind that is no name": {func(s *Signal) { s.Kind = "a b" }, presence, false},
		"long kind":            {func(s *Signal) { s.Kind = strings.Repeat("k", 65) }, presence, false},
		"data that is no JSON": {func(s *Signal) { s.Data = []byte("{") }, presence, false},
		"much data":            {func(s *Signal) { s.Data = fmt.Appendf(nil, "%q", long) }, presence, false},
		"long ttl":             {func(s *Signal) { s.TTL = time.Hour }, presence, false},
		"words of no stream":   {func(s *Signal) { s.Text = "x" }, presence, false},
		"stream of no message": {func(s *Signal) { s.Stream = "" }, stream, false},
		"stream that holds":    {func(s *Signal) { s.TTL = time.Second }, stream, false},
		"stream of no run":     {func(s *Signal) { s.Run = 0 }, stream, false},
		"many words":           {func(s *Signal) { s.Text = strings.Repeat("x", MaxSignalTextBytes+1) }, stream, false},
		"text that is no text": {func(s *Signal) { s.Text = "\xff" }, stream, false},
		"place before all":     {func(s *Signal) { s.At = -1 }, stream, false},
	} {
		m := c.of
		c.change(&m)
		b, err := AppendMessage(nil, m)
		if (err == nil) != c.good {
			t.Errorf("%s: AppendMessage = %v, want good = %v", name, err, c.good)
		}
		if err != nil {
			continue
		}
		if got, err := DecodeMessage(b); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: DecodeMessage = %+v, %v", name, got, err)
		}
	}
}

func TestSignalSubject(t *testing.T) {
	t.Parallel()
	s := SignalSubject("edge.1", "s 1", "*")
	if want := "cw.sig.edge=2E1.s=201.=2A"; s != want {
		t.Errorf("SignalSubject = %q, want %q", s, want)
	}
	if node, space, id, err := ParseSignalSubject(s); node != "edge.1" || space != "s 1" || id != "*" || err != nil {
		t.Errorf("ParseSignalSubject = %q %q %q %v", node, space, id, err)
	}
	for _, bad := range []string{"", "cw.sig.a.b", "cw.sig.a.b.c.d", "cw.sgi.a.b.c", "cw.sig.a.b.>"} {
		if _, _, _, err := ParseSignalSubject(bad); err == nil {
			t.Errorf("ParseSignalSubject(%q) is good", bad)
		}
	}
}
