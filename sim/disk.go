package sim

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
)

// Errors of a simulated disk.
var (
	errReserve = errors.New("sim: disk is below its reserve")
	errDown    = errors.New("sim: node is down")
)

// disk is a node's storage with the committer in front of it: writes that wait
// are made durable together, and only then their callers are told. What is
// read is durable.
type disk struct {
	n        *node
	mem      *memstore.Mem
	identity string // of this storage; a core half names it in receipts
	moved    bool   // it is a copy that knows that it is one
	waiting  []write
	busy     bool // an fsync is under way
	reserve  bool // intake is refused
	slow     time.Duration
	full     bool // also after a restart
	doomed   bool // the machine dies in the middle of the next commit
	failing  bool // the next fsync fails
	failed   bool
}

// write is one transaction on its way.
type write struct {
	fn    func(session.Tx) error
	done  func(error)
	cause uint64 // for the trace
}

// class is who writes.
type class uint8

const (
	intake class = iota // a client; refused below the reserve
	forSync
)

// update has fn run in the next commit; done is told when it is durable, or
// why it is not. A node that dies in between never learns.
func (d *disk) update(c class, fn func(session.Tx) error, done func(error)) {
	switch {
	case d.failed:
		d.n.later(0, func() { done(memstore.ErrFailed) })
		return
	case c == intake && d.reserve:
		d.n.later(0, func() { done(errReserve) })
		return
	}
	d.waiting = append(d.waiting, write{fn, done, d.n.w.cause})
	d.n.grew(queueWrites, len(d.waiting))
	d.flush()
}

// flush begins a commit if there is something to write and none under way.
func (d *disk) flush() {
	if d.busy || len(d.waiting) == 0 {
		return
	}
	d.busy = true
	took := d.fsyncTime()
	if d.doomed {
		d.n.later(time.Duration(d.n.w.chance.disk.Int64N(int64(took))), d.n.die)
	}
	d.n.later(took, func() {
		group := d.waiting
		d.waiting = nil
		d.busy = false
		d.commit(group)
		d.flush()
	})
}

func (d *disk) fsyncTime() time.Duration {
	base := d.n.w.plan.Timing.fsync()
	return d.slow + base + time.Duration(d.n.w.chance.disk.Int64N(int64(base)+1))
}

// commit makes a group durable, then tells its callers.
func (d *disk) commit(group []write) {
	if d.failing {
		d.failing = false
		d.mem.FailSync(errors.New("input/output error"))
	}
	failed := d.failed
	errs := make([]error, len(group))
	for i, g := range group {
		errs[i] = d.mem.Update(g.fn)
		if errors.Is(errs[i], memstore.ErrFailed) {
			d.failed = true
		}
	}
	if d.failed && !failed && d.n.core != nil {
		d.n.w.bus.watch()
	}
	boot := d.n.boots
	for i, g := range group {
		if d.n.boots != boot {
			return
		}
		d.n.w.cause = g.cause
		g.done(errs[i])
	}
}

// crash ends what was under way: of the writes that wait a random part, from
// the front, has become durable, and nobody was told.
func (d *disk) crash() {
	rng := d.n.w.chance.disk
	if d.busy && !d.failed {
		for _, g := range d.waiting[:rng.IntN(len(d.waiting)+1)] {
			if err := d.mem.Update(g.fn); err != nil {
				break
			}
		}
	}
	d.mem.Crash(rng)
	d.waiting, d.busy, d.doomed, d.failing, d.failed = nil, false, false, false, false
}

// fill says whether the disk is full.
func (d *disk) fill(full bool) {
	changed := d.full != full
	d.full = full
	d.mem.SetFull(full)
	d.n.trouble("disk_full", full)
	if changed && d.n.core != nil {
		d.n.w.bus.watch()
	}
}

// hold says whether the disk is below its reserve.
func (d *disk) hold(reserve bool) {
	d.reserve = reserve
	d.n.trouble("disk_reserve", reserve)
}

// trouble notes when the disk may have the node refuse requests with a code.
func (n *node) trouble(code string, on bool) {
	list := n.w.history.Troubles
	open := slices.IndexFunc(list, func(t check.Trouble) bool { return t.Node == n.lane && t.Code == code && t.To == 0 })
	switch {
	case on && open < 0:
		n.w.history.Troubles = append(list, check.Trouble{Node: n.lane, Code: code, From: n.w.now})
	case !on && open >= 0:
		list[open].To = max(n.w.now, 1)
	}
}

// pick chooses a record of a class: "op", "session", "feed", "stream", or any.
func (d *disk) pick(class string, rng *rand.Rand) []byte {
	prefix, ok := map[string]string{"op": "o/", "session": "s/", "feed": "f/", "stream": "n/stream/"}[class]
	if !ok { // of any kind, those with few records as often as the others
		kinds := [...]string{"o/", "s/", "f/", "p/", "u/", "w/", "a/", "x/", "y/", "g/", "z/", "n/"}
		prefix = kinds[rng.IntN(len(kinds))]
	}
	if key := d.mem.Pick([]byte(prefix), rng); key != nil || ok {
		return key
	}
	return d.mem.Pick(nil, rng)
}

// view reads what is durable. A damaged record is sent to be repaired.
func (n *node) view(fn func(session.Reader) error) error {
	return n.noticed(n.disk.mem.View(fn))
}

// viewAround is view for what can go on around a damaged record, which fn names.
func (n *node) viewAround(fn func(session.Reader) (damage, err error)) error {
	var damage error
	err := n.view(func(r session.Reader) (err error) {
		damage, err = fn(r)
		return err
	})
	_ = n.noticed(damage) // it has been passed on to be repaired
	return err
}
