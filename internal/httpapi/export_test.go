package httpapi

import (
	"context"

	"github.com/causeway-sync/causeway/session"
)

// Kind is a row of the table of codes.
type Kind struct {
	Status      int
	Code, Title string
}

// Kinds gives the table of codes.
func Kinds() []Kind {
	out := make([]Kind, len(kinds))
	for i, k := range kinds {
		out[i] = Kind{k.status, k.code, k.title}
	}
	return out
}

// Of the JSON walker, for the fuzz target that compares it with encoding/json.
var (
	CheckJSON  = checkJSON
	ReadAppend = readAppend
)

// ReadTextEdits reads the body of an edit.
func ReadTextEdits(b []byte) (session.EditText, error) { return readTextEdits(b, "notes") }

// WithLeave makes the context of a request that was admitted.
func WithLeave(ctx context.Context, leave func()) context.Context {
	return context.WithValue(ctx, leaveKey{}, leave)
}

// ReadStreamMessage reads what a client sends over a WebSocket; it gives the
// type and the body.
func ReadStreamMessage(b []byte) (kind string, body []byte, err error) {
	m, err := readStreamMessage(b)
	return m.kind, m.body, err
}
