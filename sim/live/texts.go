package live

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim"
	"github.com/causeway-sync/causeway/sim/check"
)

// prepareText edits a text as the node shows it now; what comes in between, the
// node merges.
func (p *people) prepareText(ctx context.Context, in *intent, m *member) bool {
	look := &intent{call: in.call}
	look.call.Kind, look.call.Core = sim.CallRead, false
	seen := p.show(ctx, look, m)
	if seen == nil || seen.Gone != "" {
		return false
	}
	in.target = sim.TextName(in.call.Target)
	base, place := seen.Version, sessionPath(in.call.Space, in.call.Session)+"/texts/"+url.PathEscape(in.target)
	var sealed session.Text
	if err := p.web.get(ctx, m.url(), place, &sealed); err == nil && strings.HasPrefix(sealed.Version, base+".") {
		base = sealed.Version // with the seal that only the text itself has
	}
	p.mu.Lock()
	p.typed[in.call.Client]++
	edits, word, drops := sim.Typed(seen.Texts[in.target], p.value(), p.typed[in.call.Client])
	p.mu.Unlock()
	in.values, in.drops = []check.Value{{ID: in.target, Value: word}}, drops
	in.q.method = http.MethodPost
	in.q.path = place + "/edits"
	in.q.body = jsonOf(map[string]any{"base": base, "edits": edits})
	return true
}

// texts reads the texts of a session.
func (w *web) texts(ctx context.Context, node string, doc *session.Document) (map[string]string, error) {
	all := map[string]string{}
	for _, name := range doc.Texts {
		var shown session.Text
		if err := w.get(ctx, node, sessionPath(doc.Space, doc.ID)+"/texts/"+url.PathEscape(name), &shown); err != nil {
			return nil, err
		}
		all[name] = shown.Text
	}
	return all, nil
}
