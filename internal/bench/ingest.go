package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

const (
	feeds         = 16
	framesPerFeed = 48
	opsPerFrame   = 64
	partitions    = 4 // the core's default
	catchUpOps    = 100_000
	catchUpLimit  = 60 * time.Second
)

// feedFrames is a feed made beforehand: one session, encoded frames.
type feedFrames struct {
	subject string
	ids     []string
	data    [][]byte
}

// makeFeed makes a conversation of one origin in a space of its own.
func makeFeed(space string, origin vclock.Origin) (feedFrames, error) {
	f := protocol.Feed{Space: space, Origin: origin}
	made := feedFrames{subject: protocol.OpSubject(f, partitions)}
	content := []byte(strconv.Quote(words(300)))
	var head protocol.Head
	var last vclock.Dot
	for range framesPerFeed {
		var ops [][]byte
		for range opsPerFrame {
			op := session.Op{
				Dot: vclock.Dot{Origin: origin, Seq: last.Seq + 1}, Space: space, Session: "talk",
				Stamp: clocksync.Stamp{Wall: uint64(time.Now().UnixMilli()), Logical: uint16(last.Seq)},
				Body:  session.Open{},
			}
			if last.Seq > 0 {
				op.Deps = vclock.Of(last)
				put := session.Put{Role: "user", Content: content}
				if last.Seq > 1 {
					put.Parent = last.String()
				}
				op.Body = put
			}
			b, err := op.Append(nil)
			if err != nil {
				return made, err
			}
			ops, last = append(ops, b), op.Dot
		}
		frame := protocol.NewFrame(f, head, ops)
		head = frame.Head()
		data, err := protocol.AppendMessage(nil, protocol.Upload{Frame: frame})
		if err != nil {
			return made, err
		}
		made.data = append(made.data, data)
		made.ids = append(made.ids, protocol.MsgID(&frame, 1))
	}
	return made, nil
}

// publish sends the frames of all feeds, one in flight per feed.
func (r *rawStream) publish(ctx context.Context, all []feedFrames) (time.Duration, error) {
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	began := time.Now()
	for i, f := range all {
		wg.Go(func() {
			last := uint64(0)
			for j, data := range f.data {
				m := &nats.Msg{Subject: f.subject, Data: data, Header: nats.Header{}}
				m.Header.Set(nats.MsgIdHdr, f.ids[j])
				m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(last, 10))
				ack, err := r.insist(ctx, m)
				if err != nil {
					errs[i] = fmt.Errorf("publish frame %d of %s: %w", j, f.subject, err)
					return
				}
				last = ack.Sequence
			}
		})
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}

// insist publishes again as long as the server says that the message before is
// still on its way: a cluster says so for a moment after it acknowledged it.
func (r *rawStream) insist(ctx context.Context, m *nats.Msg) (ack *jetstream.PubAck, err error) {
	err = until(ctx, 5*time.Second, func() (bool, error) {
		ack, err = r.js.PublishMsg(ctx, m)
		var refused *jetstream.APIError
		if errors.As(err, &refused) && (refused.ErrorCode == 10071 || refused.ErrorCode == 10164) {
			return false, nil
		}
		return true, err
	})
	return ack, err
}

// nodeStatus is what this program reads of a node's status.
type nodeStatus struct {
	Link *struct {
		State string `json:"state"`
	} `json:"link"`
	Spaces []struct {
		Space   string `json:"space"`
		Version string `json:"version"`
		Ops     uint64 `json:"ops"`
		Backlog uint64 `json:"backlog"`
	} `json:"spaces"`
}

func (p *process) status() (nodeStatus, error) {
	var st nodeStatus
	err := fetch(p.url+"/v1/status", &st)
	return st, err
}

func (st nodeStatus) ops() (n uint64) {
	for _, s := range st.Spaces {
		n += s.Ops
	}
	return n
}

func (st nodeStatus) backlog() (n uint64) {
	for _, s := range st.Spaces {
		n += s.Backlog
	}
	return n
}

// majorityHolds waits until a majority of the stores hold want ops.
func majorityHolds(ctx context.Context, cores []*process, want uint64) error {
	return until(ctx, catchUpLimit, func() (bool, error) {
		have := 0
		for _, c := range cores {
			st, err := c.status()
			if err != nil {
				return false, err
			}
			if st.ops() >= want {
				have++
			}
		}
		return have > len(cores)/2, nil
	})
}

