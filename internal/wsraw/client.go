package wsraw

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// Opcodes.
const (
	Text   = 0x1
	Binary = 0x2
	Close  = 0x8
	Ping   = 0x9
	Pong   = 0xA
)

const (
	fin    = 0x80
	rsv1   = 0x40
	masked = 0x80

	maxFrame = 64 << 20
	sample   = "dGhlIHNhbXBsZSBub25jZQ=="
	guid     = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// Client is one connection. Reading and writing may go on side by side.
type Client struct {
	Conn    net.Conn
	in      *bufio.Reader
	buf     []byte // of the last frame
	Packed  int    // messages that came compressed
	deflate bool

	writing sync.Mutex // guards out: who reads answers pings
	out     []byte     // of the frame being written
}

// Frame is a frame as it came; Payload is good until the next one.
type Frame struct {
	Opcode  byte
	Payload []byte
}

// CloseError says with what the server ended the connection.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("closed by the server: %d %s", e.Code, e.Reason)
}

// Options of a handshake.
type Options struct {
	Deflate bool
	Header  http.Header
	Buffer  int // bytes for reading; 0: 4 KiB
}

// Dial connects to http://host:port and shakes hands for path.
func Dial(url, path string, o Options) (*Client, error) {
	host := strings.TrimPrefix(url, "http://")
	nc, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	c, err := New(nc, host, path, o)
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

// New shakes hands on a connection.
func New(nc net.Conn, host, path string, o Options) (*Client, error) {
	if o.Buffer == 0 {
		o.Buffer = 4 << 10
	}
	c := &Client{Conn: nc, in: bufio.NewReaderSize(nc, o.Buffer), deflate: o.Deflate}
	head := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + sample + "\r\n"
	if o.Deflate {
		head += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	}
	var b bytes.Buffer
	b.WriteString(head)
	if err := o.Header.Write(&b); err != nil {
		return nil, err
	}
	b.WriteString("\r\n")
	if _, err := nc.Write(b.Bytes()); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	sum := sha1.Sum([]byte(sample + guid))
	if res.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // for the error's text only
		return nil, fmt.Errorf("handshake: %s: %s", res.Status, text)
	}
	if got := res.Header.Get("Sec-WebSocket-Accept"); got != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("handshake: accept is %q", got)
	}
	c.deflate = strings.Contains(res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	if c.deflate != o.Deflate {
		return nil, fmt.Errorf("handshake: extensions are %q", res.Header.Get("Sec-WebSocket-Extensions"))
	}
	return c, nil
}

// AppendFrame appends a frame as a client sends it.
func AppendFrame(b []byte, opcode byte, payload []byte) []byte {
	return appendFrame(b, fin|opcode, payload)
}

func appendFrame(b []byte, first byte, payload []byte) []byte {
	b = append(b, first)
	switch n := len(payload); {
	case n < 126:
		b = append(b, masked|byte(n))
	case n < 1<<16:
		b = append(b, masked|126, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), uint64(n))
	}
	key := [4]byte{0x5a, 0xc3, 0x17, 0x88}
	b = append(b, key[:]...)
	at := len(b)
	b = append(b, payload...)
	for i := range payload {
		b[at+i] ^= key[i&3]
	}
	return b
}

// Send writes a text message.
func (c *Client) Send(text string) error { return c.Write(Text, []byte(text)) }

// SendPacked writes a text message compressed.
func (c *Client) SendPacked(text string) error {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	payload := bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = appendFrame(c.out[:0], fin|rsv1|Text, payload)
	_, err = c.Conn.Write(c.out)
	return err
}

// Write writes one frame.
func (c *Client) Write(opcode byte, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = AppendFrame(c.out[:0], opcode, payload)
	_, err := c.Conn.Write(c.out)
	return err
}

// Next gives the next frame. The frame that ends the connection is a
// [*CloseError]. Pings are given like all others, and not answered.
func (c *Client) Next() (Frame, error) {
	var h [2]byte
	if _, err := io.ReadFull(c.in, h[:]); err != nil {
		return Frame{}, err
	}
	if h[0]&^(rsv1|0x0f) != fin || h[1]&masked != 0 {
		return Frame{}, fmt.Errorf("frame begins with %x", h)
	}
	n := uint64(h[1])
	if n >= 126 {
		var long [8]byte
		size := map[byte]int{126: 2, 127: 8}[h[1]]
		if _, err := io.ReadFull(c.in, long[8-size:]); err != nil {
			return Frame{}, err
		}
		n = binary.BigEndian.Uint64(long[:])
	}
	if n > maxFrame {
		return Frame{}, fmt.Errorf("frame of %d bytes", n)
	}
	if uint64(cap(c.buf)) < n {
		c.buf = make([]byte, n)
	}
	f := Frame{Opcode: h[0] & 0x0f, Payload: c.buf[:n]}
	if _, err := io.ReadFull(c.in, f.Payload); err != nil {
		return Frame{}, err
	}
	if h[0]&rsv1 != 0 {
		if err := c.unpack(&f); err != nil {
			return Frame{}, err
		}
	}
	if f.Opcode == Close {
		if n < 2 {
			return Frame{}, &CloseError{}
		}
		return Frame{}, &CloseError{int(binary.BigEndian.Uint16(f.Payload)), string(f.Payload[2:])}
	}
	return f, nil
}

func (c *Client) unpack(f *Frame) error {
	if !c.deflate || f.Opcode != Text {
		return errors.New("a compressed frame that was not agreed")
	}
	c.Packed++
	tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff") // and an end, which messages leave out
	plain, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(f.Payload), tail)))
	f.Payload = plain
	return err
}

// NextText gives the next message, and answers pings on the way.
func (c *Client) NextText() ([]byte, error) {
	for {
		f, err := c.Next()
		if err != nil {
			return nil, err
		}
		switch f.Opcode {
		case Text:
			return f.Payload, nil
		case Ping:
			if err := c.Write(Pong, f.Payload); err != nil {
				return nil, err
			}
		}
	}
}

// Buffered reports whether part of the next frame has come already.
func (c *Client) Buffered() bool { return c.in.Buffered() > 0 }
