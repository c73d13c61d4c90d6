package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// seen passes err on and, when it is about a damaged record, has the record
// repaired. A full queue is no harm: the next read of the record asks again.
func (n *Node) seen(err error) error {
	if corrupt, ok := errors.AsType[*session.CorruptError](err); ok {
		n.damaged.add(corrupt)
		n.problems.set("record_damaged", corrupt.Error(), n.wall())
		select {
		case n.damage <- *corrupt:
		default:
		}
	}
	for _, c := range classes {
		if errors.Is(err, c.store) {
			return fmt.Errorf("%w: %w", c.api, err)
		}
	}
	return err
}

const maxDamaged = 64 // damaged records remembered and waiting for repair; the next read finds the others again

// damagedRecords are the damaged records that were met and not repaired yet.
type damagedRecords struct {
	mu   sync.Mutex
	open map[string]*session.CorruptError // by key
}

func (d *damagedRecords) add(c *session.CorruptError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = make(map[string]*session.CorruptError)
	}
	if len(d.open) < maxDamaged {
		d.open[string(c.Key)] = c
	}
}

// remove forgets a record and returns one that is left, nil if none is.
func (d *damagedRecords) remove(key []byte) *session.CorruptError {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, string(key))
	for _, k := range slices.Sorted(maps.Keys(d.open)) {
		return d.open[k]
	}
	return nil
}

// repairable lists the keys of records that may be repaired, sorted.
func (d *damagedRecords) repairable() (keys [][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(d.open)) {
		if _, err := drive.RepairOf([]byte(k)); err == nil {
			keys = append(keys, []byte(k))
		}
	}
	return keys
}

// classes maps what the store refuses to what the API says.
var classes = []struct{ store, api error }{
	{store.ErrReserve, httpapi.ErrDiskReserve},
	{store.ErrFailed, httpapi.ErrReadOnly},
	{store.ErrClosed, httpapi.ErrUnavailable},
	{store.ErrTooBig, session.ErrTooBig},
}

// repairLoop repairs damaged records one by one, and tries those again that it
// could not repair: nothing may read them meanwhile.
func (n *Node) repairLoop(ctx context.Context) error {
	again := time.NewTicker(drive.RepairEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d := <-n.damage:
			n.mend(ctx, d.Key)
		case <-again.C:
			for _, key := range n.damaged.repairable() {
				n.mend(ctx, key)
			}
		}
	}
}

// mend repairs a record and says how that went.
func (n *Node) mend(ctx context.Context, key []byte) {
	if err := n.repair(ctx, key); err != nil {
		if ctx.Err() == nil {
			n.cfg.Log.Error("record not repaired", slog.String("record", fmt.Sprintf("%q", key)), slog.Any("error", err))
		}
		return
	}
	n.mended(key)
	n.repairs.Add(1)
	n.cfg.Log.Warn("record repaired", slog.String("record", fmt.Sprintf("%q", key)))
}

// mended forgets a record that is damaged no longer.
func (n *Node) mended(key []byte) {
	if left := n.damaged.remove(key); left == nil {
		n.problems.clear("record_damaged")
	} else {
		n.problems.set("record_damaged", left.Error(), n.wall())
	}
}

// repair mends the record at key; see [drive.RepairOf].
func (n *Node) repair(ctx context.Context, key []byte) error {
	what, err := drive.RepairOf(key)
	switch {
	case err != nil:
		return err
	case what.Op != nil:
		return n.repairOp(ctx, *what.Op)
	case what.Remake:
		return n.remake(ctx, key)
	}
	err = n.store.Update(ctx, store.Sync, func(tx session.Tx) error {
		return drive.RebuildSession(tx, what.Space, what.Session)
	})
	if err == nil {
		n.hub.notify(what.Space, what.Session)
	}
	return err
}

