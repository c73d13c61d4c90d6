package httpapi

import (
	"encoding/json"
	"html"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// description is the OpenAPI document and the page made from it.
type description struct{ json, html []byte }

// queryParams describes every query parameter there is.
var queryParams = map[string]struct{ kind, doc string }{
	"state":   {"string", "initialized, active, paused or ended"},
	"label":   {"string", "key=value"},
	"limit":   {"integer", "items in the page: 100 if absent, at most 1000"},
	"after":   {"string", "next of the page before; for messages: a message id"},
	"before":  {"string", "message id: list what stands before it"},
	"tail":    {"boolean", "list the last messages instead of the first"},
	"view":    {"string", "linear, tree, or model: the last turns as chat completions want them"},
	"repair":  {"boolean", "show one result of each call, made up where there is none; true with view=model"},
	"last":    {"integer", "with view=model: whole turns of at most so many messages, at least one turn"},
	"tokens":  {"integer", "with view=model: likewise, of about so many tokens"},
	"explain": {"boolean", "say of each message why it stands behind the one before it"},
	"since":   {"string", "version token; absent: from the beginning"},
	"wait":    {"string", "wait so long for something to list, like 30s; at most 5m"},
	"signals": {"boolean", "false: changes only"},
}

var writeHeaders = []struct{ name, doc string }{
	{headerKey, "1 to 256 printable ASCII characters; the same request under the same key gives the first answer again"},
	{headerDurability, "local (default) or core"},
	{headerActor, "who asks; at most 256 bytes"},
	{headerIfMatch, "a version; 412 if the session moved on"},
}

// describe builds the OpenAPI document. It panics on a schema that cannot be
// built, which is a bug in the table of routes.
func describe(routes []route) description {
	registry := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if name, ok := schemaNames[t]; ok {
			return name
		}
		return huma.DefaultSchemaNamer(t, hint)
	})
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "causeway", Version: "1",
			Description: "Sessions of conversations, kept at the edge and synced with a core cluster. The same on every node.",
		},
		Components: &huma.Components{Schemas: registry},
	}
	failure := &huma.Response{
		Description: "a problem (RFC 9457)",
		Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: registry.Schema(reflect.TypeFor[Problem](), true, "")},
		},
	}
	for _, rt := range routes {
		doc.AddOperation(operation(registry, &rt, failure))
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic("httpapi: want an OpenAPI document that encodes, have " + err.Error())
	}
	return description{json: text, html: page(doc, routes)}
}

func operation(registry huma.Registry, rt *route, failure *huma.Response) *huma.Operation {
	op := &huma.Operation{
		OperationID: rt.name, Method: rt.method, Path: rt.path, Summary: rt.summary,
		Responses: map[string]*huma.Response{},
	}
	for part := range strings.SplitSeq(rt.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			op.Parameters = append(op.Parameters, &huma.Param{
				Name: strings.TrimSuffix(name, "}"), In: "path", Required: true,
				Schema: &huma.Schema{Type: "string", Pattern: "^[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}$"},
			})
		}
	}
	for _, name := range rt.query {
		p, ok := queryParams[name]
		if !ok {
			panic("httpapi: want a described query parameter, have " + name)
		}
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: name, In: "query", Description: p.doc, Schema: &huma.Schema{Type: p.kind},
		})
	}
	if rt.write {
		for _, h := range writeHeaders {
			op.Parameters = append(op.Parameters, &huma.Param{
				Name: h.name, In: "header", Description: h.doc, Schema: &huma.Schema{Type: "string"},
			})
		}
	}
	if rt.body != nil {
		op.RequestBody = requestBody(registry, rt)
	}
	describeAnswers(registry, rt, op, failure)
	return op
}

func requestBody(registry huma.Registry, rt *route) *huma.RequestBody {
	schema := registry.Schema(reflect.TypeOf(rt.body), true, rt.name)
	if rt.name == "append-messages" {
		schema = &huma.Schema{OneOf: []*huma.Schema{schema, registry.Schema(reflect.TypeFor[batchSchema](), true, "")}}
	}
	content := map[string]*huma.MediaType{"application/json": {Schema: schema}}
	if rt.name == "patch-context" {
		content["application/merge-patch+json"] = &huma.MediaType{Schema: schema}
	}
	return &huma.RequestBody{Required: rt.name != "open-session", Content: content}
}

