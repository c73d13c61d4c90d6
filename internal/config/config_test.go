package config

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type sample struct {
	Node   string `yaml:"node"`
	Cores  []string
	Count  int      `yaml:"count"`
	Small  uint8    `yaml:"small"`
	Rate   float64  `yaml:"rate"`
	Safe   bool     `yaml:"safe"`
	Size   Bytes    `yaml:"size"`
	Hidden string   `yaml:"-"`
	Link   linkPart `yaml:"link"`
	Labels map[string]string
	Sites  []linkPart `yaml:"sites"`
}

type linkPart struct {
	ResendAfter Duration `yaml:"resend_after"`
	Burst       Bytes    `yaml:"burst"`
}

func TestParse(t *testing.T) {
	t.Parallel()
	got := sample{Node: "default", Count: 7}
	err := Parse("f.yaml", []byte(`
# a comment
cores: [a, "b"]
small: 255
rate: 0.5
safe: true
size: 64MB
link:
  resend_after: 1m30s
  burst: 16KiB
labels: {a: "1", b: x}
sites:
  - resend_after: 2d
  - burst: 7
count:
`), &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Node != "default" || got.Count != 7 {
		t.Errorf("absent and empty keys changed: %+v", got)
	}
	if len(got.Cores) != 2 || got.Cores[1] != "b" || got.Small != 255 || got.Rate != 0.5 || !got.Safe ||
		got.Size != 64e6 || got.Link.ResendAfter != Duration(90*time.Second) || got.Link.Burst != 16<<10 ||
		got.Labels["a"] != "1" || len(got.Sites) != 2 || got.Sites[0].ResendAfter != Duration(48*time.Hour) {
		t.Errorf("Parse = %+v", got)
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"nod: x\n", "f.yaml:1: nod: got an unknown key, want one of the known keys; nearest is node"},
		{"\nlink:\n  resend_afer: 2s\n", "f.yaml:3: link.resend_afer: got an unknown key, want one of the known keys; nearest is resend_after"},
		{"zzzzzz: 1\n", "want one of the known keys (cores, count,"},
		{"hidden: x\n", "unknown key"},
		{"count: many\n", `f.yaml:1: count: got "many", want a whole number`},
		{"count: \"1\"\n", `f.yaml:1: count: got "1", want a whole number`},
		{"count: 1.5\n", "want a whole number"},
		{"small: 256\n", "want a whole number from 0"},
		{"safe: perhaps\n", "want true or false"},
		{"size: huge\n", "want a size like 64MB"},
		{"size: -1\n", "want a size like 64MB"},
		{"link: {resend_after: soon}\n", "want a duration like 2s"},
		{"link: 5\n", `f.yaml:1: link: got "5", want keys and values`},
		{"cores: a\n", `got "a", want a list`},
		{"node: [a]\n", "got a list, want text"},
		{"node: {a: b}\n", "got keys and values, want text"},
		{"labels: [a]\n", "got a list, want keys and values"},
		{"node: a\nnode: b\n", "f.yaml:2: "},
		{"link:\n  burst: 1\n  burst: 2\n", "f.yaml:3: "},
		{"sites:\n- burst: 1\n  bust: 2\n", "f.yaml:3: sites[0].bust: got an unknown key"},
		{"- a\n", "file: got a list, want keys and values"},
		{"node: a\n---\nnode: b\n", "a second document"},
		{"node: &x a\n", "an anchor, alias or tag"},
		{"node: 'a\n", "want valid YAML"},
	} {
		var s sample
		err := Parse("f.yaml", []byte(c.text), &s)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%q) = %v, want %s", c.text, err, c.want)
		}
		if _, ok := errors.AsType[*FieldError](err); !ok {
			t.Errorf("Parse(%q) = %T, want a *FieldError", c.text, err)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	var s sample
	err := Parse("f.yaml", []byte("nod: x\ncount: many\nlink:\n  burst: big\n  brst: 1\nsafe: 1\n"), &s)
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("Parse = %v, want five faults", err)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var s sample
	empty := filepath.Join(dir, "empty.yaml")
	for _, text := range []string{"", "\n# nothing\n", "---\n"} {
		if err := os.WriteFile(empty, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Load(empty, &s); err != nil {
			t.Errorf("Load of %q = %v, want the defaults", text, err)
		}
	}
	if err := Load(filepath.Join(dir, "none.yaml"), &s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of no file = %v", err)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	s := sample{Node: "default", Cores: []string{"x"}}
	fs := flag.NewFlagSet("t", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f := Bind(fs, &s)
	err := fs.Parse([]string{"--node", "n", "--cores", "a, b", "--safe", "--link.resend-after", "3s", "--size=1KiB", "--count=x", "--small=-1"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Node != "default" {
		t.Errorf("Bind changed the struct before Apply: %+v", s)
	}
	err = f.Apply(&s)
	want := "--count: count: got \"x\", want a whole number\n--small: small: got \"-1\", want a whole number from 0"
	if err == nil || err.Error() != want {
		t.Errorf("Apply = %v, want %s", err, want)
	}
	if s.Node != "n" || len(s.Cores) != 2 || s.Cores[1] != "b" || !s.Safe || s.Size != 1024 ||
		s.Link.ResendAfter != Duration(3*time.Second) {
		t.Errorf("Apply gave %+v", s)
	}
	for _, absent := range []string{"hidden", "labels", "sites"} {
		if fs.Lookup(absent) != nil {
			t.Errorf("there is a flag --%s", absent)
		}
	}
}

func TestTypesReadWhatTheyWrite(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := Bytes(rapid.Int64Range(0, 1<<62).Draw(t, "bytes"))
		var b2 Bytes
		if err := b2.UnmarshalText([]byte(b.String())); err != nil || b2 != b {
			t.Errorf("Bytes %d is written %s and read %d, %v", b, b, b2, err)
		}
		d := Duration(rapid.Int64Range(-1<<60, 1<<60).Draw(t, "duration"))
		var d2 Duration
		if err := d2.UnmarshalText([]byte(d.String())); err != nil || d2 != d {
			t.Errorf("Duration %d is written %s and read %d, %v", d, d, d2, err)
		}
	})
	for in, want := range map[string]string{"64MB": "64MB", "65536": "64KiB", "1 GiB": "1GiB", "0": "0B", "1500B": "1500B"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(in)); err != nil || b.String() != want {
			t.Errorf("Bytes %s = %s, %v, want %s", in, b, err, want)
		}
	}
	for in, want := range map[string]string{"90s": "1m30s", "30d": "30d", "2h": "2h", "60m": "1h", "0s": "0s", "24h": "1d"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.String() != want {
			t.Errorf("Duration %s = %s, %v, want %s", in, d, err, want)
		}
	}
	for _, bad := range []string{"", "MB", "1.5MB", "-1", "1PB", "99999999999TB", "64 M B"} {
		if err := new(Bytes).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("Bytes %q is taken", bad)
		}
	}
	for _, bad := range []string{"", "d", "5", "1.5d", "999999999999d"} {
		if err := new(Duration).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("Duration %q is taken", bad)
		}
	}
}

func TestCheckListen(t *testing.T) {
	t.Parallel()
	for addr, ok := range map[string]bool{
		"127.0.0.1:7101": true, "127.9.9.9:1": true, "[::1]:7101": true, "localhost:0": true,
		"0.0.0.0:7101": false, ":7101": false, "192.168.1.2:7101": false, "[::]:1": false, "shop.example:1": false,
	} {
		if err := CheckListen("api", addr, false); (err == nil) != ok {
			t.Errorf("CheckListen(%s) = %v", addr, err)
		}
		if err := CheckListen("api", addr, true); err != nil {
			t.Errorf("CheckListen(%s, insecure) = %v", addr, err)
		}
	}
	for _, bad := range []string{"", "7101", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1"} {
		if _, ok := errors.AsType[*FieldError](CheckListen("api", bad, true)); !ok {
			t.Errorf("CheckListen(%q) is no *FieldError", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("node: a\nlink: {burst: 1}\nsites: [{}]\nlabels: {a: b}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Add([]byte("<<: {node: x}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sample
		if err := Parse("f.yaml", b, &s); err != nil && err.Error() == "" {
			t.Errorf("Parse(%q) gives an error without text", b)
		}
	})
}
