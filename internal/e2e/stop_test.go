package e2e

import (
	"net/http"
	"testing"
	"time"
)

// stopTimeout is what a node may take to end when it is asked to.
const stopTimeout = 10 * time.Second

// A node that is asked to end under load ends well and in time, and nothing
// that it acknowledged is lost.
func TestStopUnderLoad(t *testing.T) {
	f := newFleet(t, 1, 2)
	call(t, "POST", f.edges[0].url()+sessions, map[string]any{"id": sharedSession}, http.StatusCreated, nil)
	f.converge()
	c := startChaos(t, 2, f.edges[0], f.edges[1], f.cores[0])
	for _, p := range f.all() {
		c.tally.await(t, p.cfg.Node, 20)
		began := time.Now()
		err := p.terminate()
		took := time.Since(began).Round(time.Millisecond)
		if err != nil || took > stopTimeout {
			t.Errorf("%s ended with %v after %v, want exit code 0 within %v", p.cfg.Node, err, took, stopTimeout)
		}
		t.Logf("%s ended after %v", p.cfg.Node, took)
		p.start()
		c.tally.await(t, p.cfg.Node, 20)
	}
	c.finish()
	f.converge()
	c.check(f.urls()...)
}