// remake makes a record anew from others of the store.
func (n *Node) remake(ctx context.Context, key []byte) error {
	var space string
	err := n.store.Update(ctx, store.Sync, func(tx session.Tx) (err error) {
		space, err = drive.Remake(tx, n.replica, n.identity(), key)
		return err
	})
	if err != nil || space == "" {
		return n.seen(err) // another damaged record may stand in the way
	}
	var heads []protocol.FeedHead
	err = n.View(func(r session.Reader) (err error) {
		heads, err = drive.FeedsOf(r, space)
		return err
	})
	for _, h := range heads {
		n.touch(h)
	}
	if errors.Is(err, session.ErrCorrupt) {
		return nil // all are touched when that one is mended
	}
	return err
}

// touch has a feed read again by those who watch; see [drive.Moved.Touch].
func (n *Node) touch(h protocol.FeedHead) {
	n.mu.Lock()
	watch := n.watch
	n.mu.Unlock()
	for _, p := range watch {
		p.touch(h)
	}
}

// mendStart mends what the node reads when it starts, before the committer runs.
func (n *Node) mendStart() error {
	for {
		var key []byte
		err := n.store.Prepare(func(tx session.Tx) (err error) {
			key, err = drive.MendStart(tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("mend what a start reads: %w", err)
		}
		if key == nil {
			return nil
		}
		n.repairs.Add(1)
		n.cfg.Log.Warn("record repaired", slog.String("record", fmt.Sprintf("%q", key)))
	}
}

// repairOp puts an op back from the copy of whoever answers first.
func (n *Node) repairOp(ctx context.Context, ask protocol.OpAsk) error {
	var outdated bool
	err := n.View(func(r session.Reader) (err error) {
		outdated, err = drive.Outdated(r, ask)
		return err
	})
	if err != nil || outdated {
		return err
	}
	if err = n.fetchOp(ctx, ask); err != nil && ctx.Err() == nil {
		n.tellUnanswered(ask)
	}
	return err
}

func (n *Node) fetchOp(ctx context.Context, ask protocol.OpAsk) error {
	n.mu.Lock()
	request := n.request
	n.mu.Unlock()
	if request == nil {
		return errors.New("no core is configured")
	}
	data, err := protocol.AppendMessage(nil, ask)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, drive.FetchTimeout)
	defer cancel()
	answer, err := request(asking, protocol.OpAskSubject, data)
	if err != nil {
		return fmt.Errorf("fetch op %d of %s of %s: %w", ask.Seq, ask.Origin, ask.Space, err)
	}
	touched := protocol.FeedHead{Feed: ask.Feed}
	err = n.store.Update(ctx, store.Sync, func(tx session.Tx) error {
		if err := drive.RestoreOp(tx, ask, answer); err != nil {
			return err
		}
		touched.Head, err = replica.HeadOf(tx, ask.Feed)
		if errors.Is(err, session.ErrCorrupt) { // when that is mended, all are touched
			touched.Head, err = protocol.Head{}, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if touched.Seq > 0 {
		n.touch(touched)
	}
	return nil
}

// AnswerOp hands out an op to a node whose record of it is damaged; data is an
// encoded OpAsk. Who cannot read the op, or is asked nothing sensible, is silent.
func (n *Node) AnswerOp(data []byte, reply string, publish func(subject string, data []byte) error) {
	m, err := protocol.DecodeMessage(data)
	ask, ok := m.(protocol.OpAsk)
	if err != nil || !ok || reply == "" {
		n.MessageDropped()
		n.cfg.Log.Warn("question for an op dropped", slog.Any("error", err))
		return
	}
	var answer []byte
	err = n.View(func(r session.Reader) error {
		var err error
		answer, err = drive.AnswerOp(r, ask)
		return err
	})
	if errors.Is(err, session.ErrCorrupt) {
		return
	}
	if err == nil && answer != nil {
		err = publish(reply, answer)
	}
	if err != nil {
		n.cfg.Log.Warn("op not handed out", slog.String("space", ask.Space), slog.Any("error", err))
	}
}
