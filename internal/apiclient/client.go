package apiclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of retries and of what is read.
const (
	maxAttempts    = 8
	firstPause     = 50 * time.Millisecond
	longestPause   = 5 * time.Second
	maxAnswerBytes = 512 << 20 // a page of 1,000 messages of the largest size fits
	problemBytes   = 64 << 10
)

// Client calls one node. The zero value does not work; use [New].
type Client struct {
	base string
	http *http.Client
	// wait pauses between attempts; tests replace it.
	wait func(context.Context, time.Duration) error
}

// New returns a client for the node at base, such as http://127.0.0.1:7101. It
// keeps up to conns connections open.
func New(base string, conns int) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("node address is %q, want http://HOST:PORT", base)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = conns, conns
	return &Client{base: strings.TrimSuffix(base, "/"), http: &http.Client{Transport: t}, wait: pause}, nil
}

// Problem is an error answer of a node.
type Problem struct {
	Status int      `json:"status"`
	Code   string   `json:"code"`
	Title  string   `json:"title"`
	Detail string   `json:"detail"`
	Legal  []string `json:"legal"`
	Hint   string   `json:"hint"`
}

func (p *Problem) Error() string {
	s := fmt.Sprintf("%s (%d %s)", p.Title, p.Status, p.Code)
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	if len(p.Legal) > 0 {
		s += "; legal moves: " + strings.Join(p.Legal, ", ")
	}
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}

// Call is one request.
type Call struct {
	Method, Path string // Path with its query, escaped
	Body         []byte // JSON; nil for none
	Key          string // idempotency key; a write without one gets a random one
	IfMatch      string
	Actor        string
	Durability   string
	Priority     string // "live" (for "" too), "import" or "backlog"
}

// Do makes the call and decodes the answer into answer unless that is nil.
// A refusal is a *[Problem].
func (c *Client) Do(ctx context.Context, call Call, answer any) error {
	if call.Key == "" && call.Method != http.MethodGet {
		call.Key = rand.Text()
	}
	for attempt := 1; ; attempt++ {
		after, err := c.once(ctx, call, answer)
		if err == nil || ctx.Err() != nil || !passes(err) || attempt == maxAttempts {
			return err
		}
		if err := c.wait(ctx, max(after, backoff(attempt))); err != nil {
			return err
		}
	}
}

// errConnection marks failures of the connection: whether the call was carried
// out is unknown.
var errConnection = errors.New("no answer from the node")

// passes reports whether the same call may succeed later.
func passes(err error) bool {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
	}
	return errors.Is(err, errConnection)
}

// backoff gives a pause of between half and all of a doubling bound.
func backoff(attempt int) time.Duration {
	bound := min(firstPause<<(attempt-1), longestPause)
	n, err := rand.Int(rand.Reader, big.NewInt(int64(bound/2)))
	if err != nil {
		return bound // no randomness, no jitter
	}
	return bound/2 + time.Duration(n.Int64())
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// once makes one attempt. after is what the node asked to wait.
func (c *Client) once(ctx context.Context, call Call, answer any) (after time.Duration, err error) {
	var body io.Reader
	if call.Body != nil {
		body = bytes.NewReader(call.Body)
	}
	r, err := http.NewRequestWithContext(ctx, call.Method, c.base+call.Path, body)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", call.Method, call.Path, err)
	}
	for name, v := range map[string]string{
		"Idempotency-Key": call.Key, "Causeway-Actor": call.Actor, "Causeway-Durability": call.Durability,
		"If-Match": call.IfMatch, "Causeway-Priority": call.Priority,
	} {
		if v != "" {
			r.Header.Set(name, v)
		}
	}
	if call.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errConnection, err)
	}
	defer func() { _ = resp.Body.Close() }() // everything wanted is read by then
	if resp.StatusCode >= 400 {
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || seconds < 0 {
			seconds = 0
		}
		return min(time.Duration(seconds)*time.Second, longestPause), readProblem(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errConnection, err)
	}
	if answer == nil {
		return 0, nil
	}
	if raw, ok := answer.(*json.RawMessage); ok {
		*raw = b
		return 0, nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return 0, fmt.Errorf("%s %s: answer: %w", call.Method, call.Path, err)
	}
	return 0, nil
}

func readProblem(resp *http.Response) error {
	p := &Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
	b, err := io.ReadAll(io.LimitReader(resp.Body, problemBytes))
	if err != nil {
		return fmt.Errorf("%w: %w", errConnection, err)
	}
	if json.Unmarshal(b, p) != nil || p.Code == "" {
		p.Code, p.Detail = "not_causeway", fmt.Sprintf("%.200q", b)
	}
	p.Status = resp.StatusCode
	return p
}
