package push

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/causeway-sync/causeway/protocol/live"
)

var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, WriteBytes)) }}

// write sends what there is, and returns when there is nothing more.
func (c *Conn) write() {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keptBuffer {
			buffers.Put(buf)
		}
	}()
	for {
		b, last, more := c.collect((*buf)[:0])
		*buf = b
		if !more {
			return
		}
		if err := c.send(b); err != nil || last {
			c.hangUp(err == nil)
			return
		}
	}
}

// send writes a buffer, however long the client takes; check looks after that.
func (c *Conn) send(b []byte) error {
	at := c.hub.now()
	c.mu.Lock()
	c.pace.Began(at)
	c.mu.Unlock()
	_, err := c.net.Write(b)
	c.mu.Lock()
	c.pace.Ended()
	c.mu.Unlock()
	return err
}

// hangUp ends the writing side. A client that is told why is given time to read
// it: whoever reads the connection closes it when the client does.
func (c *Conn) hangUp(told bool) {
	c.mu.Lock()
	c.ended, c.running = true, false
	c.mu.Unlock()
	c.gone.Do(func() { close(c.hungUp) })
	c.ring()
	if half, ok := c.net.(interface{ CloseWrite() error }); told && ok && half.CloseWrite() == nil {
		if c.net.SetReadDeadline(time.Now().Add(closePatience)) == nil {
			return
		}
	}
	c.cut()
}

// collect gathers what is to be sent next; last says that it ends the
// connection. Without anything to send, the writer counts as stopped.
func (c *Conn) collect(b []byte) (out []byte, last, more bool) {
	for {
		notes := c.box.Take(c.again)
		f := c.front(&b)
		for _, n := range notes { // before the message that ends a stream
			b = appendText(b, n.text, c.deflate)
		}
		if f != nil {
			b = c.follow(b, f)
		}
		if f != nil && len(b) < WriteBytes {
			continue
		}
		last, more = c.rest(&b)
		if len(b) > 0 || !more {
			return b, last, more
		}
	}
}

// again has everything that holds told to a client that missed signals.
func (c *Conn) again() {
	c.mu.Lock()
	var subs []*Sub
	for _, f := range c.subs { // in any order: each is told for itself
		if f.sub != nil {
			subs = append(subs, f.sub)
		}
	}
	c.mu.Unlock()
	for _, s := range subs {
		s.Again()
	}
}

// front takes control frames and answers, and gives the subscription whose
// turn it is.
func (c *Conn) front(b *[]byte) *Follower {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.last != nil {
		return nil
	}
	*b = append(*b, c.control...)
	c.control = nil
	answered := false
	for len(*b) < WriteBytes/2 { // the other half is for changes
		text, ok := c.answers.Next()
		if !ok {
			break
		}
		answered = true
		if text != nil {
			*b = appendText(*b, text, c.deflate)
		}
	}
	if answered {
		c.ring()
	}
	if len(c.ready) == 0 {
		return nil
	}
	f := c.ready[0]
	c.ready[0] = nil
	if c.ready = c.ready[1:]; len(c.ready) == 0 {
		c.ready = nil
	}
	f.ready = false
	return f
}

// rest ends a collection: with the frame that ends the connection, if there is
// one; more says that there is something to send, or to look for.
func (c *Conn) rest(b *[]byte) (last, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		c.running = false
		return false, false
	case c.last != nil:
		*b = append(*b, c.last...)
		return true, true
	case len(*b) > 0 || len(c.ready) > 0 || len(c.control) > 0 || c.answers.Ready() || c.box.Waiting():
		return false, true
	}
	c.running = false
	return false, false
}

// follow appends what comes next of a subscription, and puts it back in the
// list unless there is nothing more.
func (c *Conn) follow(b []byte, f *Follower) []byte {
	batch, err := f.sub.Next()
	if err != nil {
		return append(b, c.drop(f, err)...)
	}
	for i := range batch.Changes {
		b = appendFrame(b, &batch.Changes[i], c.deflate)
	}
	if batch.Tell {
		b = appendText(b, caughtUp(f.name, &batch), c.deflate)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !batch.Empty() {
		f.since, f.until = batch.Version, 0
		if c.subs[f.name] == f {
			c.enqueue(f)
			if f.waits && batch.Tell && batch.Standing == live.CaughtUp {
				f.waits = false
				c.waiting--
			}
		}
	}
	return b
}

// drop ends a subscription and gives the frame that tells why.
func (c *Conn) drop(f *Follower, why error) []byte {
	c.mu.Lock()
	mine := c.remove(f)
	c.mu.Unlock()
	if !mine {
		return nil // the client ended it first
	}
	f.sub.Close()
	return appendText(nil, f.fail(why), c.deflate)
}

// caughtUp tells how far a client has come.
func caughtUp(n name, b *Batch) []byte {
	text, err := json.Marshal(struct {
		Type    string `json:"type"`
		Space   string `json:"space"`
		Session string `json:"session,omitempty"`
		Version string `json:"version"`
		Behind  bool   `json:"behind,omitempty"`
	}{"caught_up", n.space, n.session, b.Version.String(), b.Standing == live.Behind})
	if err != nil {
		panic("push: want a message that encodes, have " + err.Error())
	}
	return text
}
