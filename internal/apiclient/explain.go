package apiclient

import (
	"context"
	"net/url"

	"github.com/causeway-sync/causeway/session"
)

// Explain reads the last n messages of a session, each with why it stands where
// it does.
func (c *Client) Explain(ctx context.Context, space, id string, n int) ([]session.Message, error) {
	page, err := c.messagePage(ctx, space, id, url.Values{"tail": {"true"}, "explain": {"true"}}, n)
	return page.Messages, err
}
