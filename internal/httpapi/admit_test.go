package httpapi_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/httpapi/httpapitest"
	"github.com/causeway-sync/causeway/internal/intake"
)

// guarded is a service behind buckets that tests turn by hand.
type guarded struct {
	httpapitest.Service
	at      time.Time
	buckets *intake.Buckets
	inside  int
	asked   []string
}

func (g *guarded) Admit(_ context.Context, space, client string, class intake.Class) (func(), []intake.Standing, error) {
	g.asked = append(g.asked, fmt.Sprint(space, " ", client, " ", class))
	a := g.buckets.Take(g.at, space, client)
	if a.Refused {
		return nil, a.Standings, &httpapi.RateError{Scope: a.By, Wait: a.Wait}
	}
	g.inside++
	return func() { g.inside-- }, a.Standings, nil
}

func TestQuotasAreTold(t *testing.T) {
	t.Parallel()
	g := &guarded{at: time.Now(), buckets: intake.NewBuckets(intake.Quotas{
		intake.OfNode: {Rate: 1000, Burst: 500}, intake.OfClient: {Rate: 0.4, Burst: 2}})}
	f := &fixture{svc: &g.Service, h: httpapi.Handler(g, nil)}
	check := func(method, path, body string, status int, limit, policy, retry string, headers ...string) {
		t.Helper()
		w := f.do(request(method, path, body, headers...))
		h := w.Header()
		if w.Code != status || h.Get("RateLimit") != limit || h.Get("RateLimit-Policy") != policy || h.Get("Retry-After") != retry {
			t.Errorf("%s %s = %d, RateLimit %q, RateLimit-Policy %q, Retry-After %q, want %d %q %q %q; %s", method, path, w.Code,
				h.Get("RateLimit"), h.Get("RateLimit-Policy"), h.Get("Retry-After"), status, limit, policy, retry, w.Body)
		}
	}
	const policy = `"node";q=500;w=1, "client";q=2;w=5`
	check("POST", sessionsURL, `{"id":"s-1"}`, 201, `"node";r=499;t=1, "client";r=1;t=3`, policy, "", "Causeway-Actor", "ann")
	check("POST", at("s-1", "messages"), hello, 201, `"node";r=498;t=1, "client";r=0;t=3`, policy, "", "Causeway-Actor", "ann")
	check("POST", at("s-1", "messages"), hello, 429, `"node";r=498;t=1, "client";r=0;t=3`, policy, "3", "Causeway-Actor", "ann")
	check("GET", at("s-1", ""), "", 200, "", "", "", "Causeway-Actor", "ann") // reads are not counted
	check("POST", at("s-1", "messages"), hello, 201, `"node";r=497;t=1, "client";r=1;t=3`, policy, "", "Causeway-Actor", "bob", "Causeway-Priority", "import")
	check("POST", at("s-1", "messages"), `{`, 400, `"node";r=496;t=1, "client";r=1;t=3`, policy, "") // by its address
	g.at = g.at.Add(2500*time.Millisecond + time.Microsecond)
	check("POST", at("s-1", "messages"), hello, 201, `"node";r=499;t=1, "client";r=0;t=3`, policy, "", "Causeway-Actor", "ann")
	if g.inside != 0 {
		t.Errorf("%d are still inside", g.inside)
	}
	want := []string{"default actor ann live", "default actor ann live", "default actor ann live", "default actor bob import",
		"default address 192.0.2.1 live", "default actor ann live"}
	if fmt.Sprint(g.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", g.asked, want)
	}
}

func TestCommittedGivesThePlaceBack(t *testing.T) {
	t.Parallel()
	left := 0
	ctx := httpapi.WithLeave(t.Context(), func() { left++ })
	httpapi.Committed(ctx)
	httpapi.Committed(t.Context())
	if left != 1 {
		t.Errorf("left %d times, want once", left)
	}
}
