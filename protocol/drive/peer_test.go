package drive

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

const space = "shop"

// peer is a node without a shell: a replica on a store in memory.
type peer struct {
	t      testing.TB
	id     Identity
	disk   *memstore.Mem
	rep    *replica.Replica
	wall   uint64
	epochs int
}

func newPeer(t testing.TB, name string) *peer {
	t.Helper()
	p := &peer{t: t, disk: memstore.New(), wall: 1_000_000}
	p.id = Identity{Node: name, Cluster: "main", Epoch: func() (string, error) {
		p.epochs++
		return fmt.Sprintf("epoch%03d", p.epochs), nil
	}}
	p.update(func(tx session.Tx) error {
		origin, err := Adopt(tx, p.id, false)
		if err != nil {
			return err
		}
		p.rep, err = replica.Open(tx, origin)
		return err
	})
	return p
}

func (p *peer) update(fn func(session.Tx) error) {
	p.t.Helper()
	if err := p.disk.Update(fn); err != nil {
		p.t.Fatalf("update: %v", err)
	}
}

func (p *peer) view(fn func(session.Reader) error) {
	p.t.Helper()
	if err := p.disk.View(fn); err != nil {
		p.t.Fatalf("view: %v", err)
	}
}

func (p *peer) now() replica.Now { return replica.Now{Wall: p.wall} }

func (p *peer) feed() protocol.Feed { return protocol.Feed{Space: space, Origin: p.rep.Origin()} }

func (p *peer) dot(n vclock.Seq) vclock.Dot { return vclock.Dot{Origin: p.rep.Origin(), Seq: n} }

func (p *peer) write(cmd session.Command) (Answer, error) {
	p.wall++
	cmd.Space = space
	var a Answer
	err := p.disk.Update(func(tx session.Tx) (err error) {
		a, err = Write(tx, p.rep, p.now(), cmd)
		return err
	})
	return a, err
}

func (p *peer) must(id string, do session.Action) Answer {
	p.t.Helper()
	a, err := p.write(session.Command{Session: id, Do: do})
	if err != nil {
		p.t.Fatalf("%T in %s: %v", do, id, err)
	}
	return a
}

// talk opens a session and says n things in it: n+1 ops.
func (p *peer) talk(id string, n int) {
	p.t.Helper()
	p.must(id, session.OpenSession{})
	for i := range n {
		p.must(id, say(fmt.Sprint(i)))
	}
}

func say(text string) session.Append {
	return session.Append{Messages: []session.Draft{{Role: "user", Content: fmt.Appendf(nil, "%q", text)}}}
}

// frame reads ops of a feed, as many as one frame takes.
func (p *peer) frame(f protocol.Feed, from vclock.Seq, ops int) *protocol.Frame {
	p.t.Helper()
	var frame *protocol.Frame
	p.view(func(r session.Reader) (err error) {
		frame, err = PublishFrame(r, protocol.Publish{Feed: f, From: from, MaxOps: ops, MaxBytes: protocol.FrameBytesBudget})
		return err
	})
	if frame == nil {
		p.t.Fatalf("no frame of %v from %d", f, from)
	}
	return frame
}

func (p *peer) ingest(frames ...*protocol.Frame) ([]replica.Ingested, []error) {
	p.t.Helper()
	var done []replica.Ingested
	var refused []error
	p.update(func(tx session.Tx) (err error) {
		done, refused, err = Ingest(tx, p.rep, p.now(), frames)
		return err
	})
	return done, refused
}

func (p *peer) head(f protocol.Feed) (h protocol.Head) {
	p.t.Helper()
	p.view(func(r session.Reader) (err error) {
		h, err = replica.HeadOf(r, f)
		return err
	})
	return h
}

func (p *peer) digest() (found protocol.DigestFound) {
	p.t.Helper()
	p.view(func(r session.Reader) (err error) {
		found, err = Digest(r, protocol.DigestAsk{Space: space})
		return err
	})
	return found
}

// rot damages the record of an op.
func (p *peer) rot(f protocol.Feed, seq vclock.Seq) {
	p.t.Helper()
	if !p.disk.Rot(session.OpKey(f.Space, f.Origin, seq), rand.New(rand.NewPCG(1, uint64(seq)))) {
		p.t.Fatalf("op %d of %v is not there", seq, f)
	}
}

func encode(t testing.TB, m protocol.Message) []byte {
	t.Helper()
	b, err := protocol.AppendMessage(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
