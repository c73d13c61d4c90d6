package vclock_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/vclock"
	"pgregory.net/rapid"
)

// TestGoldenBytes fixes the binary form: it is on disks and in clients' hands.
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v     vclock.Vector
		bytes string
		token string
	}{
		{vclock.Of(), "00", "AA"},
		{vclock.Of(dot("a", 1)), "01" + "0001" + "61" + "01", "AQABYQE"},
		{
			vclock.Of(dot("edge-1~k3x9a0qz", 300), dot("edge-1~k3x9a0qy", 1), dot("edge-2~aa", math.MaxUint64)),
			"03" + "000f" + hex.EncodeToString([]byte("edge-1~k3x9a0qy")) + "01" +
				"0e01" + "7a" + "ac02" +
				"0504" + hex.EncodeToString([]byte("2~aa")) + "ffffffffffffffffff01",
			"AwAPZWRnZS0xfmszeDlhMHF5AQ4BeqwCBQQyfmFh____________AQ",
		},
	} {
		if got := hex.EncodeToString(c.v.AppendBinary(nil)); got != c.bytes {
			t.Errorf("AppendBinary(%v) = %s, want %s", dump(c.v), got, c.bytes)
		}
		if got := c.v.String(); got != c.token {
			t.Errorf("String(%v) = %s, want %s", dump(c.v), got, c.token)
		}
		back, err := vclock.Parse(c.token)
		if err != nil || dump(back) != dump(c.v) {
			t.Errorf("Parse(%s) = %v, %v, want %v", c.token, dump(back), err, dump(c.v))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes string
		want  error
	}{
		"nothing":               {"", vclock.ErrMalformed},
		"count without entries": {"01", vclock.ErrMalformed},
		"long varint":           {"8000", vclock.ErrMalformed},
		"endless varint":        {"ffffffffffffffffffffff", vclock.ErrMalformed},
		"empty origin":          {"01000001", vclock.ErrMalformed},
		"counter zero":          {"0100016100", vclock.ErrMalformed},
		"origin cut off":        {"01000561", vclock.ErrMalformed},
		"counter cut off":       {"01000161", vclock.ErrMalformed},
		"same origin twice":     {"0200016101" + "010001", vclock.ErrMalformed},
		"descending":            {"0200016201" + "00016101", vclock.ErrMalformed},
		"prefix not taken":      {"0200016101" + "0002616201", vclock.ErrMalformed},
		"prefix too long":       {"0200016101" + "02016201", vclock.ErrMalformed},
		"huge prefix":           {"02000161" + "01" + "ffffffffffffffffff01" + "016201", vclock.ErrMalformed},
		"huge tail":             {"0100" + "ffffffffffffffffff01" + "61", vclock.ErrMalformed},
		"long origin":           {"010061" + strings.Repeat("61", 97) + "01", vclock.ErrMalformed},
		"too many":              {"8120", vclock.ErrTooWide},
		"very many":             {"ffffffffffffffffff01", vclock.ErrTooWide},
	} {
		b, err := hex.DecodeString(c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		if v, rest, err := vclock.Decode(b); !errors.Is(err, c.want) || !v.IsEmpty() || rest != nil {
			t.Errorf("%s: Decode(%s) = %v, %x, %v, want %v", name, c.bytes, dump(v), rest, err, c.want)
		}
	}
}

func TestMaxWidth(t *testing.T) {
	t.Parallel()
	var dots []vclock.Dot
	for i := range vclock.MaxWidth + 1 {
		dots = append(dots, dot(vclock.Origin(fmt.Sprintf("node-%05d~aaaaaaaa", i)), 1))
	}
	widest, tooWide := vclock.Of(dots[1:]...), vclock.Of(dots...)
	b := widest.AppendBinary(nil)
	if v, rest, err := vclock.Decode(b); err != nil || len(rest) > 0 || v.Compare(widest) != vclock.Equal {
		t.Errorf("Decode of MaxWidth origins = %d origins, %d bytes left, %v", v.Len(), len(rest), err)
	}
	if got, limit := len(b), 16*vclock.MaxWidth; got > limit {
		t.Errorf("%d origins take %d bytes, want at most %d", vclock.MaxWidth, got, limit)
	}
	if _, err := vclock.Parse(tooWide.String()); !errors.Is(err, vclock.ErrTooWide) {
		t.Errorf("Parse of MaxWidth+1 origins: %v, want ErrTooWide", err)
	}
	long := vclock.Of(dot(vclock.Origin(strings.Repeat("o", vclock.MaxOriginBytes)), 1))
	if v, err := vclock.Parse(long.String()); err != nil || v.Compare(long) != vclock.Equal {
		t.Errorf("Parse of the longest origin = %v, %v", dump(v), err)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v, more := anyVector().Draw(t, "v"), rapid.SliceOf(rapid.Byte()).Draw(t, "more")
		back, rest, err := vclock.Decode(append(v.AppendBinary(nil), more...))
		if err != nil || dump(back) != dump(v) || string(rest) != string(more) {
			t.Errorf("Decode = %v, %x, %v, want %v, %x", dump(back), rest, err, dump(v), more)
		}
		if parsed, err := vclock.Parse(v.String()); err != nil || dump(parsed) != dump(v) {
			t.Errorf("Parse(%s) = %v, %v, want %v", v, dump(parsed), err, dump(v))
		}
	})
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, token := range []string{
		"A", "AA==", "A A", "AA\n", "\r\nAA", "AAA", "AB", "AQABYQEA", "AQAB YQE", "ä", "AQABYQF",
	} {
		if v, err := vclock.Parse(token); !errors.Is(err, vclock.ErrMalformed) {
			t.Errorf("Parse(%q) = %v, %v, want ErrMalformed", token, dump(v), err)
		}
	}
	if v, err := vclock.Parse(""); err != nil || !v.IsEmpty() {
		t.Errorf("Parse of nothing = %v, %v, want the empty vector", dump(v), err)
	}
}

