package httpapi

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi/push"
)

// buckets are the upper bounds of the latency histogram, in seconds.
var buckets = [...]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 60}

// metrics counts requests. Routes are added before serving begins.
type metrics struct{ routes []*routeMetrics }

// routeMetrics counts one route without locks.
type routeMetrics struct {
	method, path string
	classes      [6]atomic.Uint64 // by first digit of the status
	buckets      [len(buckets)]atomic.Uint64
	nanos        atomic.Uint64
}

func (m *metrics) route(method, path string) *routeMetrics {
	rm := &routeMetrics{method: method, path: path}
	m.routes = append(m.routes, rm)
	return rm
}

func (rm *routeMetrics) done(status int, took time.Duration) {
	rm.classes[min(max(status/100, 0), 5)].Add(1)
	rm.nanos.Add(uint64(max(took, 0)))
	s := took.Seconds()
	for i, bound := range buckets {
		if s <= bound {
			rm.buckets[i].Add(1)
			return
		}
	}
}

// serveMetrics writes the Prometheus text format, version 0.0.4.
func (a *api) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	s, err := a.svc.Status(r.Context())
	if err != nil {
		return err
	}
	var b strings.Builder
	a.metrics.write(&b)
	writeLiveMetrics(&b, a.hub.Stats())
	writeStatusMetrics(&b, &s)
	send(w, http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", []byte(b.String()))
	return nil
}

func head(b *strings.Builder, name, kind, help string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (m *metrics) write(b *strings.Builder) {
	head(b, "causeway_http_requests_total", "counter", "Requests answered, by route and class of status.")
	for _, rm := range m.routes {
		for class := range rm.classes {
			if n := rm.classes[class].Load(); n > 0 {
				fmt.Fprintf(b, "causeway_http_requests_total{method=%q,route=%q,class=\"%dxx\"} %d\n",
					rm.method, rm.path, class, n)
			}
		}
	}
	head(b, "causeway_http_request_seconds", "histogram", "Time from the end of the headers to the answer.")
	for _, rm := range m.routes {
		rm.writeHistogram(b)
	}
}

func (rm *routeMetrics) writeHistogram(b *strings.Builder) {
	total := uint64(0)
	for i := range rm.classes {
		total += rm.classes[i].Load()
	}
	if total == 0 {
		return
	}
	labels := fmt.Sprintf("method=%q,route=%q", rm.method, rm.path)
	sum := uint64(0)
	for i, bound := range buckets {
		sum += rm.buckets[i].Load()
		fmt.Fprintf(b, "causeway_http_request_seconds_bucket{%s,le=%q} %d\n",
			labels, strconv.FormatFloat(bound, 'g', -1, 64), sum)
	}
	fmt.Fprintf(b, "causeway_http_request_seconds_bucket{%s,le=\"+Inf\"} %d\n", labels, max(total, sum))
	fmt.Fprintf(b, "causeway_http_request_seconds_sum{%s} %g\n", labels, time.Duration(rm.nanos.Load()).Seconds())
	fmt.Fprintf(b, "causeway_http_request_seconds_count{%s} %d\n", labels, max(total, sum))
}

func writeLiveMetrics(b *strings.Builder, s push.Stats) {
	gauge(b, "causeway_live_clients", "WebSockets of clients.", s.Conns)
	gauge(b, "causeway_live_topics", "Sessions and spaces that somebody follows here.", s.Topics)
	counter(b, "causeway_live_too_slow_total", "WebSockets ended because the client did not read.", s.TooSlow)
	counter(b, "causeway_signals_lost_total", "Signals that other nodes were not told, or that came and did not fit.",
		s.SignalsLost)
}

func writeStatusMetrics(b *strings.Builder, s *Status) {
	head(b, "causeway_info", "gauge", "What runs; always 1.")
	fmt.Fprintf(b, "causeway_info{node=%q,role=%q,version=%q} 1\n", s.Node, s.Role, s.Version)
	head(b, "causeway_degraded", "gauge", "Degraded modes in force.")
	for _, d := range s.Degraded {
		fmt.Fprintf(b, "causeway_degraded{mode=%q} 1\n", d.Name)
	}
	perSpace := []struct {
		name, help string
		value      func(*SpaceStatus) uint64
	}{
		{"causeway_space_ops", "Ops held.", func(s *SpaceStatus) uint64 { return s.Ops }},
		{"causeway_space_sessions", "Sessions held.", func(s *SpaceStatus) uint64 { return s.Sessions }},
		{"causeway_space_backlog_ops", "Ops that too few core stores hold yet.",
			func(s *SpaceStatus) uint64 { return s.Backlog }},
		{"causeway_space_waiting_ops", "Ops held whose dependencies are missing.",
			func(s *SpaceStatus) uint64 { return s.Waiting }},
	}
	for _, m := range perSpace {
		head(b, m.name, "gauge", m.help)
		for i := range s.Spaces {
			fmt.Fprintf(b, "%s{space=%q} %d\n", m.name, s.Spaces[i].Space, m.value(&s.Spaces[i]))
		}
	}
	if s.Link != nil {
		up := 0
		if s.Link.State == "attached" {
			up = 1
		}
		gauge(b, "causeway_link_up", "Whether the node is attached to a core node.", up)
	}
	if s.Core != nil {
		gauge(b, "causeway_core_attached", "Nodes attached to this core node.", len(s.Core.Attached))
	}
	gauge(b, "causeway_store_commits", "Commits of the store.", s.Store.Commits)
	gauge(b, "causeway_store_free_bytes", "Free space under the data directory.", s.Store.BytesFree)
	gauge(b, "causeway_store_repairs", "Damaged records repaired.", s.Store.Repairs)
	gauge(b, "causeway_messages_dropped", "Messages of peers that were damaged, malformed or refused.", s.Dropped)
	writeIntakeMetrics(b, s)
	writeClockMetrics(b, &s.Clock)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	gauge(b, "go_goroutines", "Goroutines.", runtime.NumGoroutine())
	gauge(b, "go_memstats_heap_inuse_bytes", "Heap in use.", mem.HeapInuse)
	gauge(b, "go_memstats_sys_bytes", "Memory taken from the system.", mem.Sys)
}

func counter(b *strings.Builder, name, help string, v uint64) {
	head(b, name, "counter", help)
	fmt.Fprintf(b, "%s %d\n", name, v)
}

func gauge[N int | uint64](b *strings.Builder, name, help string, v N) {
	head(b, name, "gauge", help)
	fmt.Fprintf(b, "%s %d\n", name, v)
}
