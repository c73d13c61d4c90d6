package protocol

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/vclock"
)

func TestTokenProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		awkward := rapid.StringOfN(rapid.RuneFrom([]rune(".*> =aZ0_~:-\x00é")), 0, 20, -1)
		text := rapid.OneOf(rapid.String(), awkward).Draw(t, "text")
		token := Token(text)
		if token == "" || strings.ContainsAny(token, ".*> \t\r\n\x00") {
			t.Fatalf("Token(%q) = %q is no token of a subject", text, token)
		}
		if back, err := ParseToken(token); err != nil || back != text {
			t.Fatalf("ParseToken(%q) = %q, %v, want %q", token, back, err, text)
		}
	})
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	f := Feed{"store.42", "edge-1~k3x9a0qz"}
	s := OpSubject(f, 4)
	if want := "cw.op.2.store=2E42.edge-1~k3x9a0qz"; s != want {
		t.Errorf("OpSubject(%v, 4) = %q, want %q", f, s, want)
	}
	if got, err := ParseOpSubject(s, 4); err != nil || got != f {
		t.Errorf("ParseOpSubject(%q) = %v, %v, want %v", s, got, err, f)
	}
	for _, bad := range []string{"", "cw.op.0", "cw.op.3.store=2E42.edge-1~k3x9a0qz", "cw.op.0.store=2e42.x",
		"cw.op.02.a.b", "cw.op.0.a=.b"} {
		if got, err := ParseOpSubject(bad, 4); err == nil {
			t.Errorf("ParseOpSubject(%q) = %v, want an error", bad, got)
		}
	}
	core, node, err := ParseCreditSubject(CreditSubject("core.1", "edge 9"))
	if core != "core.1" || node != "edge 9" || err != nil {
		t.Errorf("ParseCreditSubject = %q, %q, %v", core, node, err)
	}
	if got := StreamName(3) + " " + StreamSubjects(3); got != "CW_OPS_3 cw.op.3.>" {
		t.Errorf("stream 3 = %q", got)
	}
	for place, want := range map[Place]string{ToCore: "cw.ask.x", ToAllCores: "cw.ask.all", ToCredit: "cw.crd.x.me",
		ToNode: "cw.dlv.x", ToReceiving: "cw.rcpt.x"} {
		if got := (Send{Place: place, Name: "x"}).Subject("me"); got != want {
			t.Errorf("Subject of place %d = %q, want %q", place, got, want)
		}
	}
}

// TestPartitionStable: partitions are on disk in every cluster; they never change.
func TestPartitionStable(t *testing.T) {
	t.Parallel()
	for space, want := range map[string]int{"default": 2, "store-42": 3, "customers-eu": 3} {
		if got := Partition(space, 4); got != want {
			t.Errorf("Partition(%q, 4) = %d, want %d", space, got, want)
		}
	}
}

func TestNodeOf(t *testing.T) {
	t.Parallel()
	for o, want := range map[vclock.Origin]string{"edge-1~abc": "edge-1", "a~b~c": "a~b", "plain": "plain"} {
		if got := NodeOf(o); got != want {
			t.Errorf("NodeOf(%q) = %q, want %q", o, got, want)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("=")
	f.Add("a=2Eb")
	f.Fuzz(func(t *testing.T, token string) {
		if text, err := ParseToken(token); err == nil && Token(text) != token {
			t.Fatalf("ParseToken(%q) = %q, whose token is %q", token, text, Token(text))
		}
	})
}

func FuzzParseOpSubject(f *testing.F) {
	f.Add("cw.op.2.store=2E42.edge-1~k3x9a0qz")
	f.Fuzz(func(t *testing.T, s string) {
		if feed, err := ParseOpSubject(s, 4); err == nil && OpSubject(feed, 4) != s {
			t.Fatalf("ParseOpSubject(%q) = %v", s, feed)
		}
	})
}