func TestDotText(t *testing.T) {
	t.Parallel()
	for _, d := range []vclock.Dot{dot("a", 1), dot("edge-1~k3x9a0qz", 17), dot("a.b", math.MaxUint64), dot(".", 3)} {
		if back, err := vclock.ParseDot(d.String()); err != nil || back != d {
			t.Errorf("ParseDot(%q) = %v, %v, want it back", d.String(), back, err)
		}
	}
	for _, s := range []string{
		"", ".", "a", "a.", ".1", "a.0", "a.01", "a.+1", "a.-1", "a.1 ", "a. 1", "a.1_0", "a.0x1",
		"a.18446744073709551616", strings.Repeat("o", vclock.MaxOriginBytes+1) + ".1",
	} {
		if d, err := vclock.ParseDot(s); !errors.Is(err, vclock.ErrMalformed) || !d.IsZero() {
			t.Errorf("ParseDot(%q) = %v, %v, want ErrMalformed", s, d, err)
		}
	}
}

func TestDotCompareIsATotalOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyDot().Draw(t, "a"), anyDot().Draw(t, "b"), anyDot().Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != (a == b) {
			t.Errorf("Compare(%v, %v) = %d, the other way round %d", a, b, a.Compare(b), b.Compare(a))
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Errorf("%v, %v, %v are not in order", a, b, c)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0})
	f.Add(vclock.Of(dot("edge-1~k3x9a0qz", 300), dot("edge-2~aa", 1)).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := vclock.Decode(b)
		if err != nil {
			if !errors.Is(err, vclock.ErrMalformed) && !errors.Is(err, vclock.ErrTooWide) {
				t.Fatalf("Decode(%x): %v is no error of this package", b, err)
			}
			return
		}
		if again := append(v.AppendBinary(nil), rest...); string(again) != string(b) {
			t.Fatalf("Decode(%x) encodes as %x: two encodings of one vector", b, again)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "AA", "AQABYQE", "AQABYQE\n", "A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := vclock.Parse(s)
		if err == nil && s != "" && v.String() != s {
			t.Fatalf("Parse(%q) is %q again (base64 %q)", s, v, base64.RawURLEncoding.EncodeToString([]byte(s)))
		}
	})
}

func FuzzParseDot(f *testing.F) {
	for _, s := range []string{"", "a.1", "a.b.17", "a.01", ".1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := vclock.ParseDot(s); err == nil && d.String() != s {
			t.Fatalf("ParseDot(%q) is %q again", s, d)
		}
	})
}
