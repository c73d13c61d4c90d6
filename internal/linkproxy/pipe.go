package linkproxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// pipe carries one direction of a connection.
type pipe struct {
	proxy *Proxy
	conn  *conn
	dir   Direction
	from  net.Conn
	to    net.Conn
	delay delay
	queue chan chunk // closed by read at the end of the stream
}

type chunk struct {
	data []byte
	due  time.Time
}

func newPipe(p *Proxy, c *conn, dir Direction, number uint64) *pipe {
	pp := &pipe{
		proxy: p, conn: c, dir: dir,
		from: c.client, to: c.target,
		delay: newDelay(p.seed, number, dir),
		queue: make(chan chunk, queueChunks),
	}
	if dir == FromTarget {
		pp.from, pp.to = pp.to, pp.from
	}
	return pp
}

// read takes bytes off the sender, dates them, and queues them.
func (p *pipe) read() {
	defer close(p.queue)
	buf := make([]byte, chunkBytes)
	for {
		n, err := p.from.Read(buf[:p.pieceBytes()])
		s, _ := p.proxy.watch()
		switch {
		case n > 0 && s.Blackhole&p.dir != 0:
			p.conn.swallow(p.dir)
		case n > 0:
			due, stalls := p.delay.next(time.Now(), n, s.shape(p.dir))
			p.proxy.count(p.dir, stalls)
			ch := chunk{data: append([]byte(nil), buf[:n]...), due: due}
			select {
			case p.queue <- ch:
			case <-p.conn.ended:
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.conn.reset()
			return
		}
	}
}

// pieceBytes keeps pieces small on a slow link, so that it flows evenly.
func (p *pipe) pieceBytes() int {
	s, _ := p.proxy.watch()
	rate := s.shape(p.dir).BytesPerSecond
	if rate <= 0 {
		return chunkBytes
	}
	return int(max(256, min(rate/50, chunkBytes)))
}

// write passes queued bytes on when they are due. An end of the stream follows
// the bytes before it, and leaves the other direction open.
func (p *pipe) write() {
	t := time.NewTimer(0)
	defer t.Stop()
	for ch := range p.queue {
		t.Reset(time.Until(ch.due))
		select {
		case <-t.C:
		case <-p.conn.ended:
			return
		}
		if !p.released() {
			return
		}
		if _, err := p.to.Write(ch.data); err != nil {
			p.conn.reset()
			return
		}
	}
	if tc, ok := p.to.(*net.TCPConn); ok {
		_ = tc.CloseWrite() // an error says that it is closed already
	}
}

// released waits while the state holds bytes back. It returns false when the
// connection has ended.
func (p *pipe) released() bool {
	for {
		s, changed := p.proxy.watch()
		if s.Hold&p.dir == 0 {
			return true
		}
		select {
		case <-changed:
		case <-p.conn.ended:
			return false
		}
	}
}

// delay says when bytes leave. Times never go back, so nothing is reordered.
type delay struct {
	rng  *rand.Rand
	idle time.Time // when the line is free again
	last time.Time // when the last bytes leave
}

func newDelay(seed, connection uint64, dir Direction) delay {
	return delay{rng: rand.New(rand.NewPCG(seed, connection<<2|uint64(dir)))}
}

// maxStalls bounds how often one piece is stalled: with twice the time at each,
// the last takes a minute or so.
const maxStalls = 8

// next dates n bytes that arrived at now, and says how often they were stalled.
func (d *delay) next(now time.Time, n int, s Shape) (due time.Time, stalls int) {
	if d.idle.Before(now) {
		d.idle = now
	}
	if s.BytesPerSecond > 0 {
		d.idle = d.idle.Add(time.Duration(float64(n) / float64(s.BytesPerSecond) * float64(time.Second)))
	}
	wait := s.Latency
	if s.Jitter > 0 {
		wait += time.Duration(d.rng.Int64N(2*int64(s.Jitter)+1)) - s.Jitter
	}
	for s.Stall > 0 && stalls < maxStalls && d.rng.Float64() < s.Stall {
		wait += s.StallFor << stalls
		stalls++
	}
	due = d.idle.Add(max(wait, 0))
	if due.Before(d.last) {
		due = d.last
	}
	d.last = due
	return due, stalls
}