// ingestLine measures what a core of three takes in, and how soon an edge is
// rid of a long outbox.
func ingestLine(ctx context.Context, b *bench) error {
	if err := b.catchUp(ctx, filepath.Join(b.dir, "catch-1"), 1); err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "catch-3")
	return b.withCores(ctx, dir, 3, func(cores []*process) error {
		if err := b.ingest(ctx, cores); err != nil {
			return err
		}
		return b.catchUpOn(ctx, dir, cores)
	})
}

func (b *bench) withCores(ctx context.Context, dir string, n int, do func([]*process) error) error {
	cores, err := b.cores(ctx, dir, n)
	if err != nil {
		return err
	}
	defer stopAll(cores)
	return do(cores)
}

func (b *bench) catchUp(ctx context.Context, dir string, n int) error {
	return b.withCores(ctx, dir, n, func(cores []*process) error { return b.catchUpOn(ctx, dir, cores) })
}

// ingest publishes the same frames to a plain stream and to the core.
func (b *bench) ingest(ctx context.Context, cores []*process) error {
	raw, err := newRawStream(ctx, cores[0].nats, len(cores))
	if err != nil {
		return err
	}
	defer raw.stop()
	var ref, acked, applied []float64
	const total = feeds * framesPerFeed * opsPerFrame
	for round := range b.rounds {
		plain, real := make([]feedFrames, feeds), make([]feedFrames, feeds)
		for i := range feeds {
			f, err := makeFeed(fmt.Sprintf("in-%d-%d", round, i), vclock.Origin(fmt.Sprintf("gen-%d~aaaaaaaa", i)))
			if err != nil {
				return err
			}
			plain[i], real[i] = f, f
			plain[i].subject = fmt.Sprintf("bench.frames.%d.%d", round, i)
		}
		took, err := raw.publish(ctx, plain)
		if err != nil {
			return err
		}
		ref = append(ref, total/took.Seconds())
		began := time.Now()
		if took, err = raw.publish(ctx, real); err != nil {
			return err
		}
		acked = append(acked, total/took.Seconds())
		if err := majorityHolds(ctx, cores, uint64(total*(round+1))); err != nil {
			return fmt.Errorf("stores have not taken the frames: %w", err)
		}
		applied = append(applied, total/time.Since(began).Seconds())
	}
	m, a, r := median(acked), median(applied), median(ref)
	b.add(row{"core ingest, 3 core, 16 feeds: stream", ">= 0.60 of raw", "ops " + perSecond(m),
		"framed publish, 16 in flight, ops " + perSecond(r), ratio(m, r), judge(m >= 0.6*r)})
	b.add(row{what: "  until 2 of 3 stores hold them", measured: "ops " + perSecond(a), ratio: ratio(a, r)})
	return nil
}

// catchUpOn cuts an edge off, fills its outbox, heals the link and measures
// until the core has released all of it.
func (b *bench) catchUpOn(ctx context.Context, dir string, cores []*process) error {
	link, err := newLink(ctx, cores[0].nats)
	if err != nil {
		return err
	}
	defer link.stop()
	edge, err := b.edge(ctx, filepath.Join(dir, "edge-1"), link.url())
	if err != nil {
		return err
	}
	defer edge.stop()
	if err := open(edge.host(), "a", clients); err != nil {
		return err
	}
	link.set(false)
	if err := fill(edge.host(), catchUpOps); err != nil {
		return err
	}
	link.set(true)
	if err := until(ctx, catchUpLimit, func() (bool, error) {
		st, err := edge.status()
		return err == nil && st.Link != nil && st.Link.State == "attached", err
	}); err != nil {
		return fmt.Errorf("link does not come back: %w", err)
	}
	began := time.Now()
	if err := until(ctx, catchUpLimit, func() (bool, error) {
		st, err := edge.status()
		return err == nil && st.backlog() == 0, err
	}); err != nil {
		return fmt.Errorf("outbox does not empty: %w", err)
	}
	rate := catchUpOps / time.Since(began).Seconds()
	b.add(row{what: fmt.Sprintf("catch-up of 100,000 ops, %d core", len(cores)), budget: ">= 25,000/s",
		measured: "ops " + perSecond(rate), verdict: judge(rate >= 25_000)})
	return nil
}

// fill appends n messages in big calls.
func fill(host string, n int) error {
	const each, workers = 125, 8
	var all sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		all.Go(func() {
			c, err := dial(host)
			if err != nil {
				errs[w] = err
				return
			}
			defer c.conn.Close()
			for i := range n / each / workers {
				path := fmt.Sprintf("%s/a%d/messages", sessionsPath, (w+i*workers)%clients)
				status, err := c.do(c.request("POST", path, batchBody(each, payloadBytes)))
				if err == nil && status/100 != 2 {
					err = fmt.Errorf("append: status %d: %s", status, c.body)
				}
				if err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
