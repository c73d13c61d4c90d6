package push

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Event is a change as clients get it, encoded once. Its token differs from
// client to client where their tokens do, and goes into a gap.
type Event struct {
	json []byte // the change; the value of its member "version" is empty
	gap  int    // where the token goes
	envelope
	message string // id of the message that it puts; empty for other changes

	plain    sync.Once // guards frame
	frame    []byte    // as a WebSocket frame, with the topic's token
	packed   sync.Once // guards deflated
	deflated []byte    // the same, compressed
}

// envelope is what stands before a change in a message to a WebSocket.
type envelope struct{ head []byte }

func newEnvelope(space, id string) envelope {
	head := []byte(`{"type":"change","space":`)
	head = append(head, quote(space)...)
	if id != "" {
		head = append(append(head, `,"session":`...), quote(id)...)
	}
	return envelope{append(head, `,"change":`...)}
}

func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("push: want a string that encodes, have " + err.Error())
	}
	return b
}

const emptyVersion = `"version":""`

// newItem encodes a change.
func newItem(c session.Change, env envelope) (live.Item[*Event], error) {
	dot, err := vclock.ParseDot(c.Dot)
	if err != nil {
		return live.Item[*Event]{}, fmt.Errorf("change %q: %w", c.Dot, err)
	}
	c.Version = ""
	e := &Event{json: compact(&c), envelope: env}
	// Before it stand only a word, a session's name and a dot, which hold no quotes.
	e.gap = bytes.Index(e.json, []byte(emptyVersion)) + len(emptyVersion) - 1
	if e.gap < len(emptyVersion) {
		panic("push: want a change with a version, have " + string(e.json))
	}
	if c.Type == "message" && c.Message != nil {
		e.message = c.Message.ID
	}
	return live.Item[*Event]{Dot: dot, Bytes: len(e.json), Event: e}, nil
}

// compact encodes what always can be encoded.
func compact(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // clients get back the bytes that they wrote
	if err := enc.Encode(v); err != nil {
		panic("push: want something that encodes, have " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// appendJSON appends the change with its token.
func (e *Event) appendJSON(b []byte, token string) []byte {
	b = append(b, e.json[:e.gap]...)
	b = append(b, token...)
	return append(b, e.json[e.gap:]...)
}

// appendFrame appends the change as a WebSocket frame for one client.
func appendFrame(b []byte, d *live.Delivery[*Event], deflate bool) []byte {
	e := d.Event
	if !d.Shared {
		return appendText(b, e.text(d.Version.String()), deflate)
	}
	if deflate && len(e.head)+len(e.json) >= deflateFrom {
		e.packed.Do(func() { e.deflated = appendText(nil, e.text(d.Version.String()), true) })
		return append(b, e.deflated...)
	}
	e.plain.Do(func() { e.frame = appendText(nil, e.text(d.Version.String()), false) })
	return append(b, e.frame...)
}

// text is the message to a WebSocket.
func (e *Event) text(token string) []byte {
	b := make([]byte, 0, len(e.head)+len(e.json)+len(token)+1)
	b = append(b, e.head...)
	return append(e.appendJSON(b, token), '}')
}

// WebSocket frames (RFC 6455, section 5.2) with the bit of compressed messages
// (RFC 7692). A server's are not masked.
const (
	frameText  = 0x81
	frameClose = 0x88
	framePing  = 0x89
	framePong  = 0x8A
	rsv1       = 0x40
)

// appendText appends a text frame; it is compressed if that is agreed and worth it.
func appendText(b, text []byte, deflate bool) []byte {
	if deflate && len(text) >= deflateFrom {
		if small, ok := deflated(text); ok {
			return append(appendHeader(b, frameText|rsv1, len(small)), small...)
		}
	}
	return append(appendHeader(b, frameText, len(text)), text...)
}

func appendHeader(b []byte, first byte, size int) []byte {
	switch {
	case size < 126:
		return append(b, first, byte(size))
	case size < 1<<16:
		return append(b, first, 126, byte(size>>8), byte(size))
	}
	return binary.BigEndian.AppendUint64(append(b, first, 127), uint64(size))
}

// appendClose appends a frame that ends the connection. reason is cut to what
// such a frame holds.
func appendClose(b []byte, code int, reason string) []byte {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	b = appendHeader(b, frameClose, 2+len(reason))
	return append(append(b, byte(code>>8), byte(code)), reason...)
}

const maxReason = 123 // bytes of a close frame's reason

// flushed is how a compressed block ends that a message leaves out (RFC 7692, 7.2.1).
const flushed = "\x00\x00\xff\xff"

// deflated compresses a message by itself: no window is kept for a connection.
// ok is false if it did not get smaller.
func deflated(text []byte) (small []byte, ok bool) {
	var b bytes.Buffer
	b.Grow(len(text)/2 + 64)
	if err := flate.StatelessDeflate(&b, text, false, nil); err != nil {
		panic("push: want a buffer that takes what is written, have " + err.Error())
	}
	small, ok = bytes.CutSuffix(b.Bytes(), []byte(flushed))
	return small, ok && len(small) < len(text)
}
