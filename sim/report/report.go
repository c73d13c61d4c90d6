package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/causeway-sync/causeway/sim"
)

// The parts of the page.
var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/diagram.css
	diagramCSS string
	//go:embed page/data.js
	dataJS string
	//go:embed page/scale.js
	scaleJS string
	//go:embed page/draw.js
	drawJS string
	//go:embed page/marks.js
	marksJS string
	//go:embed page/inspect.js
	inspectJS string
	//go:embed page/diagram.js
	diagramJS string
	//go:embed page/session.js
	sessionJS string
	//go:embed page/main.js
	mainJS string
)

// ErrNothing is returned by [Write] when there is no run to show.
var ErrNothing = errors.New("report: no result")

// page is what the template shows.
type page struct {
	Style      template.CSS
	Script     template.JS
	Data       template.JS
	StyleHash  string
	ScriptHash string

	Head     head
	Problems []problem
	Left     int // problems that are not listed
	Promises []promise
	Faults   faults
	Rates    []rate
	Facts    []count
	Bounds   []bound
	Calls    []tally
	Drawn    string // what the diagram shows of the trace
	Trace    bool   // there is a trace
}

// Write writes the page of r to w. It returns ErrNothing if r is nil, and the
// errors of w. It reads r only, and gives the same bytes for the same r. The
// page is below 10 MB for any run; building it takes time and memory in
// proportion to trace and history.
func Write(w io.Writer, r *sim.Result) error {
	if r == nil {
		return ErrNothing
	}
	run := *r
	if run.Plan == nil {
		run.Plan = &sim.Plan{}
	}
	p, err := build(&run)
	if err != nil {
		return err
	}
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("read page of the report: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return fmt.Errorf("make report: %w", err)
	}
	if _, err := w.Write(bytes.ToValidUTF8(b.Bytes(), []byte("\ufffd"))); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// build gathers everything that the page shows of r.
func build(r *sim.Result) (*page, error) {
	problems := problemsOf(r)
	d := diagramOf(r, problems)
	stories, leftOut, err := storiesOf(r, problems)
	if err != nil {
		return nil, err
	}
	d.Sessions, d.SessionsLeftOut = stories, leftOut
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write data of the report: %w", err)
	}
	script := "(() => {\n'use strict';\n" +
		strings.Join([]string{dataJS, scaleJS, drawJS, marksJS, inspectJS, diagramJS, sessionJS, mainJS}, "\n") + "})();\n"
	style := pageCSS + diagramCSS
	p := &page{
		Style:      template.CSS(style),
		Script:     template.JS(script),
		Data:       template.JS(data), // encoding/json escapes <, > and &
		StyleHash:  hashSource(style),
		ScriptHash: hashSource(script),
		Head:       headOf(r, problems),
		Problems:   problems[:min(len(problems), MaxProblems)],
		Left:       max(len(problems)-MaxProblems, 0),
		Promises:   promisesOf(r),
		Faults:     faultsOf(r),
		Rates:      ratesOf(r),
		Facts:      factsOf(r),
		Bounds:     boundsOf(r),
		Calls:      talliesOf(r),
		Drawn:      d.drawn(),
		Trace:      len(r.Trace) > 0,
	}
	return p, nil
}

// hashSource names a script or style for the content security policy.
func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
