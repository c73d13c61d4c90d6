package sim

import (
	"slices"

	"github.com/causeway-sync/causeway/protocol"
)

// bus is core NATS: subjects, servers at the core nodes, routes between them.
// It promises nothing: what is on its way over a connection that ends is lost.
type bus struct {
	w       *world
	streams []*stream // by partition
}

// emit has a node publish a message for whoever listens now.
func (b *bus) emit(n *node, s protocol.Send) {
	if !n.link.up {
		return
	}
	data, err := protocol.AppendMessage(nil, s.Message)
	if err != nil {
		b.w.problem("encoding", n.lane, "%T cannot be encoded: %v", s.Message, err)
		return
	}
	what := kindOf(s.Message)
	b.toServer(n, data, what, func(server *node, data []byte, cause uint64) {
		b.spread(n, server, s.Place, s.Name, data, what, cause)
	})
}

// toServer carries data from a node to the server that it is connected to.
func (b *bus) toServer(n *node, data []byte, what string, then func(*node, []byte, uint64)) {
	server := n.link.server
	if server == n { // its own
		why := b.w.cause
		b.w.after(inProcess, func() {
			if b.w.cause = why; n.runs() {
				then(n, data, 0)
			}
		})
		return
	}
	cause := b.w.say(Event{Kind: EvSend, Node: n.lane, Peer: server.lane, What: what})
	alive := n.link.alive()
	b.w.net.send(n, server, parcel{
		data:   data,
		alive:  func() bool { return alive() && server.listens() },
		arrive: func(data []byte) { b.w.cause = cause; then(server, data, cause) },
		lost:   func(why string) { b.dropped(n, server, what, why, cause) },
	})
}

func (b *bus) dropped(from, to *node, what, why string, cause uint64) {
	b.w.say(Event{Kind: EvDrop, Node: from.lane, Peer: to.lane, What: what, Detail: why, Cause: cause})
}

// spread hands data that is at a server to the listeners of a subject.
func (b *bus) spread(from, server *node, place protocol.Place, name string, data []byte, what string, cause uint64) {
	for _, c := range b.w.cores {
		switch place {
		case protocol.ToCore, protocol.ToCredit:
			if c.name != name {
				continue
			}
		case protocol.ToReceiving, protocol.ToNode:
			if c.name != name {
				continue
			}
		}
		b.route(server, c, data, what, func(data []byte) { c.hear(from, place, data, what, cause) })
	}
	if place != protocol.ToNode && place != protocol.ToReceiving {
		return
	}
	for _, e := range b.w.byName[name] {
		if e.core == nil && e.link.up && e != from {
			b.toEdge(server, e, data, what, func(data []byte) { e.hear(from, place, data, what, cause) })
		}
	}
}

// toEdge carries data from a server, by the route to the edge's own one, down
// the edge's connection.
func (b *bus) toEdge(server, e *node, data []byte, what string, then func([]byte)) {
	if !e.link.up {
		return
	}
	alive, last := e.link.alive(), e.link.server
	b.route(server, last, data, what, func(data []byte) {
		if !alive() || !last.listens() {
			return
		}
		cause := b.w.say(Event{Kind: EvSend, Node: last.lane, Peer: e.lane, What: what})
		b.w.net.send(last, e, parcel{
			data: data, alive: alive,
			arrive: func(data []byte) { b.w.cause = cause; then(data) },
			lost:   func(why string) { b.dropped(last, e, what, why, cause) },
		})
	})
}

// route carries data between servers; a message for a server itself is there.
func (b *bus) route(from, to *node, data []byte, what string, then func([]byte)) {
	if from == to {
		then(data)
		return
	}
	cause := b.w.say(Event{Kind: EvSend, Node: from.lane, Peer: to.lane, What: what})
	life := [2]int{from.boots, to.boots}
	b.w.net.send(from, to, parcel{
		data:   data,
		alive:  func() bool { return from.boots == life[0] && to.boots == life[1] && to.listens() },
		arrive: func(data []byte) { b.w.cause = cause; then(data) },
		lost:   func(why string) { b.dropped(from, to, what, why, cause) },
	})
}

// watch has the streams look at who can reach whom.
func (b *bus) watch() {
	for _, s := range b.streams {
		s.watch()
	}
}

// hear takes a message off the wire. What cannot be decoded is counted and dropped.
func (n *node) hear(from *node, place protocol.Place, data []byte, what string, cause uint64) {
	if n.w.cause != 0 {
		cause = n.w.cause // of the last stretch
	}
	n.run(func() {
		m, err := protocol.DecodeMessage(data)
		e := Event{Kind: EvArrive, Node: n.lane, Peer: from.lane, What: what, Cause: cause}
		if n.w.log.detailed && err == nil {
			e.Space, e.Detail = detailOf(m)
		}
		n.w.say(e)
		if err != nil {
			n.w.facts["message_dropped"]++
			return
		}
		if place == protocol.ToNode || place == protocol.ToReceiving {
			n.stepEdge(protocol.Received{From: from.name, Message: m})
			return
		}
		if _, want := m.(protocol.Want); want {
			n.stepEdge(protocol.Received{From: from.name, Message: m})
			return
		}
		in := protocol.Received{Message: m}
		if place == protocol.ToCredit {
			in.From = from.name
		}
		n.stepCore(in)
	})
}

// askOp has a node ask everybody for an op; then gets each answer.
func (b *bus) askOp(n *node, ask protocol.OpAsk, then func(answer []byte)) {
	b.request(n, ask, "op", b.w.nodes, (*node).answerOp, then)
}

// askTime has a node ask the core nodes what time it is; then gets each answer.
func (b *bus) askTime(n *node, ask protocol.ClockAsk, then func(answer []byte)) {
	b.request(n, ask, "time", b.w.cores, (*node).answerTime, then)
}

// request has a node ask others something; then gets each answer.
func (b *bus) request(n *node, ask protocol.Message, what string, whom []*node,
	answer func(*node, []byte, func([]byte)), then func([]byte),
) {
	if !n.link.up {
		return
	}
	data, err := protocol.AppendMessage(nil, ask)
	if err != nil {
		b.w.problem("encoding", n.lane, "%T: %v", ask, err)
		return
	}
	alive := n.link.alive()
	b.toServer(n, data, what+"_ask", func(server *node, data []byte, _ uint64) {
		for _, other := range slices.Clone(whom) {
			if other == n || !other.link.up {
				continue
			}
			ask := func(data []byte) {
				other.run(func() {
					answer(other, data, func(data []byte) { b.reply(other, n, data, what, alive, then) })
				})
			}
			if other.core != nil {
				b.route(server, other, data, what+"_ask", ask)
			} else {
				b.toEdge(server, other, data, what+"_ask", ask)
			}
		}
	})
}

// reply carries an answer from one node to another through their servers.
func (b *bus) reply(from, to *node, data []byte, what string, alive func() bool, then func([]byte)) {
	if !from.link.up {
		return
	}
	b.toServer(from, data, what, func(server *node, data []byte, _ uint64) {
		if !alive() {
			return
		}
		if to.core != nil {
			b.route(server, to, data, what, then)
			return
		}
		b.toEdge(server, to, data, what, then)
	})
}
