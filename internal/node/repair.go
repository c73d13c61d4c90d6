package node

import (
	"bytes"
	"context"
	"encoding/binary"
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
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// seen passes err on and, when it is about a damaged record, has the record
// repaired. A full queue is no harm: the next read of the record asks again.
func (n *Node) seen(err error) error {
	if corrupt, ok := errors.AsType[*session.CorruptError](err); ok {
		n.damaged.add(corrupt)
		n.problems.set("record_damaged", corrupt.Error(), n.cfg.Wall())
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

// classes maps what the store refuses to what the API says.
var classes = []struct{ store, api error }{
	{store.ErrReserve, httpapi.ErrDiskReserve},
	{store.ErrFailed, httpapi.ErrReadOnly},
	{store.ErrClosed, httpapi.ErrUnavailable},
	{store.ErrTooBig, session.ErrTooBig},
}

// repairLoop repairs damaged records one by one.
func (n *Node) repairLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d := <-n.damage:
			if err := n.repair(ctx, d.Key); err != nil && ctx.Err() == nil {
				n.cfg.Log.Error("record not repaired", slog.String("record", fmt.Sprintf("%q", d.Key)), slog.Any("error", err))
				continue
			}
			if left := n.damaged.remove(d.Key); left == nil {
				n.problems.clear("record_damaged")
			} else {
				n.problems.set("record_damaged", left.Error(), n.cfg.Wall())
			}
			n.repairs.Add(1)
			n.cfg.Log.Warn("record repaired", slog.String("record", fmt.Sprintf("%q", d.Key)))
		}
	}
}

var errNoRepair = errors.New("this kind of record is not repaired in place; " +
	"move the data directory away and start again: what the core holds is fetched, under a new origin")

// repair mends the record at key: an op is fetched from another replica and
// checked against the feed's chain, a session is built again from its ops.
func (n *Node) repair(ctx context.Context, key []byte) error {
	kind, rest, ok := bytes.Cut(key, []byte("/"))
	if !ok {
		return errNoRepair
	}
	switch string(kind) {
	case "o":
		return n.repairOp(ctx, rest)
	case "s":
		parts := bytes.SplitN(rest, []byte{0}, 3)
		if len(parts) < 3 {
			return errNoRepair
		}
		return n.rebuild(ctx, string(parts[0]), string(parts[1]))
	default:
		return errNoRepair
	}
}

func (n *Node) rebuild(ctx context.Context, space, id string) error {
	err := n.store.Update(ctx, store.Sync, func(tx session.Tx) error {
		err := session.Rebuild(tx, space, id)
		if errors.Is(err, session.ErrCorrupt) {
			return replica.Rebuild(tx, space, id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("rebuild session %s of %s: %w", id, space, err)
	}
	n.hub.notify(space, id)
	return nil
}

func (n *Node) repairOp(ctx context.Context, rest []byte) error {
	parts := bytes.SplitN(rest, []byte{0}, 3)
	if len(parts) < 3 || len(parts[2]) != 8 {
		return errNoRepair
	}
	f := protocol.Feed{Space: string(parts[0]), Origin: vclock.Origin(parts[1])}
	seq := vclock.Seq(binary.BigEndian.Uint64(parts[2]))
	frame, err := n.fetchOp(ctx, protocol.OpAsk{Feed: f, Seq: seq})
	if err != nil {
		return fmt.Errorf("fetch op %d of %s of %s: %w", seq, f.Origin, f.Space, err)
	}
	return n.store.Update(ctx, store.Sync, func(tx session.Tx) error { return replica.Restore(tx, frame) })
}

// fetchOp gets a sound copy of an op from whoever answers first.
func (n *Node) fetchOp(ctx context.Context, ask protocol.OpAsk) (*protocol.Frame, error) {
	n.mu.Lock()
	request := n.request
	n.mu.Unlock()
	if request == nil {
		return nil, errors.New("no core is configured")
	}
	data, err := protocol.AppendMessage(nil, ask)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	answer, err := request(ctx, protocol.OpAskSubject, data)
	if err != nil {
		return nil, err
	}
	m, err := protocol.DecodeMessage(answer)
	if err != nil {
		return nil, err
	}
	up, ok := m.(protocol.Upload)
	if !ok || up.Frame.Feed != ask.Feed || up.Frame.From != ask.Seq || up.Frame.To() != ask.Seq {
		return nil, fmt.Errorf("answer is %T, not the op", m)
	}
	return &up.Frame, nil
}

const fetchTimeout = 5 * time.Second // one request for an op

// AnswerOp hands out an op to a node whose record of it is damaged; data is an
// encoded OpAsk. Who cannot read the op, or is asked nothing sensible, is silent.
func (n *Node) AnswerOp(data []byte, reply string, publish func(subject string, data []byte) error) {
	m, err := protocol.DecodeMessage(data)
	ask, ok := m.(protocol.OpAsk)
	if err != nil || !ok || reply == "" {
		n.cfg.Log.Warn("question for an op dropped", slog.Any("error", err))
		return
	}
	answer, err := n.encodeOp(ask)
	if err == nil && answer != nil {
		err = publish(reply, answer)
	}
	if err != nil {
		n.cfg.Log.Warn("op not handed out", slog.String("space", ask.Space), slog.Any("error", err))
	}
}

// encodeOp gives the answer to an OpAsk: nil if this node cannot read the op.
func (n *Node) encodeOp(ask protocol.OpAsk) ([]byte, error) {
	var frame *protocol.Frame
	err := n.View(func(r session.Reader) error {
		var err error
		frame, err = replica.FrameAt(r, ask.Feed, ask.Seq, replica.Budget{Ops: 1, Bytes: protocol.FrameBytesBudget})
		return err
	})
	if errors.Is(err, session.ErrCorrupt) || err == nil && frame == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return protocol.AppendMessage(nil, protocol.Upload{Frame: *frame})
}
