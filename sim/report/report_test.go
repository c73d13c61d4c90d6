package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// written gives the page of a result.
func written(t testing.TB, r *sim.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatalf("Write: %v", err)
	}
	return b.String()
}

// dataOf gives what the page's script gets.
func dataOf(t testing.TB, page string) diagram {
	t.Helper()
	_, rest, ok := strings.Cut(page, `<script type="application/json" id="data">`)
	text, _, closed := strings.Cut(rest, "</script>")
	if !ok || !closed {
		t.Fatal("the page has no data")
	}
	var d diagram
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("data of the page: %v", err)
	}
	return d
}

var bodies = regexp.MustCompile(`(?s)(<(?:script|style)[^>]*>).*?(</(?:script|style)>)`)

// visible gives the text of a page that a person without script can read, and
// fails t if elements are not closed in order.
func visible(t testing.TB, page string) string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(bodies.ReplaceAllString(page, "$1$2")))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var b strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(strings.Fields(b.String()), " ")
		}
		if err != nil {
			t.Fatalf("the page does not parse: %v", err)
		}
		switch token := token.(type) {
		case xml.CharData:
			b.Write(token)
		case xml.EndElement:
			if n := token.Name.Local; n != "b" && n != "bdi" && n != "small" && n != "span" && n != "a" {
				b.WriteByte(' ')
			}
		}
	}
}

func TestPageReadsWithoutScript(t *testing.T) {
	t.Parallel()
	r := fakeBroken(fakePlan(3, 5, time.Minute), 7, 240)
	text := visible(t, written(t, r))
	want := []string{
		"shop-offline", r.Plan.Shows, "2 promises were broken: acknowledged writes survive and equal states after healing.",
		"causeway sim run shop-offline --seed 7", "seed 7", "8 nodes", "3 core nodes, 5 edges", "1 min 4 s",
		"in 812 ms of real time",
		"healed at 1m 00s",
		"edge-1 and edge-2 ↔ everybody else: nothing gets through", "from to lasts what", "12s 39s 27 s partition",
		"core-2 killed", "clock step edge-2 has its clock set forward by 1 h", "24s at once",
		"edge-3 ↔ everybody else: delay 2 s ± 300 ms, loss 30 % (correlation 25 %), 8 kB/s",
		"loss edge-3 ↔ core-2 (1 %, correlation 25 %) 1 % 0.0012 % ! 0 %", "attach granted 31",
		"vector width 8 4\u2009096",
	}
	for _, v := range r.Verdicts {
		want = append(want, v.Check)
		for _, c := range codes(v.Promise) {
			want = append(want, invariants[c])
		}
		if v.Examined == 0 {
			want = append(want, "nothing examined")
		} else {
			want = append(want, number(v.Examined)+" examined")
		}
		for _, violation := range v.Violations {
			want = append(want, violation.Text)
		}
	}
	for _, w := range want {
		if w = strings.Join(strings.Fields(w), " "); !strings.Contains(text, w) {
			t.Errorf("the page does not say %q", w)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestViolationsLeadIntoTheDiagram(t *testing.T) {
	t.Parallel()
	r := fakeBroken(fakePlan(3, 5, time.Minute), 7, 240)
	page := written(t, r)
	lost := r.History.Calls[r.Problems[0].Calls[0]]
	link := fmt.Sprintf(`href="#diagram" data-at="%d" data-node="edge-5" data-session="default/s-1"`,
		lost.Begin.Microseconds())
	if n := strings.Count(page, link); n != 2 { // in the list and below the promise
		t.Errorf("%d links %s, want 2: a violation without a time is shown at its first call", n, link)
	}
	d := dataOf(t, page)
	if len(d.Problems) != 2 || d.Problems[0].At != lost.Begin.Microseconds() || d.Problems[0].Node != "edge-5" {
		t.Errorf("violations in the diagram: %+v", d.Problems)
	}
}

func TestWriteIsAFunctionOfTheResult(t *testing.T) {
	t.Parallel()
	r := fakeBroken(fakePlan(3, 5, time.Minute), 3, 240)
	first := written(t, r)
	for range 5 {
		if written(t, r) != first {
			t.Fatal("two pages of one result differ")
		}
	}
}

func TestWriteOfLittle(t *testing.T) {
	t.Parallel()
	if err := Write(io.Discard, nil); !errors.Is(err, ErrNothing) {
		t.Errorf("Write(nil) = %v, want ErrNothing", err)
	}
	for name, r := range map[string]*sim.Result{
		"zero": {}, "no plan": {Seed: 4, Trace: []sim.Event{{Serial: 1}}},
		"no trace": func() *sim.Result {
			r := fakeRun(fakePlan(1, 2, time.Minute), 1, 40)
			r.Trace = nil
			return r
		}(),
		"stray serials and causes": {Plan: fakePlan(1, 1, time.Second), Trace: []sim.Event{
			{Serial: 9, Kind: sim.EvArrive, Node: "core-1", Cause: 9}, {Serial: 12, Kind: sim.EvDrop, Node: "?", Cause: 77},
			{Serial: 13, Kind: sim.EvCommit, Node: "edge-1", Vector: "no token"}}},
	} {
		page := written(t, r)
		visible(t, page)
		dataOf(t, page)
		if name == "no trace" && !strings.Contains(page, "kept no trace") {
			t.Error("a page without a trace does not say so")
		}
	}
}

// full refuses to take more than so many bytes.
type full int

func (f *full) Write(p []byte) (int, error) {
	if *f -= full(len(p)); *f < 0 {
		return 0, errFull
	}
	return len(p), nil
}

var errFull = errors.New("full")

func TestWriteReportsTheWriter(t *testing.T) {
	t.Parallel()
	for _, room := range []full{0, 100, 30_000} {
		if err := Write(&room, fakeRun(fakePlan(1, 2, time.Minute), 1, 40)); !errors.Is(err, errFull) {
			t.Errorf("Write to a full disk = %v, want %v", err, errFull)
		}
	}
}

// evil is what somebody may have written who wants to run a script in the page.
const evil = `</script><script>document.documentElement.dataset.pwned="yes"</script>` +
	`<!--<script>"'><img src=x onerror="document.documentElement.dataset.pwned='yes'">` +
	" {{.}} ${1} \u2028\u202e`\x00\xff"

// spoil puts evil into every text of v, whatever its type.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoil(v.Elem())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() {
				spoil(field)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i))
		}
	case reflect.Map:
		spoiled := reflect.MakeMap(v.Type())
		for _, key := range v.MapKeys() {
			k, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			k.Set(key)
			value.Set(v.MapIndex(key))
			spoil(k)
			spoil(value)
			spoiled.SetMapIndex(k, value)
		}
		v.Set(spoiled)
	case reflect.String:
		v.SetString(v.String() + evil)
	}
}

