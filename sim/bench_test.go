package sim_test

import (
	"testing"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// BenchmarkSwarm runs drawn clusters of three core nodes and five edges,
// checkers included.
func BenchmarkSwarm(b *testing.B) {
	seed, events, simulated := uint64(0), uint64(0), time.Duration(0)
	for b.Loop() {
		seed++
		r, err := sim.Run(sim.Draw(seed, sim.Shape{Cores: 3, Edges: 5}), seed, sim.Options{})
		if err != nil {
			b.Fatal(err)
		}
		events += r.Events
		simulated += r.Simulated
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(simulated.Seconds()/b.Elapsed().Seconds(), "x-real-time")
}

// BenchmarkTwentyEdges runs a calm cluster of three core nodes and twenty edges
// for ten minutes.
func BenchmarkTwentyEdges(b *testing.B) {
	events, simulated := uint64(0), time.Duration(0)
	p := cluster(3, 20, 10*time.Minute)
	p.Workload.Clients, p.Workload.Every = 20, 30*time.Second
	for b.Loop() {
		r, err := sim.Run(p, 1, sim.Options{})
		if err != nil {
			b.Fatal(err)
		}
		events += r.Events
		simulated += r.Simulated
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(simulated.Seconds()/b.Elapsed().Seconds(), "x-real-time")
}
