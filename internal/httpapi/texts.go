package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/session"
)

// textAnswer answers an edit.
type textAnswer struct {
	Version    string      `json:"version"`
	Edits      []text.Edit `json:"edits" doc:"the others' edits since base, to be made after yours"`
	Durability Durability  `json:"durability"`
	Degraded   bool        `json:"degraded,omitempty" doc:"core was asked for and could not be had in time"`
	Fallback   string      `json:"fallback,omitempty" doc:"why: the name of the degraded mode"`
}

// The types below only describe bodies.
type (
	textEditSchema struct {
		Pos int    `json:"pos" minimum:"0" doc:"in Unicode code points"`
		Del int    `json:"del,omitempty" minimum:"0" doc:"code points deleted at pos"`
		Ins string `json:"ins,omitempty" doc:"inserted at pos"`
	}
	textEditsSchema struct {
		Base  *string          `json:"base,omitempty" doc:"version that you saw; absent: the present one"`
		Edits []textEditSchema `json:"edits" minItems:"1" maxItems:"1024" doc:"each on the text that the one before left"`
	}
)

func (a *api) getText(w http.ResponseWriter, r *http.Request) error {
	space, id, err := target(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if err := checkName(name, "name"); err != nil {
		return err
	}
	t, err := a.svc.Text(r.Context(), space, id, name)
	if err != nil {
		return err
	}
	w.Header()["Etag"] = []string{etag(t.Version)}
	return reply(w, http.StatusOK, &t)
}

func (a *api) editText(w http.ResponseWriter, r *http.Request) error {
	ans, err := a.write(w, r, func(b []byte) (session.Action, error) {
		name := r.PathValue("name")
		if err := checkName(name, "name"); err != nil {
			return nil, err
		}
		return readTextEdits(b, name)
	})
	if err != nil {
		return err
	}
	version, status := writeStatus(w, &ans, http.StatusOK)
	return reply(w, status, &textAnswer{version, list(ans.Edits), ans.Durability, ans.Degraded, ans.Fallback})
}

func readTextEdits(b []byte, name string) (session.EditText, error) {
	do := session.EditText{Name: name}
	rd, err := newReader(b)
	if err != nil {
		return do, err
	}
	err = rd.members(b, "", func(name string, v []byte) error {
		switch name {
		case "base":
			return rd.base(v, &do)
		case "edits":
			return rd.elements(v, name, func(i int, v []byte) error {
				if i == session.MaxTextCallEdits {
					return problem("batch_too_large", "more edits than one call takes").at(name).limit(i)
				}
				e, err := rd.textEdit(v, fmt.Sprintf("edits[%d]", i))
				do.Edits = append(do.Edits, e)
				return err
			})
		}
		return unknownField(name)
	})
	if err == nil && len(do.Edits) == 0 {
		err = problem("invalid_body", "edits is missing or empty").at("edits")
	}
	return do, err
}

// base reads a version, or null for the present one.
func (rd reader) base(v []byte, do *session.EditText) error {
	if string(v) == "null" {
		return nil
	}
	token, err := rd.str(v, "base")
	if err != nil {
		return err
	}
	at, seal, err := session.ParseSealed(token)
	if err != nil {
		return problem("bad_version", "base: %v", err).at("base")
	}
	do.Base, do.Seal = &at, seal
	return nil
}

func (rd reader) textEdit(b []byte, path string) (text.Edit, error) {
	var e text.Edit
	hasPos := false
	err := rd.members(b, path, func(name string, v []byte) (err error) {
		at := join(path, name)
		switch name {
		case "pos":
			hasPos = true
			e.Pos, err = codePoints(v, at)
		case "del":
			e.Del, err = codePoints(v, at)
		case "ins":
			e.Ins, err = exactly(v, at)
		default:
			err = unknownField(at)
		}
		return err
	})
	if err == nil && !hasPos {
		err = problem("invalid_body", "%s is missing", join(path, "pos")).at(join(path, "pos"))
	}
	return e, err
}

// codePoints reads a place in a text or a length of it.
func codePoints(v []byte, at string) (int, error) {
	n, err := strconv.ParseUint(string(v), 10, 64)
	switch {
	case err != nil:
		return 0, problem("invalid_body", "%s must be a whole number of code points", at).at(at)
	case n > text.MaxPos:
		return 0, problem("edit_outside_text", "%s is %d", at, n).at(at).limit(text.MaxPos)
	}
	return int(n), nil
}

// exactly reads a string of any text. Half of a surrogate pair is refused, not
// replaced: whoever counts what he sent must count what is kept.
func exactly(v []byte, at string) (string, error) {
	if v[0] != '"' {
		return "", wrongType(at, "a string")
	}
	if halfPair(v) {
		return "", problem("invalid_utf8", "%s holds half of a surrogate pair", at).at(at)
	}
	return unquote(v)
}

// halfPair reports whether a JSON string has an escaped surrogate without its
// other half.
func halfPair(quoted []byte) bool {
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		i++
		if quoted[i] != 'u' {
			continue
		}
		r := escaped(quoted[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		rest := quoted[i+1:]
		if !bytes.HasPrefix(rest, []byte(`\u`)) || utf16.DecodeRune(r, escaped(rest[2:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escaped gives the number that four hex digits write.
func escaped(b []byte) rune {
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		panic("httpapi: want four hex digits, which the scan saw, have " + string(b[:4]))
	}
	return rune(n)
}
