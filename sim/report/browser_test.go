package report

import (
	"bytes"
	"context"
	"html"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// browser gives the path of a Chromium, or skips the test: $CAUSEWAY_BROWSER,
// else what the path has.
func browser(t testing.TB) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	if own := os.Getenv("CAUSEWAY_BROWSER"); own != "" {
		names = []string{own}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("no browser: none of %s is there; set CAUSEWAY_BROWSER to the path of a Chromium", strings.Join(names, ", "))
	return ""
}

// patience has the browser wait for timers, in a time of its own.
const patience = "--virtual-time-budget=5000"

// browse opens a page without a window and gives what the browser prints.
func browse(t testing.TB, page string, flags ...string) string {
	t.Helper()
	path := browser(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "report.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp(dir, "profile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // a helper process may still write while it ends
		for range 1000 {
			if os.RemoveAll(profile) == nil {
				return
			}
		}
	})
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-sync",
		"--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--disable-breakpad",
		"--hide-scrollbars", "--force-device-scale-factor=1", "--window-size=1400,2400",
		"--user-data-dir=" + profile}, flags...)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append(args, "file://"+file)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, errs.String())
	}
	return out.String()
}

// driven gives the page with scripts from testdata behind its own, and without
// the policy that forbids them.
func driven(t testing.TB, page string, names ...string) string {
	t.Helper()
	var script strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		script.WriteString(string(data))
	}
	return behind(t, page, script.String())
}

// behind puts a script behind that of the page.
func behind(t testing.TB, page, script string) string {
	t.Helper()
	return strings.Replace(unguarded(t, page), "</body>", "<script>{"+script+"}</script></body>", 1)
}

// unguarded gives the page without its content security policy.
func unguarded(t testing.TB, page string) string {
	t.Helper()
	policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`)
	if len(policy.FindAllString(page, -1)) != 1 {
		t.Fatal("want one content security policy in the page")
	}
	return policy.ReplaceAllString(page, "")
}

// noted gives an attribute that the page or a test's script has set on the root.
func noted(t testing.TB, dom, name string) string {
	t.Helper()
	root, _, _ := strings.Cut(dom[max(strings.Index(dom, "<html"), 0):], ">")
	m := regexp.MustCompile(`data-` + name + `="([^"]*)"`).FindStringSubmatch(root)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// fifty is a run of 20 nodes with more events than are drawn.
func fifty(t testing.TB) *sim.Result {
	t.Helper()
	r := fakeRun(fakePlan(3, 17, 14*time.Minute), 0x51c3, 1300)
	if len(r.Trace) < MaxEvents {
		t.Fatalf("the run has %d events, want %d", len(r.Trace), MaxEvents)
	}
	return r
}

// TestBrowser opens pages in a real browser, one after the other: it needs a
// core of its own.
func TestBrowser(t *testing.T) {
	t.Parallel()
	browser(t)
	t.Run("draws fifty thousand events", drawsFiftyThousandEvents)
	t.Run("hands work", handsWork)
	t.Run("runs nothing of others", runsNothingOfOthers)
	t.Run("tells of failure", tellsOfFailure)
}

// The budget: 50,000 events in 20 lanes are a page below 10 MB that is drawn
// within 2 seconds, without an error, and is not blank.
func drawsFiftyThousandEvents(t *testing.T) {
	page := written(t, fifty(t))
	if len(page) > 10e6 {
		t.Errorf("the page has %d bytes, want less than 10 MB", len(page))
	}
	measured := behind(t, page, `const b = document.getElementById("lanes").getBoundingClientRect();
		const began = performance.now(); let sum = 0;
		for (let i = 0; i < 1e8; i++) sum = (sum * 31 + i) | 0;
		document.documentElement.dataset.loop = Math.round(performance.now() - began) + (sum & 1) / 1e9;
		document.documentElement.dataset.result = "ok " + [b.left, b.top, b.right, b.bottom].map(Math.round).join(" ");`)
	// How long a loop takes, of which we know that it is about idleLoop on an
	// idle machine, tells how much of one the page has had.
	const budget, idleLoop = 2000, 120
	var dom string
	var drawn, loop int
	for try := 0; try < 3 && (try == 0 || drawn > budget*max(loop, idleLoop)/idleLoop); try++ {
		dom = browse(t, measured, "--dump-dom")
		if got := noted(t, dom, "state"); got != "ready" {
			t.Fatalf("the page is %q, want ready", got)
		}
		drawn, loop = atoi(t, noted(t, dom, "drawn")), atoi(t, noted(t, dom, "loop"))
	}
	if limit := budget * max(loop, idleLoop) / idleLoop; drawn > limit {
		t.Errorf("drawn after %d ms, want at most %d, as a loop of %d ms takes %d", drawn, limit, idleLoop, loop)
	}
	box := boxOf(t, noted(t, dom, "result"))
	t.Logf("%d bytes, drawn after %d ms (the loop took %d), of these %s ms for the picture %v", len(page), drawn,
		loop, noted(t, dom, "frame"), box)
	colours, paper := coloursOf(t, shot(t, page), box) // with the policy, which the page must live with
	if colours < 100 || paper < 0.2 || paper > 0.97 {
		t.Errorf("diagram %v has %d colours, and %.0f %% of it are background: is it blank?", box, colours, paper*100)
	}
	if os.Getenv("CAUSEWAY_PICTURES") != "" {
		shot(t, page, "--blink-settings=preferredColorScheme=0") // dark
	}
}

