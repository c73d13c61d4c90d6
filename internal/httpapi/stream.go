package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lxzan/gws"

	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/internal/inorder"
)

// readBuffer is what each WebSocket holds for reading.
const readBuffer = 4 << 10

// Codes of RFC 6455, section 7.4.1.
const (
	closeUnsupported = 1003 // a message that is no text
	closeInvalid     = 1007
	closeTooBig      = 1009
	closeInternal    = 1011
)

// openStream makes a WebSocket of the request.
func (a *api) openStream(w http.ResponseWriter, r *http.Request) error {
	if err := checkUpgrade(r); err != nil {
		return err
	}
	if err := a.guard.Check(asWrite(r)); err != nil {
		return problem("cross_origin", "the request comes from a page of %.80q", r.Header.Get("Origin"))
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return problem("upgrade_required", "this connection cannot become a WebSocket")
	}
	nc, rest, err := hijacker.Hijack()
	if err != nil {
		return fmt.Errorf("take over the connection: %w", err)
	}
	s := &stream{api: a, net: nc, request: writeTemplate(r)}
	if err := s.serve(r, rest.Reader); err != nil {
		a.refuseHijacked(nc, r, err)
	}
	return nil
}

// asWrite is the request as if it would write, which a WebSocket may: then
// pages of other sites are refused.
func asWrite(r *http.Request) *http.Request {
	w := *r
	w.Method = http.MethodPost
	return &w
}

func checkUpgrade(r *http.Request) error {
	token := func(name, want string) bool {
		for part := range strings.SplitSeq(strings.Join(r.Header.Values(name), ","), ",") {
			if strings.EqualFold(strings.TrimSpace(part), want) {
				return true
			}
		}
		return false
	}
	switch {
	case !token("Connection", "upgrade") || !token("Upgrade", "websocket"):
		return problem("upgrade_required", "this is a WebSocket; events are the same as an event stream")
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return problem("upgrade_required", "Sec-WebSocket-Version must be 13").at("Sec-WebSocket-Version")
	case r.Header.Get("Sec-Websocket-Key") == "":
		return problem("bad_header", "Sec-WebSocket-Key is missing").at("Sec-WebSocket-Key")
	}
	return nil
}

// refuseHijacked answers on a connection that the server has given away.
func (a *api) refuseHijacked(nc net.Conn, r *http.Request, err error) {
	w := newRecorder()
	writeProblem(w, r, a.log, err)
	w.header.Set("Connection", "close")
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	var b strings.Builder
	b.WriteString(head)
	_ = w.header.Write(&b) // a builder takes everything
	b.WriteString("\r\n")
	b.Write(w.body.Bytes())
	_ = nc.SetWriteDeadline(time.Now().Add(headerTimeout)) // then the write fails
	_, _ = io.WriteString(nc, b.String())                  // the client may have gone
	_ = nc.Close()
}

// sockets makes WebSockets, when the first one is asked for: it holds memory.
func (a *api) sockets() *gws.Upgrader {
	return gws.NewUpgrader(&socketEvents{}, &gws.ServerOption{
		ReadMaxPayloadSize: push.MaxMessageBytes, ReadBufferSize: readBuffer, CheckUtf8Enabled: true,
		PermessageDeflate: gws.PermessageDeflate{Enabled: true, PoolSize: 2, Level: 1},
		HandshakeTimeout:  headerTimeout,
	})
}

// stream is one client's WebSocket. Its reading goroutine owns it; what is
// written goes through conn.
type stream struct {
	api     *api
	net     net.Conn
	conn    *push.Conn
	request *http.Request // what its writes have in common

	line  inorder.Line
	calls sync.WaitGroup // writes under way
	done  bool           // the handshake is over
	ctx   context.Context
}

// serve shakes hands and starts to read.
func (s *stream) serve(r *http.Request, rest *bufio.Reader) error {
	deflate := strings.Contains(r.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate")
	var err error
	if s.conn, err = s.api.hub.Attach(s.net, deflate); err != nil {
		return overloaded(err)
	}
	from := io.Reader(s.net)
	if early, err := rest.Peek(rest.Buffered()); err == nil && len(early) > 0 {
		from = io.MultiReader(strings.NewReader(string(early)), s.net) // sent without waiting for our answer
	}
	wire := &socketConn{Conn: s.net, stream: s}
	socket, err := s.api.upgrader().UpgradeFromConn(wire, bufio.NewReaderSize(from, readBuffer), r)
	if err != nil {
		s.conn.Detach() // the reason was written
		return nil
	}
	s.done = true
	ctx, stop := context.WithCancel(context.WithoutCancel(r.Context()))
	s.ctx = withConn(ctx, s.conn)
	if !s.api.hub.Go(func() {
		defer stop()
		socket.ReadLoop()
		s.conn.Detach()
		s.calls.Wait() // what was taken is carried out
	}) {
		stop()
		s.conn.Detach()
	}
	return nil
}

// overloaded tells why a client cannot be connected.
func overloaded(err error) error {
	switch {
	case errors.Is(err, push.ErrFull):
		return problem("overloaded", "%v", err)
	case errors.Is(err, push.ErrClosed):
		return problem("unavailable", "%v", err)
	}
	return err
}

// socketConn is the connection as the WebSocket library sees it. After the
// handshake it reads, and what it writes by itself (the frame that ends the
// connection) goes the way of everything else.
type socketConn struct {
	net.Conn
	stream *stream
}

// Write writes the handshake, and then hands over frames.
func (c *socketConn) Write(p []byte) (int, error) {
	if !c.stream.done {
		return c.Conn.Write(p)
	}
	frame := bytes.Clone(p)
	if len(frame) >= 4 && binary.BigEndian.Uint16(frame[2:]) == closeInternal {
		// It says so of a message that cannot be unpacked.
		code := uint16(closeInvalid)
		if bytes.Contains(frame[4:], []byte("too large")) {
			code = closeTooBig
		}
		binary.BigEndian.PutUint16(frame[2:], code)
	}
	c.stream.conn.EndWith(frame)
	return len(p), nil
}

// Close does nothing after the handshake: see push.Conn.Detach.
func (c *socketConn) Close() error {
	if !c.stream.done {
		return c.Conn.Close()
	}
	return nil
}

// socketEvents is what the library calls, for all streams.
type socketEvents struct{ gws.BuiltinEventHandler }

func streamOf(socket *gws.Conn) *stream { return socket.NetConn().(*socketConn).stream }

// OnPing answers, and counts as a sign of life.
func (socketEvents) OnPing(socket *gws.Conn, payload []byte) {
	s := streamOf(socket)
	s.conn.Heard()
	s.conn.Pong(payload)
}

// OnPong is a sign of life.
func (socketEvents) OnPong(socket *gws.Conn, _ []byte) { streamOf(socket).conn.Heard() }

// OnMessage takes a request.
func (socketEvents) OnMessage(socket *gws.Conn, m *gws.Message) {
	s := streamOf(socket)
	s.conn.Heard()
	if m.Opcode != gws.OpcodeText {
		s.conn.End(closeUnsupported, "messages are text")
		_ = m.Close()
		return
	}
	s.take(m)
}
