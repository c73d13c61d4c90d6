package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Stories are small histories made by hand, in testdata/NAME.txt, NAME being
// that of a checker. A story is a title, its lines, and below ---- what the
// checker says: ok with what it examined, or the violations. A story that
// begins with "fine" must please all other checkers too.
//
//	e1 append a b        a call at e1: it begins 10 ms after the line before, and takes 1 ms
//	@5-20 e1 append a    from 5 to 20 ms
//	e1 append a !        without an answer; ?code refused; replayed
//	e1 append m1=a       with an id; other messages have the id m-VALUE
//	e1 edit m-a b        redact m-a, patch /p a (- removes), add n 4, insert t a, remove t a,
//	                     move active, erase, text t abcd -dropped, open ttl=1m
//	                     key=K s=SESSION if=V v=V core want as well
//	e1 read a m-b=c|d m-e! f^m-a /p=x|y /q=-|y #n=5 %t=a,b $t=abcd state=paused gone=erased
//	e1 changes e1~0.1=a edit:e1~0.2=b@90.1 erase:e1~0.3/other@92
//	final e1 e2 a b      what both show in the end, with s=SESSION of another one
//	list e1 e1~0.1=a     what e1 lists in the end
//	reset e1, excuse a, forgive CALL, digest e1 x, backlog e1 3, waiting e1 1,
//	sample e1 inputs 5 10, settled 100, bound 5, resets out of turn: reset e1 @5
type story struct {
	h    History
	now  time.Duration
	ends bool // settled was given
}

func parseStory(text string) (*History, error) {
	s := &story{h: History{Excused: map[string]bool{}, ExcusedCalls: map[int]bool{}, Bound: time.Second}}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 {
			if err := s.line(fields); err != nil {
				return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
			}
		}
	}
	if !s.ends {
		s.h.Settled, s.h.Healed = s.now+time.Second, s.now+time.Second
	}
	return &s.h, nil
}

func millis(text string) (time.Duration, error) {
	n, err := strconv.Atoi(text)
	return time.Duration(n) * time.Millisecond, err
}

func (s *story) line(f []string) error {
	var begin, end time.Duration
	if span, ok := strings.CutPrefix(f[0], "@"); ok {
		from, to, _ := strings.Cut(span, "-")
		var err error
		if begin, err = millis(from); err != nil {
			return err
		}
		if end, err = millis(to); err != nil {
			return err
		}
		f = f[1:]
		s.now = max(s.now, begin)
	} else {
		s.now += 10 * time.Millisecond
		begin, end = s.now, s.now+time.Millisecond
	}
	if len(f) > 1 {
		if do, ok := actionNames[f[1]]; ok {
			return s.call(f[0], do, f[2:], begin, end)
		}
	}
	return s.fact(f)
}

// fact takes a line that is no call.
func (s *story) fact(f []string) error {
	number := func(i int) int {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	switch f[0] {
	case "final":
		return s.final(f[1:])
	case "list":
		ops, err := parseOps(f[2:])
		s.node(f[1]).Ops["default"] = ops
		return err
	case "unordered":
		s.node(f[1]).Unordered = true
	case "reset":
		at := s.now
		if len(f) > 2 {
			at = time.Duration(number(2)) * time.Millisecond
		}
		s.h.Resets = append(s.h.Resets, Reset{f[1], at})
	case "trouble":
		s.h.Troubles = append(s.h.Troubles, Trouble{f[1], f[2], time.Duration(number(3)) * time.Millisecond,
			time.Duration(number(4)) * time.Millisecond})
	case "ended":
		s.h.Ended = time.Duration(number(1)) * time.Millisecond
	case "excuse":
		s.h.Excused[f[1]] = true
	case "forgive":
		s.h.ExcusedCalls[number(1)] = true
	case "digest":
		s.node(f[1]).Digests["default"] = f[2]
	case "backlog":
		s.node(f[1]).Backlog["default"] = number(2)
	case "waiting":
		s.node(f[1]).Waiting["default"] = number(2)
	case "sample":
		s.h.Samples = append(s.h.Samples, Sample{s.now, f[1], f[2], number(3), number(4)})
	case "healed":
		s.ends, s.h.Healed = true, time.Duration(number(1))*time.Millisecond
	case "settled":
		s.ends, s.h.Settled = true, time.Duration(number(1))*time.Millisecond
	case "bound":
		s.h.Bound = time.Duration(number(1)) * time.Millisecond
	case "coarse":
		s.h.WholeMillis = true
	default:
		return fmt.Errorf("nothing is called %s", f[0])
	}
	return nil
}

var actionNames = map[string]Action{
	"open": Open, "append": Append, "edit": Edit, "redact": Redact, "patch": Patch, "add": Add, "insert": Insert,
	"remove": Remove, "move": Move, "erase": Erase, "read": Read, "changes": ReadAll, "text": Text,
}

func (s *story) call(node string, do Action, f []string, begin, end time.Duration) error {
	c := Call{ID: len(s.h.Calls), Client: "c", Node: node, Begin: begin, End: end, Space: "default", Session: "s",
		Do: do, Outcome: OK}
	rest := s.options(&c, f)
	if c.Do == ReadAll {
		c.Session = ""
	}
	if err := c.arguments(rest); err != nil {
		return err
	}
	if (c.Do == Read || c.Do == ReadAll) && c.Outcome != OK {
		c.Seen = nil
	}
	s.h.Calls = append(s.h.Calls, c)
	return nil
}

// options takes those words that every call may have.
func (s *story) options(c *Call, f []string) (rest []string) {
	for _, word := range f {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "key":
			c.Key = value
		case "s":
			c.Session = value
		case "if":
			c.IfMatch = value
		case "v":
			c.Version = value
		case "ttl":
			c.TTL = time.Minute
		case "core":
			c.Core, c.WantCore = true, true
		case "want":
			c.WantCore = true
		case "replayed":
			c.Replayed = true
		case "!":
			c.Outcome, c.End = NoAnswer, 0
		default:
			if code, ok := strings.CutPrefix(word, "?"); ok {
				c.Outcome, c.Code = Refused, code
				continue
			}
			rest = append(rest, word)
		}
	}
	return rest
}

