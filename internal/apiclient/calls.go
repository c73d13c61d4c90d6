package apiclient

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/causeway-sync/causeway/session"
)

// pageSize is what lists ask for at a time.
const pageSize = 500

// SpacePath is the path of a space.
func SpacePath(space string) string { return "/v1/spaces/" + url.PathEscape(space) }

// SessionPath is the path of a session; rest is appended as it is.
func SessionPath(space, id, rest string) string {
	return SpacePath(space) + "/sessions/" + url.PathEscape(id) + rest
}

// Session reads one session.
func (c *Client) Session(ctx context.Context, space, id string) (session.Document, error) {
	var d session.Document
	err := c.Do(ctx, Call{Method: http.MethodGet, Path: SessionPath(space, id, "")}, &d)
	return d, err
}

// Text reads one text of a session.
func (c *Client) Text(ctx context.Context, space, id, name string) (session.Text, error) {
	t := session.Text{Name: name}
	err := c.Do(ctx, Call{Method: http.MethodGet, Path: SessionPath(space, id, "/texts/"+url.PathEscape(name))}, &t)
	return t, err
}

// SessionFilter narrows [Client.Sessions].
type SessionFilter struct{ State, Label string }

// Sessions yields all sessions, newest activity first. One that is written to
// meanwhile may come twice. It stops after the first error.
func (c *Client) Sessions(ctx context.Context, space string, f SessionFilter) iter.Seq2[session.Document, error] {
	return func(yield func(session.Document, error) bool) {
		q := url.Values{"limit": {strconv.Itoa(pageSize)}}
		for name, v := range map[string]string{"state": f.State, "label": f.Label} {
			if v != "" {
				q.Set(name, v)
			}
		}
		for {
			var page struct {
				Sessions []session.Document `json:"sessions"`
				Next     string             `json:"next"`
			}
			call := Call{Method: http.MethodGet, Path: SpacePath(space) + "/sessions?" + q.Encode()}
			if err := c.Do(ctx, call, &page); err != nil {
				yield(session.Document{}, err)
				return
			}
			for _, d := range page.Sessions {
				if !yield(d, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.Set("after", page.Next)
		}
	}
}

// Messages yields all messages of a session in its order. It stops after the
// first error.
func (c *Client) Messages(ctx context.Context, space, id string) iter.Seq2[session.Message, error] {
	return func(yield func(session.Message, error) bool) {
		after := ""
		for {
			page, err := c.messagePage(ctx, space, id, url.Values{"after": {after}}, pageSize)
			if err != nil {
				yield(session.Message{}, err)
				return
			}
			for _, m := range page.Messages {
				if !yield(m, nil) {
					return
				}
			}
			if after = page.Next; after == "" {
				return
			}
		}
	}
}

// Tail reads the last n messages of a session.
func (c *Client) Tail(ctx context.Context, space, id string, n int) ([]session.Message, error) {
	page, err := c.messagePage(ctx, space, id, url.Values{"tail": {"true"}}, n)
	return page.Messages, err
}

type messagePage struct {
	Messages []session.Message `json:"messages"`
	Next     string            `json:"next"`
}

func (c *Client) messagePage(ctx context.Context, space, id string, q url.Values, limit int) (messagePage, error) {
	q.Set("limit", strconv.Itoa(limit))
	var page messagePage
	err := c.Do(ctx, Call{Method: http.MethodGet, Path: SessionPath(space, id, "/messages?"+q.Encode())}, &page)
	return page, err
}

// Changes reads what since does not cover, or waits for it. wait is like "30s".
func (c *Client) Changes(ctx context.Context, space, id, since, wait string) ([]session.Change, string, error) {
	q := url.Values{"since": {since}, "wait": {wait}, "limit": {strconv.Itoa(pageSize)}}
	var page struct {
		Changes []session.Change `json:"changes"`
		Next    string           `json:"next"`
	}
	err := c.Do(ctx, Call{Method: http.MethodGet, Path: SessionPath(space, id, "/changes?"+q.Encode())}, &page)
	return page.Changes, page.Next, err
}
