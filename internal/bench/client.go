package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// client is one keep-alive connection. It does as little as an HTTP client
// can, so that the processor is left to the server.
type client struct {
	host string
	conn net.Conn
	in   *bufio.Reader
	body []byte // of the last answer
	wait bool   // the last answer said when to come back
}

func dial(host string) (*client, error) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	return &client{host: host, conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}, nil
}

// request makes the bytes of a request.
func (c *client) request(method, path string, body []byte) []byte {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		method, path, c.host, len(body))
	return append([]byte(head), body...)
}

// do sends a request and reads the answer; it gives the status.
func (c *client) do(request []byte) (int, error) {
	if err := c.send(request); err != nil {
		return 0, err
	}
	return c.receive()
}

func (c *client) send(request []byte) error {
	_, err := c.conn.Write(request)
	return err
}

func (c *client) receive() (status int, err error) {
	length := -1
	c.wait = false
	for first := true; ; first = false {
		l, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		l = bytes.TrimRight(l, "\r\n")
		if first {
			if len(l) < 12 {
				return 0, fmt.Errorf("answer begins with %q", l)
			}
			if status, err = strconv.Atoi(string(l[9:12])); err != nil {
				return 0, err
			}
			continue
		}
		if len(l) == 0 {
			break
		}
		name, value, ok := bytes.Cut(l, []byte(": "))
		c.wait = c.wait || ok && strings.EqualFold(string(name), "retry-after")
		if ok && strings.EqualFold(string(name), "content-length") {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return c.receiveChunks(status)
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.in, c.body)
	return status, err
}

// receiveChunks reads a body whose length was not told.
func (c *client) receiveChunks(status int) (int, error) {
	c.body = c.body[:0]
	for {
		l, err := c.in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(l), 16, 32)
		if err != nil {
			return 0, err
		}
		at := len(c.body)
		c.body = append(c.body, make([]byte, n+2)...)
		if _, err := io.ReadFull(c.in, c.body[at:]); err != nil {
			return 0, err
		}
		if c.body = c.body[:at+int(n)]; n == 0 {
			return status, nil
		}
	}
}

// writes is what a load came to.
type writes struct {
	rate     float64
	total    int // with those before the measurement
	p50, p99 time.Duration
}

// load has n clients send one request after the other for a while, after a
// short time that does not count. request gives the bytes that client i sends.
func load(host string, n int, span time.Duration, request func(c *client, i int) []byte) (writes, error) {
	warm := min(span/4, 300*time.Millisecond)
	var (
		all       sync.WaitGroup
		mu        sync.Mutex // guards what follows
		latencies []time.Duration
		total     int
		failures  []error
	)
	began := time.Now().Add(warm)
	for i := range n {
		all.Go(func() {
			took, before, err := oneClient(host, i, began, span, request)
			mu.Lock()
			defer mu.Unlock()
			total += before + len(took)
			latencies = append(latencies, took...)
			if err != nil {
				failures = append(failures, err)
			}
		})
	}
	all.Wait()
	w := writes{rate: float64(len(latencies)) / span.Seconds(), total: total}
	w.p50, w.p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	return w, errors.Join(failures...)
}

// oneClient gives the times that its requests took, and how many it made
// before began.
func oneClient(host string, i int, began time.Time, span time.Duration, request func(c *client, i int) []byte) (
	took []time.Duration, before int, err error,
) {
	c, err := dial(host)
	if err != nil {
		return nil, 0, err
	}
	defer c.conn.Close()
	bytes := request(c, i)
	for {
		at := time.Now()
		if at.Sub(began) >= span {
			return took, before, nil
		}
		status, err := c.do(bytes)
		if err != nil {
			return took, before, err
		}
		if status/100 != 2 {
			return took, before, fmt.Errorf("status %d: %s", status, c.body)
		}
		if at.Before(began) {
			before++
		} else {
			took = append(took, time.Since(at))
		}
	}
}

const sessionsPath = "/v1/spaces/default/sessions"

// open opens sessions named prefix0 to prefix(n-1).
func open(host, prefix string, n int) error {
	var all sync.WaitGroup
	errs := make([]error, 64)
	for w := range errs {
		all.Go(func() {
			c, err := dial(host)
			if err != nil {
				errs[w] = err
				return
			}
			defer c.conn.Close()
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				body := fmt.Sprintf(`{"id":"%s%d"}`, prefix, i)
				status, err := c.do(c.request(http.MethodPost, sessionsPath, []byte(body)))
				if errs[w] = err; err == nil && status != http.StatusCreated {
					errs[w] = fmt.Errorf("open session: status %d: %s", status, c.body)
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// text is a message's content of about n bytes, of words.
func words(n int) string {
	const line = "the link to the data centre is down and the conversation goes on at this edge while "
	return strings.Repeat(line, n/len(line)+1)[:n]
}

// messageBody is a request body of about n bytes for one message.
func messageBody(n int) []byte {
	return fmt.Appendf(nil, `{"role":"user","content":%q}`, words(n-28))
}

// batchBody is a request body for several messages.
func batchBody(messages, n int) []byte {
	one := string(messageBody(n))
	return []byte(`{"messages":[` + strings.Repeat(one+",", messages-1) + one + `]}`)
}

// fetch decodes the answer to a GET.
func fetch(url string, into any) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