// hostile is a result in which every text is evil.
func hostile() *sim.Result {
	r := fakeBroken(fakePlan(2, 3, time.Minute), 5, 60)
	spoil(reflect.ValueOf(r))
	return r
}

func TestNothingBreaksOut(t *testing.T) {
	t.Parallel()
	page := written(t, hostile())
	if n := strings.Count(strings.ToLower(page), "<script"); n != 2 {
		t.Errorf("%d scripts begin in the page, want 2: data and script", n)
	}
	if n := strings.Count(strings.ToLower(page), "</script"); n != 2 {
		t.Errorf("%d scripts end in the page, want 2", n)
	}
	for _, bad := range []string{"<img", "<!--", `onerror="`} {
		if strings.Contains(page, bad) {
			t.Errorf("%s stands in the page unescaped", bad)
		}
	}
	if text := visible(t, page); !strings.Contains(text, "<img src=x") {
		t.Error("hostile text is not shown as text")
	}
	d := dataOf(t, page)
	found := false
	for _, s := range d.Strings {
		found = found || strings.Contains(s, "</script><script>")
	}
	if !found {
		t.Error("hostile text is not in the data: the test proves nothing")
	}
}

func TestPageLoadsNothing(t *testing.T) {
	t.Parallel()
	page := written(t, fakeRun(fakePlan(1, 2, time.Minute), 1, 40))
	page = strings.ReplaceAll(page, "http://www.w3.org/2000/svg", "") // a name, not an address
	for _, bad := range []string{"http:", "https:", "//cdn", "@import", "url(", " src=", "<link", "<iframe", "fetch(",
		"XMLHttpRequest",
		"import(", "WebSocket"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page may load something: it contains %q", bad)
		}
	}
	for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
		"eval(", "new Function", ".cssText"} {
		if strings.Contains(page, bad) {
			t.Errorf("the script makes markup or code from text: %q", bad)
		}
	}
	if !strings.Contains(page, "default-src &#39;none&#39;") && !strings.Contains(page, "default-src 'none'") {
		t.Error("the page has no content security policy")
	}
}

