package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/intake"
)

// Admitter decides whether a write is carried out. A [Service] that is one too
// is asked before the body is read. It may let the write wait for a moment.
// leave is called in the end, or earlier by [Committed]; a second call does
// nothing. standings are of the quotas, whatever the outcome. Errors are
// [*RateError], [ErrOverloaded], [ErrMemoryReserve] and [ErrDiskReserve].
type Admitter interface {
	Admit(ctx context.Context, space, client string, class intake.Class) (
		leave func(), standings []intake.Standing, err error)
}

// RateError refuses a request that is over a quota.
type RateError struct {
	Scope intake.Scope
	Wait  time.Duration // after which it would go through
}

var errRate = errors.New("httpapi: rate limited")

func (e *RateError) Error() string {
	return fmt.Sprintf("the quota of the %s is used up; the next request goes through in %v",
		e.Scope, e.Wait.Round(time.Millisecond))
}

// Unwrap gives the class.
func (e *RateError) Unwrap() error { return errRate }

// leaveKey is where a request's context has its leave.
type leaveKey struct{}

// Committed says that a write has had its turn at the store: what it waits for
// now takes nobody's place.
func Committed(ctx context.Context) {
	if leave, ok := ctx.Value(leaveKey{}).(func()); ok {
		leave()
	}
}

// Headers of admission.
const (
	headerPriority = "Causeway-Priority"
	headerLimit    = "RateLimit"
	headerPolicy   = "RateLimit-Policy"
)

// admit asks whether the write may be carried out.
func (a *api) admit(w http.ResponseWriter, r *http.Request) (*http.Request, func(), error) {
	class, ok := intake.ParseClass(r.Header.Get(headerPriority))
	if !ok {
		return r, nil, problem("bad_header", "%s is %.40q, want live, import or backlog", headerPriority,
			r.Header.Get(headerPriority)).at(headerPriority)
	}
	if a.gate == nil {
		return r, nil, nil
	}
	leave, standings, err := a.gate.Admit(r.Context(), r.PathValue("space"), clientOf(r), class)
	tellQuotas(w.Header(), standings)
	if err != nil {
		return r, nil, err
	}
	return r.WithContext(context.WithValue(r.Context(), leaveKey{}, leave)), leave, nil
}

// clientOf names who asks: the actor, or the address without one.
func clientOf(r *http.Request) string {
	if name := r.Header.Get(headerActor); name != "" {
		return "actor " + name
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "address " + host
}

// tellQuotas sets the headers of draft-ietf-httpapi-ratelimit-headers-10.
func tellQuotas(h http.Header, standings []intake.Standing) {
	if len(standings) == 0 {
		return
	}
	var limits, policies []string
	for _, s := range standings {
		policies = append(policies, fmt.Sprintf("%q;q=%d;w=%d", s.Scope, s.Quota.Burst, wholeSeconds(s.Quota.Window())))
		limits = append(limits, fmt.Sprintf("%q;r=%d;t=%d", s.Scope, s.Remaining, wholeSeconds(s.Reset)))
	}
	h.Set(headerPolicy, strings.Join(policies, ", "))
	h.Set(headerLimit, strings.Join(limits, ", "))
}

// wholeSeconds rounds up: who comes back then is not refused again.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(max(d, 0).Seconds())) }

// writeIntakeMetrics writes what the gate and the breaker did.
func writeIntakeMetrics(b *strings.Builder, s *Status) {
	byName := func(name, help, label string, counts map[string]uint64) {
		head(b, name, "counter", help)
		for _, key := range []string{"live", "import", "backlog", "node", "space", "client"} {
			if n, ok := counts[key]; ok {
				fmt.Fprintf(b, "%s{%s=%q} %s\n", name, label, key, strconv.FormatUint(n, 10))
			}
		}
	}
	byName("causeway_intake_entered_total", "Writes let in, by class.", "class", s.Intake.Entered)
	byName("causeway_intake_shed_total", "Writes turned away because too many were there, by class.", "class",
		s.Intake.Shed)
	byName("causeway_intake_limited_total", "Writes over a quota, by scope of the quota.", "scope", s.Intake.Limited)
	head(b, "causeway_intake_reserved_total", "counter", "Writes turned away for lack of memory or disk.")
	fmt.Fprintf(b, "causeway_intake_reserved_total %d\n", s.Intake.Reserved)
	gauge(b, "causeway_intake_inside", "Writes that are carried out.", s.Intake.Inside)
	gauge(b, "causeway_intake_waiting", "Writes that wait for their turn.", s.Intake.Waiting)
	if s.Guard == nil {
		return
	}
	closed := 0
	if s.Guard.Breaker == "closed" {
		closed = 1
	}
	gauge(b, "causeway_core_breaker_closed", "Whether what needs the core is sent there.", closed)
	head(b, "causeway_core_level_total", "counter", "Writes at level core and claims, by what they got.")
	fmt.Fprintf(b, "causeway_core_level_total{got=%q} %d\n", Core, s.Guard.Firm)
	fmt.Fprintf(b, "causeway_core_level_total{got=%q} %d\n", Local, s.Guard.FellBack)
}