func (c *Call) arguments(f []string) error {
	switch c.Do {
	case Open, Erase:
	case Append:
		for _, word := range f {
			if id, value, ok := strings.Cut(word, "="); ok {
				c.Values = append(c.Values, Value{id, value})
			} else {
				c.Values, c.IDs = append(c.Values, Value{Value: word}), append(c.IDs, "m-"+word)
			}
		}
		if len(c.IDs) < len(c.Values) || c.Outcome != OK {
			c.IDs = nil
		}
	case Patch:
		for i := 0; i+1 < len(f); i += 2 {
			c.Values = append(c.Values, Value{f[i], strings.TrimPrefix(f[i+1], "-")})
		}
	case Redact:
		c.Target = f[0]
	case Edit, Insert, Remove:
		c.Target, c.Values = f[0], []Value{{f[0], f[1]}}
	case Add:
		by, err := strconv.ParseInt(f[1], 10, 64)
		c.Target, c.By = f[0], by
		return err
	case Move:
		c.To = f[0]
	case Text:
		c.Target = f[0]
		for _, word := range f[1:] {
			if dropped, ok := strings.CutPrefix(word, "-"); ok {
				c.Drops = append(c.Drops, dropped)
			} else {
				c.Values = append(c.Values, Value{Value: word})
			}
		}
	case Read:
		seen, err := parseSeen(f)
		c.Seen, c.Version = seen, seen.Version
		return err
	case ReadAll:
		ops, err := parseOps(f)
		c.Seen = &Seen{Ops: ops}
		return err
	}
	return nil
}

func parseSeen(f []string) (*Seen, error) {
	s := &Seen{State: "initialized", Counters: map[string]int64{}, Sets: map[string][]string{}, Texts: map[string]string{}}
	for _, word := range f {
		name, value, has := strings.Cut(word, "=")
		list := strings.Split(value, "|")
		switch {
		case name == "state":
			s.State = value
		case name == "gone":
			*s = Seen{Gone: value}
		case name == "version":
			s.Version = value
		case word[0] == '/':
			l := Leaf{Path: name, Shown: list[0], Others: list[1:]}
			if list[0] == "-" {
				l.Shown, l.Deleted = "", true
			}
			s.Leaves = append(s.Leaves, l)
		case word[0] == '#':
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return s, err
			}
			s.Counters[name[1:]] = n
		case word[0] == '%':
			s.Sets[name[1:]] = strings.Split(value, ",")
		case word[0] == '$':
			s.Texts[name[1:]] = value
		default:
			s.Messages = append(s.Messages, parseMessage(word, name, value, has))
		}
	}
	slices.SortFunc(s.Leaves, func(a, b Leaf) int { return strings.Compare(a.Path, b.Path) })
	return s, nil
}

func parseMessage(word, id, value string, has bool) Message {
	if !has {
		id, value = "", word
	}
	value, parent, _ := strings.Cut(value, "^")
	if redacted, ok := strings.CutSuffix(value, "!"); ok {
		return Message{ID: redacted, Redacted: true, Parent: parent}
	}
	list := strings.Split(value, "|")
	m := Message{ID: id, Value: list[0], Others: list[1:], Parent: parent}
	if m.ID == "" {
		m.ID = "m-" + m.Value
	}
	return m
}

