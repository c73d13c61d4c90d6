package sim

import (
	"slices"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
)

// publish puts a frame on the op stream, as node.Sync does, and tells the
// machine what became of it.
func (n *node) publish(p protocol.Publish) {
	fail := func(k protocol.FailureKind) {
		n.stepEdge(drive.Failed(p.Feed, p.Attempt, k))
	}
	soon := func(k protocol.FailureKind) { n.later(0, func() { fail(k) }) }
	if !n.link.up {
		soon(protocol.Unknown)
		return
	}
	if most := n.w.plan.Budget; most > 0 {
		p.MaxOps = min(p.MaxOps, most)
	}
	var frame *protocol.Frame
	err := n.view(func(r session.Reader) (err error) {
		frame, err = drive.PublishFrame(r, p)
		return err
	})
	if err != nil || frame == nil {
		soon(protocol.Unreadable)
		return
	}
	up := protocol.Upload{Frame: *frame}
	if n.plan.Compress {
		up.Compression = protocol.Zstd
	}
	data, err := protocol.AppendMessage(nil, up)
	if err != nil {
		n.w.problem("encoding", n.lane, "frame: %v", err)
		return
	}
	m := &stored{subject: protocol.OpSubject(p.Feed, partitions), data: data, id: protocol.MsgID(frame, p.Nonce)}
	e := Event{Kind: EvPublish, Node: n.lane, What: "frame", Space: p.Space}
	if n.w.log.detailed {
		e.Detail = frameWords(frame)
	}
	n.w.say(e)
	n.atStream(p.Space, data, fail, func(s *stream, leader *node, data []byte, reply func(func())) {
		m.data = data
		s.propose(leader, m, p.Expect, func(got published) {
			reply(func() {
				if !got.ok {
					fail(got.kind)
					return
				}
				n.stepEdge(drive.PublishedOf(p, frame, got.seq))
			})
		})
	})
}

// askSubject asks the stream for the last message on a feed's subject.
func (n *node) askSubject(a protocol.AskSubject) {
	fail := func(k protocol.FailureKind) { n.stepEdge(drive.Failed(a.Feed, a.Attempt, k)) }
	if !n.link.up {
		n.later(0, func() { fail(protocol.Unknown) })
		return
	}
	n.atStream(a.Space, nil, fail, func(s *stream, leader *node, _ []byte, reply func(func())) {
		if s.leader != leader && !s.leads(leader) {
			reply(func() { fail(protocol.Unknown) })
			return
		}
		seq, m := s.shown(leader, protocol.OpSubject(a.Feed, partitions))
		reply(func() {
			var data []byte
			if m != nil {
				data = m.data
			}
			head, err := drive.SubjectHead(a, seq, data)
			if err != nil {
				n.w.facts["subject_head_unreadable"]++
			}
			n.stepEdge(head)
		})
	})
}

// shown gives the last committed message under a subject as a server shows it.
func (s *stream) shown(c *node, subject string) (uint64, *stored) {
	for _, seq := range slices.Backward(s.subjects[subject]) {
		if m := s.at(c, seq); m != nil && m.subject == subject {
			return seq, m
		}
	}
	return 0, nil
}

// at gives the committed message of a number as a server shows it, or nil.
func (s *stream) at(c *node, seq uint64) *stored {
	if log := s.copies[c].log; seq <= min(s.committed, uint64(len(log))) {
		return log[seq-1]
	}
	return nil
}

// atStream carries a request to the leader of a space's stream, and the answer
// back. Whatever is lost on the way ends in fail, at the latest after
// drive.SendTimeout. Without a leader nobody listens on the subjects of the
// stream: then a server answers a publication at once that there are no
// responders. The subject of questions is listened to by all, and they are silent.
func (n *node) atStream(space string, data []byte, fail func(protocol.FailureKind),
	then func(s *stream, leader *node, data []byte, reply func(func())),
) {
	b := n.w.bus
	s := b.streams[protocol.Partition(space, partitions)]
	settle := n.link.call(func() { fail(protocol.Unknown) })
	n.later(drive.SendTimeout, func() {
		if settle() {
			fail(protocol.Unknown)
		}
	})
	b.toServer(n, data, "publish", func(server *node, data []byte, _ uint64) {
		leader := s.leaderFor(server)
		if leader == nil && data != nil {
			n.noResponders(server, func() {
				if settle() {
					fail(protocol.Unknown)
				}
			})
		}
		if leader == nil {
			return
		}
		b.route(server, leader, data, "publish", func(data []byte) {
			then(s, leader, data, func(answer func()) {
				finish := func([]byte) {
					n.run(func() {
						if settle() {
							answer()
						}
					})
				}
				b.route(leader, server, nil, "ack", func([]byte) {
					if server == n {
						finish(nil)
						return
					}
					b.toEdge(server, n, nil, "ack", finish)
				})
			})
		})
	})
}

// noResponders tells a node that its server knows of nobody who listens.
func (n *node) noResponders(server *node, fail func()) {
	n.w.facts["no_responders"]++
	if server == n {
		n.run(fail)
		return
	}
	n.w.bus.toEdge(server, n, nil, "no_responders", func([]byte) { n.run(fail) })
}