func TestHeadline(t *testing.T) {
	t.Parallel()
	nodes := func(n int) (finals []check.Final, plans []sim.NodePlan) {
		for i := range n {
			name := fmt.Sprintf("n%d", i)
			finals, plans = append(finals, check.Final{Node: name}), append(plans, sim.NodePlan{Name: name})
		}
		return finals, plans
	}
	finals, plans := nodes(8)
	survive := check.Verdict{Check: "acknowledged writes survive", Promise: "I2", Examined: 3}
	converge := sim.Expect{Converge: true}
	for _, c := range []struct {
		name, state, line, more string
		r                       sim.Result
	}{
		{"kept", "kept", "Nothing acknowledged was lost; all 8 nodes agreed 3.2 s after healing.", "", sim.Result{
			Plan: &sim.Plan{Nodes: plans, Expect: converge}, Verdicts: []check.Verdict{survive},
			History: check.History{Finals: finals, Healed: time.Minute, Settled: time.Minute + 3200*time.Millisecond}}},
		{"one is gone, something is excused", "kept",
			"Nothing acknowledged was lost; all 7 healthy nodes (of 8) agreed 3.2 s after healing.",
			"2 values are excused: no disk and no stream that was left held them.", sim.Result{
				Plan: &sim.Plan{Nodes: plans, Expect: converge}, Verdicts: []check.Verdict{survive},
				History: check.History{Finals: finals[1:], Healed: time.Minute, Settled: time.Minute + 3200*time.Millisecond,
					Excused: map[string]bool{"a": true, "b": true}}}},
		{"loss was not examined", "kept", "No promise was broken; that all nodes agree was not asked for.", "", sim.Result{
			Plan: &sim.Plan{}, Verdicts: []check.Verdict{{Check: "bounds", Promise: "I12", Examined: 1}, {Promise: "I2"}}}},
		{"nothing examined", "empty", "No checker examined anything, so this run shows nothing.", "", sim.Result{
			Plan: &sim.Plan{}, Verdicts: []check.Verdict{{Check: "bounds"}}}},
		{"broken", "broken", "1 promise was broken: acknowledged writes survive.",
			"First: v7 is gone (at 4.200s)", sim.Result{
				Plan: &sim.Plan{}, Verdicts: []check.Verdict{survive}, Problems: []check.Violation{
					{Check: "acknowledged writes survive", Text: "v9 is gone too", At: 5 * time.Second},
					{Check: "acknowledged writes survive", Text: "v7 is gone", At: 4200 * time.Millisecond}}}},
		{"broken, said by the verdict only", "broken", "1 promise was broken: bounds.", "First: 9 > 8", sim.Result{
			Plan: &sim.Plan{}, Verdicts: []check.Verdict{{Check: "bounds",
				Violations: []check.Violation{{Check: "bounds", Text: "9 > 8"}}}}}},
	} {
		h := headOf(&c.r, problemsOf(&c.r))
		if h.State != c.state || h.Verdict != c.line || h.More != c.more {
			t.Errorf("%s: head = %s %q %q, want %s %q %q", c.name, h.State, h.Verdict, h.More, c.state, c.line, c.more)
		}
	}
}

// The checkers' promises are said in words, those of the world too.
func TestPromisesHaveWords(t *testing.T) {
	t.Parallel()
	r := &sim.Result{Plan: &sim.Plan{}, Verdicts: check.All(&check.History{}), Problems: []check.Violation{
		{Check: "released ops are in enough core stores (I16)", Text: "x"}}}
	for _, p := range promisesOf(r) {
		if len(p.Words) == 0 || p.Words[0] == "" {
			t.Errorf("the promise of %q has no words", p.Check)
		}
	}
	own := promiseOf(r, check.Verdict{Check: "c", Promise: "what is said twice counts once (I4, F41)", Examined: 1})
	if own.Words[0] != "what is said twice counts once (I4, F41)" || own.Codes != "I4, F41" {
		t.Errorf("a checker with a sentence of its own: %+v", own)
	}
}

