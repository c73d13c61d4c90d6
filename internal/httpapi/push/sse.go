package push

import (
	"github.com/causeway-sync/causeway/protocol/live"
)

// AppendEvents appends a batch as Server-Sent Events: each change under its
// token, so that a client comes back with the last one it has.
func AppendEvents(b []byte, batch *Batch) []byte {
	for i := range batch.Changes {
		d := &batch.Changes[i]
		token := d.Version.String()
		b = append(append(append(b, "id: "...), token...), "\nevent: change\ndata: "...)
		b = append(d.Event.appendJSON(b, token), "\n\n"...)
	}
	if batch.Tell {
		token := batch.Version.String()
		b = append(append(append(b, "id: "...), token...), "\nevent: caught_up\ndata: {\"version\":\""...)
		b = append(append(b, token...), '"')
		if batch.Standing == live.Behind {
			b = append(b, `,"behind":true`...)
		}
		b = append(b, "}\n\n"...)
	}
	return b
}

// AppendProblemEvent appends a problem as an event: the stream ends behind it.
func AppendProblemEvent(b, problem []byte) []byte {
	b = append(append(b, "event: problem\ndata: "...), problem...)
	return append(b, "\n\n"...)
}

// AppendSignalEvent appends a signal as an event without an id.
func AppendSignalEvent(b []byte, n *Note) []byte {
	b = append(append(b, "event: signal\ndata: "...), n.data...)
	return append(b, "\n\n"...)
}