// atoi reads a whole number of milliseconds.
func atoi(t testing.TB, text string) int {
	t.Helper()
	whole, _, _ := strings.Cut(text, ".")
	n, err := strconv.Atoi(whole)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// boxOf reads "ok left top right bottom".
func boxOf(t testing.TB, text string) image.Rectangle {
	t.Helper()
	var n [4]int
	fields := strings.Fields(text)
	if len(fields) != 5 || fields[0] != "ok" {
		t.Fatalf("place of the diagram: %q", text)
	}
	for i := range n {
		v, err := strconv.Atoi(fields[i+1])
		if err != nil {
			t.Fatal(err)
		}
		n[i] = v
	}
	return image.Rect(n[0], n[1], n[2], n[3])
}

// shot gives a picture of a page.
func shot(t testing.TB, page string, flags ...string) image.Image {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.png")
	browse(t, page, append(flags, "--screenshot="+file)...)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("the browser made no picture: %v", err)
	}
	if dir := os.Getenv("CAUSEWAY_PICTURES"); dir != "" { // for a person to look at
		name := filepath.Join(dir, strings.ReplaceAll(t.Name()+strings.Join(flags, ""), "/", "-")+".png")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Error(err)
		}
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("the browser's picture: %v", err)
	}
	return picture
}

// coloursOf counts the colours in a part of a picture and gives the share of
// the most frequent one.
func coloursOf(t testing.TB, picture image.Image, box image.Rectangle) (colours int, most float64) {
	t.Helper()
	box = box.Intersect(picture.Bounds())
	if box.Dx() < 600 || box.Dy() < 200 {
		t.Fatalf("the diagram is at %v of a picture of %v: too little of it is in the picture", box, picture.Bounds())
	}
	counts := map[[3]uint32]int{}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			counts[[3]uint32{r, g, b}]++
		}
	}
	largest := 0
	for _, n := range counts {
		largest = max(largest, n)
	}
	return len(counts), float64(largest) / float64(box.Dx()*box.Dy())
}

// What a person does with keyboard and mouse has the effect that is promised.
func handsWork(t *testing.T) {
	page := driven(t, written(t, fakeBroken(fakePlan(3, 5, time.Minute), 7, 240)), "drive.js", "hands.js")
	dom := browse(t, page, "--dump-dom", patience)
	if got := noted(t, dom, "result"); got != "ok" || noted(t, dom, "state") != "ready" {
		t.Errorf("%s\nthe page is %q", got, noted(t, dom, "state"))
	}
}

// What anybody wrote stays text in a real browser, even without the policy.
func runsNothingOfOthers(t *testing.T) {
	dom := browse(t, driven(t, written(t, hostile()), "drive.js", "hostile.js"), "--dump-dom", patience)
	if noted(t, dom, "pwned") != "" {
		t.Fatal("a script of somebody else ran in the page")
	}
	if got := noted(t, dom, "result"); got != "ok" || noted(t, dom, "state") != "ready" {
		t.Errorf("%s\nthe page is %q", got, noted(t, dom, "state"))
	}
}

// A page says so when its script fails; the test would see it.
func tellsOfFailure(t *testing.T) {
	page := written(t, fakeRun(fakePlan(1, 2, time.Minute), 1, 40))
	page = strings.Replace(page, `"lanes":[`, `"lanes":[null,`, 1)
	if got := noted(t, browse(t, page, "--dump-dom"), "state"); got != "failed" {
		t.Errorf("the page with broken data is %q, want failed", got)
	}
}