func TestEveryFaultHasWords(t *testing.T) {
	t.Parallel()
	for k := sim.Partition; k <= sim.Upgrade; k++ {
		f := sim.Fault{Kind: k, Nodes: []string{"edge-1"}, Peers: []string{"core-1"},
			Ago: time.Hour, Delay: -time.Hour, Count: 2}
		if faultName(k) == "fault" {
			t.Errorf("kind %d has no name", k)
		}
		if words := faultWords(f); words == "edge-1" || !strings.HasPrefix(words, "edge-1 ") {
			t.Errorf("kind %s has no words: %q", faultName(k), words)
		}
	}
	one := sim.Fault{Kind: sim.Partition, Nodes: []string{"edge-1"}, Peers: []string{"core-1", "core-2"},
		Direction: sim.To}
	if got, want := faultWords(one), "edge-1 → core-1 and core-2 (one way): nothing gets through"; got != want {
		t.Errorf("faultWords = %q, want %q", got, want)
	}
}

func TestFaultEnds(t *testing.T) {
	t.Parallel()
	r := &sim.Result{Plan: &sim.Plan{}, Simulated: 100 * time.Second, History: check.History{Healed: 60 * time.Second}}
	for _, c := range []struct {
		f     sim.Fault
		end   time.Duration
		lasts bool
	}{
		{sim.Fault{Kind: sim.Partition, At: 5 * time.Second, For: 10 * time.Second}, 15 * time.Second, true},
		{sim.Fault{Kind: sim.Partition, At: 5 * time.Second}, 60 * time.Second, true},
		{sim.Fault{Kind: sim.Crash, At: 55 * time.Second, For: 10 * time.Second}, 60 * time.Second, true},
		{sim.Fault{Kind: sim.Crash, At: 5 * time.Second, Permanent: true}, 100 * time.Second, true},
		{sim.Fault{Kind: sim.ClockStep, At: 5 * time.Second}, 5 * time.Second, false},
	} {
		if end, lasts := faultEnd(r, c.f); end != c.end || lasts != c.lasts {
			t.Errorf("faultEnd(%v) = %v, %v, want %v, %v", c.f, end, lasts, c.end, c.lasts)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	type pair struct{ got, want string }
	day := 24 * time.Hour
	for _, p := range []pair{
		{span(0), "0 s"}, {span(1500 * time.Nanosecond), "1.5 µs"}, {span(8400 * time.Microsecond), "8.4 ms"},
		{span(840 * time.Millisecond), "840 ms"}, {span(3214 * time.Millisecond), "3.21 s"},
		{span(862 * time.Second), "14 min 22 s"},
		{span(time.Hour), "1 h"}, {span(30*day + 4*time.Hour), "30 d 4 h"}, {span(-time.Second), "−1 s"},
		{moment(3204 * time.Millisecond), "3.204s"}, {moment(300 * time.Second), "5m 00s"}, {moment(0), "0s"},
		{moment(862480 * time.Millisecond), "14m 22.480s"},
		{moment(4*time.Hour + 2*time.Minute + 3200*time.Millisecond), "4h 02m 03.2s"},
		{moment(29*day + 4*time.Hour + 3*time.Second), "29d 04h 00m 03s"},
		{percent(0), "0 %"}, {percent(0.3), "30 %"}, {percent(0.015), "1.5 %"},
		{percent(0.000012), "0.0012 %"}, {percent(1e-9), "1.0e-07 %"},
		{number(7), "7"}, {number(31324), "31\u2009324"}, {number(-1234567), "−1\u2009234\u2009567"},
		{rateOf(900), "900 B/s"}, {rateOf(8000), "8 kB/s"}, {rateOf(12_500_000), "12.5 MB/s"},
		{list(nil, 3), ""}, {list([]string{"a"}, 3), "a"}, {list([]string{"a", "b", "c"}, 3), "a, b and c"},
		{list([]string{"a", "b", "c", "d"}, 3), "a, b and 2 others"},
		{clip("größer", 4), "grö…"}, {clip("größe", 5), "größe"}, {clip("a\xffb", 5), "a\ufffdb"},
		{shellWord("a/b-c.yaml"), "a/b-c.yaml"}, {shellWord("it's; rm"), `'it'\''s; rm'`},
	} {
		if p.got != p.want {
			t.Errorf("got %q, want %q", p.got, p.want)
		}
	}
}
