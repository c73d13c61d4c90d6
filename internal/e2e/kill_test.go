package e2e

import (
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/protocol"
)

// killCounts are how often nodes are killed; CAUSEWAY_KILLS gives the number
// for edges, and six tenths of it for core nodes.
func killCounts(t testing.TB, edges int) (edgeKills, coreKills int) {
	t.Helper()
	if text := os.Getenv("CAUSEWAY_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("CAUSEWAY_KILLS: got %q, want a number from 1 on", text)
		}
		edges = n
	}
	return edges, edges * 6 / 10
}

// Sixteen writers write at two edges and a core node while edges and core
// nodes, leaders among them, are killed and started again, at last all core
// nodes at once. What was acknowledged is on every replica, once, and nothing
// else. While the core has no quorum the edges go on.
func TestKilledNodes(t *testing.T) {
	killNodes(t, 5, 1)
}

func killNodes(t *testing.T, kills int, seed uint64) {
	edgeKills, coreKills := killCounts(t, kills)
	f := newFleet(t, 3, 2)
	call(t, "POST", f.edges[0].url()+sessions, map[string]any{"id": sharedSession}, http.StatusCreated, nil)
	f.converge()
	c := startChaos(t, seed, f.edges[0], f.edges[1], f.cores[0])
	rng := rand.New(rand.NewPCG(seed, 1<<32))

	for range edgeKills {
		c.tally.await(t, "all", 1+rng.IntN(60))
		e := f.edges[rng.IntN(len(f.edges))]
		e.kill()
		e.start()
	}
	t.Logf("%d edges killed: %d messages acknowledged, %d tries failed", edgeKills,
		c.tally.total("all"), c.tally.total("retry"))

	leaders := 0
	for i := range coreKills {
		c.tally.await(t, "all", 1+rng.IntN(60))
		victim := f.cores[rng.IntN(len(f.cores))]
		if leader := f.leader(); i%2 == 0 && leader != nil {
			victim = leader
			leaders++
		}
		victim.kill()
		c.tally.await(t, "edge", 1+rng.IntN(60))
		victim.start()
		c.tally.await(t, "durability core", 1) // the quorum is back
	}
	t.Logf("%d core nodes killed, %d of them leaders: %d messages acknowledged, %d tries failed", coreKills, leaders,
		c.tally.total("all"), c.tally.total("retry"))

	for _, p := range f.cores {
		p.kill()
	}
	for _, e := range f.edges {
		c.tally.await(t, e.cfg.Node, 100)
	}
	for _, p := range f.cores {
		p.start()
	}
	c.tally.await(t, "durability core", 10)
	c.finish()
	d := f.converge()
	c.check(f.urls()...)
	t.Logf("all core nodes killed at once: %d messages acknowledged, %d at level core, %d tries failed; "+
		"%d replicas agree on %s",
		c.tally.total("all"), c.tally.total("durability core"), c.tally.total("retry"), len(f.all()), d.Digest)
}

// leader is the core node that leads the stream of the default space, nil if
// there is none at present.
func (f *fleet) leader() *process {
	s := statusOf(f.t, f.cores[0].url())
	streamOfDefault := core.StreamName(protocol.Partition("default", core.DefaultConfig().Partitions))
	for _, st := range s.Core.Streams {
		if st.Name != streamOfDefault {
			continue
		}
		for _, p := range f.cores {
			if p.cfg.Node == st.Leader {
				return p
			}
		}
	}
	return nil
}