func describeAnswers(registry huma.Registry, rt *route, op *huma.Operation, failure *huma.Response) {
	good := &huma.Response{Description: http.StatusText(rt.status)}
	if rt.answer != nil {
		schema := registry.Schema(reflect.TypeOf(rt.answer), true, rt.name)
		if rt.name == "append-messages" {
			schema = &huma.Schema{OneOf: []*huma.Schema{schema, registry.Schema(reflect.TypeFor[batchAnswer](), true, "")}}
		}
		good.Content = map[string]*huma.MediaType{"application/json": {Schema: schema}}
	}
	op.Responses[strconv.Itoa(rt.status)] = good
	if rt.write {
		text := &huma.Schema{Type: "string"}
		good.Headers = map[string]*huma.Param{
			headerVersion:  {Description: "the session's version after the write", Schema: text},
			headerReplayed: {Description: "true: the first answer to this key again", Schema: text},
		}
		degraded := *good
		degraded.Description = "stored at this node; core was asked for and could not be had in time"
		op.Responses["202"] = &degraded
	}
	if !rt.plain || rt.name == "ready" {
		op.Responses["default"] = failure
	}
}

func (a *api) serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	send(w, http.StatusOK, "application/vnd.oai.openapi+json;version=3.1", a.describe().json)
	return nil
}

func (a *api) serveDocs(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	send(w, http.StatusOK, "text/html; charset=utf-8", a.describe().html)
	return nil
}

const pageHead = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>causeway API</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f4f4f4;padding:.7rem;overflow:auto}
h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;margin:.5rem 0}
td,th{text-align:left;vertical-align:top;padding:.1rem .9rem .1rem 0}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#252525}a{color:#8bf}}
</style></head><body><h1>causeway API</h1>
<p>The same document for programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
`

// page shows the document as one page that loads nothing from elsewhere.
func page(doc *huma.OpenAPI, routes []route) []byte {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, rt := range routes {
		item := doc.Paths[rt.path]
		op := map[string]*huma.Operation{
			http.MethodGet: item.Get, http.MethodPost: item.Post,
			http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
		}[rt.method]
		writeOperation(&b, &rt, op)
	}
	b.WriteString("<h2>Problems</h2><table><tr><th>status<th>code<th>meaning</tr>\n")
	for _, k := range kinds {
		b.WriteString("<tr><td>" + strconv.Itoa(k.status) + "<td><code>" + k.code + "</code><td>" +
			html.EscapeString(k.title) + "</tr>\n")
	}
	b.WriteString("</table><h2>Schemas</h2>\n")
	schemas := doc.Components.Schemas.Map()
	names := make([]string, 0, len(schemas))
	for name := range schemas {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b.WriteString(`<h3 id="` + name + `">` + name + "</h3>\n")
		writeJSON(&b, schemas[name])
	}
	b.WriteString("</body></html>\n")
	return []byte(b.String())
}

func writeOperation(b *strings.Builder, rt *route, op *huma.Operation) {
	b.WriteString(`<h2 id="` + rt.name + `"><code>` + rt.method + " " + html.EscapeString(rt.path) +
		"</code></h2>\n<p>" + html.EscapeString(rt.summary) + "</p>\n")
	if len(op.Parameters) > 0 {
		b.WriteString("<table>")
		for _, p := range op.Parameters {
			b.WriteString("<tr><td><code>" + p.Name + "</code><td>" + p.In + "<td>" +
				html.EscapeString(p.Description) + "</tr>\n")
		}
		b.WriteString("</table>\n")
	}
	if op.RequestBody != nil {
		b.WriteString("<p>Body: ")
		writeRefs(b, op.RequestBody.Content["application/json"].Schema)
		b.WriteString("</p>\n")
	}
	good := op.Responses[strconv.Itoa(rt.status)]
	b.WriteString("<p>Answer " + strconv.Itoa(rt.status) + ": ")
	if m := good.Content["application/json"]; m != nil {
		writeRefs(b, m.Schema)
	}
	b.WriteString("</p>\n")
}

// writeRefs links the schemas that a schema names.
func writeRefs(b *strings.Builder, s *huma.Schema) {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		b.WriteString(`<a href="#` + name + `">` + name + "</a> ")
		return
	}
	for _, one := range s.OneOf {
		writeRefs(b, one)
	}
	if len(s.OneOf) == 0 {
		b.WriteString("any JSON object")
	}
}

func writeJSON(b *strings.Builder, s *huma.Schema) {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("httpapi: want a schema that encodes, have " + err.Error())
	}
	b.WriteString("<pre>" + html.EscapeString(string(text)) + "</pre>\n")
}
