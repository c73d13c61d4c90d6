package push

import "sync/atomic"

// workers carry out short jobs side by side. They are kept for the next one: a
// goroutine that has grown its stack is worth keeping.
type workers struct {
	jobs chan func() // closed by nobody
	idle atomic.Int32
}

const keptWorkers = 64 // that have nothing to do

// Work carries out fn, soon; false if the node is stopping.
func (h *Hub) Work(fn func()) bool {
	select {
	case h.workers.jobs <- fn:
		return true
	default:
		return h.Go(func() { h.work(fn) })
	}
}

func (h *Hub) work(fn func()) {
	w := &h.workers
	for {
		fn()
		if w.idle.Add(1) > keptWorkers {
			w.idle.Add(-1)
			return
		}
		select {
		case fn = <-w.jobs:
			w.idle.Add(-1)
		case <-h.ending:
			return
		}
	}
}