func parseOps(f []string) ([]Op, error) {
	var ops []Op
	for i, word := range f {
		op := Op{Kind: "append", Session: "s", Wall: uint64(1000 + i)}
		if kind, rest, ok := strings.Cut(word, ":"); ok {
			op.Kind, word = kind, rest
		}
		word, at, ok := strings.Cut(word, "@")
		if ok {
			wall, logical, _ := strings.Cut(at, ".")
			w, err := strconv.ParseUint(wall, 10, 64)
			if err != nil {
				return nil, err
			}
			l, _ := strconv.ParseUint(logical, 10, 16) // absent means 0
			op.Wall, op.Logical = w, uint16(l)
		}
		word, session, ok := strings.Cut(word, "/")
		if ok {
			op.Session = session
		}
		word, values, ok := strings.Cut(word, "=")
		if ok {
			op.Values = strings.Split(values, ",")
		}
		dot := strings.LastIndexByte(word, '.')
		seq, err := strconv.ParseUint(word[dot+1:], 10, 64)
		if err != nil {
			return nil, err
		}
		op.Origin, op.Seq = word[:dot], seq
		ops = append(ops, op)
	}
	return ops, nil
}

// node gives what a node shows in the end, making it if need be.
func (s *story) node(name string) *Final {
	i := slices.IndexFunc(s.h.Finals, func(f Final) bool { return f.Node == name })
	if i < 0 {
		s.h.Finals = append(s.h.Finals, Final{
			Node: name, Sessions: map[string]Seen{}, Spaces: []string{"default"}, Ops: map[string][]Op{},
			Digests: map[string]string{"default": "d"}, Backlog: map[string]int{"default": 0},
			Waiting: map[string]int{"default": 0},
		})
		i = len(s.h.Finals) - 1
	}
	return &s.h.Finals[i]
}

func (s *story) final(f []string) error {
	session, n := "s", 0
	for ; n < len(f) && len(f[n]) == 2 && f[n][0] == 'e' && f[n][1] <= '9'; n++ {
	}
	words := slices.DeleteFunc(slices.Clone(f[n:]), func(w string) bool {
		name, ok := strings.CutPrefix(w, "s=")
		if ok {
			session = name
		}
		return ok
	})
	for _, name := range f[:n] {
		seen, err := parseSeen(words)
		if err != nil {
			return err
		}
		s.node(name).Sessions["default/"+session] = *seen
	}
	return nil
}

// checkers by the names of their files.
var checkers = map[string]func(*index) Verdict{
	"judgeable": judgeable, "survive": survive, "invented": invented, "once": once, "feeds": feeds, "causality": causality,
	"convergent": convergent, "convergence": convergence, "content": content, "lifecycle": lifecycle, "erased": erased,
	"stamps": stamps, "sets": sets, "texts": texts, "conditional": conditional, "bounds": bounds, "liveness": liveness,
	"refusals": refusals,
}

// TestStories runs each story past its checker. UPDATE=1 writes down what it says.
func TestStories(t *testing.T) {
	t.Parallel()
	for name, run := range checkers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", name+".txt")
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			bad := 0
			for block := range strings.SplitSeq(strings.TrimSpace(string(old)), "\n\n") {
				story, want, _ := strings.Cut(block+"\n", "----\n")
				title, lines, _ := strings.Cut(story, "\n")
				got, ok := tell(t, title, lines, run)
				if !ok {
					bad++
				}
				if got != want && os.Getenv("UPDATE") == "" {
					t.Errorf("%s\n%sgot:\n%swant:\n%s", title, lines, got, want)
				}
				fmt.Fprintf(&out, "%s----\n%s\n", story, got)
			}
			if bad < 3 {
				t.Errorf("%s has %d bad stories, want at least 3", path, bad)
			}
			if os.Getenv("UPDATE") == "" {
				return
			}
			if err := os.WriteFile(path, append(bytes.TrimSpace(out.Bytes()), '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// tell gives what the checker says of a story, and whether it finds it good.
func tell(t *testing.T, title, lines string, run func(*index) Verdict) (said string, ok bool) {
	t.Helper()
	h, err := parseStory(lines)
	if err != nil {
		t.Fatalf("%s: %v", title, err)
	}
	v := run(newIndex(h))
	if v.Examined == 0 {
		t.Errorf("%s: %s examined nothing", title, v.Check)
	}
	for _, p := range v.Violations {
		said += p.Text + "\n"
	}
	if len(v.Violations) > 0 {
		return said, false
	}
	if strings.HasPrefix(title, "# fine") {
		for _, other := range All(h) {
			for _, p := range other.Violations {
				t.Errorf("%s: %s: %s", title, p.Check, p.Text)
			}
		}
	}
	return fmt.Sprintf("ok, %d examined\n", v.Examined), true
}
